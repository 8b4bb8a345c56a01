#!/bin/bash
# Static checks of the whole tree; every tool's findings fail it. LINT_ONLY="clang-format ..." runs some.
set -u
cd "$(dirname "$0")/.." || exit 1
O=${O:-build}
status=0
mapfile -t c < <(git ls-files -co --exclude-standard 'user/*.c' 'gpu/*.c' 'tests/unit/*.c' 'tests/bench/*.c' 'tests/fuzz/*.c' 'tests/sim/*.c' 'tests/vm/tools/*.c')
mapfile -t h < <(git ls-files -co --exclude-standard 'user/*.h' 'gpu/*.h' 'include/*.h' 'bpf/*.h' 'tests/sim/*.h')
mapfile -t bpf < <(git ls-files -co --exclude-standard 'bpf/*.bpf.c')
mapfile -t sh < <(git ls-files -co --exclude-standard '*.sh' '.ci/run')
mapfile -t agent < <(git ls-files -co --exclude-standard 'user/*.c' 'gpu/*.c')

wanted() { [[ " ${LINT_ONLY:-$1} " == *" $1 "* ]]; }
report() { # NAME STATUS
	if [ "$2" -eq 0 ]; then echo "  ok    $1"; else
		echo "  FAIL  $1"
		status=1
	fi
}

if wanted clang-format; then
	clang-format --dry-run -Werror "${c[@]}" "${h[@]}" "${bpf[@]}" 2>&1 | grep -E 'error:' | head -20
	report clang-format "${PIPESTATUS[0]}"
fi
if wanted cppcheck; then
	# suppressed: it does not know __attribute__((cleanup)), end pointers of arrays, and libbpf's macro
	cppcheck --quiet --error-exitcode=1 --enable=warning,portability,performance --inline-suppr \
		--suppress=missingIncludeSystem --suppress=memleak --suppress=resourceLeak \
		--suppress=ctuPointerArith --suppress=zerodivcond:user/export/text.c --std=c11 \
		-I. -Iinclude -D_GNU_SOURCE '-DWV_VERSION="0"' '-DLIBBPF_OPTS(t,n,...)=struct t n = {__VA_ARGS__}' \
		"${agent[@]}" >"$O/cppcheck.log" 2>&1
	report_status=$?
	[ $report_status -eq 0 ] || tail -40 "$O/cppcheck.log"
	report cppcheck $report_status
fi
if wanted clang-tidy; then
	# the file names come last for xargs, but before the flags for clang-tidy
	printf '%s\n' "${agent[@]}" | FLAGS="-std=gnu11 -D_GNU_SOURCE -DWV_VERSION=\"0\" -I. -Iinclude -I$O" \
		xargs -P "$(nproc)" -n 1 bash -c 'read -ra f <<<"$FLAGS"; clang-tidy --quiet --warnings-as-errors="*" "$@" -- "${f[@]}"' _ \
		>"$O/tidy.log" 2>/dev/null
	report_status=$?
	[ $report_status -eq 0 ] || grep -E 'error:|warning:' "$O/tidy.log" | sort -u | head -30
	report clang-tidy $report_status
fi
if wanted scan-build; then
	# clang 14 does not know __attribute__((cleanup)) and takes every such variable for a leak (LeakSanitizer
	# looks for those in the tests); a stored value that no one reads yet is no bug
	scan-build --status-bugs -disable-checker unix.Malloc -disable-checker deadcode.DeadStores \
		-disable-checker optin.performance.Padding -disable-checker security.FloatLoopCounter -o "$O/scan" make --no-print-directory -j"$(nproc)" O="$O-scan" CC=clang all >"$O/scan.log" 2>&1
	report_status=$?
	[ $report_status -eq 0 ] || grep -E 'warning:|error' "$O/scan.log" | head -20
	report scan-build $report_status
fi
if wanted shellcheck; then
	shellcheck -x -S warning "${sh[@]}"
	report shellcheck $?
fi
if wanted size; then
	# a file of more than 600 lines or a function of more than 100 wants a reason
	big=$(wc -l "${agent[@]}" "${bpf[@]}" | awk '$1 > 600 && $2 != "total" {print "  " $2 ": " $1 " lines"}')
	[ -z "$big" ] || echo "$big"
	report size "$([ -z "$big" ] && echo 0 || echo 1)"
fi
exit $status
