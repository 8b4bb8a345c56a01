// SPDX-License-Identifier: GPL-2.0-only
/* Silences and dead letters: the small files of <state>/alert. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/alert/state.h"
#include "user/core/cleanup.h"

#define SILENCES_MAX_BYTES (1U << 20)

static void get_text(struct json_object *o, const char *key, char *ret, size_t size)
{
	struct json_object *m;

	ret[0] = '\0';
	if (json_object_object_get_ex(o, key, &m) && json_object_is_type(m, json_type_string))
		snprintf(ret, size, "%s", json_object_get_string(m));
	wv_make_printable(ret);
}

static void load_one(struct wv_alerts *a, struct json_object *o, uint64_t wall_ns)
{
	struct wv_alert_silence *s = &a->silences[a->n_silences];
	struct json_object *m, *match = NULL;

	*s = (struct wv_alert_silence){.until_s = 0};
	get_text(o, "id", s->id, sizeof(s->id));
	get_text(o, "comment", s->comment, sizeof(s->comment));
	get_text(o, "by", s->by, sizeof(s->by));
	if (json_object_object_get_ex(o, "until_s", &m))
		s->until_s = json_object_get_uint64(m);
	(void)json_object_object_get_ex(o, "match", &match);
	for (int i = 0; i < WV_ALERT_LABELS; i++)
		get_text(match, wv_alert_labels[i], s->match[i], sizeof(s->match[i]));
	if (*s->id && s->until_s > wall_ns / 1000000000ULL)
		a->n_silences++;
}

int wv_alert_silences_load(struct wv_alerts *a, const struct wv_io *io, int dirfd, uint64_t wall_ns)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *list;
	size_t len;
	int r = wv_io_read_file(io, dirfd, WV_ALERT_SILENCES, SILENCES_MAX_BYTES, &text, &len);

	a->n_silences = 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	list = json_tokener_parse(text);
	if (!json_object_is_type(list, json_type_array)) {
		json_object_put(list);
		return -EBADMSG;
	}
	for (size_t i = 0;
	     i < json_object_array_length(list) && a->n_silences < WV_ALERT_SILENCES_MAX; i++)
		load_one(a, json_object_array_get_idx(list, i), wall_ns);
	json_object_put(list);
	return 0;
}

int wv_alert_silences_save(const struct wv_alerts *a, const struct wv_io *io, int dirfd)
{
	struct json_object *list = json_object_new_array();
	const char *text;
	size_t len;
	int r;

	for (size_t i = 0; i < a->n_silences; i++) {
		const struct wv_alert_silence *s = &a->silences[i];
		struct json_object *o = json_object_new_object();
		struct json_object *match = json_object_new_object();

		for (int k = 0; k < WV_ALERT_LABELS; k++)
			if (s->match[k][0])
				json_object_object_add(match, wv_alert_labels[k],
						       json_object_new_string(s->match[k]));
		json_object_object_add(o, "id", json_object_new_string(s->id));
		json_object_object_add(o, "match", match);
		json_object_object_add(o, "comment", json_object_new_string(s->comment));
		json_object_object_add(o, "by", json_object_new_string(s->by));
		json_object_object_add(o, "until_s", json_object_new_uint64(s->until_s));
		json_object_array_add(list, o);
	}
	text = json_object_to_json_string_length(list, JSON_C_TO_STRING_PRETTY, &len);
	r = text ? wv_io_replace(io, dirfd, WV_ALERT_SILENCES, text, len, 0640) : -ENOMEM;
	json_object_put(list);
	return r;
}

int wv_alert_bury(const struct wv_io *io, int dirfd, const char *sink, uint64_t max,
		  const char *line, size_t len)
{
	char name[WV_ALERT_NAME + 16], old[WV_ALERT_NAME + 16];
	uint64_t size = 0;
	int fd, r;

	snprintf(name, sizeof(name), "dead-%s.jsonl", sink);
	snprintf(old, sizeof(old), "dead-%s.1.jsonl", sink);
	fd = io->open(io->ctx, dirfd, name, O_WRONLY | O_APPEND | O_CREAT, 0640);
	if (fd < 0)
		return fd;
	r = io->size(io->ctx, fd, &size);
	/* two files, each of half of it */
	if (r == 0 && size && size + len > max / 2) {
		(void)io->close(io->ctx, fd);
		r = io->rename(io->ctx, dirfd, name, old);
		if (r < 0)
			return r;
		fd = io->open(io->ctx, dirfd, name, O_WRONLY | O_APPEND | O_CREAT, 0640);
		if (fd < 0)
			return fd;
	}
	if (r == 0)
		r = wv_io_write_all(io, fd, line, len);
	if (r == 0)
		r = wv_io_sync_data(io, fd);
	(void)io->close(io->ctx, fd);
	if (r == 0)
		r = wv_io_sync_dir(io, dirfd);
	return r;
}
