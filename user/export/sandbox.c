// SPDX-License-Identifier: GPL-2.0-only
#include "user/export/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/core/log.h"

#define NOBODY 65534

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

/* A server on open descriptors: sockets, epoll, timers, memory, time, its own end. No file, no
 * process. */
static const int allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), /* fstat() of newer C libraries */
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(memfd_create), /* bodies for the api worker */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
#ifdef SANITIZED
	SCMP_SYS(sigaltstack), /* at exit, by the sanitizer */
	SCMP_SYS(sched_yield),
#endif
};

static void filter_release(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

static int load_filter(void)
{
	_cleanup_(filter_release) scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
		/* -EDOM: this architecture has no such call */
		if (r < 0 && r != -EDOM)
			return r;
	}
	/* memory, but never code; and what is mapped read-only stays so: no mprotect */
	r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r < 0)
		return r;
	/* a kernel without seccomp logging kills as well */
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1);
	return seccomp_load(f);
}

static int drop_user(const char *module)
{
	if (geteuid() != 0)
		return 0;
	/* a unit or a container may grant no change of user, a user namespace may have one id:
	 * capabilities go in any case, and no file can be opened */
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		(void)wv_log_full(LOG_INFO, -errno, module,
				  "cannot become nobody: staying root without capabilities");
	/* the kernel forgets it at a change of user */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return 0;
}

static int drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	return capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE ? 0 : -EPERM;
}

static int limit(int resource, rlim_t max)
{
	struct rlimit l = {.rlim_cur = max, .rlim_max = max};

	return setrlimit(resource, &l) < 0 ? -errno : 0;
}

int wv_sandbox_enter(const char *module, unsigned max_fds)
{
	int r;

	/* without CAP_SETPCAP the set bounds nothing, as no new privileges can be gained (and the
	 * library would complain to the system's log) */
	if (capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP)) {
		capng_clear(CAPNG_SELECT_BOUNDS);
		(void)capng_apply(CAPNG_SELECT_BOUNDS);
	}
	r = drop_user(module);
	if (r < 0)
		return r;
	r = drop_capabilities();
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	r = limit(RLIMIT_NPROC, 0);
	if (r == 0)
		r = limit(RLIMIT_NOFILE, max_fds);
	if (r == 0)
		r = limit(RLIMIT_CORE, 0);
	return r < 0 ? r : load_filter();
}

static bool kept(int fd, const int *keep, size_t n_keep)
{
	for (size_t i = 0; i < n_keep; i++)
		if (keep[i] == fd)
			return true;
	return false;
}

/* For kernels without close_range (before 5.9). */
static int close_listed(const int *keep, size_t n_keep)
{
	_cleanup_closedir_ DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		char *end;
		long fd = strtol(e->d_name, &end, 10);

		if (*end == '\0' && fd > STDERR_FILENO && fd != dirfd(d) &&
		    !kept((int)fd, keep, n_keep))
			close((int)fd);
	}
	return 0;
}

int wv_sandbox_close_fds(const int *keep, size_t n_keep)
{
	unsigned from = STDERR_FILENO + 1;

	while (from != 0) {
		unsigned next = 0;

		/* up to the next one that is kept */
		for (size_t i = 0; i < n_keep; i++)
			if (keep[i] >= (int)from && (next == 0 || (unsigned)keep[i] < next))
				next = (unsigned)keep[i];
		if (next != from && syscall(SYS_close_range, from, next ? next - 1 : ~0U, 0) < 0)
			return errno == ENOSYS ? close_listed(keep, n_keep) : -errno;
		from = next ? next + 1 : 0;
	}
	return 0;
}
