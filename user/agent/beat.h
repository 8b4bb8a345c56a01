/* SPDX-License-Identifier: GPL-2.0-only */
/* What a worker with an event loop says of itself to its supervisor. */
#ifndef WV_AGENT_BEAT_H
#define WV_AGENT_BEAT_H

#include <systemd/sd-event.h>

/*
 * Says WV_CONTROL_READY now and WV_CONTROL_ALIVE every few seconds from this loop, for as long as
 * the loop lives: a loop that hangs falls silent, and the supervisor kills the process. control < 0
 * (the worker runs alone): nothing to do. 0 or -errno.
 */
int wv_beat_start(sd_event *loop, int control);

#endif
