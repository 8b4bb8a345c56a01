/* SPDX-License-Identifier: GPL-2.0-only */
/* The settings that a start would use: file or bundle, environment, --set. */
#ifndef WV_CMD_SETTINGS_H
#define WV_CMD_SETTINGS_H

#include "user/core/config.h"
#include "user/core/paths.h"

#define WV_MAX_SETS 32

/* What a verb was given. */
struct wv_settings_given {
	const char *config; /* --config; NULL: that of a bundle, or the default place */
	const char *sets[WV_MAX_SETS];
	unsigned n_sets;
};

/* For a verb's option --set: 0 or an exit code, having said why. */
int wv_settings_add(struct wv_settings_given *g, const char *verb, const char *value);
/*
 * File, environment, --set: later ones win. c is initialised; ret_path: of the file, for messages,
 * also where it does not exist. 0, or -errno with *error.
 */
int wv_settings_read(const struct wv_paths *paths, const struct wv_settings_given *g,
		     struct wv_config *c, char ret_path[WV_PATH_SIZE],
		     struct wv_config_error *error);

/* Where a value comes from. */
enum wv_origin {
	WV_ORIGIN_DEFAULT,
	WV_ORIGIN_FILE,
	WV_ORIGIN_BUNDLE,
	WV_ORIGIN_ENVIRONMENT,
	WV_ORIGIN_OPTION,
	WV_ORIGIN_N
};
extern const char *const wv_origin_names[WV_ORIGIN_N];

struct wv_setting_origin {
	enum wv_origin origin;
	unsigned line;	 /* of a file or bundle, from 1 */
	unsigned items;	 /* of a list */
	const char *set; /* of an option: SECTION.KEY=VALUE; of the environment: NAME=VALUE */
};
/*
 * Of every setting (in the order of wv_settings_table) and then of every list (wv_lists); *ret is
 * to be freed. The settings were read by wv_settings_read() with this path. 0 or -errno.
 */
int wv_settings_origins(const struct wv_settings_given *g, const struct wv_config *c,
			const char *path, bool bundle, struct wv_setting_origin **ret);

#endif
