#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Starts a Kubernetes node of one machine (control plane, kubelet, containerd) below one folder.
#   tests/k8s/node-up.sh FOLDER      what build.sh made is looked for in $WAVEOS_K8S
# The node has its own network, mount and process namespaces: no address, route, rule, mount or file of the machine
# is touched, and all of it ends with one process. Only its cgroups are the machine's: all below /$(basename FOLDER).
# Afterwards: FOLDER/run.sh COMMAND... runs a command on the node, with kubectl, helm and KUBECONFIG in its environment.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath -m "${1:?folder}")
cache=$(realpath "${WAVEOS_K8S:-${XDG_CACHE_HOME:-$HOME/.cache}/waveos-k8s}")
[ -x "$cache/bin/kubelet" ] || { echo "node-up: $cache has no kubelet; run tests/k8s/build.sh" >&2; exit 1; }
[ ! -e "$folder/init.pid" ] || { echo "node-up: $folder has a node; run node-down.sh first" >&2; exit 1; }
mkdir -p "$folder"/{etc,log,run,var-lib,var-log,images,sysctl}

cat >"$folder/run.sh" <<END
#!/bin/bash
export PATH=$cache/bin:\$PATH KUBECONFIG=$folder/etc/admin.conf HELM_CACHE_HOME=$folder/helm/cache
export HELM_CONFIG_HOME=$folder/helm/config HELM_DATA_HOME=$folder/helm/data
exec nsenter --target "\$(cat $folder/init.pid)" --mount --net --pid -- "\$@"
END
chmod +x "$folder/run.sh"

setsid unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc \
	"$here/node.sh" "$folder" "$cache" </dev/null >"$folder/log/node.log" 2>&1 &
echo $! >"$folder/unshare.pid"
for _ in $(seq 100); do
	init=$(ps -o pid= --ppid "$(cat "$folder/unshare.pid")" | tr -d ' ') || true
	[ -n "$init" ] && break
	sleep 0.05
done
echo "${init:?the node did not start, see $folder/log/node.log}" >"$folder/init.pid"

deadline=$((SECONDS + ${WAVEOS_NODE_WAIT:-120}))
until [ -e "$folder/ready" ]; do
	if [ $SECONDS -ge $deadline ] || ! kill -0 "$init" 2>/dev/null; then
		echo "node-up: not ready, see $folder/log" >&2
		tail -n 20 "$folder/log/node.log" >&2
		exit 1
	fi
	sleep 0.2
done
