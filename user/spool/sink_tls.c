// SPDX-License-Identifier: GPL-2.0-only
/*
 * Syslog over TLS (RFC 5425): the peer is verified, we may show a certificate. The protocol has no
 * acknowledgement. What stands for one: the peer's TCP has all bytes and the connection is still
 * open. As a peer may die with bytes that it has not read, the last ones of a connection that ended
 * are sent again on the next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/export/text.h"
#include "user/spool/sink.h"

#define SLICE_MS 100
/* Bytes that are sent again after a connection ended, and how old they may be. */
#define AGAIN_BYTES (4U << 20)
#define AGAIN_NS 10000000000ULL

struct tls {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	char host[256], port[8];
	struct wv_text recent; /* of this connection, or of the one before if it ended */
	uint64_t sent_ns;
	bool ended; /* the last connection ended with some of recent perhaps unread */
};

static const char *tls_reason(char buf[128])
{
	unsigned long e = ERR_peek_last_error();

	if (!e)
		return errno ? strerror(errno) : "the peer ended the connection";
	ERR_error_string_n(e, buf, 128);
	return buf;
}

static int tls_open(struct wv_sink *k)
{
	const struct wv_spool_output_config *c = k->config;
	struct tls *t = calloc(1, sizeof(*t));
	char reason[128];
	bool ok;

	if (!t)
		return -ENOMEM;
	k->state = t;
	t->fd = -1;
	t->recent.max = AGAIN_BYTES + (32U << 20);
	if (wv_spool_split_address(c->address, t->host, sizeof(t->host), t->port) < 0)
		return -EINVAL;
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (!t->ctx)
		return -ENOMEM;
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(t->ctx,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	ok = SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) == 1 &&
	     (*c->ca ? SSL_CTX_load_verify_locations(t->ctx, c->ca, NULL)
		     : SSL_CTX_set_default_verify_paths(t->ctx)) == 1;
	if (ok && *c->cert)
		ok = SSL_CTX_use_certificate_chain_file(t->ctx, c->cert) == 1 &&
		     SSL_CTX_use_PrivateKey_file(t->ctx, c->key, SSL_FILETYPE_PEM) == 1 &&
		     SSL_CTX_check_private_key(t->ctx) == 1;
	if (ok)
		return 0;
	return wv_log_errno(-EINVAL, "spool", "output %s: certificates or key: %s", c->name,
			    tls_reason(reason));
}

static void hang_up(struct wv_sink *k, bool ended)
{
	struct tls *t = k->state;

	t->ended |= ended && t->ssl;
	SSL_free(t->ssl);
	t->ssl = NULL;
	wv_closep(&t->fd);
	t->fd = -1;
}

/* Waits for events until the deadline; 0, -ETIMEDOUT, -ECANCELED when told to stop. */
static int wait_for(struct wv_sink *k, short events, uint64_t deadline_ns)
{
	struct tls *t = k->state;
	struct pollfd p = {.fd = t->fd, .events = events};

	for (;;) {
		int r = poll(&p, 1, SLICE_MS);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (k->is_stopping(k->ctx))
			return -ECANCELED;
		if (k->io->mono_ns(k->io->ctx) >= deadline_ns)
			return -ETIMEDOUT;
	}
}

/* What a call of the TLS library wants; 0: call it again. */
static int wanted(struct wv_sink *k, int result, uint64_t deadline_ns)
{
	struct tls *t = k->state;

	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(k, POLLIN, deadline_ns);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(k, POLLOUT, deadline_ns);
	default:
		return -ECONNRESET;
	}
}

static int dial_one(struct wv_sink *k, const struct addrinfo *ai, uint64_t deadline_ns)
{
	struct tls *t = k->state;
	int error = 0, r;
	socklen_t len = sizeof(error);

	t->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0)
		return -errno;
	if (connect(t->fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	r = wait_for(k, POLLOUT, deadline_ns);
	if (r == 0 && getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
		r = -error;
	return r;
}

static int dial(struct wv_sink *k, uint64_t deadline_ns)
{
	struct tls *t = k->state;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list;
	int r = getaddrinfo(t->host, t->port, &hints, &list);

	if (r) {
		wv_sink_failed(k, "%s: %s", t->host, gai_strerror(r));
		return -EHOSTUNREACH;
	}
	r = -EHOSTUNREACH;
	for (const struct addrinfo *ai = list; ai && r < 0 && r != -ECANCELED; ai = ai->ai_next) {
		r = dial_one(k, ai, deadline_ns);
		if (r < 0)
			hang_up(k, false);
	}
	freeaddrinfo(list);
	if (r < 0)
		wv_sink_failed(k, "connect %s: %s", k->config->address, strerror(-r));
	return r;
}

static int handshake(struct wv_sink *k, uint64_t deadline_ns)
{
	struct tls *t = k->state;
	char reason[128];
	int n, r = 0;

	ERR_clear_error();
	t->ssl = SSL_new(t->ctx);
	if (!t->ssl || SSL_set_fd(t->ssl, t->fd) != 1 || SSL_set1_host(t->ssl, t->host) != 1)
		return -ENOMEM;
	(void)SSL_set_tlsext_host_name(t->ssl, t->host);
	while (r == 0 && (n = SSL_connect(t->ssl)) != 1)
		r = wanted(k, n, deadline_ns);
	if (r == 0)
		return 0;
	if (SSL_get_verify_result(t->ssl) != X509_V_OK)
		wv_sink_failed(k, "the certificate of %s is not accepted: %s", k->config->address,
			       X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)));
	else
		wv_sink_failed(k, "TLS with %s: %s", k->config->address,
			       r == -ETIMEDOUT ? "no answer in time" : tls_reason(reason));
	return r;
}

/* Whether the peer said something: it has nothing to say but that it ends. */
static bool is_over(struct wv_sink *k)
{
	struct tls *t = k->state;
	char byte;
	int n;

	ERR_clear_error();
	while ((n = SSL_read(t->ssl, &byte, 1)) > 0)
		;
	return SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ;
}

static int write_all(struct wv_sink *k, const char *body, size_t len)
{
	struct tls *t = k->state;
	uint64_t limit_ns = k->config->timeout_ns, now = k->io->mono_ns(k->io->ctx);
	uint64_t deadline = now + limit_ns;
	int left = 0, r = 0;

	while (len) {
		int n;

		ERR_clear_error();
		n = SSL_write(t->ssl, body, len < (1U << 30) ? (int)len : 1 << 30);
		if (n > 0) {
			body += n;
			len -= (size_t)n;
			deadline = k->io->mono_ns(k->io->ctx) + limit_ns; /* it moves */
			continue;
		}
		r = wanted(k, n, deadline);
		if (r < 0)
			return r;
	}
	/* until the peer's TCP has acknowledged all */
	while (ioctl(t->fd, SIOCOUTQ, &left) == 0 && left > 0) {
		struct pollfd p = {.fd = t->fd, .events = POLLIN};

		if (poll(&p, 1, 1) > 0 && is_over(k))
			return -ECONNRESET;
		if (k->is_stopping(k->ctx))
			return -ECANCELED;
		if (k->io->mono_ns(k->io->ctx) >= deadline)
			return -ETIMEDOUT;
	}
	return is_over(k) ? -ECONNRESET : 0;
}

static void remember(struct tls *t, const char *body, size_t len)
{
	if (t->recent.len > AGAIN_BYTES)
		t->recent.len = 0;
	wv_text_add(&t->recent, body, len);
	if (t->recent.error) {
		t->recent.len = 0;
		t->recent.error = 0;
	}
}

static enum wv_send tls_send(struct wv_sink *k, const char *body, size_t len)
{
	struct tls *t = k->state;
	uint64_t now = k->io->mono_ns(k->io->ctx), deadline = now + k->config->timeout_ns;
	int r = 0;

	if (t->ssl && is_over(k))
		hang_up(k, true);
	else if (t->ssl && now - t->sent_ns > AGAIN_NS)
		t->recent.len = 0; /* read long ago */
	if (!t->ssl) {
		r = dial(k, deadline);
		if (r == 0)
			r = handshake(k, deadline);
		if (r < 0) {
			hang_up(k, false);
			return WV_SEND_RETRY;
		}
		if (t->ended)
			r = write_all(k, t->recent.data, t->recent.len);
		else
			t->recent.len = 0;
		if (r == 0)
			t->ended = false;
	}
	if (r == 0)
		r = write_all(k, body, len);
	if (r < 0) {
		hang_up(k, true);
		return wv_sink_failed(k, "%s: %s", k->config->address, strerror(-r));
	}
	t->sent_ns = k->io->mono_ns(k->io->ctx);
	remember(t, body, len);
	return WV_SEND_OK;
}

static void tls_close(struct wv_sink *k)
{
	struct tls *t = k->state;

	if (!t)
		return;
	if (t->ssl)
		(void)SSL_shutdown(t->ssl);
	hang_up(k, false);
	SSL_CTX_free(t->ctx);
	wv_text_done(&t->recent);
	free(t);
	k->state = NULL;
}

const struct wv_sink_ops wv_sink_tls = {.open = tls_open, .send = tls_send, .close = tls_close};
