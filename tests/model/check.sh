#!/bin/bash
# Checks the breaker of rules with spin, on a model that is printed from the code's own table.
#   check.sh [-DBREAK_...]    the flags replace one entry of the table (promela.c): then it has to fail, and stops
#                             at the first property that does not hold
# Prints one line a property; exits 1 if one does not hold, 77 if spin is not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v spin >/dev/null || {
	echo "spin is not installed"
	exit 77
}
work=$(mktemp -d "${TMPDIR:-/tmp}/waveos-model.XXXXXX")
trap 'rm -rf "$work"' EXIT
${CC:-gcc} -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE -I. -Iinclude "$@" -o "$work/promela" tests/model/promela.c
"$work/promela" >"$work/breaker.pml"
cd "$work"
spin -a breaker.pml >spin.log 2>&1 || {
	cat spin.log
	exit 1
}
gcc -O1 -w -DVECTORSZ=256 -o pan pan.c
mapfile -t claims < <(sed -n 's/^ltl \([a-z_]*\) .*/\1/p' breaker.pml)
status=0
flags=$#
# property NAME ARGUMENTS...: holds on all states
property() {
	local name=$1
	shift
	./pan -m20000 "$@" >"$name.log" 2>&1 || true
	if grep -q 'errors: 0' "$name.log" && ! grep -qE 'max search depth too small|out of memory' "$name.log"; then
		echo "  holds  $name ($(awk '/states, stored/ {print $1}' "$name.log") states)"
	else
		echo "  FAILS  $name: $(grep -m 1 -E 'assertion violated|acceptance cycle|too small|memory' "$name.log" || tail -n 1 "$name.log")"
		status=1
		[ $flags -eq 0 ] || exit 1
	fi
}
property assertions -noclaim
for c in "${claims[@]}"; do
	property "$c" -a -N "$c"
done
exit $status
