// SPDX-License-Identifier: GPL-2.0-only
/*
 * Retention and legal holds of the log. After any power cut the log opens; what is missing was old
 * enough to be retired and not under a hold that was promised, and the log tells of it; holds that
 * were promised are in force; lines that are left fit their leaves, and the tree is that of all
 * leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"
#include "user/core/log.h"
#include "user/evidence/retain.h"

#define STATE "/simulated"
#define DEEDS 7
#define KEEP_BYTES 1500
#define HOLDS 8

/* The content follows from the seq. */
static ssize_t compose(void *ctx, uint64_t seq, char *buf, size_t room)
{
	size_t fill = (size_t)(seq * 131 % 200), at;

	(void)ctx;
	at = (size_t)snprintf(buf, room, "{\"seq\":%llu,\"text\":\"", (unsigned long long)seq);
	for (size_t i = 0; i < fill; i++)
		buf[at++] = (char)('a' + (i + seq) % 26);
	at += (size_t)snprintf(buf + at, room - at, "\"}");
	return (ssize_t)at;
}

static int append(struct wv_sim *s, struct wv_tlog *l)
{
	uint64_t seq = 0;
	int r = wv_tlog_append(l, compose, NULL, &seq);

	r = r ?: wv_tlog_commit(l);
	if (r == 0)
		wv_sim_ack(s, "record", seq);
	return r;
}

static const char *hold_name(uint64_t n, char buf[32])
{
	snprintf(buf, 32, "hold-%llu", (unsigned long long)n);
	return buf;
}

/*
 * A hold is of the newest record, which no retention has taken: its own record may be in the next
 * segment, and must be written again before that goes. It is told as its number and the first seq
 * in one.
 */
#define HELD 1
static uint64_t hold_of(uint64_t n, uint64_t first)
{
	return n * 100000 + first;
}

static void hold(struct wv_sim *s, struct wv_tlog *l)
{
	uint64_t n = wv_sim_greatest(s, "hold", false) / 100000 + 1, size = wv_tlog_size(l);
	uint64_t first = size;
	char name[32];

	if (n > HOLDS || !size)
		return;
	wv_sim_try(s, "hold", hold_of(n, first));
	if (wv_hold_place(l, &s->io, STATE, hold_name(n, name), first, first + HELD - 1, "court") ==
	    0)
		wv_sim_ack(s, "hold", hold_of(n, first));
}

static void release(struct wv_sim *s, struct wv_tlog *l)
{
	uint64_t n = wv_sim_greatest(s, "release", false) + 1;
	char name[32];

	if (n > wv_sim_greatest(s, "hold", true) / 100000)
		return;
	wv_sim_try(s, "release", n);
	(void)wv_hold_release(l, &s->io, STATE, hold_name(n, name), "over");
}

static void retain(struct wv_sim *s, struct wv_tlog *l)
{
	struct wv_retention policy = {.keep_bytes = KEEP_BYTES};

	wv_sim_try(s, "retain", 1);
	(void)wv_tlog_retain(l, &s->io, STATE, &policy, NULL);
}

static void work(struct wv_sim *s, struct wv_tlog *l, unsigned deeds)
{
	for (unsigned i = 0; i < deeds; i++)
		switch (wv_sim_pick(s, 8)) {
		case 0:
			hold(s, l);
			break;
		case 1:
			release(s, l);
			break;
		case 2:
		case 3:
			retain(s, l);
			break;
		default:
			for (unsigned k = 0; k < 3; k++)
				(void)append(s, l);
		}
}

static int open_log(struct wv_sim *s, struct wv_tlog **ret)
{
	struct wv_tlog_options o = {.segment_bytes = 500,
				    .compress_level = wv_sim_pick(s, 2) ? 3 : 0};

	return wv_tlog_open(ret, &s->io, STATE, &o, NULL);
}

static int setup(struct wv_sim *s)
{
	struct wv_tlog *l;
	int r;

	wv_log_init(WV_LOG_TEXT, LOG_EMERG);
	r = open_log(s, &l);
	if (r < 0)
		return r;
	work(s, l, 16 + (unsigned)wv_sim_pick(s, 16));
	wv_tlog_close(l);
	return 0;
}

static int run(struct wv_sim *s)
{
	struct wv_tlog *l;

	if (open_log(s, &l) < 0)
		return 0;
	work(s, l, DEEDS);
	wv_tlog_close(l);
	return 0;
}

/* Under a hold that was promised and that nobody tried to release. */
static bool is_held(const struct wv_sim *s, uint64_t seq)
{
	for (size_t i = 0; i < s->n_facts; i++) {
		const struct wv_sim_fact *f = &s->facts[i];
		uint64_t first = f->n % 100000;

		if (f->acked && strcmp(f->what, "hold") == 0 && first <= seq &&
		    seq < first + HELD && !wv_sim_told(s, "release", f->n / 100000, false))
			return true;
	}
	return false;
}

/* Position of the last fact of that kind; 0 if there is none. */
static size_t last_told(const struct wv_sim *s, const char *what, uint64_t n)
{
	for (size_t i = s->n_facts; i-- > 0;)
		if (s->facts[i].n == n && strcmp(s->facts[i].what, what) == 0)
			return i + 1;
	return 0;
}

/* Told before a retention, and not held. What was not told is of the log itself. The log says so:
 * `evidence verify` takes what is missing otherwise for removed by somebody. */
static bool may_be_missing(const struct wv_sim *s, const struct wv_holds *h, uint64_t seq)
{
	bool told = false;

	for (size_t i = 0; i < h->told.n; i++)
		told |= h->told.list[i].first <= seq && seq <= h->told.list[i].last;
	if (!told)
		return false;
	return last_told(s, "record", seq) < last_told(s, "retain", 1) && !is_held(s, seq);
}

static int check_lines(struct wv_sim *s, struct wv_tlog *l, uint64_t *ret_last, char *why,
		       size_t size)
{
	struct wv_tlog_reader *reader;
	struct wv_holds h = {0};
	uint64_t seq, last = 0;
	const char *line;
	size_t len;
	int r = wv_holds_read(&s->io, STATE, &h);

	if (r == 0)
		r = wv_tlog_read_open(&reader, &s->io, STATE, 1);
	while (r >= 0 && (r = wv_tlog_read(reader, &seq, &line, &len)) == 1) {
		struct wv_hash leaf, stored;
		char want[512];

		for (last++; last < seq && may_be_missing(s, &h, last);)
			last++;
		if (last != seq) {
			snprintf(why, size, "record %llu is missing, the next one is %llu",
				 (unsigned long long)last, (unsigned long long)seq);
			r = -1;
			break;
		}
		wv_merkle_leaf(line, len, &leaf);
		if (wv_tlog_leaves(l, seq - 1, 1, &stored) < 0 ||
		    memcmp(&leaf, &stored, sizeof(leaf)) != 0 ||
		    (wv_sim_told(s, "record", seq, true) &&
		     (compose(NULL, seq, want, sizeof(want)) != (ssize_t)len ||
		      memcmp(want, line, len) != 0))) {
			snprintf(why, size, "record %llu is another one: %.60s",
				 (unsigned long long)seq, line);
			r = -1;
			break;
		}
	}
	if (r < 0 && !why[0])
		snprintf(why, size, "cannot be read after %llu: %s", (unsigned long long)last,
			 strerror(-r));
	if (r >= 0 || why[0])
		wv_tlog_read_close(reader);
	wv_holds_done(&h);
	*ret_last = last;
	return r < 0 ? -1 : 0;
}

static int check_holds(struct wv_sim *s, char *why, size_t size)
{
	struct wv_holds h;
	int r = wv_holds_read(&s->io, STATE, &h);

	if (r < 0) {
		snprintf(why, size, "holds cannot be read: %s", strerror(-r));
		return -1;
	}
	for (size_t i = 0; r == 0 && i < s->n_facts; i++) {
		uint64_t n = s->facts[i].n / 100000;
		char name[32];
		bool found = false;

		if (!s->facts[i].acked || strcmp(s->facts[i].what, "hold") != 0 ||
		    wv_sim_told(s, "release", n, false))
			continue;
		for (size_t k = 0; k < h.n; k++)
			found |= strcmp(h.holds[k].name, hold_name(n, name)) == 0;
		if (!found) {
			snprintf(why, size, "hold %llu was promised and is not in force",
				 (unsigned long long)n);
			r = -1;
		}
	}
	wv_holds_done(&h);
	return r;
}

static int check(struct wv_sim *s, char *why, size_t size)
{
	uint64_t last = 0, head = 0, promised = wv_sim_greatest(s, "record", true);
	struct wv_hash root, mine;
	struct wv_tlog *l;
	int r = open_log(s, &l);

	if (r < 0) {
		snprintf(why, size, "cannot be opened: %s", strerror(-r));
		return -1;
	}
	r = check_lines(s, l, &last, why, size);
	if (r == 0 && (wv_tlog_head(l, &head, &root) < 0 || head != last || last < promised ||
		       wv_merkle_root_of(wv_tlog_leaves, l, head, &mine) < 0 ||
		       memcmp(&root, &mine, sizeof(root)) != 0)) {
		snprintf(why, size, "%llu lines, %llu leaves, %llu promised, or another root",
			 (unsigned long long)last, (unsigned long long)head,
			 (unsigned long long)promised);
		r = -1;
	}
	r = r ?: check_holds(s, why, size);
	if (r == 0)
		work(s, l, 2);
	wv_tlog_close(l);
	return r;
}

const struct wv_sim_scenario wv_sim_retain = {
	.name = "retain",
	.what = "retention of the log, and legal holds",
	.setup = setup,
	.run = run,
	.check = check,
	.finds = WV_SIM_FINDS(NO_FILE_SYNC) | WV_SIM_FINDS(NO_DIR_SYNC) | WV_SIM_FINDS(EARLY_ACK),
};
