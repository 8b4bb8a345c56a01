// SPDX-License-Identifier: GPL-2.0-only
/*
 * Three processes at most. The worker itself writes records and `witnessed` below <state>/log: it
 * keeps its user, who owns that, but no capability and of the system calls those for files; it
 * cannot open a socket to another machine. Who talks to witnesses is nobody, without a file of
 * ours; who talks to the TPM keeps CAP_DAC_OVERRIDE for the device, and is never shown what came
 * from the network.
 */
#include "user/evidence/anchor_worker.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "user/agent/beat.h"
#include "user/core/log.h"
#include "user/flow/figures.h"
#include "user/evidence/anchor.h"
#include "user/evidence/anchor_helper.h"
#include "user/export/sandbox.h"
#include "user/spool/rights.h"

/* the first round comes soon, but not at once on all machines that were switched on together */
#define FIRST_MAX_NS 5000000000ULL
#define AFTER_CANCEL_NS 1000000000ULL

struct worker {
	struct wv_anchor anchor;
	struct wv_witness_urls witnesses;
	struct wv_helper http, tpm;
	sd_event *loop;
	int control;
	bool broken; /* a helper is gone: start anew */
};

bool wv_anchor_wanted(const struct wv_config *config)
{
	return config->evidence_witness[0] || config->evidence_tpm[0];
}

/* Helpers ------------------------------------------------------------------------------------- */

static int confine_http(void)
{
	/* before no code can be loaded any more */
	int r = wv_witness_post_load();

	return r < 0 ? r : wv_spool_drop_rights(false, true);
}

/* The request is the URL, a NUL, and the body. */
static int serve_http(void *ctx _unused_, const char *request, size_t len, char **ret,
		      size_t *ret_len)
{
	const char *end = memchr(request, '\0', len);
	int r;

	if (!end)
		return -EINVAL;
	r = wv_witness_post(NULL, request, end + 1, ret);
	*ret_len = *ret ? strlen(*ret) : 0;
	return r;
}

static int confine_tpm(void)
{
	const struct rlimit none = {0, 0};
	bool may = capng_get_caps_process() == 0 &&
		   capng_have_capability(CAPNG_PERMITTED, CAP_DAC_OVERRIDE);

	capng_clear(CAPNG_SELECT_BOTH);
	if (may)
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			      CAP_DAC_OVERRIDE, -1);
	/* the bounding set needs CAP_SETPCAP; no new privileges bound it as well */
	(void)capng_apply(CAPNG_SELECT_BOUNDS);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}

/* The request is the digest; the answer a struct wv_tpm_quote and, behind it, its key. */
static int serve_tpm(void *ctx, const char *request, size_t len, char **ret, size_t *ret_len)
{
	const char *tcti = ctx;
	struct wv_tpm_quote q = {.key_pem = NULL};
	struct wv_hash digest;
	size_t pem;
	int r;

	if (len != sizeof(digest))
		return -EINVAL;
	memcpy(&digest, request, sizeof(digest));
	r = wv_tpm_anchor(strcmp(tcti, "auto") == 0 ? NULL : tcti, &digest, &q);
	if (r < 0)
		return r;
	pem = strlen(q.key_pem);
	*ret = malloc(sizeof(q) + pem);
	if (*ret) {
		memcpy(*ret + sizeof(q), q.key_pem, pem);
		*ret_len = sizeof(q) + pem;
	}
	free(TAKE_PTR(q.key_pem));
	if (*ret)
		memcpy(*ret, &q, sizeof(q));
	return *ret ? 0 : -ENOMEM;
}

/* A helper that is gone or silent is replaced with the whole worker, by the supervisor. */
static int checked(struct worker *w, int r)
{
	if (r != -EPIPE && r != -ETIMEDOUT)
		return r;
	w->broken = true;
	return -ECANCELED;
}

static int post(void *ctx, const char *url, const char *body, char **ret)
{
	struct worker *w = ctx;
	size_t len = strlen(url) + 1 + strlen(body), n;
	_cleanup_free_ char *request = malloc(len + 1);

	if (!request)
		return -ENOMEM;
	memcpy(request, url, strlen(url) + 1);
	memcpy(request + strlen(url) + 1, body, strlen(body) + 1);
	return checked(w, wv_helper_ask(&w->http, request, len, ret, &n));
}

static int quote(void *ctx, const struct wv_hash *digest, struct wv_tpm_quote *ret)
{
	_cleanup_free_ char *answer = NULL;
	struct worker *w = ctx;
	struct wv_tpm_quote q;
	size_t len = 0;
	int r = checked(w, wv_helper_ask(&w->tpm, digest, sizeof(*digest), &answer, &len));

	if (r < 0)
		return r;
	if (len < sizeof(q))
		return -EPROTO;
	memcpy(&q, answer, sizeof(q));
	if (q.message_len > sizeof(q.message) || q.signature_len > sizeof(q.signature))
		return -EPROTO;
	q.key_pem = strdup(answer + sizeof(q));
	if (!q.key_pem)
		return -ENOMEM;
	*ret = q;
	return 0;
}

static void show(const struct worker *w, bool tpm)
{
	uint64_t n[WV_ANCHOR_CONFLICT + 1] = {0};

	for (size_t i = 0; i < w->witnesses.n; i++)
		n[w->anchor.targets[i].state]++;
	if (tpm)
		n[w->anchor.tpm.state]++;
	wv_figure_set(WV_FIG_ANCHOR_GOOD, n[WV_ANCHOR_GOOD]);
	wv_figure_set(WV_FIG_ANCHOR_LOST, n[WV_ANCHOR_LOST]);
	wv_figure_set(WV_FIG_ANCHOR_CONFLICT, n[WV_ANCHOR_CONFLICT]);
}

/* The loop ------------------------------------------------------------------------------------ */

static int on_round(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct worker *w = userdata;
	uint64_t wait = AFTER_CANCEL_NS;
	int r = wv_anchor_round(&w->anchor, &wait);

	show(w, w->anchor.quote);
	if (w->broken) {
		(void)wv_log_full(LOG_ERR, 0, "anchor", "a helper is gone");
		return sd_event_exit(w->loop, EXIT_FAILURE);
	}
	r = sd_event_source_set_time_relative(s, (r < 0 ? AFTER_CANCEL_NS : wait) / 1000);
	return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int start_helpers(struct worker *w, const struct wv_config *config)
{
	const struct wv_helper_work http = {
		.name = "waveos-witness", .confine = confine_http, .serve = serve_http};
	const struct wv_helper_work tpm = {.name = "waveos-tpm",
					   .confine = confine_tpm,
					   .serve = serve_tpm,
					   .ctx = (void *)config->evidence_tpm};
	int r = 0;

	if (w->witnesses.n)
		r = wv_helper_start(&w->http, w->control, &http);
	if (r == 0 && config->evidence_tpm[0]) {
		w->anchor.quote = quote;
		r = wv_helper_start(&w->tpm, w->control, &tpm);
	}
	return r;
}

static int set_up(struct worker *w, const struct wv_worker_context *ctx)
{
	const struct wv_config *config = ctx->config;
	char why[WV_WITNESS_TEXT_SIZE];
	int r = wv_witness_urls_add(&w->witnesses, config->evidence_witness, why);

	if (r < 0)
		return wv_log_errno(0, "anchor", "evidence.witness: %s", why) ?: r;
	r = wv_sandbox_close_fds(&w->control, w->control >= 0);
	if (r == 0)
		r = start_helpers(w, config);
	if (r == 0)
		r = wv_spool_drop_powers(true);
	if (r < 0)
		return wv_log_errno(r, "anchor", "cannot give up rights");
	return wv_beat_loop(&w->loop, w->control);
}

static int run(struct worker *w, const struct wv_worker_context *ctx)
{
	const struct wv_io *io = &wv_io_system;
	uint64_t most = ctx->config->evidence_witness_every / 10, random = 0;
	int r = set_up(w, ctx);

	if (r < 0)
		return r;
	if (most > FIRST_MAX_NS)
		most = FIRST_MAX_NS;
	(void)io->random(io->ctx, &random, sizeof(random));
	r = sd_event_add_time_relative(w->loop, NULL, CLOCK_MONOTONIC, random % (most + 1) / 1000,
				       0, on_round, w);
	if (r >= 0)
		r = wv_beat_start(w->loop, w->control);
	return r < 0 ? r : sd_event_loop(w->loop);
}

int wv_anchor_run(const struct wv_worker_context *ctx)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return EXIT_FAILURE;
	w->control = ctx->control;
	w->anchor = (struct wv_anchor){.io = &wv_io_system,
				       .state = ctx->paths->state,
				       .run_id = ctx->run_id,
				       .every_ns = ctx->config->evidence_witness_every,
				       .witnesses = &w->witnesses,
				       .post = post,
				       .ctx = w};
	w->http.fd = w->tpm.fd = -1;
	r = run(w, ctx);
	if (r < 0)
		(void)wv_log_errno(r, "anchor", "ended");
	wv_anchor_done(&w->anchor);
	sd_event_unref(w->loop);
	wv_closep(&w->http.fd);
	wv_closep(&w->tpm.fd);
	free(w);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
