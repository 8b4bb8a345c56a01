// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: what an evidence pack's archive may hold, any bytes as manifest, signatures,
 * key, checkpoint, proof, leaves and records (a number, a length and the bytes of each). Reading
 * the archive itself is libarchive's part. */
#include "user/evidence/pack_check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const names[] = {
		"manifest.json", "manifest.json.minisig", "manifest.json.sig",
		"key.pem",	 "log/checkpoint",	  "log/proof.json",
		"log/leaves",	 "log/records.jsonl",	  "other"};
	struct wv_pack_check check = {0};
	struct wv_pack_verdict verdict = {0};
	struct wv_pack_reading *p = calloc(1, sizeof(*p));
	size_t at = 0;

	p->check = &check;
	p->verdict = &verdict;
	while (at + 3 <= len) {
		const char *name = names[bytes[at] % (sizeof(names) / sizeof(names[0]))];
		size_t n = (size_t)bytes[at + 1] << 8 | bytes[at + 2];
		struct wv_pack_entry *e;

		at += 3;
		n = n < len - at ? n : len - at;
		if (wv_pack_entry(p, name)) {
			at += n;
			continue;
		}
		e = &p->entries[p->n++];
		strcpy(e->name, name);
		e->bytes = n;
		e->data = calloc(1, n + 1);
		memcpy(e->data, bytes + at, n);
		wv_sha256_hex(e->data, n, e->sha256);
		at += n;
	}
	wv_pack_judge(p);
	/* no key of anybody's was given */
	if (verdict.trusted)
		__builtin_trap();
	json_object_put(verdict.manifest);
	for (unsigned i = 0; i < p->n; i++)
		free(p->entries[i].data);
	free(p);
	return 0;
}
