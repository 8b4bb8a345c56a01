// SPDX-License-Identifier: GPL-2.0-only
#include "user/gpu/chain.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "user/core/cleanup.h"

#define THREADS 1024			  /* a power of two; half of it is used at most */
#define PROCESSES (2 * WV_WAKE_PROCESSES) /* those that ended are kept for what they did */
#define DEPTH 4				  /* threads between a worker and who waits for it */
#define MISSED 32			  /* spans with lost events that are remembered */

enum state { RUNNING, READY, ASLEEP };

struct segment {
	uint64_t begin, end;
	uint64_t older; /* number of the thread's segment before; 0: none */
	uint32_t tid;
	uint32_t waker_tid, waker_tgid; /* who ended a sleep; 0: not known */
	int16_t syscall;
	uint8_t state, disk; /* disk: uninterruptible, or waiting for a block device */
};

struct thread {
	uint32_t tid, tgid; /* tid 0: free */
	uint64_t newest;    /* number of its segment; 0: none */
	uint64_t since;	    /* of what it does now; 0: not known yet */
	uint8_t state, disk, exited;
	int16_t syscall;
	/* a wake that came before the sleep which it ended */
	uint64_t early_at;
	uint32_t early_tid, early_tgid;
};

struct process {
	uint32_t tgid, parent;
	bool asked;
	uint64_t exited; /* 0: it lives */
};

struct span {
	uint64_t begin, end;
};

struct wv_chain {
	struct span missed[MISSED]; /* a ring */
	unsigned n_missed;	    /* so far */
	struct thread thread[THREADS];
	struct process process[PROCESSES];
	unsigned threads, processes;
	uint64_t lost;
	uint64_t next; /* number of the segment that comes; they begin at 1 */
	size_t room;
	struct segment segment[];
};

struct wv_chain *wv_chain_new(size_t segments)
{
	struct wv_chain *c = calloc(1, sizeof(*c) + segments * sizeof(struct segment));

	if (c) {
		c->room = segments;
		c->next = 1;
	}
	return c;
}

void wv_chain_free(struct wv_chain *c)
{
	free(c);
}

uint64_t wv_chain_lost(const struct wv_chain *c)
{
	return c->lost;
}

/* --- processes and threads ------------------------------------------------------------------- */

static const struct process *find_process(const struct wv_chain *c, uint32_t tgid)
{
	for (unsigned i = 0; tgid && i < c->processes; i++)
		if (c->process[i].tgid == tgid)
			return &c->process[i];
	return NULL;
}

/* Where there is no room, that of the one that ended first: what it did is over for the longest. */
static struct process *new_process(struct wv_chain *c)
{
	struct process *first = NULL;

	if (c->processes < PROCESSES)
		return &c->process[c->processes++];
	for (unsigned i = 0; i < PROCESSES; i++)
		if (c->process[i].exited && (!first || c->process[i].exited < first->exited))
			first = &c->process[i];
	c->lost += !first;
	return first;
}

void wv_chain_process(struct wv_chain *c, uint32_t tgid, uint32_t parent, bool asked)
{
	struct process *p = (struct process *)find_process(c, tgid);

	if (!p) {
		p = new_process(c);
		if (!p)
			return;
		*p = (struct process){.tgid = tgid};
	} else if (p->exited) { /* the number was given again */
		*p = (struct process){.tgid = tgid};
	}
	if (parent)
		p->parent = parent;
	p->asked |= asked;
}

void wv_chain_forget(struct wv_chain *c, uint32_t tgid)
{
	struct process *p = (struct process *)find_process(c, tgid);

	if (p)
		*p = c->process[--c->processes];
}

static void end_process(struct wv_chain *c, uint32_t tgid, uint64_t at)
{
	struct process *p = (struct process *)find_process(c, tgid);

	if (p)
		p->exited = at;
}

/* Whether `tgid` was forked by `of`, however often removed, with nobody asked about between. */
static bool descends(const struct wv_chain *c, uint32_t tgid, uint32_t of)
{
	const struct process *p = find_process(c, tgid);

	for (unsigned i = 0; p && !p->asked && i < 16; i++) {
		if (p->parent == of)
			return true;
		p = find_process(c, p->parent);
	}
	return false;
}

static unsigned place_of(uint32_t tid)
{
	return (tid * 2654435761U) & (THREADS - 1);
}

static const struct thread *find_thread(const struct wv_chain *c, uint32_t tid)
{
	for (unsigned i = place_of(tid); c->thread[i].tid; i = (i + 1) & (THREADS - 1))
		if (c->thread[i].tid == tid)
			return &c->thread[i];
	return NULL;
}

/* Open addressing has no holes: what comes after a removed one moves up. */
static void remove_thread(struct wv_chain *c, unsigned hole)
{
	c->threads--;
	for (unsigned i = (hole + 1) & (THREADS - 1); c->thread[i].tid;
	     i = (i + 1) & (THREADS - 1)) {
		unsigned home = place_of(c->thread[i].tid);

		if (((i - home) & (THREADS - 1)) >= ((i - hole) & (THREADS - 1))) {
			c->thread[hole] = c->thread[i];
			hole = i;
		}
	}
	c->thread[hole] = (struct thread){0};
}

/* Makes room by the thread that ended first; without one there is none. */
static bool make_room(struct wv_chain *c)
{
	unsigned first = THREADS;

	for (unsigned i = 0; i < THREADS; i++)
		if (c->thread[i].tid && c->thread[i].exited &&
		    (first == THREADS || c->thread[i].since < c->thread[first].since))
			first = i;
	if (first == THREADS)
		return false;
	remove_thread(c, first);
	return true;
}

static struct thread *thread_of(struct wv_chain *c, uint32_t tid, uint32_t tgid)
{
	struct thread *t = (struct thread *)find_thread(c, tid);
	unsigned i;

	if (t) {
		if (t->exited || t->tgid != tgid) /* the number was given again */
			*t = (struct thread){.tid = tid, .tgid = tgid};
		return t;
	}
	if (!tid || (c->threads >= THREADS / 2 && !make_room(c))) {
		c->lost++;
		return NULL;
	}
	for (i = place_of(tid); c->thread[i].tid; i = (i + 1) & (THREADS - 1))
		;
	c->thread[i] = (struct thread){.tid = tid, .tgid = tgid};
	c->threads++;
	return &c->thread[i];
}

/* --- segments -------------------------------------------------------------------------------- */

static const struct segment *segment_at(const struct wv_chain *c, uint64_t number)
{
	if (!number || number >= c->next || number + c->room < c->next)
		return NULL;
	return &c->segment[number % c->room];
}

/* Ends what the thread does: it becomes a segment. */
static void close_segment(struct wv_chain *c, struct thread *t, uint64_t at, uint32_t waker_tid,
			  uint32_t waker_tgid)
{
	if (!t->since || at <= t->since)
		return;
	c->segment[c->next % c->room] = (struct segment){
		.begin = t->since,
		.end = at,
		.older = t->newest,
		.tid = t->tid,
		.waker_tid = waker_tid,
		.waker_tgid = waker_tgid,
		.syscall = t->syscall,
		.state = t->state,
		.disk = t->disk,
	};
	t->newest = c->next++;
}

static void become(struct thread *t, enum state state, uint64_t at)
{
	t->state = state;
	t->since = at > t->since ? at : t->since;
	t->disk = 0;
	t->syscall = WV_WAKE_NO_SYSCALL;
}

static void on_out(struct wv_chain *c, struct thread *t, const struct wv_wake_event *ev)
{
	close_segment(c, t, ev->at, 0, 0);
	become(t, ev->state ? ASLEEP : READY, ev->at);
	if (!ev->state)
		return;
	t->disk = ev->state == 2 || ev->iowait;
	t->syscall = ev->syscall;
	if (t->early_at >= ev->at) {
		close_segment(c, t, t->early_at, t->early_tid, t->early_tgid);
		become(t, READY, t->early_at);
	}
	t->early_at = 0;
}

static void on_wake(struct wv_chain *c, struct thread *t, const struct wv_wake_event *ev)
{
	if (t->since && t->state != ASLEEP) {
		t->early_at = ev->at;
		t->early_tid = ev->other_tid;
		t->early_tgid = ev->other_tgid;
		return;
	}
	close_segment(c, t, ev->at, ev->other_tid, ev->other_tgid);
	become(t, READY, ev->at);
}

void wv_chain_add(struct wv_chain *c, const struct wv_wake_event *ev)
{
	struct thread *t;

	if (ev->kind == WV_WAKE_FORK) {
		wv_chain_process(c, ev->other_tgid, ev->tgid, false);
		return;
	}
	/* a thread that ended leaves its CPU once more: it is not one that got its number */
	t = (struct thread *)find_thread(c, ev->tid);
	if (t && t->exited && ev->kind == WV_WAKE_OUT)
		return;
	t = thread_of(c, ev->tid, ev->tgid);
	if (!t)
		return;
	switch (ev->kind) {
	case WV_WAKE_OUT:
		on_out(c, t, ev);
		break;
	case WV_WAKE_IN:
		close_segment(c, t, ev->at, 0, 0);
		become(t, RUNNING, ev->at);
		t->early_at = 0;
		break;
	case WV_WAKE_WAKE:
		on_wake(c, t, ev);
		break;
	case WV_WAKE_EXIT:
		close_segment(c, t, ev->at, 0, 0);
		become(t, ASLEEP, ev->at);
		t->exited = 1;
		if (ev->tid == ev->tgid)
			end_process(c, ev->tgid, ev->at);
		break;
	}
}

void wv_chain_missed(struct wv_chain *c, uint64_t begin, uint64_t end)
{
	c->missed[c->n_missed++ % MISSED] = (struct span){begin, end};
}

/* --- causes ---------------------------------------------------------------------------------- */

static bool is_one_of(int syscall, const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == syscall)
			return true;
	return false;
}

/* Calls that put what was written onto a disk, or make it known there. */
static bool saves(const struct segment *s)
{
	static const int always[] = {SYS_fsync,	    SYS_fdatasync, SYS_sync_file_range,
				     SYS_syncfs,    SYS_msync,	   SYS_sync,
#ifdef SYS_rename
				     SYS_rename,
#endif
				     SYS_renameat2, SYS_ftruncate};
	static const int on_disk[] = {SYS_write,  SYS_pwrite64, SYS_writev,   SYS_pwritev,
				      SYS_openat, SYS_close,	SYS_unlinkat, SYS_fallocate};

	return is_one_of(s->syscall, always, ARRAY_SIZE(always)) ||
	       (s->disk && is_one_of(s->syscall, on_disk, ARRAY_SIZE(on_disk)));
}

/* Calls that bring bytes from a disk or the network. */
static bool fetches(const struct segment *s)
{
	static const int calls[] = {SYS_recvfrom, SYS_recvmsg, SYS_connect,
				    SYS_pread64,  SYS_preadv,  SYS_readv};

	return s->disk || is_one_of(s->syscall, calls, ARRAY_SIZE(calls));
}

/* The thread's newest sleep that ended within [from, to]. */
static const struct segment *sleep_before(const struct wv_chain *c, const struct thread *t,
					  uint64_t from, uint64_t to)
{
	for (const struct segment *s = segment_at(c, t->newest); s && s->end >= from;
	     s = segment_at(c, s->older))
		if (s->state == ASLEEP && s->end <= to)
			return s;
	return NULL;
}

/*
 * The loader worker for which a sleep of process `of` waited: who ended it, or who ended the last
 * sleep of that one, where that ended meanwhile. 0: it was no worker.
 */
static uint32_t worker_behind(const struct wv_chain *c, const struct segment *sleep, uint32_t of)
{
	const struct segment *s = sleep;

	for (unsigned depth = 0; s && s->waker_tid && depth < DEPTH; depth++) {
		const struct thread *waker;

		if (s->waker_tgid != of)
			return descends(c, s->waker_tgid, of) ? s->waker_tgid : 0;
		waker = find_thread(c, s->waker_tid);
		s = waker ? sleep_before(c, waker, sleep->begin, s->end) : NULL;
	}
	return 0;
}

static uint64_t within(const struct span *span, uint64_t begin, uint64_t end)
{
	uint64_t from = begin > span->begin ? begin : span->begin;
	uint64_t to = end < span->end ? end : span->end;

	return to > from ? to - from : 0;
}

static struct segment open_segment(const struct thread *t, uint64_t known)
{
	return (struct segment){
		.begin = t->since,
		.end = known,
		.older = t->newest,
		.tid = t->tid,
		.syscall = t->syscall,
		.state = t->state,
		.disk = t->disk,
	};
}

static enum wv_gpu_input input_of(const struct segment *s)
{
	switch (s->state) {
	case RUNNING:
		return WV_GPU_INPUT_PREP;
	case READY:
		return WV_GPU_INPUT_STARVED;
	default:
		return fetches(s) ? WV_GPU_INPUT_FETCH : WV_GPU_INPUT_OTHER;
	}
}

/* What a worker's main thread did within the span; what is not known of it is OTHER. */
static void split_input(const struct wv_chain *c, uint32_t worker, const struct span *span,
			uint64_t known, struct wv_chain_split *ret)
{
	const struct thread *t = find_thread(c, worker);
	uint64_t left = span->end - span->begin;

	if (t && t->since) {
		struct segment open = open_segment(t, t->exited ? t->since : known);
		const struct segment *s = &open;

		for (; s && s->end > span->begin; s = segment_at(c, s->older)) {
			uint64_t ns = within(span, s->begin, s->end);

			ret->input_ns[input_of(s)] += ns;
			left -= ns;
		}
	}
	ret->input_ns[WV_GPU_INPUT_OTHER] += left;
}

/*
 * A sleep that goes on has no waker yet. Where the thread's last one in the same call was for a
 * worker, it is taken for the same, so that a stall shows before it is over.
 */
static uint32_t worker_of_open(const struct wv_chain *c, const struct thread *t)
{
	for (const struct segment *s = segment_at(c, t->newest); s; s = segment_at(c, s->older))
		if (s->state == ASLEEP && s->syscall == t->syscall)
			return worker_behind(c, s, t->tgid);
	return 0;
}

static void split_sleep(const struct wv_chain *c, const struct thread *t, const struct segment *s,
			const struct span *part, uint64_t known, bool open,
			struct wv_chain_split *ret)
{
	uint64_t ns = part->end - part->begin;
	uint32_t worker;

	if (saves(s)) {
		ret->cause_ns[WV_GPU_CAUSE_CHECKPOINT] += ns;
		return;
	}
	if (s->syscall == SYS_ioctl) { /* the driver's, for whom GPUs are asked about */
		ret->cause_ns[WV_GPU_CAUSE_SYNC] += ns;
		return;
	}
	worker = open ? worker_of_open(c, t) : worker_behind(c, s, t->tgid);
	if (worker) {
		ret->cause_ns[WV_GPU_CAUSE_INPUT] += ns;
		split_input(c, worker, part, known, ret);
	} else if (fetches(s)) { /* it reads its data itself */
		ret->cause_ns[WV_GPU_CAUSE_INPUT] += ns;
		ret->input_ns[WV_GPU_INPUT_FETCH] += ns;
	} else if (s->waker_tid && s->waker_tgid == t->tgid) {
		ret->cause_ns[WV_GPU_CAUSE_LOCK] += ns;
	} else {
		ret->cause_ns[WV_GPU_CAUSE_UNKNOWN] += ns;
	}
}

/* Adds the span's causes to *ret. */
static void split_span(const struct wv_chain *c, const struct thread *t, uint64_t begin,
		       uint64_t end, uint64_t known, struct wv_chain_split *ret)
{
	struct span span = {begin, end};
	uint64_t left = end > begin ? end - begin : 0;

	if (t && t->since && left) {
		struct segment open = open_segment(t, t->exited ? t->since : known);
		const struct segment *s = &open;

		for (; s && s->end > begin; s = segment_at(c, s->older)) {
			struct span part = {s->begin > begin ? s->begin : begin,
					    s->end < end ? s->end : end};
			uint64_t ns = within(&span, s->begin, s->end);

			if (!ns)
				continue;
			left -= ns;
			if (s->state == RUNNING)
				ret->cause_ns[WV_GPU_CAUSE_HOST] += ns;
			else if (s->state == READY)
				ret->cause_ns[WV_GPU_CAUSE_RUNQUEUE] += ns;
			else
				split_sleep(c, t, s, &part, known, s == &open, ret);
		}
	}
	ret->cause_ns[WV_GPU_CAUSE_UNKNOWN] += left;
}

/* What lies between spans with lost events; those are UNKNOWN. from: ones before were looked at. */
static void split_between(const struct wv_chain *c, const struct thread *t, const struct span *span,
			  unsigned from, uint64_t known, struct wv_chain_split *ret)
{
	for (unsigned i = from; i < MISSED; i++) {
		const struct span *m = &c->missed[i];
		uint64_t ns = within(span, m->begin, m->end);
		struct span before = {span->begin, m->begin}, after = {m->end, span->end};

		if (!ns)
			continue;
		ret->cause_ns[WV_GPU_CAUSE_UNKNOWN] += ns;
		if (before.begin < before.end)
			split_between(c, t, &before, i + 1, known, ret);
		if (after.begin < after.end)
			split_between(c, t, &after, i + 1, known, ret);
		return;
	}
	split_span(c, t, span->begin, span->end, known, ret);
}

void wv_chain_split(const struct wv_chain *c, uint32_t tid, uint64_t begin, uint64_t end,
		    uint64_t known, struct wv_chain_split *ret)
{
	struct span span = {begin, end};

	*ret = (struct wv_chain_split){0};
	if (begin < end)
		split_between(c, find_thread(c, tid), &span, 0, known, ret);
}
