// SPDX-License-Identifier: GPL-2.0-only
/*
 * At an orderly end: a DaemonSet that is replaced by its next version leaves its limits in force,
 * one that was uninstalled takes them along. The agent's own signal is the same, so the API server
 * is asked.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/kube/internal.h"
#include "user/kube/json.h"

/* Part of what an agent may take to end; the supervisor waits five seconds for its workers. */
#define ASK_NS (2 * WV_KUBE_SECOND_NS)
#define ANSWER_MS 1000

struct question {
	struct wv_kube_answer answer;
	long status;
	bool over;
};

static int on_bytes(void *ctx, long status _unused_, const char *bytes, size_t len)
{
	struct question *q = ctx;

	return wv_kube_collect(&q->answer, bytes, len);
}

static void on_over(void *ctx, long status, const char *error, uint64_t retry_after_s _unused_)
{
	struct question *q = ctx;

	q->status = error ? 0 : status;
	q->over = true;
}

/*
 * Gone, or going: it says so; or its rights are gone with it, which an uninstall removes in the
 * same breath. Anything else, no answer above all, says nothing.
 */
static bool is_gone(const struct question *q)
{
	_cleanup_(wv_kube_putp) struct json_object *o = NULL;

	if (q->status == 404 || q->status == 403 || q->status == 401)
		return true;
	if (q->status != 200)
		return false;
	o = wv_kube_parse(q->answer.text ?: "", q->answer.len);
	return *wv_kube_text(wv_kube_object(o, "metadata"), "deletionTimestamp") != '\0';
}

void wv_kube_leave(struct wv_kube_worker *w)
{
	const char *set = w->ctx->config->kubernetes_daemonset, *slash = strchr(set, '/');
	struct question q = {.over = false};
	struct wv_kube_request request = {.take = on_bytes, .over = on_over, .ctx = &q};
	uint64_t end = wv_kube_now(w) + ASK_NS;
	char path[512], message = WV_CONTROL_DETACH;

	if (!slash || w->control < 0)
		return;
	snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%.*s/daemonsets/%s",
		 (int)(slash - set), set, slash + 1);
	if (wv_kube_request(w->client, &request, path, NULL, 2) < 0)
		return;
	while (!q.over && wv_kube_now(w) < end)
		if (wv_kube_client_turn(w->client, NULL, 0, 100) < 0)
			break;
	if (q.over && is_gone(&q)) {
		wv_kube_forget(w);
		wv_log_info("kube", "the DaemonSet %s is gone: everything that is held is let go",
			    set);
		if (send(w->control, &message, 1, MSG_NOSIGNAL) == 1)
			(void)wv_kube_await(w, (const char[]){WV_CONTROL_IN_FORCE, 0}, ANSWER_MS);
	}
	free(q.answer.text);
}
