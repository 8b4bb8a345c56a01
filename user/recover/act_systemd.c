// SPDX-License-Identifier: GPL-2.0-only
/* systemd over its own socket (as root, also without a bus daemon), or over the system bus. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "user/core/cleanup.h"
#include "user/recover/act.h"

#define DESTINATION "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define PRIVATE_SOCKET "unix:path=/run/systemd/private"

static int connect_systemd(sd_bus **ret)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, PRIVATE_SOCKET);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0)
		return sd_bus_open_system(ret);
	*ret = TAKE_PTR(bus);
	return 0;
}

static int bus_fail(struct wv_act_result *ret, int r, const sd_bus_error *e, const char *what)
{
	return wv_act_fail(ret, r, "%s: %s", what, e && e->message ? e->message : strerror(-r));
}

/* The end of a job, as it is told to everyone. */
struct job {
	char path[128];
	char result[32]; /* "": still runs */
};

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *e _unused_)
{
	struct job *job = userdata;
	const char *path, *unit, *result;
	uint32_t id;

	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	/* the job may be removed before its path was answered: the last one is kept until then */
	if (!job->path[0] || strcmp(job->path, path) == 0) {
		snprintf(job->path, sizeof(job->path), "%s", path);
		snprintf(job->result, sizeof(job->result), "%s", result);
	}
	return 0;
}

static int wait_job(sd_bus *bus, struct job *job, uint64_t end_ns)
{
	while (!job->result[0]) {
		uint64_t now = wv_boot_ns();
		int r = sd_bus_process(bus, NULL);

		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (now >= end_ns)
			return -ETIMEDOUT;
		r = sd_bus_wait(bus, (end_ns - now) / 1000);
		if (r < 0 && r != -EINTR)
			return r;
	}
	return 0;
}

/* When the unit last became active, CLOCK_MONOTONIC; 0: it is not, or nobody knows. */
static uint64_t active_since_ns(sd_bus *bus, const char *unit)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	uint64_t since = 0;
	const char *path;

	if (sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "GetUnit", NULL, &reply,
			       "s", unit) < 0 ||
	    sd_bus_message_read(reply, "o", &path) < 0)
		return 0;
	(void)sd_bus_get_property_trivial(bus, DESTINATION, path, DESTINATION ".Unit",
					  "ActiveEnterTimestampMonotonic", NULL, 't', &since);
	return since * 1000;
}

/* method: RestartUnit, StartUnit, StopUnit; waits until systemd says that the job has ended. */
static int unit_job(sd_bus *bus, const char *method, const char *unit, uint64_t end_ns,
		    struct wv_act_result *ret)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
	struct job job = {.path = "-"}; /* nothing matches before the answer is there */
	const char *path;
	int r;

	/* the private socket tells everyone, the bus only those who subscribed */
	(void)sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "Subscribe", NULL, NULL,
				 NULL);
	r = sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER, "JobRemoved",
				on_job_removed, &job);
	if (r < 0)
		return bus_fail(ret, r, NULL, "listen to systemd");
	r = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, method, &e, &reply, "ss",
			       unit, "replace");
	if (r < 0)
		return bus_fail(ret, r, &e, method);
	r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return bus_fail(ret, r, NULL, method);
	/* signals are queued behind the answer and dispatched only by sd_bus_process() */
	snprintf(job.path, sizeof(job.path), "%s", path);
	r = wait_job(bus, &job, end_ns);
	if (r < 0)
		return wv_act_fail(ret, r, "%s of %.80s did not end: %s", method, unit,
				   strerror(-r));
	if (strcmp(job.result, "done") != 0)
		return wv_act_fail(ret, -EIO, "systemd says '%s' about %s of %.80s", job.result,
				   method, unit);
	return 0;
}

int wv_act_restart_unit(const char *unit, uint64_t since_mono_ns, uint64_t timeout_ns,
			struct wv_act_result *ret)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	uint64_t end = wv_boot_ns() + timeout_ns;
	int r = connect_systemd(&bus);

	snprintf(ret->how, sizeof(ret->how), "systemd: RestartUnit %.70s", unit);
	if (r < 0)
		return bus_fail(ret, r, NULL, "connect to systemd");
	if (since_mono_ns && active_since_ns(bus, unit) >= since_mono_ns) {
		snprintf(ret->detail, sizeof(ret->detail),
			 "it was restarted before the agent ended");
		return 0;
	}
	return unit_job(bus, "RestartUnit", unit, end, ret);
}

int wv_act_unit(const char *method, const char *unit, uint64_t timeout_ns,
		struct wv_act_result *ret)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	uint64_t end = wv_boot_ns() + timeout_ns;
	int r = connect_systemd(&bus);

	snprintf(ret->how, sizeof(ret->how), "systemd: %.20s %.60s", method, unit);
	if (r < 0)
		return bus_fail(ret, r, NULL, "connect to systemd");
	return unit_job(bus, method, unit, end, ret);
}

int wv_unit_state(const char *unit, char *ret_state, size_t size, uint64_t *ret_since_mono_ns)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_free_ char *state = NULL;
	const char *path;
	int r = connect_systemd(&bus);

	if (r >= 0)
		r = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "LoadUnit", NULL,
				       &reply, "s", unit);
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, DESTINATION, path, DESTINATION ".Unit",
					       "ActiveState", NULL, &state);
	if (r < 0)
		return r;
	snprintf(ret_state, size, "%s", state);
	*ret_since_mono_ns = active_since_ns(bus, unit);
	return 0;
}

int wv_act_systemd_reboot(struct wv_act_result *ret)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = connect_systemd(&bus);

	snprintf(ret->how, sizeof(ret->how), "systemd: reboot.target");
	if (r < 0)
		return bus_fail(ret, r, NULL, "connect to systemd");
	/* Manager.Reboot would not stop the units first */
	r = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "StartUnit", &e, NULL, "ss",
			       "reboot.target", "replace-irreversibly");
	return r < 0 ? bus_fail(ret, r, &e, "reboot") : 0;
}
