/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages for each kind of sink. Pure. Names of cgroups and programs are chosen by whoever runs
 * them: they go through json-c, Slack's escapes or base64, and never into a header.
 */
#ifndef WV_ALERT_RENDER_H
#define WV_ALERT_RENDER_H

#include <json-c/json.h>

#include "user/alert/alert.h"

/* Alerts of one message to people that are written out; what is more is counted. */
#define WV_ALERT_SHOWN 100
#define WV_ALERT_SHOWN_SLACK 20

/*
 * The bytes to send to the message's sink, to be freed: JSON, or a whole mail. wall_ns: now;
 * random: makes the mail's id unique. NULL: no memory.
 */
char *wv_alert_render(const struct wv_alerts *a, const struct wv_alert_message *m, uint64_t wall_ns,
		      uint64_t random, size_t *ret_len);

/* One alert as Alertmanager's webhook has it (status, labels, annotations, startsAt ...). */
struct json_object *wv_alert_json(const struct wv_alerts *a, const struct wv_alert *x);
/* RFC 3339 with milliseconds, UTC. */
#define WV_ALERT_TIME_SIZE 32
void wv_alert_time(uint64_t wall_ns, char ret[WV_ALERT_TIME_SIZE]);

/* "[FIRING:2] BreakerOpen on host", ASCII or not. */
void wv_alert_title(const struct wv_alerts *a, const struct wv_alert_message *m, char *ret,
		    size_t size);
/* text/plain for people. To be freed. */
char *wv_alert_text(const struct wv_alerts *a, const struct wv_alert_message *m);
char *wv_alert_mail(const struct wv_alerts *a, const struct wv_alert_message *m, uint64_t wall_ns,
		    uint64_t random, size_t *ret_len);
struct json_object *wv_alert_slack(const struct wv_alerts *a, const struct wv_alert_message *m);

#endif
