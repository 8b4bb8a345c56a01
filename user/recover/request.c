// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests by hand: files in <runtime>/requests (root only), one each, made by `waveos-bpf
 * recover`. They go the same way as those of a rule: features, budget, kill switch, records.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/policy/policy.h"
#include "user/recover/recover.h"
#include "user/recover/recoverer.h"
#include "user/recover/request.h"

#define REQUEST_MAX_BYTES 4096
/* Looked at in one go. */
#define REQUESTS_MAX 64

int wv_request_leave(const struct wv_paths *paths, const char *cgroup, const char *key,
		     const char *value)
{
	_cleanup_close_ int dir = -1;
	char path[WV_PATH_SIZE + 16], name[64];
	struct json_object *o;
	const char *text;
	int r;

	snprintf(path, sizeof(path), "%s/" WV_REQUEST_DIR, paths->runtime);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	o = json_object_new_object();
	json_object_object_add(o, "cgroup", json_object_new_string(cgroup));
	json_object_object_add(o, key, json_object_new_string(value));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	/* a process may ask more than once */
	snprintf(name, sizeof(name), "%d-%llu", getpid(),
		 (unsigned long long)wv_io_system.mono_ns(wv_io_system.ctx));
	r = wv_io_replace(&wv_io_system, dir, name, text, strlen(text), 0600);
	json_object_put(o);
	return r;
}

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) ?: "" : "";
}

static uint32_t chain_by_name(const struct wv_policy *p, const char *name)
{
	for (uint32_t i = 0; i < p->n_chains; i++)
		if (strcmp(p->chains[i].name, name) == 0)
			return i;
	return WV_NONE;
}

static struct json_object *by_hand(void)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "by", json_object_new_string("hand"));
	return o;
}

/* Mode and chain are named in a step, and numbers of the policy in force. */
static int resolve(const struct wv_policy *p, struct wv_step *step, const char *name)
{
	step->index = WV_NONE;
	for (uint32_t i = 0; step->act == WV_ACT_MODE && i < p->n_modes; i++)
		if (strcmp(p->modes[i].name, name) == 0)
			step->index = i;
	if (step->act == WV_ACT_RECOVER)
		step->index = chain_by_name(p, name);
	return (step->act == WV_ACT_MODE || step->act == WV_ACT_RECOVER) && step->index == WV_NONE
		       ? -ENOENT
		       : 0;
}

/* slot < 0: the cgroup is gone, but who it was may be known by its path. */
static int act(struct wv_agent *agent, int slot, const char *path, const char *text)
{
	char name[WV_POLICY_NAME], expected[WV_EXPECTED_SIZE];
	struct wv_step step = {0};
	struct json_object *cause;
	int r = wv_step_parse(text, &step, name, sizeof(name), expected);

	if (r == 0)
		r = resolve(agent->policy, &step, name);
	if (r < 0)
		return r;
	cause = by_hand();
	return slot < 0 ? wv_recover_act_at(agent, path, &step, cause)
			: wv_recover_act(agent, (uint32_t)slot, &step, cause);
}

static int serve(struct wv_agent *agent, struct json_object *o)
{
	const char *path = text_of(o, "cgroup"), *chain = text_of(o, "chain");
	const char *text = text_of(o, "step");
	int slot = wv_cgroups_slot_by_path(agent, path);
	struct wv_identity id;
	uint32_t index;

	wv_identity_parse(path, &id);
	if (slot < 0 && id.kind != WV_ID_UNIT)
		return -ENOENT;
	if (strcmp(text, "well") == 0) {
		if (slot >= 0)
			wv_recover_well(agent, (uint32_t)slot);
		return slot < 0 ? -ENOENT : 0;
	}
	if (!chain[0])
		return act(agent, slot, path, text);
	index = chain_by_name(agent->policy, chain);
	return slot < 0 ? wv_recover_start_at(agent, path, index, by_hand())
			: wv_recover_start(agent, (uint32_t)slot, index, by_hand());
}

static void take_request(struct wv_agent *agent, int dir, const char *name)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o, *record;
	int r = wv_io_read_file(&wv_io_system, dir, name, REQUEST_MAX_BYTES, &text, NULL);

	(void)unlinkat(dir, name, 0); /* once, whatever comes of it */
	if (r < 0)
		return;
	o = json_tokener_parse(text);
	record = json_object_new_object();
	json_object_object_add(record, "cgroup", json_object_new_string(text_of(o, "cgroup")));
	json_object_object_add(record, "request",
			       json_object_new_string(text_of(o, "chain")[0] ? text_of(o, "chain")
									     : text_of(o, "step")));
	r = serve(agent, o);
	json_object_object_add(record, "taken", json_object_new_boolean(r == 0));
	if (r < 0)
		json_object_object_add(record, "reason", json_object_new_string(strerror(-r)));
	(void)agent->record(agent, "request", record);
	json_object_put(o);
}

void wv_recoverer_requests(struct wv_recoverer *x)
{
	_cleanup_closedir_ DIR *d = NULL;
	char path[WV_PATH_SIZE + 16];
	struct dirent *e;

	snprintf(path, sizeof(path), "%s/" WV_REQUEST_DIR, x->agent->paths->runtime);
	d = opendir(path);
	for (int n = 0; d && n < REQUESTS_MAX && (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		take_request(x->agent, dirfd(d), e->d_name);
	}
}

static int on_folder(sd_event_source *s _unused_, const struct inotify_event *event _unused_,
		     void *userdata)
{
	struct wv_recoverer *x = userdata;

	wv_recoverer_requests(x);
	return 0;
}

int wv_recoverer_listen(struct wv_recoverer *x)
{
	char path[WV_PATH_SIZE + 16];

	if (!x->agent->loop)
		return 0;
	snprintf(path, sizeof(path), "%s/" WV_REQUEST_DIR, x->agent->paths->runtime);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	return sd_event_add_inotify(x->agent->loop, &x->inotify, path, IN_MOVED_TO, on_folder, x);
}
