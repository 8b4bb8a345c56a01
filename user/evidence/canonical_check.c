// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether bytes are canonical, in one pass that allocates nothing: a log is checked at hundreds of
 * megabytes a second. Only what fails is looked at again, leniently, to tell another form of JSON
 * from no JSON.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"
#include "user/evidence/canonical_form.h"
#include "user/evidence/utf8.h"

struct scan {
	const char *p, *end;
	unsigned levels;	     /* that may still be opened */
	bool lenient;		     /* any form of RFC 8259 */
	struct wv_record_head *head; /* what is wanted of the outermost object; MAY be NULL */
};

/* Bytes that stand in a string for themselves and are whole characters. */
static const bool plain[256] = {
	[0x20 ... 0x21] = true,
	[0x23 ... 0x5b] = true,
	[0x5d ... 0x7f] = true,
};

#define BYTES(b) (0x0101010101010101ULL * (b))

/* Eight bytes at a time: 0x80 is set in each byte of what is no plain byte. A zero byte borrows
 * from the next only if it is one itself, so that "none" is always right. */
static bool all_plain(const char *p)
{
	uint64_t v, quote, backslash;

	memcpy(&v, p, sizeof(v));
	quote = v ^ BYTES('"');
	backslash = v ^ BYTES('\\');
	return !((v | (v - BYTES(0x20)) | (quote - BYTES(1)) | (backslash - BYTES(1))) &
		 BYTES(0x80));
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool scan_hex4(struct scan *s)
{
	int i;

	for (i = 0; i < 4; i++)
		if (s->p == s->end || !*s->p || !strchr("0123456789abcdefABCDEF", *s->p++))
			return false;
	return true;
}

static void skip_space(struct scan *s)
{
	while (s->lenient && s->p < s->end && *s->p && strchr(" \t\n\r", *s->p))
		s->p++;
}

/* What follows a backslash, in the only spelling that is canonical. */
static bool scan_escape(struct scan *s)
{
	char c = s->p < s->end ? *s->p++ : 0;
	unsigned v, low;

	if (c && strchr("\"\\btnfr", c))
		return true;
	if (s->lenient)
		return c == '/' || (c == 'u' && scan_hex4(s));
	/* other control characters: \u00XX in small letters */
	if (c != 'u' || s->end - s->p < 4 || memcmp(s->p, "00", 2) != 0)
		return false;
	v = (unsigned)s->p[2] - '0';
	c = s->p[3];
	low = is_digit(c)	     ? (unsigned)(c - '0')
	      : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
				     : 16;
	s->p += 4;
	if (v > 1 || low > 15)
		return false;
	v = v << 4 | low;
	return v != '\b' && v != '\t' && v != '\n' && v != '\f' && v != '\r';
}

/* A string at its opening quote; *ret_escapes MAY be NULL: whether there are any. */
static bool scan_string(struct scan *s, bool *ret_escapes)
{
	const char *p = s->p, *end = s->end;
	bool escapes = false;
	unsigned n;

	if (p == end || *p++ != '"')
		return false;
	for (;;) {
		while ((size_t)(end - p) >= sizeof(uint64_t) && all_plain(p))
			p += sizeof(uint64_t);
		while (p < end && plain[(unsigned char)*p])
			p++;
		if (p == end)
			return false;
		if (*p == '"')
			break;
		if (*p == '\\') {
			escapes = true;
			s->p = p + 1;
			if (!scan_escape(s))
				return false;
			p = s->p;
			continue;
		}
		n = wv_utf8_next(p, (size_t)(end - p), NULL);
		/* one byte: a control character */
		if (n < 2)
			return false;
		p += n;
	}
	s->p = p + 1;
	if (ret_escapes)
		*ret_escapes = escapes;
	return true;
}

/* Canonical strings only have the escapes that scan_escape() takes. */
static size_t unescape(const char *s, size_t len, char *to)
{
	static const char letters[] = "btnfr", values[] = "\b\t\n\f\r";
	const char *letter;
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (s[i] != '\\') {
			to[n++] = s[i];
			continue;
		}
		i++;
		letter = strchr(letters, s[i]);
		if (s[i] == 'u') {
			char c = s[i + 4];

			to[n++] = (char)((s[i + 3] - '0') << 4 |
					 (is_digit(c) ? c - '0' : c - 'a' + 10));
			i += 4;
		} else {
			to[n++] = letter ? values[letter - letters] : s[i];
		}
	}
	return n;
}

struct key {
	const char *text; /* between its quotes */
	size_t len;
	bool escapes;
};

static bool in_order(const struct key *a, const struct key *b)
{
	_cleanup_free_ char *x = NULL, *y = NULL;

	if (!a->escapes && !b->escapes)
		return wv_canonical_order(a->text, a->len, b->text, b->len) < 0;
	x = malloc(a->len + 1);
	y = malloc(b->len + 1);
	return x && y &&
	       wv_canonical_order(x, unescape(a->text, a->len, x), y,
				  unescape(b->text, b->len, y)) < 0;
}

/* A NUL in a name: readers in C take the name to end there, and so for another. */
static bool has_nul(const struct key *key)
{
	for (size_t i = 0; i + 5 < key->len; i++) {
		if (key->text[i] != '\\')
			continue;
		if (memcmp(key->text + i, "\\u0000", 6) == 0)
			return true;
		i++;
	}
	return false;
}

static bool scan_value(struct scan *s);

static bool at(struct scan *s, char c)
{
	skip_space(s);
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* Member of the outermost object, its value from `value` to where the scan is. */
static void note_member(const struct scan *s, const struct key *key, const char *value)
{
	struct wv_record_head *h = s->head;

	if (key->len == 3 && memcmp(key->text, "seq", 3) == 0) {
		for (h->seq = 0; value < s->p && is_digit(*value) && h->seq < UINT64_MAX / 10 - 1;)
			h->seq = h->seq * 10 + (uint64_t)(*value++ - '0');
		if (value < s->p)
			h->seq = 0;
	} else if (key->len == 4 && memcmp(key->text, "type", 4) == 0 && *value == '"') {
		h->type = value + 1;
		h->type_len = (size_t)(s->p - value - 2);
	}
}

static bool scan_object(struct scan *s)
{
	struct key last = {0}, key;
	const char *value;

	s->p++;
	if (at(s, '}'))
		return true;
	do {
		skip_space(s);
		key.text = s->p + 1;
		if (!scan_string(s, &key.escapes))
			return false;
		key.len = (size_t)(s->p - 1 - key.text);
		if (key.escapes && has_nul(&key))
			return false;
		if (last.text && !s->lenient && !in_order(&last, &key))
			return false;
		last = key;
		if (!at(s, ':'))
			return false;
		value = s->p;
		if (!scan_value(s))
			return false;
		if (s->head && s->levels == WV_JSON_LEVELS - 1)
			note_member(s, &key, value);
	} while (at(s, ','));
	return at(s, '}');
}

static bool scan_array(struct scan *s)
{
	s->p++;
	if (at(s, ']'))
		return true;
	do {
		if (!scan_value(s))
			return false;
	} while (at(s, ','));
	return at(s, ']');
}

/* What the writer would have made of the double that this is. */
static bool is_written_double(const char *text, size_t len)
{
	char copy[WV_NUMBER_SIZE], again[WV_NUMBER_SIZE], *end;
	double v;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	v = strtod(copy, &end);
	return *end == '\0' && wv_canonical_double(v, again) == (int)len &&
	       memcmp(copy, again, len) == 0;
}

static bool fits_64_bits(const char *digits, size_t n, bool negative)
{
	const char *most = negative ? "9223372036854775808" : "18446744073709551615";
	size_t len = strlen(most);

	return n < len || (n == len && memcmp(digits, most, n) <= 0);
}

static size_t scan_digits(struct scan *s)
{
	const char *start = s->p;

	while (s->p < s->end && is_digit(*s->p))
		s->p++;
	return (size_t)(s->p - start);
}

static bool scan_any_number(struct scan *s)
{
	(void)(*s->p == '-' && s->p++);
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!scan_digits(s))
		return false;
	if (s->p < s->end && *s->p == '.' && (s->p++, !scan_digits(s)))
		return false;
	if (s->p == s->end || (*s->p != 'e' && *s->p != 'E'))
		return true;
	s->p++;
	if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
		s->p++;
	return scan_digits(s) > 0;
}

static bool scan_number(struct scan *s)
{
	const char *start = s->p, *p = start, *end = s->end;
	bool negative = *p == '-';
	const char *digits = start + negative;
	size_t n;

	for (p = digits; p < end && is_digit(*p); p++)
		;
	n = (size_t)(p - digits);
	if (!n ||
	    (*digits == '0' && (n > 1 || (negative && (p == end || (*p != '.' && *p != 'e'))))))
		return false;
	s->p = p;
	if ((p == end || (*p != '.' && *p != 'e' && *p != 'E')) &&
	    fits_64_bits(digits, n, negative))
		return true;
	while (p < end && (is_digit(*p) || *p == '.' || *p == 'e' || *p == '+' || *p == '-'))
		p++;
	s->p = p;
	return is_written_double(start, (size_t)(p - start));
}

static bool scan_word(struct scan *s, const char *word, size_t len)
{
	if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
		return false;
	s->p += len;
	return true;
}

static bool scan_value(struct scan *s)
{
	bool ok;

	skip_space(s);
	if (s->p == s->end)
		return false;
	switch (*s->p) {
	case '"':
		return scan_string(s, NULL);
	case 't':
		return scan_word(s, "true", 4);
	case 'f':
		return scan_word(s, "false", 5);
	case 'n':
		return scan_word(s, "null", 4);
	case '{':
	case '[':
		if (!s->levels)
			return false;
		s->levels--;
		ok = *s->p == '{' ? scan_object(s) : scan_array(s);
		s->levels++;
		return ok;
	default:
		return s->lenient ? scan_any_number(s) : scan_number(s);
	}
}

static size_t members_of(struct json_object *o)
{
	size_t n = 0, i;

	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value)
		{
			(void)key;
			n += 1 + members_of(value);
		}
	} else if (json_object_is_type(o, json_type_array)) {
		for (i = 0; i < json_object_array_length(o); i++)
			n += members_of(json_object_array_get_idx(o, i));
	}
	return n;
}

/* Colons outside of strings: members as they are written, repeated ones too. */
static size_t colons_of(const char *text)
{
	bool in_string = false;
	size_t n = 0;

	for (; *text; text++) {
		if (in_string && *text == '\\')
			text++;
		else if (*text == '"')
			in_string = !in_string;
		else if (*text == ':' && !in_string)
			n++;
	}
	return n;
}

/* json-c keeps the last of several members of one name. */
static int has_repeated_names(const char *text, size_t len)
{
	_cleanup_free_ char *copy = strndup(text, len);
	/* one more, for json-c counts a scalar as a level */
	struct json_tokener *t = json_tokener_new_ex(WV_JSON_LEVELS + 1);
	struct json_object *o = NULL;
	int r = -ENOMEM;

	if (copy && t) {
		o = json_tokener_parse_ex(t, copy, (int)len + 1);
		r = json_tokener_get_error(t) != json_tokener_success ||
		    members_of(o) != colons_of(copy);
	}
	json_object_put(o);
	json_tokener_free(t);
	return r;
}

static bool scan_all(struct scan *s)
{
	if (!scan_value(s))
		return false;
	skip_space(s);
	return s->p == s->end;
}

int wv_canonical_record(const char *text, size_t len, struct wv_record_head *ret)
{
	struct scan s = {.p = text, .end = text + len, .levels = WV_JSON_LEVELS, .head = ret};
	int r;

	*ret = (struct wv_record_head){0};
	if (scan_all(&s))
		return 0;
	s = (struct scan){text, text + len, WV_JSON_LEVELS, true, ret};
	if (len >= INT_MAX || !scan_all(&s))
		return -EPROTO;
	r = has_repeated_names(text, len);
	return r < 0 ? r : r ? -EPROTO : -EBADMSG;
}

int wv_canonical_check(const char *text, size_t len)
{
	struct wv_record_head head;

	return wv_canonical_record(text, len, &head);
}
