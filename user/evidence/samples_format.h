/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of samples.wvs, for samples*.c: header, frames, differences. Pure. */
#ifndef WV_EVIDENCE_SAMPLES_FORMAT_H
#define WV_EVIDENCE_SAMPLES_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "user/flow/sample.h"

#define WV_SAMPLES_MAGIC "waveos-samples 1\n"
/* u64 of a row: signals, then each histogram's buckets and sum */
#define WV_SAMPLES_FIELDS (WV_SIG_N + WV_HIST_N * (WV_HIST_BUCKETS + 1))
#define WV_SAMPLES_FRAME_MAX (64U << 20)

struct wv_frame {
	unsigned char *bytes;
	size_t len, room;
	bool failed; /* out of memory */
};
void wv_frame_start(struct wv_frame *f, unsigned char type);
void wv_frame_u64(struct wv_frame *f, uint64_t v);
void wv_frame_bytes(struct wv_frame *f, const void *buf, size_t len);
/* LEB128, at most 10 bytes. Returns how many. */
size_t wv_varint_put(unsigned char buf[10], uint64_t v);
/* Bytes read, 0 if the number is cut off or too long. */
size_t wv_varint_get(const unsigned char *buf, size_t len, uint64_t *ret);

/* A row as the last frame left it. */
struct wv_samples_row {
	uint64_t key; /* 0: no such row, or the `other` row, which is not recorded */
	uint64_t fields[WV_SAMPLES_FIELDS];
};
struct wv_samples_state {
	uint64_t seq, mono_ns, wall_ns;
	uint32_t max_rows, used_rows;
	struct wv_samples_row *rows;
};
int wv_samples_state_init(struct wv_samples_state *s, uint32_t max_rows);
void wv_samples_state_clear(struct wv_samples_state *s);
void wv_samples_state_done(struct wv_samples_state *s);

/* What rules see of a row: own figures, without what dead children left. */
void wv_samples_fields(const struct wv_sample *s, uint32_t slot, uint64_t ret[WV_SAMPLES_FIELDS]);
/* The frame that leads from *last to s; *last becomes s. */
void wv_samples_encode(struct wv_samples_state *last, const struct wv_sample *s,
		       struct wv_frame *f);

/* Names of the file's signals and histograms, as this build numbers them. */
struct wv_samples_map {
	uint32_t *field; /* [n] index of this build, or UINT32_MAX: unknown to it */
	uint32_t n;
};
/* The header's text, to be freed; NULL: out of memory. */
char *wv_samples_header(void);
/* Reads a header of len bytes. Bytes that it takes, or -EBADMSG, -ENOMEM. */
long wv_samples_header_parse(const char *text, size_t len, struct wv_samples_map *ret);
/* Applies a tick's frame (without its type) to last and s, whose rows are filled. -EBADMSG */
int wv_samples_decode(struct wv_samples_state *last, struct wv_sample *s,
		      const struct wv_samples_map *map, const unsigned char *buf, size_t len);
/* Name of segment i: samples.wvs for 0. */
const char *wv_samples_segment_name(unsigned i, char buf[32]);

#endif
