// SPDX-License-Identifier: GPL-2.0-only
/*
 * A turn ten times a second, the page once a second, a record of a bottleneck that has lasted. It
 * stays root, for processes of all users are watched, but keeps no capability beyond those that
 * load and attach its own BPF object.
 */
#include "user/gpu/worker.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "user/agent/beat.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"
#include "user/flow/figures.h"
#include "user/gpu/hub.h"
#include "user/tune/drift.h"

#define TURN_US 100000
#define PAGE_NS 1000000000ULL
/* A bottleneck that goes sooner is not worth a record; those of a step come and go. */
#define LASTING_NS 5000000000ULL
#define TOLD (WV_GPU_DEVICES + WV_GPU_VIEW_PROCESSES)

struct told {
	char subject[64]; /* uuid of a device, or "pid N" */
	uint32_t bottleneck;
	bool seen;
};

struct worker {
	const struct wv_worker_context *ctx;
	struct wv_gpu_hub *hub;
	struct wv_gpu_view *page, *view;
	uint64_t shown;
	struct told told[TOLD];
	sd_event *loop;
	int control;
};

bool wv_gpu_wanted(const struct wv_config *config)
{
	enum { AUTO, ON, OFF };

	if (config->gpu_enabled != AUTO)
		return config->gpu_enabled == ON;
	return access("/dev/nvidiactl", F_OK) == 0;
}

static void record(struct worker *w, const char *subject, const char *command, uint32_t before,
		   uint32_t after)
{
	struct json_object *o = json_object_new_object();
	int r;

	json_object_object_add(o, "subject", json_object_new_string(subject));
	if (command)
		json_object_object_add(o, "command", json_object_new_string(command));
	json_object_object_add(o, "before",
			       json_object_new_string(wv_gpu_bottleneck_names[before]));
	json_object_object_add(o, "after", json_object_new_string(wv_gpu_bottleneck_names[after]));
	r = wv_event_device(&wv_io_system, w->ctx->paths, w->ctx->run_id, "gpu-bottleneck", o);
	if (r < 0)
		(void)wv_log_warn(r, "gpu", "a bottleneck is not in the log");
}

/*
 * A tuning holds for what held back when it was made. Where that is another thing now a new one is
 * proposed: it takes the devices for minutes, so that its owner decides when.
 */
static void propose(struct worker *w, int pid, const char *subject, uint32_t bottleneck)
{
	const char *folder = w->ctx->config->gpu_tunings, *is = wv_gpu_bottleneck_names[bottleneck];
	char path[48], text[1024];
	_cleanup_free_ char *cmdline = NULL;
	struct json_object *o;
	struct wv_tuned t;
	size_t len = 0;
	int r;

	if (!folder[0] || bottleneck == WV_GPU_BOUND_NONE || bottleneck == WV_GPU_BOUND_COMPUTE)
		return;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	if (wv_io_read_file(&wv_io_system, AT_FDCWD, path, 65536, &cmdline, &len) < 0 ||
	    wv_tuned_find(folder, cmdline, len, &t) < 0 || strcmp(t.expected, is) == 0)
		return;
	o = json_object_new_object();
	json_object_object_add(o, "subject", json_object_new_string(subject));
	json_object_object_add(o, "name", json_object_new_string(t.name));
	json_object_object_add(o, "folder", json_object_new_string(t.folder));
	json_object_object_add(o, "expected", json_object_new_string(t.expected));
	json_object_object_add(o, "is", json_object_new_string(is));
	snprintf(text, sizeof(text), "waveos-bpf gpu tune -f %s/spec.yaml -- %s", t.folder,
		 t.command);
	json_object_object_add(o, "propose", json_object_new_string(text));
	r = wv_event_device(&wv_io_system, w->ctx->paths, w->ctx->run_id, "gpu-tuning-drift", o);
	if (r < 0)
		(void)wv_log_warn(r, "gpu", "a proposal is not in the log");
}

/* The place of a subject, a new one where it has none; NULL: there are too many. */
static struct told *told_of(struct worker *w, const char *subject)
{
	struct told *unused = NULL;

	for (unsigned i = 0; i < TOLD; i++) {
		if (strcmp(w->told[i].subject, subject) == 0)
			return &w->told[i];
		if (!w->told[i].subject[0] && !unused)
			unused = &w->told[i];
	}
	if (unused) {
		*unused = (struct told){0};
		strcpy(unused->subject, subject);
	}
	return unused;
}

/* Whether it is another one, for long enough: then it is recorded. */
static bool tell_one(struct worker *w, const char *subject, const char *command,
		     uint32_t bottleneck, uint64_t since, uint64_t now)
{
	struct told *t = told_of(w, subject);

	if (!t)
		return false;
	t->seen = true;
	if (bottleneck == t->bottleneck || now < since + LASTING_NS)
		return false;
	record(w, subject, command, t->bottleneck, bottleneck);
	t->bottleneck = bottleneck;
	return true;
}

static void tell_bottlenecks(struct worker *w, uint64_t now)
{
	const struct wv_gpu_view *v = w->view;

	for (unsigned i = 0; i < TOLD; i++)
		w->told[i].seen = false;
	for (unsigned i = 0; i < v->n_devices; i++)
		(void)tell_one(w, v->device[i].uuid, NULL, v->device[i].bottleneck,
			       v->device[i].bottleneck_since, now);
	for (unsigned i = 0; i < v->n_processes; i++) {
		char subject[32];

		snprintf(subject, sizeof(subject), "pid %d", v->process[i].pid);
		if (tell_one(w, subject, v->process[i].comm, v->process[i].bottleneck,
			     v->process[i].bottleneck_since, now))
			propose(w, v->process[i].pid, subject, v->process[i].bottleneck);
	}
	for (unsigned i = 0; i < TOLD; i++)
		if (!w->told[i].seen)
			w->told[i].subject[0] = '\0';
}

static void show(struct worker *w)
{
	const size_t head = offsetof(struct wv_gpu_view, updated);
	uint64_t dropped = 0;

	wv_gpu_hub_show(w->hub, w->view);
	wv_gpu_view_begin(w->page);
	memcpy((char *)w->page + head, (char *)w->view + head, sizeof(*w->page) - head);
	wv_gpu_view_end(w->page);
	for (unsigned i = 0; i < w->view->n_processes; i++)
		dropped += w->view->process[i].frames_dropped;
	wv_figure_set(WV_FIG_GPU_PROCESSES, w->view->n_processes);
	wv_figure_set(WV_FIG_GPU_FRAMES_DROPPED, dropped);
	wv_figure_set(WV_FIG_GPU_REFUSED, wv_gpu_hub_refused(w->hub));
}

static int on_turn(sd_event_source *s, uint64_t at _unused_, void *userdata)
{
	struct worker *w = userdata;
	uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx);
	int r = wv_gpu_hub_turn(w->hub);

	if (r < 0)
		return r;
	if (now >= w->shown + PAGE_NS) {
		show(w);
		tell_bottlenecks(w, now);
		w->shown = now;
	}
	r = sd_event_source_set_time_relative(s, TURN_US);
	return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* CAP_BPF and CAP_PERFMON are of Linux 5.8; before, CAP_SYS_ADMIN was both. */
static int confine(void)
{
	static const unsigned kept[] = {39 /* CAP_BPF */, 38 /* CAP_PERFMON */};
	const struct rlimit none = {0, 0};
	bool may[ARRAY_SIZE(kept)] = {false}, admin;

	if (capng_get_caps_process() != 0)
		return -EPERM;
	admin = CAP_LAST_CAP < kept[0] && capng_have_capability(CAPNG_PERMITTED, CAP_SYS_ADMIN);
	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
		may[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
	capng_clear(CAPNG_SELECT_BOTH);
	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
		if (may[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
	if (admin)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_SYS_ADMIN);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}

static int set_up(struct worker *w)
{
	const struct wv_config *c = w->ctx->config;
	_cleanup_close_ int runtime =
		open(w->ctx->paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char socket[WV_PATH_SIZE + 16];
	const struct wv_gpu_hub_listener nobody = {0};
	const struct wv_gpu_hub_options o = {.socket = socket, .wakes = c->gpu_waits, .nvml = true};
	int r;

	w->page = runtime < 0 ? NULL : wv_gpu_view_map(runtime, true);
	w->view = calloc(1, sizeof(*w->view));
	if (!w->page || !w->view)
		return wv_log_errno(-ENOMEM, "gpu", "no page in %s", w->ctx->paths->runtime);
	snprintf(socket, sizeof(socket), "%s/" WV_GPU_SOCKET, w->ctx->paths->runtime);
	r = wv_gpu_hub_open(&o, &nobody, &w->hub);
	if (r < 0)
		return wv_log_errno(r, "gpu", "cannot listen at %s", socket);
	show(w); /* not what a worker before this one saw */
	r = confine();
	if (r < 0)
		return wv_log_errno(r, "gpu", "cannot give up rights");
	r = wv_beat_loop(&w->loop, w->control);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, NULL, CLOCK_MONOTONIC, TURN_US, 0, on_turn,
					       w);
	if (r >= 0)
		r = wv_beat_start(w->loop, w->control);
	return r < 0 ? r : 0;
}

int wv_gpu_run(const struct wv_worker_context *ctx)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return EXIT_FAILURE;
	w->ctx = ctx;
	w->control = ctx->control;
	r = set_up(w);
	if (r == 0)
		r = sd_event_loop(w->loop);
	if (r < 0)
		(void)wv_log_errno(r, "gpu", "ended");
	wv_gpu_hub_close(w->hub);
	wv_gpu_view_unmap(w->page);
	sd_event_unref(w->loop);
	free(w->view);
	free(w);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
