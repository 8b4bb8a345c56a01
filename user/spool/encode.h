/* SPDX-License-Identifier: GPL-2.0-only */
/* Records as an output sends them. Pure; bytes of senders are escaped, never trusted. */
#ifndef WV_SPOOL_ENCODE_H
#define WV_SPOOL_ENCODE_H

#include "user/export/text.h"
#include "user/spool/frame.h"

enum wv_spool_format {
	WV_FORMAT_AUTO,	  /* by the type of the output */
	WV_FORMAT_RAW,	  /* the sender's bytes, a line each */
	WV_FORMAT_JSON,	  /* one JSON object a line (NDJSON) */
	WV_FORMAT_OTLP,	  /* ExportLogsServiceRequest of OTLP/HTTP in JSON */
	WV_FORMAT_SYSLOG, /* RFC 5424 in octet counting (RFC 5425 section 4.3) */
};

/* Starts zeroed but for format and what must be known. */
struct wv_encoder {
	enum wv_spool_format format;
	int32_t utc_offset_s; /* of time stamps without a zone */
	const char *host;     /* of records whose sender says none */
	/* of the current frame: what its records have in common */
	const struct wv_frame *frame;
	char prefix[160];
	size_t prefix_len;
	char input[WV_FRAME_NAME_MAX + 1];
	size_t records; /* in the batch */
};

void wv_encode_begin(struct wv_encoder *e, struct wv_text *t);
void wv_encode_frame(struct wv_encoder *e, const struct wv_frame *f);
/* seq: number of the record. */
void wv_encode_record(struct wv_encoder *e, struct wv_text *t, uint64_t seq, const char *text,
		      size_t len);
/* A record of the spool itself: `count` records are missing here. */
void wv_encode_loss(struct wv_encoder *e, struct wv_text *t, uint64_t count, const char *why,
		    uint64_t wall_ns);
void wv_encode_end(struct wv_encoder *e, struct wv_text *t);

/* The inside of a JSON string. Bytes that are no UTF-8 become U+FFFD; returns whether there were
 * any. */
bool wv_json_text(struct wv_text *t, const char *s, size_t len);
/* 2026-01-31T23:59:59.123456Z; returns its length, 27. */
#define WV_TIME_SIZE 32
size_t wv_rfc3339(uint64_t wall_ns, char ret[WV_TIME_SIZE]);

#endif
