// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `breaker`: places the policy's breakers at the topmost cgroups of their domains and tells
 * what the kernel did with them. The breakers need no agent: whatever is placed acts on.
 *
 * Trips come as events. What only time brings (half open, closed) is told from the state that was
 * seen last, which goes the same way as the kernel's. A trip whose event was lost is found in the
 * kernel's state a tick later.
 */
#include "waveos/breaker.h"

#include <errno.h>
#include <string.h>

#include "skel/breaker.btf.skel.h"
#include "skel/breaker.raw.skel.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/domain/domain.h"
#include "user/enforce/breaker_set.h"
#include "user/recover/switch.h"

/* What was decided about the cgroup in a slot. */
struct spot {
	uint64_t key;
	uint32_t domain; /* whose breakers it has; WV_NONE: none */
	bool known;
	bool retry; /* a place failed: tried every tick, said once */
	bool summed;
	uint64_t base[2]; /* added to the counts of its places, see show() */
	uint64_t sum[2];  /* trips and refusals of its places in this tick */
};

static struct {
	struct wv_breaker_set set;
	int error; /* 0, or why nothing can be placed */
	bool dry_run;
	struct spot *spots; /* by slot */
	uint64_t last_tick_ns, run;
	bool new_run; /* what is adopted is recorded once for this run */
} breakers;

size_t wv_breakers_in_force(void)
{
	return breakers.set.n;
}

/* FNV-1a. */
static uint64_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	return h;
}

/* Placing -------------------------------------------------------------------------------------- */

static int make_config(const struct wv_breaker *b, uint64_t cgroup, struct wv_breaker_config *ret)
{
	*ret = (struct wv_breaker_config){
		.cgroup = cgroup,
		.hook = (uint32_t)b->kind,
		.kill = b->action == WV_BREAKER_KILL,
	};
	snprintf(ret->name, sizeof(ret->name), "%s", b->name);
	return wv_breaker_rate_make(b->limit, b->per_ns, b->burst, b->open_ns, b->half_open_ns,
				    b->probes, &ret->rate);
}

/* Why a breaker cannot be at this cgroup, or NULL. */
static const char *row_obstacle(const struct wv_row *row, const struct wv_breaker *b)
{
	bool net = b->kind == WV_BREAKER_CONNECTS || b->kind == WV_BREAKER_EGRESS_PACKETS ||
		   b->kind == WV_BREAKER_INGRESS_PACKETS;

	if (net && (row->key & WV_KEY_V1))
		return "connects and packets belong to cgroups of the v2 hierarchy";
	if (net && (row->flags & WV_ROW_CUT))
		return "the cgroup's path is too long";
	return NULL;
}

/* Places one breaker. False: it failed and is tried again. */
static bool place(struct wv_agent *agent, uint32_t slot, const struct wv_row *row, uint32_t index)
{
	const struct wv_breaker *b = &agent->policy->breakers[index];
	struct spot *spot = &breakers.spots[slot];
	const char *obstacle = row_obstacle(row, b);
	char uses[160] = "", reason[160] = "";
	struct wv_breaker_place *p = NULL;
	struct wv_breaker_config config;
	bool same;
	int r = make_config(b, row->key, &config);

	p = wv_breaker_set_find(&breakers.set, row->key, (uint32_t)b->kind, b->name);
	same = p && !breakers.new_run && wv_breaker_place_is(p, &config);
	if (!same && !spot->retry)
		wv_breaker_record_decision(agent, slot, row->key, b->name, index, true,
					   breakers.dry_run);
	if (breakers.dry_run)
		return true;
	if (!obstacle && wv_breaker_check(agent->host, agent->bpf, b, uses, sizeof(uses)) < 0)
		obstacle = uses;
	if (!obstacle && breakers.error)
		obstacle = strerror(-breakers.error);
	if (obstacle) {
		wv_breaker_record_outcome(agent, slot, row->key, b->name, WV_BREAKER_NOT_ENFORCED,
					  NULL, obstacle);
		return true;
	}
	if (r == 0)
		r = wv_breaker_set_put(&breakers.set, &config, row->path, &p, reason,
				       sizeof(reason));
	if (r < 0 || !p) {
		if (!spot->retry)
			wv_breaker_record_outcome(agent, slot, row->key, b->name, WV_BREAKER_FAILED,
						  NULL, reason);
		return false;
	}
	p->keep = true;
	p->breaker = index;
	if (r > 0 || !same)
		wv_breaker_record_outcome(agent, slot, row->key, b->name,
					  r > 0 ? WV_BREAKER_CHANGED : WV_BREAKER_ALREADY, uses,
					  NULL);
	return true;
}

/* Takes away the places of a cgroup that are not kept. */
static void remove_places(struct wv_agent *agent, uint32_t slot, uint64_t key, bool gone)
{
	for (size_t i = breakers.set.n; i-- > 0;) {
		struct wv_breaker_place *p = &breakers.set.places[i];
		char name[WV_BREAKER_NAME];

		if (p->config.cgroup != key || p->keep)
			continue;
		snprintf(name, sizeof(name), "%s", p->config.name);
		if (!gone)
			wv_breaker_record_decision(agent, slot, key, name, p->breaker, false,
						   false);
		wv_breaker_set_remove(&breakers.set, p);
		if (!gone)
			wv_breaker_record_outcome(agent, slot, key, name, WV_BREAKER_REMOVED, NULL,
						  NULL);
	}
}

static uint32_t wanted_domain(const struct wv_agent *agent, uint32_t slot)
{
	if (!agent->policy->features[WV_FEATURE_BREAKERS] || wv_recover_released(agent) ||
	    !wv_domain_root(agent, slot))
		return WV_NONE;
	return wv_domain_of(agent, slot);
}

/* Brings a cgroup to what its domain wants. */
static void settle_spot(struct wv_agent *agent, uint32_t slot, const struct wv_row *row)
{
	uint32_t domain = wanted_domain(agent, slot);
	struct spot *spot = &breakers.spots[slot];
	bool all = true;

	if (spot->known && spot->key == row->key && spot->domain == domain && !spot->retry)
		return;
	if (spot->key != row->key)
		*spot = (struct spot){.key = row->key};
	for (size_t i = 0; i < breakers.set.n; i++)
		if (breakers.set.places[i].config.cgroup == row->key)
			breakers.set.places[i].keep = false;
	for (uint32_t i = 0; domain != WV_NONE && i < agent->policy->n_breakers; i++)
		if (agent->policy->breakers[i].domain_index == domain)
			all &= place(agent, slot, row, i);
	if (!breakers.dry_run)
		remove_places(agent, slot, row->key, false);
	spot->known = true;
	spot->domain = domain;
	spot->retry = !all;
}

static void settle_all(struct wv_agent *agent)
{
	/* the kill switch: what is placed is let go, or stays and nothing is added */
	if (!wv_recover_armed(agent) && !wv_recover_released(agent))
		return;
	wv_sample_for_each (&agent->sample, slot, row) {
		if (slot != WV_SLOT_OTHER && !(row->flags & WV_ROW_GONE))
			settle_spot(agent, slot, row);
	}
}

/* Transitions ---------------------------------------------------------------------------------- */

/* Records what time has brought to a place since it was seen last. */
static void catch_up(struct wv_agent *agent, struct wv_breaker_place *p, uint64_t now)
{
	bool any = false;

	while (wv_breaker_settle_one(&p->seen, &p->config.rate, now)) {
		p->seen.refused = p->kernel.refused;
		wv_breaker_record_transition(agent, p, &p->seen, NULL, 0);
		any = true;
	}
	if (any)
		(void)wv_breaker_place_save(&breakers.set, p);
}

/* A trip: from its event, or from the kernel's state when the event was lost. */
static void take_trip(struct wv_agent *agent, struct wv_breaker_place *p,
		      const struct wv_breaker_machine *m, const struct wv_event *ev)
{
	struct wv_breaker_machine trip = *m;

	if (m->trips <= p->seen.trips) /* told before, from the state */
		return;
	catch_up(agent, p, m->trip_ns);
	trip.phase = WV_BREAKER_OPEN;
	trip.changed_ns = m->trip_ns;
	wv_breaker_record_transition(agent, p, &trip, ev, m->trips - p->seen.trips - 1);
	p->seen = *m;
	if (m->phase != WV_BREAKER_OPEN)
		wv_breaker_record_transition(agent, p, m, NULL, 0);
	(void)wv_breaker_place_save(&breakers.set, p);
}

/* One look at a place: figures, lost events, what time brought. */
static void look(struct wv_agent *agent, struct wv_breaker_place *p, uint64_t now)
{
	if (wv_breaker_place_read(&breakers.set, p) < 0)
		return;
	/* an event of this or the last tick may be under way */
	if (p->kernel.trips > p->seen.trips &&
	    (int64_t)(breakers.last_tick_ns - p->kernel.trip_ns) > 0)
		take_trip(agent, p, &p->kernel, NULL);
	if (p->kernel.trips == p->seen.trips)
		catch_up(agent, p, now);
}

static void on_trip(struct wv_agent *agent, const struct wv_event *event)
{
	const struct wv_event_breaker *ev = (const void *)event;
	struct wv_breaker_place *p;

	if (event->size < sizeof(*ev) || breakers.error || breakers.dry_run)
		return;
	p = wv_breaker_set_by_id(&breakers.set, ev->place);
	/* or it is of the number's former place */
	if (!p || p->config.cgroup != event->key || p->config.hook != ev->hook)
		return;
	p->kernel = ev->m;
	take_trip(agent, p, &ev->m, event);
}

/* A new cgroup of a domain is held at once, not at the next tick. */
static void on_event(struct wv_agent *agent, const struct wv_event *event)
{
	int slot;

	if (event->type == WV_EV_BREAKER_TRIP) {
		on_trip(agent, event);
		return;
	}
	if (breakers.error || !agent->policy->n_breakers)
		return;
	slot = wv_cgroups_slot(agent->cgroups, event->key);
	if (slot > 0 && wanted_domain(agent, (uint32_t)slot) != WV_NONE)
		agent->want_tick = true;
}

/* The module ----------------------------------------------------------------------------------- */

static int start(struct wv_agent *agent)
{
	struct wv_breaker_ctl ctl = {0};
	int r;

	memset(&breakers, 0, sizeof(breakers));
	breakers.dry_run = agent->dry_run || !agent->config->enforce_enabled;
	breakers.spots = calloc(agent->sample.max_rows, sizeof(*breakers.spots));
	if (!breakers.spots)
		return -ENOMEM;
	if (!breakers.dry_run)
		breakers.error =
			wv_breaker_set_open(&breakers.set, agent->bpf, agent->paths, agent->host);
	if (breakers.dry_run || breakers.error) {
		settle_all(agent); /* says what would be, or why not */
		return 0;
	}
	r = wv_breaker_set_adopt(&breakers.set);
	if (r < 0)
		return r;
	wv_breaker_gates_settle(&breakers.set); /* takes numbers: after adoption */
	(void)wv_breaker_ctl_read(&breakers.set, &ctl);
	breakers.run = hash(agent->run_id);
	breakers.new_run = ctl.run != breakers.run;
	for (size_t i = breakers.set.n; i-- > 0;) /* of cgroups that went while no agent ran */
		if (wv_cgroups_slot(agent->cgroups, breakers.set.places[i].config.cgroup) < 0)
			wv_breaker_set_remove(&breakers.set, &breakers.set.places[i]);
	settle_all(agent);
	breakers.new_run = false;
	if (wv_breaker_ctl_read(&breakers.set, &ctl) == 0) {
		ctl.run = breakers.run;
		(void)wv_breaker_ctl_write(&breakers.set, &ctl);
	}
	return 0;
}

/* Everything is looked at again; places that are still wanted keep their state. */
static int policy_changed(struct wv_agent *agent)
{
	for (uint32_t slot = 0; slot < agent->sample.used_rows; slot++)
		breakers.spots[slot].known = false;
	for (size_t i = 0; i < breakers.set.n; i++)
		breakers.set.places[i].breaker = WV_NONE;
	settle_all(agent);
	return 0;
}

static struct spot *spot_of(struct wv_agent *agent, const struct wv_breaker_place *p,
			    uint32_t *ret_slot)
{
	int slot = wv_cgroups_slot(agent->cgroups, p->config.cgroup);

	if (slot <= 0 || breakers.spots[slot].key != p->config.cgroup)
		return NULL;
	*ret_slot = (uint32_t)slot;
	return &breakers.spots[slot];
}

/*
 * Sums of a cgroup's places. A place that was taken away leaves what it showed in the base, so that
 * a counter never goes back.
 */
static void show(struct wv_sample *s, uint32_t slot, struct spot *spot)
{
	static const enum wv_signal signals[2] = {WV_SIG_BREAKER_TRIPS, WV_SIG_BREAKER_REFUSED};
	const struct wv_row *row = wv_sample_row(s, slot);

	for (int k = 0; row && k < 2; k++) {
		uint64_t shown = row->f.v[signals[k]];

		if (row->flags & WV_ROW_BASE)
			shown -= s->base[slot].v[signals[k]];
		if (spot->sum[k] + spot->base[k] < shown)
			spot->base[k] = shown - spot->sum[k];
		wv_sample_set(s, slot, signals[k], spot->sum[k] + spot->base[k]);
		spot->sum[k] = 0;
	}
	spot->summed = false;
}

static void figures(struct wv_agent *agent)
{
	struct spot *spot;
	uint32_t slot;

	for (size_t i = 0; i < breakers.set.n; i++) {
		const struct wv_breaker_place *p = &breakers.set.places[i];

		spot = spot_of(agent, p, &slot);
		if (!spot)
			continue;
		spot->sum[0] += p->kernel.trips;
		spot->sum[1] += p->kernel.refused;
		spot->summed = true;
	}
	for (size_t i = 0; i < breakers.set.n; i++) {
		spot = spot_of(agent, &breakers.set.places[i], &slot);
		if (spot && spot->summed)
			show(&agent->sample, slot, spot);
	}
}

static int sense(struct wv_agent *agent)
{
	uint64_t now = agent->sample.mono_ns;

	if (breakers.error || breakers.dry_run)
		return 0;
	for (size_t i = 0; i < breakers.set.n; i++)
		look(agent, &breakers.set.places[i], now);
	breakers.last_tick_ns = now;
	figures(agent);
	return 0;
}

static int decide(struct wv_agent *agent)
{
	if (agent->policy->n_breakers)
		settle_all(agent);
	return 0;
}

static void slot_gone(struct wv_agent *agent, uint32_t slot)
{
	struct spot *spot = &breakers.spots[slot];

	if (spot->key) {
		for (size_t i = 0; i < breakers.set.n; i++)
			if (breakers.set.places[i].config.cgroup == spot->key)
				breakers.set.places[i].keep = false;
		remove_places(agent, slot, spot->key, true);
	}
	*spot = (struct spot){0};
}

static void stop(struct wv_agent *agent _unused_)
{
	wv_breaker_set_done(&breakers.set);
	free(breakers.spots);
	memset(&breakers, 0, sizeof(breakers));
}

static const void *elf_btf(size_t *size)
{
	return breaker_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return breaker_raw__elf_bytes(size);
}

static int configure(struct bpf_object *obj, const struct wv_host *host _unused_,
		     const struct wv_config *config _unused_)
{
	bool signals = wv_bpf_has_function("bpf_send_signal_task"), mark;
	unsigned args = 0;

	/* (int pid) first, (struct task_struct *, uid_t) later */
	mark = wv_bpf_has_tracepoint("mark_victim", &args) && args >= 2;
	wv_bpf_skip_program(obj, mark ? "breaker_oom_exit" : "breaker_oom_mark");
	return wv_bpf_set_const(obj, "breaker_signals_child", &signals, sizeof(signals));
}

#define KEPT(map, key, type)                                                                       \
	{                                                                                          \
		map, sizeof(key), sizeof(type)                                                     \
	}
static const struct wv_kept_map kept[] = {
	KEPT("breaker_ctl", uint32_t, struct wv_breaker_ctl),
	KEPT("breaker_heads", uint64_t, struct wv_breaker_head),
	KEPT("breaker_configs", uint32_t, struct wv_breaker_config),
	KEPT("breaker_seen", uint32_t, struct wv_breaker_machine),
	KEPT("breaker_binds", uint64_t, struct wv_breaker_bind),
	KEPT("breaker_net_states", uint32_t, struct wv_breaker_state),
	KEPT("breaker_task_states", uint32_t, struct wv_breaker_state),
	KEPT("breaker_raw_states", uint32_t, struct wv_breaker_raw_state),
	KEPT("breaker_locks", uint32_t, uint32_t),
	{0},
};

static const struct wv_object object = {
	.name = "breaker",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.kept = kept,
	.configure = configure,
};

const struct wv_module wv_module_breaker = {
	.name = "breaker",
	.summary = "rate breakers of the policy: state machines in the kernel that trip and refuse",
	.object = &object,
	.probe = wv_breaker_probe,
	.start = start,
	.sense = sense,
	.decide = decide,
	.event = on_event,
	.events = 1U << WV_EV_CGROUP_NEW | 1U << WV_EV_BREAKER_TRIP,
	.policy_changed = policy_changed,
	.slot_gone = slot_gone,
	.stop = stop,
};
