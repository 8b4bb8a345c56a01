// SPDX-License-Identifier: GPL-2.0-only
/* wv_io_replace(): after any power cut the file is the old or the new one, and new once it said so.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"

#define VERSIONS 3
#define NAME "state.json"
#define MAX 65536

/* Content of version n: its length depends on it, so that a mix of two is neither. */
static size_t content(uint64_t n, char *buf, size_t size)
{
	size_t len = 40 + (size_t)(n * 611 % 1100), at = 0;

	at += (size_t)snprintf(buf, size, "{\"version\": %llu, \"text\": \"",
			       (unsigned long long)n);
	for (; at < len; at++)
		buf[at] = (char)('a' + (at + n) % 26);
	at += (size_t)snprintf(buf + at, size - at, "\"}\n");
	return at;
}

static int open_root(struct wv_sim *s)
{
	return s->io.open(s->io.ctx, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
}

static int replace_with(struct wv_sim *s, uint64_t n)
{
	char buf[4096];
	size_t len = content(n, buf, sizeof(buf));
	int dir = open_root(s), r;

	if (dir < 0)
		return dir;
	wv_sim_try(s, "version", n);
	r = wv_io_replace(&s->io, dir, NAME, buf, len, 0640);
	if (r == 0)
		wv_sim_ack(s, "version", n);
	(void)s->io.close(s->io.ctx, dir);
	return 0;
}

static int setup(struct wv_sim *s)
{
	return replace_with(s, 1 + wv_sim_pick(s, 1000));
}

static int run(struct wv_sim *s)
{
	uint64_t n = wv_sim_greatest(s, "version", true);

	for (int i = 1; i <= VERSIONS; i++)
		(void)replace_with(s, n + (uint64_t)i);
	return 0;
}

static int check(struct wv_sim *s, char *why, size_t size)
{
	uint64_t promised = wv_sim_greatest(s, "version", true);
	uint64_t tried = wv_sim_greatest(s, "version", false);
	char *text = NULL, buf[4096];
	int dir = open_root(s), r;
	size_t len;

	r = dir < 0 ? dir : wv_io_read_file(&s->io, dir, NAME, MAX, &text, &len);
	if (dir >= 0)
		(void)s->io.close(s->io.ctx, dir);
	if (r < 0) {
		snprintf(why, size, "cannot be read: %s", strerror(-r));
		return -1;
	}
	r = -1;
	for (uint64_t n = promised; n <= tried; n++)
		if (content(n, buf, sizeof(buf)) == len && memcmp(buf, text, len) == 0)
			r = 0;
	if (r < 0)
		snprintf(why, size, "%zu bytes are no version from %llu to %llu", len,
			 (unsigned long long)promised, (unsigned long long)tried);
	free(text);
	if (r == 0)
		(void)replace_with(s, tried + 1);
	return r;
}

const struct wv_sim_scenario wv_sim_replace = {
	.name = "replace",
	.what = "wv_io_replace: a file is the old or the new one",
	.setup = setup,
	.run = run,
	.check = check,
	.finds = WV_SIM_FINDS(NO_FILE_SYNC) | WV_SIM_FINDS(NO_DIR_SYNC) |
		 WV_SIM_FINDS(EARLY_RENAME) | WV_SIM_FINDS(EARLY_ACK),
	.garbage = true,
};
