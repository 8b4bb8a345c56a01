#!/bin/bash
# A rule asks for an evidence pack: it is made after the window, by itself, also when core or the whole agent died within
# the window; packs are bounded in number; a cadence makes them without a rule.
. "$(dirname "$0")/lib.sh"
for tool in jq zstd; do command -v $tool >/dev/null || skip "no $tool"; done
ldconfig -p | grep libarchive.so.13 >/dev/null || skip "no libarchive13"

name=wvtest-incident-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
mkdir -p "$ROOT/etc/waveos"
policy() { # AFTER
	cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: incident
domains:
  - {name: work, scope: {cgroup: /$name}}
rules:
  - {name: busy, domain: work, if: "rate(cpu_usage_ns) > 10%", for: 200ms, clear_for: 200ms, then: [alert], half_open: 1s, evidence: {pack: true, before: 10s, after: $1}}
YAML
}
state=$ROOT/var/lib/waveos
packs() { find "$state/packs" -maxdepth 1 -name "pack-*-$1-*.tar.zst" 2>/dev/null | sort; }
n_packs() { [ "$(packs "$1" | wc -l)" -ge "$2" ]; }
records() { jq -s --arg t "$1" '[.[] | select(.type == $t)]' "$state/log/events.jsonl"; }
made() { [ "$(records pack-made | jq length)" -ge "$1" ]; }
busy() { cgroup_run "$dir" timeout 1.5 sh -c 'while :; do :; done' || true; }
waiting() { [ -n "$(find "$state/packs" -name "due-*.json")" ]; }

policy 2s
agent_start --set agent.tick=200ms --set evidence.pack_gap=1s
busy
wait_until 5 waiting || fail "nothing waits for the window"
n_packs incident 1 && fail "the pack was made before its window was over"
wait_until 15 made 1 || fail "no pack was made"
waiting && fail "the pack is made and still waits"
pack=$(packs incident)
"$BIN" evidence verify "$pack" --root "$ROOT" >"$TMP/out" || fail "it does not verify: $(cat "$TMP/out")"
records pack-made >"$TMP/made"
jq -e --arg h "$(sha256sum "$pack" | cut -d' ' -f1)" --arg f "$(basename "$pack")" --arg c "/$name" \
	'.[0] | .sha256 == $h and .file == $f and .reason == "incident" and .rule == "busy" and .cgroup == $c' "$TMP/made" >/dev/null ||
	fail "the record: $(cat "$TMP/made")"
tar -I zstd -xf "$pack" -C "$TMP" log/records.jsonl manifest.json summary.html
jq -es 'any(.[]; .type == "decision" and .rule == "busy" and .verdict == "open")' "$TMP/log/records.jsonl" >/dev/null ||
	fail "the incident is not in its pack"
jq -e '.reason == "incident"' "$TMP/manifest.json" >/dev/null || fail "manifest"
# what came after the incident is in, what came long after is not
jq -es --slurpfile made "$TMP/made" '(.[-1].mono_ns - ([.[] | select(.type == "alert")][0].mono_ns)) <= 2500000000' "$TMP/log/records.jsonl" >/dev/null ||
	fail "the window after is too long"

# killed within the window: the next agent makes it
agent_stop
policy 3s
agent_start --set agent.tick=200ms --set evidence.pack_gap=1s
busy
wait_until 5 waiting || fail "nothing waits"
agent_kill
agent_start --set agent.tick=200ms --set evidence.pack_gap=1s --set evidence.pack_every=2s --set evidence.pack_keep=3
wait_until 20 n_packs incident 2 || fail "the incident before the kill has no pack"
wait_until 20 n_packs cadence 2 || fail "no pack of the cadence"
removed() { [ "$(records pack-removed | jq length)" -ge 1 ]; }
wait_until 20 removed || fail "nothing is removed over evidence.pack_keep"
agent_stop
settled() { ! pgrep -f "^$BIN attach --root $ROOT " >/dev/null; }
wait_until 10 settled || fail "a pack's process does not end"
n=$(find "$state/packs" -name 'pack-*.tar.zst' | wc -l)
[ "$n" -le 3 ] || fail "$n packs are kept"
for pack in "$state"/packs/pack-*.tar.zst; do
	"$BIN" evidence verify "$pack" --root "$ROOT" >"$TMP/out" || fail "$pack does not verify: $(cat "$TMP/out")"
done
[ -z "$(find "$state/packs" -name '.stage*' -o -name '.pack*')" ] || fail "something half made is left"
[ "$(records pack-failed | jq length)" -eq 0 ] || fail "failed: $(records pack-failed)"
python3 "$(dirname "$0")/check_contracts.py" events "$state/log/events.jsonl" || fail "contract"
