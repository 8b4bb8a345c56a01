/* SPDX-License-Identifier: GPL-2.0-only */
/* A profile as a document. */
#ifndef WV_CMD_GPU_PROFILE_DOC_H
#define WV_CMD_GPU_PROFILE_DOC_H

#include "user/cmd/report_doc.h"
#include "user/gpu/profile.h"

/* d->html decides; as HTML a whole page with the time line as a plot. */
void wv_profile_doc(struct wv_doc *d, const struct wv_profile *p);

#endif
