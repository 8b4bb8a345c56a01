// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/self.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "waveos/wire.h"

static void read_places(struct wv_self *self, const struct wv_bpf *bpf, unsigned ncpu)
{
	int fd = wv_bpf_map_fd(bpf, "wv_places");
	_cleanup_free_ struct wv_place_count *per_cpu = calloc(ncpu ?: 1, sizeof(*per_cpu));

	for (__u32 i = 0; per_cpu && fd >= 0 && i < WV_PLACE_N; i++) {
		if (bpf_map_lookup_elem(fd, &i, per_cpu) < 0)
			return;
		self->places[i] = 0;
		for (unsigned c = 0; c < ncpu; c++) {
			self->places[i] += per_cpu[c].count;
			if (per_cpu[c].last_errno)
				self->place_errno[i] = per_cpu[c].last_errno;
		}
	}
}

static void read_events(struct wv_self *self, const struct wv_bpf *bpf, unsigned ncpu)
{
	int fd = wv_bpf_map_fd(bpf, "wv_event_counts");
	_cleanup_free_ struct wv_event_count *per_cpu = calloc(ncpu ?: 1, sizeof(*per_cpu));

	for (__u32 i = 0; per_cpu && fd >= 0 && i < WV_EV_N; i++) {
		uint64_t produced = 0, dropped = 0;

		if (bpf_map_lookup_elem(fd, &i, per_cpu) < 0)
			return;
		for (unsigned c = 0; c < ncpu; c++) {
			produced += per_cpu[c].produced;
			dropped += per_cpu[c].dropped;
		}
		self->events_produced[i] = produced;
		self->events_dropped[i] = dropped;
	}
}

static void read_programs(struct wv_self *self, const struct wv_bpf *bpf)
{
	const char *name;
	int fd;

	self->n_progs = 0;
	for (size_t i = 0; self->n_progs < WV_MAX_PROGS && wv_bpf_prog_at(bpf, i, &name, &fd);
	     i++) {
		struct wv_prog_stats *p = &self->progs[self->n_progs];
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);

		if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
			continue;
		memset(p, 0, sizeof(*p));
		snprintf(p->name, sizeof(p->name), "%.31s", name);
		p->verified_insns = info.verified_insns;
		p->run_ns = info.run_time_ns;
		p->run_count = info.run_cnt;
		p->misses = info.recursion_misses;
		self->n_progs++;
	}
}

/* utime + stime of /proc/<pid>/stat, fields 14 and 15 (proc(5)), after the name in parentheses. */
static uint64_t process_cpu_ns(uint32_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long utime, stime;
	char path[64], line[512], *p;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return 0;
	p = strrchr(line, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &utime,
			 &stime) != 2)
		return 0;
	return (uint64_t)(utime + stime) * (1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK));
}

void wv_self_read(struct wv_self *self, const struct wv_bpf *bpf, const uint32_t *pids,
		  unsigned n_pids)
{
	int n = libbpf_num_possible_cpus();
	unsigned ncpu = n > 0 ? (unsigned)n : 0;

	read_places(self, bpf, ncpu);
	read_events(self, bpf, ncpu);
	read_programs(self, bpf);
	self->cpu_ns = 0;
	for (unsigned i = 0; i < n_pids; i++)
		if (pids[i])
			self->cpu_ns += process_cpu_ns(pids[i]);
}

void wv_self_read_memory(struct wv_self *self, const struct wv_bpf *bpf, const uint32_t *pids,
			 unsigned n_pids)
{
	self->rss_bytes = self->pss_bytes = 0;
	for (unsigned i = 0; i < n_pids; i++) {
		_cleanup_fclose_ FILE *f = NULL;
		unsigned long long kib;
		char path[64], line[128];

		if (!pids[i])
			continue;
		snprintf(path, sizeof(path), "/proc/%u/smaps_rollup", pids[i]);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "Rss: %llu kB", &kib) == 1)
				self->rss_bytes += kib * 1024;
			if (sscanf(line, "Pss: %llu kB", &kib) == 1)
				self->pss_bytes += kib * 1024;
		}
	}
	self->map_bytes = wv_bpf_map_bytes(bpf);
}
