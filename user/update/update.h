/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The update agent: pulls bundles from a folder and from an HTTPS source, verifies them by trust,
 * and hands what is newer to install. It is never told what to do: it asks, when it wants to.
 */
#ifndef WV_UPDATE_UPDATE_H
#define WV_UPDATE_UPDATE_H

#include "user/agent/core.h"
#include "user/bundle/archive.h"
#include "user/core/config.h"
#include "user/update/http.h"
#include "user/update/state.h"

/* Whether anything is to be watched. */
bool wv_update_wanted(const struct wv_config *config);
/* The worker: until told to stop; an exit status. */
int wv_update_run(const struct wv_worker_context *ctx);

/* Who installs. */
struct wv_update_sink {
	/* Counter of the newest bundle of that name that needs no installing any more, 0: none.
	 * MUST */
	int (*newest)(void *ctx, enum wv_bundle_kind kind, const char *name, uint64_t *ret);
	/* Takes a bundle that trust verified, whose contents are still to be read. 0 or -errno with
	 * error. MUST */
	int (*install)(void *ctx, struct wv_bundle_reader *r, struct wv_trust *trust,
		       struct wv_manifest_error *error);
	void *ctx;
};

struct wv_updater {
	const struct wv_io *io;
	const struct wv_paths *paths;
	const struct wv_config *config;
	struct wv_update_sink sink;
	bool (*interrupted)(void *ctx); /* MAY be NULL */
	void *ctx;
	/* private */
	int dir, partial; /* <state>/updates and its partial/ */
	struct wv_update_state state;
	struct wv_http *http;	     /* opened when it is first used */
	struct wv_update_seen *seen; /* files of the folder that were dealt with */
	unsigned n_seen;
	uint64_t root_version; /* in use when the folder was last read */
};

/* The members that are not private are set. 0 or -errno. */
int wv_updater_open(struct wv_updater *u);
void wv_updater_close(struct wv_updater *u);
/* Deals with every file of the folder that is new. 0, or -errno of the folder itself. */
int wv_updater_folder(struct wv_updater *u);
/* One look at the source. 0, or what went wrong (also in state.error); *ret_retry_s: what the
 * source asked for. -ECANCELED: interrupted, it goes on next time. */
int wv_updater_source(struct wv_updater *u, uint64_t *ret_retry_s);
/*
 * Verifies an open bundle and installs it if it is newer and for this device; what comes of it is
 * noted. from: "folder" or "source"; id (MAY be NULL): which bundle it must be. 0 for everything
 * that is settled, or -errno: nothing of it could be verified, or it may be better next time.
 */
int wv_updater_deliver(struct wv_updater *u, int fd, const char *from, const char *id);

/* Loops until control (-1: none) says stop, or SIGTERM. */
int wv_update_loop(const struct wv_paths *paths, const struct wv_config *config, int control);
/* The sink of this machine: user/bundle/install.h. u stays where it is. */
struct wv_update_sink wv_update_sink_here(struct wv_updater *u);

#endif
