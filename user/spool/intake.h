/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What takes records in: one thread, sd-event. Where there is no room, it stops reading, so that
 * senders block; the writer tells through the spool's eventfd when to go on.
 */
#ifndef WV_SPOOL_INTAKE_H
#define WV_SPOOL_INTAKE_H

#include <systemd/sd-event.h>

#include "user/spool/cursor.h"
#include "user/spool/spool.h"
#include "user/spool/syslog.h"

#define WV_SPOOL_CONNECTIONS_MAX 256

struct wv_input;

/* A stream: a connection, or standard input. */
struct wv_stream {
	struct wv_stream *next;
	struct wv_input *input;
	uint64_t id;
	int fd;
	bool plain_fd; /* read(), as it may be a pipe or a file */
	bool eof, paused;
	enum wv_framing framing; /* AUTO until the first byte */
	struct wv_chunk *chunk;	 /* being filled; newline framing: its last record is not whole */
	struct wv_chunk *held;	 /* full, but there was no room */
	char *octets;		 /* octet framing: what was read, 2 * WV_SPOOL_RECORD_MAX */
	size_t n_octets;
	uint64_t submitted, settled; /* records: handed to the writer, durable or dropped */
	uint64_t durable, told;
	sd_event_source *source;
};

struct wv_input {
	struct wv_spool *spool;
	const struct wv_spool_input_config *config;
	unsigned index;
	sd_event *loop;
	int fd; /* listens, or gets datagrams */
	sd_event_source *source;
	bool paused, ended;
	struct wv_chunk *held;
	struct wv_stream *streams;
	uint64_t next_id;
	unsigned n_streams;
	uint32_t kernel_drops; /* the kernel's own count, which starts at 0 with the socket */
	struct wv_tail *tail;  /* file */
};

/* Makes sockets; needs the rights that are given up afterwards. 0 or -errno, logged. */
int wv_input_open(struct wv_input *in, struct wv_spool *s, unsigned index);
int wv_input_start(struct wv_input *in, sd_event *loop);
/* A chunk of this input is durable, or dropped. */
void wv_input_done(struct wv_input *in, const struct wv_chunk *c);
/* After all of a group: answers senders, goes on with what waited. */
void wv_input_go_on(struct wv_input *in);
/* Takes what is there already, hands over everything, and reads no more. */
void wv_input_stop(struct wv_input *in);
void wv_input_close(struct wv_input *in);

/* stream.c */
int wv_stream_new(struct wv_input *in, int fd, bool plain_fd);
void wv_stream_go_on(struct wv_stream *st);
void wv_stream_finish(struct wv_stream *st);
void wv_stream_free(struct wv_stream *st);
/* tail.c: a followed file */
int wv_tail_open(struct wv_input *in);
int wv_tail_start(struct wv_input *in, sd_event *loop);
void wv_tail_done(struct wv_input *in, const struct wv_chunk *c);
void wv_tail_go_on(struct wv_input *in);
void wv_tail_stop(struct wv_input *in);
void wv_tail_close(struct wv_input *in);

#endif
