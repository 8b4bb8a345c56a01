/* SPDX-License-Identifier: GPL-2.0-only */
/* Who sends: resource attributes by the semantic conventions. */
#ifndef WV_OTLP_RESOURCE_H
#define WV_OTLP_RESOURCE_H

#include "user/core/config.h"
#include "user/otlp/model.h"

/*
 * Adds `key=value,key=value`, the form of OTEL_RESOURCE_ATTRIBUTES: values may have %XX, space
 * around is not part of them. What is no pair is passed over; returns how many those are.
 */
unsigned wv_otlp_add_attributes(struct json_object *o, const char *list);
/* What is known: service, host, run; then the environment's OTEL_RESOURCE_ATTRIBUTES, and
 * otlp.attributes, whose word counts. NULL: no memory. */
struct json_object *wv_otlp_resource_attributes(const struct wv_config *config, const char *run_id);

#endif
