/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wire contract of bpf/wake.bpf.c: what threads of watched processes do, one event a change. Thread
 * and process ids are those of the initial PID namespace, times CLOCK_MONOTONIC (bpf_ktime_get_ns).
 */
#ifndef WAVEOS_WAKE_H
#define WAVEOS_WAKE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define WV_WAKE_PROCESSES 512 /* watched at most, descendants included */

enum wv_wake_kind {
	WV_WAKE_OUT,  /* left its CPU: state, syscall, iowait */
	WV_WAKE_IN,   /* got a CPU */
	WV_WAKE_WAKE, /* was asleep and is ready; other: who did that */
	WV_WAKE_FORK, /* other: the process that was forked from it */
	WV_WAKE_EXIT, /* a thread ended */
};

/* As wv_wake_event.syscall: there is none, or it cannot be told here. */
#define WV_WAKE_NO_SYSCALL (-1)
#define WV_WAKE_SYSCALL_UNKNOWN (-2)

struct wv_wake_event {
	__u64 at;
	__u32 tid, tgid;
	__u32 other_tid, other_tgid; /* 0: an interrupt, or nobody that is known */
	__s16 syscall;		     /* that it sleeps in */
	__u8 kind;		     /* enum wv_wake_kind */
	__u8 state;		     /* OUT: 0 still runnable, 1 interruptible, 2 not */
	__u8 iowait;		     /* OUT: waits for a block device */
	__u8 pad[3];
};
_Static_assert(sizeof(struct wv_wake_event) == 32, "wire");

/* What a watched process is, by its id. */
struct wv_wake_process {
	__u32 root; /* process that was asked for and from which this one descends, or itself */
	__u32 pad;
};

/* The object's data, which both halves have in memory. */
#define WV_WAKE_FILTER (1U << 16)
struct wv_wake_shared {
	__u64 dropped;	 /* events that the ring had no room for */
	__u64 unwatched; /* processes that were forked and found no place */
	/* by process id modulo its size; not 0: the map is to be asked. User space clears it. */
	__u8 maybe[WV_WAKE_FILTER];
};

#endif
