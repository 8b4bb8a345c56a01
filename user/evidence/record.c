// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run's records. The device's log is the truth: what was acknowledged is in it, in order, once.
 * events.jsonl in the run's folder has the run's lines of it; the other artifacts are projections
 * that are completed now and then. A full disk costs records, which are counted, and never the
 * agent; when there is room again the log says how many are missing.
 */
#include "user/evidence/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/host.h"
#include "user/core/log.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/canonical.h"
#include "user/evidence/meta.h"
#include "user/evidence/redact.h"
#include "user/evidence/run_log.h"
#include "user/evidence/samples.h"
#include "user/flow/policy.h"

struct wv_records {
	const struct wv_io *io;
	const struct wv_config *config;
	int dirfd;
	char dir[WV_PATH_SIZE + 80];
	struct wv_paths paths; /* run_log keeps a pointer into it */
	struct wv_run_log log;
	struct wv_csv csv;
	struct wv_explain explain;
	struct wv_samples_writer *samples; /* NULL: not recorded */
	struct wv_meta meta;
	uint64_t lost; /* records since the log last took one */
	int lost_errno;
	uint64_t next_row_ns, segment_end_ns; /* monotonic; 0: not yet known */
	uint64_t told;			      /* losses that run_meta.json has */
	int last_error;			      /* of the last write of any kind; 0: it worked */
	bool final;
};

static const char *const reserved[] = {"schema_version", "seq",	   "boot_id", "mono_ns",
				       "wall_ns",	 "run_id", "type"};

struct entry {
	const struct wv_records *r;
	const char *type;
	struct json_object *fields;
};

static bool has_reserved(struct json_object *fields)
{
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (json_object_object_get_ex(fields, reserved[i], NULL))
			return true;
	return false;
}

/* The line of record seq; NULL if there is no memory or it is no record. */
static char *record_line(void *ctx, uint64_t seq, size_t *ret_len)
{
	const struct entry *e = ctx;
	const struct wv_records *r = e->r;
	struct json_object *o = json_object_new_object(), *fields = e->fields;
	char *line = NULL;
	int f;

	json_object_object_add(o, "schema_version", json_object_new_int(WV_EVENT_SCHEMA_VERSION));
	json_object_object_add(o, "seq", json_object_new_uint64(seq));
	json_object_object_add(o, "boot_id", json_object_new_string(r->meta.boot_id));
	json_object_object_add(o, "mono_ns", json_object_new_uint64(r->io->mono_ns(r->io->ctx)));
	json_object_object_add(o, "wall_ns", json_object_new_uint64(r->io->wall_ns(r->io->ctx)));
	json_object_object_add(o, "run_id", json_object_new_string(r->meta.run_id));
	json_object_object_add(o, "type", json_object_new_string(e->type));
	if (json_object_is_type(fields, json_type_object)) {
		json_object_object_foreach(fields, key, value)
			json_object_object_add(o, key, json_object_get(value));
	}
	f = wv_canonical(o, &line, ret_len);
	json_object_put(o);
	return f < 0 ? NULL : line;
}

static int append(struct wv_records *r, const char *type, struct json_object *fields, bool durable)
{
	struct entry e = {.r = r, .type = type, .fields = fields};
	struct wv_redactor filter;
	int f;

	if (has_reserved(fields))
		return -EINVAL;
	/* free text of the kernel and of programs comes in here: secrets go no further */
	wv_redactor_records(&filter);
	f = wv_redact_json(&filter, fields);
	if (f < 0)
		return f;
	f = wv_run_log_append(&r->log, record_line, &e, durable);
	if (f == 0)
		r->meta.records = r->log.records;
	return f;
}

/* After a time in which nothing could be written: how much is missing, before anything else. */
static int append_loss(struct wv_records *r)
{
	struct json_object *fields;
	int e;

	if (!r->lost)
		return 0;
	fields = json_object_new_object();
	json_object_object_add(fields, "count", json_object_new_uint64(r->lost));
	json_object_object_add(fields, "errno", json_object_new_int(-r->lost_errno));
	json_object_object_add(fields, "error", json_object_new_string(strerror(-r->lost_errno)));
	e = append(r, "records-lost", fields, false);
	json_object_put(fields);
	if (e == 0)
		r->lost = 0;
	return e;
}

static void note_failure(struct wv_records *r, int error)
{
	r->meta.failed++;
	r->meta.last_errno = error;
	if (!r->lost++)
		(void)wv_log_warn(
			error, "record",
			"cannot write %s: records are counted as lost until it works again",
			r->dir);
	r->lost_errno = error;
}

int wv_record(struct wv_records *r, const char *type, struct json_object *fields, bool durable)
{
	int e = append_loss(r);

	if (e == 0)
		e = append(r, type, fields, durable);
	json_object_put(fields);
	r->last_error =
		e == -EINVAL ? 0 : e; /* a record that cannot be one says nothing of the disk */
	if (e < 0)
		note_failure(r, e);
	return e;
}

int wv_records_error(const struct wv_records *r)
{
	return r->last_error;
}

int wv_records_sync(struct wv_records *r)
{
	int e = wv_run_log_commit(&r->log);

	if (e < 0)
		note_failure(r, e);
	return e;
}

int wv_record_explain(struct wv_records *r, struct json_object *decision)
{
	r->meta.decisions++;
	return wv_explain_add(&r->explain, decision);
}

static int record_opened(struct wv_records *r, uint64_t cut)
{
	struct json_object *fields = json_object_new_object();
	const struct wv_version *v = &r->meta.version;

	json_object_object_add(fields, "waveos_version", json_object_new_string(v->waveos));
	json_object_object_add(fields, "policy_version", json_object_new_string(v->policy));
	json_object_object_add(fields, "bundle_id", json_object_new_string(v->bundle_id));
	json_object_object_add(fields, "resumed", json_object_new_boolean(r->meta.resumes > 0));
	json_object_object_add(fields, "cut_bytes", json_object_new_uint64(cut));
	return wv_record(r, "run-opened", fields, true);
}

static int write_meta(struct wv_records *r)
{
	int e = wv_meta_write(&r->meta, r->io, r->dirfd, r->config);

	if (e == 0)
		r->told = r->meta.failed + r->meta.samples_failed;
	return e;
}

static int open_files(struct wv_records *r, const struct wv_paths *paths, bool made)
{
	uint64_t cut = 0;
	int e = wv_run_log_open(&r->log, r->io, paths, r->config, r->dirfd, r->meta.run_id, made,
				&cut),
	    opened;

	if (e < 0)
		return e;
	r->meta.records = r->log.records;
	if (r->meta.records) {
		wv_meta_load(&r->meta, r->io, r->dirfd);
		wv_explain_load(&r->explain, r->io, r->dirfd);
		r->meta.resumes++;
	}
	opened = record_opened(r, cut);
	/* a run that goes on does so on a full disk, too; a new one must be able to begin */
	if (opened < 0)
		return r->meta.resumes ? 0 : opened;
	e = wv_csv_open(&r->csv, r->io, r->dirfd);
	if (e == 0)
		e = write_meta(r);
	if (e == 0 || r->meta.resumes)
		return 0;
	return e;
}

/* Nothing of a run that could not begin stays. */
static void remove_new_run(struct wv_records *r, int runs_fd)
{
	static const char *const names[] = {WV_EVENTS_NAME, WV_CSV_TEMPORARY, WV_META_NAME};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)r->io->unlink(r->io->ctx, r->dirfd, names[i]);
	(void)unlinkat(runs_fd, r->meta.run_id, AT_REMOVEDIR);
}

static int open_run(struct wv_records *r, const char *runs, const char *run_id, int *ret_runs_fd,
		    bool *ret_made)
{
	int e = wv_io_mkdirs(r->io, runs, 0750), fd;
	bool made;

	if (e < 0)
		return e;
	fd = r->io->open(r->io->ctx, AT_FDCWD, runs, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	e = r->io->mkdir(r->io->ctx, fd, run_id, 0750);
	made = e == 0;
	if (made || e == -EEXIST) {
		e = r->io->open(r->io->ctx, fd, run_id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (e < 0 && made)
			(void)unlinkat(fd, run_id, AT_REMOVEDIR);
	}
	if (e < 0) {
		(void)r->io->close(r->io->ctx, fd);
		return e;
	}
	r->dirfd = e;
	*ret_runs_fd = fd;
	*ret_made = made;
	return 0;
}

int wv_records_open(struct wv_records **ret, const struct wv_io *io, const struct wv_paths *paths,
		    const struct wv_config *config, const struct wv_policy *policy,
		    const struct wv_host *host, const char *run_id)
{
	struct wv_records *r;
	char runs[WV_PATH_SIZE + 8];
	int e, runs_fd;
	bool made;

	if (!*run_id || *run_id == '.' || strchr(run_id, '/') ||
	    strlen(run_id) >= sizeof(r->meta.run_id))
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->io = io;
	r->config = config;
	r->dirfd = r->log.part.fd = r->csv.lines.fd = -1;
	wv_meta_init(&r->meta, io, config, policy, host, run_id);
	snprintf(runs, sizeof(runs), "%s/runs", paths->state);
	snprintf(r->dir, sizeof(r->dir), "%s/%s", runs, run_id);
	e = open_run(r, runs, run_id, &runs_fd, &made);
	if (e < 0) {
		wv_records_close(r);
		return e;
	}
	r->paths = *paths;
	e = open_files(r, &r->paths, made);
	if (e < 0 && made)
		remove_new_run(r, runs_fd);
	if (e == 0) {
		(void)wv_io_sync_dir(io, runs_fd);
		wv_runs_tidy(io, runs_fd, run_id, (unsigned)config->record_keep_runs,
			     (unsigned)config->record_keep_segments);
	}
	(void)io->close(io->ctx, runs_fd);
	if (e < 0) {
		wv_records_close(r);
		return e;
	}
	*ret = r;
	return 0;
}

static int write_rows(struct wv_records *r, const struct wv_sample *s)
{
	uint64_t rows = 0;
	int e = 0;

	if (r->csv.lines.fd < 0)
		e = wv_csv_open(&r->csv, r->io, r->dirfd);
	if (e == 0)
		e = wv_csv_append(&r->csv, s, &rows);
	if (e < 0) {
		r->meta.samples_failed++;
		r->meta.last_errno = e;
		return e;
	}
	r->meta.samples++;
	r->meta.rows += rows;
	return 0;
}

/* record.samples */
enum { SAMPLES_AUTO, SAMPLES_ON, SAMPLES_OFF };

static int keep_policy(struct wv_records *r, const struct wv_policy *policy)
{
	_cleanup_free_ char *clean = NULL;
	struct wv_redactor filter;
	const char *text = policy->text;
	char name[48];
	int e;

	if (!policy->name[0])
		return 0;
	/* commands of services may have passwords in them */
	wv_redactor_records(&filter);
	e = wv_redact_text(&filter, NULL, text, &clean);
	if (e < 0)
		return e;
	text = e ? clean : text;
	snprintf(name, sizeof(name), "policy-%.12s.yaml", policy->digest);
	return wv_io_replace(r->io, r->dirfd, name, text, strlen(text), WV_ARTIFACT_MODE);
}

int wv_records_policy(struct wv_records *r, const struct wv_policy *policy, bool restarted)
{
	int mode = r->config->record_samples, e;
	bool wanted = mode == SAMPLES_ON || (mode == SAMPLES_AUTO && policy->n_rules);

	e = keep_policy(r, policy);
	if (wanted && !r->samples)
		e = e
			    ?: wv_samples_open(&r->samples, r->io, r->dirfd,
					       (uint32_t)r->config->collect_max_cgroups,
					       (unsigned)r->config->record_keep_segments);
	if (!r->samples)
		return e;
	if (restarted)
		e = e ?: wv_samples_mark(r->samples, WV_SAMPLES_RESTART, "");
	return e ?: wv_samples_mark(r->samples, WV_SAMPLES_POLICY, policy->digest);
}

/* When something is due next: one interval on, but not in the past. */
static uint64_t next_due(uint64_t due, uint64_t interval, uint64_t now)
{
	due += interval;
	return due > now ? due : now + interval;
}

int wv_records_tick(struct wv_records *r, const struct wv_sample *s)
{
	/* a tick that comes a little early is the one that was meant */
	uint64_t now = s->mono_ns + r->config->agent_tick / 2;
	bool due;
	int e = 0, f;

	if (!r->segment_end_ns) {
		r->next_row_ns = s->mono_ns;
		r->segment_end_ns = s->mono_ns + r->config->record_artifacts_every;
	}
	due = now >= r->next_row_ns;
	f = wv_run_log_commit(&r->log);
	if (f < 0)
		(void)wv_log_full(LOG_DEBUG, f, "record", "commit");
	if (r->samples)
		e = wv_samples_tick(r->samples, s);
	if (e == -EBADF) /* said when it broke; it goes on with the next segment */
		e = 0;
	else if (e < 0)
		(void)wv_log_warn(e, "record", "samples.wvs: not recorded until the next rotation");
	if (due) {
		r->next_row_ns = next_due(r->next_row_ns, r->config->record_interval, now);
		f = write_rows(r, s);
		r->last_error = f;
		e = e ?: f;
		if (r->explain.dirty) {
			f = wv_explain_write(&r->explain, r->io, r->dirfd, r->meta.run_id,
					     r->meta.boot_id, &r->meta.version);
			e = e ?: f;
		}
	}
	/* losses are told soon: a core that dies takes its counts with it */
	if (due && r->told != r->meta.failed + r->meta.samples_failed) {
		f = write_meta(r);
		e = e ?: f;
	}
	if (now >= r->segment_end_ns) {
		r->segment_end_ns =
			next_due(r->segment_end_ns, r->config->record_artifacts_every, now);
		f = wv_records_flush(r, false);
		e = e ?: f;
	}
	return e;
}

/* Everything is tried, the first error is told. run_meta.json comes last: it speaks of the others.
 */
int wv_records_flush(struct wv_records *r, bool final)
{
	struct json_object *fields;
	int e = 0, f;

	/* at the end, what an earlier failure left open is completed or removed, too */
	if (final && r->csv.lines.fd < 0)
		e = wv_csv_open(&r->csv, r->io, r->dirfd);
	if (r->csv.lines.fd >= 0) {
		e = wv_csv_complete(&r->csv, r->dirfd, (unsigned)r->config->record_keep_segments);
		r->meta.segments_completed += e > 0;
	}
	if (e >= 0 && !final)
		e = r->csv.lines.fd < 0 ? wv_csv_open(&r->csv, r->io, r->dirfd) : 0;
	e = e < 0 ? e : 0;
	if (r->samples) {
		f = wv_samples_rotate(r->samples, final);
		e = e ?: f;
	}
	f = wv_explain_write(&r->explain, r->io, r->dirfd, r->meta.run_id, r->meta.boot_id,
			     &r->meta.version);
	e = e ?: f;
	if (final && !r->final) {
		fields = json_object_new_object();
		json_object_object_add(fields, "records_failed",
				       json_object_new_uint64(r->meta.failed));
		f = wv_record(r, "run-closed", fields, false);
		e = e ?: f;
		r->final = f == 0;
		r->meta.ended_mono_ns = r->io->mono_ns(r->io->ctx);
		r->meta.ended_wall_ns = r->io->wall_ns(r->io->ctx);
	}
	f = wv_run_log_flush(&r->log);
	e = e ?: f;
	if (e < 0)
		r->meta.last_errno = e;
	f = write_meta(r);
	return e ?: f;
}

void wv_records_close(struct wv_records *r)
{
	if (!r)
		return;
	wv_samples_close(r->samples);
	wv_lines_close(&r->csv.lines);
	wv_run_log_close(&r->log);
	wv_explain_done(&r->explain);
	wv_meta_done(&r->meta);
	if (r->dirfd >= 0)
		(void)r->io->close(r->io->ctx, r->dirfd);
	free(r);
}

const char *wv_records_dir(const struct wv_records *r)
{
	return r->dir;
}

void wv_records_counts(const struct wv_records *r, uint64_t *ret_written, uint64_t *ret_failed)
{
	*ret_written = r->meta.records;
	*ret_failed = r->meta.failed;
}
