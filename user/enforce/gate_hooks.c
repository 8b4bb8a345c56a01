// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/gate_hooks.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/host.h"
#include "user/enforce/gate.h"
#include "user/enforce/pinned.h"

#define EXEC_TRACEPOINT "sched_process_exec"

static const struct hook {
	const char *name, *prog;
	uint32_t kind;
	enum bpf_attach_type type; /* at cgroups */
	bool kill;		   /* of the set that kills, not of that which refuses */
} hooks[] = {
	{"connect4", "gate_connect4", WV_GATED_CONNECT, BPF_CGROUP_INET4_CONNECT, false},
	{"connect6", "gate_connect6", WV_GATED_CONNECT, BPF_CGROUP_INET6_CONNECT, false},
	{"sendmsg4", "gate_sendmsg4", WV_GATED_CONNECT, BPF_CGROUP_UDP4_SENDMSG, false},
	{"sendmsg6", "gate_sendmsg6", WV_GATED_CONNECT, BPF_CGROUP_UDP6_SENDMSG, false},
	{"bind4", "gate_bind4", WV_GATED_BIND, BPF_CGROUP_INET4_BIND, false},
	{"bind6", "gate_bind6", WV_GATED_BIND, BPF_CGROUP_INET6_BIND, false},
	{"device", "gate_device", WV_GATED_DEVICE, BPF_CGROUP_DEVICE, false},
	{"sysctl", "gate_sysctl", WV_GATED_SYSCTL, BPF_CGROUP_SYSCTL, false},
	{"exec-kill", "gate_exec", WV_GATED_EXEC, 0, true},
	{"exec", "gate_lsm_exec", WV_GATED_EXEC, 0, false},
	{"load-data", "gate_lsm_load_data", WV_GATED_MODULE, 0, false},
	{"read-file", "gate_lsm_read_file", WV_GATED_MODULE, 0, false},
	{"module-request", "gate_lsm_module_request", WV_GATED_MODULE, 0, false},
	{"ptrace", "gate_lsm_ptrace", WV_GATED_PTRACE, 0, false},
	{"traceme", "gate_lsm_traceme", WV_GATED_PTRACE, 0, false},
	{"mount", "gate_lsm_mount", WV_GATED_MOUNT, 0, false},
	{"move-mount", "gate_lsm_move_mount", WV_GATED_MOUNT, 0, false},
	{"remount", "gate_lsm_remount", WV_GATED_MOUNT, 0, false},
	{"pivotroot", "gate_lsm_pivotroot", WV_GATED_MOUNT, 0, false},
	{"setnice", "gate_lsm_setnice", WV_GATED_PRIORITY, 0, false},
	{"setscheduler", WV_GATE_SETSCHEDULER, WV_GATED_PRIORITY, 0, false},
	{"setioprio", "gate_lsm_setioprio", WV_GATED_PRIORITY, 0, false},
};

static void pin_path(char *buf, size_t size, const struct wv_paths *paths, uint64_t key,
		     const struct hook *hook, const char *suffix)
{
	if (wv_gate_at_cgroup(hook->kind))
		snprintf(buf, size, "%s/" WV_GATE_PINS "/%016" PRIx64 "-%s%s", paths->pins, key,
			 hook->name, suffix);
	else
		snprintf(buf, size, "%s/" WV_GATE_PINS "/all-%s%s", paths->pins, hook->name,
			 suffix);
}

static int prog_info(int prog, struct bpf_prog_info *ret)
{
	__u32 len = sizeof(*ret);

	*ret = (struct bpf_prog_info){0};
	return bpf_obj_get_info_by_fd(prog, ret, &len) < 0 ? -errno : 0;
}

/* Whether the pinned link is alive and runs the program of the set in use. */
static bool link_is_current(const char *path, const struct hook *hook, uint32_t prog_id)
{
	_cleanup_close_ int fd = bpf_obj_get(path);
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.prog_id == prog_id &&
	       (!wv_gate_at_cgroup(hook->kind) || info.cgroup.cgroup_id != 0);
}

static int link_create(const struct hook *hook, int prog, uint32_t prog_type, int cgroup)
{
	int fd;

	if (wv_gate_at_cgroup(hook->kind))
		fd = bpf_link_create(prog, cgroup, hook->type, NULL);
	else
		fd = bpf_raw_tracepoint_open(
			prog_type == BPF_PROG_TYPE_RAW_TRACEPOINT ? EXEC_TRACEPOINT : NULL, prog);
	return fd < 0 ? -errno : fd;
}

/* Tells the programs at this cgroup where they are; they pass everything before. */
static int bind_here(const struct wv_bpf *bpf, uint64_t key)
{
	struct wv_gate_here here = {.cgroup = key};
	int fd = wv_bpf_map_fd(bpf, "gate_here");

	return bpf_map_update_elem(fd, &key, &here, BPF_ANY) < 0 ? -errno : 0;
}

static int attach_one(const struct wv_gate_hooks *h, const struct hook *hook, int cgroup,
		      uint64_t key)
{
	char path[WV_PATH_SIZE + 64], fresh[WV_PATH_SIZE + 64];
	int prog = wv_bpf_prog_fd(h->bpf, hook->prog), r;
	_cleanup_close_ int link = -1;
	struct bpf_prog_info info;

	if (prog < 0)
		return strcmp(hook->prog, WV_GATE_SETSCHEDULER) == 0 ? 0 : -ENOENT;
	r = prog_info(prog, &info);
	if (r < 0)
		return r;
	pin_path(path, sizeof(path), h->paths, key, hook, "");
	if (link_is_current(path, hook, info.id))
		return 0;
	link = link_create(hook, prog, info.type, cgroup);
	if (link < 0)
		return link;
	/* before the old link goes, so there is no gap */
	r = wv_gate_at_cgroup(hook->kind) ? bind_here(h->bpf, key) : 0;
	if (r < 0)
		return r;
	pin_path(fresh, sizeof(fresh), h->paths, key, hook, "__new");
	(void)unlink(fresh);
	if (bpf_obj_pin(link, fresh) < 0)
		return -errno;
	if (rename(fresh, path) < 0) {
		r = -errno;
		(void)unlink(fresh);
		return r;
	}
	return 1;
}

static int detach_one(const struct wv_paths *paths, const struct hook *hook, uint64_t key)
{
	char path[WV_PATH_SIZE + 64];

	pin_path(path, sizeof(path), paths, key, hook, "");
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	return 1;
}

/* Of programs either the set that refuses is attached, or the one that kills. */
static bool applies(const struct wv_gate_hooks *h, const struct hook *hook)
{
	return hook->kind != WV_GATED_EXEC || hook->kill == h->exec_by_kill;
}

int wv_gate_hooks_attach(const struct wv_gate_hooks *h, uint32_t kind, uint64_t key,
			 const char *path, char *reason, size_t size)
{
	_cleanup_close_ int cgroup = -1;
	int r, changed = 0;

	if (wv_gate_at_cgroup(kind)) {
		assert(path);
		cgroup = key & WV_KEY_V1 ? -EOPNOTSUPP : wv_cgroup_open(h->host, key, path);
		if (cgroup < 0) {
			snprintf(reason, size, "%s",
				 cgroup == -EOPNOTSUPP ? "the cgroup is of a v1 hierarchy"
						       : strerror(-cgroup));
			return cgroup;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		if (hooks[i].kind != kind || !applies(h, &hooks[i]))
			continue;
		r = attach_one(h, &hooks[i], cgroup, key);
		if (r < 0) {
			snprintf(reason, size, "attach %s: %s", hooks[i].name, strerror(-r));
			return r;
		}
		changed |= r;
	}
	/* the other way of holding programs, once this one does */
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].kind == kind && !applies(h, &hooks[i]))
			(void)detach_one(h->paths, &hooks[i], key);
	return changed;
}

int wv_gate_hooks_detach(const struct wv_paths *paths, uint32_t kind, uint64_t key)
{
	int r, changed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		if (hooks[i].kind != kind)
			continue;
		r = detach_one(paths, &hooks[i], key);
		if (r < 0)
			return r;
		changed |= r;
	}
	return changed;
}

int wv_gate_hooks_try(const struct wv_gate_hooks *h, uint32_t kind, int cgroup, uint64_t key,
		      int fds[4])
{
	size_t n = 0;

	for (size_t i = 0; i < 4; i++)
		fds[i] = -1;
	for (size_t i = 0; i < ARRAY_SIZE(hooks) && n < 4; i++) {
		int prog = wv_bpf_prog_fd(h->bpf, hooks[i].prog);

		if (hooks[i].kind != kind)
			continue;
		fds[n] = prog < 0 ? -ENOENT : link_create(&hooks[i], prog, 0, cgroup);
		if (fds[n] < 0)
			return fds[n];
		n++;
	}
	return n ? bind_here(h->bpf, key) : -ENOENT;
}

/* "<16 hex digits>-<hook>" */
static const struct hook *parse_pin(const char *name, uint64_t *ret_key)
{
	char *end;
	uint64_t key = strtoull(name, &end, 16);

	if (end != name + 16 || *end != '-')
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		if (strcmp(end + 1, hooks[i].name) == 0) {
			*ret_key = key;
			return &hooks[i];
		}
	return NULL;
}

int wv_gate_hooks_each(const struct wv_paths *paths,
		       void (*fn)(void *ctx, uint64_t key, uint32_t kind), void *ctx)
{
	_cleanup_closedir_ DIR *d = wv_pinned_open(paths, WV_GATE_PINS);
	const struct hook *hook;
	struct dirent *e;
	uint64_t key;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		hook = parse_pin(e->d_name, &key);
		if (hook)
			fn(ctx, key, hook->kind);
	}
	return 0;
}

bool wv_gates_in_force(const struct wv_paths *paths)
{
	_cleanup_closedir_ DIR *d = wv_pinned_open(paths, WV_GATE_PINS);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			return true;
	return false;
}
