// SPDX-License-Identifier: GPL-2.0-only
/* From a file to install: what is verified, what is new, what is for this device, and the record of
 * what was not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/target.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"
#include "user/update/update.h"

static uint64_t now_s(const struct wv_updater *u)
{
	return u->io->wall_ns(u->io->ctx) / 1000000000ULL;
}

/* What was refused is an attack or a mistake; both belong into the log that cannot lie. Nothing is
 * known of a bundle of which nothing was verified: k is NULL then. */
static void record(const struct wv_updater *u, const struct wv_update_known *k, const char *from,
		   const char *why)
{
	struct json_object *o = json_object_new_object();
	int r;

	if (k) {
		json_object_object_add(o, "bundle_id", json_object_new_string(k->id));
		json_object_object_add(o, "counter", json_object_new_uint64(k->counter));
		json_object_object_add(o, "kind", json_object_new_string(wv_bundle_kinds[k->kind]));
		json_object_object_add(o, "name", json_object_new_string(k->name));
	}
	json_object_object_add(o, "from", json_object_new_string(from));
	json_object_object_add(o, "why", json_object_new_string(why));
	r = wv_event_device(u->io, u->paths, "", "update-refused", o);
	if (r < 0)
		(void)wv_log_warn(r, "update", "a refusal is not in the log");
}

static enum wv_update_result result_of(int error)
{
	switch (error) {
	case 0:
		return WV_UPDATE_INSTALLED;
	case -ESTALE:
	case -EALREADY: /* it is in use */
	case -EEXIST:	/* it was rolled back before */
		return WV_UPDATE_OLD;
	case -EKEYREJECTED:
	case -EKEYEXPIRED:
	case -EBADMSG:
	case -EXDEV:
	case -EFBIG:
		return WV_UPDATE_REFUSED;
	default:
		return WV_UPDATE_FAILED;
	}
}

static void note(struct wv_updater *u, const struct wv_manifest *m, const char *from, int error,
		 const char *why)
{
	struct wv_update_known k = {.kind = m->kind,
				    .counter = m->counter,
				    .at_s = now_s(u),
				    .result = result_of(error)};
	const struct wv_update_known *old = wv_update_find(&u->state, m->kind, m->name);

	snprintf(k.name, sizeof(k.name), "%s", m->name);
	snprintf(k.id, sizeof(k.id), "%s", m->id);
	snprintf(k.from, sizeof(k.from), "%s", from);
	if (error)
		snprintf(k.why, sizeof(k.why), "%s", *why ? why : strerror(-error));
	if (k.result == WV_UPDATE_REFUSED &&
	    (!old || strcmp(old->id, k.id) != 0 || old->result != WV_UPDATE_REFUSED))
		record(u, &k, from, k.why);
	(void)wv_log_full(k.result <= WV_UPDATE_OLD ? LOG_INFO : LOG_WARNING, 0, "update",
			  "%s %s %s, counter %llu, from the %s: %s%s%s", wv_bundle_kinds[m->kind],
			  m->name, m->version, (unsigned long long)m->counter, from,
			  wv_update_results[k.result], error ? ": " : "", k.why);
	/* an old file says nothing new of what is installed */
	if (k.result != WV_UPDATE_OLD || !old)
		wv_update_note(&u->state, &k);
}

static int check_new(struct wv_updater *u, const struct wv_manifest *m,
		     struct wv_manifest_error *error)
{
	struct wv_bundle_here here;
	uint64_t newest;
	int r = u->sink.newest(u->sink.ctx, m->kind, m->name, &newest);

	if (r < 0)
		return r;
	if (m->counter <= newest) {
		snprintf(error->text, sizeof(error->text), "counter %llu is installed",
			 (unsigned long long)newest);
		return -ESTALE;
	}
	r = wv_bundle_here(&here, u->io, u->paths,
			   wv_bundle_environments[u->config->update_environment], true);
	/* which applications are here is for install to say, which knows them */
	here.target.apps = (const char *const[]){m->app, NULL};
	return r < 0 ? r : wv_manifest_fits(m, &here.target, error);
}

static int deliver(struct wv_updater *u, struct wv_trust *trust, int fd, const char *from,
		   const char *id)
{
	struct wv_manifest_error error = {.text = ""};
	struct wv_bundle_reader *reader;
	const struct wv_manifest *m;
	int r = wv_bundle_read_open(&reader, fd, trust, now_s(u), &error);

	if (r < 0) { /* whose it is is not known, for nothing of it was verified */
		snprintf(u->state.error, sizeof(u->state.error), "%s", error.text);
		if (result_of(r) == WV_UPDATE_REFUSED)
			record(u, NULL, from, error.text);
		return wv_log_warn(r, "update", "a bundle from the %s: %s", from, error.text);
	}
	m = wv_bundle_read_manifest(reader);
	if (id && strcmp(id, m->id) != 0) {
		snprintf(error.text, sizeof(error.text), "it is not the bundle of the index");
		r = -EBADMSG;
	}
	if (r == 0)
		r = check_new(u, m, &error);
	if (r == 0)
		r = u->sink.install(u->sink.ctx, reader, trust, &error);
	note(u, m, from, r, error.text);
	wv_bundle_read_close(reader);
	return result_of(r) == WV_UPDATE_FAILED ? r : 0;
}

int wv_updater_deliver(struct wv_updater *u, int fd, const char *from, const char *id)
{
	struct wv_trust *trust;
	int r = wv_trust_open(&trust, u->io, u->paths);

	if (r < 0) {
		snprintf(u->state.error, sizeof(u->state.error), "%s",
			 r == -ENOENT ? "no root is pinned here (bundle root pin)" : strerror(-r));
		return r;
	}
	r = deliver(u, trust, fd, from, id);
	wv_trust_close(trust);
	return r;
}
