// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gates: programs that deny a start (bpf/breaker_lsm.bpf.c). That they attached proves nothing, so
 * they are believed when they denied a child of ours its fork and its exec. Where they do not,
 * tracepoints kill.
 */
#include "waveos/breaker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "skel/breaker_lsm.btf.skel.h"
#include "skel/breaker_lsm.raw.skel.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/enforce/breaker_set.h"

#define FORK_BIT (1u << WV_BREAKER_AT_FORK)
#define EXEC_BIT (1u << WV_BREAKER_AT_EXEC)
#define TEST_OPEN_NS 60000000000ULL

/* The gate at a hook: its programs, the better one first, and what they are called. */
static const struct {
	uint32_t hook;
	const char *prog, *name;
} gates[] = {
	{WV_BREAKER_AT_FORK, "breaker_lsm_fork", "LSM task_alloc"},
	{WV_BREAKER_AT_EXEC, "breaker_lsm_exec", "LSM bprm_check_security"},
	{WV_BREAKER_AT_FORK, "breaker_mod_fork", "fmod_ret security_task_alloc"},
	{WV_BREAKER_AT_EXEC, "breaker_mod_exec", "fmod_ret security_bprm_check"},
};

/* Index of the gate that is loaded for a hook, or -1. */
static int loaded_gate(const struct wv_bpf *bpf, uint32_t hook)
{
	for (size_t i = 0; i < ARRAY_SIZE(gates); i++)
		if (gates[i].hook == hook && wv_bpf_prog_fd(bpf, gates[i].prog) >= 0)
			return (int)i;
	return -1;
}

const char *wv_breaker_gate_name(const struct wv_bpf *bpf, uint32_t hook)
{
	int fd = wv_bpf_map_fd(bpf, "breaker_ctl"), i = loaded_gate(bpf, hook);
	struct wv_breaker_ctl ctl;
	__u32 zero = 0;

	if (i < 0 || fd < 0 || bpf_map_lookup_elem(fd, &zero, &ctl) < 0 ||
	    !(ctl.gates & 1u << hook))
		return NULL;
	return gates[i].name;
}

/* The child: in the cgroup, then a fork and an exec that must both fail. Bits of what was denied.
 */
static int try_starts(const char *procs)
{
	static const char nothing[] = "no program";
	static char *const none[] = {NULL};
	int fd = open(procs, O_WRONLY | O_CLOEXEC), denied = 0, file;
	pid_t pid;

	if (fd < 0 || write(fd, "0", 1) != 1)
		return 0;
	pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid < 0 && errno == EAGAIN)
		denied |= FORK_BIT;
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	file = (int)syscall(SYS_memfd_create, "waveos-selftest", 0);
	/* where it is not denied the kernel finds that this is no program */
	if (file >= 0 && write(file, nothing, sizeof(nothing)) == (ssize_t)sizeof(nothing) &&
	    syscall(SYS_execveat, file, "", none, none, AT_EMPTY_PATH) < 0 && errno == EPERM)
		denied |= EXEC_BIT;
	return denied;
}

/* Two open breakers at a cgroup, in no set: nobody else sees them. */
static void place_tests(struct wv_breaker_set *s, uint64_t cgroup, uint32_t ids[2])
{
	static const uint32_t hooks[2] = {WV_BREAKER_AT_FORK, WV_BREAKER_AT_EXEC};
	struct wv_breaker_machine m = {.phase = WV_BREAKER_OPEN};
	struct wv_breaker_head head = {0};
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	m.until_ns = (uint64_t)now.tv_sec * 1000000000ULL + TEST_OPEN_NS;
	for (int i = 0; i < 2; i++) {
		struct wv_breaker_config config = {
			.cgroup = cgroup, .hook = hooks[i], .name = "self-test"};

		ids[i] = wv_breaker_set_number(s);
		(void)wv_breaker_rate_make(1, 1, 1, TEST_OPEN_NS, 0, 0, &config.rate);
		(void)wv_breaker_place_write(s, ids[i], hooks[i], &m);
		(void)bpf_map_update_elem(s->configs_fd, &ids[i], &config, BPF_ANY);
		head.place[hooks[i]][0] = ids[i];
	}
	(void)bpf_map_update_elem(s->heads_fd, &cgroup, &head, BPF_ANY);
}

static void remove_tests(struct wv_breaker_set *s, uint64_t cgroup, const uint32_t ids[2])
{
	const struct wv_breaker_machine m = {0};

	(void)bpf_map_delete_elem(s->heads_fd, &cgroup);
	for (int i = 0; i < 2; i++) {
		(void)bpf_map_delete_elem(s->configs_fd, &ids[i]);
		(void)wv_breaker_place_write(s, ids[i], WV_BREAKER_AT_FORK, &m);
	}
}

/* Bits of the hooks whose gate denied. */
static uint32_t try_gates(struct wv_breaker_set *s, uint32_t want)
{
	char dir[320], procs[352];
	struct wv_breaker_ctl ctl;
	uint32_t ids[2], denied = 0;
	struct stat st;
	int status = 0;
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s/waveos-selftest-%d", s->host->cgroup2, getpid());
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", dir);
	if (mkdir(dir, 0755) < 0 || stat(dir, &st) < 0) {
		(void)wv_log_warn(-errno, "breaker", "make %s for the self-test of gates", dir);
		return 0;
	}
	place_tests(s, st.st_ino, ids);
	if (wv_breaker_ctl_read(s, &ctl) == 0) {
		ctl.gates = want;
		ctl.places[WV_BREAKER_AT_FORK]++;
		ctl.places[WV_BREAKER_AT_EXEC]++;
		(void)wv_breaker_ctl_write(s, &ctl);
	}
	pid = fork();
	if (pid == 0)
		_exit(try_starts(procs));
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		denied = (uint32_t)WEXITSTATUS(status) & want;
	remove_tests(s, st.st_ino, ids);
	(void)rmdir(dir);
	return denied;
}

void wv_breaker_gates_settle(struct wv_breaker_set *s)
{
	int fork_gate = loaded_gate(s->bpf, WV_BREAKER_AT_FORK);
	int exec_gate = loaded_gate(s->bpf, WV_BREAKER_AT_EXEC);
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);
	struct wv_breaker_ctl ctl, after;
	uint32_t want = 0;
	int fd = -1;

	if (wv_breaker_ctl_read(s, &ctl) < 0)
		return;
	if (fork_gate >= 0)
		want |= FORK_BIT;
	if (exec_gate >= 0) {
		want |= EXEC_BIT;
		fd = wv_bpf_prog_fd(s->bpf, gates[exec_gate].prog);
		(void)bpf_obj_get_info_by_fd(fd, &info, &len);
		/* it works on states of its own: the builds of the two objects differ */
		if (!wv_breaker_prog_uses(fd, s->task_fd))
			want = 0;
	}
	if (!s->host->cgroup2[0])
		want = 0;
	if (want && ctl.gate_prog == info.id)
		return;
	after = ctl;
	after.gates = want ? try_gates(s, want) : 0;
	after.gate_prog = info.id;
	after.last_place = s->last_id;
	(void)wv_breaker_ctl_write(s, &after);
	if (want & ~after.gates)
		(void)wv_log_warn(0, "breaker",
				  "gates attached and did not deny in the self-test (%s%s): "
				  "tracepoints kill instead",
				  want & ~after.gates & FORK_BIT ? "fork " : "",
				  want & ~after.gates & EXEC_BIT ? "exec" : "");
}

/* The object ------------------------------------------------------------------------------------
 */

static const void *elf_btf(size_t *size)
{
	return breaker_lsm_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return breaker_lsm_raw__elf_bytes(size);
}

static int configure(struct bpf_object *obj, const struct wv_host *host,
		     const struct wv_config *config _unused_)
{
	bool lsm = host->lsm == 0, mod = !lsm && host->trampoline == 0;

	if (!lsm || !wv_bpf_has_function("bpf_lsm_task_alloc"))
		wv_bpf_skip_program(obj, "breaker_lsm_fork");
	if (!lsm)
		wv_bpf_skip_program(obj, "breaker_lsm_exec");
	if (!mod || !wv_bpf_has_function("security_task_alloc"))
		wv_bpf_skip_program(obj, "breaker_mod_fork");
	if (!mod || !wv_bpf_has_function("security_bprm_check"))
		wv_bpf_skip_program(obj, "breaker_mod_exec");
	return 0;
}

static int attach(struct wv_bpf *bpf, struct bpf_object *obj, const struct wv_host *host _unused_)
{
	struct bpf_program *p;
	int r = 0;

	bpf_object__for_each_program(p, obj)
	{
		struct bpf_link *link;

		if (r < 0 || !bpf_program__autoload(p))
			continue;
		link = bpf_program__attach(p);
		r = link ? wv_bpf_keep_link(bpf, link, bpf_program__name(p)) : -errno;
	}
	return r;
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	static const struct {
		uint32_t hook;
		const char *name, *lsm, *mod;
	} rows[] = {
		{WV_BREAKER_AT_FORK, "deny forks", "LSM task_alloc",
		 "fmod_ret security_task_alloc"},
		{WV_BREAKER_AT_EXEC, "deny execs", "LSM bprm_check_security",
		 "fmod_ret security_bprm_check"},
	};
	const char *none = "bpf is no active LSM and trampolines are refused: tracepoints kill";
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++) {
		const char *uses = bpf			   ? wv_breaker_gate_name(bpf, rows[i].hook)
				   : host->lsm == 0	   ? rows[i].lsm
				   : host->trampoline == 0 ? rows[i].mod
							   : NULL;

		if (uses)
			r = wv_capability_add(caps, "breaker_gate", rows[i].name, WV_CAP_OK, uses,
					      "");
		else if (host->flavour == WV_FLAVOUR_NONE)
			r = wv_capability_add(caps, "breaker_gate", rows[i].name, WV_CAP_MISSING,
					      "", "no kind of hook works here");
		else
			r = wv_capability_add(caps, "breaker_gate", rows[i].name, WV_CAP_FALLBACK,
					      "tracepoint + SIGKILL", none);
	}
	return r;
}

static const struct wv_object object = {
	.name = "breaker_lsm",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.configure = configure,
	.attach = attach,
};

const struct wv_module wv_module_breaker_gate = {
	.name = "breaker_gate",
	.summary = "starts of tasks that a breaker refuses are denied",
	.object = &object,
	.probe = probe,
};
