// SPDX-License-Identifier: GPL-2.0-only
/* Values as they are written in the configuration: one row a type, exact or refused. Pure. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/share.h"
#include "user/secret/reference.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{"ns", 1},	    {"us", 1000},	  {"ms", 1000000},	 {"s", 1000000000},
	{"m", 60000000000}, {"h", 3600000000000}, {"d", 86400000000000}, {0},
};

static const struct unit byte_units[] = {
	{"", 1},
	{"B", 1},
	{"K", 1ULL << 10},
	{"k", 1ULL << 10},
	{"Ki", 1ULL << 10},
	{"KiB", 1ULL << 10},
	{"M", 1ULL << 20},
	{"Mi", 1ULL << 20},
	{"MiB", 1ULL << 20},
	{"G", 1ULL << 30},
	{"Gi", 1ULL << 30},
	{"GiB", 1ULL << 30},
	{"T", 1ULL << 40},
	{"Ti", 1ULL << 40},
	{"TiB", 1ULL << 40},
	{0},
};

/* millionths of a CPU */
static const struct unit cpu_units[] = {{"%", 10000}, {"cpu", 1000000}, {"cpus", 1000000}, {0}};

static const struct unit percent_units[] = {{"%", 10}, {0}}; /* permille */

/* millionths */
static const struct unit share_units[] = {{"% of parent", 10000}, {0}};

/* as in tc(8): powers of 1000, any case */
static const struct unit bit_units[] = {
	{"bit", 1},	      {"kbit", 1000},	       {"mbit", 1000000},
	{"gbit", 1000000000}, {"tbit", 1000000000000}, {0},
};

/* Digits without sign, blanks or leading zeros (which some YAML readers take for octal). */
static int digits(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;

	if (!isdigit((unsigned char)*p) || (p[0] == '0' && isdigit((unsigned char)p[1])))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(v, 10ULL, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	*s = p;
	*ret = v;
	return 0;
}

/* "1.5G": the fraction must come out whole in the base unit. */
static int scaled(const char *s, const struct unit *units, bool any_case, uint64_t *ret)
{
	uint64_t whole, part = 0, power = 1, v;
	int r = digits(&s, &whole);

	if (r < 0)
		return r;
	if (*s == '.') {
		const char *start = ++s;

		for (; isdigit((unsigned char)*s) && s - start < 9; s++, power *= 10)
			part = part * 10 + (uint64_t)(*s - '0');
		if (s == start)
			return -EINVAL;
	}
	for (; units->name; units++)
		if (strcmp(units->name, s) == 0 || (any_case && strcasecmp(units->name, s) == 0))
			break;
	if (!units->name)
		return -EINVAL;
	if (__builtin_mul_overflow(part, units->factor, &part) || part % power)
		return -EINVAL;
	if (__builtin_mul_overflow(whole, units->factor, &v) ||
	    __builtin_add_overflow(v, part / power, &v))
		return -ERANGE;
	*ret = v;
	return 0;
}

int wv_parse_uint(const char *s, uint64_t *ret)
{
	uint64_t v;
	int r = digits(&s, &v);

	if (r < 0)
		return r;
	if (*s)
		return -EINVAL;
	*ret = v;
	return 0;
}

int wv_parse_duration(const char *s, uint64_t *ret_ns)
{
	return scaled(s, duration_units, false, ret_ns);
}

int wv_parse_duration_us(const char *s, uint64_t *ret_us)
{
	uint64_t ns;
	int r = wv_parse_duration(s, &ns);

	if (r < 0)
		return r;
	if (ns % 1000)
		return -EINVAL;
	*ret_us = ns / 1000;
	return 0;
}

int wv_parse_bytes(const char *s, uint64_t *ret_bytes)
{
	return scaled(s, byte_units, false, ret_bytes);
}

int wv_parse_cpus(const char *s, uint64_t *ret_ppm)
{
	return scaled(s, cpu_units, false, ret_ppm);
}

int wv_parse_bitrate(const char *s, uint64_t *ret_bps)
{
	return scaled(s, bit_units, true, ret_bps);
}

int wv_parse_percent(const char *s, uint64_t *ret_permille)
{
	return scaled(s, percent_units, false, ret_permille);
}

int wv_parse_bool(const char *s, bool *ret)
{
	static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no",
									       "off"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcasecmp(s, yes[i]) != 0 && strcasecmp(s, no[i]) != 0)
			continue;
		*ret = strcasecmp(s, yes[i]) == 0;
		return 0;
	}
	return -EINVAL;
}

int wv_parse_share(const char *s, uint64_t *ret)
{
	uint64_t ppm;
	int r = scaled(s, share_units, false, &ppm);

	if (r < 0)
		return r;
	if (!ppm || ppm > WV_SHARE_WHOLE)
		return -ERANGE;
	*ret = WV_SHARE_FLAG | ppm;
	return 0;
}

static int parse_cpus_share(const char *s, uint64_t *ret)
{
	return wv_parse_share(s, ret) < 0 ? wv_parse_cpus(s, ret) : 0;
}

static int parse_bytes_share(const char *s, uint64_t *ret)
{
	return wv_parse_share(s, ret) < 0 ? wv_parse_bytes(s, ret) : 0;
}

static int parse_uint_share(const char *s, uint64_t *ret)
{
	return wv_parse_share(s, ret) < 0 ? wv_parse_uint(s, ret) : 0;
}

static int parse_pow2(const char *s, uint64_t *ret)
{
	uint64_t v;
	int r = wv_parse_bytes(s, &v);

	if (r < 0)
		return r;
	if (!v || v & (v - 1))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int parse_bool_number(const char *s, uint64_t *ret)
{
	bool b;
	int r = wv_parse_bool(s, &b);

	if (r == 0)
		*ret = b;
	return r;
}

#define NUMBER "[0-9]+(\\.[0-9]+)?"
#define SIZE "^" NUMBER "([kKMGT]|[KMGT]iB?|B)?$"
#define PERIOD "^" NUMBER "(ns|us|ms|s|m|h|d)$"

static const struct {
	const char *name;     /* in help and tables */
	const char *expected; /* in messages */
	const char *pattern;
	int (*parse)(const char *s, uint64_t *ret);
} types[] = {
	[WV_BOOL] = {"true, false", "true or false", NULL, parse_bool_number},
	[WV_UINT] = {"number", "a whole number", NULL, wv_parse_uint},
	[WV_DURATION] = {"duration", "a duration (ms, s, m, h)", PERIOD, wv_parse_duration},
	[WV_DURATION_US] = {"duration", "a duration (us, ms, s)", PERIOD, wv_parse_duration_us},
	[WV_BYTES] = {"size", "a size (bytes, or K, M, G, T in powers of 1024)", SIZE,
		      wv_parse_bytes},
	[WV_POW2] = {"size, power of two", "a size (bytes, or K, M, G) that is a power of two",
		     SIZE, parse_pow2},
	[WV_CPUS] = {"share of a CPU", "a share of CPU time (% of one CPU, or cpu)",
		     "^" NUMBER "(%|cpus?)$", wv_parse_cpus},
	[WV_BITRATE] = {"bit rate", "a rate (bit, kbit, mbit, gbit a second)",
			"^" NUMBER "[kKmMgGtT]?[bB][iI][tT]$", wv_parse_bitrate},
	[WV_PERCENT] = {"share", "a share in percent", "^" NUMBER "%$", wv_parse_percent},
	[WV_CPUS_SHARE] = {"share of a CPU", "a share of CPU time (% of one CPU, or cpu)",
			   "^" NUMBER "(%|cpus?|% of parent)$", parse_cpus_share},
	[WV_BYTES_SHARE] = {"size", "a size (bytes, or K, M, G, T in powers of 1024)",
			    "^" NUMBER "([kKMGT]|[KMGT]iB?|B|% of parent)?$", parse_bytes_share},
	[WV_UINT_SHARE] = {"number", "a whole number", "^([0-9]+|" NUMBER "% of parent)$",
			   parse_uint_share},
	[WV_INT] = {"number", "a whole number", NULL, NULL},
	[WV_STRINGS] = {"list of texts", "a list of texts", NULL, NULL},
	[WV_STRING] = {"text", "text", NULL, NULL},
	[WV_SECRET] = {"reference to a secret", "a reference to a secret",
		       "^((env|file|credential|vault|aws|gcp):.+)?$", NULL},
	[WV_CHOICE] = {"choice", "", NULL, NULL},
	[WV_LEVEL] = {"level", "", "^" NUMBER "([a-zA-Z%]*)$", NULL},
	[WV_SIGNAL_NAME] = {"signal", "", NULL, NULL},
	[WV_CGROUP] = {"cgroup path", "the path of a cgroup below the hierarchy's root", "^/",
		       NULL},
	[WV_PATTERN] = {"cgroup pattern",
			"the path of a cgroup below the hierarchy's root, or a pattern of it", "^/",
			NULL},
	[WV_PATH] = {"path", "an absolute path", "^/", NULL},
	[WV_DEVICE] = {"device", "a block device, such as /dev/vda or 8:0",
		       "^(/dev/.+|[0-9]+:[0-9]+)$", NULL},
};

const char *wv_value_pattern(enum wv_setting_type type)
{
	return types[type].pattern;
}

bool wv_value_takes_share(enum wv_setting_type type)
{
	return type == WV_CPUS_SHARE || type == WV_BYTES_SHARE || type == WV_UINT_SHARE;
}

const char *wv_value_name(enum wv_setting_type type)
{
	return types[type].name;
}

size_t wv_choices(const char *list, char *buf, size_t size, const char **words, size_t max)
{
	size_t n = 0;
	char *save = NULL;

	snprintf(buf, size, "%s", list);
	for (char *w = strtok_r(buf, "|", &save); w && n + 1 < max; w = strtok_r(NULL, "|", &save))
		words[n++] = w;
	words[n] = NULL;
	return n;
}

static int parse_choice(const char *list, const char *text, uint64_t *ret,
			char expected[WV_EXPECTED_SIZE])
{
	char buf[128];
	const char *words[16], *near;
	size_t n = wv_choices(list, buf, sizeof(buf), words, ARRAY_SIZE(words));
	int len = snprintf(expected, WV_EXPECTED_SIZE, "expected one of");

	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i], text) == 0) {
			*ret = i;
			return 0;
		}
		len += snprintf(expected + len, (size_t)(WV_EXPECTED_SIZE - len), "%s %s",
				i ? "," : "", words[i]);
		if (len >= WV_EXPECTED_SIZE)
			return -EINVAL;
	}
	near = wv_suggest(text, words);
	if (near)
		snprintf(expected + len, (size_t)(WV_EXPECTED_SIZE - len), "; did you mean '%s'?",
			 near);
	return -EINVAL;
}

int wv_value_parse(enum wv_setting_type type, const char *min, const char *max, const char *example,
		   const char *text, uint64_t *ret, char expected[WV_EXPECTED_SIZE])
{
	bool bounded = min && *min && max && *max, such = example && *example;
	uint64_t v, low = 0, high = UINT64_MAX;

	if (type == WV_CHOICE)
		return parse_choice(min, text, ret, expected);
	if (!types[type].parse)
		return -EINVAL;
	if (bounded && (types[type].parse(min, &low) < 0 || types[type].parse(max, &high) < 0))
		return -EINVAL;
	if (types[type].parse(text, &v) == 0 &&
	    (wv_is_share(v) ? wv_value_takes_share(type) : v >= low && v <= high)) {
		*ret = v;
		return 0;
	}
	such = such && type != WV_BOOL;
	snprintf(expected, WV_EXPECTED_SIZE, "expected %s%s%s%s%s%s%s%s", types[type].expected,
		 bounded ? " from " : "", bounded ? min : "", bounded ? " to " : "",
		 bounded ? max : "",
		 wv_value_takes_share(type) ? ", or above 0% and at most 100% of parent" : "",
		 such ? ", such as " : "", such ? example : "");
	return -EINVAL;
}

/* "/a/b": no empty, "." or ".." component, no slash at the end */
static bool is_cgroup_path(const char *s)
{
	if (strcmp(s, "/") == 0)
		return true;
	if (*s != '/')
		return false;
	while (*s == '/') {
		size_t len = strcspn(++s, "/");

		if (len == 0 || (len <= 2 && strspn(s, ".") >= len))
			return false;
		s += len;
	}
	return *s == '\0';
}

static bool is_device(const char *s)
{
	unsigned major, minor;
	int end = 0;

	if (strncmp(s, "/dev/", 5) == 0)
		return s[5] != '\0';
	return isdigit((unsigned char)*s) && sscanf(s, "%9u:%9u%n", &major, &minor, &end) == 2 &&
	       s[end] == '\0';
}

const char *wv_value_got(enum wv_setting_type type, const char *text, char buf[WV_EXPECTED_SIZE])
{
	buf[0] = '\0';
	if (type != WV_SECRET)
		snprintf(buf, WV_EXPECTED_SIZE, "; got '%.60s'", text);
	return buf;
}

static int parse_secret(const char *text, char *ret, size_t size, char expected[WV_EXPECTED_SIZE])
{
	struct wv_secret_ref ref;
	const char *why;

	if (*text && wv_secret_ref_parse(text, &ref, &why) < 0) {
		snprintf(expected, WV_EXPECTED_SIZE, "%s", why);
		return -EINVAL;
	}
	if (strlen(text) >= size)
		return -EINVAL;
	memset(ret, 0, size);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

int wv_text_parse(enum wv_setting_type type, const char *text, char *ret, size_t size,
		  char expected[WV_EXPECTED_SIZE])
{
	size_t len = strlen(text);
	bool fits = len < size, right = true;

	if (type == WV_SECRET)
		return parse_secret(text, ret, size, expected);
	for (size_t i = 0; fits && i < len; i++)
		right = right && (unsigned char)text[i] >= ' ' && text[i] != 0x7f;
	if (type == WV_CGROUP || type == WV_PATTERN)
		right = right && is_cgroup_path(text);
	else if (type == WV_DEVICE)
		right = right && is_device(text);
	else if (type == WV_PATH)
		right = right && text[0] == '/' && len > 1;
	if (fits && right) {
		/* the rest is cleared, too: settings are compared as bytes */
		memset(ret, 0, size);
		memcpy(ret, text, len + 1);
		return 0;
	}
	snprintf(expected, WV_EXPECTED_SIZE, "expected %s, at most %zu bytes%s",
		 types[type].expected, size - 1,
		 type == WV_STRING ? " without control characters" : "");
	return -EINVAL;
}

#define WORD_MAX 48

/* Edits (insert, delete, replace, swap neighbours) between two words, without regard to case. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			int ca = tolower((unsigned char)a[i - 1]);
			int cb = tolower((unsigned char)b[j - 1]);
			unsigned best = last[j - 1] + (ca != cb);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
			    cb == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[la % 3][lb];
}

const char *wv_suggest(const char *word, const char *const candidates[])
{
	const char *near = NULL;
	/* a third of the word may be wrong, but never all of a short one */
	unsigned best = (unsigned)strnlen(word, WORD_MAX) / 3 + 1;

	if (best > 4)
		best = 4;
	for (; *candidates; candidates++) {
		unsigned d = distance(word, *candidates);

		if (d < best) {
			best = d;
			near = *candidates;
		}
	}
	return near;
}
