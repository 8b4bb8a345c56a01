/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A cap on the open files of each process of a cgroup: its soft RLIMIT_NOFILE is lowered, never
 * raised above what it was, and the hard limit is not touched. The kernel has no such limit of a
 * cgroup, so processes are looked at once a pass; children inherit.
 *
 * <state>/enforce/open_files.json holds who was lowered from what. Invariants, also after a crash:
 *  - a process's former limit is durable before it is lowered;
 *  - a limit is put back only if it still is what we set, else it is left alone;
 *  - who inherited a lowered limit is not listed: its parent's former limit is its own, and that of
 *    an orphan is what was usual in the cgroup.
 */
#ifndef WV_ENFORCE_OPENFILES_H
#define WV_ENFORCE_OPENFILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "user/core/io.h"
#include "user/flow/budget.h"

#define WV_OPENFILES_FILE "open_files.json"
#define WV_OPENFILES_CAPS_MAX 1024
/* Processes that are held lowered at most; what is over is not, and that is said. */
#define WV_OPENFILES_PROCESSES_MAX 16384
#define WV_OPENFILES_PATH 640

/* How processes are seen and limited: a seam for tests. Each returns 0 or -errno. */
struct wv_processes {
	/* Those of a cgroup and below; one may be told twice. -ENOENT: the cgroup is gone. */
	int (*list)(void *ctx, uint64_t key, const char *folder, int (*fn)(void *arg, pid_t pid),
		    void *arg);
	int (*get)(void *ctx, pid_t pid, struct rlimit *ret);
	int (*set)(void *ctx, pid_t pid, const struct rlimit *limit);
	uint64_t (*start_ns)(void *ctx, pid_t pid); /* tells it from a later one; 0: gone */
	pid_t (*parent)(void *ctx, pid_t pid);	    /* 0: none */
	void *ctx;
};
extern const struct wv_processes wv_processes_system;

/* What a pass did in one cgroup, in processes. */
struct wv_openfiles_result {
	uint32_t lowered;
	uint32_t again;	   /* of these: had raised its limit itself */
	uint32_t restored; /* or loosened, after the cap went or grew */
	uint32_t fine;	   /* nothing to be done */
	uint32_t refused;  /* the kernel did not let us */
	int error;	   /* 0, or why the cgroup as a whole could not be seen to */
};

struct wv_openfiles_cap {
	uint64_t key;
	uint64_t want;	/* WV_UNSET: let go */
	uint64_t have;	/* in force, and inherited by children; WV_UNSET: none yet */
	uint64_t was;	/* have before the change that is under way; WV_UNSET: none */
	uint64_t usual; /* what processes here had before; WV_UNSET: none was lowered yet */
	char folder[WV_OPENFILES_PATH];
	/* of the last pass: */
	struct wv_openfiles_result result;
	uint32_t refused_said;
	bool due; /* somebody waits for the result, whatever it is */
};

/* A process that we lowered, or that had just our limit before us (old == ours). */
struct wv_openfiles_process {
	pid_t pid;
	uint64_t start_ns;
	uint64_t old, ours;
	uint64_t was; /* its limit before the change that is under way; WV_UNSET: none */
};

struct wv_openfiles {
	const struct wv_io *io;
	const struct wv_processes *processes;
	int dir;
	char boot_id[40];
	pid_t own[2]; /* never touched */
	struct wv_openfiles_cap *caps;
	size_t n_caps;
	struct wv_openfiles_process *list; /* by pid */
	size_t n_list;
	bool dirty;
};

/*
 * Reads what a former agent left, dropping what is of another boot; caps want what they have. Makes
 * the folder, not the file. Release with wv_openfiles_close().
 */
int wv_openfiles_open(struct wv_openfiles *o, const struct wv_io *io,
		      const struct wv_processes *processes, const char *state, const char *boot_id);
void wv_openfiles_close(struct wv_openfiles *o);
/* From the next pass on; cap WV_UNSET lets go. 0, -ENOSPC, -ENOMEM. */
int wv_openfiles_want(struct wv_openfiles *o, uint64_t key, const char *folder, uint64_t cap);
/* NULL: none. Valid until the next call that adds or ends one. */
struct wv_openfiles_cap *wv_openfiles_find(const struct wv_openfiles *o, uint64_t key);
/* The cgroup is gone: who moved elsewhere is let go by the next pass. */
void wv_openfiles_forget(struct wv_openfiles *o, uint64_t key);
/*
 * Brings every process to the tightest cap that it is under, and lets go of those that are under
 * none. Results stand in the caps; those that were let go stay until wv_openfiles_sweep(). 0, or
 * the -errno that kept former limits from becoming durable (then nothing was lowered).
 */
int wv_openfiles_pass(struct wv_openfiles *o);
/* Forgets caps that were let go, and saves. 0 or -errno. */
int wv_openfiles_sweep(struct wv_openfiles *o);

/* Lets go of everything without an agent. report may be NULL. 0 or -errno. */
int wv_openfiles_revert(const struct wv_io *io, const struct wv_processes *processes,
			const char *state, const char *boot_id, FILE *report);

/* openfiles_file.c: what is durable */
int wv_openfiles_load(struct wv_openfiles *o, const char *state);
int wv_openfiles_save(struct wv_openfiles *o);

#endif
