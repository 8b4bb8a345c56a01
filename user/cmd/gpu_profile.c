// SPDX-License-Identifier: GPL-2.0-only
/* gpu profile: runs a command with a hub of its own, no agent needed, and writes a report. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/cmd/gpu_cmd.h"
#include "user/cmd/gpu_profile_doc.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/io.h"
#include "user/gpu/place.h"

#define METERS_NS 200000000ULL /* they change once a second */

struct args {
	const char *output;
	uint64_t for_ns; /* 0: until it ends */
	unsigned level;
};

static const struct wv_option options[] = {
	{"output", 'o', "DIR", "where the report is written (default: gpu-profile)"},
	{"level", 'l', "0..3", "how much is looked at (default: 2)"},
	{"for", 'f', "DURATION", "end the command after this time (SIGTERM)"},
	{0},
};
static const char examples[] =
	"  waveos-bpf gpu profile -- python3 train.py\n"
	"  waveos-bpf gpu profile --for 60s -o /tmp/p -- torchrun train.py\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;

	if (o->letter == 'o') {
		a->output = value;
		return 0;
	}
	if (o->letter == 'f') {
		if (wv_parse_duration(value, &a->for_ns) == 0 && a->for_ns)
			return 0;
		fprintf(stderr, "waveos-bpf gpu profile: --for %s: a duration, as 30s or 5m\n",
			value);
		return WV_EXIT_USAGE;
	}
	if (value[0] < '0' || value[0] > '3' || value[1]) {
		fprintf(stderr, "waveos-bpf gpu profile: --level %s: 0, 1, 2 or 3\n", value);
		return WV_EXIT_USAGE;
	}
	a->level = (unsigned)(value[0] - '0');
	return 0;
}

static uint64_t now(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

/* Starts the command, watched before it does anything. */
static pid_t start(struct wv_gpu_hub *h, const char *socket, unsigned level, char **argv)
{
	struct wv_gpu_place place;
	int go[2];
	pid_t pid;
	char c;

	wv_gpu_find(&place);
	if (pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		close(go[1]); /* else it would wait for itself where the parent is gone */
		if (read(go[0], &c, 1) != 1 || wv_gpu_environment(&place, socket, level) < 0)
			_exit(WV_EXIT_INTERNAL);
		execvp(argv[0], argv);
		fprintf(stderr, "waveos-bpf gpu profile: %s: %s\n", argv[0], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	close(go[0]);
	if (pid > 0) {
		(void)wv_gpu_hub_watch(h, pid);
		(void)!write(go[1], "g", 1);
	}
	close(go[1]);
	return pid < 0 ? -errno : pid;
}

static void ask_main(struct wv_gpu_hub *h, struct wv_profile *p, pid_t pid, uint64_t *from)
{
	uint64_t known = wv_gpu_hub_known(h);
	struct wv_chain_split s;

	if (known <= *from)
		return;
	wv_gpu_hub_split(h, pid, *from, known, &s);
	wv_profile_add_main(p, known - *from, &s);
	*from = known;
}

static void run(struct wv_gpu_hub *h, struct wv_profile *p, const struct args *a, pid_t pid,
		struct wv_gpu_view *v)
{
	bool told = false;
	uint64_t from;

	p->begin = from = now();
	while (waitpid(pid, &p->status, WNOHANG) == 0) {
		struct pollfd f = {.fd = wv_gpu_hub_fd(h), .events = POLLIN};

		poll(&f, 1, 50);
		wv_gpu_hub_turn(h);
		ask_main(h, p, pid, &from);
		if (now() > v->updated + METERS_NS) {
			wv_gpu_hub_show(h, v);
			wv_profile_meters(p, v);
		}
		if (a->for_ns && !told && now() > p->begin + a->for_ns) {
			kill(pid, SIGTERM);
			told = true;
		}
	}
	p->end = now();
	wv_gpu_hub_flush(h);
}

static int save(int dir, const char *name, const char *bytes, size_t len)
{
	return wv_io_replace(&wv_io_system, dir, name, bytes, len, 0644);
}

static int save_json(int dir, const char *name, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE);
	int r = text ? save(dir, name, text, strlen(text)) : -ENOMEM;

	json_object_put(o);
	return r;
}

static int save_doc(int dir, const char *name, const struct wv_profile *p, bool html)
{
	struct wv_doc d = {.html = html, .text.max = 64U << 20};
	int r;

	wv_profile_doc(&d, p);
	r = wv_text_end(&d.text);
	if (r == 0)
		r = save(dir, name, d.text.data, d.text.len);
	wv_text_done(&d.text);
	return r;
}

static int write_all(const char *folder, const struct wv_profile *p)
{
	_cleanup_close_ int dir = -1;
	int r;

	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return -errno;
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	r = save_json(dir, "profile.json", wv_profile_json(p));
	if (r == 0)
		r = save_json(dir, "trace.json", wv_profile_trace(p));
	if (r == 0)
		r = save_doc(dir, "profile.md", p, false);
	return r < 0 ? r : save_doc(dir, "profile.html", p, true);
}

static int report(struct wv_cli *cli, const struct args *a, const struct wv_profile *p)
{
	int r = write_all(a->output, p);

	if (r < 0) {
		fprintf(stderr, "waveos-bpf gpu profile: %s: %s\n", a->output, strerror(-r));
		return WV_EXIT_USAGE;
	}
	if (cli->json) {
		struct json_object *o = wv_profile_json(p);

		printf("%s\n", json_object_to_json_string_ext(
				       o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(o);
	} else {
		fprintf(stderr,
			"bottleneck: %s; %u devices, %llu steps; report: %s/profile.html, .md, "
			".json, "
			"trace.json (ui.perfetto.dev)\n",
			wv_gpu_bottleneck_names[p->bottleneck], p->devices,
			(unsigned long long)p->steps.seen, a->output);
	}
	if (WIFEXITED(p->status))
		return WEXITSTATUS(p->status);
	/* ended by us after --for is as asked */
	return a->for_ns && WTERMSIG(p->status) == SIGTERM ? 0 : 128 + WTERMSIG(p->status);
}

int wv_gpu_profile_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct args a = {.output = "gpu-profile", .level = WV_GPU_L2};
	struct wv_gpu_hub_options o = {.wakes = true, .nvml = true};
	char folder[] = "/tmp/waveos-gpu-XXXXXX", socket[64];
	struct wv_gpu_hub_listener listener;
	struct wv_gpu_hub *h = NULL;
	struct wv_profile *p;
	struct wv_gpu_view *v;
	int i = wv_cli_parse(cli, argc, argv, "gpu profile [OPTIONS] -- COMMAND...", examples,
			     options, set_option, &a),
	    r;

	if (i < 0)
		return -i;
	if (i == argc) {
		fprintf(stderr,
			"waveos-bpf gpu profile: what is to be run? `gpu profile -- COMMAND...`\n");
		return WV_EXIT_USAGE;
	}
	p = malloc(sizeof(*p));
	v = calloc(1, sizeof(*v));
	if (!p || !v || wv_profile_init(p, &listener) < 0 || !mkdtemp(folder)) {
		free(p);
		free(v);
		return WV_EXIT_INTERNAL;
	}
	p->argv = argv + i;
	snprintf(socket, sizeof(socket), "%s/" WV_GPU_SOCKET, folder);
	o.socket = socket;
	r = wv_gpu_hub_open(&o, &listener, &h);
	if (r == 0) {
		pid_t pid;

		signal(SIGINT, SIG_IGN); /* it is the command's: the report comes after it */
		pid = start(h, socket, a.level, argv + i);
		if (pid > 0)
			run(h, p, &a, pid, v);
		r = pid < 0 ? pid : 0;
		wv_gpu_hub_show(h, v);
		wv_profile_finish(p, v);
	}
	wv_gpu_hub_close(h);
	rmdir(folder);
	if (r < 0)
		fprintf(stderr, "waveos-bpf gpu profile: %s\n", strerror(-r));
	r = r < 0 ? WV_EXIT_INTERNAL : report(cli, &a, p);
	wv_profile_done(p);
	free(p);
	free(v);
	return r;
}
