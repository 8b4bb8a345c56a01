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
/* The loop ends with 0 when the supervisor says anything or is gone; for workers to which it says
 * nothing else. control < 0: nothing to do. 0 or -errno. */
int wv_beat_end_on(sd_event *loop, int control);
/*
 * A new loop that ends so, or by SIGTERM, which is blocked for that: after it, a thread may start.
 * The caller unrefs *ret, also on failure. 0 or -errno.
 */
int wv_beat_loop(sd_event **ret, int control);

#endif
