// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/gate_selftest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/host.h"

/* What the child does takes milliseconds; then something is wrong with the machine. */
#define CHILD_SECONDS 5
/* A cgroup can be removed when its last task is reaped and gone; so often, so long apart. */
#define REMOVE_TRIES 50
#define REMOVE_PAUSE_NS 10000000
/* List number of the gate that denies everything; no list has it. */
#define NO_LIST 0
#define NICE_LOW 5
#define NICE_HIGHER 4
/* Larger than an ELF header, so that the kernel asks before it looks. */
#define MODULE_BYTES 512

/* Exit status of the child. */
enum { REFUSED = 10, LET_PASS = 11, UNABLE = 12 };

static struct {
	enum wv_gate_proof proof;
	char reason[120];
} proofs[WV_GATED_N];

enum wv_gate_proof wv_gate_proof(uint32_t kind, const char **ret_reason)
{
	if (ret_reason)
		*ret_reason = proofs[kind].reason;
	return proofs[kind].proof;
}

void wv_gate_proof_forget(uint32_t kind)
{
	proofs[kind].proof = WV_PROOF_NONE;
	proofs[kind].reason[0] = '\0';
}

/* Attempts: 0 it was done, 1 it was refused, -1 it cannot be tried. They run in the child. --------
 */

static int verdict(long r)
{
	if (r >= 0)
		return 0;
	return errno == EPERM || errno == EACCES ? 1 : -1;
}

static int try_address(int family, bool connects)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const struct sockaddr *address =
		family == AF_INET ? (const void *)&in4 : (const void *)&in6;
	socklen_t len = family == AF_INET ? sizeof(in4) : sizeof(in6);
	_cleanup_close_ int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -1;
	if (!connects)
		return verdict(bind(fd, address, len));
	in4.sin_port = in6.sin6_port = htons(9); /* discard */
	r = verdict(sendto(fd, "", 0, MSG_DONTWAIT, address, len));
	/* connecting a datagram socket sends nothing */
	return r == 1 ? verdict(connect(fd, address, len)) : r;
}

static int try_addresses(bool connects)
{
	int four = try_address(AF_INET, connects), six = try_address(AF_INET6, connects);

	/* a machine may lack one of them */
	if (four < 0)
		return six;
	return six < 0 ? four : four & six;
}

static int try_device(void)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	return verdict(fd);
}

/* Writes what is there already. */
static int try_sysctl(void)
{
	static const char *const files[] = {
		"/proc/sys/vm/laptop_mode",
		"/proc/sys/kernel/printk_ratelimit",
		"/proc/sys/net/ipv4/ip_default_ttl",
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_close_ int fd = open(files[i], O_RDWR | O_CLOEXEC);
		char value[32];
		ssize_t n = fd < 0 ? -1 : pread(fd, value, sizeof(value), 0);

		if (n > 0)
			return verdict(pwrite(fd, value, (size_t)n, 0));
	}
	return -1;
}

/* Not a module: the kernel says so where it is not refused before. */
static int try_module(void)
{
	static const char nothing[MODULE_BYTES];
	long r = syscall(SYS_init_module, nothing, sizeof(nothing), "");

	if (r < 0 && errno == ENOEXEC)
		return 0;
	return verdict(r);
}

static int try_ptrace(void)
{
	pid_t pid = fork();
	long r;
	int v;

	if (pid < 0)
		return -1;
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	r = ptrace(PTRACE_SEIZE, pid, NULL, NULL);
	v = verdict(r);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return v;
}

/* In a mount namespace of its own: changes nothing. */
static int try_mount(void)
{
	return verdict(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static int try_priority(void)
{
	if (setpriority(PRIO_PROCESS, 0, NICE_LOW) < 0)
		return -1;
	return verdict(setpriority(PRIO_PROCESS, 0, NICE_HIGHER));
}

static int try_kind(uint32_t kind)
{
	switch (kind) {
	case WV_GATED_CONNECT:
	case WV_GATED_BIND:
		return try_addresses(kind == WV_GATED_CONNECT);
	case WV_GATED_DEVICE:
		return try_device();
	case WV_GATED_SYSCTL:
		return try_sysctl();
	case WV_GATED_MODULE:
		return try_module();
	case WV_GATED_PTRACE:
		return try_ptrace();
	case WV_GATED_MOUNT:
		return try_mount();
	case WV_GATED_PRIORITY:
		return try_priority();
	default:
		return -1;
	}
}

static bool join(int procs)
{
	return write(procs, "0", 1) == 1;
}

static void in_child(uint32_t kind, int procs)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), r;
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)alarm(CHILD_SECONDS);
	if (kind == WV_GATED_EXEC) {
		if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || !join(procs))
			_exit(UNABLE);
		execl("/proc/self/exe", "waveos-bpf", "--version", (char *)NULL);
		_exit(errno == EPERM || errno == EACCES ? REFUSED : UNABLE);
	}
	if (kind == WV_GATED_MOUNT && unshare(CLONE_NEWNS) < 0)
		_exit(UNABLE);
	/* what is refused anyway proves nothing */
	if (try_kind(kind) != 0 || !join(procs))
		_exit(UNABLE);
	r = try_kind(kind);
	_exit(r < 0 ? UNABLE : r ? REFUSED : LET_PASS);
}

static enum wv_gate_proof run_child(uint32_t kind, int procs, bool by_kill, const char **ret_reason)
{
	pid_t pid = fork();
	int status;

	*ret_reason = "";
	if (pid == 0)
		in_child(kind, procs);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		*ret_reason = "no child process";
		return WV_PROOF_UNABLE;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && kind == WV_GATED_EXEC && by_kill)
		return WV_PROOF_DENIED;
	if (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED)
		return WV_PROOF_DENIED;
	if (WIFEXITED(status) && (WEXITSTATUS(status) == LET_PASS ||
				  (kind == WV_GATED_EXEC && WEXITSTATUS(status) == 0))) {
		*ret_reason = "it was attached and let pass what it denies";
		return WV_PROOF_PASSED;
	}
	*ret_reason = "what it denies cannot be done here anyway, or not be tried";
	return WV_PROOF_UNABLE;
}

/* Puts a gate that denies everything on the test's cgroup, or takes it away. */
static int put_denial(struct wv_gate_store *s, uint32_t kind, uint64_t key, bool on)
{
	struct wv_gate_place place = {
		.n = 1,
		.ref[0] = {.list = NO_LIST, .flags = WV_GATE_ENFORCE | WV_GATE_DENY_ALL},
	};
	struct wv_gate_caps caps = {
		.nice_min = 19,
		.io_class = 1,
		.nice.flags = WV_GATE_ENFORCE,
	};

	if (kind == WV_GATED_PRIORITY)
		return wv_gate_store_caps(s, key, on ? &caps : NULL);
	return wv_gate_store_place(s, key, kind, on ? &place : NULL);
}

static enum wv_gate_proof try_in_cgroup(struct wv_gate_store *s, const struct wv_gate_hooks *h,
					uint32_t kind, int cgroup, const char **ret_reason)
{
	_cleanup_close_ int procs = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	enum wv_gate_proof proof = WV_PROOF_UNABLE;
	uint32_t levels = s->levels[kind];
	int fds[4] = {-1, -1, -1, -1}, r;
	struct stat st;

	*ret_reason = "its cgroup cannot be used";
	if (procs < 0 || fstat(cgroup, &st) < 0)
		return proof;
	r = wv_gate_store_levels(s, kind, (1u << WV_GATE_LEVELS) - 1);
	if (r == 0)
		r = put_denial(s, kind, st.st_ino, true);
	if (r >= 0 && wv_gate_at_cgroup(kind))
		r = wv_gate_hooks_try(h, kind, cgroup, st.st_ino, fds);
	if (r >= 0)
		proof = run_child(kind, procs, h->exec_by_kill, ret_reason);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		wv_closep(&fds[i]);
	(void)put_denial(s, kind, st.st_ino, false);
	(void)wv_gate_store_levels(s, kind, levels);
	return proof;
}

static void remove_cgroup(const char *path)
{
	const struct timespec pause = {.tv_nsec = REMOVE_PAUSE_NS};

	for (int i = 0; i < REMOVE_TRIES && rmdir(path) < 0 && errno == EBUSY; i++)
		nanosleep(&pause, NULL);
}

enum wv_gate_proof wv_gate_selftest(struct wv_gate_store *s, const struct wv_gate_hooks *h,
				    uint32_t kind)
{
	const char *reason = "no cgroup v2 hierarchy can be written";
	enum wv_gate_proof proof = WV_PROOF_UNABLE;
	_cleanup_close_ int cgroup = -1;
	char path[320];

	snprintf(path, sizeof(path), "%s/" WV_GATE_SELFTEST_CGROUP "%d", h->host->cgroup2,
		 (int)getpid());
	if (h->host->cgroup2[0] && (mkdir(path, 0700) == 0 || errno == EEXIST)) {
		cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (cgroup >= 0)
			proof = try_in_cgroup(s, h, kind, cgroup, &reason);
		remove_cgroup(path);
	}
	proofs[kind].proof = proof;
	snprintf(proofs[kind].reason, sizeof(proofs[kind].reason), "%s", reason);
	return proof;
}

void wv_gate_selftest_clean(const struct wv_host *host)
{
	size_t prefix = strlen(WV_GATE_SELFTEST_CGROUP);
	_cleanup_closedir_ DIR *d = host->cgroup2[0] ? opendir(host->cgroup2) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, WV_GATE_SELFTEST_CGROUP, prefix) == 0 &&
		    kill((pid_t)atoi(e->d_name + prefix), 0) < 0 && errno == ESRCH)
			(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
}
