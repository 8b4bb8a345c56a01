/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the tracker: a trace that is open, and what can be done to it (trace.c); what each type
 * of record does (track.c). */
#ifndef WV_OTLP_TRACE_H
#define WV_OTLP_TRACE_H

#include "user/otlp/track.h"

#define WV_OTLP_KEY_SIZE 400

/* A span below the root that has begun. */
struct wv_otlp_part {
	bool open;
	char name[80];
	uint64_t start_ns;
	uint8_t id[WV_SPAN_ID_SIZE];
	struct json_object *attributes;
};

struct wv_otlp_trace {
	char key[WV_OTLP_KEY_SIZE]; /* what it is about: kind, and names */
	bool over;		    /* the root was sent; late records still find their ids */
	uint64_t seq;		    /* of the record that began it */
	char boot_id[40];
	uint64_t mono_ns,
		wall_ns;  /* of that record: all times of its boot are counted from there */
	uint64_t last_ns; /* of its newest record, since the epoch */
	uint64_t number;  /* of tracker's clock, when it was last touched */
	struct wv_otlp_span root;
	struct wv_otlp_mark marks[WV_OTLP_MARKS];
	struct wv_otlp_link links[WV_OTLP_LINKS];
	/* step: an action, a deed; phase: what lasts between them (verify, open, trial) */
	struct wv_otlp_part step, phase;
};

struct wv_otlp_tracker {
	struct wv_otlp_trace *list[WV_OTLP_OPEN];
	unsigned n;
	uint64_t number;
	wv_otlp_emit_fn emit;
	void *ctx;
};

/* The open trace of that key, or (over: too) one that is over; NULL. */
struct wv_otlp_trace *wv_otlp_find(const struct wv_otlp_tracker *t, const char *key, bool over);
/* A new one, begun by r; one of the same key is ended as unfinished. NULL: no memory. */
struct wv_otlp_trace *wv_otlp_open(struct wv_otlp_tracker *t, const char *kind, const char *key,
				   const char *name, const struct wv_otlp_record *r);
/* When r happened, by the trace's clock. */
uint64_t wv_otlp_time(const struct wv_otlp_trace *x, const struct wv_otlp_record *r);
void wv_otlp_mark(struct wv_otlp_trace *x, const struct wv_otlp_record *r, const char *name,
		  struct json_object *attributes);
void wv_otlp_link(struct wv_otlp_trace *x, const struct wv_trace_ids *to, const char *why);
/* One that is open already is ended, as unfinished. attributes: the reference is taken. */
void wv_otlp_part_begin(struct wv_otlp_tracker *t, struct wv_otlp_trace *x,
			struct wv_otlp_part *part, const char *name, const struct wv_otlp_record *r,
			struct json_object *attributes);
/* Nothing if it is not open. more: attributes that are added; the reference is taken. */
void wv_otlp_part_end(struct wv_otlp_tracker *t, struct wv_otlp_trace *x, struct wv_otlp_part *part,
		      uint64_t end_ns, struct json_object *more, enum wv_otlp_result status,
		      const char *message);
/* Ends the root, and parts that are open. result: attribute waveos.result. */
void wv_otlp_close(struct wv_otlp_tracker *t, struct wv_otlp_trace *x, uint64_t end_ns,
		   const char *result, enum wv_otlp_result status, const char *message);
/* ... as it is: its end was never told. */
void wv_otlp_abandon(struct wv_otlp_tracker *t, struct wv_otlp_trace *x, const char *why);
/* Copies members of a record as attributes `waveos.<member>`. */
void wv_otlp_copy(struct json_object *to, const struct wv_otlp_record *r, const char *const list[],
		  size_t n);
void wv_otlp_put_text(struct json_object *to, const char *key, const char *text);

#endif
