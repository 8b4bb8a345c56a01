/* SPDX-License-Identifier: GPL-2.0-only */
/* What is sent: spans, and records of the log; and how both are written. Pure. */
#ifndef WV_OTLP_MODEL_H
#define WV_OTLP_MODEL_H

#include <json-c/json.h>

#include "user/otlp/ids.h"
#include "user/otlp/wire.h"

#define WV_OTLP_MARKS 64 /* events of a span; more are counted */
#define WV_OTLP_LINKS 8

enum wv_otlp_result { WV_OTLP_UNSET, WV_OTLP_OK, WV_OTLP_ERROR };

struct wv_otlp_mark { /* an event of a span */
	uint64_t time_ns;
	char name[48];
	struct json_object *attributes; /* MAY be NULL */
};

struct wv_otlp_link {
	struct wv_trace_ids to;
	const char *why; /* a constant: `waveos.link` */
};

struct wv_otlp_span {
	uint8_t trace[WV_TRACE_ID_SIZE], id[WV_SPAN_ID_SIZE], parent[WV_SPAN_ID_SIZE];
	bool is_child;
	char name[112];
	uint64_t start_ns, end_ns;	/* since the epoch */
	struct json_object *attributes; /* of AnyValues by key; MAY be NULL */
	struct wv_otlp_mark *marks;
	unsigned n_marks, marks_dropped;
	const struct wv_otlp_link *links;
	unsigned n_links;
	enum wv_otlp_result status;
	char message[160]; /* of WV_OTLP_ERROR */
};

/* A record of the device's log. The texts are its own. */
struct wv_otlp_record {
	uint64_t seq, mono_ns, wall_ns;
	const char *type, *boot_id, *run_id;
	struct json_object *o;
};
/* -EBADMSG: it is no record. Release with json_object_put(ret->o). */
int wv_otlp_record_parse(struct wv_otlp_record *ret, uint64_t seq, const char *line, size_t len);
/* Members; "" or 0 where there is none. */
const char *wv_otlp_text(const struct wv_otlp_record *r, const char *member);
uint64_t wv_otlp_number(const struct wv_otlp_record *r, const char *member);
bool wv_otlp_flag(const struct wv_otlp_record *r, const char *member);
/* When it happened, by the clock that shows the time: that of the record, or of the event that it
 * tells of (event_mono_ns). */
uint64_t wv_otlp_when(const struct wv_otlp_record *r);

/* The beginning and the end of a request; between them spans or records. */
struct wv_otlp_resource {
	struct json_object *attributes;
};
void wv_otlp_request(struct wv_otlp_writer *w, enum wv_otlp_encoding encoding, struct wv_text *text,
		     const struct wv_otlp_resource *resource, bool logs);
void wv_otlp_request_end(struct wv_otlp_writer *w);

void wv_otlp_write_span(struct wv_otlp_writer *w, const struct wv_otlp_span *s);
/* where: the span that it belongs to; NULL: none. observed_ns: now. */
void wv_otlp_write_log(struct wv_otlp_writer *w, const struct wv_otlp_record *r,
		       const struct wv_trace_ids *where, uint64_t observed_ns);
/* Repeated KeyValues. Integers beyond int64 go as text. */
void wv_otlp_write_attributes(struct wv_otlp_writer *w, enum wv_otlp_field f,
			      struct json_object *o);

#define WV_SEVERITY_INFO 9
#define WV_SEVERITY_WARN 13
#define WV_SEVERITY_ERROR 17
int wv_otlp_severity(const struct wv_otlp_record *r);

#endif
