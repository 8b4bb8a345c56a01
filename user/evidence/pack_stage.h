/* SPDX-License-Identifier: GPL-2.0-only */
/* A pack while it is made: files lie in a folder of their own until the manifest is known. */
#ifndef WV_EVIDENCE_PACK_STAGE_H
#define WV_EVIDENCE_PACK_STAGE_H

#include "user/evidence/pack.h"

#define WV_PACK_RUN "run/"
#define WV_PACK_RECORDS "log/records.jsonl"
#define WV_PACK_LEAVES "log/leaves"
#define WV_PACK_CHECKPOINT "log/checkpoint"
#define WV_PACK_PROOF "log/proof.json"
#define WV_PACK_OPEN_METRICS "run/metrics.open.csv"

struct wv_pack_file {
	char name[WV_PACK_NAME_SIZE];
	char sha256[WV_SHA256_HEX];
	uint64_t bytes;
};

struct wv_pack_stage {
	const struct wv_pack_options *o;
	struct wv_pack_result *result;
	char dir[2 * WV_PATH_SIZE]; /* the folder */
	int fd;
	struct wv_pack_file files[WV_PACK_FILES_MAX];
	unsigned n;
	uint64_t bytes;
	struct wv_redactor redactor;
	struct json_object *missing;  /* list: what should be there and is not */
	struct json_object *log;      /* the manifest's member */
	struct json_object *run_meta; /* of the run, redacted; NULL if there is none */
};

/* Adds a file as it is. */
int wv_stage_add(struct wv_pack_stage *s, const char *name, const void *data, size_t len);
/* Fails with a sentence for people. */
int wv_stage_fail(struct wv_pack_stage *s, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void wv_stage_missing(struct wv_pack_stage *s, const char *what);

/* pack_log.c: log/records.jsonl, log/leaves, log/checkpoint, log/proof.json */
int wv_stage_log(struct wv_pack_stage *s);
/* pack_run.c: run/..., facts.json, summary.html */
int wv_stage_run(struct wv_pack_stage *s);

#endif
