// SPDX-License-Identifier: GPL-2.0-only
/* Parsers and figures of the queue and socket collectors that need no kernel. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "user/collect/queue.h"
#include "user/collect/sock.h"
#include "user/core/cleanup.h"
#include "waveos/queue.h"

static char dir[] = "/tmp/test_queue.XXXXXX";

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)mkdir(path, 0755);
		*p = '/';
	}
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void in_flight_more_ended_than_issued_is_zero(void **state)
{
	(void)state;
	assert_int_equal(wv_queue_in_flight(7, 4), 3);
	assert_int_equal(wv_queue_in_flight(4, 4), 0);
	assert_int_equal(wv_queue_in_flight(4, 5), 0);
}

static void device_name_without_device_is_its_number(void **state)
{
	(void)state;
	assert_string_equal(wv_device_name(4000U << 20 | 17, 1), "4000:17");
	assert_string_equal(wv_device_name(4000U << 20 | 17, 2), "4000:17");
}

static void device_name_of_colliding_numbers_stays_right(void **state)
{
	(void)state;
	assert_string_equal(wv_device_name(4000U << 20 | 1, 1), "4000:1");
	assert_string_equal(wv_device_name(4000U << 20 | 65, 1), "4000:65");
	assert_string_equal(wv_device_name(4000U << 20 | 1, 1), "4000:1");
}

static void block_error_of_each_kind_has_a_text(void **state)
{
	(void)state;
	assert_string_equal(wv_block_error(-5), "Input/output error");
	assert_string_equal(wv_block_error(7), "medium error");
	assert_string_equal(wv_block_error(10), "I/O error");
	assert_string_equal(wv_block_error(99), "block status 99");
}

struct disks {
	unsigned n;
	struct wv_disk sda, dm;
};

static void take_disk(void *ctx, const char *name, const struct wv_disk *d)
{
	struct disks *all = ctx;

	all->n++;
	if (strcmp(name, "sda") == 0)
		all->sda = *d;
	else if (strcmp(name, "dm-0") == 0)
		all->dm = *d;
}

static void disks_read_used_disk_is_in_bytes(void **state)
{
	struct disks all = {0};
	char path[256];

	(void)state;
	put("block/sda/stat",
	    "     100       3     2000      40      50      6     800       70        2"
	    "      80       110        5      0     16      0       9       1\n");
	put("block/sdb/stat", "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	put("block/dm-0/stat", "1 0 8 0 0 0 0 0 0 0 0\n");
	put("block/dm-0/slaves/sda", "");
	put("block/broken/stat", "what\n");
	snprintf(path, sizeof(path), "%s/block", dir);
	assert_int_equal(wv_disks_read(path, take_disk, &all), 0);
	assert_int_equal(all.n, 2);
	assert_int_equal(all.sda.reads, 100);
	assert_int_equal(all.sda.read_bytes, 2000 * 512);
	assert_int_equal(all.sda.writes, 50);
	assert_int_equal(all.sda.write_bytes, 800 * 512);
	assert_int_equal(all.sda.in_flight, 2);
	assert_false(all.sda.stacked);
	assert_true(all.dm.stacked);
}

static void disks_read_missing_folder_fails(void **state)
{
	(void)state;
	assert_int_equal(wv_disks_read("/nowhere", take_disk, NULL), -ENOENT);
}

struct vectors {
	unsigned n;
	uint64_t net_rx, all_runs, all_ns;
};

static void take_vector(void *ctx, const char *name, uint64_t time_ns, uint64_t runs)
{
	struct vectors *v = ctx;

	v->n++;
	if (strcmp(name, "net_rx") == 0)
		v->net_rx = runs;
	if (strcmp(name, "all") == 0) {
		v->all_runs = runs;
		v->all_ns = time_ns;
	}
}

static void softirqs_read_sums_cpus_and_adds_the_time(void **state)
{
	struct vectors v = {0};
	char path[256];

	(void)state;
	put("proc/softirqs", "                    CPU0       CPU1\n"
			     "          HI:          1          0\n"
			     "      NET_RX:         40          2\n");
	put("proc/stat", "cpu  10 20 30 40 50 60 70 80 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n");
	snprintf(path, sizeof(path), "%s/proc", dir);
	assert_int_equal(wv_softirqs_read(path, take_vector, &v), 0);
	assert_int_equal(v.n, 3);
	assert_int_equal(v.net_rx, 42);
	assert_int_equal(v.all_runs, 43);
	assert_int_equal(v.all_ns, 70 * (1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK)));
}

static void cadence_keeps_the_budget(void **state)
{
	(void)state;
	assert_int_equal(wv_cadence(0, 5000000), 1);
	assert_int_equal(wv_cadence(5000000, 5000000), 1);
	assert_int_equal(wv_cadence(5000001, 5000000), 2);
	assert_int_equal(wv_cadence(23000000, 5000000), 5);
	assert_int_equal(wv_cadence(UINT64_MAX / 2, 5000000), 30);
}

static void netns_find_lists_each_other_namespace_once(void **state)
{
	static const struct {
		const char *pid, *target;
	} processes[] = {{"1", "net:[100]"}, {"2", "net:[200]"}, {"3", "net:[200]"},
			 {"4", "net:[300]"}, {"5", "net:[100]"}, {"6", "junk"}};
	struct wv_netns_list l = {.n = 5};
	uint64_t seen = 0;
	char path[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(processes); i++) {
		snprintf(path, sizeof(path), "ns/%s/ns/x", processes[i].pid);
		put(path, "");
		snprintf(path, sizeof(path), "%s/ns/%s/ns/net", dir, processes[i].pid);
		assert_int_equal(symlink(processes[i].target, path), 0);
	}
	snprintf(path, sizeof(path), "%s/ns", dir);
	assert_int_equal(wv_netns_of(path, 4), 300);
	assert_int_equal(wv_netns_of(path, 6), 0);
	assert_int_equal(wv_netns_of(path, 7), 0);
	assert_int_equal(wv_netns_find(path, 100, &l), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.left_out, 0);
	for (size_t i = 0; i < l.n; i++)
		seen += l.list[i].inode;
	assert_int_equal(seen, 500);
}

static FILE *text(const char *s)
{
	FILE *f = fmemopen((void *)(uintptr_t)s, strlen(s), "r");

	assert_non_null(f);
	return f;
}

static void tcp_files_listener_is_apart_from_the_rest(void **state)
{
	_cleanup_fclose_ FILE *f = text("  sl  local_address rem_address   st tx_queue rx_queue tr "
					"tm->when retrnsmt   uid  timeout\n"
					"   0: 0100007F:1B5A 00000000:0000 0A 00000000:00000005 "
					"00:00000000 00000000     0        0\n"
					"   1: 0100007F:1B5B 0100007F:A3C2 01 00000010:00000200 "
					"00:00000000 00000000     0        0\n"
					"   2: 00000000000000000000000001000000:1B5B "
					"00000000000000000000000001000000:A3C2 08 "
					"00000001:00000001 00:00000000 00000000     0        0\n");
	struct wv_tcp_files t = {0};

	(void)state;
	wv_tcp_files_add(&t, f);
	assert_int_equal(t.listeners, 1);
	assert_int_equal(t.accept_depth, 5);
	assert_int_equal(t.tx_bytes, 0x11);
	assert_int_equal(t.rx_bytes, 0x201);
}

static void listen_overflows_found_by_name(void **state)
{
	_cleanup_fclose_ FILE *f = text("TcpExt: SyncookiesSent ListenOverflows ListenDrops\n"
					"TcpExt: 1 77 80\nIpExt: InNoRoutes\nIpExt: 0\n");
	_cleanup_fclose_ FILE *none = text("TcpExt: SyncookiesSent\nTcpExt: 1\n");

	(void)state;
	assert_int_equal(wv_listen_overflows(f), 77);
	assert_int_equal(wv_listen_overflows(none), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_flight_more_ended_than_issued_is_zero),
		cmocka_unit_test(device_name_without_device_is_its_number),
		cmocka_unit_test(device_name_of_colliding_numbers_stays_right),
		cmocka_unit_test(block_error_of_each_kind_has_a_text),
		cmocka_unit_test(disks_read_used_disk_is_in_bytes),
		cmocka_unit_test(disks_read_missing_folder_fails),
		cmocka_unit_test(softirqs_read_sums_cpus_and_adds_the_time),
		cmocka_unit_test(cadence_keeps_the_budget),
		cmocka_unit_test(netns_find_lists_each_other_namespace_once),
		cmocka_unit_test(tcp_files_listener_is_apart_from_the_rest),
		cmocka_unit_test(listen_overflows_found_by_name),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
