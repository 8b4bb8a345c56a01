// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/core/memory.h"

#define PAGES 4
#define PAGE 4096

static int file_of(char byte)
{
	char path[] = "/tmp/wv-memory-XXXXXX", page[PAGE];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	(void)unlink(path);
	memset(page, byte, sizeof(page));
	for (int i = 0; i < PAGES; i++)
		assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
	return fd;
}

/* kB of this mapping that are resident */
static unsigned long resident(const void *at)
{
	unsigned long start, end, kb = 0;
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	int here = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (uintptr_t)at >= start && (uintptr_t)at < end;
		else if (here && sscanf(line, "Rss: %lu", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

static void memory_clean_file_pages_go_and_come_back(void **state)
{
	int fd = file_of('a');
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);

	(void)state;
	assert_true(p != MAP_FAILED);
	assert_true(resident(p) > 0);
	wv_memory_scan();
	wv_memory_trim();
	assert_int_equal(resident(p), 0);
	for (int i = 0; i < PAGES * PAGE; i++)
		assert_int_equal(p[i], 'a');
	munmap(p, PAGES * PAGE);
	close(fd);
}

/* As relocated tables are: written, then protected. */
static void memory_changed_pages_are_kept(void **state)
{
	int fd = file_of('a');
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	(void)state;
	assert_true(p != MAP_FAILED);
	p[PAGE] = 'b';
	assert_int_equal(mprotect(p, PAGES * PAGE, PROT_READ), 0);
	wv_memory_scan();
	wv_memory_trim();
	assert_int_equal(p[0], 'a');
	assert_int_equal(p[PAGE], 'b');
	munmap(p, PAGES * PAGE);
	close(fd);
}

/* Writable now: a page may change between the steps, so none of it may be on the list. */
static void memory_writable_pages_are_kept(void **state)
{
	int fd = file_of('a');
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	(void)state;
	assert_true(p != MAP_FAILED);
	wv_memory_scan();
	p[0] = 'b';
	wv_memory_trim();
	assert_int_equal(p[0], 'b');
	munmap(p, PAGES * PAGE);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_clean_file_pages_go_and_come_back),
		cmocka_unit_test(memory_changed_pages_are_kept),
		cmocka_unit_test(memory_writable_pages_are_kept),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
