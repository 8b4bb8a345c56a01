// SPDX-License-Identifier: GPL-2.0-only
/* From a configuration to a HAProxy that runs under it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "user/agent/core.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/proxy/worker.h"

#define REFUSED_RETRY_NS 30000000000ULL

/* Views of the proxies that are in force now; figures of those that were there before go on. */
int wv_proxy_renew_views(struct wv_proxy_worker *w)
{
	struct wv_proxy_view *views = calloc(w->config.n_proxies ?: 1, sizeof(*views));

	if (!views)
		return -ENOMEM;
	for (size_t i = 0; i < w->config.n_proxies; i++) {
		for (size_t k = 0; k < w->state.n; k++)
			if (strcmp(w->state.views[k].proxy->name, w->config.proxies[i].name) == 0)
				views[i] = w->state.views[k];
		views[i].proxy = &w->config.proxies[i];
	}
	free(w->state.views);
	w->state.views = views;
	w->state.n = w->config.n_proxies;
	return 0;
}

static bool in_force(const struct wv_proxy_worker *w, const char *text)
{
	_cleanup_free_ char *old = NULL;
	size_t len;

	return wv_io_read_file(&wv_io_system, AT_FDCWD, w->files.config, 1U << 22, &old, &len) ==
		       0 &&
	       strcmp(old, text) == 0;
}

static void refuse(struct wv_proxy_worker *w, int r, const char *why)
{
	snprintf(w->state.refusal, sizeof(w->state.refusal), "%s", *why ? why : strerror(-r));
	w->state.refused++;
	/* a certificate that is missing now may be there later */
	w->start_at_ns = wv_proxy_now_ns() + REFUSED_RETRY_NS;
	(void)wv_log_full(LOG_ERR, 0, WV_PROXY_MODULE, "configuration not in force: %s%s",
			  w->state.refusal, w->current.pid ? "; the old one goes on" : "");
}

/* The list is empty now: what runs finishes what it has. */
static void retire(struct wv_proxy_worker *w)
{
	struct wv_proxy_process *old = wv_proxy_free_old(w);

	wv_proxy_signal(&w->next, SIGKILL);
	w->state.refusal[0] = '\0';
	w->start_at_ns = 0;
	if (!w->current.pid)
		return;
	wv_proxy_signal(&w->current, SIGUSR1);
	wv_proxy_move(w, &w->current, old);
	w->state.haproxy = 0;
	wv_proxy_forget(&w->files);
	wv_log_info(WV_PROXY_MODULE, "no proxy is declared any more");
}

/* Brings HAProxy to the configuration; leaves it alone where nothing is different. */
void wv_proxy_apply(struct wv_proxy_worker *w)
{
	struct wv_config_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	int r;

	if (!w->config.n_proxies) {
		retire(w);
		return;
	}
	r = wv_proxy_installed(&w->config, &error);
	if (r == 0)
		r = wv_proxy_files_translate(&w->files, &w->config, &text, &error);
	if (r == 0 && w->current.pid && in_force(w, text)) {
		w->state.refusal[0] = '\0';
		return;
	}
	if (r == 0)
		r = wv_proxy_check(&w->files, &w->config, text, &error);
	if (r == 0)
		r = wv_proxy_accept(&w->files);
	if (r < 0) {
		refuse(w, r, error.text);
		return;
	}
	w->state.refusal[0] = '\0';
	wv_proxy_signal(&w->next, SIGKILL);
	if (!w->current.pid) {
		wv_proxy_launch_current(w);
		return;
	}
	if (w->next.pid) {
		(void)waitid(P_PIDFD, (id_t)w->next.pidfd, &(siginfo_t){0}, WEXITED);
		wv_proxy_let_go(&w->next);
	}
	r = wv_proxy_launch(w, &w->next, true);
	if (r < 0)
		refuse(w, r, "");
}

void wv_proxy_reload(struct wv_proxy_worker *w)
{
	struct wv_config_error error = {.text = ""};
	struct wv_config fresh, old = w->config;
	bool free_old_lists = w->own_proxies;
	int r = wv_config_init(&fresh);

	if (r == 0 && *w->ctx->config->source)
		r = wv_config_load(&fresh, w->ctx->config->source, &error);
	if (r < 0) {
		refuse(w, r, error.text);
		wv_config_done(&fresh);
		return;
	}
	w->config = *w->ctx->config;
	w->config.proxies = fresh.proxies;
	w->config.n_proxies = fresh.n_proxies;
	w->config.proxy_texts = fresh.proxy_texts;
	fresh.proxies = NULL;
	fresh.proxy_texts = (struct wv_arena){NULL};
	wv_config_done(&fresh);
	w->own_proxies = true;
	if (wv_proxy_renew_views(w) < 0)
		w->state.n = 0;
	if (free_old_lists) {
		free(old.proxies);
		wv_arena_done(&old.proxy_texts);
	}
	wv_proxy_apply(w);
}
