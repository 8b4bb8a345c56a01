/* SPDX-License-Identifier: GPL-2.0-only */
/* Lists alerts and alert_routes of the configuration (docs/alerting.md). */
#ifndef WV_ALERT_CONFIG_H
#define WV_ALERT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define WV_ALERT_NAME 32 /* with its NUL */
#define WV_ALERT_SINKS_MAX 16
#define WV_ALERT_ROUTES_MAX 32

/* In the order of the choices in lists.def. */
enum wv_alert_sink_type {
	WV_ALERT_WEBHOOK,
	WV_ALERT_ALERTMANAGER,
	WV_ALERT_SLACK,
	WV_ALERT_SMTP,
};
enum wv_alert_severity { WV_ALERT_INFO, WV_ALERT_WARNING, WV_ALERT_CRITICAL, WV_ALERT_SEVERITIES };
enum wv_alert_tls { WV_ALERT_STARTTLS, WV_ALERT_TLS, WV_ALERT_NO_TLS };

struct wv_alert_sink_config {
	char name[WV_ALERT_NAME];
	int type;
	char url[512], address[256]; /* host:port of a mail server */
	/* references (user/secret/reference.h) */
	char url_secret[256], token[256], username[256], password[256];
	int tls; /* enum wv_alert_tls */
	char ca[256];
	char from[256], to[512];
	bool resolved; /* tell when it is over */
	uint64_t rate; /* messages a minute */
	uint64_t timeout_ns, retry_min_ns, retry_max_ns, max_age_ns, dead_letter_bytes;
};

/* Which of an alert's labels: the first letters of enum wv_alert_label. */
struct wv_alert_route_config {
	char name[WV_ALERT_NAME];
	struct {
		char severity[64]; /* "critical,warning"; "": any */
		char alert[128], domain[128], cgroup[256], route[128], environment[64];
	} match;      /* shell patterns, "": anything */
	char to[256]; /* names of sinks, with commas; "": nobody */
	bool go_on;   /* the routes below are looked at, too */
	char group_by[128];
	uint64_t group_wait_ns, critical_wait_ns, group_interval_ns, repeat_interval_ns;
	/* made from the texts above */
	uint32_t sinks;	     /* bits: index in alerts */
	uint32_t severities; /* bits: enum wv_alert_severity */
	uint32_t by;	     /* bits: enum wv_alert_label */
};

extern const char *const wv_alert_severities[WV_ALERT_SEVERITIES + 1];

#endif
