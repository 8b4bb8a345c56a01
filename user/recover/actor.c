// SPDX-License-Identifier: GPL-2.0-only
/* A process for one action, so that waiting for a job or for deaths holds up nobody. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/recover/act.h"

_Static_assert(sizeof(struct wv_act_result) <= PIPE_BUF, "a result is written whole");

bool wv_actor_takes(enum wv_act act)
{
	return act == WV_ACT_KILL || act == WV_ACT_FREEZE || act == WV_ACT_THAW ||
	       act == WV_ACT_RESTART || act == WV_ACT_REBOOT;
}

static void act(const struct wv_act_request *q, struct wv_act_result *ret)
{
	switch (q->act) {
	case WV_ACT_KILL:
		(void)wv_act_kill(q, ret);
		break;
	case WV_ACT_FREEZE:
	case WV_ACT_THAW:
		(void)wv_act_freeze(q, q->act == WV_ACT_FREEZE, ret);
		break;
	case WV_ACT_RESTART:
		(void)wv_act_restart(q, ret);
		break;
	case WV_ACT_REBOOT:
		(void)wv_act_reboot(q, ret);
		break;
	default:
		(void)wv_act_fail(ret, -EOPNOTSUPP, "no such action");
	}
}

int wv_actor_start(struct wv_actor *a, const struct wv_act_request *q)
{
	struct wv_act_result result = {0};
	pid_t parent = getpid();
	int pipe_fd[2];
	sigset_t none;

	*a = (struct wv_actor){.fd = -1};
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	a->pid = fork();
	if (a->pid < 0) {
		int r = -errno;

		close(pipe_fd[0]);
		close(pipe_fd[1]);
		a->pid = 0;
		return r;
	}
	if (a->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		(void)prctl(PR_SET_NAME, "waveos-act");
		sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		act(q, &result);
		_exit(write(pipe_fd[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
	}
	close(pipe_fd[1]);
	a->fd = pipe_fd[0];
	return 0;
}

void wv_actor_finish(struct wv_actor *a, struct wv_act_result *ret)
{
	struct wv_act_result result;
	ssize_t n;

	(void)fcntl(a->fd, F_SETFL, O_NONBLOCK);
	n = read(a->fd, &result, sizeof(result));
	if (n == sizeof(result)) {
		*ret = result;
	} else {
		bool late = n < 0 && errno == EAGAIN;

		*ret = (struct wv_act_result){0};
		(void)wv_act_fail(ret, late ? -ETIMEDOUT : -EIO,
				  late ? "broken off: it took too long" : "its process died");
	}
	(void)kill(a->pid, SIGKILL);
	(void)waitpid(a->pid, NULL, 0);
	close(a->fd);
	*a = (struct wv_actor){.fd = -1};
}
