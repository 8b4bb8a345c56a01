// SPDX-License-Identifier: GPL-2.0-only
/*
 * The keeper of a job: a child of the worker that stays when the agent is killed, holds the job's
 * lock, and stays root so that the job's user can neither end it nor write what it writes. The job
 * runs nothing before its process is written down.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/export/sandbox.h"
#include "user/gpu/place.h"
#include "user/jobs/jobs.h"
#include "user/recover/act.h"
#include "waveos/gpu.h"

/* What is left of a job when its first process has ended has so long to die. */
#define REST_NS 10000000000ULL

const char *wv_jobs_file(uint64_t id, const char *kind, char buf[48])
{
	snprintf(buf, 48, "%llu.%s", (unsigned long long)id, kind);
	return buf;
}

/* The job's own process ------------------------------------------------------------------------ */

static int put(const char *name, const char *value)
{
	return setenv(name, value, 1) < 0 ? -ENOMEM : 0;
}

/* UUIDs, or numbers where the topology has none. */
static int put_devices(const struct wv_keep *k)
{
	char list[WV_TOPO_GPUS * 65] = "";
	size_t len = 0;

	for (unsigned i = 0; i < k->topo->n; i++) {
		if (!(k->gpus >> i & 1))
			continue;
		if (k->topo->gpu[i].uuid[0])
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? "," : "", k->topo->gpu[i].uuid);
		else
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%u",
						len ? "," : "", i);
	}
	return put("CUDA_VISIBLE_DEVICES", list);
}

/* That of the submitter, and what tells a program that it is a job. */
static int make_environment(const struct wv_keep *k)
{
	const char *checkpoints = wv_job_text(k->task, "checkpoint_dir");
	char socket[WV_PATH_SIZE + 16], number[24];
	struct wv_gpu_place place;
	struct json_object *env;
	int r = clearenv() ? -ENOMEM : 0;

	json_object_object_get_ex(k->task, "env", &env);
	for (size_t i = 0; r == 0 && env && i < json_object_array_length(env); i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(env, i));

		if (word[0] != '=' && strchr(word, '=') && putenv(strdup(word)) != 0)
			r = -ENOMEM;
	}
	r = r ?: put_devices(k);
	r = r ?: put("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
	snprintf(number, sizeof(number), "%llu", (unsigned long long)k->id);
	r = r ?: put("WAVEOS_JOB_ID", number);
	snprintf(number, sizeof(number), "%u", k->start);
	r = r ?: put("WAVEOS_JOB_START", number);
	if (checkpoints[0])
		r = r ?: put("WAVEOS_CHECKPOINT_DIR", checkpoints);
	snprintf(socket, sizeof(socket), "%s/" WV_GPU_SOCKET, k->ctx->paths->runtime);
	if (r < 0)
		return r;
	wv_gpu_find(&place);
	return wv_gpu_environment(&place, socket, WV_GPU_L1);
}

static int become_user(struct json_object *task)
{
	gid_t groups[256], gid = (gid_t)wv_job_number(task, "gid", -1);
	uid_t uid = (uid_t)wv_job_number(task, "uid", -1);
	struct json_object *list;
	size_t n = 0;

	if (uid == (uid_t)-1 || gid == (gid_t)-1)
		return -EINVAL;
	if (json_object_object_get_ex(task, "groups", &list))
		for (; n < ARRAY_SIZE(groups) && n < json_object_array_length(list); n++)
			groups[n] =
				(gid_t)json_object_get_int64(json_object_array_get_idx(list, n));
	if (geteuid() != 0) /* an agent without rights runs its own jobs */
		return uid == geteuid() ? 0 : -EPERM;
	if (setgroups(n, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

/* All that is the user's is opened as the user. Where it failed is in *what. */
static int settle(const struct wv_keep *k, const char **what)
{
	const char *output = wv_job_text(k->task, "output");
	const char *checkpoints = wv_job_text(k->task, "checkpoint_dir");
	char number[48];
	int fd, r;

	*what = "user";
	r = become_user(k->task);
	if (r < 0)
		return r;
	(void)umask((mode_t)wv_job_number(k->task, "umask", 022));
	*what = "folder";
	if (chdir(wv_job_text(k->task, "cwd")) < 0)
		return -errno;
	*what = "checkpoint folder";
	if (checkpoints[0] && mkdir(checkpoints, 0700) < 0 && errno != EEXIST)
		return -errno;
	*what = "output file";
	snprintf(number, sizeof(number), "waveos-job-%llu.log", (unsigned long long)k->id);
	fd = open(output[0] ? output : number, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
		  0666);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		return -errno;
	*what = "environment";
	return make_environment(k);
}

/* What protects the agent from running out of memory does not protect what its users run. */
static void expose_to_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "0", 1);
	close(fd);
}

static void run_job(const struct wv_keep *k, int go, int tell)
{
	struct json_object *list;
	const char *what;
	char **argv, byte;
	sigset_t none;
	size_t n;
	int r;

	if (read(go, &byte, 1) != 1)
		_exit(0); /* nobody knows of this process: it must not be */
	(void)prctl(PR_SET_NAME, "waveos-job-new");
	expose_to_oom();
	(void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0); /* the agent's own setting */
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	r = settle(k, &what);
	if (r == 0) {
		what = "command";
		json_object_object_get_ex(k->task, "argv", &list);
		n = json_object_array_length(list);
		argv = calloc(n + 1, sizeof(*argv));
		for (size_t i = 0; argv && i < n; i++)
			argv[i] =
				(char *)json_object_get_string(json_object_array_get_idx(list, i));
		if (argv)
			execvp(argv[0], argv);
		r = -errno;
	}
	dprintf(tell, "%s: %s", what, strerror(-r));
	_exit(r == -ENOENT ? 127 : 126);
}

/* The keeper ----------------------------------------------------------------------------------- */

static int write_json(int dir, uint64_t id, const char *kind, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	char name[48];
	int r = wv_io_replace(&wv_io_system, dir, wv_jobs_file(id, kind, name), text, strlen(text),
			      0600);

	json_object_put(o);
	return r;
}

static void add(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

static int write_process(const struct wv_keep *k, pid_t pid, const struct wv_pin *pin)
{
	struct json_object *o = json_object_new_object();

	add(o, "boot_id", k->ctx->host->boot_id);
	json_object_object_add(o, "start", json_object_new_int64(k->start));
	json_object_object_add(o, "keeper", json_object_new_int64(getpid()));
	json_object_object_add(o, "pid", json_object_new_int64(pid));
	json_object_object_add(o, "start_ns", json_object_new_uint64(wv_process_start_ns(pid)));
	add(o, "cgroup", pin->cgroup);
	add(o, "cpuset", pin->cpuset);
	add(o, "cpus", pin->cpus);
	add(o, "how", pin->how);
	return write_json(k->dir, k->id, "process", o);
}

static void write_exit(const struct wv_keep *k, const struct wv_job_exit *e)
{
	/* the disk may be full: then the job has ended when there is room again */
	for (;;) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "start", json_object_new_int64(k->start));
		json_object_object_add(o, "status", json_object_new_int(e->status));
		json_object_object_add(o, "signal", json_object_new_int(e->signal));
		add(o, "why", e->why);
		if (write_json(k->dir, k->id, "exit", o) == 0)
			return;
		(void)poll(NULL, 0, 1000);
	}
}

/*
 * Until the first process has ended; those that it left to us are reaped meanwhile. Its group is
 * ended before it is reaped: after that its number may be another group's.
 */
static void wait_for(pid_t pid, struct wv_job_exit *ret)
{
	siginfo_t info = {0};
	int status;

	do {
		if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) < 0) {
			if (errno == EINTR)
				continue;
			ret->status = -1;
			return;
		}
		if (info.si_pid == pid)
			(void)kill(-pid, SIGKILL);
		(void)waitpid(info.si_pid, &status, 0);
	} while (info.si_pid != pid);
	ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	ret->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* A job's GPUs are free only when none of its processes has them. */
static void end_rest(const struct wv_pin *pin)
{
	uint64_t until = wv_boot_ns() + REST_NS;

	while (wv_boot_ns() < until) {
		wv_pin_kill(pin->cgroup, pin->cpuset);
		if (wv_process_end_others() == 0 && waitpid(-1, NULL, WNOHANG) < 0)
			return;
		(void)poll(NULL, 0, 20);
	}
}

static void detach_from_agent(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	(void)prctl(PR_SET_NAME, "waveos-job");
	/* whoever reads what the agent says must not wait for its jobs */
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		(void)dup2(null, fd);
	for (int s = 1; s < NSIG; s++)
		if (s != SIGCHLD)
			(void)signal(s, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* lock: an open, flock'ed file that is held until this process ends. */
static void keep(const struct wv_keep *k, int lock)
{
	const int kept[] = {k->dir, lock};
	struct wv_job_exit end = {0};
	int go[2], tell[2];
	struct wv_pin pin;
	char name[64], cpus[256] = "";
	ssize_t n;
	pid_t pid;

	detach_from_agent();
	(void)wv_sandbox_close_fds(kept, ARRAY_SIZE(kept));
	if (wv_topo_cpus(k->topo, k->gpus, cpus, sizeof(cpus)) < 0)
		cpus[0] = '\0';
	/* ids are this agent's own, a pid is everybody's */
	snprintf(name, sizeof(name), "job-%llu-%d", (unsigned long long)k->id, getpid());
	wv_pin_make(k->ctx->host, name, cpus, &pin);
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(tell, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		snprintf(end.why, sizeof(end.why), "process: %s", strerror(errno));
		end.status = 126;
		write_exit(k, &end);
		return;
	}
	if (pid == 0) {
		close(go[1]);
		(void)setsid();
		run_job(k, go[0], tell[1]);
	}
	close(go[0]);
	close(tell[1]);
	(void)setpgid(pid, pid); /* in case it is slower than a signal to its group */
	wv_pin_enter(&pin, pid);
	if (write_process(k, pid, &pin) < 0)
		snprintf(end.why, sizeof(end.why), "its process could not be written down");
	else
		(void)!write(go[1], "g", 1);
	close(go[1]);
	wait_for(pid, &end);
	end_rest(&pin);
	n = end.why[0] ? 0 : read(tell[0], end.why, sizeof(end.why) - 1);
	if (n > 0)
		end.why[n] = '\0';
	wv_pin_remove(pin.cgroup, pin.cpuset);
	write_exit(k, &end);
}

static int open_lock(int dir, uint64_t id, bool make)
{
	char name[48];

	return wv_io_system.open(wv_io_system.ctx, dir, wv_jobs_file(id, "lock", name),
				 O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
}

int wv_keeper_start(const struct wv_keep *k)
{
	_cleanup_close_ int lock = open_lock(k->dir, k->id, true);
	pid_t pid;
	int r = lock < 0 ? lock : wv_io_system.lock(wv_io_system.ctx, lock, false);

	if (r < 0)
		return r;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		keep(k, lock);
		_exit(0);
	}
	return 0;
}

/* Seen by the worker --------------------------------------------------------------------------- */

int wv_keeper_lives(int dir, uint64_t id)
{
	_cleanup_close_ int fd = open_lock(dir, id, false);
	int r = fd < 0 ? fd : wv_io_system.lock(wv_io_system.ctx, fd, false);

	return r == -EWOULDBLOCK ? 1 : r == -ENOENT ? 0 : r;
}

static struct json_object *read_json(int dir, uint64_t id, const char *kind)
{
	_cleanup_free_ char *text = NULL;
	char name[48];

	if (wv_io_read_file(&wv_io_system, dir, wv_jobs_file(id, kind, name), 4096, &text, NULL) <
	    0)
		return NULL;
	return json_tokener_parse(text);
}

static void copy(char *to, size_t size, struct json_object *o, const char *name)
{
	snprintf(to, size, "%s", wv_job_text(o, name));
}

int wv_job_process_read(int dir, uint64_t id, const char *boot_id, struct wv_job_process *ret)
{
	struct json_object *o = read_json(dir, id, "process");
	pid_t pid;

	if (!o)
		return -ENOENT;
	*ret = (struct wv_job_process){0};
	copy(ret->cgroup, sizeof(ret->cgroup), o, "cgroup");
	copy(ret->cpuset, sizeof(ret->cpuset), o, "cpuset");
	copy(ret->cpus, sizeof(ret->cpus), o, "cpus");
	copy(ret->how, sizeof(ret->how), o, "how");
	ret->start = (unsigned)wv_job_number(o, "start", 0);
	pid = (pid_t)wv_job_number(o, "pid", 0);
	/* the same number may be another process by now */
	if (pid > 1 && strcmp(wv_job_text(o, "boot_id"), boot_id) == 0 &&
	    wv_process_start_ns(pid) == (uint64_t)wv_job_number(o, "start_ns", -1))
		ret->pid = pid;
	json_object_put(o);
	return 0;
}

int wv_job_exit_read(int dir, uint64_t id, unsigned start, struct wv_job_exit *ret)
{
	struct json_object *o = read_json(dir, id, "exit");
	bool is = o && wv_job_number(o, "start", -1) == (int64_t)start;

	if (is) {
		*ret = (struct wv_job_exit){.status = (int)wv_job_number(o, "status", -1),
					    .signal = (int)wv_job_number(o, "signal", 0)};
		copy(ret->why, sizeof(ret->why), o, "why");
	}
	json_object_put(o);
	return is ? 0 : -ENOENT;
}

void wv_job_signal(const struct wv_job_process *p, int signal, bool group)
{
	if (p->pid <= 1)
		return;
	(void)kill(group ? -p->pid : p->pid, signal);
	if (group && signal == SIGKILL)
		wv_pin_kill(p->cgroup, p->cpuset);
}
