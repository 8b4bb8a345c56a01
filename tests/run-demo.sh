#!/bin/bash
# `make run`: the main job on this very machine. Attaches for a while, shows live figures, says where the
# files of the run are. Uses the machine's own places unless ROOT says otherwise.
set -euo pipefail
bin=${1:-build/waveos-bpf}
seconds=${DEMO_SECONDS:-10}
root=(${ROOT:+--root "$ROOT"})
if [ "$(id -u)" -ne 0 ]; then
	echo "observing the kernel needs root: sudo make run" >&2
	exit 4
fi
"$bin" doctor
echo
"$bin" attach "${root[@]}" --for "${seconds}s" --set agent.log_format=text --set record.interval=1s &
agent=$!
trap 'kill -TERM $agent 2>/dev/null || true; wait $agent 2>/dev/null || true' EXIT
for _ in $(seq 100); do
	"$bin" status "${root[@]}" >/dev/null 2>&1 && break
	kill -0 $agent 2>/dev/null || { wait $agent; exit $?; }
	sleep 0.1
done
sleep 2
"$bin" top --once --limit 20 "${root[@]}"
echo
"$bin" status "${root[@]}"
run_dir=$("$bin" status --json "${root[@]}" | sed -n 's/.*"run_dir":"\([^"]*\)".*/\1/p')
echo
echo "observing for $seconds s in all ..."
wait $agent
trap - EXIT
echo
"$bin" report latest "${root[@]}" | sed -n 1,40p # reads to the end: a closed pipe would end this script
echo
"$bin" evidence verify "${root[@]}"
echo
echo "files of the run, in $run_dir:"
ls -l "$run_dir"
echo "live view: sudo $bin attach &  then  sudo $bin top"
