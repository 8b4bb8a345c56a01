// SPDX-License-Identifier: GPL-2.0-only
/*
 * Verifying a pack. The archive is read once; what has to be looked into is kept, of the rest only
 * digests. Everything that is wrong is told, not only the first. Input is an adversary's: sizes and
 * numbers are bounded.
 */
#include "user/evidence/pack.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"
#include "user/evidence/pack_archive.h"
#include "user/evidence/pack_check.h"
#include "user/evidence/pack_stage.h"

void wv_pack_key_id(const struct wv_public_key *key, unsigned char ret[8])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256(key->bytes, sizeof(key->bytes), digest);
	memcpy(ret, digest, 8);
}

bool wv_pack_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= WV_PACK_NAME_SIZE)
		return false;
	for (const char *part = name; part;
	     part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
		size_t n = strcspn(part, "/");

		/* no empty part, none that begins with a dot */
		if (!n || part[0] == '.')
			return false;
		for (size_t i = 0; i < n; i++)
			if (!isalnum((unsigned char)part[i]) && !strchr("._-", part[i]))
				return false;
	}
	return true;
}

void wv_pack_finding(struct wv_pack_reading *p, const char *what, const char *where,
		     const char *format, ...)
{
	char text[WV_PACK_ERROR_SIZE];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	p->verdict->findings++;
	if (p->check->finding)
		p->check->finding(p->check->ctx, what, where, text);
}

struct wv_pack_entry *wv_pack_entry(struct wv_pack_reading *p, const char *name)
{
	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->entries[i].name, name) == 0)
			return &p->entries[i];
	return NULL;
}

/* Reading ---------------------------------------------------------------------------------------
 */

static bool is_kept(const char *name)
{
	static const char *const names[] = {WV_PACK_MANIFEST, WV_PACK_MINISIG,	 WV_PACK_RAW_SIG,
					    WV_PACK_PEM,      WV_PACK_RECORDS,	 WV_PACK_LEAVES,
					    WV_PACK_PROOF,    WV_PACK_CHECKPOINT};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int read_entry(struct wv_pack_reading *p, struct wv_tar *t, struct wv_pack_entry *e)
{
	bool keep = is_kept(e->name);
	struct wv_sha256 sum;
	char buf[65536];
	ssize_t n;
	int r = 0;

	wv_sha256_init(&sum);
	while ((n = wv_tar_read(t, buf, sizeof(buf))) > 0) {
		wv_sha256_add(&sum, buf, (size_t)n);
		p->total += (uint64_t)n;
		if (p->total > WV_PACK_TOTAL_MAX || e->bytes + (uint64_t)n > WV_PACK_FILE_MAX) {
			r = -EFBIG;
			break;
		}
		if (keep) {
			char *more = realloc(e->data, e->bytes + (size_t)n + 1);

			if (!more) {
				r = -ENOMEM;
				break;
			}
			e->data = more;
			memcpy(e->data + e->bytes, buf, (size_t)n);
			e->data[e->bytes + (size_t)n] = '\0';
		}
		e->bytes += (uint64_t)n;
	}
	wv_sha256_end(&sum, e->sha256);
	return r ?: (int)n;
}

static int read_all(struct wv_pack_reading *p, int fd)
{
	const char *name = "";
	struct wv_tar *t;
	int r = wv_tar_read_open(&t, fd);

	if (r < 0)
		return r;
	while ((r = wv_tar_read_next(t, &name)) > 0) {
		if (p->n == WV_PACK_FILES_MAX || !wv_pack_name_ok(name)) {
			wv_pack_finding(p, "archive", "",
					p->n == WV_PACK_FILES_MAX
						? "more files than a pack may have"
						: "a file has a name that no pack has");
			r = 0;
			break;
		}
		if (wv_pack_entry(p, name)) {
			wv_pack_finding(p, "file", name, "is in the archive twice");
			continue;
		}
		snprintf(p->entries[p->n].name, WV_PACK_NAME_SIZE, "%s", name);
		r = read_entry(p, t, &p->entries[p->n++]);
		if (r < 0)
			break;
	}
	if (r == -EBADMSG && p->n == 0)
		; /* no archive at all */
	else if (r == -EBADMSG || r == -EFBIG)
		wv_pack_finding(p, "archive", p->n ? p->entries[p->n - 1].name : "",
				r == -EFBIG ? "is larger than a pack may be"
					    : "the archive is damaged or cut off here");
	wv_tar_read_close(t);
	return p->n && r != -ENOMEM ? 0 : r ?: -EBADMSG;
}

/* Manifest --------------------------------------------------------------------------------------
 */

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v) &&
			       json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}

bool wv_pack_u64(struct json_object *o, const char *key, uint64_t *ret)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_int))
		return false;
	*ret = json_object_get_uint64(v);
	return true;
}

static void parse_manifest(struct wv_pack_reading *p)
{
	struct wv_pack_entry *e = wv_pack_entry(p, WV_PACK_MANIFEST);
	uint64_t version = 0;

	if (!e || !e->data) {
		wv_pack_finding(p, "file", WV_PACK_MANIFEST, "is missing");
		return;
	}
	e->known = true;
	if (strlen(e->data) != e->bytes || wv_canonical_check(e->data, e->bytes) < 0) {
		wv_pack_finding(p, "manifest", WV_PACK_MANIFEST, "is no canonical JSON");
		return;
	}
	p->manifest = json_tokener_parse(e->data);
	if (!wv_pack_u64(p->manifest, "schema_version", &version) ||
	    version != WV_PACK_SCHEMA_VERSION ||
	    strcmp(text_of(p->manifest, "kind"), "evidence") != 0)
		wv_pack_finding(p, "manifest", WV_PACK_MANIFEST,
				"is of schema_version %" PRIu64
				" and kind '%.20s'; this program reads "
				"evidence packs of schema_version %d",
				version, text_of(p->manifest, "kind"), WV_PACK_SCHEMA_VERSION);
}

/* Which key must have signed. */
static bool find_key(struct wv_pack_reading *p)
{
	struct wv_pack_entry *pem = wv_pack_entry(p, WV_PACK_PEM);
	struct wv_public_key own;
	bool has = pem && pem->data && wv_public_key_from_pem(pem->data, &own) == 0;

	if (!has)
		wv_pack_finding(p, "file", WV_PACK_PEM, pem ? "is no Ed25519 key" : "is missing");
	if (p->check->trusted) {
		p->verdict->key = *p->check->trusted;
		if (has && memcmp(own.bytes, p->check->trusted->bytes, sizeof(own.bytes)) != 0)
			wv_pack_finding(p, "signature", WV_PACK_PEM,
					"is not the key that is trusted");
		return true;
	}
	if (has)
		p->verdict->key = own;
	return has;
}

static void check_signatures(struct wv_pack_reading *p)
{
	struct wv_pack_entry *m = wv_pack_entry(p, WV_PACK_MANIFEST);
	struct wv_pack_entry *raw = wv_pack_entry(p, WV_PACK_RAW_SIG);
	struct wv_pack_entry *mini = wv_pack_entry(p, WV_PACK_MINISIG);
	const struct wv_public_key *key = &p->verdict->key;
	bool good = true;

	p->has_key = find_key(p);
	if (!m || !m->data || !p->has_key)
		return;
	if (!raw || !raw->data) {
		wv_pack_finding(p, "file", WV_PACK_RAW_SIG, "is missing");
		good = false;
	} else if (raw->known = true, raw->bytes != WV_SIGNATURE_SIZE ||
					      wv_sign_check(key, m->data, m->bytes,
							    (const unsigned char *)raw->data) < 0) {
		wv_pack_finding(p, "signature", WV_PACK_RAW_SIG,
				"the manifest is not what was signed, or not by this key");
		good = false;
	}
	if (!mini || !mini->data) {
		wv_pack_finding(p, "file", WV_PACK_MINISIG, "is missing");
		good = false;
	} else if (mini->known = true, wv_minisign_check(key, m->data, m->bytes, mini->data) < 0) {
		wv_pack_finding(p, "signature", WV_PACK_MINISIG,
				"the manifest is not what was signed, or not by this key");
		good = false;
	}
	p->verdict->trusted = good && p->check->trusted;
}

static void check_file(struct wv_pack_reading *p, struct json_object *f)
{
	const char *name = text_of(f, "name");
	struct wv_pack_entry *e = wv_pack_entry(p, name);
	uint64_t bytes = 0;

	if (!*name || !wv_pack_u64(f, "bytes", &bytes)) {
		wv_pack_finding(p, "manifest", WV_PACK_MANIFEST,
				"names a file without name or size");
		return;
	}
	if (!e) {
		wv_pack_finding(p, "file", name, "is missing");
		return;
	}
	if (e->known)
		wv_pack_finding(p, "manifest", name, "is listed twice");
	e->known = true;
	if (e->bytes != bytes)
		wv_pack_finding(p, "file", name,
				"has %" PRIu64 " bytes, the manifest says %" PRIu64, e->bytes,
				bytes);
	else if (strcmp(e->sha256, text_of(f, "sha256")) != 0)
		wv_pack_finding(p, "file", name, "was altered: its SHA-256 is not the manifest's");
}

static void check_files(struct wv_pack_reading *p)
{
	struct json_object *list = NULL;

	if (!p->manifest)
		return;
	if (!json_object_object_get_ex(p->manifest, "files", &list) ||
	    !json_object_is_type(list, json_type_array)) {
		wv_pack_finding(p, "manifest", WV_PACK_MANIFEST, "has no list of files");
		return;
	}
	for (size_t i = 0; i < json_object_array_length(list); i++)
		check_file(p, json_object_array_get_idx(list, i));
	for (unsigned i = 0; i < p->n; i++)
		if (!p->entries[i].known)
			wv_pack_finding(p, "file", p->entries[i].name, "is not in the manifest");
}

void wv_pack_judge(struct wv_pack_reading *p)
{
	struct wv_pack_verdict *v = p->verdict;

	parse_manifest(p);
	check_signatures(p);
	check_files(p);
	wv_pack_check_log(p);
	v->files = p->n;
	v->bytes = p->total;
	v->manifest = TAKE_PTR(p->manifest);
	v->trusted = v->trusted && v->findings == 0;
}

int wv_pack_verify(int fd, const struct wv_pack_check *check, struct wv_pack_verdict *ret)
{
	struct wv_pack_reading *p = calloc(1, sizeof(*p));
	int r;

	*ret = (struct wv_pack_verdict){0};
	if (!p)
		return -ENOMEM;
	p->check = check;
	p->verdict = ret;
	r = read_all(p, fd);
	if (r == 0)
		wv_pack_judge(p);
	for (unsigned i = 0; i < p->n; i++)
		free(p->entries[i].data);
	free(p);
	return r;
}
