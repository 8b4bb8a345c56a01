/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The api worker: answers what the web worker asks for it. It authenticates, authorises, records
 * and only then does anything. The web worker, which talks to the world, may be taken over: nothing
 * that it says of a client is believed where the kernel or a file can be asked instead
 * (docs/access-control.md tells what is left).
 */
#ifndef WV_API_API_H
#define WV_API_API_H

#include <systemd/sd-event.h>

#include "user/access/certificate.h"
#include "user/access/limiter.h"
#include "user/access/tokens.h"
#include "user/agent/core.h"
#include "user/api/audit.h"
#include "user/api/wire.h"

#define WV_API_SOCKET "api.sock" /* in <runtime> */
#define WV_API_JOBS 6

struct wv_api_job;

struct wv_api {
	const struct wv_paths *paths;
	const struct wv_config *config;
	const struct wv_snapshot_map *snapshot; /* MAY be NULL */
	const struct wv_io *io;
	const char *run_id;
	int fd; /* to the web worker */
	sd_event *loop;
	struct wv_role_ids ids;
	struct wv_tokens tokens;
	struct {
		uint64_t ino, mtime_ns, size;
		bool bad; /* it is there and cannot be read: no token counts */
	} tokens_seen;
	struct wv_authorities *authorities;
	struct wv_limiter limiter;
	struct wv_audit audit;
	struct wv_api_job *jobs[WV_API_JOBS];
	uint64_t answered, refused, dropped;
};

/* worker.c */
int wv_api_run(const struct wv_worker_context *ctx);

/* peer.c: who asks. */
enum wv_api_refusal {
	WV_API_KNOWN,	  /* *ret is who it is; what it may is another question */
	WV_API_WRONG,	  /* a credential that does not count */
	WV_API_LIMITED,	  /* ... and too many of them */
	WV_API_SUSPICIOUS /* that connection is none of ours: no client can cause it */
};
/* fd: the client's connection, as the web worker passed it. retry_s, why: of a refusal. */
enum wv_api_refusal wv_api_identify(struct wv_api *a, int fd, const struct wv_api_request *q,
				    struct wv_caller *ret, unsigned *ret_retry_s,
				    const char **ret_why);
/* Reads the file of tokens again if it is another one. */
void wv_api_refresh_tokens(struct wv_api *a);

/* request.c */
void wv_api_take(struct wv_api *a, const void *message, size_t len, int fds[WV_API_FDS_MAX]);
/* Sends an answer with a body in memory (made a memory file if it is large). */
void wv_api_reply(struct wv_api *a, uint64_t id, unsigned status, enum wv_api_type type,
		  const char *body, size_t len);
/* The error object. */
void wv_api_reply_error(struct wv_api *a, uint64_t id, unsigned status, const char *code,
			unsigned retry_s, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/* What a job may know of its request; copies, all of them. */
struct wv_api_ask {
	enum wv_api_route route;
	uint64_t id, number;
	struct wv_caller who;
	int body; /* sealed, or -1 */
	size_t n_params;
	struct {
		char key[WV_API_KEY_MAX + 1], value[WV_API_VALUE_MAX + 1];
	} params[WV_API_PARAMS_MAX];
};
const char *wv_api_ask_param(const struct wv_api_ask *ask, const char *key);

/*
 * jobs.c: everything that reads files or runs a verb is done by a process of its own, with a
 * deadline. Takes over ask->body. 0, or -EBUSY, -errno.
 */
int wv_api_job_start(struct wv_api *a, const struct wv_api_ask *ask, uint64_t record_seq);
void wv_api_jobs_end(struct wv_api *a);

/* answers.c, history.c, policy.c: in the process of a job. Write the body to `out`; an HTTP status,
 * or -errno. */
int wv_api_events(const struct wv_api *a, const struct wv_api_ask *ask, FILE *out);
int wv_api_runs(const struct wv_api *a, const struct wv_api_ask *ask, FILE *out);
int wv_api_history(const struct wv_api *a, const struct wv_api_ask *ask, FILE *out);
int wv_api_policy(const struct wv_api *a, const struct wv_api_ask *ask, FILE *out);
/* Writes {"schema_version":1,"error":{...}} and returns the status. */
int wv_api_fail(FILE *out, int status, const char *code, const char *message);

/* verbs.c: the agent's own verb that a route stands for. argv is NULL-terminated and points into
 * ask, *a and buf. 0, or -EINVAL with why. */
#define WV_API_ARGV_MAX 20
struct wv_api_verb {
	const char *argv[WV_API_ARGV_MAX];
	char product[WV_PATH_SIZE +
		     64]; /* file that it makes for us; "": the answer is its output */
	char text[64];
	enum wv_api_type type; /* of the product */
	bool raw;	       /* its output is the answer, if it ends well */
};
int wv_api_verb_of(const struct wv_api *a, const struct wv_api_ask *ask, struct wv_api_verb *ret,
		   const char **ret_why);
bool wv_api_is_verb(enum wv_api_route route);

#endif
