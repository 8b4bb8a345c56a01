/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Alerts: what is going on now (the book), who is to be told of it (routes and groups), and when
 * (the plan). Pure but for memory: time is an argument, so that tests inject it. `now_ns` is
 * monotonic and signed, as what was loaded from before a boot lies before its zero.
 */
#ifndef WV_ALERT_ALERT_H
#define WV_ALERT_ALERT_H

#include <stddef.h>

#include "user/alert/config.h"
#include "user/core/config.h"

#define WV_ALERT_PIECE 256
#define WV_ALERT_TEXT 256

/* Labels that alerts are grouped by and silenced by; names in wv_alert_labels. */
enum wv_alert_label {
	WV_LABEL_ALERT, /* name of the kind: alert_sources.def */
	WV_LABEL_SEVERITY,
	WV_LABEL_DOMAIN,
	WV_LABEL_CGROUP,
	WV_LABEL_NAME, /* rule, breaker, program ... */
	WV_LABEL_ROUTE,
	WV_ALERT_LABELS
};
extern const char *const wv_alert_labels[WV_ALERT_LABELS + 1];

/* The next of a list with commas, without the blanks around it; false: there is none. What is too
 * long is cut. */
bool wv_alert_piece(const char **rest, char *ret, size_t size);

/* What a record says (source.c) --------------------------------------------------------------- */

enum wv_alert_edge { WV_EDGE_FIRING, WV_EDGE_RESOLVED, WV_EDGE_EVENT };

struct wv_alert_event {
	enum wv_alert_edge edge;
	int severity;
	uint64_t seq, wall_ns;
	/* printable, no control characters */
	char alert[WV_ALERT_NAME], domain[64], cgroup[WV_ALERT_TEXT], name[160], route[64];
	char summary[WV_ALERT_TEXT];
};
#define WV_ALERT_EVENTS 4 /* of one record at most */

/* How many events a line of the log gives, 0 for most; -EBADMSG: it is no record. */
int wv_alert_from_record(const char *line, size_t len, struct wv_alert_event ret[WV_ALERT_EVENTS]);

struct wv_alert_source {
	const char *record, *alert, *severity;
	enum wv_alert_edge edge;
	const char *when, *identity, *summary;
};
extern const struct wv_alert_source wv_alert_sources[];
extern const size_t wv_alert_sources_count;

/* The book ------------------------------------------------------------------------------------ */

struct wv_alert {
	uint64_t fingerprint; /* of host, alert, cgroup, name */
	int severity;
	bool timed; /* over when nothing was seen of it for a while */
	char alert[WV_ALERT_NAME], domain[64], cgroup[WV_ALERT_TEXT], name[160], route[64];
	char summary[WV_ALERT_TEXT];
	uint64_t seq, count;		    /* of the last record, of records */
	uint64_t starts_ns, ends_ns;	    /* wall; ends 0: it goes on */
	int64_t seen_ns, changed_ns;	    /* monotonic: last record; began, got worse or ended */
	uint32_t routes, sinks;		    /* bits: who is to be told */
	uint32_t told, told_over;	    /* bits of sinks: of its beginning, of its end */
	uint64_t keys[WV_ALERT_ROUTES_MAX]; /* of its groups, by route */
	bool silenced;
};

struct wv_alert_group {
	uint64_t key; /* of the route and the labels that it goes by */
	unsigned route;
	int64_t told_ns[WV_ALERT_SINKS_MAX]; /* last message; INT64_MIN: none yet */
};

struct wv_alert_sink {
	bool busy;
	int64_t next_ns;	       /* not before, after a failure */
	int64_t filled_ns;	       /* of its token bucket */
	int64_t tokens_milli;	       /* thousandths of a message that it may send */
	unsigned failed;	       /* in a row */
	uint64_t sent, failures, dead; /* messages */
	uint64_t limited;	       /* times that a message had to wait for the rate */
	char error[128];
	uint64_t error_wall_ns, sent_wall_ns;
};

struct wv_alert_silence {
	char id[17];
	char match[WV_ALERT_LABELS][WV_ALERT_TEXT]; /* shell patterns, "": anything */
	char comment[128], by[64];
	uint64_t until_s; /* wall */
};
#define WV_ALERT_SILENCES_MAX 64

struct wv_alerts {
	const struct wv_config *config;
	char host[65], environment[16];
	/* the implied route where none is configured */
	struct wv_alert_route_config all;
	const struct wv_alert_route_config *routes;
	size_t n_routes;
	struct wv_alert *list; /* n of max */
	size_t n, max;
	struct wv_alert_group *groups;
	size_t n_groups, max_groups;
	struct wv_alert_sink sinks[WV_ALERT_SINKS_MAX];
	struct wv_alert_silence silences[WV_ALERT_SILENCES_MAX];
	size_t n_silences;
	uint64_t seq;	     /* of the last record that was taken in */
	uint64_t taken;	     /* events */
	uint64_t suppressed; /* told to nobody: silenced, or no room in the book */
	bool dirty;	     /* not as it was last saved */
};

/* config must outlive it. 0 or -ENOMEM. */
int wv_alerts_init(struct wv_alerts *a, const struct wv_config *config, const char *host);
void wv_alerts_done(struct wv_alerts *a);
/* Events of a record that was taken in before are left out (seq). */
void wv_alerts_take(struct wv_alerts *a, const struct wv_alert_event *e, int64_t now_ns);
/* Ends what ends by time, applies silences, and forgets what everybody was told of. */
void wv_alerts_tidy(struct wv_alerts *a, int64_t now_ns, uint64_t wall_ns);
uint64_t wv_alert_fingerprint(const char *host, const struct wv_alert_event *e);
/* A text of its labels. */
const char *wv_alert_label(const struct wv_alert *x, enum wv_alert_label label);
bool wv_alert_silence_matches(const struct wv_alert_silence *s, const struct wv_alert *x);

/* Routes and groups (route.c) ----------------------------------------------------------------- */

/* Sets routes and sinks of x. */
void wv_alert_route(const struct wv_alerts *a, struct wv_alert *x);
/* Puts it in its groups, which are made; what no longer fits shares one of key 0. */
void wv_alert_group_add(struct wv_alerts *a, struct wv_alert *x);
bool wv_alert_group_has(const struct wv_alert_group *g, const struct wv_alert *x);

/* The plan (plan.c) --------------------------------------------------------------------------- */

/* Alerts of one message to a machine. */
#define WV_ALERT_CHUNK 500

/* A message that is due. */
struct wv_alert_message {
	unsigned sink, group;
	size_t *alerts; /* indexes in list, the most severe first; to be freed */
	size_t n;
	size_t n_more;		  /* of the group, left for the next message */
	size_t n_new;		  /* ... that the sink was not told of; 0: a repetition */
	int64_t pending_since_ns; /* since the oldest of them */
	bool expired;		  /* older than the sink's max_age: for the dead letters */
};
/*
 * The most urgent message for a sink that is not busy: 1, 0 if there is none now (*ret_wait_ns:
 * when to look again), or -ENOMEM. The sink's rate is charged.
 */
int wv_alert_next(struct wv_alerts *a, unsigned sink, int64_t now_ns, struct wv_alert_message *ret,
		  int64_t *ret_wait_ns);
/* Alerts that the sink is still to be told of, or of their end. */
size_t wv_alert_queued(const struct wv_alerts *a, unsigned sink);
/* It was delivered, or put to the dead letters, so that nobody need be told of them any more: n
 * alerts with their fingerprints and whether they were over. */
struct wv_alert_told {
	uint64_t fingerprint;
	bool over;
};
void wv_alert_done(struct wv_alerts *a, unsigned sink, uint64_t group_key,
		   const struct wv_alert_told *told, size_t n, bool delivered, int64_t now_ns);
/* It failed: the sink pauses, at least for what it asked (0: nothing). */
void wv_alert_failed(struct wv_alerts *a, unsigned sink, uint64_t retry_after_ns, uint64_t random,
		     int64_t now_ns);

#endif
