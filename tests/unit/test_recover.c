// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recovery in an agent that dies at every one of its calls: before it has its effect, after it, or
 * in the middle of a write. The world (what was done to cgroups, the log) outlives it; the next
 * agent has to bring the chain to its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

/* what a process that was killed had in its memory is no leak */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable() ((void)0)
#define __lsan_enable() ((void)0)
#endif

#include "user/core/cleanup.h"
#include "user/policy/policy.h"
#include "user/recover/recover.h"
#include "user/recover/recoverer.h"
extern const struct wv_module wv_module_domain, wv_module_recover;

#define S 1000000000ULL
#define KEY 4711

enum death { DEATH_BEFORE, DEATH_AFTER, DEATH_TORN, DEATH_N };

/* A process that dies at its call number die_at: it leaves through a jump, like a SIGKILL. */
static struct {
	unsigned calls, die_at;
	enum death how;
	jmp_buf grave;
} process;

/* What outlives it. */
static struct {
	unsigned intents[WV_ACT_N], done[WV_ACT_N], outcomes[WV_ACT_N];
	unsigned resumed_intents, undeclared;
	unsigned recovered, given_up, skipped, released, refused;
	uint64_t now_ns;
	enum wv_act last;
	bool fails[WV_ACT_N];
} world;

static char root[] = "/tmp/wv-recover-XXXXXX";
static struct wv_policy *policy;
static struct wv_agent agent;
static struct wv_host host;
static struct wv_config config;
static struct wv_paths paths;
static struct wv_row rows[2];
static _Atomic uint32_t disarmed;

/* Dies before the call; returns true if it has to die after it. */
static bool dies_after(void)
{
	process.calls++;
	if (!process.die_at || process.calls != process.die_at)
		return false;
	if (process.how == DEATH_BEFORE)
		longjmp(process.grave, 1);
	return true;
}

#define CALL(call)                                                                                 \
	({                                                                                         \
		bool _after = dies_after();                                                        \
		__typeof__(call) _r = (call);                                                      \
		if (_after)                                                                        \
			longjmp(process.grave, 1);                                                 \
		_r;                                                                                \
	})

static int p_open(void *ctx, int dirfd, const char *path, int flags, mode_t mode)
{
	(void)ctx;
	return CALL(wv_io_system.open(NULL, dirfd, path, flags, mode));
}
static ssize_t p_write(void *ctx, int fd, const void *buf, size_t len)
{
	bool after = dies_after();
	ssize_t n = wv_io_system.write(NULL, fd, buf,
				       after && process.how == DEATH_TORN ? len / 2 : len);

	(void)ctx;
	if (after)
		longjmp(process.grave, 1);
	return n;
}
static ssize_t p_pread(void *ctx, int fd, void *buf, size_t len, off_t off)
{
	(void)ctx;
	return CALL(wv_io_system.pread(NULL, fd, buf, len, off));
}
static int p_fsync(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return CALL(0); /* a crash of the process, not of the machine */
}
static int p_close(void *ctx, int fd)
{
	(void)ctx;
	return CALL(wv_io_system.close(NULL, fd));
}
static int p_rename(void *ctx, int dirfd, const char *from, const char *to)
{
	(void)ctx;
	return CALL(wv_io_system.rename(NULL, dirfd, from, to));
}
static int p_unlink(void *ctx, int dirfd, const char *path)
{
	(void)ctx;
	return CALL(wv_io_system.unlink(NULL, dirfd, path));
}
static int p_mkdir(void *ctx, int dirfd, const char *path, mode_t mode)
{
	(void)ctx;
	return CALL(wv_io_system.mkdir(NULL, dirfd, path, mode));
}
static int p_rmdir(void *ctx, int dirfd, const char *path)
{
	(void)ctx;
	return CALL(wv_io_system.rmdir(NULL, dirfd, path));
}
static uint64_t p_mono(void *ctx)
{
	(void)ctx;
	return world.now_ns;
}
static uint64_t p_wall(void *ctx)
{
	(void)ctx;
	return 1000000 * S + world.now_ns;
}
static int p_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	memset(buf, 7, len);
	return 0;
}
static const struct wv_io io = {
	.open = p_open,
	.write = p_write,
	.pread = p_pread,
	.fsync = p_fsync,
	.close = p_close,
	.rename = p_rename,
	.unlink = p_unlink,
	.mkdir = p_mkdir,
	.rmdir = p_rmdir,
	.mono_ns = p_mono,
	.wall_ns = p_wall,
	.random = p_random,
};

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : "";
}

static enum wv_act act_of(struct json_object *o)
{
	for (int i = 0; i < WV_ACT_N; i++)
		if (strcmp(wv_act_names[i], text_of(o, "act")) == 0)
			return (enum wv_act)i;
	return WV_ACT_N;
}

static void log_record(const char *type, struct json_object *o)
{
	const char *event = text_of(o, "event");

	if (strcmp(type, "action") == 0) {
		world.intents[act_of(o)]++;
		world.resumed_intents += strcmp(text_of(o, "resumed"), "true") == 0;
	} else if (strcmp(type, "action-outcome") == 0 && act_of(o) < WV_ACT_N) {
		world.outcomes[act_of(o)]++;
	} else if (strcmp(type, "recovery") == 0) {
		world.recovered += strcmp(event, "recovered") == 0;
		world.given_up += strcmp(event, "given-up") == 0;
		world.skipped += strcmp(event, "skipped") == 0;
		world.released += strcmp(event, "released") == 0;
		world.refused += strcmp(event, "refused") == 0;
	}
}

static int on_record(struct wv_agent *a, const char *type, struct json_object *fields)
{
	bool after = dies_after();

	(void)a;
	if (!after || process.how != DEATH_TORN) /* a torn line is cut off by the next agent */
		log_record(type, fields);
	json_object_put(fields);
	if (after)
		longjmp(process.grave, 1);
	return 0;
}

/* The action itself. Nothing may be done that is not on disk as asked for. */
static int act(const struct wv_act_request *q, const struct wv_step *step,
	       struct wv_act_result *ret)
{
	_cleanup_free_ char *text = NULL;
	char path[128];
	bool after = q ? dies_after() : false; /* a thaw of release has no request */

	snprintf(path, sizeof(path), "%s/var/lib/waveos/recover/chains.json", root);
	if (q && (wv_io_read_file(&wv_io_system, AT_FDCWD, path, 1 << 20, &text, NULL) < 0 ||
		  !strstr(text, "\"flight\"") || !strstr(text, wv_act_names[step->act])))
		world.undeclared++;
	/* as the real ones: what was done before the former agent died is found done */
	if (!q || !q->resumed || world.last != step->act) {
		world.done[step->act]++;
		world.last = step->act;
	}
	if (after)
		longjmp(process.grave, 1);
	if (world.fails[step->act])
		return wv_act_fail(ret, -EIO, "it fails");
	return 0;
}

static const char text[] =
	"schema_version: 1\nname: t\nfeatures: {kill: true}\n"
	"domains:\n  - {name: web, scope: {cgroup: /web}, restarts: {max: 2, within: 1h}}\n"
	"recovery:\n"
	"  - {name: c, steps: [restart wait 5s, freeze wait 5s, kill wait 5s, reboot], backoff: "
	"1s, "
	"jitter: 0%, cool_down: 60s}\n";

static void fresh(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s/var", root);
	assert_int_equal(system(command), 0);
	memset(&world, 0, sizeof(world));
	world.now_ns = 100 * S;
	world.last = WV_ACT_N;
	disarmed = 0;
	process.die_at = 0;
	process.calls = 0;
}

/* A new agent over the same folder. */
static void born(void)
{
	agent = (struct wv_agent){
		.host = &host,
		.config = &config,
		.policy = policy,
		.paths = &paths,
		.io = &io,
		.run_id = "run",
		.disarmed = &disarmed,
		.service_events = -1,
		.record = on_record,
		.sample = {.max_rows = 2, .used_rows = 2, .rows = rows},
	};
	assert_int_equal(wv_module_domain.start(&agent), 0);
	assert_int_equal(wv_module_recover.start(&agent), 0);
	wv_recoverer.act = act;
	assert_int_equal(wv_module_recover.decide(&agent), 0);
}

static void buried(void)
{
	wv_module_recover.stop(&agent);
	wv_module_domain.stop(&agent);
}

static void pass(uint64_t ns)
{
	world.now_ns += ns;
	assert_int_equal(wv_module_recover.decide(&agent), 0);
}

static void need(void)
{
	assert_int_equal(wv_recover_start(&agent, 1, 0, json_object_new_object()), 0);
}

/* restart does not help, freeze does not, kill does. */
static void life(void)
{
	born();
	if (!world.recovered) {
		need(); /* a rule that is still tripped says so again */
		for (int i = 0; i < 60 && !world.done[WV_ACT_KILL]; i++)
			pass(S);
	}
	wv_recover_well(&agent, 1);
	for (int i = 0; i < 70; i++)
		pass(S);
	buried();
}

static void recover_chain_runs_its_steps_in_order(void **state)
{
	(void)state;
	fresh();
	life();
	assert_int_equal(world.done[WV_ACT_RESTART], 1);
	assert_int_equal(world.done[WV_ACT_FREEZE], 1);
	assert_int_equal(world.done[WV_ACT_KILL], 1);
	assert_int_equal(world.recovered, 1);
	assert_int_equal(world.released, 1); /* the freeze, after the cool-down */
	assert_int_equal(world.undeclared, 0);
	assert_int_equal(world.resumed_intents, 0);
}

static void recover_crash_at_every_call_then_next_agent_ends_the_chain(void **state)
{
	unsigned calls;

	(void)state;
	fresh();
	life();
	calls = process.calls;
	assert_true(calls > 100);
	for (enum death how = 0; how < DEATH_N; how++) {
		for (unsigned at = 1; at <= calls; at++) {
			fresh();
			process.die_at = at;
			process.how = how;
			__lsan_disable();
			if (setjmp(process.grave) == 0)
				life();
			__lsan_enable();
			process.die_at = 0;
			buried();
			life();
			if (world.undeclared || !world.done[WV_ACT_KILL] || !world.recovered ||
			    world.done[WV_ACT_RESTART] != 1 || world.done[WV_ACT_KILL] != 1)
				fail_msg(
					"death %d at call %u: %u restarts, %u kills, %u recovered, "
					"%u undeclared",
					how, at, world.done[WV_ACT_RESTART],
					world.done[WV_ACT_KILL], world.recovered, world.undeclared);
			for (int a = 0; a < WV_ACT_N; a++)
				if (world.intents[a] < world.outcomes[a])
					fail_msg("death %d at call %u: %s: %u intents, %u outcomes",
						 how, at, wv_act_names[a], world.intents[a],
						 world.outcomes[a]);
			/* nothing is left to do or to hold */
			born();
			assert_int_equal(wv_recover_holding(), 0);
			assert_int_equal(wv_recoverer.state.n, 0);
			buried();
		}
	}
}

static void recover_restart_budget_outlives_the_agent(void **state)
{
	(void)state;
	fresh();
	for (int i = 0; i < 3; i++) {
		born();
		need();
		pass(S);
		wv_recover_well(&agent, 1);
		pass(61 * S);
		buried();
	}
	assert_int_equal(world.done[WV_ACT_RESTART], 2); /* max: 2 within an hour */
	assert_int_equal(world.skipped, 1);
}

static void recover_kill_switch_refuses_and_releases(void **state)
{
	(void)state;
	fresh();
	world.fails[WV_ACT_RESTART] = true;
	config.kill_switch_release = true;
	born();
	need();
	pass(2 * S);
	assert_int_equal(wv_recover_holding(), 1);
	disarmed = 1;
	pass(S);
	assert_int_equal(wv_recover_holding(), 0);
	assert_int_equal(world.released, 1);
	assert_int_equal(wv_recover_start(&agent, 1, 0, NULL), -ECANCELED);
	assert_int_equal(world.refused, 1);
	pass(600 * S);
	assert_int_equal(world.done[WV_ACT_KILL], 0);
	disarmed = 0;
	pass(S);
	need();
	assert_int_equal(world.done[WV_ACT_RESTART], 2);
	buried();
}

static void recover_chain_that_fails_is_given_up_and_reboot_is_skipped(void **state)
{
	(void)state;
	fresh();
	for (int a = 0; a < WV_ACT_N; a++)
		world.fails[a] = true;
	born();
	need();
	for (int i = 0; i < 20; i++)
		pass(S);
	assert_int_equal(world.given_up, 1);
	assert_int_equal(world.done[WV_ACT_REBOOT], 0);
	assert_int_equal(world.skipped, 1);
	buried();
}

static void recover_dry_run_records_and_does_nothing(void **state)
{
	(void)state;
	fresh();
	born();
	buried();
	agent.dry_run = true;
	assert_int_equal(wv_module_domain.start(&agent), 0);
	assert_int_equal(wv_module_recover.start(&agent), 0);
	wv_recoverer.act = act;
	need();
	for (int i = 0; i < 30; i++)
		pass(S);
	assert_int_equal(world.intents[WV_ACT_KILL], 1);
	for (int a = 0; a < WV_ACT_N; a++)
		assert_int_equal(world.done[a], 0);
	assert_int_equal(wv_recover_holding(), 0);
	buried();
}

static void recover_chain_of_a_policy_that_is_gone_ends(void **state)
{
	struct wv_policy *none = wv_policy_new();

	(void)state;
	fresh();
	born();
	need();
	pass(6 * S);
	pass(2 * S); /* frozen */
	assert_int_equal(wv_recover_holding(), 1);
	agent.policy = none;
	assert_int_equal(wv_module_recover.policy_changed(&agent), 0);
	assert_int_equal(wv_recover_holding(), 0);
	pass(600 * S);
	assert_int_equal(world.done[WV_ACT_KILL], 0);
	buried();
	wv_policy_free(none);
}

static void recover_third_reboot_within_an_hour_is_refused(void **state)
{
	struct wv_recover_state s;

	(void)state;
	fresh();
	assert_int_equal(wv_recover_state_open(&s, &io, paths.state, "boot-1"), 0);
	assert_int_equal(wv_recover_note_reboot(&s, 5000 * S), 0);
	assert_int_equal(wv_recover_state_save(&s), 0);
	wv_recover_state_close(&s);
	assert_int_equal(wv_recover_state_open(&s, &io, paths.state, "boot-2"), 0);
	assert_int_equal(wv_recover_note_reboot(&s, 5100 * S), 0);
	assert_int_equal(wv_recover_note_reboot(&s, 5200 * S), -EBUSY);
	assert_int_equal(wv_recover_note_reboot(&s, 4000 * S), -EBUSY); /* the clock went back */
	assert_int_equal(wv_recover_note_reboot(&s, 8601 * S), 0);
	wv_recover_state_close(&s);
}

static void recover_file_of_someone_else_is_left(void **state)
{
	_cleanup_fclose_ FILE *f = NULL;
	struct wv_recover_state s;
	char path[128];

	(void)state;
	fresh();
	assert_int_equal(wv_recover_state_open(&s, &io, paths.state, "boot-1"), 0);
	wv_recover_state_close(&s);
	snprintf(path, sizeof(path), "%s/var/lib/waveos/recover/chains.json", root);
	f = fopen(path, "we");
	fputs("{\"schema_version\": 99}", f);
	fflush(f);
	assert_int_equal(wv_recover_state_open(&s, &io, paths.state, "boot-1"), -EBADMSG);
}

static int setup(void **state)
{
	struct wv_config_error error;

	(void)state;
	assert_non_null(mkdtemp(root));
	assert_int_equal(wv_paths_init(&paths, root), 0);
	snprintf(host.boot_id, sizeof(host.boot_id), "boot-1");
	if (wv_policy_load_memory(&policy, "t.yaml", text, strlen(text), &error) < 0)
		fail_msg("%s", error.text);
	rows[1] = (struct wv_row){.key = KEY, .flags = WV_ROW_LIVE, .path_len = 4};
	snprintf(rows[1].path, sizeof(rows[1].path), "/web");
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	wv_policy_free(policy);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recover_chain_runs_its_steps_in_order),
		cmocka_unit_test(recover_crash_at_every_call_then_next_agent_ends_the_chain),
		cmocka_unit_test(recover_restart_budget_outlives_the_agent),
		cmocka_unit_test(recover_kill_switch_refuses_and_releases),
		cmocka_unit_test(recover_chain_that_fails_is_given_up_and_reboot_is_skipped),
		cmocka_unit_test(recover_dry_run_records_and_does_nothing),
		cmocka_unit_test(recover_chain_of_a_policy_that_is_gone_ends),
		cmocka_unit_test(recover_third_reboot_within_an_hour_is_refused),
		cmocka_unit_test(recover_file_of_someone_else_is_left),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
