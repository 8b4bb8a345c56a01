// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fallback of the network collector: counters of the IP and TCP layers in /proc/net. They are
 * of the agent's network namespace as a whole and cumulative since it exists, so they never go
 * back, not even when the agent restarts.
 */
#include "user/collect/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define FILE_MAX (256 * 1024)

/* Which figure a name of a group adds to. Group "" is /proc/net/snmp6. */
static const struct {
	const char *group, *name;
	size_t offset;
} figures[] = {
	{"IpExt", "InOctets", offsetof(struct wv_net_files, rx_bytes)},
	{"IpExt", "OutOctets", offsetof(struct wv_net_files, tx_bytes)},
	{"Ip", "InReceives", offsetof(struct wv_net_files, rx_packets)},
	{"Ip", "OutRequests", offsetof(struct wv_net_files, tx_packets)},
	{"Ip", "InDiscards", offsetof(struct wv_net_files, drops)},
	{"Ip", "OutDiscards", offsetof(struct wv_net_files, drops)},
	{"", "Ip6InOctets", offsetof(struct wv_net_files, rx_bytes)},
	{"", "Ip6OutOctets", offsetof(struct wv_net_files, tx_bytes)},
	{"", "Ip6InReceives", offsetof(struct wv_net_files, rx_packets)},
	{"", "Ip6OutRequests", offsetof(struct wv_net_files, tx_packets)},
	{"", "Ip6InDiscards", offsetof(struct wv_net_files, drops)},
	{"", "Ip6OutDiscards", offsetof(struct wv_net_files, drops)},
	{"Tcp", "ActiveOpens", offsetof(struct wv_net_files, active_opens)},
	{"Tcp", "PassiveOpens", offsetof(struct wv_net_files, passive_opens)},
	{"Tcp", "AttemptFails", offsetof(struct wv_net_files, attempt_fails)},
	{"Tcp", "RetransSegs", offsetof(struct wv_net_files, retransmits)},
	{"Tcp", "OutRsts", offsetof(struct wv_net_files, resets_sent)},
};

static void add_figure(struct wv_net_files *f, const char *group, const char *name,
		       const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (strcmp(figures[i].group, group) == 0 && strcmp(figures[i].name, name) == 0)
			*(uint64_t *)((char *)f + figures[i].offset) += strtoull(value, NULL, 10);
}

void wv_net_files_add_pairs(struct wv_net_files *f, char *text)
{
	char *lines = NULL, *name_at = NULL, *value_at = NULL;
	char *names, *values, *name, *value, *group;

	for (names = strtok_r(text, "\n", &lines); names; names = strtok_r(NULL, "\n", &lines)) {
		values = strtok_r(NULL, "\n", &lines);
		if (!values)
			return;
		group = strtok_r(names, ": ", &name_at);
		value = strtok_r(values, ": ", &value_at);
		if (!group || !value || strcmp(group, value) != 0)
			return; /* not the layout that we know */
		while ((name = strtok_r(NULL, " ", &name_at)) &&
		       (value = strtok_r(NULL, " ", &value_at)))
			add_figure(f, group, name, value);
	}
}

void wv_net_files_add_lines(struct wv_net_files *f, char *text)
{
	char *lines = NULL, *at = NULL, *name, *value;

	for (char *line = strtok_r(text, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
		name = strtok_r(line, " \t", &at);
		value = strtok_r(NULL, " \t", &at);
		if (name && value)
			add_figure(f, "", name, value);
	}
}

void wv_net_files_add_devices(struct wv_net_files *f, char *text)
{
	unsigned long long rx_drop, tx_drop;
	char *lines = NULL, *colon;

	for (char *line = strtok_r(text, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
		colon = strchr(line, ':'); /* the two lines of headings have none */
		if (colon && sscanf(colon + 1, "%*u %*u %*u %llu %*u %*u %*u %*u %*u %*u %*u %llu",
				    &rx_drop, &tx_drop) == 2)
			f->drops += rx_drop + tx_drop;
	}
}

int wv_net_files_read(const struct wv_io *io, struct wv_net_files *ret)
{
	static const struct {
		const char *path;
		void (*add)(struct wv_net_files *f, char *text);
		bool optional; /* IPv6 may be off */
	} files[] = {
		{"/proc/net/snmp", wv_net_files_add_pairs, false},
		{"/proc/net/netstat", wv_net_files_add_pairs, false},
		{"/proc/net/snmp6", wv_net_files_add_lines, true},
		{"/proc/net/dev", wv_net_files_add_devices, false},
	};
	struct wv_net_files f = {0};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *text = NULL;
		size_t len;
		int r = wv_io_read_file(io, AT_FDCWD, files[i].path, FILE_MAX, &text, &len);

		if (r == -ENOENT && files[i].optional)
			continue;
		if (r < 0)
			return r;
		files[i].add(&f, text);
	}
	*ret = f;
	return 0;
}
