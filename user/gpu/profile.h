/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A profile: what a hub told while a command ran, in bounded memory, and the reports of it. Windows
 * and steps are kept one by one up to a limit; then two and two are joined, so that a long run has
 * a coarser time line and the same sums.
 */
#ifndef WV_GPU_PROFILE_H
#define WV_GPU_PROFILE_H

#include <json-c/json.h>

#include "user/gpu/energy.h"
#include "user/gpu/hub.h"

#define WV_PROFILE_POINTS 8192 /* of the time line of a device, or of steps */
#define WV_PROFILE_GAPS 256    /* the longest */

struct wv_profile_point {
	uint64_t begin, end;
	uint64_t kernel, exposed, overlapped, memory, idle;
	uint64_t cause_ns[WV_GPU_CAUSE_N];
};

struct wv_profile_device {
	char uuid[48], name[64];
	struct wv_gpu_sums sums;
	struct wv_profile_point *line; /* WV_PROFILE_POINTS */
	unsigned n, joined, part;      /* points; windows in each; windows in the last one */
	uint64_t windows;
	struct wv_energy energy;
	double worst_error; /* of the invariant, as a part of a window */
	struct wv_gpu_told_gap gap[WV_PROFILE_GAPS];
	unsigned gaps;
	struct {
		char name[WV_GPU_NAME_SIZE];
		uint64_t ns, n;
	} top[64];
	unsigned names;
};

/* Steps of one training thread. */
struct wv_profile_steps {
	struct wv_gpu_told_step *kept; /* WV_PROFILE_POINTS: the first, and every `every`-th */
	unsigned n;
	uint64_t every, seen, total_ns;
	uint64_t cause_ns[WV_GPU_CAUSE_N], input_ns[WV_GPU_INPUT_N];
};

struct wv_profile {
	struct wv_profile_device device[WV_GPU_DEVICES];
	unsigned devices;
	struct wv_profile_steps steps; /* of all processes together */
	/* of the command's main thread, all the time: all that is known without steps and devices
	 */
	uint64_t main_ns, main_cause_ns[WV_GPU_CAUSE_N], main_input_ns[WV_GPU_INPUT_N];
	uint64_t begin, end; /* CLOCK_MONOTONIC of the command */
	bool waits;	     /* BPF explains them */
	int status;	     /* of the command, as wait(2) has it */
	char **argv;	     /* not owned */
	enum wv_gpu_bottleneck bottleneck;
};

/* The listener that fills it; free with wv_profile_done(). 0 or -ENOMEM. */
int wv_profile_init(struct wv_profile *p, struct wv_gpu_hub_listener *ret);
void wv_profile_done(struct wv_profile *p);
/* Adds what the command's main thread did in a span of time. */
void wv_profile_add_main(struct wv_profile *p, uint64_t ns, const struct wv_chain_split *s);
/* Takes in energy counters of the hub's page; several times a second. */
void wv_profile_meters(struct wv_profile *p, const struct wv_gpu_view *v);
/* After the last window: names of devices from the hub's page, and what holds back. */
void wv_profile_finish(struct wv_profile *p, const struct wv_gpu_view *v);

/* Reports; the documents are user/cmd/gpu_profile_doc.c. The caller puts the object. */
struct json_object *wv_profile_json(const struct wv_profile *p);
/* Chrome's trace event format, which Perfetto opens. */
struct json_object *wv_profile_trace(const struct wv_profile *p);

#endif
