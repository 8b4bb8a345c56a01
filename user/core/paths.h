/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the agent keeps its files. One prefix (--root) moves all of them. */
#ifndef WV_CORE_PATHS_H
#define WV_CORE_PATHS_H

#define WV_PATH_SIZE 512

struct wv_paths {
	char root[WV_PATH_SIZE];    /* "" or the prefix without a trailing slash */
	char config[WV_PATH_SIZE];  /* <root>/etc/waveos/waveos.yaml */
	char policy[WV_PATH_SIZE];  /* <root>/etc/waveos/policy.yaml */
	char state[WV_PATH_SIZE];   /* <root>/var/lib/waveos: runs, journal */
	char runtime[WV_PATH_SIZE]; /* <root>/run/waveos: lock, snapshot, pin manifest */
	char bpffs[WV_PATH_SIZE];   /* <root>/sys/fs/bpf: mounted there if it is no bpffs yet */
	char pins[WV_PATH_SIZE];    /* <bpffs>/waveos: maps/, links/, progs/ */
};

/* Fills all paths. root may be NULL or "". -ENAMETOOLONG if a path would not fit. */
int wv_paths_init(struct wv_paths *p, const char *root);

#endif
