// SPDX-License-Identifier: GPL-2.0-only
/* Archives of bundles: what was written comes back, anything else is refused before it is used. */
#include "bundle_fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <zstd.h>

#include "user/bundle/archive_lib.h"

static struct wv_manifest_error error;
static const struct wv_archive_lib *lib;

static struct wv_trust *trust_of(unsigned threshold)
{
	_cleanup_free_ struct wv_root *root = calloc(1, sizeof(*root));
	_cleanup_free_ char *text = NULL;
	struct wv_trust *t = NULL;
	size_t len;

	fx_root(root, 1, 1, 3, threshold);
	text = fx_signed_root(root, "\1\2\3", &len);
	if (wv_trust_of_root(&t, &wv_io_system, text, len, &error) < 0)
		fail_msg("%s", error.text);
	return t;
}

/* Reads a whole bundle as an installer would; counts what was handed out as good. */
static int read_all(int fd, struct wv_trust *t, unsigned *ret_files)
{
	struct wv_bundle_reader *r;
	const struct wv_bundle_file *f;
	char buf[7]; /* a size that divides nothing */
	int n = wv_bundle_read_open(&r, fd, t, NOW, &error);

	*ret_files = 0;
	if (n < 0)
		return n;
	while ((n = wv_bundle_read_next(r, &f)) == 1) {
		struct wv_sha256 sum;
		char hex[WV_SHA256_HEX];
		ssize_t got;

		wv_sha256_init(&sum);
		while ((got = wv_bundle_read_bytes(r, buf, sizeof(buf))) > 0)
			wv_sha256_add(&sum, buf, (size_t)got);
		wv_sha256_end(&sum, hex);
		if (got < 0) {
			n = (int)got;
			break;
		}
		assert_string_equal(hex, f->sha256);
		(*ret_files)++;
	}
	if (n < 0)
		assert_true(wv_bundle_read_error(r)[0] != '\0');
	wv_bundle_read_close(r);
	return n;
}

static int read_bytes(const void *bytes, size_t len, struct wv_trust *t, unsigned *ret_files)
{
	_cleanup_close_ int fd = fx_fd(bytes, len);

	return read_all(fd, t, ret_files);
}

static unsigned char *bytes_of(int fd, size_t *ret_len)
{
	off_t len = lseek(fd, 0, SEEK_END);
	unsigned char *bytes = malloc((size_t)len + 1);

	assert_int_equal(pread(fd, bytes, (size_t)len, 0), len);
	*ret_len = (size_t)len;
	return bytes;
}

static unsigned char *good(size_t *ret_len)
{
	struct wv_manifest m;
	_cleanup_close_ int fd = -1;

	fx_parse("app", 7, &m);
	fd = fx_bundle(&m, "\1\2");
	wv_manifest_done(&m);
	return bytes_of(fd, ret_len);
}

static void archive_written_is_read_and_the_same_each_time(void **state)
{
	struct wv_trust *t = trust_of(2);
	size_t len, len2;
	_cleanup_free_ unsigned char *a = good(&len), *b = good(&len2);
	unsigned files;

	(void)state;
	assert_int_equal(len, len2);
	assert_memory_equal(a, b, len);
	assert_int_equal(read_bytes(a, len, t, &files), 0);
	assert_int_equal(files, FX_FILES);
	wv_trust_close(t);
}

static void archive_of_a_pipe_is_read(void **state)
{
	struct wv_trust *t = trust_of(1);
	size_t len;
	_cleanup_free_ unsigned char *a = good(&len);
	int pipe_fds[2];
	unsigned files;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], a, len), len);
	close(pipe_fds[1]);
	assert_int_equal(read_all(pipe_fds[0], t, &files), 0);
	assert_int_equal(files, FX_FILES);
	close(pipe_fds[0]);
	wv_trust_close(t);
}

static void archive_passed_over_is_checked_all_the_same(void **state)
{
	struct wv_trust *t = trust_of(1);
	size_t len;
	_cleanup_free_ unsigned char *a = good(&len);
	_cleanup_close_ int fd = fx_fd(a, len);
	struct wv_bundle_reader *r;
	const struct wv_bundle_file *f;
	int n, files = 0;

	(void)state;
	assert_int_equal(wv_bundle_read_open(&r, fd, t, NOW, &error), 0);
	while ((n = wv_bundle_read_next(r, &f)) == 1)
		files++;
	assert_int_equal(n, 0);
	assert_int_equal(files, FX_FILES);
	wv_bundle_read_close(r);
	wv_trust_close(t);
}

static void archive_cut_anywhere_is_refused(void **state)
{
	struct wv_trust *t = trust_of(1);
	size_t len;
	_cleanup_free_ unsigned char *a = good(&len);
	unsigned files;

	(void)state;
	for (size_t n = 0; n < len; n++)
		if (read_bytes(a, n, t, &files) >= 0)
			fail_msg("cut to %zu of %zu bytes it is taken", n, len);
	wv_trust_close(t);
}

static void archive_with_something_behind_it_is_refused(void **state)
{
	struct wv_trust *t = trust_of(1);
	size_t len;
	_cleanup_free_ unsigned char *a = good(&len), *b = malloc(2 * len);
	unsigned files;

	(void)state;
	memcpy(b, a, len);
	b[len] = 0;
	assert_int_equal(read_bytes(b, len + 1, t, &files), -EBADMSG);
	memcpy(b + len, a, len); /* a second frame */
	assert_int_equal(read_bytes(b, 2 * len, t, &files), -EBADMSG);
	wv_trust_close(t);
}

static size_t expand(const void *bytes, size_t len, char *out, size_t size)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	ZSTD_inBuffer in = {bytes, len, 0};
	ZSTD_outBuffer o = {out, size, 0};

	assert_int_equal(ZSTD_decompressStream(z, &o, &in), 0);
	ZSTD_freeDCtx(z);
	return o.pos;
}

/* A bit of the file either breaks it, or it is another way to write the same: some bits of zstd
 * have no meaning, and a run of zeros may be copied from here or from there. */
static void archive_with_any_bit_flipped_is_refused_or_the_same(void **state)
{
	const size_t size = 1 << 20;
	struct wv_trust *t = trust_of(1);
	size_t len, expanded;
	_cleanup_free_ unsigned char *a = good(&len);
	_cleanup_free_ char *was = malloc(size), *is = malloc(size);

	(void)state;
	expanded = expand(a, len, was, size);
	for (size_t bit = 0; bit < len * 8; bit++) {
		unsigned files;

		a[bit / 8] ^= (unsigned char)(1 << bit % 8);
		if (read_bytes(a, len, t, &files) >= 0) {
			assert_int_equal(expand(a, len, is, size), expanded);
			assert_memory_equal(was, is, expanded);
			assert_int_equal(files, FX_FILES);
		}
		a[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	wv_trust_close(t);
}

/* A tar of the test's own making, compressed: what a signer's tool would never write ------------
 */

struct tar {
	char *bytes;
	size_t len, size;
	struct archive *(*new)(void);
	struct archive *a;
};

static la_ssize_t keep(struct archive *a, void *ctx, const void *bytes, size_t len)
{
	struct tar *t = ctx;

	(void)a;
	if (t->len + len > t->size) {
		t->size = 2 * (t->len + len);
		t->bytes = realloc(t->bytes, t->size);
		assert_non_null(t->bytes);
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	return (la_ssize_t)len;
}

static void tar_open(struct tar *t)
{
	*t = (struct tar){.a = lib->archive_write_new()};
	lib->archive_write_set_format_ustar(t->a);
	lib->archive_write_set_bytes_in_last_block(t->a, 1);
	assert_int_equal(lib->archive_write_open(t->a, t, NULL, keep, NULL), ARCHIVE_OK);
}

static void tar_add(struct tar *t, const char *name, unsigned type, const char *target,
		    const void *bytes, size_t len)
{
	static void (*set_symlink)(struct archive_entry *, const char *);
	static void (*set_hardlink)(struct archive_entry *, const char *);
	struct archive_entry *e = lib->archive_entry_new();

	if (!set_symlink) {
		void *so = dlopen("libarchive.so.13", RTLD_NOW);

		*(void **)&set_symlink = dlsym(so, "archive_entry_set_symlink");
		*(void **)&set_hardlink = dlsym(so, "archive_entry_set_hardlink");
	}
	lib->archive_entry_set_pathname(e, name);
	lib->archive_entry_set_filetype(e, type ?: AE_IFREG);
	lib->archive_entry_set_perm(e, 0644);
	lib->archive_entry_set_size(e, (la_int64_t)len);
	if (target && type)
		set_symlink(e, target);
	else if (target)
		set_hardlink(e, target);
	assert_int_equal(lib->archive_write_header(t->a, e), ARCHIVE_OK);
	if (len)
		assert_int_equal(lib->archive_write_data(t->a, bytes, len), len);
	lib->archive_entry_free(e);
}

/* The archive as a file: with how many bits of window, and what follows the tar. */
static unsigned char *tar_close(struct tar *t, int window_log, size_t *ret_len)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	size_t size = ZSTD_compressBound(t->len + 65536);
	unsigned char *out = malloc(size);
	ZSTD_inBuffer in;
	ZSTD_outBuffer o = {out, size, 0};

	if (t->a) {
		lib->archive_write_close(t->a);
		lib->archive_write_free(t->a);
	}
	if (window_log)
		ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, window_log);
	in = (ZSTD_inBuffer){t->bytes, t->len, 0};
	/* a size that is not told beforehand leaves the window as wide as it was asked for */
	while (in.pos < in.size)
		assert_false(ZSTD_isError(ZSTD_compressStream2(z, &o, &in, ZSTD_e_continue)));
	while (ZSTD_compressStream2(z, &o, &in, ZSTD_e_end))
		;
	ZSTD_freeCCtx(z);
	free(t->bytes);
	*ret_len = o.pos;
	return out;
}

static char *signatures_of(const struct wv_manifest *m, size_t *ret_len)
{
	return fx_sign(WV_TYPE_MANIFEST, m->text, m->text_len, true, "\1\2\3", ret_len);
}

static void add_head(struct tar *t, const struct wv_manifest *m)
{
	size_t len;
	_cleanup_free_ char *signatures = signatures_of(m, &len);

	tar_open(t);
	tar_add(t, "manifest.json", 0, NULL, m->text, m->text_len);
	tar_add(t, "signatures.json", 0, NULL, signatures, len);
}

static void add_contents(struct tar *t, const struct wv_manifest *m, unsigned from, unsigned to)
{
	_cleanup_free_ const struct wv_bundle_file **c = NULL;
	unsigned n;
	char name[80], buf[256];

	assert_int_equal(wv_bundle_contents(m, &c, &n), 0);
	for (unsigned i = from; i < to && i < n; i++) {
		ssize_t len = fx_source(NULL, c[i], 0, buf, sizeof(buf));

		snprintf(name, sizeof(name), "files/%s", c[i]->sha256);
		tar_add(t, name, 0, NULL, buf, (size_t)len);
	}
}

static void expect(struct tar *t, int window_log, int result, unsigned good_files, const char *what)
{
	struct wv_trust *trust = trust_of(2);
	size_t len;
	_cleanup_free_ unsigned char *bytes = tar_close(t, window_log, &len);
	unsigned files;
	int r = read_bytes(bytes, len, trust, &files);

	wv_trust_close(trust);
	if (r != result || files != good_files)
		fail_msg("%s: %d with %u files, %s", what, r, files, error.text);
}

static void archive_with_other_entries_is_refused(void **state)
{
	static const struct {
		const char *name;
		unsigned type;
		const char *target;
	} entries[] = {
		{"files/../../../../etc/passwd", 0, NULL},
		{"../evil", 0, NULL},
		{"/etc/passwd", 0, NULL},
		{"files/", AE_IFDIR, NULL},
		{"files/link", AE_IFLNK, "/etc/passwd"},
		{"files/hard", 0, "manifest.json"},
		{"files/device", AE_IFBLK, NULL},
		{"files/tty", AE_IFCHR, NULL},
		{"files/pipe", AE_IFIFO, NULL},
		{"manifest.json", 0, NULL},
		{"root.2.json", 0, NULL},
		{"files/0000000000000000000000000000000000000000000000000000000000000000", 0, NULL},
	};
	struct wv_manifest m;
	struct tar t;

	(void)state;
	fx_parse("app", 7, &m);
	add_head(&t, &m);
	add_contents(&t, &m, 0, FX_FILES);
	expect(&t, 0, 0, FX_FILES, "the right one");
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		for (unsigned at = 0; at <= FX_FILES; at++) {
			if (at == 0 && strcmp(entries[i].name, "root.2.json") == 0)
				continue; /* an empty root: refused as such, see below */
			add_head(&t, &m);
			add_contents(&t, &m, 0, at);
			tar_add(&t, entries[i].name, entries[i].type, entries[i].target, NULL, 0);
			add_contents(&t, &m, at, FX_FILES);
			expect(&t, 0, -EBADMSG, at, entries[i].name);
		}
	}
	wv_manifest_done(&m);
}

/* Of an empty file name, size and hash would be right. */
static void archive_with_a_link_for_an_empty_file_is_refused(void **state)
{
	static const struct {
		unsigned type;
		const char *target;
	} entries[] = {{AE_IFLNK, "/etc/passwd"},
		       {0, "manifest.json"},
		       {AE_IFDIR, NULL},
		       {AE_IFIFO, NULL},
		       {AE_IFCHR, NULL}};
	_cleanup_free_ const struct wv_bundle_file **c = NULL;
	struct wv_manifest m;
	unsigned n, at = 0;
	char name[80];
	struct tar t;

	(void)state;
	fx_parse("app", 7, &m);
	assert_int_equal(wv_bundle_contents(&m, &c, &n), 0);
	while (c[at]->size)
		at++;
	snprintf(name, sizeof(name), "files/%s", c[at]->sha256);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		add_head(&t, &m);
		add_contents(&t, &m, 0, at);
		tar_add(&t, name, entries[i].type, entries[i].target, NULL, 0);
		add_contents(&t, &m, at + 1, n);
		expect(&t, 0, -EBADMSG, at, "a link");
	}
	wv_manifest_done(&m);
}

static void archive_with_wrong_files_is_refused(void **state)
{
	struct wv_manifest m;
	struct tar t;
	_cleanup_free_ char *signatures = NULL;
	size_t len;

	(void)state;
	fx_parse("app", 7, &m);
	add_head(&t, &m);
	add_contents(&t, &m, 0, FX_FILES - 1);
	expect(&t, 0, -EBADMSG, FX_FILES - 1, "one is missing");
	add_head(&t, &m);
	add_contents(&t, &m, 1, FX_FILES);
	expect(&t, 0, -EBADMSG, 0, "the first is missing");
	add_head(&t, &m);
	add_contents(&t, &m, 0, 1);
	add_contents(&t, &m, 0, FX_FILES);
	expect(&t, 0, -EBADMSG, 1, "one comes twice");
	add_head(&t, &m);
	add_contents(&t, &m, 1, 2);
	add_contents(&t, &m, 0, 1);
	add_contents(&t, &m, 2, FX_FILES);
	expect(&t, 0, -EBADMSG, 0, "another order");
	tar_open(&t);
	tar_add(&t, "manifest.json", 0, NULL, m.text, m.text_len);
	add_contents(&t, &m, 0, FX_FILES);
	expect(&t, 0, -EBADMSG, 0, "no signatures");
	signatures = signatures_of(&m, &len);
	tar_open(&t);
	tar_add(&t, "signatures.json", 0, NULL, signatures, len);
	tar_add(&t, "manifest.json", 0, NULL, m.text, m.text_len);
	expect(&t, 0, -EBADMSG, 0, "the manifest second");
	wv_manifest_done(&m);
}

/* The size is right, the bytes are not: none of them is handed out as whole. */
static void archive_with_altered_content_ends_with_an_error(void **state)
{
	struct wv_manifest m;
	_cleanup_free_ const struct wv_bundle_file **c = NULL;
	unsigned n;
	struct tar t;
	char name[80], junk[256];

	(void)state;
	memset(junk, 'x', sizeof(junk));
	fx_parse("app", 7, &m);
	assert_int_equal(wv_bundle_contents(&m, &c, &n), 0);
	for (unsigned i = 0; i < n; i++) {
		if (!c[i]->size)
			continue;
		add_head(&t, &m);
		add_contents(&t, &m, 0, i);
		snprintf(name, sizeof(name), "files/%s", c[i]->sha256);
		tar_add(&t, name, 0, NULL, junk, c[i]->size);
		add_contents(&t, &m, i + 1, n);
		expect(&t, 0, -EBADMSG, i, "altered");
	}
	wv_manifest_done(&m);
}

static void archive_that_expands_is_refused_early(void **state)
{
	struct wv_manifest m;
	struct tar t;
	const size_t big = 64U << 20;
	_cleanup_free_ char *zeros = calloc(1, big);

	(void)state;
	fx_parse("app", 7, &m);
	tar_open(&t);
	tar_add(&t, "manifest.json", 0, NULL, zeros, big);
	expect(&t, 0, -EFBIG, 0, "a manifest of 64 MiB");
	add_head(&t, &m);
	tar_add(&t, "files/x", 0, NULL, zeros, big);
	expect(&t, 0, -EBADMSG, 0, "a file of 64 MiB that no one asked for");
	add_head(&t, &m);
	add_contents(&t, &m, 0, FX_FILES);
	lib->archive_write_close(t.a);
	lib->archive_write_free(t.a);
	t.a = NULL;
	keep(NULL, &t, zeros, big);
	expect(&t, 0, -EFBIG, FX_FILES, "64 MiB of zeros after the end");
	/* a window of 128 MiB would be that much memory before anything is verified */
	add_head(&t, &m);
	add_contents(&t, &m, 0, FX_FILES);
	expect(&t, 27, -EBADMSG, 0, "a wide window");
	wv_manifest_done(&m);
}

static void archive_with_bytes_after_its_end_is_refused(void **state)
{
	struct wv_manifest m;
	struct tar t;

	(void)state;
	fx_parse("app", 7, &m);
	for (size_t at = 0; at <= 2048; at += 64) {
		char tail[2049] = {0};

		add_head(&t, &m);
		add_contents(&t, &m, 0, FX_FILES);
		lib->archive_write_close(t.a);
		lib->archive_write_free(t.a);
		t.a = NULL;
		tail[at] = 1;
		keep(NULL, &t, tail, sizeof(tail));
		expect(&t, 0, -EBADMSG, FX_FILES, "a byte after the end");
	}
	wv_manifest_done(&m);
}

/* pax and GNU headers have meanings that the manifest does not know of. */
static void archive_in_another_tar_is_refused(void **state)
{
	static const char types[] = "xgLK";
	struct wv_manifest m;
	struct tar t, plain;

	(void)state;
	fx_parse("app", 7, &m);
	for (size_t i = 0; i < strlen(types); i++) {
		char head[1024] = {0};
		unsigned sum = 0;

		tar_open(&plain);
		tar_add(&plain, "x", 0, NULL, "12 comment=a\n", 13);
		lib->archive_write_close(plain.a);
		lib->archive_write_free(plain.a);
		memcpy(head, plain.bytes, 1024);
		free(plain.bytes);
		head[156] = types[i];
		memset(head + 148, ' ', 8);
		for (int b = 0; b < 512; b++)
			sum += (unsigned char)head[b];
		snprintf(head + 148, 8, "%06o", sum);
		add_head(&t, &m);
		keep(NULL, &t, head, sizeof(head));
		add_contents(&t, &m, 0, FX_FILES);
		expect(&t, 0, -EBADMSG, 0, "an extended header");
	}
	wv_manifest_done(&m);
}

static void archive_that_no_known_key_signed_is_refused(void **state)
{
	struct wv_trust *t = trust_of(2);
	struct wv_manifest m;
	unsigned files;

	(void)state;
	fx_parse("app", 7, &m);
	for (int i = 0; i < 3; i++) {
		static const char *const keys[] = {"", "\11\12", "\1\11"};
		_cleanup_close_ int fd = fx_bundle(&m, keys[i]);

		assert_int_equal(read_all(fd, t, &files), -EKEYREJECTED);
	}
	wv_manifest_done(&m);
	wv_trust_close(t);
}

static ssize_t short_source(void *ctx, const struct wv_bundle_file *f, uint64_t off, void *buf,
			    size_t size)
{
	ssize_t n = fx_source(ctx, f, off, buf, size);

	return n > 0 ? n - 1 : n;
}

static ssize_t long_source(void *ctx, const struct wv_bundle_file *f, uint64_t off, void *buf,
			   size_t size)
{
	ssize_t n = fx_source(ctx, f, off, buf, size);

	return n > 0 ? n + 1 : n;
}

static void archive_write_refuses_contents_that_changed(void **state)
{
	struct wv_manifest m;
	struct wv_bundle_parts parts = {
		.manifest = &m, .signatures = "{}", .signatures_len = 2, .level = 3};
	_cleanup_close_ int fd = memfd_create("bundle", MFD_CLOEXEC);

	(void)state;
	fx_parse("app", 7, &m);
	assert_int_equal(wv_bundle_write(&wv_io_system, fd, &parts, short_source, NULL), -EBADMSG);
	assert_int_equal(wv_bundle_write(&wv_io_system, fd, &parts, long_source, NULL), -EBADMSG);
	parts.level = 22;
	assert_int_equal(wv_bundle_write(&wv_io_system, fd, &parts, fx_source, NULL), -EINVAL);
	wv_manifest_done(&m);
}

static int setup(void **state)
{
	(void)state;
	return wv_archive_lib(&lib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archive_written_is_read_and_the_same_each_time),
		cmocka_unit_test(archive_of_a_pipe_is_read),
		cmocka_unit_test(archive_passed_over_is_checked_all_the_same),
		cmocka_unit_test(archive_cut_anywhere_is_refused),
		cmocka_unit_test(archive_with_something_behind_it_is_refused),
		cmocka_unit_test(archive_with_any_bit_flipped_is_refused_or_the_same),
		cmocka_unit_test(archive_with_other_entries_is_refused),
		cmocka_unit_test(archive_with_a_link_for_an_empty_file_is_refused),
		cmocka_unit_test(archive_with_wrong_files_is_refused),
		cmocka_unit_test(archive_with_altered_content_ends_with_an_error),
		cmocka_unit_test(archive_that_expands_is_refused_early),
		cmocka_unit_test(archive_with_bytes_after_its_end_is_refused),
		cmocka_unit_test(archive_in_another_tar_is_refused),
		cmocka_unit_test(archive_that_no_known_key_signed_is_refused),
		cmocka_unit_test(archive_write_refuses_contents_that_changed),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
