/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libmicrohttpd, loaded by the web worker only: it brings GnuTLS and ten more libraries along, 2.8
 * MB of resident memory and 3.6 ms of start time that every other process of the agent does
 * without.
 */
#ifndef WV_EXPORT_WEB_MHD_H
#define WV_EXPORT_WEB_MHD_H

#include <microhttpd.h>

/* Every function of the library that is used; the type is that of its declaration. */
#define WV_MHD_FUNCTIONS(X)                                                                        \
	X(start_daemon)                                                                            \
	X(stop_daemon)                                                                             \
	X(run)                                                                                     \
	X(get_timeout)                                                                             \
	X(get_daemon_info)                                                                         \
	X(get_connection_info)                                                                     \
	X(get_connection_values)                                                                   \
	X(suspend_connection)                                                                      \
	X(resume_connection)                                                                       \
	X(lookup_connection_value)                                                                 \
	X(create_response_from_buffer)                                                             \
	X(create_response_from_buffer_with_free_callback_cls)                                      \
	X(add_response_header)                                                                     \
	X(queue_response)                                                                          \
	X(destroy_response)

struct wv_mhd {
#define X(name) __typeof__(MHD_##name) *name;
	WV_MHD_FUNCTIONS(X)
#undef X
};

/* Loads the library; 0, or -ENOENT having logged why. It is never unloaded. */
int wv_mhd_load(struct wv_mhd *ret);

#endif
