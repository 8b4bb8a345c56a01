#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The node, inside of its namespaces (node-up.sh). Its first process: all others end with it.
set -euo pipefail

folder=$1 cache=$2
here=$(cd "$(dirname "$0")" && pwd)
name=node-1
node_ip=192.168.99.1 service_ip=10.96.0.1
cgroup=/waveos-k8s-$(basename "$folder")
export PATH=$cache/bin:$PATH
etc=$folder/etc log=$folder/log

# What a node writes below these stays in the folder.
mount --bind "$folder/run" /run
mount --bind "$folder/var-lib" /var/lib
mount --bind "$folder/var-log" /var/log
mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/netns /var/lib/kubelet

# The kubelet insists on a few settings of the kernel, which are the whole machine's: it finds them as it wants them.
fake() {
	[ -e "/proc/sys/$1" ] || return 0
	echo "$2" >"$folder/sysctl/${1//\//-}"
	mount --bind "$folder/sysctl/${1//\//-}" "/proc/sys/$1"
}
fake vm/overcommit_memory 1
fake vm/panic_on_oom 0
fake kernel/panic 10
fake kernel/panic_on_oops 1
fake kernel/keys/root_maxkeys 1000000
fake kernel/keys/root_maxbytes 25000000

ip link set lo up
ip addr add $node_ip/32 dev lo
ip addr add $service_ip/32 dev lo # without kube-proxy the API server itself listens there
ip route add default dev lo

# The cgroup that everything of the node is below; a cpuset must have been given something before it can be used.
for h in /sys/fs/cgroup/*/; do
	mkdir -p "$h$cgroup" 2>/dev/null || continue
	for f in cpuset.cpus cpuset.mems; do
		[ -e "$h$cgroup/$f" ] && cat "$h$f" >"$h$cgroup/$f"
	done
done
[ -e /sys/fs/cgroup/cgroup.controllers ] && mkdir -p "/sys/fs/cgroup$cgroup"

# Certificates ------------------------------------------------------------------------------------------------
ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=test-ca" \
		-keyout "$etc/ca.key" -out "$etc/ca.crt" 2>/dev/null
}
cert() { # NAME SUBJECT [SAN]
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$etc/$1.key" \
		-out "$etc/$1.csr" 2>/dev/null
	openssl x509 -req -in "$etc/$1.csr" -CA "$etc/ca.crt" -CAkey "$etc/ca.key" -CAcreateserial -days 2 \
		-extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s' "${3:+subjectAltName=$3}") \
		-out "$etc/$1.crt" 2>/dev/null
}
kubeconfig() { # NAME
	cat >"$etc/$1.conf" <<END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://$node_ip:443", certificate-authority: $etc/ca.crt}}]
users: [{name: me, user: {client-certificate: $etc/$1.crt, client-key: $etc/$1.key}}]
contexts: [{name: test, context: {cluster: test, user: me}}]
current-context: test
END
}
ca
cert apiserver /CN=apiserver "IP:$node_ip,IP:$service_ip,IP:127.0.0.1,DNS:kubernetes.default.svc"
cert admin /O=system:masters/CN=admin
cert controller /CN=system:kube-controller-manager
cert scheduler /CN=system:kube-scheduler
cert kubelet "/O=system:nodes/CN=system:node:$name" "IP:$node_ip,DNS:$name"
for c in admin controller scheduler kubelet; do kubeconfig $c; done
openssl genrsa -out "$etc/sa.key" 2048 2>/dev/null
openssl rsa -in "$etc/sa.key" -pubout -out "$etc/sa.pub" 2>/dev/null

# Control plane -----------------------------------------------------------------------------------------------
start() { # NAME COMMAND...
	local n=$1
	shift
	"$@" >"$log/$n.log" 2>&1 &
}
until_ok() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "not in time: $*"; exit 1; }
		sleep 0.1
	done
}
start etcd etcd --data-dir "$folder/etcd" --listen-client-urls http://127.0.0.1:2379 --unsafe-no-fsync \
	--advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
start apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=443 --bind-address=0.0.0.0 \
	--advertise-address=$node_ip --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=Node,RBAC \
	--allow-privileged=true --client-ca-file="$etc/ca.crt" --tls-cert-file="$etc/apiserver.crt" \
	--tls-private-key-file="$etc/apiserver.key" --service-account-issuer=https://kubernetes.default.svc \
	--service-account-key-file="$etc/sa.pub" --service-account-signing-key-file="$etc/sa.key" \
	--kubelet-preferred-address-types=InternalIP --kubelet-client-certificate="$etc/admin.crt" --kubelet-client-key="$etc/admin.key" --insecure-port=0

# Containers --------------------------------------------------------------------------------------------------
mkdir -p "$etc/cni" "$folder/containerd"
cat >"$etc/cni/10-bridge.conf" <<END
{"cniVersion": "0.4.0", "name": "test", "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "subnet": "10.244.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}
END
cat >"$etc/containerd.toml" <<END
version = 2
root = "$folder/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
	"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "waveos.test/pause:1"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$cache/root/usr/lib/cni"
conf_dir = "$etc/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "$cache/bin/runc"
END
start containerd containerd --config "$etc/containerd.toml"
mkdir -p "$folder/images/pause"
gcc -static -O1 -o "$folder/images/pause/pause" "$here/pause.c"
python3 "$here/image.py" "$folder/images/pause" waveos.test/pause:1 "$folder/images/pause.tar" /pause
until_ok 30 ctr --address /run/containerd/containerd.sock version
ctr --address /run/containerd/containerd.sock -n k8s.io images import "$folder/images/pause.tar"

until_ok 60 kubectl --kubeconfig "$etc/admin.conf" get --raw /readyz
start controller kube-controller-manager --kubeconfig="$etc/controller.conf" --use-service-account-credentials=true \
	--service-account-private-key-file="$etc/sa.key" --root-ca-file="$etc/ca.crt" --leader-elect=false \
	--cluster-signing-cert-file="$etc/ca.crt" --cluster-signing-key-file="$etc/ca.key" --port=0
start scheduler kube-scheduler --kubeconfig="$etc/scheduler.conf" --leader-elect=false --port=0
cat >"$etc/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $etc/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupsPerQOS: true
cgroupRoot: $cgroup
enforceNodeAllocatable: []
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
readOnlyPort: 0
tlsCertFile: $etc/kubelet.crt
tlsPrivateKeyFile: $etc/kubelet.key
evictionHard: {memory.available: 1Mi}
imageGCHighThresholdPercent: 100
volumePluginDir: $folder/plugins
END
start kubelet kubelet --config="$etc/kubelet.yaml" --kubeconfig="$etc/kubelet.conf" --hostname-override=$name \
	--node-ip=$node_ip --container-runtime=remote --root-dir=/var/lib/kubelet \
	--container-runtime-endpoint=unix:///run/containerd/containerd.sock --cert-dir="$folder/kubelet-certs"
export KUBECONFIG=$etc/admin.conf
until_ok 60 kubectl get node $name
until_ok 60 kubectl wait --for=condition=Ready node/$name --timeout=5s
until_ok 60 kubectl get serviceaccount default
: >"$folder/ready"
echo "ready after $SECONDS s"
wait
