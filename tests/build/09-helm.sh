#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The chart without a cluster: its CRD is the one that the policy schema gives, and its values are checked. With helm
# ($HELM, or what tests/k8s/build.sh has): lint, what is rendered, what is refused.
set -euo pipefail
cd "$(dirname "$0")/../.."

chart=packaging/helm/waveos-bpf
python3 packaging/helm/crd.py docs/policy.schema.json | diff - $chart/crds/waveospolicies.yaml ||
	{ echo "the CRD is not that of docs/policy.schema.json: make helm"; exit 1; }
fresh=$(mktemp -d)
packaging/helm/files.sh packaging/mixin "$fresh"
diff -r "$fresh" $chart/files || { echo "dashboards or rules are not those of packaging/mixin: make helm"; exit 1; }
rm -rf "$fresh"
python3 -m json.tool $chart/values.schema.json >/dev/null

helm=${HELM:-${WAVEOS_K8S:-${XDG_CACHE_HOME:-$HOME/.cache}/waveos-k8s}/bin/helm}
command -v "$helm" >/dev/null || { echo "CRD is right; no helm here for the rest"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export HELM_CACHE_HOME=$out/c HELM_CONFIG_HOME=$out/f HELM_DATA_HOME=$out/d
"$helm" lint --strict --quiet $chart
render() { "$helm" template waveos-bpf $chart --kube-version 1.20.2 "$@" >"$out/all.yaml" 2>"$out/error"; }
has() { grep -qE -- "$1" "$out/all.yaml" || { echo "rendered without: $1"; exit 1; }; }
lacks() { ! grep -qE -- "$1" "$out/all.yaml" || { echo "rendered with: $1"; exit 1; }; }

render
has 'drop: \[ALL\]'
has 'privileged: false'
has 'readOnlyRootFilesystem: true'
has 'hostPID: false'
has 'priorityClassName: system-node-critical'
[ "$(sed -n '/add:/,/startupProbe/p' "$out/all.yaml" | grep -c '^ *- ')" = 3 ] || { echo "not three capabilities"; exit 1; }
lacks 'kind: ServiceMonitor'
render --set profile=observe
[ "$(sed -n '/add:/,/startupProbe/p' "$out/all.yaml" | grep -c '^ *- ')" = 2 ] || { echo "observe has not two capabilities"; exit 1; }
has 'mountPath: /sys/fs/cgroup, readOnly: true'
render --api-versions monitoring.coreos.com/v1/ServiceMonitor
has 'kind: ServiceMonitor'
render --api-versions monitoring.coreos.com/v1/PrometheusRule
has 'kind: PrometheusRule'
has 'runbook_url'
has 'grafana_dashboard: "1"'
render --set kubernetes.policies=false
lacks 'waveospolicies'

refused() { ! render "$@" || { echo "taken: $*"; exit 1; }; }
refused --set profile=privileged
refused --set metrics.port=80
refused --set image.digest=latest
refused --set extraCapabilities='{SYS_MODULE}'
refused --set extraCapabilities='{KILL,SETUID,SETGID}'
refused --set hostPid=true
refused --set stateHostPath=relative
refused --set updateStrategy.maxUnavailable=0
echo "chart: rendered in five ways, eight wrong values refused"
