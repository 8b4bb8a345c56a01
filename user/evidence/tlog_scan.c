// SPDX-License-Identifier: GPL-2.0-only
/* Lines of a segment's file, and what can be told from a line without parsing it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/evidence/tlog_internal.h"

#define BUFFER (2 * WV_RECORD_MAX)

int wv_scan_init(struct wv_scan *s, const struct wv_io *io, int fd, uint64_t off)
{
	*s = (struct wv_scan){.io = io, .fd = fd, .off = off, .from = off};
	s->buf = malloc(BUFFER);
	return s->buf ? 0 : -ENOMEM;
}

void wv_scan_done(struct wv_scan *s)
{
	free(s->buf);
	s->buf = NULL;
}

/* Moves what is left to the front and reads on. 1 if there is more, 0 at the end. */
static int fill(struct wv_scan *s)
{
	ssize_t n;

	memmove(s->buf, s->buf + s->pos, s->used - s->pos);
	s->from += s->pos;
	s->used -= s->pos;
	s->pos = 0;
	do
		n = s->io->pread(s->io->ctx, s->fd, s->buf + s->used, BUFFER - s->used,
				 (off_t)(s->from + s->used));
	while (n == -EINTR);
	if (n <= 0)
		return (int)n;
	s->used += (size_t)n;
	return 1;
}

int wv_scan_next(struct wv_scan *s, const char **ret_line, size_t *ret_len)
{
	size_t seen = 0;

	for (;;) {
		char *start = s->buf + s->pos;
		char *newline = memchr(start + seen, '\n', s->used - s->pos - seen);
		int r;

		if (newline && newline - start < (ptrdiff_t)WV_RECORD_MAX) {
			*newline = '\0';
			*ret_line = start;
			*ret_len = (size_t)(newline - start);
			s->pos += *ret_len + 1;
			s->off = s->from + s->pos;
			return 1;
		}
		seen = s->used - s->pos;
		if (newline || seen >= WV_RECORD_MAX)
			return -EFBIG;
		r = fill(s);
		if (r < 0)
			return r;
		if (r == 0) { /* half a line may be another one when it is asked for again */
			s->from = s->off;
			s->used = s->pos = 0;
			return 0;
		}
	}
}

/* End of the string that starts at p ('"'), or NULL. */
static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '\\')
			p++;
		else if (*p == '"')
			return p + 1;
	}
	return NULL;
}

int wv_record_member(const char *line, size_t len, const char *name, const char **ret,
		     size_t *ret_len)
{
	const char *p = line, *end = line + len;
	size_t want = strlen(name);
	unsigned depth = 0;

	while (p < end) {
		const char *after;

		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		if (*p != '"') {
			p++;
			continue;
		}
		after = skip_string(p, end);
		if (!after)
			return -ENOENT;
		if (depth == 1 && after < end && *after == ':' && (size_t)(after - p) == want + 2 &&
		    memcmp(p + 1, name, want) == 0) {
			p = after + 1;
			if (p < end && *p == '"')
				after = skip_string(p, end);
			else
				for (after = p; after < end && !strchr(",}]", *after);)
					after++;
			if (!after)
				return -ENOENT;
			*ret = p;
			*ret_len = (size_t)(after - p);
			return 0;
		}
		p = after;
	}
	return -ENOENT;
}

int wv_record_number(const char *line, size_t len, const char *name, uint64_t *ret)
{
	const char *p;
	uint64_t v = 0;
	size_t n;

	if (wv_record_member(line, len, name, &p, &n) < 0 || !n)
		return -ENOENT;
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
			return -ENOENT;
	*ret = v;
	return 0;
}
