#!/bin/bash
# Checks one machine with spin, on a model around the code's own table.
#   check.sh MODEL [-DBREAK_...]    rules, modes, chain or breaker. The flags replace one entry of the table (MODEL.c)
#                                   or break one of the rules around it (MODEL.pml): then it has to fail, and stops
#                                   at the first property that does not hold
# Prints one line a property; exits 1 if one does not hold, 77 if spin is not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
model=${1:-rules}
shift || true
command -v spin >/dev/null || {
	echo "spin is not installed"
	exit 77
}
work=$(mktemp -d "${TMPDIR:-/tmp}/waveos-model.XXXXXX")
trap 'rm -rf "$work"' EXIT
table=$model
[ "$model" != modes ] || table=rules
${CC:-gcc} -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE -I. -Iinclude "$@" -o "$work/print" "tests/model/$table.c"
"$work/print" >"$work/model.pml"
cat "tests/model/$model.pml" >>"$work/model.pml"
cp tests/model/rule_machine.pml "$work"
# the models are tied to the code, too: without a flag they run it beside them and compare
[ $# -eq 0 ] || set -- -DBREAK "$@"
root=$PWD
cd "$work"
spin "$@" -a model.pml >spin.log 2>&1 || {
	cat spin.log
	exit 1
}
code=()
[ "$model" != chain ] || [ $# -gt 0 ] || code=("$root/user/recover/chain.c")
# what is broken is found soon: then the compiler takes longer than the search
level=-O1
[ $# -eq 0 ] || level=-O0
gcc $level -w -std=gnu11 -D_GNU_SOURCE -I"$root" -I"$root/include" -DVECTORSZ=1024 -o pan pan.c "${code[@]}"
mapfile -t claims < <(sed -n 's/^ltl \([a-z_]*\) .*/\1/p' model.pml)
status=0
flags=$#
# property NAME ARGUMENTS...: holds on all states
property() {
	local name=$1
	shift
	./pan -m50000 "$@" >"$name.log" 2>&1 || true
	if grep -q 'errors: 0' "$name.log" && ! grep -qE 'max search depth too small|out of memory' "$name.log"; then
		echo "  holds  $model: $name ($(awk '/states, stored/ {print $1}' "$name.log") states)"
	else
		echo "  FAILS  $model: $name: $(grep -m 1 -E 'assertion violated|acceptance cycle|too small|memory' "$name.log" || tail -n 1 "$name.log")"
		status=1
		[ $flags -eq 0 ] || exit 1
	fi
}
property assertions -noclaim
for c in "${claims[@]}"; do
	property "$c" -a -N "$c"
done
exit $status
