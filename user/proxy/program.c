// SPDX-License-Identifier: GPL-2.0-only
#include "user/proxy/program.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/export/sandbox.h"
#include "user/proxy/rules.h"
#include "user/recover/act.h"

#define PID_FILE "haproxy.pid"
#define CHECK_TIMEOUT_MS 20000
/* What HAProxy opens beside connections: listeners, epoll, probes, its own socket, old listeners.
 */
#define SPARE_FDS 256

static int make_dir(const char *path, mode_t mode)
{
	int r = wv_io_mkdirs(&wv_io_system, path, mode);

	/* the mode also where it was there before, or the umask took of it */
	return r < 0 ? r : chmod(path, mode) < 0 ? -errno : 0;
}

int wv_proxy_files(struct wv_proxy_files *f, const struct wv_paths *paths,
		   const struct wv_config *config, bool dry)
{
	const struct passwd *user;
	int r;

	*f = (struct wv_proxy_files){.drops = geteuid() == 0};
	snprintf(f->dir, sizeof(f->dir), "%s/" WV_PROXY_DIR, paths->runtime);
	snprintf(f->config, sizeof(f->config), "%.*s/haproxy.cfg", WV_PATH_SIZE + 15, f->dir);
	snprintf(f->next, sizeof(f->next), "%.*s/next.cfg", WV_PATH_SIZE + 15, f->dir);
	snprintf(f->socket, sizeof(f->socket), "%.*s/stats", WV_PATH_SIZE + 15, f->dir);
	snprintf(f->empty, sizeof(f->empty), "%.*s/empty", WV_PATH_SIZE + 15, f->dir);
	/* while it takes over, HAProxy binds a name with its process id and a suffix behind it */
	if (strlen(f->socket) + 16 >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -ENAMETOOLONG;
	if (f->drops) {
		user = getpwnam(config->proxy_user);
		if (!user)
			return -ESRCH;
		f->uid = user->pw_uid;
		f->gid = user->pw_gid;
		if (!f->uid) /* root would keep its rights */
			return -EPERM;
	}
	if (dry)
		return 0;
	r = make_dir(f->dir, 0700);
	return r < 0 ? r : make_dir(f->empty, 0555);
}

int wv_proxy_files_translate(const struct wv_proxy_files *f, const struct wv_config *config,
			     char **ret, struct wv_config_error *ret_error)
{
	const struct wv_proxy_place place = {
		.socket = f->socket,
		.chroot = f->drops ? f->empty : NULL,
		.uid = f->uid,
		.gid = f->gid,
	};

	return wv_proxy_translate(config, &place, ret, ret_error);
}

int wv_proxy_installed(const struct wv_config *config, struct wv_config_error *ret_error)
{
	if (access(config->proxy_program, X_OK) == 0)
		return 0;
	return wv_config_fail(ret_error,
			      "proxies need HAProxy, and %s is not there (%s); install it "
			      "(apt-get install haproxy) or set proxy.program",
			      config->proxy_program, strerror(errno)),
	       -ENOPKG;
}

/* The child ---------------------------------------------------------------------------------------
 */

static int limit(int resource, rlim_t max)
{
	struct rlimit l = {.rlim_cur = max, .rlim_max = max};

	return setrlimit(resource, &l) < 0 ? -errno : 0;
}

static rlim_t descriptors(const struct wv_config *c)
{
	rlim_t n = SPARE_FDS;

	/* a client's and a server's side of each connection, twice while one drains */
	for (size_t i = 0; i < c->n_proxies; i++)
		n += 2 * (rlim_t)c->proxies[i].total.connections + 16;
	return n + 2 * 64;
}

static bool binds_low_port(const struct wv_config *c)
{
	unsigned port = 0;

	for (size_t i = 0; i < c->n_proxies; i++)
		if (wv_proxy_is_address(c->proxies[i].listen, &port) && port < 1024)
			return true;
	return false;
}

static int keep_few_capabilities(const struct wv_config *c)
{
	capng_clear(CAPNG_SELECT_BOTH);
	(void)capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			    CAP_SETUID, CAP_SETGID, CAP_SYS_CHROOT, -1);
	if (binds_low_port(c))
		(void)capng_update(CAPNG_ADD,
				   CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
				   CAP_NET_BIND_SERVICE);
	if (capng_apply(CAPNG_SELECT_BOTH) != 0)
		return -EPERM;
	/* groups of root are nothing that it needs */
	return setgroups(0, NULL) < 0 ? -errno : 0;
}

static int become_small(const struct wv_proxy_files *f, const struct wv_config *c)
{
	rlim_t memory = (rlim_t)c->proxy_memory;
	sigset_t none;
	int r;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGINT, SIG_IGN); /* Ctrl-C goes to the whole group; the worker decides */
	(void)signal(SIGPIPE, SIG_DFL);
	(void)umask(077);
	if (chdir("/") < 0)
		return -errno;
	r = limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = limit(RLIMIT_FSIZE, 0); /* it has no file to write */
	if (r == 0)
		r = limit(RLIMIT_DATA, memory);
	if (r == 0)
		r = limit(RLIMIT_NOFILE, descriptors(c));
	if (r == 0 && f->drops)
		r = keep_few_capabilities(c);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	return r;
}

static _Noreturn void run_program(const struct wv_proxy_files *f, const struct wv_config *c,
				  char *const argv[], int output, int go)
{
	static char *const no_environment[] = {NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), r;
	char word;

	/* nothing comes when the worker died: then nobody knows this process */
	if (read(go, &word, 1) != 1)
		_exit(126);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
	    dup2(output, STDERR_FILENO) < 0 || wv_sandbox_close_fds(NULL, 0) < 0)
		_exit(126);
	r = become_small(f, c);
	if (r == 0) {
		(void)execve(c->proxy_program, argv, no_environment);
		r = -errno;
	}
	dprintf(STDERR_FILENO, "%s: %s\n", c->proxy_program, strerror(-r));
	_exit(127);
}

/* *ret_go: what the process waits for a byte on; closed unread it ends. */
static pid_t spawn(const struct wv_proxy_files *f, const struct wv_config *c, char *const argv[],
		   int *ret_output, int *ret_go)
{
	int said[2], go[2], r = 0;
	pid_t pid;

	if (pipe2(said, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(go, O_CLOEXEC) < 0) {
		r = -errno;
		close(said[0]);
		close(said[1]);
		return r;
	}
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		run_program(f, c, argv, said[1], go[0]);
	}
	if (pid < 0)
		r = -errno;
	close(said[1]);
	close(go[0]);
	(void)fcntl(said[0], F_SETFL, O_NONBLOCK);
	if (r < 0) {
		close(said[0]);
		close(go[1]);
		return r;
	}
	*ret_output = said[0];
	*ret_go = go[1];
	return pid;
}

pid_t wv_proxy_start(const struct wv_proxy_files *f, const struct wv_config *config, pid_t current,
		     int *ret_output)
{
	char *argv[8] = {(char *)"haproxy", (char *)"-db", (char *)"-f", (char *)f->config, NULL};
	_cleanup_close_ int go = -1;
	int output, r;
	pid_t pid;

	if (current) {
		argv[4] = (char *)"-x";
		argv[5] = (char *)f->socket;
	}
	pid = spawn(f, config, argv, &output, &go);
	if (pid < 0)
		return pid;
	r = wv_proxy_remember(f, current ?: pid, current ? pid : 0);
	if (r == 0 && write(go, "", 1) != 1)
		r = -EIO;
	if (r == 0) {
		*ret_output = output;
		return pid;
	}
	wv_closep(&go);
	go = -1;
	close(output);
	(void)waitpid(pid, NULL, 0);
	return r;
}

/* Checking ----------------------------------------------------------------------------------------
 */

/* Its first words until it ends; it is killed when it takes too long. Returns its wait status. */
static int collect(pid_t pid, int output, char *buf, size_t size)
{
	struct pollfd p = {.fd = output, .events = POLLIN};
	uint64_t end = wv_io_system.mono_ns(wv_io_system.ctx) + CHECK_TIMEOUT_MS * 1000000ULL;
	char rest[4096] = "";
	size_t len = 0;
	int status = -1;

	for (;;) {
		uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx);
		bool room = len + 1 < size;
		ssize_t n;

		if (now >= end || poll(&p, 1, (int)((end - now) / 1000000) + 1) < 0)
			break;
		n = read(output, room ? buf + len : rest, room ? size - 1 - len : sizeof(rest));
		if (n == 0)
			break;
		if (n > 0 && room)
			len += (size_t)n;
	}
	buf[len] = '\0';
	if (wv_io_system.mono_ns(wv_io_system.ctx) >= end)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Of what HAProxy says, the lines that are about an error. */
static void say_why(char *output, struct wv_config_error *e)
{
	char *save = NULL;
	size_t len = 0;

	e->text[0] = '\0';
	for (char *line = strtok_r(output, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *colon = strstr(line, ") : ");

		if (strncmp(line, "[ALERT]", 7) == 0 && colon)
			line = (char *)colon + 4;
		else if (len)
			continue;
		if (len + 3 < sizeof(e->text))
			len += (size_t)snprintf(e->text + len, sizeof(e->text) - len, "%s%s",
						len ? "; " : "", line);
		if (len >= sizeof(e->text) - 1)
			break;
	}
	wv_make_printable(e->text);
}

int wv_proxy_check(const struct wv_proxy_files *f, const struct wv_config *config, const char *text,
		   struct wv_config_error *ret_error)
{
	char *argv[] = {(char *)"haproxy", (char *)"-c", (char *)"-f", (char *)f->next, NULL};
	_cleanup_close_ int output = -1, dir = -1, go = -1;
	char said[8192];
	int status, r;
	pid_t pid;

	dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	r = wv_io_replace(&wv_io_system, dir, "next.cfg", text, strlen(text), 0600);
	if (r < 0)
		return r;
	pid = spawn(f, config, argv, &output, &go);
	if (pid < 0)
		return (int)pid;
	if (write(go, "", 1) != 1)
		(void)kill(pid, SIGKILL);
	status = collect(pid, output, said, sizeof(said));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	say_why(said, ret_error);
	if (!*ret_error->text)
		(void)wv_config_fail(ret_error, "%s -c ended with status %d without a word",
				     config->proxy_program, status);
	return -EINVAL;
}

int wv_proxy_accept(const struct wv_proxy_files *f)
{
	return rename(f->next, f->config) < 0 ? -errno : 0;
}

/* Knowing it again --------------------------------------------------------------------------------
 */

int wv_proxy_remember(const struct wv_proxy_files *f, pid_t current, pid_t next)
{
	_cleanup_close_ int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[128];

	if (dir < 0)
		return -errno;
	snprintf(text, sizeof(text), "%d %llu\n%d %llu\n", (int)current,
		 (unsigned long long)wv_process_start_ns(current), (int)next,
		 next ? (unsigned long long)wv_process_start_ns(next) : 0ULL);
	return wv_io_replace(&wv_io_system, dir, PID_FILE, text, strlen(text), 0600);
}

void wv_proxy_forget(const struct wv_proxy_files *f)
{
	_cleanup_close_ int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0)
		(void)wv_io_system.unlink(wv_io_system.ctx, dir, PID_FILE);
}

/* The same number may be another process by now, so it is asked when it is held. */
static int hold(int pid, unsigned long long started)
{
	int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (fd >= 0 && wv_process_start_ns(pid) == started)
		return fd;
	wv_closep(&fd);
	return -ESRCH;
}

int wv_proxy_adopt(const struct wv_proxy_files *f, bool next, pid_t *ret_pid)
{
	_cleanup_close_ int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	unsigned long long started[2] = {0};
	int pid[2] = {0}, fd;
	size_t len;

	if (dir < 0 || wv_io_read_file(&wv_io_system, dir, PID_FILE, 128, &text, &len) < 0 ||
	    sscanf(text, "%d %llu %d %llu", &pid[0], &started[0], &pid[1], &started[1]) < 2)
		return -ESRCH;
	fd = hold(pid[next], started[next]);
	if (fd >= 0)
		*ret_pid = pid[next];
	return fd;
}
