// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/gate_compile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define X(id, text) _Static_assert((int)WV_GATE_##id == (int)WV_GATED_##id, "same numbers");
WV_GATE_KINDS(X)
#undef X
_Static_assert((int)WV_GATE_N == (int)WV_GATED_PRIORITY, "priority comes after the gates");

/* One entry while it is read. */
struct entry {
	const char *text;
	uint32_t bit; /* WV_GATE_ALLOW or WV_GATE_DENY */
	char *why;
	size_t why_size;
};

static int refuse(const struct entry *e, const char *what)
{
	snprintf(e->why, e->why_size, "'%.80s': %s", e->text, what);
	return -EINVAL;
}

/* Appends one element of `size` zeroed bytes; NULL: too many or no memory, see errno. */
static void *append(void *list, size_t *n, size_t size)
{
	void **at = list, *grown;

	if (*n >= WV_GATE_MAX_ENTRIES) {
		errno = E2BIG;
		return NULL;
	}
	grown = realloc(*at, (*n + 1) * size);
	if (!grown)
		return NULL;
	*at = grown;
	memset((char *)grown + *n * size, 0, size);
	return (char *)grown + (*n)++ * size;
}

/* Addresses ------------------------------------------------------------------------------------ */

static int add_address(struct wv_gate_entries *out, uint32_t bit, uint16_t family,
		       const uint8_t address[16], unsigned bits, uint16_t port)
{
	struct wv_gate_address_key key = {
		.prefix_bits = WV_GATE_ADDRESS_BITS + bits,
		.port = port,
		.family = family,
	};
	struct wv_gate_address *a;

	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;

		key.address[i] = (uint8_t)(address[i] & (0xff00 >> keep));
	}
	if (port)
		out->flags |= WV_GATE_HAS_PORTS;
	for (size_t i = 0; i < out->n_addresses; i++)
		if (memcmp(&out->addresses[i].key, &key, sizeof(key)) == 0) {
			out->addresses[i].value |= bit;
			return 0;
		}
	a = append(&out->addresses, &out->n_addresses, sizeof(*a));
	if (!a)
		return -errno;
	a->key = key;
	a->value = bit;
	return 0;
}

static int parse_number(const char *text, unsigned max, unsigned *ret)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || v > max)
		return -EINVAL;
	*ret = (unsigned)v;
	return 0;
}

static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};

/*
 * A bind to the wildcard address is one to each address: where any is denied, so is that one, of
 * the same port.
 */
static int deny_wildcards(struct wv_gate_entries *out, uint16_t family, uint16_t port)
{
	static const uint8_t any[16];
	int r = add_address(out, WV_GATE_DENY, 6, any, 128, port);

	if (r == 0 && family == 4)
		r = add_address(out, WV_GATE_DENY, 4, mapped, 128, port);
	return r;
}

/* Splits "ADDRESS", "ADDRESS/BITS", "ADDRESS/BITS:PORT", "[V6]/BITS:PORT", "*:PORT" in place. */
static int split_address(char *text, char **ret_bits, char **ret_port)
{
	char *colon = strrchr(text, ':'), *close = strchr(text, ']'), *slash;

	*ret_bits = *ret_port = NULL;
	if (text[0] == '[') {
		if (!close)
			return -EINVAL;
		colon = strchr(close, ':');
		slash = close[1] == '/' ? close + 1 : NULL;
		if (!slash && close[1] && close[1] != ':')
			return -EINVAL;
		*close = '\0';
	} else {
		if (colon && strchr(text, ':') != colon)
			colon = NULL; /* IPv6 without a port */
		slash = strchr(text, '/');
	}
	if (colon) {
		*colon = '\0';
		*ret_port = colon + 1;
	}
	if (slash) {
		*slash = '\0';
		*ret_bits = slash + 1;
	}
	return 0;
}

static int compile_address(struct wv_gate_entries *out, const struct entry *e, bool bind)
{
	static const uint8_t zero[16];
	char copy[96], *host = copy, *bits_text, *port_text;
	uint8_t address[16] = {0};
	unsigned bits, most, port = 0;
	uint16_t family;
	int r;

	if (strlen(e->text) >= sizeof(copy))
		return refuse(e, "too long for an address");
	memcpy(copy, e->text, strlen(e->text) + 1);
	if (split_address(copy, &bits_text, &port_text) < 0)
		return refuse(e, "not an address, expected CIDR, CIDR:port or [v6]/n:port");
	if (port_text && (parse_number(port_text, 65535, &port) < 0 || !port))
		return refuse(e, "the port is not a number from 1 to 65535");
	if (strcmp(host, "*") == 0 && !bits_text) {
		r = add_address(out, e->bit, 4, mapped, 96, (uint16_t)port);
		return r ?: add_address(out, e->bit, 6, zero, 0, (uint16_t)port);
	}
	if (host[0] == '[')
		host++;
	memcpy(address, mapped, sizeof(mapped));
	family = inet_pton(AF_INET, host, address + 12) == 1 ? 4 : 6;
	if (family == 6 && inet_pton(AF_INET6, host, address) != 1)
		return refuse(e, "not an address, expected CIDR, CIDR:port or [v6]/n:port");
	most = family == 4 ? 32 : 128;
	bits = most;
	if (bits_text && parse_number(bits_text, most, &bits) < 0)
		return refuse(e, "the length of the prefix is not one");
	if (family == 6 && memcmp(address, mapped, 12) == 0)
		return refuse(e, "write an IPv4 address as such");
	if (family == 4)
		bits += 96;
	r = add_address(out, e->bit, family, address, bits, (uint16_t)port);
	if (r == 0 && bind && e->bit == WV_GATE_DENY)
		r = deny_wildcards(out, family, (uint16_t)port);
	return r;
}

static bool same_bits(const void *a, const void *b, unsigned bits)
{
	const uint8_t *x = a, *y = b;
	unsigned bytes = bits / 8, rest = bits % 8;

	return memcmp(x, y, bytes) == 0 &&
	       (!rest || !((x[bytes] ^ y[bytes]) & (0xff00 >> rest) & 0xff));
}

/* The kernel finds the most specific entry only: that one says what the others say too. */
static void spread_addresses(struct wv_gate_entries *out)
{
	for (size_t i = 0; i < out->n_addresses; i++) {
		struct wv_gate_address *a = &out->addresses[i];

		for (size_t j = 0; j < out->n_addresses; j++) {
			const struct wv_gate_address *b = &out->addresses[j];

			if (b->key.family == a->key.family &&
			    (!b->key.port || b->key.port == a->key.port) &&
			    b->key.prefix_bits <= a->key.prefix_bits &&
			    same_bits(a->key.address, b->key.address,
				      b->key.prefix_bits - WV_GATE_ADDRESS_BITS))
				a->value |= b->value;
		}
	}
}

/* Texts ---------------------------------------------------------------------------------------- */

/* whole: the NUL is compared, so nothing longer matches. */
static int add_text(struct wv_gate_entries *out, uint32_t bit, const char *text, bool whole)
{
	size_t len = strlen(text) + whole;
	struct wv_gate_text_key key = {.prefix_bits = (uint32_t)(8 * (4 + len))};
	struct wv_gate_text *t;

	if (len > WV_GATE_TEXT)
		return -ENAMETOOLONG;
	memcpy(key.text, text, strlen(text));
	for (size_t i = 0; i < out->n_texts; i++)
		if (memcmp(&out->texts[i].key, &key, sizeof(key)) == 0) {
			out->texts[i].value |= bit;
			return 0;
		}
	t = append(&out->texts, &out->n_texts, sizeof(*t));
	if (!t)
		return -errno;
	t->key = key;
	t->value = bit;
	return 0;
}

static void spread_texts(struct wv_gate_entries *out)
{
	for (size_t i = 0; i < out->n_texts; i++) {
		struct wv_gate_text *a = &out->texts[i];

		for (size_t j = 0; j < out->n_texts; j++) {
			const struct wv_gate_text *b = &out->texts[j];

			if (b->key.prefix_bits <= a->key.prefix_bits &&
			    memcmp(a->key.text, b->key.text, b->key.prefix_bits / 8 - 4) == 0)
				a->value |= b->value;
		}
	}
}

static int add_program(struct wv_gate_entries *out, uint32_t bit, const char *path)
{
	struct wv_gate_program *p;

	for (size_t i = 0; i < out->n_programs; i++)
		if (strcmp(out->programs[i].path, path) == 0) {
			out->programs[i].value |= bit;
			return 0;
		}
	p = append(&out->programs, &out->n_programs, sizeof(*p));
	if (!p)
		return -errno;
	p->path = strdup(path);
	p->value = bit;
	return p->path ? 0 : -ENOMEM;
}

static bool plain_path(const char *path)
{
	size_t len = strlen(path);

	return path[0] == '/' && !strstr(path, "//") && !strstr(path, "/./") &&
	       !strstr(path, "/../") && (len < 2 || strcmp(path + len - 2, "/.") != 0) &&
	       (len < 3 || strcmp(path + len - 3, "/..") != 0);
}

static int compile_path(struct wv_gate_entries *out, const struct entry *e,
			char *(*resolve)(const char *path))
{
	_cleanup_free_ char *path = strdup(e->text), *target = NULL;
	size_t len = strlen(e->text);
	char below[PATH_MAX];
	bool tree = len >= 2 && strcmp(e->text + len - 2, "/*") == 0;
	int r;

	if (!path)
		return -ENOMEM;
	if (tree)
		path[len - 1] = '\0'; /* "/usr/lib/" */
	if (!plain_path(path))
		return refuse(e, "not an absolute path without '//', '.' and '..'");
	if (strchr(path, '*'))
		return refuse(e, "'*' is only understood as a last '/*'");
	if (!tree && path[strlen(path) - 1] == '/')
		return refuse(e, "a folder: write '/*' for all that is below it");
	r = add_text(out, e->bit, path, !tree);
	if (r == 0 && resolve)
		target = resolve(path);
	if (target && tree) {
		snprintf(below, sizeof(below), "%s%s", target, target[1] ? "/" : "");
		r = add_text(out, e->bit, below, false);
	} else if (target) {
		r = add_text(out, e->bit, target, true);
	}
	if (r == -ENAMETOOLONG)
		return refuse(e, "longer than the kernel compares (251 bytes)");
	if (r == 0 && !tree)
		r = add_program(out, e->bit, path);
	return r;
}

/* Dots are the kernel's slashes and the other way round, as sysctl(8) has it. */
static int compile_sysctl(struct wv_gate_entries *out, const struct entry *e)
{
	size_t len = strlen(e->text), first = strcspn(e->text, "./");
	bool swap = e->text[first] == '.', tree;
	char name[WV_GATE_TEXT + 1];
	int r;

	if (!len || len >= sizeof(name) || strchr("./", e->text[0]))
		return refuse(e, "not the name of a sysctl");
	for (size_t i = 0; i <= len; i++) {
		char c = e->text[i];

		name[i] = swap && c == '.' ? '/' : swap && c == '/' ? '.' : c;
	}
	tree = len >= 3 && strcmp(name + len - 2, "/*") == 0;
	if (tree)
		name[len - 1] = '\0';
	if (strchr(name, '*'))
		return refuse(e, "'*' is only understood as a last '.*'");
	r = add_text(out, e->bit, name, !tree);
	return r == -ENAMETOOLONG ? refuse(e, "not the name of a sysctl") : r;
}

/* Devices -------------------------------------------------------------------------------------- */

static int parse_device_number(const char *text, size_t len, uint32_t *ret)
{
	char copy[16];
	unsigned v;

	if (len == 1 && text[0] == '*') {
		*ret = WV_GATE_ANY;
		return 0;
	}
	if (len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (parse_number(copy, 0xfffff, &v) < 0)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int add_device(struct wv_gate_entries *out, const struct wv_gate_device_key *key,
		      uint32_t value)
{
	struct wv_gate_device *d;

	for (size_t i = 0; i < out->n_devices; i++)
		if (memcmp(&out->devices[i].key, key, sizeof(*key)) == 0) {
			out->devices[i].value |= value;
			return 0;
		}
	d = append(&out->devices, &out->n_devices, sizeof(*d));
	if (!d)
		return -errno;
	d->key = *key;
	d->value = value;
	return 0;
}

/* "c 1:3 rw", "b 8:* r", "a *:* rwm", "a" */
static int compile_device(struct wv_gate_entries *out, const struct entry *e)
{
	static const char what[] = "expected TYPE MAJOR:MINOR ACCESS as in 'c 1:3 rw'";
	const char *p = e->text, *colon, *space;
	struct wv_gate_device_key key = {.major = WV_GATE_ANY, .minor = WV_GATE_ANY};
	uint32_t access = 0, value;
	int r = 0;

	if (!strchr("abc", p[0]) || !p[0] || (p[1] && p[1] != ' ') || (!p[1] && p[0] != 'a'))
		return refuse(e, what);
	if (!p[1]) {
		access = 7;
	} else {
		colon = strchr(p, ':');
		space = colon ? strchr(colon, ' ') : NULL;
		if (!space || parse_device_number(p + 2, (size_t)(colon - p - 2), &key.major) < 0 ||
		    parse_device_number(colon + 1, (size_t)(space - colon - 1), &key.minor) < 0)
			return refuse(e, what);
		for (const char *a = space + 1; *a; a++) {
			uint32_t bit = *a == 'm' ? 1 : *a == 'r' ? 2 : *a == 'w' ? 4 : 0;

			if (!bit || (access & bit))
				return refuse(e, what);
			access |= bit;
		}
		if (!access)
			return refuse(e, what);
	}
	value = e->bit == WV_GATE_ALLOW ? access : access << 8;
	for (key.type = 1; r == 0 && key.type <= 2; key.type++)
		if (p[0] == 'a' || (p[0] == 'b') == (key.type == 1))
			r = add_device(out, &key, value);
	return r;
}

/* All ------------------------------------------------------------------------------------------ */

static int compile_entry(struct wv_gate_entries *out, const struct wv_gate *g,
			 const struct entry *e, char *(*resolve)(const char *path))
{
	if (strcmp(e->text, "*") == 0) {
		out->flags |= e->bit == WV_GATE_ALLOW ? WV_GATE_ALLOW_ALL : WV_GATE_DENY_ALL;
		return 0;
	}
	switch (g->kind) {
	case WV_GATE_EXEC:
		return compile_path(out, e, resolve);
	case WV_GATE_CONNECT:
	case WV_GATE_BIND:
		return compile_address(out, e, g->kind == WV_GATE_BIND);
	case WV_GATE_DEVICE:
		return compile_device(out, e);
	case WV_GATE_SYSCTL:
		return compile_sysctl(out, e);
	default:
		return refuse(e, "this kind of gate knows '*' only");
	}
}

static int digest(const struct wv_gate *g, struct wv_gate_entries *e)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint32_t head[2] = {(uint32_t)g->kind, e->flags & ~(uint32_t)WV_GATE_ENFORCE};
	int r = -ENOMEM;

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		goto out;
	EVP_DigestUpdate(md, head, sizeof(head));
	EVP_DigestUpdate(md, e->addresses, e->n_addresses * sizeof(*e->addresses));
	EVP_DigestUpdate(md, e->texts, e->n_texts * sizeof(*e->texts));
	EVP_DigestUpdate(md, e->devices, e->n_devices * sizeof(*e->devices));
	if (EVP_DigestFinal_ex(md, e->digest, NULL))
		r = 0;
out:
	EVP_MD_CTX_free(md);
	return r;
}

int wv_gate_compile(const struct wv_gate *g, char *(*resolve)(const char *path),
		    struct wv_gate_entries *ret, char *why, size_t size)
{
	struct wv_gate_entries out = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->allow.n + g->deny.n; i++) {
		bool allow = i < g->allow.n;
		struct entry e = {
			.text = allow ? g->allow.list[i] : g->deny.list[i - g->allow.n],
			.bit = allow ? WV_GATE_ALLOW : WV_GATE_DENY,
			.why = why,
			.why_size = size,
		};

		out.flags |= allow ? WV_GATE_HAS_ALLOW : WV_GATE_HAS_DENY;
		r = compile_entry(&out, g, &e, resolve);
	}
	if (r == -E2BIG)
		snprintf(why, size, "more than %d entries", WV_GATE_MAX_ENTRIES);
	else if (r == -ENOMEM)
		snprintf(why, size, "out of memory");
	if (r == 0 && g->enforce)
		out.flags |= WV_GATE_ENFORCE;
	if (r == 0) {
		spread_addresses(&out);
		spread_texts(&out);
		r = digest(g, &out);
	}
	if (r < 0) {
		wv_gate_entries_done(&out);
		return r;
	}
	*ret = out;
	return 0;
}

void wv_gate_entries_done(struct wv_gate_entries *e)
{
	for (size_t i = 0; i < e->n_programs; i++)
		free(e->programs[i].path);
	free(e->programs);
	free(e->addresses);
	free(e->texts);
	free(e->devices);
	*e = (struct wv_gate_entries){0};
}
