/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's types and the two ways to hook a tracepoint: by BTF (kernel pointers are
 * dereferenced) and, with WV_RAW_TP, raw for kernels that refuse the former (fields are
 * probe-read).
 */
#ifndef WAVEOS_TP_BPF_H
#define WAVEOS_TP_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#ifdef WV_RAW_TP
#define WV_TP(name) SEC("raw_tp/" name)
#define WV_READ(ptr, field) BPF_CORE_READ(ptr, field)
#define WV_READ2(ptr, a, b) BPF_CORE_READ(ptr, a, b)
#define WV_READ3(ptr, a, b, c) BPF_CORE_READ(ptr, a, b, c)
#define WV_READ4(ptr, a, b, c, d) BPF_CORE_READ(ptr, a, b, c, d)
#else
#define WV_TP(name) SEC("tp_btf/" name)
#define WV_READ(ptr, field) ((ptr)->field)
#define WV_READ2(ptr, a, b) ((ptr)->a->b)
#define WV_READ3(ptr, a, b, c) ((ptr)->a->b->c)
#define WV_READ4(ptr, a, b, c, d) ((ptr)->a->b->c->d)
#endif

struct task_struct___old {
	volatile long state; /* before 5.14; __state since */
} __attribute__((preserve_access_index));

static __always_inline long wv_task_state(struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return WV_READ(task, __state);
	return WV_READ((struct task_struct___old *)task, state);
}

#endif
