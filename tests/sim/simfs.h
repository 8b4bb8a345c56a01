/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file system in memory behind the I/O seam (user/core/io.h). It shows the program what a kernel
 * would, and keeps a trace of everything that a power cut could undo: crash.h makes the states from
 * it in which the disk may be found. Model: docs/crash-testing.md.
 */
#ifndef WV_SIM_SIMFS_H
#define WV_SIM_SIMFS_H

#include "tests/sim/image.h"
#include "user/core/io.h"

enum wv_sim_op_kind { WV_SIM_WRITE, WV_SIM_TRUNCATE, WV_SIM_ENTRY, WV_SIM_SYNC, WV_SIM_FACT };

/* What a scenario tells of its own progress, so that a check knows what must be found. */
struct wv_sim_fact {
	const char *what;
	uint64_t n;
	bool acked; /* it was promised; otherwise it was only tried, and may or may not be found */
};

struct wv_sim_change {
	uint32_t dir;
	const char *name;
	uint32_t ino; /* WV_SIM_NONE: the name goes */
};

struct wv_sim_op {
	enum wv_sim_op_kind kind;
	uint32_t ino;	 /* file; for SYNC file or folder */
	uint64_t off;	 /* WRITE */
	uint64_t before; /* WRITE, TRUNCATE: bytes of the file before it */
	uint64_t size;	 /* WRITE, TRUNCATE: bytes of the file after it */
	size_t len;
	unsigned char *bytes;
	struct wv_sim_change change[2]; /* ENTRY: both happen, or none */
	unsigned n_changes;
	bool failed; /* SYNC: said that it failed; what it was to write will be told by no later one
		      */
	struct wv_sim_fact fact;
};

/*
 * From the at-th call on (from 1), `count` calls fail. Which calls: by the error. Besides, the disk
 * may have little room, and the wall clock may jump at its jump_at-th reading.
 */
struct wv_sim_fault {
	uint64_t room; /* bytes beside what is there at first; 0: endless */
	unsigned jump_at;
	int64_t jump_ns;
	unsigned at, count;
	int error; /* -ENOSPC: what needs room; -EROFS: what changes; -EIO: all, fsync included */
};

#define WV_SIM_FDS 128

struct wv_sim_fd {
	bool used, locked, append;
	int access; /* O_RDONLY, O_WRONLY, O_RDWR */
	uint32_t ino;
	uint64_t pos;
};

struct wv_sim {
	struct wv_io io; /* its ctx is this */
	struct wv_sim_image now, base;
	bool tracing;
	struct wv_sim_op *ops;
	size_t n_ops, room_ops;
	/* what a node is when its number first appears: empty, or a link with its text */
	struct wv_sim_image born;
	struct wv_sim_fact *facts;
	size_t n_facts, room_facts, base_facts; /* the last: when tracing began */
	struct wv_sim_fd fds[WV_SIM_FDS];
	uint64_t mono_ns, wall_ns, random;
	uint64_t capacity; /* bytes; 0: endless */
	struct wv_sim_fault fault;
	unsigned calls, failed; /* of those that a fault could fail */
	unsigned clock_reads;
	void (*told)(const struct wv_sim_fact *fact); /* MAY: hears of each as it is told */
	bool no_truncate;			      /* a planted bug: it says that it worked */
	bool mounted;
};

/* The seam's table; ctx is to be set. */
extern const struct wv_io wv_sim_io;
/* A new op at the end of the trace; nowhere, while nothing is traced. */
struct wv_sim_op *wv_sim_record(struct wv_sim *s, enum wv_sim_op_kind kind);

/* An empty file system. */
void wv_sim_init(struct wv_sim *s, uint64_t seed);
/* After a crash: as found on disk. Copies the image and the facts. */
void wv_sim_mount(struct wv_sim *s, const struct wv_sim_image *im, const struct wv_sim_fact *facts,
		  size_t n_facts, uint64_t seed);
void wv_sim_free(struct wv_sim *s);
/* Things go wrong from here on. */
void wv_sim_break(struct wv_sim *s, const struct wv_sim_fault *fault);
/* From here on what happens can be lost; all before is on disk. */
void wv_sim_trace(struct wv_sim *s);

void wv_sim_try(struct wv_sim *s, const char *what, uint64_t n);
void wv_sim_ack(struct wv_sim *s, const char *what, uint64_t n);
bool wv_sim_told(const struct wv_sim *s, const char *what, uint64_t n, bool acked);
/* The greatest n that was told of `what`; 0 if none. */
uint64_t wv_sim_greatest(const struct wv_sim *s, const char *what, bool acked);

/* A number below n of the scenario's own sequence. */
uint64_t wv_sim_pick(struct wv_sim *s, uint64_t n);
uint64_t wv_sim_next(uint64_t *state);

#endif
