// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device's key. Made once: whoever comes first holds keys/lock while there is none, so that two
 * processes never sign with two keys of one name. A file that is there but is no key is an error
 * and never replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/sign.h"

#define PEM_MAX 4096

/* fixed for ever: names of devices derive from it */
static const sd_id128_t name_id = {.bytes = {0x5d, 0x9c, 0x3f, 0x1e, 0x70, 0x4a, 0x4b, 0x8b, 0x9a,
					     0x2e, 0x61, 0xc7, 0x0d, 0x88, 0xf2, 0x35}};

void wv_key_device_name(const struct wv_public_key *key, char ret[WV_KEY_NAME_SIZE])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	const unsigned char *b = digest;
	sd_id128_t machine;

	if (sd_id128_get_machine_app_specific(name_id, &machine) >= 0)
		b = machine.bytes;
	else
		SHA256(key->bytes, sizeof(key->bytes), digest);
	snprintf(ret, WV_KEY_NAME_SIZE, "waveos/%02x%02x%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
		 b[3], b[4], b[5], b[6], b[7]);
}

static int read_key(const struct wv_io *io, int dirfd, const char *file, struct wv_secret_key *ret)
{
	size_t len;
	char *pem;
	int r;

	r = wv_io_read_file(io, dirfd, file, PEM_MAX, &pem, &len);
	if (r < 0)
		return r;
	r = wv_secret_key_from_pem(pem, ret);
	OPENSSL_cleanse(pem, len);
	free(pem);
	return r;
}

static int write_key(const struct wv_io *io, int dirfd, const char *file, struct wv_secret_key *ret)
{
	char *secret = NULL, *public = NULL;
	struct wv_secret_key key;
	int r;

	r = wv_key_generate(io, &key);
	if (r < 0)
		return r;
	r = wv_key_to_pem(&key, &secret, &public);
	if (r == 0) {
		r = wv_io_replace(io, dirfd, file, secret, strlen(secret), 0600);
		OPENSSL_cleanse(secret, strlen(secret));
	}
	free(secret);
	free(public);
	if (r == 0)
		*ret = key;
	wv_secret_key_wipe(&key);
	return r;
}

static int make_key(const struct wv_io *io, int dirfd, const char *file, struct wv_secret_key *ret)
{
	int lock = io->open(io->ctx, dirfd, "lock", O_RDWR | O_CREAT, 0600), r;

	if (lock < 0)
		return lock;
	r = io->lock(io->ctx, lock, true);
	if (r == 0)
		r = read_key(io, dirfd, file, ret);
	if (r == -ENOENT)
		r = write_key(io, dirfd, file, ret);
	(void)io->close(io->ctx, lock);
	return r;
}

/* The folder, its name durable before a key in it is relied on. */
static int make_folder(const struct wv_io *io, const char *state)
{
	int fd, r;

	r = wv_io_mkdirs(io, state, 0755);
	if (r < 0)
		return r;
	fd = io->open(io->ctx, AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	r = io->mkdir(io->ctx, fd, "keys", 0700);
	if (r == 0 || r == -EEXIST)
		r = wv_io_sync_dir(io, fd);
	(void)io->close(io->ctx, fd);
	return r;
}

static int open_folder(const struct wv_io *io, const char *state)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/keys", state);
	return io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

int wv_own_key(const struct wv_io *io, const struct wv_paths *paths, const char *file, bool create,
	       struct wv_secret_key *ret)
{
	struct wv_secret_key key;
	int fd = open_folder(io, paths->state), r;

	r = fd < 0 ? fd : read_key(io, fd, file, &key);
	if (r == -ENOENT && create) {
		if (fd >= 0)
			(void)io->close(io->ctx, fd);
		r = make_folder(io, paths->state);
		fd = r < 0 ? r : open_folder(io, paths->state);
		r = fd < 0 ? fd : make_key(io, fd, file, &key);
	}
	if (fd >= 0)
		(void)io->close(io->ctx, fd);
	if (r == -EINVAL)
		wv_log_errno(r, "evidence", "%s/keys/%s is no Ed25519 key in PEM", paths->state,
			     file);
	if (r < 0)
		return r;
	*ret = key;
	wv_secret_key_wipe(&key);
	return 0;
}

int wv_device_key(const struct wv_io *io, const struct wv_paths *paths, bool create,
		  struct wv_secret_key *ret, char ret_name[WV_KEY_NAME_SIZE])
{
	int r = wv_own_key(io, paths, "device.pem", create, ret);

	if (r == 0)
		wv_key_device_name(&ret->public_key, ret_name);
	return r;
}
