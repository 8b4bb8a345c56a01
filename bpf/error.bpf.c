// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that ended by a signal or with a non-zero status, allocations that failed, hardware
 * errors.
 *
 * Hooks: sched_process_exit; warn_alloc by kprobe or, where that cannot be, the console tracepoint;
 * the ras and mce tracepoints that the kernel has.
 *
 * sched_process_exit fires in do_exit() before cgroup_exit(), and a task keeps its css_set until it
 * is freed, so the dying task still tells its cgroup.
 */
#include "lib/waveos.bpf.h"
#include "waveos/error.h"

#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004
#define GFP_NOWARN 0x2000 /* ___GFP_NOWARN, the same bit from 5.10 to 7.x */
#define EEXIST 17

WV_TABLE(error_rows, struct wv_error_row);

/* Indexed by enum wv_hw_source: errors of the whole machine. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WV_HW_N);
	__type(key, __u32);
	__type(value, __u64);
} error_hw SEC(".maps");

/* A process whose end was counted. */
struct ended {
	__u64 start_ns;
	__u32 tgid;
	__u32 pad;
};

/* Used where the tracepoint does not tell the last thread; sized by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, struct ended);
	__type(value, __u32);
} error_ended SEC(".maps");

/* Whether sched_process_exit has its second argument, group_dead (6.16 and newer). */
const volatile __u32 error_group_dead = 0;

/*
 * signal->live is zero for the last thread, but two threads that end at once can both read zero:
 * the counter drops before the tracepoint. The first of them to get here counts.
 */
static __always_inline bool ended_before(struct task_struct *leader)
{
	struct ended key = {
		.start_ns = WV_READ(leader, start_time),
		.tgid = WV_READ(leader, tgid),
	};
	__u32 one = 1;
	long err = bpf_map_update_elem(&error_ended, &key, &one, BPF_NOEXIST);

	if (err && err != -EEXIST)
		wv_count_place(WV_PLACE_TASK_STATE, err);
	return err == -EEXIST;
}

/* What wait(2) will tell the parent. */
static __always_inline __u32 wait_status(struct task_struct *task, struct task_struct *leader)
{
	if (WV_READ2(task, signal, flags) & SIGNAL_GROUP_EXIT)
		return WV_READ2(task, signal, group_exit_code) & 0xffff;
	return WV_READ(leader, exit_code) & 0xffff;
}

static __always_inline void emit_exit(enum wv_event_type type, struct task_struct *leader,
				      __u32 status)
{
	struct wv_event_exit *ev = wv_event_reserve(type, sizeof(*ev));

	if (!ev)
		return;
	wv_event_subject(&ev->h, leader);
	ev->ppid = BPF_CORE_READ(leader, real_parent, tgid);
	ev->status = status;
	wv_event_submit(ev);
}

/* The arguments are taken by hand: where there is only one, not even a dead load of another may be.
 */
WV_TP("sched_process_exit")
int error_exit(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0], *leader;
	struct wv_error_row *row;
	__u32 status;

	if (!wv_live())
		return 0;
	if (error_group_dead) {
		if (!(ctx[1] & 1))
			return 0;
	} else if (WV_READ2(task, signal, live.counter)) {
		return 0;
	}
	/* the result of a kernel thread is no exit status */
	if (WV_READ(task, flags) & PF_KTHREAD)
		return 0;
	leader = WV_READ(task, group_leader);
	status = wait_status(task, leader);
	if (!status || (!error_group_dead && ended_before(leader)))
		return 0;
	row = wv_row(error_rows, wv_task_slot(leader));
	if (!row)
		return 0;
	if (status & 0x7f) {
		wv_add(row->fatal_signals, 1);
		emit_exit(WV_EV_FATAL_SIGNAL, leader, status);
	} else {
		wv_add(row->exits_nonzero, 1);
		emit_exit(WV_EV_EXIT_NONZERO, leader, status);
	}
	return 0;
}

/* Allocations -----------------------------------------------------------------------------------
 */

static __always_inline void alloc_failed(__u32 gfp, const char *text)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 key = wv_task_key_read(task);
	__u32 slot = wv_key_slot(key);
	struct wv_error_row *row = wv_row(error_rows, slot);
	struct wv_event_alloc *ev;

	if (row)
		wv_add(row->alloc_failures, 1);
	ev = wv_event_reserve(WV_EV_ALLOC_FAILURE, sizeof(*ev));
	if (!ev)
		return;
	ev->h.key = key;
	ev->h.slot = slot;
	ev->h.pid = BPF_CORE_READ(task, tgid);
	ev->h.tid = BPF_CORE_READ(task, pid);
	BPF_CORE_READ_STR_INTO(&ev->h.comm, task, comm);
	ev->gfp = gfp;
	ev->pad = 0;
	if (bpf_probe_read_kernel_str(ev->text, sizeof(ev->text), text) < 0)
		ev->text[0] = '\0';
	wv_event_submit(ev);
}

/*
 * The end of the slow path of the page allocator and of vmalloc: called for every failure, whatever
 * the rate limit of the message. Not for those that the caller expects and has an answer to (no
 * warning).
 */
SEC("kprobe/warn_alloc")
int BPF_KPROBE(error_alloc_kprobe, __u32 gfp, void *nodemask, const char *format)
{
	if (wv_live() && !(gfp & GFP_NOWARN))
		alloc_failed(gfp, format);
	return 0;
}

/* Bytes of a message in which the words are looked for: a time stamp and a name come first. */
#define CONSOLE_HEAD 72

/* Eight letters as the number that a window over the text holds when they have just passed. */
#define LETTERS(a, b, c, d, e, f, g, h)                                                            \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 |   \
	 (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)

/*
 * Whether the text has "ocation failure:" (page and, before 5.11, vmalloc) or "vmalloc error: s" in
 * it. Without a branch a letter, or the verifier would walk every combination of them; two words,
 * or the registers do not suffice.
 */
static __always_inline bool tells_failure(const char *text)
{
	__u64 w0 = 0, w1 = 0; /* the last 16 letters, the newest in w0's top byte */
	__u64 absent = -1ULL, alloc, vmalloc;

#pragma unroll
	for (int i = 0; i < CONSOLE_HEAD; i++) {
		w1 = w1 >> 8 | w0 << 56;
		w0 = w0 >> 8 | (__u64)(__u8)text[i] << 56;
		alloc = (w1 ^ LETTERS('o', 'c', 'a', 't', 'i', 'o', 'n', ' ')) |
			(w0 ^ LETTERS('f', 'a', 'i', 'l', 'u', 'r', 'e', ':'));
		vmalloc = (w1 ^ LETTERS('v', 'm', 'a', 'l', 'l', 'o', 'c', ' ')) |
			  (w0 ^ LETTERS('e', 'r', 'r', 'o', 'r', ':', ' ', 's'));
		/* the top bit of x | -x is clear only for 0 */
		absent &= (alloc | -alloc) & (vmalloc | -vmalloc);
	}
	return !(absent >> 63);
}

/* What the kernel says in its log: at most one failure in ten seconds. */
WV_TP("console")
int BPF_PROG(error_alloc_console, const char *text)
{
	char head[CONSOLE_HEAD] = {};

	if (!wv_live())
		return 0;
	if (bpf_probe_read_kernel_str(head, sizeof(head), text) < 0)
		return 0;
	if (tells_failure(head))
		alloc_failed(0, text);
	return 0;
}

/* Hardware --------------------------------------------------------------------------------------
 */

/* Counts a report. what and where: kernel strings, or NULL. */
static __always_inline void hw_error(enum wv_hw_source source, __s32 errors, __u64 detail,
				     const char *what, const char *where)
{
	__u32 key = source, count = errors > 0 ? errors : 1;
	__u64 *total = bpf_map_lookup_elem(&error_hw, &key);
	struct wv_event_hw *ev;

	if (total)
		wv_add(*total, count);
	ev = wv_event_reserve(WV_EV_HW_ERROR, sizeof(*ev));
	if (!ev)
		return;
	ev->source = source;
	ev->count = count;
	ev->detail = detail;
	if (!what || bpf_probe_read_kernel_str(ev->what, sizeof(ev->what), what) < 0)
		ev->what[0] = '\0';
	if (!where || bpf_probe_read_kernel_str(ev->where, sizeof(ev->where), where) < 0)
		ev->where[0] = '\0';
	wv_event_submit(ev);
}

WV_TP("mc_event")
int BPF_PROG(error_hw_mc, unsigned int type, const char *message, const char *label, int count)
{
	if (wv_live())
		hw_error(WV_HW_MC, count, type, message, label);
	return 0;
}

WV_TP("aer_event")
int BPF_PROG(error_hw_aer, const char *device, __u32 status, __u8 severity)
{
	if (wv_live())
		hw_error(WV_HW_AER, 1, status | (__u64)severity << 32, NULL, device);
	return 0;
}

WV_TP("arm_event")
int error_hw_arm(void *ctx)
{
	if (wv_live())
		hw_error(WV_HW_ARM, 1, 0, NULL, NULL);
	return 0;
}

WV_TP("non_standard_event")
int BPF_PROG(error_hw_nonstd, void *section, void *unit, const char *text, __u8 severity)
{
	if (wv_live())
		hw_error(WV_HW_NON_STANDARD, 1, severity, NULL, text);
	return 0;
}

WV_TP("memory_failure_event")
int BPF_PROG(error_hw_memory, unsigned long pfn)
{
	if (wv_live())
		hw_error(WV_HW_MEMORY_FAILURE, 1, pfn, NULL, NULL);
	return 0;
}

/* The first member of struct mce_hw_err, which newer kernels hand over, is a struct mce. */
struct mce___wv {
	__u64 status;
} __attribute__((preserve_access_index));

WV_TP("mce_record")
int BPF_PROG(error_hw_mce, void *record)
{
	struct mce___wv *mce = record;

	if (wv_live())
		hw_error(WV_HW_MCE, 1, BPF_CORE_READ(mce, status), NULL, NULL);
	return 0;
}

WV_TP("extlog_mem_event")
int error_hw_extlog(void *ctx)
{
	if (wv_live())
		hw_error(WV_HW_EXTLOG, 1, 0, NULL, NULL);
	return 0;
}
