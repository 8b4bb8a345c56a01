// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making a pack: files are staged and hashed, then the manifest over them is signed, then all of it
 * is written as one archive under another name, flushed and renamed. A crash leaves a staging
 * folder, which the next pack removes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/version.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/canonical.h"
#include "user/evidence/pack_archive.h"
#include "user/evidence/pack_stage.h"

#define STAGE_PREFIX ".stage-"

static const char readme[] =
	"Evidence pack of waveos-bpf.\n"
	"\n"
	"manifest.json names every other file with its SHA-256, and the part of the device's log "
	"that is here.\n"
	"It is signed with the device's Ed25519 key, twice over the same bytes:\n"
	"\n"
	"  minisign -Vm manifest.json -p key.pub\n"
	"  openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in manifest.json -sigfile "
	"manifest.json.sig\n"
	"\n"
	"The keys in the pack show only that it is whole. That it comes from a device is shown by "
	"the device's key,\n"
	"had from somewhere else:\n"
	"\n"
	"  waveos-bpf evidence verify PACK.tar.zst --key device.pem\n"
	"\n"
	"That also checks every record against the Merkle root in log/checkpoint (a C2SP signed "
	"note): log/leaves holds\n"
	"the leaf hashes of the records, log/proof.json the audit paths of the first and the last. "
	"Records that were\n"
	"redacted are listed in the manifest; their leaf hashes are those of the original lines.\n"
	"\n"
	"summary.html is one page about the run; it loads nothing.\n";

int wv_stage_fail(struct wv_pack_stage *s, int error, const char *format, ...)
{
	va_list ap;

	/* the first reason is the one that counts */
	if (!s->result->error[0]) {
		va_start(ap, format);
		(void)vsnprintf(s->result->error, sizeof(s->result->error), format, ap);
		va_end(ap);
	}
	return error;
}

void wv_stage_missing(struct wv_pack_stage *s, const char *what)
{
	json_object_array_add(s->missing, json_object_new_string(what));
}

/*
 * Name of a staged file. The run's files and the records have the names that they have in the
 * folder of a run, so that the summary is made from what is in the pack; the others are numbered.
 */
static const char *staged(const struct wv_pack_stage *s, unsigned i, char buf[WV_PACK_NAME_SIZE])
{
	const char *name = s->files[i].name;

	if (strcmp(name, WV_PACK_RECORDS) == 0)
		snprintf(buf, WV_PACK_NAME_SIZE, "%s", WV_EVENTS_NAME);
	else if (strcmp(name, WV_PACK_OPEN_METRICS) == 0)
		snprintf(buf, WV_PACK_NAME_SIZE, "%s", WV_CSV_TEMPORARY);
	else if (strncmp(name, WV_PACK_RUN, strlen(WV_PACK_RUN)) == 0)
		snprintf(buf, WV_PACK_NAME_SIZE, "%s", name + strlen(WV_PACK_RUN));
	else
		snprintf(buf, WV_PACK_NAME_SIZE, "%u", i);
	return buf;
}

int wv_stage_add(struct wv_pack_stage *s, const char *name, const void *data, size_t len)
{
	const struct wv_io *io = s->o->io;
	struct wv_pack_file *f = &s->files[s->n];
	char buf[WV_PACK_NAME_SIZE];
	int fd, r;

	if (s->n == WV_PACK_FILES_MAX || s->bytes + len > WV_PACK_TOTAL_MAX ||
	    !wv_pack_name_ok(name))
		return wv_stage_fail(s, -EFBIG, "%s does not fit in the pack", name);
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->bytes = len;
	wv_sha256_hex(data, len, f->sha256);
	fd = io->open(io->ctx, s->fd, staged(s, s->n, buf), O_WRONLY | O_CREAT | O_EXCL, 0640);
	if (fd < 0)
		return wv_stage_fail(s, fd, "%s: %s", s->dir, strerror(-fd));
	r = wv_io_write_all(io, fd, data, len);
	(void)io->close(io->ctx, fd);
	if (r < 0)
		return wv_stage_fail(s, r, "%s: %s", s->dir, strerror(-r));
	s->n++;
	s->bytes += len;
	return 0;
}

/* Staging ---------------------------------------------------------------------------------------
 */

static int remove_entry(void *userdata, const char *name)
{
	const struct wv_pack_stage *s = userdata;

	(void)s->o->io->unlink(s->o->io->ctx, s->fd, name);
	return 0;
}

static void remove_stage(struct wv_pack_stage *s, int packs, const char *name)
{
	const struct wv_io *io = s->o->io;

	if (s->fd < 0)
		return;
	(void)io->list(io->ctx, s->fd, remove_entry, s);
	(void)io->close(io->ctx, s->fd);
	s->fd = -1;
	(void)io->rmdir(io->ctx, packs, name);
}

struct stale {
	struct wv_pack_stage *s;
	int packs;
	char name[64];
};

static int find_stale(void *userdata, const char *name)
{
	struct stale *x = userdata;
	const struct wv_io *io = x->s->o->io;
	int fd;

	if (strncmp(name, STAGE_PREFIX, strlen(STAGE_PREFIX)) != 0 ||
	    strlen(name) >= sizeof(x->name))
		return 0;
	/* whoever makes a pack holds its folder */
	fd = io->open(io->ctx, x->packs, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return 0;
	if (io->lock(io->ctx, fd, false) == 0) {
		snprintf(x->name, sizeof(x->name), "%s", name);
		x->s->fd = fd;
		return 1;
	}
	(void)io->close(io->ctx, fd);
	return 0;
}

static int open_stage(struct wv_pack_stage *s, int *ret_packs, char name[64])
{
	const struct wv_io *io = s->o->io;
	char packs[WV_PATH_SIZE + 8];
	struct stale x = {.s = s};
	unsigned char id[8];
	int r;

	snprintf(packs, sizeof(packs), "%s/packs", s->o->paths->state);
	r = wv_io_mkdirs(io, packs, 0750);
	if (r == 0)
		r = io->open(io->ctx, AT_FDCWD, packs, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return wv_stage_fail(s, r, "%s: %s", packs, strerror(-r));
	*ret_packs = x.packs = r;
	while (io->list(io->ctx, x.packs, find_stale, &x) > 0)
		remove_stage(s, x.packs, x.name);
	r = io->random(io->ctx, id, sizeof(id));
	if (r < 0)
		return r;
	snprintf(name, 64, STAGE_PREFIX "%02x%02x%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2],
		 id[3], id[4], id[5], id[6], id[7]);
	snprintf(s->dir, sizeof(s->dir), "%s/%s", packs, name);
	r = io->mkdir(io->ctx, x.packs, name, 0750);
	if (r == 0)
		r = s->fd =
			io->open(io->ctx, x.packs, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (r >= 0)
		r = io->lock(io->ctx, s->fd, true);
	return r < 0 ? wv_stage_fail(s, r, "%s: %s", s->dir, strerror(-r)) : 0;
}

/* Manifest --------------------------------------------------------------------------------------
 */

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

/* A member of the run's meta where there is one: the pack is about that run. */
static void add_of_run(struct json_object *o, const struct wv_pack_stage *s, const char *key,
		       const char *otherwise)
{
	struct json_object *v;

	if (s->run_meta && json_object_object_get_ex(s->run_meta, key, &v))
		add_text(o, key, json_object_get_string(v));
	else
		add_text(o, key, otherwise);
}

static void boot_id(char buf[40])
{
	_cleanup_free_ char *text = NULL;

	buf[0] = '\0';
	if (wv_io_read_file(&wv_io_system, AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text,
			    NULL) == 0)
		snprintf(buf, 40, "%.*s", (int)strcspn(text, "\n"), text);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct wv_pack_file *)a)->name,
		      ((const struct wv_pack_file *)b)->name);
}

static struct json_object *files_json(const struct wv_pack_stage *s)
{
	struct json_object *list = json_object_new_array();
	struct wv_pack_file sorted[WV_PACK_FILES_MAX];

	memcpy(sorted, s->files, s->n * sizeof(*sorted));
	qsort(sorted, s->n, sizeof(*sorted), by_name);
	for (unsigned i = 0; i < s->n; i++) {
		struct json_object *f = json_object_new_object();

		add_text(f, "name", sorted[i].name);
		json_object_object_add(f, "bytes", json_object_new_uint64(sorted[i].bytes));
		add_text(f, "sha256", sorted[i].sha256);
		json_object_array_add(list, f);
	}
	return list;
}

static struct json_object *manifest_json(const struct wv_pack_stage *s)
{
	struct json_object *o = json_object_new_object(), *found = json_object_new_object();
	const struct wv_pack_options *opt = s->o;
	struct wv_version v;
	char boot[40];

	(void)wv_version_get(opt->config, NULL, &v);
	boot_id(boot);
	json_object_object_add(o, "schema_version", json_object_new_int(WV_PACK_SCHEMA_VERSION));
	add_text(o, "kind", "evidence");
	add_text(o, "waveos_version", v.waveos);
	add_of_run(o, s, "policy_version", v.policy);
	add_of_run(o, s, "bundle_id", v.bundle_id);
	add_of_run(o, s, "run_id", "");
	add_text(o, "boot_id", boot);
	json_object_object_add(o, "made_wall_ns",
			       json_object_new_uint64(opt->io->wall_ns(opt->io->ctx)));
	add_text(o, "reason", opt->reason);
	add_text(o, "profile", wv_profile_names[opt->profile]);
	json_object_object_add(o, "log", json_object_get(s->log));
	for (int i = 0; i < WV_CLASS_N; i++)
		json_object_object_add(found, wv_class_names[i],
				       json_object_new_uint64(s->redactor.found[i]));
	json_object_object_add(o, "redactions", found);
	json_object_object_add(o, "files", files_json(s));
	json_object_object_add(o, "missing", json_object_get(s->missing));
	return o;
}

/* The manifest and what signs it; these are not in its list. */
struct seal {
	char *manifest, *minisig;
	size_t len;
	unsigned char raw[WV_SIGNATURE_SIZE];
};

static int make_seal(struct wv_pack_stage *s, struct seal *x)
{
	struct json_object *o = manifest_json(s);
	const struct wv_secret_key *key = s->o->key;
	unsigned char id[8];
	char comment[128];
	int r = wv_canonical(o, &x->manifest, &x->len);

	json_object_put(o);
	wv_pack_key_id(&key->public_key, id);
	snprintf(comment, sizeof(comment), "evidence pack of %s", s->o->key_name);
	if (r == 0)
		r = wv_sign(key, x->manifest, x->len, x->raw);
	if (r == 0)
		r = wv_minisign_sign(key, id, x->manifest, x->len, comment, &x->minisig);
	return r < 0 ? wv_stage_fail(s, r, "the manifest cannot be signed: %s", strerror(-r)) : 0;
}

static int add_keys(struct wv_pack_stage *s)
{
	_cleanup_free_ char *secret = NULL, *pem = NULL, *minisign = NULL;
	unsigned char id[8];
	int r = wv_key_to_pem(s->o->key, &secret, &pem);

	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	wv_pack_key_id(&s->o->key->public_key, id);
	if (r == 0)
		r = wv_minisign_public(&s->o->key->public_key, id, &minisign);
	r = r ?: wv_stage_add(s, WV_PACK_PEM, pem, strlen(pem));
	r = r ?: wv_stage_add(s, WV_PACK_MINISIGN_KEY, minisign, strlen(minisign));
	return r ?: wv_stage_add(s, "README.txt", readme, strlen(readme));
}

/* Archive ---------------------------------------------------------------------------------------
 */

static int copy_staged(struct wv_pack_stage *s, struct wv_tar *t, unsigned i)
{
	_cleanup_free_ char *data = NULL;
	char buf[WV_PACK_NAME_SIZE];
	size_t len;
	int r = wv_io_read_file(s->o->io, s->fd, staged(s, i, buf), WV_PACK_TOTAL_MAX, &data, &len);

	if (r == 0 && len != s->files[i].bytes)
		r = -EIO;
	return r ?: wv_tar_write(t, s->files[i].name, data, len);
}

static int write_archive(struct wv_pack_stage *s, int fd, const struct seal *x)
{
	unsigned order[WV_PACK_FILES_MAX];
	struct wv_tar *t;
	int r = wv_tar_write_open(&t, s->o->io, fd), e;

	if (r < 0)
		return r == -ENOPKG ? wv_stage_fail(s, r,
						    "libarchive cannot be loaded: install the "
						    "package libarchive13")
				    : r;
	/* the manifest comes first, so that a reader can check the rest as it streams */
	r = wv_tar_write(t, WV_PACK_MANIFEST, x->manifest, x->len);
	r = r ?: wv_tar_write(t, WV_PACK_MINISIG, x->minisig, strlen(x->minisig));
	r = r ?: wv_tar_write(t, WV_PACK_RAW_SIG, x->raw, sizeof(x->raw));
	for (unsigned i = 0; i < s->n; i++) {
		unsigned at = i;

		for (; at && strcmp(s->files[order[at - 1]].name, s->files[i].name) > 0; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	for (unsigned i = 0; r == 0 && i < s->n; i++)
		r = copy_staged(s, t, order[i]);
	e = wv_tar_write_close(t);
	return r ?: e;
}

/* Digest and size of the finished file. */
static int measure(struct wv_pack_stage *s, int fd)
{
	const struct wv_io *io = s->o->io;
	struct wv_sha256 sum;
	char buf[65536];
	uint64_t at = 0;
	ssize_t n;

	wv_sha256_init(&sum);
	while ((n = io->pread(io->ctx, fd, buf, sizeof(buf), (off_t)at)) > 0) {
		wv_sha256_add(&sum, buf, (size_t)n);
		at += (uint64_t)n;
	}
	wv_sha256_end(&sum, s->result->sha256);
	s->result->bytes = at;
	return n < 0 ? (int)n : 0;
}

static int write_output(struct wv_pack_stage *s, const char *output, const struct seal *x)
{
	const struct wv_io *io = s->o->io;
	const char *slash = strrchr(output, '/');
	char dir[2 * WV_PATH_SIZE], tmp[300];
	int dirfd, fd, r;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - output) + 1 : 1,
		 slash ? output : ".");
	output = slash ? slash + 1 : output;
	if (!*output || snprintf(tmp, sizeof(tmp), ".%s.tmp", output) >= 255)
		return wv_stage_fail(s, -EINVAL, "'%s' is no name of a file", output);
	dirfd = io->open(io->ctx, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	if (dirfd < 0)
		return wv_stage_fail(s, dirfd, "%s: %s", dir, strerror(-dirfd));
	fd = io->open(io->ctx, dirfd, tmp, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0640);
	r = fd < 0 ? fd : write_archive(s, fd, x);
	r = r ?: io->fsync(io->ctx, fd);
	r = r ?: measure(s, fd);
	if (fd >= 0)
		(void)io->close(io->ctx, fd);
	r = r ?: io->rename(io->ctx, dirfd, tmp, output);
	r = r ?: wv_io_sync_dir(io, dirfd);
	if (r < 0) {
		(void)io->unlink(io->ctx, dirfd, tmp);
		(void)wv_stage_fail(s, r, "%s%s cannot be written: %s", dir, output, strerror(-r));
	}
	(void)io->close(io->ctx, dirfd);
	return r;
}

int wv_pack_make(const struct wv_pack_options *o, const char *output, struct wv_pack_result *ret)
{
	struct wv_pack_stage *s = calloc(1, sizeof(*s));
	struct seal x = {0};
	char name[64] = "";
	int packs = -1, r;

	*ret = (struct wv_pack_result){0};
	if (!s)
		return -ENOMEM;
	s->o = o;
	s->result = ret;
	s->fd = -1;
	s->missing = json_object_new_array();
	r = wv_redactor_init(&s->redactor, o->io, o->config, o->profile);
	r = r ?: open_stage(s, &packs, name);
	r = r ?: wv_stage_log(s);
	r = r ?: wv_stage_run(s);
	r = r ?: add_keys(s);
	r = r ?: make_seal(s, &x);
	r = r ?: write_output(s, output, &x);
	if (r < 0 && !ret->error[0])
		snprintf(ret->error, sizeof(ret->error), "%s", strerror(-r));
	remove_stage(s, packs, name);
	if (packs >= 0)
		(void)o->io->close(o->io->ctx, packs);
	free(x.manifest);
	free(x.minisig);
	json_object_put(s->missing);
	json_object_put(s->log);
	json_object_put(s->run_meta);
	free(s);
	return r;
}
