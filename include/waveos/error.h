/* SPDX-License-Identifier: GPL-2.0-only */
/* Errors: failed ends of processes, failed allocations, hardware errors. */
#ifndef WAVEOS_ERROR_H
#define WAVEOS_ERROR_H

#include "waveos/wire.h"

/* Row per cgroup of table error_rows, shared by all CPUs. Failures are rare: no copy per CPU. */
struct wv_error_row {
	__u64 fatal_signals;
	__u64 exits_nonzero;
	__u64 alloc_failures;
	__u64 reserved;
};
_Static_assert(sizeof(struct wv_error_row) == 32, "wire layout");

/* Tracepoints that report hardware errors. Row: (id, tracepoint, program). Index of map error_hw.
 */
#define WV_HW_SOURCES(X)                                                                           \
	X(MC, "mc_event", "error_hw_mc")                                                           \
	X(AER, "aer_event", "error_hw_aer")                                                        \
	X(ARM, "arm_event", "error_hw_arm")                                                        \
	X(NON_STANDARD, "non_standard_event", "error_hw_nonstd")                                   \
	X(MEMORY_FAILURE, "memory_failure_event", "error_hw_memory")                               \
	X(MCE, "mce_record", "error_hw_mce")                                                       \
	X(EXTLOG, "extlog_mem_event", "error_hw_extlog")

enum wv_hw_source {
#define X(id, tracepoint, program) WV_HW_##id,
	WV_HW_SOURCES(X)
#undef X
		WV_HW_N
};

/* FATAL_SIGNAL, EXIT_NONZERO: the subject is the leader of the process that ended */
struct wv_event_exit {
	struct wv_event h;
	__u32 ppid;
	__u32 status; /* as wait(2) gives it: signal in bits 0-6, core dumped 0x80, exit status << 8
		       */
};
_Static_assert(sizeof(struct wv_event_exit) == 64, "wire layout");

#define WV_ALLOC_TEXT 72

/* ALLOC_FAILURE: the subject is the task that ran, an interrupted one if an interrupt allocated */
struct wv_event_alloc {
	struct wv_event h;
	__u32 gfp; /* 0 where the source is the kernel's log */
	__u32 pad;
	char text[WV_ALLOC_TEXT]; /* start of the kernel's message, or its format */
};
_Static_assert(sizeof(struct wv_event_alloc) == 136, "wire layout");

#define WV_HW_TEXT 48

/* HW_ERROR: no subject */
struct wv_event_hw {
	struct wv_event h;
	__u32 source; /* enum wv_hw_source */
	__u32 count;  /* errors that the report stands for */
	__u64 detail; /* MC: type; AER: status | severity << 32; MEMORY_FAILURE: page frame; MCE:
			 status */
	char what[WV_HW_TEXT];	/* message of the source, "" if it has none */
	char where[WV_HW_TEXT]; /* module, device or unit, "" if unknown */
};
_Static_assert(sizeof(struct wv_event_hw) == 168, "wire layout");

#endif
