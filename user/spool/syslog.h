/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Syslog messages, RFC 5424 and RFC 3164 (as it is really sent: with or without a host, also with
 * an RFC 3339 time stamp), into their parts. Pure. Nothing is trusted: what does not follow either
 * form is no syslog message, and its caller keeps it as raw text.
 */
#ifndef WV_SPOOL_SYSLOG_H
#define WV_SPOOL_SYSLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wv_slice {
	const char *p;
	size_t n;
};

struct wv_syslog {
	uint8_t facility, severity;
	bool has_time, rfc5424;
	uint64_t time_ns; /* since 1970, UTC */
	/* empty: absent (RFC 5424's "-"); all point into the message */
	struct wv_slice host, app, procid, msgid, sd, msg;
};

/*
 * received_ns gives the year, and utc_offset_s the zone, of a time stamp that has none. Returns
 * false if it is no syslog message.
 */
bool wv_syslog_parse(const char *text, size_t len, uint64_t received_ns, int32_t utc_offset_s,
		     struct wv_syslog *ret);

/*
 * Goes over structured data that wv_syslog_parse() accepted. *pos starts at 0. Each call gives the
 * next parameter: id of its element, name, value (escaped as it was sent). An element without
 * parameters is given once with an empty name. False at the end.
 */
bool wv_syslog_sd_next(struct wv_slice sd, size_t *pos, struct wv_slice *id, struct wv_slice *name,
		       struct wv_slice *value);

extern const char *const wv_syslog_facilities[24], *const wv_syslog_severities[8];

/* How a stream is cut into messages (RFC 6587). */
enum wv_framing { WV_FRAMING_AUTO, WV_FRAMING_NEWLINE, WV_FRAMING_OCTET };
/*
 * The first message of buf. Returns 1 with where it is and how many bytes of buf it took; 0: more
 * bytes are needed; -EBADMSG: no message can start like this, the connection is of no use any more.
 * A line longer than WV_SPOOL_RECORD_MAX is given in pieces. eof: no more bytes will come.
 */
int wv_framing_next(enum wv_framing framing, const char *buf, size_t len, bool eof,
		    struct wv_slice *ret, size_t *ret_used);

#endif
