// SPDX-License-Identifier: GPL-2.0-only
/* The store: what is cached, for how long, and when a source is asked again. */
#include "user/secret/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/secret/curl.h"
#include "user/secret/store.h"

#if defined(__has_feature)
#define WV_SANITIZED __has_feature(address_sanitizer)
#else
#define WV_SANITIZED 0
#endif
#define SECOND 1000000000ULL
/* A file is cheap to read, and who replaces it expects to be heard. */
#define FILE_TTL_NS (10 * SECOND)
#define RETRY_FIRST_NS SECOND
#define RETRY_MAX_NS (60 * SECOND)
/* Users that are refused may not ask a source more often than this. */
#define REFUSED_NS (5 * SECOND)
#define CA_MAX (1U << 20)

static uint64_t mono(const struct wv_secrets *s)
{
	return s->io->mono_ns(s->io->ctx);
}

/* Anything below n. */
static uint64_t below(const struct wv_secrets *s, uint64_t n)
{
	uint64_t random = 0;

	(void)s->io->random(s->io->ctx, &random, sizeof(random));
	return n ? random % n : 0;
}

/* Core dumps and ptrace would show what is cached. A leak checker is a tracer. */
static void hide_process(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !WV_SANITIZED
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

static int own(struct wv_secrets *s, const char *reference, unsigned *ret)
{
	struct wv_secret_ref ref;
	const char *why;

	*ret = WV_SECRET_NONE;
	if (!*reference)
		return 0;
	if (wv_secret_ref_parse(reference, &ref, &why) < 0 || !wv_secret_is_local(&ref))
		return -EINVAL;
	return wv_secrets_add(s, reference, ret);
}

static int read_ca(struct wv_secrets *s)
{
	const char *path = s->config->secrets_ca;
	int r = 0;

	if (*path && !s->ca)
		r = wv_io_read_file(s->io, AT_FDCWD, path, CA_MAX, &s->ca, &s->ca_len);
	return r < 0 ? wv_log_errno(r, "secret", "secrets.ca: read %s", path) : 0;
}

/* What a kind of source needs; before rights are given up. */
static int prepare(struct wv_secrets *s, enum wv_secret_kind kind)
{
	const struct wv_config *c = s->config;
	int r = wv_secrets_load_curl();

	if (r == 0)
		r = read_ca(s);
	if (r < 0)
		return r;
	if (kind == WV_SECRET_VAULT)
		return own(s, c->secrets_vault_token, &s->vault_token);
	if (kind == WV_SECRET_GCP)
		return own(s, c->secrets_gcp_token, &s->gcp_token);
	r = own(s, c->secrets_aws_access_key, &s->aws_access_key);
	if (r == 0)
		r = own(s, c->secrets_aws_secret_key, &s->aws_secret_key);
	if (r == 0)
		r = own(s, c->secrets_aws_session_token, &s->aws_session_token);
	return r;
}

int wv_secrets_open(struct wv_secrets **ret, const struct wv_io *io, const struct wv_config *config)
{
	struct wv_secrets *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	hide_process();
	s->io = io;
	s->config = config;
	s->vault_token = s->gcp_token = WV_SECRET_NONE;
	s->aws_access_key = s->aws_secret_key = s->aws_session_token = WV_SECRET_NONE;
	*ret = s;
	return 0;
}

void wv_secrets_close(struct wv_secrets *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n; i++) {
		wv_locked_free(&s->entries[i]->value);
		free(s->entries[i]);
	}
	wv_locked_free(&s->gcp_meta);
	if (s->curl)
		wv_curl.curl_easy_cleanup(s->curl);
	free(s->ca);
	free(s);
}

/* Fetching ------------------------------------------------------------------------------------ */

static int (*const from[WV_SECRET_KIND_N])(struct wv_secrets *s, const struct wv_secret_ref *ref,
					   struct wv_secret_fetched *f) = {
	[WV_SECRET_ENV] = wv_secret_from_env,	      [WV_SECRET_FILE] = wv_secret_from_file,
	[WV_SECRET_CREDENTIAL] = wv_secret_from_file, [WV_SECRET_VAULT] = wv_secret_from_vault,
	[WV_SECRET_AWS] = wv_secret_from_aws,	      [WV_SECRET_GCP] = wv_secret_from_gcp,
};

static uint64_t next_after_success(struct wv_secrets *s, const struct wv_secret_entry *e)
{
	uint64_t ttl = s->config->secrets_ttl;

	if (e->ref.kind == WV_SECRET_ENV)
		return UINT64_MAX;
	if (wv_secret_is_local(&e->ref))
		return e->fetched_ns + FILE_TTL_NS;
	/* early, and not on all machines at once: between 4/5 and all of it */
	return e->fetched_ns + ttl / 5 * 4 + below(s, ttl / 5);
}

/* Full jitter: anything up to a bound that doubles, but no busy loop. */
static uint64_t next_after_failure(struct wv_secrets *s, const struct wv_secret_entry *e,
				   uint64_t retry_after_s)
{
	uint64_t bound = RETRY_FIRST_NS, wait;

	for (unsigned i = 1; i < e->failed && bound < RETRY_MAX_NS; i++)
		bound *= 2;
	wait = RETRY_FIRST_NS / 4 + below(s, bound < RETRY_MAX_NS ? bound : RETRY_MAX_NS);
	if (retry_after_s * SECOND > wait)
		wait = retry_after_s * SECOND + below(s, retry_after_s * SECOND / 10);
	return mono(s) + wait;
}

/* Whether it is another value now. */
static bool fetch(struct wv_secrets *s, struct wv_secret_entry *e)
{
	struct wv_secret_fetched f = {.len = 0};
	bool changed;
	int r;

	e->tried_ns = mono(s);
	e->fetches++;
	r = from[e->ref.kind](s, &e->ref, &f);
	if (r < 0) {
		wv_locked_free(&f.value);
		if (e->error != r)
			(void)wv_log_warn(0, "secret", "%s: %s%s", e->reference, f.why,
					  e->value.p ? "; the old value is used" : "");
		e->error = r;
		e->failures++;
		e->failed++;
		memcpy(e->why, f.why, sizeof(e->why));
		e->due_ns = next_after_failure(s, e, f.retry_after_s);
		return false;
	}
	if (e->error)
		wv_log_info("secret", "%s is there again", e->reference);
	changed = !e->value.p || e->len != f.len || memcmp(e->value.p, f.value.p, f.len) != 0;
	wv_locked_free(&e->value);
	e->value = f.value;
	e->len = f.len;
	e->changed_s = f.changed_s;
	e->fetched_ns = mono(s);
	e->error = 0;
	e->failed = 0;
	e->why[0] = '\0';
	e->due_ns = next_after_success(s, e);
	return changed;
}

int wv_secrets_add(struct wv_secrets *s, const char *reference, unsigned *ret_id)
{
	struct wv_secret_entry *e;
	const char *why;
	int r = 0;

	for (unsigned i = 0; i < s->n; i++) {
		if (strcmp(s->entries[i]->reference, reference) != 0)
			continue;
		*ret_id = i;
		return 0;
	}
	if (s->n >= WV_SECRET_ENTRIES_MAX)
		return -ENOSPC;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	r = wv_secret_ref_parse(reference, &e->ref, &why);
	if (r == 0 && !wv_secret_is_local(&e->ref))
		r = prepare(s, e->ref.kind); /* may add others before this one */
	if (r < 0) {
		free(e);
		return r;
	}
	memcpy(e->reference, reference, strlen(reference) + 1);
	*ret_id = s->n;
	s->entries[s->n++] = e;
	if (wv_secret_is_local(&e->ref))
		(void)fetch(s, e);
	return 0;
}

bool wv_secrets_reads_files(const struct wv_secrets *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->entries[i]->ref.kind == WV_SECRET_FILE ||
		    s->entries[i]->ref.kind == WV_SECRET_CREDENTIAL)
			return true;
	return false;
}

/* Using --------------------------------------------------------------------------------------- */

int wv_secrets_get(struct wv_secrets *s, unsigned id, struct wv_secret_value *ret)
{
	struct wv_secret_entry *e = id < s->n ? s->entries[id] : NULL;

	if (!e)
		return -ENOENT;
	if (mono(s) >= e->due_ns)
		(void)fetch(s, e);
	if (!e->value.p)
		return e->error;
	*ret = (struct wv_secret_value){
		.text = e->value.p, .len = e->len, .age_ns = mono(s) - e->fetched_ns};
	return 0;
}

int wv_secrets_refused(struct wv_secrets *s, unsigned id)
{
	struct wv_secret_entry *e = id < s->n ? s->entries[id] : NULL;

	if (!e ||
	    (e->tried_ns && mono(s) - e->tried_ns < REFUSED_NS && !wv_secret_is_local(&e->ref)))
		return 0;
	return fetch(s, e);
}

void wv_secrets_tick(struct wv_secrets *s, uint64_t *ret_wait_ns)
{
	struct wv_secret_entry *first = NULL;
	uint64_t now;

	for (unsigned i = 0; i < s->n; i++)
		if (!first || s->entries[i]->due_ns < first->due_ns)
			first = s->entries[i];
	if (first && mono(s) >= first->due_ns)
		(void)fetch(s, first);
	now = mono(s);
	*ret_wait_ns = 60 * SECOND;
	for (unsigned i = 0; i < s->n; i++) {
		uint64_t due = s->entries[i]->due_ns;
		uint64_t wait = due > now ? due - now : 0;

		if (wait < *ret_wait_ns)
			*ret_wait_ns = wait;
	}
}

unsigned wv_secrets_count(const struct wv_secrets *s)
{
	return s->n;
}

void wv_secrets_state(const struct wv_secrets *s, unsigned id, struct wv_secret_state *ret)
{
	const struct wv_secret_entry *e = s->entries[id];

	*ret = (struct wv_secret_state){
		.reference = e->reference,
		.error = e->error,
		.why = e->why,
		.has_value = e->value.p != NULL,
		.age_ns = e->value.p ? mono(s) - e->fetched_ns : 0,
		.changed_s = e->changed_s,
		.fetches = e->fetches,
		.failures = e->failures,
	};
}
