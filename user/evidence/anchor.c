// SPDX-License-Identifier: GPL-2.0-only
/*
 * A round. Invariants: a failure is recorded when it begins and when it ends, not in between; a
 * conflict is logged each time that it is seen; nothing of the log but records is written here, and
 * without the device's key: that signs checkpoints, and they are not made here.
 */
#include "user/evidence/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/paths.h"
#include "user/evidence/event.h"
#include "user/update/backoff.h"

#define TPM "tpm" /* as the witness's name in records */
/* the log went on while a witness was asked: its answer is about an older state */
#define AGAIN_NS 1000000000ULL

static struct json_object *base64(const void *bytes, size_t len)
{
	char text[WV_BASE64_LENGTH(WV_TPM_BLOB_MAX) + 1];

	wv_base64_encode(bytes, len, text);
	return json_object_new_string(text);
}

struct json_object *wv_anchor_fields(const struct wv_checkpoint *c, const char *text,
				     const struct wv_tpm_quote *q)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "size", json_object_new_uint64(c->size));
	json_object_object_add(o, "checkpoint", json_object_new_string(text));
	json_object_object_add(o, "pcr", json_object_new_int(WV_TPM_PCR));
	json_object_object_add(o, "quote", base64(q->message, q->message_len));
	json_object_object_add(o, "signature", base64(q->signature, q->signature_len));
	json_object_object_add(o, "key", json_object_new_string(q->key_pem));
	json_object_object_add(o, "tpm_clock_ms", json_object_new_uint64(q->clock_ms));
	json_object_object_add(o, "tpm_resets", json_object_new_int64(q->resets));
	json_object_object_add(o, "tpm_restarts", json_object_new_int64(q->restarts));
	return o;
}

void wv_anchor_digest(const char *text, size_t len, struct wv_hash *ret)
{
	SHA256((const unsigned char *)text, len, ret->bytes);
}

/* Takes the reference of fields. */
static int record(const struct wv_anchor *a, const char *type, struct json_object *fields,
		  uint64_t *ret_seq)
{
	const struct wv_tlog_options none = {.key = NULL};
	struct wv_tlog *l;
	int r = wv_tlog_open(&l, a->io, a->state, &none, NULL);

	if (r < 0) {
		json_object_put(fields);
		return wv_log_errno(r, "anchor", "%s is not recorded", type);
	}
	r = wv_event(l, a->io, a->run_id, type, fields, true, ret_seq);
	wv_tlog_close(l);
	return r < 0 ? wv_log_errno(r, "anchor", "%s is not recorded", type) : 0;
}

static uint64_t wait_ns(const struct wv_anchor *a, unsigned failures)
{
	uint64_t random = 0;

	(void)a->io->random(a->io->ctx, &random, sizeof(random));
	return wv_update_wait_ns(a->every_ns, failures, 0, random);
}

static void enter(const struct wv_anchor *a, struct wv_anchor_target *t, enum wv_anchor_state state)
{
	t->state = state;
	t->since_ns = a->io->mono_ns(a->io->ctx);
}

static struct json_object *named(const char *name)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "witness", json_object_new_string(name));
	return o;
}

static void failed(struct wv_anchor *a, struct wv_anchor_target *t, const char *name,
		   const char *why)
{
	struct json_object *o;

	t->failures++;
	t->next_ns = a->io->mono_ns(a->io->ctx) + wait_ns(a, t->failures);
	if (t->state != WV_ANCHOR_GOOD)
		return;
	enter(a, t, WV_ANCHOR_LOST);
	(void)wv_log_warn(0, "anchor", "no anchor: %s", why);
	o = named(name);
	json_object_object_add(o, "why", json_object_new_string(why));
	(void)record(a, "witness-lost", o, NULL);
}

static void conflict(struct wv_anchor *a, struct wv_anchor_target *t, const char *name,
		     const struct wv_witness_answer *answer)
{
	char text[WV_WITNESS_TEXT_SIZE];
	struct json_object *o;

	t->failures++;
	t->next_ns = a->io->mono_ns(a->io->ctx) + wait_ns(a, t->failures);
	wv_witness_answer_text(answer, name, a->c.size, text);
	(void)wv_log_full(LOG_CRIT, 0, "anchor", "THIS DEVICE'S LOG IS NOT THE ONE IT WAS: %s",
			  text);
	if (t->state == WV_ANCHOR_CONFLICT)
		return;
	enter(a, t, WV_ANCHOR_CONFLICT);
	o = named(name);
	json_object_object_add(o, "what",
			       json_object_new_string(answer->verdict == WV_WITNESS_AHEAD
							      ? "put-back"
							      : "forked"));
	json_object_object_add(o, "size", json_object_new_uint64(a->c.size));
	json_object_object_add(o, "seen", json_object_new_uint64(answer->size));
	json_object_object_add(o, "severity", json_object_new_string("critical"));
	(void)record(a, "witness-conflict", o, NULL);
}

static void succeeded(struct wv_anchor *a, struct wv_anchor_target *t, const char *name)
{
	uint64_t now = a->io->mono_ns(a->io->ctx);
	struct json_object *o;

	t->failures = 0;
	t->has = true;
	t->last = a->c;
	t->next_ns = now + wait_ns(a, 0);
	if (t->state == WV_ANCHOR_GOOD)
		return;
	o = named(name);
	json_object_object_add(o, "after_ns", json_object_new_uint64(now - t->since_ns));
	enter(a, t, WV_ANCHOR_GOOD);
	wv_log_info("anchor", "%s anchors the log again", name);
	(void)record(a, "witness-back", o, NULL);
}

static bool same(const struct wv_checkpoint *a, const struct wv_checkpoint *b)
{
	return a->size == b->size && memcmp(&a->root, &b->root, sizeof(a->root)) == 0 &&
	       strcmp(a->origin, b->origin) == 0;
}

/* Whether the newest checkpoint is another one by now. */
static bool went_on(const struct wv_anchor *a, int dirfd)
{
	struct wv_newest n;
	bool other;

	if (wv_newest_open(&n, a->io, dirfd) < 0)
		return false;
	other = !same(&n.c, &a->c);
	wv_newest_close(&n);
	return other;
}

static int ask(struct wv_anchor *a, struct wv_newest *n, int dirfd, unsigned i)
{
	const struct wv_witness_url *u = &a->witnesses->list[i];
	struct wv_anchor_target *t = &a->targets[i];
	struct wv_witness_answer answer = {0};
	char text[WV_WITNESS_TEXT_SIZE];
	int r = wv_newest_show(n, a->post, a->ctx, u, &answer);

	if (r == -ECANCELED)
		return r;
	if (r < 0) {
		snprintf(text, sizeof(text), "%s was not asked: %s", u->url, strerror(-r));
		failed(a, t, u->url, text);
	} else if (answer.verdict == WV_WITNESS_COSIGNED) {
		free(t->line);
		t->line = answer.line;
		wv_log_debug("anchor", "%s",
			     wv_witness_answer_text(&answer, u->url, a->c.size, text));
		succeeded(a, t, u->url);
		return 1;
	} else if (answer.verdict == WV_WITNESS_REFUSED) {
		failed(a, t, u->url, wv_witness_answer_text(&answer, u->url, a->c.size, text));
	} else if (went_on(a, dirfd)) {
		t->next_ns = a->io->mono_ns(a->io->ctx) + AGAIN_NS;
	} else {
		conflict(a, t, u->url, &answer);
	}
	free(answer.line);
	return 0;
}

/* All that cosigned this checkpoint, also in rounds before. */
static void keep(const struct wv_anchor *a, const struct wv_newest *n, int dirfd)
{
	_cleanup_free_ char *lines = strdup("");
	char *more;
	int r;

	for (unsigned i = 0; lines && i < a->witnesses->n; i++) {
		if (!a->targets[i].line)
			continue;
		if (asprintf(&more, "%s%s", lines, a->targets[i].line) < 0)
			return;
		free(lines);
		lines = more;
	}
	r = lines ? wv_newest_keep(n, a->io, dirfd, lines) : -ENOMEM;
	if (r < 0)
		(void)wv_log_errno(r, "anchor", "cosignatures are not kept in " WV_WITNESSED_NAME);
}

static int anchor_in_tpm(struct wv_anchor *a, const struct wv_newest *n)
{
	_cleanup_free_ char *text = strndup(n->note, n->text_len);
	struct wv_tpm_quote q = {.key_pem = NULL};
	struct wv_hash digest;
	uint64_t seq = 0;
	int r = text ? 0 : -ENOMEM;

	if (r == 0) {
		wv_anchor_digest(text, n->text_len, &digest);
		r = a->quote(a->ctx, &digest, &q);
	}
	if (r == -ECANCELED)
		return r;
	if (r == 0)
		r = record(a, "checkpoint-anchored", wv_anchor_fields(&a->c, text, &q), &seq);
	free(q.key_pem);
	if (r < 0) {
		failed(a, &a->tpm, TPM, "the TPM did not sign");
		return 0;
	}
	/* its record makes the log grow by itself: that is no news for the TPM */
	a->tpm_own = seq == a->c.size + 1 ? seq : 0;
	succeeded(a, &a->tpm, TPM);
	return 0;
}

/* Whether it is its turn; a turn without news is over at once. */
static bool is_due(const struct wv_anchor *a, struct wv_anchor_target *t, bool no_news)
{
	uint64_t now = a->io->mono_ns(a->io->ctx);

	if (t->next_ns > now)
		return false;
	if (!no_news && !(t->has && same(&t->last, &a->c)))
		return true;
	t->next_ns = now + wait_ns(a, 0);
	return false;
}

static int visit(struct wv_anchor *a, struct wv_newest *n, int dirfd)
{
	bool more = false;
	int r = 0;

	if (!same(&n->c, &a->c))
		for (unsigned i = 0; i < a->witnesses->n; i++)
			free(TAKE_PTR(a->targets[i].line));
	a->c = n->c;
	for (unsigned i = 0; i < a->witnesses->n && r >= 0; i++) {
		if (!is_due(a, &a->targets[i], false))
			continue;
		r = ask(a, n, dirfd, i);
		more |= r > 0;
	}
	if (more)
		keep(a, n, dirfd);
	if (r >= 0 && a->quote && is_due(a, &a->tpm, a->tpm_own && n->c.size == a->tpm_own))
		r = anchor_in_tpm(a, n);
	return r < 0 ? r : 0;
}

static uint64_t soonest(const struct wv_anchor *a)
{
	uint64_t now = a->io->mono_ns(a->io->ctx), next = a->quote ? a->tpm.next_ns : UINT64_MAX;

	for (unsigned i = 0; i < a->witnesses->n; i++)
		if (a->targets[i].next_ns < next)
			next = a->targets[i].next_ns;
	if (next == UINT64_MAX)
		return a->every_ns;
	return next > now ? next - now : 0;
}

int wv_anchor_round(struct wv_anchor *a, uint64_t *ret_wait_ns)
{
	char path[WV_PATH_SIZE + 16];
	struct wv_newest n;
	int dirfd, r;

	snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER, a->state);
	dirfd = a->io->open(a->io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	r = dirfd < 0 ? dirfd : wv_newest_open(&n, a->io, dirfd);
	if (r == 0) {
		r = visit(a, &n, dirfd);
		wv_newest_close(&n);
		*ret_wait_ns = soonest(a);
	} else {
		/* -ENOENT: a log is without a checkpoint at first */
		if (r != -ENOENT)
			(void)wv_log_errno(r, "anchor", "the newest checkpoint cannot be read");
		*ret_wait_ns = wait_ns(a, r == -ENOENT ? 0 : 1);
	}
	if (dirfd >= 0)
		(void)a->io->close(a->io->ctx, dirfd);
	return r == -ECANCELED ? r : 0;
}

void wv_anchor_done(struct wv_anchor *a)
{
	for (unsigned i = 0; i < a->witnesses->n; i++)
		free(TAKE_PTR(a->targets[i].line));
}
