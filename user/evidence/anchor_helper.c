// SPDX-License-Identifier: GPL-2.0-only
/* Messages: a header and so many bytes, one question and one answer at a time. */
#include "user/evidence/anchor_helper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/agent/core.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/core/stream.h"
#include "user/export/sandbox.h"

#define MESSAGE_MAX (8U << 20)
#define SLICE_MS 1000
#define SLICES_MAX 60

struct header {
	uint32_t len;
	int32_t status;
};

static int get_message(int fd, struct header *h, char **ret)
{
	_cleanup_free_ char *bytes = NULL;
	int r = wv_stream_get(fd, h, sizeof(*h));

	if (r == 0 && h->len > MESSAGE_MAX)
		r = -EPIPE;
	if (r < 0)
		return r;
	bytes = malloc((size_t)h->len + 1);
	if (!bytes)
		return -ENOMEM;
	r = wv_stream_get(fd, bytes, h->len);
	bytes[h->len] = '\0';
	if (r == 0)
		*ret = TAKE_PTR(bytes);
	return r;
}

static int put_message(int fd, int status, const void *bytes, size_t len)
{
	struct header h = {.len = (uint32_t)len, .status = status};
	int r = wv_stream_put(fd, &h, sizeof(h));

	return r == 0 && len ? wv_stream_put(fd, bytes, len) : r;
}

static int serve(int fd, const struct wv_helper_work *work)
{
	int r = 0;

	while (r == 0) {
		_cleanup_free_ char *request = NULL, *answer = NULL;
		struct header h;
		size_t len = 0;

		r = get_message(fd, &h, &request);
		if (r < 0)
			break;
		r = work->serve(work->ctx, request, h.len, &answer, &len);
		r = put_message(fd, r, answer, answer ? len : 0);
	}
	return r;
}

int wv_helper_start(struct wv_helper *h, int control, const struct wv_helper_work *work)
{
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
		(void)prctl(PR_SET_NAME, work->name);
		wv_log_identity(work->name, NULL);
		r = wv_sandbox_close_fds(&pair[1], 1);
		if (r == 0)
			r = work->confine();
		if (r < 0)
			(void)wv_log_errno(r, work->name, "cannot give up rights");
		else
			(void)serve(pair[1], work);
		_exit(r < 0);
	}
	close(pair[1]);
	h->fd = pair[0];
	h->control = control;
	return 0;
}

static bool is_to_end(const struct wv_helper *h)
{
	struct pollfd control = {.fd = h->control, .events = POLLIN};
	sigset_t pending;

	if (h->control >= 0 && poll(&control, 1, 0) > 0)
		return true;
	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

/* An answer may take longer than the supervisor would hear nothing of us. */
static int await(const struct wv_helper *h)
{
	for (int i = 0; i < SLICES_MAX; i++) {
		struct pollfd fds[] = {{.fd = h->fd, .events = POLLIN},
				       {.fd = h->control, .events = POLLIN}};

		(void)poll(fds, ARRAY_SIZE(fds), SLICE_MS);
		if (is_to_end(h))
			return -ECANCELED;
		if (fds[0].revents)
			return 0;
		if (h->control >= 0)
			(void)send(h->control, &(char){WV_CONTROL_ALIVE}, 1,
				   MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return -ETIMEDOUT;
}

int wv_helper_ask(struct wv_helper *h, const void *request, size_t len, char **ret, size_t *ret_len)
{
	struct header answer;
	int r;

	if (len > MESSAGE_MAX)
		return -EMSGSIZE;
	r = put_message(h->fd, 0, request, len);
	if (r == 0)
		r = await(h);
	if (r == 0)
		r = get_message(h->fd, &answer, ret);
	if (r < 0)
		return r;
	*ret_len = answer.len;
	return answer.status;
}
