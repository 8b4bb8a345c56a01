// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of crash loops as an agent would write them, each of a program of its own.
 *   storm ROOT N PREFIX [CRITICAL]   N of them, cgroups PREFIX<i>; after CRITICAL of them a missed
 * heartbeat
 */
#include <stdio.h>
#include <stdlib.h>

#include "user/core/paths.h"
#include "user/evidence/event.h"

#define BATCH 1000

static int crash(struct wv_tlog *l, const char *prefix, unsigned long i)
{
	struct json_object *o = json_object_new_object();
	char cgroup[128];

	snprintf(cgroup, sizeof(cgroup), "%s%lu", prefix, i);
	json_object_object_add(o, "cgroup", json_object_new_string(cgroup));
	json_object_object_add(o, "comm", json_object_new_string("storm"));
	json_object_object_add(o, "exits", json_object_new_int64(5));
	json_object_object_add(o, "in_ns", json_object_new_int64(1));
	json_object_object_add(o, "window_ns", json_object_new_int64(60000000000));
	json_object_object_add(o, "last_pid", json_object_new_int64(1));
	return wv_event(l, &wv_io_system, "", "crash-loop", o, false, NULL);
}

static int missed(struct wv_tlog *l)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string("the-important-one"));
	json_object_object_add(o, "file", json_object_new_string("/x"));
	json_object_object_add(o, "cgroup", json_object_new_string("/important"));
	json_object_object_add(o, "every_ns", json_object_new_int64(1));
	json_object_object_add(o, "silent_ns", json_object_new_int64(2));
	return wv_event(l, &wv_io_system, "", "heartbeat-missed", o, false, NULL);
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 3 ? strtoul(argv[2], NULL, 10) : 0;
	unsigned long critical = argc > 4 ? strtoul(argv[4], NULL, 10) : n + 1;
	struct wv_paths paths;
	struct wv_tlog *l;
	int r;

	if (argc < 4 || wv_paths_init(&paths, argv[1]) < 0)
		return 2;
	r = wv_tlog_open_device(&l, &wv_io_system, &paths);
	if (r < 0)
		return 1;
	for (unsigned long i = 0; i < n && r == 0; i++) {
		if (i % BATCH == 0)
			r = wv_tlog_begin(l);
		if (r == 0)
			r = crash(l, argv[3], i);
		if (r == 0 && i == critical)
			r = missed(l);
		if (r == 0 && (i % BATCH == BATCH - 1 || i == n - 1))
			r = wv_tlog_end(l, i == n - 1);
	}
	wv_tlog_close(l);
	return r < 0;
}
