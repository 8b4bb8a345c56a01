# Is bpf among the active security modules? Elsewhere an LSM program attaches without an error and never fires.
. /payload/case.sh

echo "lsm: $(cat /sys/kernel/security/lsm)"
if lsm_has bpf; then
	exit 0
fi
kernel_at_least 6.1 && fail "bpf is not active, though the command line asks for it: $(cat /proc/cmdline)"
skip "bpf is not in the active list ($(cat /sys/kernel/security/lsm)), the default of this release"
