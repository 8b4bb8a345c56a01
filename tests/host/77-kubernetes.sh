#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Pods and policies from an API server that is a stub (kube-stub.py); the real one: make e2e-k8s. Names of a container's
# cgroup, a policy that is handed over, replaced, refused, kept while the server is away, and taken back.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root"
api=$TMP/api
mkdir "$api"
uid=0b1c2d3e-4f50-4617-8829-3a4b5c6d7e8f
id=$(printf 'ab%.0s' $(seq 32))
top=$(cgroup_make "waveos-kube-$$")
cgroup=$top/kubepods/besteffort/pod$uid/$id
mkdir -p "$cgroup"
drop_cgroups() { find "$top" -depth -type d -exec rmdir {} \;; }
at_exit drop_cgroups

cat >"$api/pods.json" <<END
[{"metadata": {"name": "front-1", "namespace": "shop", "uid": "$uid", "labels": {"tier": "batch"},
  "ownerReferences": [{"kind": "DaemonSet", "name": "front", "controller": true}]},
  "status": {"containerStatuses": [{"name": "nginx", "containerID": "containerd://$id"}]}}]
END
policy() { # NAME MODE QUOTA
	cat >"$api/new" <<END
[{"metadata": {"name": "$1", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "1"},
  "spec": {"mode": "$2", "policy": {"domains": [{"name": "d", "scope": {"labels": ["tier=batch"]}}],
  "budgets": [{"name": "b", "domain": "d", "cpu": {"quota": "$3"}}]}}}]
END
	mv "$api/new" "$api/waveospolicies.json"
}
policy first monitor 20%
serve() {
	rm -f "$api/port"
	python3 "$(dirname "$0")/kube-stub.py" "$api" &
	stub=$!
	wait_until 20 test -e "$api/port" || fail "the stub does not start"
}
stop_stub() { kill "$stub" && wait "$stub"; }
serve
at_exit stop_stub
agent_start --set kubernetes.enabled=on --set kubernetes.node=n1 --set "kubernetes.server=http://127.0.0.1:$(cat "$api/port")" \
	--set kubernetes.token= --set kubernetes.ca= --set agent.tick=200ms

pods=$ROOT/var/lib/waveos/kubernetes/pods
named() { grep -qs '"pod":"front-1"' "$pods/$id.json"; }
wait_until 20 named || fail "the pod has no name"
grep -q '"owner":"DaemonSet' "$pods/$id.json" || fail "the owner is missing"
in_force() { "$BIN" status --root "$ROOT" --json 2>/dev/null | grep -q "\"policy_version\": *\"$1@"; }
wait_until 20 in_force first || fail "the policy is not in force"
told() { grep -qs "$1/status .*\"reason\":\"$2\"" "$api/patches"; }
wait_until 20 told first Monitored || fail "no status of the first policy"
"$BIN" policy explain --root "$ROOT" "${cgroup#"$CGROUP2"}" >"$TMP/explain" || true
grep -q front-1 "$TMP/explain" || grep -q 'domain.*d' "$TMP/explain" || fail "explain does not know the pod: $(cat "$TMP/explain")"

# another one, by 410 and a list
policy second enforce 30%
wait_until 30 in_force second || fail "the second policy is not in force"
wait_until 20 told second InForce || fail "no status of the second policy"

# one that is wrong leaves what is in force
policy third enforce nonsense
wait_until 30 told third Invalid || fail "no status of a policy that is wrong"
in_force second || fail "a wrong policy put another out of force"

# nobody there: all stays, and the log is told
kill "$stub"
wait "$stub" 2>/dev/null || true
lost() { grep -qs '"type":"cluster-lost"' "$ROOT"/var/lib/waveos/log/events.jsonl; }
wait_until 40 lost || fail "the log was not told that the server is away"
in_force second || fail "the policy went with the server"
named || fail "the name went with the server"
grep -q '"outcome":"taken"' "$ROOT"/var/lib/waveos/log/events.jsonl || fail "no record of what was taken"
agent_stop
[ -s "$ROOT/var/lib/waveos/kubernetes/policy.yaml" ] || fail "the policy is not kept"
echo "named, taken, replaced, refused, kept"
