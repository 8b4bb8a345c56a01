/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a bundle is: one manifest in canonical JSON over files that are named by their SHA-256. Its
 * id is the SHA-256 of the manifest's bytes. Parsing is strict: an unknown member, a path that
 * leaves the bundle or a repeated name is an error. Pure.
 */
#ifndef WV_BUNDLE_MANIFEST_H
#define WV_BUNDLE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/core/sha256.h"

#define WV_MANIFEST_MAX (1U << 20) /* bytes */
#define WV_BUNDLE_NAME_SIZE 64
#define WV_BUNDLE_PATH_SIZE 256
#define WV_BUNDLE_FILES_MAX 4096

enum wv_bundle_kind {
	WV_BUNDLE_APP,
	WV_BUNDLE_CONFIG,
	WV_BUNDLE_POLICY,
	WV_BUNDLE_CERT,
	WV_BUNDLE_KINDS
};

struct wv_bundle_file {
	char path[WV_BUNDLE_PATH_SIZE]; /* relative, no "." or ".." component */
	char sha256[WV_SHA256_HEX];
	uint64_t size; /* bytes */
	uint32_t mode; /* 0644 or 0755 */
};

/* Declared, never scripted: what is to happen at a point of the life of a bundle. */
enum wv_bundle_moment { WV_ON_ACTIVATE, WV_ON_CONFIRM, WV_ON_ROLLBACK };
enum wv_bundle_deed {
	WV_DO_RESTART_SERVICE,
	WV_DO_START_SERVICE,
	WV_DO_STOP_SERVICE,
	WV_DO_RELOAD_POLICY,
	WV_DO_RELOAD_CONFIG
};
struct wv_bundle_hook {
	enum wv_bundle_moment on;
	enum wv_bundle_deed what;
	char service[WV_BUNDLE_NAME_SIZE]; /* of the policy's services, or a unit of systemd */
};

/* Health rules decide what becomes of a trial. */
enum wv_health_kind { WV_HEALTH_SERVICE, WV_HEALTH_HTTP, WV_HEALTH_FILE_FRESH, WV_HEALTH_AGENT };
struct wv_health_rule {
	enum wv_health_kind kind;
	char target[WV_BUNDLE_PATH_SIZE]; /* service, URL of this machine, file */
	uint64_t within_ns, every_ns;
	uint32_t failures; /* so many in a row end the trial */
};

struct wv_manifest {
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE];
	char version[32]; /* semantic version, for people */
	uint64_t counter; /* monotonic for (kind, name): order is this, never the version */
	uint64_t created_s, expires_s; /* Unix time */
	char **devices;		       /* device names (wv_device_key), or "*"; NULL-terminated */
	char **environments;	       /* of dev, staging, prod; NULL-terminated */
	char app[WV_BUNDLE_NAME_SIZE]; /* identity of the application that it is for; "" any */
	char min_waveos[32], arch[16]; /* "" any */
	struct {
		char name[WV_BUNDLE_NAME_SIZE];
		bool on;
	} * flags;
	struct wv_bundle_file *files;
	struct wv_bundle_hook *hooks;
	struct wv_health_rule *health;
	unsigned n_flags, n_files, n_hooks, n_health;
	uint64_t trial_ns;    /* so long in trial, well, and it is confirmed */
	uint32_t trial_boots; /* so many starts of the agent in trial, and it is rolled back */
	char id[WV_SHA256_HEX];
	char *text; /* the canonical bytes that were verified */
	size_t text_len;
};

/* Why a manifest is none, for people. */
struct wv_manifest_error {
	char text[256];
};
int wv_manifest_parse(const char *text, size_t len, struct wv_manifest *ret,
		      struct wv_manifest_error *error);
void wv_manifest_done(struct wv_manifest *m);

#endif
