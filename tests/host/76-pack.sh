#!/bin/bash
# Evidence packs of a real run: contracts hold, other people's tools verify, each tampering is named, secrets that were
# planted where text comes in are in no file that the agent wrote.
. "$(dirname "$0")/lib.sh"
for tool in jq python3 minisign openssl zstd; do command -v $tool >/dev/null || skip "no $tool"; done
python3 -c 'import jsonschema' 2>/dev/null || skip "no python3-jsonschema"
ldconfig -p | grep libarchive.so.13 >/dev/null || skip "no libarchive13"
check=$(dirname "$0")/check_contracts.py

name=wvtest-pack-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
mkdir -p "$ROOT/etc/waveos"
# planted: put together here, so that no file of the tree has them
aws=AKIA$(printf 'QWERTYUIOPASDFGH')
password=hunter2-$$-planted
bearer=planted.$$.bearer.value
url_password=planted-$$-in-url
begin='-----BEGIN PRIVATE KEY-----'
pem_body=MIIPLANTED$$xyz
planted=("$aws" "$password" "$bearer" "$url_password" "$pem_body")
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: pack
domains:
  - {name: work, scope: {cgroup: /$name}}
rules:
  - {name: busy, domain: work, if: "rate(cpu_usage_ns) > 10%", for: 200ms, then: [alert], half_open: 1s, route: "https://u:$url_password@hook.example/"}
services:
  - {name: quiet, command: [/bin/sh, -c, "sleep 1000 # --password=$password Authorization: Bearer $bearer $aws"], backoff: 0s}
YAML
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
agent: {tick: 200ms}
record: {interval: 1s}
heartbeats:
  - {name: "token=$aws", file: "$TMP/alive?api_key=$bearer", cgroup: /$name, every: 1s}
YAML
agent_start
# a name of a task is the program's own choice; a comm has 15 bytes
cgroup_run "$dir" timeout 2 sh -c 'while :; do :; done' || true
cgroup_run "$dir" bash -c "printf 'pass=%s' ${password:0:8} >/proc/\$\$/comm; kill -SEGV \$\$" || true
# an error text with all of them, by a request that a person wrote
recover() { "$BIN" recover --root "$ROOT" "/$name" "$1" >/dev/null 2>&1 || true; }
recover "x $begin $pem_body -----END PRIVATE KEY----- Bearer $bearer"
run=$("$BIN" status --json --root "$ROOT" | jq -r .run_id)
state=$ROOT/var/lib/waveos
tripped() { jq -es 'any(.[]; .type == "alert")' "$state/runs/$run/events.jsonl" >/dev/null; }
wait_until 10 tripped || fail "the rule did not trip"
missed() { jq -es 'any(.[]; .type == "heartbeat-missed")' "$state/runs/$run/events.jsonl" >/dev/null; }
wait_until 10 missed || fail "no heartbeat was missed"

# of a run that goes on; the agent appends all the while
export_pack() { "$BIN" evidence export --root "$ROOT" "$@" >"$TMP/out" 2>&1 || fail "export $*: $(cat "$TMP/out")"; }
export_pack --run "$run" -o "$TMP/live.tar.zst"
"$BIN" evidence verify "$TMP/live.tar.zst" --root "$ROOT" >"$TMP/out" || fail "the pack of a live run: $(cat "$TMP/out")"
agent_stop
export_pack --run latest -o "$TMP/run.tar.zst"
export_pack --since 10m --profile external -o "$TMP/external.tar.zst"
seq=$(jq -s '[.[] | select(.type == "decision")][0].seq' "$state/runs/$run/events.jsonl")
export_pack --incident "$seq" --before 2s --after 1s -o "$TMP/incident.tar.zst"
export_pack --from 3 --to 5 -o "$TMP/range.tar.zst"
jq -es '[.[] | select(.type == "pack-made")] | length == 5' "$state"/log/events.jsonl >/dev/null || fail "packs are not in the log"
grep -q "$(sha256sum "$TMP/run.tar.zst" | cut -d' ' -f1)" "$state/log/events.jsonl" || fail "the hash of the pack is not in the log"

# contracts, and no secret anywhere
python3 "$check" artifact run_meta.schema.json "$state/runs/$run/run_meta.json" || fail "run_meta.json"
python3 "$check" artifact explainability.schema.json "$state/runs/$run/explainability.json" || fail "explainability.json"
python3 "$check" events "$state/log/events.jsonl" || fail "the log"
python3 "$check" metrics "$state/runs/$run/metrics.csv" || fail "metrics.csv"
unpack() {
	rm -rf "$TMP/x"
	mkdir "$TMP/x"
	tar -I zstd -xf "$1" -C "$TMP/x"
}
# repack: what is in x becomes bad.tar.zst
repack() (
	cd "$TMP/x"
	{
		printf '%s\n' manifest.json*
		find . -type f ! -name 'manifest*' | sed 's,^\./,,' | sort
	} >"$TMP/names"
	tar -I zstd -cf "$TMP/bad.tar.zst" -T "$TMP/names"
)
cp -r "$state" "$TMP/scan"
for pack in live run external incident range; do
	unpack "$TMP/$pack.tar.zst"
	cp -r "$TMP/x" "$TMP/scan/$pack"
	python3 "$check" artifact pack-manifest.schema.json "$TMP/x/manifest.json" || fail "$pack: manifest.json"
	python3 "$check" artifact pack-proof.schema.json "$TMP/x/log/proof.json" || fail "$pack: proof.json"
	(cd "$TMP/x" && minisign -Vm manifest.json -p key.pub >/dev/null) || fail "$pack: minisign"
	(cd "$TMP/x" && openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in manifest.json -sigfile manifest.json.sig >/dev/null) ||
		fail "$pack: openssl"
	"$BIN" evidence verify "$TMP/$pack.tar.zst" --key "$TMP/x/key.pem" >/dev/null || fail "$pack does not verify"
	"$BIN" evidence verify "$TMP/$pack.tar.zst" --key "$TMP/x/key.pub" >/dev/null || fail "$pack does not verify by minisign's key"
done
for secret in "${planted[@]}"; do
	if grep -rlF -- "$secret" "$TMP/scan" >"$TMP/found"; then fail "a planted secret is in $(cat "$TMP/found")"; fi
done
grep -rqF '[credential]' "$TMP/scan/log" || fail "nothing was masked in the log: were the secrets planted at all?"
grep -qF '[credential]' "$TMP/scan/run"/run/policy-*.yaml || fail "nothing was masked in the policy"

# what leaves in the profile external
unpack "$TMP/external.tar.zst"
grep -rqw "$(hostname)" "$TMP/x" && fail "the host name is in an external pack"
jq -e '.redactions.host > 0' "$TMP/x/manifest.json" >/dev/null || fail "the manifest does not count the host name"
# the page loads nothing
unpack "$TMP/run.tar.zst"
grep -q "Run $run" "$TMP/x/summary.html" || fail "the summary is not about the run"
grep -qiE '<(script|link|img|iframe)|https?://|src=|url\(' "$TMP/x/summary.html" && fail "the summary loads something"
# the same files make the same bytes, but for time and log
python3 - "$TMP/x" <<'PY' || fail "the archive is not in order"
import os, subprocess, sys
pack = os.path.dirname(sys.argv[1]) + "/run.tar.zst"
lines = subprocess.run(["tar", "-I", "zstd", "--numeric-owner", "--full-time", "-tvf", pack], capture_output=True, text=True, check=True).stdout.splitlines()
names = [l.split()[-1] for l in lines]
assert names[:3] == ["manifest.json", "manifest.json.minisig", "manifest.json.sig"], names
assert names[3:] == sorted(names[3:]), names
assert all(l.split()[1] == "0/0" and "1970-01-01 00:00:00" in l for l in lines), lines
PY

# tampering, one at a time: tamper WHAT PATTERN SHELL...: changes an unpacked pack; the verdict must name it
key=$TMP/key.pem
cp "$TMP/x/key.pem" "$key"
tamper() {
	local what=$1 pattern=$2 rc=0
	shift 2
	unpack "$TMP/run.tar.zst"
	(cd "$TMP/x" && eval "$*")
	repack
	"$BIN" evidence verify "$TMP/bad.tar.zst" --key "$key" >"$TMP/out" 2>&1 || rc=$?
	[ $rc -eq 1 ] || fail "$what: exit $rc: $(cat "$TMP/out")"
	grep -qE "$pattern" "$TMP/out" || fail "$what: not named: $(cat "$TMP/out")"
}
# packed anew by tar and not touched otherwise, it verifies
repack
"$BIN" evidence verify "$TMP/bad.tar.zst" --key "$key" >/dev/null || fail "an untouched pack does not verify"
third=$(sed -n 3p "$TMP/x/log/records.jsonl" | jq .seq)
tamper "altered record" "record $third was altered" 'sed -i "3s/\"wall_ns\":./\"wall_ns\":9/" log/records.jsonl'
tamper "dropped record" "record $third .*(altered|says)|says that it is number" 'sed -i 3d log/records.jsonl'
tamper "truncated records" "records from [0-9]+ to [0-9]+ are missing" 'sed -i "\$d" log/records.jsonl'
tamper "added record" "more lines than records" 'tail -1 log/records.jsonl >t; cat t >>log/records.jsonl; rm t'
tamper "reordered records" "record $third" 'sed -i "3{h;d};4G" log/records.jsonl'
tamper "altered metrics" 'file: run/metrics.csv: was altered' 'sed -i "2s/0/1/" run/metrics.csv'
tamper "longer file" 'file: facts.json: has [0-9]+ bytes, the manifest says' 'echo >>facts.json'
tamper "missing file" 'file: run/run_meta.json: is missing' 'rm run/run_meta.json'
tamper "added file" 'file: extra.txt: is not in the manifest' 'echo hi >extra.txt'
tamper "altered manifest" 'signature: manifest.json.sig' 'sed -i "s/\"reason\":\"manual\"/\"reason\":\"Manual\"/" manifest.json'
tamper "altered checkpoint" 'log: log/checkpoint' 'sed -i "2s/.*/1/" log/checkpoint'
tamper "altered leaf" 'log/leaves.*(root of the checkpoint|altered)' 'printf x | dd of=log/leaves bs=1 seek=40 conv=notrunc 2>/dev/null'
tamper "missing signature" 'manifest.json.minisig: is missing' 'rm manifest.json.minisig'
openssl genpkey -algorithm ed25519 -out "$TMP/other.pem" 2>/dev/null
openssl pkey -in "$TMP/other.pem" -pubout -out "$TMP/other.pub" 2>/dev/null
tamper "signed by another" 'key.pem: is not the key that is trusted' \
	'cp "$TMP/other.pub" key.pem; openssl pkeyutl -sign -inkey "$TMP/other.pem" -rawin -in manifest.json -out manifest.json.sig'
head -c 2000 "$TMP/run.tar.zst" >"$TMP/cut.tar.zst"
rc=0
"$BIN" evidence verify "$TMP/cut.tar.zst" --key "$key" >"$TMP/out" 2>&1 || rc=$?
[ $rc -eq 1 ] && grep -qE 'damaged or cut off' "$TMP/out" || fail "a cut pack: exit $rc: $(cat "$TMP/out")"
# nobody vouches for the key: a finding, though the pack is whole
rc=0
"$BIN" evidence verify "$TMP/run.tar.zst" --root "$TMP/nowhere" >"$TMP/out" || rc=$?
[ $rc -eq 1 ] && grep -q 'who made it is not shown' "$TMP/out" || fail "no key: exit $rc: $(cat "$TMP/out")"

# wrong use
for args in "" "--run $run" "--run nosuch -o $TMP/n.tar.zst" "--from 0 -o $TMP/n.tar.zst" "--run $run --since 5m -o $TMP/n.tar.zst" \
	"--from 999999 -o $TMP/n.tar.zst"; do
	rc=0
	# shellcheck disable=SC2086
	"$BIN" evidence export --root "$ROOT" $args >/dev/null 2>"$TMP/err" || rc=$?
	{ [ $rc -eq 1 ] || [ $rc -eq 2 ]; } && [ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "export $args: exit $rc: $(cat "$TMP/err")"
	[ ! -e "$TMP/n.tar.zst" ] || fail "export $args left a file"
done
[ -z "$(find "$state/packs" -name '.stage*')" ] || fail "staging folders are left"
