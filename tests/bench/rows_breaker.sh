# shellcheck shell=bash disable=SC2153 # WORK, NAME, PINS are set in lib.sh
# --- breaker: what a verdict costs, and how long from a breach to the death of who did it

# breaker_policy BREAKER...: one domain, the cgroup of this bench; a breaker is "kind: ..., limit: ..."
breaker_policy() {
	local b i=0
	mkdir -p "$ROOT/etc/waveos" "$CGROUP2/$NAME"
	{
		printf 'schema_version: 1\nname: bench\ndomains:\n  - {name: bench, scope: {cgroup: /%s}}\nbreakers:\n' "$NAME"
		for b in "$@"; do printf '  - {name: b%d, domain: bench, %s}\n' $((i += 1)) "$b"; done
	} >"$ROOT/etc/waveos/policy.yaml"
}
breaker_done() {
	"$BIN" detach --root "$ROOT" >/dev/null
	agent_kill
	rm -f "$ROOT/etc/waveos/policy.yaml"
	wait_until 5 rmdir "$CGROUP2/$NAME" 2>/dev/null || true
}
# breaker_cost KIND PROGRAM COUNT: nanoseconds of one run while nothing is refused, net of an empty program
breaker_cost() {
	local load
	"$TOOLS/breaker" load "$CGROUP2/$NAME" "$1" "$3" &
	load=$!
	"$TOOLS/hook_cost" -q "$TOOLS/empty.bpf.o" "${SECONDS_EACH:-3}" "$PINS/progs/$2" 2>/dev/null >"$WORK/cost"
	kill "$load" 2>/dev/null || true
	wait "$load" 2>/dev/null || true
	awk -v floor="$EMPTY" '$1 != "empty" && $2 { print $3 / $2 - floor }' "$WORK/cost"
}
# Nanoseconds of a warm run of an empty program. While a load runs alone, the few switches that the empty program sits on
# are cold, and would hide most of a verdict.
empty_cost() {
	local load
	taskset 1 perf bench sched pipe -l 100000000 >/dev/null 2>&1 &
	load=$!
	"$TOOLS/hook_cost" -q "$TOOLS/empty.bpf.o" 2 "$PINS/progs/breaker_connect4" 2>/dev/null |
		awk '$1 == "empty" { print $3 / $2 }'
	kill "$load"
	wait "$load" 2>/dev/null || true
}
# which program gives the verdict on an exec or a fork here
start_program() {
	local p
	for p in "breaker_lsm_$1" "breaker_mod_$1"; do
		if [ -e "$PINS/progs/$p" ]; then
			echo "$p"
			return
		fi
	done
	echo "breaker_$1"
}

row_breaker() {
	local i kind busy states
	breaker_policy 'kind: connects, limit: 100000000, open: 1s' 'kind: execs, limit: 100000000, open: 1s' \
		'kind: forks, limit: 100000000, open: 1s'
	agent_start
	EMPTY=$(empty_cost)
	for ((i = 0; i < ${ROUNDS:-5}; i++)); do
		wait_quiet
		breaker_cost connect breaker_connect4 1000000 >>"$WORK/breaker.connect"
		breaker_cost exec "$(start_program exec)" 1000000 >>"$WORK/breaker.exec"
		breaker_cost fork "$(start_program fork)" 1000000 >>"$WORK/breaker.fork"
	done
	for kind in connect exec fork; do keep_spread "breaker_$kind" %.0f <"$WORK/breaker.$kind"; done
	breaker_done
	for kind in fork exec; do
		breaker_policy "kind: ${kind}s, action: kill, limit: 1, per: 10ms, burst: 1, open: 10ms, half_open: 10ms, probes: 1"
		agent_start
		for states in "$PINS/maps/breaker_task_states" "$PINS/maps/breaker_raw_states"; do
			[ ! -e "$states" ] || break
		done
		for busy in 0 $((2 * NCPU)); do
			[ "$busy" -gt 0 ] || wait_quiet
			"$TOOLS/breaker" latency "$TOOLS/death.bpf.o" "$states" "$CGROUP2/$NAME" "$kind" "${TRIALS:-400}" "$busy" \
				>"$WORK/latency"
			for i in p50 p99 max; do
				keep "breaker_${kind}_$([ "$busy" -eq 0 ] && echo idle || echo busy)_$i" \
					"$(jq ".${i}_ns / 1000" "$WORK/latency" | xargs printf %.1f)"
			done
		done
		breaker_done
	done
}
