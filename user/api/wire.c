// SPDX-License-Identifier: GPL-2.0-only
#include "user/api/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"

#define MAGIC 0x31415657U
#define BODY_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define HAS_BODY 1U

const char *const wv_api_types[WV_API_TYPE_N] = {
	[WV_API_JSON] = "application/json",
	[WV_API_HTML] = "text/html; charset=utf-8",
	[WV_API_MARKDOWN] = "text/markdown; charset=utf-8",
	[WV_API_TEXT] = "text/plain; charset=utf-8",
	[WV_API_ZSTD] = "application/zstd",
};

/* Both ends are one program: no byte order to agree on. */
struct request_head {
	uint32_t magic;
	uint16_t kind, route;
	uint64_t id, deadline_ns, number;
	uint32_t flags, token_len, certificate_len, params_len;
	uint32_t n_params, pad;
};
_Static_assert(sizeof(struct request_head) == 56, "no hole");

struct answer_head {
	uint32_t magic;
	uint16_t kind, status;
	uint64_t id, fd_bytes;
	uint32_t type, retry_s, ttl_ms, body_len;
};
_Static_assert(sizeof(struct answer_head) == 40, "no hole");

/* Writing: what does not fit is noticed once, at the end. */
struct out {
	char *p;
	size_t len, size;
};

static void put(struct out *o, const void *data, size_t n)
{
	if (n && o->len <= o->size && n <= o->size - o->len)
		memcpy(o->p + o->len, data, n);
	o->len += n;
}

static size_t params_length(const struct wv_api_request *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n_params; i++)
		n += strlen(q->params[i].key) + 1 + strlen(q->params[i].value) + 1;
	return n;
}

static bool request_ok(const struct wv_api_request *q)
{
	if (q->kind == WV_API_REQUEST ? q->route >= WV_API_N
				      : q->kind != WV_API_AUTHORIZE || q->route >= WV_MAY_N)
		return false;
	if (q->n_params > WV_API_PARAMS_MAX || q->token_len > WV_API_TOKEN_MAX ||
	    q->certificate_len > WV_API_CERT_MAX)
		return false;
	for (size_t i = 0; i < q->n_params; i++)
		if (!q->params[i].key[0] || strlen(q->params[i].key) > WV_API_KEY_MAX ||
		    strlen(q->params[i].value) > WV_API_VALUE_MAX)
			return false;
	return true;
}

ssize_t wv_api_request_encode(const struct wv_api_request *q, void *buf, size_t size)
{
	struct out o = {.p = buf, .size = size};
	struct request_head h = {
		.magic = MAGIC,
		.kind = (uint16_t)q->kind,
		.route = (uint16_t)q->route,
		.id = q->id,
		.deadline_ns = q->deadline_ns,
		.number = q->number,
		.flags = q->has_body ? HAS_BODY : 0,
		.token_len = (uint32_t)q->token_len,
		.certificate_len = (uint32_t)q->certificate_len,
		.n_params = (uint32_t)q->n_params,
	};

	if (!request_ok(q))
		return -EINVAL;
	h.params_len = (uint32_t)params_length(q);
	put(&o, &h, sizeof(h));
	put(&o, q->token, q->token_len);
	put(&o, q->certificate, q->certificate_len);
	for (size_t i = 0; i < q->n_params; i++) {
		put(&o, q->params[i].key, strlen(q->params[i].key) + 1);
		put(&o, q->params[i].value, strlen(q->params[i].value) + 1);
	}
	return o.len <= size ? (ssize_t)o.len : -EMSGSIZE;
}

/* The next text with its NUL; NULL if there is none. */
static const char *take_text(const char **p, size_t *left)
{
	const char *text = *p, *end = memchr(text, '\0', *left);

	if (!end)
		return NULL;
	*left -= (size_t)(end - text) + 1;
	*p = end + 1;
	return text;
}

int wv_api_request_decode(const void *buf, size_t len, struct wv_api_request *ret)
{
	struct wv_api_request q = {.kind = 0};
	struct request_head h;
	const char *p = buf;
	size_t left;

	if (len < sizeof(h) || len > WV_API_MESSAGE_MAX)
		return -EPROTO;
	memcpy(&h, buf, sizeof(h));
	left = len - sizeof(h);
	if (h.magic != MAGIC || h.pad || (h.flags & ~HAS_BODY) || h.token_len > WV_API_TOKEN_MAX ||
	    h.certificate_len > WV_API_CERT_MAX || h.n_params > WV_API_PARAMS_MAX ||
	    h.params_len > len || (size_t)h.token_len + h.certificate_len + h.params_len != left)
		return -EPROTO;
	p += sizeof(h);
	q.kind = (enum wv_api_kind)h.kind;
	q.route = h.route;
	q.id = h.id;
	q.deadline_ns = h.deadline_ns;
	q.number = h.number;
	q.has_body = h.flags & HAS_BODY;
	q.token = p;
	q.token_len = h.token_len;
	p += h.token_len;
	q.certificate = h.certificate_len ? (const unsigned char *)p : NULL;
	q.certificate_len = h.certificate_len;
	p += h.certificate_len;
	left = h.params_len;
	for (; q.n_params < h.n_params; q.n_params++) {
		struct wv_api_param *a = &q.params[q.n_params];

		a->key = take_text(&p, &left);
		a->value = a->key ? take_text(&p, &left) : NULL;
		if (!a->value)
			return -EPROTO;
	}
	if (left || !request_ok(&q))
		return -EPROTO;
	*ret = q;
	return 0;
}

static bool answer_ok(const struct wv_api_answer *a)
{
	if (a->kind == WV_API_FORGET || a->kind == WV_API_RELOAD)
		return !a->body_len && !a->fd_bytes;
	return a->kind == WV_API_ANSWER && a->status >= 200 && a->status < 600 &&
	       (unsigned)a->type < WV_API_TYPE_N && a->body_len <= WV_API_INLINE_MAX &&
	       a->fd_bytes <= WV_API_DOWNLOAD_MAX && !(a->fd_bytes && a->body_len);
}

ssize_t wv_api_answer_encode(const struct wv_api_answer *a, void *buf, size_t size)
{
	struct out o = {.p = buf, .size = size};
	const struct answer_head h = {
		.magic = MAGIC,
		.kind = (uint16_t)a->kind,
		.status = (uint16_t)a->status,
		.id = a->id,
		.fd_bytes = a->fd_bytes,
		.type = (uint32_t)a->type,
		.retry_s = a->retry_s,
		.ttl_ms = a->ttl_ms,
		.body_len = (uint32_t)a->body_len,
	};

	if (!answer_ok(a))
		return -EINVAL;
	put(&o, &h, sizeof(h));
	put(&o, a->body, a->body_len);
	return o.len <= size ? (ssize_t)o.len : -EMSGSIZE;
}

int wv_api_answer_decode(const void *buf, size_t len, struct wv_api_answer *ret)
{
	struct wv_api_answer a = {.kind = 0};
	struct answer_head h;

	if (len < sizeof(h) || len > WV_API_MESSAGE_MAX)
		return -EPROTO;
	memcpy(&h, buf, sizeof(h));
	if (h.magic != MAGIC || h.body_len != len - sizeof(h) || h.type >= WV_API_TYPE_N)
		return -EPROTO;
	a.kind = (enum wv_api_kind)h.kind;
	a.status = h.status;
	a.id = h.id;
	a.fd_bytes = h.fd_bytes;
	a.type = (enum wv_api_type)h.type;
	a.retry_s = h.retry_s;
	a.ttl_ms = h.ttl_ms;
	a.body = (const char *)buf + sizeof(h);
	a.body_len = h.body_len;
	if (!answer_ok(&a))
		return -EPROTO;
	*ret = a;
	return 0;
}

const char *wv_api_param(const struct wv_api_request *q, const char *key)
{
	for (size_t i = 0; i < q->n_params; i++)
		if (strcmp(q->params[i].key, key) == 0)
			return q->params[i].value;
	return NULL;
}

/* The socket ---------------------------------------------------------------------------------- */

union control {
	char bytes[CMSG_SPACE(sizeof(int) * WV_API_FDS_MAX)];
	struct cmsghdr align;
};

int wv_api_send(int fd, const void *buf, size_t len, const int *fds, size_t n_fds)
{
	union control control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > WV_API_FDS_MAX)
		return -EINVAL;
	if (n_fds) {
		struct cmsghdr *c;

		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static size_t take_fds(struct msghdr *m, int fds[WV_API_FDS_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < WV_API_FDS_MAX)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

ssize_t wv_api_receive(int fd, void *buf, size_t size, int fds[WV_API_FDS_MAX])
{
	union control control;
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	ssize_t n;

	for (size_t i = 0; i < WV_API_FDS_MAX; i++)
		fds[i] = -1;
	n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	(void)take_fds(&m, fds);
	if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (size_t i = 0; i < WV_API_FDS_MAX; i++) {
			wv_closep(&fds[i]);
			fds[i] = -1;
		}
		return -EPROTO;
	}
	return n;
}

int wv_api_body_open(void)
{
	int fd = memfd_create("waveos-api", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

int wv_api_body_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, BODY_SEALS | F_SEAL_SEAL) < 0 ? -errno : 0;
}

int wv_api_body_check(int fd, uint64_t max, uint64_t *ret)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & BODY_SEALS) != BODY_SEALS || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EPROTO;
	*ret = (uint64_t)st.st_size;
	return 0;
}
