// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading of bundles. The form is so strict that the place of every entry is known: a header stands
 * where the entry before it ended, so nothing can hide between them, be it an extended header or a
 * gap. Up to the signatures nothing is done with what is read but to keep it in memory.
 */
#include "user/bundle/archive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/archive_lib.h"
#include "user/bundle/strict.h"
#include "user/bundle/unzstd.h"
#include "user/core/cleanup.h"

#define BLOCK 512ULL

struct blob {
	char *text;
	size_t len;
};

struct wv_bundle_reader {
	const struct wv_archive_lib *lib;
	struct archive *a;
	struct wv_unzstd z;
	int failed; /* of the input */
	struct wv_manifest_error error;

	char name[128];		 /* of the entry whose header was read last */
	uint64_t size, position; /* of it, and where the next header must be */
	bool have_entry, at_end;
	uint64_t last_nonzero; /* place after the last byte that was not 0 */

	struct blob manifest, signatures, roots[WV_BUNDLE_ROOTS_MAX];
	unsigned n_roots;
	uint64_t root_versions[WV_BUNDLE_ROOTS_MAX];
	struct wv_manifest m;

	const struct wv_bundle_file **contents, *current;
	unsigned n_contents, next;
	uint64_t left;
	struct wv_sha256 sum;
};

static int bad(struct wv_bundle_reader *r, const char *why)
{
	int failed = r->failed ?: -EBADMSG;

	(void)wv_manifest_fail(&r->error, "%s",
			       failed == -EFBIG	    ? "it expands to more than it says"
			       : failed != -EBADMSG ? strerror(-failed)
						    : why);
	return failed;
}

/* Entries ------------------------------------------------------------------------------------ */

static void note_zeros(struct wv_bundle_reader *r)
{
	size_t i = r->z.out_len;

	while (i && !r->z.out[i - 1])
		i--;
	if (i)
		r->last_nonzero = r->z.produced - r->z.out_len + i;
}

static la_ssize_t give(struct archive *a, void *ctx, const void **ret_buf)
{
	struct wv_bundle_reader *r = ctx;
	ssize_t n = wv_unzstd_read(&r->z);

	if (n < 0) {
		r->failed = (int)n;
		r->lib->archive_set_error(a, (int)-n, "input");
		return -1;
	}
	note_zeros(r);
	*ret_buf = r->z.out;
	return n;
}

static uint64_t blocks(uint64_t size)
{
	return (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* After the last entry: zeros only, to the end of the frame. */
static int check_end(struct wv_bundle_reader *r)
{
	while (!r->z.ended) {
		ssize_t n = wv_unzstd_read(&r->z);

		if (n < 0) {
			r->failed = (int)n;
			return bad(r, "its end is damaged");
		}
		note_zeros(r);
	}
	if (r->last_nonzero > r->position)
		return bad(r, "something comes after the last file");
	return r->z.produced >= r->position + 2 * BLOCK ? 0 : bad(r, "its end is missing");
}

/* 1: r->name and r->size are the next entry; 0: there is none. */
static int next_entry(struct wv_bundle_reader *r)
{
	const struct wv_archive_lib *lib = r->lib;
	struct archive_entry *e;
	const char *name;
	int n;

	if (r->have_entry || r->at_end)
		return r->have_entry;
	n = lib->archive_read_next_header(r->a, &e);
	if (n == ARCHIVE_EOF && !r->failed) {
		r->at_end = true;
		return check_end(r);
	}
	if (n != ARCHIVE_OK || r->failed)
		return bad(r, "it is damaged, or no .tar.zst");
	name = lib->archive_entry_pathname(e);
	if (lib->archive_format(r->a) != ARCHIVE_FORMAT_TAR_USTAR ||
	    lib->archive_read_header_position(r->a) != (la_int64_t)r->position)
		return bad(r, "it is no plain ustar archive");
	if (!name || strlen(name) >= sizeof(r->name) ||
	    lib->archive_entry_filetype(e) != AE_IFREG || lib->archive_entry_hardlink(e) ||
	    lib->archive_entry_symlink(e) || !lib->archive_entry_size_is_set(e) ||
	    lib->archive_entry_size(e) < 0 ||
	    lib->archive_entry_size(e) > (la_int64_t)WV_BUNDLE_FILE_BYTES_MAX)
		return bad(r, "an entry is no plain file");
	strcpy(r->name, name);
	r->size = (uint64_t)lib->archive_entry_size(e);
	r->have_entry = true;
	return 1;
}

/* The entry is wanted: its bytes may come. */
static void accept_entry(struct wv_bundle_reader *r)
{
	r->have_entry = false;
	r->position += BLOCK + blocks(r->size);
	r->z.allowed = r->position + 2 * WV_UNZSTD_OUT;
}

static int read_blob(struct wv_bundle_reader *r, size_t max, struct blob *ret)
{
	size_t len = 0;

	if (r->size > max) {
		(void)wv_manifest_fail(&r->error, "%s has over %zu bytes", r->name, max);
		return -EFBIG;
	}
	accept_entry(r);
	ret->text = malloc(r->size + 1);
	if (!ret->text)
		return -ENOMEM;
	while (len < r->size) {
		la_ssize_t n = r->lib->archive_read_data(r->a, ret->text + len, r->size - len);

		if (n <= 0)
			return bad(r, "it is cut off");
		len += (size_t)n;
	}
	ret->text[len] = '\0';
	ret->len = len;
	return 0;
}

static int read_named(struct wv_bundle_reader *r, const char *name, size_t max, struct blob *ret)
{
	int n = next_entry(r);

	if (n < 0)
		return n;
	if (n == 0 || strcmp(r->name, name) != 0) {
		(void)wv_manifest_fail(&r->error, "%s is not where it must be", name);
		return -EBADMSG;
	}
	return read_blob(r, max, ret);
}

static int read_roots(struct wv_bundle_reader *r)
{
	int n;

	while ((n = next_entry(r)) == 1) {
		unsigned long long version;
		char again[64];

		if (sscanf(r->name, "root.%20llu.json", &version) != 1)
			return 0;
		snprintf(again, sizeof(again), "root.%llu.json", version);
		if (strcmp(again, r->name) != 0 || r->n_roots == WV_BUNDLE_ROOTS_MAX ||
		    (r->n_roots && version <= r->root_versions[r->n_roots - 1]))
			return bad(r, "its roots are not in order, or too many");
		r->root_versions[r->n_roots] = version;
		n = read_blob(r, WV_ROOT_MAX, &r->roots[r->n_roots++]);
		if (n < 0)
			return n;
	}
	return n;
}

/* Head --------------------------------------------------------------------------------------- */

static int by_hash(const void *a, const void *b)
{
	const struct wv_bundle_file *const *x = a, *const *y = b;
	int c = strcmp((*x)->sha256, (*y)->sha256);

	return c ?: (*x > *y) - (*x < *y); /* the first by path first */
}

int wv_bundle_contents(const struct wv_manifest *m, const struct wv_bundle_file ***ret,
		       unsigned *ret_n)
{
	const struct wv_bundle_file **list = calloc(m->n_files ?: 1, sizeof(const void *));
	unsigned n = 0;

	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < m->n_files; i++)
		list[i] = &m->files[i];
	qsort(list, m->n_files, sizeof(*list), by_hash);
	for (unsigned i = 0; i < m->n_files; i++)
		if (!n || strcmp(list[n - 1]->sha256, list[i]->sha256) != 0)
			list[n++] = list[i];
	*ret = list;
	*ret_n = n;
	return 0;
}

static int open_input(struct wv_bundle_reader *r, int fd)
{
	int n = wv_archive_lib(&r->lib);

	if (n == 0)
		n = wv_unzstd_init(&r->z, fd, WV_BUNDLE_WINDOW_LOG);
	if (n < 0)
		return n;
	r->z.allowed = WV_UNZSTD_OUT;
	r->a = r->lib->archive_read_new();
	if (!r->a || r->lib->archive_read_support_format_tar(r->a) != ARCHIVE_OK)
		return -ENOMEM;
	if (r->lib->archive_read_open(r->a, r, NULL, give, NULL) != ARCHIVE_OK)
		return bad(r, "it is no .tar.zst");
	return 0;
}

static int read_head(struct wv_bundle_reader *r)
{
	int n = read_named(r, "manifest.json", WV_MANIFEST_MAX, &r->manifest);

	if (n == 0)
		n = read_named(r, "signatures.json", WV_SIGNATURES_MAX, &r->signatures);
	return n < 0 ? n : read_roots(r);
}

static int parse_manifest(struct wv_bundle_reader *r)
{
	int n = wv_manifest_parse(r->manifest.text, r->manifest.len, &r->m, &r->error);

	if (n < 0)
		return n;
	free(TAKE_PTR(r->manifest.text));
	return wv_bundle_contents(&r->m, &r->contents, &r->n_contents);
}

static int take_roots(const struct wv_bundle_reader *r, struct wv_trust *trust,
		      struct wv_manifest_error *error)
{
	for (unsigned i = 0; i < r->n_roots; i++) {
		int n = r->root_versions[i] > wv_trust_root(trust)->version
				? wv_trust_update(trust, r->roots[i].text, r->roots[i].len, error)
				: 0;

		if (n < 0 && n != -ESTALE) /* stale: another process took it meanwhile */
			return n;
	}
	return 0;
}

/* Whether any key of the root signed it at all: before that, not even the manifest is parsed. */
static int check_known(const struct wv_bundle_reader *r, const struct wv_trust *trust,
		       const struct wv_dsse *d, struct wv_manifest_error *error)
{
	uint64_t signers = 0;
	int n = 0;

	for (int role = WV_ROLE_APP; role <= WV_ROLE_CERT && !signers && n == 0; role++)
		n = wv_root_signers(wv_trust_root(trust), (enum wv_role)role, d, WV_TYPE_MANIFEST,
				    r->manifest.text, r->manifest.len, &signers);
	if (n < 0 || signers)
		return n;
	(void)wv_manifest_fail(error, "no key of root %llu that may sign bundles signed it",
			       (unsigned long long)wv_trust_root(trust)->version);
	return -EKEYREJECTED;
}

static int verify(struct wv_bundle_reader *r, struct wv_trust *trust, uint64_t now_s)
{
	struct wv_manifest_error *error = &r->error;
	struct wv_dsse d;
	int n = take_roots(r, trust, error);

	if (n == 0)
		n = wv_dsse_parse(r->signatures.text, r->signatures.len, WV_TYPE_MANIFEST, true, &d,
				  error);
	if (n < 0)
		return n;
	n = check_known(r, trust, &d, error);
	if (n == 0)
		n = parse_manifest(r);
	if (n == 0)
		n = wv_trust_check(trust, &r->m, &d, now_s, error);
	if (n == 0)
		n = wv_trust_learn(trust, &r->m);
	wv_dsse_done(&d);
	return n;
}

static int reader_open(struct wv_bundle_reader **ret, int fd, struct wv_trust *trust,
		       uint64_t now_s, struct wv_manifest_error *error)
{
	struct wv_bundle_reader *r = calloc(1, sizeof(*r));
	int n;

	if (!r)
		return -ENOMEM;
	n = open_input(r, fd);
	if (n == 0)
		n = read_head(r);
	if (n == 0)
		n = trust ? verify(r, trust, now_s) : parse_manifest(r);
	if (n < 0) {
		if (!r->error.text[0])
			(void)wv_manifest_fail(&r->error, "%s", strerror(-n));
		*error = r->error;
		wv_bundle_read_close(r);
		return n;
	}
	*ret = r;
	return 0;
}

int wv_bundle_read_open(struct wv_bundle_reader **ret, int fd, struct wv_trust *trust,
			uint64_t now_s, struct wv_manifest_error *error)
{
	return reader_open(ret, fd, trust, now_s, error);
}

int wv_bundle_read_unverified(struct wv_bundle_reader **ret, int fd,
			      struct wv_manifest_error *error)
{
	return reader_open(ret, fd, NULL, 0, error);
}

const struct wv_manifest *wv_bundle_read_manifest(const struct wv_bundle_reader *r)
{
	return &r->m;
}

const char *wv_bundle_read_signatures(const struct wv_bundle_reader *r, size_t *ret_len)
{
	*ret_len = r->signatures.len;
	return r->signatures.text;
}

const char *wv_bundle_read_root(const struct wv_bundle_reader *r, unsigned i, uint64_t *ret_version,
				size_t *ret_len)
{
	if (i >= r->n_roots)
		return NULL;
	*ret_version = r->root_versions[i];
	*ret_len = r->roots[i].len;
	return r->roots[i].text;
}

const char *wv_bundle_read_error(const struct wv_bundle_reader *r)
{
	return r->error.text;
}

/* Contents ----------------------------------------------------------------------------------- */

static int pass_over(struct wv_bundle_reader *r)
{
	char buf[4096];
	ssize_t n;

	do
		n = wv_bundle_read_bytes(r, buf, sizeof(buf));
	while (n > 0);
	return (int)n;
}

int wv_bundle_read_next(struct wv_bundle_reader *r, const struct wv_bundle_file **ret_file)
{
	const struct wv_bundle_file *f;
	int n = r->current ? pass_over(r) : 0;

	if (n == 0)
		n = next_entry(r);
	if (n < 0)
		return n;
	if (n == 0)
		return r->next == r->n_contents ? 0 : bad(r, "a file of the manifest is missing");
	f = r->next < r->n_contents ? r->contents[r->next] : NULL;
	if (!f || strncmp(r->name, "files/", 6) != 0 || strcmp(r->name + 6, f->sha256) != 0 ||
	    r->size != f->size)
		return bad(r, "an entry is not the next file of the manifest");
	accept_entry(r);
	r->next++;
	r->current = f;
	r->left = f->size;
	wv_sha256_init(&r->sum);
	*ret_file = f;
	return 1;
}

/* An error stays: nothing after a wrong content is handed out. */
static int end_content(struct wv_bundle_reader *r)
{
	char hex[WV_SHA256_HEX];

	wv_sha256_end(&r->sum, hex);
	if (strcmp(hex, r->current->sha256) != 0) {
		r->failed = -EBADMSG;
		(void)wv_manifest_fail(&r->error, "%s is not what the manifest names",
				       r->current->path);
		return -EBADMSG;
	}
	r->current = NULL;
	return 0;
}

ssize_t wv_bundle_read_bytes(struct wv_bundle_reader *r, void *buf, size_t size)
{
	la_ssize_t n;

	if (r->failed)
		return r->failed;
	if (!r->current)
		return 0;
	if (!r->left)
		return end_content(r);
	n = r->lib->archive_read_data(r->a, buf, size < r->left ? size : r->left);
	if (n <= 0) {
		n = bad(r, "it is cut off");
		r->failed = (int)n;
		return n;
	}
	wv_sha256_add(&r->sum, buf, (size_t)n);
	r->left -= (uint64_t)n;
	return n;
}

void wv_bundle_read_close(struct wv_bundle_reader *r)
{
	char hex[WV_SHA256_HEX];

	if (!r)
		return;
	if (r->current)
		wv_sha256_end(&r->sum, hex);
	if (r->a)
		(void)r->lib->archive_read_free(r->a);
	if (r->z.ctx)
		wv_unzstd_done(&r->z);
	free(r->manifest.text);
	free(r->signatures.text);
	for (unsigned i = 0; i < r->n_roots; i++)
		free(r->roots[i].text);
	free(r->contents);
	wv_manifest_done(&r->m);
	free(r);
}
