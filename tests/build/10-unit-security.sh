#!/bin/bash
# The unit is well formed, exposes at most what systemd rates with 2.5, and so does each drop-in with what it says it gives.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v systemd-analyze >/dev/null || { echo "no systemd-analyze"; exit 77; }
U=packaging/systemd
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
rating() {
	systemd-analyze security --no-pager --offline=true "$1" 2>/dev/null | sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p'
}
if ! systemd-analyze security --no-pager --offline=true --threshold=25 $U/waveos-bpf.service >"$tmp/out" 2>&1; then
	grep -E '✗|→' "$tmp/out"
	exit 1
fi
echo "unit: $(rating $U/waveos-bpf.service)"

# nothing that systemd does not know; that the program is not installed here is no fault
sed 's#^ExecStart=.*#ExecStart=/bin/true#; /^Documentation=/d' $U/waveos-bpf.service >"$tmp/waveos-bpf.service"
systemd-analyze verify "$tmp/waveos-bpf.service" >"$tmp/verify" 2>&1 || { cat "$tmp/verify"; exit 1; }
[ ! -s "$tmp/verify" ] || { cat "$tmp/verify"; exit 1; }
for c in "$U"/*.conf; do
	{ cat "$tmp/waveos-bpf.service"; sed '/^#/d' "$c"; } >"$tmp/x.service"
	systemd-analyze verify "$tmp/x.service" >"$tmp/verify" 2>&1 || true
	[ ! -s "$tmp/verify" ] || { cat "$tmp/verify"; exit 1; }
	# a drop-in that gave nothing would be no drop-in
	r=$(rating "$tmp/x.service")
	[ "$r" != "$(rating $U/waveos-bpf.service)" ] || { echo "$c changes nothing"; exit 1; }
	echo "with $(basename "$c"): $r"
done
# each directive that is missing or weak has a reason in a comment
for d in User PrivateUsers ProtectControlGroups ProtectProc PrivateNetwork; do
	grep -q "^# no .*$d=" $U/waveos-bpf.service || grep -q "^$d=" $U/waveos-bpf.service || {
		echo "no word about $d="
		exit 1
	}
done
while read -r c; do
	grep -qE "^# .*\b$c\b.*:" $U/waveos-bpf.service || { echo "no reason for CAP_$c"; exit 1; }
done < <(grep -oP '^CapabilityBoundingSet=\K.*' $U/waveos-bpf.service | tr ' ' '\n' | sed 's/CAP_//')
