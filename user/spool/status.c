// SPDX-License-Identifier: GPL-2.0-only
/* Figures of a running spool: <folder>/status.json, renewed every second, for `spool status`. It is
 * not durable: what counts is in segments and cursors. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/spool/output.h"

static void add(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_text(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

static struct json_object *inputs(const struct wv_spool *s)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->n_inputs; i++) {
		struct json_object *o = json_object_new_object();
		const struct wv_input_count *c = &s->in[i];

		add_text(o, "name", s->inputs[i]->name);
		add(o, "received_records", c->records);
		add(o, "received_bytes", c->bytes);
		add(o, "dropped_records", c->dropped);
		add(o, "kernel_dropped_datagrams", c->kernel_dropped);
		add(o, "cut_records", c->cut);
		add(o, "refused", c->refused);
		json_object_array_add(list, o);
	}
	return list;
}

/* Buffered is what the loss contract leaves: received = delivered + dropped + ... + buffered. */
static struct json_object *output(const struct wv_spool *s, const struct wv_output *out)
{
	struct json_object *o = json_object_new_object();
	const struct wv_cursor *c = &out->cursor;

	add_text(o, "name", out->config->name);
	add(o, "received_records", s->durable.seq - c->start_seq);
	add(o, "delivered_records", c->delivered);
	add(o, "buffered_records", s->durable.seq - c->pos.seq);
	add(o, "dropped_records", c->dropped + c->dropped_full);
	add(o, "damaged_records", c->damaged);
	add(o, "dead_records", c->dead);
	add(o, "rejected_records", c->rejected);
	json_object_object_add(o, "contract_holds",
			       json_object_new_boolean(c->delivered + c->dropped + c->dropped_full +
							       c->damaged + c->dead ==
						       c->pos.seq - c->start_seq));
	add(o, "batches", out->batches);
	add(o, "sent_bytes", out->bytes);
	add(o, "errors", out->errors);
	add(o, "failures_in_a_row", out->failures);
	add_text(o, "last_error", out->last_error);
	return o;
}

struct json_object *wv_spool_status(struct wv_spool *s)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	pthread_mutex_lock(&s->mutex);
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	add_text(o, "name", s->config->name);
	add_text(o, "folder", s->path);
	json_object_object_add(o, "pid", json_object_new_int(getpid()));
	add(o, "wall_ns", s->io->wall_ns(s->io->ctx));
	add(o, "durable_records", s->durable.seq - 1);
	add(o, "used_bytes", s->used);
	add(o, "max_bytes", s->config->buffer_bytes);
	add(o, "pending_bytes", s->pending_bytes);
	add(o, "dropped_newest_records", s->dropped_newest);
	add(o, "disk_errors", s->disk_errors);
	add_text(o, "disk_error", s->disk_error ? strerror(-s->disk_error) : "");
	json_object_object_add(o, "inputs", inputs(s));
	for (size_t i = 0; i < s->n_outputs; i++)
		if (s->outputs[i])
			json_object_array_add(list, output(s, s->outputs[i]));
	json_object_object_add(o, "outputs", list);
	pthread_mutex_unlock(&s->mutex);
	return o;
}

void wv_spool_sum(struct wv_spool *s, struct wv_spool_figures *sum)
{
	uint64_t slowest = 0;

	pthread_mutex_lock(&s->mutex);
	for (size_t i = 0; i < s->n_inputs; i++) {
		sum->received += s->in[i].records;
		sum->lost_input += s->in[i].dropped;
		sum->lost_kernel += s->in[i].kernel_dropped;
	}
	for (size_t i = 0; i < s->n_outputs; i++) {
		const struct wv_output *out = s->outputs[i];
		uint64_t waits;

		if (!out)
			continue;
		waits = s->durable.seq - out->cursor.pos.seq;
		if (waits > slowest)
			slowest = waits;
		sum->delivered += out->cursor.delivered;
		sum->dead += out->cursor.dead;
		sum->lost_buffer += out->cursor.dropped + out->cursor.dropped_full;
		sum->lost_damaged += out->cursor.damaged;
		sum->output_errors += out->errors;
	}
	sum->buffered += slowest;
	sum->used_bytes += s->used;
	sum->max_bytes += s->config->buffer_bytes;
	sum->disk_errors += s->disk_errors;
	pthread_mutex_unlock(&s->mutex);
}

int wv_spool_write_status(struct wv_spool *s)
{
	struct json_object *o = wv_spool_status(s);
	size_t len;
	const char *text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	int r, fd = s->io->open(s->io->ctx, s->dir, ".status.json.tmp",
				O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);

	r = fd < 0 ? fd : wv_io_write_all(s->io, fd, text, len);
	if (fd >= 0)
		(void)s->io->close(s->io->ctx, fd);
	if (r == 0)
		r = s->io->rename(s->io->ctx, s->dir, ".status.json.tmp", "status.json");
	json_object_put(o);
	return r;
}
