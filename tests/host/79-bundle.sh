#!/bin/bash
# Bundles on a machine: what is refused and why; an app whose service the agent runs, updated, confirmed, rolled
# back when it crashes, does not answer or loops; policies by bundle; kill -9 at random points of an install; a disk
# that is full or read-only. Everything is real but the place (--root).
. "$(dirname "$0")/lib.sh"

top=wvtest-bundle-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
at_exit cgroup_remove "$dir/shop"
STATE=$ROOT/var/lib/waveos
cd "$TMP"
B() { "$BIN" bundle "$@"; }
rc_of() { # WANTED COMMAND...: runs it and compares its exit code; what it said is in $TMP/said
	local wanted=$1 rc=0
	shift
	"$@" >"$TMP/said" 2>&1 || rc=$?
	[ "$rc" -eq "$wanted" ] || fail "$*: exit $rc, not $wanted: $(cat "$TMP/said")"
}
says() { grep -q "$1" "$TMP/said" || fail "it does not say '$1': $(cat "$TMP/said")"; }
install() { # WANTED FILE [OPTIONS]
	local wanted=$1
	shift
	rc_of "$wanted" B install --root "$ROOT" "$@"
}
status() { B status --json --root "$ROOT"; }
# state_of KIND/NAME VERSION
state_of() { status | jq -r --arg k "${1%/*}" --arg n "${1#*/}" --arg v "$2" \
	'.slots[] | select(.kind == $k and .name == $n) | .bundles[] | select(.version == $v) | .state'; }
is() { [ "$(state_of "$1" "$2")" = "$3" ]; }
B keygen -o alice >/dev/null
B keygen -o mallory >/dev/null
B root init -o root.1.json --key alice=alice.pub.pem --role all=alice:1 >/dev/null
B sign root.1.json --key alice.pem >/dev/null

# app COUNTER SCRIPT [LINES OF SPEC]: shop-<counter>.wvb whose bin/shop is the script
app() {
	mkdir -p "app$1/files/bin"
	printf '#!/bin/sh\n%s\n' "$2" >"app$1/files/bin/shop"
	chmod 0755 "app$1/files/bin/shop"
	{
		printf 'kind: app\nname: shop\nversion: 1.0.%s\ncounter: %s\n' "$1" "$1"
		shift 2
		printf '%s\n' "$@"
	} >"app$COUNT/bundle.yaml"
	B build --dir "app$COUNT" -o "shop-$COUNT.wvb" --sign "${KEY:-alice.pem}" >/dev/null
}
trial='trial: {for: 300ms, boots: 2}'
env='environments: [dev]'

# 1. what is refused, and that nothing is there then
COUNT=1 app 1 'true' "$env" "$trial"
install 1 shop-1.wvb
says 'trusts nobody'
rc_of 0 B root pin root.1.json --root "$ROOT"
KEY=mallory.pem COUNT=1 app 1 'true' "$env" "$trial"
install 1 shop-1.wvb
COUNT=2 app 2 'true' "$env" "$trial" 'devices: ["waveos/0000000000000000"]'
install 1 shop-2.wvb
says 'other devices'
COUNT=2 app 2 'true' 'environments: [prod]' "$trial"
install 1 shop-2.wvb
says 'environment dev'
COUNT=2 app 2 'true' "$env" "$trial" 'min_waveos: 99.0.0'
install 1 shop-2.wvb
says '99.0.0'
SOURCE_DATE_EPOCH=$(($(date +%s) - 864000)) COUNT=2 app 2 'true' "$env" "$trial" 'expires: 1d'
install 1 shop-2.wvb
says 'expire'
COUNT=2 app 2 'true' "$env" "$trial"
install 5 --reserve 100T shop-2.wvb
says 'does not fit'
head -c 300 shop-2.wvb >torn.wvb
install 1 torn.wvb
[ ! -e "$STATE/bundles/current" ] || fail "something is active after refusals"
[ -z "$(find "$STATE/bundles" -maxdepth 1 -name '[0-9a-f]*' -type d 2>/dev/null | grep -E '/[0-9a-f]{64}$')" ] || fail "something is stored after refusals"

# 2. the first one, without an agent; older ones and the same again are refused
install 0 --wait shop-2.wvb
is app/shop 1.0.2 confirmed || fail "not confirmed: $(status)"
COUNT=1 app 1 'true' "$env" "$trial"
install 1 shop-1.wvb
says 'not above 2'
install 1 shop-2.wvb
says 'in use already'

# the agent's own executable as a file of a bundle: then that bundle is what runs
mkdir -p own/files/bin
cp "$BIN" own/files/bin/waveos-bpf
printf 'kind: app\nname: agent\nversion: 1.0.0\ncounter: 1\n%s\n%s\n' "$env" "$trial" >own/bundle.yaml
B build --dir own -o own.wvb --level 1 --sign alice.pem >/dev/null
install 0 --wait own.wvb
own=$STATE/bundles/current/app/agent/bin/waveos-bpf
[ "$("$own" version --json | jq -r .bundle_id)" = "$(status | jq -r '.slots[] | select(.name == "agent") | .active')" ] ||
	fail "bundle_id: $("$own" version --json)"
cp "$own" elsewhere
[ "$(./elsewhere version --json | jq -r .bundle_id)" = "$(sha256sum <"$BIN" | cut -d' ' -f1)" ] || fail "bundle_id of a copy"

# 3. with an agent that runs the service from the active bundle
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: base
features: {restart: true}
services:
  - {name: shop, command: ["$STATE/bundles/current/app/shop/bin/shop"], cgroup: /$top/shop, backoff: 10ms, backoff_max: 50ms}
YAML
hooks='hooks: [{on: activate, do: restart-service, service: shop}]'
health='health: [{kind: service, target: shop, every: 100ms, within: 100ms, failures: 2}, {kind: agent, every: 200ms, within: 2s, failures: 3}]'
good() { echo "echo $1 >$TMP/version; exec sleep 100$1"; }
start() { agent_start --set agent.tick=200ms; }
start
runs() { [ "$(cat "$TMP/version" 2>/dev/null)" = "$1" ] && pgrep -f "^sleep 100$1\$" >/dev/null; }
COUNT=3 app 3 "$(good 3)" "$env" "$trial" "$hooks" "$health"
install 0 --wait --timeout 20s shop-3.wvb
is app/shop 1.0.3 confirmed || fail "3: $(status) $(cat said)"
wait_until 5 runs 3 || fail "3 does not run"
COUNT=4 app 4 "$(good 4)" "$env" "$trial" "$hooks" "$health"
install 0 --wait --timeout 20s shop-4.wvb
is app/shop 1.0.4 confirmed || fail "4: $(status)"
is app/shop 1.0.3 superseded || fail "3 beside 4: $(status)"
wait_until 5 runs 4 || fail "4 does not run"

# records of the log; how long from the verdict until the hooks of the rollback were run
record() { cat "$STATE/log/events.jsonl"; }
rollback_ms() { record | jq -rs '[.[] | select(.type == "bundle-outcome")] | (map(select(.deed == "fail")) | last) as $f
	| (map(select(.deed == "hooks" and .seq > $f.seq)) | last) as $h | ($h.mono_ns - $f.mono_ns) / 1e6 | floor'; }
back_to_4() { # WHAT
	is app/shop 1.0.4 confirmed || fail "$1: not back: $(status) $(cat said)"
	wait_until 5 runs 4 || fail "$1: 4 does not run: $(cat "$TMP/version")"
	local ms
	ms=$(rollback_ms)
	echo "rollback after $1: $ms ms"
	[ "$ms" -le 1000 ] || fail "$1: the rollback took $ms ms"
}
# 4. crashes at once; runs but does not answer; fails its hook
COUNT=5 app 5 'exit 1' "$env" "$trial" "$hooks" "$health"
install 1 --wait --timeout 30s shop-5.wvb
is app/shop 1.0.5 rolled-back || fail "5: $(status)"
back_to_4 "a crash"
COUNT=6 app 6 "$(good 6)" "$env" "$trial" "$hooks" \
	'health: [{kind: http, target: "http://127.0.0.1:9/health", every: 100ms, within: 100ms, failures: 3}]'
install 1 --wait --timeout 30s shop-6.wvb
says 'http'
back_to_4 "no answer"
COUNT=7 app 7 "$(good 7)" "$env" "$trial" 'hooks: [{on: activate, do: restart-service, service: nobody}]'
install 1 --wait --timeout 30s shop-7.wvb
says 'nobody'
install 1 shop-6.wvb
says 'not above\|rolled back'

# 5. by hand
COUNT=8 app 8 "$(good 8)" "$env" 'trial: {for: 1h, boots: 2}' "$hooks" "$health"
install 0 shop-8.wvb
wait_until 5 runs 8 || fail "8 does not run"
install 1 shop-8.wvb
rc_of 0 B rollback --root "$ROOT" app/shop --json
tail -n 1 said | jq -e '.took_ns < 1000000000' >/dev/null || fail "rollback by hand: $(cat said)"
back_to_4 "a command"
install 1 shop-8.wvb
says 'rolled back before'
install 0 --again shop-8.wvb
wait_until 5 runs 8 || fail "8 does not run again"
rc_of 0 B confirm --root "$ROOT" app/shop
is app/shop 1.0.8 confirmed || fail "8: $(status)"
B gc --root "$ROOT" --pin "$(status | jq -r '.slots[].bundles[] | select(.version == "1.0.3") | .bundle')" >/dev/null
rc_of 0 B gc --root "$ROOT"
[ "$(status | jq -r '[.slots[] | select(.name == "shop") | .bundles[].version] | sort | join(" ")')" = "1.0.3 1.0.4 1.0.8" ] || fail "gc: $(status)"
[ "$(find "$STATE/bundles" -maxdepth 1 -type d | grep -cE '/[0-9a-f]{64}$')" -eq 4 ] || fail "gc left more: $(ls "$STATE/bundles")"

# 6. boot loop: the agent is killed in trial, again and again
COUNT=9 app 9 "$(good 9)" "$env" 'trial: {for: 1h, boots: 2}' "$hooks"
install 0 shop-9.wvb
wait_until 5 runs 9 || fail "9 does not run"
for _ in 1 2; do
	agent_kill
	start
	is app/shop 1.0.9 trial || fail "9 is not in trial: $(status)"
done
agent_kill
start
is app/shop 1.0.9 rolled-back || fail "no rollback in a boot loop: $(status)"
status | jq -e '.slots[].bundles[] | select(.version == "1.0.9") | .cause | test("boot loop")' >/dev/null || fail "cause: $(status)"
wait_until 5 runs 8 || fail "8 does not run after the boot loop"

# a service that answers, well and not well
if command -v python3 >/dev/null; then
	cat >serve.py <<-'PY'
		import http.server, sys

		class Handler(http.server.BaseHTTPRequestHandler):
		    def do_GET(self):
		        self.send_response(int(sys.argv[1]) if self.path == "/health" else 404)
		        self.end_headers()

		http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
	PY
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	serve() { echo "echo $1 >$TMP/version; exec python3 $TMP/serve.py $1 $port"; }
	rule="health: [{kind: http, target: \"http://127.0.0.1:$port/health\", every: 100ms, within: 5s, failures: 5}]"
	COUNT=10 app 10 "$(serve 500)" "$env" "$trial" "$hooks" "$rule"
	install 1 --wait --timeout 40s shop-10.wvb
	says 'status 500'
	is app/shop 1.0.10 rolled-back || fail "10: $(status)"
	wait_until 5 runs 8 || fail "8 does not run after status 500"
	COUNT=11 app 11 "$(serve 200)" "$env" "$trial" "$hooks" "$rule"
	install 0 --wait --timeout 40s shop-11.wvb
	is app/shop 1.0.11 confirmed || fail "11: $(status)"
	rc_of 0 B rollback --root "$ROOT" app/shop
	wait_until 5 runs 8 || fail "8 does not run after a rollback by hand"
else
	echo "no python3: a service that answers is not tested"
fi

# 7. policy by bundle
in_force() { "$BIN" status --json --root "$ROOT" | jq -r .policy_version; }
policy() { # COUNTER TEXT
	mkdir -p "pol$1/files"
	cat "$ROOT/etc/waveos/policy.yaml" >"pol$1/files/policy.yaml"
	sed -i "s/^name: base/name: bundled$1/" "pol$1/files/policy.yaml"
	printf '%s\n' "$2" >>"pol$1/files/policy.yaml"
	printf 'kind: policy\nname: main\nversion: 1.0.%s\ncounter: %s\n%s\n%s\n' "$1" "$1" "$env" "$trial" >"pol$1/bundle.yaml"
	B build --dir "pol$1" -o "policy-$1.wvb" --sign alice.pem >/dev/null
}
policy 1 ''
install 0 --wait --timeout 20s policy-1.wvb
[[ $(in_force) == bundled1@* ]] || fail "policy in force: $(in_force)"
policy 2 'nonsense: true'
install 1 --wait --timeout 20s policy-2.wvb
says 'refused'
[[ $(in_force) == bundled1@* ]] || fail "policy in force after a bad one: $(in_force)"
is policy/main 1.0.1 confirmed || fail "policy: $(status)"
# damage on disk: not used at the next start
agent_stop
chmod u+w "$STATE/bundles/$(status | jq -r '.slots[] | select(.kind == "policy") | .active')/files/policy.yaml"
echo '# more' >>"$(readlink -f "$STATE/bundles/current/policy/main/policy.yaml")"
start
[[ $(in_force) == base@* ]] || fail "a damaged policy is in force: $(in_force)"
agent_stop

# certificates: below current/cert/<name>/, all of them switched at once, and back
if command -v openssl >/dev/null; then
	made() { # COUNTER: an authority and a certificate of it
		mkdir -p "cert$1/files"
		openssl req -x509 -newkey ed25519 -nodes -days 30 -subj "/CN=authority $1" -keyout ca.key \
			-out "cert$1/files/ca.pem" 2>/dev/null
		openssl req -newkey ed25519 -nodes -subj /CN=device -keyout device.key -out device.csr 2>/dev/null
		openssl x509 -req -in device.csr -CA "cert$1/files/ca.pem" -CAkey ca.key -days 30 -set_serial "$1" \
			-out "cert$1/files/device.pem" 2>/dev/null
		printf 'kind: cert\nname: site\nversion: 1.0.%s\ncounter: %s\n%s\n%s\n' "$1" "$1" "$env" 'trial: {for: 1h, boots: 2}' >"cert$1/bundle.yaml"
		B build --dir "cert$1" -o "cert-$1.wvb" --sign alice.pem >/dev/null
	}
	site=$STATE/bundles/current/cert/site
	# both files are always of one set: whoever resolves the folder once sees one
	one_set() {
		local d
		for _ in $(seq 200); do
			d=$(readlink -f "$site") && [ -d "$d" ] || continue
			openssl verify -CAfile "$d/ca.pem" "$d/device.pem" >/dev/null 2>&1 || {
				echo "two sets in $d" >two-sets
				return
			}
		done
	}
	made 1
	install 0 cert-1.wvb
	rc_of 0 B confirm --root "$ROOT" cert/site
	cmp "$site/ca.pem" cert1/files/ca.pem && cmp "$site/device.pem" cert1/files/device.pem || fail "certificates: $(ls -l "$site/")"
	made 2
	one_set &
	watcher=$!
	install 0 cert-2.wvb
	cmp "$site/ca.pem" cert2/files/ca.pem && cmp "$site/device.pem" cert2/files/device.pem || fail "new certificates: $(ls -l "$site/")"
	rc_of 0 B rollback --root "$ROOT" cert/site
	wait "$watcher"
	[ ! -e two-sets ] || fail "$(cat two-sets)"
	cmp "$site/ca.pem" cert1/files/ca.pem && cmp "$site/device.pem" cert1/files/device.pem || fail "certificates after a rollback: $(ls -l "$site/")"
	is cert/site 1.0.2 rolled-back && is cert/site 1.0.1 confirmed || fail "cert: $(status)"
else
	echo "no openssl: certificates are not tested"
fi

# 8. kill -9 at random points: always whole, and the next try works
mkdir -p app20/files
head -c 6000000 /dev/urandom >app20/files/blob
for i in 1 2 3 4 5 6 7 8; do head -c 200000 /dev/urandom >"app20/files/part$i"; done
COUNT=20 app 20 'true' "$env" "$trial"
whole() { # what is linked is what its manifest says
	local f
	[ -e "$STATE/bundles/current/app/shop" ] || fail "no shop is active"
	f=$(dirname "$(readlink -f "$STATE/bundles/current/app/shop")")
	[ "$(sha256sum <"$f/manifest.json" | cut -d' ' -f1)" = "$(basename "$f")" ] || fail "manifest of $f"
	jq -r '.files[] | "\(.sha256)  files/\(.path)"' "$f/manifest.json" | (cd "$f" && sha256sum --quiet -c -) || fail "files of $f"
}
RANDOM=7
for _ in $(seq 20); do
	"$BIN" bundle install --root "$ROOT" shop-20.wvb >/dev/null 2>&1 &
	p=$!
	read -rt "0.0$((RANDOM % 90 + 10))" <> <(:) || true
	kill -KILL $p 2>/dev/null || true
	wait $p 2>/dev/null || true
	whole
	rc_of 0 B status --root "$ROOT"
	if is app/shop 1.0.20 trial; then B rollback --root "$ROOT" app/shop >/dev/null 2>&1 || fail "rollback after a kill"; fi
done
install 0 --wait --timeout 20s --again shop-20.wvb || fail "install after kills"
is app/shop 1.0.20 confirmed || fail "20: $(status)"
whole

# 9. a disk of its own: full while staging, full at the rollback, read-only
if mkdir -p "$TMP/disk" && mount -t tmpfs -o size=24M tmpfs "$TMP/disk" 2>/dev/null; then
	at_exit umount -l "$TMP/disk"
	OLD=$ROOT
	ROOT=$TMP/disk/root STATE=$TMP/disk/root/var/lib/waveos
	rc_of 0 B root pin root.1.json --root "$ROOT"
	COUNT=1 app 1 'true' "$env" "$trial"
	COUNT=2 app 2 'true' "$env" "$trial"
	install 0 --wait --reserve 1M shop-1.wvb
	head -c 20M /dev/zero >"$TMP/disk/fill" 2>/dev/null || true
	install 5 --reserve 64K shop-20.wvb
	says 'does not fit'
	[ -z "$(ls "$STATE/bundles/staging")" ] || fail "a full disk left something half made"
	is app/shop 1.0.1 confirmed || fail "full disk: $(status)"
	install 0 --reserve 64K shop-2.wvb
	head -c 20M /dev/zero >"$TMP/disk/fill2" 2>/dev/null || true
	B rollback --root "$ROOT" app/shop >said 2>&1 || fail "rollback on a full disk: $(cat said)"
	is app/shop 1.0.1 confirmed || fail "full disk, rollback: $(status)"
	whole
	rm -f "$TMP/disk/fill" "$TMP/disk/fill2"
	# read-only in a mount namespace of its own, whoever else has files of that disk open
	# shellcheck disable=SC2016 # $0 and $@ are the inner shell's
	readonly_run=(unshare --mount --propagation private sh -c 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"' "$TMP/disk")
	rc_of 4 "${readonly_run[@]}" "$BIN" bundle install --root "$ROOT" --reserve 64K shop-20.wvb
	says 'Read-only file system'
	rc_of 4 "${readonly_run[@]}" "$BIN" bundle rollback --root "$ROOT" --to-nothing app/shop
	says 'Read-only file system'
	rc_of 0 "${readonly_run[@]}" "$BIN" bundle status --root "$ROOT"
	is app/shop 1.0.1 confirmed || fail "read-only: $(status)"
	whole
	install 0 --reserve 64K --wait shop-20.wvb
	ROOT=$OLD
else
	echo "no tmpfs can be mounted here: full and read-only disks are not tested"
fi
