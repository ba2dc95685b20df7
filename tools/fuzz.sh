#!/bin/sh
# Runs every fuzz target of the module one after the other, and a random history of the vault: tools/fuzz.sh 20s
set -eu
cd "$(dirname "$0")/.."
duration=$1
targets=$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|/[^/]*:func | |' | sort)
if [ -z "$targets" ]; then
	echo "no fuzz target found" >&2
	exit 1
fi
echo "$targets" | while read -r dir name; do
	echo "== $dir $name"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" "$dir"
done
seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
echo "== ./server/internal/vault TestHistories of seed $seed"
go test -run '^TestHistories$' ./server/internal/vault -history.seed="$seed"
