// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/kinds.h"

#include <fcntl.h>
#include <unistd.h>

#include "user/alert/worker.h"
#include "user/api/api.h"
#include "user/bundle/install.h"
#include "user/core/cleanup.h"
#include "user/evidence/anchor_worker.h"
#include "user/export/web.h"
#include "user/flow/gpu.h"
#include "user/gpu/worker.h"
#include "user/jobs/jobs.h"
#include "user/kube/kube.h"
#include "user/kube/names.h"
#include "user/otlp/otlp.h"
#include "user/proxy/proxy.h"
#include "user/recover/services.h"
#include "user/spool/spool.h"
#include "user/update/update.h"

/* Mapped while files can still be opened, and never unmapped. */
static const struct wv_kube_names *names_of_pods(const struct wv_worker_context *ctx)
{
	_cleanup_close_ int dir = open(ctx->paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 && wv_kube_wanted(ctx->config) ? wv_kube_names_map(dir, false) : NULL;
}

/* The same way; the worker that writes it may start later, or never. */
static const struct wv_gpu_view *figures_of_gpus(const struct wv_worker_context *ctx)
{
	_cleanup_close_ int dir = open(ctx->paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 ? wv_gpu_view_watch(dir) : NULL;
}

static int run_web(const struct wv_worker_context *ctx)
{
	const struct wv_web_fds fds = {.tcp = ctx->listen_fd,
				       .local = ctx->local_fd,
				       .control = ctx->control,
				       .api = ctx->api,
				       .pods = names_of_pods(ctx),
				       .gpus = figures_of_gpus(ctx)};

	return wv_web_run(ctx->config, ctx->snapshot, &fds);
}

/* Services: some to run, or some left that have to be ended. */
static bool wants_services(const struct wv_worker_context *ctx)
{
	char path[WV_PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s/" WV_SERVICES_FILE, ctx->paths->runtime);
	return ctx->policy->n_services || access(path, F_OK) == 0;
}

static bool wants_core(const struct wv_worker_context *ctx _unused_)
{
	return true;
}

static bool wants_web(const struct wv_worker_context *ctx)
{
	return ctx->listen_fd >= 0;
}

/* Where bundles are or may come; their verbs send SIGHUP for the first one. */
static bool wants_bundle(const struct wv_worker_context *ctx)
{
	return wv_bundle_wanted(ctx->paths);
}

static bool wants_proxy(const struct wv_worker_context *ctx)
{
	return wv_proxy_wanted(ctx->config);
}

static bool wants_spool(const struct wv_worker_context *ctx)
{
	return wv_spool_wanted(ctx->config);
}

static bool wants_update(const struct wv_worker_context *ctx)
{
	return wv_update_wanted(ctx->config);
}

static bool wants_anchor(const struct wv_worker_context *ctx)
{
	return wv_anchor_wanted(ctx->config);
}

static bool wants_otlp(const struct wv_worker_context *ctx)
{
	return wv_otlp_wanted(ctx->config);
}

static bool wants_alert(const struct wv_worker_context *ctx)
{
	return wv_alert_wanted(ctx->config);
}

static bool wants_kube(const struct wv_worker_context *ctx)
{
	return wv_kube_wanted(ctx->config);
}

static bool wants_gpu(const struct wv_worker_context *ctx)
{
	return wv_gpu_wanted(ctx->config);
}

static bool wants_jobs(const struct wv_worker_context *ctx)
{
	return wv_jobs_wanted(ctx->config);
}

/* Services come first: they need nothing of the others. */
const struct wv_worker_kind wv_worker_kinds[] = {
	{WV_WORKER_SERVICES, false, wants_services, wv_services_run},
	{WV_WORKER_CORE, true, wants_core, wv_core_run},
	{WV_WORKER_BUNDLE, false, wants_bundle, wv_bundle_run},
	{WV_WORKER_WEB, true, wants_web, run_web},
	{WV_WORKER_PROXY, false, wants_proxy, wv_proxy_run},
	{WV_WORKER_SPOOL, false, wants_spool, wv_spool_run},
	{WV_WORKER_UPDATE, false, wants_update, wv_update_run},
	{WV_WORKER_ANCHOR, false, wants_anchor, wv_anchor_run},
	{WV_WORKER_API, true, wants_web, wv_api_run},
	{WV_WORKER_OTLP, true, wants_otlp, wv_otlp_run},
	{WV_WORKER_ALERT, false, wants_alert, wv_alert_run},
	{WV_WORKER_KUBE, false, wants_kube, wv_kube_run},
	{WV_WORKER_GPU, true, wants_gpu, wv_gpu_run},
	{WV_WORKER_JOBS, false, wants_jobs, wv_jobs_run},
};
_Static_assert(ARRAY_SIZE(wv_worker_kinds) == WV_WORKER_N, "each worker has a row");
