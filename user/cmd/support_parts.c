// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts of a support bundle. What verbs tell is taken from the verbs, run as processes of their
 * own: one that fails or hangs costs its part, not the bundle.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/cmd/status_view.h"
#include "user/cmd/support.h"
#include "user/core/cleanup.h"

#define PART_MAX (16U << 20)
#define VERB_TIMEOUT_NS 20000000000ULL
#define MAX_ARGS 12
#define MAX_OBJECTS 4096

static const struct {
	const char *name;
	const char *argv[MAX_ARGS]; /* after the program */
} verbs[] = {
	{"version.json", {"version", "--json"}},
	{"doctor.json", {"doctor", "--json"}},
	{"status.json", {"status", "--json"}},
	{"config.json", {"config", "show", "--json"}},
	{"config-validate.json", {"config", "validate", "--json"}},
	{"sample.json", {"dump", "--json"}},
	{"events.jsonl", {"events", "--json", "--lines", "500"}},
	{"modules.json", {"modules", "--json"}},
	{"evidence.json", {"evidence", "verify", "--json"}},
	{"bundles.json", {"bundle", "status", "--json"}},
};

/* Facts of the machine, with nothing of what runs on it. */
static const struct {
	const char *name, *path;
} files[] = {
	{"machine/os-release", "/etc/os-release"},
	{"machine/version", "/proc/version"},
	{"machine/cmdline", "/proc/cmdline"},
	{"machine/meminfo", "/proc/meminfo"},
	{"machine/loadavg", "/proc/loadavg"},
	{"machine/cgroups", "/proc/cgroups"},
	{"machine/mounts", "/proc/self/mounts"},
	{"machine/limits", "/proc/self/limits"},
	{"machine/lsm", "/sys/kernel/security/lsm"},
	{"machine/lockdown", "/sys/kernel/security/lockdown"},
	{"machine/pressure-cpu", "/proc/pressure/cpu"},
	{"machine/pressure-memory", "/proc/pressure/memory"},
	{"machine/pressure-io", "/proc/pressure/io"},
	{"machine/unprivileged_bpf_disabled", "/proc/sys/kernel/unprivileged_bpf_disabled"},
	{"machine/bpf_jit_enable", "/proc/sys/net/core/bpf_jit_enable"},
	{"machine/bpf_stats_enabled", "/proc/sys/kernel/bpf_stats_enabled"},
	{"machine/perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid"},
};

/* Reads what a child writes until it ends, at most until the deadline. 0 or -errno. */
static int read_child(int fd, FILE *out)
{
	uint64_t end = wv_view_mono_ns() + VERB_TIMEOUT_NS;
	size_t total = 0;
	char buf[65536];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = wv_view_mono_ns();
		ssize_t n;

		if (now >= end || poll(&p, 1, (int)((end - now) / 1000000)) <= 0)
			return -ETIMEDOUT;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			return n < 0 ? -errno : 0;
		total += (size_t)n;
		if (total > PART_MAX)
			return -EFBIG;
		if (fwrite(buf, 1, (size_t)n, out) != (size_t)n)
			return -ENOMEM;
	}
}

static pid_t start_verb(const struct wv_paths *paths, const char *const argv[MAX_ARGS], int out)
{
	const char *args[MAX_ARGS + 4] = {"waveos-bpf"};
	size_t n = 1;
	pid_t pid;
	int null;

	for (size_t i = 0; i < MAX_ARGS && argv[i]; i++)
		args[n++] = argv[i];
	if (paths->root[0]) {
		args[n++] = "--root";
		args[n++] = paths->root;
	}
	pid = fork();
	if (pid != 0)
		return pid;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0)
		_exit(EXIT_FAILURE);
	execv("/proc/self/exe", (char *const *)args);
	_exit(EXIT_FAILURE);
}

static int add_verb(struct wv_support *s, const char *name, const char *const argv[MAX_ARGS])
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	char why[96];
	int pipes[2], r, status = 0;
	FILE *out;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	pid = start_verb(s->paths, argv, pipes[1]);
	close(pipes[1]);
	out = pid > 0 ? open_memstream(&text, &len) : NULL;
	r = out ? read_child(pipes[0], out) : -ENOMEM;
	close(pipes[0]);
	if (out && fclose(out) != 0)
		r = -ENOMEM;
	if (pid > 0) {
		if (r < 0)
			(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
	}
	if (r == 0 && len)
		return wv_support_add(s, name, text, len);
	if (r < 0)
		snprintf(why, sizeof(why), "%s", strerror(-r));
	else
		snprintf(why, sizeof(why), "`%s` said nothing, status %d", argv[0],
			 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	wv_support_missing(s, name, why);
	return 0;
}

static int add_file(struct wv_support *s, const char *name, const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = wv_io_read_file(&wv_io_system, AT_FDCWD, path, PART_MAX, &text, &len);

	if (r == 0)
		return wv_support_add(s, name, text, len);
	wv_support_missing(s, name, strerror(-r));
	return 0;
}

/* Every program and map of the machine: by name, type and size. */
static struct json_object *list_programs(void)
{
	struct json_object *list = json_object_new_array();
	__u32 id = 0;

	for (int i = 0; i < MAX_OBJECTS && bpf_prog_get_next_id(id, &id) == 0; i++) {
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);
		struct json_object *o;

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
			continue;
		o = json_object_new_object();
		wv_json_u64(o, "id", info.id);
		wv_json_str(o, "name", info.name);
		wv_json_u64(o, "type", info.type);
		wv_json_u64(o, "bytes", info.xlated_prog_len);
		wv_json_u64(o, "instructions", info.verified_insns);
		wv_json_u64(o, "run_time_ns", info.run_time_ns);
		wv_json_u64(o, "run_count", info.run_cnt);
		wv_json_u64(o, "uid", info.created_by_uid);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *list_maps(void)
{
	struct json_object *list = json_object_new_array();
	__u32 id = 0;

	for (int i = 0; i < MAX_OBJECTS && bpf_map_get_next_id(id, &id) == 0; i++) {
		_cleanup_close_ int fd = bpf_map_get_fd_by_id(id);
		struct bpf_map_info info = {0};
		__u32 len = sizeof(info);
		struct json_object *o;

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
			continue;
		o = json_object_new_object();
		wv_json_u64(o, "id", info.id);
		wv_json_str(o, "name", info.name);
		wv_json_u64(o, "type", info.type);
		wv_json_u64(o, "key_bytes", info.key_size);
		wv_json_u64(o, "value_bytes", info.value_size);
		wv_json_u64(o, "max_entries", info.max_entries);
		json_object_array_add(list, o);
	}
	return list;
}

static int add_bpf(struct wv_support *s)
{
	struct json_object *o = json_object_new_object();
	const char *text;
	int r;

	json_object_object_add(o, "programs", list_programs());
	json_object_object_add(o, "maps", list_maps());
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	r = wv_support_add(s, "bpf.json", text, strlen(text));
	json_object_put(o);
	return r;
}

int wv_support_add_parts(struct wv_support *s)
{
	int r = add_bpf(s);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(verbs); i++)
		r = add_verb(s, verbs[i].name, verbs[i].argv);
	/* as they are written: a verb shows only what it could read */
	if (r == 0)
		r = add_file(s, "waveos.yaml", s->paths->config);
	if (r == 0)
		r = add_file(s, "policy.yaml", s->paths->policy);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		r = add_file(s, files[i].name, files[i].path);
	return r;
}
