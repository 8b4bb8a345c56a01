#!/bin/bash
# The queue of jobs with real processes on a declared topology of four GPUs: gang, priority, preemption and a checkpoint,
# cancel, kill -9 of the agent in between, CPUs, rights. There is no GPU in this.
# limit: 120
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || skip "jobs run as their users: that takes root"
fixtures=$(realpath "$(dirname "$0")/../fixtures/gpu/topo")
chmod 711 "$TMP"
mkdir -m 777 "$TMP/work"
cp "$BIN" "$TMP/waveos-bpf"
cd "$TMP/work" || exit 1
umask 022

# what this machine has stands for two NUMA nodes
read -r cpu0 cpu1 <<<"$(python3 -c 'import os; c = sorted(os.sched_getaffinity(0)); print(c[0], c[-1])')"
jq --arg a "$cpu0" --arg b "$cpu1" '.nodes[0].cpus = $a | .nodes[1].cpus = $b' "$fixtures/pcie-4.json" >"$TMP/topology.json"

cat >train.py <<'PY'
# counts steps; saves and leaves with 75 when it is told to, as docs/gpu-python.md has it, one by the package itself; ends when
# the file `finish-NAME` is there
import json, os, signal, sys, time
name, asked = sys.argv[1], []
folder = os.environ["WAVEOS_CHECKPOINT_DIR"]
if name == "long":
    import waveos
    requested, leave = waveos.checkpoint_requested, waveos.exit_preempted
    folder = waveos.checkpoint_dir()
else:
    signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
    requested, leave = lambda: asked, lambda: sys.exit(75)
state = os.path.join(folder, "state")
step = int(open(state).read()) if os.path.exists(state) else 0
print(json.dumps({"name": name, "begin": step, "start": os.environ["WAVEOS_JOB_START"], "uid": os.getuid(),
                  "gpus": os.environ["CUDA_VISIBLE_DEVICES"].split(",")}), flush=True)
while not os.path.exists("finish-" + name):
    time.sleep(0.02)
    step += 1
    with open("step-" + name, "w") as f:
        f.write(str(step))
    if requested():
        with open(state, "w") as f:
            f.write(str(step))
        leave()
print("done", flush=True)
PY

jobs() { "$TMP/waveos-bpf" gpu jobs "$1" --root "$ROOT" "${@:2}"; }
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$TMP/waveos-bpf" gpu jobs "$1" --root "$ROOT" "${@:2}"; }
submit() { jobs submit "$@"; }
# show ID FILTER: a jq filter holds of a job
show() { jobs show "$1" --json 2>/dev/null | jq -e "$2" >/dev/null 2>&1; }
value() { jobs show "$1" --json | jq -r "$2"; }
state() { show "$1" ".state == \"$2\""; }
refused() { # STATUS COMMAND...
	local want=$1 status=0
	shift
	"$@" >"$TMP/refused" 2>&1 || status=$?
	[ $status -eq "$want" ] || fail "$*: status $status, not $want: $(cat "$TMP/refused")"
	[ -s "$TMP/refused" ] || fail "$*: says nothing"
}
moving() { # NAME: it makes steps
	local before
	before=$(cat "step-$1" 2>/dev/null) || return 1
	[ "${before:-0}" -gt 3 ] # empty while it is being written
}
begin() {
	agent_start --set gpu.jobs=true --set gpu.topology="$TMP/topology.json" --set gpu.jobs_grace=3s --set gpu.jobs_min_run=0s \
		--set gpu.enabled=off
	wait_until 10 jobs list >/dev/null 2>&1 || fail "nobody answers"
}
at_exit jobs_end
jobs_end() {
	local p pid
	for p in "$ROOT"/var/lib/waveos/gpu-jobs/*.process; do
		pid=$(jq -r .pid "$p") && kill -KILL -- "-$pid"
	done
}

refused 1 jobs list
begin
jobs list --json | jq -e '.gpus == 4 and .gpus_free == 4 and .jobs == []' >/dev/null || fail "an empty queue"

# bad input
refused 2 submit --gpus 5 -- true
refused 2 submit --gpus 0 -- true
refused 2 submit --gpus four -- true
refused 2 submit --priority 101 -- true
refused 2 submit --time never -- true
refused 2 submit
refused 2 jobs show 1
refused 2 jobs cancel x
refused 4 as_nobody submit --priority 1 -- true
echo "ok   bad input is refused"

# gang: three have their GPUs, two more do not fit beside them and wait for both
long=$(submit --gpus 3 --name long --checkpoint-dir "$PWD/ck-long" -- python3 train.py long)
gang=$(submit --gpus 2 --name gang --checkpoint-dir "$PWD/ck-gang" -- python3 train.py gang)
wait_until 10 moving long || fail "the first does not run: $(cat waveos-job-"$long".log; jobs show "$long")"
state "$gang" queued || fail "a gang of two started with one GPU free"
jobs list --json | jq -e '.gpus_free == 1 and ([.jobs[].state] == ["running", "queued"])' >/dev/null || fail "list: $(jobs list)"
head -1 "waveos-job-$long.log" | jq -e '(.gpus | length) == 3 and .uid == 0 and .begin == 0' >/dev/null || fail "its output: $(cat "waveos-job-$long.log")"
echo "ok   a gang waits for all of its GPUs"

# another user's, on the GPU that is left and its node's CPU
small=$(cd "$TMP/work" && as_nobody submit --gpus 1 --name small --checkpoint-dir ck-small -- python3 train.py small)
wait_until 10 moving small || fail "nobody's job does not run: $(jobs list; cat waveos-job-"$small".log)"
head -1 "waveos-job-$small.log" | jq -e '.uid == 65534 and (.gpus | length) == 1' >/dev/null || fail "not as its user"
[ "$(stat -c %u "waveos-job-$small.log" ck-small | sort -u)" = 65534 ] || fail "files of another user"
pid=$(value "$small" .pid)
gpu=$(value "$small" '.gpus[0]')
want=$([ "$gpu" -lt 2 ] && echo "$cpu0" || echo "$cpu1")
grep -qE "^Cpus_allowed_list:[[:space:]]$want\$" "/proc/$pid/status" || fail "CPUs: $(grep Cpus_allowed_list "/proc/$pid/status"), not $want"
pinned=$(value "$small" .pinned_by)
[ "$pinned" = cpuset ] || [ "$pinned" = affinity ] || fail "pinned by $pinned"
if [ "$pinned" = cpuset ]; then
	grep -q "/waveos-jobs/job-$small-" "/proc/$pid/cgroup" || fail "its cgroups: $(cat "/proc/$pid/cgroup")"
fi
grep -q '^Groups:[[:space:]]*$' "/proc/$pid/status" || fail "groups: $(grep Groups "/proc/$pid/status")"
grep -q '^CapEff:[[:space:]]*0*$' "/proc/$pid/status" || fail "capabilities"
[ "$(find "/proc/$pid/fd" -lname '*waveos*gpu-jobs*' | wc -l)" = 0 ] || fail "files of the agent went along"
echo "ok   runs as its user, on the CPUs of its GPU ($pinned)"

# strangers
refused 4 as_nobody cancel "$long"
refused 4 as_nobody preempt "$long"
as_nobody show "$long" --json | jq -e '.command == null and .cwd == null and .pid == null' >/dev/null || fail "a stranger sees the command"
as_nobody show "$small" --json | jq -e '.command[0] == "python3" and .env == null' >/dev/null || fail "its user does not see it"
[ "$(stat -c %a "$ROOT/var/lib/waveos/gpu-jobs")" = 700 ] || fail "everybody reads the journal"
echo "ok   strangers change and see nothing"

# a higher priority takes GPUs away from whom it costs least; who had to leave goes on from its checkpoint
urgent=$(submit --gpus 1 --priority 10 --name urgent -- sh -c 'while [ ! -e finish-urgent ]; do sleep 0.05; done')
wait_until 10 state "$urgent" running || fail "the urgent one waits: $(jobs list)"
left=$(for j in "$long" "$small"; do show "$j" '.preemptions == 1' && echo "$j"; done)
[ "$left" = "$small" ] || fail "preempted: '$left', not $small: $(jobs list)"
saved=$(cat ck-small/state) || fail "no checkpoint"
[ "$saved" -gt 3 ] || fail "no checkpoint"
touch finish-urgent
wait_until 10 state "$urgent" ended || fail "it does not end: $(jobs list)"
wait_until 10 show "$small" '.state == "running" and .starts == 2' || fail "not begun again: $(jobs list)"
wait_until 10 grep -q '"start": "2"' "waveos-job-$small.log" || fail "no output"
grep '"start": "2"' "waveos-job-$small.log" | jq -e --argjson s "$saved" '.begin == $s' >/dev/null || fail "it began at $(tail -1 "waveos-job-$small.log"), not $saved"
echo "ok   priority preempts, the job goes on from its checkpoint"

# the agent is killed; meanwhile one job goes on and another ends
pid=$(value "$long" .pid)
agent_kill
kill -0 "$pid" || fail "the job died with the agent"
touch finish-small
wait_until 10 grep -q "done" "waveos-job-$small.log" || fail "the other one does not end"
begin
state "$long" running && [ "$(value "$long" .pid)" = "$pid" ] || fail "not adopted: $(jobs list)"
show "$long" '.starts == 1' || fail "started again"
wait_until 5 show "$small" '.state == "ended" and .status == 0' || fail "its end was not heard of: $(jobs list --all)"
echo "ok   kill -9 of the agent: jobs go on, an end meanwhile is known"

# by hand: held until resumed, also over a kill in the middle of it, and a journal that is begun anew as it has grown large
jobs preempt "$long"
agent_kill
journal=$ROOT/var/lib/waveos/gpu-jobs/journal.jsonl
awk 'BEGIN {for (i = 0; i < 1200; i++) printf "{\"x\":\"%01000d\"}\n", i}' >>"$journal"
begin
wait_until 15 state "$long" held || fail "not held: $(jobs list)"
[ "$(stat -c %s "$journal")" -lt 100000 ] && head -1 "$journal" | grep -q '"event":"base"' || fail "the journal: $(stat -c %s "$journal") bytes"
agent_kill
begin
state "$long" held || fail "held no more: $(jobs list)"
saved=$(cat ck-long/state) || fail "no checkpoint"
wait_until 10 state "$gang" running || fail "the gang has room now: $(jobs list)"
refused 1 jobs preempt "$long"
jobs resume "$long"
state "$long" queued || fail "not queued"
touch finish-gang
wait_until 10 state "$gang" ended || fail "$(jobs list)"
wait_until 10 show "$long" '.state == "running" and .starts == 2' || fail "not resumed: $(jobs list)"
wait_until 10 grep -q '"start": "2"' "waveos-job-$long.log" || fail "no output"
grep '"start": "2"' "waveos-job-$long.log" | jq -e --argjson s "$saved" '.begin == $s' >/dev/null || fail "it began elsewhere"
echo "ok   preempt and resume by hand"

# its keeper and it die: lost, and as it can go on it is begun again; what is left of it is killed first
pid=$(value "$long" .pid)
kill -9 "$(jq -r .keeper "$ROOT/var/lib/waveos/gpu-jobs/$long.process")"
wait_until 10 show "$long" '.state == "running" and .starts == 3' || fail "not begun again: $(jobs list)"
! kill -0 "$pid" 2>/dev/null || fail "two of it run"
echo "ok   a lost job is begun again, once what was left is gone"

# cancel: one that does not listen is killed with all that it started
deaf=$(submit --gpus 1 --name deaf -- sh -c 'trap "" TERM USR1; setsid sleep 1000 & echo $! >deaf.child; while :; do sleep 0.1; done')
wait_until 10 test -s deaf.child || fail "it does not run"
refused 1 jobs preempt "$deaf"
waits=$(submit --gpus 4 -- true)
jobs cancel "$waits"
state "$waits" cancelled || fail "a waiting one: $(jobs list --all)"
jobs cancel "$long"
jobs cancel "$deaf"
refused 1 jobs cancel "$deaf"
wait_until 5 state "$long" cancelled || fail "$(jobs list)"
wait_until 20 state "$deaf" cancelled || fail "the deaf one: $(jobs list)"
! kill -0 "$(cat deaf.child)" 2>/dev/null || fail "a child is left"
jobs list --json | jq -e '.gpus_free == 4 and .jobs == []' >/dev/null || fail "left: $(jobs list)"
echo "ok   cancel"

# the worker is killed again and again while jobs come and go: each runs once, and no GPU belongs to two
cat >once.sh <<'SH'
exec 9>"once-$WAVEOS_JOB_ID"
flock -n 9 && [ ! -s "once-$WAVEOS_JOB_ID" ] || echo "$WAVEOS_JOB_ID" >>twice
echo ran >&9
fd=10
for gpu in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do
	eval "exec $fd>gpu-$gpu"
	flock -n $fd || echo "$gpu" >>twice
	fd=$((fd + 1))
done
sleep 0.3
SH
submit_one() {
	local id
	id=$(submit --gpus "$1" -- bash once.sh 2>/dev/null) && ids+=("$id")
}
worker() { pgrep -P "$AGENT" -x waveos-jobs; }
ids=()
for n in 1 2 1 3 1 2 4 1 1 2; do
	wait_until 20 submit_one "$n" || fail "submit"
	before=$(worker) && kill -9 "$before"
	wait_until 20 eval '[ "$(worker)" != "$before" ] && [ -n "$(worker)" ]' || fail "no new worker"
done
idle() { jobs list --json 2>/dev/null | jq -e '.jobs == []' >/dev/null; }
wait_until 30 idle || fail "they do not end: $(jobs list)"
for id in "${ids[@]}"; do show "$id" '.state == "ended" and .status == 0' || fail "$(jobs list --all)"; done
[ ! -e twice ] || fail "twice: $(cat twice)"
[ "$(ls once-* | wc -l)" -ge 10 ] || fail "some did not run"
echo "ok   ten kills of the worker: each job ran once"

# a kill between the event and the start of the process: it never ran, and is begun now, though it has no checkpoint
agent_kill
state=$ROOT/var/lib/waveos/gpu-jobs
last=${ids[-1]}
new=$((last + 1))
cp "$state/$last.task" "$state/$new.task"
{
	grep '"event":"submitted"' "$journal" | tail -1 | jq -c --argjson id $new '.id = $id | .n_gpus = 1'
	grep '"event":"started"' "$journal" | tail -1 | jq -c --argjson id $new '.id = $id | .gpus = 1'
} >>"$journal"
begin
wait_until 10 state "$new" ended || fail "not begun: $(jobs list --all)"
[ -s "once-$new" ] && show "$new" '.status == 0' || fail "it did not run: $(jobs show "$new")"
grep "\"event\":\"lost\",\"id\":$new," "$journal" | jq -e '.flag == 1' >/dev/null || fail "not lost in between"
echo "ok   what never ran is begun again"

# what a job leaves behind ends with it, also what left its process group
rest=$(submit -- sh -c 'setsid sleep 1000 & echo $! >rest.child')
wait_until 10 state "$rest" ended || fail "$(jobs list)"
! kill -0 "$(cat rest.child)" 2>/dev/null || fail "a child is left"

# what cannot be started says so
bad=$(submit -- /nonexistent/command)
wait_until 10 show "$bad" '.state == "ended" and .status == 127 and (.why | test("command: No such file"))' || fail "$(jobs show "$bad")"
bad=$(as_nobody submit --output /root/x.log -- true)
wait_until 10 show "$bad" '.state == "ended" and .status == 126 and (.why | test("output file"))' || fail "$(jobs show "$bad")"

# all of it is in the device's log, and no cgroup and file is left
for event in submitted started preempting preempted resumed cancelling cancelled ended lost; do
	grep -q "\"event\":\"$event\".*\"type\":\"gpu-job\"" "$ROOT"/var/lib/waveos/log/events.jsonl || fail "no record of $event"
done
agent_stop
! grep -q Sanitizer "$TMP/agent.log" || fail "a sanitizer found something"
! compgen -G "$ROOT/var/lib/waveos/gpu-jobs/*.process" >/dev/null || fail "files are left"
echo "ok   records"
