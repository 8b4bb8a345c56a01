#!/bin/bash
# A touched header rebuilds every user of it, in both halves, and nothing else.
set -euo pipefail
O=${O:-build}
plan() { make --no-print-directory -n O="$O" V=1 all 2>/dev/null | grep -oE -- '-c [^ ]+\.c' | sort -u; }
make --no-print-directory O="$O" all >/dev/null
[ -z "$(plan)" ] || { echo "a second make rebuilds: $(plan)"; exit 1; }

stamp=$(mktemp)
touch -r include/waveos/cpu.h "$stamp"
trap 'touch -r "$stamp" include/waveos/cpu.h; rm -f "$stamp"' EXIT
touch include/waveos/cpu.h
got=$(plan)
for user in bpf/cpu.bpf.c user/collect/cpu.c; do
	grep -q -- "-c $user" <<<"$got" || { echo "$user is not rebuilt after cpu.h was touched"; exit 1; }
done
! grep -q 'user/core/io.c' <<<"$got" || { echo "io.c does not include cpu.h but is rebuilt"; exit 1; }
