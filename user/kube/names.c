// SPDX-License-Identifier: GPL-2.0-only
#include "user/kube/names.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"

/* A writer that died in between leaves it odd. */
#define TRIES 100

struct wv_kube_names *wv_kube_names_map(int runtime, bool write)
{
	_cleanup_close_ int fd = openat(runtime, WV_KUBE_NAMES_FILE,
					O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	struct wv_kube_names *n;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 ||
	    (st.st_size != sizeof(*n) && ftruncate(fd, sizeof(*n)) < 0))
		return NULL;
	n = mmap(NULL, sizeof(*n), write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	return n == MAP_FAILED ? NULL : n;
}

void wv_kube_names_unmap(struct wv_kube_names *n)
{
	if (n)
		(void)munmap(n, sizeof(*n));
}

void wv_kube_names_begin(struct wv_kube_names *n)
{
	uint64_t seq = atomic_load(&n->seq);

	atomic_store(&n->seq, seq | 1);
	atomic_thread_fence(memory_order_seq_cst);
	n->layout = sizeof(*n);
}

static int by_id(const void *a, const void *b)
{
	return strncmp(((const struct wv_kube_name *)a)->id, ((const struct wv_kube_name *)b)->id,
		       sizeof(((const struct wv_kube_name *)a)->id));
}

void wv_kube_names_end(struct wv_kube_names *n)
{
	qsort(n->list, n->n, sizeof(n->list[0]), by_id);
	atomic_thread_fence(memory_order_seq_cst);
	atomic_store(&n->seq, atomic_load(&n->seq) + 1);
}

static bool find(const struct wv_kube_names *n, const char *id, const char *pod_uid,
		 struct wv_kube_name *ret)
{
	uint32_t count = n->n < WV_KUBE_NAMES_MAX ? n->n : WV_KUBE_NAMES_MAX;
	const struct wv_kube_name *found = NULL;
	struct wv_kube_name key = {.id = ""};

	if (*id) {
		memcpy(key.id, id, strnlen(id, sizeof(key.id) - 1));
		found = bsearch(&key, n->list, count, sizeof(key), by_id);
	}
	for (uint32_t i = 0; !*id && *pod_uid && i < count && !found; i++)
		if (strncmp(n->list[i].pod_uid, pod_uid, sizeof(key.pod_uid)) == 0)
			found = &n->list[i];
	if (!found)
		return false;
	*ret = *found;
	/* what is read while it changes is thrown away, but it is read */
	ret->namespace[sizeof(ret->namespace) - 1] = ret->pod[sizeof(ret->pod) - 1] = '\0';
	ret->container[*id ? sizeof(ret->container) - 1 : 0] = '\0';
	return true;
}

bool wv_kube_names_find(const struct wv_kube_names *n, const char *id, const char *pod_uid,
			struct wv_kube_name *ret)
{
	struct wv_kube_name got;

	for (int i = 0; i < TRIES; i++) {
		uint64_t seq = atomic_load(&n->seq);
		bool found;

		if ((seq & 1) || n->layout != sizeof(*n))
			continue;
		found = find(n, id, pod_uid, &got);
		atomic_thread_fence(memory_order_seq_cst);
		if (atomic_load(&n->seq) != seq)
			continue;
		if (found)
			*ret = got;
		return found;
	}
	return false;
}
