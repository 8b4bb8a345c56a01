// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/files.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "user/core/cleanup.h"

/* A piece of text. */
struct span {
	const char *at, *end;
};

/* Takes the next line without its newline; false at the end and for a line that has none. */
static bool next_line(struct span *text, struct span *ret_line)
{
	const char *newline;

	if (text->at >= text->end)
		return false;
	newline = memchr(text->at, '\n', (size_t)(text->end - text->at));
	if (!newline)
		return false;
	*ret_line = (struct span){text->at, newline};
	text->at = newline + 1;
	return true;
}

static bool starts_with(const struct span *s, const char *word, size_t len)
{
	return (size_t)(s->end - s->at) >= len && memcmp(s->at, word, len) == 0;
}

static void skip_spaces(struct span *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
		s->at++;
}

/* Takes decimal digits: 0, -EINVAL if there are none, -ERANGE. */
static int take_number(struct span *s, uint64_t *ret)
{
	const char *start = s->at;
	uint64_t v = 0;

	for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s->at - '0'), &v))
			return -ERANGE;
	if (s->at == start)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* The number after "total=" of a pressure line. */
static int psi_total(struct span line, uint64_t *ret)
{
	static const char word[] = " total=";
	const char *at = memmem(line.at, (size_t)(line.end - line.at), word, strlen(word));
	struct span rest;
	uint64_t v;
	int r;

	if (!at)
		return -EINVAL;
	rest = (struct span){at + strlen(word), line.end};
	r = take_number(&rest, &v);
	if (r < 0)
		return r;
	if (rest.at != rest.end)
		return -EINVAL;
	*ret = v;
	return 0;
}

int wv_files_parse_psi(const char *text, size_t len, struct wv_files_psi *ret)
{
	struct span rest = {text, text + len}, line;
	struct wv_files_psi psi = {0};
	bool has_some = false;

	while (next_line(&rest, &line)) {
		if (!has_some && starts_with(&line, "some ", 5))
			has_some = psi_total(line, &psi.some_us) == 0;
		else if (!psi.has_full && starts_with(&line, "full ", 5))
			psi.has_full = psi_total(line, &psi.full_us) == 0;
	}
	if (!has_some)
		return -EINVAL;
	*ret = psi;
	return 0;
}

/* Value of a "key value" line whose key was taken off; false if it is anything else. */
static bool keyed_value(struct span s, uint64_t *ret)
{
	uint64_t v;

	if (s.at < s.end && *s.at == ':')
		s.at++;
	if (s.at >= s.end || (*s.at != ' ' && *s.at != '\t'))
		return false;
	skip_spaces(&s);
	if (take_number(&s, &v) < 0)
		return false;
	if (starts_with(&s, " kB", 3)) {
		s.at += 3;
		if (__builtin_mul_overflow(v, (uint64_t)1024, &v))
			return false;
	}
	if (s.at != s.end)
		return false;
	*ret = v;
	return true;
}

uint32_t wv_files_parse_keyed(const char *text, size_t len, const char *const keys[], size_t n_keys,
			      uint64_t values[])
{
	struct span rest = {text, text + len}, line;
	uint32_t found = 0, all = n_keys >= 32 ? UINT32_MAX : (1U << n_keys) - 1;

	while (found != all && next_line(&rest, &line)) {
		for (size_t i = 0; i < n_keys && i < 32; i++) {
			size_t key_len = strlen(keys[i]);

			if ((found & 1U << i) || !starts_with(&line, keys[i], key_len))
				continue;
			if (keyed_value((struct span){line.at + key_len, line.end}, &values[i]))
				found |= 1U << i;
		}
	}
	return found;
}

int wv_files_parse_number(const char *text, size_t len, uint64_t *ret)
{
	struct span rest = {text, text + len}, line;
	uint64_t v;
	int r;

	if (!next_line(&rest, &line))
		return -EINVAL;
	if (line.end - line.at == 3 && starts_with(&line, "max", 3)) {
		*ret = UINT64_MAX;
		return 0;
	}
	r = take_number(&line, &v);
	if (r < 0)
		return r;
	if (line.at != line.end)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* Before 5.18 `kernel` is not given: its parts are summed then. */
static void memory_stat_v2(const char *text, size_t len, struct wv_files_memory *ret)
{
	static const char *const keys[] = {"anon",	   "file",	 "kernel", "slab",
					   "kernel_stack", "pagetables", "percpu", "vmalloc"};
	uint64_t v[ARRAY_SIZE(keys)] = {0};
	uint32_t found = wv_files_parse_keyed(text, len, keys, ARRAY_SIZE(keys), v);

	ret->known = found & (WV_FILES_ANON | WV_FILES_FILE | WV_FILES_KERNEL | WV_FILES_SLAB);
	ret->anon = v[0];
	ret->file = v[1];
	ret->kernel = v[2];
	ret->slab = v[3];
	if ((found & WV_FILES_KERNEL) || !(found & WV_FILES_SLAB))
		return;
	ret->kernel = v[3] + v[4] + v[5] + v[6] + v[7];
	ret->known |= WV_FILES_KERNEL;
}

void wv_files_parse_memory_stat(const char *text, size_t len, int hierarchy,
				struct wv_files_memory *ret)
{
	static const char *const keys[] = {"total_rss", "total_cache"};
	uint64_t v[ARRAY_SIZE(keys)] = {0};

	*ret = (struct wv_files_memory){0};
	if (hierarchy == 2) {
		memory_stat_v2(text, len, ret);
		return;
	}
	ret->known = wv_files_parse_keyed(text, len, keys, ARRAY_SIZE(keys), v);
	ret->anon = v[0];
	ret->file = v[1];
}

int wv_files_parse_meminfo(const char *text, size_t len, struct wv_files_memory *ret,
			   uint64_t *ret_used, uint64_t *ret_total)
{
	enum { TOTAL, FREE, ANON, CACHED, BUFFERS, SWAP_CACHED, SLAB, STACKS, TABLES, PERCPU, N };
	static const char *const keys[N] = {"MemTotal",	  "MemFree",	"AnonPages", "Cached",
					    "Buffers",	  "SwapCached", "Slab",	     "KernelStack",
					    "PageTables", "Percpu"};
	uint64_t v[N] = {0};
	uint32_t found = wv_files_parse_keyed(text, len, keys, N, v);

	if ((found & 3) != 3 || v[FREE] > v[TOTAL])
		return -EINVAL;
	*ret = (struct wv_files_memory){
		.anon = v[ANON],
		.file = v[CACHED] + v[BUFFERS] + v[SWAP_CACHED],
		.kernel = v[SLAB] + v[STACKS] + v[TABLES] + v[PERCPU],
		.slab = v[SLAB],
		.known = (found & 1U << ANON ? WV_FILES_ANON : 0U) |
			 (found & 1U << CACHED ? WV_FILES_FILE : 0U) |
			 (found & 1U << SLAB ? WV_FILES_KERNEL | WV_FILES_SLAB : 0U),
	};
	*ret_used = v[TOTAL] - v[FREE];
	*ret_total = v[TOTAL];
	return 0;
}

int wv_files_parse_cpu_stat(const char *text, size_t len, struct wv_files_throttle *ret)
{
	enum { PERIODS, THROTTLED, USEC, NS, N };
	static const char *const keys[N] = {"nr_periods", "nr_throttled", "throttled_usec",
					    "throttled_time"};
	uint64_t v[N] = {0};
	uint32_t found = wv_files_parse_keyed(text, len, keys, N, v);

	if ((found & 3) != 3 || !(found & (1U << USEC | 1U << NS)))
		return -ENODATA;
	if ((found & 1U << USEC) && __builtin_mul_overflow(v[USEC], (uint64_t)1000, &v[NS]))
		return -ENODATA;
	*ret = (struct wv_files_throttle){v[PERIODS], v[THROTTLED], v[NS]};
	return 0;
}

int wv_files_parse_proc_cgroup(const char *text, size_t len, uint32_t hierarchy, char *buf,
			       size_t size)
{
	struct span rest = {text, text + len}, line;
	const char *colon;
	uint64_t id;
	size_t n;

	while (next_line(&rest, &line)) {
		if (take_number(&line, &id) < 0 || id != hierarchy || line.at >= line.end ||
		    *line.at != ':')
			continue;
		/* controllers stand between two colons; a path may contain more of them */
		colon = memchr(line.at + 1, ':', (size_t)(line.end - line.at - 1));
		if (!colon || colon + 1 >= line.end || colon[1] != '/')
			continue;
		n = (size_t)(line.end - colon - 1);
		if (n >= size)
			return -ENAMETOOLONG;
		memcpy(buf, colon + 1, n);
		buf[n] = '\0';
		return 0;
	}
	return -ENOENT;
}
