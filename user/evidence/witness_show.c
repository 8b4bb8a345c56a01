// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/witness_show.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/tlog.h"

#define KEY_FILE_MAX 4096

int wv_note_verifier_read(const char *text, struct wv_note_verifier *ret,
			  char why[WV_WITNESS_TEXT_SIZE])
{
	_cleanup_free_ char *file = NULL;

	if (wv_note_verifier_parse(text, ret) == 0)
		return 0;
	if (wv_io_read_file(&wv_io_system, AT_FDCWD, text, KEY_FILE_MAX, &file, NULL) < 0) {
		snprintf(why, WV_WITNESS_TEXT_SIZE,
			 "'%s' is neither a verifier key (as `evidence key` prints it) nor a file "
			 "with one",
			 text);
		return -EINVAL;
	}
	/* the first line, so that the output of `evidence key` will do */
	file[strcspn(file, "\r\n")] = '\0';
	if (wv_note_verifier_parse(file, ret) == 0)
		return 0;
	snprintf(why, WV_WITNESS_TEXT_SIZE,
		 "the first line of %s is no verifier key (as `evidence key` prints it)", text);
	return -EINVAL;
}

int wv_witness_url_add(struct wv_witness_urls *w, const char *text, char why[WV_WITNESS_TEXT_SIZE])
{
	size_t url = strcspn(text, " ");
	const char *key = text + url + strspn(text + url, " ");
	struct wv_witness_url *u = &w->list[w->n];
	int r;

	if (w->n == WV_WITNESS_URLS_MAX) {
		snprintf(why, WV_WITNESS_TEXT_SIZE, "'%s': more than %d witnesses", text,
			 WV_WITNESS_URLS_MAX);
		return -EINVAL;
	}
	if (url >= sizeof(u->url) || !url || !*key) {
		snprintf(why, WV_WITNESS_TEXT_SIZE,
			 "'%s': expected a witness's URL and, behind a space, its verifier key",
			 text);
		return -EINVAL;
	}
	memcpy(u->url, text, url);
	u->url[url] = '\0';
	r = wv_note_verifier_read(key, &u->key, why);
	if (r == 0 && u->key.algorithm != WV_NOTE_COSIGNATURE_V1) {
		snprintf(why, WV_WITNESS_TEXT_SIZE, "'%s' is not the key of a witness", key);
		r = -EINVAL;
	}
	w->n += r == 0;
	return r;
}

int wv_witness_urls_add(struct wv_witness_urls *w, const char *setting,
			char why[WV_WITNESS_TEXT_SIZE])
{
	_cleanup_free_ char *copy = strdup(setting);
	char *rest = copy, *one;
	int r = copy ? 0 : -ENOMEM;

	if (r < 0)
		snprintf(why, WV_WITNESS_TEXT_SIZE, "%s", strerror(ENOMEM));
	while (r == 0 && (one = strsep(&rest, ",")))
		if (*(one += strspn(one, " ")))
			r = wv_witness_url_add(w, one, why);
	return r;
}

int wv_newest_open(struct wv_newest *n, const struct wv_io *io, int dirfd)
{
	struct wv_newest new = {.leaves.fd = -1};
	uint64_t by;
	size_t len;
	int r = wv_io_read_file(io, dirfd, WV_TLOG_CHECKPOINT_NAME, WV_NOTE_MAX, &new.note, &len);

	if (r == 0)
		r = wv_note_open(new.note, len, NULL, 0, &by, NULL, &new.text_len);
	if (r == 0)
		r = wv_checkpoint_parse(new.note, new.text_len, &new.c);
	if (r == 0)
		r = wv_leaf_file_open(&new.leaves, dirfd);
	if (r < 0)
		free(new.note);
	else
		*n = new;
	return r;
}

void wv_newest_close(struct wv_newest *n)
{
	free(TAKE_PTR(n->note));
	wv_leaf_file_close(&n->leaves);
}

int wv_newest_show(struct wv_newest *n, wv_witness_post_fn post, void *ctx,
		   const struct wv_witness_url *u, struct wv_witness_answer *ret)
{
	return wv_witness_submit(post, ctx, u->url, &u->key, &n->leaves, n->note, ret);
}

int wv_newest_keep(const struct wv_newest *n, const struct wv_io *io, int dirfd, const char *lines)
{
	_cleanup_free_ char *whole = NULL;

	if (asprintf(&whole, "%s%s", n->note, lines) < 0)
		return -ENOMEM;
	return wv_io_replace(io, dirfd, WV_WITNESSED_NAME, whole, strlen(whole), 0640);
}

const char *wv_witness_answer_text(const struct wv_witness_answer *a, const char *url,
				   uint64_t size, char ret[WV_WITNESS_TEXT_SIZE])
{
	switch (a->verdict) {
	case WV_WITNESS_COSIGNED:
		snprintf(ret, WV_WITNESS_TEXT_SIZE, "%s vouches for these %" PRIu64 " records", url,
			 size);
		break;
	case WV_WITNESS_AHEAD:
		snprintf(ret, WV_WITNESS_TEXT_SIZE,
			 "%s saw %" PRIu64 " records, here are %" PRIu64
			 " signed: the log was put back",
			 url, a->size, size);
		break;
	case WV_WITNESS_FORKED:
		snprintf(ret, WV_WITNESS_TEXT_SIZE,
			 "%s saw other records among the first %" PRIu64 ": the log was forked",
			 url, a->size);
		break;
	case WV_WITNESS_REFUSED:
		snprintf(ret, WV_WITNESS_TEXT_SIZE, "%s does not cosign: %s (HTTP %d)", url,
			 a->status == 404   ? "it does not know this log"
			 : a->status == 403 ? "it knows this log by another key"
			 : a->status == 200 ? "its answer is not signed by its key"
					    : "it failed",
			 a->status);
		break;
	}
	return ret;
}
