// SPDX-License-Identifier: GPL-2.0-only
/* Pure parts of the network collector: the files of the fallback, labels and sums of drops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/collect/net.h"
#include "user/core/cleanup.h"

static void net_files_pairs_of_snmp_and_netstat_are_added(_unused_ void **state)
{
	char snmp[] = "Ip: Forwarding DefaultTTL InReceives InDiscards OutRequests OutDiscards\n"
		      "Ip: 1 64 1000 7 900 3\n"
		      "Tcp: RtoAlgorithm MaxConn ActiveOpens PassiveOpens AttemptFails RetransSegs "
		      "OutRsts\n"
		      "Tcp: 1 -1 50 40 5 12 9\n";
	char netstat[] = "TcpExt: SyncookiesSent InOctets\nTcpExt: 0 111\n"
			 "IpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 18446744073709551615 20\n";
	struct wv_net_files f = {0};

	wv_net_files_add_pairs(&f, snmp);
	wv_net_files_add_pairs(&f, netstat);
	assert_int_equal(f.rx_packets, 1000);
	assert_int_equal(f.tx_packets, 900);
	assert_int_equal(f.drops, 10);
	assert_int_equal(f.active_opens, 50);
	assert_int_equal(f.passive_opens, 40);
	assert_int_equal(f.attempt_fails, 5);
	assert_int_equal(f.retransmits, 12);
	assert_int_equal(f.resets_sent, 9);
	assert_true(f.rx_bytes == UINT64_MAX); /* IpExt's, not TcpExt's of the same name */
	assert_int_equal(f.tx_bytes, 20);
}

static void net_files_pairs_cut_or_foreign_add_nothing(_unused_ void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"Ip: InReceives\n",
		"Ip: InReceives\nTcp: 5\n",
		"Ip:\nIp:\n",
		"Ip: InReceives\nIp:\n",
	};
	struct wv_net_files f = {0}, none = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *text = strdup(texts[i]);

		assert_non_null(text);
		wv_net_files_add_pairs(&f, text);
		free(text);
	}
	assert_memory_equal(&f, &none, sizeof(f));
}

static void net_files_snmp6_lines_add_to_ipv4(_unused_ void **state)
{
	char text[] = "Ip6InReceives                   \t30\nIp6OutOctets "
		      "\t7\nIp6InOctets\t5\nIp6OutRequests 2\nIp6InDiscards\t1\n";
	struct wv_net_files f = {.rx_packets = 1000};

	wv_net_files_add_lines(&f, text);
	assert_int_equal(f.rx_packets, 1030);
	assert_int_equal(f.tx_packets, 2);
	assert_int_equal(f.rx_bytes, 5);
	assert_int_equal(f.tx_bytes, 7);
	assert_int_equal(f.drops, 1);
}

static void net_files_devices_drops_of_both_directions_are_added(_unused_ void **state)
{
	char text[] = "Inter-|   Receive                        |  Transmit\n"
		      " face |bytes packets errs drop fifo frame compressed multicast|bytes "
		      "packets errs drop fifo colls carrier compressed\n"
		      "    lo: 100 1 0 4 0 0 0 0 100 1 0 0 0 0 0 0\n"
		      "  eth0:200 2 9 5 0 0 0 0 300 3 8 6 0 0 0 0\n";
	struct wv_net_files f = {0};

	wv_net_files_add_devices(&f, text);
	assert_int_equal(f.drops, 15);
}

static void drop_label_of_every_kind_fits_and_is_readable(_unused_ void **state)
{
	static const struct {
		uint32_t reason;
		const char *name, *label;
	} cases[] = {
		{3, "SKB_DROP_REASON_NO_SOCKET", "NO_SOCKET"},
		{44, "SKB_DROP_REASON_TCP_INVALID_ACK_SEQUENCE", "TCP_INVALID_ACK_SEQUENC"},
		{1, "SKB_CONSUMED", "SKB_CONSUMED"},
		{7, "", "0:7"},
		{0x30002, NULL, "3:2"},
		{WV_DROP_OTHER, "SKB_DROP_REASON_NO_SOCKET", "other"},
		{WV_DROP_UNSPECIFIED, NULL, "unspecified"},
	};
	char buf[WV_FACET_LABEL];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		wv_drop_label(cases[i].reason, cases[i].name, buf, sizeof(buf));
		assert_string_equal(buf, cases[i].label);
	}
}

static void drop_counts_same_key_is_summed(_unused_ void **state)
{
	struct wv_drop_counts *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	wv_drop_counts_add(c, (struct wv_drop_key){2, 5}, 10);
	wv_drop_counts_add(c, (struct wv_drop_key){2, 6}, 1);
	wv_drop_counts_add(c, (struct wv_drop_key){2, 5}, 7);
	assert_int_equal(c->n, 2);
	assert_int_equal(c->list[0].count, 17);
	assert_int_equal(c->list[1].count, 1);
	free(c);
}

static void drop_counts_full_goes_to_other_and_loses_nothing(_unused_ void **state)
{
	struct wv_drop_counts *c = calloc(1, sizeof(*c));
	uint64_t sum = 0, other = 0;
	unsigned others = 0;

	assert_non_null(c);
	for (uint32_t i = 0; i < 2 * WV_DROP_COUNTS_MAX; i++)
		wv_drop_counts_add(c, (struct wv_drop_key){1, i}, 3);
	wv_drop_counts_add(c, (struct wv_drop_key){WV_SLOT_OTHER, WV_DROP_OTHER}, 100);
	assert_int_equal(c->n, WV_DROP_COUNTS_MAX);
	for (size_t i = 0; i < c->n; i++) {
		sum += c->list[i].count;
		if (c->list[i].key.reason == WV_DROP_OTHER) {
			others++;
			other = c->list[i].count;
		}
	}
	assert_int_equal(sum, 2 * WV_DROP_COUNTS_MAX * 3 + 100);
	assert_int_equal(others, 1);
	assert_int_equal(other, (WV_DROP_COUNTS_MAX + 1) * 3 + 100);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_files_pairs_of_snmp_and_netstat_are_added),
		cmocka_unit_test(net_files_pairs_cut_or_foreign_add_nothing),
		cmocka_unit_test(net_files_snmp6_lines_add_to_ipv4),
		cmocka_unit_test(net_files_devices_drops_of_both_directions_are_added),
		cmocka_unit_test(drop_label_of_every_kind_fits_and_is_readable),
		cmocka_unit_test(drop_counts_same_key_is_summed),
		cmocka_unit_test(drop_counts_full_goes_to_other_and_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
