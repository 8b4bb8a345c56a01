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
/* ustar, in which bundles travel, has no larger ones */
#define WV_BUNDLE_FILE_BYTES_MAX ((8ULL << 30) - 1)
#define WV_BUNDLE_BYTES_MAX (64ULL << 30) /* all files together */
#define WV_BUNDLE_DEVICES_MAX 4096
#define WV_BUNDLE_FLAGS_MAX 64
#define WV_BUNDLE_HOOKS_MAX 32
#define WV_BUNDLE_HEALTH_MAX 32
#define WV_BUNDLE_DAY_S 86400ULL
#define WV_BUNDLE_LIFE_MAX_S (3660 * WV_BUNDLE_DAY_S)	      /* expires_s - created_s */
#define WV_BUNDLE_TIME_MAX_S 253402300799ULL		      /* end of the year 9999 */
#define WV_BUNDLE_SPAN_MAX_NS (30 * 86400ULL * 1000000000ULL) /* of a trial, of a rule */

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

/* Why something is refused, for people. */
struct wv_manifest_error {
	char text[256];
};

/* Always -EBADMSG; fills the error. Control characters in it become '?'. */
int wv_manifest_fail(struct wv_manifest_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Names as they stand in manifests; NULL-terminated, in the order of the enums. */
extern const char *const wv_bundle_kinds[], *const wv_bundle_moments[], *const wv_bundle_deeds[];
extern const char *const wv_health_kinds[], *const wv_bundle_environments[];

/*
 * Takes canonical bytes apart. -EBADMSG (error says which member and why), -EFBIG, -ENOMEM; ret is
 * untouched then. Release with wv_manifest_done().
 */
int wv_manifest_parse(const char *text, size_t len, struct wv_manifest *ret,
		      struct wv_manifest_error *error);
void wv_manifest_done(struct wv_manifest *m);
/* The other way: canonical bytes, to be freed, that wv_manifest_parse() takes if m is right. id and
 * text are not looked at. -ENOMEM. */
int wv_manifest_text(const struct wv_manifest *m, char **ret, size_t *ret_len);

/* Letters, digits and "._-" in lower case, led by a letter or digit: may be a file's name. */
bool wv_bundle_is_name(const char *text);
/* Relative, of printable ASCII, each component a name that is neither "." nor "..". */
bool wv_bundle_is_path(const char *text);

/* Semantic versions (semver.org 2.0.0). */
bool wv_semver_is(const char *text);
/* -1, 0, 1: precedence, build metadata apart. Both must be versions. */
int wv_semver_compare(const char *a, const char *b);

/* What a device is, for the constraints of a manifest. */
struct wv_bundle_target {
	const char *device;	 /* name of its key (wv_device_key) */
	const char *environment; /* dev, staging or prod */
	const char *arch;	 /* as uname(2) has it */
	const char *waveos;	 /* version that runs */
	const char *const *apps; /* applications that it has, NULL-terminated; NULL: none */
};
/* 0, or -EXDEV with error saying which constraint does not hold. */
int wv_manifest_fits(const struct wv_manifest *m, const struct wv_bundle_target *target,
		     struct wv_manifest_error *error);

#endif
