/* SPDX-License-Identifier: GPL-2.0-only */
/* Who hurts whom, in words and as JSON. */
#ifndef WV_CMD_HARM_TEXT_H
#define WV_CMD_HARM_TEXT_H

#include <json-c/json.h>
#include <stddef.h>

#include "user/flow/harm.h"

#define WV_HARM_TEXT 640

/* One sentence without a newline: "CPU: /batch makes /web wait 412 ms a second ...". Returns buf.
 */
const char *wv_harm_text(char buf[WV_HARM_TEXT], const struct wv_harm *h,
			 const struct wv_sample *now, unsigned ncpu);
/* The list as an array of objects: kind, cause, confidence, victim, culprit, and the figures. */
struct json_object *wv_harm_json(const struct wv_harm *list, size_t n, const struct wv_sample *now);

#endif
