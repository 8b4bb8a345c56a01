#!/bin/bash
# Static checks of the whole tree; every tool's findings fail it. LINT_ONLY="clang-format ..." runs some.
set -u
cd "$(dirname "$0")/.." || exit 1
O=${O:-build}
status=0
mapfile -t c < <(git ls-files -co --exclude-standard 'user/*.c' 'tests/unit/*.c' 'tests/bench/*.c' 'tests/fuzz/*.c')
mapfile -t h < <(git ls-files -co --exclude-standard 'user/*.h' 'include/*.h' 'bpf/*.h')
mapfile -t bpf < <(git ls-files -co --exclude-standard 'bpf/*.bpf.c')
mapfile -t sh < <(git ls-files -co --exclude-standard '*.sh' '.ci/run')
mapfile -t agent < <(git ls-files -co --exclude-standard 'user/*.c')
flags=(-std=gnu11 -D_GNU_SOURCE '-DWV_VERSION="0"' -I. -Iinclude -I"$O")

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
	cppcheck --quiet --error-exitcode=1 --enable=warning,portability,performance --inline-suppr \
		--suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches --std=c11 \
		-I. -Iinclude -D_GNU_SOURCE '-DWV_VERSION="0"' "${agent[@]}" 2>&1 | tail -30
	report cppcheck "${PIPESTATUS[0]}"
fi
if wanted clang-tidy; then
	printf '%s\n' "${agent[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy --quiet --warnings-as-errors='*' \
		2>/dev/null -- >"$O/tidy.log" "${flags[@]}"
	report_status=$?
	[ $report_status -eq 0 ] || grep -E 'error:|warning:' "$O/tidy.log" | sort -u | head -30
	report clang-tidy $report_status
fi
if wanted scan-build; then
	scan-build --status-bugs -o "$O/scan" make --no-print-directory -j"$(nproc)" O="$O-scan" CC=clang all >"$O/scan.log" 2>&1
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
