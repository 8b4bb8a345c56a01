// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/first_run.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "user/cmd/harm_text.h"
#include "user/cmd/status_view.h"
#include "user/collect/glance.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/preflight.h"

/* Between the two looks: long enough to be believed (user/flow/harm.h), and told within 2 s. */
#define GLANCE_NS 1000000000ULL
#define SHOWN 5
#define KNOWN 100 /* how many are counted */
/* How long the agent may take to publish its first figures before nothing more is said. */
#define READY_NS 30000000000ULL
#define POLL_NS 50000000L

static double ms_since(uint64_t began_ns)
{
	return (double)(wv_view_mono_ns() - began_ns) / 1e6;
}

bool wv_first_run_people(void)
{
	return wv_log_is_text() && !getenv("NOTIFY_SOCKET");
}

/* Pre-flight ---------------------------------------------------------------------------------- */

static void list_for_people(const struct wv_preflight *p, double took_ms)
{
	static const char *const colors[] = {"\033[32m", "\033[33m", "\033[31m"};
	bool utf8 = wv_term_utf8(), color = wv_term_color(STDERR_FILENO);

	fprintf(stderr, "Pre-flight (%.0f ms):\n", took_ms);
	for (int i = 0; i < WV_PRE_N; i++) {
		const struct wv_preflight_item *item = &p->items[i];

		fprintf(stderr, "  %s%s%s%*s %-12s %s%s%s\n", color ? colors[item->mark] : "",
			wv_mark(item->mark, utf8), color ? "\033[0m" : "",
			utf8 || item->mark == WV_MARK_OK ? 0 : 1, "", item->name, item->found,
			item->instead[0] ? "; " : "", item->instead);
	}
}

static void line_for_machines(const struct wv_preflight *p, double took_ms)
{
	char text[800] = "";

	for (int i = 0; i < WV_PRE_N; i++) {
		const struct wv_preflight_item *item = &p->items[i];
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s%s %s (%s)", i ? ", " : "", item->name,
			 item->mark == WV_MARK_OK	  ? "ok"
			 : item->mark == WV_MARK_FALLBACK ? "fallback"
							  : "missing",
			 item->found);
	}
	wv_log_info("attach", "pre-flight in %.0f ms: %s", took_ms, text);
}

/* What exactly to do about missing rights. */
static void explain_denial(const struct wv_preflight *p, bool people)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *lacks = p->missing[0] ? p->missing : "the bpf() system call is refused";

	self[n < 0 ? 0 : n] = '\0';
	if (!people) {
		(void)wv_log_errno(0, "attach",
				   "missing: %s. Run as root; or setcap %s %s; or in the unit: "
				   "AmbientCapabilities=%s",
				   lacks, WV_PREFLIGHT_SETCAP, self, WV_PREFLIGHT_UNIT);
		return;
	}
	fprintf(stderr, "\nwaveos-bpf attach: missing: %s\n", lacks);
	if (!p->missing[0])
		fprintf(stderr, "The rights are there, so something else refuses it: a seccomp "
				"filter of the container, or the kernel's lockdown.\n");
	fprintf(stderr,
		"Any one of these is enough:\n"
		"  as root      sudo %s attach\n"
		"  one file     sudo setcap %s %s\n"
		"               %s attach --root DIR    (a folder of this user)\n"
		"  in a unit    AmbientCapabilities=%s\n",
		self, WV_PREFLIGHT_SETCAP, self, self, WV_PREFLIGHT_UNIT);
}

bool wv_first_run_preflight(const struct wv_paths *paths, bool people, uint64_t began_ns)
{
	struct wv_preflight p;
	double took_ms;

	wv_preflight(&p, wv_preflight_effective(), paths->bpffs);
	took_ms = ms_since(began_ns);
	if (people)
		list_for_people(&p, took_ms);
	else
		line_for_machines(&p, took_ms);
	if (p.denied)
		explain_denial(&p, people);
	return !p.denied;
}

/* Telling ------------------------------------------------------------------------------------- */

static void sleep_ns(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000ULL),
			     .tv_nsec = (long)(ns % 1000000000ULL)};

	(void)nanosleep(&t, NULL);
}

static void tell_who_hurts(const struct wv_host *host, uint64_t began_ns)
{
	unsigned ncpu = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	struct wv_harm list[KNOWN];
	struct wv_glance g;
	char text[WV_HARM_TEXT];
	size_t n = 0;
	int r = wv_glance_begin(&g, &wv_io_system, host, "/proc");

	if (r == 0) {
		uint64_t took = wv_view_mono_ns() - g.before.mono_ns;

		sleep_ns(took < GLANCE_NS ? GLANCE_NS - took : 0);
		r = wv_glance_end(&g);
	}
	if (r == 0)
		r = wv_harm_rank(&g.now, &g.before, ncpu, list, KNOWN, &n);
	if (r < 0)
		fprintf(stderr, "Who hurts whom: cannot be told from /proc: %s\n", strerror(-r));
	else if (!n)
		fprintf(stderr,
			"Who hurts whom: nobody; in the last %.1f s no cgroup waited for CPU, "
			"memory or I/O because of another (told after %.1f s)\n",
			(double)(g.now.mono_ns - g.before.mono_ns) / 1e9, ms_since(began_ns) / 1e3);
	else
		fprintf(stderr,
			"Who hurts whom, worst first (from /proc, %.1f s, told after "
			"%.1f s):\n",
			(double)(g.now.mono_ns - g.before.mono_ns) / 1e9, ms_since(began_ns) / 1e3);
	for (size_t i = 0; i < n && i < SHOWN; i++)
		fprintf(stderr, "  %zu. %s\n", i + 1, wv_harm_text(text, &list[i], &g.now, ncpu));
	if (n > SHOWN)
		fprintf(stderr, "  and %zu more\n", n - SHOWN);
	wv_glance_done(&g);
}

/* Once the agent publishes: where to look. Nothing where it ended before. */
static void tell_where(const struct wv_paths *paths, uint64_t began_ns)
{
	struct wv_view v = {0};
	int r = -ENOENT;

	while (wv_view_mono_ns() - began_ns < READY_NS) {
		r = wv_view_read(&v, paths);
		/* what a former agent left is older than this start */
		if (r == 0 && v.head.mono_ns > began_ns)
			break;
		r = -ENOENT;
		sleep_ns(POLL_NS);
	}
	if (r == 0 && v.head.metrics_address[0])
		fprintf(stderr, "Page      http://%s/\nMetrics   http://%s/metrics\n",
			v.head.metrics_address, v.head.metrics_address);
	else if (r == 0)
		fprintf(stderr, "Page      none (metrics.listen is empty)\n");
	if (r == 0)
		fprintf(stderr,
			"Live      waveos-bpf top%s%s\nEnd       Ctrl-C, or waveos-bpf "
			"detach%s%s from anywhere\n",
			paths->root[0] ? " --root " : "", paths->root,
			paths->root[0] ? " --root " : "", paths->root);
	wv_view_done(&v);
}

pid_t wv_first_run_tell(const struct wv_paths *paths, uint64_t began_ns)
{
	struct wv_host host;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "waveos-first");
	/* a busy machine is what it is to tell about; where this is refused it is only later */
	(void)setpriority(PRIO_PROCESS, 0, -10);
	wv_host_probe_cgroups(&host);
	tell_who_hurts(&host, began_ns);
	tell_where(paths, began_ns);
	fflush(stderr);
	_exit(EXIT_SUCCESS);
}
