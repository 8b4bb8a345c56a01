// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs on one block of 64 lanes. Each operation is a loop that the compiler turns into vector
 * code (lanes.h). Lanes that are not known hold anything, infinities and NaN included; masks keep
 * that from whatever is known.
 */
#include <string.h>

#include "user/policy/lanes.h"
#include "user/policy/vm.h"

/* Where values are, for the block at work. */
struct places {
	double *num[WV_PLACE_SPACES];
	uint64_t *known[WV_PLACE_SPACES];
	struct wv_truth *truths;
	uint64_t fresh;
};

WV_INLINE double *num_of(const struct places *p, uint32_t place)
{
	return p->num[place >> WV_PLACE_SHIFT] + (size_t)(place & WV_PLACE_INDEX) * 64;
}

WV_INLINE uint64_t *known_of(const struct places *p, uint32_t place)
{
	return p->known[place >> WV_PLACE_SHIFT] + (place & WV_PLACE_INDEX);
}

/* Lanes whose result is a number of sensible size: what divides by zero is not. */
#define SENSIBLE(v) ((__builtin_fabs(v) <= WV_NUMBER_LIMIT) ? wv_lane_bit[i] : 0)

#define TWO(name, value)                                                                           \
	WV_INLINE void name(const double *restrict a, const double *restrict b,                    \
			    double *restrict d)                                                    \
	{                                                                                          \
		WV_EACH_LANE (i)                                                                   \
			d[i] = value;                                                              \
	}
#define TWO_CHECKED(name, value)                                                                   \
	WV_INLINE uint64_t name(const double *restrict a, const double *restrict b,                \
				double *restrict d)                                                \
	{                                                                                          \
		uint64_t ok = 0;                                                                   \
                                                                                                   \
		WV_EACH_LANE (i) {                                                                 \
			double v = value;                                                          \
                                                                                                   \
			d[i] = v;                                                                  \
			ok |= SENSIBLE(v);                                                         \
		}                                                                                  \
		return ok;                                                                         \
	}
#define ONE(name, value)                                                                           \
	WV_INLINE void name(const double *restrict a, double k, double *restrict d)                \
	{                                                                                          \
		WV_EACH_LANE (i)                                                                   \
			d[i] = value;                                                              \
	}
#define ONE_CHECKED(name, value)                                                                   \
	WV_INLINE uint64_t name(const double *restrict a, double k, double *restrict d)            \
	{                                                                                          \
		uint64_t ok = 0;                                                                   \
                                                                                                   \
		WV_EACH_LANE (i) {                                                                 \
			double v = value;                                                          \
                                                                                                   \
			d[i] = v;                                                                  \
			ok |= SENSIBLE(v);                                                         \
		}                                                                                  \
		return ok;                                                                         \
	}
#define COMPARE(name, other, condition)                                                            \
	WV_INLINE uint64_t name(const double *restrict a, other)                                   \
	{                                                                                          \
		uint64_t holds = 0;                                                                \
                                                                                                   \
		WV_EACH_LANE (i)                                                                   \
			holds |= (condition) ? wv_lane_bit[i] : 0;                                 \
		return holds;                                                                      \
	}

TWO(lanes_add, a[i] + b[i])
TWO(lanes_sub, a[i] - b[i])
TWO(lanes_least, a[i] < b[i] ? a[i] : b[i])
TWO(lanes_greatest, a[i] > b[i] ? a[i] : b[i])
TWO_CHECKED(lanes_mul, a[i] * b[i])
TWO_CHECKED(lanes_div, a[i] / b[i])
TWO_CHECKED(lanes_ratio, b[i] == 0 ? 0 : a[i] / b[i])
ONE(lanes_add_k, a[i] + k)
ONE(lanes_k_sub, k - a[i])
ONE(lanes_least_k, a[i] < k ? a[i] : k)
ONE(lanes_greatest_k, a[i] > k ? a[i] : k)
ONE(lanes_abs, ((void)k, __builtin_fabs(a[i])))
ONE_CHECKED(lanes_mul_k, a[i] * k)
ONE_CHECKED(lanes_div_k, a[i] / k)
ONE_CHECKED(lanes_k_div, k / a[i])
ONE_CHECKED(lanes_k_ratio, a[i] == 0 ? 0 : k / a[i])
#define OTHER const double *restrict b
COMPARE(lanes_gt, OTHER, a[i] > b[i])
COMPARE(lanes_ge, OTHER, a[i] >= b[i])
COMPARE(lanes_eq, OTHER, a[i] == b[i])
COMPARE(lanes_ne, OTHER, a[i] != b[i])
COMPARE(lanes_gt_k, double k, a[i] > k)
COMPARE(lanes_ge_k, double k, a[i] >= k)
COMPARE(lanes_lt_k, double k, a[i] < k)
COMPARE(lanes_le_k, double k, a[i] <= k)
COMPARE(lanes_eq_k, double k, a[i] == k)
COMPARE(lanes_ne_k, double k, a[i] != k)

/* Numbers to a number: 0 if this is no such operation. */
WV_INLINE void run_number(const struct wv_vm *vm, const struct places *p,
			  const struct wv_vm_step *s)
{
	const double *a = num_of(p, s->a), *b = num_of(p, s->b);
	double *d = num_of(p, s->dst);
	uint64_t ok = *known_of(p, s->a);

	if (s->code <= WV_OP_GREATEST)
		ok &= *known_of(p, s->b);
	switch (s->code) {
	case WV_OP_ADD:
		lanes_add(a, b, d);
		break;
	case WV_OP_SUB:
		lanes_sub(a, b, d);
		break;
	case WV_OP_MUL:
		ok &= lanes_mul(a, b, d);
		break;
	case WV_OP_DIV:
		ok &= lanes_div(a, b, d);
		break;
	case WV_OP_RATIO:
		ok &= lanes_ratio(a, b, d);
		break;
	case WV_OP_LEAST:
		lanes_least(a, b, d);
		break;
	case WV_OP_GREATEST:
		lanes_greatest(a, b, d);
		break;
	case WV_OP_ADDK:
		lanes_add_k(a, s->k, d);
		break;
	case WV_OP_KSUB:
		lanes_k_sub(a, s->k, d);
		break;
	case WV_OP_MULK:
		ok &= lanes_mul_k(a, s->k, d);
		break;
	case WV_OP_DIVK:
		ok &= lanes_div_k(a, s->k, d);
		break;
	case WV_OP_KDIV:
		ok &= lanes_k_div(a, s->k, d);
		break;
	case WV_OP_KRATIO:
		ok &= lanes_k_ratio(a, s->k, d);
		break;
	case WV_OP_LEASTK:
		lanes_least_k(a, s->k, d);
		break;
	case WV_OP_GREATESTK:
		lanes_greatest_k(a, s->k, d);
		break;
	case WV_OP_ABS:
		lanes_abs(a, 0, d);
		break;
	default: /* PERSEC */
		ok &= lanes_div_k(a, wv_double_of(vm->columns.dt_ns) / 1e9, d);
	}
	*known_of(p, s->dst) = ok;
}

WV_INLINE void run_comparison(const struct places *p, const struct wv_vm_step *s)
{
	const double *a = num_of(p, s->a), *b = num_of(p, s->b);
	uint64_t known = *known_of(p, s->a), holds;

	if (s->code <= WV_OP_NE)
		known &= *known_of(p, s->b);
	switch (s->code) {
	case WV_OP_GT:
		holds = lanes_gt(a, b);
		break;
	case WV_OP_GE:
		holds = lanes_ge(a, b);
		break;
	case WV_OP_EQ:
		holds = lanes_eq(a, b);
		break;
	case WV_OP_NE:
		holds = lanes_ne(a, b);
		break;
	case WV_OP_GTK:
		holds = lanes_gt_k(a, s->k);
		break;
	case WV_OP_GEK:
		holds = lanes_ge_k(a, s->k);
		break;
	case WV_OP_LTK:
		holds = lanes_lt_k(a, s->k);
		break;
	case WV_OP_LEK:
		holds = lanes_le_k(a, s->k);
		break;
	case WV_OP_EQK:
		holds = lanes_eq_k(a, s->k);
		break;
	default:
		holds = lanes_ne_k(a, s->k);
	}
	p->truths[s->dst] = (struct wv_truth){holds & known, known};
}

/* Kleene's logic: what is not known decides nothing that the other side does not decide alone. */
WV_INLINE void run_logic(const struct places *p, const struct wv_vm_step *s)
{
	struct wv_truth a = p->truths[s->a], b = p->truths[s->b], *d = &p->truths[s->dst];
	uint64_t a_false = a.known_mask & ~a.true_mask, b_false = b.known_mask & ~b.true_mask;

	if (s->code == WV_OP_AND)
		*d = (struct wv_truth){a.true_mask & b.true_mask,
				       (a.known_mask & b.known_mask) | a_false | b_false};
	else if (s->code == WV_OP_OR)
		*d = (struct wv_truth){a.true_mask | b.true_mask,
				       (a.known_mask & b.known_mask) | a.true_mask | b.true_mask};
	else
		*d = (struct wv_truth){a_false, a.known_mask};
}

WV_INLINE void lanes_diff(const double *restrict x, double *restrict out, double *restrict prev)
{
	WV_EACH_LANE (i) {
		out[i] = x[i] - prev[i];
		prev[i] = x[i];
	}
}

WV_INLINE void lanes_ewma(const double *restrict x, double alpha, double *restrict y)
{
	WV_EACH_LANE (i)
		y[i] = y[i] + alpha * (x[i] - y[i]);
}

WV_INLINE void lanes_cusum(const double *restrict x, double k, double seconds, double *restrict y)
{
	WV_EACH_LANE (i) {
		double v = y[i] + (x[i] - k) * seconds;

		y[i] = v > 0 ? v : 0;
	}
}

/* DIFF, EWMA, CUSUM: their values stay in the state. A lane's first sample only begins it. */
WV_INLINE void run_memory(const struct wv_vm *vm, const struct places *p,
			  const struct wv_vm_step *s)
{
	const double *x = num_of(p, s->a);
	double *out = num_of(p, s->dst);
	uint64_t known = *known_of(p, s->a), *out_known = known_of(p, s->dst), first;

	if (s->code == WV_OP_DIFF) {
		lanes_diff(x, out, out + 64);
		*out_known = known & out_known[1] & ~p->fresh;
		out_known[1] = known;
		return;
	}
	first = known & ~(*out_known & ~p->fresh);
	*out_known = known;
	if (s->code == WV_OP_EWMA)
		lanes_ewma(x, s->k, out);
	else
		lanes_cusum(x, s->k, wv_double_of(vm->columns.dt_ns) / 1e9, out);
	for (; first; first &= first - 1) {
		unsigned i = (unsigned)__builtin_ctzll(first);

		out[i] = s->code == WV_OP_EWMA ? x[i] : 0;
	}
}

enum fold { FOLD_SUM, FOLD_MIN, FOLD_MAX };

WV_INLINE void lanes_fold(enum fold fold, const double *restrict x, double *restrict to)
{
	if (fold == FOLD_SUM) {
		WV_EACH_LANE (i)
			to[i] = to[i] + x[i];
	} else if (fold == FOLD_MIN) {
		WV_EACH_LANE (i)
			to[i] = x[i] < to[i] ? x[i] : to[i];
	} else {
		WV_EACH_LANE (i)
			to[i] = x[i] > to[i] ? x[i] : to[i];
	}
}

WV_INLINE void lanes_fill(double *restrict to, double v)
{
	WV_EACH_LANE (i)
		to[i] = v;
}

/* State of a window: columns of its parts, of the one being filled, and of all closed ones folded.
 */
#define FILLING WV_PANES
#define CLOSED (WV_PANES + 1)

/* Another part began: the last one is closed, those that had no sample are empty. A part's mask is
 * of the lanes that were known at each of its samples. */
WV_INLINE void move_window(const struct wv_window *w, enum fold fold, double *state,
			   uint64_t *known)
{
	double none = fold == FOLD_SUM ? 0 : fold == FOLD_MIN ? DBL_MAX : -DBL_MAX;
	uint64_t pane = w->pane > WV_PANES ? w->pane - WV_PANES : 0;

	for (pane = pane > w->from ? pane : w->from; pane < w->pane; pane++) {
		double *to = state + (pane % WV_PANES) * 64;

		if (pane == w->from)
			memcpy(to, state + FILLING * 64, 64 * sizeof(*to));
		else
			lanes_fill(to, none);
		known[pane % WV_PANES] = pane == w->from ? known[FILLING] : ~0ULL;
	}
	lanes_fill(state + FILLING * 64, none);
	known[FILLING] = ~0ULL;
	memcpy(state + CLOSED * 64, state, 64 * sizeof(*state));
	known[CLOSED] = known[0];
	for (unsigned i = 1; i < WV_PANES; i++) {
		lanes_fold(fold, state + (size_t)i * 64, state + CLOSED * 64);
		known[CLOSED] &= known[i];
	}
}

WV_INLINE void lanes_window(enum fold fold, double divisor, const double *restrict closed,
			    const double *restrict filling, double *restrict d)
{
	if (fold == FOLD_SUM) {
		WV_EACH_LANE (i)
			d[i] = (closed[i] + filling[i]) / divisor;
	} else if (fold == FOLD_MIN) {
		WV_EACH_LANE (i)
			d[i] = closed[i] < filling[i] ? closed[i] : filling[i];
	} else {
		WV_EACH_LANE (i)
			d[i] = closed[i] > filling[i] ? closed[i] : filling[i];
	}
}

WV_INLINE void run_fold(const struct wv_vm *vm, const struct places *p, const struct wv_vm_step *s,
			enum fold fold)
{
	const struct wv_window *w = &vm->windows[s->window];
	uint32_t at = (uint32_t)WV_PLACE_STATE << WV_PLACE_SHIFT | s->state;
	double *state = num_of(p, at);
	uint64_t *known = known_of(p, at);

	if (w->moved)
		move_window(w, fold, state, known);
	lanes_fold(fold, num_of(p, s->a), state + FILLING * 64);
	known[FILLING] &= *known_of(p, s->a) & ~p->fresh;
	lanes_window(fold, w->divisor, state + CLOSED * 64, state + FILLING * 64,
		     num_of(p, s->dst));
	*known_of(p, s->dst) = known[FILLING] & known[CLOSED];
}

WV_INLINE void run_step(struct wv_vm *vm, const struct places *p, const struct wv_vm_step *s,
			unsigned block)
{
	struct wv_truth t;
	uint64_t scope;

	if (s->code <= WV_OP_PERSEC) {
		run_number(vm, p, s);
	} else if (s->code <= WV_OP_NEK) {
		run_comparison(p, s);
	} else if (s->code <= WV_OP_NOT) {
		run_logic(p, s);
	} else if (s->code <= WV_OP_CUSUM) {
		run_memory(vm, p, s);
	} else if (s->code <= WV_OP_WSUM) {
		run_fold(vm, p, s, FOLD_SUM);
	} else if (s->code != WV_OP_OUT) {
		run_fold(vm, p, s, s->code == WV_OP_WMIN ? FOLD_MIN : FOLD_MAX);
	} else {
		t = p->truths[s->a];
		scope = vm->scope[(size_t)block * vm->set->n_programs + s->window];
		vm->results[(size_t)s->window * vm->n_blocks + block] =
			(struct wv_truth){t.true_mask & scope, t.known_mask & scope};
	}
}

WV_INLINE void run_block(struct wv_vm *vm, unsigned block)
{
	const uint64_t *active = vm->active + (size_t)block * vm->n_words;
	size_t columns = (size_t)block * vm->columns.n_specs,
	       state = (size_t)block * vm->set->n_state;
	const struct places p = {
		.num = {vm->registers, vm->columns.num + columns * 64, vm->state + state * 64},
		.known = {vm->registers_known, vm->columns.known + columns,
			  vm->state_known + state},
		.truths = vm->truths,
		.fresh = wv_columns_fresh(&vm->columns, block),
	};

	for (unsigned w = 0; w < vm->n_words; w++)
		for (uint64_t left = active[w]; left; left &= left - 1)
			run_step(vm, &p, &vm->steps[w * 64 + (unsigned)__builtin_ctzll(left)],
				 block);
}

void wv_vm_run_block(struct wv_vm *vm, unsigned block)
{
	run_block(vm, block);
}

#ifdef __x86_64__
/* AVX2 has no fused operations: the same results, four lanes at a time. */
__attribute__((target("avx2"))) static void run_block_avx2(struct wv_vm *vm, unsigned block)
{
	run_block(vm, block);
}

void (*wv_vm_run_block_wide(void))(struct wv_vm *vm, unsigned block)
{
	return __builtin_cpu_supports("avx2") ? run_block_avx2 : NULL;
}
#else
void (*wv_vm_run_block_wide(void))(struct wv_vm *vm, unsigned block)
{
	return NULL;
}
#endif
