/* SPDX-License-Identifier: GPL-2.0-only */
/* A pack of this device's log: finds the records, has a checkpoint signed over them, makes the pack
 * and records that it was made. */
#ifndef WV_EVIDENCE_PACK_DEVICE_H
#define WV_EVIDENCE_PACK_DEVICE_H

#include "user/evidence/pack.h"

struct wv_pack_order {
	const struct wv_pack_query *query;
	enum wv_redact_profile profile;
	const char *output;	   /* file */
	const char *reason;	   /* manual, incident, cadence */
	const char *rule, *cgroup; /* MAY: what asked for it */
	int (*summary)(const char *run_dir, char **ret_html);
};
/* 0 or -errno with ret->error filled. A pack whose record cannot be written is made all the same,
 * and ret->error says so. */
int wv_pack_export(const struct wv_io *io, const struct wv_paths *paths,
		   const struct wv_config *config, const struct wv_pack_order *order,
		   struct wv_pack_range *ret_range, struct wv_pack_result *ret);

#endif
