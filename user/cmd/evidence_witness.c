// SPDX-License-Identifier: GPL-2.0-only
/* evidence witness: remembers other machines' logs and cosigns what continues them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/evidence/witness.h"
#include "user/export/web.h"
#include "user/export/web_mhd.h"

#define LISTEN "127.0.0.1:9851"
#define CONNECTIONS 64U
#define TIMEOUT_S 10U

struct ask {
	const char *verb, *listen, *name;
	bool print;
	struct wv_note_verifier logs[WV_WITNESS_LOGS_MAX];
	unsigned n_logs;
};

static const struct wv_option options[] = {
	{"log", 'l', "VKEY", "a log to remember, by its verifier key; may be repeated"},
	{"listen", 'a', "ADDRESS", "where to answer (default: " LISTEN ")"},
	{"name", 'n', "NAME", "the witness's name (default: that of the device, and /witness)"},
	{"key", 'k', NULL, "print the witness's verifier key and end"},
	{0},
};
static const char examples[] =
	"  waveos-bpf evidence witness --key >witness.vkey\n"
	"  waveos-bpf evidence witness --log device.vkey --listen 0.0.0.0:9851\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct ask *ask = ctx;
	int r;

	switch (o->letter) {
	case 'a':
		ask->listen = value;
		return 0;
	case 'n':
		ask->name = value;
		return 0;
	case 'k':
		ask->print = true;
		return 0;
	default:
		if (ask->n_logs == WV_WITNESS_LOGS_MAX) {
			fprintf(stderr, "waveos-bpf %s: more than %d logs\n", ask->verb,
				WV_WITNESS_LOGS_MAX);
			return WV_EXIT_USAGE;
		}
		r = wv_evidence_parse_key(ask->verb, value, &ask->logs[ask->n_logs]);
		if (r == 0 && ask->logs[ask->n_logs].algorithm != WV_NOTE_ED25519) {
			fprintf(stderr, "waveos-bpf %s: '%s' is the key of a witness, no log's\n",
				ask->verb, value);
			return WV_EXIT_USAGE;
		}
		ask->n_logs += r == 0;
		return r;
	}
}

struct service {
	struct wv_mhd mhd;
	struct wv_witness witness;
};

/* A request's body as it comes in. */
struct upload {
	size_t len;
	bool too_long;
	char bytes[WV_WITNESS_BODY_MAX];
};

static enum MHD_Result answer(struct service *s, struct MHD_Connection *c, unsigned status,
			      const char *type, const char *text)
{
	struct MHD_Response *r = s->mhd.create_response_from_buffer(strlen(text), (void *)text,
								    MHD_RESPMEM_MUST_COPY);
	enum MHD_Result queued;

	if (!r)
		return MHD_NO;
	(void)s->mhd.add_response_header(r, "Content-Type", type);
	queued = s->mhd.queue_response(c, status, r);
	s->mhd.destroy_response(r);
	return queued;
}

static enum MHD_Result add_checkpoint(struct service *s, struct MHD_Connection *c,
				      const struct upload *u)
{
	_cleanup_free_ char *body = NULL;
	int status = u->too_long ? MHD_HTTP_CONTENT_TOO_LARGE
				 : wv_witness_add(&s->witness, u->bytes, u->len, &body);

	wv_log_info("witness", "add-checkpoint: %d", status);
	return answer(s, c, (unsigned)status,
		      status == MHD_HTTP_CONFLICT ? "text/x.tlog.size"
						  : "text/plain; charset=utf-8",
		      body ?: "");
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version _unused_,
				  const char *bytes, size_t *n, void **state)
{
	struct service *s = ctx;
	struct upload *u = *state;

	if (!u) {
		if (strcmp(url, "/add-checkpoint") != 0)
			return answer(s, c, MHD_HTTP_NOT_FOUND, "text/plain", "");
		if (strcmp(method, "POST") != 0)
			return answer(s, c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", "");
		*state = calloc(1, sizeof(*u));
		return *state ? MHD_YES : MHD_NO;
	}
	if (!*n)
		return add_checkpoint(s, c, u);
	u->too_long |= *n > sizeof(u->bytes) - u->len;
	if (!u->too_long) {
		memcpy(u->bytes + u->len, bytes, *n);
		u->len += *n;
	}
	*n = 0;
	return MHD_YES;
}

static void on_end(void *ctx _unused_, struct MHD_Connection *c _unused_, void **state,
		   enum MHD_RequestTerminationCode how _unused_)
{
	free(*state);
	*state = NULL;
}

/* Until SIGTERM or SIGINT. 0 or -errno. */
static int serve(struct service *s, const char *address)
{
	struct MHD_Daemon *d;
	sigset_t stop;
	int fd, r, got;

	r = wv_mhd_load(&s->mhd);
	if (r == 0)
		r = wv_web_listen(address, &fd);
	if (r < 0)
		return r;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	/* one thread: the work is a signature and a sync, and these go one after the other anyway
	 */
	d = s->mhd.start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL,
				on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
				MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
				MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S,
				MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
	if (!d) {
		close(fd);
		return -EIO;
	}
	wv_log_info("witness", "%s answers at %s for %u logs", s->witness.name, address,
		    s->witness.n_logs);
	while (sigwait(&stop, &got))
		;
	s->mhd.stop_daemon(d);
	return 0;
}

static int open_state(const struct wv_paths *paths)
{
	char path[WV_PATH_SIZE + 16];
	int r;

	snprintf(path, sizeof(path), "%s/witness", paths->state);
	r = wv_io_mkdirs(&wv_io_system, path, 0700);
	if (r < 0)
		return r;
	return wv_io_system.open(NULL, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

static int print_key(const struct wv_note_verifier *v)
{
	_cleanup_free_ char *text = NULL;

	if (wv_note_verifier_format(v, &text) < 0)
		return WV_EXIT_INTERNAL;
	printf("%s\n", text);
	return WV_EXIT_OK;
}

static int run(struct wv_cli *cli, struct ask *ask)
{
	char device[WV_KEY_NAME_SIZE], name[WV_KEY_NAME_SIZE + 16];
	struct service s = {0};
	struct wv_note_verifier own;
	struct wv_secret_key key;
	int r;

	r = wv_own_key(&wv_io_system, &cli->paths, "witness.pem", true, &key);
	if (r < 0)
		return wv_evidence_failed(ask->verb, "the witness's key", r);
	wv_key_device_name(&key.public_key, device);
	snprintf(name, sizeof(name), "%s/witness", device);
	if (!ask->name)
		ask->name = name;
	r = wv_note_verifier_init(&own, ask->name, WV_NOTE_COSIGNATURE_V1, &key.public_key);
	if (r < 0) {
		fprintf(stderr, "waveos-bpf %s: '%s' cannot be a name: no white space, no '+'\n",
			ask->verb, ask->name);
		r = WV_EXIT_USAGE;
	} else if (ask->print) {
		r = print_key(&own);
	} else {
		s.witness = (struct wv_witness){.io = &wv_io_system,
						.dirfd = open_state(&cli->paths),
						.name = ask->name,
						.key = &key,
						.logs = ask->logs,
						.n_logs = ask->n_logs};
		r = s.witness.dirfd < 0 ? s.witness.dirfd : serve(&s, ask->listen ?: LISTEN);
		if (s.witness.dirfd >= 0)
			close(s.witness.dirfd);
		r = r < 0 ? wv_evidence_failed(ask->verb, "the witness", r) : WV_EXIT_OK;
	}
	wv_secret_key_wipe(&key);
	return r;
}

int wv_evidence_witness(struct wv_cli *cli, int argc, char **argv)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	int r;

	if (!ask)
		return WV_EXIT_INTERNAL;
	ask->verb = argv[0];
	r = wv_cli_parse(cli, argc, argv, "evidence witness --log VKEY [--listen ADDRESS]",
			 examples, options, set_option, ask);
	if (r >= 0 && (argc != r || (!ask->print && !ask->n_logs))) {
		fprintf(stderr, "waveos-bpf %s: takes the key of at least one log; see --help\n",
			ask->verb);
		r = -WV_EXIT_USAGE;
	}
	r = r < 0 ? -r : run(cli, ask);
	free(ask);
	return r;
}
