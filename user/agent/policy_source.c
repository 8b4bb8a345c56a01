// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/policy_source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "user/bundle/install.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/enforce/breaker.h"
#include "user/enforce/gate.h"
#include "user/flow/budget.h"
#include "user/kube/kube.h"
#include "user/policy/policy.h"

/* Of the active policy bundle; sha256 "": there is none. */
static const char *bundle_policy(const struct wv_paths *paths, char sha256[WV_SHA256_HEX])
{
	static char path[WV_PATH_SIZE]; /* one agent a process */

	sha256[0] = '\0';
	return wv_bundle_use(paths, WV_BUNDLE_POLICY, path, sha256) == 0 ? path : NULL;
}

/* What the worker of Kubernetes wrote last stays in force while the API server is away. */
static const char *cluster_policy(const struct wv_config *config, const struct wv_paths *paths)
{
	static char path[WV_PATH_SIZE + sizeof(WV_POLICY_CLUSTER) + 1];

	if (!wv_kube_wanted(config) || !config->kubernetes_policies)
		return NULL;
	snprintf(path, sizeof(path), "%s/" WV_POLICY_CLUSTER, paths->state);
	return access(path, F_OK) == 0 ? path : NULL;
}

static bool is_cluster(const char *path, const struct wv_paths *paths)
{
	size_t n = strlen(paths->state);

	return strncmp(path, paths->state, n) == 0 && strcmp(path + n, "/" WV_POLICY_CLUSTER) == 0;
}

const char *wv_policy_path(const struct wv_config *config, const struct wv_paths *paths)
{
	char sha256[WV_SHA256_HEX];
	const char *bundle;

	if (config->policy_file[0])
		return config->policy_file;
	bundle = bundle_policy(paths, sha256) ?: cluster_policy(config, paths);
	if (bundle)
		return bundle;
	return access(paths->policy, F_OK) == 0 ? paths->policy : "";
}

/* Adds the configuration's budgets and takes the policy over. */
static int with_budgets(struct wv_policy *p, const struct wv_config *config, struct wv_policy **ret,
			struct wv_config_error *ret_error)
{
	const char *name = "";
	int r = wv_policy_add_budgets(p, config->budgets, config->n_budgets, &name);

	if (r == -EEXIST)
		r = wv_config_fail(ret_error, "%.120s: budget '%s' is also in %.120s; rename one",
				   p->source, name, config->source);
	if (r < 0) {
		wv_policy_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

int wv_policy_read(struct wv_policy **ret, const struct wv_config *config,
		   const struct wv_paths *paths, struct wv_config_error *ret_error)
{
	char sha256[WV_SHA256_HEX];
	const char *bundle = config->policy_file[0] ? NULL : bundle_policy(paths, sha256);
	const char *path = bundle ?: wv_policy_path(config, paths);
	struct wv_policy *p = NULL;
	int r = 0;

	if (*path && is_cluster(path, paths)) {
		r = wv_policy_load(&p, path, ret_error);
		/* of another version of the agent, perhaps; the worker tells the cluster */
		if (r < 0) {
			(void)wv_log_warn(r, "policy",
					  "what a WaveosPolicy left is passed over: %s",
					  ret_error->text);
			path = access(paths->policy, F_OK) == 0 ? paths->policy : "";
		}
	}
	if (p)
		r = 0;
	else if (*path)
		r = wv_policy_load(&p, path, ret_error);
	else if (!(p = wv_policy_new()))
		r = -ENOMEM;
	/* the very bytes that were parsed are those that were signed */
	if (r == 0 && bundle && strcmp(p->digest, sha256) != 0) {
		wv_policy_free(p);
		r = wv_config_fail(ret_error, "%.300s is not the file that was signed", path);
	}
	return r < 0 ? r : with_budgets(p, config, ret, ret_error);
}

bool wv_policy_without_cluster(struct wv_policy **p, const struct wv_config *config,
			       const struct wv_paths *paths, const char *why)
{
	struct wv_config_error error = {.text = ""};
	struct wv_policy *other;

	if (!is_cluster((*p)->source, paths) || unlink((*p)->source) < 0)
		return false;
	(void)wv_log_warn(0, "policy", "what a WaveosPolicy left is passed over: %s", why);
	if (wv_policy_read(&other, config, paths, &error) < 0)
		return false;
	wv_policy_free(*p);
	*p = other;
	return true;
}

void wv_policy_tell_refused(const struct wv_paths *paths, const char *why)
{
	_cleanup_close_ int dir = open(paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0)
		(void)wv_io_replace(&wv_io_system, dir, WV_POLICY_REFUSED, why, strlen(why), 0644);
}

int wv_policy_accept(const struct wv_policy *p, const struct wv_paths *paths)
{
	_cleanup_close_ int dir = open(paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return -errno;
	return wv_io_replace(&wv_io_system, dir, WV_POLICY_ACCEPTED, p->text ?: "", p->text_len,
			     0600);
}

int wv_policy_accepted(struct wv_policy **ret, const struct wv_config *config,
		       const struct wv_paths *paths, struct wv_config_error *ret_error)
{
	_cleanup_close_ int dir = open(paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct wv_policy *p = NULL;
	size_t len;
	int r = dir < 0 ? -errno
			: wv_io_read_file(&wv_io_system, dir, WV_POLICY_ACCEPTED, 1U << 20, &text,
					  &len);

	if (r < 0)
		return r;
	if (!len)
		return (p = wv_policy_new()) ? with_budgets(p, config, ret, ret_error) : -ENOMEM;
	r = wv_policy_load_memory(&p, wv_policy_path(config, paths), text, len, ret_error);
	return r < 0 ? r : with_budgets(p, config, ret, ret_error);
}

bool wv_policy_refused(const struct wv_host *host, const struct wv_bpf *bpf,
		       const struct wv_policy *p, char *why, size_t size)
{
	char reason[200] = "";

	for (size_t i = 0; i < p->n_breakers; i++) {
		const struct wv_breaker *b = &p->breakers[i];

		if (b->fail == WV_FAIL_OPEN || !p->features[WV_FEATURE_BREAKERS] ||
		    wv_breaker_check(host, bpf, b, reason, sizeof(reason)) == 0)
			continue;
		snprintf(why, size,
			 "line %u: breaker '%s' must not fail open and cannot be enforced: %s",
			 b->line, b->name, reason);
		return true;
	}
	return wv_gates_refuse(host, bpf, p, why, size) < 0;
}

int wv_policy_read_accepted(struct wv_policy **ret, const struct wv_config *config,
			    const struct wv_paths *paths, const struct wv_host *host,
			    const struct wv_bpf *bpf, struct wv_config_error *ret_error)
{
	struct wv_policy *p;
	int r = wv_policy_read(&p, config, paths, ret_error);

	if (r < 0)
		return r;
	if (wv_policy_refused(host, bpf, p, ret_error->text, sizeof(ret_error->text)))
		r = -EOPNOTSUPP;
	r = r ?: wv_policy_accept(p, paths);
	if (r < 0)
		wv_policy_free(p);
	else
		*ret = p;
	return r;
}
