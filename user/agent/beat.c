// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/beat.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>

#include "user/agent/core.h"
#include "user/core/cleanup.h"

/* well below the shortest agent.worker_silence */
#define EVERY_US 3000000

static void say(int control, char word)
{
	/* a supervisor that does not read is none: the worker ends with it anyway */
	(void)send(control, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int on_beat(sd_event_source *s, uint64_t usec, void *userdata)
{
	say((int)(intptr_t)userdata, WV_CONTROL_ALIVE);
	(void)sd_event_source_set_time(s, usec + EVERY_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

int wv_beat_start(sd_event *loop, int control)
{
	int r;

	if (control < 0)
		return 0;
	r = sd_event_add_time_relative(loop, NULL, CLOCK_MONOTONIC, EVERY_US, 500000, on_beat,
				       (void *)(intptr_t)control);
	if (r >= 0)
		say(control, WV_CONTROL_READY);
	return r < 0 ? r : 0;
}

static int on_control(sd_event_source *s, int fd, uint32_t events _unused_, void *userdata _unused_)
{
	char message;
	ssize_t n = recv(fd, &message, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

int wv_beat_end_on(sd_event *loop, int control)
{
	int r = control < 0 ? 0 : sd_event_add_io(loop, NULL, control, EPOLLIN, on_control, NULL);

	return r < 0 ? r : 0;
}

int wv_beat_loop(sd_event **ret, int control)
{
	sigset_t term;
	int r;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	r = sd_event_new(ret);
	if (r >= 0)
		r = sd_event_add_signal(*ret, NULL, SIGTERM, NULL, NULL);
	return r < 0 ? r : wv_beat_end_on(*ret, control);
}
