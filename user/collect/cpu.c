// SPDX-License-Identifier: GPL-2.0-only
/* User half of bpf/cpu.bpf.c: CPU time, run queue latency, switches, migrations, faults. */
#include "waveos/cpu.h"

#include <errno.h>
#include <stdio.h>

#include "skel/cpu.btf.skel.h"
#include "skel/cpu.raw.skel.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

/* Words of struct wv_cpu_row, in order, and the signals that they are. */
static const enum wv_signal row_signals[] = {
	WV_SIG_CPU_USAGE,
	WV_SIG_CPU_RUN_DELAY,
	WV_SIG_CPU_SWITCH_VOLUNTARY,
	WV_SIG_CPU_SWITCH_INVOLUNTARY,
	WV_SIG_CPU_MIGRATIONS,
	WV_SIG_MEM_MINOR_FAULTS,
	WV_SIG_MEM_MAJOR_FAULTS,
};
#define RUN_DELAY_WORD 1
#define HIST_WORD (offsetof(struct wv_cpu_row, runq_latency) / sizeof(__u64))

static void store_row(void *ctx, uint32_t slot, const uint64_t *words)
{
	struct wv_sample *s = ctx;
	struct wv_row *row = wv_sample_row(s, slot);
	uint64_t before;

	if (!row)
		return;
	before = row->f.v[WV_SIG_CPU_USAGE];
	for (size_t i = 0; i < ARRAY_SIZE(row_signals); i++)
		wv_sample_set(s, slot, row_signals[i], words[i]);
	wv_sample_set_hist(s, slot, WV_HIST_RUNQ_LATENCY, words + HIST_WORD, words[RUN_DELAY_WORD]);
	if (row->f.v[WV_SIG_CPU_USAGE] != before)
		row->flags |= WV_ROW_ACTIVE;
	else
		row->flags &= ~(uint32_t)WV_ROW_ACTIVE;
}

/* Charges the tasks that run right now on every CPU, so that one that never sleeps shows up too. */
static void flush_stints(struct wv_agent *agent)
{
	int prog = wv_bpf_prog_fd(agent->bpf, "cpu_flush");

	for (unsigned cpu = 0; prog >= 0 && cpu < agent->host->ncpu; cpu++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = cpu);

		/* ENXIO: the CPU is offline */
		if (bpf_prog_test_run_opts(prog, &opts) < 0 && errno != ENXIO) {
			(void)wv_log_full(LOG_DEBUG, -errno, "cpu", "flush on CPU %u", cpu);
			return;
		}
	}
}

static int sense(struct wv_agent *agent)
{
	if (!wv_bpf_has(agent->bpf, "cpu"))
		return 0;
	flush_stints(agent);
	return wv_bpf_table_read(agent->bpf, "cpu_rows", agent->sample.used_rows, store_row,
				 &agent->sample);
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	static const char *const names[] = {"CPU time, faults", "run queue latency",
					    "switches, migrations"};
	const char *uses =
		host->flavour == WV_FLAVOUR_BTF ? "tp_btf/sched_switch" : "raw_tp/sched_switch";
	const char *reason = "";
	bool ok = host->flavour != WV_FLAVOUR_NONE;
	int r = 0;

	if (!ok)
		reason = "the kernel takes neither BTF nor raw tracepoint programs";
	else if (bpf && !wv_bpf_has(bpf, "cpu")) {
		ok = false;
		reason = wv_bpf_reason(bpf, "cpu");
	} else if (host->flavour == WV_FLAVOUR_RAW) {
		reason = "BTF tracepoints are refused";
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
		r = wv_capability_add(caps, "cpu", names[i],
				      !ok	  ? WV_CAP_MISSING
				      : reason[0] ? WV_CAP_FALLBACK
						  : WV_CAP_OK,
				      ok ? uses : "", reason);
	return r;
}

static const void *elf_btf(size_t *size)
{
	return cpu_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return cpu_raw__elf_bytes(size);
}

static const struct wv_table_desc tables[] = {
	{"cpu_rows", sizeof(struct wv_cpu_row), true},
	{0},
};

static const struct wv_object object = {
	.name = "cpu",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.tables = tables,
};

const struct wv_module wv_module_cpu = {
	.name = "cpu",
	.summary = "CPU time, run queue latency, context switches, migrations, page faults",
	.object = &object,
	.probe = probe,
	.sense = sense,
};
