// SPDX-License-Identifier: GPL-2.0-only
/* What each type of record means for a trace. Docs: docs/tracing.md. */
#include "user/otlp/track.h"

#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/otlp/trace.h"

/* Longer than this nothing is one trace; and what is not ended by then never is told as ended. */
#define OPEN_MAX_NS 86400000000000ULL
/* How often it is looked for, in records. */
#define AGE_EVERY 256

#define COPY(o, r, ...)                                                                            \
	do {                                                                                       \
		static const char *const _list[] = {__VA_ARGS__};                                  \
		wv_otlp_copy(o, r, _list, ARRAY_SIZE(_list));                                      \
	} while (0)

static void say_where(struct wv_otlp_where *w, const struct wv_otlp_trace *x,
		      const uint8_t span[WV_SPAN_ID_SIZE])
{
	w->known = true;
	memcpy(w->ids.trace, x->root.trace, sizeof(w->ids.trace));
	memcpy(w->ids.span, span, sizeof(w->ids.span));
}

static void in_root(struct wv_otlp_where *w, const struct wv_otlp_trace *x)
{
	say_where(w, x, x->root.id);
}

static bool is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* Its beginning is no more in the log, or this sink began after it. */
static void begun_before(struct wv_otlp_trace *x)
{
	wv_otlp_put_text(x->root.attributes, "waveos.unfinished", "its beginning was not told");
}

/* Recovery chains ----------------------------------------------------------------------------- */

static void chain_key(const struct wv_otlp_record *r, char key[WV_OTLP_KEY_SIZE])
{
	snprintf(key, WV_OTLP_KEY_SIZE, "chain\n%s\n%s", wv_otlp_text(r, "cgroup"),
		 wv_otlp_text(r, "chain"));
}

/* A rule's decision started it: the trace of the rule, and the turn in which it was taken. */
static void link_cause(struct wv_otlp_tracker *t, struct wv_otlp_trace *x,
		       const struct wv_otlp_record *r)
{
	struct wv_otlp_record cause = {.type = "", .boot_id = "", .run_id = r->run_id};
	struct wv_trace_ids ids;
	struct wv_otlp_trace *rule;
	char key[WV_OTLP_KEY_SIZE];
	uint64_t turn;

	if (!json_object_object_get_ex(r->o, "cause", &cause.o))
		return;
	wv_otlp_put_text(x->root.attributes, "waveos.rule", wv_otlp_text(&cause, "rule"));
	wv_otlp_put_text(x->root.attributes, "waveos.condition", wv_otlp_text(&cause, "condition"));
	wv_otlp_put_text(x->root.attributes, "waveos.by", wv_otlp_text(&cause, "by"));
	turn = wv_otlp_number(&cause, "sample_mono_ns");
	if (turn) {
		wv_trace_ids("turn", r->run_id, turn, &ids);
		wv_otlp_link(x, &ids, "turn");
	}
	snprintf(key, sizeof(key), "rule\n%s\n%llu", wv_otlp_text(&cause, "rule"),
		 (unsigned long long)wv_otlp_number(&cause, "cgroup_key"));
	rule = wv_otlp_find(t, key, false);
	if (!rule)
		return;
	memcpy(ids.trace, rule->root.trace, sizeof(ids.trace));
	memcpy(ids.span, rule->root.id, sizeof(ids.span));
	wv_otlp_link(x, &ids, "rule");
}

static struct wv_otlp_trace *open_chain(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
					const char *key)
{
	struct wv_otlp_trace *x;
	char name[112];

	snprintf(name, sizeof(name), "recovery %s", wv_otlp_text(r, "chain"));
	x = wv_otlp_open(t, "chain", key, name, r);
	if (!x)
		return NULL;
	COPY(x->root.attributes, r, "chain", "domain", "cgroup", "cgroup_key");
	link_cause(t, x, r);
	return x;
}

static struct json_object *about(const struct wv_otlp_record *r)
{
	struct json_object *o = json_object_new_object();

	COPY(o, r, "seq", "step", "act", "reason", "pause_ns", "loops", "thawed", "isolated_drops",
	     "throttle_lifted", "mode", "how", "from", "to", "transition", "trips", "refused",
	     "count", "missed", "verdict", "withheld", "cause");
	return o;
}

static void phase_over(struct wv_otlp_tracker *t, struct wv_otlp_trace *x,
		       const struct wv_otlp_record *r, const char *result)
{
	struct json_object *more = json_object_new_object();

	wv_otlp_put_text(more, "waveos.result", result);
	wv_otlp_part_end(t, x, &x->phase, wv_otlp_time(x, r), more, WV_OTLP_UNSET, NULL);
}

/* After the root was sent: a short span of its own tells what was let go. */
static void released(struct wv_otlp_tracker *t, struct wv_otlp_trace *x,
		     const struct wv_otlp_record *r, struct wv_otlp_where *w)
{
	wv_otlp_part_begin(t, x, &x->step, "release", r, about(r));
	say_where(w, x, x->step.id);
	wv_otlp_part_end(t, x, &x->step, wv_otlp_time(x, r), NULL, WV_OTLP_UNSET, NULL);
}

static void on_recovery(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
			struct wv_otlp_where *w)
{
	const char *event = wv_otlp_text(r, "event");
	struct wv_otlp_trace *x;
	char key[WV_OTLP_KEY_SIZE];

	chain_key(r, key);
	x = wv_otlp_find(t, key, is(event, "released"));
	if (!*wv_otlp_text(r, "chain")) {
		/* what is let go after the chain was forgotten is told without its name */
		return;
	}
	if (is(event, "started")) {
		x = open_chain(t, r, key);
		w->began = x;
	}
	if (!x)
		return;
	in_root(w, x);
	if (x->over) {
		released(t, x, r, w);
		return;
	}
	if (!is(event, "started") && !is(event, "ended"))
		wv_otlp_mark(x, r, event, about(r));
	if (is(event, "next-step") || is(event, "crash-loop")) {
		phase_over(t, x, r, event);
	} else if (is(event, "recovered") || is(event, "given-up")) {
		phase_over(t, x, r, event);
		wv_otlp_put_text(x->root.attributes, "waveos.result", event);
		if (is(event, "given-up")) {
			x->root.status = WV_OTLP_ERROR;
			snprintf(x->root.message, sizeof(x->root.message),
				 "all steps were taken and it is still not well");
		}
		wv_otlp_part_begin(t, x, &x->phase, "cool-down", r, NULL);
	} else if (is(event, "ended")) {
		bool well = x->phase.open && is(x->phase.name, "cool-down");

		wv_otlp_close(t, x, wv_otlp_time(x, r), NULL, well ? WV_OTLP_OK : WV_OTLP_UNSET,
			      NULL);
	}
}

/* The open step whose action has this id: that of a reboot is told without its chain. */
static struct wv_otlp_trace *by_action(struct wv_otlp_tracker *t, const char *id)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct json_object *v;

		if (t->list[i]->step.open &&
		    json_object_object_get_ex(t->list[i]->step.attributes, "waveos.action.id",
					      &v) &&
		    is(json_object_get_string(v), id))
			return t->list[i];
	}
	return NULL;
}

static void on_action(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		      struct wv_otlp_where *w)
{
	const char *id = wv_otlp_text(r, "id"), *act = wv_otlp_text(r, "act");
	struct wv_otlp_trace *x = by_action(t, id);
	struct json_object *o;
	char key[WV_OTLP_KEY_SIZE], name[80];

	if (x) { /* asked for again by the next agent */
		wv_otlp_mark(x, r, "resumed", about(r));
		say_where(w, x, x->step.id);
		return;
	}
	if (*wv_otlp_text(r, "chain")) {
		chain_key(r, key);
		x = wv_otlp_find(t, key, false);
		if (!x) {
			x = open_chain(t, r, key);
			if (x)
				begun_before(x);
		}
	} else { /* a rule's own */
		snprintf(key, sizeof(key), "action\n%s", id);
		snprintf(name, sizeof(name), "action %s", act);
		x = wv_otlp_open(t, "action", key, name, r);
		if (x) {
			COPY(x->root.attributes, r, "domain", "cgroup", "cgroup_key");
			link_cause(t, x, r);
		}
		w->began = x;
	}
	if (!x)
		return;
	phase_over(t, x, r, "next-step");
	o = json_object_new_object();
	COPY(o, r, "act", "step", "cpu_ppm", "resumed", "loops", "dry_run", "run_id", "seq");
	wv_otlp_put_text(o, "waveos.action.id", id);
	snprintf(name, sizeof(name), "step %s", act);
	wv_otlp_part_begin(t, x, &x->step, name, r, o);
	say_where(w, x, x->step.id);
}

static void on_outcome(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		       struct wv_otlp_where *w)
{
	struct wv_otlp_trace *x = by_action(t, wv_otlp_text(r, "id"));
	bool failed = is(wv_otlp_text(r, "outcome"), "failed");
	const char *detail = wv_otlp_text(r, "detail");
	struct json_object *more;

	if (!x)
		return;
	say_where(w, x, x->step.id);
	more = json_object_new_object();
	COPY(more, r, "outcome", "how", "detail", "processes", "took_ns");
	if (failed) {
		const char *name = strerrorname_np((int)wv_otlp_number(r, "errno"));

		wv_otlp_put_text(more, "error.type", name ?: "failed");
	}
	wv_otlp_part_end(t, x, &x->step, wv_otlp_time(x, r), more,
			 failed ? WV_OTLP_ERROR : WV_OTLP_OK, detail);
	if (strncmp(x->key, "action\n", 7) == 0)
		wv_otlp_close(t, x, wv_otlp_time(x, r), wv_otlp_text(r, "outcome"),
			      failed ? WV_OTLP_ERROR : WV_OTLP_OK, detail);
	else if (!failed)
		wv_otlp_part_begin(t, x, &x->phase, "verify", r, NULL);
}

/* Breakers ------------------------------------------------------------------------------------ */

struct breaker {
	const char *kind, *name; /* of the root: "<kind> <name>" */
	const char *to;		 /* state: open, half-open, closed */
	char key[WV_OTLP_KEY_SIZE];
};

/* One trace from the trip until it is closed again, a phase each state. */
static void on_state(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		     const struct breaker *b, struct wv_otlp_where *w)
{
	struct wv_otlp_trace *x = wv_otlp_find(t, b->key, false);
	char name[112];

	if (!x && !is(b->to, "open") && !is(b->to, "half-open"))
		return;
	if (!x) {
		snprintf(name, sizeof(name), "%s %s", b->kind, b->name);
		x = wv_otlp_open(t, b->kind, b->key, name, r);
		if (!x)
			return;
		COPY(x->root.attributes, r, "breaker", "rule", "rule_line", "condition", "domain",
		     "cgroup", "cgroup_key", "kind", "action", "severity", "limit", "burst",
		     "per_ns", "proxy", "server", "comm", "inputs");
		if (!is(b->to, "open"))
			begun_before(x);
		w->began = true;
	}
	in_root(w, x);
	wv_otlp_mark(x, r, b->to, about(r));
	phase_over(t, x, r, b->to);
	if (is(b->to, "closed"))
		wv_otlp_close(t, x, wv_otlp_time(x, r), "closed", WV_OTLP_OK, NULL);
	else
		wv_otlp_part_begin(t, x, &x->phase, b->to, r, about(r));
}

static void on_breaker(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		       struct wv_otlp_where *w)
{
	struct breaker b = {.kind = "breaker",
			    .name = wv_otlp_text(r, "breaker"),
			    .to = is(r->type, "breaker-trip")	     ? "open"
				  : is(r->type, "breaker-half-open") ? "half-open"
								     : "closed"};

	snprintf(b.key, sizeof(b.key), "breaker\n%s\n%llu", b.name,
		 (unsigned long long)wv_otlp_number(r, "cgroup_key"));
	on_state(t, r, &b, w);
}

static void on_proxy(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		     struct wv_otlp_where *w)
{
	struct breaker b = {.kind = "proxy-breaker",
			    .name = wv_otlp_text(r, "proxy"),
			    .to = wv_otlp_text(r, "to")};

	snprintf(b.key, sizeof(b.key), "proxy\n%s\n%s", b.name, wv_otlp_text(r, "server"));
	on_state(t, r, &b, w);
}

static void on_decision(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
			struct wv_otlp_where *w)
{
	struct breaker b = {
		.kind = "rule", .name = wv_otlp_text(r, "rule"), .to = wv_otlp_text(r, "verdict")};

	if (!*b.name) { /* a budget's or a breaker's: it has the trace of its turn */
		wv_trace_ids("turn", r->run_id, wv_otlp_number(r, "sample_mono_ns"), &w->ids);
		w->known = true;
		return;
	}
	snprintf(b.key, sizeof(b.key), "rule\n%s\n%llu", b.name,
		 (unsigned long long)wv_otlp_number(r, "cgroup_key"));
	on_state(t, r, &b, w);
}

/* Bundles and policies ------------------------------------------------------------------------ */

static struct wv_otlp_trace *bundle(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
				    struct wv_otlp_where *w)
{
	char key[WV_OTLP_KEY_SIZE], name[112];
	struct wv_otlp_trace *x;

	snprintf(key, sizeof(key), "bundle\n%s\n%s\n%s", wv_otlp_text(r, "kind"),
		 wv_otlp_text(r, "name"), wv_otlp_text(r, "bundle"));
	x = wv_otlp_find(t, key, false);
	if (x || !is(r->type, "bundle-intent"))
		return x;
	snprintf(name, sizeof(name), "bundle %s", wv_otlp_text(r, "kind"));
	x = wv_otlp_open(t, "bundle", key, name, r);
	if (x)
		COPY(x->root.attributes, r, "kind", "name", "bundle", "version", "counter");
	w->began = x;
	return x;
}

/* What a deed that succeeded or failed means for the whole. */
static void deed_done(struct wv_otlp_tracker *t, struct wv_otlp_trace *x,
		      const struct wv_otlp_record *r, bool failed)
{
	const char *deed = wv_otlp_text(r, "deed"), *cause = wv_otlp_text(r, "cause");
	uint64_t end = wv_otlp_time(x, r);

	if (failed && (is(deed, "stage") || is(deed, "activate")))
		wv_otlp_close(t, x, end, "refused", WV_OTLP_ERROR,
			      *cause ? cause : wv_otlp_text(r, "error"));
	else if (failed)
		return;
	else if (is(deed, "stage"))
		wv_otlp_part_begin(t, x, &x->phase, "staged", r, NULL);
	else if (is(deed, "activate"))
		wv_otlp_part_begin(t, x, &x->phase, "trial", r, NULL);
	else if (is(deed, "confirm"))
		wv_otlp_close(t, x, end, "confirmed", WV_OTLP_OK, NULL);
	else if (is(deed, "rollback"))
		wv_otlp_close(t, x, end, "rolled-back", WV_OTLP_ERROR, cause);
	else if (is(deed, "collect"))
		wv_otlp_close(t, x, end, "collected", WV_OTLP_UNSET, NULL);
	else if (!x->phase.open && !is(deed, "fail")) /* pin, hooks, damage: nothing goes on */
		wv_otlp_close(t, x, end, deed, is(deed, "damage") ? WV_OTLP_ERROR : WV_OTLP_UNSET,
			      cause);
}

static void on_bundle(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		      struct wv_otlp_where *w)
{
	struct wv_otlp_trace *x = bundle(t, r, w);
	const char *deed = wv_otlp_text(r, "deed");
	struct json_object *o;
	bool failed;
	char name[80];

	if (!x)
		return;
	o = json_object_new_object();
	COPY(o, r, "target", "moment", "cause", "start", "error", "run_id", "seq");
	if (is(deed, "confirm") || is(deed, "fail") ||
	    (is(r->type, "bundle-intent") && (is(deed, "activate") || is(deed, "rollback"))))
		phase_over(t, x, r, deed);
	if (is(r->type, "bundle-intent")) {
		snprintf(name, sizeof(name), "deed %s", deed);
		wv_otlp_part_begin(t, x, &x->step, name, r, o);
		say_where(w, x, x->step.id);
		return;
	}
	failed = is(wv_otlp_text(r, "outcome"), "failed");
	if (x->step.open) {
		say_where(w, x, x->step.id);
		if (failed)
			wv_otlp_put_text(o, "error.type", wv_otlp_text(r, "error"));
		wv_otlp_part_end(t, x, &x->step, wv_otlp_time(x, r), o,
				 failed ? WV_OTLP_ERROR : WV_OTLP_OK, wv_otlp_text(r, "cause"));
	} else { /* boot, confirm and fail have an outcome only */
		in_root(w, x);
		snprintf(name, sizeof(name), "%.40s", deed);
		wv_otlp_mark(x, r, name, o);
	}
	deed_done(t, x, r, failed);
}

/* A policy is in force from that record on: a trace of one span. */
static void on_policy(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		      struct wv_otlp_where *w)
{
	struct wv_otlp_trace *x = wv_otlp_open(t, "policy", "policy", "policy apply", r);

	if (!x)
		return;
	COPY(x->root.attributes, r, "name", "sha256", "file", "rules", "budgets");
	in_root(w, x);
	w->began = true;
	wv_otlp_close(t, x, x->root.start_ns, "in force", WV_OTLP_OK, NULL);
}

/* A core of another boot knows nothing of what was open; but bundles go on, and a reboot that was
 * asked for is told as done by it. */
static void on_start(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		     struct wv_otlp_where *w _unused_)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct wv_otlp_trace *x = t->list[i];

		if (x->over || is(x->boot_id, r->boot_id) || strncmp(x->key, "bundle\n", 7) == 0 ||
		    strncmp(x->key, "proxy\n", 6) == 0)
			continue;
		wv_otlp_abandon(t, x, "the machine was started anew");
	}
}

static const struct {
	const char *type;
	void (*take)(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		     struct wv_otlp_where *w);
} types[] = {
	{"recovery", on_recovery},
	{"action", on_action},
	{"action-outcome", on_outcome},
	{"breaker-trip", on_breaker},
	{"breaker-half-open", on_breaker},
	{"breaker-close", on_breaker},
	{"proxy-breaker", on_proxy},
	{"decision", on_decision},
	{"bundle-intent", on_bundle},
	{"bundle-outcome", on_bundle},
	{"policy", on_policy},
	{"core-start", on_start},
};

static void end_old(struct wv_otlp_tracker *t, const struct wv_otlp_record *r)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct wv_otlp_trace *x = t->list[i];

		if (!x->over && r->wall_ns > x->wall_ns && r->wall_ns - x->wall_ns > OPEN_MAX_NS)
			wv_otlp_abandon(t, x, "it lasted longer than a day");
	}
}

static void touch(struct wv_otlp_tracker *t, const struct wv_otlp_record *r,
		  const struct wv_otlp_where *w)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct wv_otlp_trace *x = t->list[i];

		if (memcmp(x->root.trace, w->ids.trace, sizeof(w->ids.trace)) != 0)
			continue;
		x->number = t->number;
		x->last_ns = wv_otlp_time(x, r);
	}
}

void wv_otlp_track(struct wv_otlp_tracker *t, const struct wv_otlp_record *r, wv_otlp_emit_fn emit,
		   void *ctx, struct wv_otlp_where *ret)
{
	*ret = (struct wv_otlp_where){.known = false};
	t->emit = emit;
	t->ctx = ctx;
	if (t->number++ % AGE_EVERY == 0)
		end_old(t, r);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (is(r->type, types[i].type))
			types[i].take(t, r, ret);
	if (ret->known)
		touch(t, r, ret);
	t->emit = NULL;
}
