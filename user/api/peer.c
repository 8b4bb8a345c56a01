// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who a client is. The connection itself comes along, so that its address and the user behind it
 * are asked of the kernel. What the web worker could still do, once taken over: use a client's
 * connection, token or certificate that passes through it, while it passes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "user/api/api.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#define GROUPS_MAX 1024

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

/* An IPv4 address in IPv6 clothes is the IPv4 address. */
static bool is_loopback(const union address *a)
{
	if (a->any.sa_family == AF_INET)
		return ntohl(a->four.sin_addr.s_addr) >> 24 == 127;
	if (IN6_IS_ADDR_V4MAPPED(&a->six.sin6_addr))
		return a->six.sin6_addr.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->six.sin6_addr);
}

/* A connection, not a listening socket: there SO_PEERCRED would be the agent itself. */
static bool is_connection(int fd)
{
	int type = 0, listening = 1;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return false;
	len = sizeof(int);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && !listening;
}

/* That it was accepted at our own socket: the web worker holds others, whose peer is root. */
static bool is_ours(const struct wv_api *a, const union address *local, socklen_t len)
{
	char path[sizeof(local->un.sun_path) + 1] = "", wanted[WV_PATH_SIZE + 16];
	size_t n = len > offsetof(struct sockaddr_un, sun_path)
			   ? len - offsetof(struct sockaddr_un, sun_path)
			   : 0;

	if (n > sizeof(local->un.sun_path))
		return false;
	memcpy(path, local->un.sun_path, n);
	snprintf(wanted, sizeof(wanted), "%s/" WV_API_SOCKET, a->paths->runtime);
	return strcmp(path, wanted) == 0;
}

static int read_user(struct wv_api *a, int fd, struct wv_caller *ret)
{
	_cleanup_free_ gid_t *groups = calloc(GROUPS_MAX + 1, sizeof(gid_t));
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t len = sizeof(cred), bytes = GROUPS_MAX * sizeof(gid_t);
	size_t n = 0;

	if (!groups)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || len != sizeof(cred) ||
	    cred.uid == (uid_t)-1)
		return -EPROTO;
	/* since Linux 4.13; without it only the first group counts */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) == 0)
		n = bytes / sizeof(gid_t);
	groups[n++] = cred.gid;
	ret->kind = WV_CALLER_USER;
	ret->roles = wv_roles_of_user(a->config, &a->ids, cred.uid, groups, n);
	snprintf(ret->name, sizeof(ret->name), "uid:%u", cred.uid);
	snprintf(ret->peer, sizeof(ret->peer), "uid:%u", cred.uid);
	return 0;
}

struct peer {
	bool local_user, loopback;
	char bucket[64]; /* whose failures count together */
};

static int read_address(const union address *remote, struct peer *p, struct wv_caller *ret)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr net;

	p->loopback = is_loopback(remote);
	if (remote->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &remote->four.sin_addr, text, sizeof(text));
		snprintf(p->bucket, sizeof(p->bucket), "%s", text);
	} else {
		inet_ntop(AF_INET6, &remote->six.sin6_addr, text, sizeof(text));
		/* who has one address of a /64 has all of them */
		net = remote->six.sin6_addr;
		if (!IN6_IS_ADDR_V4MAPPED(&net))
			memset(net.s6_addr + 8, 0, 8);
		inet_ntop(AF_INET6, &net, p->bucket, INET6_ADDRSTRLEN);
	}
	snprintf(ret->peer, sizeof(ret->peer), "%s", text);
	return 0;
}

/* Where the connection comes from; fills peer, and all of ret for a local user. */
static int read_peer(struct wv_api *a, int fd, struct peer *p, struct wv_caller *ret)
{
	union address local = {.storage = {0}}, remote = {.storage = {0}};
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);

	*p = (struct peer){.local_user = false};
	*ret = (struct wv_caller){.kind = WV_CALLER_NOBODY, .name = "nobody", .peer = "unknown"};
	if (fd < 0 || !is_connection(fd) || getsockname(fd, &local.any, &local_len) < 0)
		return -EPROTO;
	if (local.any.sa_family == AF_UNIX) {
		if (!is_ours(a, &local, local_len) || read_user(a, fd, ret) < 0)
			return -EPROTO;
		p->local_user = true;
		memcpy(p->bucket, ret->peer, sizeof(p->bucket));
		return 0;
	}
	if (local.any.sa_family != AF_INET && local.any.sa_family != AF_INET6)
		return -EPROTO;
	/* gone meanwhile: nobody will read the answer */
	if (getpeername(fd, &remote.any, &remote_len) < 0 ||
	    (remote.any.sa_family != AF_INET && remote.any.sa_family != AF_INET6))
		return -ENOTCONN;
	return read_address(&remote, p, ret);
}

void wv_api_refresh_tokens(struct wv_api *a)
{
	char path[WV_PATH_SIZE + 32];
	struct wv_tokens next;
	struct stat st = {.st_ino = 0};
	uint64_t mtime_ns;
	int r;

	snprintf(path, sizeof(path), "%s/" WV_ACCESS_FOLDER "/" WV_TOKENS_NAME, a->paths->state);
	if (stat(path, &st) < 0)
		st = (struct stat){.st_ino = 0};
	mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000ULL + (uint64_t)st.st_mtim.tv_nsec;
	if (st.st_ino == a->tokens_seen.ino && mtime_ns == a->tokens_seen.mtime_ns &&
	    (uint64_t)st.st_size == a->tokens_seen.size)
		return;
	r = wv_tokens_load(a->io, a->paths, &next);
	wv_tokens_done(&a->tokens);
	a->tokens_seen.ino = st.st_ino;
	a->tokens_seen.mtime_ns = mtime_ns;
	a->tokens_seen.size = (uint64_t)st.st_size;
	a->tokens_seen.bad = r < 0;
	if (r < 0)
		(void)wv_log_errno(r, "api", "%s: no token counts", path);
	else
		a->tokens = next;
}

static enum wv_api_refusal failed(struct wv_api *a, const struct peer *p, unsigned *retry_s)
{
	*retry_s = wv_limiter_fail(&a->limiter, p->bucket, a->io->mono_ns(a->io->ctx));
	return *retry_s ? WV_API_LIMITED : WV_API_WRONG;
}

static enum wv_api_refusal by_token(struct wv_api *a, const struct peer *p,
				    const struct wv_api_request *q, struct wv_caller *ret,
				    unsigned *retry_s, const char **why)
{
	const struct wv_token *t = wv_tokens_find(&a->tokens, q->token, q->token_len,
						  a->io->wall_ns(a->io->ctx) / 1000000000ULL, why);

	ret->kind = WV_CALLER_NOBODY;
	ret->roles = 0;
	if (!t) {
		if (!p->local_user)
			snprintf(ret->name, sizeof(ret->name), "nobody");
		return failed(a, p, retry_s);
	}
	ret->kind = WV_CALLER_TOKEN;
	ret->roles = 1U << t->role;
	snprintf(ret->name, sizeof(ret->name), "token:%s", t->name);
	return WV_API_KNOWN;
}

static enum wv_api_refusal by_certificate(struct wv_api *a, const struct peer *p,
					  const struct wv_api_request *q, struct wv_caller *ret,
					  unsigned *retry_s, const char **why)
{
	static char text[128]; /* one request at a time */
	char name[140];
	unsigned roles = 0;

	if (wv_certificate_roles(a->authorities, a->config, q->certificate, q->certificate_len,
				 &roles, name, text, sizeof(text)) < 0) {
		*why = text;
		return failed(a, p, retry_s);
	}
	ret->kind = WV_CALLER_CERTIFICATE;
	ret->roles = roles;
	snprintf(ret->name, sizeof(ret->name), "certificate:%s", name);
	return WV_API_KNOWN;
}

static bool trusts_loopback(const struct wv_api *a)
{
	enum { AUTO, VIEWER };

	if (a->config->access_loopback != AUTO)
		return a->config->access_loopback == VIEWER;
	return !a->config->n_roles && !a->tokens.n && !a->tokens_seen.bad &&
	       !a->config->access_client_ca[0];
}

enum wv_api_refusal wv_api_identify(struct wv_api *a, int fd, const struct wv_api_request *q,
				    struct wv_caller *ret, unsigned *ret_retry_s,
				    const char **ret_why)
{
	struct peer p;
	int r = read_peer(a, fd, &p, ret);

	*ret_retry_s = 0;
	*ret_why = "no credential";
	if (r == -EPROTO) {
		*ret_why = "not a connection of the agent";
		return WV_API_SUSPICIOUS;
	}
	if (r < 0)
		return WV_API_KNOWN;
	wv_api_refresh_tokens(a);
	/* a token that went over a network in plain text is nobody's any more */
	if (!p.local_user && !p.loopback && !a->config->access_tls_cert[0]) {
		*ret_why = "not encrypted";
		return WV_API_KNOWN;
	}
	if (q->token_len)
		return by_token(a, &p, q, ret, ret_retry_s, ret_why);
	if (q->certificate_len && a->authorities && !p.local_user)
		return by_certificate(a, &p, q, ret, ret_retry_s, ret_why);
	if (!p.local_user && p.loopback && trusts_loopback(a)) {
		ret->kind = WV_CALLER_LOOPBACK;
		ret->roles = 1U << WV_USER_VIEWER;
		snprintf(ret->name, sizeof(ret->name), "loopback");
	}
	return WV_API_KNOWN;
}
