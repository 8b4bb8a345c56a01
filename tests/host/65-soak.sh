#!/bin/bash
# limit: 180, soak: 4000
# A day of turns of the loop, faster: at agent.tick=20ms, 86,400 turns (SOAK; else 1,500) take half an hour. All the while
# cgroups come and go, a rule trips and clears, metrics are scraped in three ways, records rotate and are retired.
# Afterwards no process of the agent has more descriptors than after the warm-up, and their own memory is as it was;
# no turn was lost, nothing was dropped. What a day has and this has not: time (no clock moves faster).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tools/scale.sh"

# the warm-up is over when artifacts were written for the first time, after ten seconds: 500 turns, and what they take is kept
turns=1500 warm=600
if [ -n "$SOAK" ]; then turns=${SOAK_TURNS:-86400} warm=4000; fi
top=wvtest-soak-$$
dir=$(cgroup_make "$top")
at_exit rmdir "$dir"
at_exit cgroup_remove "$dir/flap"
at_exit sh -c "rmdir '$dir'/c* '$dir'/*/c* '$dir'/?"
mkdir "$dir/flap"
port=$((20000 + $$ % 10000))
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: soak
domains:
  - {name: flap, scope: {cgroup: /$top/flap}}
modes:
  - {name: normal}
  - {name: busy}
rules:
  - {name: busy, domain: flap, if: "rate(cpu_usage_ns) > 30%", then: [mode busy]}
YAML
# shellcheck disable=SC2046 # default settings, unless this machine has many cgroups of its own
agent_start --set agent.tick=20ms --set record.interval=1s --set record.artifacts_every=10s --set record.keep_segments=2 \
	--set evidence.segment_size=64K --set evidence.keep_size=1M --set evidence.checkpoint_every=2s \
	--set "metrics.listen=127.0.0.1:$port" $(room_for 100)
url=http://127.0.0.1:$port/metrics

# load, until it is killed: works and rests in turn; cgroups of a millisecond; scrapes
(
	echo "$BASHPID" >"$dir/flap/cgroup.procs"
	while :; do
		timeout 0.7 sh -c 'while :; do :; done' || true
		sleep 0.7
	done
) &
at_exit kill $!
(while :; do
	"$LOAD" churn "$dir" 50 1 200 50 >/dev/null
	curl -s -o /dev/null "$url"
	curl -s -o /dev/null -H 'Accept: application/openmetrics-text;version=1.0.0' "$url"
	curl -s -o /dev/null --compressed "$url"
done) &
at_exit kill $!

processes() { pgrep -f "^$BIN attach --root $ROOT"; }
# descriptors: of all processes together, less those whose number goes with that of the cgroups on this machine, others'
# included: cgroups' files, and BPF maps, which tables get for every 64 cgroups more than there ever were
descriptors() {
	for p in $(processes); do find "/proc/$p/fd" -mindepth 1 -printf '%l\n' 2>/dev/null; done |
		grep -vcE '^/sys/fs/cgroup|^anon_inode:bpf-map$'
}
# anonymous memory alone: shares of libraries' pages go with who else runs
anonymous() { for p in $(processes); do cat "/proc/$p/smaps_rollup"; done 2>/dev/null | awk '$1 == "Anonymous:" {n += $2} END {print n}'; }
# settle COMMAND: the smallest of five looks a fifth of a second apart: a scrape or a flush is under way in some
settle() {
	for _ in 1 2 3 4 5; do
		"$1"
		read -rt 0.2 <> <(:) || true
	done | sort -n | head -n 1
}
wait_until $((60 + warm / 10)) ticked "$warm" || fail "$warm turns take too long"
fds0=$(settle descriptors) kib0=$(settle anonymous)
from=$(st .tick) step=$(((turns - warm) / 10))
series=
for i in 1 2 3 4 5 6 7 8 9 10; do
	wait_until $((step / 10 + 60)) ticked $((from + i * step)) || fail "turns stand still at $(st .tick)"
	kib=$(settle anonymous)
	series="$series $kib"
done
fds=$(settle descriptors)
echo "anonymous memory after each tenth:$series KiB, $kib0 after the warm-up; descriptors $fds0, $fds"
[ "$fds" -le $((fds0 + 2)) ] || fail "$fds descriptors after $turns turns, $fds0 after $warm"
[ $((kib - kib0)) -le 512 ] || fail "the agent grew from $kib0 to $kib KiB:$series"
events() { cat "$ROOT"/var/lib/waveos/runs/*/events*.jsonl; }
trips=$(events | grep -c '"rule":"busy"' || true)
[ "$trips" -gt 0 ] || fail "the rule never tripped"
losses=$(st '[.losses[] | select(.place | test("^SLOT") | not) | "\(.place) \(.count)"] | join(", ")')
[ -z "$losses" ] || fail "losses: $losses"
wait_until 10 settled || fail "events: $(st '.events | tostring')"
restarts=$(st '[.. | objects | .restarts? // empty | numbers] | add // 0')
[ "${restarts:-0}" -eq 0 ] || fail "workers were restarted $restarts times"
echo "$(st .tick) turns, $trips decisions in what is kept; $kib0 KiB after the warm-up, then$series; descriptors $fds0, $fds"
agent_stop
"$BIN" evidence verify --root "$ROOT" >"$TMP/verify" || fail "the log does not verify: $(cat "$TMP/verify")"
