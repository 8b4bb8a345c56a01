/* SPDX-License-Identifier: GPL-2.0-only */
/* One HTTP request over a UNIX socket, by libcurl. */
#ifndef WV_CMD_REMOTE_HTTP_H
#define WV_CMD_REMOTE_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct wv_remote;

struct wv_remote_answer {
	long status;
	bool is_json;
	char *data; /* to be freed; NUL-terminated */
	size_t len;
};

/* 0, or -ENOPKG and the like having said why. */
int wv_remote_open(struct wv_remote **ret, const char *socket);
void wv_remote_close(struct wv_remote *r);
/* Percent-encoded; to be freed with wv_remote_free(). NULL: no memory. */
char *wv_remote_escape(struct wv_remote *r, const char *text);
void wv_remote_free(struct wv_remote *r, char *escaped);
/* upload: file that becomes the body, NULL for none. 0 for any answer; -EACCES: the socket may not
 * be used; another -errno. */
int wv_remote_ask(struct wv_remote *r, const char *method, const char *url, const char *upload,
		  struct wv_remote_answer *ret);
/* Why the last request failed. */
const char *wv_remote_why(const struct wv_remote *r);

#endif
