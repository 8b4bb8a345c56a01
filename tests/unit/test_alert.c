// SPDX-License-Identifier: GPL-2.0-only
/* Alerts by a clock of the test: book, routes, groups, rates, pauses, silences, what outlives a
 * restart, and what messages look like whatever names are in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/faulty_io.h"
#include "user/alert/render.h"
#include "user/alert/state.h"
#include "user/evidence/contract.h"

#define S INT64_C(1000000000)
#define WALL UINT64_C(1700000000000000000)

static struct wv_config config;
static struct wv_config_error config_error;
static struct wv_alerts book;
static uint64_t seq, wall_ns;
static int64_t now;
static struct wv_io io;
static char folder[] = "/tmp/wv-alert-XXXXXX";

static uint64_t mono(void *ctx _unused_)
{
	return (uint64_t)now;
}

static uint64_t wall(void *ctx _unused_)
{
	return wall_ns;
}

static void pass(int64_t ns)
{
	now += ns;
	wall_ns += (uint64_t)ns;
}

static void configure(const char *text)
{
	wv_alerts_done(&book);
	wv_config_done(&config);
	assert_int_equal(wv_config_init(&config), 0);
	if (wv_config_load_memory(&config, "t", text, strlen(text), &config_error) < 0)
		fail_msg("%s", config_error.text);
	assert_int_equal(wv_alerts_init(&book, &config, "host"), 0);
	seq = 0;
	now = 1000 * S;
	wall_ns = WALL;
	io = wv_io_system;
	io.mono_ns = mono;
	io.wall_ns = wall;
}

#define HOOK "alerts: [{name: hook, type: webhook, url: 'https://h.example/'}]\n"
#define TWO                                                                                        \
	"alerts: [{name: hook, type: webhook, url: 'https://h.example/'}, "                        \
	"{name: chat, type: slack, url: 'https://s.example/'}]\n"

static int refuses(const char *text, const char *says)
{
	struct wv_config c;
	int r;

	assert_int_equal(wv_config_init(&c), 0);
	r = wv_config_load_memory(&c, "t", text, strlen(text), &config_error);
	wv_config_done(&c);
	if (r != -EINVAL || !strstr(config_error.text, says))
		fail_msg("%d, '%s' does not say '%s'", r, config_error.text, says);
	return 0;
}

static int take(const char *fields)
{
	struct wv_alert_event e[WV_ALERT_EVENTS];
	char line[4096];
	int n;

	seq++;
	snprintf(line, sizeof(line),
		 "{\"boot_id\":\"b\",\"mono_ns\":1,\"run_id\":\"r\",\"schema_version\":2,\"seq\":%"
		 "llu,"
		 "\"wall_ns\":%llu,%s}",
		 (unsigned long long)seq, (unsigned long long)wall_ns, fields);
	n = wv_alert_from_record(line, strlen(line), e);
	for (int i = 0; i < n; i++)
		wv_alerts_take(&book, &e[i], now);
	return n;
}

static void trip(const char *cgroup, const char *severity)
{
	char fields[512];

	snprintf(fields, sizeof(fields),
		 "\"type\":\"alert\",\"rule\":\"busy\",\"what\":\"tripped\",\"cgroup\":\"%s\","
		 "\"severity\":\"%s\",\"route\":\"team\"",
		 cgroup, severity);
	assert_int_equal(take(fields), 1);
}

static void close_rule(const char *cgroup)
{
	char fields[512];

	snprintf(fields, sizeof(fields),
		 "\"type\":\"decision\",\"domain\":\"work\",\"rule\":\"busy\",\"verdict\":"
		 "\"closed\",\"cgroup\":\"%s\"",
		 cgroup);
	assert_int_equal(take(fields), 1);
}

/* How many alerts the sink's next message has; it is delivered. 0: none is due. */
static size_t deliver(unsigned sink)
{
	struct wv_alert_message m;
	struct wv_alert_told told[1024];
	int64_t wait;
	uint64_t key;

	wv_alerts_tidy(&book, now, wall_ns);
	if (wv_alert_next(&book, sink, now, &m, &wait) <= 0)
		return 0;
	key = book.groups[m.group].key;
	for (size_t i = 0; i < m.n; i++)
		told[i] = (struct wv_alert_told){book.list[m.alerts[i]].fingerprint,
						 book.list[m.alerts[i]].ends_ns != 0};
	wv_alert_done(&book, sink, key, told, m.n, true, now);
	free(m.alerts);
	wv_alerts_tidy(&book, now, wall_ns);
	return m.n;
}

/* Sources ------------------------------------------------------------------------------------- */

static void source_rows_name_record_types_and_members_that_exist(void **state _unused_)
{
	for (size_t i = 0; i < wv_alert_sources_count; i++) {
		const struct wv_alert_source *s = &wv_alert_sources[i];
		const char *members = NULL, *rest = s->identity;
		char piece[64], want[80];

		for (size_t k = 0; k < wv_record_types_count; k++)
			if (strcmp(wv_record_types[k].name, s->record) == 0)
				members = wv_record_types[k].members;
		if (!members)
			fail_msg("there is no record %s", s->record);
		while (wv_alert_piece(&rest, piece, sizeof(piece))) {
			snprintf(want, sizeof(want), "%s:", piece);
			if (!strstr(members, want))
				fail_msg("%s has no member %s", s->record, piece);
		}
		snprintf(want, sizeof(want), "%.*s:", (int)strcspn(s->when, "!="), s->when);
		if (*s->when && !strstr(members, want))
			fail_msg("%s has no member %s", s->record, want);
		assert_true(strlen(s->alert) < WV_ALERT_NAME);
	}
}

static void source_conditions_choose_the_edge(void **state _unused_)
{
	configure(HOOK);
	assert_int_equal(
		take("\"type\":\"mode\",\"domain\":\"d\",\"from\":\"normal\",\"to\":\"safe\""), 1);
	assert_int_equal(book.n, 1);
	assert_int_equal(book.list[0].ends_ns, 0);
	assert_string_equal(book.list[0].summary, "domain d went from normal to safe");
	assert_int_equal(
		take("\"type\":\"mode\",\"domain\":\"d\",\"from\":\"safe\",\"to\":\"normal\""), 1);
	assert_int_equal(book.n, 1);
	assert_true(book.list[0].ends_ns > 0);
	assert_int_equal(take("\"type\":\"pod\",\"pod\":\"x\""), 0);
	assert_int_equal(take("\"type\":\"action-outcome\",\"outcome\":\"done\",\"act\":\"kill\""),
			 0);
	/* two rows at once: it is over, and worse */
	assert_int_equal(take("\"type\":\"recovery\",\"event\":\"given-up\",\"cgroup\":\"/a\","
			      "\"chain\":\"c\""),
			 2);
}

static void source_hostile_names_become_printable(void **state _unused_)
{
	configure(HOOK);
	assert_int_equal(
		take("\"type\":\"crash-loop\",\"comm\":\"a\\r\\nBcc: x\\u0000y\",\"cgroup\":"
		     "\"/\\u001b[31m\\u202ex\",\"exits\":5"),
		1);
	assert_null(strpbrk(book.list[0].summary, "\r\n\x1b"));
	assert_null(strpbrk(book.list[0].name, "\r\n\x1b"));
	assert_null(strpbrk(book.list[0].cgroup, "\r\n\x1b"));
	assert_int_equal(wv_alert_from_record("rubbish", 7, (struct wv_alert_event[4]){{0}}),
			 -EBADMSG);
}

/* Book ---------------------------------------------------------------------------------------- */

static void book_same_thing_again_is_one_alert(void **state _unused_)
{
	uint64_t first;

	configure(HOOK);
	trip("/a", "warning");
	first = book.list[0].fingerprint;
	trip("/a", "warning");
	trip("/b", "warning");
	assert_int_equal(book.n, 2);
	assert_int_equal(book.list[0].count, 2);
	assert_true(book.list[1].fingerprint != first);
	/* a worse one is the same thing, told anew */
	book.list[0].told = 1;
	trip("/a", "critical");
	assert_int_equal(book.n, 2);
	assert_int_equal(book.list[0].fingerprint, first);
	assert_int_equal(book.list[0].told, 0);
}

static void book_event_without_an_end_is_over_after_a_while(void **state _unused_)
{
	configure(HOOK "alert_routes: [{to: hook, group_wait: 0s, group_interval: 0s}]\n");
	take("\"type\":\"oom-kill\",\"cgroup\":\"/a\",\"comm\":\"x\"");
	assert_int_equal(deliver(0), 1);
	pass(899 * S);
	wv_alerts_tidy(&book, now, wall_ns);
	assert_int_equal(book.list[0].ends_ns, 0);
	take("\"type\":\"oom-kill\",\"cgroup\":\"/a\",\"comm\":\"x\"");
	pass(899 * S);
	wv_alerts_tidy(&book, now, wall_ns);
	assert_int_equal(book.list[0].ends_ns, 0);
	pass(S);
	assert_int_equal(deliver(0), 1); /* its end */
	assert_int_equal(book.n, 0);
}

static void book_that_came_and_went_unheard_is_still_told(void **state _unused_)
{
	configure("alerts: [{name: hook, type: webhook, url: 'https://h/', resolved: false}]\n"
		  "alert_routes: [{to: hook, group_wait: 0s}]\n");
	trip("/a", "warning");
	close_rule("/a");
	wv_alerts_tidy(&book, now, wall_ns);
	assert_int_equal(book.n, 1);
	assert_int_equal(deliver(0), 1);
	assert_int_equal(book.n, 0);
	/* one that was told of its beginning wants no end */
	trip("/a", "warning");
	pass(400 * S);
	assert_int_equal(deliver(0), 1);
	close_rule("/a");
	assert_int_equal(deliver(0), 0);
	assert_int_equal(book.n, 0);
}

static void book_storm_is_bounded_and_critical_ones_have_room(void **state _unused_)
{
	char cgroup[64];

	configure(HOOK "alerting: {max_active: 64}\n");
	for (int i = 0; i < 100000; i++) {
		snprintf(cgroup, sizeof(cgroup), "/storm/%d", i);
		trip(cgroup, "warning");
	}
	assert_true(book.n <= 64);
	assert_true(book.n_groups <= book.max_groups);
	assert_true(book.suppressed > 99900);
	trip("/important", "critical");
	assert_string_equal(book.list[book.n - 1].cgroup, "/important");
}

/* Routes -------------------------------------------------------------------------------------- */

static uint32_t sinks_of(const char *cgroup, const char *severity)
{
	trip(cgroup, severity);
	for (size_t i = 0; i < book.n; i++)
		if (strcmp(book.list[i].cgroup, cgroup) == 0)
			return book.list[i].sinks;
	fail();
	return 0;
}

static void route_first_match_is_the_one_unless_it_goes_on(void **state _unused_)
{
	configure(TWO "alert_routes:\n"
		      "- {to: '', match: {cgroup: '/quiet*'}}\n"
		      "- {to: chat, match: {severity: critical}, continue: true}\n"
		      "- {to: hook, match: {cgroup: '/db*', route: 'te*', environment: dev}}\n"
		      "- {to: chat, match: {severity: 'info, warning'}}\n");
	assert_int_equal(sinks_of("/quiet/x", "critical"), 0);
	assert_int_equal(sinks_of("/db/x", "critical"), 3);
	assert_int_equal(sinks_of("/web", "critical"), 2);
	assert_int_equal(sinks_of("/db/y", "info"), 1);
	assert_int_equal(sinks_of("/web/z", "warning"), 2);
	configure(TWO); /* all of all */
	assert_int_equal(sinks_of("/x", "info"), 3);
}

static void route_config_names_what_is_wrong(void **state _unused_)
{
	refuses(HOOK "alert_routes: [{to: hok}]\n", "did you mean 'hook'");
	refuses(HOOK "alert_routes: [{to: hook, match: {severity: bad}}]\n", "severity");
	refuses(HOOK "alert_routes: [{to: hook, group_by: pid}]\n", "group_by");
	refuses("alerts: [{name: a, type: webhook}]\n", "url is missing");
	refuses("alerts: [{name: a, type: webhook, url: 'http://far.example/'}]\n", "https://");
	refuses("alerts: [{name: a, type: smtp, address: 'm:25', from: 'a@b', to: 'c@d\\nBcc: "
		"x'}]\n",
		"to:");
	refuses("alerts: [{name: a, type: smtp, address: 'm:25', from: 'a@b', to: c@d, tls: "
		"none}]\n",
		"tls: none");
	refuses("alerts: [{name: a, type: smtp, address: 'm:25', from: nobody, to: c@d}]\n",
		"from:");
	/* a secret where a reference, or a plain address, belongs is not repeated */
	refuses("alerts: [{name: a, type: webhook, url: 'https://u:hunter2@h/'}]\n", "url");
	assert_null(strstr(config_error.text, "hunter2"));
	refuses("alerts: [{name: a, type: webhook, url: 'https://h/', token: hunter2}]\n", "token");
	assert_null(strstr(config_error.text, "hunter2"));
}

/* Plan ---------------------------------------------------------------------------------------- */

static void plan_group_waits_for_more_then_keeps_its_intervals(void **state _unused_)
{
	configure(HOOK "alert_routes: [{to: hook, group_wait: 30s, group_interval: 5m, "
		       "repeat_interval: 1h}]\n");
	trip("/a", "warning");
	pass(29 * S);
	trip("/b", "warning");
	assert_int_equal(deliver(0), 0);
	pass(S);
	assert_int_equal(deliver(0), 2); /* one message */
	trip("/c", "warning");
	pass(299 * S);
	assert_int_equal(deliver(0), 0);
	pass(S);
	assert_int_equal(deliver(0), 3);
	close_rule("/a");
	close_rule("/b");
	pass(300 * S);
	assert_int_equal(deliver(0), 3);
	assert_int_equal(book.n, 1);
	pass(3599 * S);
	assert_int_equal(deliver(0), 0);
	pass(S);
	assert_int_equal(deliver(0), 1); /* still going on */
}

static void plan_critical_goes_at_once_and_first(void **state _unused_)
{
	struct wv_alert_message m;
	int64_t wait;

	configure(HOOK "alert_routes: [{to: hook, group_by: cgroup, group_wait: 30s}]\n");
	trip("/a", "warning");
	pass(30 * S);
	trip("/b", "critical");
	wv_alerts_tidy(&book, now, wall_ns);
	assert_int_equal(wv_alert_next(&book, 0, now, &m, &wait), 1);
	assert_string_equal(book.list[m.alerts[0]].cgroup, "/b");
	free(m.alerts);
}

static void plan_rate_bounds_messages_of_a_storm(void **state _unused_)
{
	char cgroup[64];
	unsigned messages = 0;

	configure("alerts: [{name: hook, type: webhook, url: 'https://h/', rate: 6}]\n"
		  "alert_routes: [{to: hook, group_by: cgroup, group_wait: 0s, "
		  "repeat_interval: 30d}]\n");
	for (int i = 0; i < 200; i++) {
		snprintf(cgroup, sizeof(cgroup), "/storm/%d", i);
		trip(cgroup, "warning");
	}
	/* a minute: the bucket, which holds two, and six more */
	for (int i = 0; i < 600; i++) {
		messages += deliver(0) > 0;
		pass(S / 10);
	}
	assert_in_range(messages, 6, 8);
	/* with no message left for others there is one for what is critical */
	trip("/important", "critical");
	assert_int_equal(deliver(0), 1);
	assert_true(book.sinks[0].limited > 0);
}

static void plan_failures_pause_longer_with_full_jitter(void **state _unused_)
{
	struct wv_alert_message m;
	int64_t wait, low = INT64_MAX, high = 0;

	configure("alerts: [{name: hook, type: webhook, url: 'https://h/', retry_min: 1s, "
		  "retry_max: 1m}]\nalert_routes: [{to: hook, group_wait: 0s}]\n");
	trip("/a", "warning");
	for (unsigned i = 0; i < 64; i++) {
		book.sinks[0].failed = 3;
		wv_alert_failed(&book, 0, 0, i * UINT64_C(0x9e3779b97f4a7c15), now);
		wait = book.sinks[0].next_ns - now;
		low = wait < low ? wait : low;
		high = wait > high ? wait : high;
	}
	assert_true(low >= S / 10 && low < 2 * S && high > 6 * S && high <= 8 * S + S / 10);
	assert_int_equal(wv_alert_next(&book, 0, now, &m, &wait), 0);
	assert_int_equal(wait, book.sinks[0].next_ns - now);
	/* as long as it was asked to, but no fool's hour */
	wv_alert_failed(&book, 0, 120 * (uint64_t)S, 0, now);
	assert_int_equal(book.sinks[0].next_ns - now, 120 * S);
	wv_alert_failed(&book, 0, UINT64_MAX / 2, 0, now);
	assert_int_equal(book.sinks[0].next_ns - now, 3600 * S);
	pass(3600 * S);
	assert_int_equal(deliver(0), 1);
	assert_int_equal(book.sinks[0].failed, 0);
}

static void plan_what_is_too_old_is_for_the_dead_letters(void **state _unused_)
{
	struct wv_alert_message m;
	int64_t wait;

	configure("alerts: [{name: hook, type: webhook, url: 'https://h/', max_age: 1h}]\n"
		  "alert_routes: [{to: hook, group_wait: 0s, group_by: alert}]\n");
	trip("/old", "warning");
	pass(3599 * S);
	trip("/young", "warning");
	wv_alert_failed(&book, 0, 3000 * (uint64_t)S, 0, now);
	assert_int_equal(wv_alert_next(&book, 0, now, &m, &wait), 0);
	pass(S);
	assert_int_equal(wv_alert_next(&book, 0, now, &m, &wait), 1);
	assert_true(m.expired);
	assert_int_equal(m.n, 1);
	assert_string_equal(book.list[m.alerts[0]].cgroup, "/old");
	wv_alert_done(&book, 0, book.groups[m.group].key,
		      &(struct wv_alert_told){book.list[m.alerts[0]].fingerprint, false}, 1, false,
		      now);
	free(m.alerts);
	/* the sink is still down */
	assert_true(book.sinks[0].failed > 0);
	assert_int_equal(wv_alert_next(&book, 0, now, &m, &wait), 0);
}

static void plan_alertmanager_is_told_at_once_and_every_minute(void **state _unused_)
{
	configure("alerts: [{name: am, type: alertmanager, url: 'https://a/'}]\n");
	trip("/a", "warning");
	assert_int_equal(deliver(0), 1);
	pass(59 * S);
	assert_int_equal(deliver(0), 0);
	pass(S);
	assert_int_equal(deliver(0), 1);
}

static void plan_what_changes_under_way_is_told_again(void **state _unused_)
{
	struct wv_alert_message m;
	int64_t wait;

	configure(HOOK "alert_routes: [{to: hook, group_wait: 0s, group_interval: 0s}]\n");
	trip("/a", "warning");
	assert_int_equal(wv_alert_next(&book, 0, now, &m, &wait), 1);
	close_rule("/a"); /* while the message is on the wire */
	wv_alert_done(&book, 0, book.groups[m.group].key,
		      &(struct wv_alert_told){book.list[0].fingerprint, false}, 1, true, now);
	free(m.alerts);
	assert_int_equal(deliver(0), 1);
	assert_int_equal(book.n, 0);
}

/* Silences ------------------------------------------------------------------------------------- */

static void silence_holds_until_it_expires(void **state _unused_)
{
	configure(HOOK "alert_routes: [{to: hook, group_wait: 0s}]\n");
	book.silences[0] = (struct wv_alert_silence){.id = "1", .until_s = WALL / S + 60};
	snprintf(book.silences[0].match[WV_LABEL_CGROUP], 16, "/db*");
	book.n_silences = 1;
	trip("/db/1", "critical");
	trip("/web", "critical");
	assert_int_equal(deliver(0), 1);
	assert_int_equal(deliver(0), 0);
	pass(60 * S);
	assert_int_equal(deliver(0), 2); /* it goes on: now it is told */
	/* what is over before anyone may hear of it is not told */
	book.silences[0].until_s = wall_ns / S + 60;
	trip("/db/2", "critical");
	wv_alerts_tidy(&book, now, wall_ns);
	close_rule("/db/2");
	wv_alerts_tidy(&book, now, wall_ns);
	assert_int_equal(book.suppressed, 1);
	assert_int_equal(book.n, 2);
}

/* State --------------------------------------------------------------------------------------- */

static void state_restart_knows_who_was_told(void **state _unused_)
{
	int dir;

	configure(TWO "alert_routes: [{to: 'hook, chat', group_wait: 0s}]\n");
	dir = wv_alert_open_dir(&io, folder);
	assert_true(dir >= 0);
	trip("/a", "warning");
	trip("/b", "warning");
	close_rule("/b");
	assert_int_equal(deliver(0), 2);
	book.seq = 17;
	assert_int_equal(wv_alert_save(&book, &io, dir), 0);
	pass(100 * S);
	wv_alerts_done(&book);
	/* a boot later, with the sinks in another order */
	wv_config_done(&config);
	assert_int_equal(wv_config_init(&config), 0);
	assert_int_equal(
		wv_config_load_memory(
			&config, "t",
			"alerts: [{name: new, type: webhook, url: 'https://h/'}, {name: chat, "
			"type: slack, url: 'https://s/'}, {name: hook, type: webhook, url: "
			"'https://h/'}]\nalert_routes: [{to: 'hook, chat', group_wait: 0s}]\n",
			strlen("alerts: [{name: new, type: webhook, url: 'https://h/'}, {name: "
			       "chat, "
			       "type: slack, url: 'https://s/'}, {name: hook, type: webhook, url: "
			       "'https://h/'}]\nalert_routes: [{to: 'hook, chat', group_wait: "
			       "0s}]\n"),
			&config_error),
		0);
	now = 5 * S;
	assert_int_equal(wv_alerts_init(&book, &config, "host"), 0);
	assert_int_equal(wv_alert_load(&book, &io, dir), 1);
	assert_int_equal(book.seq, 17);
	assert_int_equal(book.n, 2);
	assert_int_equal(deliver(2), 0);
	assert_int_equal(deliver(0), 0); /* no route leads there */
	assert_int_equal(deliver(1), 2);
	assert_int_equal(book.n, 1); /* /b is over, and all know */
	/* 4h since hook was told, counted over the boot */
	pass((4 * 3600 - 101) * S);
	assert_int_equal(deliver(2), 0);
	pass(S);
	assert_int_equal(deliver(2), 1);
	close(dir);
}

static void state_damaged_is_told_and_the_book_is_empty(void **state _unused_)
{
	int dir;

	configure(HOOK);
	dir = wv_alert_open_dir(&io, folder);
	assert_int_equal(wv_io_replace(&io, dir, WV_ALERT_STATE, "{\"alerts\":", 10, 0600), 0);
	assert_int_equal(wv_alert_load(&book, &io, dir), -EBADMSG);
	assert_int_equal(book.n, 0);
	close(dir);
}

static void state_dead_letters_are_bounded(void **state _unused_)
{
	static char line[10000];
	uint64_t total = 0;
	int dir;

	configure(HOOK);
	memset(line, 'x', sizeof(line));
	dir = wv_alert_open_dir(&io, folder);
	for (int i = 0; i < 100; i++)
		assert_int_equal(wv_alert_bury(&io, dir, "hook", 65536, line, sizeof(line)), 0);
	for (int i = 0; i < 2; i++) {
		int fd = openat(dir, i ? "dead-hook.1.jsonl" : "dead-hook.jsonl", O_RDONLY);
		uint64_t size;

		assert_true(fd >= 0);
		assert_int_equal(io.size(io.ctx, fd, &size), 0);
		total += size;
		close(fd);
	}
	assert_in_range(total, 30000, 65536);
	close(dir);
}

static void silences_roundtrip_without_those_that_are_over(void **state _unused_)
{
	int dir;

	configure(HOOK);
	dir = wv_alert_open_dir(&io, folder);
	book.silences[0] = (struct wv_alert_silence){
		.id = "a", .comment = "why", .by = "me", .until_s = WALL / S + 5};
	snprintf(book.silences[0].match[WV_LABEL_ALERT], 16, "Br*");
	book.silences[1] = (struct wv_alert_silence){.id = "b", .until_s = WALL / S - 5};
	book.n_silences = 2;
	assert_int_equal(wv_alert_silences_save(&book, &io, dir), 0);
	assert_int_equal(wv_alert_silences_load(&book, &io, dir, wall_ns), 0);
	assert_int_equal(book.n_silences, 1);
	assert_string_equal(book.silences[0].match[WV_LABEL_ALERT], "Br*");
	assert_string_equal(book.silences[0].comment, "why");
	close(dir);
}

/* Messages ------------------------------------------------------------------------------------ */

static char *render(size_t *ret_len)
{
	struct wv_alert_message m;
	int64_t wait;
	char *text;

	assert_int_equal(wv_alert_next(&book, 0, now, &m, &wait), 1);
	text = wv_alert_render(&book, &m, wall_ns, 42, ret_len);
	free(m.alerts);
	assert_non_null(text);
	return text;
}

static void hostile(void)
{
	take("\"type\":\"crash-loop\",\"comm\":\"\\\"}],x\\r\\nBcc: a@b\",\"cgroup\":"
	     "\"/<!channel>&`*_~\\u00e9\\n\",\"exits\":5");
}

static void render_webhook_is_json_whatever_names_there_are(void **state _unused_)
{
	struct json_object *o, *first;
	size_t len;
	char *text;

	configure(HOOK "alert_routes: [{to: hook, group_wait: 0s}]\n");
	hostile();
	text = render(&len);
	o = json_tokener_parse(text);
	assert_non_null(o);
	assert_string_equal(json_object_get_string(json_object_object_get(o, "version")), "4");
	assert_string_equal(json_object_get_string(json_object_object_get(o, "status")), "firing");
	first = json_object_array_get_idx(json_object_object_get(o, "alerts"), 0);
	assert_string_equal(json_object_get_string(json_object_object_get(
				    json_object_object_get(first, "labels"), "alertname")),
			    "CrashLoop");
	assert_string_equal(json_object_get_string(json_object_object_get(first, "endsAt")),
			    "0001-01-01T00:00:00Z");
	assert_int_equal(json_object_array_length(json_object_object_get(o, "alerts")), 1);
	json_object_put(o);
	free(text);
}

static void render_truncates_and_counts(void **state _unused_)
{
	struct json_object *o;
	char cgroup[32];
	size_t len;
	char *text;

	configure(HOOK "alert_routes: [{to: hook, group_wait: 0s}]\n");
	for (int i = 0; i < 700; i++) {
		snprintf(cgroup, sizeof(cgroup), "/c%d", i);
		trip(cgroup, i == 699 ? "critical" : "warning");
	}
	text = render(&len);
	o = json_tokener_parse(text);
	assert_int_equal(json_object_array_length(json_object_object_get(o, "alerts")),
			 WV_ALERT_CHUNK);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "truncatedAlerts")), 200);
	/* the critical one stands first */
	assert_non_null(strstr(text, "/c699"));
	assert_true(strstr(text, "/c699") < strstr(text, "/c1\""));
	json_object_put(o);
	free(text);
	/* what was left follows, the first of the next message */
	assert_int_equal(deliver(0), WV_ALERT_CHUNK);
	pass(300 * S);
	assert_int_equal(deliver(0), WV_ALERT_CHUNK);
	for (size_t i = 0; i < book.n; i++)
		assert_int_equal(book.list[i].told, 1);
}

static void render_slack_escapes_its_markup(void **state _unused_)
{
	struct json_object *o;
	size_t len;
	char *text;

	configure("alerts: [{name: chat, type: slack, url: 'https://s/'}]\n"
		  "alert_routes: [{to: chat, group_wait: 0s}]\n");
	hostile();
	text = render(&len);
	o = json_tokener_parse(text);
	assert_non_null(o);
	assert_null(strstr(text, "<!channel>"));
	assert_non_null(strstr(text, "&lt;!channel&gt;&amp;'*_~"));
	json_object_put(o);
	free(text);
}

static void render_mail_has_no_header_of_others(void **state _unused_)
{
	size_t len;
	char *text, *body;

	configure("alerts: [{name: m, type: smtp, address: 'm:25', from: a@b.example, to: "
		  "'c@d.example, e@f.example'}]\nalert_routes: [{to: m, group_wait: 0s}]\n");
	snprintf(book.host, sizeof(book.host), "h\xc3\xb6st");
	hostile();
	text = render(&len);
	body = strstr(text, "\r\n\r\n");
	assert_non_null(body);
	*body = '\0';
	assert_null(strstr(text, "Bcc"));
	assert_non_null(strstr(text, "\r\nSubject: =?utf-8?B?"));
	assert_non_null(strstr(text, "To: c@d.example,\r\n e@f.example\r\n"));
	for (char *p = text; *p; p++)
		assert_true((*p >= ' ' && *p < 0x7f) || *p == '\r' || *p == '\n');
	/* the body is base64 alone */
	for (char *p = body + 4; *p; p++)
		assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/=\r\n",
				       *p));
	free(text);
}

static int set_up(void **state _unused_)
{
	assert_int_equal(wv_config_init(&config), 0);
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	wv_alerts_done(&book);
	wv_config_done(&config);
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(source_rows_name_record_types_and_members_that_exist),
		cmocka_unit_test(source_conditions_choose_the_edge),
		cmocka_unit_test(source_hostile_names_become_printable),
		cmocka_unit_test(book_same_thing_again_is_one_alert),
		cmocka_unit_test(book_event_without_an_end_is_over_after_a_while),
		cmocka_unit_test(book_that_came_and_went_unheard_is_still_told),
		cmocka_unit_test(book_storm_is_bounded_and_critical_ones_have_room),
		cmocka_unit_test(route_first_match_is_the_one_unless_it_goes_on),
		cmocka_unit_test(route_config_names_what_is_wrong),
		cmocka_unit_test(plan_group_waits_for_more_then_keeps_its_intervals),
		cmocka_unit_test(plan_critical_goes_at_once_and_first),
		cmocka_unit_test(plan_rate_bounds_messages_of_a_storm),
		cmocka_unit_test(plan_failures_pause_longer_with_full_jitter),
		cmocka_unit_test(plan_what_is_too_old_is_for_the_dead_letters),
		cmocka_unit_test(plan_alertmanager_is_told_at_once_and_every_minute),
		cmocka_unit_test(plan_what_changes_under_way_is_told_again),
		cmocka_unit_test(silence_holds_until_it_expires),
		cmocka_unit_test(state_restart_knows_who_was_told),
		cmocka_unit_test(state_damaged_is_told_and_the_book_is_empty),
		cmocka_unit_test(state_dead_letters_are_bounded),
		cmocka_unit_test(silences_roundtrip_without_those_that_are_over),
		cmocka_unit_test(render_webhook_is_json_whatever_names_there_are),
		cmocka_unit_test(render_truncates_and_counts),
		cmocka_unit_test(render_slack_escapes_its_markup),
		cmocka_unit_test(render_mail_has_no_header_of_others),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
