/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Texts of cgroup and /proc files. Every parser is a pure function over bytes that need not end
 * with NUL; a line counts only with its newline, so that a cut text never yields half a number.
 */
#ifndef WV_COLLECT_FILES_H
#define WV_COLLECT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Totals of a pressure file. A kernel's cpu.pressure may have no `full` line. */
struct wv_files_psi {
	uint64_t some_us, full_us;
	bool has_full;
};
/* 0, or -EINVAL if there is no whole `some` line with a total. */
int wv_files_parse_psi(const char *text, size_t len, struct wv_files_psi *ret);

/*
 * Flat keyed lines "key value", also "Key:   value kB" (then in bytes). values[i] is set where
 * keys[i] is found, the first time; returns the found ones as a bit mask (1 << i). At most 32 keys.
 */
uint32_t wv_files_parse_keyed(const char *text, size_t len, const char *const keys[], size_t n_keys,
			      uint64_t values[]);

/* One number on a line; "max" gives UINT64_MAX. 0, -EINVAL or -ERANGE. */
int wv_files_parse_number(const char *text, size_t len, uint64_t *ret);

/* Types of memory that a cgroup is charged for, as bytes; those of `known` only. */
enum {
	WV_FILES_ANON = 1 << 0,
	WV_FILES_FILE = 1 << 1,
	WV_FILES_KERNEL = 1 << 2,
	WV_FILES_SLAB = 1 << 3
};
struct wv_files_memory {
	uint64_t anon, file, kernel, slab;
	uint32_t known;
};
/* memory.stat of v2 (hierarchy 2) or of v1 with its descendants (1), and /proc/meminfo. */
void wv_files_parse_memory_stat(const char *text, size_t len, int hierarchy,
				struct wv_files_memory *ret);
/* Sets *ret_used (all but free pages) and *ret_total too; -EINVAL if those are not there. */
int wv_files_parse_meminfo(const char *text, size_t len, struct wv_files_memory *ret,
			   uint64_t *ret_used, uint64_t *ret_total);

/* cpu.stat of v2 or v1. -ENODATA where there are no quota figures (the v2 root). */
struct wv_files_throttle {
	uint64_t periods, throttled_periods, throttled_ns;
};
int wv_files_parse_cpu_stat(const char *text, size_t len, struct wv_files_throttle *ret);

/*
 * The path of a hierarchy in /proc/<pid>/cgroup (0: v2). 0, -ENOENT if it is not listed, or
 * -ENAMETOOLONG.
 */
int wv_files_parse_proc_cgroup(const char *text, size_t len, uint32_t hierarchy, char *buf,
			       size_t size);

#endif
