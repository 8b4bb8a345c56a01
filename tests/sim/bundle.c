// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a bundle: stage, activate, confirm, roll back, collect, with recovery at every start.
 * After any power cut recovery succeeds, what is active is the bundle from before the deed under
 * way or the one after it, it is whole byte by byte, and so is everything that was staged and not
 * collected; the counter that bars rollbacks never falls.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"
#include "user/bundle/lifecycle.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

#define STATE "/simulated/waveos"
#define KIND WV_BUNDLE_APP
#define NAME "web"
#define DEEDS 7
#define FILES 3
#define BUNDLES 16 /* that one machine meets at most */

static struct wv_paths paths = {.state = STATE};

/* Bundles in memory, made once: the n-th has counter n. */
static struct made {
	struct wv_manifest m;
	char texts[FILES][1600];
	unsigned at;
	size_t off;
} made[BUNDLES + 1];

static const char *const names[FILES] = {"LICENSE", "bin/web", "etc/web.conf"};

static void make_text(char *buf, size_t size, unsigned file, uint64_t n)
{
	/* the license is the same in all of them */
	size_t len = file == 0 ? 200 : file == 1 ? 700 + (size_t)n * 53 % 700 : 40, at;

	at = (size_t)snprintf(buf, size, "%s of %llu\n", names[file],
			      (unsigned long long)(file ? n : 0));
	for (; at < len; at++)
		buf[at] = (char)('a' + (at + n * file) % 26);
	buf[at] = '\0';
}

static int make_bundle(struct made *b, uint64_t n)
{
	static char *devices[] = {(char *)"*", NULL}, *environments[] = {(char *)"prod", NULL};
	struct wv_bundle_file list[FILES] = {0};
	struct wv_manifest m = {.kind = KIND,
				.name = NAME,
				.counter = n,
				.created_s = 1700000000,
				.expires_s = 1800000000,
				.devices = devices,
				.environments = environments,
				.files = list,
				.n_files = FILES,
				.trial_ns = 10000000000ULL,
				.trial_boots = 100};
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	snprintf(m.version, sizeof(m.version), "1.0.%llu", (unsigned long long)n);
	for (unsigned i = 0; i < FILES; i++) {
		make_text(b->texts[i], sizeof(b->texts[i]), i, n);
		snprintf(list[i].path, sizeof(list[i].path), "%s", names[i]);
		wv_sha256_hex(b->texts[i], strlen(b->texts[i]), list[i].sha256);
		list[i].size = strlen(b->texts[i]);
		list[i].mode = i == 1 ? 0755 : 0644;
	}
	r = wv_manifest_text(&m, &text, &len);
	r = r ?: wv_manifest_parse(text, len, &b->m, &error);
	if (r < 0)
		fprintf(stderr, "bundle: %s\n", error.text);
	return r;
}

static struct made *get_bundle(uint64_t n)
{
	if (n < 1 || n > BUNDLES || (!made[n].m.counter && make_bundle(&made[n], n) < 0))
		abort();
	return &made[n];
}

static uint64_t counter_of(const char *id)
{
	for (uint64_t n = 1; n <= BUNDLES; n++)
		if (strcmp(get_bundle(n)->m.id, id) == 0)
			return n;
	return 0;
}

static int next(void *ctx, const struct wv_bundle_file **ret)
{
	struct made *b = ctx;

	if (b->at == FILES)
		return 0;
	*ret = &b->m.files[b->at++];
	b->off = 0;
	return 1;
}

static ssize_t give(void *ctx, void *buf, size_t size)
{
	struct made *b = ctx;
	const char *text = b->texts[b->at - 1] + b->off;
	size_t n = strlen(text) < size ? strlen(text) : size;

	n = n < 600 ? n : 600; /* several reads a file */
	memcpy(buf, text, n);
	b->off += n;
	return (ssize_t)n;
}

/* What is to be active after the deed; told with the number of the deed before it, so that what was
 * told later is greater. */
static uint64_t expect(uint64_t deed, uint64_t counter)
{
	return deed * 100 + counter;
}

static uint64_t active_now(const struct wv_bundles *b)
{
	const struct wv_bundle_entry *e = wv_bundle_active(wv_bundle_slot(&b->states, KIND, NAME));

	return e ? e->counter : 0;
}

static uint64_t good_now(const struct wv_bundles *b)
{
	const struct wv_bundle_slot *slot = wv_bundle_slot(&b->states, KIND, NAME);
	const struct wv_bundle_entry *e = slot ? wv_bundle_good(slot) : NULL;

	return e ? e->counter : 0;
}

static int stage(struct wv_sim *s, struct wv_bundles *b, uint64_t n)
{
	struct made *m = get_bundle(n);
	struct wv_store_source from = {.manifest = &m->m,
				       .signatures = "{\"signatures\":[]}",
				       .signatures_len = 17,
				       .next = next,
				       .read = give,
				       .ctx = m};
	struct wv_store_staged staged;
	int r;

	m->at = 0;
	wv_sim_try(s, "staged", n);
	r = wv_bundles_stage(b, &from, &staged);
	if (r == 0)
		wv_sim_ack(s, "staged", n);
	return r;
}

/* A deed that changes what is active, or leaves it as it is. */
static int switching(struct wv_sim *s, struct wv_bundles *b, uint64_t deed, uint64_t pick)
{
	uint64_t staged = wv_sim_greatest(s, "staged", true), was = active_now(b);
	bool trial = wv_bundle_in(wv_bundle_slot(&b->states, KIND, NAME), WV_BUNDLE_TRIAL) != NULL;
	uint64_t to = pick == 0 && trial ? was : pick == 0 ? staged : good_now(b);
	int r;

	wv_sim_try(s, "active", expect(deed, to));
	if (pick)
		r = wv_bundles_roll_back(b, KIND, NAME, "by hand", false);
	else if (trial)
		r = wv_bundles_confirm(b, KIND, NAME, "by hand");
	else
		r = wv_bundles_activate(b, KIND, NAME, get_bundle(staged)->m.id);
	if (r == 0)
		wv_sim_ack(s, "active", expect(deed, to));
	return r;
}

/* Something that can be done now. A failure makes the caller open it anew, as the interface wants.
 */
static int do_something(struct wv_sim *s, struct wv_bundles *b)
{
	uint64_t tried = wv_sim_greatest(s, "staged", false);
	uint64_t deed = wv_sim_greatest(s, "active", false) / 100 + 1;
	bool newer = wv_sim_greatest(s, "staged", true) > active_now(b);
	bool trial = wv_bundle_in(wv_bundle_slot(&b->states, KIND, NAME), WV_BUNDLE_TRIAL) != NULL;

	switch (wv_sim_pick(s, 8)) {
	case 0:
	case 1:
		if (tried < BUNDLES && !newer)
			return stage(s, b, tried + 1);
		/* fall through */
	case 2:
	case 3:
	case 4:
		return newer || trial	 ? switching(s, b, deed, 0)
		       : tried < BUNDLES ? stage(s, b, tried + 1)
					 : 0;
	case 5:
		return active_now(b) ? switching(s, b, deed, 1) : 0;
	case 6:
		wv_sim_try(s, "collect", tried);
		return wv_bundles_collect(b, false, NULL, NULL);
	default:
		return wv_bundles_snapshot(b);
	}
}

static int open_bundles(struct wv_sim *s, struct wv_bundles *b)
{
	int r = wv_bundle_recover(&s->io, &paths, NULL);

	return r ?: wv_bundles_open(b, &s->io, &paths, "", true);
}

static int work(struct wv_sim *s, unsigned deeds)
{
	struct wv_bundles b;
	bool open = false;

	for (unsigned i = 0; i < deeds; i++) {
		if (!open && open_bundles(s, &b) < 0)
			continue;
		open = do_something(s, &b) == 0 && wv_sim_pick(s, 4);
		if (!open)
			wv_bundles_close(&b);
	}
	if (open)
		wv_bundles_close(&b);
	return 0;
}

static int setup(struct wv_sim *s)
{
	wv_log_init(WV_LOG_TEXT, LOG_EMERG);
	/* the device's key: not what this is about */
	return work(s, (unsigned)wv_sim_pick(s, 8));
}

static int run(struct wv_sim *s)
{
	return work(s, DEEDS);
}

/* Its folder and every byte of it, read by hand. */
static bool is_whole(struct wv_sim *s, uint64_t n)
{
	const struct made *m = get_bundle(n);

	for (unsigned i = 0; i < FILES; i++) {
		_cleanup_free_ char *text = NULL;
		char path[512];
		size_t len;

		snprintf(path, sizeof(path), STATE "/bundles/%s/files/%s", m->m.id, names[i]);
		if (wv_io_read_file(&s->io, AT_FDCWD, path, 4096, &text, &len) < 0 ||
		    len != strlen(m->texts[i]) || memcmp(text, m->texts[i], len) != 0)
			return false;
	}
	return true;
}

static bool is_allowed(const struct wv_sim *s, uint64_t active)
{
	uint64_t promised = wv_sim_greatest(s, "active", true);

	if (promised % 100 == active)
		return true;
	for (size_t i = 0; i < s->n_facts; i++)
		if (!s->facts[i].acked && strcmp(s->facts[i].what, "active") == 0 &&
		    s->facts[i].n > promised && s->facts[i].n % 100 == active)
			return true;
	return false;
}

static int check_active(struct wv_sim *s, const struct wv_bundles *b, char *why, size_t size)
{
	char id[WV_SHA256_HEX] = "";
	uint64_t active = active_now(b), linked;
	int r = wv_store_current(&b->store, KIND, NAME, id);

	linked = r == 0 ? counter_of(id) : 0;
	if ((r < 0 && r != -ENOENT) || (r == 0 && !linked) || linked != active) {
		snprintf(why, size, "%llu is in use, the link (%s) leads to %llu",
			 (unsigned long long)active, strerror(-r), (unsigned long long)linked);
		return -1;
	}
	if (active && !is_whole(s, active)) {
		snprintf(why, size, "%llu is in use and not whole", (unsigned long long)active);
		return -1;
	}
	if (is_allowed(s, active))
		return 0;
	snprintf(why, size, "%llu is in use, %llu was promised", (unsigned long long)active,
		 (unsigned long long)wv_sim_greatest(s, "active", true) % 100);
	return -1;
}

static int check_staged(struct wv_sim *s, const struct wv_bundles *b, char *why, size_t size)
{
	const struct wv_bundle_slot *slot = wv_bundle_slot(&b->states, KIND, NAME);
	uint64_t highest = wv_sim_greatest(s, "staged", true);

	if (highest && (!slot || slot->highest < highest)) {
		snprintf(why, size, "counter %llu is not remembered", (unsigned long long)highest);
		return -1;
	}
	for (uint64_t n = wv_sim_greatest(s, "collect", false) + 1; n <= highest; n++)
		if (wv_sim_told(s, "staged", n, true) && !is_whole(s, n)) {
			snprintf(why, size, "%llu was staged and is not whole",
				 (unsigned long long)n);
			return -1;
		}
	return 0;
}

static int check(struct wv_sim *s, char *why, size_t size)
{
	struct wv_bundles b;
	int r;

	r = wv_bundle_recover(&s->io, &paths, "start");
	if (r < 0) {
		snprintf(why, size, "recovery fails: %s", strerror(-r));
		return -1;
	}
	r = wv_bundles_open(&b, &s->io, &paths, "", true);
	if (r < 0) {
		snprintf(why, size, "cannot be opened: %s", strerror(-r));
		return -1;
	}
	r = check_active(s, &b, why, size);
	r = r ?: check_staged(s, &b, why, size);
	if (r == 0)
		(void)do_something(s, &b);
	wv_bundles_close(&b);
	return r;
}

const struct wv_sim_scenario wv_sim_bundle = {
	.name = "bundle",
	.what = "bundles: stage, activate, confirm, roll back, collect, recovery",
	.setup = setup,
	.run = run,
	.check = check,
	/* a rename that comes too early does no harm here: what is under a name is hashed */
	.finds = WV_SIM_FINDS(NO_FILE_SYNC) | WV_SIM_FINDS(NO_DIR_SYNC) | WV_SIM_FINDS(EARLY_ACK),
};
