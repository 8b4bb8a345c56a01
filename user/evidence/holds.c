// SPDX-License-Identifier: GPL-2.0-only
/*
 * Legal holds, and what was retired, as a fold over the log. `holds.json` beside the segments has
 * the result up to a seq, so that only newer records are read; without it the whole log is read
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/event.h"
#include "user/evidence/retain.h"
#include "user/evidence/tlog_internal.h"

#define CACHE_NAME "holds.json"
#define CACHE_MAX (4U << 20)
#define RETIRED_MAX 4096 /* a crash leaves one; the rest is a guard */

void wv_holds_done(struct wv_holds *h)
{
	free(h->holds);
	free(h->retired);
	wv_told_done(&h->told);
	*h = (struct wv_holds){0};
}

const struct wv_hold *wv_holds_find(const struct wv_holds *h, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->holds[i].first <= last && (!h->holds[i].last || h->holds[i].last >= first))
			return &h->holds[i];
	return NULL;
}

static struct wv_hold *named(const struct wv_holds *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->holds[i].name, name) == 0)
			return &h->holds[i];
	return NULL;
}

static uint64_t get_u64(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static const char *get_text(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}

static int add_hold(struct wv_holds *h, struct json_object *o)
{
	struct wv_hold *hold = named(h, get_text(o, "hold"));

	if (!hold) {
		if (h->n == WV_HOLDS_MAX)
			return -ENOSPC;
		hold = realloc(h->holds, (h->n + 1) * sizeof(*hold));
		if (!hold)
			return -ENOMEM;
		h->holds = hold;
		hold = &h->holds[h->n++];
	}
	*hold = (struct wv_hold){.first = get_u64(o, "first"),
				 .last = get_u64(o, "last"),
				 .seq = get_u64(o, "seq"),
				 .wall_ns = get_u64(o, "wall_ns")};
	snprintf(hold->name, sizeof(hold->name), "%s", get_text(o, "hold"));
	snprintf(hold->reason, sizeof(hold->reason), "%s", get_text(o, "reason"));
	return 0;
}

static void drop_hold(struct wv_holds *h, const char *name)
{
	struct wv_hold *hold = named(h, name);

	if (hold)
		*hold = h->holds[--h->n];
}

static int add_retired(struct wv_holds *h, struct json_object *o)
{
	struct wv_segment *s;

	if (h->n_retired == RETIRED_MAX)
		return 0;
	s = realloc(h->retired, (h->n_retired + 1) * sizeof(*s));
	if (!s)
		return -ENOMEM;
	h->retired = s;
	h->retired[h->n_retired++] =
		(struct wv_segment){.first = get_u64(o, "first"), .last = get_u64(o, "last")};
	return 0;
}

static int fold(struct wv_holds *h, const char *line)
{
	struct json_object *o;
	const char *type;
	int r = 0;

	/* most lines are none of these: they are not parsed */
	if (!strstr(line, "\"type\":\"hold-") && !strstr(line, "\"type\":\"segment-retired\"") &&
	    !strstr(line, "\"type\":\"segments-retired\""))
		return 0;
	o = json_tokener_parse(line);
	type = get_text(o, "type");
	if (strcmp(type, "hold-placed") == 0)
		r = add_hold(h, o);
	else if (strcmp(type, "hold-released") == 0)
		drop_hold(h, get_text(o, "hold"));
	else if (strcmp(type, "segment-retired") == 0)
		r = add_retired(h, o) ?: wv_told_add(&h->told, o);
	else if (strcmp(type, "segments-retired") == 0)
		r = wv_told_add(&h->told, o);
	json_object_put(o);
	return r;
}

static void load_cache(const struct wv_io *io, int dirfd, struct wv_holds *h)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o, *list, *told;

	if (wv_io_read_file(io, dirfd, CACHE_NAME, CACHE_MAX, &text, NULL) < 0)
		return;
	o = json_tokener_parse(text);
	/* of a version that did not keep these: the log has them */
	if (!json_object_object_get_ex(o, "told", &told)) {
		json_object_put(o);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(told); i++)
		if (wv_told_add(&h->told, json_object_array_get_idx(told, i)) < 0)
			break;
	if (json_object_object_get_ex(o, "holds", &list))
		for (size_t i = 0; i < json_object_array_length(list); i++)
			if (add_hold(h, json_object_array_get_idx(list, i)) < 0)
				break;
	if (json_object_object_get_ex(o, "retired", &list))
		for (size_t i = 0; i < json_object_array_length(list); i++)
			if (add_retired(h, json_object_array_get_idx(list, i)) < 0)
				break;
	h->through = get_u64(o, "through");
	json_object_put(o);
}

static struct json_object *hold_json(const struct wv_hold *hold)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "hold", json_object_new_string(hold->name));
	json_object_object_add(o, "first", json_object_new_uint64(hold->first));
	json_object_object_add(o, "last", json_object_new_uint64(hold->last));
	json_object_object_add(o, "reason", json_object_new_string(hold->reason));
	return o;
}

/* It can be made again: what fails here fails for nobody. */
static void save_cache(const struct wv_io *io, int dirfd, const struct wv_holds *h)
{
	struct json_object *o = json_object_new_object(), *holds = json_object_new_array(),
			   *retired = json_object_new_array(), *told = json_object_new_array(), *e;
	const char *text;

	for (size_t i = 0; i < h->n; i++) {
		e = hold_json(&h->holds[i]);
		json_object_object_add(e, "seq", json_object_new_uint64(h->holds[i].seq));
		json_object_object_add(e, "wall_ns", json_object_new_uint64(h->holds[i].wall_ns));
		json_object_array_add(holds, e);
	}
	for (size_t i = 0; i < h->n_retired; i++) {
		e = json_object_new_object();
		json_object_object_add(e, "first", json_object_new_uint64(h->retired[i].first));
		json_object_object_add(e, "last", json_object_new_uint64(h->retired[i].last));
		json_object_array_add(retired, e);
	}
	for (size_t i = 0; i < h->told.n; i++) {
		e = wv_told_json(&h->told.list[i]);
		json_object_object_add(e, "seq", json_object_new_uint64(h->told.list[i].seq));
		json_object_array_add(told, e);
	}
	json_object_object_add(o, "through", json_object_new_uint64(h->through));
	json_object_object_add(o, "holds", holds);
	json_object_object_add(o, "retired", retired);
	json_object_object_add(o, "told", told);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (text)
		(void)wv_io_replace(io, dirfd, CACHE_NAME, text, strlen(text), WV_TLOG_MODE);
	json_object_put(o);
}

/* Retired ranges whose files are gone need no more thought. */
static int forget_retired(const struct wv_io *io, int dirfd, struct wv_holds *h)
{
	_cleanup_free_ struct wv_segment *s = NULL;
	size_t n, k = 0;
	int r = wv_segments_list(io, dirfd, &s, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < h->n_retired; i++)
		for (size_t j = 0; j < n; j++)
			if (s[j].first == h->retired[i].first && s[j].last == h->retired[i].last) {
				h->retired[k++] = s[j];
				break;
			}
	h->n_retired = k;
	return 0;
}

static int fold_from(const struct wv_io *io, const char *state, struct wv_holds *h)
{
	struct wv_tlog_reader *reader;
	const char *line;
	uint64_t seq;
	size_t len;
	int r = wv_tlog_read_open(&reader, io, state, h->through + 1);

	if (r < 0)
		return r;
	while ((r = wv_tlog_read(reader, &seq, &line, &len)) == 1) {
		r = fold(h, line);
		if (r < 0)
			break;
		h->through = seq;
	}
	wv_tlog_read_close(reader);
	return r;
}

int wv_holds_read(const struct wv_io *io, const char *state, struct wv_holds *ret)
{
	struct wv_holds h = {0};
	char path[WV_PATH_SIZE + 16];
	uint64_t had;
	int dirfd, r;

	if (snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER, state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	dirfd = io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (dirfd < 0)
		return dirfd;
	load_cache(io, dirfd, &h);
	had = h.through;
	r = fold_from(io, state, &h);
	if (r == 0)
		r = forget_retired(io, dirfd, &h);
	if (r == 0 && h.through > had)
		save_cache(io, dirfd, &h);
	(void)io->close(io->ctx, dirfd);
	if (r < 0) {
		wv_holds_done(&h);
		return r;
	}
	*ret = h;
	return 0;
}

static bool is_fit(const char *text, size_t size)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return len > 0 && len < size;
}

int wv_hold_place(struct wv_tlog *l, const struct wv_io *io, const char *state, const char *name,
		  uint64_t first, uint64_t last, const char *reason)
{
	struct wv_hold hold = {.first = first ?: 1, .last = last};
	struct wv_holds h = {0};
	int r;

	if (!is_fit(name, sizeof(hold.name)) || !is_fit(reason, sizeof(hold.reason)) ||
	    (last && last < hold.first))
		return -EINVAL;
	snprintf(hold.name, sizeof(hold.name), "%s", name);
	snprintf(hold.reason, sizeof(hold.reason), "%s", reason);
	r = wv_tlog_lock(l);
	if (r < 0)
		return r;
	r = wv_holds_read(io, state, &h);
	if (r == 0 && named(&h, name))
		r = -EEXIST;
	if (r == 0 && h.n == WV_HOLDS_MAX)
		r = -ENOSPC;
	if (r == 0)
		r = wv_event(l, io, "", "hold-placed", hold_json(&hold), true, NULL);
	wv_holds_done(&h);
	wv_tlog_unlock(l);
	return r;
}

int wv_hold_release(struct wv_tlog *l, const struct wv_io *io, const char *state, const char *name,
		    const char *reason)
{
	struct wv_holds h = {0};
	struct json_object *o;
	int r;

	if (!is_fit(reason, WV_HOLD_REASON_SIZE))
		return -EINVAL;
	r = wv_tlog_lock(l);
	if (r < 0)
		return r;
	r = wv_holds_read(io, state, &h);
	if (r == 0 && !named(&h, name))
		r = -ENOENT;
	if (r == 0) {
		o = json_object_new_object();
		json_object_object_add(o, "hold", json_object_new_string(name));
		json_object_object_add(o, "reason", json_object_new_string(reason));
		r = wv_event(l, io, "", "hold-released", o, true, NULL);
	}
	wv_holds_done(&h);
	wv_tlog_unlock(l);
	return r;
}
