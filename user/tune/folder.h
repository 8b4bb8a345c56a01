/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tuning and its evidence folder:
 *
 *	spec.yaml, preregistration.json, manifest.json	written before the first trial
 *	trials/000/trial.json, knobs.json		before it is started
 *	           steps.jsonl				by the training itself
 *	           where.jsonl				what the profiler and the wake chains saw
 *	           stdout, stderr			their last 64 KiB
 *	           run.json				last: with it the trial is done
 *	result.json, report.md, tuned-knobs.json	at the end
 *
 * Results follow from the files before them alone. Resuming tells the engine what is there;
 * verifying does the same and compares what follows with what was written.
 */
#ifndef WV_TUNE_FOLDER_H
#define WV_TUNE_FOLDER_H

#include "gpu/tune/spec.h"
#include "user/core/io.h"
#include "user/core/sha256.h"
#include "user/export/text.h"
#include "user/tune/record.h"

#define WV_TUNE_FILES_MAX (8 + 7 * WV_TUNE_RUNS)

struct wv_tune_done { /* a trial, and what came of it */
	struct wv_tune_trial trial;
	struct wv_tune_exit run;
	enum wv_tune_status status;
	uint64_t step_ns;  /* mean of the measured steps; 0: there are none */
	double throughput; /* 0: not told */
	struct wv_tune_shares shares;
	char why[WV_TUNE_TEXT], ignored[256];
};

struct wv_tuning {
	const struct wv_io *io;
	int dir;
	char path[400];
	char **argv;		  /* NULL-terminated */
	uint32_t cpus, templated; /* templated: bits of knobs that the command names */
	struct wv_tune_spec spec;
	struct wv_tune *tuner;
	char cache_dir[400], torch[32];
	struct wv_tune_done done[WV_TUNE_RUNS];
	uint32_t n_done;
	struct wv_tune_file {
		char name[48], sha256[WV_SHA256_HEX];
	} file[WV_TUNE_FILES_MAX];
	size_t n_files;
};

/*
 * Makes the folder, which must not hold a tuning yet, and what is written before the first trial.
 * text: of the specification, read from name. 0; -EINVAL with error filled; -EEXIST; -errno.
 */
int wv_tuning_create(const char *path, const char *name, const char *text, size_t len,
		     char *const *argv, uint32_t cpus, struct wv_tuning **ret,
		     struct wv_config_error *ret_error);
/* Only reads the specification: nothing is written, and there is nothing to run. */
int wv_tuning_plan(const char *name, const char *text, size_t len, uint32_t cpus,
		   struct wv_tuning **ret, struct wv_config_error *ret_error);
/*
 * Opens one that is there and tells the engine its trials; the folder is not changed. 0; -EINVAL or
 * -EBADMSG with error filled: it is no tuning, or a file of it is not as it was written.
 */
int wv_tuning_open(const char *path, struct wv_tuning **ret, struct wv_config_error *ret_error);
void wv_tuning_free(struct wv_tuning *t);

/* For as long as it is open nobody else may run its trials. -EWOULDBLOCK: somebody does. */
int wv_tuning_lock(struct wv_tuning *t);
/* Makes a trial's folder; *ret_dir is the caller's. -errno */
int wv_tuning_begin(struct wv_tuning *t, const struct wv_tune_trial *trial, int *ret_dir);
/* Keeps what came of it, and tells the engine. */
int wv_tuning_end(struct wv_tuning *t, int dir, const struct wv_tune_trial *trial,
		  const struct wv_tune_exit *run, const char *out, size_t out_len, const char *err,
		  size_t err_len);
/* "trials/007" in buf */
const char *wv_tuning_name(uint32_t id, char *buf, size_t size);

/* Reads dir/name into the list of files as `as`; *ret is malloc'ed. */
int wv_tuning_take(struct wv_tuning *t, int dir, const char *name, const char *as, size_t max,
		   char **ret, size_t *ret_len);

#endif
