// SPDX-License-Identifier: GPL-2.0-only
#include "user/kube/split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16384

void wv_kube_split_begin(struct wv_kube_split *s, bool list)
{
	s->list = list;
	s->kinds = 0;
	s->depth = s->kept_depth = 0;
	s->string = s->escaped = s->keeping = s->skipping = s->ended = false;
	s->key_len = s->len = 0;
	/* one large object must not cost its memory for good */
	if (s->room > 4 * ROOM_FIRST) {
		free(s->bytes);
		s->bytes = NULL;
		s->room = 0;
	}
}

void wv_kube_split_done(struct wv_kube_split *s)
{
	free(s->bytes);
	s->bytes = NULL;
	s->room = s->len = 0;
}

bool wv_kube_split_whole(const struct wv_kube_split *s)
{
	return !s->depth && !s->string && (!s->list || s->ended);
}

static int keep(struct wv_kube_split *s, char c)
{
	if (s->skipping)
		return 0;
	if (s->len + 1 >= s->max) {
		s->skipping = true;
		return 0;
	}
	if (s->len + 2 > s->room) {
		size_t room = s->room ? 2 * s->room : ROOM_FIRST;
		char *more = realloc(s->bytes, room);

		if (!more)
			return -ENOMEM;
		s->bytes = more;
		s->room = room;
	}
	s->bytes[s->len++] = c;
	return 0;
}

static bool key_is(const struct wv_kube_split *s, const char *key)
{
	return s->key_len == strlen(key) && memcmp(s->key, key, s->key_len) == 0;
}

/* Whether an object that opens here is one that is wanted. */
static bool is_wanted(struct wv_kube_split *s)
{
	if (!s->list) {
		s->kept = WV_KUBE_PART_EVENT;
		return s->depth == 0;
	}
	s->kept = s->depth == 1 ? WV_KUBE_PART_METADATA : WV_KUBE_PART_ITEM;
	if (s->depth == 1)
		return key_is(s, "metadata");
	return s->depth == 2 && (s->kinds & 2) && key_is(s, "items");
}

static int open_bracket(struct wv_kube_split *s, char c)
{
	if (s->depth >= WV_KUBE_DEPTH_MAX - 1 || (s->depth == 0 && (c != '{' || s->ended)))
		return -EBADMSG;
	if (!s->keeping && c == '{' && is_wanted(s)) {
		s->keeping = true;
		s->skipping = false;
		s->kept_depth = s->depth;
		s->len = 0;
	}
	if (c == '[')
		s->kinds |= 1ULL << s->depth;
	else
		s->kinds &= ~(1ULL << s->depth);
	s->depth++;
	return s->keeping ? keep(s, c) : 0;
}

static int close_bracket(struct wv_kube_split *s, char c)
{
	int r;

	if (!s->depth || ((s->kinds >> (s->depth - 1)) & 1) != (c == ']'))
		return -EBADMSG;
	s->depth--;
	s->ended = s->list && !s->depth;
	if (!s->keeping)
		return 0;
	r = keep(s, c);
	if (r < 0 || s->depth != s->kept_depth)
		return r;
	s->keeping = false;
	if (s->skipping) {
		s->too_large++;
		return 0;
	}
	s->bytes[s->len] = '\0';
	return s->part(s->ctx, s->kept, s->bytes, s->len);
}

static int in_string(struct wv_kube_split *s, char c)
{
	if (s->escaped)
		s->escaped = false;
	else if (c == '\\')
		s->escaped = true;
	else if (c == '"')
		s->string = false;
	if (s->string && s->depth == 1 && s->key_len < sizeof(s->key))
		s->key[s->key_len++] = c;
	return s->keeping ? keep(s, c) : 0;
}

static int take(struct wv_kube_split *s, char c)
{
	if (s->string)
		return in_string(s, c);
	switch (c) {
	case '{':
	case '[':
		return open_bracket(s, c);
	case '}':
	case ']':
		return close_bracket(s, c);
	case '"':
		if (s->depth == 1)
			s->key_len = 0;
		s->string = true;
		break;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		break;
	default:
		if ((unsigned char)c < ' ')
			return -EBADMSG;
		break;
	}
	/* between objects there is nothing but blanks */
	if (!s->depth && !strchr(" \t\r\n", c))
		return -EBADMSG;
	return s->keeping ? keep(s, c) : 0;
}

int wv_kube_split_feed(struct wv_kube_split *s, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int r = take(s, bytes[i]);

		if (r != 0)
			return r;
	}
	return 0;
}
