// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restart, by whoever runs what is in the cgroup: systemd for a unit, the container's runtime, the
 * agent's own supervisor for a service. The latter two see their process die and start it again.
 */
#include <errno.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "user/core/cgroup.h"
#include "user/core/cleanup.h"
#include "user/recover/act.h"

/* Clocks differ by the time that the machine was suspended. */
static uint64_t mono_of_boot_ns(uint64_t boot_ns)
{
	struct timespec ts;
	uint64_t mono, now = wv_boot_ns();

	clock_gettime(CLOCK_MONOTONIC, &ts);
	mono = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	return boot_ns > now - mono ? boot_ns - (now - mono) : 1;
}

static int restart_by_kill(const struct wv_act_request *q, const char *who,
			   struct wv_act_result *ret)
{
	char how[sizeof(ret->how)];
	int r = wv_act_kill(q, ret);

	snprintf(how, sizeof(how), "killed (%.40s); %.40s", ret->how, who);
	memcpy(ret->how, how, sizeof(how));
	return r;
}

int wv_act_restart(const struct wv_act_request *q, struct wv_act_result *ret)
{
	struct wv_identity id;
	char who[sizeof(ret->how)];

	if (q->service[0])
		return restart_by_kill(q, "the agent's supervisor starts it again", ret);
	wv_identity_parse(q->path, &id);
	if (id.kind == WV_ID_CONTAINER || id.kind == WV_ID_POD_CONTAINER || id.container_id[0]) {
		snprintf(who, sizeof(who), "%s has to start it again",
			 id.runtime[0] ? id.runtime : "its runtime");
		return restart_by_kill(q, who, ret);
	}
	if (!id.unit[0])
		return wv_act_fail(ret, -EOPNOTSUPP,
				   "no one here restarts this cgroup: it is no systemd unit, no "
				   "container, and no service of the policy");
	if (sd_booted() <= 0)
		return wv_act_fail(ret, -EOPNOTSUPP, "unit %.80s: systemd is not PID 1 here",
				   id.unit);
	return wv_act_restart_unit(id.unit, q->resumed ? mono_of_boot_ns(q->intent_boot_ns) : 0,
				   q->timeout_ns, ret);
}

int wv_act_reboot(const struct wv_act_request *q, struct wv_act_result *ret)
{
	/* one intent, one reboot: whether a former agent's call was heard cannot be known */
	if (q->resumed)
		return wv_act_fail(ret, -ECANCELED,
				   "the agent ended while it asked for the reboot: not repeated");
	if (sd_booted() > 0)
		return wv_act_systemd_reboot(ret);
	snprintf(ret->how, sizeof(ret->how), "reboot(2); systemd is not PID 1 here");
	sync();
	if (reboot(RB_AUTOBOOT) < 0)
		return wv_act_fail(ret, -errno, "reboot: %s", strerror(errno));
	return 0;
}
