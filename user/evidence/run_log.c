// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/bundle/lifecycle.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/event.h"
#include "user/evidence/retain.h"

#define HOUR_NS (3600ULL * 1000000000ULL)

/* Whether a line of the run's file is the log's record of that seq. */
static bool is_in_log(const struct wv_run_log *g, const char *line, size_t len, uint64_t seq)
{
	struct wv_hash mine, theirs;

	if (!seq || seq > wv_tlog_size(g->tlog))
		return false;
	wv_merkle_leaf(line, len, &mine);
	/* hashes that a full disk kept from the file say nothing */
	return wv_tlog_leaves(g->tlog, seq - 1, 1, &theirs) < 0 ||
	       memcmp(&mine, &theirs, sizeof(mine)) == 0;
}

/* After a power cut the file may have lines that the log lost: they go, their numbers are given
 * anew. */
static int cut_unknown(struct wv_run_log *g)
{
	_cleanup_free_ char *line = malloc(WV_RECORD_MAX + 1);
	uint64_t seq, version;
	size_t len;
	int r;

	if (!line)
		return -ENOMEM;
	for (;;) {
		r = wv_lines_last(&g->part, line, WV_RECORD_MAX + 1);
		if (r < 0)
			return r == -ENODATA ? 0 : r;
		len = strlen(line);
		if (wv_record_number(line, len, "schema_version", &version) < 0 ||
		    wv_record_number(line, len, "seq", &seq) < 0)
			return -EBADMSG;
		if (version < 2) { /* its numbers are the run's own */
			g->part_seq = wv_tlog_size(g->tlog);
			return 0;
		}
		if (is_in_log(g, line, len, seq)) {
			g->part_seq = seq;
			return 0;
		}
		r = wv_lines_cut(&g->part, g->part.len - len - 1);
		if (r < 0)
			return r;
	}
}

static int count_lines(struct wv_run_log *g)
{
	char block[4096];
	uint64_t off = 0;

	while (off < g->part.len) {
		ssize_t n = g->io->pread(g->io->ctx, g->part.fd, block, sizeof(block), (off_t)off);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		for (ssize_t i = 0; i < n && off + (uint64_t)i < g->part.len; i++)
			g->records += block[i] == '\n';
		off += (uint64_t)n;
	}
	return 0;
}

/* A core that died before the run's file had a line: its records are among the newest. */
static uint64_t recent(const struct wv_run_log *g)
{
	_cleanup_free_ struct wv_segment *s = NULL;
	char path[WV_PATH_SIZE + 16];
	uint64_t first = 1;
	size_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER, g->state);
	fd = g->io->open(g->io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return first;
	if (wv_segments_list(g->io, fd, &s, &n) == 0 && n)
		first = s[n - 1].first;
	(void)g->io->close(g->io->ctx, fd);
	return first;
}

/* Appends what the run's file lacks. *ret_n: how many lines that were. */
static int complete(struct wv_run_log *g, uint64_t *ret_n)
{
	struct wv_tlog_reader *reader;
	_cleanup_free_ char *quoted = NULL;
	const char *line, *id;
	uint64_t seq;
	size_t len, id_len;
	int r;

	if (asprintf(&quoted, "\"%s\"", g->run_id) < 0)
		return -ENOMEM;
	r = wv_tlog_read_open(&reader, g->io, g->state, g->part_seq + 1);
	if (r < 0)
		return r;
	while ((r = wv_tlog_read(reader, &seq, &line, &len)) == 1) {
		if (wv_record_member(line, len, "run_id", &id, &id_len) == 0 &&
		    id_len == strlen(quoted) && memcmp(id, quoted, id_len) == 0) {
			_cleanup_free_ char *copy = NULL;

			if (asprintf(&copy, "%s\n", line) < 0)
				r = -ENOMEM;
			else
				r = wv_lines_append(&g->part, copy, len + 1, false);
			if (r < 0)
				break;
			(*ret_n)++;
		}
		g->part_seq = seq;
	}
	wv_tlog_read_close(reader);
	g->behind = r < 0;
	return r;
}

static int open_part(struct wv_run_log *g, bool made)
{
	uint64_t n = 0;
	int r = wv_lines_open(&g->part, g->io, g->dirfd, WV_EVENTS_NAME, WV_ARTIFACT_MODE, NULL);

	g->part_seq = made ? wv_tlog_size(g->tlog) : 0;
	if (r == 0)
		r = cut_unknown(g);
	if (r == 0 && !g->part_seq)
		g->part_seq = recent(g) - 1;
	if (r == 0)
		r = count_lines(g);
	if (r < 0)
		return r;
	g->behind = g->part_seq < wv_tlog_size(g->tlog);
	if (g->behind) /* else at a later tick */
		(void)complete(g, &n);
	g->records += n;
	return 0;
}

int wv_run_log_open(struct wv_run_log *g, const struct wv_io *io, const struct wv_paths *paths,
		    const struct wv_config *config, int dirfd, const char *run_id, bool made,
		    uint64_t *ret_cut)
{
	char name[WV_KEY_NAME_SIZE];
	struct wv_tlog_options o;
	int r;

	*g = (struct wv_run_log){.io = io,
				 .config = config,
				 .state = paths->state,
				 .run_id = run_id,
				 .dirfd = dirfd,
				 .part.fd = -1};
	wv_tlog_options_of(config, &o);
	o.defer_compress = true; /* a tick must not wait for it */
	r = wv_device_key(io, paths, true, &g->key, name);
	if (r < 0) {
		(void)wv_log_warn(r, "record", "no device key: the log is not signed");
	} else {
		o.key = &g->key;
		o.name = name;
	}
	r = wv_tlog_open(&g->tlog, io, paths->state, &o, ret_cut);
	if (r == 0)
		r = open_part(g, made);
	if (r < 0)
		wv_run_log_close(g);
	return r;
}

struct composed {
	wv_run_line_fn line;
	void *ctx;
	char *text; /* newline at the end */
	size_t len;
};

static ssize_t compose(void *ctx, uint64_t seq, char *buf, size_t room)
{
	struct composed *c = ctx;
	_cleanup_free_ char *line = c->line(c->ctx, seq, &c->len);

	if (!line)
		return -EINVAL;
	if (c->len > room)
		return -EINVAL;
	if (asprintf(&c->text, "%s\n", line) < 0) {
		c->text = NULL;
		return -ENOMEM;
	}
	memcpy(buf, line, c->len);
	return (ssize_t)c->len;
}

static int append_to_log(struct wv_run_log *g, struct composed *c, bool durable, uint64_t *ret_seq)
{
	int r;

	if (!durable)
		return wv_tlog_append(g->tlog, compose, c, ret_seq);
	r = wv_tlog_begin(g->tlog);
	if (r < 0)
		return r;
	r = wv_tlog_append(g->tlog, compose, c, ret_seq);
	if (r < 0) {
		wv_tlog_abort(g->tlog);
		return r;
	}
	return wv_tlog_end(g->tlog, true);
}

int wv_run_log_append(struct wv_run_log *g, wv_run_line_fn line, void *ctx, bool durable)
{
	struct composed c = {.line = line, .ctx = ctx};
	uint64_t seq;
	int r = append_to_log(g, &c, durable, &seq);

	if (r == 0) {
		g->records++;
		g->uncommitted = true;
		/* what others wrote since is not of this run */
		if (!g->behind)
			g->behind = wv_lines_append(&g->part, c.text, c.len + 1, false) < 0;
		if (!g->behind)
			g->part_seq = seq;
	}
	free(c.text);
	return r;
}

int wv_run_log_commit(struct wv_run_log *g)
{
	uint64_t n = 0;
	int r = 0, f = 0;

	if (g->uncommitted) {
		r = wv_tlog_commit(g->tlog);
		g->uncommitted = r < 0;
	}
	if (g->behind)
		f = complete(g, &n);
	return r ?: f;
}

static int copy_checkpoint(struct wv_run_log *g)
{
	_cleanup_free_ char *note = NULL;
	char path[WV_PATH_SIZE + 64];
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER "/" WV_TLOG_CHECKPOINT_NAME, g->state);
	r = wv_io_read_file(g->io, AT_FDCWD, path, WV_NOTE_MAX, &note, &len);
	if (r == 0)
		r = wv_io_replace(g->io, g->dirfd, WV_TLOG_CHECKPOINT_NAME, note, len,
				  WV_ARTIFACT_MODE);
	return r == -ENOENT ? 0 : r;
}

/* In a process of its own, which has nothing of ours open. */
static void tidy(const struct wv_run_log *g)
{
	struct wv_bundles_at bundles = {.io = g->io, .state = g->state};
	struct wv_retention keep = {.keep_ns = g->config->evidence_keep_age,
				    .keep_bytes = g->config->evidence_keep_size,
				    .restate = wv_bundles_restate,
				    .ctx = &bundles};
	struct wv_tlog_options o;
	struct wv_tlog *l;

	(void)setpriority(PRIO_PROCESS, 0, 19);
	wv_tlog_options_of(g->config, &o);
	o.defer_compress = true;
	if (wv_tlog_open(&l, g->io, g->state, &o, NULL) < 0)
		return;
	while (wv_tlog_compress(l) == 1)
		;
	(void)wv_tlog_retain(l, g->io, g->state, &keep, NULL);
	wv_tlog_close(l);
}

/* Twice forked, so that nobody here has to wait for it. */
static void spawn_tidy(const struct wv_run_log *g)
{
	pid_t pid = fork();

	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	if (pid != 0)
		return;
	if (fork() == 0) {
		(void)close_range(3, ~0U, 0);
		tidy(g);
	}
	_exit(0);
}

/* After a segment was closed, and every hour for those that grow too old. */
static bool tidy_due(struct wv_run_log *g)
{
	_cleanup_free_ struct wv_segment *s = NULL;
	uint64_t now = g->io->mono_ns(g->io->ctx);
	char path[WV_PATH_SIZE + 16];
	bool due = false;
	size_t n = 0;
	int fd;

	if (g->io != &wv_io_system)
		return false;
	snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER, g->state);
	fd = g->io->open(g->io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return false;
	if (wv_segments_list(g->io, fd, &s, &n) == 0) {
		for (size_t i = 0; i < n; i++)
			due = due || (s[i].plain && g->config->evidence_compress);
		due = due || (n > 1 && now >= g->next_tidy_ns);
	}
	(void)g->io->close(g->io->ctx, fd);
	if (due)
		g->next_tidy_ns = now + HOUR_NS;
	return due;
}

int wv_run_log_flush(struct wv_run_log *g)
{
	int r, f;

	g->uncommitted = true; /* a segment or a checkpoint may be due by its age */
	r = wv_run_log_commit(g);
	f = wv_lines_sync(&g->part);
	r = r ?: f;
	f = wv_tlog_checkpoint(g->tlog);
	if (f < 0 && f != -ENOKEY)
		r = r ?: f;
	if (f == 0) {
		f = copy_checkpoint(g);
		r = r ?: f;
	}
	if (tidy_due(g))
		spawn_tidy(g);
	return r;
}

void wv_run_log_close(struct wv_run_log *g)
{
	if (g->part.io)
		wv_lines_close(&g->part);
	wv_tlog_close(g->tlog);
	g->tlog = NULL;
	wv_secret_key_wipe(&g->key);
}
