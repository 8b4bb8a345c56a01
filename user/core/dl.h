/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Libraries that only some workers need (libcurl, libtss2, libarchive) are loaded when they are
 * first used, so that the agent neither depends on them nor pays for their pages.
 */
#ifndef WV_CORE_DL_H
#define WV_CORE_DL_H

struct wv_dl_symbol {
	const char *name;
	void *to; /* address of the function pointer that gets it */
};
/* Loads a library once and fills the pointers of rows up to {NULL}. -ENOPKG if it is not installed,
 * -ENOEXEC if a symbol is missing; both have been said in the log with what to install. */
int wv_dl_load(const char *soname, const char *package, const struct wv_dl_symbol *symbols);

#endif
