// SPDX-License-Identifier: GPL-2.0-only
/* Module `services`, in core: records what the services worker tells. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "user/core/cleanup.h"
#include "user/core/module.h"
#include "user/recover/services.h"

static const char *const names[] = {
#define X(id, text) [WV_SERVICE_##id] = text,
	WV_SERVICE_EVENTS(X)
#undef X
};

static sd_event_source *source;

static void record(struct wv_agent *agent, const struct wv_service_event *e)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "service", json_object_new_string(e->name));
	json_object_object_add(o, "event", json_object_new_string(names[e->type]));
	json_object_object_add(o, "restarts", json_object_new_int64(e->restarts));
	if (e->pid)
		json_object_object_add(o, "pid", json_object_new_int(e->pid));
	if (e->type == WV_SERVICE_EXITED && e->code)
		json_object_object_add(o, e->code == CLD_EXITED ? "status" : "signal",
				       json_object_new_int(e->status));
	if (e->error)
		json_object_object_add(o, "error", json_object_new_string(strerror(e->error)));
	if (e->type == WV_SERVICE_PAUSED)
		json_object_object_add(o, "pause_ns", json_object_new_uint64(e->wait_ns));
	if (e->type == WV_SERVICE_STARTED && e->wait_ns)
		json_object_object_add(o, "down_ns", json_object_new_uint64(e->wait_ns));
	if (e->detail[0])
		json_object_object_add(o, "detail", json_object_new_string(e->detail));
	if (e->lost)
		json_object_object_add(o, "events_lost", json_object_new_uint64(e->lost));
	(void)agent->record(agent, "service", o);
}

static int on_event(sd_event_source *s _unused_, int fd, uint32_t revents _unused_, void *userdata)
{
	struct wv_service_event e;

	while (recv(fd, &e, sizeof(e), MSG_DONTWAIT) == sizeof(e)) {
		e.name[sizeof(e.name) - 1] = e.detail[sizeof(e.detail) - 1] = '\0';
		if (e.type < WV_SERVICE_EVENT_N)
			record(userdata, &e);
	}
	return 0;
}

static int start(struct wv_agent *agent)
{
	if (agent->service_events < 0 || !agent->loop)
		return 0;
	return sd_event_add_io(agent->loop, &source, agent->service_events, EPOLLIN, on_event,
			       agent);
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf _unused_,
		 struct wv_capabilities *caps)
{
	return wv_capability_add(caps, "services", "services in their cgroups",
				 host->cgroup2[0] ? WV_CAP_OK : WV_CAP_FALLBACK,
				 host->cgroup2[0] ? "clone3 into a v2 cgroup" : "no cgroup",
				 host->cgroup2[0] ? "" : "no cgroup v2 hierarchy is mounted");
}

static void stop(struct wv_agent *agent)
{
	if (source) /* what came last, from a worker that ends before core */
		(void)on_event(NULL, agent->service_events, 0, agent);
	source = sd_event_source_disable_unref(source);
}

const struct wv_module wv_module_services = {
	.name = "services",
	.summary = "services of the policy, run and restarted by the agent itself",
	.probe = probe,
	.start = start,
	.stop = stop,
};
