// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target of conditions. An even first byte: the rest is lines of text, each a condition;
 * what compiles must verify. Odd: the rest are the operations, columns and programs of a set from
 * elsewhere. Whatever verifies is run. Built with clang -fsanitize=fuzzer,address,undefined.
 */
#include <stdlib.h>
#include <string.h>

#include "user/policy/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void run(const struct wv_program_set *set)
{
	uint64_t figures[WV_SIG_N] = {0};
	struct wv_hist hists[WV_HIST_N] = {0};
	struct wv_term terms[WV_PROGRAM_OPS];
	char buf[128];
	struct wv_vm vm;

	if (wv_vm_init(&vm, set, 70, 10000000000ULL) < 0)
		__builtin_trap(); /* it was verified */
	for (uint32_t p = 0; p < set->n_programs; p++)
		wv_vm_set_scope(&vm, p, p % 2, ~0ULL);
	for (uint64_t t = 1; t < 4; t++) {
		if (wv_vm_begin(&vm, t * 700000000) < 0)
			__builtin_trap();
		for (int s = 0; s < WV_SIG_N; s++)
			figures[s] = figures[s] * 31 + t;
		for (int h = 0; h < WV_HIST_N; h++)
			hists[h].bucket[t] += t;
		wv_vm_set_lane(&vm, 3, 3, 0, figures, hists);
		wv_vm_set_lane(&vm, 69, t, 0, figures, hists);
		wv_vm_set_root(&vm, 3);
		wv_vm_run(&vm);
		for (uint32_t p = 0; p < set->n_programs; p++) {
			struct wv_truth r = wv_vm_result(&vm, p, p % 2);

			if (r.true_mask & ~r.known_mask)
				__builtin_trap();
			wv_vm_explain(&vm, p, 3, terms, WV_PROGRAM_OPS);
			wv_vm_reset(&vm, p, 3);
			wv_program_text(set, set->programs[p].out, buf, sizeof(buf));
		}
	}
	wv_vm_done(&vm);
}

static void fuzz_text(const char *text, size_t len)
{
	struct wv_expr_error error = {0};
	struct wv_program_set set;
	char why[128], *lines = malloc(len + 1), *save = NULL;

	if (!lines || wv_program_set_init(&set) < 0)
		__builtin_trap();
	memcpy(lines, text, len);
	lines[len] = '\0';
	for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (wv_program_add(&set, 0, line, &error) < 0 &&
		    (!*error.text || error.offset > strlen(line)))
			__builtin_trap();
	if (wv_program_finish(&set) < 0 || wv_program_verify(&set, NULL, why, sizeof(why)) < 0)
		__builtin_trap();
	run(&set);
	wv_program_set_done(&set);
	free(lines);
}

/* Bytes in an allocation of their own, so that reading beyond is seen. */
static void *cut(const uint8_t **bytes, size_t *len, size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		__builtin_trap();
	if (n * size <= *len) {
		memcpy(p, *bytes, n * size);
		*bytes += n * size;
		*len -= n * size;
	}
	return p;
}

static void fuzz_set(const uint8_t *bytes, size_t len)
{
	struct wv_program_set set = {0};
	char why[128] = "";

	if (len < 8)
		return;
	set.n_ops = bytes[0];
	set.n_columns = bytes[1];
	set.n_programs = bytes[2] % 8;
	set.n_refs = bytes[3];
	set.n_numbers = bytes[4];
	set.n_truths = bytes[5];
	set.n_state = bytes[6];
	bytes += 8;
	len -= 8;
	set.ops = cut(&bytes, &len, set.n_ops, sizeof(*set.ops));
	set.columns = cut(&bytes, &len, set.n_columns, sizeof(*set.columns));
	set.programs = cut(&bytes, &len, set.n_programs, sizeof(*set.programs));
	set.refs = cut(&bytes, &len, set.n_refs, sizeof(*set.refs));
	if (wv_program_verify(&set, NULL, why, sizeof(why)) == 0)
		run(&set);
	else if (!*why)
		__builtin_trap();
	free(set.ops);
	free(set.columns);
	free(set.programs);
	free(set.refs);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len && bytes[0] % 2 == 0)
		fuzz_text((const char *)bytes + 1, len - 1);
	else if (len)
		fuzz_set(bytes + 1, len - 1);
	return 0;
}
