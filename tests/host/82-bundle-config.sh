#!/bin/bash
# Configuration by bundle: the agent starts itself again in place, with the same process, lock and BPF set and the
# time that --for has left; settings that do not parse or with which it does not start are taken back.
. "$(dirname "$0")/lib.sh"

cd "$TMP"
B() { "$BIN" bundle "$@"; }
status() { B status --json --root "$ROOT"; }
state_of() { status | jq -r --arg n "$1" --arg v "$2" '.slots[] | select(.name == $n) | .bundles[] | select(.version == $v) | .state'; }
is() { [ "$(state_of "$1" "$2")" = "$3" ]; }
install() { # WANTED FILE [OPTIONS]
	local wanted=$1 rc=0
	shift
	B install --root "$ROOT" "$@" >said 2>&1 || rc=$?
	[ "$rc" -eq "$wanted" ] || fail "install $*: exit $rc, not $wanted: $(cat said) $(status)"
}
B keygen -o alice >/dev/null
B root init -o root.json --key alice=alice.pub.pem --role all=alice:1 >/dev/null
B sign root.json --key alice.pem >/dev/null
B root pin root.json --root "$ROOT" >/dev/null

# config COUNTER TICK [MORE SETTINGS [LINES OF SPEC]]: config-<counter>.wvb
config() {
	local n=$1
	mkdir -p "cfg$n/files"
	printf 'agent: {tick: %s}\nmetrics: {listen: "%s"}\n%s\n' "$2" "${LISTEN:-}" "${3:-}" >"cfg$n/files/waveos.yaml"
	shift 2
	[ $# -eq 0 ] || shift
	{
		printf 'kind: config\nname: settings\nversion: 1.0.%s\ncounter: %s\nenvironments: [dev]\n' "$n" "$n"
		printf 'trial: {for: 300ms, boots: 3}\n'
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"cfg$n/bundle.yaml"
	B build --dir "cfg$n" -o "config-$n.wvb" --sign alice.pem >/dev/null
}
state_json() { "$BIN" status --json --root "$ROOT"; }
tick_ms() { state_json | jq '.tick_interval_ns / 1e6 | floor'; }
ticks() { [ "$(tick_ms)" = "$1" ]; }
# all but BPF maps and links: an agent that loads its set has others of these than one that adopts it, and maps go with the
# number of cgroups on this machine
descriptors() { find "/proc/$AGENT/fd" -mindepth 1 -printf '%l\n' | grep -vcE '^anon_inode:bpf[-_](map|link)$'; }
again() { grep -c 'starting again in place' "$TMP/agent.log" || true; }
start() { # [OPTIONS]: without the settings that lib.sh gives, which would win over a bundle's
	rm -f "$TMP/agent.log"
	"$BIN" attach --root "$ROOT" --set agent.log_format=text "$@" 2>"$TMP/agent.log" &
	AGENT=$!
	wait_until 20 agent_ready || fail "the agent did not start"
	born=$(awk '{print $22}' "/proc/$AGENT/stat")
	arguments=$(tr '\0' ' ' <"/proc/$AGENT/cmdline")
}
same_process() {
	[ "$(awk '{print $22}' "/proc/$AGENT/stat")" = "$born" ] || fail "$1: it is another process"
	[ "$(cat "/proc/$AGENT/comm")" = waveos-bpf ] || fail "$1: it is called $(cat "/proc/$AGENT/comm")"
	[ "$(tr '\0' ' ' <"/proc/$AGENT/cmdline")" = "$arguments" ] || fail "$1: it has other arguments"
	[ "$(cut -f1 "$ROOT/run/waveos/lock")" = "$AGENT" ] || fail "$1: the lock is another's"
}
worker() { state_json | jq -c '[.. | objects | select(.name? == "core") | .pid?]'; }

top=wvtest-bundlecfg-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/policy.yaml" <<-YAML
	schema_version: 1
	name: held
	budgets:
	  - {name: few, cgroup: /$top,  network: {connects: 1, burst_connects: 1}}
YAML
# connects as fast as they can be made: one a second gets through, also while the agent starts again
hold() (
	echo "$BASHPID" >"$dir/cgroup.procs"
	while [ ! -e stop ]; do
		said=$( { : >/dev/tcp/127.0.0.1/9; } 2>&1) || true
		if [[ $said == *permitted* ]]; then echo held; else echo through; fi
	done >>holds
)
tries() { grep -c "$1" holds || true; }
printf 'agent: {tick: 200ms}\nmetrics: {listen: ""}\n' >"$ROOT/etc/waveos/waveos.yaml"
begin=$SECONDS
# what an orderly end would take away stays while it starts again
start --for 30s --set agent.on_exit=detach
ticks 200 || fail "tick at the start: $(tick_ms)"
before=$(descriptors)
: >holds
hold &
holder=$!
since=$SECONDS
wait_until 10 grep -q held holds || fail "the budget is not in force: $(head -n 3 holds)"

# 1. taken at once, without a hook that says so
config 1 300ms '' 'health: [{kind: agent, every: 100ms, within: 3s, failures: 5}]'
install 0 --wait --timeout 40s config-1.wvb
is settings 1.0.1 confirmed || fail "1: $(status) $(cat said)"
same_process "new settings"
ticks 300 || fail "tick is $(tick_ms) ms, not 300"
[ "$(again)" -eq 1 ] || fail "it started again $(again) times"
grep -q 'adopted running' "$TMP/agent.log" || fail "the BPF set was not adopted"
[ "$(descriptors)" -le $((before + 4)) ] || fail "descriptors: $before before, $(descriptors) now"

touch stop
wait $holder
[ "$(tries through)" -le $((SECONDS - since + 4)) ] || fail "the budget was not in force all the time: $(tries through) connects in $((SECONDS - since)) s"
echo "budget: $(tries held) connects refused, $(tries through) let through in $((SECONDS - since)) s"

# 2. what does not parse is refused, and nothing is stopped; nor is it for a policy that cannot be read
core=$(worker)
config 3 never
install 1 --wait --timeout 40s config-3.wvb
grep -q 'refused' said || fail "it does not say that it is refused: $(cat said)"
is settings 1.0.3 rolled-back || fail "3: $(status)"
config 4 500ms "policy: {file: $TMP/nowhere.yaml}"
install 1 --wait --timeout 40s config-4.wvb
is settings 1.0.4 rolled-back || fail "4: $(status)"
is settings 1.0.1 confirmed || fail "1 after refusals: $(status)"
[ "$(again)" -eq 1 ] || fail "it started again for settings that are refused"
[ "$(worker)" = "$core" ] || fail "core was restarted for settings that are refused"
ticks 300 || fail "tick after refusals: $(tick_ms)"

# 3. bad health: back, with the settings
config 5 600ms '' "health: [{kind: file-fresh, target: $TMP/never, every: 50ms, within: 100ms, failures: 2}]"
install 1 --wait --timeout 40s config-5.wvb
is settings 1.0.5 rolled-back || fail "5: $(status)"
is settings 1.0.1 confirmed || fail "1 after 5: $(status)"
wait_until 10 ticks 300 || fail "tick after a rollback: $(tick_ms)"
same_process "a rollback"

# 4. they parse, and the agent does not start with them: the former ones, in the same process
python3 -c 'import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True); sys.stdin.read()' <> <(:) >port &
taken=$!
at_exit kill $taken
wait_until 10 test -s port
LISTEN=127.0.0.1:$(cat port) config 6 700ms
install 1 --wait --timeout 40s config-6.wvb
grep -q 'does not start' said || fail "it does not say why: $(cat said)"
is settings 1.0.6 rolled-back || fail "6: $(status)"
is settings 1.0.1 confirmed || fail "1 after 6: $(status)"
wait_until 10 ticks 300 || fail "tick after a start that failed: $(tick_ms)"
same_process "a start that failed"

# 5. by hand to nothing: the owner's file
B rollback --to-nothing --root "$ROOT" config/settings >said 2>&1 || fail "rollback: $(cat said)"
wait_until 10 ticks 200 || fail "tick without a bundle: $(tick_ms)"
same_process "no bundle"

# 6. the time of --for goes on where it was
n=$(again)
wait "$AGENT" || fail "the agent ended with status $?"
AGENT=
echo "ended after $((SECONDS - begin)) s, $n starts in place"
[ $((SECONDS - begin)) -ge 29 ] && [ $((SECONDS - begin)) -le 34 ] || fail "--for 30s took $((SECONDS - begin)) s"

# 7. told to end while it starts again
start
config 7 400ms
install 0 config-7.wvb
wait_until 10 grep -q 'starting again in place' "$TMP/agent.log" || fail "it does not start again"
agent_stop

# 8. with a file named by hand a bundle changes nothing, and that is told
cp "$ROOT/etc/waveos/waveos.yaml" own.yaml
B rollback --to-nothing --root "$ROOT" config/settings >said 2>&1 || fail "rollback: $(cat said)"
start --config own.yaml
config 8 400ms
install 1 --wait --timeout 40s config-8.wvb
is settings 1.0.8 rolled-back || fail "8: $(status)"
ticks 200 || fail "tick with --config: $(tick_ms)"
agent_stop
