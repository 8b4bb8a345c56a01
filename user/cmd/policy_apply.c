// SPDX-License-Identifier: GPL-2.0-only
/*
 * policy apply: checks, tells what would change, then puts a policy in force in stages: the file is
 * replaced atomically (the old one is kept beside it), the agent is told, and only its word that
 * the new policy is in force is success; else the old file comes back.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "user/agent/policy_source.h"
#include "user/cmd/policy_cmd.h"
#include "user/cmd/policy_machine.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/policy/lint.h"

#define PREVIOUS "policy.yaml.previous"
/* The agent reads the file, and takes it over between two ticks of at most a minute. */
#define TAKE_OVER_NS 90000000000ULL

struct apply {
	bool dry_run, back, force;
};

static const struct wv_option options[] = {
	{"dry-run", 'n', NULL, "tell what would change, change nothing"},
	{"rollback", 0, NULL, "put the policy before this one in force again"},
	{"force", 'f', NULL, "in spite of findings of `policy check`"},
	{0},
};

static int set_option(void *ctx, const struct wv_option *o, const char *value _unused_)
{
	struct apply *a = ctx;

	if (o == &options[0])
		a->dry_run = true;
	else if (o == &options[1])
		a->back = true;
	else
		a->force = true;
	return 0;
}

static void count_finding(void *ctx, unsigned line, const char *text)
{
	(*(unsigned *)ctx)++;
	fprintf(stderr, "  line %u: %s\n", line, text);
}

/* Findings stop it unless forced; a promise that cannot be kept stops it always. */
static int check(const struct apply *a, const struct wv_policy *p)
{
	_cleanup_free_ struct wv_claim *claims = NULL;
	unsigned findings = 0;
	size_t n = 0;

	wv_policy_lint(p, count_finding, &findings);
	if (findings && !a->force) {
		fprintf(stderr,
			"waveos-bpf policy apply: %u findings; nothing was changed (--force "
			"applies "
			"in spite of them)\n",
			findings);
		return WV_EXIT_FINDING;
	}
	if (wv_policy_claims(p, &claims, &n) < 0)
		return WV_EXIT_INTERNAL;
	for (size_t i = 0; i < n; i++) {
		if (claims[i].enforced)
			continue;
		fprintf(stderr, "  %s '%s' is not enforced here: %s\n", claims[i].what,
			claims[i].name, claims[i].reason);
		if (!claims[i].fail_closed)
			continue;
		fprintf(stderr,
			"waveos-bpf policy apply: '%s' must not fail open; nothing was changed\n",
			claims[i].name);
		return WV_EXIT_UNSUPPORTED;
	}
	return WV_EXIT_OK;
}

/* Names that are in one list and not in the other. */
#define TELL_NAMES(what, member, a, b, lead)                                                       \
	for (size_t i_ = 0; i_ < (a)->n_##member; i_++) {                                          \
		size_t k_ = 0;                                                                     \
                                                                                                   \
		while (k_ < (b)->n_##member &&                                                     \
		       strcmp((a)->member[i_].name, (b)->member[k_].name) != 0)                    \
			k_++;                                                                      \
		if (k_ == (b)->n_##member)                                                         \
			printf("  %s %s %s\n", lead, what, (a)->member[i_].name);                  \
	}

static void tell_names(const struct wv_policy *a, const struct wv_policy *b, const char *lead)
{
	TELL_NAMES("domain", domains, a, b, lead)
	TELL_NAMES("breaker", breakers, a, b, lead)
	TELL_NAMES("gate", gates, a, b, lead)
	TELL_NAMES("rule", rules, a, b, lead)
	TELL_NAMES("recovery", chains, a, b, lead)
	TELL_NAMES("service", services, a, b, lead)
}

/* What it would have decided on the newest recorded run, if there is one with samples. */
static void tell_counterfactual(const struct wv_cli *cli, const struct wv_policy *next)
{
	char folder[2 * WV_PATH_SIZE], samples[3 * WV_PATH_SIZE];
	struct wv_replayed got = {0};
	struct wv_recorded run;

	if (wv_find_run(&cli->paths, "latest", folder, sizeof(folder)) < 0)
		return;
	snprintf(samples, sizeof(samples), "%s/samples.wvs", folder);
	if (access(samples, R_OK) < 0)
		snprintf(samples, sizeof(samples), "%s/.samples.wvs.tmp", folder);
	if (access(samples, R_OK) < 0 ||
	    wv_recorded_open(&run, "policy apply", &cli->paths, "latest") != WV_EXIT_OK)
		return;
	if (wv_recorded_replay(&run, "policy apply", next, &got) == WV_EXIT_OK) {
		printf("on the last %.0f s recorded it would have decided %zu times (live: %zu)\n",
		       (double)(got.end_ns - got.start_ns) / 1e9, got.decisions.n, run.decisions.n);
		for (size_t i = 0; i < got.decisions.n && i < 10; i++)
			wv_kept_print(stdout, &got.decisions.list[i], got.start_ns, "  ");
	}
	wv_kept_done(&got.decisions);
	wv_recorded_done(&run);
}

static void tell(const struct wv_cli *cli, const struct wv_policy *old,
		 const struct wv_policy *next)
{
	if (old && old->name[0])
		printf("%s@%.12s -> ", old->name, old->digest);
	else
		printf("no policy -> ");
	printf("%s@%.12s\n", next->name, next->digest);
	if (old) {
		tell_names(old, next, "-");
		tell_names(next, old, "+");
	}
	tell_counterfactual(cli, next);
	fflush(stdout);
}

static int open_folder(const struct wv_paths *paths)
{
	char folder[WV_PATH_SIZE];
	int r;

	snprintf(folder, sizeof(folder), "%s", paths->policy);
	*strrchr(folder, '/') = '\0';
	r = wv_io_mkdirs(&wv_io_system, folder, 0755);
	if (r == 0) {
		r = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = r < 0 ? -errno : r;
	}
	if (r < 0)
		fprintf(stderr, "waveos-bpf policy apply: cannot open %s: %s\n", folder,
			strerror(-r));
	return r;
}

/* The present file becomes the previous one, by a link: at no time is there no policy. */
static int keep_previous(int dir)
{
	if (unlinkat(dir, PREVIOUS, 0) < 0 && errno != ENOENT)
		return -errno;
	return linkat(dir, "policy.yaml", dir, PREVIOUS, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static void nap(void)
{
	const struct timespec t = {.tv_nsec = 20000000};

	(void)nanosleep(&t, NULL);
}

/* Tells the agent and waits for its word. 1: in force; 0: no agent runs; negative: it was not
 * taken. */
static int tell_agent(const struct wv_cli *cli, const struct wv_policy *p)
{
	struct wv_view v = {0};
	char version[80];
	uint64_t refused, end = wv_view_mono_ns() + TAKE_OVER_NS;
	int pid = 0, r = -ETIMEDOUT;

	if (!wv_view_agent_runs(&cli->paths, &pid) || pid <= 0)
		return 0;
	snprintf(version, sizeof(version), "%.60s@%.12s", p->name, p->digest);
	if (wv_view_read(&v, &cli->paths) == 0 && strcmp(v.head.policy_version, version) == 0)
		r = 1; /* it is in force already */
	refused = v.head.policies_refused;
	if (r < 0 && kill(pid, SIGHUP) < 0)
		r = -errno;
	while (r == -ETIMEDOUT && wv_view_mono_ns() < end) {
		if (wv_view_read(&v, &cli->paths) == 0 &&
		    strcmp(v.head.policy_version, version) == 0)
			r = 1;
		else if (v.head.policies_refused != refused)
			r = -EINVAL;
		else if (!wv_view_agent_runs(&cli->paths, &pid))
			r = -ESRCH;
		else
			nap();
	}
	wv_view_done(&v);
	return r;
}

static int install(const struct wv_cli *cli, const struct wv_policy *p)
{
	_cleanup_close_ int dir = open_folder(&cli->paths);
	int r = dir < 0 ? dir : keep_previous(dir), told;

	if (dir < 0)
		return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
	if (r == 0)
		r = wv_io_replace(&wv_io_system, dir, "policy.yaml", p->text, p->text_len, 0644);
	if (r < 0) {
		fprintf(stderr, "waveos-bpf policy apply: cannot replace %s: %s\n",
			cli->paths.policy, strerror(-r));
		return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
	}
	told = tell_agent(cli, p);
	if (told > 0)
		printf("in force: %s@%.12s\n", p->name, p->digest);
	else if (told == 0)
		printf("no agent runs here: %s is read when one starts\n", cli->paths.policy);
	if (told >= 0)
		return WV_EXIT_OK;
	if (renameat(dir, PREVIOUS, dir, "policy.yaml") < 0)
		(void)unlinkat(dir, "policy.yaml", 0);
	fprintf(stderr,
		"waveos-bpf policy apply: the agent did not take it (%s); the old policy is back, "
		"the "
		"agent's log says why\n",
		strerror(-told));
	return WV_EXIT_INTERNAL;
}

int wv_policy_apply(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_(wv_policy_freep) struct wv_policy *next = NULL, *old = NULL;
	struct wv_config_error ignored;
	struct apply a = {0};
	char previous[WV_PATH_SIZE + 16];
	int r = wv_cli_parse(cli, argc, argv,
			     "policy apply FILE [--dry-run] [--force] | --rollback",
			     "  waveos-bpf policy apply policies/web-service --dry-run\n"
			     "  waveos-bpf policy apply policies/web-service\n"
			     "  waveos-bpf policy apply --rollback\n",
			     options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc - r != !a.back) {
		fprintf(stderr, "waveos-bpf policy apply: wants one policy, or --rollback\n");
		return WV_EXIT_USAGE;
	}
	snprintf(previous, sizeof(previous), "%s.previous", cli->paths.policy);
	r = wv_policy_open("policy apply", a.back ? previous : argv[r], &next);
	if (r == WV_EXIT_OK)
		r = check(&a, next);
	if (r != WV_EXIT_OK)
		return r;
	(void)wv_policy_load(&old, cli->paths.policy, &ignored);
	tell(cli, old, next);
	return a.dry_run ? WV_EXIT_OK : install(cli, next);
}
