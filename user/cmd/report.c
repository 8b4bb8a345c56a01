// SPDX-License-Identifier: GPL-2.0-only
/* report: a recorded run as a Markdown summary and a page with plots. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/cmd.h"
#include "user/cmd/progress.h"
#include "user/cmd/report_doc.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"

/* A report of 1000 cgroups with 50 events and all decisions stays far below. */
#define REPORT_MAX_BYTES (64U << 20)

struct files {
	const char *html, *markdown;
};

static const struct wv_option options[] = {
	{"html", 0, "FILE", "write a self-contained page with plots"},
	{"markdown", 'm', "FILE", "write the summary there instead of to standard output"},
	{0},
};

static const char examples[] =
	"  waveos-bpf report latest\n"
	"  waveos-bpf report latest --html run.html\n"
	"  waveos-bpf report /var/lib/waveos/runs/20260101T000000Z-abcdef -m run.md\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct files *f = ctx;

	if (o == &options[0])
		f->html = value;
	else
		f->markdown = value;
	return 0;
}

/* Writes one document to a file (atomically) or to standard output. */
static int write_out(struct wv_doc *d, const char *file)
{
	_cleanup_free_ char *folder = NULL;
	_cleanup_close_ int dirfd = -1;
	const char *name;
	int r = wv_text_end(&d->text);

	if (r == 0 && !file)
		r = fwrite(d->text.data, 1, d->text.len, stdout) == d->text.len ? 0 : -EIO;
	if (r < 0 || !file)
		return r;
	name = strrchr(file, '/');
	folder = name ? strndup(file, (size_t)(name - file) + 1) : strdup(".");
	if (!folder)
		return -ENOMEM;
	dirfd = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (dirfd < 0)
		return -errno;
	return wv_io_replace(&wv_io_system, dirfd, name ? name + 1 : file, d->text.data,
			     d->text.len, 0644);
}

static int write_document(const struct wv_report *r, const char *file, bool html)
{
	struct wv_doc d = {.text = {.max = REPORT_MAX_BYTES}, .html = html};
	int e;

	if (html)
		wv_report_html(&d, r);
	else
		wv_report_markdown(&d, r);
	e = write_out(&d, file);
	wv_text_done(&d.text);
	if (e == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf report: cannot write %s: %s\n", file ?: "the report",
		strerror(-e));
	return e == -EACCES || e == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
}

static void print_json(const struct wv_report *r)
{
	struct json_object *o = json_object_new_object(), *cgroups = json_object_new_array();
	static const char *const names[WV_REPORT_N] = {
#define X(id, name, own) name,
		WV_REPORT_COLUMNS(X)
#undef X
	};

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	wv_json_str(o, "run_id", wv_report_meta(r, NULL, "run_id"));
	wv_json_str(o, "dir", r->dir);
	wv_json_u64(o, "samples", r->n_samples);
	wv_json_u64(o, "unreadable_lines", r->bad_lines);
	for (uint32_t i = 0; i < r->n_cgroups; i++) {
		struct json_object *c = json_object_new_object();

		wv_json_str(c, "cgroup", r->cgroups[i].path);
		wv_json_str(c, "hierarchy", r->cgroups[i].key & WV_KEY_V1 ? "v1" : "v2");
		for (unsigned k = 0; k < WV_REPORT_N; k++)
			wv_json_u64(c, names[k], wv_report_total(r, &r->cgroups[i], k));
		json_object_array_add(cgroups, c);
	}
	json_object_object_add(o, "cgroups", cgroups);
	json_object_object_add(o, "records", json_object_get(r->counts));
	json_object_object_add(o, "decisions", json_object_get(r->decisions));
	json_object_object_add(o, "notable", json_object_get(r->notable));
	json_object_object_add(o, "drift", json_object_get(r->drift));
	wv_json_print(o);
	json_object_put(o);
}

static int say_missing(const char *run, const char *dir, const struct wv_paths *paths, int error)
{
	if (error == -EACCES || error == -EPERM) {
		fprintf(stderr, "waveos-bpf report: may not read %s: run it as root\n", dir);
		return WV_EXIT_DENIED;
	}
	if (error == -ENOENT || error == -ENOTDIR)
		fprintf(stderr,
			"waveos-bpf report: no run '%s'; runs are in %s/runs ('latest' is the "
			"newest)\n",
			run, paths->state);
	else
		fprintf(stderr, "waveos-bpf report: cannot read the run in %s: %s\n", dir,
			strerror(-error));
	return error == -ENOENT || error == -ENOTDIR ? WV_EXIT_FINDING : WV_EXIT_INTERNAL;
}

int wv_cmd_report(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_(wv_report_done) struct wv_report r = {0};
	char dir[2 * WV_PATH_SIZE] = "";
	struct files f = {0};
	const char *run;
	int e = wv_cli_parse(cli, argc, argv, "report RUN [--html FILE] [--markdown FILE] [--json]",
			     examples, options, set_option, &f);

	if (e < 0)
		return -e;
	if (argc - e != 1) {
		fprintf(stderr,
			"waveos-bpf report: wants one run: its id, its folder, or 'latest'\n");
		return WV_EXIT_USAGE;
	}
	run = argv[e];
	e = wv_find_run(&cli->paths, run, dir, sizeof(dir));
	if (e == 0) {
		struct wv_progress progress = wv_progress_begin("report", dir);

		e = wv_report_load(&r, dir);
		wv_progress_end(&progress);
	}
	if (e < 0)
		return say_missing(run, dir, &cli->paths, e);
	if (cli->json)
		print_json(&r);
	e = WV_EXIT_OK;
	if (f.html)
		e = write_document(&r, f.html, true);
	/* the summary is what a report without options is */
	if (e == WV_EXIT_OK && (f.markdown || (!f.html && !cli->json)))
		e = write_document(&r, f.markdown, false);
	return e;
}
