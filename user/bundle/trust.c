// SPDX-License-Identifier: GPL-2.0-only
/* Judging and taking; what is kept of it is trust_kept.c's. */
#include "user/bundle/trust_internal.h"

#include <errno.h>
#include <string.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"

/* Taking --------------------------------------------------------------------------------------
 */

int wv_trust_pin(const struct wv_io *io, const struct wv_paths *paths, const char *root, size_t len,
		 struct wv_manifest_error *error)
{
	_cleanup_free_ struct wv_root *first = calloc(1, sizeof(*first));
	_cleanup_free_ char *there = NULL;
	int dir, lock, r = first ? wv_root_open(NULL, root, len, first, error) : -ENOMEM;

	if (r < 0)
		return r;
	dir = wv_trust_open_dir(io, paths, true);
	if (dir < 0)
		return dir;
	lock = wv_trust_lock_dir(io, dir);
	r = lock < 0 ? lock : wv_io_read_file(io, dir, ROOT_FILE, WV_ROOT_MAX, &there, NULL);
	if (r == 0) {
		(void)wv_manifest_fail(error, "a root is pinned already; roots follow each other "
					      "by rotation only");
		r = -EEXIST;
	} else if (r == -ENOENT) {
		r = wv_io_replace(io, dir, ROOT_FILE, root, len, 0644);
	}
	if (lock >= 0)
		(void)io->close(io->ctx, lock);
	(void)io->close(io->ctx, dir);
	return r;
}

/* More signatures on it make no other root. */
static bool same_root(const struct wv_root *a, const struct wv_root *b)
{
	_cleanup_free_ char *ta = NULL, *tb = NULL;
	size_t na, nb;

	return wv_root_text(a, &ta, &na) == 0 && wv_root_text(b, &tb, &nb) == 0 && na == nb &&
	       memcmp(ta, tb, na) == 0;
}

static int update_root(struct wv_trust *t, const char *root, size_t len,
		       struct wv_manifest_error *error)
{
	_cleanup_free_ struct wv_root *given = calloc(1, sizeof(*given));
	int r = given ? wv_root_open(NULL, root, len, given, error) : -ENOMEM;

	if (r < 0)
		return r;
	if (given->version <= t->root.version) {
		if (same_root(given, &t->root))
			return 0;
		(void)wv_manifest_fail(error, "root %llu is in use, this is %llu",
				       (unsigned long long)t->root.version,
				       (unsigned long long)given->version);
		return -ESTALE;
	}
	r = wv_trust_take_root(t, &t->root, root, len, error);
	if (r < 0 || t->look)
		return r;
	r = wv_io_replace(t->io, t->dir, ROOT_FILE, root, len, 0644);
	return r < 0 ? r : wv_trust_read_index(t);
}

int wv_trust_update(struct wv_trust *t, const char *root, size_t len,
		    struct wv_manifest_error *error)
{
	int fd, r = wv_trust_begin_write(t, &fd);

	if (r == 0)
		r = update_root(t, root, len, error);
	wv_trust_end_write(t, fd);
	return r;
}

static int learn(struct wv_trust *t, enum wv_role role, uint64_t created_s)
{
	if (t->floor_s[role] >= created_s)
		return 0;
	t->floor_s[role] = created_s;
	return t->look ? 0 : wv_trust_write_floors(t);
}

int wv_trust_learn(struct wv_trust *t, const struct wv_manifest *m)
{
	enum wv_role role = (enum wv_role)m->kind;
	int fd, r;

	if (t->floor_s[role] >= m->created_s)
		return 0;
	r = wv_trust_begin_write(t, &fd);
	if (r == 0)
		r = learn(t, role, m->created_s);
	wv_trust_end_write(t, fd);
	return r;
}

/* Counters of one channel only go up. An entry may go away; what was installed of it still has a
 * counter of its own. */
static int check_counters(const struct wv_trust *t, const struct wv_bundle_index *next,
			  struct wv_manifest_error *error)
{
	for (unsigned i = 0; i < next->n; i++) {
		const struct wv_bundle_index_entry *e = &next->entries[i];
		const struct wv_bundle_index_entry *old =
			wv_bundle_index_find(&t->index, e->kind, e->name);

		if (!old || e->counter > old->counter ||
		    (e->counter == old->counter && strcmp(e->id, old->id) == 0))
			continue;
		(void)wv_manifest_fail(error, "index %llu takes %s %s from counter %llu to %llu%s",
				       (unsigned long long)next->version, wv_bundle_kinds[e->kind],
				       e->name, (unsigned long long)old->counter,
				       (unsigned long long)e->counter,
				       e->counter == old->counter ? ", another bundle" : "");
		return -ESTALE;
	}
	return 0;
}

static int judge_index(const struct wv_trust *t, const struct wv_bundle_index *next,
		       const char *sha256, const char *channel, uint64_t now_s,
		       struct wv_manifest_error *error)
{
	bool same_channel = t->index_sha256[0] && strcmp(t->index.channel, channel) == 0;

	if (strcmp(next->channel, channel) != 0) {
		(void)wv_manifest_fail(error, "it is the index of channel %s, not of %s",
				       next->channel, channel);
		return -EKEYREJECTED;
	}
	if (next->expires_s <= wv_trust_time_for(t, WV_ROLE_INDEX, now_s)) {
		(void)wv_manifest_fail(error, "index %llu has expired: no newer one is offered",
				       (unsigned long long)next->version);
		return -EKEYEXPIRED;
	}
	if (!same_channel)
		return 1;
	if (strcmp(sha256, t->index_sha256) == 0)
		return 0;
	if (next->version <= t->index.version) {
		(void)wv_manifest_fail(error, "index %llu was offered, %llu is in use%s",
				       (unsigned long long)next->version,
				       (unsigned long long)t->index.version,
				       next->version == t->index.version ? ", another one" : "");
		return -ESTALE;
	}
	return check_counters(t, next, error) ?: 1;
}

static int take_index(struct wv_trust *t, const char *text, size_t len, const char *channel,
		      uint64_t now_s, struct wv_manifest_error *error)
{
	struct wv_bundle_index next = {.n = 0};
	char sha256[WV_SHA256_HEX];
	int written, r = wv_trust_check_root(t, now_s, error);

	if (r == 0)
		r = wv_trust_open_index(t, text, len, &next, sha256, error);
	if (r < 0)
		return r;
	r = judge_index(t, &next, sha256, channel, now_s, error);
	written =
		r == 1 && !t->look ? wv_io_replace(t->io, t->dir, INDEX_FILE, text, len, 0644) : 0;
	if (written < 0)
		r = written;
	if (r != 1) {
		wv_bundle_index_done(&next);
		return r;
	}
	wv_trust_forget_index(t);
	t->index = next;
	memcpy(t->index_sha256, sha256, sizeof(sha256));
	r = learn(t, WV_ROLE_INDEX, next.created_s);
	return r < 0 ? r : 1;
}

int wv_trust_take_index(struct wv_trust *t, const char *text, size_t len, const char *channel,
			uint64_t now_s, struct wv_manifest_error *error)
{
	int fd, r;

	if (len > WV_BUNDLE_INDEX_MAX) {
		(void)wv_manifest_fail(error, "an index of %zu bytes", len);
		return -EFBIG;
	}
	r = wv_trust_begin_write(t, &fd);
	if (r == 0)
		r = take_index(t, text, len, channel, now_s, error);
	wv_trust_end_write(t, fd);
	return r;
}

/* Judging ------------------------------------------------------------------------------------ */

const struct wv_bundle_index *wv_trust_index(const struct wv_trust *t)
{
	return t->index_sha256[0] ? &t->index : NULL;
}

const struct wv_root *wv_trust_root(const struct wv_trust *t)
{
	return &t->root;
}

int wv_trust_check_root(const struct wv_trust *t, uint64_t now_s, struct wv_manifest_error *error)
{
	if (t->root.expires_s > wv_trust_time_for(t, WV_ROLE_ROOT, now_s))
		return 0;
	(void)wv_manifest_fail(error, "root %llu has expired; the next one must be brought first",
			       (unsigned long long)t->root.version);
	return -EKEYEXPIRED;
}

static int check_against_index(const struct wv_trust *t, const struct wv_manifest *m,
			       struct wv_manifest_error *error)
{
	const struct wv_bundle_index_entry *e = wv_bundle_index_find(&t->index, m->kind, m->name);

	if (!e || m->counter > e->counter)
		return 0;
	if (m->counter == e->counter && strcmp(m->id, e->id) == 0)
		return 0;
	(void)wv_manifest_fail(error, "index %llu names counter %llu of %s %s, this is %llu%s",
			       (unsigned long long)t->index.version, (unsigned long long)e->counter,
			       wv_bundle_kinds[m->kind], m->name, (unsigned long long)m->counter,
			       m->counter == e->counter ? ", another bundle" : "");
	return -ESTALE;
}

int wv_trust_check(struct wv_trust *t, const struct wv_manifest *m, const struct wv_dsse *d,
		   uint64_t now_s, struct wv_manifest_error *error)
{
	enum wv_role role = (enum wv_role)m->kind;
	int r = wv_root_check(&t->root, role, d, WV_TYPE_MANIFEST, m->text, m->text_len, error);

	if (r == 0)
		r = wv_trust_check_root(t, now_s, error);
	if (r < 0)
		return r;
	if (m->expires_s <= wv_trust_time_for(t, role, now_s)) {
		(void)wv_manifest_fail(error, "%s %s %s has expired", wv_bundle_kinds[m->kind],
				       m->name, m->version);
		return -EKEYEXPIRED;
	}
	return check_against_index(t, m, error);
}
