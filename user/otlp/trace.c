// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/trace.h"

#include <stdio.h>
#include <stdlib.h>

#include "user/core/cleanup.h"

static void put_part(struct wv_otlp_part *p)
{
	json_object_put(p->attributes);
	*p = (struct wv_otlp_part){.open = false};
}

/* What is only needed until the root is sent. */
static void put_contents(struct wv_otlp_trace *x)
{
	for (unsigned i = 0; i < x->root.n_marks; i++)
		json_object_put(x->marks[i].attributes);
	x->root.n_marks = 0;
	json_object_put(x->root.attributes);
	x->root.attributes = NULL;
	put_part(&x->step);
	put_part(&x->phase);
}

static void forget(struct wv_otlp_tracker *t, unsigned i)
{
	put_contents(t->list[i]);
	free(t->list[i]);
	t->list[i] = t->list[--t->n];
}

struct wv_otlp_tracker *wv_otlp_tracker_new(void)
{
	return calloc(1, sizeof(struct wv_otlp_tracker));
}

void wv_otlp_tracker_free(struct wv_otlp_tracker *t)
{
	if (!t)
		return;
	while (t->n)
		forget(t, 0);
	free(t);
}

uint64_t wv_otlp_tracker_oldest(const struct wv_otlp_tracker *t, uint64_t none)
{
	uint64_t seq = none;

	for (unsigned i = 0; i < t->n; i++)
		if (!t->list[i]->over && t->list[i]->seq < seq)
			seq = t->list[i]->seq;
	return seq;
}

unsigned wv_otlp_tracker_open(const struct wv_otlp_tracker *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n; i++)
		n += !t->list[i]->over;
	return n;
}

struct wv_otlp_trace *wv_otlp_find(const struct wv_otlp_tracker *t, const char *key, bool over)
{
	for (unsigned i = 0; i < t->n; i++)
		if ((over || !t->list[i]->over) && strcmp(t->list[i]->key, key) == 0)
			return t->list[i];
	return NULL;
}

/* A place in the list: one that is over goes first, then the one that was quiet for longest. */
static void make_room(struct wv_otlp_tracker *t)
{
	unsigned at = 0;

	if (t->n < WV_OTLP_OPEN)
		return;
	for (unsigned i = 1; i < t->n; i++) {
		const struct wv_otlp_trace *x = t->list[i], *y = t->list[at];

		if (x->over != y->over ? x->over : x->number < y->number)
			at = i;
	}
	if (!t->list[at]->over)
		wv_otlp_abandon(t, t->list[at], "too many are open");
	forget(t, at);
}

static void forget_key(struct wv_otlp_tracker *t, const char *key)
{
	for (unsigned i = t->n; i-- > 0;) {
		if (strcmp(t->list[i]->key, key) != 0)
			continue;
		if (!t->list[i]->over)
			wv_otlp_abandon(t, t->list[i], "another one began");
		forget(t, i);
	}
}

void wv_otlp_put_text(struct json_object *to, const char *key, const char *text)
{
	if (text && *text)
		json_object_object_add(to, key, json_object_new_string(text));
}

void wv_otlp_copy(struct json_object *to, const struct wv_otlp_record *r, const char *const list[],
		  size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct json_object *v;
		char key[80];

		if (!json_object_object_get_ex(r->o, list[i], &v))
			continue;
		snprintf(key, sizeof(key), "waveos.%s", list[i]);
		json_object_object_add(to, key, json_object_get(v));
	}
}

struct wv_otlp_trace *wv_otlp_open(struct wv_otlp_tracker *t, const char *kind, const char *key,
				   const char *name, const struct wv_otlp_record *r)
{
	static const char *const common[] = {"run_id", "boot_id", "seq", "dry_run"};
	struct wv_otlp_trace *x;
	struct wv_trace_ids ids;

	forget_key(t, key);
	make_room(t);
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	snprintf(x->key, sizeof(x->key), "%s", key);
	snprintf(x->boot_id, sizeof(x->boot_id), "%s", r->boot_id);
	x->seq = r->seq;
	x->mono_ns = r->mono_ns;
	x->wall_ns = r->wall_ns;
	x->number = t->number;
	wv_trace_ids(kind, r->run_id, r->seq, &ids);
	memcpy(x->root.trace, ids.trace, sizeof(ids.trace));
	memcpy(x->root.id, ids.span, sizeof(ids.span));
	snprintf(x->root.name, sizeof(x->root.name), "%s", name);
	x->root.start_ns = wv_otlp_when(r);
	x->root.marks = x->marks;
	x->root.links = x->links;
	x->last_ns = x->root.start_ns;
	x->root.attributes = json_object_new_object();
	wv_otlp_copy(x->root.attributes, r, common, ARRAY_SIZE(common));
	wv_otlp_put_text(x->root.attributes, "waveos.trace", kind);
	t->list[t->n++] = x;
	return x;
}

uint64_t wv_otlp_time(const struct wv_otlp_trace *x, const struct wv_otlp_record *r)
{
	uint64_t when = wv_otlp_when(r);

	/* in one boot the clock that never jumps tells how far they are apart */
	if (strcmp(x->boot_id, r->boot_id) == 0)
		when += x->wall_ns + (r->mono_ns - x->mono_ns) - r->wall_ns;
	return when > x->root.start_ns ? when : x->root.start_ns;
}

void wv_otlp_mark(struct wv_otlp_trace *x, const struct wv_otlp_record *r, const char *name,
		  struct json_object *attributes)
{
	struct wv_otlp_mark *m = &x->marks[x->root.n_marks];

	if (x->over || x->root.n_marks == WV_OTLP_MARKS) {
		x->root.marks_dropped += !x->over;
		json_object_put(attributes);
		return;
	}
	m->time_ns = wv_otlp_time(x, r);
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->attributes = attributes;
	x->root.n_marks++;
}

void wv_otlp_link(struct wv_otlp_trace *x, const struct wv_trace_ids *to, const char *why)
{
	if (x->root.n_links < WV_OTLP_LINKS)
		x->links[x->root.n_links++] = (struct wv_otlp_link){*to, why};
}

void wv_otlp_part_begin(struct wv_otlp_tracker *t, struct wv_otlp_trace *x,
			struct wv_otlp_part *part, const char *name, const struct wv_otlp_record *r,
			struct json_object *attributes)
{
	if (part->open) {
		struct json_object *more = json_object_new_object();

		wv_otlp_put_text(more, "waveos.unfinished", "its end was not told");
		wv_otlp_part_end(t, x, part, wv_otlp_time(x, r), more, WV_OTLP_UNSET, NULL);
	}
	part->open = true;
	snprintf(part->name, sizeof(part->name), "%s", name);
	part->start_ns = wv_otlp_time(x, r);
	part->attributes = attributes ?: json_object_new_object();
	wv_span_id(x->root.trace, name, r->seq, part->id);
}

void wv_otlp_part_end(struct wv_otlp_tracker *t, struct wv_otlp_trace *x, struct wv_otlp_part *part,
		      uint64_t end_ns, struct json_object *more, enum wv_otlp_result status,
		      const char *message)
{
	struct wv_otlp_span s = {.is_child = true, .status = status, .end_ns = end_ns};

	if (part->open && t->emit) {
		if (more) {
			json_object_object_foreach(more, key, value)
			{
				json_object_object_add(part->attributes, key,
						       json_object_get(value));
			}
		}
		memcpy(s.trace, x->root.trace, sizeof(s.trace));
		memcpy(s.parent, x->root.id, sizeof(s.parent));
		memcpy(s.id, part->id, sizeof(s.id));
		snprintf(s.name, sizeof(s.name), "%s", part->name);
		snprintf(s.message, sizeof(s.message), "%s", message ?: "");
		s.start_ns = part->start_ns;
		s.attributes = part->attributes;
		t->emit(t->ctx, &s);
	}
	json_object_put(more);
	put_part(part);
}

void wv_otlp_close(struct wv_otlp_tracker *t, struct wv_otlp_trace *x, uint64_t end_ns,
		   const char *result, enum wv_otlp_result status, const char *message)
{
	if (x->over)
		return;
	wv_otlp_part_end(t, x, &x->step, end_ns, NULL, WV_OTLP_UNSET, NULL);
	wv_otlp_part_end(t, x, &x->phase, end_ns, NULL, WV_OTLP_UNSET, NULL);
	wv_otlp_put_text(x->root.attributes, "waveos.result", result);
	x->root.end_ns = end_ns;
	if (status != WV_OTLP_UNSET && x->root.status != WV_OTLP_ERROR) {
		x->root.status = status;
		snprintf(x->root.message, sizeof(x->root.message), "%s", message ?: "");
	}
	if (t->emit)
		t->emit(t->ctx, &x->root);
	x->over = true;
	put_contents(x);
}

void wv_otlp_abandon(struct wv_otlp_tracker *t, struct wv_otlp_trace *x, const char *why)
{
	wv_otlp_put_text(x->root.attributes, "waveos.unfinished", why);
	wv_otlp_close(t, x, x->last_ns, "unfinished", WV_OTLP_UNSET, NULL);
}
