// SPDX-License-Identifier: GPL-2.0-only
/* The signed notes beside the log: whose they are, and what they say. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/verify_internal.h"
#include "user/evidence/witness.h"

/* a year of a checkpoint a minute */
#define CHECKPOINTS_MAX (256U << 20)
#define SIGNATURE "\xe2\x80\x94 "

/* A note ends at an empty line behind a signature, or at the end. */
const char *wv_notes_next(const char *text, size_t len, size_t *at, size_t *ret_len)
{
	const char *start = text + *at, *end = text + len, *line = start, *newline;
	bool signature = false;

	if (start >= end)
		return NULL;
	for (; line < end; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline)
			newline = end - 1;
		if (line == newline && signature) {
			*ret_len = (size_t)(line - start);
			*at = (size_t)(newline + 1 - text);
			return start;
		}
		signature = (size_t)(newline - line) > strlen(SIGNATURE) &&
			    memcmp(line, SIGNATURE, strlen(SIGNATURE)) == 0;
	}
	*ret_len = (size_t)(end - start);
	*at = len;
	return start;
}

static int read_claims(struct wv_verify *v, unsigned which, const char *name, size_t max)
{
	size_t len, at = 0, n, room = v->n_claims;
	struct wv_state_claim *more;
	const char *note;
	int r;

	r = wv_io_read_file(&wv_io_system, v->dirfd, name, max, &v->notes[which], &len);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		wv_verify_found(v, WV_FINDING_UNREADABLE, 0, 0, "%s cannot be read: %s", name,
				strerror(-r));
		return r == -ENOMEM ? r : 0;
	}
	while ((note = wv_notes_next(v->notes[which], len, &at, &n))) {
		if (v->n_claims == room) {
			room = room * 2 + 64;
			more = realloc(v->claims, room * sizeof(*more));
			if (!more)
				return -ENOMEM;
			v->claims = more;
		}
		v->claims[v->n_claims++] =
			(struct wv_state_claim){.note = note, .len = n, .file = name};
	}
	return 0;
}

static int open_claim(struct wv_verify *v, size_t i)
{
	struct wv_state_claim *c = &v->claims[i];
	uint64_t times[64] = {0};
	size_t text_len;
	unsigned k;

	c->error = wv_note_open(c->note, c->len, v->o->keys, v->o->n_keys, &c->signed_by, times,
				&text_len);
	if (c->error == 0)
		c->error = wv_checkpoint_parse(c->note, text_len, &c->c);
	if (c->error == 0 && strcmp(c->c.origin, v->o->keys[0].name) != 0)
		c->error = -ESTALE;
	if (c->error)
		c->signed_by = 0;
	for (k = 1; k < v->o->n_keys; k++)
		if (c->signed_by >> k & 1 && times[k] > c->cosigned_s)
			c->cosigned_s = times[k];
	return c->error == -ENOMEM ? -ENOMEM : 0;
}

static void tell_unsigned(struct wv_verify *v, const struct wv_state_claim *c, size_t nth)
{
	if (c->error == -ESTALE)
		wv_verify_found(v, WV_FINDING_CHECKPOINT, 0, 0,
				"checkpoint %zu of `%s` is of another log: '%.64s'", nth, c->file,
				c->c.origin);
	else if (c->error == -EBADMSG)
		wv_verify_found(v, WV_FINDING_CHECKPOINT, 0, 0,
				"checkpoint %zu of `%s` has a signature that does not hold", nth,
				c->file);
	else if (c->error)
		wv_verify_found(v, WV_FINDING_CHECKPOINT, 0, 0,
				"checkpoint %zu of `%s` cannot be read", nth, c->file);
	else if (!c->signed_by)
		wv_verify_found(v, WV_FINDING_CHECKPOINT, 0, 0,
				"checkpoint %zu of `%s` (%" PRIu64
				" records) is not signed by the log's key %s",
				nth, c->file, c->c.size, v->o->keys[0].name);
}

static int by_size(const void *a, const void *b)
{
	const struct wv_state_claim *x = a, *y = b;

	return x->c.size < y->c.size ? -1 : x->c.size > y->c.size;
}

int wv_verify_claims(struct wv_verify *v)
{
	const char *file = NULL;
	uint64_t size = 0;
	size_t i, nth = 0;
	int r;

	r = read_claims(v, 0, WV_TLOG_CHECKPOINTS_NAME, CHECKPOINTS_MAX);
	if (r == 0)
		r = read_claims(v, 1, WV_TLOG_CHECKPOINT_NAME, WV_NOTE_MAX);
	if (r == 0)
		r = read_claims(v, 2, WV_WITNESSED_NAME, WV_NOTE_MAX);
	if (r == 0)
		r = wv_verify_parallel(v, v->n_claims, open_claim);
	for (i = 0; i < v->n_claims && r == 0; i++) {
		struct wv_state_claim *c = &v->claims[i];

		nth = c->file == file ? nth + 1 : 1;
		if (c->file != file)
			size = 0;
		file = c->file;
		if (!c->signed_by)
			tell_unsigned(v, c, nth);
		else if (c->c.size < size)
			wv_verify_found(v, WV_FINDING_CHECKPOINT, 0, 0,
					"checkpoint %zu of `%s` is of %" PRIu64
					" records, the one before of %" PRIu64,
					nth, file, c->c.size, size);
		if (c->signed_by)
			size = c->c.size;
	}
	if (r == 0 && v->n_claims)
		qsort(v->claims, v->n_claims, sizeof(*v->claims), by_size);
	return r;
}
