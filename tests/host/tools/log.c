// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device's log, made without the agent.
 *   log ROOT RECORDS [CHECKPOINT_EVERY [ROTATE_EVERY]]   appends so many events
 */
#include <stdlib.h>

#include "user/core/paths.h"
#include "user/evidence/event.h"

int main(int argc, char **argv)
{
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, i;
	unsigned long checkpoint = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	unsigned long rotate = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	struct wv_paths paths;
	struct wv_tlog *l;
	int r;

	if (argc < 3 || wv_paths_init(&paths, argv[1]) < 0)
		return 2;
	r = wv_tlog_open_device(&l, &wv_io_system, &paths);
	if (r < 0)
		return 1;
	for (i = 1; i <= n && r == 0; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "cgroup", json_object_new_string("/work.slice"));
		json_object_object_add(o, "count", json_object_new_int64((int64_t)i));
		r = wv_event(l, &wv_io_system, "", "host-test", o, true, NULL);
		if (r == 0 && checkpoint && i % checkpoint == 0)
			r = wv_tlog_checkpoint(l);
		if (r == 0 && rotate && i % rotate == 0)
			r = wv_tlog_rotate(l);
	}
	if (r == 0 && checkpoint)
		r = wv_tlog_checkpoint(l);
	wv_tlog_close(l);
	return r < 0;
}
