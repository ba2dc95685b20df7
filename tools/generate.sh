#!/bin/sh
# Generates the agents' wire code from shared/wire/*.proto: tools/generate.sh DIR
# DIR gets shared/wire/*.pb.go below it; the generators are those pinned in tools/go.mod.
set -eu
cd "$(dirname "$0")/.."
out=$1
set -- shared/wire/*.proto
if [ ! -e "$1" ]; then
	echo "shared/wire has no .proto file" >&2
	exit 1
fi
protoc -I . \
	--plugin=protoc-gen-go=bin/tools/protoc-gen-go \
	--plugin=protoc-gen-go-grpc=bin/tools/protoc-gen-go-grpc \
	--go_out="$out" --go_opt=paths=source_relative \
	--go-grpc_out="$out" --go-grpc_opt=paths=source_relative \
	"$@"
