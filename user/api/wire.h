/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the web worker and the api worker say to each other: one message of a SOCK_SEQPACKET pair
 * each, with descriptors beside it (SCM_RIGHTS). Neither trusts the other: every length and number
 * is checked, a message that does not decode is dropped, and so are descriptors that were not
 * announced.
 *
 *   web -> api   request    descriptors: the client's connection; the body, if it is not inline
 *   api -> web   answer     descriptor: the body, if it is not inline
 *                forget     what was allowed to whom is to be asked again
 *                reload     other certificates are to be used: end, and be started again
 */
#ifndef WV_API_WIRE_H
#define WV_API_WIRE_H

#include <sys/types.h>

#include "user/access/access.h"

#define WV_API_MESSAGE_MAX 32768
#define WV_API_INLINE_MAX 16384		 /* bytes of a body that need no descriptor */
#define WV_API_UPLOAD_MAX (1U << 20)	 /* of a request's body */
#define WV_API_DOWNLOAD_MAX (256U << 20) /* of an answer's */
#define WV_API_PARAMS_MAX 12
#define WV_API_KEY_MAX 24
#define WV_API_VALUE_MAX 1024
#define WV_API_TOKEN_MAX 256
#define WV_API_CERT_MAX 8192
#define WV_API_FDS_MAX 2

enum wv_api_kind {
	WV_API_REQUEST = 1,
	WV_API_AUTHORIZE, /* only whether the client has the permission `route` */
	WV_API_ANSWER,
	WV_API_FORGET,
	WV_API_RELOAD,
	WV_API_KIND_N
};

/* Types of bodies. */
enum wv_api_type {
	WV_API_JSON,
	WV_API_HTML,
	WV_API_MARKDOWN,
	WV_API_TEXT,
	WV_API_ZSTD,
	WV_API_TYPE_N
};
extern const char *const wv_api_types[WV_API_TYPE_N];

struct wv_api_param {
	const char *key, *value; /* decoded, NUL-terminated */
};

struct wv_api_request {
	enum wv_api_kind kind; /* REQUEST or AUTHORIZE */
	unsigned route;	       /* enum wv_api_route; AUTHORIZE: enum wv_permission */
	uint64_t id;	       /* the asker's, comes back in the answer */
	uint64_t deadline_ns;  /* CLOCK_MONOTONIC: not to be begun later */
	uint64_t number;       /* of the path; 0: none */
	bool has_body;	       /* a descriptor follows that of the connection */
	/* evidence: of the client, not of the worker that passes it on */
	const char *token; /* of "Authorization: Bearer", "" if none */
	size_t token_len;
	const unsigned char *certificate; /* DER of the peer's, NULL if none */
	size_t certificate_len;
	size_t n_params;
	struct wv_api_param params[WV_API_PARAMS_MAX];
};

struct wv_api_answer {
	enum wv_api_kind kind; /* ANSWER, FORGET, RELOAD */
	unsigned status;       /* HTTP */
	uint64_t id;
	enum wv_api_type type;
	unsigned retry_s;  /* Retry-After; 0: none */
	unsigned ttl_ms;   /* AUTHORIZE: how long it may be remembered */
	uint64_t fd_bytes; /* of the body in the descriptor; 0: it is inline */
	const char *body;
	size_t body_len;
};

/* Length of the message, or -EMSGSIZE, -EINVAL. */
ssize_t wv_api_request_encode(const struct wv_api_request *q, void *buf, size_t size);
ssize_t wv_api_answer_encode(const struct wv_api_answer *a, void *buf, size_t size);
/* What ret points to lies in buf. -EPROTO: it is no such message; *ret is untouched then. */
int wv_api_request_decode(const void *buf, size_t len, struct wv_api_request *ret);
int wv_api_answer_decode(const void *buf, size_t len, struct wv_api_answer *ret);

/* Value of a parameter, NULL if it was not given. */
const char *wv_api_param(const struct wv_api_request *q, const char *key);

/* Sends without waiting. 0, or -EAGAIN: the other does not read; or another -errno. */
int wv_api_send(int fd, const void *buf, size_t len, const int *fds, size_t n_fds);
/*
 * Receives without waiting: length with up to WV_API_FDS_MAX descriptors in fds, which are the
 * caller's, -1 where there is none. -EAGAIN: nothing there. -EPROTO: what came was cut or had too
 * many descriptors, and is dropped. 0: the other end is gone.
 */
ssize_t wv_api_receive(int fd, void *buf, size_t size, int fds[WV_API_FDS_MAX]);

/* A body as a memory file, sealed so that nobody can change or shorten it under a reader. */
int wv_api_body_open(void);
int wv_api_body_seal(int fd);
/*
 * Bytes of a body that somebody else made: a sealed memory file of at most max bytes. -EPROTO if it
 * is not that.
 */
int wv_api_body_check(int fd, uint64_t max, uint64_t *ret);

#endif
