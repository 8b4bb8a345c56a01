// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cost of one tick of the rules: so many rules on so many cgroups, all of them in scope, figures
 * that change at every tick. The time is of turning the samples into columns, evaluating, and
 * stepping the breakers.
 *
 *   eval_cost [--rules N] [--lanes N] [--ticks N] [--narrow]
 * prints one line a kind of policy: kind, median, 99th percentile and least time in us, then what
 * the set is
 *   distinct  every rule has thresholds, half-lives and windows of its own
 *   shared    rules differ in their thresholds only
 *   heavy     every rule has a window, an ewma() and a cusum() of its own: more than policies have
 * --narrow: without the vectors that this machine has beyond the least of its kind.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/policy/rule_state.h"

#define WARM_UP 20

static unsigned n_rules = 1000, n_lanes = 1000, n_ticks = 300;
static bool narrow;
static uint64_t seed = 1;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static const char *const forms[] = {
	"rate(cpu_usage_ns) > %u%%",
	"ratio(rate(tcp_retransmits), rate(net_tx_packets)) > %u%% and rate(net_tx_packets) > %u/s",
	"mem_usage_bytes > %uM and rate(psi_mem_some_us) > %u%%",
	"ewma(rate(psi_cpu_some_us), %us) > 10%% and rate(cpu_throttled_periods) > %u",
	"rate(task_forks) > %u and task_processes > %u",
	"rate(io_write_bytes) + rate(io_read_bytes) > %uM or io_inflight > %u",
	"p99(io_latency) > %ums and rate(io_reads) > %u",
	"rate(tcp_connect_failures) > %u or rate(err_fatal_signals) > %u",
	"sock_accept_depth > %u%% * sock_accept_max and rate(tcp_accepts) > %u",
	"ewma(rate(mem_major_faults), %us) > %u and age > 1m",
};

/* One rule of the mix; variant makes it a rule of its own. */
static void write_rule(char *buf, size_t size, unsigned i, bool distinct)
{
	unsigned form = i % 10, variant = i / 10;

	switch (form) {
	case 3:
	case 9:
		snprintf(buf, size, forms[form], distinct ? 5 + variant : 30, 10 + variant);
		break;
	default:
		snprintf(buf, size, forms[form], 5 + variant, 10 + variant);
	}
	if (distinct && form == 2)
		snprintf(buf, size,
			 "avg(mem_usage_bytes, %us) > %uM and slope(mem_rss_bytes) * %u > 1G",
			 30 + variant, 100 + variant, 2 + variant);
	if (distinct && form == 8)
		snprintf(buf, size,
			 "cusum(ratio(rate(cpu_run_delay_ns), rate(cpu_switch_voluntary)), %uus, "
			 "1ms) > 1s",
			 100 + variant);
}

enum kind { DISTINCT, SHARED, HEAVY };
static const char *const kind_names[] = {"distinct", "shared", "heavy"};

static int compile(struct wv_program_set *set, enum kind kind)
{
	struct wv_expr_error error;
	char text[WV_EXPR_TEXT_MAX + 1];
	int r;

	for (unsigned i = 0; i < n_rules; i++) {
		if (kind == HEAVY && i % 2)
			snprintf(text, sizeof(text),
				 "ewma(rate(task_forks), %ums) > %u/s and cusum(task_threads, %u, "
				 "9) > 999",
				 1000 + i, 20 + i, i);
		else if (kind == HEAVY)
			snprintf(
				text, sizeof(text),
				"avg(rate(net_tx_bytes) * %u, %ums) > 1T or p99(io_latency) > %ums",
				i + 2, 10000 + i, i + 1);
		else
			write_rule(text, sizeof(text), i, kind == DISTINCT);
		r = wv_program_add(set, i, text, &error);
		if (r < 0) {
			fprintf(stderr, "%s\n%u: %s\n", text, error.offset,
				r == -ENOMEM ? "out of memory" : error.text);
			return r;
		}
	}
	return wv_program_finish(set);
}

/* Mostly little, one in 400 a thousand times as much: rules trip now and then. */
static uint64_t figure(enum wv_signal s)
{
	uint64_t v = next_random() % (wv_signals[s].scale == WV_ONE ? 10 : 1000);

	if (wv_signals[s].scale == WV_NS || wv_signals[s].scale == WV_BYTES_SCALE)
		v *= 1000;
	return next_random() % 400 ? v : v * 1000;
}

static void sample(uint64_t (*figures)[WV_SIG_N], struct wv_hist (*hists)[WV_HIST_N])
{
	for (unsigned lane = 0; lane < n_lanes; lane++) {
		for (unsigned s = 0; s < WV_SIG_N; s++) {
			uint64_t v = figure((enum wv_signal)s);

			if (wv_signal_is_counter((enum wv_signal)s))
				figures[lane][s] += v;
			else
				figures[lane][s] = v;
		}
		for (unsigned h = 0; h < WV_HIST_N; h++) {
			unsigned b = next_random() % 16;

			hists[lane][h].bucket[b] += 10;
			hists[lane][h].sum_ns += 10000ULL << b;
		}
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* One tick from the samples to the transitions. */
static void tick(struct wv_vm *vm, struct wv_rule_states *states, uint64_t now_ns,
		 uint64_t (*figures)[WV_SIG_N], struct wv_hist (*hists)[WV_HIST_N],
		 struct wv_rule_transitions *changes)
{
	wv_vm_begin(vm, now_ns);
	for (unsigned lane = 0; lane < n_lanes; lane++)
		wv_vm_set_lane(vm, lane, lane + 1, 0, figures[lane], hists[lane]);
	wv_vm_run(vm);
	changes->n = 0;
	for (uint32_t p = 0; p < n_rules; p++)
		wv_rule_states_step(states, p, wv_vm_results(vm, p), NULL, vm->n_blocks, now_ns,
				    changes);
}

static int measure(enum kind which)
{
	const char *kind = kind_names[which];
	uint64_t(*figures)[WV_SIG_N] = calloc(n_lanes, sizeof(*figures));
	struct wv_hist(*hists)[WV_HIST_N] = calloc(n_lanes, sizeof(*hists));
	double *times = calloc(n_ticks, sizeof(*times));
	struct wv_rule_timing *timing = calloc(n_rules, sizeof(*timing));
	struct wv_rule_transitions changes = {.max = (size_t)n_rules * n_lanes};
	struct wv_rule_states states;
	struct wv_program_cost cost;
	struct wv_program_set set;
	size_t tripped = 0, heap;
	struct wv_vm vm;
	char why[128] = "";
	int r = figures && hists && times && timing ? wv_program_set_init(&set) : -ENOMEM;

	changes.list = calloc(changes.max, sizeof(*changes.list));

	if (r == 0)
		r = compile(&set, which) ?: wv_program_verify(&set, &cost, why, sizeof(why));
	if (r == 0)
		r = wv_vm_init(&vm, &set, n_lanes, 10000000000ULL)
			    ?: wv_rule_states_init(&states, timing, n_rules, n_lanes,
						   10000000000ULL);
	if (r < 0 || !changes.list) {
		fprintf(stderr, "%s: %s %s\n", kind, strerror(-r), why);
		return 1;
	}
	if (narrow)
		vm.run_block = wv_vm_run_block;
	for (uint32_t p = 0; p < set.n_programs; p++)
		for (unsigned b = 0; b < vm.n_blocks; b++)
			wv_vm_set_scope(&vm, p, b, ~0ULL);
	heap = mallinfo2().uordblks;
	for (unsigned t = 0; t < n_ticks + WARM_UP; t++) {
		double start, end;

		sample(figures, hists);
		start = microseconds();
		tick(&vm, &states, (t + 1) * 1000000000ULL, figures, hists, &changes);
		end = microseconds();
		if (t >= WARM_UP)
			times[t - WARM_UP] = end - start;
	}
	if (mallinfo2().uordblks != heap) {
		fprintf(stderr, "%s: memory was allocated in a tick\n", kind);
		return 1;
	}
	for (uint32_t p = 0; p < set.n_programs; p++)
		for (unsigned b = 0; b < vm.n_blocks; b++)
			tripped += (size_t)__builtin_popcountll(wv_vm_result(&vm, p, b).true_mask);
	qsort(times, n_ticks, sizeof(*times), compare);
	printf("%s %.0f %.0f %.0f ops=%u state=%zu bytes_per_lane=%llu bound_us=%.0f true=%.2f%% "
	       "changes=%zu\n",
	       kind, times[n_ticks / 2], times[n_ticks * 99 / 100], times[0], cost.n_ops,
	       set.n_state * sizeof(double), (unsigned long long)cost.bytes_per_lane,
	       (double)cost.ps_per_lane * n_lanes / 1e6,
	       (double)tripped * 100 / ((double)n_rules * n_lanes), changes.n);
	wv_rule_states_done(&states);
	wv_vm_done(&vm);
	wv_program_set_done(&set);
	free(changes.list);
	free(timing);
	free(figures);
	free(hists);
	free(times);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"rules", required_argument, NULL, 'r'},
		{"lanes", required_argument, NULL, 'l'},
		{"ticks", required_argument, NULL, 't'},
		{"narrow", no_argument, NULL, 'n'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			n_rules = (unsigned)atoi(optarg);
			break;
		case 'l':
			n_lanes = (unsigned)atoi(optarg);
			break;
		case 't':
			n_ticks = (unsigned)atoi(optarg);
			break;
		case 'n':
			narrow = true;
			break;
		default:
			return 2;
		}
	}
	return measure(DISTINCT) || measure(SHARED) || measure(HEAVY);
}
