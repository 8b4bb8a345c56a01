// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drops by the kernel's reason. The kernel half counts per {slot, reason} in a bounded map; numbers
 * become names here, from the running kernel's BTF, for they differ between kernels.
 */
#include "user/collect/net.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

#define REASON_PREFIX "SKB_DROP_REASON_"
/* Reasons above it belong to subsystems (mac80211, openvswitch) and have no enum that can be found
 * by name. */
#define REASONS_MAX 512
#define BATCH 128

static struct {
	bool tried;
	unsigned n;
	char (*names)[WV_FACET_LABEL]; /* indexed by reason, "" where there is none */
} reasons;

/* Reads the names once, at the first drop. */
static void load_names(void)
{
	struct btf *btf;
	const struct btf_type *t;
	int id;

	reasons.tried = true;
	btf = btf__load_vmlinux_btf();
	id = btf ? btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM) : -ENOENT;
	if (id < 0)
		goto out; /* before 5.17, or no BTF: numbers do for labels */
	reasons.names = calloc(REASONS_MAX, sizeof(*reasons.names));
	if (!reasons.names)
		goto out;
	reasons.n = REASONS_MAX;
	t = btf__type_by_id(btf, (__u32)id);
	for (unsigned i = 0; i < btf_vlen(t); i++) {
		const struct btf_enum *e = &btf_enum(t)[i];

		if (e->val >= 0 && e->val < REASONS_MAX)
			wv_drop_label((uint32_t)e->val, btf__name_by_offset(btf, e->name_off),
				      reasons.names[e->val], sizeof(reasons.names[0]));
	}
out:
	btf__free(btf);
}

void wv_drop_label(uint32_t reason, const char *kernel_name, char *buf, size_t size)
{
	size_t skip = strlen(REASON_PREFIX);

	if (reason == WV_DROP_OTHER)
		snprintf(buf, size, "other");
	else if (reason == WV_DROP_UNSPECIFIED)
		snprintf(buf, size, "unspecified");
	else if (kernel_name && kernel_name[0])
		snprintf(buf, size, "%s",
			 kernel_name + (strncmp(kernel_name, REASON_PREFIX, skip) ? 0 : skip));
	else
		snprintf(buf, size, "%u:%u", reason >> 16, reason & 0xffff);
}

static void label_of(uint32_t reason, char *buf, size_t size)
{
	if (!reasons.tried && reason != WV_DROP_OTHER && reason != WV_DROP_UNSPECIFIED)
		load_names();
	wv_drop_label(reason, reason < reasons.n ? reasons.names[reason] : NULL, buf, size);
}

void wv_drop_counts_add(struct wv_drop_counts *c, struct wv_drop_key key, uint64_t count)
{
	bool other = key.reason == WV_DROP_OTHER;

	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].key.slot == key.slot && c->list[i].key.reason == key.reason) {
			c->list[i].count += count;
			return;
		}
	/* the last place is kept for `other` */
	if (c->n < WV_DROP_COUNTS_MAX - (other ? 0 : 1))
		c->list[c->n++] = (struct wv_drop_count){key, count};
	else if (!other)
		wv_drop_counts_add(c, (struct wv_drop_key){WV_SLOT_OTHER, WV_DROP_OTHER}, count);
}

/* Adds all entries of a map; its values are `words` counters each, one a CPU. */
static int read_map(int fd, unsigned words, struct wv_drop_counts *c)
{
	_cleanup_free_ uint64_t *values = malloc(sizeof(*values) * words * BATCH);
	struct wv_drop_key keys[BATCH];
	__u32 at, next, n;
	void *in = NULL;
	bool end = false;

	if (!values)
		return -ENOMEM;
	while (!end) {
		n = BATCH;
		if (bpf_map_lookup_batch(fd, in, &next, keys, values, &n, NULL) < 0) {
			if (errno != ENOENT)
				return -errno;
			end = true;
		}
		for (__u32 i = 0; i < n; i++) {
			uint64_t sum = 0;

			for (unsigned w = 0; w < words; w++)
				sum += values[(size_t)i * words + w];
			wv_drop_counts_add(c, keys[i], sum);
		}
		at = next;
		in = &at;
	}
	return 0;
}

static int read_all(struct wv_agent *agent, struct wv_drop_counts *c)
{
	int live = wv_bpf_map_fd(agent->bpf, "net_drops"),
	    base = wv_bpf_map_fd(agent->bpf, "net_drops_base"), r;

	c->n = 0;
	if (live < 0 || base < 0)
		return -ENOENT;
	r = read_map(live, agent->host->ncpu, c);
	return r < 0 ? r : read_map(base, 1, c);
}

int wv_net_drops_sense(struct wv_agent *agent)
{
	_cleanup_free_ struct wv_drop_counts *c = malloc(sizeof(*c));
	int r = c ? read_all(agent, c) : -ENOMEM;

	if (r < 0)
		return r;
	for (size_t i = 0; i < c->n; i++) {
		const struct wv_drop_count *d = &c->list[i];
		struct wv_facet_row *f;
		char label[WV_FACET_LABEL];

		if (!d->count || !wv_sample_row(&agent->sample, d->key.slot))
			continue;
		label_of(d->key.reason, label, sizeof(label));
		f = wv_sample_add_facet(&agent->sample, WV_FACET_DROP, d->key.slot, label);
		if (!f)
			return -ENOSPC;
		f->v[0] = d->count;
	}
	return 0;
}

/* Only user space writes this map, so reading and storing back loses nothing. */
static int base_add(int fd, struct wv_drop_key key, uint64_t count)
{
	uint64_t sum = 0;

	(void)bpf_map_lookup_elem(fd, &key, &sum);
	sum += count;
	return bpf_map_update_elem(fd, &key, &sum, BPF_ANY) < 0 ? -errno : 0;
}

void wv_net_drops_fold(struct wv_agent *agent, uint32_t slot)
{
	int live = wv_bpf_map_fd(agent->bpf, "net_drops"),
	    base = wv_bpf_map_fd(agent->bpf, "net_drops_base");
	_cleanup_free_ struct wv_drop_counts *c = malloc(sizeof(*c));
	int r = c ? read_all(agent, c) : -ENOMEM;
	struct wv_drop_key key;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		key = c->list[i].key;
		if (key.slot != slot || key.reason == WV_DROP_OTHER)
			continue;
		(void)bpf_map_delete_elem(live, &key);
		(void)bpf_map_delete_elem(base, &key);
		key.slot = agent->sample.rows[slot].parent_slot;
		r = base_add(base, key, c->list[i].count);
		if (r == -E2BIG)
			r = base_add(base, (struct wv_drop_key){WV_SLOT_OTHER, WV_DROP_OTHER},
				     c->list[i].count);
	}
	if (r < 0)
		(void)wv_log_warn(r, "net", "drops by reason of a removed cgroup are lost");
}

void wv_net_drops_stop(void)
{
	free(reasons.names);
	memset(&reasons, 0, sizeof(reasons));
}
