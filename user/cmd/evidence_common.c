// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/evidence/tlog.h"

int wv_evidence_failed(const char *verb, const char *what, int error)
{
	fprintf(stderr, "waveos-bpf %s: %s: %s\n", verb, what, strerror(-error));
	return error == -EACCES || error == -EPERM ? WV_EXIT_DENIED
	       : error == -ENOENT		   ? WV_EXIT_FINDING
						   : WV_EXIT_INTERNAL;
}

int wv_evidence_parse_key(const char *verb, const char *text, struct wv_note_verifier *ret)
{
	char why[WV_WITNESS_TEXT_SIZE];

	if (wv_note_verifier_read(text, ret, why) == 0)
		return 0;
	fprintf(stderr, "waveos-bpf %s: %s\n", verb, why);
	return WV_EXIT_USAGE;
}

int wv_evidence_add_witness(struct wv_evidence_keys *k, const char *verb, const char *vkey)
{
	int r;

	if (!k->n)
		k->n = 1;
	if (k->n == WV_EVIDENCE_KEYS_MAX) {
		fprintf(stderr, "waveos-bpf %s: more than %d witnesses\n", verb,
			WV_EVIDENCE_KEYS_MAX - 1);
		return WV_EXIT_USAGE;
	}
	r = wv_evidence_parse_key(verb, vkey, &k->list[k->n]);
	if (r == 0 && k->list[k->n].algorithm != WV_NOTE_COSIGNATURE_V1) {
		fprintf(stderr, "waveos-bpf %s: '%s' is not the key of a witness\n", verb, vkey);
		return WV_EXIT_USAGE;
	}
	if (r == 0)
		k->n++;
	return r;
}

int wv_evidence_keys_ready(struct wv_evidence_keys *k, const char *verb,
			   const struct wv_paths *paths)
{
	char name[WV_KEY_NAME_SIZE];
	struct wv_secret_key secret;
	int r;

	if (!k->n)
		k->n = 1;
	if (k->key) {
		r = wv_evidence_parse_key(verb, k->key, &k->list[0]);
		if (r == 0 && k->list[0].algorithm != WV_NOTE_ED25519) {
			fprintf(stderr, "waveos-bpf %s: '%s' is the key of a witness, no log's\n",
				verb, k->key);
			return WV_EXIT_USAGE;
		}
		return r;
	}
	r = wv_device_key(&wv_io_system, paths, false, &secret, name);
	if (r == 0)
		r = wv_note_verifier_init(&k->list[0], name, WV_NOTE_ED25519, &secret.public_key);
	wv_secret_key_wipe(&secret);
	if (r == -ENOENT) {
		fprintf(stderr,
			"waveos-bpf %s: no key of a device below %s; say whose signatures count "
			"with --key (what `evidence key` prints there)\n",
			verb, paths->state);
		return WV_EXIT_USAGE;
	}
	return r < 0 ? wv_evidence_failed(verb, "the device's key", r) : 0;
}

const char *wv_evidence_folder(const struct wv_paths *paths, const char *log,
			       char buf[WV_PATH_SIZE + 16])
{
	if (log)
		return log;
	snprintf(buf, WV_PATH_SIZE + 16, "%s/" WV_TLOG_FOLDER, paths->state);
	return buf;
}

int wv_evidence_write(const char *verb, const char *file, const char *text)
{
	size_t len = strlen(text);
	int fd, r;

	if (!file || strcmp(file, "-") == 0)
		return printf("%s\n", text) < 0 || fflush(stdout) ? WV_EXIT_INTERNAL : 0;
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return wv_evidence_failed(verb, file, -errno);
	r = wv_io_write_all(&wv_io_system, fd, text, len);
	if (r == 0)
		r = wv_io_write_all(&wv_io_system, fd, "\n", 1);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r < 0 ? wv_evidence_failed(verb, file, r) : 0;
}

void wv_evidence_print(struct json_object *o)
{
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
