// SPDX-License-Identifier: GPL-2.0-only
/*
 * From declared proxies to HAProxy's configuration: a pure function. Words that came from a file
 * stand in single quotes or are of an alphabet that has no meaning to HAProxy (parse.c); the result
 * is looked at once more before it is handed out.
 */
#include <errno.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/proxy/rules.h"

/* HAProxy reads lines of at most 2,048 bytes. */
#define LINE_MAX_BYTES 2000
/* What it needs beyond traffic: listeners, probes, its statistics, timers. */
#define SPARE_CONNECTIONS 64
/* Only these, for TLS 1.2; those of 1.3 are fine as they are (RFC 9325). */
#define CIPHERS                                                                                    \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                               \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                               \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

void wv_proxy_word(FILE *f, const char *text)
{
	fputc('\'', f);
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", f);
		else
			fputc(*text, f);
	fputc('\'', f);
}

static void global(FILE *f, const struct wv_config *c, const struct wv_proxy_place *place)
{
	unsigned long long connections = SPARE_CONNECTIONS, headers = 101;

	for (size_t i = 0; i < c->n_proxies; i++) {
		connections += c->proxies[i].total.connections;
		/* over the bound 431 says why, over this one HAProxy says 400 */
		if (c->proxies[i].mode == WV_PROXY_HTTP &&
		    c->proxies[i].request.headers_max + 100 > headers)
			headers = c->proxies[i].request.headers_max + 100;
	}
	fprintf(f, "# Written by waveos-bpf from the list `proxies`; changes are lost.\nglobal\n");
	fprintf(f, "\tmaxconn %llu\n\tnbthread %llu\n", connections,
		(unsigned long long)c->proxy_threads);
	fputs("\tstats socket ", f);
	wv_proxy_word(f, place->socket);
	fputs(" mode 600 level admin expose-fd listeners\n\tstats timeout 10s\n", f);
	if (place->chroot) {
		fprintf(f, "\tuid %u\n\tgid %u\n\tchroot ", place->uid, place->gid);
		wv_proxy_word(f, place->chroot);
		fputc('\n', f);
	}
	fprintf(f, "\thard-stop-after %llums\n", wv_proxy_ms(c->proxy_drain));
	fprintf(f, "\ttune.bufsize %llu\n\ttune.http.maxhdr %llu\n",
		(unsigned long long)c->proxy_buffer, headers);
	fputs("\tssl-default-bind-ciphers " CIPHERS "\n\tssl-default-server-ciphers " CIPHERS "\n"
	      "\tssl-default-bind-options no-tls-tickets\n",
	      f);
}

static const char *tls_version(int min)
{
	return min ? "TLSv1.3" : "TLSv1.2";
}

static void bind_line(FILE *f, const struct wv_proxy *p)
{
	fputs("\tbind ", f);
	wv_proxy_word(f, p->listen);
	if (*p->tls.cert) {
		fputs(" ssl crt ", f);
		wv_proxy_word(f, p->tls.cert);
		fprintf(f, " ssl-min-ver %s", tls_version(p->tls.min));
		if (p->mode == WV_PROXY_HTTP)
			fputs(" alpn http/1.1", f);
		if (*p->tls.client_ca) {
			fputs(" verify required ca-file ", f);
			wv_proxy_word(f, p->tls.client_ca);
		}
	}
	fputc('\n', f);
}

/* Budgets of connections, before anything of them is read but the PROXY header. */
static void connection_rules(FILE *f, const struct wv_proxy *p)
{
	fprintf(f,
		"\tstick-table type ipv6 size %llu expire 1m store "
		"conn_cur,conn_rate(1s),http_req_rate(1s),bytes_in_rate(10s),bytes_out_rate(10s)\n",
		(unsigned long long)p->client.table);
	if (p->proxy_from.n) {
		fputs("\tacl has_header src --", f);
		for (size_t i = 0; i < p->proxy_from.n; i++)
			fprintf(f, " %s", p->proxy_from.list[i]);
		fputs("\n\ttcp-request connection expect-proxy layer4 if has_header\n", f);
	}
	fprintf(f, "\tacl client_connections sc_conn_cur(0) gt %llu\n",
		(unsigned long long)p->client.connections);
	fputs("\ttcp-request session track-sc0 src\n"
	      "\ttcp-request session reject if client_connections\n",
	      f);
	if (p->mode == WV_PROXY_HTTP)
		return;
	fprintf(f, "\tacl client_rate sc_conn_rate(0) gt %llu\n",
		(unsigned long long)p->client.requests);
	if (p->client.bytes)
		fprintf(f,
			"\tacl client_rate sc_bytes_in_rate(0) gt %llu\n"
			"\tacl client_rate sc_bytes_out_rate(0) gt %llu\n",
			(unsigned long long)p->client.bytes * 10,
			(unsigned long long)p->client.bytes * 10);
	fprintf(f, "\tacl all_rate sc_conn_rate(1) gt %llu\n",
		(unsigned long long)p->total.requests);
	fputs("\ttcp-request session reject if client_rate\n", f);
	fprintf(f, "\ttcp-request session track-sc1 int(1) table t_%s\n", p->name);
	fputs("\ttcp-request session reject if all_rate\n", f);
}

static void frontend(FILE *f, const struct wv_proxy *p)
{
	bool strict = p->mode == WV_PROXY_HTTP && p->request.framing == WV_PROXY_STRICT;

	fprintf(f, "\nfrontend f_%s\n", p->name);
	fprintf(f, "\tmode %s\n", p->mode == WV_PROXY_TCP || strict ? "tcp" : "http");
	bind_line(f, p);
	fprintf(f, "\tmaxconn %llu\n\tbacklog %llu\n", (unsigned long long)p->total.connections,
		(unsigned long long)p->total.connections);
	fprintf(f, "\ttimeout client %llums\n", wv_proxy_ms(p->timeout.idle_ns));
	if (p->mode == WV_PROXY_HTTP && !strict)
		fprintf(f, "\ttimeout http-request %llums\n\ttimeout http-keep-alive %llums\n",
			wv_proxy_ms(p->timeout.header_ns), wv_proxy_ms(p->timeout.idle_ns));
	connection_rules(f, p);
	if (strict) {
		/* what was looked at is the first request of a connection; there is no second */
		fputs("\toption httpclose\n", f);
		wv_proxy_strict_rules(f, p);
	}
	fprintf(f, "\tdefault_backend b_%s\n", p->name);
}

static void server(FILE *f, const struct wv_proxy *p, size_t i)
{
	fprintf(f, "\tserver u%zu ", i + 1);
	wv_proxy_word(f, p->upstream.list[i]);
	fprintf(f,
		" check inter %llums fall 3 rise %llu observe %s error-limit %llu on-error "
		"mark-down maxconn %llu",
		wv_proxy_ms(p->breaker.probe_every_ns), (unsigned long long)p->breaker.probes,
		p->mode == WV_PROXY_HTTP ? "layer7" : "layer4",
		(unsigned long long)p->breaker.errors, (unsigned long long)p->total.upstream);
	if (p->send_proxy != WV_PROXY_SEND_NONE)
		fprintf(f, " %s check-send-proxy",
			p->send_proxy == WV_PROXY_SEND_V1 ? "send-proxy" : "send-proxy-v2");
	if (*p->upstream_tls.ca) {
		fputs(" ssl verify required ca-file ", f);
		wv_proxy_word(f, p->upstream_tls.ca);
		fputs(" verifyhost ", f);
		wv_proxy_word(f, p->upstream_tls.name);
		fprintf(f, " sni str(%s) check-sni ", p->upstream_tls.name);
		wv_proxy_word(f, p->upstream_tls.name);
		fprintf(f, " ssl-min-ver %s", tls_version(p->upstream_tls.min));
		if (*p->upstream_tls.cert) {
			fputs(" crt ", f);
			wv_proxy_word(f, p->upstream_tls.cert);
		}
	}
	fputc('\n', f);
}

static void probe(FILE *f, const struct wv_proxy *p)
{
	if (!*p->breaker.probe)
		return;
	fputs("\toption httpchk\n\thttp-check send meth GET uri ", f);
	wv_proxy_word(f, p->breaker.probe);
	fprintf(f, " ver HTTP/1.1 hdr Host %s\n",
		*p->upstream_tls.name ? p->upstream_tls.name
		: p->request.hosts.n  ? p->request.hosts.list[0]
				      : "localhost");
	fputs("\thttp-check expect status 200-399\n", f);
}

static void backend(FILE *f, const struct wv_config *c, const struct wv_proxy *p)
{
	bool http = p->mode == WV_PROXY_HTTP;

	/* only a place for the counts of all clients together */
	fprintf(f,
		"\nbackend t_%s\n\tstick-table type integer size 1 expire 1m store "
		"conn_rate(1s),http_req_rate(1s)\n",
		p->name);
	fprintf(f, "\nbackend b_%s\n\tmode %s\n\tbalance leastconn\n", p->name,
		http ? "http" : "tcp");
	fprintf(f, "\ttimeout connect %llums\n\ttimeout server %llums\n\ttimeout queue %llums\n",
		wv_proxy_ms(p->timeout.connect_ns), wv_proxy_ms(p->timeout.response_ns),
		wv_proxy_ms(p->total.queue_timeout_ns));
	/* a request is given to a server once; only one that could not be reached is left for
	 * another */
	fputs("\tretries 1\n\toption redispatch 1\n", f);
	if (http) {
		fprintf(f, "\toption %s\n",
			p->request.framing == WV_PROXY_STRICT ? "httpclose" : "http-keep-alive");
		fputs("\toption http-restrict-req-hdr-names reject\n"
		      "\thttp-error status 503 content-type text/plain string 'busy' "
		      "hdr Retry-After 1\n",
		      f);
		wv_proxy_http_rules(f, c, p);
		probe(f, p);
	}
	for (size_t i = 0; i < p->upstream.n; i++)
		server(f, p, i);
}

/* What one setting allows another one not to. */
static int contradiction(const struct wv_config *c, const struct wv_proxy *p,
			 struct wv_config_error *e)
{
	if (p->mode == WV_PROXY_TCP)
		return 0;
	if (p->request.header_bytes > c->proxy_buffer / 4)
		return wv_config_fail(e,
				      "proxy '%s': request.header_bytes is over a quarter of "
				      "proxy.buffer (%llu bytes); raise that",
				      p->name, (unsigned long long)c->proxy_buffer);
	if (wv_proxy_awaits(c, p))
		return 0;
	if (p->request.chunked)
		return wv_config_fail(
			e,
			"proxy '%s': request.chunked needs bodies that are awaited: "
			"request.body_max of at most half of proxy.buffer (%llu bytes)",
			p->name, (unsigned long long)c->proxy_buffer);
	if (p->json.on)
		return wv_config_fail(
			e,
			"proxy '%s': section json needs bodies that are awaited: "
			"request.body_max of at most half of proxy.buffer (%llu bytes)",
			p->name, (unsigned long long)c->proxy_buffer);
	return 0;
}

/* The last look: lines that HAProxy reads whole, and no byte that could begin another one. */
static int verify(const char *text, struct wv_config_error *e)
{
	size_t line = 0;

	for (const char *p = text; *p; p++) {
		line = *p == '\n' ? 0 : line + 1;
		if (line > LINE_MAX_BYTES)
			return wv_config_fail(e,
					      "proxies: a list or pattern is too long for HAProxy "
					      "(%d bytes a line)",
					      LINE_MAX_BYTES);
		if ((unsigned char)*p < ' ' && *p != '\n' && *p != '\t')
			return wv_config_fail(e, "proxies: a control character"), -EBADMSG;
	}
	return 0;
}

int wv_proxy_translate(const struct wv_config *config, const struct wv_proxy_place *place,
		       char **ret, struct wv_config_error *ret_error)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *f;
	int r;

	for (size_t i = 0; i < config->n_proxies; i++) {
		r = contradiction(config, &config->proxies[i], ret_error);
		if (r < 0)
			return r;
	}
	f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	global(f, config, place);
	for (size_t i = 0; i < config->n_proxies; i++) {
		frontend(f, &config->proxies[i]);
		backend(f, config, &config->proxies[i]);
	}
	r = ferror(f) ? -ENOMEM : 0;
	if (fclose(f) != 0 || r < 0)
		return -ENOMEM;
	r = verify(text, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 0;
}
