# shellcheck shell=bash disable=SC2153 # WORK, NAME, BIN are set in lib.sh
# --- rollback: from the command to the last known good running again, with a service that the agent restarts

# bundle_of COUNTER: an app of one program and ROLLBACK_MIB of data
bundle_of() {
	local d=$WORK/bundle-$1
	mkdir -p "$d/files/bin"
	printf '#!/bin/sh\nexec %s serve %s\n' "$PWD/$TOOLS/service_restart" "$WORK/bundle.sock" >"$d/files/bin/server"
	chmod 0755 "$d/files/bin/server"
	head -c "${ROLLBACK_MIB:-16}M" /dev/urandom >"$d/files/data"
	cat >"$d/bundle.yaml" <<-YAML
		kind: app
		name: bench
		version: 1.0.$1
		counter: $1
		trial: {for: 1h, boots: 3}
		hooks: [{on: activate, do: restart-service, service: bench}]
	YAML
	"$BIN" bundle build --dir "$d" -o "$d.wvb" --level 1 --sign "$WORK/key.pem" >/dev/null
	rm -rf "$d"
}
in_trial() { # COUNTER: is in use, its hooks were run
	"$BIN" bundle status --json --root "$ROOT" | jq -e --arg v "1.0.$1" \
		'.slots[0] | .hooks.activate == "" and any(.bundles[]; .version == $v and .state == "trial")' >/dev/null
}
row_rollback() {
	local folder=/$NAME-bundle n=${ROLLBACK_ROUNDS:-20} i
	"$BIN" bundle keygen -o "$WORK/key" >/dev/null
	"$BIN" bundle root init -o "$WORK/root.1.json" --key "bench=$WORK/key.pub.pem" --role all=bench:1 >/dev/null
	"$BIN" bundle sign "$WORK/root.1.json" --key "$WORK/key.pem" >/dev/null
	mkdir -p "$ROOT/etc/waveos"
	cat >"$ROOT/etc/waveos/policy.yaml" <<-YAML
		schema_version: 1
		name: rollback
		features: {restart: true}
		services:
		  - {name: bench, command: [$ROOT/var/lib/waveos/bundles/current/app/bench/bin/server], cgroup: $folder, backoff: 0s}
	YAML
	"$BIN" bundle root pin "$WORK/root.1.json" --root "$ROOT" >/dev/null
	bundle_of 1
	"$BIN" bundle install --root "$ROOT" "$WORK/bundle-1.wvb" >/dev/null
	"$BIN" bundle confirm --root "$ROOT" app/bench
	agent_start
	wait_until 10 test -S "$WORK/bundle.sock" || die "no service"
	for ((i = 2; i < n + 2; i++)); do
		bundle_of "$i"
		"$BIN" bundle install --root "$ROOT" "$WORK/bundle-$i.wvb" >/dev/null || die "bundle $i is not installed"
		rm -f "$WORK/bundle-$i.wvb"
		wait_until 10 in_trial "$i" || die "bundle $i is not in trial"
		"$BIN" bundle rollback --root "$ROOT" app/bench --json 2>/dev/null | jq '.took_ns / 1e6'
		"$BIN" bundle gc --root "$ROOT" >/dev/null
	done >"$WORK/rollback"
	sort -n "$WORK/rollback" >"$WORK/sorted"
	keep rollback_median_ms "$(awk -v n="$n" 'NR == int((n + 1) / 2) {printf "%.0f", $1}' "$WORK/sorted")"
	keep rollback_worst_ms "$(awk 'END {printf "%.0f", $1}' "$WORK/sorted")"
	keep rollback_rounds "$n"
	keep rollback_mib "${ROLLBACK_MIB:-16}"
	"$BIN" detach --root "$ROOT" >/dev/null
	agent_kill
	rm -f "$ROOT/etc/waveos/policy.yaml"
	rmdir "$CGROUP2$folder" 2>/dev/null || true
}
