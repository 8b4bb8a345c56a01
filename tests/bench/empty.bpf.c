// SPDX-License-Identifier: GPL-2.0-only
/* The baseline of a hook's cost: a program on sched_switch that does nothing. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tp_btf/sched_switch")
int empty_switch(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
