// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running a trial. What is left of it is found by the cgroup, by the session's process group, and
 * as children that were given to this process when their parents died.
 */
#include "user/gpu/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/enforce/cgroupfs.h"
#include "user/recover/act.h"

#define TURN_MS 50
#define FILE_MAX 4096
/* How long what was killed may take to go. */
#define GONE_MS 5000

struct place { /* the cgroup; memory "" where none holds memory */
	char memory[512], pids[512];
	bool v2;
};

static uint64_t now_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

static int put(const char *folder, const char *name, const char *text)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return wv_cgfile_write(&wv_io_system, path, text);
}

/* The number after a word of a file ("" for a file that is a number); 0: none. */
static uint64_t get(const char *folder, const char *name, const char *word)
{
	_cleanup_free_ char *text = NULL;
	char path[600];
	const char *at;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (wv_io_read_file(&wv_io_system, AT_FDCWD, path, FILE_MAX, &text, NULL) < 0)
		return 0;
	at = *word ? strstr(text, word) : text;
	return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

/* Where this process is in a hierarchy, "" if it is not known. controller "": v2 */
static void own_path(const char *controller, char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/cgroup", "re");
	char line[600], want[32];

	ret[0] = '\0';
	snprintf(want, sizeof(want), ":%s:", controller);
	while (f && fgets(line, sizeof(line), f)) {
		char *at = strstr(line, want);

		line[strcspn(line, "\n")] = '\0';
		if (at && at == strchr(line, ':')) {
			snprintf(ret, size, "%s", at + strlen(want));
			return;
		}
	}
}

/* v1: below our own; v2: beside it, since what has processes may not share out. */
static bool make_one(const char *controller, const char *name, const char *limit, uint64_t value,
		     bool v2, char *ret, size_t size)
{
	char own[400], text[32], *slash;

	own_path(v2 ? "" : controller, own, sizeof(own));
	if (!own[0])
		return false;
	slash = strrchr(own, '/');
	if (v2 || strcmp(own, "/") == 0)
		*slash = '\0';
	if (snprintf(ret, size, "/sys/fs/cgroup%s%s%s/%s", v2 ? "" : "/", v2 ? "" : controller, own,
		     name) >= (int)size)
		goto none;
	if (mkdir(ret, 0755) < 0 && errno != EEXIST)
		goto none;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	if (!value || put(ret, limit, text) == 0)
		return true;
	(void)rmdir(ret);
none:
	ret[0] = '\0';
	return false;
}

static void make_place(const struct wv_trial_options *o, struct place *p)
{
	*p = (struct place){.v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0};
	if (p->v2) {
		if (make_one("memory", o->name, "memory.max", o->memory_bytes, true, p->memory,
			     sizeof(p->memory))) {
			(void)put(p->memory, "memory.swap.max", "0");
			(void)put(p->memory, "memory.oom.group", "0");
		}
		return;
	}
	(void)make_one("memory", o->name, "memory.limit_in_bytes", o->memory_bytes, false,
		       p->memory, sizeof(p->memory));
	(void)make_one("pids", o->name, "pids.max", o->pids, false, p->pids, sizeof(p->pids));
}

static void kill_procs(const char *folder)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[600];
	int pid;

	if (!folder[0])
		return;
	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1)
		if (pid > 0)
			(void)kill(pid, SIGKILL);
}

static void remove_place(struct place *p)
{
	uint64_t until = now_ns() + GONE_MS * 1000000ULL;
	const char *folders[] = {p->memory, p->pids};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		while (folders[i][0] && rmdir(folders[i]) < 0 && errno == EBUSY &&
		       now_ns() < until) {
			kill_procs(folders[i]);
			(void)wv_process_end_others();
			(void)poll(NULL, 0, 10);
		}
}

static void enter(const char *folder)
{
	if (folder[0])
		(void)put(folder, "cgroup.procs", "0");
}

static void run_child(const struct wv_trial_options *o, const struct place *p, int out, int err,
		      int status)
{
	sigset_t none;
	int null, r;

	(void)setsid();
	/* a tuner that is killed leaves no training behind that goes on for nobody */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	enter(p->memory);
	enter(p->pids);
	if (o->memory_bytes && !p->memory[0]) {
		struct rlimit l = {o->memory_bytes, o->memory_bytes};

		(void)setrlimit(RLIMIT_AS, &l);
	}
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		goto fail;
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)syscall(SYS_close_range, 3, ~0U, 1U << 2); /* CLOSE_RANGE_CLOEXEC */
	execvpe(o->argv[0], o->argv, o->env);
fail:
	r = errno;
	(void)!write(status, &r, sizeof(r));
	_exit(127);
}

/* false: the other end is closed, or fails. */
static bool take(int fd, struct wv_trial_tail *t)
{
	char buf[8192];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++)
			t->buf[t->n++ % WV_TRIAL_TAIL] = buf[i];
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Until the first process ends (0), the time is over (1), or it is to be ended (-EINTR). */
static int watch(const struct wv_trial_options *o, pid_t pid, int pidfd, int out, int err,
		 uint64_t until, struct wv_trial_end *e)
{
	struct pollfd p[] = {{pidfd, POLLIN, 0}, {out, POLLIN, 0}, {err, POLLIN, 0}};

	for (;;) {
		(void)poll(p, 3, TURN_MS);
		if (p[1].fd >= 0 && !take(out, &e->out))
			p[1].fd = -1;
		if (p[2].fd >= 0 && !take(err, &e->err))
			p[2].fd = -1;
		if (p[0].revents)
			return 0;
		if (o->turn && !o->turn(o->ctx, pid))
			return -EINTR;
		if (now_ns() >= until)
			return 1;
	}
}

static void finish(const struct wv_trial_options *o, struct place *p, pid_t pid, int out, int err,
		   struct wv_trial_end *e)
{
	int status = 0;

	(void)kill(-pid, SIGKILL);
	kill_procs(p->memory);
	kill_procs(p->pids);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* what left the session and has no cgroup; children of an orphan come when it goes */
	for (uint64_t until = now_ns() + GONE_MS * 1000000ULL;
	     wv_process_end_others() && now_ns() < until;)
		(void)poll(NULL, 0, 5);
	(void)take(out, &e->out);
	(void)take(err, &e->err);
	e->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	e->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	e->held = p->memory[0] && o->memory_bytes;
	if (p->memory[0]) {
		e->oom_kills =
			get(p->memory, p->v2 ? "memory.events" : "memory.oom_control", "oom_kill ");
		e->peak_bytes =
			get(p->memory, p->v2 ? "memory.peak" : "memory.max_usage_in_bytes", "");
	}
}

int wv_trial_run(const struct wv_trial_options *o, struct wv_trial_end *ret)
{
	_cleanup_close_ int out = -1, err = -1, status = -1, pidfd = -1;
	struct wv_trial_end e = {.out.buf = malloc(WV_TRIAL_TAIL),
				 .err.buf = malloc(WV_TRIAL_TAIL)};
	int a[2], b[2], c[2], r = 0;
	uint64_t begin = now_ns();
	struct place p;
	pid_t pid;

	if (!e.out.buf || !e.err.buf || pipe2(a, O_CLOEXEC) < 0) {
		wv_trial_end_done(&e);
		return -ENOMEM;
	}
	if (pipe2(b, O_CLOEXEC) < 0 || pipe2(c, O_CLOEXEC) < 0) {
		wv_trial_end_done(&e);
		return -errno; /* the process ends over it */
	}
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	make_place(o, &p);
	pid = fork();
	if (pid == 0)
		run_child(o, &p, a[1], b[1], c[1]);
	close(a[1]);
	close(b[1]);
	close(c[1]);
	out = a[0];
	err = b[0];
	status = c[0];
	if (pid < 0 || read(status, &r, sizeof(r)) == sizeof(r)) {
		r = pid < 0 ? -errno : -r;
		if (pid > 0)
			(void)waitpid(pid, NULL, 0);
		remove_place(&p);
		wv_trial_end_done(&e);
		return r ?: -EIO;
	}
	(void)fcntl(out, F_SETFL, O_NONBLOCK);
	(void)fcntl(err, F_SETFL, O_NONBLOCK);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	r = watch(o, pid, pidfd, out, err, begin + o->timeout_ns, &e);
	e.timed_out = r > 0;
	finish(o, &p, pid, out, err, &e);
	remove_place(&p);
	if (r < 0) {
		wv_trial_end_done(&e);
		return r;
	}
	e.elapsed_ns = now_ns() - begin;
	*ret = e;
	return 0;
}

ssize_t wv_trial_tail_text(const struct wv_trial_tail *t, char **ret)
{
	size_t n = t->n < WV_TRIAL_TAIL ? (size_t)t->n : WV_TRIAL_TAIL;
	size_t from = t->n < WV_TRIAL_TAIL ? 0 : (size_t)(t->n % WV_TRIAL_TAIL);
	char *text = malloc(n + 1);

	if (!text)
		return -ENOMEM;
	memcpy(text, t->buf + from, n - from);
	memcpy(text + (n - from), t->buf, from);
	text[n] = '\0';
	*ret = text;
	return (ssize_t)n;
}

void wv_trial_end_done(struct wv_trial_end *e)
{
	free(e->out.buf);
	free(e->err.buf);
	e->out.buf = e->err.buf = NULL;
}
