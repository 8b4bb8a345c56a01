/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One zstd frame read from a descriptor, with bounds: on the window, so on memory, and on what it
 * may expand to, so that a small file cannot become a large one unasked.
 */
#ifndef WV_BUNDLE_UNZSTD_H
#define WV_BUNDLE_UNZSTD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WV_UNZSTD_OUT (64U << 10) /* bytes that one call gives at most */

struct wv_unzstd {
	int fd;
	struct ZSTD_DCtx_s *ctx;
	unsigned char *in, *out;
	size_t in_pos, in_len, out_len;
	uint64_t produced, allowed; /* bytes of output; more than allowed is -EFBIG */
	bool ended;		    /* the frame is over, and so is the input */
};

int wv_unzstd_init(struct wv_unzstd *z, int fd, unsigned window_log_max);
/* The next bytes: > 0, they are z->out until the next call; 0 at the end. -EBADMSG: no frame, a
 * torn one, a wrong checksum, or something after it. */
ssize_t wv_unzstd_read(struct wv_unzstd *z);
void wv_unzstd_done(struct wv_unzstd *z);

#endif
