// SPDX-License-Identifier: GPL-2.0-only
/*
 * The web worker: one thread, libmicrohttpd driven by its epoll descriptor in sd-event. Everything
 * that needs a right (files, libraries, timers) is opened before the sandbox closes behind it.
 */
#include "user/export/web.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <time.h>

#include "user/access/certificate.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/core/memory.h"
#include "user/export/sandbox.h"
#include "user/export/web_api.h"

#define MAX_CONNECTIONS 64
#define NICE 5
#define MAX_PER_IP 16
#define IDLE_TIMEOUT_S 10
#define CONNECTION_BYTES 32768
#define FORGET_US 1000000 /* how often it is looked whether the newest body is out of date */
/* connections, and what the worker itself holds (listen, control, epoll twice, timers, signals,
 * log) */
#define MAX_FDS (2 * MAX_CONNECTIONS + 2 * WV_WEB_ASKED_MAX + 40)
/* RFC 8996: nothing older than TLS 1.2 */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct worker {
	struct wv_web web;
	struct MHD_Daemon *daemons[2]; /* TCP; the UNIX socket, NULL if there is none */
	sd_event *loop;
	sd_event_source *timeout; /* when the library wants to run next */
	sd_event_source *forget;  /* gives the newest body's memory back */
};

/* After each run of the library: when does it want to run again? */
static int arm(struct worker *w)
{
	MHD_UNSIGNED_LONG_LONG ms, next = 0;
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(w->daemons); i++) {
		if (!w->daemons[i] || w->web.mhd.get_timeout(w->daemons[i], &ms) != MHD_YES)
			continue;
		next = !any || ms < next ? ms : next;
		any = true;
	}
	if (!any)
		return sd_event_source_set_enabled(w->timeout, SD_EVENT_OFF);
	(void)sd_event_source_set_time_relative(w->timeout, next * 1000);
	return sd_event_source_set_enabled(w->timeout, SD_EVENT_ONESHOT);
}

static int run_library(struct worker *w)
{
	int armed = SD_EVENT_OFF;

	for (size_t i = 0; i < ARRAY_SIZE(w->daemons); i++)
		if (w->daemons[i])
			(void)w->web.mhd.run(w->daemons[i]);
	/* a body was made: look after it until it is let go */
	(void)sd_event_source_get_enabled(w->forget, &armed);
	if (armed == SD_EVENT_OFF && wv_web_holds(&w->web)) {
		(void)sd_event_source_set_time_relative(w->forget, FORGET_US);
		(void)sd_event_source_set_enabled(w->forget, SD_EVENT_ONESHOT);
	}
	return arm(w);
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	(void)s;
	(void)fd;
	(void)events;
	return run_library(ctx);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *ctx)
{
	(void)s;
	(void)usec;
	return run_library(ctx);
}

static int on_forget(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct worker *w = ctx;

	(void)usec;
	/* a newer tick is out: nobody will be given these any more */
	if (w->web.snapshot->head->tick != w->web.tick)
		wv_web_forget(&w->web);
	wv_web_live_forget(&w->web, false);
	if (!wv_web_holds(&w->web))
		return 0;
	(void)sd_event_source_set_time_relative(s, FORGET_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_control(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	struct worker *w = ctx;
	char buf[64];
	ssize_t n;

	(void)s;
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
	    (events & (EPOLLHUP | EPOLLERR)))
		return sd_event_exit(w->loop, 0);
	return 0;
}

static void on_library_log(void *ctx, const char *format, va_list ap)
{
	char line[256];

	(void)ctx;
	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = '\0';
	wv_log_debug("web", "%s", line);
}

/* The files of TLS, read while this is still root; the library has its own copies then. */
struct tls {
	char *cert, *key, *ca;
};

static void tls_release(struct tls *t)
{
	if (t->key)
		explicit_bzero(t->key, strlen(t->key));
	free(t->cert);
	free(t->key);
	free(t->ca);
}

static int read_pem(const char *setting, const char *path, char **ret)
{
	size_t len;
	int r = *path ? wv_io_read_file(&wv_io_system, AT_FDCWD, path, WV_PEM_MAX, ret, &len) : 0;

	return r < 0 ? wv_log_errno(r, "web", "access.%s: %s", setting, path) : 0;
}

static int read_tls(const struct wv_config *c, struct tls *t)
{
	int r = read_pem("tls_cert", c->access_tls_cert, &t->cert);

	if (r == 0)
		r = read_pem("tls_key", c->access_tls_key, &t->key);
	if (r == 0)
		r = read_pem("client_ca", c->access_client_ca, &t->ca);
	if (r == 0 && t->ca)
		r = wv_web_api_load_tls();
	return r;
}

/* tls: NULL for plain HTTP. */
static int start_library(struct worker *w, int listen_fd, const struct tls *tls,
			 struct MHD_Daemon **ret)
{
	unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME |
			 (tls ? MHD_USE_TLS : 0);
	struct MHD_OptionItem options[5] = {{MHD_OPTION_END, 0, NULL}};
	const union MHD_DaemonInfo *info;
	size_t n = 0;

	if (tls) {
		options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, tls->cert};
		options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key};
		options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
						       (void *)(uintptr_t)TLS_PRIORITIES};
		/* asks clients for a certificate; what it is worth, the api worker finds out */
		if (tls->ca)
			options[n++] =
				(struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, tls->ca};
		options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	}
	*ret = w->web.mhd.start_daemon(
		flags, 0, NULL, NULL, wv_web_answer, &w->web, MHD_OPTION_EXTERNAL_LOGGER,
		on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		MAX_PER_IP, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, wv_web_completed,
		&w->web, MHD_OPTION_NOTIFY_CONNECTION, wv_web_slow_connection, &w->web.connections,
		MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!*ret)
		return wv_log_full(LOG_ERR, -EIO, "web", "the HTTP library does not start");
	info = w->web.mhd.get_daemon_info(*ret, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0)
		return -EIO;
	return sd_event_add_io(w->loop, NULL, info->epoll_fd, EPOLLIN, on_io, w);
}

static void on_resumed(void *ctx)
{
	struct worker *w = ctx;

	(void)run_library(w);
}

static void on_reload(void *ctx)
{
	struct worker *w = ctx;

	/* the next worker reads them; connections wait in the listening socket meanwhile */
	wv_log_info("web", "ends for other files of TLS");
	(void)sd_event_exit(w->loop, 0);
}

static int start_servers(struct worker *w, const struct wv_config *config,
			 const struct wv_web_fds *fds)
{
	_cleanup_(tls_release) struct tls tls = {0};
	int r = read_tls(config, &tls);

	w->web.tls = tls.cert != NULL;
	if (r == 0)
		r = wv_web_slow_open(&w->web.connections, w->loop, &w->web.mhd);
	if (r >= 0 && fds->api >= 0)
		r = wv_web_api_open(&w->web.api, &w->web, w->loop, fds->api, on_resumed, on_reload,
				    w);
	if (r >= 0 && fds->tcp >= 0)
		r = start_library(w, fds->tcp, tls.cert ? &tls : NULL, &w->daemons[0]);
	if (r >= 0 && fds->local >= 0)
		r = start_library(w, fds->local, NULL, &w->daemons[1]);
	return r;
}

static int add_sources(struct worker *w, int control)
{
	sigset_t term;
	int r;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &term, NULL) < 0)
		return -errno;
	/* no handler: ends the loop */
	r = sd_event_add_signal(w->loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0 && control >= 0)
		r = sd_event_add_io(w->loop, NULL, control, EPOLLIN, on_control, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &w->timeout, CLOCK_MONOTONIC, 0, 1000,
					       on_timeout, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &w->forget, CLOCK_MONOTONIC, FORGET_US,
					       250000, on_forget, w);
	return r;
}

/* Standard input and output are not this worker's business. */
static int close_standard(void)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return -errno;
	return dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ? -errno : 0;
}

/* What the page says of the machine; in the sandbox it could not be asked for. */
static void read_host(struct wv_web_host *ret)
{
	if (gethostname(ret->name, sizeof(ret->name) - 1) < 0)
		ret->name[0] = '\0';
	ret->cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	ret->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int set_up(struct worker *w, const struct wv_config *config, const struct wv_web_fds *fds)
{
	int keep[] = {fds->tcp, fds->local, fds->control, fds->api}, r;
	sd_id128_t boot;

	/* whatever the world asks for, core's ticks come first */
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	/* before the library opens descriptors of its own */
	r = wv_sandbox_close_fds(keep, ARRAY_SIZE(keep));
	if (r < 0)
		return wv_log_errno(r, "web", "cannot close inherited descriptors");
	r = close_standard();
	if (r < 0)
		return wv_log_errno(r, "web", "cannot open /dev/null");
	r = wv_mhd_load(&w->web.mhd);
	if (r < 0)
		return r;
	r = sd_event_new(&w->loop);
	if (r >= 0)
		r = add_sources(w, fds->control);
	if (r >= 0)
		r = start_servers(w, config, fds);
	if (r < 0)
		return wv_log_errno(r, "web", "cannot set up the loop");
	/* the supervisor's mapping is for writing; the sandbox has no way to make it so again */
	if (mprotect(w->web.snapshot->head, w->web.snapshot->bytes, PROT_READ) < 0)
		return wv_log_errno(-errno, "web", "cannot protect the snapshot");
	/* files that are read once and would be asked for in the sandbox: the Date header, timers
	 * of the loop */
	tzset();
	(void)sd_id128_get_boot(&boot);
	read_host(&w->web.host);
	w->web.table.cpus = w->web.host.cpus;
	/* connects to journald now, if that is where the log goes */
	wv_log_info("web", "serving metrics");
	wv_memory_scan();
	r = wv_sandbox_enter("web", MAX_FDS);
	if (r < 0)
		return wv_log_errno(r, "web", "cannot give up rights");
	wv_memory_trim(); /* what the start used, the rules of the sandbox among it */
	return 0;
}

static void tear_down(struct worker *w)
{
	wv_web_forget(&w->web);
	wv_web_live_forget(&w->web, true);
	wv_web_api_cancel(w->web.api);
	for (size_t i = 0; i < ARRAY_SIZE(w->daemons); i++)
		if (w->daemons[i])
			w->web.mhd.stop_daemon(w->daemons[i]);
	wv_web_api_close(w->web.api);
	wv_web_slow_close(&w->web.connections);
	sd_event_source_unref(w->timeout);
	sd_event_source_unref(w->forget);
	sd_event_unref(w->loop);
	wv_metrics_free(w->web.metrics);
}

int wv_web_run(const struct wv_config *config, const struct wv_snapshot_map *snapshot,
	       const struct wv_web_fds *fds)
{
	struct worker w = {.web = {.snapshot = snapshot}};
	int r;

	w.web.max_series = (uint32_t)config->metrics_max_series;
	r = wv_metrics_new(&w.web.metrics, snapshot->head->max_rows, w.web.max_series);
	if (r == 0)
		wv_metrics_name_pods(w.web.metrics, fds->pods);
	if (r == 0)
		wv_metrics_show_gpus(w.web.metrics, fds->gpus);
	if (r == 0)
		r = set_up(&w, config, fds);
	if (r == 0)
		r = arm(&w);
	if (r >= 0)
		r = sd_event_loop(w.loop);
	tear_down(&w);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
