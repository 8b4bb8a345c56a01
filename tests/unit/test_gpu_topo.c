// SPDX-License-Identifier: GPL-2.0-only
/* Topologies: read, written and read again; as XML for NCCL; what is wrong in a file is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/topo_fixture.h"

struct counts {
	unsigned system, cpu, pci, gpu, nvlink;
};

/* Elements nest and close in order; none but the known ones. Returns how many there are. */
static struct counts read_xml(const char *s)
{
	static const char *const names[] = {"system", "cpu", "pci", "gpu", "nvlink"};
	unsigned n[5] = {0}, depth = 0, stack[32];

	assert_int_equal(*s, '<');
	while ((s = strchr(s, '<'))) {
		const char *end = strchr(s, '>');
		unsigned k = 0;

		assert_non_null(end);
		if (s[1] == '/') {
			assert_true(depth > 0);
			depth--;
			assert_memory_equal(s + 2, names[stack[depth]], (size_t)(end - s - 2));
			s = end;
			continue;
		}
		while (k < 5 && (strncmp(s + 1, names[k], strlen(names[k])) != 0 ||
				 s[1 + strlen(names[k])] != ' '))
			k++;
		assert_true(k < 5);
		/* where NCCL looks for it: gpu in pci, nvlink in gpu, pci in cpu or pci */
		assert_true(k == 2	 ? depth && (stack[depth - 1] == 1 || stack[depth - 1] == 2)
			    : depth == 0 ? k == 0
					 : stack[depth - 1] == k - 1);
		n[k]++;
		if (end[-1] != '/') {
			assert_true(depth < 32);
			stack[depth++] = k;
		}
		s = end;
	}
	assert_int_equal(depth, 0);
	return (struct counts){n[0], n[1], n[2], n[3], n[4]};
}

static void nccl_of_each_fixture_has_its_elements(void **state)
{
	static const struct {
		const char *name;
		struct counts is;
	} rows[] = {
		{"hgx-h100", {1, 2, 12, 8, 8}},	    {"pcie-4", {1, 2, 6, 4, 0}},
		{"dgx1-v100", {1, 2, 12, 8, 32}},   {"single", {1, 1, 1, 1, 0}},
		{"workstation-2", {1, 1, 2, 2, 2}}, {"mig-a100", {1, 1, 0, 0, 0}},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wv_topo *t = topo_fixture(rows[i].name);
		char *text = wv_topo_nccl(t);
		struct counts c = read_xml(text);

		assert_memory_equal(&c, &rows[i].is, sizeof(c));
		assert_null(strchr(text, '\t'));
		free(text);
		free(t);
	}
}

static void nccl_of_nodes_has_their_cpus_as_masks(void **state)
{
	struct wv_topo *t = topo_fixture("pcie-4");
	char *text = wv_topo_nccl(t);

	(void)state;
	assert_non_null(strstr(text, "numaid=\"0\" affinity=\"0000ffff\""));
	assert_non_null(strstr(text, "numaid=\"1\" affinity=\"ffff0000\""));
	free(text);
	free(t);
}

static void json_written_and_read_is_the_same(void **state)
{
	struct wv_topo *t = topo_fixture("dgx1-v100"), *u = calloc(1, sizeof(*u));
	char *text = wv_topo_json(t), why[96];

	(void)state;
	assert_int_equal(wv_topo_parse(text, u, why), 0);
	assert_int_equal(u->n, 8);
	assert_memory_equal(t->nvlink_mbs, u->nvlink_mbs, sizeof(t->nvlink_mbs));
	assert_memory_equal(t->path, u->path, sizeof(t->path));
	assert_memory_equal(t->pcie_mbs, u->pcie_mbs, sizeof(t->pcie_mbs));
	free(text);
	free(t);
	free(u);
}

static void parse_wrong_file_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"[]",
		"{}",
		"{\"schema_version\":2,\"gpus\":[]}",
		"{\"schema_version\":1,\"gpus\":[{}]}",
		"{\"schema_version\":1,\"gpus\":[{\"uuid\":\"a\"},{\"uuid\":\"a\"}]}",
		"{\"schema_version\":1,\"gpus\":[{\"uuid\":\"a,b\"}]}",
		"{\"schema_version\":1,\"gpus\":[{\"uuid\":\"a\",\"name\":\"<x>\"}]}",
		"{\"schema_version\":1,\"gpus\":[{\"uuid\":\"a\"}],\"links\":[{\"a\":0,\"b\":1}]}",
		"{\"schema_version\":1,\"gpus\":[],\"nodes\":[{\"id\":0,\"cpus\":\"0 /x\"}]}",
	};
	struct wv_topo *t = calloc(1, sizeof(*t));
	char why[96];

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(wv_topo_parse(wrong[i], t, why), -EBADMSG);
	free(t);
}

static void cpus_of_gpus_are_those_of_their_nodes(void **state)
{
	struct wv_topo *t = topo_fixture("pcie-4");
	char buf[64];

	(void)state;
	assert_int_equal(wv_topo_cpus(t, 3, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "0-15");
	assert_int_equal(wv_topo_cpus(t, 6, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "0-15,16-31");
	assert_int_equal(wv_topo_cpus(t, 6, buf, 5), -ENOBUFS);
	t->numa[0] = -1;
	assert_int_equal(wv_topo_cpus(t, 3, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nccl_of_each_fixture_has_its_elements),
		cmocka_unit_test(nccl_of_nodes_has_their_cpus_as_masks),
		cmocka_unit_test(json_written_and_read_is_the_same),
		cmocka_unit_test(parse_wrong_file_is_refused),
		cmocka_unit_test(cpus_of_gpus_are_those_of_their_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
