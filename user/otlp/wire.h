/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes messages of the OpenTelemetry protocol (opentelemetry-proto 1.5.0), as protobuf or as its
 * JSON mapping (lowerCamelCase, 64-bit integers as text, enums as numbers, ids in hex). One set of
 * calls for both. Pure.
 *
 * Items of a repeated field have to be written one after the other. The first failure sticks
 * (wv_text).
 */
#ifndef WV_OTLP_WIRE_H
#define WV_OTLP_WIRE_H

#include <stdbool.h>

#include "user/export/text.h"

enum wv_otlp_encoding { WV_OTLP_PROTOBUF, WV_OTLP_JSON };

/* Row: (id, number, JSON name, repeated). */
#define WV_OTLP_FIELDS(X)                                                                          \
	X(REQUEST_RESOURCE_SPANS, 1, "resourceSpans", true)                                        \
	X(REQUEST_RESOURCE_LOGS, 1, "resourceLogs", true)                                          \
	X(OF_RESOURCE, 1, "resource", false)                                                       \
	X(OF_SCOPE_SPANS, 2, "scopeSpans", true)                                                   \
	X(OF_SCOPE_LOGS, 2, "scopeLogs", true)                                                     \
	X(RESOURCE_ATTRIBUTES, 1, "attributes", true)                                              \
	X(OF_SCOPE, 1, "scope", false)                                                             \
	X(SCOPE_NAME, 1, "name", false)                                                            \
	X(SCOPE_VERSION, 2, "version", false)                                                      \
	X(SCOPE_SPANS, 2, "spans", true)                                                           \
	X(SCOPE_LOG_RECORDS, 2, "logRecords", true)                                                \
	X(SPAN_TRACE_ID, 1, "traceId", false)                                                      \
	X(SPAN_ID, 2, "spanId", false)                                                             \
	X(SPAN_PARENT, 4, "parentSpanId", false)                                                   \
	X(SPAN_NAME, 5, "name", false)                                                             \
	X(SPAN_KIND, 6, "kind", false)                                                             \
	X(SPAN_START, 7, "startTimeUnixNano", false)                                               \
	X(SPAN_END, 8, "endTimeUnixNano", false)                                                   \
	X(SPAN_ATTRIBUTES, 9, "attributes", true)                                                  \
	X(SPAN_EVENTS, 11, "events", true)                                                         \
	X(SPAN_DROPPED_EVENTS, 12, "droppedEventsCount", false)                                    \
	X(SPAN_LINKS, 13, "links", true)                                                           \
	X(SPAN_STATUS, 15, "status", false)                                                        \
	X(SPAN_FLAGS, 16, "flags", false)                                                          \
	X(EVENT_TIME, 1, "timeUnixNano", false)                                                    \
	X(EVENT_NAME, 2, "name", false)                                                            \
	X(EVENT_ATTRIBUTES, 3, "attributes", true)                                                 \
	X(LINK_TRACE_ID, 1, "traceId", false)                                                      \
	X(LINK_SPAN_ID, 2, "spanId", false)                                                        \
	X(LINK_ATTRIBUTES, 4, "attributes", true)                                                  \
	X(STATUS_MESSAGE, 2, "message", false)                                                     \
	X(STATUS_CODE, 3, "code", false)                                                           \
	X(LOG_TIME, 1, "timeUnixNano", false)                                                      \
	X(LOG_SEVERITY, 2, "severityNumber", false)                                                \
	X(LOG_SEVERITY_TEXT, 3, "severityText", false)                                             \
	X(LOG_BODY, 5, "body", false)                                                              \
	X(LOG_ATTRIBUTES, 6, "attributes", true)                                                   \
	X(LOG_FLAGS, 8, "flags", false)                                                            \
	X(LOG_TRACE_ID, 9, "traceId", false)                                                       \
	X(LOG_SPAN_ID, 10, "spanId", false)                                                        \
	X(LOG_OBSERVED, 11, "observedTimeUnixNano", false)                                         \
	X(LOG_EVENT_NAME, 12, "eventName", false)                                                  \
	X(KEY, 1, "key", false)                                                                    \
	X(VALUE, 2, "value", false)                                                                \
	X(STRING, 1, "stringValue", false)                                                         \
	X(BOOL, 2, "boolValue", false)                                                             \
	X(INT, 3, "intValue", false)                                                               \
	X(DOUBLE, 4, "doubleValue", false)                                                         \
	X(ARRAY, 5, "arrayValue", false)                                                           \
	X(KVLIST, 6, "kvlistValue", false)                                                         \
	X(VALUES, 1, "values", true)

enum wv_otlp_field {
#define X(id, number, json, repeated) WV_OTLP_##id,
	WV_OTLP_FIELDS(X)
#undef X
		WV_OTLP_FIELD_N
};

#define WV_OTLP_DEPTH 64

struct wv_otlp_writer {
	enum wv_otlp_encoding encoding;
	struct wv_text *text;
	unsigned depth;
	struct {
		size_t start; /* protobuf: of the message's bytes */
		int list;     /* JSON: field whose list is open here, -1 none */
		bool any;     /* JSON: something was written here */
	} at[WV_OTLP_DEPTH];
};

/* A message begins; text's owner is the caller. */
void wv_otlp_start(struct wv_otlp_writer *w, enum wv_otlp_encoding encoding, struct wv_text *text);
void wv_otlp_finish(struct wv_otlp_writer *w);
/* A field that is a message. */
void wv_otlp_begin(struct wv_otlp_writer *w, enum wv_otlp_field f);
void wv_otlp_end(struct wv_otlp_writer *w);

/* Bytes that are no UTF-8 become U+FFFD. */
void wv_otlp_string(struct wv_otlp_writer *w, enum wv_otlp_field f, const char *s, size_t len);
void wv_otlp_fixed64(struct wv_otlp_writer *w, enum wv_otlp_field f, uint64_t v);
void wv_otlp_fixed32(struct wv_otlp_writer *w, enum wv_otlp_field f, uint32_t v);
void wv_otlp_int64(struct wv_otlp_writer *w, enum wv_otlp_field f, int64_t v);
/* Enums and uint32. */
void wv_otlp_uint(struct wv_otlp_writer *w, enum wv_otlp_field f, uint32_t v);
void wv_otlp_bool(struct wv_otlp_writer *w, enum wv_otlp_field f, bool v);
void wv_otlp_double(struct wv_otlp_writer *w, enum wv_otlp_field f, double v);
/* A trace or span id. */
void wv_otlp_id(struct wv_otlp_writer *w, enum wv_otlp_field f, const uint8_t *bytes, unsigned n);

#endif
