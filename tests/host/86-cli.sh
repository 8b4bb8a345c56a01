#!/bin/bash
# Verbs around a running agent: config, dump, events, top --at, doctor --bundle; and outputs that break.
. "$(dirname "$0")/lib.sh"
mkdir -p "$ROOT/etc/waveos"
config() { "$BIN" config "$@" --root "$ROOT"; }
status_is() { # STATUS COMMAND...
	local want=$1 rc=0
	shift
	"$@" >"$TMP/out" 2>"$TMP/err" || rc=$?
	[ $rc -eq "$want" ] || fail "$*: status $rc, not $want: $(cat "$TMP/out" "$TMP/err")"
}

# --- settings: value and origin, option over environment over file over default
cat >"$ROOT/etc/waveos/waveos.yaml" <<-END
	agent:
	  tick: 500ms
	  log_level: info
	record:
	  interval: 1s
	update:
	  url: https://robot:Tr0ub4dor-and-3@updates.example.org/prod
	heartbeats:
	  - {name: app, file: /run/app.beat, cgroup: /app, every: 10s}
	evidence: {segment_size: 64K, compress: 3}
END
origin() { # NAME: "value origin place"
	jq -r --arg n "$1" '.settings[] | select(.name == $n) | "\(.value) \(.origin) \(.place)"' "$TMP/show"
}
WAVEOS_AGENT_LOG_LEVEL=debug WAVEOS_RECORD_INTERVAL=3s config show --json --set record.interval=2s >"$TMP/show"
[ "$(origin agent.tick)" = "500000000 file $ROOT/etc/waveos/waveos.yaml:2" ] || fail "of the file: $(origin agent.tick)"
[ "$(origin agent.log_level)" = "debug environment WAVEOS_AGENT_LOG_LEVEL" ] || fail "of the environment: $(origin agent.log_level)"
[ "$(origin record.interval)" = "2000000000 option --set" ] || fail "of an option: $(origin record.interval)"
[ "$(origin task.crash_loop_exits)" = "5 default " ] || fail "a default: $(origin task.crash_loop_exits)"
jq -e '.lists[] | select(.name == "heartbeats") | .items == 1 and (.place | endswith(":9"))' "$TMP/show" >/dev/null ||
	fail "lists: $(jq -c .lists "$TMP/show")"
if grep -q Tr0ub4dor "$TMP/show"; then fail "config show tells a password"; fi
config show --origin | grep -E '^agent\.tick +500ms +file .*waveos.yaml:2$' >/dev/null || fail "text: $(config show --origin | head -3)"
status_is 0 config validate
status_is 1 config diff
grep -q '^agent.tick: 1s -> 500ms$' "$TMP/out" || fail "diff: $(cat "$TMP/out")"
printf 'agent: {tick: 5parsecs}\n' >"$TMP/bad.yaml"
status_is 2 config validate "$TMP/bad.yaml"
grep -q 'bad.yaml:1:15: ' "$TMP/err" || fail "a bad file: $(cat "$TMP/err")"
printf 'agent: {tick: 700ms}\n' >"$TMP/new.yaml"
status_is 1 config diff --json "$ROOT/etc/waveos/waveos.yaml" "$TMP/new.yaml"
jq -e '.differences | any(.name == "agent.tick" and .from == 500000000 and .to == 700000000)' "$TMP/out" >/dev/null ||
	fail "diff of files: $(cat "$TMP/out")"
status_is 0 config diff "$TMP/new.yaml" "$TMP/new.yaml"
status_is 1 config diff --running

# --- without an agent: what to do next
status_is 1 "$BIN" dump --root "$ROOT"
grep -q 'waveos-bpf attach' "$TMP/err" || fail "dump: $(cat "$TMP/err")"
status_is 1 "$BIN" events --root "$ROOT/none"
status_is 1 "$BIN" top --at -3m --root "$ROOT"
status_is 2 "$BIN" top --at yesterday --root "$ROOT"

hog=$(cgroup_make "wvtest-cli-hog-$$")
at_exit cgroup_remove "$hog"
web=$(cgroup_make "wvtest-cli-web-$$")
at_exit cgroup_remove "$web"
agent_start
status_is 0 config diff --running --set agent.log_format=text --set metrics.listen=
status_is 1 config diff --running --set agent.tick=1s

# --- dump: everything, and the planted culprit with the planted victim
for ((i = 0; i < 4 * $(nproc); i++)); do
	cgroup_run "$hog" setsid timeout 90 sh -c 'while :; do :; done' &
	disown
done
cgroup_run "$web" setsid timeout 90 sh -c 'while :; do :; done' &
disown
hurts() {
	"$BIN" dump --json --root "$ROOT" >"$TMP/dump" || fail "dump"
	jq -e --arg v "/wvtest-cli-web-$$" --arg c "/wvtest-cli-hog-$$" \
		'any(.harms[]; .kind == "cpu" and .victim == $v and .culprit == $c and .blamed_ns > 0)' "$TMP/dump" >/dev/null
}
wait_until 20 hurts || fail "the culprit is not named: $(jq -c '.harms[:5]' "$TMP/dump")"
jq -e '.schema_version == 1 and (.rows | length) > 2 and (.rows[0].signals | length) > 50 and .self.rss_bytes > 0' \
	"$TMP/dump" >/dev/null || fail "dump lacks figures"
"$BIN" dump --root "$ROOT" | grep "^  cpu_usage_ns " >/dev/null || fail "dump as text"
cgroup_remove "$hog"

# --- events: follow over rotation, types, cgroups, time; SIGINT ends in order
secret=$(head -c 24 /dev/urandom | base64 | tr -d '/+=')
"$BIN" events --follow --json --lines 0 --type note --root "$ROOT" >"$TMP/followed" 2>"$TMP/err" &
follower=$!
at_exit kill "$follower"
for ((i = 0; i < 900; i++)); do
	printf '{"cgroup":"/wvtest-cli/%d","text":"%0200d"}\n' "$i" "$i"
done | "$BIN" evidence append --type note --root "$ROOT" >"$TMP/appended" || fail "append: $(cat "$TMP/appended")"
all() { [ "$(wc -l <"$TMP/followed")" -eq 900 ]; }
wait_until 20 all || fail "followed $(wc -l <"$TMP/followed") of 900: $(cat "$TMP/err")"
[ "$(find "$ROOT/var/lib/waveos/log" -name '*-*.jsonl*' | wc -l)" -ge 2 ] || fail "the log did not rotate: this shows nothing"
jq -es 'map(.cgroup) == [range(900) | "/wvtest-cli/\(.)"]' "$TMP/followed" >/dev/null || fail "not in order, or twice"
kill -INT "$follower"
rc=0
wait "$follower" || rc=$?
[ $rc -eq 0 ] || fail "events --follow after SIGINT: status $rc"
n=$("$BIN" events --json --since 1h --type note --cgroup '/wvtest-cli/89*' --root "$ROOT" | wc -l)
[ "$n" -eq 11 ] || fail "89 and 890 to 899 are 11 cgroups, not $n"
n=$("$BIN" events --json --since 2020-01-01T00:00:00Z --type core-start --root "$ROOT" | wc -l)
[ "$n" -eq 1 ] || fail "$n core-start since 2020"
"$BIN" events --type core-start --since 1h --root "$ROOT" | grep -E '^20..-..-..T..:..:..\....Z #[0-9]+ core-start +adopted=false' >/dev/null ||
	fail "a line for people: $("$BIN" events --type core-start --since 1h --root "$ROOT")"

# --- outputs that break: a reader that leaves is no failure, a full disk is one
"$BIN" events --json --since 1h --root "$ROOT" 2>"$TMP/err" | head -n 1 >/dev/null
[ "${PIPESTATUS[0]}" -eq 0 ] || fail "events | head: status ${PIPESTATUS[0]}: $(cat "$TMP/err")"
rc=0
"$BIN" events --json --since 1h --root "$ROOT" >/dev/full 2>"$TMP/err" || rc=$?
{ [ $rc -eq 5 ] && grep -q 'No space left' "$TMP/err"; } || fail "events to a full disk: status $rc: $(cat "$TMP/err")"
rc=0
"$BIN" dump --json --root "$ROOT" >/dev/full 2>"$TMP/err" || rc=$?
[ $rc -eq 5 ] || fail "dump to a full disk: status $rc: $(cat "$TMP/err")"

# --- progress: on a terminal, of work that takes its time; nowhere else
slow=(strace -qq -o /dev/null -e "inject=pread64,read:delay_enter=100000" "$BIN" evidence verify --root "$ROOT")
status_is 0 "$BIN" evidence checkpoint --root "$ROOT"
if command -v strace >/dev/null && command -v script >/dev/null; then
	TERM=xterm script -qefc "$(printf '%q ' "${slow[@]}")" /dev/null </dev/null >"$TMP/shown" 2>&1 || fail "verify: $(cat "$TMP/shown")"
	grep -qE 'evidence verify: .* read, .*/s' "$TMP/shown" || fail "no progress: $(cat -v "$TMP/shown")"
	"${slow[@]}" >"$TMP/out" 2>"$TMP/err" || fail "verify: $(cat "$TMP/err")"
	[ ! -s "$TMP/err" ] || fail "progress without a terminal: $(cat -v "$TMP/err")"
fi

# --- top --at: as it was; says from what, and how old
at() { "$BIN" top --at "$1" --root "$ROOT" --json >"$TMP/at" 2>"$TMP/err"; }
wait_until 10 at -2s || fail "top --at -2s: $(cat "$TMP/err")"
jq -e '.at.source == "metrics.csv" and .at.behind_ns < 5e9 and .self == null and (.rows | length) > 1' "$TMP/at" >/dev/null ||
	fail "top --at: $(jq -c '.at, .self, (.rows | length)' "$TMP/at")"
busy_then() {
	at -2s && jq -e --arg c "/wvtest-cli-web-$$" 'any(.rows[]; .cgroup == $c and .own.cpu_percent > 1)' "$TMP/at" >/dev/null
}
wait_until 15 busy_then || fail "the busy loop was idle two seconds ago: $(jq -c '[.at, .rows[:3]]' "$TMP/at")"
"$BIN" top --at -2s --root "$ROOT" --limit 2 | grep -E '^at 20.*s ago: run .*, metrics.csv, tick [0-9]+, rates over' >/dev/null ||
	fail "top --at: text"
status_is 1 "$BIN" top --at -2h --root "$ROOT"
grep -q 'the oldest sample is of 20' "$TMP/err" || fail "older than all: $(cat "$TMP/err")"
# the agent may be gone, and its run is still there; with a policy every tick is
agent_stop
status_is 0 "$BIN" top --at 2099-01-01T00:00:00Z --root "$ROOT"
grep -q 'the run has none after it' "$TMP/out" || fail "a gap is not told: $(head -3 "$TMP/out")"
agent_start --set record.samples=on --set record.interval=1m
every_tick() { at -1s && jq -e '.at.source == "samples.wvs" and .at.behind_ns < 2e9' "$TMP/at" >/dev/null; }
wait_until 15 every_tick || fail "with samples.wvs: $(jq -c .at "$TMP/at") $(cat "$TMP/err")"

# --- doctor --bundle: what helps, and nothing that is nobody's business
printf '{"text":"login with password=%s","token":"ghp_%s0123456789abcdef"}\n' "$secret" "$secret" |
	"$BIN" evidence append --type note --root "$ROOT" >/dev/null
cat >>"$ROOT/etc/waveos/waveos.yaml" <<-END
	# db_password: $secret
	# -----BEGIN PRIVATE KEY----- MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7 -----END PRIVATE KEY-----
END
status_is 0 "$BIN" doctor --bundle "$TMP/support.tar.zst" --root "$ROOT"
cp "$TMP/out" "$TMP/listed"
[ "$(stat -c %a "$TMP/support.tar.zst")" = 600 ] || fail "mode $(stat -c %a "$TMP/support.tar.zst")"
status_is 2 "$BIN" doctor --bundle "$TMP/support.tar.zst" --root "$ROOT"
mkdir "$TMP/support"
tar --zstd -xf "$TMP/support.tar.zst" -C "$TMP/support" || fail "it cannot be unpacked"
for part in README.txt manifest.json version.json doctor.json status.json config.json sample.json events.jsonl bpf.json \
	waveos.yaml machine/os-release machine/meminfo; do
	[ -s "$TMP/support/$part" ] || fail "no $part in it: $(cat "$TMP/listed")"
done
# a short host name is part of other words
host=$(uname -n) long_host=()
[ ${#host} -lt 6 ] || long_host=("$host")
for word in "$secret" Tr0ub4dor MIIEvQIBADAN "${long_host[@]}"; do
	if grep -rlF -- "$word" "$TMP/support"; then fail "it has '$word'"; fi
done
jq -e '.redacted.secret + .redacted.credential >= 3 and (.parts | length) > 20' "$TMP/support/manifest.json" >/dev/null ||
	fail "manifest: $(jq -c .redacted "$TMP/support/manifest.json")"
grep -q '^Redacted: .*credential' "$TMP/listed" || fail "it does not say what was redacted: $(tail -2 "$TMP/listed")"
jq -e '.running == true' "$TMP/support/status.json" >/dev/null || fail "status: $(head -c 300 "$TMP/support/status.json")"
jq -e '(.programs | length) > 5 and (.maps | length) > 5' "$TMP/support/bpf.json" >/dev/null || fail "no programs or maps"
agent_stop
