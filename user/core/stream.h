/* SPDX-License-Identifier: GPL-2.0-only */
/* Whole messages over a stream socket between the processes of a worker. */
#ifndef WV_CORE_STREAM_H
#define WV_CORE_STREAM_H

#include <stddef.h>

/* All of len bytes, across short reads and EINTR. 0, or -EPIPE: the peer is gone, or would have to
 * be waited for beyond the socket's time-out. */
int wv_stream_get(int fd, void *buf, size_t len);
int wv_stream_put(int fd, const void *buf, size_t len);

#endif
