/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace and span ids that anyone can compute again from the log (docs/tracing.md): the same record
 * always gives the same ids, whoever sends it and however often, so that a chain which spans
 * restarts of the agent is one trace and what is sent twice can be told.
 *
 *   trace    SHA-256("waveos-trace-v1\n" kind "\n" run_id "\n" number "\n"), bytes 0..15
 *   root     the same, bytes 16..23
 *   child    SHA-256("waveos-span-v1\n" trace-hex "\n" name "\n" number "\n"), bytes 0..7
 *
 * number: seq of the record that begins it; of a turn sample_mono_ns.
 */
#ifndef WV_OTLP_IDS_H
#define WV_OTLP_IDS_H

#include <stdbool.h>
#include <stdint.h>

#define WV_TRACE_ID_SIZE 16
#define WV_SPAN_ID_SIZE 8

struct wv_trace_ids {
	uint8_t trace[WV_TRACE_ID_SIZE];
	uint8_t span[WV_SPAN_ID_SIZE]; /* of the root */
};

/* kind: "turn", "chain", ... (docs/tracing.md). Never all zeros, which the protocol forbids. */
void wv_trace_ids(const char *kind, const char *run_id, uint64_t number, struct wv_trace_ids *ret);
void wv_span_id(const uint8_t trace[WV_TRACE_ID_SIZE], const char *name, uint64_t number,
		uint8_t ret[WV_SPAN_ID_SIZE]);
/* Lower-case hex with a NUL: ret has 2 * n + 1 bytes. */
void wv_otlp_hex(const uint8_t *bytes, unsigned n, char *ret);

#endif
