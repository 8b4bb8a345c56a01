// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/status_view.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"

/* How often a new tick is looked for. */
#define POLL_NS 20000000L
/* How much longer than its tick the agent may take before it counts as stuck. */
#define PATIENCE_NS 5000000000ULL

const char *const wv_event_names[WV_EV_N] = {
#define X(id, text) text,
	WV_EVENTS(X)
#undef X
};
const char *const wv_place_ids[WV_PLACE_N] = {
#define X(id, text) #id,
	WV_PLACES(X)
#undef X
};
const char *const wv_place_texts[WV_PLACE_N] = {
#define X(id, text) text,
	WV_PLACES(X)
#undef X
};

bool wv_view_agent_runs(const struct wv_paths *paths, int *ret_pid)
{
	char path[WV_PATH_SIZE + 8], text[16] = "";
	_cleanup_close_ int fd = -1;

	*ret_pid = 0;
	snprintf(path, sizeof(path), "%s/lock", paths->runtime);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) > 0)
		(void)sscanf(text, "%d", ret_pid);
	/* given back with the descriptor at once, should there be no agent */
	return flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static int open_snapshot(struct wv_view *v, int dirfd, const struct stat *st)
{
	int r;

	wv_snapshot_close(&v->map);
	r = wv_snapshot_open(&v->map, dirfd);
	if (r < 0)
		return r;
	v->inode = st->st_ino;
	if (v->sample.max_rows < v->map.head->max_rows) {
		wv_sample_done(&v->sample);
		r = wv_sample_init(&v->sample, v->map.head->max_rows);
	}
	return r;
}

int wv_view_read(struct wv_view *v, const struct wv_paths *paths)
{
	_cleanup_close_ int dirfd = open(paths->runtime, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r;

	if (dirfd < 0 || fstatat(dirfd, WV_SNAPSHOT_FILE, &st, 0) < 0)
		return -errno;
	if (!v->map.head || v->inode != st.st_ino) {
		r = open_snapshot(v, dirfd, &st);
		if (r < 0)
			return r;
	}
	return wv_snapshot_read(&v->map, &v->sample, &v->head);
}

int wv_view_next(struct wv_view *v, const struct wv_paths *paths, uint64_t after_ns)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	uint64_t seen = v->head.mono_ns, start = wv_view_mono_ns();
	uint64_t patience = PATIENCE_NS + after_ns + 2 * v->head.tick_interval_ns;

	for (;;) {
		const struct wv_snapshot *h = v->map.head;
		int pid, r;

		/* a look at the published time; the sample is copied once it is new enough */
		if (!h || h->mono_ns > seen + after_ns) {
			r = wv_view_read(v, paths);
			if (r < 0)
				return r;
			if (v->head.mono_ns > seen + after_ns)
				return 0;
		}
		if (!wv_view_agent_runs(paths, &pid))
			return -ENOENT;
		if (wv_view_mono_ns() - start > patience)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
}

int wv_view_explain(const char *verb, const struct wv_paths *paths, int error)
{
	int pid;

	if (error == -EACCES || error == -EPERM) {
		fprintf(stderr, "waveos-bpf %s: may not read %s: run it as root\n", verb,
			paths->runtime);
		return WV_EXIT_DENIED;
	}
	if (error == -EPROTO)
		fprintf(stderr,
			"waveos-bpf %s: the agent is of another version than this program\n", verb);
	else if (!wv_view_agent_runs(paths, &pid))
		fprintf(stderr,
			"waveos-bpf %s: no agent runs (nothing holds %s/lock). Start: waveos-bpf "
			"attach\n",
			verb, paths->runtime);
	else
		fprintf(stderr, "waveos-bpf %s: agent %d publishes no sample: %s\n", verb, pid,
			strerror(-error));
	return WV_EXIT_FINDING;
}

void wv_view_done(struct wv_view *v)
{
	wv_snapshot_close(&v->map);
	wv_sample_done(&v->sample);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

uint64_t wv_view_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t wv_view_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* Three significant digits before the unit. */
static const char *scaled(char buf[WV_WORD], double v, double step, const char *const *units,
			  unsigned n)
{
	unsigned u = 0;

	while (v >= step * 0.9995 && u + 1 < n) {
		v /= step;
		u++;
	}
	snprintf(buf, WV_WORD, "%.*f%s", u && v < 99.95 ? (v < 9.995 ? 2 : 1) : 0, v, units[u]);
	return buf;
}

const char *wv_word_bytes(char buf[WV_WORD], double bytes)
{
	static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};

	return scaled(buf, bytes, 1024, units, ARRAY_SIZE(units));
}

const char *wv_word_count(char buf[WV_WORD], double n)
{
	static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};

	return scaled(buf, n, 1000, units, ARRAY_SIZE(units));
}

const char *wv_word_span(char buf[WV_WORD], uint64_t ns)
{
	static const char *const units[] = {" ns", " us", " ms"};
	uint64_t s = ns / 1000000000ULL;

	if (ns < 1000000000ULL)
		return scaled(buf, (double)ns, 1000, units, ARRAY_SIZE(units));
	if (s < 60)
		snprintf(buf, WV_WORD, "%.1f s", (double)ns / 1e9);
	else if (s < 3600)
		snprintf(buf, WV_WORD, "%u min %u s", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		snprintf(buf, WV_WORD, "%u h %u min", (unsigned)(s / 3600),
			 (unsigned)(s / 60 % 60));
	else
		snprintf(buf, WV_WORD, "%u d %u h", (unsigned)(s / 86400),
			 (unsigned)(s / 3600 % 24));
	return buf;
}

void wv_json_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

void wv_json_str(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

void wv_json_print(struct json_object *o)
{
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
}
