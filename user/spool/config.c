// SPDX-License-Identifier: GPL-2.0-only
/* Spools of the configuration: what the rows of lists.def cannot say, with file, line and column.
 */
#include "user/spool/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "user/core/fields.h"
#include "user/spool/encode.h"
#include "user/spool/frame.h"
#include "user/spool/spool.h"
#include "user/spool/syslog.h"

static bool is_name(const char *s)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	return *s && s[strspn(s, letters)] == '\0' && *s != '-';
}

static int check_name(const struct wv_yaml *y, const yaml_node_t *node, const char *name)
{
	if (is_name(name))
		return 0;
	return wv_yaml_error(y, wv_fields_node(y, node, "", "name") ?: node,
			     "name: expected letters, digits, - and _; got '%.31s'", name);
}

/* The check callbacks get no context of their own; a file is read by one thread. */
static const struct wv_config *parsed;

static int check_spool_name(const struct wv_yaml *y, const yaml_node_t *node, const char *spool)
{
	const char *names[33] = {NULL}, *near;

	for (size_t i = 0; i < parsed->n_spools; i++) {
		if (strcmp(parsed->spools[i].name, spool) == 0)
			return 0;
		if (i < 32)
			names[i] = parsed->spools[i].name;
	}
	near = wv_suggest(spool, names);
	return wv_yaml_error(y, wv_fields_node(y, node, "", "spool") ?: node,
			     "spool: there is no spool '%.31s'%s%s%s", spool,
			     near ? "; did you mean '" : "", near ?: "", near ? "'?" : "");
}

static int check_spool(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_spool_config *s = item;
	int r = check_name(y, node, s->name);

	if (r == 0 && s->segment_bytes > s->buffer_bytes / 4)
		return wv_yaml_error(
			y, wv_fields_node(y, node, "", "segment") ?: node,
			"segment: expected a quarter of buffer at most, as space comes "
			"back by whole segments");
	if (r == 0 && *s->dir && *s->dir != '/')
		return wv_yaml_error(y, wv_fields_node(y, node, "", "dir"),
				     "dir: expected an absolute path");
	return r;
}

int wv_spool_split_address(const char *address, char *host, unsigned host_size, char port[8])
{
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;

	if (!colon || !colon[1] || strlen(colon + 1) >= 6 ||
	    colon[1 + strspn(colon + 1, "0123456789")])
		return -EINVAL;
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	} else if (memchr(address, ':', len)) {
		return -EINVAL;
	}
	if (!len || len >= host_size)
		return -EINVAL;
	memcpy(host, address, len);
	host[len] = '\0';
	memcpy(port, colon + 1, strlen(colon + 1) + 1);
	return 0;
}

static bool is_loopback(const char *listen)
{
	struct in6_addr six;
	struct in_addr four;
	char host[64], port[8];

	if (wv_spool_split_address(listen, host, sizeof(host), port) < 0)
		return false;
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* A key that this type needs, or whose promise it cannot keep. Others are just not looked at. */
static int check_key(const struct wv_yaml *y, const yaml_node_t *node, const char *key, bool needed,
		     bool allowed, const char *type)
{
	const yaml_node_t *at = wv_fields_node(y, node, "", key);

	if (needed && !at)
		return wv_yaml_error(y, node, "%s is missing; type %s needs it", key, type);
	if (at && !allowed)
		return wv_yaml_error(y, at, "%s: type %s cannot do it", key, type);
	return 0;
}

static int check_input(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	static const char *const types[] = {"stdin", "unix-dgram", "unix-stream",
					    "udp",   "tcp",	   "file"};
	struct wv_spool_input_config *in = item;
	bool net = in->type == WV_INPUT_UDP || in->type == WV_INPUT_TCP;
	bool local = in->type == WV_INPUT_UNIX_DGRAM || in->type == WV_INPUT_UNIX_STREAM;
	bool stream = in->type == WV_INPUT_TCP || in->type == WV_INPUT_UNIX_STREAM;
	bool path = local || in->type == WV_INPUT_FILE;
	const char *type = types[in->type];
	int r = check_name(y, node, in->name);

	if (r == 0)
		r = check_spool_name(y, node, in->spool);
	if (r == 0)
		r = check_key(y, node, "path", path, true, type);
	if (r == 0)
		r = check_key(y, node, "listen", net, true, type);
	if (r == 0)
		r = check_key(y, node, "ack", false, stream, type);
	if (r == 0)
		r = check_key(y, node, "public", false, local, type);
	if (r == 0)
		r = check_key(y, node, "framing", false, stream, type);
	if (r < 0)
		return r;
	if (net && !is_loopback(in->listen))
		return wv_yaml_error(y, wv_fields_node(y, node, "", "listen"),
				     "listen: expected a loopback address and a port, such as "
				     "127.0.0.1:5514, as nothing guards this input; got '%.60s'",
				     in->listen);
	if (local && strlen(in->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return wv_yaml_error(y, wv_fields_node(y, node, "", "path"),
				     "path: longer than the 107 bytes that a socket's may have");
	if (in->framing == WV_FRAMING_AUTO && in->format == WV_RECORD_RAW)
		in->framing = WV_FRAMING_NEWLINE; /* text may start with a digit */
	return 0;
}

static int check_output(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	static const char *const types[] = {"file", "syslog-tls", "http"};
	static const enum wv_spool_format natural[] = {WV_FORMAT_JSON, WV_FORMAT_SYSLOG,
						       WV_FORMAT_JSON};
	struct wv_spool_output_config *o = item;
	bool file = o->type == WV_OUTPUT_FILE, tls = o->type == WV_OUTPUT_SYSLOG_TLS;
	bool http = o->type == WV_OUTPUT_HTTP, right;
	const char *type = types[o->type];
	char host[256], port[8];
	int r = check_name(y, node, o->name);

	if (r == 0)
		r = check_spool_name(y, node, o->spool);
	if (r == 0)
		r = check_key(y, node, "path", file, true, type);
	if (r == 0)
		r = check_key(y, node, "url", http, true, type);
	if (r == 0)
		r = check_key(y, node, "address", tls, true, type);
	if (r == 0)
		r = check_key(y, node, "cert", *o->key, true, type);
	if (r == 0)
		r = check_key(y, node, "key", *o->cert, true, type);
	if (r < 0)
		return r;
	if (http && strncmp(o->url, "http://", 7) != 0 && strncmp(o->url, "https://", 8) != 0)
		return wv_yaml_error(y, wv_fields_node(y, node, "", "url"),
				     "url: expected http:// or https://");
	if (tls && wv_spool_split_address(o->address, host, sizeof(host), port) < 0)
		return wv_yaml_error(y, wv_fields_node(y, node, "", "address"),
				     "address: expected host:port, such as logs.example.org:6514");
	if (o->format == WV_FORMAT_AUTO)
		o->format = (int)natural[o->type];
	right = tls    ? o->format == WV_FORMAT_SYSLOG
		: http ? o->format == WV_FORMAT_JSON || o->format == WV_FORMAT_OTLP
		       : o->format == WV_FORMAT_JSON || o->format == WV_FORMAT_RAW;
	if (!right)
		return wv_yaml_error(y, wv_fields_node(y, node, "", "format"),
				     "format: type %s cannot send it", type);
	if (o->retry_min_ns > o->retry_max_ns && !wv_fields_node(y, node, "", "retry_min"))
		o->retry_min_ns = o->retry_max_ns;
	if (o->retry_min_ns > o->retry_max_ns)
		return wv_yaml_error(y, wv_fields_node(y, node, "", "retry_min") ?: node,
				     "retry_min: longer than retry_max");
	return 0;
}

static int parse(struct wv_config *c, const struct wv_yaml *y, const yaml_node_t *node,
		 const struct wv_list_parse *how, void **ret, size_t *ret_n)
{
	int r;

	parsed = c;
	r = wv_list_parse(y, node, how, ret, ret_n);
	parsed = NULL;
	return r;
}

/* At most so many of a spool's. */
#define CHECK_COUNT(c, y, node, items, n, max, what)                                               \
	for (size_t s = 0; s < (c)->n_spools; s++) {                                               \
		size_t of_it = 0;                                                                  \
                                                                                                   \
		for (size_t i = 0; i < (n); i++)                                                   \
			of_it += strcmp((items)[i].spool, (c)->spools[s].name) == 0;               \
		if (of_it > (max))                                                                 \
			return wv_yaml_error((y), (node), "spool '%s' has more than %d " what,     \
					     (c)->spools[s].name, (max));                          \
	}

int wv_spools_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	static const struct wv_spool_config blank;
	static const struct wv_list_parse how = {
		.list = "spools",
		.size = sizeof(struct wv_spool_config),
		.name_offset = offsetof(struct wv_spool_config, name),
		.blank = &blank,
		.check = check_spool,
	};
	void *items;
	int r = parse(c, y, node, &how, &items, &c->n_spools);

	if (r == 0)
		c->spools = items;
	return r;
}

int wv_spool_inputs_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	static const struct wv_spool_input_config blank;
	static const struct wv_list_parse how = {
		.list = "spool_inputs",
		.size = sizeof(struct wv_spool_input_config),
		.name_offset = offsetof(struct wv_spool_input_config, name),
		.blank = &blank,
		.check = check_input,
	};
	void *items;
	int r = parse(c, y, node, &how, &items, &c->n_spool_inputs);

	if (r < 0)
		return r;
	c->spool_inputs = items;
	CHECK_COUNT(c, y, node, c->spool_inputs, c->n_spool_inputs, WV_SPOOL_INPUTS_MAX, "inputs");
	return 0;
}

int wv_spool_outputs_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	static const struct wv_spool_output_config blank;
	static const struct wv_list_parse how = {
		.list = "spool_outputs",
		.size = sizeof(struct wv_spool_output_config),
		.name_offset = offsetof(struct wv_spool_output_config, name),
		.blank = &blank,
		.check = check_output,
	};
	void *items;
	int r = parse(c, y, node, &how, &items, &c->n_spool_outputs);

	if (r < 0)
		return r;
	c->spool_outputs = items;
	CHECK_COUNT(c, y, node, c->spool_outputs, c->n_spool_outputs, WV_SPOOL_OUTPUTS_MAX,
		    "outputs");
	return 0;
}

bool wv_spool_wanted(const struct wv_config *c)
{
	return c->n_spools > 0;
}
