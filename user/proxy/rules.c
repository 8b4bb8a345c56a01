// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rules about HTTP requests. What must hold is written as one pattern that has to match, so that a
 * pattern that HAProxy gives up on (its stack is bounded) refuses the request.
 */
#include "user/proxy/rules.h"

#include <ctype.h>
#include <string.h>

/* One header line, and the two that say where a body ends. */
#define LINE "[^\\r\\n]++\\r\\n"
#define FRAMING "(?i:Content-Length|Transfer-Encoding):"

/*
 * RFC 9112, and narrower where readers differ: one line each for Host and for the body's length,
 * no Transfer-Encoding in HTTP/1.0 or beside Content-Length, no folded lines, no white space around
 * names, no bare CR or LF, no control characters, names of letters, digits and dashes only (`_`
 * and `-` are the same to CGI), targets that are a path or http://.
 */
static const char head[] =
	"^(?!(?:" LINE ")+?" FRAMING "[^\\r\\n]*+\\r\\n(?:" LINE ")*?" FRAMING ")"
	"(?!(?:" LINE ")+?(?i:Host):[^\\r\\n]*+\\r\\n(?:" LINE ")*?(?i:Host):)"
	"(?![^\\r\\n]* HTTP/1\\.0\\r\\n(?:" LINE ")*?(?i:Transfer-Encoding):)"
	"(?=(?:" LINE ")+?(?i:Host):[ \\t]*+[A-Za-z0-9.:\\[\\]-]++[ \\t]*+\\r\\n)"
	"[A-Z]{1,20}+ (?:/|https?://)[!-~]*+ HTTP/1\\.[01]\\r\\n"
	"(?:(?:(?i:Content-Length):[ \\t]*+[0-9]{1,18}+[ \\t]*+"
	"|(?i:Transfer-Encoding):[ \\t]*+(?i:chunked)[ \\t]*+"
	"|(?!" FRAMING ")[A-Za-z0-9-]++:[^\\x00-\\x08\\x0a-\\x1f\\x7f]*+)\\r\\n)++\\r\\n";

void wv_proxy_strict_rules(FILE *f, const struct wv_proxy *p)
{
	fprintf(f,
		"\ttcp-request inspect-delay %llums\n"
		/* `arrived` is undecided, and waits, until it is true; a variable is decided */
		"\tacl arrived req.payload(0,0) -m reg -- '\\r?\\n\\r?\\n'\n"
		"\tacl whole var(sess.head) -m reg -- '\\r?\\n\\r?\\n'\n"
		/* as text the bytes end at the first NUL: one in the head hides the head's end */
		"\tacl cut var(sess.head),length,sub(sess.len) -m int lt 0\n"
		"\tacl unambiguous var(sess.head) -m reg -- '%s'\n"
		"\ttcp-request content set-var(sess.len) req.len\n"
		"\ttcp-request content set-var(sess.head) req.payload(0,0)\n"
		"\ttcp-request content switch-mode http proto h1 if cut !whole\n"
		"\ttcp-request content set-var(sess.arrived) bool(true) if arrived\n"
		"\ttcp-request content set-var(sess.good) bool(true) if unambiguous\n"
		"\ttcp-request content switch-mode http proto h1 if { var(sess.arrived) -m bool "
		"}\n"
		"\ttcp-request content reject\n",
		wv_proxy_ms(p->timeout.header_ns), head);
}

static void deny(FILE *f, int status, const char *why, const char *condition)
{
	fprintf(f, "\thttp-request deny status %d content-type text/plain string '%s'%s if %s\n",
		status, why, status == 429 || status == 503 ? " hdr Retry-After 1" : "", condition);
}

/* The words of a list in quotes. */
static void words(FILE *f, const struct wv_strings *l)
{
	for (size_t i = 0; i < l->n; i++) {
		fputc(' ', f);
		wv_proxy_word(f, l->list[i]);
	}
	fputc('\n', f);
}

static void lower(FILE *f, const char *s)
{
	for (; *s; s++)
		fputc(tolower((unsigned char)*s), f);
}

static void rate_rules(FILE *f, const struct wv_proxy *p)
{
	fprintf(f, "\tacl client_requests sc_http_req_rate(0) gt %llu\n",
		(unsigned long long)p->client.requests);
	deny(f, 429, "too many requests", "client_requests");
	if (p->client.bytes) {
		fprintf(f,
			"\tacl client_bytes sc_bytes_in_rate(0) gt %llu\n"
			"\tacl client_bytes sc_bytes_out_rate(0) gt %llu\n",
			(unsigned long long)p->client.bytes * 10,
			(unsigned long long)p->client.bytes * 10);
		deny(f, 429, "too many bytes", "client_bytes");
	}
	/* counted only now, so that one client's excess is not at the others' expense */
	fprintf(f, "\thttp-request track-sc1 int(1) table t_%s\n", p->name);
	fprintf(f, "\tacl all_requests sc_http_req_rate(1) gt %llu\n",
		(unsigned long long)p->total.requests);
	deny(f, 503, "busy", "all_requests");
}

static void target_rules(FILE *f, const struct wv_proxy *p)
{
	fputs("\tacl right_method method -m str --", f);
	if (p->request.methods.n)
		words(f, &p->request.methods);
	else
		fputs(" GET HEAD POST\n", f);
	deny(f, 405, "method not allowed", "!right_method");
	fprintf(f, "\tacl long_target url,length gt %llu\n",
		(unsigned long long)p->request.uri_max);
	deny(f, 414, "target too long", "long_target");
	if (p->request.hosts.n) {
		fputs("\tacl right_host req.hdr(host),field(1,:) -m str -i --", f);
		words(f, &p->request.hosts);
		deny(f, 421, "unknown host", "!right_host");
	}
}

/* "NAME: pattern". Once at most, so that one match is the match of all. */
static void value_rule(FILE *f, const char *text, size_t i)
{
	char pattern[WV_PROXY_PATTERN_MAX + 32], condition[96];
	int len = (int)strcspn(text, ":");

	snprintf(pattern, sizeof(pattern), "^(?:%s)\\z",
		 text + len + 1 + strspn(text + len + 1, " "));
	fprintf(f, "\tacl value_%zu req.fhdr(%.*s) -m reg -- ", i, len, text);
	wv_proxy_word(f, pattern);
	fprintf(f, "\n\tacl has_%zu req.fhdr(%.*s) -m found\n", i, len, text);
	fprintf(f, "\tacl many_%zu req.fhdr_cnt(%.*s) gt 1\n", i, len, text);
	snprintf(condition, sizeof(condition), "has_%zu !value_%zu or many_%zu", i, i, i);
	deny(f, 400, "header value", condition);
}

static void header_rules(FILE *f, const struct wv_proxy *p)
{
	fprintf(f, "\tacl many_headers req.fhdr_cnt gt %llu\n",
		(unsigned long long)p->request.headers_max);
	deny(f, 431, "too many headers", "many_headers");
	fprintf(f, "\tacl big_headers req.hdrs,length gt %llu\n",
		(unsigned long long)p->request.header_bytes);
	deny(f, 431, "headers too large", "big_headers");
	/* Connection could name a header that a reader behind then drops */
	fputs("\tacl odd_connection req.hdr(connection) -m reg -i -- "
	      "'^(?!(?:close|keep-alive|upgrade|te|http2-settings)?\\z)'\n",
	      f);
	deny(f, 400, "connection option", "odd_connection");
	for (size_t i = 0; i < p->headers.deny.n; i++)
		fprintf(f, "\tacl denied_header req.fhdr(%s) -m found\n", p->headers.deny.list[i]);
	if (p->headers.deny.n)
		deny(f, 400, "header not allowed", "denied_header");
	for (size_t i = 0; i < p->headers.values.n; i++)
		value_rule(f, p->headers.values.list[i], i);
}

/* JSON ------------------------------------------------------------------------------------------
 */

/* RFC 8259, as groups that patterns call: w white space, s string, a what is no container. */
#define WS "(?<w>[ \\t\\r\\n]*+)"
#define STRING                                                                                     \
	"(?<s>(?&w)\"(?:[^\"\\\\\\x00-\\x1f]++|\\\\(?:[\"\\\\/bfnrt]|u[0-9A-Fa-f]{4}))*+\"(?&w))"
#define NUMBER "-?(?:0|[1-9][0-9]*+)(?:\\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
#define ATOM "(?<a>(?&s)|(?&w)(?:" NUMBER "|true|false|null)(?&w))"

/* A value whose containers are at most `depth` deep: each level may hold the one below. */
static void json_groups(FILE *f, unsigned depth)
{
	fputs("(?(DEFINE)" WS STRING ATOM, f);
	for (unsigned i = 1; i <= depth; i++) {
		char of[16] = "a";

		if (i > 1)
			snprintf(of, sizeof(of), "c%u", i - 1);
		fprintf(f,
			"(?<c%u>(?&a)|(?&w)(?:\\{(?:(?&s):(?&%s)(?:,(?&s):(?&%s))*+|(?&w))\\}"
			"|\\[(?:(?&%s)(?:,(?&%s))*+|(?&w))\\])(?&w))",
			i, of, of, of, of);
	}
	fputc(')', f);
}

/* One member, exactly once, with a first byte that tells its type; v is any value. */
static void json_member(FILE *f, const char *text)
{
	static const struct {
		const char *type, *first;
	} types[] = {{"string", "\""},
		     {"number", "[-0-9]"},
		     {"boolean", "[tf]"},
		     {"object", "\\{"},
		     {"array", "\\["}};
	int len = (int)strcspn(text, ":");
	const char *type = text + len, *first = "";

	type += *type == ':';
	type += strspn(type, " ");
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(type, types[i].type) == 0)
			first = types[i].first;
	fputs("'(?(DEFINE)" WS STRING ATOM
	      "(?<v>(?&a)|(?&w)(?:\\{(?:(?&s):(?&v)(?:,(?&s):(?&v))*+|(?&w))\\}"
	      "|\\[(?:(?&v)(?:,(?&v))*+|(?&w))\\])(?&w))",
	      f);
	/* n: a member of another name. A name with an escape could be any name: not accepted */
	fprintf(f, "(?<n>(?&w)(?!\"%.*s\")\"[^\"\\\\]*+\"(?&w):(?&v)))", len, text);
	fprintf(f,
		"^(?&w)\\{(?:(?&n),)*+(?&w)\"%.*s\"(?&w):(?=(?&w)%s)(?&v)(?:,(?&n))*+\\}(?&w)\\z'"
		"\n",
		len, text, first);
}

static void json_rules(FILE *f, const struct wv_proxy *p)
{
	/* as text a body ends at its first NUL: then less was looked at than is there */
	fputs("\thttp-request set-var(txn.len) req.body_len\n"
	      "\tacl body_cut req.body,length,sub(txn.len) -m int lt 0\n"
	      "\tacl json req.body -m reg -- '",
	      f);
	json_groups(f, (unsigned)p->json.depth);
	fprintf(f, "^(?&c%u)\\z'\n", (unsigned)p->json.depth);
	deny(f, 422, "no JSON, or too deep", "has_body body_cut or has_body !json");
	for (size_t i = 0; i < p->json.required.n; i++) {
		char name[40];

		fprintf(f, "\tacl member_%zu req.body -m reg -- ", i);
		json_member(f, p->json.required.list[i]);
		snprintf(name, sizeof(name), "has_body !member_%zu", i);
		deny(f, 422, "member missing", name);
	}
}

static void body_rules(FILE *f, const struct wv_config *c, const struct wv_proxy *p)
{
	unsigned long long max = p->request.body_max;

	fputs("\tacl chunked req.hdr(transfer-encoding) -m found\n"
	      "\tacl has_body req.hdr(transfer-encoding) -m found\n"
	      "\tacl has_body req.hdr_val(content-length) gt 0\n",
	      f);
	if (!p->request.chunked)
		deny(f, 411, "length required", "chunked");
	fprintf(f, "\tacl big_body req.hdr_val(content-length) gt %llu\n", max);
	deny(f, 413, "body too large", "big_body");
	for (size_t i = 0; i < p->request.content_types.n; i++) {
		fputs("\tacl right_type req.fhdr(content-type) -m reg -i -- '^", f);
		for (const char *s = p->request.content_types.list[i]; *s; s++)
			fprintf(f, *s == '.' || *s == '+' ? "\\%c" : "%c", *s);
		fputs("[ \\t]*+(?:;|\\z)'\n", f);
	}
	if (p->request.content_types.n) {
		fputs("\tacl one_type req.fhdr_cnt(content-type) eq 1\n", f);
		deny(f, 415, "content type", "has_body !right_type or has_body !one_type");
	}
	fprintf(f, "\tacl full queue(b_%s) ge %llu\n", p->name, (unsigned long long)p->total.queue);
	/* a queue of no places is full only where a server has no place either */
	fprintf(f, "\tacl taken be_conn_free(b_%s) le 0\n", p->name);
	deny(f, 503, "busy", "full taken");
	if (!wv_proxy_awaits(c, p))
		return;
	fprintf(f, "\thttp-request wait-for-body time %llums if has_body\n",
		wv_proxy_ms(p->timeout.body_ns));
	fprintf(f, "\tacl too_much req.body_size gt %llu\n", max);
	deny(f, 413, "body too large", "too_much");
	if (p->json.on)
		json_rules(f, p);
}

/* Only these reach the servers, beside what HTTP itself needs. Names are in small letters by now.
 */
static void keep_headers(FILE *f, const struct wv_strings *allow)
{
	if (!allow->n)
		return;
	fputs("\thttp-request del-header '^(?!(?:host|connection|content-length|content-type|"
	      "transfer-encoding",
	      f);
	for (size_t i = 0; i < allow->n; i++) {
		fputc('|', f);
		lower(f, allow->list[i]);
	}
	fputs(")$)' -m reg\n", f);
}

void wv_proxy_http_rules(FILE *f, const struct wv_config *c, const struct wv_proxy *p)
{
	if (p->request.framing == WV_PROXY_STRICT) {
		/* whatever keeps a connection open, a second request on it was not looked at */
		fputs("\thttp-after-response set-header Connection close\n", f);
		deny(f, 400, "ambiguous request",
		     "!{ var(sess.good) -m bool } or { var(sess.used) -m bool }");
		fputs("\thttp-request set-var(sess.used) bool(true)\n", f);
	}
	rate_rules(f, p);
	target_rules(f, p);
	header_rules(f, p);
	body_rules(f, c, p);
	keep_headers(f, &p->headers.allow);
	/* no change of protocol, and nobody's word but ours for who asks */
	fputs("\thttp-request del-header upgrade\n"
	      "\thttp-request del-header http2-settings\n"
	      "\thttp-request set-header X-Forwarded-For %[src]\n",
	      f);
}
