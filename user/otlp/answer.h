/* SPDX-License-Identifier: GPL-2.0-only */
/* What a receiver answers: ExportTraceServiceResponse or ExportLogsServiceResponse, whose partial
 * success has the same fields, or google.rpc.Status; as protobuf or JSON. Pure; bytes of the
 * network. */
#ifndef WV_OTLP_ANSWER_H
#define WV_OTLP_ANSWER_H

#include "user/otlp/pipe.h"

/* Fills rejected and text by a->status; what cannot be read leaves them as they are. */
void wv_otlp_answer_parse(struct wv_otlp_answer *a, bool json, const char *body, size_t len);

#endif
