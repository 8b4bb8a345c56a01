// SPDX-License-Identifier: GPL-2.0-only
#include "user/alert/sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

#include "user/alert/deliver.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/stream.h"
#include "user/export/sandbox.h"
#include "user/spool/rights.h"

#define POLL_MAX_MS 1000

struct header {
	uint32_t sink, len;
};

struct sender {
	const struct wv_io *io;
	const struct wv_config *config;
	int fd;
	CURLM *multi;
	struct wv_secrets *secrets;
	struct wv_delivery sinks[WV_ALERT_SINKS_MAX];
};

static int answer(struct sender *s, const struct wv_delivery *d, struct wv_alert_answer *a)
{
	a->sink = (uint32_t)(d - s->sinks);
	return wv_stream_put(s->fd, a, sizeof(*a));
}

static int take(struct sender *s)
{
	struct wv_alert_answer a = {.sink = 0};
	struct wv_delivery *d;
	struct header h;
	char *body;
	int r = wv_stream_get(s->fd, &h, sizeof(h));

	if (r < 0 || h.sink >= s->config->n_alerts || h.len > WV_ALERT_MESSAGE_MAX)
		return -EPIPE;
	body = malloc((size_t)h.len + 1);
	if (!body)
		return -ENOMEM;
	r = wv_stream_get(s->fd, body, h.len);
	if (r < 0) {
		free(body);
		return r;
	}
	body[h.len] = '\0';
	d = &s->sinks[h.sink];
	if (wv_delivery_begin(d, body, h.len, &a) < 0)
		return answer(s, d, &a);
	return wv_curl.curl_multi_add_handle(s->multi, d->curl) == CURLM_OK ? 0 : -ENOMEM;
}

static int finish(struct sender *s)
{
	CURLMsg *m;
	int left, r = 0;

	while (r == 0 && (m = wv_curl.curl_multi_info_read(s->multi, &left))) {
		struct wv_alert_answer a = {.sink = 0};
		struct wv_delivery *d = NULL;
		CURLcode code = m->data.result;
		CURL *curl = m->easy_handle;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)wv_curl.curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&d);
		(void)wv_curl.curl_multi_remove_handle(s->multi, curl);
		if (wv_delivery_end(d, code, &a) > 0)
			r = wv_curl.curl_multi_add_handle(s->multi, d->curl) == CURLM_OK ? 0
											 : -ENOMEM;
		else
			r = answer(s, d, &a);
	}
	return r;
}

static int serve(struct sender *s)
{
	int running = 0, r = 0;

	while (r == 0) {
		struct curl_waitfd fd = {.fd = s->fd, .events = CURL_WAIT_POLLIN};
		uint64_t wait_ns;
		int wait_ms;

		wv_secrets_tick(s->secrets, &wait_ns);
		wait_ms = wait_ns / 1000000 < POLL_MAX_MS ? (int)(wait_ns / 1000000) + 1
							  : POLL_MAX_MS;
		if (wv_curl.curl_multi_poll(s->multi, &fd, 1, wait_ms, NULL) != CURLM_OK)
			return -EIO;
		if (fd.revents)
			r = take(s);
		if (r == 0 && wv_curl.curl_multi_perform(s->multi, &running) != CURLM_OK)
			r = -EIO;
		if (r == 0)
			r = finish(s);
	}
	return r;
}

/* With all rights still there: secrets of files, certificates, the library. */
static int prepare(struct sender *s)
{
	int r = wv_secrets_load_curl();

	if (r == 0)
		r = wv_secrets_open(&s->secrets, s->io, s->config);
	for (size_t i = 0; r == 0 && i < s->config->n_alerts; i++)
		r = wv_delivery_prepare(&s->sinks[i], &s->config->alerts[i], s->secrets, s->io);
	if (r < 0)
		return r;
	s->multi = wv_curl.curl_multi_init();
	return s->multi ? 0 : -ENOMEM;
}

static int run(struct sender *s)
{
	const struct rlimit none = {0, 0};
	int r = wv_sandbox_close_fds(&s->fd, 1);

	if (r < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -EPERM;
	r = prepare(s);
	if (r < 0)
		return wv_log_errno(r, "alert", "the sender cannot start");
	r = wv_spool_drop_rights(wv_secrets_reads_files(s->secrets), true);
	if (r < 0)
		return wv_log_errno(r, "alert", "the sender cannot give up rights");
	return serve(s);
}

int wv_alert_sender_start(const struct wv_io *io, const struct wv_config *config, int *ret_fd)
{
	struct sender *s;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		r = -errno;
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)prctl(PR_SET_NAME, "waveos-sender");
		wv_log_identity("waveos-sender", NULL);
		s = calloc(1, sizeof(*s));
		if (!s)
			_exit(EXIT_FAILURE);
		s->io = io;
		s->config = config;
		s->fd = pair[1];
		r = run(s);
		_exit(r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	close(pair[1]);
	*ret_fd = pair[0];
	return 0;
}

int wv_alert_sender_put(int fd, unsigned sink, const char *bytes, size_t len)
{
	struct header h = {.sink = sink, .len = (uint32_t)len};
	int r = wv_stream_put(fd, &h, sizeof(h));

	return r < 0 ? r : wv_stream_put(fd, bytes, len);
}

int wv_alert_sender_get(int fd, struct wv_alert_answer *ret)
{
	ssize_t n = recv(fd, ret, sizeof(*ret), MSG_DONTWAIT | MSG_PEEK);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPIPE;
	if ((size_t)n < sizeof(*ret))
		return 0; /* the rest is on its way */
	n = recv(fd, ret, sizeof(*ret), 0);
	ret->why[sizeof(ret->why) - 1] = '\0';
	return n == sizeof(*ret) ? 1 : -EPIPE;
}
