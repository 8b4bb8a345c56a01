/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Older artifacts brought to the schema_version that is written now. A step leads from one version
 * to the next, so that every older one has a way. Readers read old ones without it, too; migrating
 * is for programs of others that know the newest contract only.
 */
#ifndef WV_EVIDENCE_MIGRATE_H
#define WV_EVIDENCE_MIGRATE_H

#include <stdint.h>

#include "user/core/io.h"
#include "user/core/sha256.h"

struct wv_migrated {
	const char *file;   /* name in the run's folder */
	const char *kept;   /* name that the original has now; "" with another folder */
	unsigned from, to;  /* schema_version; equal: it was current, and nothing was done */
	uint64_t records;   /* lines, for the log */
	uint64_t cut_bytes; /* of a torn last line, which is left out */
	char from_sha256[WV_SHA256_HEX], to_sha256[WV_SHA256_HEX];
};

struct wv_migration {
	const struct wv_io *io;
	int from_dir; /* folder of the run */
	int to_dir;   /* where the new files go; from_dir: in place, the originals kept as NAME.v<n>
		       */
	/* Called with each file before anything of it is written; an error stops the migration. */
	int (*tell)(void *ctx, const struct wv_migrated *m);
	void *ctx;
	char error[256]; /* why it failed, for people */
};
/* All artifacts of a run. Can be repeated after a crash. 0; -EBADMSG: one is no such artifact;
 * -EPROTO: it is newer than this program; or -errno. */
int wv_migrate_run(struct wv_migration *m);

#endif
