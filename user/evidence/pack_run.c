// SPDX-License-Identifier: GPL-2.0-only
/* The run's part of a pack: its artifacts, redacted; facts of the system; the one-page summary. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/version.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/pack_stage.h"

#define SUMMARY "summary.html"

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static int add_redacted(struct wv_pack_stage *s, const char *name, const char *text)
{
	_cleanup_free_ char *clean = NULL;
	int r = wv_redact_text(&s->redactor, NULL, text, &clean);

	if (r < 0)
		return r;
	text = r ? clean : text;
	return wv_stage_add(s, name, text, strlen(text));
}

static int add_json(struct wv_pack_stage *s, const char *name, struct json_object *o)
{
	_cleanup_free_ char *text = NULL;
	const char *made;

	if (wv_redact_json(&s->redactor, o) < 0)
		return -ENOMEM;
	made = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!made || asprintf(&text, "%s\n", made) < 0)
		return -ENOMEM;
	return wv_stage_add(s, name, text, strlen(text));
}

/* One file of the run. What is not there or too large is told, and is no failure. */
static int add_file(struct wv_pack_stage *s, int dir, const char *file, const char *name)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	char why[WV_PACK_NAME_SIZE + 64];
	size_t len;
	int r = wv_io_read_file(s->o->io, dir, file, WV_PACK_FILE_MAX, &text, &len);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		snprintf(why, sizeof(why), "%s: %s", name, strerror(-r));
		wv_stage_missing(s, why);
		return 0;
	}
	if (strstr(name, ".json") == NULL) {
		/* what is being written may end in the middle of a line */
		while (strcmp(name, WV_PACK_OPEN_METRICS) == 0 && len && text[len - 1] != '\n')
			text[--len] = '\0';
		return add_redacted(s, name, text);
	}
	o = json_tokener_parse(text);
	if (!o) {
		snprintf(why, sizeof(why), "%s: no JSON", name);
		wv_stage_missing(s, why);
		return 0;
	}
	r = add_json(s, name, o);
	if (strcmp(file, WV_META_NAME) == 0)
		s->run_meta = json_object_get(o);
	json_object_put(o);
	return r;
}

struct walk {
	struct wv_pack_stage *s;
	char (*names)[WV_PACK_NAME_SIZE];
	unsigned n;
};

/* Older segments and policies; others that are in the folder are not the run's. */
static int take_name(void *userdata, const char *name)
{
	struct walk *w = userdata;
	unsigned segment;
	int end = 0;

	if ((sscanf(name, "metrics.%u.csv%n", &segment, &end) == 1 && end && !name[end]) ||
	    (sscanf(name, "policy-%*12[0-9a-f].yaml%n", &end), end && !name[end]))
		if (w->n < WV_PACK_FILES_MAX / 2)
			snprintf(w->names[w->n++], WV_PACK_NAME_SIZE, "%.80s", name);
	return 0;
}

static int add_run_files(struct wv_pack_stage *s, int dir)
{
	static const struct {
		const char *file, *name;
	} fixed[] = {{WV_META_NAME, "run/run_meta.json"},
		     {WV_EXPLAIN_NAME, "run/explainability.json"},
		     {WV_CSV_NAME, "run/metrics.csv"},
		     {WV_CSV_TEMPORARY, WV_PACK_OPEN_METRICS}};
	_cleanup_free_ void *names = calloc(WV_PACK_FILES_MAX / 2, WV_PACK_NAME_SIZE);
	struct walk w = {.s = s, .names = names};
	char name[WV_PACK_NAME_SIZE + 8];
	int r = names ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fixed); i++) {
		/* a run has both only while it goes on and after its first rotation */
		if (i >= 2 && faccessat(dir, fixed[i].file, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
		    faccessat(dir, fixed[5 - i].file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		r = add_file(s, dir, fixed[i].file, fixed[i].name);
	}
	if (r == 0)
		r = s->o->io->list(s->o->io->ctx, dir, take_name, &w);
	for (unsigned i = 0; r == 0 && i < w.n; i++) {
		snprintf(name, sizeof(name), WV_PACK_RUN "%s", w.names[i]);
		r = add_file(s, dir, w.names[i], name);
	}
	return r;
}

static void add_os(struct json_object *o)
{
	_cleanup_fclose_ FILE *f = fopen("/etc/os-release", "re");
	char line[256], value[200];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "PRETTY_NAME=\"%199[^\"]\"", value) == 1)
			add_text(o, "os", value);
}

static int add_facts(struct wv_pack_stage *s)
{
	struct json_object *o = json_object_new_object();
	struct wv_version v;
	struct utsname u;
	int r;

	(void)wv_version_get(s->o->config, NULL, &v);
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	add_text(o, "waveos_version", v.waveos);
	add_text(o, "maker_sha256", v.bundle_id);
	add_text(o, "device", s->o->key_name);
	if (uname(&u) == 0) {
		add_text(o, "hostname", u.nodename);
		add_text(o, "machine", u.machine);
		add_text(o, "kernel", u.release);
		add_text(o, "kernel_build", u.version);
	}
	add_os(o);
	json_object_object_add(o, "cpus", json_object_new_int64(sysconf(_SC_NPROCESSORS_CONF)));
	json_object_object_add(
		o, "memory_bytes",
		json_object_new_int64((int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)));
	r = add_json(s, "facts.json", o);
	json_object_put(o);
	return r;
}

static int add_summary(struct wv_pack_stage *s)
{
	_cleanup_free_ char *html = NULL;
	int r = s->o->summary ? s->o->summary(s->dir, &html) : -ENOENT;

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		wv_stage_missing(s, SUMMARY ": nothing to show");
		return 0;
	}
	return wv_stage_add(s, SUMMARY, html, strlen(html));
}

int wv_stage_run(struct wv_pack_stage *s)
{
	const struct wv_io *io = s->o->io;
	int dir, r = add_facts(s);

	if (r < 0)
		return r;
	if (!*s->o->run) {
		wv_stage_missing(s, "run: the records belong to none");
		return 0;
	}
	dir = io->open(io->ctx, AT_FDCWD, s->o->run, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0) {
		wv_stage_missing(s, "run: its folder is gone");
		return 0;
	}
	r = add_run_files(s, dir);
	(void)io->close(io->ctx, dir);
	return r ?: add_summary(s);
}
