// SPDX-License-Identifier: GPL-2.0-only
/* Records of the proxy worker in the device's log. */
#include <errno.h>

#include "user/core/io.h"
#include "user/core/log.h"
#include "user/evidence/event.h"
#include "user/proxy/view.h"

void wv_proxy_record(const struct wv_paths *paths, const char *run_id, const char *type,
		     struct json_object *fields)
{
	static struct wv_tlog *log; /* opened by the first record and kept: they are rare */
	int r = 0;

	if (!log)
		r = wv_tlog_open_device(&log, &wv_io_system, paths);
	if (r == 0)
		r = wv_event(log, &wv_io_system, run_id, type, fields, true, NULL);
	else
		json_object_put(fields);
	if (r < 0)
		(void)wv_log_warn(r, "proxy", "record '%s'", type);
}
