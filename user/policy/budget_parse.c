// SPDX-License-Identifier: GPL-2.0-only
/* Budgets of the configuration: what the rows of lists.def cannot say is checked here. */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "user/core/fields.h"
#include "user/core/share.h"
#include "user/flow/budget.h"
#include "user/flow/sample.h"

#define PPM 1000000ULL
/* kernel/sched/core.c: a quota below 1 ms is refused */
#define QUOTA_MIN_US 1000

static const struct wv_budget blank = {
	.when = {.signal = -1},
	.cpu_quota_us = WV_UNSET,
	.cpu_weight = WV_UNSET,
	.memory_high_bytes = WV_UNSET,
	.memory_max_bytes = WV_UNSET,
	.io_rbps = WV_UNSET,
	.io_wbps = WV_UNSET,
	.io_riops = WV_UNSET,
	.io_wiops = WV_UNSET,
	.pids_max = WV_UNSET,
	.files_max = WV_UNSET,
	.egress_bps = WV_UNSET,
	.ingress_bps = WV_UNSET,
	.egress_pps = WV_UNSET,
	.ingress_pps = WV_UNSET,
	.connects_ps = WV_UNSET,
	.burst_bytes = WV_UNSET,
	.burst_packets = WV_UNSET,
	.burst_connects = WV_UNSET,
	.forks_ps = WV_UNSET,
	.execs_ps = WV_UNSET,
};

static int check_when(const struct wv_yaml *y, const yaml_node_t *node, struct wv_condition *when)
{
	const yaml_node_t *clear = wv_fields_node(y, node, "when", "clear");

	if (when->signal < 0)
		return 0;
	if (!wv_fields_node(y, node, "when", "rate"))
		when->rate = wv_signal_is_counter((enum wv_signal)when->signal);
	if (!clear)
		when->clear = when->above;
	else if (when->clear > when->above)
		return wv_yaml_error(y, clear,
				     "when.clear: expected at most what `above` says, "
				     "else the budget would come and go at every tick");
	return 0;
}

/* The quota was read as millionths of a CPU, as the period may stand after it. */
static int check_cpu(const struct wv_yaml *y, const yaml_node_t *node, struct wv_budget *b)
{
	const yaml_node_t *quota = wv_fields_node(y, node, "cpu", "quota");

	if (!quota || wv_is_share(b->cpu_quota_us))
		return 0;
	b->cpu_quota_us = b->cpu_quota_us * b->cpu_period_us / PPM;
	if (b->cpu_quota_us < QUOTA_MIN_US)
		return wv_yaml_error(y, quota,
				     "cpu.quota: %" PRIu64 " us in a period of %" PRIu64
				     " us; expected 1ms or more: choose a longer cpu.period",
				     b->cpu_quota_us, b->cpu_period_us);
	return 0;
}

static int check_memory(const struct wv_yaml *y, const yaml_node_t *node, const struct wv_budget *b)
{
	/* a size and a share can be compared only when the share is known */
	if (b->memory_high_bytes != WV_UNSET && b->memory_high_bytes > b->memory_max_bytes &&
	    wv_is_share(b->memory_high_bytes) == wv_is_share(b->memory_max_bytes))
		return wv_yaml_error(y, wv_fields_node(y, node, "memory", "high"),
				     "memory.high: expected at most memory.max, which would "
				     "otherwise hit first");
	return 0;
}

static bool has_io(const struct wv_budget *b)
{
	return b->io_rbps != WV_UNSET || b->io_wbps != WV_UNSET || b->io_riops != WV_UNSET ||
	       b->io_wiops != WV_UNSET;
}

static int check_io(const struct wv_yaml *y, const yaml_node_t *node, const struct wv_budget *b)
{
	const yaml_node_t *io = wv_fields_node(y, node, "io", NULL);

	if (!io)
		return 0;
	if (!*b->io_device)
		return wv_yaml_error(y, io, "io.device is missing; expected device: /dev/vda");
	if (!has_io(b))
		return wv_yaml_error(y, io,
				     "io: expected one of read, write, read_iops, "
				     "write_iops beside the device");
	return 0;
}

/* A burst alone would limit nothing. */
static int check_bursts(const struct wv_yaml *y, const yaml_node_t *node, const struct wv_budget *b)
{
	const struct {
		const char *key, *needs;
		bool given, used;
	} bursts[] = {
		{"burst", "egress or ingress", b->burst_bytes != WV_UNSET,
		 b->egress_bps != WV_UNSET || b->ingress_bps != WV_UNSET},
		{"burst_packets", "egress_packets or ingress_packets", b->burst_packets != WV_UNSET,
		 b->egress_pps != WV_UNSET || b->ingress_pps != WV_UNSET},
		{"burst_connects", "connects", b->burst_connects != WV_UNSET,
		 b->connects_ps != WV_UNSET},
	};

	for (size_t i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++)
		if (bursts[i].given && !bursts[i].used)
			return wv_yaml_error(y, wv_fields_node(y, node, "network", bursts[i].key),
					     "network.%s: expected %s beside it", bursts[i].key,
					     bursts[i].needs);
	return 0;
}

static bool has_limit(const struct wv_budget *b)
{
	return b->cpu_quota_us != WV_UNSET || b->cpu_weight != WV_UNSET ||
	       b->memory_high_bytes != WV_UNSET || b->memory_max_bytes != WV_UNSET || has_io(b) ||
	       b->pids_max != WV_UNSET || b->files_max != WV_UNSET || b->egress_bps != WV_UNSET ||
	       b->ingress_bps != WV_UNSET || b->egress_pps != WV_UNSET ||
	       b->ingress_pps != WV_UNSET || b->connects_ps != WV_UNSET ||
	       b->forks_ps != WV_UNSET || b->execs_ps != WV_UNSET;
}

/* They become breakers, which know domains only and are always in force. */
static int check_rates(const struct wv_yaml *y, const yaml_node_t *node, const struct wv_budget *b)
{
	if (b->forks_ps == WV_UNSET && b->execs_ps == WV_UNSET)
		return 0;
	if (!*b->domain)
		return wv_yaml_error(y, wv_fields_node(y, node, "rates", NULL),
				     "rates: expected `domain` instead of `cgroup` beside them");
	if (b->when.signal >= 0)
		return wv_yaml_error(y, wv_fields_node(y, node, "rates", NULL),
				     "rates: always in force; expected a budget of their own, "
				     "without `when`");
	return 0;
}

static int check_target(const struct wv_yaml *y, const yaml_node_t *node, const struct wv_budget *b)
{
	if (*b->domain && *b->cgroup)
		return wv_yaml_error(y, node, "expected either domain or cgroup, got both");
	if (!*b->domain && !*b->cgroup)
		return wv_yaml_error(y, node, "expected domain: NAME or cgroup: /batch.slice");
	return 0;
}

static int check(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_budget *b = item;
	int r = check_target(y, node, b);

	if (r < 0)
		return r;
	b->line = (unsigned)node->start_mark.line + 1;
	if (!wv_fields_node(y, node, "", "name")) {
		const char *name = *b->cgroup ? b->cgroup : b->domain;

		if (strlen(name) >= sizeof(b->name))
			return wv_yaml_error(y, node,
					     "name is missing; expected one, as the "
					     "cgroup pattern is longer than 63 bytes");
		memcpy(b->name, name, sizeof(b->name));
	}
	r = check_when(y, node, &b->when);
	r = r ?: check_bursts(y, node, b);
	r = r ?: check_io(y, node, b);
	r = r ?: check_memory(y, node, b);
	r = r ?: check_cpu(y, node, b);
	r = r ?: check_rates(y, node, b);
	if (r == 0 && !has_limit(b))
		return wv_yaml_error(y, node,
				     "budget '%s' limits nothing; expected one of cpu, "
				     "memory, io, pids, files, network with a limit in it",
				     b->name);
	return r;
}

int wv_budgets_parse_list(const struct wv_yaml *y, const yaml_node_t *node, bool policy,
			  struct wv_budget **ret, size_t *ret_n)
{
	const struct wv_list_parse how = {
		.list = policy ? "policy_budgets" : "budgets",
		.size = sizeof(struct wv_budget),
		.name_offset = offsetof(struct wv_budget, name),
		.blank = &blank,
		.check = check,
	};
	void *items;
	int r = wv_list_parse(y, node, &how, &items, ret_n);

	if (r == 0)
		*ret = items;
	return r;
}

int wv_budgets_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	return wv_budgets_parse_list(y, node, false, &c->budgets, &c->n_budgets);
}
