// SPDX-License-Identifier: GPL-2.0-only
/* Throttles of recovery: a short list by cgroup, merged into what budgets want. */
#include <errno.h>

#include "user/enforce/enforce.h"
#include "user/enforce/enforcer.h"

#define THROTTLES_MAX 1024
#define PERIOD_US 100000
#define QUOTA_MIN_US 1000 /* the kernel's own */

static struct {
	uint64_t key, cpu_ppm;
} throttles[THROTTLES_MAX];
static size_t n_throttles;
static uint64_t changes;

static size_t find(uint64_t key)
{
	size_t i = 0;

	while (i < n_throttles && throttles[i].key != key)
		i++;
	return i;
}

int wv_enforce_throttle(uint64_t key, uint64_t cpu_ppm)
{
	size_t i = find(key);

	if (cpu_ppm == WV_UNSET) {
		if (i < n_throttles)
			throttles[i] = throttles[--n_throttles];
	} else if (i == THROTTLES_MAX) {
		return -ENOSPC;
	} else {
		throttles[i].key = key;
		throttles[i].cpu_ppm = cpu_ppm;
		n_throttles += i == n_throttles;
	}
	changes++;
	return 0;
}

uint64_t wv_throttle_of(uint64_t key)
{
	size_t i = find(key);

	return i < n_throttles ? throttles[i].cpu_ppm : WV_UNSET;
}

unsigned wv_throttle_want(uint64_t cpu_ppm, struct wv_want *ret)
{
	uint64_t quota_us = cpu_ppm / (1000000 / PERIOD_US);

	if (cpu_ppm == WV_UNSET)
		return 0;
	ret->cpu_period_us = PERIOD_US;
	ret->cpu_quota_us = quota_us < QUOTA_MIN_US ? QUOTA_MIN_US : quota_us;
	return 1;
}

uint64_t wv_throttle_changes(void)
{
	return changes;
}

bool wv_throttle_any(void)
{
	return n_throttles;
}

void wv_throttle_forget(uint64_t key)
{
	if (find(key) < n_throttles)
		(void)wv_enforce_throttle(key, WV_UNSET);
}
