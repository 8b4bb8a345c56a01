/* SPDX-License-Identifier: GPL-2.0-only */
/* libcurl, loaded when a secret or an alert needs it, with memory that is wiped when it is given
 * back: its headers and buffers hold secrets. */
#ifndef WV_SECRET_CURL_H
#define WV_SECRET_CURL_H

#define CURL_DISABLE_TYPECHECK /* its macros would take members for its functions */
#include <curl/curl.h>

#define WV_CURL_FUNCTIONS(F)                                                                       \
	F(curl_global_init_mem)                                                                    \
	F(curl_easy_init)                                                                          \
	F(curl_easy_reset)                                                                         \
	F(curl_easy_setopt)                                                                        \
	F(curl_easy_perform)                                                                       \
	F(curl_easy_getinfo)                                                                       \
	F(curl_easy_cleanup)                                                                       \
	F(curl_easy_strerror)                                                                      \
	F(curl_slist_append)                                                                       \
	F(curl_slist_free_all)                                                                     \
	F(curl_multi_init)                                                                         \
	F(curl_multi_add_handle)                                                                   \
	F(curl_multi_remove_handle)                                                                \
	F(curl_multi_perform)                                                                      \
	F(curl_multi_poll)                                                                         \
	F(curl_multi_info_read)                                                                    \
	F(curl_multi_setopt)                                                                       \
	F(curl_multi_cleanup)

/* Filled by wv_secrets_load_curl(). */
struct wv_curl {
#define WV_CURL_POINTER(name) __typeof__(name) *name;
	WV_CURL_FUNCTIONS(WV_CURL_POINTER)
#undef WV_CURL_POINTER
};
extern struct wv_curl wv_curl;

/* Adds a header to *list, which stays as it was if there is no memory. 0, -ENOMEM, or -EBADMSG for
 * a line with a control character in it, which could begin a header of its own. */
int wv_curl_header(struct curl_slist **list, const char *line);
/* What came of a transfer as one of the errors of wv_secrets_get(). */
int wv_curl_error(CURLcode code);

#endif
