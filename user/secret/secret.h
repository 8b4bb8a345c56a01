/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Secrets by reference (user/secret/reference.h). Settings of type SECRET (config.def, lists.def)
 * hold references only; who needs a value opens a store of its own in the process that uses it.
 * Values live in locked memory of that process and nowhere else of ours: never in a record, a log
 * line, an error, a file or an argument.
 *
 * A value is fetched when it is first asked for, and again before `secrets.ttl` is over, or at once
 * when its user was refused with it. While a source is down the old value goes on being used.
 *
 *   r = wv_secrets_open(&s, io, config);             before rights are given up
 *   r = wv_secrets_add(s, config->x_token, &token);  ditto, for each setting that is not ""
 *   ...
 *   r = wv_secrets_get(s, token, &v);                then use v.text at once
 *   if (status == 401 || status == 403)
 *           again = wv_secrets_refused(s, token) > 0;
 *
 * One thread. Not for core: fetching waits for the network, up to `secrets.timeout`.
 */
#ifndef WV_SECRET_SECRET_H
#define WV_SECRET_SECRET_H

#include "user/core/config.h"
#include "user/core/io.h"
#include "user/secret/locked.h"
#include "user/secret/reference.h"

#define WV_SECRET_MAX 65536 /* bytes of a value; what is longer is refused */

struct wv_secrets;

/* config must outlive it. Makes this process one that no core dump is made of and that others of
 * its user cannot trace. 0 or -ENOMEM. */
int wv_secrets_open(struct wv_secrets **ret, const struct wv_io *io,
		    const struct wv_config *config);
void wv_secrets_close(struct wv_secrets *s);
/*
 * Takes in a reference, the same one twice as one; nothing is asked of the network yet, but the
 * environment and local files are read, and libcurl is loaded if a source needs it. -EINVAL: no
 * reference; -ENOPKG: no libcurl; -ENOSPC: more than 256. That a local secret is not there is no
 * error: it may come.
 */
int wv_secrets_add(struct wv_secrets *s, const char *reference, unsigned *ret_id);
/* Whether one of them is a file or a credential: CAP_DAC_READ_SEARCH is needed for it to be read
 * again by another user (wv_spool_drop_rights(reads_files, ...)). */
bool wv_secrets_reads_files(const struct wv_secrets *s);

struct wv_secret_value {
	const char *text; /* with a NUL behind it; until the next call on the store */
	size_t len;
	uint64_t age_ns; /* since it was fetched */
};
/*
 * 0 with a value, or why there is none at all: -ENOENT (not there: no such variable, file, secret,
 * version or field), -EACCES (the source refuses us), -EAGAIN (it is busy, try later),
 * -EHOSTUNREACH, -EKEYREJECTED (its certificate), -EBADMSG (an answer that makes no sense), -EFBIG,
 * -EINVAL (the settings that it needs are missing). wv_secrets_state() tells more.
 */
int wv_secrets_get(struct wv_secrets *s, unsigned id, struct wv_secret_value *ret);
/* Its user was refused with it: fetched again, at most every few seconds. 1: it is another one now,
 * try again; 0: it is not. */
int wv_secrets_refused(struct wv_secrets *s, unsigned id);
/* Fetches what will be too old soon, one at most. *ret_wait_ns: when to call again. Calling it is
 * optional: get does the same, but its caller waits. */
void wv_secrets_tick(struct wv_secrets *s, uint64_t *ret_wait_ns);

struct wv_secret_state {
	const char *reference;
	int error;	   /* of the last attempt; 0: it went well */
	const char *why;   /* for people, never with a value in it; "" if there is no error */
	bool has_value;	   /* maybe an old one */
	uint64_t age_ns;   /* since it was fetched, if there is a value */
	int64_t changed_s; /* wall time when it was last changed at its source, 0: not known */
	uint64_t fetches, failures;
};
unsigned wv_secrets_count(const struct wv_secrets *s);
void wv_secrets_state(const struct wv_secrets *s, unsigned id, struct wv_secret_state *ret);

/*
 * Loads libcurl and lets it wipe whatever memory it gives back (headers, buffers with secrets in
 * them). Before any other curl_global_init() of the process; add calls it when it needs it. 0 or
 * -ENOPKG, -ENOMEM.
 */
int wv_secrets_load_curl(void);

/* Calls each(ctx, "alerts[2].url_secret", reference) for all SECRET settings and list keys that
 * are set, until it returns other than 0, which is returned. */
int wv_secrets_each(const struct wv_config *c,
		    int (*each)(void *ctx, const char *setting, const char *reference), void *ctx);

#endif
