// SPDX-License-Identifier: GPL-2.0-only
#include "tests/sim/image.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define NAMES (1U << 18)

/* A test program: without memory there is nothing to go on with. */
static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

const char *wv_sim_name(const char *name, size_t len)
{
	static char *names[NAMES];
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619U;
	for (uint32_t i = 0; i < NAMES; i++) {
		char **slot = &names[(h + i) % NAMES];

		if (!*slot)
			*slot = must(strndup(name, len));
		if (strncmp(*slot, name, len) == 0 && !(*slot)[len])
			return *slot;
	}
	fprintf(stderr, "sim: more than %u names\n", NAMES);
	abort();
}

struct wv_sim_node *wv_sim_node_new(enum wv_sim_kind kind)
{
	struct wv_sim_node *node = must(calloc(1, sizeof(*node)));

	node->refs = 1;
	node->kind = kind;
	return node;
}

struct wv_sim_node *wv_sim_node_ref(struct wv_sim_node *node)
{
	if (node)
		node->refs++;
	return node;
}

void wv_sim_node_unref(struct wv_sim_node *node)
{
	if (!node || --node->refs)
		return;
	free(node->bytes);
	free(node->entries);
	free(node);
}

void wv_sim_node_reserve(struct wv_sim_node *node, size_t len)
{
	size_t room = node->room ? node->room : 256;

	if (len <= node->room)
		return;
	while (room < len)
		room *= 2;
	node->bytes = must(realloc(node->bytes, room));
	node->room = room;
}

static struct wv_sim_node *node_copy(const struct wv_sim_node *from)
{
	struct wv_sim_node *node = wv_sim_node_new(from->kind);

	if (from->len) {
		wv_sim_node_reserve(node, from->len);
		memcpy(node->bytes, from->bytes, from->len);
		node->len = from->len;
	}
	if (from->n_entries) {
		node->entries = must(malloc((from->n_entries + 2) * sizeof(*node->entries)));
		memcpy(node->entries, from->entries, from->n_entries * sizeof(*node->entries));
		node->n_entries = from->n_entries;
		node->room_entries = from->n_entries + 2;
	}
	return node;
}

void wv_sim_image_init(struct wv_sim_image *im)
{
	*im = (struct wv_sim_image){0};
	wv_sim_image_put(im, 0, wv_sim_node_new(WV_SIM_DIR));
}

void wv_sim_image_copy(struct wv_sim_image *to, const struct wv_sim_image *from)
{
	*to = (struct wv_sim_image){.n = from->n, .room = from->n + 8};
	to->nodes = must(calloc(to->room, sizeof(struct wv_sim_node *)));
	for (uint32_t i = 0; i < from->n; i++)
		to->nodes[i] = wv_sim_node_ref(from->nodes[i]);
}

void wv_sim_image_free(struct wv_sim_image *im)
{
	for (uint32_t i = 0; i < im->n; i++)
		wv_sim_node_unref(im->nodes[i]);
	free(im->nodes);
	*im = (struct wv_sim_image){0};
}

void wv_sim_image_put(struct wv_sim_image *im, uint32_t ino, struct wv_sim_node *node)
{
	if (ino >= im->room) {
		uint32_t room = (ino + 1) * 2;

		im->nodes = must(reallocarray(im->nodes, room, sizeof(struct wv_sim_node *)));
		im->room = room;
	}
	while (im->n <= ino)
		im->nodes[im->n++] = NULL;
	wv_sim_node_unref(im->nodes[ino]);
	im->nodes[ino] = node;
}

struct wv_sim_node *wv_sim_image_edit(struct wv_sim_image *im, uint32_t ino)
{
	struct wv_sim_node *node = im->nodes[ino];

	if (node->refs > 1) {
		struct wv_sim_node *copy = node_copy(node);

		node->refs--;
		im->nodes[ino] = node = copy;
	}
	node->hashed = false;
	return node;
}

/* Where the name is, or would be. */
static size_t find(const struct wv_sim_node *dir, const char *name)
{
	size_t lo = 0, hi = dir->n_entries;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(dir->entries[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t wv_sim_image_get(const struct wv_sim_image *im, uint32_t dir, const char *name)
{
	const struct wv_sim_node *node = im->nodes[dir];
	size_t i = find(node, name);

	return i < node->n_entries && node->entries[i].name == name ? node->entries[i].ino
								    : WV_SIM_NONE;
}

void wv_sim_image_set(struct wv_sim_image *im, uint32_t dir, const char *name, uint32_t ino)
{
	struct wv_sim_node *node = wv_sim_image_edit(im, dir);
	size_t i = find(node, name);
	bool there = i < node->n_entries && node->entries[i].name == name;

	if (there && ino != WV_SIM_NONE) {
		node->entries[i].ino = ino;
	} else if (there) {
		memmove(&node->entries[i], &node->entries[i + 1],
			(node->n_entries - i - 1) * sizeof(*node->entries));
		node->n_entries--;
	} else if (ino != WV_SIM_NONE) {
		if (node->n_entries == node->room_entries) {
			node->room_entries = node->room_entries * 2 + 4;
			node->entries = must(reallocarray(node->entries, node->room_entries,
							  sizeof(*node->entries)));
		}
		memmove(&node->entries[i + 1], &node->entries[i],
			(node->n_entries - i) * sizeof(*node->entries));
		node->entries[i] = (struct wv_sim_entry){.name = name, .ino = ino};
		node->n_entries++;
	}
}

/* SHA-256, cut; the contexts are made once, for this runs a million times. */
static EVP_MD_CTX *hash_begin(EVP_MD_CTX **slot)
{
	static EVP_MD *sha256;

	if (!sha256)
		sha256 = must(EVP_MD_fetch(NULL, "SHA256", NULL));
	if (!*slot)
		*slot = must(EVP_MD_CTX_new());
	if (EVP_DigestInit_ex2(*slot, sha256, NULL) != 1)
		abort();
	return *slot;
}

static void hash_end(EVP_MD_CTX *sum, unsigned char ret[WV_SIM_HASH_SIZE])
{
	unsigned char full[EVP_MAX_MD_SIZE];

	if (EVP_DigestFinal_ex(sum, full, NULL) != 1)
		abort();
	memcpy(ret, full, WV_SIM_HASH_SIZE);
}

static void hash_bytes(struct wv_sim_node *node)
{
	static EVP_MD_CTX *slot;
	EVP_MD_CTX *sum;

	if (node->hashed)
		return;
	sum = hash_begin(&slot);
	EVP_DigestUpdate(sum, node->bytes, node->len);
	hash_end(sum, node->hash);
	node->hashed = true;
}

/* Folders nest little here, and nothing contains itself: rename() of a folder into itself fails. */
static void hash_tree(struct wv_sim_image *im, uint32_t ino, EVP_MD_CTX *sum)
{
	struct wv_sim_node *node = im->nodes[ino];

	for (size_t i = 0; i < node->n_entries; i++) {
		struct wv_sim_node *child = im->nodes[node->entries[i].ino];
		const char *name = node->entries[i].name;
		unsigned char kind = (unsigned char)child->kind;

		EVP_DigestUpdate(sum, name, strlen(name) + 1);
		EVP_DigestUpdate(sum, &kind, 1);
		if (child->kind == WV_SIM_DIR) {
			hash_tree(im, node->entries[i].ino, sum);
		} else {
			hash_bytes(child);
			EVP_DigestUpdate(sum, child->hash, sizeof(child->hash));
		}
	}
	EVP_DigestUpdate(sum, "", 1); /* the end of the folder */
}

void wv_sim_image_hash(struct wv_sim_image *im, unsigned char ret[WV_SIM_HASH_SIZE])
{
	static EVP_MD_CTX *slot;
	EVP_MD_CTX *sum = hash_begin(&slot);

	hash_tree(im, 0, sum);
	hash_end(sum, ret);
}

uint64_t wv_sim_image_bytes(const struct wv_sim_image *im)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < im->n; i++)
		if (im->nodes[i] && im->nodes[i]->kind == WV_SIM_FILE)
			sum += (im->nodes[i]->len + 4095) / 4096 * 4096;
	return sum;
}

static void print_bytes(const struct wv_sim_node *node, FILE *f)
{
	size_t shown = node->len > 300 ? 150 : node->len;

	for (size_t i = 0; i < node->len; i++) {
		if (i == shown && shown < node->len) {
			fprintf(f, " ... ");
			i = node->len - 150;
		}
		if (node->bytes[i] == '\n')
			fprintf(f, "\\n");
		else if (isprint(node->bytes[i]))
			fputc(node->bytes[i], f);
		else
			fprintf(f, "\\x%02x", node->bytes[i]);
	}
}

static void print_tree(const struct wv_sim_image *im, uint32_t ino, int depth, FILE *f)
{
	const struct wv_sim_node *node = im->nodes[ino];

	for (size_t i = 0; i < node->n_entries; i++) {
		const struct wv_sim_node *child = im->nodes[node->entries[i].ino];

		fprintf(f, "%*s%s", depth * 2, "", node->entries[i].name);
		if (child->kind == WV_SIM_DIR) {
			fprintf(f, "/\n");
			print_tree(im, node->entries[i].ino, depth + 1, f);
			continue;
		}
		fprintf(f, child->kind == WV_SIM_LINK ? " -> " : " (%zu): ", child->len);
		print_bytes(child, f);
		fputc('\n', f);
	}
}

void wv_sim_image_print(const struct wv_sim_image *im, FILE *f)
{
	print_tree(im, 0, 1, f);
}
