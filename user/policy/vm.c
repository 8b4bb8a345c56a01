// SPDX-License-Identifier: GPL-2.0-only
/* The evaluator's memory, scopes, and what is the same for all lanes at a tick. */
#include "user/policy/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/policy/lanes.h"

double wv_vm_decay(uint64_t dt_ns, uint64_t half_life_ns)
{
	double halves = (double)dt_ns / (double)half_life_ns, whole = 0, rest, m = 1, left = 1;

	if (halves >= 1000)
		return 1;
	while (halves - whole >= 1) {
		whole++;
		left *= 0.5;
	}
	rest = (halves - whole) * 0x1.62e42fefa39efp-1; /* ln 2 */
	/* 1 - exp(-rest) = rest (1 - rest/2 (1 - rest/3 (...))); 20 terms are exact to the last bit
	 * or two for rest < ln 2 */
	for (int n = 20; n >= 2; n--)
		m = 1 - rest / n * m;
	m = rest * m;
	return whole == 0 ? m : 1 - (1 - m) * left;
}

static uint32_t place_of(const struct wv_program_set *set, uint16_t op)
{
	const struct wv_op *o;

	if (op == WV_NO_OP)
		return 0;
	o = &set->ops[op];
	if (wv_ops[o->code].gives == WV_GIVES_TRUTH)
		return o->dst;
	if (o->code == WV_OP_COLUMN)
		return (uint32_t)WV_PLACE_COLUMN << WV_PLACE_SHIFT | o->dst;
	if (wv_op_value_in_state(o))
		return (uint32_t)WV_PLACE_STATE << WV_PLACE_SHIFT | o->state;
	return (uint32_t)WV_PLACE_REGISTER << WV_PLACE_SHIFT | o->dst;
}

static void make_steps(struct wv_vm *vm)
{
	for (uint32_t i = 0; i < vm->set->n_ops; i++) {
		const struct wv_op *op = &vm->set->ops[i];

		vm->steps[i] = (struct wv_vm_step){
			.code = op->code,
			.a = place_of(vm->set, op->a),
			.b = place_of(vm->set, op->b),
			.dst = place_of(vm->set, (uint16_t)i),
			.state = op->state,
			.window = op->code == WV_OP_OUT ? op->dst : 0,
			.k = op->k,
		};
		if (!wv_op_is_window(op))
			continue;
		vm->steps[i].window = vm->n_windows;
		vm->windows[vm->n_windows++].pane_ns = (op->ns + WV_PANES - 1) / WV_PANES;
	}
}

static void *carve(char **at, size_t bytes)
{
	void *p = *at;

	*at += (bytes + 63) & ~(size_t)63;
	return p;
}

/* Gives out all arrays from at on; returns the end. Called with NULL for the size. */
static size_t lay_out(struct wv_vm *vm, char *at)
{
	const struct wv_program_set *s = vm->set;
	size_t blocks = vm->n_blocks;
	char *start = at;

	vm->registers = carve(&at, (size_t)s->n_numbers * 64 * sizeof(double));
	vm->registers_known = carve(&at, s->n_numbers * sizeof(uint64_t));
	vm->truths = carve(&at, s->n_truths * sizeof(*vm->truths));
	vm->steps = carve(&at, s->n_ops * sizeof(*vm->steps));
	vm->windows = carve(&at, vm->n_windows * sizeof(*vm->windows));
	vm->active = carve(&at, blocks * vm->n_words * sizeof(uint64_t));
	vm->scope = carve(&at, blocks * s->n_programs * sizeof(uint64_t));
	vm->results = carve(&at, blocks * s->n_programs * sizeof(*vm->results));
	vm->dirty = carve(&at, blocks * sizeof(*vm->dirty));
	vm->state_known = carve(&at, blocks * s->n_state * sizeof(uint64_t));
	vm->state_needed = carve(&at, blocks * s->n_state * sizeof(uint64_t));
	vm->needed_before = carve(&at, s->n_state * sizeof(uint64_t));
	vm->state = carve(&at, blocks * s->n_state * 64 * sizeof(double));
	return (size_t)(at - start);
}

int wv_vm_init(struct wv_vm *vm, const struct wv_program_set *set, uint32_t max_lanes,
	       uint64_t max_gap_ns)
{
	struct wv_program_cost cost;
	uintptr_t start = 64;
	char why[128];
	int r = wv_program_verify(set, &cost, why, sizeof(why));

	*vm = (struct wv_vm){.set = set};
	if (r == 0)
		r = wv_columns_init(&vm->columns, set->columns, set->n_columns, max_lanes,
				    max_gap_ns);
	if (r < 0)
		return r;
	vm->n_blocks = vm->columns.n_blocks;
	vm->n_words = (set->n_ops + 63) / 64;
	for (uint32_t i = 0; i < set->n_ops; i++)
		vm->n_windows += wv_op_is_window(&set->ops[i]);
	/* from an address that is not NULL, which may not be counted from */
	vm->memory = calloc(1, lay_out(vm, (char *)start) + 64);
	if (!vm->memory) {
		wv_vm_done(vm);
		return -ENOMEM;
	}
	start = ((uintptr_t)vm->memory + 63) & ~(uintptr_t)63;
	lay_out(vm, (char *)start);
	vm->n_windows = 0;
	make_steps(vm);
	vm->run_block = wv_vm_run_block_wide() ?: wv_vm_run_block;
	return 0;
}

void wv_vm_done(struct wv_vm *vm)
{
	wv_columns_done(&vm->columns);
	free(vm->memory);
	*vm = (struct wv_vm){0};
}

void wv_vm_set_scope(struct wv_vm *vm, uint32_t program, unsigned block, uint64_t mask)
{
	uint64_t *scope;

	if (program >= vm->set->n_programs || block >= vm->n_blocks)
		return;
	scope = &vm->scope[(size_t)block * vm->set->n_programs + program];
	if (*scope == mask)
		return;
	*scope = mask;
	vm->dirty[block] = true;
}

/*
 * The scopes of a block changed: which operations are run there, and what starts anew because a
 * lane was not in the scope of anyone who needs it.
 */
static void plan_block(struct wv_vm *vm, unsigned block)
{
	const struct wv_program_set *set = vm->set;
	uint64_t *active = vm->active + (size_t)block * vm->n_words;
	uint64_t *known = vm->state_known + (size_t)block * set->n_state;
	uint64_t *needed = vm->state_needed + (size_t)block * set->n_state;

	memset(active, 0, vm->n_words * sizeof(*active));
	memcpy(vm->needed_before, needed, set->n_state * sizeof(*needed));
	memset(needed, 0, set->n_state * sizeof(*needed));
	for (uint32_t p = 0; p < set->n_programs; p++) {
		const struct wv_program *program = &set->programs[p];
		const uint16_t *refs = set->refs + program->first_ref;
		uint64_t scope = vm->scope[(size_t)block * set->n_programs + p];

		if (!scope)
			vm->results[(size_t)p * vm->n_blocks + block] = (struct wv_truth){0};
		for (unsigned i = 0; i < program->n_refs && scope; i++) {
			const struct wv_op *op = &set->ops[refs[i]];

			if (op->code != WV_OP_COLUMN)
				active[refs[i] / 64] |= 1ULL << refs[i] % 64;
			for (unsigned k = 0; k < wv_ops[op->code].state; k++)
				needed[op->state + k] |= scope;
		}
	}
	for (uint32_t i = 0; i < set->n_state; i++)
		known[i] &= needed[i] & vm->needed_before[i];
	vm->dirty[block] = false;
}

int wv_vm_begin(struct wv_vm *vm, uint64_t now_ns)
{
	return wv_columns_begin(&vm->columns, now_ns);
}

void wv_vm_set_lane(struct wv_vm *vm, uint32_t lane, uint64_t key, uint64_t created_ns,
		    const uint64_t *figures, const struct wv_hist *hists)
{
	wv_columns_set(&vm->columns, lane, key, created_ns, figures, hists);
}

void wv_vm_set_root(struct wv_vm *vm, uint32_t lane)
{
	wv_columns_set_root(&vm->columns, lane);
}

/* A window moves on to now: the same for all lanes. Parts are numbered by time, so that they do not
 * depend on when the agent began. */
static void advance(struct wv_window *w, const struct wv_op *op, uint64_t now_ns, uint64_t dt_ns)
{
	uint64_t pane = now_ns / w->pane_ns, count = 0, time = 0,
		 first = pane > WV_PANES ? pane - WV_PANES : 0;

	w->from = w->started ? w->pane : pane;
	w->moved = w->started && pane != w->pane;
	w->started = true;
	w->pane = pane;
	if (w->moved) {
		for (uint64_t p = first > w->from ? first : w->from; p < pane; p++) {
			w->count[p % WV_PANES] = p == w->from ? w->count[WV_PANES] : 0;
			w->dt_ns[p % WV_PANES] = p == w->from ? w->dt_ns[WV_PANES] : 0;
		}
		w->count[WV_PANES] = 0;
		w->dt_ns[WV_PANES] = 0;
	}
	w->count[WV_PANES]++;
	w->dt_ns[WV_PANES] += dt_ns;
	for (unsigned i = 0; i <= WV_PANES; i++) {
		count += w->count[i];
		time += w->dt_ns[i];
	}
	w->divisor = op->code == WV_OP_WAVG    ? wv_double_of(count)
		     : op->code == WV_OP_WRATE ? wv_double_of(time) / 1e9
					       : 1;
}

void wv_vm_run(struct wv_vm *vm)
{
	wv_columns_end(&vm->columns);
	for (uint32_t i = 0; i < vm->set->n_ops; i++) {
		const struct wv_op *op = &vm->set->ops[i];

		if (op->code == WV_OP_EWMA && vm->columns.dt_ns)
			vm->steps[i].k = wv_vm_decay(vm->columns.dt_ns, op->ns);
		else if (wv_op_is_window(op))
			advance(&vm->windows[vm->steps[i].window], op, vm->columns.now_ns,
				vm->columns.dt_ns);
	}
	for (unsigned block = 0; block < vm->n_blocks; block++) {
		if (vm->dirty[block])
			plan_block(vm, block);
		/* once more after the last cgroup went, so that the results say unknown */
		if (vm->columns.live[block] | vm->columns.live_last[block])
			vm->run_block(vm, block);
	}
}

void wv_vm_reset(struct wv_vm *vm, uint32_t program, uint32_t lane)
{
	const struct wv_program *p;
	double *state;

	if (program >= vm->set->n_programs || lane / 64 >= vm->n_blocks)
		return;
	p = &vm->set->programs[program];
	state = vm->state + (size_t)(lane / 64) * vm->set->n_state * 64 + lane % 64;
	for (unsigned i = 0; i < p->n_refs; i++) {
		const struct wv_op *op = &vm->set->ops[vm->set->refs[p->first_ref + i]];

		if (op->code == WV_OP_CUSUM)
			state[(size_t)op->state * 64] = 0;
	}
}
