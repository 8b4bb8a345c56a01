// SPDX-License-Identifier: GPL-2.0-only
/* Statuses of policies are written back, one request at a time. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/kube/internal.h"
#include "user/kube/json.h"

/* Who sums up: the first machine by name at once, each further one so much later, if it is still
 * wrong. */
#define SUM_STEP_NS (WV_KUBE_SECOND_NS / 2)
#define SUM_MAX_NS (60 * WV_KUBE_SECOND_NS)
#define TIMEOUT_S 15
/* A verdict may change without a word from the server: core takes a policy over. */
#define LOOK_NS (WV_KUBE_SECOND_NS / 5)

static struct wv_kube_policy *find(struct wv_kube_worker *w, const char *name)
{
	for (size_t i = 0; i < w->policies.n; i++)
		if (strcmp(w->policies.list[i]->name, name) == 0)
			return w->policies.list[i];
	return NULL;
}

static int on_bytes(void *ctx, long status _unused_, const char *bytes, size_t len)
{
	struct wv_kube_worker *w = ctx;

	return wv_kube_collect(&w->tell_answer, bytes, len);
}

static void on_over(void *ctx, long status, const char *error, uint64_t retry_after_s)
{
	struct wv_kube_worker *w = ctx;
	struct wv_kube_policy *k = find(w, w->telling);
	_cleanup_(wv_kube_putp) struct json_object *o = NULL;

	w->telling[0] = '\0';
	w->dirty = true;
	if (k && !error && status == 200) {
		o = wv_kube_parse(w->tell_answer.text ?: "", w->tell_answer.len);
		k->failures = 0;
		if (o)
			wv_kube_policies_take(&w->policies, o);
	} else if (k) {
		/* a conflict: the watch brings what it was with, soon */
		if (status != 409 && !k->failures)
			(void)wv_log_warn(
				0, "kube",
				"status of WaveosPolicy %s is not written: %s (%ld) %.600s",
				k->name, error ?: "the API server refuses it", status,
				w->tell_answer.text ?: "");
		k->failures++;
		k->due_ns = wv_kube_now(w) + wv_kube_pause_ns(k->failures, wv_kube_random(w)) +
			    (retry_after_s < 60 ? retry_after_s : 60) * WV_KUBE_SECOND_NS;
		if (status == 409)
			k->sum_ns = k->due_ns;
	}
	free(w->tell_answer.text);
	w->tell_answer = (struct wv_kube_answer){.text = NULL};
}

void wv_kube_tell_open(struct wv_kube_worker *w)
{
	w->tell_request = (struct wv_kube_request){.take = on_bytes, .over = on_over, .ctx = w};
}

static void now_text(const struct wv_kube_worker *w, char ret[32])
{
	time_t t = (time_t)(w->io->wall_ns(w->io->ctx) / WV_KUBE_SECOND_NS);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* Notes when the summary is this machine's to write. */
static void plan_sum(struct wv_kube_worker *w, struct wv_kube_policy *k, uint64_t now)
{
	uint64_t wait = wv_kube_policy_rank(k, w->node) * SUM_STEP_NS;

	if (!k->summed_wrong)
		k->sum_ns = 0;
	else if (!k->sum_ns)
		k->sum_ns = now + (wait < SUM_MAX_NS ? wait : SUM_MAX_NS);
}

/* Whether a request was made. */
static bool tell_one(struct wv_kube_worker *w, struct wv_kube_policy *k, uint64_t now)
{
	_cleanup_(wv_kube_putp) struct json_object *patch = NULL;
	bool sum = k->sum_ns && now >= k->sum_ns;
	char time[32], path[640];

	if (now < k->due_ns)
		return false;
	now_text(w, time);
	patch = wv_kube_policy_status(k, w->node, time, sum);
	plan_sum(w, k, now);
	if (!patch && k->sum_ns && now >= k->sum_ns && !sum)
		patch = wv_kube_policy_status(k, w->node, time, true);
	if (!patch)
		return false;
	snprintf(path, sizeof(path), WV_KUBE_POLICIES_PATH "/%s/status", k->name);
	if (wv_kube_request(w->client, &w->tell_request, path,
			    json_object_to_json_string_ext(patch, JSON_C_TO_STRING_PLAIN),
			    TIMEOUT_S) < 0)
		return false;
	snprintf(w->telling, sizeof(w->telling), "%s", k->name);
	return true;
}

void wv_kube_tell(struct wv_kube_worker *w)
{
	uint64_t now = wv_kube_now(w);

	if (*w->telling || (!w->dirty && now < w->tell_ns) || !w->judged)
		return;
	w->dirty = false;
	for (size_t i = 0; i < w->policies.n; i++)
		if (tell_one(w, w->policies.list[i], now))
			break;
	w->tell_ns = now + (w->settled ? WV_KUBE_SECOND_NS : LOOK_NS);
}

uint64_t wv_kube_tell_when(const struct wv_kube_worker *w)
{
	if (*w->telling)
		return UINT64_MAX;
	return w->dirty ? 0 : w->tell_ns;
}
