#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The agent on a real Kubernetes node, from `helm install` to `helm uninstall` (docs/kubernetes.md). Root; what
# tests/k8s/build.sh made is needed ($WAVEOS_K8S). Without it, or where a node cannot run: exit 77.
#   tests/k8s/e2e.sh           O=DIR: build folder; KEEP=1: the node stays for a look at it
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
BIN=${BIN:-$top/${O:-build}/waveos-bpf}
export WAVEOS_K8S=${WAVEOS_K8S:-${XDG_CACHE_HOME:-$HOME/.cache}/waveos-k8s}
chart=$top/packaging/helm/waveos-bpf
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
[ -x "$WAVEOS_K8S/bin/kubelet" ] || { echo "no Kubernetes in $WAVEOS_K8S: run tests/k8s/build.sh"; exit 77; }
node=${TMPDIR:-/tmp}/kube-e2e-$$ # it is part of the paths of cgroups: nothing that looks random
mkdir "$node"
slice=/waveos-k8s-$(basename "$node")
prometheus=http://127.0.0.1:9090

on() { "$node/run.sh" "$@"; }
k() { on kubectl "$@"; }
say() { printf '%7.1f s  %s\n' "$(bc <<<"$(date +%s.%N) - $begin")" "$*"; }
fail() {
	echo "FAIL: $*" >&2
	k get pods -A -o wide >&2 || true
	k get waveospolicies -o yaml >&2 || true
	tail -n 15 "$node"/var-log/pods/*waveos-bpf*/agent/*.log >&2 || true
	exit 1
}
cleanup() {
	local status=$?
	[ -n "${KEEP:-}" ] && kill "${discoverer:-none}" 2>/dev/null
	[ -n "${KEEP:-}" ] && { echo "the node stays: $node/run.sh kubectl ...; tests/k8s/node-down.sh $node"; exit $status; }
	kill "${discoverer:-none}" 2>/dev/null
	rm -rf "${LOGS:-/nonexistent}"
	[ -z "${LOGS:-}" ] || cp -r "$node/log" "$LOGS"
	"$here/node-down.sh" "$node" || status=1
	exit $status
}
trap cleanup EXIT
wait_until() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
ms() { echo $((($(date +%s%N) - $1) / 1000000)); }
begin=$(date +%s.%N)

# The node --------------------------------------------------------------------------------------------------
"$here/node-up.sh" "$node"
say "a node of Kubernetes $(k version -o json | sed -n 's/.*"gitVersion": "\(v1\.2[0-9.]*\)".*/\1/p' | tail -n 1) is ready"
version=$(sed -n 's/^appVersion: "\(.*\)"/\1/p' "$chart/Chart.yaml")
# the image of the release, under the name that the chart asks for
"$top/packaging/oci/rootfs.sh" "$BIN" "$node/images/agent" >/dev/null
python3 "$top/packaging/oci/image.py" --rootfs "$node/images/agent" --output "$node/images/agent.tar" --compression gzip \
	--name "docker.io/library/waveos-bpf:$version" >"$node/log/image.json"
on ctr --address /run/containerd/containerd.sock -n k8s.io images import "$node/images/agent.tar" >/dev/null

# Debian's Prometheus is built without service discovery for Kubernetes: a loop tells it the addresses that
# `role: pod` would find
cat >"$node/prometheus.yml" <<END
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - {job_name: pods, honor_labels: true, file_sd_configs: [{files: [$node/targets.json]}]}
END
echo '[]' >"$node/targets.json"
discover() {
	local old='[]' new
	while [ -e "$node/targets.json" ]; do
		new=$(k get pods -A -o json 2>/dev/null | python3 -c '
import json, sys
a = "prometheus.io/"
pods = [p for p in json.load(sys.stdin)["items"] if p["metadata"].get("annotations", {}).get(a + "scrape") == "true"]
print(json.dumps([{"targets": [p["status"]["podIP"] + ":" + p["metadata"]["annotations"][a + "port"]]} for p in pods
                  if p["status"].get("podIP") and not p["metadata"].get("deletionTimestamp")]))' 2>/dev/null) || new=$old
		[ "$new" = "$old" ] || { echo "$new" >"$node/targets.new" && mv "$node/targets.new" "$node/targets.json"; } 2>/dev/null
		old=$new
		sleep 0.1
	done
}
discover &
discoverer=$!
on prometheus --config.file="$node/prometheus.yml" --storage.tsdb.path="$node/tsdb" --web.listen-address=127.0.0.1:9090 \
	>"$node/log/prometheus.log" 2>&1 &
query() { on curl -s "$prometheus/api/v1/query" --data-urlencode "query=$1"; }
value() { query "$1" | python3 -c 'import json, sys; r = json.load(sys.stdin)["data"]["result"]; print(r[0]["value"][1] if r else "")'; }
wait_until 30 on curl -sf -o /dev/null "$prometheus/-/ready" || fail "Prometheus is not ready"

# helm install -> Running -> scraped ------------------------------------------------------------------------
scraped() { [ "$(value 'max(up{job="pods"}) and on() count(waveos_build_info) > 0')" = 1 ]; }
t0=$(date +%s%N)
on helm install waveos-bpf "$chart" >"$node/log/helm.log" 2>&1 || fail "helm install: $(cat "$node/log/helm.log")"
t_helm=$(ms "$t0")
wait_until 60 scraped || fail "the agent is not scraped"
t_scraped=$(ms "$t0")
say "helm install with no value: returned after $t_helm ms, scraped by Prometheus after $t_scraped ms"
k rollout status daemonset/waveos-bpf --timeout=60s >/dev/null || fail "DaemonSet is not ready"
say "DaemonSet ready after $(ms "$t0") ms"

pod() { k get pod -l app.kubernetes.io/name=waveos-bpf -o 'jsonpath={.items[0].metadata.name}'; }
exec_agent() { k exec "$(pod)" -- /usr/sbin/waveos-bpf "$@"; }
spec=$(k get pod "$(pod)" -o json)
python3 - "$spec" <<'END' || fail "the pod has more rights than it should"
import json, sys
spec = json.loads(sys.argv[1])["spec"]
c = spec["containers"][0]["securityContext"]
assert c["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON", "NET_ADMIN"]}, c
assert c["readOnlyRootFilesystem"] and not c["privileged"] and not c["allowPrivilegeEscalation"], c
assert not spec.get("hostNetwork") and not spec.get("hostPID") and not spec.get("hostIPC"), spec
END
k exec "$(pod)" -- /usr/sbin/waveos-bpf doctor >"$node/log/doctor.txt" || true

# A pod over its budget -------------------------------------------------------------------------------------
cat >"$node/work.yaml" <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: cruncher}
spec:
  replicas: 1
  selector: {matchLabels: {app: cruncher}}
  template:
    metadata: {labels: {app: cruncher, tier: batch}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "waveos.test/pause:1", args: [hog, "1", "0"]}]
END
k apply -f "$node/work.yaml" >/dev/null
k wait --for=condition=Available deployment/cruncher --timeout=30s >/dev/null || fail "the work does not run"
container() { # APP
	k get pod -l "app=$1" -o 'jsonpath={.items[0].status.containerStatuses[0].containerID}' | sed 's|.*/||'
}
folder() { # CONTROLLER CONTAINER: its cgroup, also where the controller is in the v2 tree
	find /sys/fs/cgroup -type d -path "*$slice*" -name "$2" | { grep "/$1[/,]" || grep -m 1 "/unified/" || cat; } | head -n 1
}
crunch=$(container cruncher)
cpu_folder=$(folder cpu "$crunch")
acct_folder=$(folder cpuacct "$crunch")
used() { # share of one CPU in percent over SECONDS
	local a b t0 t1
	t0=$(date +%s%N) a=$(cat "$acct_folder/cpuacct.usage")
	sleep "$1"
	b=$(cat "$acct_folder/cpuacct.usage") t1=$(date +%s%N)
	echo $(((b - a) * 100 / (t1 - t0)))
}
quota() { cat "$cpu_folder/cpu.cfs_quota_us"; }
free=$(used 2)
say "without a policy it uses $free % of one CPU"

policy() { # NAME MODE PRECEDENCE QUOTA
	k apply -f - >/dev/null <<END
apiVersion: waveos.dev/v1alpha1
kind: WaveosPolicy
metadata: {name: $1}
spec:
  mode: $2
  precedence: $3
  policy:
    domains:
      - {name: batch, scope: {labels: [tier=batch]}}
    budgets:
      - {name: batch-small, domain: batch, cpu: {quota: $4}, memory: {max: 48M}}
END
}
reason() { k get waveospolicy "$1" -o "jsonpath={.status.nodes.node-1.conditions[?(@.type==\"$2\")].reason}" 2>/dev/null; }
has_reason() { [ "$(reason "$1" "$2")" = "$3" ]; }
t0=$(date +%s%N)
policy batch monitor 0 20%
wait_until 20 has_reason batch Enforced Monitored || fail "no status: $(reason batch Enforced)"
say "a WaveosPolicy in monitor mode: status written back after $(ms "$t0") ms"
sleep 2
[ "$(quota)" = -1 ] || fail "monitor mode changed a quota: $(quota)"

t0=$(date +%s%N)
k patch waveospolicy batch --type=merge -p '{"spec":{"mode":"enforce"}}' >/dev/null
held() { [ "$(quota)" = 20000 ]; }
wait_until 30 held || fail "the quota is $(quota)"
say "enforced: the pod is held after $(ms "$t0") ms"
wait_until 20 has_reason batch Enforced InForce || fail "status: $(reason batch Enforced)"
[ "$(k get waveospolicy batch -o 'jsonpath={.status.enforcedNodes}')" = 1/1 ] || wait_until 5 k wait --for=condition=Enforced waveospolicy/batch --timeout=1s || fail "no summary"
version=$(k get waveospolicy batch -o 'jsonpath={.status.nodes.node-1.policyVersion}')
k get waveospolicies | sed 's/^/           /'
now=$(used 4)
say "it uses $now % of one CPU now (budget 20 %), policy $version"
[ "$now" -le 25 ] || fail "it is not held"

sed -e 's/cruncher/grower/g' -e 's/"1", "0"/"0", "200"/' "$node/work.yaml" | k apply -f - >/dev/null
k wait --for=condition=Available deployment/grower --timeout=30s >/dev/null
grown=$(container grower)
memory=$(folder memory "$grown")
limited() { [ "$(cat "$memory/memory.limit_in_bytes")" = $((48 << 20)) ]; }
wait_until 15 limited || fail "memory is not limited: $(cat "$memory/memory.limit_in_bytes")"
most=0
killed() {
	local m
	m=$(cat "$memory/memory.max_usage_in_bytes" 2>/dev/null) && most=$m
	[ "$(k get pod -l app=grower -o 'jsonpath={.items[0].status.containerStatuses[0].lastState.terminated.exitCode}')" = 137 ]
}
wait_until 40 killed || fail "a pod over its memory budget lives on"
say "one that grows was ended at $((most >> 20)) MiB (budget 48 MiB)"
[ $most -le $((48 << 20)) ] || fail "it had more than its budget"
k delete deployment grower --wait=false >/dev/null

# Names in metrics ------------------------------------------------------------------------------------------
named() { [ -n "$(value 'count({pod=~"cruncher-.*",namespace="default"})')" ]; }
if wait_until 15 named; then
	say "series with the pod's name: $(value 'count({pod=~"cruncher-.*",namespace="default"})')"
else
	say "no series has the pod's name (metrics.labels is not there)"
fi

# What is wrong, and what comes first -----------------------------------------------------------------------
if k apply -f - >/dev/null 2>&1 <<'END'; then fail "the API server took a mode that does not exist"; fi
apiVersion: waveos.dev/v1alpha1
kind: WaveosPolicy
metadata: {name: bad-mode}
spec: {mode: always, policy: {}}
END
k apply --validate=false -f - >/dev/null <<'END'
apiVersion: waveos.dev/v1alpha1
kind: WaveosPolicy
metadata: {name: misspelt}
spec: {precedence: 9, policy: {budget: []}}
END
wait_until 20 has_reason misspelt Accepted Invalid || fail "a misspelt key was taken"
say "misspelt: $(k get waveospolicy misspelt -o 'jsonpath={.status.nodes.node-1.conditions[0].message}')"
policy lower enforce -1 90%
wait_until 20 has_reason lower Enforced Superseded || fail "precedence does not count: $(reason lower Enforced)"
[ "$(quota)" = 20000 ] || fail "another policy counts"
k delete waveospolicy misspelt lower >/dev/null

# The API server goes away, the limits do not ---------------------------------------------------------------
api=$(on pgrep -x kube-apiserver)
mapfile -d '' -t api_command < <(on cat "/proc/$api/cmdline")
on kill -KILL "$api"
lost() { on cat /var/lib/waveos/log/*.jsonl 2>/dev/null | grep -q '"type":"cluster-lost"'; }
wait_until 40 lost || fail "the log was not told that the API server is away"
[ "$(quota)" = 20000 ] || fail "the limit went with the API server"
on "${api_command[@]}" >"$node/log/apiserver-2.log" 2>&1 &
back() { on cat /var/lib/waveos/log/*.jsonl | grep -q '"type":"cluster-back"'; }
wait_until 150 back || fail "the agent does not find the API server again"
say "the API server was away: recorded, the limit held, and it is watched again"

# An upgrade leaves no gap, an uninstall nothing ------------------------------------------------------------
old=$(pod)
gaps=0
on helm upgrade waveos-bpf "$chart" --set-string podAnnotations.turn=2 >/dev/null 2>&1 || fail "helm upgrade"
replaced() {
	[ "$(quota)" = 20000 ] || gaps=$((gaps + 1))
	[ "$(pod)" != "$old" ] && has_ready
}
has_ready() { [ "$(k get daemonset waveos-bpf -o 'jsonpath={.status.numberReady}/{.status.updatedNumberScheduled}')" = 1/1 ]; }
wait_until 90 replaced || fail "the upgrade does not end"
[ $gaps = 0 ] || fail "the limit was gone during the upgrade"
wait_until 30 has_reason batch Enforced InForce || fail "not in force after the upgrade"
say "helm upgrade: another pod runs, the limit was there all the time"

on helm uninstall waveos-bpf >/dev/null || fail "helm uninstall"
gone() { [ -z "$(k get pod -l app.kubernetes.io/name=waveos-bpf -o name)" ]; }
wait_until 60 gone || fail "the pod stays"
[ "$(quota)" = -1 ] || fail "the quota stays: $(quota)"
left=$(on find /sys/fs/bpf -mindepth 1 -path '*waveos*' | head -n 5)
[ -z "$left" ] || fail "pins are left: $left"
rest=$(k get all,configmap,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding,networkpolicy -A -o name | grep waveos || true)
[ -z "$rest" ] || fail "objects are left: $rest"
say "helm uninstall: no pod, pin, quota or object is left (the CRD, as always with Helm, and the log of the node stay)"

# The profile that only looks -------------------------------------------------------------------------------
on helm install waveos-bpf "$chart" --set profile=observe >/dev/null 2>&1 || fail "helm install of observe"
wait_until 60 scraped || fail "profile observe is not scraped"
k rollout status daemonset/waveos-bpf --timeout=60s >/dev/null
[ "$(k get pod "$(pod)" -o 'jsonpath={.spec.containers[0].securityContext.capabilities.add}')" = '["BPF","PERFMON"]' ] || fail "capabilities of observe"
wait_until 30 has_reason batch Enforced Monitored || fail "observe enforces: $(reason batch Enforced)"
[ "$(quota)" = -1 ] || fail "observe changed a quota"
say "profile observe: two capabilities, scraped, the policy is monitored"
on helm uninstall waveos-bpf >/dev/null
echo "ok: helm install -> scraped in $t_scraped ms"
