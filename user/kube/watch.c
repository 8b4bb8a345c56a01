// SPDX-License-Identifier: GPL-2.0-only
#include "user/kube/watch.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/kube/json.h"

/* A watch that ended sooner with nothing in it did not work. */
#define QUICK_NS 1000000000ULL
/* The collection is not there (no such CRD), or not for us: at first because it is new, like the
 * agent itself; later that may change, but not soon. */
#define ABSENT_NS 30000000000ULL
#define ABSENT_FAILURES 6

uint64_t wv_kube_pause_ns(unsigned failures, uint64_t random)
{
	uint64_t pause = WV_KUBE_PAUSE_FIRST_NS;

	for (unsigned i = 1; i < failures && pause < WV_KUBE_PAUSE_MAX_NS; i++)
		pause *= 2;
	if (pause > WV_KUBE_PAUSE_MAX_NS)
		pause = WV_KUBE_PAUSE_MAX_NS;
	return pause / 2 + random % (pause / 2 + 1);
}

/* Versions are opaque, but they become part of a URL. */
static void take_version(struct wv_kube_watch *w, struct json_object *metadata)
{
	const char *v = wv_kube_text(metadata, "resourceVersion");
	size_t n = strlen(v);

	if (!n || n >= sizeof(w->version))
		return;
	for (const char *p = v; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_' && *p != '.')
			return;
	memcpy(w->version, v, n + 1);
}

/* The server says that it cannot go on: the status is an object of the stream. */
static int take_error(struct wv_kube_watch *w, struct json_object *status)
{
	int64_t code = wv_kube_int(status, "code");

	w->expired = code == 410;
	w->broken = !w->expired;
	snprintf(w->why, sizeof(w->why), "%lld %.120s", (long long)code,
		 wv_kube_text(status, "message"));
	return -ECANCELED;
}

static int take_event(struct wv_kube_watch *w, struct json_object *o)
{
	const char *type = wv_kube_text(o, "type");
	struct json_object *object = wv_kube_object(o, "object");

	if (!object) {
		w->malformed++;
		return 0;
	}
	if (strcmp(type, "ERROR") == 0)
		return take_error(w, object);
	take_version(w, wv_kube_object(object, "metadata"));
	w->told = true;
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
		w->fns->object(w->ctx, object);
	else if (strcmp(type, "DELETED") == 0)
		w->fns->gone(w->ctx, object);
	else if (strcmp(type, "BOOKMARK") != 0)
		return 0; /* kinds that come later than this program */
	w->events++;
	return 0;
}

static int take_part(void *ctx, enum wv_kube_part part, const char *json, size_t len)
{
	struct wv_kube_watch *w = ctx;
	struct json_object *o = wv_kube_parse(json, len);
	int r = 0;

	/* one item less is a wrong list; an event less is made good by the next of its object */
	if (!o && part != WV_KUBE_PART_EVENT)
		return -EBADMSG;
	if (!o) {
		w->malformed++;
		return 0;
	}
	if (part == WV_KUBE_PART_METADATA)
		take_version(w, o);
	else if (part == WV_KUBE_PART_ITEM)
		w->fns->object(w->ctx, o);
	else
		r = take_event(w, o);
	json_object_put(o);
	return r;
}

void wv_kube_watch_init(struct wv_kube_watch *w)
{
	w->split = (struct wv_kube_split){.max = WV_KUBE_OBJECT_MAX, .part = take_part, .ctx = w};
	w->watching = w->running = w->fresh = w->quorum = false;
	w->failures = 0;
	w->version[0] = '\0';
	w->due_ns = 0;
}

void wv_kube_watch_done(struct wv_kube_watch *w)
{
	wv_kube_split_done(&w->split);
}

uint64_t wv_kube_watch_when(const struct wv_kube_watch *w)
{
	return w->running ? UINT64_MAX : w->due_ns;
}

bool wv_kube_watch_due(struct wv_kube_watch *w, uint64_t now_ns, uint64_t random,
		       char ret[WV_KUBE_PATH_SIZE])
{
	const char *and = *w->query ? "&" : "";

	if (w->running || now_ns < w->due_ns)
		return false;
	if (w->watching)
		snprintf(ret, WV_KUBE_PATH_SIZE,
			 "%s?%s%swatch=true&allowWatchBookmarks=true&resourceVersion=%s&"
			 "timeoutSeconds=%u",
			 w->path, w->query, and, w->version,
			 (unsigned)(WV_KUBE_WATCH_S + random % (WV_KUBE_WATCH_S / 2)));
	else /* 0: any state that the server has at hand will do, it need not ask etcd */
		snprintf(ret, WV_KUBE_PATH_SIZE, "%s?%s%s%s", w->path, w->query, and,
			 w->quorum ? "" : "resourceVersion=0");
	w->running = true;
	w->told = w->expired = w->broken = false;
	w->message_len = 0;
	w->status = 0;
	w->begun_ns = now_ns;
	wv_kube_split_begin(&w->split, !w->watching);
	if (!w->watching)
		w->fns->begin(w->ctx);
	return true;
}

int wv_kube_watch_take(struct wv_kube_watch *w, long status, const char *bytes, size_t len)
{
	uint64_t large = w->split.too_large;
	int r;

	if (status != 200) { /* a Status object, or a page of something between */
		size_t room = sizeof(w->message) - 1 - w->message_len;

		len = len < room ? len : room;
		memcpy(w->message + w->message_len, bytes, len);
		w->message_len += len;
		return 0;
	}
	r = wv_kube_split_feed(&w->split, bytes, len);
	w->too_large += w->split.too_large - large;
	if (r == -EBADMSG) {
		w->malformed++;
		snprintf(w->why, sizeof(w->why),
			 "the answer is no JSON of the kind that was asked for");
	}
	w->broken = w->broken || (r < 0 && r != -ECANCELED);
	return r;
}

/* From here on a list, in full from etcd: what the server has at hand may be what was too old. */
static void relist(struct wv_kube_watch *w)
{
	w->watching = false;
	w->quorum = true;
	w->relists++;
}

static void say_why(struct wv_kube_watch *w, long status, const char *error)
{
	struct json_object *o;

	if (w->broken || w->expired)
		return; /* it is said */
	if (error) {
		snprintf(w->why, sizeof(w->why), "%.150s", error);
		return;
	}
	if (status == 200) {
		snprintf(w->why, sizeof(w->why), "the answer was cut short");
		return;
	}
	w->message[w->message_len] = '\0';
	o = wv_kube_parse(w->message, w->message_len);
	snprintf(w->why, sizeof(w->why), "the API server answered %ld%s%.120s", status,
		 o ? ": " : "", o ? wv_kube_text(o, "message") : "");
	json_object_put(o);
}

static void list_over(struct wv_kube_watch *w)
{
	w->lists++;
	w->fresh = true;
	w->quorum = false;
	w->watching = w->version[0] != '\0';
	w->fns->fresh(w->ctx);
}

/* Whether the answer is what it should be. */
static bool is_good(const struct wv_kube_watch *w, long status, const char *error, uint64_t now_ns)
{
	if (status != 200 || w->broken || w->expired)
		return false;
	if (!w->watching)
		return !error && wv_kube_split_whole(&w->split);
	/* a stream that breaks is as good as its end, unless nothing ever comes of it */
	return w->told || now_ns - w->begun_ns >= QUICK_NS;
}

void wv_kube_watch_over(struct wv_kube_watch *w, long status, const char *error,
			uint64_t retry_after_s, uint64_t now_ns, uint64_t random)
{
	uint64_t pause;

	w->running = false;
	w->status = status;
	if (is_good(w, status, error, now_ns)) {
		w->failures = 0;
		w->why[0] = '\0';
		if (!w->watching)
			list_over(w);
		w->due_ns = now_ns;
		return;
	}
	say_why(w, status, error);
	w->failures++;
	if (w->watching && (w->expired || status == 410))
		relist(w);
	pause = wv_kube_pause_ns(w->failures, random);
	if ((status == 404 || status == 403) && w->failures >= ABSENT_FAILURES)
		pause = ABSENT_NS / 2 + random % (ABSENT_NS / 2);
	if (retry_after_s) {
		uint64_t asked = (retry_after_s < 60 ? retry_after_s : 60) * 1000000000ULL;

		pause = pause > asked ? pause : asked + random % (asked / 4);
	}
	/* too old is nobody's fault: the first list comes at once */
	w->due_ns = now_ns + (w->expired && w->failures == 1 ? 0 : pause);
}
