// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the policy that counts to the agent: the file is replaced, the supervisor reads it, and what
 * it refuses is taken back at once, so that the file is always one that the agent can start with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "user/agent/policy_source.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/kube/internal.h"
#include "user/kube/json.h"

#define NAME "policy.yaml" /* WV_POLICY_CLUSTER */
#define TEXT_MAX (1U << 20)
/* The supervisor answers at once, unless it is loading programs. */
#define ANSWER_MS 20000

int wv_kube_hand_over_open(struct wv_kube_worker *w)
{
	char path[WV_PATH_SIZE + 32];
	int r;

	snprintf(path, sizeof(path), "%s/kubernetes", w->ctx->paths->state);
	r = wv_io_mkdirs(w->io, path, 0750);
	if (r < 0)
		return r;
	r = w->io->open(w->io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (r < 0)
		return r;
	w->folder = r;
	r = wv_io_read_file(w->io, w->folder, NAME, TEXT_MAX, &w->text, NULL);
	return r == -ENOENT ? 0 : r;
}

static int put_file(struct wv_kube_worker *w, const char *text)
{
	int r = text ? wv_io_replace(w->io, w->folder, NAME, text, strlen(text), 0640)
		     : w->io->unlink(w->io->ctx, w->folder, NAME);

	return r == -ENOENT && !text ? 0 : r;
}

void wv_kube_forget(struct wv_kube_worker *w)
{
	(void)put_file(w, NULL);
}

static void told(struct wv_kube_worker *w, const char *outcome, const struct wv_kube_policy *k,
		 const char *why)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "outcome", json_object_new_string(outcome));
	if (k) {
		json_object_object_add(o, "object", json_object_new_string(k->name));
		json_object_object_add(o, "generation", json_object_new_int64(k->generation));
		json_object_object_add(o, "mode",
				       json_object_new_string(k->enforce ? "enforce" : "monitor"));
		if (*k->version)
			json_object_object_add(o, "policy_version",
					       json_object_new_string(k->version));
	}
	if (why)
		json_object_object_add(o, "why", json_object_new_string(why));
	wv_kube_record(w, "cluster-policy", o);
}

/* Asks the supervisor to read the policy again. 0, -EINVAL with why, or -ETIMEDOUT. */
static int reload(struct wv_kube_worker *w, char *why, size_t size)
{
	_cleanup_free_ char *text = NULL;
	char answer;

	if (w->control < 0)
		return 0;
	answer = WV_CONTROL_RELOAD;
	if (send(w->control, &answer, 1, MSG_NOSIGNAL) < 0)
		return -errno;
	answer = wv_kube_await(w, (const char[]){WV_CONTROL_IN_FORCE, WV_CONTROL_REFUSED, 0},
			       ANSWER_MS);
	if (answer == WV_CONTROL_IN_FORCE)
		return 0;
	if (answer != WV_CONTROL_REFUSED)
		return -ETIMEDOUT;
	if (wv_io_read_file(w->io, w->runtime, WV_POLICY_REFUSED, 4096, &text, NULL) < 0)
		text = NULL;
	snprintf(why, size, "%s", text ?: "the agent's log says why");
	return -EINVAL;
}

/* Puts this text (NULL: none) in the place of the one that is there. 0, or -errno with why; then
 * all is as before. */
static int replace(struct wv_kube_worker *w, const char *text, char *why, size_t size)
{
	_cleanup_free_ char *copy = text ? strdup(text) : NULL;
	int r = text && !copy ? -ENOMEM : put_file(w, text);

	if (r == 0)
		r = reload(w, why, size);
	if (r == 0) {
		free(w->text);
		w->text = TAKE_PTR(copy);
		return 0;
	}
	if (r != -EINVAL)
		snprintf(why, size, "%s", strerror(-r));
	(void)put_file(w, w->text);
	return r;
}

/* Where the machine's own policy comes from, if that comes before a cluster's; NULL: it does not.
 */
static const char *local_first(const struct wv_kube_worker *w)
{
	const char *path = wv_policy_path(w->ctx->config, w->ctx->paths);
	size_t n = strlen(path), end = sizeof(WV_POLICY_CLUSTER) - 1;

	if (!*path || strcmp(path, w->ctx->paths->policy) == 0 ||
	    (n > end && strcmp(path + n - end, WV_POLICY_CLUSTER) == 0))
		return NULL;
	return path;
}

static void say(struct wv_kube_policy *k, enum wv_kube_verdict verdict, const char *message)
{
	k->verdict = verdict;
	snprintf(k->message, sizeof(k->message), "%s", message);
}

static void note_invalid(struct wv_kube_worker *w)
{
	for (size_t i = 0; i < w->policies.n; i++) {
		struct wv_kube_policy *k = w->policies.list[i];

		if (!k || k->verdict != WV_KUBE_INVALID || k->noted)
			continue;
		k->noted = true;
		(void)wv_log_warn(0, "kube", "WaveosPolicy %s is invalid: %s", k->name, k->error);
		told(w, "invalid", k, k->error);
	}
}

/* Hands the chosen one over. False: it was refused, another one may count now. */
static bool hand_over_chosen(struct wv_kube_worker *w, struct wv_kube_policy *k)
{
	char why[512] = "";
	int r;

	if (w->text && strcmp(w->text, k->text) == 0) {
		snprintf(w->version, sizeof(w->version), "%s", k->version);
		return true;
	}
	r = replace(w, k->text, why, sizeof(why));
	if (r == 0) {
		snprintf(w->version, sizeof(w->version), "%s", k->version);
		wv_log_info("kube", "WaveosPolicy %s (%s) is handed over as %s", k->name,
			    k->enforce ? "enforce" : "monitor", k->version);
		told(w, "taken", k, NULL);
		return true;
	}
	(void)wv_log_warn(0, "kube", "WaveosPolicy %s is refused: %s", k->name, why);
	if (!k->noted)
		told(w, "refused", k, why);
	k->noted = true;
	k->refused = true;
	snprintf(k->error, sizeof(k->error), "%s", why);
	return false;
}

static void remove_policy(struct wv_kube_worker *w)
{
	char why[512] = "";
	int r = w->text ? replace(w, NULL, why, sizeof(why)) : 0;

	w->version[0] = '\0';
	if (r < 0)
		(void)wv_log_warn(0, "kube", "the last policy cannot be taken out of force: %s",
				  why);
}

/* The words of what is in force. The agent's own version is the only one that counts. */
static void look_at_agent(struct wv_kube_worker *w, struct wv_kube_policy *k)
{
	const struct wv_snapshot *head = w->ctx->snapshot ? w->ctx->snapshot->head : NULL;
	char version[80] = "";

	if (head)
		snprintf(version, sizeof(version), "%.79s", head->policy_version);
	w->settled = strcmp(version, k->version) == 0;
	if (w->settled && k->enforce && !w->ctx->config->enforce_enabled)
		say(k, WV_KUBE_MONITORED, "this node only observes (enforce.enabled is false)");
	else if (w->settled && k->enforce)
		say(k, WV_KUBE_ENFORCED, "in force");
	else if (w->settled)
		say(k, WV_KUBE_MONITORED,
		    "mode is monitor: what it decides is recorded, nothing is done");
	else
		say(k, WV_KUBE_PENDING, "handed to the agent, not in force yet");
}

static struct wv_kube_policy *chosen(struct wv_kube_worker *w)
{
	for (size_t i = 0; i < w->policies.n; i++)
		if (w->policies.list[i] == w->policies.chosen)
			return w->policies.list[i];
	return NULL;
}

static void mark_refused(struct wv_kube_worker *w)
{
	for (size_t i = 0; i < w->policies.n; i++)
		if (w->policies.list[i]->verdict == WV_KUBE_REFUSED)
			snprintf(w->policies.list[i]->message, sizeof(w->policies.list[i]->message),
				 "%s", w->policies.list[i]->error);
}

void wv_kube_hand_over(struct wv_kube_worker *w)
{
	const char *local = local_first(w);
	struct wv_kube_policy *k;
	char message[600];

	/* labels that are not known yet could make another one count */
	w->judged = w->policy_stream.watch.fresh &&
		    (w->policies.labels_known || !wv_kube_policies_want_labels(&w->policies));
	if (!w->judged)
		return;
	for (size_t turn = 0; turn <= WV_KUBE_POLICIES_MAX; turn++) {
		wv_kube_policies_choose(&w->policies);
		k = chosen(w);
		if (!k || local || hand_over_chosen(w, k))
			break;
	}
	note_invalid(w);
	mark_refused(w);
	w->settled = true;
	if (!k) {
		/* what was in force stays where the new ones are refused */
		for (size_t i = 0; i < w->policies.n; i++)
			if (w->policies.list[i]->verdict == WV_KUBE_REFUSED ||
			    w->policies.list[i]->verdict == WV_KUBE_INVALID)
				return;
		if (w->text) {
			wv_log_info("kube", "no WaveosPolicy is for this node any more");
			told(w, "removed", NULL, NULL);
		}
		remove_policy(w);
		return;
	}
	if (local) {
		snprintf(message, sizeof(message), "%.500s of the node itself comes first", local);
		say(k, WV_KUBE_LOCAL, message);
		return;
	}
	look_at_agent(w, k);
}
