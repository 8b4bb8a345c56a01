// SPDX-License-Identifier: GPL-2.0-only
/*
 * user/evidence/lines.c: a line that was appended durably is there after any power cut, once and in
 * order; what the cut tore is gone, and nothing is there that nobody wrote.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"
#include "user/evidence/lines.h"

#define NAME "events.jsonl"
#define APPENDS 8
#define MAX (8U << 20)

static size_t line(uint64_t n, char *buf, size_t size)
{
	size_t len = (size_t)(n * 97 % 700), at;

	at = (size_t)snprintf(buf, size, "{\"seq\":%llu,\"text\":\"", (unsigned long long)n);
	for (size_t i = 0; i < len; i++)
		buf[at++] = (char)('a' + (i + n) % 26);
	at += (size_t)snprintf(buf + at, size - at, "\"}\n");
	return at;
}

static int open_lines(struct wv_sim *s, struct wv_lines *l)
{
	int dir = s->io.open(s->io.ctx, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0), r;

	if (dir < 0)
		return dir;
	r = wv_lines_open(l, &s->io, dir, NAME, 0640, NULL);
	if (r == 0) {
		r = wv_io_sync_dir(&s->io, dir);
		if (r < 0)
			wv_lines_close(l);
	}
	(void)s->io.close(s->io.ctx, dir);
	return r;
}

static void append(struct wv_sim *s, struct wv_lines *l, uint64_t n, bool durable)
{
	char buf[1024];
	size_t len = line(n, buf, sizeof(buf));

	wv_sim_try(s, "line", n);
	if (wv_lines_append(l, buf, len, durable) == 0 && durable)
		wv_sim_ack(s, "line", n);
}

static int run(struct wv_sim *s)
{
	struct wv_lines l;

	if (open_lines(s, &l) < 0)
		return 0;
	for (unsigned i = 0; i < APPENDS; i++)
		append(s, &l, wv_sim_greatest(s, "line", false) + 1, wv_sim_pick(s, 2));
	(void)wv_lines_sync(&l);
	wv_lines_close(&l);
	return 0;
}

/* Every line is one that was tried, each once and in order; every promised one is there. */
static int check_text(const struct wv_sim *s, const char *text, size_t len, char *why, size_t size)
{
	uint64_t last = 0, tried = wv_sim_greatest(s, "line", false);
	size_t at = 0;

	for (uint64_t n = 1; n <= tried; n++) {
		char buf[1024];
		size_t is = line(n, buf, sizeof(buf));

		if (at + is <= len && memcmp(text + at, buf, is) == 0) {
			at += is;
			last = n;
		} else if (wv_sim_told(s, "line", n, true)) {
			snprintf(why, size, "line %llu was promised and is not there after %llu",
				 (unsigned long long)n, (unsigned long long)last);
			return -1;
		}
	}
	if (at == len)
		return 0;
	snprintf(why, size, "%zu bytes after line %llu that nobody wrote", len - at,
		 (unsigned long long)last);
	return -1;
}

static int check(struct wv_sim *s, char *why, size_t size)
{
	struct wv_lines l;
	char *text;
	int r = open_lines(s, &l);

	if (r < 0) {
		snprintf(why, size, "cannot be opened: %s", strerror(-r));
		return -1;
	}
	text = calloc(1, MAX);
	r = text ? wv_lines_head(&l, text, l.len) : -ENOMEM;
	if (r == 0)
		r = check_text(s, text, l.len, why, size);
	else
		snprintf(why, size, "cannot be read: %s", strerror(-r));
	free(text);
	if (r == 0)
		append(s, &l, wv_sim_greatest(s, "line", false) + 1, true);
	wv_lines_close(&l);
	return r;
}

const struct wv_sim_scenario wv_sim_lines = {
	.name = "lines",
	.what = "user/evidence/lines.c: lines that were promised are there, torn ones are not",
	.run = run,
	.check = check,
	.finds = WV_SIM_FINDS(NO_FILE_SYNC) | WV_SIM_FINDS(NO_DIR_SYNC) | WV_SIM_FINDS(EARLY_ACK) |
		 WV_SIM_FINDS(NO_TRUNCATE),
};
