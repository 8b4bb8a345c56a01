/* SPDX-License-Identifier: GPL-2.0-only */
/* Kinds of differences between a run and the one before (user/evidence/drift.h). */
#ifndef WV_FLOW_DRIFT_H
#define WV_FLOW_DRIFT_H

#define WV_DRIFT_KINDS(X)                                                                          \
	X(SETTING, "setting")                                                                      \
	X(CONFIG, "config")                                                                        \
	X(POLICY, "policy")                                                                        \
	X(PROGRAM, "program")                                                                      \
	X(KERNEL, "kernel")                                                                        \
	X(HOST, "host")

enum wv_drift_kind {
#define X(id, name) WV_DRIFT_##id,
	WV_DRIFT_KINDS(X)
#undef X
		WV_DRIFT_N
};
extern const char *const wv_drift_names[WV_DRIFT_N];

#endif
