// SPDX-License-Identifier: GPL-2.0-only
#include "user/export/web_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

#include "user/core/cleanup.h"
#include "user/core/dl.h"
#include "user/export/web_api.h"

/* As gnutls.h has it; its header is not needed for one function. */
struct datum {
	unsigned char *data;
	unsigned size;
};
static const struct datum *(*get_peers)(void *session, unsigned *n);

int wv_web_api_load_tls(void)
{
	static const struct wv_dl_symbol symbols[] = {
		{"gnutls_certificate_get_peers", &get_peers},
		{NULL, NULL},
	};

	return wv_dl_load("libgnutls.so.30", "libgnutls30", symbols);
}

static void take_certificate(const struct wv_web_request *r, struct wv_web_client *c)
{
	const union MHD_ConnectionInfo *info =
		r->web->mhd.get_connection_info(r->c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	const struct datum *list;
	unsigned n = 0;

	if (!get_peers || !info || !info->tls_session)
		return;
	list = get_peers(info->tls_session, &n);
	if (!list || !n || list[0].size > WV_API_CERT_MAX)
		return;
	c->certificate = list[0].data;
	c->certificate_len = list[0].size;
}

void wv_web_client(const struct wv_web_request *r, struct wv_web_client *ret)
{
	const struct wv_mhd *mhd = &r->web->mhd;
	const union MHD_ConnectionInfo *fd =
		mhd->get_connection_info(r->c, MHD_CONNECTION_INFO_CONNECTION_FD);
	const union MHD_ConnectionInfo *address =
		mhd->get_connection_info(r->c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const char *authorization =
		mhd->lookup_connection_value(r->c, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);

	*ret = (struct wv_web_client){.fd = fd ? fd->connect_fd : -1, .token = ""};
	ret->host = mhd->lookup_connection_value(r->c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	ret->origin = mhd->lookup_connection_value(r->c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ORIGIN);
	if (address && address->client_addr && address->client_addr->sa_family == AF_UNIX)
		ret->local_user = true;
	else
		ret->loopback = wv_web_is_local(r->web, r->c);
	ret->plain_remote = !ret->local_user && !ret->loopback && !r->web->tls;
	if (authorization)
		ret->token = wv_web_bearer(authorization, &ret->token_len) ?: "";
	if (!ret->local_user && r->web->tls)
		take_certificate(r, ret);
	ret->anonymous = !ret->local_user && !ret->token_len && !ret->certificate_len;
}

bool wv_web_client_digest(const struct wv_web_client *c, unsigned char ret[SHA256_DIGEST_LENGTH])
{
	static const char kinds[][12] = {"anonymous", "token", "certificate"};
	unsigned char buf[16 + WV_API_CERT_MAX] = {0};
	int kind = c->token_len ? 1 : c->certificate_len ? 2 : 0;
	const void *what = kind == 1 ? (const void *)c->token : c->certificate;
	size_t len = kind == 1 ? c->token_len : kind == 2 ? c->certificate_len : 0;

	/* who is behind the UNIX socket only the connection itself tells */
	if (c->local_user || c->plain_remote)
		return false;
	if (c->anonymous && !c->loopback)
		return false;
	if (len > WV_API_CERT_MAX)
		return false;
	memcpy(buf, kinds[kind], sizeof(kinds[kind]));
	if (len)
		memcpy(buf + 16, what, len);
	SHA256(buf, 16 + len, ret);
	return true;
}

bool wv_web_api_route(const char *method, const char *path, enum wv_api_route *ret,
		      uint64_t *ret_number)
{
	for (int i = 0; i < WV_API_N; i++) {
		const struct wv_api_route_info *route = &wv_api_routes[i];
		size_t n = strlen(route->path);
		uint64_t number = 0;
		const char *p;

		if (strcmp(route->method, method) != 0 || strncmp(route->path, path, n) != 0)
			continue;
		p = path + n;
		if (route->path[n - 1] != '/' && !*p) {
			*ret = (enum wv_api_route)i;
			*ret_number = 0;
			return true;
		}
		if (route->path[n - 1] != '/' || *p < '1' || *p > '9')
			continue;
		for (; *p >= '0' && *p <= '9'; p++) {
			if (number > (UINT64_MAX - 9) / 10)
				return false;
			number = number * 10 + (uint64_t)(*p - '0');
		}
		if (strcmp(p, "/proof") != 0)
			return false;
		*ret = (enum wv_api_route)i;
		*ret_number = number;
		return true;
	}
	return false;
}

const char *wv_web_bearer(const char *header, size_t *ret_len)
{
	const char *p = header + strlen("Bearer");

	if (strncasecmp(header, "Bearer", strlen("Bearer")) != 0 || *p != ' ')
		return NULL;
	p += strspn(p, " ");
	*ret_len = strcspn(p, " \t");
	/* anything behind it makes it something else */
	return p[*ret_len + strspn(p + *ret_len, " \t")] || !*ret_len ? NULL : p;
}

bool wv_web_host_is_literal(const char *host)
{
	char name[64];
	struct in6_addr six;
	struct in_addr four;
	size_t n;

	if (!host)
		return false;
	n = *host == '[' ? strcspn(host, "]") : strcspn(host, ":");
	if (n >= sizeof(name))
		return false;
	memcpy(name, host, n);
	name[n] = '\0';
	if (*host == '[')
		return host[n] == ']' && inet_pton(AF_INET6, name + 1, &six) == 1;
	return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &four) == 1;
}

bool wv_web_origin_is_own(const char *origin, const char *host)
{
	const char *p = strstr(origin, "://");

	return p && host && *host && strcasecmp(p + 3, host) == 0;
}
