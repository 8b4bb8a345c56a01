// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/rights.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"

#define NOBODY 65534

static void user(uid_t *ret_uid, gid_t *ret_gid)
{
	const struct passwd *p = getpwnam(WV_SPOOL_USER);

	*ret_uid = p ? p->pw_uid : NOBODY;
	*ret_gid = p ? p->pw_gid : NOBODY;
}

int wv_spool_give(int dirfd)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	struct stat st;
	uid_t uid;
	gid_t gid;
	int fd;

	if (geteuid() != 0)
		return 0;
	user(&uid, &gid);
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fchown(fd, uid, gid) < 0 || !(d = fdopendir(fd))) {
		int r = -errno;

		if (fd >= 0)
			close(fd);
		return r;
	}
	while ((e = readdir(d))) {
		/* one link only: a hard link of the former owner's to another's file is not given
		 */
		if (e->d_name[0] == '.' || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			_cleanup_close_ int sub = openat(
				fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub >= 0 && wv_spool_give(sub) < 0)
				return -EPERM;
		} else if (S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid != uid &&
			   fchownat(fd, e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) {
			return -errno;
		}
	}
	return 0;
}

/* Files, sockets, threads, memory, time. */
static const int allowed[] = {SCMP_SYS(read),
			      SCMP_SYS(pread64),
			      SCMP_SYS(readv),
			      SCMP_SYS(write),
			      SCMP_SYS(pwrite64),
			      SCMP_SYS(writev),
			      SCMP_SYS(close),
			      SCMP_SYS(open),
			      SCMP_SYS(openat),
			      SCMP_SYS(stat),
			      SCMP_SYS(lstat),
			      SCMP_SYS(fstat),
			      SCMP_SYS(newfstatat),
			      SCMP_SYS(statx),
			      SCMP_SYS(statfs),
			      SCMP_SYS(fstatfs),
			      SCMP_SYS(lseek),
			      SCMP_SYS(fsync),
			      SCMP_SYS(fdatasync),
			      SCMP_SYS(ftruncate),
			      SCMP_SYS(rename),
			      SCMP_SYS(renameat),
			      SCMP_SYS(renameat2),
			      SCMP_SYS(unlink),
			      SCMP_SYS(unlinkat),
			      SCMP_SYS(mkdir),
			      SCMP_SYS(mkdirat),
			      SCMP_SYS(symlink),
			      SCMP_SYS(symlinkat),
			      SCMP_SYS(fchmod),
			      SCMP_SYS(inotify_init1),
			      SCMP_SYS(inotify_add_watch),
			      SCMP_SYS(inotify_rm_watch),
			      SCMP_SYS(readlink),
			      SCMP_SYS(readlinkat),
			      SCMP_SYS(access),
			      SCMP_SYS(faccessat),
			      SCMP_SYS(faccessat2),
			      SCMP_SYS(getdents64),
			      SCMP_SYS(getcwd),
			      SCMP_SYS(flock),
			      SCMP_SYS(fcntl),
			      SCMP_SYS(dup),
			      SCMP_SYS(dup2),
			      SCMP_SYS(dup3),
			      SCMP_SYS(pipe),
			      SCMP_SYS(pipe2),
			      SCMP_SYS(socketpair),
			      SCMP_SYS(connect),
			      SCMP_SYS(accept),
			      SCMP_SYS(accept4),
			      SCMP_SYS(bind),
			      SCMP_SYS(listen),
			      SCMP_SYS(shutdown),
			      SCMP_SYS(recvfrom),
			      SCMP_SYS(recvmsg),
			      SCMP_SYS(recvmmsg),
			      SCMP_SYS(sendto),
			      SCMP_SYS(sendmsg),
			      SCMP_SYS(sendmmsg),
			      SCMP_SYS(getsockopt),
			      SCMP_SYS(setsockopt),
			      SCMP_SYS(getsockname),
			      SCMP_SYS(getpeername),
			      SCMP_SYS(ioctl),
			      SCMP_SYS(poll),
			      SCMP_SYS(ppoll),
			      SCMP_SYS(select),
			      SCMP_SYS(pselect6),
			      SCMP_SYS(epoll_create1),
			      SCMP_SYS(epoll_ctl),
			      SCMP_SYS(epoll_wait),
			      SCMP_SYS(epoll_pwait),
			      SCMP_SYS(epoll_pwait2),
			      SCMP_SYS(eventfd2),
			      SCMP_SYS(timerfd_create),
			      SCMP_SYS(timerfd_settime),
			      SCMP_SYS(signalfd4),
			      SCMP_SYS(clock_gettime),
			      SCMP_SYS(clock_getres),
			      SCMP_SYS(clock_nanosleep),
			      SCMP_SYS(nanosleep),
			      SCMP_SYS(gettimeofday),
			      SCMP_SYS(time),
			      SCMP_SYS(getrandom),
			      SCMP_SYS(brk),
			      SCMP_SYS(munmap),
			      SCMP_SYS(mremap),
			      SCMP_SYS(madvise),
			      SCMP_SYS(mlock),
			      SCMP_SYS(munlock),
			      SCMP_SYS(futex),
			      SCMP_SYS(set_robust_list),
			      SCMP_SYS(rseq),
			      SCMP_SYS(clone),
			      SCMP_SYS(clone3),
			      SCMP_SYS(sched_yield),
			      SCMP_SYS(sched_getaffinity),
			      SCMP_SYS(membarrier),
			      SCMP_SYS(getpid),
			      SCMP_SYS(gettid),
			      SCMP_SYS(getuid),
			      SCMP_SYS(geteuid),
			      SCMP_SYS(getgid),
			      SCMP_SYS(getegid),
			      SCMP_SYS(uname),
			      SCMP_SYS(sysinfo),
			      SCMP_SYS(umask),
			      SCMP_SYS(getrlimit),
			      SCMP_SYS(prlimit64),
			      SCMP_SYS(rt_sigaction),
			      SCMP_SYS(rt_sigprocmask),
			      SCMP_SYS(rt_sigreturn),
			      SCMP_SYS(sigaltstack),
			      SCMP_SYS(tgkill),
			      SCMP_SYS(restart_syscall),
			      SCMP_SYS(prctl),
			      SCMP_SYS(exit),
			      SCMP_SYS(exit_group)};

static void filter_release(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

static int load_filter(bool network)
{
	_cleanup_(filter_release) scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
		/* -EDOM: this architecture has no such call */
		if (r < 0 && r != -EDOM)
			return r;
	}
	/* what is local: the journal */
	r = network ? seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 0)
		    : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				       SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	if (r < 0)
		return r;
	/* libraries are loaded before; from here on no new code */
	r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return r < 0 ? r : seccomp_load(f);
}

static int become(uid_t uid, gid_t gid, bool reads_files)
{
	bool may_read = capng_get_caps_process() == 0 &&
			capng_have_capability(CAPNG_PERMITTED, CAP_DAC_READ_SEARCH);

	capng_clear(CAPNG_SELECT_BOTH);
	if (reads_files && may_read)
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			      CAP_DAC_READ_SEARCH, -1);
	if (geteuid() != 0)
		return capng_apply(CAPNG_SELECT_CAPS) == 0 ? 0 : -EPERM;
	if (capng_change_id((int)uid, (int)gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING) == 0)
		return 0;
	/* in a user namespace of one id there is nobody to become: stay, without capabilities */
	(void)wv_log_warn(0, "spool", "cannot become another user: root without capabilities");
	return capng_apply(CAPNG_SELECT_CAPS) == 0 ? 0 : -EPERM;
}

static int confine(bool with_parent, bool network)
{
	const struct rlimit none = {0, 0};

	/* the kernel forgets it at a change of user */
	if (with_parent)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return load_filter(network);
}

static int drop_powers(bool with_parent, bool network)
{
	/* without CAP_SETPCAP no new privileges bound it as well, and the library would complain */
	bool may_bound = capng_get_caps_process() == 0 &&
			 capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

	capng_clear(CAPNG_SELECT_BOTH);
	if (may_bound)
		(void)capng_apply(CAPNG_SELECT_BOUNDS);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	return confine(with_parent, network);
}

int wv_spool_drop_powers(bool with_parent)
{
	return drop_powers(with_parent, false);
}

int wv_spool_drop_powers_online(bool with_parent)
{
	return drop_powers(with_parent, true);
}

int wv_spool_drop_rights(bool reads_files, bool with_parent)
{
	uid_t uid;
	gid_t gid;
	int r;

	user(&uid, &gid);
	r = become(uid, gid, reads_files);
	return r < 0 ? r : confine(with_parent, true);
}
