// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/version.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/flow/policy.h"

static void digest_freep(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

static int digest_hex(EVP_MD_CTX *ctx, char ret[WV_SHA256_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len;

	if (EVP_DigestFinal_ex(ctx, md, &len) != 1 || len != 32)
		return -EIO;
	for (unsigned i = 0; i < len; i++)
		snprintf(ret + 2 * (size_t)i, 3, "%02x", md[i]);
	return 0;
}

int wv_sha256_hex(const void *buf, size_t len, char ret[WV_SHA256_HEX])
{
	_cleanup_(digest_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(ctx, buf, len) != 1)
		return -EIO;
	return digest_hex(ctx, ret);
}

static int executable_hex(char ret[WV_SHA256_HEX])
{
	_cleanup_(digest_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	/* the running file itself, even if its name now belongs to a newer one */
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char buf[16384];

	if (fd < 0)
		return -errno;
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		return -EIO;
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return digest_hex(ctx, ret);
		if (EVP_DigestUpdate(ctx, buf, (size_t)n) != 1)
			return -EIO;
	}
}

int wv_version_get(const struct wv_config *config, const struct wv_policy *policy,
		   struct wv_version *ret)
{
	/* it does not change while it runs */
	static char executable[WV_SHA256_HEX];
	struct wv_version v = {.waveos = WV_VERSION};
	char hex[WV_SHA256_HEX] = "";
	int r;

	if (config && *config->digest)
		memcpy(hex, config->digest, sizeof(hex));
	else if (wv_sha256_hex("", 0, hex) < 0)
		hex[0] = '\0';
	if (policy && policy->name[0])
		snprintf(v.policy, sizeof(v.policy), "%.60s@%.12s", policy->name, policy->digest);
	else
		snprintf(v.policy, sizeof(v.policy), "config@%.12s", hex);
	r = *executable ? 0 : executable_hex(executable);
	memcpy(v.bundle_id, executable, sizeof(executable));
	*ret = v;
	return r;
}
