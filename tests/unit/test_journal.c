// SPDX-License-Identifier: GPL-2.0-only
/*
 * The journal of changed cgroup files, with a process that dies at every one of its I/O calls:
 * before the call has its effect, after it, or in the middle of a write.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/enforce/journal.h"

enum death { DEATH_BEFORE, DEATH_AFTER, DEATH_TORN, DEATH_N };

/* A process that dies at its call number die_at: later calls have no effect any more. */
struct process {
	unsigned calls, die_at;
	enum death how;
	bool cgroup_fd[256]; /* a write to such a file replaces it whole, as in kernfs */
};

static char root[] = "/tmp/wv-journal-XXXXXX";

/* Whether the call takes place; *ret_after: but nobody lives to see it. */
static bool alive(struct process *p, bool *ret_dead)
{
	p->calls++;
	*ret_dead = p->die_at && p->calls >= p->die_at;
	return !*ret_dead || (p->calls == p->die_at && p->how != DEATH_BEFORE);
}

#define GUARD(p)                                                                                   \
	bool dead;                                                                                 \
	if (!alive((p), &dead))                                                                    \
		return -EIO;

static int p_open(void *ctx, int dirfd, const char *path, int flags, mode_t mode)
{
	struct process *p = ctx;
	int fd;

	GUARD(p);
	fd = wv_io_system.open(NULL, dirfd, path, flags, mode);
	if (fd >= 0 && fd < 256)
		p->cgroup_fd[fd] = strstr(path, "/cg/") != NULL;
	if (dead && fd >= 0)
		close(fd);
	return dead ? -EIO : fd;
}

static ssize_t p_write(void *ctx, int fd, const void *buf, size_t len)
{
	struct process *p = ctx;
	ssize_t n;

	GUARD(p);
	if (p->cgroup_fd[fd]) {
		if (dead && p->how == DEATH_TORN)
			return -EIO; /* a setting is taken whole or not at all */
		assert_int_equal(ftruncate(fd, 0), 0);
	} else if (dead && p->how == DEATH_TORN) {
		len /= 2;
	}
	n = wv_io_system.write(NULL, fd, buf, len);
	return dead ? -EIO : n;
}

static ssize_t p_pread(void *ctx, int fd, void *buf, size_t len, off_t off)
{
	GUARD((struct process *)ctx);
	return dead ? -EIO : wv_io_system.pread(NULL, fd, buf, len, off);
}

/* a crash of the process, not of the machine: what was written is there */
static int p_fsync(void *ctx, int fd)
{
	(void)fd;
	GUARD((struct process *)ctx);
	return dead ? -EIO : 0;
}

static int p_close(void *ctx, int fd)
{
	struct process *p = ctx;

	p->calls++; /* death closes too, so the test does not run out of descriptors */
	return wv_io_system.close(NULL, fd);
}

static int p_rename(void *ctx, int dirfd, const char *from, const char *to)
{
	int r;

	GUARD((struct process *)ctx);
	r = wv_io_system.rename(NULL, dirfd, from, to);
	return dead ? -EIO : r;
}

static int p_unlink(void *ctx, int dirfd, const char *path)
{
	int r;

	GUARD((struct process *)ctx);
	r = wv_io_system.unlink(NULL, dirfd, path);
	return dead ? -EIO : r;
}

static int p_mkdir(void *ctx, int dirfd, const char *path, mode_t mode)
{
	int r;

	GUARD((struct process *)ctx);
	r = wv_io_system.mkdir(NULL, dirfd, path, mode);
	return dead ? -EIO : r;
}

static int p_rmdir(void *ctx, int dirfd, const char *path)
{
	int r;

	GUARD((struct process *)ctx);
	r = wv_io_system.rmdir(NULL, dirfd, path);
	return dead ? -EIO : r;
}

static struct wv_io process_io(struct process *p)
{
	return (struct wv_io){
		.open = p_open,
		.write = p_write,
		.pread = p_pread,
		.fsync = p_fsync,
		.close = p_close,
		.rename = p_rename,
		.unlink = p_unlink,
		.mkdir = p_mkdir,
		.rmdir = p_rmdir,
		.ctx = p,
	};
}

static const struct {
	const char *name, *old;
	enum wv_cgfile_form form;
	const char *device, *first, *second;
} rows[] = {
	{"cpu.max", "max 100000", WV_FORM_SCALAR, "", "50000 100000", "20000 100000"},
	{"memory.max", "max", WV_FORM_SCALAR, "", "1048576", "2097152"},
	{"io.max", "8:0 rbps=1 wbps=max riops=max wiops=max", WV_FORM_IO_MAX, "8:0",
	 "8:0 rbps=5 wbps=6 riops=max wiops=max", "8:0 rbps=5 wbps=7 riops=max wiops=max"},
	{"pids.max", "100", WV_FORM_SCALAR, "", "10", "10"},
};
#define ROWS ARRAY_SIZE(rows)

static void put(const char *name, const char *text)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s/cg/%s", root, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "%s\n", text);
}

static void get(const char *name, char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s/cg/%s", root, name);
	f = fopen(path, "re");
	assert_non_null(f);
	if (!fgets(ret, (int)size, f))
		ret[0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

static void assert_file(const char *name, const char *value)
{
	char now[128];

	get(name, now, sizeof(now));
	assert_string_equal(now, value);
}

static void fresh(void)
{
	char command[512], path[256];

	snprintf(command, sizeof(command), "rm -rf %s/cg %s/state", root, root);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/cg", root);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < ROWS; i++)
		put(rows[i].name, rows[i].old);
}

static void files_of(struct wv_cgfile *files, bool second)
{
	for (size_t i = 0; i < ROWS; i++) {
		files[i] = (struct wv_cgfile){
			.key = 7, .item = WV_ITEM_CPU_QUOTA, .form = rows[i].form};
		snprintf(files[i].path, sizeof(files[i].path), "%s/cg/%s", root, rows[i].name);
		snprintf(files[i].device, sizeof(files[i].device), "%s", rows[i].device);
		snprintf(files[i].value, sizeof(files[i].value), "%s",
			 second ? rows[i].second : rows[i].first);
	}
}

static int open_journal(struct wv_journal *j, const struct wv_io *io, const char *boot_id)
{
	char state[256];

	snprintf(state, sizeof(state), "%s/state", root);
	return wv_journal_open(j, io, state, boot_id);
}

/* One whole life: start, hold to the first values, then to the second, then let go. */
static void live(struct process *p)
{
	struct wv_file_result results[ROWS];
	struct wv_cgfile files[ROWS];
	struct wv_io io = process_io(p);
	struct wv_journal j;

	if (open_journal(&j, &io, "boot-1") < 0)
		return;
	files_of(files, false);
	if (wv_journal_apply(&j, files, ROWS, results) == 0) {
		files_of(files, true);
		(void)wv_journal_apply(&j, files, ROWS, results);
	}
	for (size_t i = j.n_entries; i-- > 0;)
		wv_journal_revert(&j, i, &results[0]);
	(void)wv_journal_save(&j);
	wv_journal_close(&j);
}

static void journal_crash_at_every_call_then_revert_restores(void **state)
{
	struct process whole = {0};

	(void)state;
	fresh();
	live(&whole);
	for (size_t i = 0; i < ROWS; i++)
		assert_file(rows[i].name, rows[i].old);
	assert_true(whole.calls > 60);
	for (enum death how = 0; how < DEATH_N; how++) {
		for (unsigned at = 1; at <= whole.calls; at++) {
			struct process p = {.die_at = at, .how = how}, next = {0};
			struct wv_io io = process_io(&next);
			struct wv_file_result result;
			struct wv_journal j;

			fresh();
			live(&p);
			assert_int_equal(open_journal(&j, &io, "boot-1"), 0);
			for (size_t i = j.n_entries; i-- > 0;) {
				wv_journal_revert(&j, i, &result);
				assert_int_equal(result.outcome, WV_OUTCOME_RESTORED);
			}
			assert_int_equal(wv_journal_save(&j), 0);
			wv_journal_close(&j);
			for (size_t i = 0; i < ROWS; i++)
				assert_file(rows[i].name, rows[i].old);
			/* and nothing is left to do */
			assert_int_equal(open_journal(&j, &wv_io_system, "boot-1"), 0);
			assert_int_equal(j.n_entries, 0);
			wv_journal_close(&j);
		}
	}
}

static void journal_crash_at_every_call_then_new_agent_holds_and_restores(void **state)
{
	struct process whole = {0};

	(void)state;
	fresh();
	live(&whole);
	for (unsigned at = 1; at <= whole.calls; at++) {
		struct process p = {.die_at = at, .how = DEATH_AFTER}, next = {0};
		struct wv_io io = process_io(&next);
		struct wv_file_result results[ROWS];
		struct wv_cgfile files[ROWS];
		struct wv_journal j;

		fresh();
		live(&p);
		files_of(files, true);
		assert_int_equal(open_journal(&j, &io, "boot-1"), 0);
		assert_int_equal(wv_journal_apply(&j, files, ROWS, results), 0);
		for (size_t i = 0; i < ROWS; i++)
			assert_file(rows[i].name, rows[i].second);
		for (size_t i = j.n_entries; i-- > 0;)
			wv_journal_revert(&j, i, &results[0]);
		for (size_t i = 0; i < ROWS; i++)
			assert_file(rows[i].name, rows[i].old);
		wv_journal_close(&j);
	}
}

static void journal_value_changed_by_someone_else_is_left(void **state)
{
	struct process p = {0};
	struct wv_file_result results[ROWS];
	struct wv_cgfile files[ROWS];
	struct wv_io io = process_io(&p);
	struct wv_journal j;

	(void)state;
	fresh();
	files_of(files, false);
	assert_int_equal(open_journal(&j, &io, "boot-1"), 0);
	assert_int_equal(wv_journal_apply(&j, files, ROWS, results), 0);
	put("memory.max", "4096");
	for (size_t i = j.n_entries; i-- > 0;) {
		bool memory = strstr(j.entries[i].path, "memory.max");

		wv_journal_revert(&j, i, &results[0]);
		assert_int_equal(results[0].outcome,
				 memory ? WV_OUTCOME_NOT_OURS : WV_OUTCOME_RESTORED);
	}
	assert_file("memory.max", "4096");
	assert_file("cpu.max", "max 100000");
	wv_journal_close(&j);
}

static void journal_applied_twice_writes_once(void **state)
{
	struct process p = {0};
	struct wv_file_result results[ROWS];
	struct wv_cgfile files[ROWS];
	struct wv_io io = process_io(&p);
	struct wv_journal j;

	(void)state;
	fresh();
	files_of(files, false);
	assert_int_equal(open_journal(&j, &io, "boot-1"), 0);
	assert_int_equal(wv_journal_apply(&j, files, ROWS, results), 0);
	for (size_t i = 0; i < ROWS; i++) {
		assert_int_equal(results[i].outcome, WV_OUTCOME_CHANGED);
		assert_string_equal(results[i].before, rows[i].old);
		assert_string_equal(results[i].after, rows[i].first);
	}
	assert_int_equal(wv_journal_apply(&j, files, ROWS, results), 0);
	for (size_t i = 0; i < ROWS; i++)
		assert_int_equal(results[i].outcome, WV_OUTCOME_ALREADY);
	wv_journal_close(&j);
}

static void journal_value_that_was_there_before_is_not_ours(void **state)
{
	struct wv_file_result results[ROWS];
	struct wv_cgfile files[ROWS];
	struct wv_journal j;

	(void)state;
	fresh();
	put("pids.max", "10");
	files_of(files, false);
	assert_int_equal(open_journal(&j, &wv_io_system, "boot-1"), 0);
	assert_int_equal(wv_journal_apply(&j, &files[3], 1, results), 0);
	assert_int_equal(results[0].outcome, WV_OUTCOME_ALREADY);
	assert_int_equal(j.n_entries, 0);
	wv_journal_close(&j);
}

static void journal_without_space_writes_nothing(void **state)
{
	struct wv_file_result results[ROWS];
	struct wv_cgfile files[ROWS];
	struct process p = {0};
	struct wv_io io = process_io(&p);
	struct wv_journal j;

	(void)state;
	fresh();
	files_of(files, false);
	assert_int_equal(open_journal(&j, &io, "boot-1"), 0);
	p.die_at = 1; /* from now on everything fails ... */
	p.how = DEATH_BEFORE;
	io.pread = wv_io_system.pread; /* ... but reading */
	io.open = wv_io_system.open;
	assert_true(wv_journal_apply(&j, files, ROWS, results) < 0);
	for (size_t i = 0; i < ROWS; i++) {
		assert_int_equal(results[i].outcome, WV_OUTCOME_FAILED);
		assert_file(rows[i].name, rows[i].old);
	}
	assert_int_equal(j.n_entries, 0);
	wv_journal_close(&j);
}

static void journal_of_another_boot_is_dropped(void **state)
{
	struct wv_file_result results[ROWS];
	struct wv_cgfile files[ROWS];
	struct process p = {0};
	struct wv_io io = process_io(&p);
	struct wv_journal j;

	(void)state;
	fresh();
	files_of(files, false);
	assert_int_equal(open_journal(&j, &io, "boot-1"), 0);
	assert_int_equal(wv_journal_set_force(&j, "b", 7, true), 0);
	assert_int_equal(wv_journal_apply(&j, files, ROWS, results), 0);
	wv_journal_close(&j);
	assert_int_equal(open_journal(&j, &wv_io_system, "boot-2"), 0);
	assert_int_equal(j.n_entries, 0);
	assert_int_equal(j.n_force, 0);
	assert_true(j.dirty);
	wv_journal_close(&j);
}

static void journal_cgroup_of_same_name_is_another_one(void **state)
{
	struct wv_file_result results[ROWS];
	struct wv_cgfile files[ROWS];
	struct process p = {0};
	struct wv_io io = process_io(&p);
	char from[256], to[256];
	struct wv_journal j;

	(void)state;
	fresh();
	files_of(files, false);
	assert_int_equal(open_journal(&j, &io, "boot-1"), 0);
	assert_int_equal(wv_journal_apply(&j, files, ROWS, results), 0);
	snprintf(from, sizeof(from), "%s/cg", root);
	snprintf(to, sizeof(to), "%s/gone", root);
	assert_int_equal(rename(from, to), 0); /* keeps its inode in use */
	assert_int_equal(mkdir(from, 0700), 0);
	for (size_t i = 0; i < ROWS; i++)
		put(rows[i].name, rows[i].first);
	for (size_t i = j.n_entries; i-- > 0;) {
		wv_journal_revert(&j, i, &results[0]);
		assert_int_equal(results[0].outcome, WV_OUTCOME_GONE);
	}
	assert_file("cpu.max", rows[0].first);
	wv_journal_close(&j);
	snprintf(from, sizeof(from), "rm -rf %s/gone", root);
	assert_int_equal(system(from), 0);
}

static void journal_intent_is_resolved_by_the_file(void **state)
{
	static const struct {
		const char *now;
		size_t entries;
		const char *ours;
	} cases[] = {
		{"10", 1, "10"}, /* it was written */
		{"100", 0, ""},	 /* it was not */
		{"77", 0, ""},	 /* someone else was there: nothing of ours to restore */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct wv_journal_entry *e;
		struct wv_journal j;
		char folder[256];

		fresh();
		assert_int_equal(open_journal(&j, &wv_io_system, "boot-1"), 0);
		e = wv_journal_add(&j);
		assert_non_null(e);
		snprintf(e->path, sizeof(e->path), "%s/cg/pids.max", root);
		snprintf(folder, sizeof(folder), "%s/cg/x", root);
		e->folder = wv_cgfile_folder(folder);
		snprintf(e->old, sizeof(e->old), "100");
		snprintf(e->want, sizeof(e->want), "10");
		assert_int_equal(wv_journal_save(&j), 0);
		wv_journal_close(&j);
		put("pids.max", cases[i].now);
		assert_int_equal(open_journal(&j, &wv_io_system, "boot-1"), 0);
		assert_int_equal(j.n_entries, cases[i].entries);
		if (j.n_entries) {
			assert_string_equal(j.entries[0].ours, cases[i].ours);
			assert_string_equal(j.entries[0].want, "");
		}
		wv_journal_close(&j);
	}
}

static void journal_in_force_survives_restart(void **state)
{
	struct wv_journal j;

	(void)state;
	fresh();
	assert_int_equal(open_journal(&j, &wv_io_system, "boot-1"), 0);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(wv_journal_set_force(&j, "calm", i, true), 0);
	assert_int_equal(wv_journal_set_force(&j, "calm", 3, true), 0);
	assert_int_equal(wv_journal_set_force(&j, "calm", 4, false), 0);
	assert_int_equal(wv_journal_set_force(&j, "other", 5, false), 0);
	strcpy(j.run_id, "run-1");
	assert_int_equal(wv_journal_save(&j), 0);
	wv_journal_close(&j);
	assert_int_equal(open_journal(&j, &wv_io_system, "boot-1"), 0);
	assert_string_equal(j.run_id, "run-1");
	assert_int_equal(j.n_force, 39);
	for (size_t i = 0; i < j.n_force; i++) {
		assert_string_equal(j.force[i].budget, "calm");
		assert_true(j.force[i].key != 4);
	}
	wv_journal_close(&j);
}

static void journal_that_is_none_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"nonsense",
		"[]",
		"{\"schema_version\":2,\"boot_id\":\"boot-1\",\"run_id\":\"\",\"files\":[],\"in_"
		"force\":[]}",
		"{\"schema_version\":1,\"boot_id\":\"boot-1\",\"run_id\":\"\",\"files\":[{\"key\":"
		"1}],\"in_force\":"
		"[]}",
		"{\"schema_version\":1,\"boot_id\":\"boot-1\",\"run_id\":\"\",\"files\":{},\"in_"
		"force\":[]}",
		"{\"schema_version\":1,\"boot_id\":\"boot-1\",\"run_id\":\"\",\"files\":[],\"in_"
		"force\":[{}]}",
	};
	char path[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct wv_journal j;
		FILE *f;

		fresh();
		snprintf(path, sizeof(path), "%s/state", root);
		assert_int_equal(mkdir(path, 0700), 0);
		snprintf(path, sizeof(path), "%s/state/enforce", root);
		assert_int_equal(mkdir(path, 0700), 0);
		snprintf(path, sizeof(path), "%s/state/enforce/journal.json", root);
		f = fopen(path, "we");
		assert_non_null(f);
		fputs(texts[i], f);
		fclose(f);
		assert_int_equal(open_journal(&j, &wv_io_system, "boot-1"), -EBADMSG);
	}
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[512];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(journal_crash_at_every_call_then_revert_restores),
		cmocka_unit_test(journal_crash_at_every_call_then_new_agent_holds_and_restores),
		cmocka_unit_test(journal_value_changed_by_someone_else_is_left),
		cmocka_unit_test(journal_applied_twice_writes_once),
		cmocka_unit_test(journal_value_that_was_there_before_is_not_ours),
		cmocka_unit_test(journal_without_space_writes_nothing),
		cmocka_unit_test(journal_of_another_boot_is_dropped),
		cmocka_unit_test(journal_cgroup_of_same_name_is_another_one),
		cmocka_unit_test(journal_intent_is_resolved_by_the_file),
		cmocka_unit_test(journal_in_force_survives_restart),
		cmocka_unit_test(journal_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
