// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/host.h"
#include "user/evidence/artifacts.h"

#define META_FILE_MAX (1U << 20)

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void add_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_bool(struct json_object *o, const char *key, bool v)
{
	json_object_object_add(o, key, json_object_new_boolean(v));
}

/* 0 is written as null: it has not happened. */
static void add_time(struct json_object *o, const char *key, uint64_t ns)
{
	json_object_object_add(o, key, ns ? json_object_new_uint64(ns) : NULL);
}

/* Controllers by hierarchy: {"v2": ["cpu"], "v1": ["memory"]} */
static void add_controllers(struct json_object *o, const struct wv_host *host)
{
	struct json_object *v1 = json_object_new_array(), *v2 = json_object_new_array();

	for (unsigned i = 0; i < WV_CTRL_N; i++) {
		const char *name = wv_controller_names[i];

		if (host->v2_controller[i])
			json_object_array_add(v2, json_object_new_string(name));
		if (*host->v1[i])
			json_object_array_add(v1, json_object_new_string(name));
	}
	json_object_object_add(o, "controllers_v2", v2);
	json_object_object_add(o, "controllers_v1", v1);
}

static struct json_object *host_facts(const struct wv_host *host)
{
	static const char *const flavours[] = {"none", "btf", "raw"};
	struct json_object *o = json_object_new_object();
	struct utsname u;

	if (uname(&u) == 0) {
		add_text(o, "name", u.nodename);
		add_text(o, "machine", u.machine);
		add_text(o, "kernel", u.release);
		add_text(o, "kernel_build", u.version);
	}
	if (!host)
		return o;
	add_u64(o, "cpus", host->ncpu);
	add_bool(o, "btf", host->btf);
	add_bool(o, "psi", host->psi);
	add_text(o, "hooks", host->flavour < ARRAY_SIZE(flavours) ? flavours[host->flavour] : "");
	add_text(o, "security_modules", host->lsms);
	add_text(o, "cgroup2", host->cgroup2);
	add_controllers(o, host);
	return o;
}

/* The kernel's own word, for those who call without a probed host. */
static void read_boot_id(char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;

	buf[0] = '\0';
	if (wv_io_read_file(&wv_io_system, AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text,
			    NULL) == 0)
		snprintf(buf, size, "%.*s", (int)strcspn(text, "\n"), text);
}

void wv_meta_init(struct wv_meta *m, const struct wv_io *io, const struct wv_config *config,
		  const struct wv_policy *policy, const struct wv_host *host, const char *run_id)
{
	*m = (struct wv_meta){0};
	snprintf(m->run_id, sizeof(m->run_id), "%s", run_id);
	if (host && *host->boot_id)
		snprintf(m->boot_id, sizeof(m->boot_id), "%s", host->boot_id);
	else
		read_boot_id(m->boot_id, sizeof(m->boot_id));
	(void)wv_version_get(config, policy, &m->version);
	m->host = host_facts(host);
	m->started_mono_ns = io->mono_ns(io->ctx);
	m->started_wall_ns = io->wall_ns(io->ctx);
}

void wv_meta_done(struct wv_meta *m)
{
	json_object_put(m->host);
	m->host = NULL;
}

static uint64_t get_u64(struct json_object *o, const char *group, const char *key)
{
	struct json_object *g = o, *v;

	if (group && !json_object_object_get_ex(o, group, &g))
		return 0;
	return json_object_object_get_ex(g, key, &v) ? json_object_get_uint64(v) : 0;
}

void wv_meta_load(struct wv_meta *m, const struct wv_io *io, int dirfd)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o;

	if (wv_io_read_file(io, dirfd, WV_META_NAME, META_FILE_MAX, &text, NULL) < 0)
		return;
	o = json_tokener_parse(text);
	if (get_u64(o, NULL, "started_wall_ns")) {
		m->started_mono_ns = get_u64(o, NULL, "started_mono_ns");
		m->started_wall_ns = get_u64(o, NULL, "started_wall_ns");
		m->resumes = get_u64(o, NULL, "resumes");
		m->segments_completed = get_u64(o, NULL, "segments_completed");
		m->samples = get_u64(o, "counts", "samples");
		m->rows = get_u64(o, "counts", "rows");
		m->decisions = get_u64(o, "counts", "decisions");
		m->failed = get_u64(o, "losses", "records");
		m->samples_failed = get_u64(o, "losses", "samples");
	}
	json_object_put(o);
}

struct json_object *wv_meta_settings(const struct wv_config *config)
{
	struct json_object *o = json_object_new_object(), *section = NULL;

	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];
		const void *member = (const char *)config + s->offset;

		if (!json_object_object_get_ex(o, s->section, &section)) {
			section = json_object_new_object();
			json_object_object_add(o, s->section, section);
		}
		if (s->type == WV_STRING || s->type == WV_SECRET) {
			add_text(section, s->key, member);
		} else if (s->type == WV_BOOL) {
			add_bool(section, s->key, *(const bool *)member);
		} else if (s->type == WV_CHOICE) {
			char buf[128];
			const char *words[16];
			size_t n = wv_choices(s->min, buf, sizeof(buf), words, ARRAY_SIZE(words));
			int at = *(const int *)member;

			add_text(section, s->key, at >= 0 && (size_t)at < n ? words[at] : "");
		} else {
			add_u64(section, s->key, *(const uint64_t *)member);
		}
	}
	return o;
}

static struct json_object *config_facts(const struct wv_config *config)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "file", config->source);
	add_text(o, "sha256", config->digest);
	add_u64(o, "budgets", config->n_budgets);
	add_u64(o, "heartbeats", config->n_heartbeats);
	json_object_object_add(o, "settings", wv_meta_settings(config));
	return o;
}

/* The segments that are there now, newest first. */
static struct json_object *segments(const struct wv_meta *m, const struct wv_io *io, int dirfd,
				    uint64_t keep)
{
	struct json_object *list = json_object_new_array();
	char name[32];

	/* one more than are known of: a core may have died before it could count the last */
	for (unsigned i = 0; i <= keep && i <= m->segments_completed + 1; i++) {
		int fd = io->open(io->ctx, dirfd, wv_csv_segment_name(i, name),
				  O_RDONLY | O_NOFOLLOW, 0);

		if (fd < 0)
			continue;
		(void)io->close(io->ctx, fd);
		json_object_array_add(list, json_object_new_string(name));
	}
	return list;
}

int wv_meta_write(const struct wv_meta *m, const struct wv_io *io, int dirfd,
		  const struct wv_config *config)
{
	struct json_object *o = wv_artifact_new(m->run_id, m->boot_id, &m->version);
	struct json_object *counts = json_object_new_object(), *losses = json_object_new_object();
	int r;

	add_time(o, "started_mono_ns", m->started_mono_ns);
	add_time(o, "started_wall_ns", m->started_wall_ns);
	add_time(o, "ended_mono_ns", m->ended_mono_ns);
	add_time(o, "ended_wall_ns", m->ended_wall_ns);
	add_u64(o, "resumes", m->resumes);
	json_object_object_add(o, "host", json_object_get(m->host));
	json_object_object_add(o, "config", config_facts(config));
	add_u64(o, "segments_completed", m->segments_completed);
	json_object_object_add(o, "segments", segments(m, io, dirfd, config->record_keep_segments));
	add_u64(counts, "records", m->records);
	add_u64(counts, "samples", m->samples);
	add_u64(counts, "rows", m->rows);
	add_u64(counts, "decisions", m->decisions);
	json_object_object_add(o, "counts", counts);
	add_u64(losses, "records", m->failed);
	add_u64(losses, "samples", m->samples_failed);
	add_text(losses, "last_error", m->last_errno ? strerror(-m->last_errno) : "");
	json_object_object_add(o, "losses", losses);
	r = wv_artifact_write(io, dirfd, WV_META_NAME, o);
	json_object_put(o);
	return r;
}
