// SPDX-License-Identifier: GPL-2.0-only
/* gpu jobs: asks the worker of jobs (user/jobs) and shows what it answers. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "user/cmd/gpu_cmd.h"
#include "user/cmd/gpu_jobs.h"
#include "user/core/cleanup.h"
#include "user/jobs/jobs.h"

#define ANSWER_MAX (512U << 10)
#define PATIENCE_S 10

static int no_worker(const char *path, int r)
{
	fprintf(stderr,
		"waveos-bpf gpu jobs: nobody answers at %s: %s; start the agent with gpu.jobs: "
		"true\n",
		path, strerror(-r));
	return r == -EACCES ? WV_EXIT_DENIED : WV_EXIT_FINDING;
}

static int open_socket(const char *path)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	const int room = 2 * ANSWER_MAX;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0 ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* One message there, one back. */
static int exchange(int fd, struct json_object *request, struct json_object **ret)
{
	const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	_cleanup_free_ char *buf = malloc(ANSWER_MAX + 1);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	if (strlen(text) > WV_JOBS_MESSAGE_MAX)
		return -E2BIG;
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return -errno;
	n = recv(fd, buf, ANSWER_MAX, 0);
	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	buf[n] = '\0';
	*ret = json_tokener_parse(buf);
	return *ret ? 0 : -EPROTO;
}

int wv_gpu_jobs_ask(struct wv_cli *cli, struct json_object *request, struct json_object **ret)
{
	char path[WV_PATH_SIZE + 16];
	struct json_object *answer = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	snprintf(path, sizeof(path), "%s/" WV_JOBS_SOCKET, cli->paths.runtime);
	fd = open_socket(path);
	r = fd < 0 ? fd : exchange(fd, request, &answer);
	json_object_put(request);
	if (r == -E2BIG) {
		fprintf(stderr,
			"waveos-bpf gpu jobs: command and environment are over %u KiB; `env -i "
			"PATH=$PATH ...` makes it smaller\n",
			WV_JOBS_MESSAGE_MAX >> 10);
		return WV_EXIT_USAGE;
	}
	if (r < 0)
		return no_worker(path, r);
	if (wv_job_text(answer, "error")[0]) {
		fprintf(stderr, "waveos-bpf gpu jobs: %s\n", wv_job_text(answer, "error"));
		r = (int)wv_job_number(answer, "exit", WV_EXIT_INTERNAL);
		json_object_put(answer);
		return r;
	}
	*ret = answer;
	return 0;
}

/* Shown ---------------------------------------------------------------------------------------- */

static const char *user_name(int64_t uid, char buf[16])
{
	const struct passwd *p = getpwuid((uid_t)uid);

	if (p)
		return p->pw_name;
	snprintf(buf, 16, "%lld", (long long)uid);
	return buf;
}

static const char *span(int64_t ns, char buf[24])
{
	int64_t s = ns / 1000000000;

	if (s >= 86400)
		snprintf(buf, 24, "%lldd%02lldh", (long long)s / 86400,
			 (long long)s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(buf, 24, "%lldh%02lldm", (long long)s / 3600, (long long)s % 3600 / 60);
	else
		snprintf(buf, 24, "%lldm%02llds", (long long)s / 60, (long long)s % 60);
	return buf;
}

static void print_row(struct json_object *j)
{
	char user[16], time[24] = "", devices[WV_TOPO_GPUS * 4] = "";
	int64_t waits = wv_job_number(j, "waiting_ns", 0), runs = wv_job_number(j, "running_ns", 0);
	struct json_object *list;
	size_t len = 0;

	if (json_object_object_get_ex(j, "gpus", &list))
		for (size_t i = 0; i < json_object_array_length(list) && i < WV_TOPO_GPUS; i++)
			len += (size_t)snprintf(
				devices + len, sizeof(devices) - len, "%s%d", len ? "," : "",
				json_object_get_int(json_object_array_get_idx(list, i)));
	printf("%-6lld %-10s %-12s %4lld %-10s %4lld %-9s %s\n",
	       (long long)wv_job_number(j, "id", 0), wv_job_text(j, "state"),
	       user_name(wv_job_number(j, "uid", 0), user),
	       (long long)wv_job_number(j, "n_gpus", 0), devices[0] ? devices : "-",
	       (long long)wv_job_number(j, "priority", 0),
	       runs || waits ? span(runs ?: waits, time) : "-", wv_job_text(j, "name"));
}

static void print_list(struct json_object *o)
{
	struct json_object *jobs;

	printf("%lld of %lld GPUs are free\n", (long long)wv_job_number(o, "gpus_free", 0),
	       (long long)wv_job_number(o, "gpus", 0));
	if (!json_object_object_get_ex(o, "jobs", &jobs) || !json_object_array_length(jobs))
		return;
	printf("%-6s %-10s %-12s %4s %-10s %4s %-9s %s\n", "ID", "STATE", "USER", "GPUS", "ON",
	       "PRIO", "TIME", "NAME");
	for (size_t i = 0; i < json_object_array_length(jobs); i++)
		print_row(json_object_array_get_idx(jobs, i));
}

static void print_job(struct json_object *o)
{
	json_object_object_foreach(o, name, value)
	{
		bool time = strlen(name) > 3 && strcmp(name + strlen(name) - 3, "_ns") == 0 &&
			    !strstr(name, "wall");
		char buf[24];

		if (time)
			printf("%-18.*s %s\n", (int)strlen(name) - 3, name,
			       span(json_object_get_int64(value), buf));
		else
			printf("%-18s %s\n", name, json_object_get_string(value));
	}
}

static void print(const struct wv_cli *cli, struct json_object *o,
		  void (*text)(struct json_object *))
{
	if (cli->json)
		puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	else
		text(o);
	json_object_put(o);
}

/* Subverbs ------------------------------------------------------------------------------------- */

static const struct wv_option list_options[] = {
	{"all", 'a', NULL, "those that ended lately, too"},
	{0},
};
static const char list_examples[] = "  waveos-bpf gpu jobs list --all\n";

static int set_all(void *ctx, const struct wv_option *o _unused_, const char *value _unused_)
{
	*(bool *)ctx = true;
	return 0;
}

static int list_jobs(struct wv_cli *cli, int argc, char **argv)
{
	struct json_object *request, *answer;
	bool all = false;
	int r = wv_cli_parse(cli, argc, argv, "gpu jobs list [--all] [--json]", list_examples,
			     list_options, set_all, &all);

	if (r < 0)
		return -r;
	if (r != argc) {
		fprintf(stderr, "waveos-bpf gpu jobs list: takes no operand; see --help\n");
		return WV_EXIT_USAGE;
	}
	request = json_object_new_object();
	json_object_object_add(request, "verb", json_object_new_string("list"));
	json_object_object_add(request, "all", json_object_new_int(all));
	r = wv_gpu_jobs_ask(cli, request, &answer);
	if (r)
		return r;
	print(cli, answer, print_list);
	return WV_EXIT_OK;
}

/* show, preempt, resume, cancel: of one job. */
static int of_one(struct wv_cli *cli, int argc, char **argv, const char *verb, const char *usage,
		  const char *examples)
{
	static const struct wv_option none[] = {{0}};
	struct json_object *request, *answer;
	char *end;
	long id;
	int r = wv_cli_parse(cli, argc, argv, usage, examples, none, NULL, NULL);

	if (r < 0)
		return -r;
	if (r != argc - 1 || (id = strtol(argv[r], &end, 10)) <= 0 || *end) {
		fprintf(stderr,
			"waveos-bpf gpu jobs %s: which job? its number, see `gpu jobs list`\n",
			verb);
		return WV_EXIT_USAGE;
	}
	request = json_object_new_object();
	json_object_object_add(request, "verb", json_object_new_string(verb));
	json_object_object_add(request, "id", json_object_new_int64(id));
	r = wv_gpu_jobs_ask(cli, request, &answer);
	if (r)
		return r;
	if (strcmp(verb, "show") == 0) {
		print(cli, answer, print_job);
	} else {
		if (cli->json)
			puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
		json_object_put(answer);
	}
	return WV_EXIT_OK;
}

#define OF_ONE(verb)                                                                               \
	static int verb##_job(struct wv_cli *cli, int argc, char **argv)                           \
	{                                                                                          \
		return of_one(cli, argc, argv, #verb, "gpu jobs " #verb " ID [--json]",            \
			      "  waveos-bpf gpu jobs " #verb " 12\n");                             \
	}
OF_ONE(show)
OF_ONE(preempt)
OF_ONE(resume)
OF_ONE(cancel)

int wv_gpu_jobs_cmd(struct wv_cli *cli, int argc, char **argv)
{
	static const struct wv_subverb subverbs[] = {
		{"submit", "put a command into the queue; prints the job's number",
		 wv_gpu_jobs_submit},
		{"list", "the queue, and what runs", list_jobs},
		{"show", "all that is known of a job", show_job},
		{"preempt", "let a job save its state and leave; it is held until it is resumed",
		 preempt_job},
		{"resume", "let a job that was preempted by hand wait for its turn again",
		 resume_job},
		{"cancel", "end a job, or take it out of the queue", cancel_job},
		{0},
	};

	return wv_cli_dispatch("gpu jobs", subverbs,
			       "  waveos-bpf gpu jobs submit --gpus 2 -- python3 train.py\n"
			       "  waveos-bpf gpu jobs list\n",
			       cli, argc, argv);
}
