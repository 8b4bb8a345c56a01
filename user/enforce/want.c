// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/want.h"

#include <string.h>

#include "user/core/share.h"

void wv_want_init(struct wv_want *w)
{
	memset(w, 0, sizeof(*w)); /* padding too: wants are compared as bytes */
	w->cpu_quota_us = w->cpu_period_us = w->cpu_weight = WV_UNSET;
	w->memory_high_bytes = w->memory_max_bytes = w->pids_max = w->files_max = WV_UNSET;
	for (unsigned i = 0; i < WV_LIMIT_N; i++)
		w->net[i] = w->burst[i] = WV_UNSET;
}

static void tighten(uint64_t *have, uint64_t other)
{
	/* WV_UNSET is the largest; a share that nobody resolved is no limit */
	if (other < *have && !wv_is_share(other))
		*have = other;
}

static void merge_cpu(struct wv_want *w, const struct wv_budget *b)
{
	uint64_t period =
		b->cpu_period_us == WV_UNSET || !b->cpu_period_us ? 100000 : b->cpu_period_us;

	tighten(&w->cpu_weight, b->cpu_weight);
	if (b->cpu_quota_us == WV_UNSET || wv_is_share(b->cpu_quota_us))
		return;
	/* the smaller share of a period, whatever the periods are */
	if (w->cpu_quota_us != WV_UNSET &&
	    (unsigned __int128)w->cpu_quota_us * period <=
		    (unsigned __int128)b->cpu_quota_us * w->cpu_period_us)
		return;
	w->cpu_quota_us = b->cpu_quota_us;
	w->cpu_period_us = period;
}

static void merge_io(struct wv_want *w, const struct wv_budget *b)
{
	struct wv_want_io *io = NULL;

	if (b->io_rbps == WV_UNSET && b->io_wbps == WV_UNSET && b->io_riops == WV_UNSET &&
	    b->io_wiops == WV_UNSET)
		return;
	for (unsigned i = 0; i < w->n_io && !io; i++)
		if (strcmp(w->io[i].device, b->io_device) == 0)
			io = &w->io[i];
	if (!io) {
		if (w->n_io == WV_WANT_DEVICES) {
			w->io_overflow = true;
			return;
		}
		io = &w->io[w->n_io++];
		*io = (struct wv_want_io){{0}, WV_UNSET, WV_UNSET, WV_UNSET, WV_UNSET};
		memcpy(io->device, b->io_device, sizeof(io->device));
	}
	tighten(&io->rbps, b->io_rbps);
	tighten(&io->wbps, b->io_wbps);
	tighten(&io->riops, b->io_riops);
	tighten(&io->wiops, b->io_wiops);
}

static void merge_net(struct wv_want *w, enum wv_limit limit, uint64_t rate, uint64_t burst,
		      uint64_t burst_scale)
{
	if (rate == WV_UNSET)
		return;
	tighten(&w->net[limit], rate);
	if (burst != WV_UNSET)
		tighten(&w->burst[limit], burst * burst_scale);
}

void wv_want_merge(struct wv_want *w, const struct wv_budget *b)
{
	merge_cpu(w, b);
	tighten(&w->memory_high_bytes, b->memory_high_bytes);
	tighten(&w->memory_max_bytes, b->memory_max_bytes);
	tighten(&w->pids_max, b->pids_max);
	tighten(&w->files_max, b->files_max);
	merge_io(w, b);
	merge_net(w, WV_LIMIT_EGRESS_BITS, b->egress_bps, b->burst_bytes, 8);
	merge_net(w, WV_LIMIT_INGRESS_BITS, b->ingress_bps, b->burst_bytes, 8);
	merge_net(w, WV_LIMIT_EGRESS_PACKETS, b->egress_pps, b->burst_packets, 1);
	merge_net(w, WV_LIMIT_INGRESS_PACKETS, b->ingress_pps, b->burst_packets, 1);
	merge_net(w, WV_LIMIT_CONNECTS, b->connects_ps, b->burst_connects, 1);
}

bool wv_want_net(const struct wv_want *w)
{
	for (unsigned i = 0; i < WV_LIMIT_N; i++)
		if (w->net[i] != WV_UNSET)
			return true;
	return false;
}
