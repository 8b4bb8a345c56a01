// SPDX-License-Identifier: GPL-2.0-only
/* migrate: a run's artifacts in the newest form. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/evidence/event.h"
#include "user/evidence/migrate.h"

static const struct wv_option options[] = {
	{"output", 'o', "DIR",
	 "write the new files there; default: in place, originals kept as NAME.v1"},
	{0},
};
static const char examples[] =
	"  waveos-bpf migrate latest\n"
	"  waveos-bpf migrate /mnt/old/runs/20261124T214535Z-3fce8b --output /tmp/new\n";

struct work {
	struct wv_tlog *log;
	const char *run;	  /* folder, for the record */
	struct json_object *done; /* list for --json */
	bool json;
};

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	*(const char **)ctx = value;
	return 0;
}

/* In the log before it is done: which bytes become which. */
static int record(struct work *w, const struct wv_migrated *m)
{
	struct json_object *o = json_object_new_object(), *detail = json_object_new_object();

	wv_json_str(o, "what", "migrate");
	wv_json_str(o, "tool_version", WV_VERSION);
	wv_json_str(o, "from", m->file);
	wv_json_str(o, "to", m->file);
	wv_json_str(o, "from_sha256", m->from_sha256);
	wv_json_str(o, "to_sha256", m->to_sha256);
	wv_json_str(detail, "run", w->run);
	wv_json_u64(detail, "from_version", m->from);
	wv_json_u64(detail, "to_version", m->to);
	wv_json_u64(detail, "cut_bytes", m->cut_bytes);
	json_object_object_add(o, "detail", detail);
	return wv_event(w->log, &wv_io_system, "", "transformation", o, true, NULL);
}

static int tell(void *ctx, const struct wv_migrated *m)
{
	struct work *w = ctx;
	struct json_object *o;
	int r = m->from != m->to ? record(w, m) : 0;

	if (r < 0)
		return r;
	if (w->json) {
		o = json_object_new_object();
		wv_json_str(o, "file", m->file);
		wv_json_u64(o, "from_version", m->from);
		wv_json_u64(o, "to_version", m->to);
		wv_json_str(o, "from_sha256", m->from_sha256);
		wv_json_str(o, "to_sha256", m->to_sha256);
		wv_json_str(o, "original", m->kept);
		json_object_array_add(w->done, o);
	} else if (m->from == m->to) {
		printf("%s: schema_version %u is current\n", m->file, m->to);
	} else {
		printf("%s: schema_version %u to %u%s%s\n", m->file, m->from, m->to,
		       *m->kept ? ", the original is " : "", m->kept);
	}
	return 0;
}

static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int say(const char *text, int error)
{
	fprintf(stderr, "waveos-bpf migrate: %s\n", text);
	return error == -EACCES || error == -EPERM ? WV_EXIT_DENIED
	       : error == -EBADMSG || error == -EPROTO || error == -ENOENT || error == -ENOTDIR
		       ? WV_EXIT_FINDING
		       : WV_EXIT_INTERNAL;
}

static int migrate(const struct wv_cli *cli, const char *dir, const char *output, struct work *w)
{
	_cleanup_close_ int from = open_folder(dir), made = -1;
	struct wv_migration m = {.io = &wv_io_system, .tell = tell, .ctx = w};
	char text[300];
	int r = from < 0 ? from : 0;

	if (r == 0 && output) {
		r = wv_io_mkdirs(&wv_io_system, output, 0750);
		made = r < 0 ? r : open_folder(output);
		r = made < 0 ? made : 0;
	}
	if (r < 0) {
		snprintf(text, sizeof(text), "%.200s: %s", from < 0 ? dir : output, strerror(-r));
		return say(text, r);
	}
	r = wv_tlog_open_device(&w->log, &wv_io_system, &cli->paths);
	if (r < 0) {
		snprintf(text, sizeof(text),
			 "the log in %.150s/log, which has to say what was changed: %s",
			 cli->paths.state, strerror(-r));
		return say(text, r);
	}
	m.from_dir = from;
	m.to_dir = output ? made : from;
	r = wv_migrate_run(&m);
	wv_tlog_close(w->log);
	return r < 0 ? say(m.error[0] ? m.error : strerror(-r), r) : WV_EXIT_OK;
}

int wv_cmd_migrate(struct wv_cli *cli, int argc, char **argv)
{
	char dir[2 * WV_PATH_SIZE];
	const char *output = NULL;
	struct json_object *o;
	struct work w = {.json = cli->json};
	int r = wv_cli_parse(cli, argc, argv, "migrate RUN [--output DIR] [--json]", examples,
			     options, set_option, &output);

	if (r < 0)
		return -r;
	w.json = cli->json;
	if (argc - r != 1) {
		fprintf(stderr,
			"waveos-bpf migrate: wants one run: its id, its folder, or 'latest'\n");
		return WV_EXIT_USAGE;
	}
	if (wv_find_run(&cli->paths, argv[r], dir, sizeof(dir)) < 0) {
		fprintf(stderr, "waveos-bpf migrate: no run '%s'; runs are in %s/runs\n", argv[r],
			cli->paths.state);
		return WV_EXIT_FINDING;
	}
	w.run = strrchr(dir, '/') ? strrchr(dir, '/') + 1 : dir;
	w.done = json_object_new_array();
	r = migrate(cli, dir, output, &w);
	if (cli->json && r == WV_EXIT_OK) {
		o = json_object_new_object();
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		json_object_object_add(o, "files", json_object_get(w.done));
		wv_json_print(o);
		json_object_put(o);
	}
	json_object_put(w.done);
	return r;
}
