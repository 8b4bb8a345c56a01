// SPDX-License-Identifier: GPL-2.0-only
/* When registered processes end: pid -> bpf_ktime_get_ns() of sched_process_exit, 0 until then. */
#include "lib/waveos.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} deaths SEC(".maps");

SEC("raw_tp/sched_process_exit")
int note_death(void *ctx)
{
	__u32 pid = (__u32)bpf_get_current_pid_tgid();
	__u64 *at = bpf_map_lookup_elem(&deaths, &pid);

	if (at && !*at)
		*at = bpf_ktime_get_ns();
	return 0;
}
