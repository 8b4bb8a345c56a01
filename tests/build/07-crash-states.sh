#!/bin/bash
# limit: 300, soak: 7200
# No power cut loses what was promised: production code on a simulated disk, all that a cut can leave of it opened again
# by production code (docs/crash-testing.md). And the simulator tells when a flush is missing: planted bugs are found.
# The subset here takes seconds; SOAK=1 looks at a million distinct states at least.
set -euo pipefail
O=${O:-build}
make --no-print-directory O="$O" "$O/sim"
sim=$O/sim
if [ -z "${SOAK:-}" ]; then
	"$sim" --states "${SIM_STATES:-2500}" --choices 30 --nested 15 --depth 2
	"$sim" --planted
	exit
fi
# replace, lines and recover are cheap, and have fewer states worth a look
log=$(mktemp "${TMPDIR:-/tmp}/waveos-sim.XXXXXX")
trap 'rm -f "$log"' EXIT
"$sim" --states "${SIM_STATES:-250000}" --choices 1000 --nested 60 --faults 8 | tee "$log"
total=$(awk '$1 == "total" {print $6}' "$log")
[ "$total" -ge 1000000 ] || {
	echo "only $total distinct states"
	exit 1
}
"$sim" --planted
