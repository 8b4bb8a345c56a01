// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cost of the whole engine, as the agent and the replayer run it.
 *
 *   policy_cost tick RULES CGROUPS TICKS      one tick: samples into columns, domains, conditions,
 * breakers, blast radius, modes. Prints median, 99th percentile, least and most in us, decisions,
 * and bytes allocated while it ran policy_cost replay POLICY CGROUPS TICKS   a run of one sample a
 * second, recorded and read back. Prints bytes a sample, seconds of the run, seconds to replay it,
 * decisions
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/evidence/samples.h"
#include "user/policy/engine.h"
#include "user/policy/policy.h"

#define SECOND 1000000000ULL

static uint64_t seed = 88172645463325252ULL;

static uint64_t draw(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static void die(const char *what)
{
	fprintf(stderr, "policy_cost: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static struct wv_policy *policy_of(unsigned n_rules)
{
	static const char *const forms[] = {
		"rate(cpu_usage_ns) > %u%%",
		"ratio(rate(tcp_retransmits), rate(net_tx_packets)) > %u%% and "
		"rate(net_tx_packets) > 50/s",
		"mem_usage_bytes > %uM and rate(psi_mem_some_us) > 5%%",
		"ewma(rate(psi_cpu_some_us), 10s) > %u%%",
		"rate(task_forks) > %u/s and task_processes > 3",
		"rate(io_write_bytes) + rate(io_read_bytes) > %uM/s",
		"p99(io_latency) > %ums and rate(io_reads) > 10/s",
		"cusum(rate(mem_heap_growth_bytes), 1M/s, 1M/s) > %uM",
	};
	struct wv_config_error error;
	struct wv_policy *p;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "schema_version: 1\nname: cost\ndomains:\n  - {name: all, scope: {cgroup: "
		   "\"/c*\"}}\nrules:\n");
	for (unsigned i = 0; i < n_rules; i++) {
		char condition[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(condition, sizeof(condition), forms[i % 8], 40 + i / 8);
#pragma GCC diagnostic pop
		fprintf(f,
			"  - {name: r%u, domain: all, if: \"%s\", for: 5s, then: [mode degraded, "
			"alert]}\n",
			i, condition);
	}
	fclose(f);
	if (wv_policy_load_memory(&p, "cost", text, len, &error) < 0)
		die(error.text);
	free(text);
	return p;
}

static void make_rows(struct wv_sample *s, unsigned n)
{
	if (wv_sample_init(s, n + 2) < 0)
		die("no memory");
	s->mono_ns = 1000 * SECOND;
	s->used_rows = n + 1;
	for (unsigned i = 1; i <= n; i++) {
		s->rows[i] = (struct wv_row){.key = 1000 + i, .flags = WV_ROW_LIVE};
		snprintf(s->rows[i].path, sizeof(s->rows[i].path), "/c%u", i);
	}
}

/* A second later: busy cgroups change most figures, idle ones none. */
static void advance(struct wv_sample *s, unsigned busy_percent)
{
	s->seq++;
	s->mono_ns += SECOND + draw(2000);
	s->wall_ns += SECOND;
	for (uint32_t i = 1; i < s->used_rows; i++) {
		struct wv_figures *f = &s->rows[i].f;

		if (draw(100) >= busy_percent)
			continue;
		f->v[WV_SIG_CPU_USAGE] += draw(500000000);
		f->v[WV_SIG_CPU_SWITCH_VOLUNTARY] += draw(3000);
		f->v[WV_SIG_CPU_RUN_DELAY] += draw(90000000);
		f->v[WV_SIG_NET_TX_PACKETS] += draw(1000);
		f->v[WV_SIG_NET_TX_BYTES] += draw(900000);
		f->v[WV_SIG_TCP_RETRANSMITS] += draw(3);
		f->v[WV_SIG_MEM_USAGE] = 40000000 + draw(4000000);
		f->v[WV_SIG_MEM_HEAP_GROWTH] += draw(100000);
		f->v[WV_SIG_MEM_MINOR_FAULTS] += draw(500);
		f->v[WV_SIG_IO_READ_BYTES] += draw(900000);
		f->v[WV_SIG_IO_READS] += draw(30);
		f->v[WV_SIG_TASK_FORKS] += draw(4);
		f->v[WV_SIG_TASK_PROCESSES] = 5 + draw(5);
		for (int k = 0; k < 6; k++) {
			f->hist[WV_HIST_RUNQ_LATENCY].bucket[k] += draw(300);
			f->hist[WV_HIST_IO_LATENCY].bucket[k + 5] += draw(5);
		}
		f->hist[WV_HIST_RUNQ_LATENCY].sum_ns += draw(90000000);
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void bench_tick(unsigned n_rules, unsigned n_cgroups, unsigned ticks)
{
	struct wv_policy *p = policy_of(n_rules);
	uint64_t *took = calloc(ticks, sizeof(*took));
	const struct wv_rule_decision *d;
	struct wv_engine *e;
	struct wv_domains domains;
	struct wv_sample s;
	size_t before = 0, decisions = 0;

	make_rows(&s, n_cgroups);
	if (!took || wv_engine_new(&e, p, n_cgroups + 2, 3 * SECOND) < 0 ||
	    wv_domains_init(&domains, n_cgroups + 2) < 0)
		die("no memory");
	wv_domains_set_policy(&domains, p);
	for (unsigned i = 0; i < ticks + 10; i++) {
		uint64_t start;

		advance(&s, 100);
		if (i == 10)
			before = mallinfo2().uordblks + mallinfo2().hblkhd;
		start = now_ns();
		decisions += wv_engine_tick(e, &s, &domains, &d);
		if (i >= 10)
			took[i - 10] = now_ns() - start;
	}
	before = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	qsort(took, ticks, sizeof(*took), by_value);
	printf("%.0f %.0f %.0f %.0f %zu %zu\n", (double)took[ticks / 2] / 1e3,
	       (double)took[ticks * 99 / 100] / 1e3, (double)took[0] / 1e3,
	       (double)took[ticks - 1] / 1e3, decisions, before);
}

static void bench_replay(const char *path, unsigned n_cgroups, unsigned ticks)
{
	char folder[] = "/tmp/waveos-replay.XXXXXX";
	struct wv_samples_writer *w;
	struct wv_samples_reader *r;
	const struct wv_rule_decision *d;
	const struct wv_sample *got;
	struct wv_config_error error;
	struct wv_domains domains;
	struct wv_engine *e;
	struct wv_policy *p;
	struct wv_sample s;
	const char *text;
	uint64_t start;
	size_t decisions = 0;
	int dir = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY) : -1, fd;

	if (wv_policy_load(&p, path, &error) < 0)
		die(error.text);
	make_rows(&s, n_cgroups);
	for (unsigned i = 1; i <= n_cgroups; i++) /* in the scope of most shipped policies */
		snprintf(s.rows[i].path, sizeof(s.rows[i].path), "/web.slice/c%u", i);
	if (dir < 0 || wv_samples_open(&w, &wv_io_system, dir, n_cgroups + 2, 1) < 0)
		die("cannot record");
	for (unsigned i = 0; i < ticks; i++) {
		advance(&s, 20);
		if (wv_samples_tick(w, &s) < 0)
			die("cannot record");
	}
	(void)wv_samples_rotate(w, true);
	wv_samples_close(w);
	fd = openat(dir, WV_SAMPLES_NAME, O_RDONLY);

	start = now_ns();
	if (wv_engine_new(&e, p, n_cgroups + 2, 3 * SECOND) < 0 ||
	    wv_domains_init(&domains, n_cgroups + 2) < 0 ||
	    wv_samples_read_open(&r, dir, n_cgroups + 2) < 0)
		die("cannot replay");
	wv_domains_set_policy(&domains, p);
	while (wv_samples_read(r, &got, &text) == 'T')
		decisions += wv_engine_tick(e, got, &domains, &d);
	start = now_ns() - start;
	printf("%.0f %u %.4f %zu\n", (double)lseek(fd, 0, SEEK_END) / ticks, ticks,
	       (double)start / 1e9, decisions);
	(void)unlinkat(dir, WV_SAMPLES_NAME, 0);
	(void)rmdir(folder);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "tick") == 0)
		bench_tick((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]),
			   (unsigned)atoi(argv[4]));
	else if (argc == 5 && strcmp(argv[1], "replay") == 0)
		bench_replay(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
	else
		die("see the head of tests/bench/policy_cost.c");
	return 0;
}
