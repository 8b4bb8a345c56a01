// SPDX-License-Identifier: GPL-2.0-only
/* What looks like a secret, a person or an address. Each finder errs on a side that is told in
 * docs/evidence-packs.md. */
#include <arpa/inet.h>
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/redact.h"

/* A text shorter than this is never taken for a random one. */
#define RANDOM_MIN 32
/* One part of it between dashes must be as long as this, longer than a time (20261124T225959Z)
 */
#define RANDOM_PART 17
/* Bits a character: 32 characters of random base64 have about 4.5, words of a language under 4 */
#define RANDOM_BITS 4.2

static const char lower[] = "abcdefghijklmnopqrstuvwxyz", upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
		  digit[] = "0123456789";

static bool in(const char *set, char c)
{
	return c && strchr(set, c);
}

static bool is_word(char c)
{
	return in(lower, c) || in(upper, c) || in(digit, c) || c == '_' || c == '-';
}

/* Tokens whose makers gave them a shape: prefix, least length of what follows, what may follow. */
static const struct {
	const char *prefix;
	size_t min;
	bool upper_only; /* upper-case letters and digits */
} shapes[] = {
	{"AKIA", 16, true},
	{"ASIA", 16, true},
	{"ghp_", 20, false},
	{"gho_", 20, false},
	{"ghu_", 20, false},
	{"ghs_", 20, false},
	{"ghr_", 20, false},
	{"glpat-", 16, false},
	{"github_pat_", 20, false},
	{"xoxb-", 10, false},
	{"xoxp-", 10, false},
	{"xoxa-", 10, false},
	{"xapp-", 10, false},
	{"sk_live_", 16, false},
	{"rk_live_", 16, false},
	{"sk-", 20, false},
	{"npm_", 20, false},
	{"pypi-", 20, false},
	{"AIza", 30, false},
	{"ya29.", 20, false},
	{"hvs.", 20, false},
	{"dop_v1_", 20, false},
	{"AGE-SECRET-KEY-1", 20, false},
	{"wvt_", 20, false}, /* of our own API */
};

static size_t shape_at(const char *p, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		size_t n = strlen(shapes[i].prefix), end = n;

		if (len < n + shapes[i].min || strncmp(p, shapes[i].prefix, n) != 0)
			continue;
		while (end < len && (shapes[i].upper_only ? in(upper, p[end]) || in(digit, p[end])
							  : is_word(p[end]) || p[end] == '.'))
			end++;
		if (end - n >= shapes[i].min)
			return end;
	}
	return 0;
}

/* JWT (RFC 7519): two or three parts of base64url, the first of which is {"... */
static size_t jwt_at(const char *p, size_t len)
{
	size_t end = 0, dots = 0;

	if (len < 20 || strncmp(p, "eyJ", 3) != 0)
		return 0;
	for (; end < len && (is_word(p[end]) || p[end] == '.' || p[end] == '='); end++)
		dots += p[end] == '.';
	return dots ? end : 0;
}

static double entropy(const char *p, size_t len)
{
	size_t counts[256] = {0};
	double bits = 0;

	for (size_t i = 0; i < len; i++)
		counts[(unsigned char)p[i]]++;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (counts[i]) {
			double share = (double)counts[i] / (double)len;

			bits -= share * log2(share);
		}
	return bits;
}

/* A long run of base64 that has capitals, small letters and digits, and looks random: not a digest
 * in hex, not a path. */
static size_t random_at(const char *p, size_t len)
{
	size_t end = 0, slashes = 0, part = 0, longest = 0;
	bool has[3] = {false};

	for (; end < len && (is_word(p[end]) || in("+/=", p[end])); end++) {
		has[0] |= in(lower, p[end]);
		has[1] |= in(upper, p[end]);
		has[2] |= in(digit, p[end]);
		slashes += p[end] == '/';
		part = p[end] == '-' || p[end] == '_' ? 0 : part + 1;
		longest = part > longest ? part : longest;
	}
	/* names are words and times with dashes between them */
	if (end < RANDOM_MIN || longest < RANDOM_PART || !has[0] || !has[1] || !has[2] ||
	    p[0] == '/' || slashes > 4)
		return 0;
	return entropy(p, end) >= RANDOM_BITS ? end : 0;
}

size_t wv_find_secret(const char *token, size_t len, size_t *ret_at)
{
	for (size_t i = 0; i + 12 < len; i++) {
		size_t n;

		/* only at the start of a word */
		if (i && is_word(token[i - 1]))
			continue;
		n = shape_at(token + i, len - i);
		n = n ?: jwt_at(token + i, len - i);
		if (!n && (!i || token[i - 1] != '/')) /* the parts of a path are long names */
			n = random_at(token + i, len - i);
		if (n) {
			*ret_at = i;
			return n;
		}
	}
	return 0;
}

/* RFC 3986, 3.2.1: what stands between :// and the last @ before the path. */
size_t wv_find_userinfo(const char *token, size_t len, size_t *ret_at)
{
	const char *colon = memmem(token, len, "://", 3), *at = NULL;

	if (!colon)
		return 0;
	for (const char *p = colon + 3; p < token + len && !in("/?#", *p); p++)
		if (*p == '@')
			at = p;
	if (!at || at == colon + 3)
		return 0;
	*ret_at = (size_t)(colon + 3 - token);
	return (size_t)(at - (colon + 3));
}

static bool is_local(char c)
{
	return is_word(c) || in(".+%", c);
}

size_t wv_find_email(const char *token, size_t len, size_t *ret_at)
{
	for (size_t i = 1; i + 3 < len; i++) {
		size_t from = i, to = i + 1, dot = 0;

		if (token[i] != '@')
			continue;
		while (from && is_local(token[from - 1]))
			from--;
		for (; to < len && (is_word(token[to]) || token[to] == '.'); to++)
			if (token[to] == '.' && to > i + 1)
				dot = to;
		while (to > i && token[to - 1] == '.')
			to--;
		/* systemd's template units look alike: getty@tty1.service */
		if (from == i || !dot || dot + 2 >= to ||
		    (to - dot == 8 && !strncmp(token + dot, ".service", 8)) ||
		    (to - dot == 6 && !strncmp(token + dot, ".slice", 6)) ||
		    (to - dot == 6 && !strncmp(token + dot, ".scope", 6)))
			continue;
		*ret_at = from;
		return to - from;
	}
	return 0;
}

static bool is_loopback(const char *text)
{
	return strncmp(text, "127.", 4) == 0 || strcmp(text, "0.0.0.0") == 0 ||
	       strcmp(text, "::1") == 0 || strcmp(text, "::") == 0;
}

static bool is_mac(const char *p, size_t n)
{
	if (n != 17)
		return false;
	for (size_t i = 0; i < n; i++)
		if (i % 3 == 2 ? p[i] != ':' : !isxdigit((unsigned char)p[i]))
			return false;
	return true;
}

static bool is_ip(const char *p, size_t n)
{
	unsigned char bytes[16];
	char text[48];

	if (n < 3 || n >= sizeof(text))
		return false;
	memcpy(text, p, n);
	text[n] = '\0';
	if (is_loopback(text))
		return false;
	if (inet_pton(AF_INET, text, bytes) == 1)
		return true;
	return inet_pton(AF_INET6, text, bytes) == 1;
}

static bool is_address(char c)
{
	return c && (isxdigit((unsigned char)c) || c == '.' || c == ':');
}

/* 10.1.2.3, 10.1.2.3:80, fe80::1, 02:42:ac:11:00:02 */
size_t wv_find_address(const char *token, size_t len, size_t *ret_at)
{
	for (size_t i = 0; i < len;) {
		size_t n = 0, ip;

		while (i + n < len && is_address(token[i + n]))
			n++;
		if (n && (!i || !is_word(token[i - 1])) &&
		    (i + n == len || !is_word(token[i + n]))) {
			while (n && in(".:", token[i + n - 1]) &&
			       (n < 2 || token[i + n - 2] != ':'))
				n--;
			/* the port is not the address */
			for (ip = n; ip && token[i + ip - 1] != ':'; ip--)
				;
			if (is_mac(token + i, n) || is_ip(token + i, n)) {
				*ret_at = i;
				return n;
			}
			if (ip > 1 && is_ip(token + i, ip - 1)) {
				*ret_at = i;
				return ip - 1;
			}
		}
		i += n + 1;
	}
	return 0;
}

size_t wv_find_home(const char *token, size_t len, size_t *ret_at)
{
	static const char *const homes[] = {"/home/", "/root/", "/var/home/", "/Users/"};

	for (size_t i = 0; i < ARRAY_SIZE(homes); i++) {
		const char *p = memmem(token, len, homes[i], strlen(homes[i]));
		size_t n;

		if (!p || (p > token && is_word(p[-1])))
			continue;
		n = len - (size_t)(p - token);
		while (n && in(".,:", p[n - 1]))
			n--;
		if (n > strlen(homes[i])) {
			*ret_at = (size_t)(p - token);
			return n;
		}
	}
	return 0;
}

bool wv_names_credential(const char *name, size_t len)
{
	static const char *const words[] = {
		"passw",     "passphrase", "secret",	  "token",	"apikey",	 "api_key",
		"accesskey", "access_key", "private_key", "credential", "authorization", "cookie",
		"_pwd",	     "pgpass",	   "auth_key",	  "sessionid"};
	/* a name of a file that has it is none */
	static const char *const ends[] = {"_file", "_path",  "file", "_dir",
					   "_name", "_count", "_ns",  "s_total"};
	char text[64];
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < sizeof(text); i++)
		text[n++] = name[i] == '-' || name[i] == '.'
				    ? '_'
				    : (char)tolower((unsigned char)name[i]);
	text[n] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (n > strlen(ends[i]) && strcmp(text + n - strlen(ends[i]), ends[i]) == 0)
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(text, words[i]))
			return true;
	return strcmp(text, "pwd") == 0 || strcmp(text, "pass") == 0 || strcmp(text, "__pass") == 0;
}

int wv_class_by_name(const char *name)
{
	static const struct {
		const char *name;
		enum wv_data_class class;
	} names[] = {
		{"argv", WV_CLASS_ARGV},       {"args", WV_CLASS_ARGV},
		{"cmdline", WV_CLASS_ARGV},    {"command", WV_CLASS_ARGV},
		{"env", WV_CLASS_ENVIRONMENT}, {"environment", WV_CLASS_ENVIRONMENT},
		{"user", WV_CLASS_PERSONAL},   {"login", WV_CLASS_PERSONAL},
		{"email", WV_CLASS_PERSONAL},  {"owner", WV_CLASS_PERSONAL},
		{"hostname", WV_CLASS_HOST},   {"mac", WV_CLASS_ADDRESS},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i].name) == 0)
			return names[i].class;
	return -1;
}
