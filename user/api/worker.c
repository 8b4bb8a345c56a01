// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loop of the api worker: requests of the web worker, jobs, the folder of tokens, the files of
 * TLS. It keeps the user and rights of the agent, for the verbs that it runs, and nothing else: it
 * has no socket that a client could reach.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "user/agent/beat.h"
#include "user/api/api.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/memory.h"
#include "user/export/sandbox.h"

/* How often counts become records, and the files of TLS are looked at. */
#define LOOK_US 5000000

struct worker {
	struct wv_api api;
	int control, inotify;
	uint64_t tls_seen; /* of all three files, folded */
	sd_event_source *look;
};

static void tell_web(struct worker *w, enum wv_api_kind kind)
{
	const struct wv_api_answer a = {.kind = kind};
	char message[64];
	ssize_t n = wv_api_answer_encode(&a, message, sizeof(message));

	if (n > 0)
		(void)wv_api_send(w->api.fd, message, (size_t)n, NULL, 0);
}

static int on_request(sd_event_source *s _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	static char message[WV_API_MESSAGE_MAX];
	struct worker *w = userdata;
	int fds[WV_API_FDS_MAX];

	for (;;) {
		ssize_t n = wv_api_receive(fd, message, sizeof(message), fds);

		if (n == -EAGAIN || n == -EINTR)
			return 0;
		if (n == -EPROTO) {
			w->api.dropped++;
			continue;
		}
		/* the supervisor holds the other end: it cannot be gone before this worker is */
		if (n <= 0)
			return sd_event_exit(w->api.loop, 0);
		wv_api_take(&w->api, message, (size_t)n, fds);
		/* tokens and certificates do not stay */
		explicit_bzero(message, (size_t)n);
	}
}

/* Tokens: what was revoked must not be remembered by the web worker for its seconds. */
static int on_tokens(sd_event_source *s _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct worker *w = userdata;

	while (read(fd, buf, sizeof(buf)) > 0)
		; /* what it was does not matter */
	wv_api_refresh_tokens(&w->api);
	tell_web(w, WV_API_FORGET);
	return 0;
}

/* TLS ----------------------------------------------------------------------------------------- */

static uint64_t fold_file(uint64_t h, const char *file)
{
	struct stat st = {.st_ino = 0};

	if (!*file || stat(file, &st) < 0)
		return h * 31 + 7;
	h = h * 0x100000001b3ULL ^ st.st_ino;
	h = h * 0x100000001b3ULL ^ (uint64_t)st.st_mtim.tv_sec;
	h = h * 0x100000001b3ULL ^ (uint64_t)st.st_mtim.tv_nsec;
	return h * 0x100000001b3ULL ^ (uint64_t)st.st_size;
}

static uint64_t look_at_tls(const struct wv_config *c)
{
	return fold_file(fold_file(fold_file(1, c->access_tls_cert), c->access_tls_key),
			 c->access_client_ca);
}

static void open_authorities(struct worker *w)
{
	const char *file = w->api.config->access_client_ca;
	struct wv_authorities *next = NULL;
	char why[320] = "";

	if (!*file)
		return;
	if (wv_authorities_open(&next, file, why, sizeof(why)) < 0)
		(void)wv_log_full(LOG_ERR, 0, "api", "access.client_ca: %s; no certificate counts",
				  why);
	wv_authorities_close(w->api.authorities);
	w->api.authorities = next;
}

/* Other files: only those that fit together are taken; until then the old ones stay in use. */
static void look_for_other_tls(struct worker *w)
{
	const struct wv_config *c = w->api.config;
	uint64_t seen = look_at_tls(c);
	char why[320] = "";

	if (!c->access_tls_cert[0] || seen == w->tls_seen)
		return;
	w->tls_seen = seen;
	if (wv_tls_files_check(c, why, sizeof(why)) < 0) {
		(void)wv_log_full(LOG_ERR, 0, "api", "%s; the files before stay in use", why);
		return;
	}
	wv_log_info("api", "other files of TLS: the web worker takes them");
	open_authorities(w);
	tell_web(w, WV_API_RELOAD);
}

static int on_look(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct worker *w = userdata;

	wv_audit_flush(&w->api.audit, false);
	look_for_other_tls(w);
	(void)sd_event_source_set_time(s, usec + LOOK_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* Start --------------------------------------------------------------------------------------- */

static int watch_tokens(struct worker *w)
{
	char path[WV_PATH_SIZE + 16];
	int r;

	snprintf(path, sizeof(path), "%s/" WV_ACCESS_FOLDER, w->api.paths->state);
	r = wv_io_mkdirs(w->api.io, path, 0700);
	if (r < 0)
		return r;
	w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->inotify < 0 || inotify_add_watch(w->inotify, path, IN_MOVED_TO | IN_DELETE) < 0)
		return -errno;
	return sd_event_add_io(w->api.loop, NULL, w->inotify, EPOLLIN, on_tokens, w);
}

/* What a worker that was killed left of its jobs. */
static int empty_folder(const struct wv_api *a)
{
	char path[WV_PATH_SIZE + 16];
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	int r;

	snprintf(path, sizeof(path), "%s/api", a->paths->state);
	r = wv_io_mkdirs(a->io, path, 0700);
	d = r == 0 ? opendir(path) : NULL;
	if (!d)
		return r < 0 ? r : -errno;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	return 0;
}

static int add_sources(struct worker *w)
{
	sigset_t block;
	int r;

	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &block, NULL) < 0)
		return -errno;
	r = sd_event_add_signal(w->api.loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = wv_beat_end_on(w->api.loop, w->control);
	if (r >= 0)
		r = sd_event_add_io(w->api.loop, NULL, w->api.fd, EPOLLIN, on_request, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->api.loop, &w->look, CLOCK_MONOTONIC, LOOK_US,
					       1000000, on_look, w);
	/* tokens are looked at with each request, too: without this only the web worker's memory
	 * of them is a few seconds old */
	if (r >= 0 && watch_tokens(w) < 0)
		(void)wv_log_warn(0, "api", "%s/" WV_ACCESS_FOLDER " is not watched",
				  w->api.paths->state);
	if (r >= 0)
		r = wv_beat_start(w->api.loop, w->control);
	return r;
}

static int set_up(struct worker *w)
{
	int keep[] = {w->api.fd, w->control}, r;

	/* BPF objects, the listening socket and the rest are the business of others */
	r = wv_sandbox_close_fds(keep, ARRAY_SIZE(keep));
	if (r < 0)
		return r;
	r = sd_event_new(&w->api.loop);
	if (r < 0)
		return r;
	(void)umask(077);
	r = wv_role_ids_resolve(w->api.config, &w->api.ids);
	if (r < 0)
		return r;
	r = empty_folder(&w->api);
	if (r < 0)
		(void)wv_log_warn(r, "api", "%s/api: packs and reports cannot be made",
				  w->api.paths->state);
	wv_audit_open(&w->api.audit, w->api.io, w->api.paths, w->api.run_id);
	wv_api_refresh_tokens(&w->api);
	open_authorities(w);
	w->tls_seen = look_at_tls(w->api.config);
	return add_sources(w);
}

static void tear_down(struct worker *w)
{
	wv_api_jobs_end(&w->api);
	wv_audit_close(&w->api.audit);
	sd_event_source_unref(w->look);
	sd_event_unref(w->api.loop);
	wv_closep(&w->inotify);
	wv_authorities_close(w->api.authorities);
	wv_tokens_done(&w->api.tokens);
	wv_role_ids_done(&w->api.ids);
}

int wv_api_run(const struct wv_worker_context *ctx)
{
	_cleanup_free_ struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return EXIT_FAILURE;
	w->inotify = -1;
	w->control = ctx->control;
	w->api.paths = ctx->paths;
	w->api.config = ctx->config;
	w->api.snapshot = ctx->snapshot;
	w->api.io = &wv_io_system;
	w->api.run_id = ctx->run_id;
	w->api.fd = ctx->api;
	r = set_up(w);
	if (r < 0) {
		(void)wv_log_errno(r, "api", "cannot set up the loop");
	} else {
		wv_memory_trim();
		r = sd_event_loop(w->api.loop);
	}
	tear_down(w);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
