#!/bin/bash
# limit: 240
# Alerts the whole way: a rule and a heartbeat of a real agent reach a webhook, Alertmanager, a Slack-shaped webhook and a mail
# server; nothing is lost while receivers fail, hang, ask for patience and die, while worker and agent are killed; a storm is a
# few messages, the critical one first.
. "$(dirname "$0")/../host/lib.sh"
for p in jq openssl curl prometheus-alertmanager; do command -v $p >/dev/null || skip "no $p"; done
/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || skip "no python3-aiosmtpd"
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../host/tools/log.sh
. "$HERE/../host/tools/log.sh"
log_tool
# shellcheck disable=SC2046 # words on purpose
"${CC:-cc}" -O1 -D_GNU_SOURCE -I"$HERE/../.." -I"$HERE/../../include" -o "$TMP/storm" "$HERE/alerts/storm.c" "$TMP/agent.a" \
	$(pkg-config --libs libcrypto json-c libsystemd libzstd yaml-0.1 libbpf) -lm -pthread || fail "cannot compile storm.c"
export no_proxy='*' NO_PROXY='*'
export SINK_SMTP_PASSWORD=planted-Sm41-mail SLACK_URL=

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout "$TMP/ca.key" -out "$TMP/ca.pem" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$TMP/mail.key" -out "$TMP/mail.csr" 2>/dev/null
openssl x509 -req -in "$TMP/mail.csr" -CA "$TMP/ca.pem" -CAkey "$TMP/ca.key" -CAcreateserial -days 2 -out "$TMP/mail.pem" \
	-extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') 2>/dev/null

SINKS=$TMP/sinks
mkdir "$SINKS"
touch "$SINKS/got" "$SINKS/mails"
PID=
stop_sinks() {
	[ -n "$PID" ] || return 0
	kill -KILL "$PID" 2>/dev/null || true
	wait "$PID" 2>/dev/null || true
	PID=
}
at_exit stop_sinks
HTTP=
start_sinks() { # free ports are found by trying; after that they stay
	local i
	for i in 1 2 3 4 5 6; do
		[ -n "${KEEP:-}" ] || HTTP=$((22000 + (RANDOM + i) % 8000)) SMTP=$((32000 + (RANDOM + i) % 8000))
		/usr/bin/python3 "$HERE/alerts/sinks.py" "$SINKS" $HTTP $SMTP "$TMP/mail.pem" "$TMP/mail.key" >"$TMP/sinks.out" 2>"$TMP/sinks.err" &
		PID=$!
		wait_until 15 sinks_up_or_gone
		grep -q ready "$TMP/sinks.out" && KEEP=1 && return 0
		wait "$PID" || true
	done
	fail "the sinks do not start: $(cat "$TMP/sinks.err")"
}
sinks_up_or_gone() { grep -q ready "$TMP/sinks.out" || ! kill -0 "$PID" 2>/dev/null; }
start_sinks
mode() { # NAME MODE
	if [ "$2" = ok ]; then rm -f "$SINKS/mode-$1"; else echo "$2" >"$SINKS/mode-$1"; fi
}
export SLACK_URL=http://127.0.0.1:$HTTP/slack/chat

# Alertmanager, which tells what it is told to a webhook of ours
cat >"$TMP/am.yml" <<-END
	route: {receiver: am, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
	receivers:
	  - name: am
	    webhook_configs: [{url: "http://127.0.0.1:$HTTP/hook/am"}]
END
AM_PID=
stop_am() {
	kill "$AM_PID" 2>/dev/null || true
	wait "$AM_PID" 2>/dev/null || true
}
am_up_or_gone() { curl -sf "http://127.0.0.1:$AM/-/ready" >/dev/null || ! kill -0 "$AM_PID" 2>/dev/null; }
for i in 1 2 3 4 5 6; do
	AM=$((42000 + (RANDOM + i) % 8000))
	prometheus-alertmanager --config.file="$TMP/am.yml" --storage.path="$TMP/am" --web.listen-address=127.0.0.1:$AM \
		--cluster.listen-address= >"$TMP/am.log" 2>&1 &
	AM_PID=$!
	wait_until 20 am_up_or_gone
	kill -0 "$AM_PID" 2>/dev/null && break
done
at_exit stop_am
kill -0 "$AM_PID" 2>/dev/null || fail "Alertmanager does not start: $(tail -n 3 "$TMP/am.log")"

name=wvtest-alerts-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/policy.yaml" <<-END
	schema_version: 1
	name: alerts
	domains:
	  - {name: work, scope: {cgroup: "/$name"}}
	modes:
	  - {name: normal}
	  - {name: degraded}
	rules:
	  - name: busy
	    domain: work
	    if: "rate(cpu_usage_ns) > 10%"
	    for: 400ms
	    clear: "rate(cpu_usage_ns) < 3%"
	    clear_for: 400ms
	    then: [mode degraded, alert]
	    half_open: 1s
	    severity: critical
	    route: team
END
fast="retry_min: 100ms, retry_max: 500ms, timeout: 1s, rate: 600"
cat >"$ROOT/etc/waveos/waveos.yaml" <<-END
	metrics: {listen: ""}
	agent: {tick: 200ms}
	alerting: {resolve_after: 1h}
	heartbeats:
	  - {name: beat, file: $TMP/beat, every: 1s}
	alerts:
	  - {name: hook, type: webhook, url: "http://127.0.0.1:$HTTP/hook/hook", $fast}
	  - {name: am, type: alertmanager, url: "http://127.0.0.1:$AM", $fast}
	  - {name: chat, type: slack, url_secret: "env:SLACK_URL", $fast}
	  - {name: mail, type: smtp, address: "localhost:$SMTP", ca: $TMP/ca.pem, from: waveos@example.org, to: "ops@example.org, oncall@example.org", username: "file:$TMP/mail-user", password: "env:SINK_SMTP_PASSWORD", $fast}
	  - {name: deaf, type: webhook, url: "http://127.0.0.1:$HTTP/hook/deaf", retry_min: 100ms, retry_max: 500ms, timeout: 1s, max_age: 3s}
	  - {name: picky, type: webhook, url: "http://127.0.0.1:$HTTP/hook/picky", $fast}
	  - {name: slow, type: webhook, url: "http://127.0.0.1:$HTTP/hook/slow", rate: 12}
	alert_routes:
	  - {name: storm, to: slow, match: {cgroup: "/storm/*"}, group_wait: 1s, group_interval: 1s}
	  - {name: important, to: slow, match: {cgroup: /important}}
	  - {name: chaos, to: hook, match: {cgroup: "/chaos/*"}, group_wait: 0s, group_interval: 0s}
	  - {name: dead, to: "deaf, picky", match: {cgroup: "/dead/*"}, group_wait: 0s, group_interval: 0s}
	  - {name: rest, to: "hook, am, chat, mail", group_wait: 0s, group_interval: 0s}
END
echo mailer >"$TMP/mail-user"
touch "$TMP/beat"
agent_start

# got NAME JQ: requests to NAME that were taken and for which the filter holds
got() { jq -s --arg n "$1" "[.[] | select(.name == \$n and .status == 200) | select(.body | $2)] | length" "$SINKS/got"; }
any() { [ "$(got "$@")" -gt 0 ]; }
has_alert() { echo "any(.alerts[]; .labels.alertname == \"$1\" and .status == \"$2\")"; }
mails() { jq -s "[.[] | select($1)] | length" "$SINKS/mails"; }
any_mail() { [ "$(mails "$1")" -gt 0 ]; }
busy_stop() { xargs -r kill -KILL <"$dir/cgroup.procs"; }

# 1. a rule trips: all sinks are told
cgroup_run "$dir" sh -c 'while :; do :; done' &
wait_until 30 any hook "$(has_alert RuleTripped firing)" || fail "the webhook was not told: $("$BIN" alert list --root "$ROOT")"
wait_until 10 any_mail '.subject | test("RuleTripped")' || fail "no mail: $("$BIN" alert list --root "$ROOT")"
wait_until 10 any chat '.text | test("RuleTripped")' || fail "no message to Slack"
wait_until 15 any am "$(has_alert RuleTripped firing)" || fail "Alertmanager told nothing: $(tail -n 3 "$TMP/am.log")"
jq -es '[.[] | select(.subject | test("RuleTripped"))][0] | .tls and .login and .sender == "waveos@example.org" and
	.to == ["ops@example.org", "oncall@example.org"] and (.subject | startswith("[FIRING:1] RuleTripped (critical) on ")) and
	(.body | test("rule busy: tripped in /'"$name"'"))' "$SINKS/mails" >/dev/null || fail "the mail: $(cat "$SINKS/mails")"
jq -es '[.[] | select(.name == "chat") | .body | select(.text | test("RuleTripped"))][0] | (.text | type) == "string" and (.attachments[0].color == "danger") and
	(.attachments[0].text | test("`rule busy: tripped in /'"$name"'`"))' "$SINKS/got" >/dev/null || fail "Slack's form"
# Alertmanager has it, and its webhook and ours have the same form
curl -s "http://127.0.0.1:$AM/api/v2/alerts" | jq -e 'any(.[]; .labels.alertname == "RuleTripped" and .labels.route == "team" and
	.labels.severity == "critical" and .annotations.summary != "")' >/dev/null || fail "Alertmanager has no such alert"
form='def shape: if type == "object" then map_values(shape) elif type == "array" then .[0:1] | map(shape) else type end;
	.body | {top: (map_values(type)), alert: (.alerts[0] | map_values(type)), kinds: (.alerts[0] | shape | del(.labels, .annotations))}'
jq -s "[.[] | select(.name == \"am\")][0] | $form" "$SINKS/got" >"$TMP/theirs"
jq -s "[.[] | select(.name == \"hook\")][0] | $form" "$SINKS/got" >"$TMP/ours"
diff "$TMP/theirs" "$TMP/ours" || fail "our webhook is not of Alertmanager's form"
[ "$(jq -s '[.[] | select(.name == "am" or .name == "hook") | .body.version] | unique | tostring' "$SINKS/got")" = '"[\"4\"]"' ] || fail "versions"

# 2. a heartbeat that is missed, and all of it is over
wait_until 20 any hook "$(has_alert HeartbeatMissed firing)" || fail "no alert of the heartbeat"
busy_stop
{ while :; do touch "$TMP/beat"; read -rt 0.3 <> <(:) || true; done; } &
BEATER=$!
at_exit kill $BEATER
for s in hook am; do
	wait_until 30 any $s "$(has_alert RuleTripped resolved)" || fail "$s was not told that the rule closed"
	wait_until 30 any $s "$(has_alert HeartbeatMissed resolved)" || fail "$s was not told that the heartbeat is back"
done
wait_until 10 any_mail '.subject | test("RESOLVED")' || fail "no mail of the end"

# 3. silenced: nobody is told, and it is in the log
id=$("$BIN" alert silence --for 1h --alert AlertTest --comment 'e2e' --root "$ROOT")
wait_until 5 eval '"$BIN" alert list --json --root "$ROOT" | jq -e ".silences | length == 1" >/dev/null'
"$BIN" alert test --root "$ROOT" >/dev/null
silenced() { "$BIN" alert list --json --root "$ROOT" | jq -e 'any(.alerts[]; .alert == "AlertTest" and .silenced)' >/dev/null; }
wait_until 10 silenced || fail "it is not silenced: $("$BIN" alert list --root "$ROOT")"
any hook "$(has_alert AlertTest firing)" && fail "a silenced alert was told"
"$BIN" alert expire "$id" --root "$ROOT"
wait_until 10 any hook "$(has_alert AlertTest firing)" || fail "it is not told after the silence"
[ "$(jq -s '[.[] | select(.type == "alert-silence")] | length' "$LOG/events.jsonl")" -eq 2 ] || fail "records of the silence"
echo "four kinds of sinks, resolved, silenced"

# 4. chaos: what becomes of 200 alerts
worker() { pgrep -P "$AGENT" -f . | while read -r p; do pgrep -P "$p" >/dev/null && grep -qx waveos-sender /proc/"$(pgrep -P "$p" | head -n1)"/comm && echo "$p"; done; }
burst() { "$TMP/storm" "$ROOT" 25 "/chaos/$1-" || fail "no records"; }
requests() { jq -s '[.[] | select(.name == "hook")] | length' "$SINKS/got"; }
asked() { [ "$(requests)" -gt "$1" ]; }
for m in 500 429 hang close; do
	mode hook $m
	before=$(requests)
	burst $m
	wait_until 15 asked "$before" || fail "mode $m: nothing came"
	case $m in
	500) mode hook ok ;;
	429 | close)
		w=$(worker)
		[ -n "$w" ] || fail "no alert worker"
		kill -KILL $w
		;;
	hang)
		agent_kill
		burst while-dead
		agent_start
		;;
	esac
done
stop_sinks
burst nobody-listens
failing() { "$BIN" alert list --json --root "$ROOT" | jq -e 'any(.sinks[]; .name == "hook" and .failed_in_a_row > 1)' >/dev/null; }
wait_until 20 failing || fail "nobody noticed that the receiver is gone"
KEEP=1 start_sinks
mode hook ok
burst at-last
told() { jq -s '[.[] | select(.name == "hook" and .status == 200) | .body.alerts[] | select(.labels.cgroup | tostring | startswith("/chaos/"))
	| {cgroup: .labels.cgroup, fingerprint}] | unique' "$SINKS/got"; }
all_told() { [ "$(told | jq 'map(.cgroup) | unique | length')" -eq 175 ]; }
wait_until 40 all_told || fail "of 175 alerts only $(told | jq length) came: $("$BIN" alert list --root "$ROOT" | tail -n 8)"
[ "$(told | jq length)" -eq 175 ] || fail "the same alert has several fingerprints"
[ "$(told | jq 'map(.fingerprint) | unique | length')" -eq 175 ] || fail "several alerts have one fingerprint"
echo "chaos: 175 of 175, in $(requests) requests"

# 5. dead letters
mode deaf 500
mode picky 400
"$TMP/storm" "$ROOT" 3 /dead/
dead() { [ "$(jq -s 'map(.alert.labels.cgroup) | unique | length' "$ROOT/var/lib/waveos/alert/dead-$1.jsonl" 2>/dev/null)" = 3 ]; }
wait_until 10 dead picky || fail "what was refused is no dead letter"
wait_until 20 dead deaf || fail "what could not be delivered is no dead letter"
recorded() { jq -es --arg s "$1" 'any(.[]; .type == "alert-dead-letter" and .sink == $s and .alerts > 0)' "$LOG/events.jsonl" >/dev/null; }
recorded deaf && recorded picky || fail "no record of the dead letters"

# 6. a storm
before=$(date +%s%N)
"$TMP/storm" "$ROOT" 100000 /storm/ 50000
slow() { jq -s '[.[] | select(.name == "slow")]' "$SINKS/got"; }
has_critical() { any slow "$(has_alert HeartbeatMissed firing)"; }
wait_until 60 has_critical || fail "the critical one did not come"
settled() { "$BIN" alert list --json --root "$ROOT" | jq -e '(.sinks[] | select(.name == "slow").queued) == 0' >/dev/null; }
wait_until 60 settled || fail "the storm is not over: $("$BIN" alert list --root "$ROOT" | tail -n 12)"
took=$((($(date +%s%N) - before) / 1000000))
[ "$(slow | jq '.[0].body.alerts[0].labels.alertname')" = '"HeartbeatMissed"' ] || fail "first came $(slow | jq -c '.[0].body.alerts[0].labels')"
messages=$(slow | jq length)
[ "$messages" -le 8 ] || fail "$messages messages of a storm"
"$BIN" alert list --json --root "$ROOT" | jq -e '.suppressed > 98000 and (.alerts | length) <= 1000' >/dev/null ||
	fail "$("$BIN" alert list --json --root "$ROOT" | jq -c '[.suppressed, (.alerts | length)]')"
rss=$(awk '/^VmHWM/ {print $2}' "/proc/$(worker)/status")
[ "$rss" -lt 65536 ] || fail "the worker took $rss KiB"
echo "storm: 100,000 records, $messages messages, $took ms, worker $rss KiB at most"
agent_stop
! grep -rlaF -e "$SINK_SMTP_PASSWORD" -e /slack/chat "$ROOT/var" "$ROOT/run" "$TMP/agent.log" || fail "a secret leaked"
