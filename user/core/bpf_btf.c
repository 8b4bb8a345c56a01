// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel's BTF says about tracepoints, read once into a small sorted index. */
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"

#define TRACE_PREFIX "btf_trace_"

static struct {
	struct btf *btf;
	const struct btf_type **typedefs; /* of names btf_trace_*, sorted by name */
	size_t n;
	bool tried;
} kernel;

static const char *name_of(const struct btf_type *t)
{
	return btf__name_by_offset(kernel.btf, t->name_off);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(name_of(*(const struct btf_type *const *)a),
		      name_of(*(const struct btf_type *const *)b));
}

static void load(void)
{
	size_t size = 0;

	kernel.tried = true;
	kernel.btf = btf__load_vmlinux_btf();
	if (!kernel.btf)
		return;
	for (__u32 i = 1; i < btf__type_cnt(kernel.btf); i++) {
		const struct btf_type *t = btf__type_by_id(kernel.btf, i);
		const struct btf_type **bigger;

		if (!btf_is_typedef(t) ||
		    strncmp(name_of(t), TRACE_PREFIX, strlen(TRACE_PREFIX)) != 0)
			continue;
		if (kernel.n == size) {
			size = size ? size * 2 : 1024;
			bigger = realloc(kernel.typedefs, size * sizeof(*bigger));
			if (!bigger)
				break;
			kernel.typedefs = bigger;
		}
		kernel.typedefs[kernel.n++] = t;
	}
	qsort(kernel.typedefs, kernel.n, sizeof(*kernel.typedefs), by_name);
}

static const struct btf_type *find_trace(const char *name)
{
	size_t lo = 0, hi;

	if (!kernel.tried)
		load();
	for (hi = kernel.n; lo < hi;) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(name, name_of(kernel.typedefs[mid]) + strlen(TRACE_PREFIX));

		if (c == 0)
			return kernel.typedefs[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

bool wv_bpf_has_tracepoint(const char *name, unsigned *ret_args)
{
	const struct btf_type *t = find_trace(name);

	if (!t)
		return false;
	if (ret_args) {
		t = btf__type_by_id(kernel.btf, t->type); /* pointer */
		t = t ? btf__type_by_id(kernel.btf, t->type) : NULL;
		if (!t || !btf_is_func_proto(t) || !btf_vlen(t))
			return false;
		*ret_args = btf_vlen(t) - 1; /* the first is the tracepoint's void * */
	}
	return true;
}

int wv_btf_id(const char *name, int kind)
{
	if (!kernel.tried)
		load();
	return kernel.btf ? btf__find_by_name_kind(kernel.btf, name, (__u32)kind) : -ENOENT;
}

bool wv_bpf_has_function(const char *name)
{
	return wv_btf_id(name, BTF_KIND_FUNC) >= 0;
}

int wv_btf_enum_value(const char *type, const char *name)
{
	int id = wv_btf_id(type, BTF_KIND_ENUM);
	const struct btf_type *t;
	const struct btf_enum *e;

	if (id < 0)
		return id;
	t = btf__type_by_id(kernel.btf, (__u32)id);
	e = btf_enum(t);
	for (unsigned i = 0; i < btf_vlen(t); i++)
		if (strcmp(btf__name_by_offset(kernel.btf, e[i].name_off), name) == 0)
			return e[i].val;
	return -ENOENT;
}

void wv_btf_release(void)
{
	btf__free(kernel.btf);
	free(kernel.typedefs);
	memset(&kernel, 0, sizeof(kernel));
}
