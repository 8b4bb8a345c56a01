// SPDX-License-Identifier: GPL-2.0-only
/* The hub's page and NVML's meters: the same device is the one with the same UUID. */
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/gpu/hub_internal.h"

/* The place of a device on the page; a new one for one that no process has told of. NULL: full. */
static struct wv_gpu_device_view *place_of(const struct wv_gpu_hub *h, struct wv_gpu_view *v,
					   const struct wv_meter_device *d)
{
	struct wv_gpu_device_view *at;

	for (unsigned i = 0; i < h->devices; i++)
		if (wv_meter_is(d->uuid, h->device[i].uuid))
			return &v->device[i];
	if (v->n_devices == WV_GPU_DEVICES)
		return NULL;
	at = &v->device[v->n_devices++];
	*at = (struct wv_gpu_device_view){0};
	return at;
}

void wv_hub_meters(const struct wv_gpu_hub *h, struct wv_gpu_view *v)
{
	const struct wv_meter_device *d;

	v->nvml = h->meter && wv_meter_answers(h->meter);
	for (unsigned i = 0; h->meter && (d = wv_meter_get(h->meter, i)); i++) {
		struct wv_gpu_device_view *at = place_of(h, v, d);

		if (!at)
			continue;
		at->index = d->index;
		at->meter = d->meter;
		/* whether it is a slice is known to NVML alone */
		snprintf(at->uuid, sizeof(at->uuid), "%.47s", d->uuid);
		if (!at->name[0])
			snprintf(at->name, sizeof(at->name), "%s", d->name);
	}
}
