// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any bytes as answers of an API server, to pods and to policies. The first byte
 * says whether it is a list or a watch and the size of the pieces that it comes in; cut
 * differently, the same objects come out.
 */
#include <stdlib.h>
#include <string.h>

#include "user/kube/json.h"
#include "user/kube/pods.h"
#include "user/kube/policies.h"
#include "user/kube/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct sink {
	struct wv_kube_policies policies;
	uint64_t told;
};

static void begin(void *ctx)
{
	wv_kube_policies_begin(&((struct sink *)ctx)->policies);
}

static void object(void *ctx, struct json_object *o)
{
	struct sink *s = ctx;
	char owner[64];

	s->told++;
	wv_kube_owner(wv_kube_object(o, "metadata"), owner, sizeof(owner));
	wv_kube_policies_take(&s->policies, o);
	wv_kube_policies_choose(&s->policies);
}

static void gone(void *ctx, struct json_object *o)
{
	struct sink *s = ctx;

	s->told++;
	wv_kube_policies_gone(&s->policies, o);
}

static void fresh(void *ctx)
{
	struct sink *s = ctx;

	wv_kube_policies_fresh(&s->policies);
	for (size_t i = 0; i < s->policies.n; i++)
		json_object_put(wv_kube_policy_status(s->policies.list[i], "n1",
						      "2026-01-01T00:00:00Z", true));
}

static const struct wv_kube_watch_fns fns = {begin, object, gone, fresh};

static uint64_t feed(bool watching, size_t piece, const char *text, size_t len)
{
	struct sink s = {.policies = {.node = "n1"}};
	struct wv_kube_watch w = {.name = "x", .path = "/x", .query = "", .fns = &fns, .ctx = &s};
	char path[WV_KUBE_PATH_SIZE];
	int r = 0;

	wv_kube_watch_init(&w);
	w.watching = watching;
	if (!wv_kube_watch_due(&w, 1, 0, path))
		abort();
	for (size_t at = 0; at < len && r == 0; at += piece)
		r = wv_kube_watch_take(&w, 200, text + at, len - at < piece ? len - at : piece);
	wv_kube_watch_over(&w, 200, r < 0 ? "ended" : NULL, 0, 2, 0);
	if (wv_kube_watch_when(&w) == UINT64_MAX || strlen(w.why) >= sizeof(w.why))
		abort();
	wv_kube_watch_done(&w);
	wv_kube_policies_done(&s.policies);
	return s.told;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t piece;
	char *text;

	if (!len)
		return 0;
	text = malloc(len); /* exactly as long: the sanitizer sees what is read beyond */
	if (!text)
		abort();
	memcpy(text, bytes + 1, len - 1);
	piece = (size_t)(bytes[0] >> 1) + 1;
	if (feed(bytes[0] & 1, piece, text, len - 1) != feed(bytes[0] & 1, len, text, len - 1))
		abort();
	free(text);
	return 0;
}
