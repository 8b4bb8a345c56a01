/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Knobs, points and the space that is searched. A point has one value for each knob; the space says
 * which values are allowed. Pure.
 */
#ifndef WV_TUNE_KNOBS_H
#define WV_TUNE_KNOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wv_tune_knob {
#define WV_TUNE_KNOB(id, ...) WV_TUNE_##id,
#include "gpu/tune/knobs.def"
	WV_TUNE_KNOB_N
};

enum wv_tune_kind { WV_TUNE_INT, WV_TUNE_BOOL, WV_TUNE_CHOICE };
enum wv_tune_numbers { WV_TUNE_EXACT, WV_TUNE_ROUNDING, WV_TUNE_CHANGES };
enum wv_tune_memory { WV_TUNE_FLAT, WV_TUNE_SLOPE, WV_TUNE_CONSTANT };

enum { WV_TUNE_CACHE_OFF, WV_TUNE_CACHE_RAM, WV_TUNE_CACHE_SSD };
enum { WV_TUNE_FP32, WV_TUNE_BF16, WV_TUNE_FP16 };
enum { WV_TUNE_CKPT_NONE, WV_TUNE_CKPT_SELECTIVE, WV_TUNE_CKPT_FULL };
enum { WV_TUNE_COMPILE_OFF, WV_TUNE_COMPILE_DEFAULT, WV_TUNE_COMPILE_GRAPHS };

#define WV_TUNE_VALUES 12	/* of a knob, at most */
#define WV_TUNE_UNSET INT32_MIN /* the knob is left to the program */

struct wv_tune_knob_def {
	const char *name, *choices, *doc;
	enum wv_tune_kind kind;
	uint32_t helps; /* bits: 1 << enum wv_gpu_bottleneck */
	enum wv_tune_numbers numbers;
	enum wv_tune_memory memory;
	uint32_t n_values;
	int32_t value[WV_TUNE_VALUES];
};
extern const struct wv_tune_knob_def wv_tune_knobs[WV_TUNE_KNOB_N];

struct wv_tune_point {
	int32_t value[WV_TUNE_KNOB_N];
};

/* Makes a point of which no knob is set. */
struct wv_tune_point wv_tune_point_unset(void);
bool wv_tune_point_equal(const struct wv_tune_point *a, const struct wv_tune_point *b);
uint64_t wv_tune_point_hash(const struct wv_tune_point *p);
/* The strongest effect on numbers of what differs between two points. */
enum wv_tune_numbers wv_tune_point_numbers(const struct wv_tune_point *a,
					   const struct wv_tune_point *b);
/* "loader.workers 2->8, precision fp32->bf16"; "no change". Returns buf, always terminated. */
const char *wv_tune_point_change(const struct wv_tune_point *from, const struct wv_tune_point *to,
				 char *buf, size_t size);

/* -ENOENT: no such knob. */
int wv_tune_knob_find(const char *name, enum wv_tune_knob *ret_knob);
/* Text of a value: "8", "true", "bf16"; "unset". Returns buf, always terminated. */
const char *wv_tune_value_text(enum wv_tune_knob knob, int32_t value, char *buf, size_t size);
/* -EINVAL: it is no value of this knob. */
int wv_tune_value_parse(enum wv_tune_knob knob, const char *text, int32_t *ret_value);

/*
 * What may be tried. A knob with no values is left as the start has it. global_batch = micro *
 * accumulate * world is kept: ACCUMULATE is never listed, it follows from MICRO; values of MICRO
 * that do not divide are left out. global_batch 0: MICRO and ACCUMULATE are not touched.
 */
struct wv_tune_space {
	struct {
		uint32_t n;
		int32_t value[WV_TUNE_VALUES]; /* ascending, without doubles */
	} knob[WV_TUNE_KNOB_N];
	struct wv_tune_point start;
	uint32_t global_batch, world; /* world: processes with a device each, >= 1 */
	uint32_t cpus;		      /* that this job may use; 0: not known */
	uint64_t memory_limit_bytes;  /* of a device; 0: not known, then only failures teach */
};

/* An empty space: start unset, world 1. */
void wv_tune_space_init(struct wv_tune_space *s);
/* Allows a knob's values of knobs.def; those of WORKERS up to twice the CPUs. */
void wv_tune_space_allow(struct wv_tune_space *s, enum wv_tune_knob knob);
/* Allows one value. -ENOSPC: too many; -EINVAL: no value of this knob, or ACCUMULATE. */
int wv_tune_space_add(struct wv_tune_space *s, enum wv_tune_knob knob, int32_t value);
/*
 * Makes it ready: the start's own values are allowed, too; ACCUMULATE is set. Returns NULL, or what
 * is wrong in a short text.
 */
const char *wv_tune_space_close(struct wv_tune_space *s);
/* Gives a point its ACCUMULATE. false: not allowed by the space (a value, or the batch). */
bool wv_tune_space_settle(const struct wv_tune_space *s, struct wv_tune_point *p);

#endif
