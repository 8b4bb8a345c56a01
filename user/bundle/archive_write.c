// SPDX-License-Identifier: GPL-2.0-only
/* Writing of bundles: libarchive makes the ustar, libzstd the frame, neither knows a clock. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "user/bundle/archive.h"
#include "user/bundle/archive_lib.h"
#include "user/core/cleanup.h"

struct writer {
	const struct wv_archive_lib *lib;
	const struct wv_io *io;
	int fd, failed;
	struct archive *a;
	struct archive_entry *entry;
	ZSTD_CCtx *z;
	char *out;
	size_t out_size;
};

static int compress(struct writer *w, const void *bytes, size_t len, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = {bytes, len, 0};
	size_t left;

	do {
		ZSTD_outBuffer out = {w->out, w->out_size, 0};
		int r;

		left = ZSTD_compressStream2(w->z, &out, &in, how);
		if (ZSTD_isError(left))
			return -EIO;
		r = wv_io_write_all(w->io, w->fd, w->out, out.pos);
		if (r < 0)
			return r;
	} while (in.pos < in.size || (how == ZSTD_e_end && left));
	return 0;
}

static la_ssize_t take(struct archive *a, void *ctx, const void *bytes, size_t len)
{
	struct writer *w = ctx;
	int r = compress(w, bytes, len, ZSTD_e_continue);

	if (r < 0) {
		w->failed = r;
		w->lib->archive_set_error(a, -r, "output");
		return -1;
	}
	return (la_ssize_t)len;
}

static int add_header(struct writer *w, const char *name, uint64_t size)
{
	struct archive_entry *e = w->lib->archive_entry_new();
	int n;

	if (!e)
		return -ENOMEM;
	w->lib->archive_entry_set_pathname(e, name);
	w->lib->archive_entry_set_filetype(e, AE_IFREG);
	w->lib->archive_entry_set_perm(e, 0644);
	w->lib->archive_entry_set_mtime(e, 0, 0);
	w->lib->archive_entry_set_size(e, (la_int64_t)size);
	n = w->lib->archive_write_header(w->a, e);
	w->lib->archive_entry_free(e);
	return n == ARCHIVE_OK ? 0 : w->failed ?: -EIO;
}

static int add_data(struct writer *w, const void *bytes, size_t len)
{
	return w->lib->archive_write_data(w->a, bytes, len) == (la_ssize_t)len ? 0
									       : w->failed ?: -EIO;
}

static int add_blob(struct writer *w, const char *name, const char *text, size_t len)
{
	int r = add_header(w, name, len);

	return r < 0 ? r : add_data(w, text, len);
}

static int add_content(struct writer *w, const struct wv_bundle_file *f, wv_bundle_source_fn source,
		       void *ctx)
{
	char name[sizeof("files/") + WV_SHA256_HEX], hex[WV_SHA256_HEX], buf[16384];
	struct wv_sha256 sum;
	uint64_t off = 0;
	int r;

	snprintf(name, sizeof(name), "files/%s", f->sha256);
	r = add_header(w, name, f->size);
	if (r < 0)
		return r;
	wv_sha256_init(&sum);
	for (;;) {
		ssize_t n = source(ctx, f, off, buf, sizeof(buf));

		if (n > 0 && off + (uint64_t)n > f->size)
			n = -EBADMSG; /* it grew since it was hashed */
		if (n > 0) {
			wv_sha256_add(&sum, buf, (size_t)n);
			off += (uint64_t)n;
			r = add_data(w, buf, (size_t)n);
			if (r < 0)
				n = r;
		}
		if (n > 0)
			continue;
		wv_sha256_end(&sum, hex);
		if (n < 0)
			return (int)n;
		return off == f->size && strcmp(hex, f->sha256) == 0 ? 0 : -EBADMSG;
	}
}

static int open_output(struct writer *w, int level)
{
	int r = wv_archive_lib(&w->lib);

	if (r < 0)
		return r;
	w->out_size = ZSTD_CStreamOutSize();
	w->out = malloc(w->out_size);
	w->z = ZSTD_createCCtx();
	w->a = w->lib->archive_write_new();
	if (!w->out || !w->z || !w->a)
		return -ENOMEM;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(w->z, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(w->z, ZSTD_c_checksumFlag, 1)))
		return -EINVAL;
	/* levels up to 19 have a window that readers allow */
	if (level > 19 || w->lib->archive_write_set_format_ustar(w->a) != ARCHIVE_OK ||
	    w->lib->archive_write_set_bytes_in_last_block(w->a, 1) != ARCHIVE_OK ||
	    w->lib->archive_write_open(w->a, w, NULL, take, NULL) != ARCHIVE_OK)
		return -EINVAL;
	return 0;
}

static int write_all(struct writer *w, const struct wv_bundle_parts *p, wv_bundle_source_fn source,
		     void *ctx)
{
	_cleanup_free_ const struct wv_bundle_file **contents = NULL;
	unsigned n = 0;
	int r = wv_bundle_contents(p->manifest, &contents, &n);

	if (r == 0)
		r = add_blob(w, "manifest.json", p->manifest->text, p->manifest->text_len);
	if (r == 0)
		r = add_blob(w, "signatures.json", p->signatures, p->signatures_len);
	for (unsigned i = 0; i < p->n_roots && r == 0; i++) {
		char name[48];

		snprintf(name, sizeof(name), "root.%llu.json",
			 (unsigned long long)p->root_versions[i]);
		r = add_blob(w, name, p->roots[i], p->root_lens[i]);
	}
	for (unsigned i = 0; i < n && r == 0; i++)
		r = add_content(w, contents[i], source, ctx);
	if (r == 0 && w->lib->archive_write_close(w->a) != ARCHIVE_OK)
		r = w->failed ?: -EIO;
	return r < 0 ? r : compress(w, NULL, 0, ZSTD_e_end);
}

int wv_bundle_write(const struct wv_io *io, int fd, const struct wv_bundle_parts *parts,
		    wv_bundle_source_fn source, void *ctx)
{
	struct writer w = {.io = io, .fd = fd};
	int r = open_output(&w, parts->level);

	if (r == 0)
		r = write_all(&w, parts, source, ctx);
	if (w.a)
		(void)w.lib->archive_write_free(w.a);
	ZSTD_freeCCtx(w.z);
	free(w.out);
	return r;
}
