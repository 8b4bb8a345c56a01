// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/turn_spans.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/core/cleanup.h"
#include "user/core/module.h"

/* A module has a span of its own when it took this part of its stage and at least so long. */
#define MODULE_PART 5
#define MODULE_MIN_NS 1000000

uint64_t wv_otlp_turn_ns(const struct wv_turn *t)
{
	uint64_t ns = 0;

	for (int i = 0; i < WV_TURN_STAGE_N; i++)
		ns += t->stage_ns[i];
	return ns;
}

const char *wv_otlp_turn_worth(const struct wv_otlp_turn_list *l, const struct wv_turn *turn)
{
	if (turn->decisions || turn->actions)
		return "decided";
	if (wv_otlp_turn_ns(turn) >= l->slow_ns || turn->late_ns >= l->slow_ns)
		return "slow";
	return l->one_in && turn->tick % l->one_in == 0 ? "sample" : NULL;
}

static void release(struct wv_otlp_kept_turn *k)
{
	for (unsigned i = 0; i < k->n_marks; i++)
		json_object_put(k->marks[i].attributes);
	free(k);
}

static void drop_notes(struct wv_otlp_turn_list *l, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		json_object_put(l->notes[i].record.o);
	l->n_notes -= n;
	memmove(l->notes, l->notes + n, l->n_notes * sizeof(l->notes[0]));
}

static void drop_first(struct wv_otlp_turn_list *l, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		release(l->list[i]);
	l->n -= n;
	memmove(l->list, l->list + n, l->n * sizeof(l->list[0]));
}

void wv_otlp_turns_done(struct wv_otlp_turn_list *l)
{
	drop_first(l, l->n);
	drop_notes(l, l->n_notes);
}

static void take_notes(struct wv_otlp_turn_list *l);

int wv_otlp_turns_add(struct wv_otlp_turn_list *l, const struct wv_turn *turn)
{
	const char *why = wv_otlp_turn_worth(l, turn);
	struct wv_otlp_kept_turn *k;

	l->seen++;
	l->newest_ns = turn->start_mono_ns;
	if (!why) {
		take_notes(l);
		return 0;
	}
	k = calloc(1, sizeof(*k));
	if (!k) {
		l->dropped++;
		return -ENOMEM;
	}
	k->turn = *turn;
	k->why = why;
	if (l->n == WV_OTLP_TURNS_KEPT) {
		drop_first(l, 1);
		l->dropped++;
	}
	l->list[l->n++] = k;
	take_notes(l);
	return 0;
}

/* What of a decision an event of the turn tells; the rest is in the log. */
static struct json_object *about(const struct wv_otlp_record *r)
{
	static const char *const told[] = {"seq",     "rule",	   "budget", "breaker", "verdict",
					   "from",    "withheld",  "cgroup", "domain",	"severity",
					   "dry_run", "condition", "chain"};
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
		struct json_object *v;
		char key[48];

		if (!json_object_object_get_ex(r->o, told[i], &v))
			continue;
		snprintf(key, sizeof(key), "waveos.%s", told[i]);
		json_object_object_add(o, key, json_object_get(v));
	}
	return o;
}

/* Records know the monotonic clock; a turn's times are counted from its start. */
static uint64_t time_in(const struct wv_turn *t, uint64_t mono_ns)
{
	return t->start_wall_ns + (mono_ns > t->start_mono_ns ? mono_ns - t->start_mono_ns : 0);
}

static struct wv_otlp_kept_turn *find(const struct wv_otlp_turn_list *l, uint64_t sample_mono_ns)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->list[i]->turn.start_mono_ns == sample_mono_ns)
			return l->list[i];
	return NULL;
}

static void note(struct wv_otlp_kept_turn *k, const struct wv_otlp_record *r,
		 const struct wv_otlp_where *where)
{
	if (k->n_marks < WV_OTLP_TURN_MARKS) {
		struct wv_otlp_mark *m = &k->marks[k->n_marks++];

		m->time_ns = time_in(&k->turn, r->mono_ns);
		snprintf(m->name, sizeof(m->name), "%.40s", r->type);
		m->attributes = about(r);
	} else {
		k->marks_dropped++;
	}
	if (where->known && where->began && k->n_links < WV_OTLP_LINKS)
		k->links[k->n_links++] = (struct wv_otlp_link){
			where->ids, strcmp(r->type, "recovery") == 0 ? "chain" : "rule"};
}

/* Those of the newest turn and of all before it: no older one comes any more. */
static void take_notes(struct wv_otlp_turn_list *l)
{
	unsigned n = 0;

	for (; n < l->n_notes && l->notes[n].sample_mono_ns <= l->newest_ns; n++) {
		struct wv_otlp_kept_turn *k = find(l, l->notes[n].sample_mono_ns);

		if (k)
			note(k, &l->notes[n].record, &l->notes[n].where);
	}
	drop_notes(l, n);
}

void wv_otlp_turns_note(struct wv_otlp_turn_list *l, uint64_t sample_mono_ns,
			const struct wv_otlp_record *r, const struct wv_otlp_where *where)
{
	struct wv_otlp_kept_turn *k = find(l, sample_mono_ns);

	if (k) {
		note(k, r, where);
		return;
	}
	if (sample_mono_ns <= l->newest_ns)
		return;
	if (l->n_notes == ARRAY_SIZE(l->notes))
		drop_notes(l, 1);
	l->notes[l->n_notes] = (struct wv_otlp_note){sample_mono_ns, *r, *where};
	(void)json_object_get(r->o);
	l->n_notes++;
}

/* Spans --------------------------------------------------------------------------------------- */

struct out {
	struct wv_trace_ids ids;
	const struct wv_otlp_kept_turn *k;
	wv_otlp_emit_fn emit;
	void *ctx;
};

static void put(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

/* A child: at says where it begins, from the turn's start. */
static void child(const struct out *out, const char *name, const uint8_t parent[WV_SPAN_ID_SIZE],
		  uint64_t at, uint64_t ns, struct json_object *attributes,
		  uint8_t ret[WV_SPAN_ID_SIZE])
{
	const struct wv_turn *t = &out->k->turn;
	struct wv_otlp_span s = {.is_child = true,
				 .attributes = attributes,
				 .start_ns = t->start_wall_ns + at,
				 .end_ns = t->start_wall_ns + at + ns};

	memcpy(s.trace, out->ids.trace, sizeof(s.trace));
	memcpy(s.parent, parent, sizeof(s.parent));
	wv_span_id(s.trace, name, t->start_mono_ns, s.id);
	snprintf(s.name, sizeof(s.name), "%s", name);
	out->emit(out->ctx, &s);
	json_object_put(attributes);
	memcpy(ret, s.id, sizeof(s.id));
}

static void modules(const struct out *out, const char *stage, const uint32_t *ns, uint64_t stage_ns,
		    uint64_t at, const uint8_t parent[WV_SPAN_ID_SIZE])
{
	for (size_t i = 0; i < wv_modules_count && i < WV_TURN_MODULES; i++) {
		uint8_t id[WV_SPAN_ID_SIZE];
		struct json_object *o;
		char name[64];

		if (ns[i] >= MODULE_MIN_NS && ns[i] >= stage_ns / MODULE_PART) {
			snprintf(name, sizeof(name), "%s %s", stage, wv_modules[i]->name);
			o = json_object_new_object();
			json_object_object_add(o, "waveos.module",
					       json_object_new_string(wv_modules[i]->name));
			child(out, name, parent, at, ns[i], o, id);
		}
		at += ns[i];
	}
}

static void stages(const struct out *out)
{
	const struct wv_turn *t = &out->k->turn;
	uint64_t at = 0;

	for (int i = 0; i < WV_TURN_STAGE_N; i++) {
		uint8_t id[WV_SPAN_ID_SIZE];
		struct json_object *o = NULL;

		if (i == WV_TURN_DECIDE && t->sync_ns) {
			o = json_object_new_object();
			put(o, "waveos.sync_ns", t->sync_ns);
		}
		child(out, wv_turn_stage_names[i], out->ids.span, at, t->stage_ns[i], o, id);
		if (i == WV_TURN_SENSE)
			modules(out, "sense", t->sense_ns, t->stage_ns[i], at, id);
		else if (i == WV_TURN_DECIDE)
			modules(out, "decide", t->decide_ns, t->stage_ns[i], at, id);
		at += t->stage_ns[i];
	}
}

static void root(const struct out *out, const char *run_id, uint64_t one_in)
{
	const struct wv_otlp_kept_turn *k = out->k;
	const struct wv_turn *t = &k->turn;
	struct wv_otlp_span s = {.start_ns = t->start_wall_ns,
				 .end_ns = t->start_wall_ns + wv_otlp_turn_ns(t),
				 .marks = (struct wv_otlp_mark *)k->marks,
				 .n_marks = k->n_marks,
				 .marks_dropped = k->marks_dropped,
				 .links = k->links,
				 .n_links = k->n_links,
				 .name = "turn"};
	struct json_object *o = json_object_new_object();

	memcpy(s.trace, out->ids.trace, sizeof(s.trace));
	memcpy(s.id, out->ids.span, sizeof(s.id));
	json_object_object_add(o, "waveos.run_id", json_object_new_string(run_id));
	json_object_object_add(o, "waveos.trace", json_object_new_string("turn"));
	json_object_object_add(o, "waveos.turn.kept", json_object_new_string(k->why));
	put(o, "waveos.turn.one_in", one_in);
	put(o, "waveos.tick", t->tick);
	put(o, "waveos.sample_mono_ns", t->start_mono_ns);
	put(o, "waveos.late_ns", t->late_ns);
	put(o, "waveos.decisions", t->decisions);
	put(o, "waveos.actions", t->actions);
	put(o, "waveos.action_failures", t->action_failures);
	put(o, "waveos.events", t->events);
	put(o, "waveos.records", t->records);
	put(o, "waveos.cgroups", t->cgroups);
	s.attributes = o;
	out->emit(out->ctx, &s);
	json_object_put(o);
}

unsigned wv_otlp_turns_emit(struct wv_otlp_turn_list *l, uint64_t until_mono_ns, const char *run_id,
			    wv_otlp_emit_fn emit, void *ctx)
{
	unsigned n = 0;

	for (; n < l->n; n++) {
		const struct wv_turn *t = &l->list[n]->turn;
		struct out out = {.k = l->list[n], .emit = emit, .ctx = ctx};

		if (t->start_mono_ns + wv_otlp_turn_ns(t) > until_mono_ns)
			break;
		wv_trace_ids("turn", run_id, t->start_mono_ns, &out.ids);
		root(&out, run_id, l->one_in);
		stages(&out);
	}
	drop_first(l, n);
	return n;
}
