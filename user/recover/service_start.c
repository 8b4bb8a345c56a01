// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making and ending the process of a service. The child is made in its cgroup (clone3), or enters
 * it itself where the kernel cannot; it runs nothing before it is told to. Linux 6.18 kills at
 * birth whatever is cloned into a cgroup that was ever written to cgroup.kill (it compares the kill
 * count of the parent's cgroup with that of the new one): such a child never says that it is ready,
 * and another one is made that enters by cgroup.procs. For the same reason rests are signalled one
 * by one here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/recover/act.h"
#include "user/recover/services.h"

/* How long an exec may take before it is taken for done. */
#define EXEC_TIMEOUT_MS 2000

static int open_cgroup(const char *cgroup2, const char *cgroup)
{
	char path[640];
	int fd, r;

	if (!cgroup2[0] || !cgroup[0])
		return -ENOENT;
	snprintf(path, sizeof(path), "%s%s", cgroup2, cgroup);
	r = wv_io_mkdirs(&wv_io_system, path, 0755);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* What a child says: one byte when it is ready, or what went wrong. */
struct status {
	char kind; /* READY or FAILED */
	char pad[3];
	int error;
};
#define READY 'r'
#define FAILED 'e'

static void tell_status(int fd, int error)
{
	struct status s = {.kind = error ? FAILED : READY, .error = error};

	(void)!write(fd, &s, sizeof(s));
}

/* 0: ready; -errno; -EPIPE: it died without a word. */
static int read_status(int fd)
{
	struct status s;
	ssize_t n = read(fd, &s, sizeof(s));

	if (n != sizeof(s))
		return -EPIPE;
	return s.kind == READY ? 0 : -s.error;
}

/* Only async-signal-safe calls: the parent may have been anywhere. */
static void run_child(const struct wv_service *service, char *const argv[], int cgroup, int go,
		      int status, char *const env[])
{
	sigset_t none;
	char byte;
	int null;

	if (cgroup >= 0) { /* clone3 did not put it there */
		int fd = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			goto fail;
		close(fd);
	}
	tell_status(status, 0);
	if (read(go, &byte, 1) != 1)
		_exit(0); /* nobody knows of this process: it must not be */
	(void)setsid();
	(void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0); /* the agent's own setting */
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || chdir("/") < 0)
		goto fail;
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* maps, programs, the lock: nothing of the agent goes along */
	if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		for (int fd = 3; fd < 1024; fd++)
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	execve(service->command.list[0], argv, env);
fail:
	tell_status(status, errno);
	_exit(127);
}

static pid_t clone_into(int cgroup, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup >= 0 ? (__u64)cgroup : 0,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int make_pipes(int go[2], int status[2])
{
	if (pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(status, O_CLOEXEC) < 0) {
		int r = -errno;

		close(go[0]);
		close(go[1]);
		return r;
	}
	return 0;
}

/* The agent's environment with the service's name. */
static char **make_env(const struct wv_service *service, char *buf, size_t size)
{
	size_t n = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env)
		return NULL;
	snprintf(buf, size, "WAVEOS_SERVICE=%s", service->name);
	env[0] = buf;
	for (size_t i = 0, k = 1; i < n; i++)
		/* what systemd gave the agent is not for others */
		if (strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0 &&
		    strncmp(environ[i], "WATCHDOG_", 9) != 0)
			env[k++] = environ[i];
	return env;
}

/* What it takes to run a service, kept by the parent. */
struct plan {
	const struct wv_service *service;
	char **argv, **env;
	int cgroup; /* -1: none */
};

/* Makes the child and hears whether it is ready. into: the kernel puts it into the cgroup. */
static int make_child(struct wv_service_start *s, const struct plan *plan, bool into)
{
	int go[2], status[2], r = make_pipes(go, status);

	if (r < 0)
		return r;
	s->pidfd = -1;
	s->pid = into ? clone_into(plan->cgroup, &s->pidfd) : fork();
	if (s->pid == 0) {
		close(go[1]); /* or the parent's end would not be noticed */
		run_child(plan->service, plan->argv, into ? -1 : plan->cgroup, go[0], status[1],
			  plan->env);
	}
	r = s->pid < 0 ? -errno : 0;
	close(go[0]);
	close(status[1]);
	s->go = go[1];
	s->status = status[0];
	if (r == 0 && s->pidfd < 0) {
		s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
		r = s->pidfd < 0 ? -errno : 0;
	}
	if (r == 0)
		r = read_status(s->status);
	if (r == 0)
		return 0;
	close(s->go); /* whoever still waits ends by it */
	close(s->status);
	if (s->pid > 0)
		(void)waitpid(s->pid, NULL, 0);
	wv_closep(&s->pidfd);
	*s = (struct wv_service_start){.pidfd = -1, .go = -1, .status = -1};
	return r;
}

int wv_service_prepare(struct wv_service_start *s, const struct wv_service *service,
		       const char *cgroup2)
{
	_cleanup_close_ int cgroup = open_cgroup(cgroup2, service->cgroup);
	_cleanup_free_ char **argv = calloc(service->command.n + 1, sizeof(*argv));
	char name[WV_POLICY_NAME + 16];
	_cleanup_free_ char **env = make_env(service, name, sizeof(name));
	struct plan plan = {service, argv, env, cgroup};
	int r;

	*s = (struct wv_service_start){.pidfd = -1, .go = -1, .status = -1};
	if (!argv || !env || !service->command.n)
		return -ENOMEM;
	if (cgroup < 0 && cgroup2[0])
		return cgroup;
	for (size_t i = 0; i < service->command.n; i++)
		argv[i] = service->command.list[i];
	r = cgroup >= 0 ? make_child(s, &plan, true) : -ENOENT;
	return r < 0 ? make_child(s, &plan, false) : 0;
}

int wv_service_go(struct wv_service_start *s)
{
	struct pollfd p = {.fd = s->status, .events = POLLIN};
	int r = 0;

	if (write(s->go, "g", 1) != 1)
		r = -errno;
	close(s->go);
	/* closed without a word by a successful exec */
	if (r == 0 && poll(&p, 1, EXEC_TIMEOUT_MS) > 0) {
		r = read_status(s->status);
		r = r == -EPIPE ? 0 : r;
	}
	close(s->status);
	s->go = s->status = -1;
	return r;
}

static int kill_one(void *ctx _unused_, pid_t pid)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd >= 0)
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	return 0;
}

void wv_service_kill_rest(const char *cgroup2, const char *cgroup)
{
	char path[700];

	if (!cgroup2[0] || !cgroup[0])
		return;
	snprintf(path, sizeof(path), "%s%s", cgroup2, cgroup);
	(void)wv_act_processes(path, kill_one, NULL);
}

static bool wait_end(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0;
}

void wv_service_end(int pidfd, const char *cgroup2, const char *cgroup, int timeout_ms)
{
	siginfo_t si;

	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
	if (!wait_end(pidfd, timeout_ms)) {
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
		(void)wait_end(pidfd, 1000);
	}
	wv_service_kill_rest(cgroup2, cgroup);
	(void)waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG);
}
