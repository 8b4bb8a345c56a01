# shellcheck shell=bash
# Writes docs/benchmarks.md from the figures in R. What was not measured is said to be so.

# f KEY: a figure
f() { printf '%s' "${R[$1]:-not measured}"; }
# spread KEY [UNIT]: median (quartiles)
spread() {
	if [ -z "${R[$1]:-}" ]; then
		printf 'not measured'
	else
		printf '%s%s (%s to %s)' "${R[$1]}" "${2:-}" "${R[$1_low]}" "${R[$1_high]}"
	fi
}
# verdict GOAL KEY...: whether all figures are at most the goal
verdict() {
	local goal=$1 key
	shift
	for key in "$@"; do
		if [ -z "${R[$key]:-}" ]; then
			printf 'not measured'
			return
		fi
		if ! awk -v v="${R[$key]}" -v g="$goal" 'BEGIN { exit !(v + 0 <= g + 0) }'; then
			printf '**missed**'
			return
		fi
	done
	printf 'reached'
}
at_least() { # GOAL KEY
	if [ -z "${R[$2]:-}" ]; then
		printf 'not measured'
	elif awk -v v="${R[$2]}" -v g="$1" 'BEGIN { exit !(v + 0 >= g + 0) }'; then
		printf 'reached'
	else
		printf '**missed**'
	fi
}
version_of() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || printf 'absent'; }

machine() {
	cat <<-MD
		Machine: $NCPU CPUs of a shared virtual machine ($(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)),
		$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo) of memory, Linux $(uname -r | cut -d- -f1), cgroup v1 controllers beside a v2 tree.
		gcc $(gcc -dumpfullversion), clang $(clang -dumpversion), libbpf $(version_of libbpf1), perf $(perf --version | cut -d' ' -f3), libbpf-tools $(version_of libbpf-tools),
		bpftrace $(version_of bpftrace), prometheus-node-exporter $(version_of prometheus-node-exporter).
	MD
}

goals() {
	cat <<-MD
		| what | goal | figure | |
		| --- | --- | --- | --- |
		| CPU and run queue collection a context switch, net of an empty program | ≤ 100 ns | $(spread hook_alone ' ns') | $(verdict 100 hook_alone) |
		| slow-down, all collectors: hackbench | ≤ 1 % | $(spread slow_hackbench_agent ' %') | $(verdict 1 slow_hackbench_agent) |
		| slow-down, all collectors: C build | ≤ 1 % | $(spread slow_build_agent ' %') | $(verdict 1 slow_build_agent) |
		| slow-down, all collectors: \`perf bench sched pipe\` on one CPU | ≤ 5 % | $(spread slow_pipe_agent ' %') | $(verdict 5 slow_pipe_agent) |
		| events to user space: uncounted loss at 1 M/s and above | 0 | $(f loss_paced_uncounted), $(f loss_flat_uncounted), $(f loss_stalled_uncounted) | $(verdict 0 loss_paced_uncounted loss_flat_uncounted loss_stalled_uncounted) |
		| agent RSS, sum of its processes (PSS: shared pages once), 1,000 cgroups | ≤ 12 MB (11.44 MiB) | $(f rss_large) MiB ($(f pss_large) MiB) | $(verdict 11.44 rss_large) (PSS: $(verdict 11.44 pss_large)) |
		| map memory at 1,000 cgroups, 16 CPUs, by calculation | ≤ 16 MB (15.26 MiB) | $(f maps16_large) MiB ($(f maps_large) MiB here) | $(verdict 15.26 maps16_large) |
		| start to first enforced limit | ≤ 100 ms | $(spread first_limit ' ms'), worst $(f first_limit_max) | $(verdict 100 first_limit_max) |
		| gap in the limit over SIGKILL and restart | 0 | $(f gap_windows_over) windows over the limit | $(verdict 0 gap_windows_over gap_back gap_stalled) |
		| what a rate limit lets pass, egress and ingress, 1 Mbit/s to 10 Gbit/s, over 10 s | within 2 % | $(f rates_error_max) % off at worst$(rates_not_offered) | $(verdict 2 rates_error_max) |
		| its burst after idling | within 1 packet | $(f rates_train_max) packets off at worst | $(verdict 1 rates_train_max) |
		| crash of a service to its answer (own supervisor), p99 of 200 | ≤ 50 ms | $(f restart_p99_us) us, median $(f restart_median_us), worst $(f restart_worst_us) | $(verdict 50000 restart_p99_us) |
		| rollback of a bundle of $(f rollback_mib) MiB to the last known good, its service restarted, worst of $(f rollback_rounds) | ≤ 1 s | $(f rollback_worst_ms) ms, median $(f rollback_median_ms) | $(verdict 1000 rollback_worst_ms) |
		| log spool, HTTP destination slow, then dead, then back: from the first record sent to the last one delivered | ≥ 200 MB/s | $(spread spool_through ' MB/s') | $(at_least 200 spool_through) |
		| ... records lost | 0 | $(f spool_lost) | $(verdict 0 spool_lost) |
		| breaker: verdict added to a connect; to an exec | ≤ 150 ns | $(spread breaker_connect ' ns'); $(spread breaker_exec ' ns') | $(verdict 150 breaker_connect breaker_exec) |
		| gate: verdict added to a connect (2 entries; 102); to an exec (by inode; by path) | ≤ 150 ns | $(spread gate_connect ' ns'), $(spread gate_connect_100); $(spread gate_exec_inode), $(spread gate_exec_path) | $(verdict 150 gate_connect gate_connect_100 gate_exec_inode gate_exec_path) |
		| breaker: breach to death in the kernel, p99, idle (p50) | ≤ 200 µs | fork $(f breaker_fork_idle_p99) µs ($(f breaker_fork_idle_p50)), exec $(f breaker_exec_idle_p99) µs ($(f breaker_exec_idle_p50)) | $(verdict 200 breaker_fork_idle_p99 breaker_exec_idle_p99) |
		| the same at 2× CPU oversubscription | ≤ 5 ms | fork $(f breaker_fork_busy_p99) µs ($(f breaker_fork_busy_p50)), exec $(f breaker_exec_busy_p99) µs ($(f breaker_exec_busy_p50)) | $(verdict 5000 breaker_fork_busy_p99 breaker_exec_busy_p99) |
		| scrape of 1,000 cgroups | ≤ 10 ms | $(spread scrape_ms ' ms'), p95 $(f scrape_p95_ms) | $(verdict 10 scrape_ms) (p95: $(verdict 10 scrape_p95_ms)) |
		| series of 1,000 cgroups | ≤ 20,000 | $(f scrape_series) | $(verdict 20000 scrape_series) |
		| verifier instructions, any program, any kernel of the matrix | ≤ 100,000 | $(f verifier_max) on $(f verifier_kernels) kernels | $(verdict 100000 verifier_max) |
		| 1,000 rules on 1,000 cgroups, one tick, no allocation | ≤ 10 ms | $(f policy_tick_median) ms, p99 $(f policy_tick_p99), $(f policy_tick_allocated) bytes allocated | $(verdict 10 policy_tick_median policy_tick_p99) |
		| replay, 100 cgroups, one sample a second | ≥ 10,000 × real time | $(spread replay_100 ' ×') | $(at_least 10000 replay_100) |
		| log: tamper-evident events of 256 bytes, 2 threads submit | ≥ 1,000,000/s | $(spread append_rate '/s'), $(f append_cpu) CPUs used | $(at_least 1000000 append_rate) |
		| the same at 1,000,000/s offered: delay to the acknowledgement (on disk), p50 | ≤ 10 ms | $(spread append_p50 ' ms'), p99 $(f append_p99) ms at $(f append_offered_rate)/s | $(verdict 10 append_p50) |
		| log: verify 1,000,000 records of 256 bytes, two threads | ≤ 0.5 s | $(f evidence_verify_s) s ($(f evidence_verify_cpu_s) s of CPU) | $(verdict 0.5 evidence_verify_s) |
		| one inclusion proof, beside the signature | ≤ 50 µs | $(f evidence_proof_us) µs (signature: $(f evidence_signature_us) µs) | $(verdict 50 evidence_proof_us) |
		| GPU profiler: a record of CUPTI, parsed by it (by adding a size), unions and frames included; no GPU | ≤ 40 ns | $(spread gpu_record_cupti ' ns') ($(spread gpu_record)) | $(verdict 40 gpu_record_cupti) |
		| waits of GPU processes: added to a switch of a watched process (with its wakeup); of another one | - | $(spread gpu_wake_watched ' ns'); $(spread gpu_wake_other) | |
	MD
}

bpftrace_figure() {
	if [ -n "${R[bpftrace_reason]:-}" ]; then
		printf 'does not run here: %s' "${R[bpftrace_reason]}"
	else
		spread hook_bpftrace
	fi
}
hook_table() {
	cat <<-MD
		Nanoseconds a switch that the programs of each tool add, from the kernel's BPF statistics (\`run_time_ns\` /
		\`run_cnt\`), less an empty program's on the same switches; each program of a tool counts (for the agent
		\`cpu_switch\` and \`cpu_migrate\`, for the others those on wakeup, too). Median (quartiles) of $(f hook_alone_n) rounds of 3 s with two processes on
		one CPU waking each other. The statistics' own clock reads: an empty program shows $(spread hook_empty ' ns').

		| tool | ns a switch |
		| --- | --- |
		| waveos-bpf, alone | $(spread hook_alone) |
		| waveos-bpf, the others beside it | $(spread hook_ours) |
		| libbpf-tools runqlat, beside it | $(spread hook_runqlat) |
		| bpftrace, the same histogram as a one-liner, beside it | $(bpftrace_figure) |

		The agent counts per cgroup: CPU time, run queue latency histogram, switches, migrations, faults. runqlat and
		the one-liner keep one histogram of the machine.
	MD
}

slow_row() { # WORK TEXT
	printf '| %s (%s s) | %s | %s | %s | %s | %s |\n' "$2" "$(f "base_$1")" "$(spread "slow_$1_agent")" \
		"$(spread "slow_$1_node")" "$(spread "slow_$1_runqlat")" "$(f "slow_$1_agent_n")" "$(f "clean_$1")"
}
slow_cpu_row() { # WORK TEXT
	printf '| %s | %s | %s | %s |\n' "$2" "$(spread "slowcpu_$1_agent")" "$(spread "slowcpu_$1_node")" \
		"$(spread "slowcpu_$1_runqlat")"
}
slowdown_table() {
	cat <<-MD
		Each round runs the work without an agent, with waveos-bpf attached anew, with node_exporter scraped every
		second (no BPF), and with runqlat; every other round in the opposite order. Percent of wall time more than
		without in the same round: median (quartiles). A pair is undisturbed when no other agent was loaded and
		others used less than 15 % of the machine meanwhile; where at least 7 are, only they count. Others used $(spread foreign ' %') of
		it; the work, the agent and the tools ran in one session of autogroup priority $(f priority).

		| work (time without) | waveos-bpf | node_exporter | runqlat | pairs | undisturbed |
		| --- | --- | --- | --- | --- | --- |
		$(slow_row hackbench 'hackbench: perf bench sched messaging -g 5 -l 600')
		$(slow_row build "C build: ${#BUILD_SET[@]} files of this project, twice, gcc -O2")
		$(slow_row pipe 'perf bench sched pipe -l 150000, on one CPU')

		The same by CPU time (user and system) of the work, with the agent's own added: less sensitive to neighbours,
		blind to waiting.

		| work | waveos-bpf | node_exporter | runqlat |
		| --- | --- | --- | --- |
		$(slow_cpu_row hackbench hackbench)
		$(slow_cpu_row build 'C build')
		$(slow_cpu_row pipe pipe)

		And by the clock of the kernel's BPF statistics: run time of all programs of the agent while the work runs (also
		what they do for other processes), net of an empty program, in percent of the CPU time of the work. Precise, and blind to
		what a hook costs around its run. hackbench: $(spread share_hackbench ' %'); C build: $(spread share_build ' %'); pipe: $(spread share_pipe ' %').
	MD
}

loss_row() { # KEY TEXT
	printf '| %s | %s | %s | %s %% | %s | %s |\n' "$2" "$(f "loss_$1_events")" "$(f "loss_$1_rate")" "$(f "loss_$1_dropped")" \
		"$(f "loss_$1_consumed")" "$(f "loss_$1_uncounted")"
}
loss_table() {
	cat <<-MD
		A test program emits events through the agent's ring and counters with the code of every event
		(\`tests/bench/flood.bpf.c\`, \`bpf_prog_test_run\` on all CPUs at once, in competition with the reader for them).
		Uncounted: emitted less consumed less dropped, by the agent's own counters. The ring has 256 KiB.

		| flood | events | M/s | dropped, counted | consumed | uncounted |
		| --- | --- | --- | --- | --- | --- |
		$(loss_row paced 'asked for 1 M/s')
		$(loss_row flat 'as fast as it goes')
		$(loss_row stalled 'as fast as it goes, reader stopped (SIGSTOP), then continued')
	MD
}

memory_table() {
	local key
	cat <<-MD
		| cgroups of our own | observed in all | RSS, sum (MiB) | PSS, sum (MiB) | maps here (MiB) | maps at 16 CPUs (MiB) | tick, ms | CPU when idle |
		| --- | --- | --- | --- | --- | --- | --- | --- |
	MD
	for key in small:0 medium:100 large:1000; do
		printf '| %s | %s | %s | %s | %s | %s | %s | %s %% |\n' "${key#*:}" "$(f "cgroups_${key%:*}")" "$(f "rss_${key%:*}")" \
			"$(f "pss_${key%:*}")" "$(f "maps_${key%:*}")" "$(f "maps16_${key%:*}")" "$(spread "tick_${key%:*}")" \
			"$(f "idle_cpu_${key%:*}")"
	done
	cat <<-MD

		RSS/PSS in MiB at 1,000 cgroups: supervisor $(f rss_waveos-bpf_large), core $(f rss_waveos-core_large), web $(f rss_waveos-web_large). The workers are forks:
		most of their resident pages are the same ones, which the sum of RSS counts three times. Tick: time from the
		start of a sample to its end, median (quartiles) of 20. CPU: share of one CPU over 20 s at a tick of 1 s.

		Maps: bytes that the kernel accounts to every map of the agent, chunks of tables included. At 16 CPUs: a chunk of
		a per-CPU table is an array of 64 rows a CPU, so \`bytes(16) = bytes(here) + data × (16 / possible CPUs here − 1)\`
		over per-CPU tables and per-CPU maps, where data is entries × value size; everything else does not depend on CPUs.
		At 1,000 cgroups data is $(f maps_percpu_large) MiB here.
	MD
}

limit_text() {
	cat <<-MD
		From the start of \`attach\` with nothing pinned to the moment when an egress limit is attached, and to the first
		figures of all collectors: $(spread first_limit ' ms') (worst $(f first_limit_max)) and $(spread first_figures ' ms'), $(f first_limit_n) cold starts.

		SIGKILL of the supervisor (its workers die with it), 0.3 s of nobody, a new agent; ten times while a sender in the
		cgroup offers ten times its 20 Mbit/s (burst 64 KiB) as UDP over loopback, $(f gap_seconds) s in all. In every 100 ms that
		begin at a packet, at most rate × 0.1 s + burst (and one packet) may pass: $(f gap_ceiling) bytes. The most that passed was
		$(f gap_most); $(f gap_windows_over) windows were over; the rate over all was $(f gap_rate) Mbit/s; $(f gap_lost_here) packets were lost at the receiver. Counters that
		went back: $(f gap_back). Times that drops did not go on while no agent lived: $(f gap_stalled). CPU time of the cgroup against the kernel's own
		over all restarts: $(f gap_cpu_error) %. First figures of an agent that adopts: $(spread adopt ' ms') after its start.
	MD
}

# rates_not_offered: which rates the machine could not offer, for the goal's figure
rates_not_offered() {
	local name way
	[ -n "${R[rates_error_max]:-}" ] || return 0
	for name in 1mbit 10mbit 100mbit 1gbit 10gbit; do
		for way in egress ingress; do
			[ -n "${R[rate_${way}_${name}_enough]:-}" ] || printf '; %s %s could not be offered here' "$name" "$way"
		done
	done
}
rates_text() {
	local name way payload depth train key
	cat <<-MD
		UDP over the loopback device of a network namespace of its own, ${RATE_SECONDS:-10} s at each rate, sender (egress) or receiver
		(ingress) in a cgroup with this limit alone. Expected: rate × time + burst, time from the first send to the last.
		Passed: by the kernel's own counter of the limit. Received: by the receiver; what its socket lost is beside it. Bytes
		are those of IP packets. Unused: what the load as it was offered could not have used of the expected, by an exact bucket in
		the sender (its pauses are longer than the burst lasts). Less than 1.1 times the rate, or more than 1 % unused, is not
		counted as offered. Train: after idling, four times its burst back to back passes the burst and what flows in while it
		goes by; the furthest off of $(f rates_trains_n) that were not held up, in packets. (Its first and last packet met the limit at
		some moment of their sends: off is the distance from what these moments allow.)

		| rate | | packet, bytes | burst | offered, of the rate | expected, bytes | passed | received | lost, packets | unused | train: burst | off, packets |
		| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
	MD
	while read -r name way payload depth train; do
		key=rate_${way}_$name
		printf '| %s | %s | %s | %s | %s × | %s | %s %% | %s %% | %s | %s %% | %s | %s |\n' "$name" "$way" $((payload + 28)) "$depth" \
			"$(f "${key}_offered")" "$(f "${key}_nominal")" "$(f "${key}_error")" "$(f "${key}_got_error")" \
			"$(f "${key}_lost")" "$(f "${key}_unused")" "$train" "$(f "${key}_train")"
	done < <([ ! -e "$RESULTS/rates.table" ] || cat "$RESULTS/rates.table")
}

scrape_text() {
	cat <<-MD
		\`curl\` over loopback at $(f cgroups_large) cgroups, 30 times: $(spread scrape_ms ' ms'), p95 $(f scrape_p95_ms) ms, $(f scrape_series) series, $(f scrape_bytes) MB. node_exporter
		here, for scale (another content): $(spread node_ms ' ms') for $(f node_series) series.
	MD
}

spool_text() {
	cat <<-MD
		Records of 256 bytes from one UNIX stream, as fast as the socket takes them, for 8 s (file system of \$TMPDIR); one HTTP output (NDJSON,
		batches of 4 MB on loopback), whose server keeps a bitmap of all records. It pauses 50 ms before each answer for 2 s, is not there for
		4 s, and then answers at once. MB/s of the records' own bytes; durable on disk before they are delivered.

		| phase | taken in | delivered |
		| --- | --- | --- |
		| slow | $(spread spool_slow_in) | bound by the destination |
		| dead | $(spread spool_dead_in) | 0 |
		| back, while records go on coming in | $(spread spool_back_in) | $(spread spool_back_out) |
		| back, nothing coming in any more | | $(spread spool_drain) |
		| all of it, until the last one is delivered | $(spread spool_in) | $(spread spool_through) |

		Lost $(f spool_lost), delivered twice $(f spool_duplicates), never sent $(f spool_foreign) (the worst of $(f spool_through_n) runs); memory at most $(f spool_rss_mb) MB.
	MD
}

verifier_table() {
	cat <<-MD
		The largest program of each kernel by instructions that the verifier looked at, with BTF tracepoints and raw
		tracepoints.

		| kernel | hooks | programs | largest | instructions |
		| --- | --- | --- | --- | --- |
	MD
	while read -r label kernel hooks program insns count; do
		printf '| %s | %s | %s | %s | %s |\n' "$([ "$kernel" = - ] && echo "$label: not in the cache" || echo "$kernel")" \
			"$hooks" "$count" "$program" "$insns"
	done < <(cat "$RESULTS/verifier.table" 2>/dev/null)
}

policy_text() {
	cat <<-MD
		One tick of the engine (\`tests/bench/policy_cost.c\`): 1,000 rules with thresholds of their own (rates, ratios, percentiles, ewma,
		cusum), each on all of 1,000 cgroups whose figures all change; samples into columns, domains, conditions, breakers, blast radius, modes.
		500 ticks: median $(f policy_tick_median) ms, p99 $(f policy_tick_p99), least $(f policy_tick_least), most $(f policy_tick_most); $(f policy_tick_decisions) decisions; $(f policy_tick_allocated) bytes more on the heap after than before.

		The evaluator alone (\`tests/bench/eval_cost.c\`), 1,000 × 1,000, us a tick:

		| policy | median | p99 |
		| --- | --- | --- |
		| every rule with thresholds, half-lives and windows of its own | $(f eval_distinct_median) | $(f eval_distinct_p99) |
		| rules that differ in their thresholds | $(f eval_shared_median) | $(f eval_shared_p99) |
		| every rule with a window, an ewma and a cusum of its own | $(f eval_heavy_median) | $(f eval_heavy_p99) |

		Replay of an hour at one sample a second, a fifth of the cgroups busy in each, policy web-service; file read, inflated and evaluated;
		times real time, 5 runs:

		| cgroups | times real time | bytes a sample |
		| --- | --- | --- |
		| 20 | $(spread replay_20) | $(f replay_bytes_20) |
		| 100 | $(spread replay_100) | $(f replay_bytes_100) |
		| 1,000 | $(spread replay_1000) | $(f replay_bytes_1000) |

		That a replay decides the same is a test: \`tests/host/45-policy.sh\`.
	MD
}

programs_table() {
	cat <<-MD
		Ten seconds of stress-ng (fork, exec, sockets, UDP, disk, switches, memory) on this kernel. ns: mean, net of an empty
		program. Programs without runs had no occasion.

		| program | runs | ns a run | verifier instructions |
		| --- | --- | --- | --- |
	MD
	while read -r name runs ns insns; do
		printf '| %s | %s | %s | %s |\n' "$name" "$runs" "$ns" "$insns"
	done < <(cat "$RESULTS/programs.table" 2>/dev/null)
}

document() {
	cat <<-MD
		# Benchmarks

		Written by \`make bench\` (root). \`make bench ROWS="hook slowdown"\` measures these rows anew and keeps the rest;
		rows: ${ALL_ROWS[*]}. Do not edit: the text is in \`tests/bench/document.sh\` and \`limits.md\`.

		$(machine)

		The CPUs are shared with other work of this machine and with other machines of its host: expect noise of
		several percent in every wall-clock figure. Median (lower to upper quartile) unless said otherwise.

		## Goals

		$(goals)

		$(cat tests/bench/limits.md)

		## A context switch

		$(hook_table)

		## Slow-down

		$(slowdown_table)

		## Events to user space

		$(loss_table)

		## Memory, tick, idle CPU

		$(memory_table)

		## Limits: start and restart

		$(limit_text)

		## Rates

		$(rates_text)

		## Scrape

		$(scrape_text)

		## Log spool

		$(spool_text)

		## Verifier

		$(verifier_table)

		## Policy

		$(policy_text)

		## Every program under a mixed load

		$(programs_table)
	MD
}
