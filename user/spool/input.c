// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/intake.h"

#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"

#define BACKLOG 64
#define DATAGRAM_MAX 65536
#define DATAGRAMS_AT_ONCE 1024
/* what the kernel may hold while we wait for the disk; it gives what net.core.rmem_max allows */
#define RECEIVE_BUFFER (8 << 20)

static bool is_local(const struct wv_input *in)
{
	return in->config->type == WV_INPUT_UNIX_STREAM || in->config->type == WV_INPUT_UNIX_DGRAM;
}

static bool is_datagram(const struct wv_input *in)
{
	return in->config->type == WV_INPUT_UDP || in->config->type == WV_INPUT_UNIX_DGRAM;
}

/* Opening --------------------------------------------------------------------------------------
 */

static int open_unix(struct wv_input *in, int type)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	mode_t mask;
	int r;

	if (fd < 0)
		return -errno;
	memcpy(a.sun_path, in->config->path, strlen(in->config->path) + 1);
	/* one that a killed worker left; a file of another kind is not ours to remove */
	if (lstat(a.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(a.sun_path);
	mask = umask(in->config->public ? 0111 : 0177);
	r = bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r < 0)
		return r;
	return TAKE_FD(fd);
}

static int open_net(struct wv_input *in, int type)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				       .ai_socktype = type};
	_cleanup_close_ int fd = -1;
	struct addrinfo *ai;
	char host[64], port[8];
	int one = 1, r = wv_spool_split_address(in->config->listen, host, sizeof(host), port);

	if (r < 0)
		return r;
	if (getaddrinfo(host, port, &hints, &ai) != 0)
		return -EINVAL;
	fd = socket(ai->ai_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    (type == SOCK_STREAM &&
	     setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0)
		r = -errno;
	freeaddrinfo(ai);
	return r < 0 ? r : TAKE_FD(fd);
}

int wv_input_open(struct wv_input *in, struct wv_spool *s, unsigned index)
{
	const int size = RECEIVE_BUFFER, one = 1;
	int type;

	*in = (struct wv_input){.spool = s, .config = s->inputs[index], .index = index, .fd = -1};
	if (in->config->type == WV_INPUT_STDIN)
		return 0;
	if (in->config->type == WV_INPUT_FILE)
		return wv_tail_open(in);
	type = is_datagram(in) ? SOCK_DGRAM : SOCK_STREAM;
	in->fd = is_local(in) ? open_unix(in, type) : open_net(in, type);
	if (in->fd >= 0 && type == SOCK_STREAM && listen(in->fd, BACKLOG) < 0) {
		close(in->fd);
		in->fd = -errno;
	}
	if (in->fd < 0)
		return wv_log_errno(in->fd, "spool", "input %s: %s", in->config->name,
				    is_local(in) ? in->config->path : in->config->listen);
	/* MAY: both only make less be lost, or more of it be known */
	(void)setsockopt(in->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(void)setsockopt(in->fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
	return 0;
}

/* Datagrams ------------------------------------------------------------------------------------
 */

static void pause_reading(struct wv_input *in)
{
	in->paused = true;
	(void)sd_event_source_set_enabled(in->source, SD_EVENT_OFF);
}

static bool submit(struct wv_input *in, struct wv_chunk *c)
{
	if (!c->frame.count) {
		wv_chunk_recycle(in->spool, c);
		return true;
	}
	if (wv_chunk_submit(in->spool, c))
		return true;
	in->held = c;
	pause_reading(in);
	return false;
}

static void count_kernel_drops(struct wv_input *in, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		uint32_t total;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SO_RXQ_OVFL)
			continue;
		memcpy(&total, CMSG_DATA(h), sizeof(total));
		in->spool->in[in->index].kernel_dropped += total - in->kernel_drops;
		in->kernel_drops = total;
	}
}

/* One datagram into the chunk: its length, or -errno. */
static ssize_t receive(struct wv_input *in, struct wv_chunk *c)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(uint32_t))];
	} control;
	struct iovec iov = {c->records + c->used + 4, DATAGRAM_MAX};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(in->fd, &m, MSG_DONTWAIT);
	uint32_t le;

	if (n < 0)
		return -errno;
	count_kernel_drops(in, &m);
	if (m.msg_flags & MSG_TRUNC)
		in->spool->in[in->index].cut++;
	if (!n)
		return 0;
	le = htole32((uint32_t)n);
	memcpy(c->records + c->used, &le, 4);
	c->used += 4 + (size_t)n;
	c->frame.count++;
	return n;
}

static int on_datagram(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
		       void *userdata)
{
	struct wv_input *in = userdata;
	struct wv_chunk *c = NULL;

	for (int i = 0; i < DATAGRAMS_AT_ONCE && !in->held; i++) {
		ssize_t n;

		if (wv_spool_is_busy(in->spool)) {
			pause_reading(in);
			break;
		}
		if (c && WV_CHUNK_BYTES - c->used < DATAGRAM_MAX + 4 && !submit(in, TAKE_PTR(c)))
			break;
		if (!c) {
			c = wv_chunk_new(in->spool, in->index);
			if (!c)
				break;
			c->frame.type = WV_FRAME_COUNTED;
		}
		n = receive(in, c);
		if (n < 0 && n != -EINTR)
			break;
	}
	if (c)
		(void)submit(in, c);
	return 0;
}

/* Connections ----------------------------------------------------------------------------------
 */

static int on_connection(sd_event_source *source _unused_, int fd, uint32_t events _unused_,
			 void *userdata)
{
	struct wv_input *in = userdata;
	_cleanup_close_ int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (c < 0) {
		/* no descriptors left: the others have to end first */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			pause_reading(in);
		return 0;
	}
	if (in->n_streams >= WV_SPOOL_CONNECTIONS_MAX) {
		in->spool->in[in->index].refused++;
		return 0;
	}
	if (wv_stream_new(in, c, false) == 0)
		(void)TAKE_FD(c);
	return 0;
}

/* Answers with the number of records of the connection that are durable. */
static void acknowledge(struct wv_input *in)
{
	for (struct wv_stream *st = in->streams; st; st = st->next) {
		char line[24];
		int n;

		if (st->told == st->durable)
			continue;
		n = snprintf(line, sizeof(line), "%llu\n", (unsigned long long)st->durable);
		if (send(st->fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
			st->told = st->durable;
	}
}

int wv_input_start(struct wv_input *in, sd_event *loop)
{
	in->loop = loop;
	if (in->config->type == WV_INPUT_FILE)
		return wv_tail_start(in, loop);
	if (in->config->type == WV_INPUT_STDIN)
		return wv_stream_new(in, STDIN_FILENO, true);
	return sd_event_add_io(loop, &in->source, in->fd, EPOLLIN,
			       is_datagram(in) ? on_datagram : on_connection, in);
}

void wv_input_done(struct wv_input *in, const struct wv_chunk *c)
{
	if (in->tail) {
		wv_tail_done(in, c);
		return;
	}
	for (struct wv_stream *st = in->streams; st; st = st->next) {
		if (st->id != c->conn)
			continue;
		st->settled += c->frame.count;
		if (!c->dropped && !c->unwritten)
			st->durable += c->frame.count;
	}
}

void wv_input_go_on(struct wv_input *in)
{
	struct wv_chunk *held = TAKE_PTR(in->held);

	if (in->tail) {
		wv_tail_go_on(in);
		return;
	}
	if (in->config->ack)
		acknowledge(in);
	for (struct wv_stream *st = in->streams, *next; st; st = next) {
		next = st->next;
		wv_stream_go_on(st);
	}
	if (!in->paused || (held && !submit(in, held)) || wv_spool_is_busy(in->spool))
		return;
	in->paused = false;
	(void)sd_event_source_set_enabled(in->source, SD_EVENT_ON);
}

void wv_input_stop(struct wv_input *in)
{
	struct wv_chunk *held = TAKE_PTR(in->held);

	if (in->tail) {
		wv_tail_stop(in);
		return;
	}
	if (in->source)
		(void)sd_event_source_set_enabled(in->source, SD_EVENT_OFF);
	if (held && !wv_chunk_submit(in->spool, held))
		wv_chunk_recycle(in->spool, held);
	/* what local senders believe to have sent */
	if (in->fd >= 0 && is_datagram(in) && !held)
		(void)on_datagram(NULL, in->fd, 0, in);
	for (struct wv_stream *st = in->streams; st; st = st->next)
		wv_stream_finish(st);
}

void wv_input_close(struct wv_input *in)
{
	while (in->streams)
		wv_stream_free(in->streams);
	wv_tail_close(in);
	sd_event_source_disable_unref(in->source);
	in->source = NULL;
	wv_chunk_recycle(in->spool, TAKE_PTR(in->held));
	wv_closep(&in->fd);
	in->fd = -1;
}
