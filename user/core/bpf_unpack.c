// SPDX-License-Identifier: GPL-2.0-only
/* The BPF objects as the build packs them into the executable (mk/embed.sh): one zstd frame each,
 * and the one for raw tracepoints as what it differs by from the one for BTF, which is most of the
 * saving. One object at a time is unpacked, and only while libbpf reads it.
 */
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"

/* Ten times the largest one: what is over comes of a damaged executable. */
#define OBJECT_MAX (2U << 20)

static void dctx_release(ZSTD_DCtx **ctx)
{
	ZSTD_freeDCtx(*ctx);
}

static int unpack(const void *packed, size_t packed_size, const void *prefix, size_t prefix_size,
		  void **ret, size_t *ret_size)
{
	_cleanup_(dctx_release) ZSTD_DCtx *ctx = NULL;
	unsigned long long size = ZSTD_getFrameContentSize(packed, packed_size);
	_cleanup_free_ void *out = NULL;
	size_t n;

	/* unknown and invalid sizes are the two largest numbers */
	if (size == 0 || size > OBJECT_MAX)
		return -EBADMSG;
	out = malloc(size);
	ctx = ZSTD_createDCtx();
	if (!out || !ctx)
		return -ENOMEM;
	if (prefix && ZSTD_isError(ZSTD_DCtx_refPrefix(ctx, prefix, prefix_size)))
		return -ENOMEM;
	n = ZSTD_decompressDCtx(ctx, out, size, packed, packed_size);
	if (ZSTD_isError(n) || n != size)
		return -EBADMSG;
	*ret = TAKE_PTR(out);
	*ret_size = n;
	return 0;
}

static bool is_raw(const struct wv_object *o, enum wv_flavour flavour)
{
	return flavour != WV_FLAVOUR_BTF && o->elf_raw;
}

void wv_object_hash(const struct wv_object *o, enum wv_flavour flavour, struct wv_sha256 *sum)
{
	size_t size;
	const void *packed = o->elf_btf(&size);

	/* for both flavours: the raw build is a difference from this one */
	wv_sha256_add(sum, packed, size);
	if (is_raw(o, flavour)) {
		packed = o->elf_raw(&size);
		wv_sha256_add(sum, packed, size);
	}
}

int wv_object_unpack(const struct wv_object *o, enum wv_flavour flavour, void **ret_elf,
		     size_t *ret_size)
{
	_cleanup_free_ void *btf = NULL;
	size_t size, btf_size;
	const void *packed = o->elf_btf(&size);
	int r = unpack(packed, size, NULL, 0, &btf, &btf_size);

	if (r < 0)
		return r;
	if (is_raw(o, flavour)) {
		packed = o->elf_raw(&size);
		return unpack(packed, size, btf, btf_size, ret_elf, ret_size);
	}
	*ret_elf = TAKE_PTR(btf);
	*ret_size = btf_size;
	return 0;
}
