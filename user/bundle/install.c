// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/install.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/archive.h"
#include "user/bundle/health.h"
#include "user/bundle/strict.h"
#include "user/bundle/target.h"
#include "user/bundle/trust.h"
#include "user/core/cleanup.h"

/* strict.h's helper always says -EBADMSG: here the reason is another one. */
#define REFUSE(error, code, ...) (wv_manifest_fail((error), __VA_ARGS__), (code))

/* Applications of this device: those whose bundles are in use, and the one that is installed. */
static void list_apps(const struct wv_bundle_states *s, const struct wv_manifest *m,
		      const char *apps[WV_BUNDLE_SLOTS_MAX + 2])
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n && n < WV_BUNDLE_SLOTS_MAX; i++)
		if (s->slots[i].kind == WV_BUNDLE_APP && wv_bundle_active(&s->slots[i]))
			apps[n++] = s->slots[i].name;
	if (m->kind == WV_BUNDLE_APP)
		apps[n++] = m->name;
	apps[n] = NULL;
}

static int check_device(const struct wv_bundles *b, const struct wv_manifest *m,
			const struct wv_install_options *options, struct wv_manifest_error *error)
{
	const char *apps[WV_BUNDLE_SLOTS_MAX + 2];
	struct wv_bundle_here here;
	int r = wv_bundle_here(&here, b->io, b->paths, options->environment, true);

	if (r < 0)
		return r;
	list_apps(&b->states, m, apps);
	here.target.apps = apps;
	return wv_manifest_fits(m, &here.target, error);
}

/* The agent has one policy and one configuration. */
static int check_alone(const struct wv_bundles *b, const struct wv_manifest *m,
		       struct wv_manifest_error *error)
{
	if (m->kind != WV_BUNDLE_POLICY && m->kind != WV_BUNDLE_CONFIG)
		return 0;
	for (unsigned i = 0; i < b->states.n; i++) {
		const struct wv_bundle_slot *slot = &b->states.slots[i];

		if (slot->kind == m->kind && strcmp(slot->name, m->name) != 0 &&
		    wv_bundle_active(slot))
			return REFUSE(error, -EBUSY,
				      "%s '%s' is in use, and there is one at a time; "
				      "`waveos-bpf bundle rollback %s/%s --to-nothing` makes room",
				      wv_bundle_kinds[m->kind], slot->name,
				      wv_bundle_kinds[m->kind], slot->name);
	}
	for (unsigned i = 0; i < m->n_files; i++)
		if (strcmp(m->files[i].path, m->kind == WV_BUNDLE_POLICY
						     ? WV_BUNDLE_POLICY_FILE
						     : WV_BUNDLE_CONFIG_FILE) == 0)
			return 0;
	return REFUSE(error, -EBADMSG, "a bundle of kind %s needs a file %s",
		      wv_bundle_kinds[m->kind],
		      m->kind == WV_BUNDLE_POLICY ? WV_BUNDLE_POLICY_FILE : WV_BUNDLE_CONFIG_FILE);
}

/* Never back: the counter is higher than any that was here, or it is the very same bundle. */
static int check_order(const struct wv_bundles *b, const struct wv_manifest *m, bool again,
		       struct wv_manifest_error *error)
{
	const struct wv_bundle_slot *slot = wv_bundle_slot(&b->states, m->kind, m->name);
	const struct wv_bundle_entry *e = wv_bundle_entry(slot, m->id);
	const struct wv_bundle_entry *trial = wv_bundle_in(slot, WV_BUNDLE_TRIAL);

	if (e && e == wv_bundle_active(slot))
		return REFUSE(error, -EALREADY, "it is in use already (%s)",
			      wv_bundle_state_names[e->state]);
	if (trial)
		return REFUSE(
			error, -EBUSY,
			"version %s is in trial; `waveos-bpf bundle confirm` or `rollback` ends "
			"that",
			trial->version);
	if (slot && (m->counter < slot->highest || (m->counter == slot->highest && !e)))
		return REFUSE(error, -ESTALE,
			      "its counter %llu is not above %llu, the highest that was here",
			      (unsigned long long)m->counter, (unsigned long long)slot->highest);
	if (e && e->state == WV_BUNDLE_ROLLED_BACK && !again)
		return REFUSE(error, -EEXIST,
			      "it was rolled back before (%.120s); --again tries it", e->cause);
	if (e && e->state == WV_BUNDLE_SUPERSEDED)
		return REFUSE(error, -ESTALE,
			      "it was replaced; `waveos-bpf bundle rollback` goes "
			      "back to it");
	return 0;
}

static int check_health(const struct wv_manifest *m, struct wv_manifest_error *error)
{
	char why[WV_HEALTH_WHY] = "";

	if (m->n_health > WV_HEALTH_RULES_MAX)
		return REFUSE(error, -E2BIG, "more than %d health rules", WV_HEALTH_RULES_MAX);
	for (unsigned i = 0; i < m->n_health; i++) {
		int r = wv_health_can(&m->health[i], why);

		if (r < 0)
			return REFUSE(error, r, "%s", why);
	}
	return 0;
}

static int next_file(void *ctx, const struct wv_bundle_file **ret)
{
	return wv_bundle_read_next(ctx, ret);
}

static ssize_t read_bytes(void *ctx, void *buf, size_t size)
{
	return wv_bundle_read_bytes(ctx, buf, size);
}

static int put_in(struct wv_bundles *b, struct wv_bundle_reader *reader, struct wv_trust *trust,
		  const struct wv_install_options *options, struct wv_installed *ret,
		  struct wv_manifest_error *error)
{
	const struct wv_manifest *m = wv_bundle_read_manifest(reader);
	struct wv_store_source from = {
		.manifest = m, .next = next_file, .read = read_bytes, .ctx = reader};
	int r = wv_bundles_settle(b);

	if (r < 0)
		return REFUSE(error, r, "what an earlier change left cannot be put in order: %s",
			      strerror(-r));
	r = check_device(b, m, options, error);
	r = r ?: check_order(b, m, options->again, error);
	r = r ?: check_alone(b, m, error);
	r = r ?: check_health(m, error);
	if (r < 0)
		return r;
	if (options->reserve_bytes)
		b->store.reserve_bytes = options->reserve_bytes;
	from.signatures = wv_bundle_read_signatures(reader, &from.signatures_len);
	r = wv_bundles_stage(b, &from, &ret->staged);
	if (r == -ENOSPC)
		return REFUSE(error, r,
			      "it does not fit on the disk beside the %llu MiB that stay free",
			      (unsigned long long)(b->store.reserve_bytes >> 20));
	if (r == -EBADMSG)
		return REFUSE(error, r, "%s", wv_bundle_read_error(reader));
	/* what it teaches about time holds from here on */
	r = r ?: wv_trust_learn(trust, m);
	return r ?: wv_bundles_activate(b, m->kind, m->name, m->id);
}

static void tell(const struct wv_manifest *m, struct wv_installed *ret)
{
	ret->kind = m->kind;
	ret->counter = m->counter;
	ret->known = true;
	snprintf(ret->name, sizeof(ret->name), "%s", m->name);
	snprintf(ret->id, sizeof(ret->id), "%s", m->id);
	snprintf(ret->version, sizeof(ret->version), "%s", m->version);
}

int wv_bundle_install_read(const struct wv_io *io, const struct wv_paths *paths,
			   struct wv_bundle_reader *reader, struct wv_trust *trust,
			   const struct wv_install_options *options, struct wv_installed *ret,
			   struct wv_manifest_error *error)
{
	struct wv_bundles b;
	int r;

	*ret = (struct wv_installed){.known = false};
	error->text[0] = '\0';
	tell(wv_bundle_read_manifest(reader), ret);
	r = wv_bundles_open(&b, io, paths, options->run_id, true);
	if (r < 0)
		return r;
	r = put_in(&b, reader, trust, options, ret, error);
	wv_bundles_close(&b);
	return r;
}

int wv_bundle_install(const struct wv_io *io, const struct wv_paths *paths, int fd,
		      const struct wv_install_options *options, struct wv_installed *ret,
		      struct wv_manifest_error *error)
{
	struct wv_bundle_reader *reader = NULL;
	struct wv_trust *trust = NULL;
	int r = wv_trust_open(&trust, io, paths);

	*ret = (struct wv_installed){.known = false};
	error->text[0] = '\0';
	if (r == -ENOENT)
		return REFUSE(error, -EKEYREJECTED,
			      "this device trusts nobody yet; `waveos-bpf bundle root pin ROOT` "
			      "tells it whom");
	if (r < 0)
		return r;
	r = wv_bundle_read_open(&reader, fd, trust, wv_trust_now_s(trust), error);
	if (r == 0) {
		r = wv_bundle_install_read(io, paths, reader, trust, options, ret, error);
		wv_bundle_read_close(reader);
	}
	wv_trust_close(trust);
	return r;
}
