// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "user/access/certificate.h"
#include "user/agent/supervisor.h"
#include "user/api/api.h"
#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/core/version.h"
#include "user/enforce/enforce.h"
#include "user/export/web.h"
#include "user/recover/recover.h"

int wv_agent_lock(const struct wv_paths *paths, int *ret_fd, int *ret_pid)
{
	char path[WV_PATH_SIZE + 16], text[16] = "";
	_cleanup_close_ int fd = -1;
	int len;

	snprintf(path, sizeof(path), "%s/lock", paths->runtime);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		*ret_pid = 0;
		if (pread(fd, text, sizeof(text) - 1, 0) > 0)
			(void)sscanf(text, "%d", ret_pid);
		return -EBUSY;
	}
	len = snprintf(text, sizeof(text), "%d\n", getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int wv_make_run_id(char *buf, size_t size)
{
	unsigned char noise[3];
	time_t now = time(NULL);
	struct tm tm;
	size_t len;
	int r = wv_io_system.random(wv_io_system.ctx, noise, sizeof(noise));

	if (r < 0)
		return r;
	gmtime_r(&now, &tm);
	len = strftime(buf, size, "%Y%m%dT%H%M%SZ", &tm);
	snprintf(buf + len, size - len, "-%02x%02x%02x", noise[0], noise[1], noise[2]);
	return 0;
}

int wv_agent_folders(const struct wv_paths *paths)
{
	int r = wv_io_mkdirs(&wv_io_system, paths->runtime, 0755);

	if (r < 0) {
		(void)wv_log_errno(r, "attach",
				   "make %s; run as root, or choose another place with --root DIR",
				   paths->runtime);
		return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
	}
	r = wv_io_mkdirs(&wv_io_system, paths->state, 0750);
	if (r < 0) /* observing and enforcing go on; core says again that nothing is recorded */
		(void)wv_log_warn(r, "attach", "make %s: records will be missing", paths->state);
	return WV_EXIT_OK;
}

int wv_agent_take_lock(const struct wv_paths *paths, int *ret_fd)
{
	int pid = 0, r = wv_agent_lock(paths, ret_fd, &pid);

	if (r == -EBUSY) {
		(void)wv_log_errno(
			0, "attach",
			"another agent (pid %d) holds %s/lock; stop it with `waveos-bpf detach`, "
			"or use --root DIR for a second one",
			pid, paths->runtime);
		return WV_EXIT_DENIED;
	}
	if (r < 0) {
		(void)wv_log_errno(r, "attach", "lock %s/lock", paths->runtime);
		return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
	}
	return WV_EXIT_OK;
}

int wv_agent_open_snapshot(struct wv_snapshot_map *m, const struct wv_paths *paths,
			   const struct wv_config *config, const struct wv_host *host,
			   const char *run_id)
{
	_cleanup_close_ int dir = open(paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct wv_snapshot *head;
	bool adopted;
	int r;

	if (dir < 0)
		return -errno;
	r = wv_snapshot_create(m, dir, (uint32_t)config->collect_max_cgroups, host->boot_id,
			       &adopted);
	if (r < 0)
		return r;
	head = m->head;
	snprintf(head->run_id, sizeof(head->run_id), "%s", run_id);
	snprintf(head->metrics_address, sizeof(head->metrics_address), "%.63s",
		 config->metrics_listen);
	atomic_store(&head->supervisor_pid, (uint32_t)getpid());
	for (int i = 0; i < WV_WORKER_N; i++)
		atomic_store(&head->workers[i].restarts, 0);
	head->first_limit_ns = 0;
	return 0;
}

void wv_agent_name_version(struct wv_snapshot *head, const struct wv_config *config,
			   const struct wv_policy *policy)
{
	struct wv_version version;
	int r = wv_version_get(config, policy, &version);

	if (r < 0)
		(void)wv_log_warn(r, "attach", "bundle_id of the running executable");
	snprintf(head->version, sizeof(head->version), "%s", version.waveos);
	snprintf(head->policy_version, sizeof(head->policy_version), "%s", version.policy);
	snprintf(head->bundle_id, sizeof(head->bundle_id), "%s", version.bundle_id);
}

void wv_agent_let_go(const struct wv_paths *paths, const struct wv_host *host)
{
	int r = wv_enforce_revert_all(paths, host, &wv_io_system, NULL);

	if (r < 0)
		(void)wv_log_errno(r, "supervisor", "revert budgets");
	r = wv_recover_revert_all(paths, host, &wv_io_system, NULL);
	if (r < 0)
		(void)wv_log_errno(r, "supervisor", "revert recovery");
}

/* The port of an agent that was just killed is busy until its web worker is gone, too. */
#define LISTEN_TRIES 40
#define LISTEN_PAUSE_NS 25000000L

static int listen_in_time(const char *address, int *ret_fd)
{
	const struct timespec pause = {.tv_nsec = LISTEN_PAUSE_NS};
	int r = wv_web_listen(address, ret_fd);

	for (unsigned i = 0; r == -EADDRINUSE && i < LISTEN_TRIES; i++) {
		(void)nanosleep(&pause, NULL);
		r = wv_web_listen(address, ret_fd);
	}
	return r;
}

int wv_agent_listen(const struct wv_config *config, const struct wv_paths *paths, int *ret_fd,
		    int *ret_local)
{
	char path[WV_PATH_SIZE + 16], why[512];
	int r = wv_access_check(config, why, sizeof(why));

	if (r < 0) {
		(void)wv_log_errno(0, "attach", "%s", why);
		return WV_EXIT_USAGE;
	}
	if (!config->metrics_listen[0])
		return WV_EXIT_OK;
	r = listen_in_time(config->metrics_listen, ret_fd);
	if (r < 0) {
		(void)wv_log_errno(r, "attach",
				   "listen on metrics.listen=%s; choose another with --set "
				   "metrics.listen=ADDRESS:PORT, or '' for none",
				   config->metrics_listen);
		return r == -EINVAL ? WV_EXIT_USAGE : WV_EXIT_DENIED;
	}
	snprintf(path, sizeof(path), "%s/" WV_API_SOCKET, paths->runtime);
	r = wv_web_listen_local(path, config->access_socket_group, ret_local);
	if (r == -ENOENT) {
		(void)wv_log_errno(0, "attach", "access.socket_group: there is no group '%s'",
				   config->access_socket_group);
		return WV_EXIT_USAGE;
	}
	/* everything else works without it */
	if (r < 0)
		(void)wv_log_warn(r, "attach", "listen on %s", path);
	return WV_EXIT_OK;
}
