#!/bin/bash
# limit: 300
# The container image: small, the same bytes twice, no shell, and under podman and runc with the capabilities that it names
# the agent in it sees the cgroups of the host.
. "$(dirname "$0")/../host/lib.sh"
OCI=$(cd "$(dirname "$0")/../../packaging/oci" && pwd)
LIMIT=10000000
CAPS="BPF PERFMON NET_ADMIN DAC_READ_SEARCH"

for tool in podman runc; do command -v $tool >/dev/null || skip "no $tool"; done
mkdir "$TMP/twice"
# make_image N COMPRESSION
make_image() {
	"$OCI/rootfs.sh" "$BIN" "$TMP/rootfs$1" || return
	SOURCE_DATE_EPOCH=1700000000 "$OCI/image.py" --rootfs "$TMP/rootfs$1" --output "$TMP/twice/$1.tar" \
		--compression "$2" --version 9.9.9 >"$TMP/twice/$1.json"
}
make_image 1 zstd || fail "the image cannot be made"
# neither the umask nor the locale nor the time may matter; compressing takes long, and is of one thread anyway
mask=$(umask)
umask 077
TZ=Asia/Tokyo LC_ALL=C make_image 2 none || fail "the image cannot be made a second time"
umask "$mask"
[ "$(jq .tree "$TMP/twice/1.json")" = "$(jq .tree "$TMP/twice/2.json")" ] || fail "two images of one agent differ"
bytes=$(jq .layer_bytes "$TMP/twice/1.json")
[ "$bytes" -le $LIMIT ] || fail "the layer has $bytes bytes, over $LIMIT"
echo "layer: $bytes bytes, unpacked $(jq .tree_bytes "$TMP/twice/1.json")"

# what may be executed is the agent, and libraries
others=$(find "$TMP/rootfs1" -type f -perm /111 ! -name 'waveos-bpf' ! -name '*.so*')
[ -z "$others" ] || fail "programs in the image: $others"
[ -z "$(find "$TMP/rootfs1" -perm /6000)" ] || fail "files of the image have set-id bits"

STORE=(--root "$TMP/pod/root" --runroot "$TMP/pod/run" --tmpdir "$TMP/pod/tmp" --storage-driver overlay
	--runtime runc --cgroup-manager cgroupfs)
at_exit podman "${STORE[@]}" rm -f -t 0 agent
podman "${STORE[@]}" load -q -i "$TMP/twice/1.tar" >"$TMP/load" 2>&1 || { cat "$TMP/load"; fail "podman does not take the image"; }

mkdir -p "$ROOT"/{run/waveos,var/lib/waveos,sys/fs/bpf}
mount -t bpf bpf "$ROOT/sys/fs/bpf" || skip "no bpf file system may be mounted"
at_exit umount -l "$ROOT/sys/fs/bpf"
seen=$(cgroup_make waveos-test-image)
at_exit cgroup_remove "$seen"

# contained COMMAND...: in the image, with no rights but those
contained() {
	# the caller's own hard limits: raising them takes a capability that it may lack
	# shellcheck disable=SC2046,SC2086 # words on purpose
	podman "${STORE[@]}" run --name agent --rm --network none --read-only --pid host --cgroupns host \
		--ulimit "nofile=1024:$(ulimit -Hn)" --ulimit "nproc=1000:1000" \
		--cap-drop all $(printf -- '--cap-add %s ' $CAPS) \
		--security-opt seccomp=unconfined --security-opt apparmor=unconfined \
		-v "$ROOT/run/waveos:/run/waveos" -v "$ROOT/var/lib/waveos:/var/lib/waveos" \
		-v "$ROOT/sys/fs/bpf:/sys/fs/bpf" -v /sys/fs/cgroup:/sys/fs/cgroup:ro localhost/waveos-bpf:9.9.9 "$@"
}
contained version | grep -q "waveos-bpf" || fail "the agent does not run in its image"
contained attach --for 15s --set metrics.listen=127.0.0.1:0 --set agent.log_format=text >"$TMP/agent.log" 2>&1 &
AGENT=$!
wait_until 20 agent_ready || fail "the agent in the container did not start"
wait_until 5 known /waveos-test-image || fail "the agent in the container does not see the host's cgroup"
cgroup_run "$seen" sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i + 1)); done'
counted() { used=$(figure /waveos-test-image cpu_usage_ns) && [ "$used" -gt 20000000 ]; }
wait_until 5 counted || fail "work of the host's cgroup was $used ns for the agent in the container"
wait "$AGENT" || fail "the agent in the container ended with $?"
AGENT=
! grep -q 'error:' "$TMP/agent.log" || fail "errors in the container"
echo "saw $((used / 1000000)) ms of the host's cgroup"
