// SPDX-License-Identifier: GPL-2.0-only
/* Trust: thresholds, rotation, what must never be taken again, and what the clock may do. */
#include "bundle_fixture.h"

static char dir[] = "/tmp/wv-trust-XXXXXX";
static struct wv_paths paths;
static struct wv_manifest_error error;
static struct wv_root root, next;
static uint64_t clock_s; /* what the seam's wall clock says */
static struct wv_io io;

static uint64_t wall(void *ctx)
{
	(void)ctx;
	return clock_s * 1000000000ULL;
}

static struct wv_trust *open_trust(void)
{
	struct wv_trust *t = NULL;

	if (wv_trust_open(&t, &io, &paths) < 0)
		fail_msg("no trust");
	return t;
}

/* A fresh state folder with root 1 of keys 1, 2, 3. */
static struct wv_trust *pinned(unsigned threshold)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	fx_root(&root, 1, 1, 3, threshold);
	text = fx_signed_root(&root, "\1\2\3", &len);
	if (wv_trust_pin(&io, &paths, text, len, &error) < 0)
		fail_msg("%s", error.text);
	return open_trust();
}

static int each_test(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s/*", dir);
	clock_s = NOW;
	return system(command);
}

/* Manifests ---------------------------------------------------------------------------------- */

static int check_at(struct wv_trust *t, const struct wv_manifest *m, const char *type,
		    const char *keys, uint64_t now_s)
{
	struct wv_dsse d = {.n = 0};
	int r;

	for (; *keys; keys++) {
		struct wv_secret_key k = fx_key((unsigned char)*keys);

		assert_int_equal(wv_dsse_sign(&d, type, m->text, m->text_len, &k), 0);
	}
	error.text[0] = '\0';
	r = wv_trust_check(t, m, &d, now_s, &error);
	if (r < 0)
		assert_true(error.text[0] != '\0');
	return r;
}

static int check(struct wv_trust *t, const struct wv_manifest *m, const char *keys)
{
	return check_at(t, m, WV_TYPE_MANIFEST, keys, NOW);
}

static void trust_takes_a_threshold_of_distinct_keys(void **state)
{
	struct wv_trust *t = pinned(2);
	struct wv_manifest m;

	(void)state;
	fx_parse("app", 7, &m);
	assert_int_equal(check(t, &m, ""), -EKEYREJECTED);
	assert_int_equal(check(t, &m, "\1"), -EKEYREJECTED);
	assert_int_equal(check(t, &m, "\1\11"), -EKEYREJECTED);
	assert_int_equal(check(t, &m, "\1\3"), 0);
	assert_int_equal(check(t, &m, "\11\3\2"), 0);
	wv_manifest_done(&m);
	wv_trust_close(t);
}

static void trust_counts_a_key_once(void **state)
{
	struct wv_trust *t = pinned(2);
	struct wv_dsse d = {.n = 0};
	struct wv_secret_key k = fx_key(1), k2 = fx_key(2);
	struct wv_manifest m;

	(void)state;
	fx_parse("app", 7, &m);
	assert_int_equal(wv_dsse_sign(&d, WV_TYPE_MANIFEST, m.text, m.text_len, &k), 0);
	d.signatures[1] = d.signatures[0];
	d.n = 2;
	assert_int_equal(wv_trust_check(t, &m, &d, NOW, &error), -EKEYREJECTED);
	/* also under the id of another key */
	wv_key_id(&k2.public_key, d.signatures[1].key_id);
	assert_int_equal(wv_trust_check(t, &m, &d, NOW, &error), -EKEYREJECTED);
	/* and one that is damaged does not spoil a good one of the same key */
	d.n = 0;
	assert_int_equal(wv_dsse_sign(&d, WV_TYPE_MANIFEST, m.text, m.text_len, &k), 0);
	assert_int_equal(wv_dsse_sign(&d, WV_TYPE_MANIFEST, m.text, m.text_len, &k2), 0);
	d.signatures[2] = d.signatures[0];
	d.signatures[0].bytes[5] ^= 1;
	d.n = 3;
	assert_int_equal(wv_trust_check(t, &m, &d, NOW, &error), 0);
	wv_manifest_done(&m);
	wv_trust_close(t);
}

static void trust_asks_the_role_of_the_kind(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct wv_trust *t;
	struct wv_manifest app, policy;
	size_t len;

	(void)state;
	fx_root(&root, 1, 1, 3, 1);
	for (int role = 0; role < WV_ROLES; role++)
		root.roles[role].keys = 1ULL << (role % 3);
	text = fx_signed_root(&root, "\1\2\3", &len);
	assert_int_equal(wv_trust_of_root(&t, &io, text, len, &error), 0);
	fx_parse("app", 7, &app);
	fx_parse("policy", 7, &policy);
	for (unsigned char n = 1; n <= 3; n++) {
		struct wv_secret_key k = fx_key(n);
		char id[WV_SHA256_HEX];
		const char keys[] = {(char)n, 0};
		unsigned at;

		wv_key_id(&k.public_key, id);
		at = (unsigned)(wv_root_key_of(&root, id) - root.keys);
		assert_int_equal(check(t, &app, keys), at == WV_ROLE_APP ? 0 : -EKEYREJECTED);
		assert_int_equal(check(t, &policy, keys), at == WV_ROLE_POLICY ? 0 : -EKEYREJECTED);
	}
	wv_manifest_done(&app);
	wv_manifest_done(&policy);
	wv_trust_close(t);
}

/* The same bytes signed as something else, or without a type at all. */
static void trust_takes_no_signature_of_another_type(void **state)
{
	struct wv_trust *t = pinned(1);
	struct wv_secret_key k = fx_key(1);
	struct wv_dsse d = {.n = 0};
	struct wv_manifest m;

	(void)state;
	fx_parse("app", 7, &m);
	assert_int_equal(check_at(t, &m, WV_TYPE_ROOT, "\1\2\3", NOW), -EKEYREJECTED);
	assert_int_equal(check_at(t, &m, WV_TYPE_INDEX, "\1\2\3", NOW), -EKEYREJECTED);
	assert_int_equal(wv_dsse_sign(&d, WV_TYPE_MANIFEST, m.text, m.text_len, &k), 0);
	assert_int_equal(wv_sign(&k, m.text, m.text_len, d.signatures[0].bytes), 0);
	assert_int_equal(wv_trust_check(t, &m, &d, NOW, &error), -EKEYREJECTED);
	wv_manifest_done(&m);
	wv_trust_close(t);
}

static void dsse_encoding_is_that_of_its_specification(void **state)
{
	_cleanup_free_ char *pae = NULL;
	size_t len;

	(void)state;
	/* the example of protocol.md */
	assert_int_equal(
		wv_dsse_pae("http://example.com/HelloWorld", "hello world", 11, &pae, &len), 0);
	assert_string_equal(pae, "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
	assert_int_equal(len, strlen(pae));
}

static void dsse_in_another_form_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"{}",
		"[]",
		"{\"payload\":\"\",\"payloadType\":\"" WV_TYPE_ROOT "\"}",
		"{\"payload\":\"YQ\",\"payloadType\":\"" WV_TYPE_ROOT "\",\"signatures\":[]}",
		"{\"payload\":\"YR==\",\"payloadType\":\"" WV_TYPE_ROOT "\",\"signatures\":[]}",
		"{\"payload\":\"YQ==\\n\",\"payloadType\":\"" WV_TYPE_ROOT "\",\"signatures\":[]}",
		"{\"payload\":\"YQ==\",\"payloadType\":\"" WV_TYPE_INDEX "\",\"signatures\":[]}",
		"{\"payload\":\"YQ==\",\"payloadType\":\"" WV_TYPE_ROOT "\",\"signatures\":{}}",
		"{\"payload\":\"YQ==\",\"payloadType\":\"" WV_TYPE_ROOT "\",\"signatures\":[],"
		"\"unsigned\":1}",
		"{\"payload\":\"YQ==\",\"payloadType\":\"" WV_TYPE_ROOT "\",\"signatures\":[1]}",
		"{\"payload\":\"YQ==\",\"payloadType\":\"" WV_TYPE_ROOT "\",\"signatures\":["
		"{\"keyid\":\"0\",\"sig\":\"\"}]}",
	};
	static const char good[] =
		"{\"payload\":\"YQ==\",\"payloadType\":\"" WV_TYPE_ROOT "\",\"signatures\":[]}";
	struct wv_dsse d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (wv_dsse_parse(texts[i], strlen(texts[i]), WV_TYPE_ROOT, false, &d, &error) !=
		    -EBADMSG)
			fail_msg("%s", texts[i]);
	assert_int_equal(wv_dsse_parse(good, strlen(good), WV_TYPE_ROOT, true, &d, &error),
			 -EBADMSG);
	assert_int_equal(wv_dsse_parse(good, strlen(good), WV_TYPE_ROOT, false, &d, &error), 0);
	assert_int_equal(d.len, 1);
	assert_int_equal(d.payload[0], 'a');
	wv_dsse_done(&d);
}

/* Roots -------------------------------------------------------------------------------------- */

static int update(struct wv_trust *t, const struct wv_root *to, const char *keys)
{
	size_t len;
	_cleanup_free_ char *text = fx_signed_root(to, keys, &len);
	int r = wv_trust_update(t, text, len, &error);

	if (r < 0)
		assert_true(error.text[0] != '\0');
	return r;
}

static void root_is_pinned_once(void **state)
{
	struct wv_trust *t = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(wv_trust_open(&t, &io, &paths), -ENOENT);
	fx_root(&root, 1, 1, 3, 2);
	text = fx_signed_root(&root, "\1", &len);
	assert_int_equal(wv_trust_pin(&io, &paths, text, len, &error), -EKEYREJECTED);
	assert_int_equal(wv_trust_open(&t, &io, &paths), -ENOENT);
	wv_trust_close(pinned(2));
	fx_root(&root, 1, 5, 3, 2);
	free(TAKE_PTR(text));
	text = fx_signed_root(&root, "\5\6", &len);
	assert_int_equal(wv_trust_pin(&io, &paths, text, len, &error), -EEXIST);
}

static void root_follows_by_the_thresholds_of_old_and_new(void **state)
{
	struct wv_trust *t = pinned(2);
	struct wv_manifest m;

	(void)state;
	fx_parse("app", 7, &m);
	fx_root(&next, 2, 3, 3, 2); /* keys 3, 4, 5 after 1, 2, 3 */
	assert_int_equal(update(t, &next, "\1\2"), -EKEYREJECTED);
	assert_int_equal(update(t, &next, "\3\4\5"), -EKEYREJECTED);
	assert_int_equal(update(t, &next, "\1\4"), -EKEYREJECTED);
	assert_int_equal(wv_trust_root(t)->version, 1);
	assert_int_equal(update(t, &next, "\1\2\4\5"), 0);
	assert_int_equal(wv_trust_root(t)->version, 2);
	assert_int_equal(check(t, &m, "\1\2"), -EKEYREJECTED);
	assert_int_equal(check(t, &m, "\4\5"), 0);
	wv_trust_close(t);
	t = open_trust(); /* it was durable */
	assert_int_equal(wv_trust_root(t)->version, 2);
	assert_int_equal(check(t, &m, "\1\2"), -EKEYREJECTED);
	wv_manifest_done(&m);
	wv_trust_close(t);
}

static void root_goes_one_version_up_and_never_back(void **state)
{
	struct wv_trust *t = pinned(1);

	(void)state;
	fx_root(&next, 3, 1, 3, 1);
	assert_int_equal(update(t, &next, "\1"), -EKEYREJECTED);
	next.version = 2;
	assert_int_equal(update(t, &next, "\1"), 0);
	assert_int_equal(update(t, &next, "\1\2\3"), 0); /* the same one, more signatures */
	next.created_s++;
	assert_int_equal(update(t, &next, "\1"), -ESTALE); /* another one of that version */
	assert_int_equal(update(t, &root, "\1\2\3"), -ESTALE);
	assert_int_equal(wv_trust_root(t)->version, 2);
	next.version = 3;
	assert_int_equal(update(t, &next, "\2"), 0);
	wv_trust_close(t);
}

static void root_that_forgets_a_revocation_is_refused(void **state)
{
	struct wv_trust *t = pinned(1);
	struct wv_secret_key k1 = fx_key(1);

	(void)state;
	fx_root(&next, 2, 2, 2, 1);
	wv_key_id(&k1.public_key, next.revoked[0]);
	next.n_revoked = 1;
	/* the key signs its own revocation, as the old root's */
	assert_int_equal(update(t, &next, "\1\2"), 0);
	fx_root(&next, 3, 2, 2, 1);
	assert_int_equal(update(t, &next, "\2"), -EKEYREJECTED);
	fx_root(&next, 3, 1, 3, 1); /* it is back */
	assert_int_equal(update(t, &next, "\2"), -EKEYREJECTED);
	wv_key_id(&k1.public_key, next.revoked[0]);
	next.n_revoked = 1;
	assert_int_equal(update(t, &next, "\2"), -EBADMSG);
	fx_root(&next, 3, 2, 2, 1);
	wv_key_id(&k1.public_key, next.revoked[0]);
	next.n_revoked = 1;
	assert_int_equal(update(t, &next, "\1"), -EKEYREJECTED);
	assert_int_equal(update(t, &next, "\3"), 0);
	wv_trust_close(t);
}

static void root_expired_is_of_no_use_but_the_next_one_follows(void **state)
{
	struct wv_trust *t = pinned(1);
	struct wv_manifest m;

	(void)state;
	fx_parse("app", 7, &m);
	fx_root(&next, 2, 1, 3, 1);
	next.expires_s = NOW;
	assert_int_equal(update(t, &next, "\1"), 0);
	assert_int_equal(check(t, &m, "\1"), -EKEYEXPIRED);
	assert_int_equal(wv_trust_check_root(t, NOW - 1, &error), 0);
	next.version = 3;
	next.expires_s = NOW + 1;
	assert_int_equal(update(t, &next, "\1"), 0);
	assert_int_equal(check(t, &m, "\1"), 0);
	wv_manifest_done(&m);
	wv_trust_close(t);
}

static int parse_root(const struct wv_root *r)
{
	_cleanup_free_ char *text = NULL;
	static struct wv_root ret;
	size_t len;

	assert_int_equal(wv_root_text(r, &text, &len), 0);
	return wv_root_parse(text, len, &ret, &error);
}

static void root_with_a_flaw_is_refused(void **state)
{
	(void)state;
	fx_root(&root, 1, 1, 3, 2);
	assert_int_equal(parse_root(&root), 0);
	root.roles[WV_ROLE_APP].threshold = 0;
	assert_int_equal(parse_root(&root), -EBADMSG);
	root.roles[WV_ROLE_APP].threshold = 4;
	assert_int_equal(parse_root(&root), -EBADMSG);
	fx_root(&root, 1, 1, 3, 1);
	root.roles[WV_ROLE_INDEX].keys = 0;
	assert_int_equal(parse_root(&root), -EBADMSG);
	fx_root(&root, 0, 1, 3, 1);
	assert_int_equal(parse_root(&root), -EBADMSG);
	fx_root(&root, 1, 1, 3, 1);
	root.keys[1].key = root.keys[0].key; /* one key under two ids */
	assert_int_equal(parse_root(&root), -EBADMSG);
	fx_root(&root, 1, 1, 3, 1);
	root.expires_s = root.created_s;
	assert_int_equal(parse_root(&root), -EBADMSG);
	root.expires_s = root.created_s + WV_BUNDLE_LIFE_MAX_S + 1;
	assert_int_equal(parse_root(&root), -EBADMSG);
}

/* Index -------------------------------------------------------------------------------------- */

struct fx_index {
	uint64_t version, created_s, expires_s, counter;
	const char *channel, *keys;
	char id[WV_SHA256_HEX];
};

static const struct fx_index first_index = {.version = 5,
					    .created_s = NOW - 3600,
					    .expires_s = NOW + 7 * DAY,
					    .counter = 7,
					    .channel = "stable",
					    .keys = "\1\2"};

static char *index_text(const struct fx_index *x, size_t *ret_len)
{
	struct wv_bundle_index_entry e = {.kind = WV_BUNDLE_APP,
					  .name = "shop",
					  .counter = x->counter,
					  .size = 1000,
					  .file = "shop.wvb"};
	struct wv_bundle_index index = {.version = x->version,
					.created_s = x->created_s,
					.expires_s = x->expires_s,
					.entries = &e,
					.n = 1};
	_cleanup_free_ char *payload = NULL;
	size_t len;

	snprintf(index.channel, sizeof(index.channel), "%s", x->channel);
	memset(e.sha256, 'a', 64);
	memset(e.id, 'b', 64);
	if (x->id[0])
		memcpy(e.id, x->id, sizeof(e.id));
	assert_int_equal(wv_bundle_index_text(&index, &payload, &len), 0);
	return fx_sign(WV_TYPE_INDEX, payload, len, false, x->keys, ret_len);
}

static int take_at(struct wv_trust *t, struct fx_index x, uint64_t now_s)
{
	size_t len;
	_cleanup_free_ char *text = index_text(&x, &len);
	int r = wv_trust_take_index(t, text, len, "stable", now_s, &error);

	return r;
}

#define TAKE(t, ...)                                                                               \
	({                                                                                         \
		struct fx_index _x = first_index;                                                  \
		__VA_ARGS__;                                                                       \
		take_at(t, _x, NOW);                                                               \
	})

static void index_is_taken_once_and_never_an_older_one(void **state)
{
	struct wv_trust *t = pinned(2);

	(void)state;
	assert_null(wv_trust_index(t));
	assert_int_equal(TAKE(t, ), 1);
	assert_int_equal(TAKE(t, ), 0);
	assert_int_equal(TAKE(t, _x.version = 4), -ESTALE);
	assert_int_equal(TAKE(t, _x.expires_s++), -ESTALE); /* another one of that version */
	assert_int_equal(TAKE(t, _x.version = 6, _x.counter = 6), -ESTALE);
	assert_int_equal(TAKE(t, _x.version = 6, memset(_x.id, 'c', 64)), -ESTALE);
	assert_int_equal(wv_trust_index(t)->version, 5);
	assert_int_equal(TAKE(t, _x.version = 6, _x.counter = 8), 1);
	wv_trust_close(t);
	t = open_trust();
	assert_int_equal(wv_trust_index(t)->version, 6);
	assert_int_equal(TAKE(t, ), -ESTALE);
	wv_trust_close(t);
}

static void index_of_others_is_refused(void **state)
{
	struct wv_trust *t = pinned(2);
	struct fx_index x = first_index;
	_cleanup_free_ char *payload = NULL, *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(TAKE(t, _x.keys = "\1"), -EKEYREJECTED);
	assert_int_equal(TAKE(t, _x.keys = "\11\12"), -EKEYREJECTED);
	assert_int_equal(TAKE(t, _x.channel = "beta"), -EKEYREJECTED);
	assert_int_equal(TAKE(t, _x.expires_s = NOW), -EKEYEXPIRED);
	assert_int_equal(TAKE(t, _x.expires_s = _x.created_s + WV_BUNDLE_INDEX_LIFE_MAX_S + 1),
			 -EBADMSG);
	/* a root where an index belongs */
	assert_int_equal(wv_root_text(&root, &payload, &len), 0);
	text = fx_sign(WV_TYPE_INDEX, payload, len, false, x.keys, &len);
	assert_int_equal(wv_trust_take_index(t, text, len, "stable", NOW, &error), -EBADMSG);
	free(TAKE_PTR(text));
	text = fx_signed_root(&root, x.keys, &len);
	assert_int_equal(wv_trust_take_index(t, text, len, "stable", NOW, &error), -EBADMSG);
	assert_null(wv_trust_index(t));
	wv_trust_close(t);
}

static void index_names_the_oldest_bundle_that_is_taken(void **state)
{
	struct wv_trust *t = pinned(1);
	struct wv_manifest m6, m7, m8, other;

	(void)state;
	fx_parse("app", 6, &m6);
	fx_parse("app", 7, &m7);
	fx_parse("app", 8, &m8);
	fx_parse("config", 1, &other);
	assert_int_equal(check(t, &m6, "\1"), 0);
	assert_int_equal(TAKE(t, memcpy(_x.id, m7.id, sizeof(_x.id))), 1);
	assert_int_equal(check(t, &m6, "\1"), -ESTALE);
	assert_int_equal(check(t, &m7, "\1"), 0);
	assert_int_equal(check(t, &m8, "\1"), 0); /* brought by hand, before the index */
	assert_int_equal(check(t, &other, "\1"), 0);
	/* the same counter, but not what the index names */
	assert_int_equal(TAKE(t, _x.version = 6, _x.counter = 8), 1);
	assert_int_equal(check(t, &m8, "\1"), -ESTALE);
	wv_manifest_done(&m6);
	wv_manifest_done(&m7);
	wv_manifest_done(&m8);
	wv_manifest_done(&other);
	wv_trust_close(t);
}

/* A stolen index key drove the version up; without the key it counts no more. */
static void index_of_a_key_that_is_gone_is_forgotten(void **state)
{
	struct wv_trust *t = pinned(1);

	(void)state;
	assert_int_equal(TAKE(t, _x.version = WV_STRICT_UINT_MAX, _x.keys = "\1"), 1);
	assert_int_equal(TAKE(t, _x.version = 6), -ESTALE);
	fx_root(&next, 2, 2, 3, 1);
	assert_int_equal(update(t, &next, "\1\2"), 0);
	assert_null(wv_trust_index(t));
	assert_int_equal(TAKE(t, _x.version = 6, _x.keys = "\1"), -EKEYREJECTED);
	assert_int_equal(TAKE(t, _x.version = 6, _x.keys = "\2"), 1);
	wv_trust_close(t);
	t = open_trust();
	assert_int_equal(wv_trust_index(t)->version, 6);
	wv_trust_close(t);
}

/* Time --------------------------------------------------------------------------------------- */

static void time_set_back_revives_nothing(void **state)
{
	struct wv_trust *t = pinned(1);
	struct wv_manifest m;

	(void)state;
	fx_parse("app", 7, &m);
	assert_int_equal(check_at(t, &m, WV_TYPE_MANIFEST, "\1", m.expires_s), -EKEYEXPIRED);
	assert_int_equal(check_at(t, &m, WV_TYPE_MANIFEST, "\1", 0), 0);
	/* an index was made after it expired: whatever the clock says now, it has expired */
	assert_int_equal(take_at(t,
				 (struct fx_index){.version = 1,
						   .created_s = m.expires_s + 1,
						   .expires_s = m.expires_s + DAY,
						   .counter = 1,
						   .channel = "stable",
						   .keys = "\1"},
				 NOW),
			 1);
	assert_int_equal(check_at(t, &m, WV_TYPE_MANIFEST, "\1", 0), -EKEYEXPIRED);
	wv_trust_close(t);
	t = open_trust();
	clock_s = 1;
	assert_int_equal(wv_trust_now_s(t), m.expires_s + 1);
	assert_int_equal(check_at(t, &m, WV_TYPE_MANIFEST, "\1", 0), -EKEYEXPIRED);
	wv_manifest_done(&m);
	wv_trust_close(t);
}

static void time_that_ran_ahead_leaves_no_trace(void **state)
{
	const uint64_t far = NOW + 20000 * DAY;
	struct wv_trust *t = pinned(1);
	struct wv_manifest m;

	(void)state;
	fx_parse("app", 7, &m);
	clock_s = far;
	assert_int_equal(wv_trust_now_s(t), far);
	assert_int_equal(check_at(t, &m, WV_TYPE_MANIFEST, "\1", far), -EKEYEXPIRED);
	assert_int_equal(take_at(t, first_index, far), -EKEYEXPIRED);
	fx_root(&next, 2, 1, 3, 1);
	assert_int_equal(update(t, &next, "\1"), 0);
	wv_trust_close(t);
	t = open_trust();
	clock_s = NOW;
	assert_int_equal(wv_trust_now_s(t), NOW);
	assert_int_equal(check_at(t, &m, WV_TYPE_MANIFEST, "\1", NOW), 0);
	assert_int_equal(take_at(t, first_index, NOW), 1);
	wv_manifest_done(&m);
	wv_trust_close(t);
}

/* A signer's clock was wrong: other roles do not mind, and a new key of the role heals it. */
static void time_of_one_role_is_no_other_s_and_goes_with_its_keys(void **state)
{
	struct wv_trust *t = pinned(1);
	struct wv_manifest ahead, app, config;
	struct json_object *o = fx_manifest("app", 8);
	_cleanup_free_ char *text = NULL;
	size_t len;

	(void)state;
	json_object_object_add(o, "created", json_object_new_int64(NOW + 900 * DAY));
	json_object_object_add(o, "expires", json_object_new_int64(NOW + 901 * DAY));
	text = fx_text(o, &len);
	assert_int_equal(wv_manifest_parse(text, len, &ahead, &error), 0);
	fx_parse("app", 9, &app);
	fx_parse("config", 9, &config);
	assert_int_equal(check(t, &ahead, "\1"), 0);
	assert_int_equal(wv_trust_learn(t, &ahead), 0);
	wv_trust_close(t);
	t = open_trust();
	assert_int_equal(check(t, &config, "\1"), 0);
	assert_int_equal(check(t, &app, "\1"), -EKEYEXPIRED);
	fx_root(&next, 2, 1, 3, 1);
	assert_int_equal(update(t, &next, "\1"), 0);
	assert_int_equal(check(t, &app, "\1"), -EKEYEXPIRED);
	fx_root(&next, 3, 1, 3, 1);
	next.roles[WV_ROLE_APP].threshold = 2;
	assert_int_equal(update(t, &next, "\1"), 0);
	assert_int_equal(check(t, &app, "\1\2"), 0);
	wv_trust_close(t);
	t = open_trust();
	assert_int_equal(check(t, &app, "\1\2"), 0);
	wv_manifest_done(&ahead);
	wv_manifest_done(&app);
	wv_manifest_done(&config);
	wv_trust_close(t);
}

/* Two that opened it before: the one that writes last takes back nothing. */
static void trust_opened_twice_never_goes_back(void **state)
{
	struct wv_trust *a = pinned(1), *b = open_trust(), *look;

	(void)state;
	assert_int_equal(wv_trust_open_to_look(&look, &io, &paths), 0);
	fx_root(&next, 2, 2, 3, 1);
	assert_int_equal(update(a, &next, "\1\2"), 0);
	assert_int_equal(TAKE(a, _x.version = 9, _x.keys = "\2"), 1);
	fx_root(&next, 2, 1, 3, 1);
	assert_int_equal(update(b, &next, "\1"), -ESTALE);
	assert_int_equal(TAKE(b, _x.keys = "\2"), -ESTALE);
	assert_int_equal(wv_trust_root(b)->version, 2);
	assert_int_equal(wv_trust_index(b)->version, 9);
	/* who only looks writes nothing */
	assert_int_equal(update(look, &next, "\1"), 0);
	assert_int_equal(TAKE(look, _x.version = 10), 1);
	wv_trust_close(look);
	wv_trust_close(b);
	wv_trust_close(a);
	a = open_trust();
	assert_int_equal(wv_trust_index(a)->version, 9);
	wv_trust_close(a);
}

/* Whatever call of the seam fails: what is kept is the root before or the one after, and it opens.
 */
static struct {
	int calls, fail_at;
} fault;

static int due(void)
{
	return ++fault.calls == fault.fail_at ? -EIO : 0;
}

static int f_open(void *ctx, int d, const char *path, int flags, mode_t mode)
{
	return due() ?: wv_io_system.open(ctx, d, path, flags, mode);
}

static ssize_t f_write(void *ctx, int fd, const void *buf, size_t len)
{
	return due() ?: wv_io_system.write(ctx, fd, buf, len > 100 ? 100 : len);
}

static ssize_t f_pread(void *ctx, int fd, void *buf, size_t len, off_t off)
{
	return due() ?: wv_io_system.pread(ctx, fd, buf, len, off);
}

static int f_fsync(void *ctx, int fd)
{
	return due() ?: wv_io_system.fsync(ctx, fd);
}

static int f_rename(void *ctx, int d, const char *from, const char *to)
{
	return due() ?: wv_io_system.rename(ctx, d, from, to);
}

static int f_lock(void *ctx, int fd, bool wait)
{
	return due() ?: wv_io_system.lock(ctx, fd, wait);
}

static void trust_with_any_call_failing_keeps_the_old_or_the_new(void **state)
{
	const struct wv_io good = io;
	int failures = 0;

	for (fault.fail_at = 1;; fault.fail_at++) {
		struct wv_trust *t;
		int r, taken;

		(void)each_test(state);
		wv_trust_close(pinned(1));
		fx_root(&next, 2, 1, 3, 1);
		io.open = f_open;
		io.write = f_write;
		io.pread = f_pread;
		io.fsync = f_fsync;
		io.rename = f_rename;
		io.lock = f_lock;
		fault.calls = 0;
		taken = 0;
		r = wv_trust_open(&t, &io, &paths);
		if (r == 0) {
			size_t len;
			_cleanup_free_ char *text = fx_signed_root(&next, "\1", &len);

			r = wv_trust_update(t, text, len, &error);
			if (r == 0)
				r = taken = take_at(t, first_index, NOW);
			wv_trust_close(t);
		}
		io = good;
		t = open_trust();
		/* what was acknowledged is there */
		if (r >= 0 || taken < 0)
			assert_int_equal(wv_trust_root(t)->version, 2);
		if (taken == 1)
			assert_int_equal(wv_trust_index(t)->version, 5);
		else
			assert_true(wv_trust_root(t)->version <= 2);
		/* and it goes on */
		assert_int_equal(update(t, &next, "\1"), 0);
		assert_true(take_at(t, first_index, NOW) >= 0);
		wv_trust_close(t);
		if (fault.calls < fault.fail_at)
			break;
		failures++;
	}
	assert_true(failures > 20);
}

/* Roots that travel with a bundle ------------------------------------------------------------- */

static int open_with_roots(struct wv_trust *t, const struct wv_manifest *m, const char *keys,
			   const char *const *roots, const size_t *lens, const uint64_t *versions,
			   unsigned n)
{
	size_t len;
	_cleanup_free_ char *signatures =
		fx_sign(WV_TYPE_MANIFEST, m->text, m->text_len, true, keys, &len);
	const struct wv_bundle_parts parts = {.manifest = m,
					      .signatures = signatures,
					      .signatures_len = len,
					      .roots = roots,
					      .root_lens = lens,
					      .root_versions = versions,
					      .n_roots = n,
					      .level = 3};
	_cleanup_close_ int fd = memfd_create("bundle", MFD_CLOEXEC);
	struct wv_bundle_reader *r;
	int n_read;

	assert_int_equal(wv_bundle_write(&io, fd, &parts, fx_source, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	n_read = wv_bundle_read_open(&r, fd, t, NOW, &error);
	if (n_read == 0)
		wv_bundle_read_close(r);
	return n_read;
}

static void roots_in_a_bundle_bring_an_old_device_up(void **state)
{
	struct wv_trust *t = pinned(1);
	struct wv_manifest m;
	char *roots[3];
	size_t lens[3];
	const uint64_t versions[] = {1, 2, 3};

	(void)state;
	fx_parse("app", 7, &m);
	roots[0] = fx_signed_root(&root, "\1\2\3", &lens[0]);
	fx_root(&next, 2, 4, 1, 1);
	roots[1] = fx_signed_root(&next, "\1\4", &lens[1]);
	fx_root(&next, 3, 7, 1, 1);
	roots[2] = fx_signed_root(&next, "\4\7", &lens[2]);
	assert_int_equal(open_with_roots(t, &m, "\7", NULL, NULL, NULL, 0), -EKEYREJECTED);
	/* one in between is missing */
	assert_int_equal(open_with_roots(t, &m, "\7", (const char *const *)&roots[2], &lens[2],
					 &versions[2], 1),
			 -EKEYREJECTED);
	assert_int_equal(wv_trust_root(t)->version, 1);
	assert_int_equal(
		open_with_roots(t, &m, "\7", (const char *const *)roots, lens, versions, 3), 0);
	assert_int_equal(wv_trust_root(t)->version, 3);
	assert_int_equal(
		open_with_roots(t, &m, "\1", (const char *const *)roots, lens, versions, 3),
		-EKEYREJECTED);
	for (int i = 0; i < 3; i++)
		free(roots[i]);
	wv_manifest_done(&m);
	wv_trust_close(t);
}

static int setup(void **state)
{
	(void)state;
	io = wv_io_system;
	io.wall_ns = wall;
	return mkdtemp(dir) ? wv_paths_init(&paths, dir) : -1;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(trust_takes_a_threshold_of_distinct_keys, each_test),
		cmocka_unit_test_setup(trust_counts_a_key_once, each_test),
		cmocka_unit_test_setup(trust_asks_the_role_of_the_kind, each_test),
		cmocka_unit_test_setup(trust_takes_no_signature_of_another_type, each_test),
		cmocka_unit_test(dsse_encoding_is_that_of_its_specification),
		cmocka_unit_test(dsse_in_another_form_is_refused),
		cmocka_unit_test_setup(root_is_pinned_once, each_test),
		cmocka_unit_test_setup(root_follows_by_the_thresholds_of_old_and_new, each_test),
		cmocka_unit_test_setup(root_goes_one_version_up_and_never_back, each_test),
		cmocka_unit_test_setup(root_that_forgets_a_revocation_is_refused, each_test),
		cmocka_unit_test_setup(root_expired_is_of_no_use_but_the_next_one_follows,
				       each_test),
		cmocka_unit_test(root_with_a_flaw_is_refused),
		cmocka_unit_test_setup(index_is_taken_once_and_never_an_older_one, each_test),
		cmocka_unit_test_setup(index_of_others_is_refused, each_test),
		cmocka_unit_test_setup(index_names_the_oldest_bundle_that_is_taken, each_test),
		cmocka_unit_test_setup(index_of_a_key_that_is_gone_is_forgotten, each_test),
		cmocka_unit_test_setup(time_set_back_revives_nothing, each_test),
		cmocka_unit_test_setup(time_that_ran_ahead_leaves_no_trace, each_test),
		cmocka_unit_test_setup(time_of_one_role_is_no_other_s_and_goes_with_its_keys,
				       each_test),
		cmocka_unit_test_setup(trust_opened_twice_never_goes_back, each_test),
		cmocka_unit_test(trust_with_any_call_failing_keeps_the_old_or_the_new),
		cmocka_unit_test_setup(roots_in_a_bundle_bring_an_old_device_up, each_test),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
