#!/bin/bash
# limit: 1200
# ASan and UBSan: the unit tests pass under them.
set -euo pipefail
san=${O:-build}-san
make --no-print-directory -j"$(nproc)" O="$san" SAN=1 tests
status=0
for t in "$san"/tests/test_*; do
	[ -x "$t" ] && [ -f "$t" ] || continue
	ASAN_OPTIONS=detect_leaks=1 timeout 170 "$t" >"$san/log" 2>&1 </dev/null || {
		status=1
		echo "== $t"
		tail -n 40 "$san/log"
	}
done
exit $status
