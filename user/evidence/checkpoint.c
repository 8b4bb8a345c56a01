// SPDX-License-Identifier: GPL-2.0-only
/* The text of a checkpoint: origin, size and root, each on a line (c2sp.org/tlog-checkpoint). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/evidence/note.h"

#define ROOT_LENGTH WV_BASE64_LENGTH(WV_HASH_SIZE)

int wv_checkpoint_text(const struct wv_checkpoint *c, char **ret)
{
	char root[ROOT_LENGTH + 1], *text;

	if (!c->origin[0] || strchr(c->origin, '\n'))
		return -EINVAL;
	wv_base64_encode(c->root.bytes, sizeof(c->root.bytes), root);
	if (asprintf(&text, "%s\n%" PRIu64 "\n%s\n", c->origin, c->size, root) < 0)
		return -ENOMEM;
	*ret = text;
	return 0;
}

/* Decimal without leading zeroes. */
static int parse_size(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i;

	if (!len || len > 20 || (s[0] == '0' && len > 1))
		return -EPROTO;
	for (i = 0; i < len; i++)
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return -EPROTO;
	*ret = v;
	return 0;
}

int wv_checkpoint_parse(const char *text, size_t len, struct wv_checkpoint *ret)
{
	const char *end = text + len, *line[3], *next;
	struct wv_checkpoint c = {0};
	size_t lens[3];
	int i;

	for (i = 0; i < 3; i++, text = next + 1) {
		next = memchr(text, '\n', (size_t)(end - text));
		if (!next || next == text)
			return -EPROTO;
		line[i] = text;
		lens[i] = (size_t)(next - text);
	}
	/* extension lines are not empty either */
	for (; text < end; text = next + 1) {
		next = memchr(text, '\n', (size_t)(end - text));
		if (!next || next == text)
			return -EPROTO;
	}
	if (lens[0] >= sizeof(c.origin) || memchr(line[0], '\0', lens[0]) ||
	    parse_size(line[1], lens[1], &c.size) < 0 ||
	    wv_base64_decode(line[2], lens[2], c.root.bytes, sizeof(c.root.bytes)) != WV_HASH_SIZE)
		return -EPROTO;
	memcpy(c.origin, line[0], lens[0]);
	*ret = c;
	return 0;
}
