# shellcheck shell=bash disable=SC2153 # WORK, NAME, PINS are set in lib.sh
# One function a row: hook, slowdown, loss, memory (with scrape and tick), limit, gap, programs, verifier, restart.

# --- hook: cost of a context switch

# ids_of NAME...: NAME=ID of the youngest program of each name that is not in file $WORK/ids.before
new_programs() {
	bpftool --json prog show | jq -r '.[] | select(.name) | "\(.name)=\(.id)"' | sort >"$WORK/ids.after"
	comm -13 "$WORK/ids.before" "$WORK/ids.after"
}
old_programs() { bpftool --json prog show | jq -r '.[] | select(.name) | "\(.name)=\(.id)"' | sort >"$WORK/ids.before"; }

# start_tool NAME COMMAND...: starts a BPF tool in the background; its programs as NAME:PROG=ID, or nothing
start_tool() {
	local name=$1 deadline=$((SECONDS + 15))
	shift
	old_programs
	"$@" >"$WORK/$name.log" 2>&1 </dev/null &
	TOOL_PID=$!
	TOOL_PROGRAMS=()
	while [ $SECONDS -lt $deadline ] && kill -0 "$TOOL_PID" 2>/dev/null; do
		mapfile -t TOOL_PROGRAMS < <(new_programs | grep -E '^(handle_)?sched' | sed "s/^/$name:/" || true)
		[ ${#TOOL_PROGRAMS[@]} -lt 3 ] || break
		nap 0.2
	done
}

BPFTRACE_RUNQ='tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new { @q[args->pid] = nsecs; }
tracepoint:sched:sched_switch {
	if (args->prev_state == 0) { @q[args->prev_pid] = nsecs; }
	if (@q[args->next_pid]) { @us = hist((nsecs - @q[args->next_pid]) / 1000); }
	delete(@q[args->next_pid]);
}'
export BPFTRACE_RUNQ
# bpftrace 0.17 looks for tracefs where this machine may not have mounted it: then in a namespace of its own
with_tracefs() {
	# shellcheck disable=SC2016 # the inner shell expands
	exec unshare -m sh -c '[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing
		exec bpftrace -e "$BPFTRACE_RUNQ"'
}

# per_switch PREFIX SWITCH <hook_cost's lines: nanoseconds a switch of all programs PREFIX*, net of empty
per_switch() {
	awk -v prefix="$1" -v switches="$2" '
		$1 == "empty" { empty = $2 ? $3 / $2 : 0 }
		index($1, prefix) == 1 { ns += $3; runs += $2; if ($1 ~ switches) n += $2 }
		END { if (!n) exit 1; printf "%.1f\n", (ns - runs * empty) / n }'
}

row_hook() {
	local rounds=${ROUNDS:-9} seconds=3 i ours=("$PINS/progs/cpu_switch" "$PINS/progs/cpu_migrate") runqlat=() bpftrace=()
	local runqlat_pid='' bpftrace_pid=''
	agent_start
	for ((i = 0; i < rounds; i++)); do # alone: the figure of the goal
		wait_quiet
		"$TOOLS/hook_cost" "$TOOLS/empty.bpf.o" $seconds "${ours[@]}" >"$WORK/hook"
		per_switch cpu_ switch <"$WORK/hook" >>"$WORK/hook.alone"
		awk '$1 == "empty" { print $3 / $2 }' "$WORK/hook" >>"$WORK/hook.empty"
	done
	start_tool runqlat runqlat 1000
	runqlat=("${TOOL_PROGRAMS[@]}") runqlat_pid=$TOOL_PID
	start_tool bpftrace with_tracefs
	bpftrace=("${TOOL_PROGRAMS[@]}") bpftrace_pid=$TOOL_PID
	at_exit kill "$runqlat_pid" "$bpftrace_pid"
	[ ${#bpftrace[@]} -ge 3 ] || keep bpftrace_reason "$(grep -v '^Attaching' "$WORK/bpftrace.log" | tail -n 1)"
	for ((i = 0; i < rounds; i++)); do # all on the same switches
		wait_quiet
		"$TOOLS/hook_cost" "$TOOLS/empty.bpf.o" $seconds "${ours[@]}" "${runqlat[@]}" "${bpftrace[@]}" >"$WORK/hook"
		per_switch cpu_ switch <"$WORK/hook" >>"$WORK/hook.ours"
		per_switch runqlat: switch <"$WORK/hook" >>"$WORK/hook.runqlat" || true
		per_switch bpftrace: switch <"$WORK/hook" >>"$WORK/hook.bpftrace" || true
	done
	kill -INT "$runqlat_pid" "$bpftrace_pid" 2>/dev/null || true
	wait "$runqlat_pid" "$bpftrace_pid" 2>/dev/null || true
	agent_stop
	for i in alone empty ours runqlat bpftrace; do
		if [ -s "$WORK/hook.$i" ]; then keep_spread "hook_$i" %.0f <"$WORK/hook.$i"; fi
	done
}

# --- slowdown: the same work without an agent, with it, and with others

BUILD_SET=(user/core/config.c user/core/yaml.c user/core/cgroup.c user/core/host.c user/core/io.c user/core/log.c
	user/flow/sample.c user/flow/snapshot.c user/evidence/record.c user/export/web.c user/policy/eval.c user/cmd/top.c)

compile() { # FILE
	gcc -O2 -std=gnu11 -D_GNU_SOURCE '-DWV_VERSION="0"' -I. -Iinclude "-I$O" -c "$1" -o /dev/null
}
export -f compile
export O
work_hackbench() { perf bench sched messaging -g 5 -l 600; }
work_build() { printf '%s\n' "${BUILD_SET[@]}" "${BUILD_SET[@]}" | xargs -P "$NCPU" -I{} bash -c 'compile {}'; }
work_pipe() { taskset -c 0 perf bench sched pipe -l 150000; }

# timed CONFIG ROUND WORK: a line "config work round wall_s cpu_s agent_s foreign_share disturbed" to $WORK/slow
timed() {
	local config=$1 round=$2 work=$3 pids=() before after agent_before agent_after alien=0 TIMEFORMAT='%R %U %S' took
	if [ "$config" = agent ]; then mapfile -t pids < <(agent_pids); fi
	if [ "$(foreign_programs)" -gt 0 ]; then alien=1; fi
	agent_before=$(cpu_ticks "${pids[@]}")
	before=$(busy_jiffies)
	took=$({ time "work_$work" >/dev/null 2>&1; } 2>&1)
	after=$(busy_jiffies)
	agent_after=$(cpu_ticks "${pids[@]}")
	if [ "$(foreign_programs)" -gt 0 ]; then alien=1; fi
	awk -v config="$config" -v work="$work" -v round="$round" -v took="$took" -v agent=$((agent_after - agent_before)) \
		-v busy=$((${after% *} - ${before% *})) -v ncpu="$NCPU" -v alien=$alien 'BEGIN {
		split(took, t, " "); cpu = t[2] + t[3]; agent /= 100
		foreign = (busy / 100 - cpu - agent) / (t[1] * ncpu); if (foreign < 0) foreign = 0
		print config, work, round, t[1], cpu, agent, foreign, (alien || foreign > 0.15) }' >>"$WORK/slow"
}

with_none() { "$@"; }
with_agent() {
	agent_start
	ticks 2
	"$@"
	agent_stop
}
with_node() {
	local pid scraper
	prometheus-node-exporter --web.listen-address "127.0.0.1:$((PORT + 1))" >/dev/null 2>&1 &
	pid=$!
	while sleep 1 && kill -0 "$pid" 2>/dev/null; do curl -s -o /dev/null "http://127.0.0.1:$((PORT + 1))/metrics" || true; done &
	scraper=$!
	nap 2
	"$@"
	kill "$scraper" "$pid" 2>/dev/null || true
	wait "$scraper" "$pid" 2>/dev/null || true
}
with_runqlat() {
	start_tool runqlat runqlat 1000
	"$@"
	kill -INT "$TOOL_PID" 2>/dev/null || true
	wait "$TOOL_PID" 2>/dev/null || true
}

all_work() { # CONFIG ROUND
	local work
	for work in hackbench build pipe; do
		wait_quiet
		timed "$1" "$2" "$work"
	done
}
# pairs WORK CONFIG COLUMN: percent that CONFIG took more than none in the same round, undisturbed pairs first
pairs() {
	awk -v work="$1" -v config="$2" -v column="$3" '
		$2 == work { v[$1, $3] = column == "cpu" ? $5 + $6 : $4; bad[$1, $3] = $8; if ($3 > last) last = $3 }
		END { for (i = 1; i <= last; i++) if ((config, i) in v && ("none", i) in v)
			print 100 * (v[config, i] / v["none", i] - 1), bad[config, i] + bad["none", i] }' "$WORK/slow" >"$WORK/pairs"
	if [ "$(grep -c ' 0$' "$WORK/pairs")" -ge 7 ]; then
		awk '$2 == 0 { print $1 }' "$WORK/pairs"
	else
		awk '{ print $1 }' "$WORK/pairs"
	fi
}
clean_pairs() { # WORK
	pairs "$1" agent wall >/dev/null
	grep -c ' 0$' "$WORK/pairs" || true
}

# hook_share WORK: percent of the work's CPU time that runs of the agent's programs take, net of empty
hook_share() {
	local meter took TIMEFORMAT='%U %S'
	: >"$WORK/meter.log"
	"$TOOLS/hook_cost" -q "$TOOLS/empty.bpf.o" 300 "$PINS"/progs/* >"$WORK/share" 2>"$WORK/meter.log" &
	meter=$!
	wait_until 20 grep -q measuring "$WORK/meter.log" || die "hook_cost: $(cat "$WORK/meter.log")"
	took=$({ time "work_$1" >/dev/null 2>&1; } 2>&1)
	kill -TERM "$meter"
	wait "$meter" || die "hook_cost"
	awk -v took="$took" '$1 == "empty" { empty = $2 ? $3 / $2 : 0; next } { ns += $3 - $2 * empty }
		END { split(took, t, " "); printf "%.3f\n", ns / 1e7 / (t[1] + t[2]) }' "$WORK/share"
}

row_slowdown() {
	local round config order work max=${MAX_ROUNDS:-14}
	: >"$WORK/slow"
	for ((round = 1; round <= max; round++)); do
		order=(none agent node runqlat)
		if ((round % 2 == 0)); then order=(runqlat node agent none); fi
		for config in "${order[@]}"; do "with_$config" all_work "$config" "$round"; done
		say "  round $round: undisturbed pairs $(clean_pairs hackbench) $(clean_pairs build) $(clean_pairs pipe)"
		if ((round >= ${PAIRS:-7})) && [ "$(clean_pairs hackbench)" -ge 7 ] && [ "$(clean_pairs build)" -ge 7 ] &&
			[ "$(clean_pairs pipe)" -ge 7 ]; then
			break
		fi
	done
	cp "$WORK/slow" "$RESULTS/slowdown.raw"
	keep priority "$(awk '{ print $NF }' /proc/self/autogroup 2>/dev/null || echo 0)"
	for work in hackbench build pipe; do
		awk -v w=$work '$1 == "none" && $2 == w { print $4 }' "$WORK/slow" | keep_spread "base_$work" %.2f
		for config in agent node runqlat; do
			pairs "$work" "$config" wall | keep_spread "slow_${work}_$config" %+.1f
			pairs "$work" "$config" cpu | keep_spread "slowcpu_${work}_$config" %+.1f
		done
		keep "clean_$work" "$(clean_pairs "$work")"
	done
	awk '$1 == "none" { print 100 * $7 }' "$WORK/slow" | keep_spread foreign %.0f
	agent_start --set collect.program_stats=off
	for work in hackbench build pipe; do
		for ((round = 0; round < ${SHARES:-5}; round++)); do hook_share $work; done | keep_spread "share_$work" %.2f
	done
	agent_stop
}

# --- loss: events to user space

settled() { status '.events.test | (.produced == .consumed + .dropped) and .produced > 0' | grep -qx true; }
# flood KEY EVENTS RATE: keeps rate and shares
flood_once() {
	local key=$1 before after out
	ticks 2
	before=$(status '.events.test | "\(.produced) \(.consumed) \(.dropped)"')
	if [ "$key" = stalled ]; then kill -STOP "$(status .core_pid)"; fi
	out=$("$TOOLS/flood" "$TOOLS/flood.bpf.o" "$PINS/maps" "$2" "$3") || die "flood"
	if [ "$key" = stalled ]; then
		nap 2
		kill -CONT "$("$BIN" status --json --root "$ROOT" 2>/dev/null | jq .core_pid)"
	fi
	ticks 3
	wait_until 20 settled || true
	after=$(status '.events.test | "\(.produced) \(.consumed) \(.dropped)"')
	awk -v key="$key" -v b="$before" -v a="$after" -v out="$out" 'BEGIN {
		split(b, x, " "); split(a, y, " "); split(out, o, " ")
		p = y[1] - x[1]; c = y[2] - x[2]; d = y[3] - x[3]
		print "loss_" key "_events", o[1]; printf "loss_%s_rate %.2f\n", key, o[1] / o[2] / 1e6
		printf "loss_%s_dropped %.1f\n", key, 100 * d / p; print "loss_" key "_consumed", c
		print "loss_" key "_uncounted", (p - c - d) + (o[1] - p) }' >"$WORK/loss"
	while read -r k v; do keep "$k" "$v"; done <"$WORK/loss"
}
row_loss() {
	agent_start
	flood_once paced 10000000 1000000
	flood_once flat 20000000 0
	flood_once stalled 5000000 0
	agent_stop
}

# --- memory and tick

map_ids() {
	local p outer
	{
		for p in "$PINS"/maps/*; do bpftool --json map show pinned "$p" | jq .id; done
		for p in "$PINS"/progs/*; do bpftool --json prog show pinned "$p" | jq '.map_ids[]?'; done
		for outer in "$PINS"/maps/*_rows; do
			bpftool --json map dump pinned "$outer" | jq -r '.[].value | join(" ")' | # little-endian id
				while read -r a b c d; do echo $((a | b << 8 | c << 16 | d << 24)); done
		done
	} | sort -nu
}
# Lines "type name value_bytes entries kernel_bytes" of all maps of the agent.
maps_of_agent() {
	local ids
	ids=$(map_ids | jq -sc .)
	bpftool --json map show | jq -r --argjson ids "$ids" '.[] | select([.id] | inside($ids)) |
		"\(.type) \(.name // "-") \(.bytes_value) \(.max_entries) \(.bytes_memlock // 0)"'
}
possible_cpus() { awk -F'[-,]' '{ print $NF + 1 }' /sys/devices/system/cpu/possible; }
# The kernel's figure, and what it is with CPUS: a per-CPU table has 64 rows a chunk and CPU, so its data
# grows with CPUS / possible; a per-CPU map likewise; the rest stays.
maps_with_cpus() { # CPUS <maps_of_agent
	awk -v cpus="$1" -v now="$(possible_cpus)" '
		{ grows = $1 ~ /^percpu_|^lru_percpu/ || $2 == "cpu_states" || ($2 == "wv_chunk" && $4 > 64)
		  data = $1 ~ /percpu_hash/ ? $5 : $1 ~ /^percpu/ ? int(($3 + 7) / 8) * 8 * $4 * now : int(($3 + 7) / 8) * 8 * $4
		  total += grows ? $5 + data * (cpus / now - 1) : $5
		  if (grows) share += data }
		END { printf "%d %d\n", total, share }'
}
process_memory() { # Rss|Pss
	local p sum=0
	for p in $(agent_pids); do
		sum=$((sum + $(awk -v f="$1:" '$1 == f { print $2 }' "/proc/$p/smaps_rollup")))
	done
	calc "$sum / 1024" %.1f
}
# at_size LABEL N: figures with N cgroups of our own
at_size() {
	local key=$1 n=$2 i before after pids maps
	wait_until 300 few_others || say "  other cgroups on this machine: $(other_cgroups)"
	cgroups_make "$n"
	agent_start
	wait_until 30 known_cgroups "$n" || die "$n cgroups are not known"
	cgroups_use "$n"
	ticks 12
	keep "rss_$key" "$(process_memory Rss)"
	keep "pss_$key" "$(process_memory Pss)"
	maps=$(maps_of_agent)
	keep "maps_$key" "$(awk '{ s += $5 } END { printf "%.2f\n", s / 1048576 }' <<<"$maps")"
	keep "maps16_$key" "$(maps_with_cpus 16 <<<"$maps" | awk '{ printf "%.2f\n", $1 / 1048576 }')"
	keep "maps_percpu_$key" "$(maps_with_cpus 16 <<<"$maps" | awk '{ printf "%.2f\n", $2 / 1048576 }')"
	keep "cgroups_$key" "$(status .cgroups)"
	for ((i = 0; i < 20; i++)); do
		ticks 1
		status '.sense_ns / 1e6' >>"$WORK/tick.$key"
	done
	keep_spread "tick_$key" %.1f <"$WORK/tick.$key"
	wait_quiet
	mapfile -t pids < <(agent_pids)
	before=$(cpu_ticks "${pids[@]}")
	sleep 20
	after=$(cpu_ticks "${pids[@]}")
	keep "idle_cpu_$key" "$(calc "($after - $before) / 20" %.2f)"
	for i in "${pids[@]}"; do
		keep "rss_$(cat "/proc/$i/comm")_$key" \
			"$(awk '$1 == "Rss:" { r = $2 } $1 == "Pss:" { p = $2 } $1 ~ /^(Private|Anon)/ { x[$1] = $2 }
				END { printf "%.1f/%.1f\n", r / 1024, p / 1024 }' "/proc/$i/smaps_rollup")"
	done
	if [ "$key" = large ]; then row_scrape; fi
	agent_stop
	cgroups_remove
}
row_memory() {
	at_size small 0
	at_size medium 100
	at_size large 1000
}

# --- scrape, at 1,000 cgroups: part of the memory row, the same agent

row_scrape() {
	local i pid url=http://127.0.0.1:$PORT/metrics
	for ((i = 0; i < 30; i++)); do
		curl -s -o "$WORK/scrape" -w '%{time_total}\n' "$url" | awk '{ print $1 * 1000 }' >>"$WORK/scrape.ms"
		nap 0.1
	done
	keep_spread scrape_ms %.1f <"$WORK/scrape.ms"
	keep scrape_p95_ms "$(printf %.1f "$(quantile 950 <"$WORK/scrape.ms")")"
	keep scrape_series "$(grep -vc '^#' "$WORK/scrape")"
	keep scrape_bytes "$(calc "$(stat -c %s "$WORK/scrape") / 1e6" %.2f)"
	prometheus-node-exporter --web.listen-address "127.0.0.1:$((PORT + 1))" >/dev/null 2>&1 &
	pid=$!
	at_exit kill "$pid"
	wait_until 10 curl -sf -o /dev/null "http://127.0.0.1:$((PORT + 1))/metrics"
	for ((i = 0; i < 30; i++)); do
		curl -s -o "$WORK/scrape" -w '%{time_total}\n' "http://127.0.0.1:$((PORT + 1))/metrics" | awk '{ print $1 * 1000 }'
		nap 0.1
	done >"$WORK/node.ms"
	keep_spread node_ms %.1f <"$WORK/node.ms"
	keep node_series "$(grep -vc '^#' "$WORK/scrape")"
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

# --- limit: start to first limit; gap over SIGKILL

LIMIT_BYTES=2500000 LIMIT_BURST=65536
limit_config() {
	mkdir -p "$CGROUP2/$NAME" "$ROOT/etc/waveos"
	cat >"$ROOT/etc/waveos/waveos.yaml" <<-YAML
		budgets:
		  - name: bench
		    cgroup: /$NAME
		    network: {egress: 20mbit, burst: 64K}
	YAML
}
has_first_limit() { [ "$(status .first_limit_ns 2>/dev/null)" -gt 0 ]; }
row_limit() {
	local i
	limit_config
	for ((i = 0; i < ${STARTS:-12}; i++)); do
		wait_quiet
		rm -f "$ROOT/run/waveos/snapshot"
		agent_start
		wait_until 10 has_first_limit || die "no limit in force"
		status '.first_limit_ns / 1e6' >>"$WORK/first.ms"
		sed -n 's/.*first figures after \([0-9]*\) ms.*/\1/p' "$WORK/agent.log" >>"$WORK/figures.ms"
		"$BIN" detach --root "$ROOT" >/dev/null
		agent_kill
	done
	keep_spread first_limit %.0f <"$WORK/first.ms"
	keep_spread first_figures %.0f <"$WORK/figures.ms"
	rm -f "$ROOT/etc/waveos/waveos.yaml"
	cgroups_remove
}

limit_counter() {
	bpftool --json map dump pinned "$PINS/maps/limit_state" | jq -r --argjson k "$1" '[.[] | .formatted // . | .value |
		select(.cgroup == $k)][0] | "\(.egress.packets) \(.egress.drop_packets)"'
}
own_cpu_ns() {
	"$BIN" top --once --json --root "$ROOT" | jq --arg p "/$NAME" \
		'[.rows[] | select(.cgroup == $p and .hierarchy != "v1") | .signals.cpu_usage_ns][0] // 0'
}
kernel_cpu_us() { awk '/^usage_usec/ { print $2 }' "$CGROUP2/$NAME/cpu.stat"; }

row_gap() {
	local i key back=0 stalled=0 now last='0 0' cpu last_cpu=0 kernel kernel_first agent_first gap
	limit_config
	key=$(stat -c %i "$CGROUP2/$NAME")
	agent_start
	agent_first=$(own_cpu_ns) # nothing has run there yet
	kernel_first=$(kernel_cpu_us)
	"$TOOLS/limit_gap" "$CGROUP2/$NAME" $LIMIT_BYTES $LIMIT_BURST $((10 * LIMIT_BYTES)) "${GAP_SECONDS:-60}" >"$WORK/gap" &
	gap=$!
	ticks 3
	for ((i = 0; i < 10; i++)); do
		agent_kill
		last=$(limit_counter "$key")
		nap 0.3
		now=$(limit_counter "$key")
		if [ "${now% *}" -lt "${last% *}" ] || [ "${now#* }" -lt "${last#* }" ]; then back=$((back + 1)); fi
		if [ "${now#* }" -le "${last#* }" ]; then stalled=$((stalled + 1)); fi
		agent_start
		grep -q 'adopted running' "$WORK/agent.log" || die "restart $i did not adopt"
		sed -n 's/.*first figures after \([0-9]*\) ms.*/\1/p' "$WORK/agent.log" >>"$WORK/adopt.ms"
		last=$now now=$(limit_counter "$key")
		if [ "${now% *}" -lt "${last% *}" ] || [ "${now#* }" -lt "${last#* }" ]; then back=$((back + 1)); fi
		ticks 1
		cpu=$(own_cpu_ns)
		if [ "$cpu" -lt "$last_cpu" ]; then back=$((back + 1)); fi
		last_cpu=$cpu
	done
	wait "$gap" || die "limit_gap"
	ticks 3 # the sender is gone: both figures stand still
	kernel=$(kernel_cpu_us)
	cpu=$(own_cpu_ns)
	keep gap_back $back
	keep gap_stalled $stalled
	keep gap_windows_over "$(jq .windows_over "$WORK/gap")"
	keep gap_most "$(jq .most_in_window "$WORK/gap")"
	keep gap_ceiling "$(jq .ceiling "$WORK/gap")"
	keep gap_rate "$(jq '.bytes * 8 / .seconds / 1e6 * 100 | round / 100' "$WORK/gap")"
	keep gap_seconds "$(jq '.seconds | round' "$WORK/gap")"
	keep gap_lost_here "$(jq .lost_here "$WORK/gap")"
	keep gap_cpu_error "$(calc "100 * (($cpu - $agent_first) / 1000 / ($kernel - $kernel_first) - 1)" %+.2f)"
	keep_spread adopt %.0f <"$WORK/adopt.ms"
	"$BIN" detach --root "$ROOT" >/dev/null
	agent_kill
	rm -f "$ROOT/etc/waveos/waveos.yaml"
	cgroups_remove
}

# --- programs: what each costs under a mixed load, and what the verifier looked at

mixed_load() { # SECONDS
	(
		cd "$WORK"
		exec timeout "$1" stress-ng --quiet --temp-path "$WORK" --fork 1 --exec 1 --sock 1 --udp 1 --hdd 1 \
			--hdd-bytes 16M --switch 1 --vm 1 --vm-bytes 64M --timeout "$1"
	) >/dev/null 2>&1 || true
}
# --- gate: nanoseconds that a verdict adds

row_gate() {
	local i
	for ((i = 0; i < ${GATE_ROUNDS:-5}; i++)); do BIN=${BIN#"$PWD"/} O=$O tests/bench/gate.sh; done >"$WORK/gate"
	# the heading says what the figure below it is of
	awk '/^==/ { head = $0 } / net of an empty program / { print head "|" $(NF - 1) }' "$WORK/gate" >"$WORK/gate.net"
	awk -F'|' '/connect gate with 2 entries/ { print $2 }' "$WORK/gate.net" | keep_spread gate_connect %.0f
	awk -F'|' '/connect gate with 102 entries/ { print $2 }' "$WORK/gate.net" | keep_spread gate_connect_100 %.0f
	awk -F'|' '/found by its inode/ { print $2 }' "$WORK/gate.net" | keep_spread gate_exec_inode %.0f
	awk -F'|' '/found by its path/ { print $2 }' "$WORK/gate.net" | keep_spread gate_exec_path %.0f
}

# --- policy: a tick of the engine, and replay

row_policy() {
	local i kind n median p99 least most decisions allocated
	for kind in distinct shared heavy; do
		read -r median p99 least < <("$TOOLS/eval_cost" --ticks 300 | awk -v k=$kind '$1 == k { print $2, $3, $4 }')
		keep "eval_${kind}_median" "$median"
		keep "eval_${kind}_p99" "$p99"
	done
	read -r median p99 least most decisions allocated < <("$TOOLS/policy_cost" tick 1000 1000 500)
	keep policy_tick_median "$(calc "$median / 1000" %.2f)"
	keep policy_tick_p99 "$(calc "$p99 / 1000" %.2f)"
	keep policy_tick_least "$(calc "$least / 1000" %.2f)"
	keep policy_tick_most "$(calc "$most / 1000" %.2f)"
	keep policy_tick_decisions "$decisions"
	keep policy_tick_allocated "$allocated"
	for n in 20 100 1000; do
		for ((i = 0; i < 5; i++)); do
			"$TOOLS/policy_cost" replay policies/web-service/policy.yaml $n 3600
		done >"$WORK/replay"
		awk '{ print $2 / $3 }' "$WORK/replay" | keep_spread "replay_$n" %.0f
		keep "replay_bytes_$n" "$(awk '{ print $1; exit }' "$WORK/replay")"
	done
}

row_programs() {
	local load
	limit_config
	agent_start
	wait_until 10 has_first_limit || die "no limit in force"
	mixed_load 14 &
	load=$!
	nap 2
	"$TOOLS/hook_cost" -q "$TOOLS/empty.bpf.o" 10 "$PINS"/progs/* >"$WORK/programs"
	wait "$load"
	status '.programs[] | "\(.name) \(.verified_insns)"' | sort >"$WORK/insns"
	awk '$1 == "empty" { empty = $2 ? $3 / $2 : 0; next }
		{ printf "%s %d %s\n", $1, $2, $2 ? sprintf("%.0f", $3 / $2 - empty) : "-" }' "$WORK/programs" | sort |
		join - "$WORK/insns" >"$RESULTS/programs.table"
	keep programs "$(wc -l <"$WORK/insns")"
	"$BIN" detach --root "$ROOT" >/dev/null
	agent_kill
	rm -f "$ROOT/etc/waveos/waveos.yaml"
	cgroups_remove
}

# LABEL HOOKS PROGRAM INSNS
max_line() { sort -k2,2nr | head -n 1; }
row_verifier() {
	local hooks line label
	: >"$RESULTS/verifier.table"
	for hooks in btf raw; do
		agent_start --set "collect.hooks=$hooks"
		line=$(status '.programs[] | "\(.name) \(.verified_insns)"' | max_line)
		echo "this $(uname -r | cut -d- -f1) $hooks $line $(status '.programs | length')" >>"$RESULTS/verifier.table"
		agent_stop
	done
	for label in ${VM_KERNELS:-5.10 6.1 6.12 newest}; do
		tests/bench/vm.sh "$label" "$WORK/vm" >"$WORK/vm.out" || {
			say "  kernel $label: $(tail -n 1 "$WORK/vm.out")"
			echo "$label - - - - -" >>"$RESULTS/verifier.table"
			continue
		}
		awk -v l="$label" '$1 == "max" { print l, $2, $3, $4, $5, $6 }' "$WORK/vm.out" >>"$RESULTS/verifier.table"
	done
	keep verifier_max "$(awk '$5 != "-" && $5 > m { m = $5 } END { print m }' "$RESULTS/verifier.table")"
	keep verifier_kernels "$(awk '$5 != "-" { print $2 }' "$RESULTS/verifier.table" | sort -u | wc -l)"
}

# --- restart: how long a crashed service is away

row_restart() {
	local socket=$WORK/service.sock folder=/$NAME-service figures
	mkdir -p "$ROOT/etc/waveos"
	cat >"$ROOT/etc/waveos/policy.yaml" <<-YAML
		schema_version: 1
		name: restart
		services:
		  - {name: bench, command: [$PWD/$TOOLS/service_restart, serve, $socket], cgroup: $folder, backoff: 0s}
	YAML
	agent_start
	wait_until 10 test -S "$socket" || die "no service"
	figures=$("$TOOLS/service_restart" measure "$socket" 200) || die "the service did not come back"
	read -r median p99 worst <<<"$figures"
	keep restart_median_us "$median"
	keep restart_p99_us "$p99"
	keep restart_worst_us "$worst"
	"$BIN" detach --root "$ROOT" >/dev/null
	agent_kill
	rm -f "$ROOT/etc/waveos/policy.yaml"
	rmdir "$CGROUP2$folder" 2>/dev/null || true
}
