// SPDX-License-Identifier: GPL-2.0-only
#include "user/kube/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/secret/curl.h"
#include "user/secret/secret.h"

#define CONNECT_S 10L
#define TOKEN_MAX 16384
#define WAITS_MAX 4
/* a connection that a firewall forgot is noticed after about this and a half */
#define KEEPALIVE_S 30L

#define REQUESTS_MAX 8

struct wv_kube_client {
	char server[320];
	const char *token, *ca;
	bool plain;
	CURLM *multi;
	struct wv_kube_request *running[REQUESTS_MAX];
};

/* Whether the host of a URL's rest is this machine. */
static bool is_loopback(const char *rest)
{
	static const char *const hosts[] = {"127.0.0.1", "[::1]", "localhost"};

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		size_t n = strlen(hosts[i]);

		if (strncmp(rest, hosts[i], n) == 0 &&
		    (!rest[n] || rest[n] == ':' || rest[n] == '/'))
			return true;
	}
	return false;
}

static int take_server(struct wv_kube_client *c, const char *server)
{
	size_t n = strlen(server);

	while (n && server[n - 1] == '/')
		n--;
	if (n >= sizeof(c->server))
		return -EINVAL;
	memcpy(c->server, server, n);
	c->server[n] = '\0';
	if (strncmp(c->server, "https://", 8) == 0)
		return 0;
	c->plain = strncmp(c->server, "http://", 7) == 0 && is_loopback(c->server + 7);
	return c->plain ? 0 : -EINVAL;
}

/* The first handle initialises TLS, the first name the resolver's plug-ins. */
static void warm_up(void)
{
	struct addrinfo *a = NULL;
	CURL *h = wv_curl.curl_easy_init();

	if (h)
		wv_curl.curl_easy_cleanup(h);
	if (getaddrinfo("localhost", NULL, NULL, &a) == 0)
		freeaddrinfo(a);
}

int wv_kube_client_open(struct wv_kube_client **ret, const struct wv_kube_client_options *o)
{
	struct wv_kube_client *c;
	int r = wv_secrets_load_curl();

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->token = o->token;
	c->ca = o->ca;
	r = take_server(c, o->server);
	c->multi = r < 0 ? NULL : wv_curl.curl_multi_init();
	if (!c->multi) {
		free(c);
		return r < 0 ? r : -ENOMEM;
	}
	warm_up();
	*ret = c;
	return 0;
}

static void end(struct wv_kube_client *c, struct wv_kube_request *q)
{
	(void)wv_curl.curl_multi_remove_handle(c->multi, q->handle);
	wv_curl.curl_easy_cleanup(q->handle);
	wv_curl.curl_slist_free_all(q->headers);
	q->handle = q->headers = NULL;
	q->running = false;
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (c->running[i] == q)
			c->running[i] = NULL;
}

void wv_kube_client_close(struct wv_kube_client *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (c->running[i])
			end(c, c->running[i]);
	(void)wv_curl.curl_multi_cleanup(c->multi);
	free(c);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *userdata)
{
	struct wv_kube_request *q = userdata;
	long status = 0;

	wv_curl.curl_easy_getinfo(q->handle, CURLINFO_RESPONSE_CODE, &status);
	return q->take(q->ctx, status, bytes, size * n) < 0 ? CURL_WRITEFUNC_ERROR : size * n;
}

/* Where there is no memory for one more, the list as it was. */
static struct curl_slist *append(struct curl_slist *list, const char *line)
{
	return wv_curl.curl_slist_append(list, line) ?: list;
}

/* "Authorization: Bearer <token>", or the list as it was where there is no token to be had. */
static struct curl_slist *add_token(const struct wv_kube_client *c, struct curl_slist *list)
{
	_cleanup_free_ char *text = NULL, *line = NULL;
	size_t len;

	if (!*c->token ||
	    wv_io_read_file(&wv_io_system, AT_FDCWD, c->token, TOKEN_MAX, &text, &len) < 0)
		return list; /* the server says what it thinks of that */
	while (len && strchr(" \r\n\t", text[len - 1]))
		text[--len] = '\0';
	if (strpbrk(text, "\r\n") || asprintf(&line, "Authorization: Bearer %s", text) < 0) {
		line = NULL;
		return list;
	}
	list = append(list, line);
	explicit_bzero(line, strlen(line));
	explicit_bzero(text, len);
	return list;
}

static void set_options(const struct wv_kube_client *c, struct wv_kube_request *q, const char *url,
			const char *body, unsigned timeout_s)
{
	struct curl_slist *headers = wv_curl.curl_slist_append(NULL, "Accept: application/json");
	CURL *h = q->handle;

	wv_curl.curl_easy_setopt(h, CURLOPT_URL, url);
	wv_curl.curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, c->plain ? "http" : "https");
	wv_curl.curl_easy_setopt(h, CURLOPT_PROXY, "");
	wv_curl.curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
	wv_curl.curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	wv_curl.curl_easy_setopt(h, CURLOPT_USERAGENT, "waveos-bpf/" WV_VERSION);
	wv_curl.curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	wv_curl.curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 1L);
	wv_curl.curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 2L);
	if (*c->ca)
		wv_curl.curl_easy_setopt(h, CURLOPT_CAINFO, c->ca);
	wv_curl.curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	wv_curl.curl_easy_setopt(h, CURLOPT_TIMEOUT, (long)timeout_s);
	wv_curl.curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	wv_curl.curl_easy_setopt(h, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
	wv_curl.curl_easy_setopt(h, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S / 6);
	wv_curl.curl_easy_setopt(h, CURLOPT_ERRORBUFFER, q->message);
	wv_curl.curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	wv_curl.curl_easy_setopt(h, CURLOPT_WRITEDATA, q);
	wv_curl.curl_easy_setopt(h, CURLOPT_PRIVATE, q);
	if (body) {
		wv_curl.curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, "PATCH");
		wv_curl.curl_easy_setopt(h, CURLOPT_COPYPOSTFIELDS, body);
		headers = append(headers, "Content-Type: application/merge-patch+json");
	}
	q->headers = add_token(c, headers);
	wv_curl.curl_easy_setopt(h, CURLOPT_HTTPHEADER, q->headers);
}

int wv_kube_request(struct wv_kube_client *c, struct wv_kube_request *q, const char *path,
		    const char *body, unsigned timeout_s)
{
	char url[1024];
	size_t at = 0;

	if (q->running)
		return -EBUSY;
	while (at < REQUESTS_MAX && c->running[at])
		at++;
	if (at == REQUESTS_MAX)
		return -EAGAIN;
	if ((size_t)snprintf(url, sizeof(url), "%s%s", c->server, path) >= sizeof(url))
		return -ENAMETOOLONG;
	q->client = c;
	q->message[0] = '\0';
	q->handle = wv_curl.curl_easy_init();
	if (!q->handle)
		return -ENOMEM;
	set_options(c, q, url, body, timeout_s);
	q->running = true;
	c->running[at] = q;
	if (wv_curl.curl_multi_add_handle(c->multi, q->handle) == CURLM_OK)
		return 0;
	end(c, q);
	return -ENOMEM;
}

static void finish(struct wv_kube_client *c, struct wv_kube_request *q, CURLcode code)
{
	char message[sizeof(q->message)];
	curl_off_t retry = 0;
	long status = 0;

	wv_curl.curl_easy_getinfo(q->handle, CURLINFO_RESPONSE_CODE, &status);
	wv_curl.curl_easy_getinfo(q->handle, CURLINFO_RETRY_AFTER, &retry);
	snprintf(message, sizeof(message), "%s",
		 q->message[0] ? q->message : wv_curl.curl_easy_strerror(code));
	end(c, q);
	q->over(q->ctx, status, code == CURLE_OK ? NULL : message, retry > 0 ? (uint64_t)retry : 0);
}

static void look_at_ended(struct wv_kube_client *c)
{
	struct wv_kube_request *q;
	CURLMsg *m;
	int left;

	while ((m = wv_curl.curl_multi_info_read(c->multi, &left))) {
		CURLcode code = m->data.result;

		q = NULL;
		if (m->msg != CURLMSG_DONE)
			continue;
		wv_curl.curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&q);
		if (q)
			finish(c, q, code);
	}
}

int wv_kube_client_turn(struct wv_kube_client *c, struct wv_kube_wait *wait, size_t n,
			int timeout_ms)
{
	struct curl_waitfd fds[WAITS_MAX] = {0};
	int running;

	if (n > WAITS_MAX)
		return -EINVAL;
	if (wv_curl.curl_multi_perform(c->multi, &running) != CURLM_OK)
		return -EIO;
	look_at_ended(c);
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct curl_waitfd){.fd = wait[i].fd, .events = CURL_WAIT_POLLIN};
	if (wv_curl.curl_multi_poll(c->multi, fds, (unsigned)n, timeout_ms, NULL) != CURLM_OK)
		return -EIO;
	for (size_t i = 0; i < n; i++)
		wait[i].ready = fds[i].revents != 0;
	if (wv_curl.curl_multi_perform(c->multi, &running) != CURLM_OK)
		return -EIO;
	look_at_ended(c);
	return 0;
}
