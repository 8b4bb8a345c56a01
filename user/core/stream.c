// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

int wv_stream_get(int fd, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = recv(fd, (char *)buf + at, len - at, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		at += (size_t)n;
	}
	return 0;
}

int wv_stream_put(int fd, const void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, (const char *)buf + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -EPIPE;
		at += (size_t)n;
	}
	return 0;
}
