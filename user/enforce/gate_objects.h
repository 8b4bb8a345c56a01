/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WV_ENFORCE_GATE_OBJECTS_H
#define WV_ENFORCE_GATE_OBJECTS_H

#include "user/core/bpf.h"

extern const struct wv_object wv_gate_object;	  /* cgroup hooks, and programs by tracepoint */
extern const struct wv_object wv_gate_lsm_object; /* LSM hooks */

#endif
