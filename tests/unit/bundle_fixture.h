/* SPDX-License-Identifier: GPL-2.0-only */
/* What tests of bundles share: keys, roots, manifests and archives that are right until a test
 * makes them wrong. */
#ifndef WV_TESTS_BUNDLE_FIXTURE_H
#define WV_TESTS_BUNDLE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/bundle/archive.h"
#include "user/bundle/strict.h"
#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"

#define NOW 1750000000ULL
#define DAY WV_BUNDLE_DAY_S

/* Contents of the files of fx_manifest(). */
static const char *const fx_contents[] = {"#!/bin/sh\necho hello\n", "", "key: value\n"};
#define FX_FILES 3

static _unused_ struct wv_secret_key fx_key(unsigned char n)
{
	struct wv_secret_key k = {.seed = {0}};

	memset(k.seed, n, sizeof(k.seed));
	assert_int_equal(wv_key_derive(&k), 0);
	return k;
}

static _unused_ struct json_object *fx_file(const char *path, const char *content, const char *mode)
{
	struct json_object *o = json_object_new_object();
	char hex[WV_SHA256_HEX];

	wv_sha256_hex(content, strlen(content), hex);
	json_object_object_add(o, "mode", json_object_new_string(mode));
	json_object_object_add(o, "path", json_object_new_string(path));
	json_object_object_add(o, "sha256", json_object_new_string(hex));
	json_object_object_add(o, "size", json_object_new_int64((int64_t)strlen(content)));
	return o;
}

/* A manifest with every member, over three files, two of which have one content. */
static _unused_ struct json_object *fx_manifest(const char *kind, uint64_t counter)
{
	static const char text[] =
		"{\"app\":\"shop\",\"arch\":\"x86_64\",\"devices\":[\"waveos/0123456789abcdef\","
		"\"waveos/1\"],\"environments\":[\"prod\",\"staging\"],\"flags\":{\"dark\":false,"
		"\"fast\":true},\"health\":[{\"every_ns\":1000000000,\"failures\":3,\"kind\":"
		"\"http\",\"target\":\"http://127.0.0.1:8080/health\",\"within_ns\":500000000},"
		"{\"every_ns\":1000000000,\"failures\":1,\"kind\":\"agent\",\"within_ns\":"
		"5000000000}],\"hooks\":[{\"do\":\"restart-service\",\"on\":\"activate\","
		"\"service\":\"shop.service\"},{\"do\":\"reload-policy\",\"on\":\"rollback\"}],"
		"\"min_waveos\":\"0.1.0-rc.1\",\"name\":\"shop\",\"schema_version\":1,"
		"\"trial\":{\"boots\":3,\"for_ns\":60000000000},\"type\":\"waveos-bundle\","
		"\"version\":\"1.2.3\"}";
	struct json_object *o = json_tokener_parse(text), *files = json_object_new_array();

	json_object_array_add(files, fx_file("bin/run", fx_contents[0], "0755"));
	json_object_array_add(files, fx_file("bin/run-too", fx_contents[0], "0644"));
	json_object_array_add(files, fx_file("empty", fx_contents[1], "0644"));
	json_object_array_add(files, fx_file("etc/config.yaml", fx_contents[2], "0644"));
	json_object_object_add(o, "files", files);
	json_object_object_add(o, "kind", json_object_new_string(kind));
	json_object_object_add(o, "counter", json_object_new_int64((int64_t)counter));
	json_object_object_add(o, "created", json_object_new_int64(NOW - DAY));
	json_object_object_add(o, "expires", json_object_new_int64(NOW + 30 * DAY));
	return o;
}

/* Canonical text of o, whose reference is taken. */
static _unused_ char *fx_text(struct json_object *o, size_t *ret_len)
{
	char *text = NULL;

	assert_int_equal(wv_canonical(o, &text, ret_len), 0);
	json_object_put(o);
	return text;
}

static _unused_ void fx_parse(const char *kind, uint64_t counter, struct wv_manifest *m)
{
	struct wv_manifest_error error = {""};
	size_t len;
	_cleanup_free_ char *text = fx_text(fx_manifest(kind, counter), &len);

	if (wv_manifest_parse(text, len, m, &error) < 0)
		fail_msg("%s", error.text);
}

/* A root in which each role has keys 1..n_keys and that threshold; keys from `first` on. */
static _unused_ void fx_root(struct wv_root *root, uint64_t version, unsigned char first,
			     unsigned n_keys, unsigned threshold)
{
	memset(root, 0, sizeof(*root));
	root->version = version;
	root->created_s = NOW - 2 * DAY;
	root->expires_s = NOW + 365 * DAY;
	for (unsigned i = 0; i < n_keys; i++) {
		struct wv_secret_key k = fx_key((unsigned char)(first + i));
		struct wv_root_key row = {.key = k.public_key};
		unsigned at = root->n_keys;

		wv_key_id(&k.public_key, row.id);
		snprintf(row.name, sizeof(row.name), "key%u", first + i);
		while (at && strcmp(root->keys[at - 1].id, row.id) > 0) {
			root->keys[at] = root->keys[at - 1];
			at--;
		}
		root->keys[at] = row;
		root->n_keys++;
	}
	for (int role = 0; role < WV_ROLES; role++)
		root->roles[role] =
			(struct wv_root_role){.keys = (1ULL << n_keys) - 1, .threshold = threshold};
}

/* An envelope over a payload by keys, a NUL-terminated list of their numbers. */
static _unused_ char *fx_sign(const char *type, const char *payload, size_t len, bool detached,
			      const char *keys, size_t *ret_len)
{
	struct wv_dsse d = {.n = 0};
	char *text = NULL;

	for (; *keys; keys++) {
		struct wv_secret_key k = fx_key((unsigned char)*keys);

		assert_int_equal(wv_dsse_sign(&d, type, payload, len, &k), 0);
	}
	if (!detached) {
		d.payload = malloc(len + 1);
		memcpy(d.payload, payload, len);
		d.payload[len] = '\0';
		d.len = len;
	}
	assert_int_equal(wv_dsse_text(&d, type, &text, ret_len), 0);
	wv_dsse_done(&d);
	return text;
}

static _unused_ char *fx_signed_root(const struct wv_root *root, const char *keys, size_t *ret_len)
{
	_cleanup_free_ char *payload = NULL;
	size_t len;

	assert_int_equal(wv_root_text(root, &payload, &len), 0);
	return fx_sign(WV_TYPE_ROOT, payload, len, false, keys, ret_len);
}

/* A source that has the contents. */
static _unused_ ssize_t fx_source(void *ctx, const struct wv_bundle_file *f, uint64_t off,
				  void *buf, size_t size)
{
	char hex[WV_SHA256_HEX];

	(void)ctx;
	for (int i = 0; i < FX_FILES; i++) {
		size_t len = strlen(fx_contents[i]);

		wv_sha256_hex(fx_contents[i], len, hex);
		if (strcmp(hex, f->sha256) != 0)
			continue;
		if (off >= len)
			return 0;
		if (size > len - off)
			size = len - off;
		memcpy(buf, fx_contents[i] + off, size);
		return (ssize_t)size;
	}
	return -ENOENT;
}

/* A descriptor over these bytes. */
static _unused_ int fx_fd(const void *bytes, size_t len)
{
	int fd = memfd_create("bundle", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(wv_io_write_all(&wv_io_system, fd, bytes, len), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* An archive of a manifest, signed by keys. */
static _unused_ int fx_bundle(const struct wv_manifest *m, const char *keys)
{
	size_t len;
	_cleanup_free_ char *signatures =
		fx_sign(WV_TYPE_MANIFEST, m->text, m->text_len, true, keys, &len);
	const struct wv_bundle_parts parts = {
		.manifest = m, .signatures = signatures, .signatures_len = len, .level = 3};
	int fd = memfd_create("bundle", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(wv_bundle_write(&wv_io_system, fd, &parts, fx_source, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

#endif
