/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The evaluator: figures of all cgroups at one tick in, for each program the lanes on which its
 * condition is true, false or unknown out. Pure: no I/O, no clock (time is an argument), no
 * allocation after init; the same samples at the same times give the same bits on every machine.
 *
 *   wv_vm_init, wv_vm_set_scope ...
 *   each tick: wv_vm_begin, wv_vm_set_lane ..., wv_vm_set_root, wv_vm_run, wv_vm_result ...
 *
 * It works on blocks of 64 lanes, one operation at a time. A block in which no program has a lane
 * in scope costs nothing. What a program remembers (means, sums, windows) is for each lane; it
 * starts anew when the lane is given to another cgroup (another key), was not set at a tick, after
 * a gap, or when the lane comes into the scope of the first program that needs it.
 */
#ifndef WV_POLICY_VM_H
#define WV_POLICY_VM_H

#include "user/policy/program.h"

/* Lanes of a block: on which a condition is known, and on which of those it is true. */
struct wv_truth {
	uint64_t true_mask, known_mask;
};

/* Of a sliding window: which of its parts are in use; the same for all lanes. */
struct wv_window {
	uint64_t pane_ns, pane; /* length of a part; number of the one being filled */
	uint64_t count[WV_PANES + 1], dt_ns[WV_PANES + 1]; /* samples and time in each; the last:
							      being filled */
	uint64_t from;	     /* this tick: the part that was being filled before */
	bool started, moved; /* this tick: another part began */
	double divisor;
};

/* An operation as it is run: operands are places, WV_PLACE_* over the index of a column. */
struct wv_vm_step {
	uint8_t code;
	uint32_t a, b, dst, state;
	uint32_t window; /* index; or the program of an OUT */
	double k;	 /* EWMA: this tick's weight of the new sample */
};
enum wv_place_space { WV_PLACE_REGISTER, WV_PLACE_COLUMN, WV_PLACE_STATE, WV_PLACE_SPACES };
#define WV_PLACE_SHIFT 28
#define WV_PLACE_INDEX ((1U << WV_PLACE_SHIFT) - 1)

struct wv_vm {
	const struct wv_program_set *set;
	struct wv_columns columns;
	unsigned n_blocks, n_words; /* words of a bit an operation */
	struct wv_vm_step *steps;   /* [n_ops] */
	struct wv_window *windows;
	unsigned n_windows;
	uint64_t *scope;   /* [n_blocks][n_programs] */
	uint64_t *active;  /* [n_blocks][n_words]: operations that are run there */
	bool *dirty;	   /* [n_blocks]: the scope changed */
	double *registers; /* [n_numbers][64], of the block at work */
	uint64_t *registers_known;
	struct wv_truth *truths;  /* [n_truths], the same */
	double *state;		  /* [n_blocks][n_state][64] */
	uint64_t *state_known;	  /* [n_blocks][n_state] */
	uint64_t *state_needed;	  /* [n_blocks][n_state]: lanes in the scope of a program that needs
				     it */
	uint64_t *needed_before;  /* [n_state], scratch */
	struct wv_truth *results; /* [n_programs][n_blocks] */
	void (*run_block)(struct wv_vm *vm, unsigned block);
	void *memory;
};

/*
 * Takes all memory for a finished set (which must outlive it and is verified here) and lanes 0 to
 * max_lanes - 1, at most WV_LANES_MAX. No program has anything in scope yet. Release with
 * wv_vm_done(). 0, -EINVAL (the set does not verify, too many lanes) or -ENOMEM.
 */
int wv_vm_init(struct wv_vm *vm, const struct wv_program_set *set, uint32_t max_lanes,
	       uint64_t max_gap_ns);
void wv_vm_done(struct wv_vm *vm);
/* On which lanes of a block (lane / 64) a program applies: bit lane % 64. Cheap if nothing changes.
 */
void wv_vm_set_scope(struct wv_vm *vm, uint32_t program, unsigned block, uint64_t mask);

/* As of wv_columns_begin(), _set() and _set_root(). */
int wv_vm_begin(struct wv_vm *vm, uint64_t now_ns);
void wv_vm_set_lane(struct wv_vm *vm, uint32_t lane, uint64_t key, uint64_t created_ns,
		    const uint64_t *figures, const struct wv_hist *hists);
void wv_vm_set_root(struct wv_vm *vm, uint32_t lane);
/* Evaluates all programs on what was set since wv_vm_begin(). Once a tick. */
void wv_vm_run(struct wv_vm *vm);
/* Of the last run; only lanes in the program's scope. true_mask is a part of known_mask. */
static inline struct wv_truth wv_vm_result(const struct wv_vm *vm, uint32_t program, unsigned block)
{
	return vm->results[(size_t)program * vm->n_blocks + block];
}
/* The same, for all blocks: [vm->n_blocks], valid until the next run. */
static inline const struct wv_truth *wv_vm_results(const struct wv_vm *vm, uint32_t program)
{
	return vm->results + (size_t)program * vm->n_blocks;
}
/* The rule closed on this lane: its program's cusum() start at 0 again. */
void wv_vm_reset(struct wv_vm *vm, uint32_t program, uint32_t lane);

/* One comparison of a program on one lane, as it came out in the last run. */
struct wv_term {
	uint16_t op; /* the comparison: wv_program_text() */
	bool known, holds;
	double left, right; /* base units; not a number where not known */
};
/* The program's comparisons on a lane. Fills at most max, returns how many. Before wv_vm_reset().
 */
unsigned wv_vm_explain(const struct wv_vm *vm, uint32_t program, uint32_t lane, struct wv_term *ret,
		       unsigned max);

/* 1 - 2^(-dt / half_life) without libm: the same double everywhere. Both above 0. */
double wv_vm_decay(uint64_t dt_ns, uint64_t half_life_ns);

/* user/policy/vm_block.c: the same code for any machine, and for those with wider vectors (NULL if
 * this one has none). For tests: both give the same bits. */
void wv_vm_run_block(struct wv_vm *vm, unsigned block);
void (*wv_vm_run_block_wide(void))(struct wv_vm *vm, unsigned block);

#endif
