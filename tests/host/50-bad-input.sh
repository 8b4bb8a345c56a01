#!/bin/bash
# Bad input: one clear line, the documented exit code, nothing half applied.
. "$(dirname "$0")/lib.sh"

# expect CODE REGEX COMMAND...: the exit code, and one line on stderr that matches
expect() {
	local code=$1 regex=$2 status=0
	shift 2
	timeout 20 "$@" >"$TMP/out" 2>"$TMP/err" || status=$?
	[ "$status" -eq "$code" ] || fail "exit $status instead of $code: $* ($(cat "$TMP/err"))"
	grep -qE "$regex" "$TMP/err" || fail "no /$regex/ in: $(cat "$TMP/err") ($*)"
}
attach=("$BIN" attach --root "$ROOT" --for 1s --set metrics.listen= --set agent.log_format=text)
yaml() { cat >"$TMP/c.yaml"; }

expect 2 "unknown verb 'atach'" "$BIN" atach
expect 2 "unrecognized option" "$BIN" attach --no-such
expect 2 "takes no operand" "$BIN" attach extra
expect 2 "30s or 5m" "$BIN" attach --for soon
yaml <<<$'agent:\n  tik: 1s'
expect 2 "c.yaml:2:[0-9]+: .*'tik'.*'?tick" "${attach[@]}" --config "$TMP/c.yaml"
yaml <<<$'collect:\n  max_cgroups: many'
expect 2 "c.yaml:2:[0-9]+: .*max_cgroups" "${attach[@]}" --config "$TMP/c.yaml"
yaml <<<$'collect:\n  max_cgroups: 99999999'
expect 2 "c.yaml:2:[0-9]+: .*16384" "${attach[@]}" --config "$TMP/c.yaml"
yaml <<<$'agent: [unclosed'
expect 2 "c.yaml:[0-9]+:[0-9]+: " "${attach[@]}" --config "$TMP/c.yaml"
expect 2 "nosuch.yaml" "${attach[@]}" --config "$TMP/nosuch.yaml"
expect 2 "SECTION.KEY=VALUE" "${attach[@]}" --set nonsense
expect 2 "metrics.listen" "${attach[@]}" --set metrics.listen=not-an-address
[ ! -e "$ROOT/sys/fs/bpf/waveos" ] || fail "bad input left pins"

# a budget for a cgroup that does not exist: the agent says so and waits for it
yaml <<<$'budgets:\n  - {cgroup: /wvtest-nowhere, pids: {max: 5}}'
timeout 20 "${attach[@]}" --config "$TMP/c.yaml" 2>"$TMP/err" || fail "a budget without cgroup: exit $?"
grep -q "wvtest-nowhere" "$TMP/err" || fail "nothing is said about a budget that matches no cgroup: $(cat "$TMP/err")"

# the port is in use
python3 -c 'import socket, time; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(30)' >"$TMP/port" &
at_exit kill $!
wait_until 5 test -s "$TMP/port"
port=$(cat "$TMP/port")
expect 4 "metrics.listen=127.0.0.1:$port.*in use" "$BIN" attach --root "$ROOT" --for 1s --set agent.log_format=text \
	--set "metrics.listen=127.0.0.1:$port"

# a second agent
agent_start
expect 4 "another agent \(pid $AGENT\)" "${attach[@]}"
agent_stop

# without rights
if command -v setpriv >/dev/null; then
	open=$(mktemp -d /tmp/waveos-open.XXXXXX) # where another user may look and write
	at_exit rm -rf "$open"
	chmod 777 "$open"
	install -m 755 "$BIN" "$open/waveos-bpf"
	nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups "$open/waveos-bpf" attach --set metrics.listen=
		--set agent.log_format=text --root)
	mkdir -m 700 "$open/closed"
	expect 4 "root|denied" "${nobody[@]}" "$open/closed"
	expect 4 "CAP_BPF|root" "${nobody[@]}" "$open/root"
fi

# the state folder is read-only, or full: the agent observes on, says so and counts what it could not write
mkdir -p "$TMP/full/var/lib/waveos" "$TMP/full/run"
mount -t tmpfs -o size=64k tmpfs "$TMP/full/var/lib/waveos"
at_exit umount -l "$TMP/full/var/lib/waveos"
dd if=/dev/zero of="$TMP/full/var/lib/waveos/fill" bs=1k count=100 2>/dev/null || true
ROOT=$TMP/full
agent_start --set agent.tick=200ms
rows | jq -e '.rows | length > 0' >/dev/null || fail "no figures with a full disk"
agent_stop
mount -o remount,ro "$TMP/full/var/lib/waveos"
agent_start --set agent.tick=200ms
grep -qiE 'read-only' "$TMP/agent.log" || fail "a read-only state folder is not mentioned"
rows | jq -e '.rows | length > 0' >/dev/null || fail "no figures with a read-only state folder"
agent_stop

# no agent: status and top say so
expect 1 "no agent" "$BIN" status --root "$TMP/nowhere"
expect 1 "no agent" "$BIN" top --once --root "$TMP/nowhere"
