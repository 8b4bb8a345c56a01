// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define FILE_MAX_BYTES (64 << 20)

const char *const wv_outcome_names[] = {
	[WV_OUTCOME_CHANGED] = "changed",
	[WV_OUTCOME_ALREADY] = "already so",
	[WV_OUTCOME_RESTORED] = "restored",
	[WV_OUTCOME_NOT_OURS] = "changed by someone else: left alone",
	[WV_OUTCOME_GONE] = "cgroup is gone",
	[WV_OUTCOME_FAILED] = "failed",
	[WV_OUTCOME_NOT_ENFORCED] = "not enforced",
};

struct wv_journal_entry *wv_journal_add(struct wv_journal *j)
{
	if (j->n_entries == j->room_entries) {
		size_t room = j->room_entries ? j->room_entries * 2 : 16;
		struct wv_journal_entry *more = reallocarray(j->entries, room, sizeof(*more));

		if (!more)
			return NULL;
		j->entries = more;
		j->room_entries = room;
	}
	j->entries[j->n_entries] = (struct wv_journal_entry){0};
	return &j->entries[j->n_entries++];
}

/* Keeps the order: what was written first is put back last. */
static void remove_entry(struct wv_journal *j, size_t i)
{
	memmove(&j->entries[i], &j->entries[i + 1], (j->n_entries - i - 1) * sizeof(j->entries[0]));
	j->n_entries--;
	j->dirty = true;
}

long wv_journal_find(const struct wv_journal *j, const char *path, const char *device)
{
	for (size_t i = 0; i < j->n_entries; i++)
		if (strcmp(j->entries[i].path, path) == 0 &&
		    strcmp(j->entries[i].device, device) == 0)
			return (long)i;
	return -1;
}

int wv_journal_set_force(struct wv_journal *j, const char *budget, uint64_t key, bool in_force)
{
	size_t i = 0;

	while (i < j->n_force &&
	       (j->force[i].key != key || strcmp(j->force[i].budget, budget) != 0))
		i++;
	if ((i < j->n_force) == in_force)
		return 0;
	j->dirty = true;
	if (!in_force) {
		j->force[i] = j->force[--j->n_force];
		return 0;
	}
	if (j->n_force == j->room_force) {
		size_t room = j->room_force ? j->room_force * 2 : 16;
		struct wv_journal_force *more = reallocarray(j->force, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		j->force = more;
		j->room_force = room;
	}
	j->force[j->n_force] = (struct wv_journal_force){.key = key};
	snprintf(j->force[j->n_force++].budget, sizeof(j->force[0].budget), "%s", budget);
	return 0;
}

int wv_journal_save(struct wv_journal *j)
{
	_cleanup_free_ char *text = wv_journal_print(j);
	int r;

	if (!text)
		return -ENOMEM;
	r = wv_io_replace(j->io, j->dir, WV_JOURNAL_FILE, text, strlen(text), 0640);
	j->dirty = r < 0;
	return r;
}

/* The file's present value; -ENOENT if the cgroup is gone, or is another one of the same name. */
static int entry_read(const struct wv_journal *j, const struct wv_journal_entry *e, char *ret,
		      size_t size)
{
	int r;

	if (wv_cgfile_folder(e->path) != e->folder)
		return -ENOENT;
	r = wv_cgfile_read(j->io, e->path, e->form, e->device, ret, size);
	return r == -ENODEV ? -ENOENT : r; /* kernfs: removed while open */
}

/*
 * What became of intents that have no outcome: the file shows it. A value that is neither the
 * wanted nor the former one is someone else's, made after ours or instead of it: either way not
 * ours to restore.
 */
static void resolve(struct wv_journal *j)
{
	char now[WV_CGFILE_VALUE];

	for (size_t i = j->n_entries; i-- > 0;) {
		struct wv_journal_entry *e = &j->entries[i];
		int r;

		if (!e->want[0])
			continue;
		r = entry_read(j, e, now, sizeof(now));
		if (r < 0 && r != -ENOENT)
			continue; /* still unknown: the next start asks again */
		if (r == 0 && strcmp(now, e->want) == 0)
			memcpy(e->ours, e->want, sizeof(e->ours));
		e->want[0] = '\0';
		j->dirty = true;
		if (r == -ENOENT || !e->ours[0])
			remove_entry(j, i);
	}
}

int wv_journal_open(struct wv_journal *j, const struct wv_io *io, const char *state,
		    const char *boot_id)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	int r;

	*j = (struct wv_journal){.io = io, .dir = -1};
	snprintf(j->boot_id, sizeof(j->boot_id), "%s", boot_id);
	if (snprintf(path, sizeof(path), "%s/" WV_JOURNAL_DIR, state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = wv_io_mkdirs(io, path, 0750);
	if (r < 0)
		return r;
	j->dir = io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (j->dir < 0)
		return j->dir;
	r = wv_io_read_file(io, j->dir, WV_JOURNAL_FILE, FILE_MAX_BYTES, &text, NULL);
	if (r == 0)
		r = wv_journal_parse(j, text);
	else if (r == -ENOENT)
		r = 0;
	if (r < 0) {
		wv_journal_close(j);
		return r;
	}
	resolve(j);
	return 0;
}

void wv_journal_close(struct wv_journal *j)
{
	if (j->dir >= 0)
		(void)j->io->close(j->io->ctx, j->dir);
	free(j->entries);
	free(j->force);
	*j = (struct wv_journal){.dir = -1};
}

/* Compares a file with its wanted value and notes the intent if something is to be done. */
static void plan_file(struct wv_journal *j, const struct wv_cgfile *f,
		      struct wv_file_result *result)
{
	struct wv_journal_entry *e;
	long known;
	int r;

	*result = (struct wv_file_result){.outcome = WV_OUTCOME_NOT_ENFORCED};
	if (f->reason[0])
		return;
	r = wv_cgfile_read(j->io, f->path, f->form, f->device, result->before,
			   sizeof(result->before));
	if (r < 0) {
		result->outcome =
			r == -ENOENT || r == -ENODEV ? WV_OUTCOME_GONE : WV_OUTCOME_FAILED;
		result->error = r;
		return;
	}
	known = wv_journal_find(j, f->path, f->device);
	if (known >= 0 && j->entries[known].folder != wv_cgfile_folder(f->path)) {
		remove_entry(j, (size_t)known); /* of a cgroup that is gone */
		known = -1;
	}
	if (strcmp(result->before, f->value) == 0) {
		result->outcome = WV_OUTCOME_ALREADY;
		memcpy(result->after, result->before, sizeof(result->after));
		return;
	}
	e = known >= 0 ? &j->entries[known] : wv_journal_add(j);
	if (!e) {
		result->outcome = WV_OUTCOME_FAILED;
		result->error = -ENOMEM;
		return;
	}
	if (known < 0) {
		*e = (struct wv_journal_entry){.key = f->key, .item = f->item, .form = f->form};
		e->folder = wv_cgfile_folder(f->path);
		memcpy(e->path, f->path, sizeof(e->path));
		memcpy(e->device, f->device, sizeof(e->device));
	}
	/* what someone else set since is what a revert has to bring back */
	if (strcmp(result->before, e->ours) != 0)
		memcpy(e->old, result->before, sizeof(e->old));
	memcpy(e->want, f->value, sizeof(e->want));
	result->outcome = WV_OUTCOME_CHANGED;
	j->dirty = true;
}

/* Writes a noted intent and reads it back; memory only, the caller saves. */
static void change_file(struct wv_journal *j, const struct wv_cgfile *f,
			struct wv_file_result *result)
{
	struct wv_journal_entry *e = &j->entries[wv_journal_find(j, f->path, f->device)];
	int r = wv_cgfile_write(j->io, f->path, f->value), s;

	s = wv_cgfile_read(j->io, f->path, f->form, f->device, result->after,
			   sizeof(result->after));
	if (r == 0 && s == 0) {
		/* the kernel may round: what it shows is what a revert must find */
		memcpy(e->ours, result->after, sizeof(e->ours));
		e->want[0] = '\0';
		result->outcome = WV_OUTCOME_CHANGED;
		return;
	}
	result->outcome = WV_OUTCOME_FAILED;
	result->error = r < 0 ? r : s;
	if (r < 0)
		e->want[0] = '\0';
	/* written but unreadable: the intent stays, a later start resolves it */
}

/* Drops the noted intents again: they could not be made durable. */
static void forget_intents(struct wv_journal *j)
{
	for (size_t i = j->n_entries; i-- > 0;) {
		if (!j->entries[i].want[0])
			continue;
		j->entries[i].want[0] = '\0';
		if (!j->entries[i].ours[0])
			remove_entry(j, i);
	}
	j->dirty = true;
}

int wv_journal_apply(struct wv_journal *j, const struct wv_cgfile *files, size_t n,
		     struct wv_file_result *results)
{
	bool change = false, again = false;
	int r;

	for (size_t i = 0; i < n; i++) {
		plan_file(j, &files[i], &results[i]);
		change |= results[i].outcome == WV_OUTCOME_CHANGED;
	}
	if (!change)
		return 0;
	r = wv_journal_save(j);
	if (r < 0) {
		forget_intents(j);
		for (size_t i = 0; i < n; i++) {
			if (results[i].outcome != WV_OUTCOME_CHANGED)
				continue;
			results[i].outcome = WV_OUTCOME_FAILED;
			results[i].error = r;
		}
		return r;
	}
	for (size_t i = 0; i < n; i++)
		if (results[i].outcome == WV_OUTCOME_CHANGED) {
			change_file(j, &files[i], &results[i]);
			again |= results[i].outcome == WV_OUTCOME_FAILED;
		}
	/* v1: a period may only be possible after its quota, depending on what was there */
	for (size_t i = 0; again && i < n; i++)
		if (results[i].outcome == WV_OUTCOME_FAILED && results[i].error == -EINVAL &&
		    wv_journal_find(j, files[i].path, files[i].device) >= 0)
			change_file(j, &files[i], &results[i]);
	for (size_t i = j->n_entries; i-- > 0;)
		if (!j->entries[i].ours[0] && !j->entries[i].want[0])
			remove_entry(j, i);
	/* a failure leaves intents in the file, which a later save or start resolves */
	(void)wv_journal_save(j);
	return 0;
}

void wv_journal_revert(struct wv_journal *j, size_t entry, struct wv_file_result *ret)
{
	struct wv_journal_entry *e = &j->entries[entry];
	int r;

	*ret = (struct wv_file_result){0};
	r = entry_read(j, e, ret->before, sizeof(ret->before));
	if (r == -ENOENT) {
		ret->outcome = WV_OUTCOME_GONE;
	} else if (r < 0) {
		ret->outcome = WV_OUTCOME_FAILED;
	} else if (strcmp(ret->before, e->ours) != 0 && strcmp(ret->before, e->want) != 0) {
		/* also: restored by a revert that did not live to note it */
		ret->outcome = strcmp(ret->before, e->old) == 0 ? WV_OUTCOME_RESTORED
								: WV_OUTCOME_NOT_OURS;
	} else {
		r = wv_cgfile_write(j->io, e->path, e->old);
		ret->outcome = r < 0 ? WV_OUTCOME_FAILED : WV_OUTCOME_RESTORED;
	}
	ret->error = ret->outcome == WV_OUTCOME_FAILED ? r : 0;
	memcpy(ret->after, ret->outcome == WV_OUTCOME_RESTORED ? e->old : ret->before,
	       sizeof(ret->after));
	if (ret->outcome != WV_OUTCOME_FAILED)
		remove_entry(j, entry);
}
