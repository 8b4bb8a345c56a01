/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Meters of devices, read by a process of their own. A call of the driver's library may block for
 * seconds, or for ever and past SIGKILL where the driver hangs in the kernel. A thread that does so
 * would keep its whole process from ending, a child keeps only itself: it shares one page with us,
 * which we look at and never wait for. What is not fresh is not told. The library's memory and
 * crashes are the child's, too.
 */
#ifndef WV_GPU_METER_H
#define WV_GPU_METER_H

#include <sys/types.h>

#include "user/core/io.h"
#include "user/gpu/nvml.h"

#define WV_METER_DEVICES 64 /* slices of MIG are devices */

struct wv_meter_device {
	char uuid[96]; /* "GPU-..." or "MIG-..." as NVML has it */
	char name[64];
	uint32_t index; /* NVML's; UINT32_MAX: a slice, which has none */
	uint32_t pad;
	uint64_t at; /* CLOCK_MONOTONIC before the first call for it; 0: it tells nothing now */
	struct wv_gpu_meter meter;
};

struct wv_meter_options {
	const struct wv_io *io;	    /* its clock */
	const struct wv_nvml *nvml; /* NULL: the library's, loaded by the child */
	uint64_t every_ns;	    /* a round */
	uint64_t fresh_ns;	    /* what is older is not told */
	uint64_t deadline_ns;	    /* a call that takes longer: the child is killed */
	uint64_t retry_ns; /* until the next child, twice as long each time, 64 times at most */
};
extern const struct wv_meter_options wv_meter_usual;

struct wv_meter;

/* Starts nothing yet. options are copied, *options->nvml has to outlive it. 0 or -ENOMEM. */
int wv_meter_open(const struct wv_meter_options *options, struct wv_meter **ret);
void wv_meter_close(struct wv_meter *m);
/* Takes in what came; starts a child, or ends one that is overdue. Never blocks. */
void wv_meter_turn(struct wv_meter *m);
/* Whether a round was ended lately. */
bool wv_meter_answers(const struct wv_meter *m);
/* Device number i of those that are known; its meter only where it is fresh, else all of it is
 * UINT64_MAX. NULL: there are no more. */
const struct wv_meter_device *wv_meter_get(struct wv_meter *m, unsigned i);
/* The child; 0: there is none. */
pid_t wv_meter_child(const struct wv_meter *m);

/* Whether NVML's text is that of these 16 bytes, "GPU-" or "MIG-" and the usual form. */
bool wv_meter_is(const char *uuid, const unsigned char bytes[16]);

#endif
