// SPDX-License-Identifier: GPL-2.0-only
/*
 * One look at an HTTPS source, in the order of TUF's workflow (section 5): roots first, then the
 * index, then the bundles that it names and that are newer than what is here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/update/download.h"
#include "user/update/update.h"

#define ROOTS_A_LOOK 64
#define SMALL_TIMEOUT_S 120
#define URL_SIZE 1024

struct look {
	struct wv_updater *u;
	struct wv_trust *trust;
	struct wv_http_answer answer;
	uint64_t now_s, retry_s;
	struct wv_manifest_error error;
};

/* Small files -------------------------------------------------------------------------------- */

struct text {
	char *bytes;
	size_t len, size;
};

static int take_text(void *ctx, uint64_t from, const void *bytes, size_t len)
{
	struct text *t = ctx;

	if (from != t->len)
		return -EREMOTEIO;
	if (t->len + len + 1 > t->size) { /* bounded by the request's max */
		size_t size = 2 * (t->len + len + 1);
		char *bigger = realloc(t->bytes, size);

		if (!bigger)
			return -ENOMEM;
		t->bytes = bigger;
		t->size = size;
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	t->bytes[t->len] = '\0';
	return 0;
}

/* The source for people: without a name and password that may stand in front of its host. */
static const char *host_of(const char *url)
{
	const char *host = strstr(url, "://"), *end, *at;

	host = host ? host + 3 : url;
	end = host + strcspn(host, "/?#");
	at = memrchr(host, '@', (size_t)(end - host));
	return at ? at + 1 : host;
}

/* Paths of an index are printable ASCII; what a URL would read otherwise is escaped (RFC 3986). */
static int make_url(const struct wv_config *c, const char *path, char ret[URL_SIZE])
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
	size_t len = strlen(c->update_url);
	int n;

	while (len && c->update_url[len - 1] == '/')
		len--;
	n = snprintf(ret, URL_SIZE, "%.*s/", (int)len, c->update_url);
	for (; *path && n < URL_SIZE - 4; path++)
		n += sprintf(ret + n, strchr(plain, *path) ? "%c" : "%%%02X", (unsigned char)*path);
	return *path ? -ENAMETOOLONG : 0;
}

static int get(struct look *l, const char *path, const char *etag, size_t max, struct text *ret)
{
	char url[URL_SIZE];
	const struct wv_http_request q = {.url = url,
					  .if_none_match = etag,
					  .max = max,
					  .timeout_s = SMALL_TIMEOUT_S,
					  .take = take_text,
					  .ctx = ret};
	int r = make_url(l->u->config, path, url);

	if (r == 0)
		r = wv_http_get(l->u->http, &q, &l->answer);
	if (r < 0 && r != -ENOENT)
		(void)wv_manifest_fail(&l->error, "%s: %s", path, l->answer.error);
	if (l->answer.retry_after_s > l->retry_s)
		l->retry_s = l->answer.retry_after_s;
	return r;
}

static int get_roots(struct look *l)
{
	for (int i = 0; i < ROOTS_A_LOOK; i++) {
		struct text t = {.bytes = NULL};
		char path[48];
		int r;

		snprintf(path, sizeof(path), "root.%llu.json",
			 (unsigned long long)wv_trust_root(l->trust)->version + 1);
		r = get(l, path, NULL, WV_ROOT_MAX, &t);
		if (r == 0)
			r = wv_trust_update(l->trust, t.bytes ?: "", t.len, &l->error);
		free(t.bytes);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
		wv_log_info("update", "root %llu is in use now",
			    (unsigned long long)wv_trust_root(l->trust)->version);
	}
	return 0;
}

/* The index in use, if it is of our channel and still good. */
static const struct wv_bundle_index *current(const struct look *l)
{
	const struct wv_bundle_index *index = wv_trust_index(l->trust);

	return index && strcmp(index->channel, l->u->config->update_channel) == 0 ? index : NULL;
}

static int get_index(struct look *l)
{
	struct wv_update_state *s = &l->u->state;
	const struct wv_bundle_index *index = current(l);
	bool usable = index && index->expires_s > wv_trust_now_s(l->trust);
	struct text t = {.bytes = NULL};
	int r = get(l, "index.json", usable && s->etag[0] ? s->etag : NULL, WV_BUNDLE_INDEX_MAX,
		    &t);

	if (r == -ENOENT)
		(void)wv_manifest_fail(&l->error, "the source has no index.json");
	if (r == 0 && l->answer.status != 304) {
		r = wv_trust_take_index(l->trust, t.bytes ?: "", t.len,
					l->u->config->update_channel, l->now_s, &l->error);
		if (r >= 0)
			memcpy(s->etag, l->answer.etag, sizeof(s->etag));
		if (r == 1)
			wv_log_info("update", "index %llu is in use now",
				    (unsigned long long)wv_trust_index(l->trust)->version);
	}
	free(t.bytes);
	return r < 0 ? r : 0;
}

/* Bundles ------------------------------------------------------------------------------------ */

static bool is_wanted(const struct look *l, const struct wv_bundle_index_entry *e)
{
	const struct wv_update_known *k = wv_update_find(&l->u->state, e->kind, e->name);
	uint64_t newest = 0;

	if (k && strcmp(k->id, e->id) == 0 && k->result != WV_UPDATE_FAILED)
		return false;
	return l->u->sink.newest(l->u->sink.ctx, e->kind, e->name, &newest) < 0 ||
	       e->counter > newest;
}

static int get_bundle(struct look *l, const struct wv_bundle_index_entry *e)
{
	struct wv_updater *u = l->u;
	char url[URL_SIZE];
	struct wv_download d = {
		.io = u->io, .dir = u->partial, .url = url, .sha256 = e->sha256, .size = e->size};
	int fd = -1, r = make_url(u->config, e->file, url);

	if (r == 0)
		r = wv_download(&d, u->http, &l->answer, &fd);
	u->state.downloaded_bytes += d.got_bytes;
	if (d.got_bytes)
		u->state.resumed_bytes += d.resumed_bytes;
	if (l->answer.retry_after_s > l->retry_s)
		l->retry_s = l->answer.retry_after_s;
	if (r < 0) {
		(void)wv_manifest_fail(&l->error, "%s: %s", e->file,
				       r == -EBADMSG	  ? "it is not the file of the index"
				       : *l->answer.error ? l->answer.error
							  : strerror(-r));
		return r;
	}
	r = wv_updater_deliver(u, fd, "source", e->id);
	(void)u->io->close(u->io->ctx, fd);
	if (r == 0)
		(void)wv_download_drop(u->io, u->partial, e->sha256);
	else
		memcpy(l->error.text, u->state.error, sizeof(l->error.text));
	return r;
}

/* Names of what is to go; the rest goes at the next look. */
struct sweep {
	const struct wv_bundle_index *index;
	char names[32][WV_SHA256_HEX + 8];
	unsigned n;
};

static int find_unnamed(void *userdata, const char *name)
{
	struct sweep *s = userdata;

	for (unsigned i = 0; i < s->index->n; i++)
		if (strncmp(s->index->entries[i].sha256, name, WV_SHA256_HEX - 1) == 0)
			return 0;
	if (s->n < ARRAY_SIZE(s->names) && strlen(name) < sizeof(s->names[0]))
		strcpy(s->names[s->n++], name);
	return 0;
}

/* What no index names any more is not fetched to its end. */
static void sweep(const struct wv_updater *u, const struct wv_bundle_index *index)
{
	struct sweep s = {.index = index};

	if (u->io->list(u->io->ctx, u->partial, find_unnamed, &s) < 0)
		return;
	for (unsigned i = 0; i < s.n; i++)
		(void)u->io->unlink(u->io->ctx, u->partial, s.names[i]);
}

/* An error of one bundle does not keep the others from coming; one of the source does. */
static int get_bundles(struct look *l)
{
	const struct wv_bundle_index *index = current(l);
	int first = 0;

	if (!index)
		return 0;
	sweep(l->u, index);
	for (unsigned i = 0; i < index->n; i++) {
		int r;

		if (!is_wanted(l, &index->entries[i]))
			continue;
		r = get_bundle(l, &index->entries[i]);
		if (r < 0 && first == 0)
			first = r;
		if (r == -ECANCELED || r == -EHOSTUNREACH || r == -EAGAIN || r == -EKEYREJECTED ||
		    r == -ENOSPC)
			return r;
	}
	return first;
}

static int look(struct look *l)
{
	struct wv_updater *u = l->u;
	const struct wv_http_options options = {.ca = u->config->update_ca,
						.cert = u->config->update_cert,
						.key = u->config->update_key,
						.bandwidth = u->config->update_bandwidth,
						.interrupted = u->interrupted,
						.ctx = u->ctx};
	int r = 0;

	if (strncmp(u->config->update_url, "https://", 8) != 0) {
		(void)wv_manifest_fail(&l->error, "update.url is no https URL");
		return -EINVAL;
	}
	if (!u->http)
		r = wv_http_open(&u->http, &options);

	if (r == 0)
		r = wv_trust_open(&l->trust, u->io, u->paths);
	if (r == -ENOENT)
		(void)wv_manifest_fail(&l->error, "no root is pinned here (bundle root pin)");
	if (r == 0)
		r = get_roots(l);
	if (r == 0)
		r = wv_trust_check_root(l->trust, l->now_s, &l->error);
	if (r == 0)
		r = get_index(l);
	return r < 0 ? r : get_bundles(l);
}

int wv_updater_source(struct wv_updater *u, uint64_t *ret_retry_s)
{
	struct look l = {.u = u, .now_s = u->io->wall_ns(u->io->ctx) / 1000000000ULL};
	struct wv_update_state *s = &u->state;
	int saved, r = look(&l);

	wv_trust_close(l.trust);
	*ret_retry_s = l.retry_s;
	if (r != -ECANCELED) {
		s->checked_s = l.now_s;
		s->failures = r < 0 ? s->failures + 1 : 0;
		s->error[0] = '\0';
	}
	if (r < 0 && r != -ECANCELED) {
		snprintf(s->error, sizeof(s->error), "%s",
			 l.error.text[0] ? l.error.text : strerror(-r));
		(void)wv_log_full(LOG_WARNING, 0, "update", "%s: %s",
				  host_of(u->config->update_url), s->error);
	}
	saved = wv_update_state_save(s, u->io, u->dir);
	return r < 0 ? r : saved;
}
