// SPDX-License-Identifier: GPL-2.0-only
#include "user/flow/turns.h"

#include <string.h>
#include <sys/mman.h>

const char *const wv_turn_stage_names[WV_TURN_STAGE_N] = {
#define X(id, name) [WV_TURN_##id] = name,
	WV_TURN_STAGES(X)
#undef X
};

struct wv_turns *wv_turns_create(void)
{
	void *p = mmap(NULL, sizeof(struct wv_turns), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void wv_turns_write(struct wv_turns *t, const struct wv_turn *turn)
{
	uint64_t n = atomic_load_explicit(&t->next, memory_order_relaxed);
	uint64_t at = n % WV_TURNS;

	atomic_store_explicit(&t->slots[at].seq, 2 * n + 1, memory_order_relaxed);
	/* the odd number is seen before any byte of the turn */
	atomic_thread_fence(memory_order_release);
	t->slots[at].turn = *turn;
	atomic_store_explicit(&t->slots[at].seq, 2 * n + 2, memory_order_release);
	atomic_store_explicit(&t->next, n + 1, memory_order_release);
}

void wv_turns_open(struct wv_turns_reader *r, const struct wv_turns *t)
{
	uint64_t next = atomic_load_explicit(&t->next, memory_order_acquire);

	*r = (struct wv_turns_reader){.turns = t, .next = next > WV_TURNS ? next - WV_TURNS : 0};
}

bool wv_turns_read(struct wv_turns_reader *r, struct wv_turn *ret)
{
	const struct wv_turns *t = r->turns;

	for (;;) {
		uint64_t next = atomic_load_explicit(&t->next, memory_order_acquire);
		uint64_t at = r->next % WV_TURNS, seq;
		struct wv_turn turn;

		if (r->next >= next)
			return false;
		if (next - r->next > WV_TURNS) {
			r->missed += next - WV_TURNS - r->next;
			r->next = next - WV_TURNS;
			at = r->next % WV_TURNS;
		}
		seq = atomic_load_explicit(&t->slots[at].seq, memory_order_acquire);
		turn = t->slots[at].turn;
		/* the turn is read before its number is looked at again */
		atomic_thread_fence(memory_order_acquire);
		if (seq == 2 * r->next + 2 &&
		    seq == atomic_load_explicit(&t->slots[at].seq, memory_order_relaxed)) {
			*ret = turn;
			r->next++;
			return true;
		}
		/* it is being overwritten: the writer is a whole ring ahead */
		r->missed++;
		r->next++;
	}
}
