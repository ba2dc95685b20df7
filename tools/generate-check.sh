#!/bin/sh
# Fails where the committed wire code is not what its .proto files give.
# The line that names protoc's own version is left out: distributions differ, the code does not.
set -eu
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
tools/generate.sh "$fresh"
mkdir "$fresh/committed"
cp shared/wire/*.pb.go "$fresh/committed/"
if ! diff -ru -I '^//.*protoc  *v[0-9]' "$fresh/committed" "$fresh/shared/wire" >"$fresh/diff"; then
	head -n 30 "$fresh/diff" >&2
	echo "shared/wire/*.pb.go is not what its .proto files give; run: make generate" >&2
	exit 1
fi
