// SPDX-License-Identifier: GPL-2.0-only
/*
 * The web worker: one thread, libmicrohttpd driven by its epoll descriptor in sd-event. Everything
 * that needs a right (files, libraries, timers) is opened before the sandbox closes behind it.
 */
#include "user/export/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <time.h>

#include "user/core/log.h"
#include "user/core/memory.h"
#include "user/export/sandbox.h"
#include "user/export/web_answer.h"

#define MAX_CONNECTIONS 64
#define MAX_PER_IP 16
#define IDLE_TIMEOUT_S 10
#define CONNECTION_BYTES 32768
#define BACKLOG 64
#define FORGET_US 1000000 /* how often it is looked whether the newest body is out of date */
/* connections, and what the worker itself holds (listen, control, epoll twice, timers, signals,
 * log) */
#define MAX_FDS (MAX_CONNECTIONS + 32)

struct worker {
	struct wv_web web;
	struct MHD_Daemon *daemon;
	sd_event *loop;
	sd_event_source *timeout; /* when the library wants to run next */
	sd_event_source *forget;  /* gives the newest body's memory back */
};

static int split_address(const char *address, char host[64], char port[8])
{
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;
	const char *from = address;

	if (!colon || !colon[1] || strlen(colon + 1) >= 8)
		return -EINVAL;
	if (len >= 2 && from[0] == '[' && from[len - 1] == ']') {
		from++;
		len -= 2;
	} else if (memchr(from, ':', len)) {
		return -EINVAL;
	}
	if (!len || len >= 64)
		return -EINVAL;
	memcpy(host, from, len);
	host[len] = '\0';
	memcpy(port, colon + 1, strlen(colon + 1) + 1);
	return 0;
}

int wv_web_listen(const char *address, int *ret_fd)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				       .ai_socktype = SOCK_STREAM};
	_cleanup_close_ int fd = -1;
	struct addrinfo *ai;
	char host[64], port[8];
	int one = 1, r = split_address(address, host, port);

	if (r < 0)
		return r;
	if (getaddrinfo(host, port, &hints, &ai) != 0)
		return -EINVAL;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		r = -errno;
	freeaddrinfo(ai);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* After each run of the library: when does it want to run again? */
static int arm(struct worker *w)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (w->web.mhd.get_timeout(w->daemon, &ms) != MHD_YES)
		return sd_event_source_set_enabled(w->timeout, SD_EVENT_OFF);
	(void)sd_event_source_set_time_relative(w->timeout, ms * 1000);
	return sd_event_source_set_enabled(w->timeout, SD_EVENT_ONESHOT);
}

static int run_library(struct worker *w)
{
	int armed = SD_EVENT_OFF;

	(void)w->web.mhd.run(w->daemon);
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

static int start_library(struct worker *w, int listen_fd)
{
	const union MHD_DaemonInfo *info;

	w->daemon = w->web.mhd.start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, wv_web_answer, &w->web,
		MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
		listen_fd, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, MAX_PER_IP, MHD_OPTION_CONNECTION_TIMEOUT,
		IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!w->daemon)
		return wv_log_full(LOG_ERR, -EIO, "web", "the HTTP library does not start");
	info = w->web.mhd.get_daemon_info(w->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0)
		return -EIO;
	return sd_event_add_io(w->loop, NULL, info->epoll_fd, EPOLLIN, on_io, w);
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

static int set_up(struct worker *w, int listen_fd, int control)
{
	int keep[] = {listen_fd, control}, r;
	sd_id128_t boot;

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
		r = add_sources(w, control);
	if (r >= 0)
		r = start_library(w, listen_fd);
	if (r < 0)
		return wv_log_errno(r, "web", "cannot set up the loop");
	/* the supervisor's mapping is for writing; the sandbox has no way to make it so again */
	if (mprotect(w->web.snapshot->head, w->web.snapshot->bytes, PROT_READ) < 0)
		return wv_log_errno(-errno, "web", "cannot protect the snapshot");
	/* files that are read once and would be asked for in the sandbox: the Date header, timers
	 * of the loop */
	tzset();
	(void)sd_id128_get_boot(&boot);
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
	if (w->daemon)
		w->web.mhd.stop_daemon(w->daemon);
	sd_event_source_unref(w->timeout);
	sd_event_source_unref(w->forget);
	sd_event_unref(w->loop);
	wv_metrics_free(w->web.metrics);
}

int wv_web_run(const struct wv_config *config, const struct wv_snapshot_map *snapshot,
	       int listen_fd, int control)
{
	struct worker w = {.web = {.snapshot = snapshot}};
	int r;

	w.web.max_series = (uint32_t)config->metrics_max_series;
	r = wv_metrics_new(&w.web.metrics, snapshot->head->max_rows, w.web.max_series);
	if (r == 0)
		r = set_up(&w, listen_fd, control);
	if (r == 0)
		r = arm(&w);
	if (r >= 0)
		r = sd_event_loop(w.loop);
	tear_down(&w);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
