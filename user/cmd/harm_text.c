// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/harm_text.h"

#include <stdio.h>

#include "user/cmd/top_model.h"

#define PATH_SHOWN 96

static const char *const waits_for[WV_HARM_N] = {"CPU", "memory", "I/O"};

/* What the culprit took, and its share of all. */
static void took(char *buf, size_t size, const struct wv_harm *h, unsigned ncpu)
{
	char word[WV_WORD];

	if (h->kind == WV_HARM_CPU)
		snprintf(buf, size, "%.2f of %u CPUs", h->culprit_took, ncpu);
	else if (h->kind == WV_HARM_MEMORY)
		snprintf(buf, size, "%s/s of new memory", wv_word_bytes(word, h->culprit_took));
	else if (h->by_bytes)
		snprintf(buf, size, "%s/s", wv_word_bytes(word, h->culprit_took));
	else
		snprintf(buf, size, "%.1f requests in flight", h->culprit_took);
}

const char *wv_harm_text(char buf[WV_HARM_TEXT], const struct wv_harm *h,
			 const struct wv_sample *now, unsigned ncpu)
{
	char victim[PATH_SHOWN], culprit[PATH_SHOWN], what[80];
	/* milliseconds a second are permille */
	double wait = 1e3 * (double)h->wait_ns / (double)h->span_ns;
	double blamed = 1e3 * (double)h->blamed_ns / (double)h->span_ns;

	wv_top_path(&now->rows[h->victim], victim, sizeof(victim));
	wv_top_path(&now->rows[h->culprit], culprit, sizeof(culprit));
	if (h->cause == WV_HARM_LIMIT) {
		snprintf(buf, WV_HARM_TEXT,
			 "%s: %s waits %.0f ms a second for the %s of %s, not for others "
			 "(confidence %s)",
			 waits_for[h->kind], victim, blamed,
			 h->kind == WV_HARM_CPU ? "quota" : "memory limit",
			 h->culprit == h->victim ? "its own" : culprit,
			 wv_harm_confidences[h->confidence]);
		return buf;
	}
	took(what, sizeof(what), h, ncpu);
	snprintf(buf, WV_HARM_TEXT,
		 "%s: %s makes %s wait: %.0f of its %.0f ms a second, %.0f %% of %s; it took %s, "
		 "%.0f %% of all that was taken (confidence %s)",
		 waits_for[h->kind], culprit, victim, blamed, wait, h->lost_permille / 10.0,
		 h->kind == WV_HARM_CPU ? "the CPU it needed" : "the time", what,
		 h->share_permille / 10.0, wv_harm_confidences[h->confidence]);
	return buf;
}

static struct json_object *one(const struct wv_harm *h, const struct wv_sample *now)
{
	struct json_object *o = json_object_new_object();
	char path[WV_ROW_PATH_MAX + 4];

	wv_json_str(o, "kind", wv_harm_kinds[h->kind]);
	wv_json_str(o, "cause", wv_harm_causes[h->cause]);
	wv_json_str(o, "confidence", wv_harm_confidences[h->confidence]);
	wv_json_str(o, "victim", wv_top_path(&now->rows[h->victim], path, sizeof(path)));
	wv_json_str(o, "culprit", wv_top_path(&now->rows[h->culprit], path, sizeof(path)));
	wv_json_u64(o, "span_ns", h->span_ns);
	wv_json_u64(o, "wait_ns", h->wait_ns);
	wv_json_u64(o, "blamed_ns", h->blamed_ns);
	wv_json_u64(o, "lost_permille", h->lost_permille);
	wv_json_u64(o, "share_permille", h->share_permille);
	json_object_object_add(o, "culprit_took", json_object_new_double(h->culprit_took));
	json_object_object_add(o, "victim_took", json_object_new_double(h->victim_took));
	wv_json_str(o, "unit",
		    h->kind == WV_HARM_CPU		       ? "cpus"
		    : h->kind == WV_HARM_MEMORY || h->by_bytes ? "bytes_per_second"
							       : "requests_in_flight");
	return o;
}

struct json_object *wv_harm_json(const struct wv_harm *list, size_t n, const struct wv_sample *now)
{
	struct json_object *all = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(all, one(&list[i], now));
	return all;
}
