#!/bin/bash
# The executable, stripped as packages have it, is not over 3 MB, and names no folder of the machine that built it.
set -euo pipefail
O=${O:-build}
LIMIT=3000000
# a sanitizer's or a fuzzer's build is another matter
if nm -D "$O/waveos-bpf" | grep -q __asan; then
	echo "built with sanitizers"
	exit 77
fi
small=$(mktemp)
trap 'rm -f "$small"' EXIT
strip -o "$small" "$O/waveos-bpf"
bytes=$(stat -c %s "$small")
[ "$bytes" -le $LIMIT ] || { echo "stripped it has $bytes bytes, over $LIMIT"; exit 1; }
! grep -qaF "$PWD/" "$O/waveos-bpf" || { echo "the build folder's path is in it"; exit 1; }
# the objects are packed: names of their sections do not stand in it as they are
! grep -qaF .relcgroup/connect4 "$small" || { echo "a BPF object is in it unpacked"; exit 1; }
echo "$bytes bytes"
