# The guest itself: what every other case takes for granted.
. /payload/case.sh

uname -a
[ -s /sys/kernel/btf/vmlinux ] || fail "no BTF of the kernel"
for c in cpu io memory pids; do
	grep -qw "$c" /sys/fs/cgroup/cgroup.subtree_control || fail "cgroup controller $c is not enabled"
done
grep -q ' /sys/fs/bpf bpf ' /proc/mounts || fail "no bpffs"
[ -r /sys/kernel/tracing/available_events ] || fail "no tracefs"
[ -r /proc/pressure/cpu ] || fail "no pressure stall information"
ip link show lo | grep -q UP || fail "lo is down"

dir=$(new_cgroup boot)
in_cgroup "$dir" sleep 30 &
wait_for 5 grep -q . "$dir/cgroup.procs" || fail "no process in a new cgroup"
[ -r "$dir/memory.current" ] || fail "a new cgroup lacks the memory controller"
ip link add wv0 type veth peer name wv1 || fail "no veth pair"
tc qdisc add dev wv0 root fq || fail "no fq queue discipline"
for p in stress-ng iperf3; do
	"$p" --version >/dev/null || fail "$p does not run"
done
