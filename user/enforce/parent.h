/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parent of a cgroup has: the tightest limit among its ancestors in its hierarchy and the
 * machine itself. Shares of budgets are shares of this.
 */
#ifndef WV_ENFORCE_PARENT_H
#define WV_ENFORCE_PARENT_H

#include "user/core/host.h"
#include "user/core/io.h"
#include "user/flow/budget.h"

enum wv_parent_what {
	WV_PARENT_MEMORY, /* bytes */
	WV_PARENT_PIDS,	  /* tasks */
	WV_PARENT_CPU,	  /* millionths of a CPU */
	WV_PARENT_N
};
extern const char *const wv_parent_units[WV_PARENT_N];

struct wv_parent {
	uint64_t limit[WV_PARENT_N]; /* WV_UNSET: unknown, see error */
	uint16_t from[WV_PARENT_N];  /* length of the ancestor's path within ours; 0: the machine */
	int error;
};

/* What the machine has: memory, the kernel's ceiling of tasks, CPUs that are online. */
int wv_parent_machine(const struct wv_io *io, struct wv_parent *ret);
/*
 * What the parent of this cgroup has. On -errno (a limit cannot be read) everything in *ret is
 * unknown; a cgroup without a limit or without the controller does not limit.
 */
int wv_parent_read(const struct wv_host *host, const struct wv_io *io,
		   const struct wv_parent *machine, uint64_t key, const char *path,
		   struct wv_parent *ret);

/* Limits of a budget that may be shares. */
struct wv_share_row {
	size_t offset; /* in struct wv_budget */
	enum wv_parent_what of;
	int item; /* enum wv_item */
};
#define WV_SHARE_ROWS 4
extern const struct wv_share_row wv_share_rows[WV_SHARE_ROWS];

static inline uint64_t wv_budget_limit(const struct wv_budget *b, const struct wv_share_row *row)
{
	return *(const uint64_t *)((const char *)b + row->offset);
}
bool wv_budget_has_share(const struct wv_budget *b);
/*
 * The limit that a share is, in the limit's own unit, but never less than the least that could be
 * written as a number. WV_UNSET where the parent's is unknown.
 */
uint64_t wv_share_limit(const struct wv_budget *b, const struct wv_share_row *row,
			const struct wv_parent *parent);
/* The budget with numbers in place of its shares. */
void wv_budget_resolve(const struct wv_budget *b, const struct wv_parent *parent,
		       struct wv_budget *ret);

#endif
