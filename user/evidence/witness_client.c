// SPDX-License-Identifier: GPL-2.0-only
/* The log's side: what the witness saw is asked for, and continued by a proof. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/witness.h"

int wv_witness_request(uint64_t old, const struct wv_hash *proof, unsigned n, const char *note,
		       char **ret)
{
	char lines[WV_PROOF_MAX * (WV_BASE64_LENGTH(WV_HASH_SIZE) + 1) + 1], *p = lines;

	for (unsigned i = 0; i < n; i++) {
		wv_base64_encode(proof[i].bytes, WV_HASH_SIZE, p);
		p += strlen(p);
		*p++ = '\n';
	}
	*p = '\0';
	return asprintf(ret, "old %" PRIu64 "\n%s\n%s", old, lines, note) < 0 ? -ENOMEM : 0;
}

/* Whether the answer is a cosignature of this witness over the note. */
static bool is_cosigned(const char *note, const char *lines, const struct wv_note_verifier *witness,
			uint64_t *ret_time)
{
	_cleanup_free_ char *whole = NULL;
	uint64_t by = 0;
	size_t text_len;

	return asprintf(&whole, "%s%s", note, lines) > 0 &&
	       wv_note_open(whole, strlen(whole), witness, 1, &by, ret_time, &text_len) == 0 &&
	       by == 1;
}

/* The one line of a witness's answer that is its own. */
static char *own_line(const char *lines, const struct wv_note_verifier *witness)
{
	char start[sizeof(witness->name) + 8];
	const char *line = lines, *end;

	snprintf(start, sizeof(start), "\xe2\x80\x94 %s ", witness->name);
	for (; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		if (strncmp(line, start, strlen(start)) == 0)
			return strndup(line, (size_t)(end - line) + 1);
	}
	return NULL;
}

struct submit {
	wv_witness_post_fn post;
	void *ctx;
	const char *url, *note;
	const struct wv_note_verifier *witness;
	struct wv_leaf_file *leaves;
	struct wv_checkpoint c;
	char *body; /* of the last answer */
};

static int ask(struct submit *s, uint64_t old)
{
	_cleanup_free_ char *request = NULL;
	struct wv_hash proof[WV_PROOF_MAX];
	unsigned n = 0;
	int r = 0;

	if (old)
		r = wv_merkle_consistency(wv_leaf_file_read, s->leaves, old, s->c.size, proof, &n);
	if (r == 0)
		r = wv_witness_request(old, proof, n, s->note, &request);
	if (r < 0)
		return r;
	free(TAKE_PTR(s->body));
	return s->post(s->ctx, s->url, request, &s->body);
}

/* The size in the body of a 409. */
static int conflict_size(const char *body, uint64_t *ret)
{
	char number[24];
	size_t len = body ? strcspn(body, "\n") : 0;

	if (!len || len >= sizeof(number))
		return -EPROTO;
	memcpy(number, body, len);
	number[len] = '\0';
	return wv_parse_uint(number, ret);
}

static int finish(struct submit *s, int status, bool asked, struct wv_witness_answer *a)
{
	a->status = status;
	a->verdict = WV_WITNESS_REFUSED;
	if (status == 200 && s->body && is_cosigned(s->note, s->body, s->witness, &a->time)) {
		a->line = own_line(s->body, s->witness);
		a->verdict = WV_WITNESS_COSIGNED;
		return a->line ? 0 : -ENOMEM;
	}
	/* it was asked to go on from what it said that it had seen */
	if (asked && (status == 422 || status == 409))
		a->verdict = WV_WITNESS_FORKED;
	return 0;
}

int wv_witness_submit(wv_witness_post_fn post, void *ctx, const char *url,
		      const struct wv_note_verifier *witness, struct wv_leaf_file *leaves,
		      const char *note, struct wv_witness_answer *ret)
{
	struct submit s = {.post = post,
			   .ctx = ctx,
			   .url = url,
			   .note = note,
			   .witness = witness,
			   .leaves = leaves};
	struct wv_witness_answer a = {0};
	uint64_t by;
	size_t text_len;
	bool asked = false;
	int status, r;

	r = wv_note_open(note, strlen(note), NULL, 0, &by, NULL, &text_len);
	if (r == 0)
		r = wv_checkpoint_parse(note, text_len, &s.c);
	if (r < 0)
		return r;
	/* from nothing: whoever saw more says how much; another client may come in between */
	status = ask(&s, 0);
	for (int tries = 0; status == 409 && tries < 3; tries++) {
		uint64_t seen;

		if (conflict_size(s.body, &seen) < 0 || (asked && seen == a.size))
			break;
		a.size = seen;
		if (seen > s.c.size) {
			a.status = status;
			a.verdict = WV_WITNESS_AHEAD;
			free(s.body);
			*ret = a;
			return 0;
		}
		asked = true;
		status = ask(&s, seen);
	}
	r = status < 0 ? status : finish(&s, status, asked, &a);
	free(s.body);
	if (r == 0)
		*ret = a;
	return r;
}
