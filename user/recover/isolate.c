// SPDX-License-Identifier: GPL-2.0-only
#include "user/recover/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "waveos/isolate.h"
#include "waveos/wire.h"

static const struct {
	const char *name, *prog;
	enum bpf_attach_type type;
} hooks[] = {
	{"egress", "isolate_egress", BPF_CGROUP_INET_EGRESS},
	{"ingress", "isolate_ingress", BPF_CGROUP_INET_INGRESS},
};

static void pin_path(char *buf, size_t size, const struct wv_paths *paths, uint64_t key,
		     size_t hook)
{
	snprintf(buf, size, "%s/" WV_ISOLATE_PINS "/%016" PRIx64 "-%s", paths->pins, key,
		 hooks[hook].name);
}

/* The folder's inode must be the key, or the path names a later cgroup by now. */
static int open_cgroup(const struct wv_host *host, uint64_t key, const char *path)
{
	_cleanup_close_ int fd = -1;
	char full[1024];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", host->cgroup2, path);
	fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_ino == key ? TAKE_FD(fd) : -ENOENT;
}

static int attach(const struct wv_bpf *bpf, const struct wv_paths *paths, int cgroup, uint64_t key,
		  size_t hook)
{
	_cleanup_close_ int link = -1;
	char path[WV_PATH_SIZE + 64];
	int prog = wv_bpf_prog_fd(bpf, hooks[hook].prog);

	pin_path(path, sizeof(path), paths, key, hook);
	if (access(path, F_OK) == 0) /* by whichever build: it drops all the same */
		return 0;
	if (prog < 0)
		return -EOPNOTSUPP;
	link = bpf_link_create(prog, cgroup, hooks[hook].type, NULL);
	if (link < 0)
		return -errno;
	return bpf_obj_pin(link, path) < 0 ? -errno : 0;
}

int wv_isolate(const struct wv_bpf *bpf, const struct wv_paths *paths, const struct wv_host *host,
	       uint64_t key, const char *path, char *reason, size_t size)
{
	_cleanup_close_ int cgroup = -1;
	char dir[WV_PATH_SIZE + 16];
	int r = 0;

	if (key & WV_KEY_V1 || !host->cgroup2[0]) {
		snprintf(reason, size, "isolation needs a cgroup of the v2 hierarchy");
		return -EOPNOTSUPP;
	}
	cgroup = open_cgroup(host, key, path);
	if (cgroup < 0) {
		snprintf(reason, size, "open the cgroup: %s", strerror(-cgroup));
		return cgroup;
	}
	snprintf(dir, sizeof(dir), "%s/" WV_ISOLATE_PINS, paths->pins);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		r = -errno;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(hooks); i++) {
		r = attach(bpf, paths, cgroup, key, i);
		if (r < 0)
			snprintf(reason, size, "attach %s: %s", hooks[i].name,
				 r == -EOPNOTSUPP ? wv_bpf_reason(bpf, "isolate") : strerror(-r));
	}
	if (r < 0)
		(void)wv_isolate_release(paths, key);
	return r;
}

int wv_isolate_release(const struct wv_paths *paths, uint64_t key)
{
	char path[WV_PATH_SIZE + 64];
	int r = 0, n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		pin_path(path, sizeof(path), paths, key, i);
		if (unlink(path) == 0)
			n = 1;
		else if (errno != ENOENT && errno != ENOTDIR)
			r = -errno;
	}
	return r ?: n;
}

bool wv_isolated(const struct wv_paths *paths, uint64_t key)
{
	char path[WV_PATH_SIZE + 64];

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		pin_path(path, sizeof(path), paths, key, i);
		if (access(path, F_OK) < 0)
			return false;
	}
	return true;
}

uint64_t wv_isolate_drops(const struct wv_bpf *bpf, uint64_t key)
{
	struct wv_isolate_state state = {0};
	int fd = wv_bpf_map_fd(bpf, "isolate_state");

	if (fd < 0 || bpf_map_lookup_elem(fd, &key, &state) < 0)
		return 0;
	return state.egress_drops + state.ingress_drops;
}

int wv_isolate_release_all(const struct wv_paths *paths)
{
	_cleanup_closedir_ DIR *d = NULL;
	char path[WV_PATH_SIZE + 16];
	struct dirent *e;
	int n = 0, r = 0;

	snprintf(path, sizeof(path), "%s/" WV_ISOLATE_PINS, paths->pins);
	d = opendir(path);
	if (!d)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) < 0)
			r = -errno;
		else
			n++;
	}
	return r ?: n;
}
