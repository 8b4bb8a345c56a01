// SPDX-License-Identifier: GPL-2.0-only
/* The reader of this machine's topology with made-up functions of NVML and a made-up sysfs: two
 * GPUs behind one switch with four NVLinks to each other, and one that is cut into slices. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/topo/nvml_topo.h"
#include "tests/unit/topo_fixture.h"
#include "user/core/cleanup.h"

static char gpus[3], slices[2]; /* their addresses are the handles */

static int index_of(const void *device)
{
	const char *c = device;

	return c >= slices && c < slices + 2 ? (int)(10 + (c - slices)) : (int)(c - gpus);
}

static int give_count(unsigned *n)
{
	*n = 3;
	return 0;
}

static int give_handle(unsigned i, void **device)
{
	*device = &gpus[i];
	return 0;
}

static int give_uuid(void *device, char *buf, unsigned size)
{
	snprintf(buf, size, "GPU-%d", index_of(device));
	return 0;
}

static int give_pci(void *device, struct wv_nvml_pci *pci)
{
	*pci = (struct wv_nvml_pci){.bus = 0x18 + (unsigned)index_of(device)};
	return 0;
}

static int give_memory(void *device, struct wv_nvml_memory *m)
{
	m->total = index_of(device) >= 10 ? 5 : 40;
	return 0;
}

static int give_capability(void *device _unused_, int *major, int *minor)
{
	*major = 8;
	*minor = 6;
	return 0;
}

static int give_four(void *device _unused_, unsigned *n)
{
	*n = 4;
	return 0;
}

static int give_link(void *device, unsigned link, unsigned *on)
{
	*on = link < 4 && index_of(device) < 2;
	return 0;
}

static int give_remote(void *device, unsigned link _unused_, struct wv_nvml_pci *pci)
{
	*pci = (struct wv_nvml_pci){.bus = index_of(device) == 0 ? 0x19 : 0x18};
	return 0;
}

static int give_version(void *device _unused_, unsigned link _unused_, unsigned *version)
{
	*version = 3;
	return 0;
}

static int give_mode(void *device, unsigned *now, unsigned *later)
{
	*now = *later = index_of(device) == 2;
	return 0;
}

static int give_slice(void *device _unused_, unsigned i, void **slice)
{
	*slice = &slices[i % 2];
	return i < 2 ? 0 : 6;
}

static const struct wv_nvml fake = {
	.count = give_count,
	.handle = give_handle,
	.uuid = give_uuid,
	.name = give_uuid,
	.pci = give_pci,
	.memory = give_memory,
	.capability = give_capability,
	.generation = give_four,
	.width = give_four,
	.link_state = give_link,
	.link_remote = give_remote,
	.link_version = give_version,
	.mig_mode = give_mode,
	.mig_max = give_four,
	.mig_handle = give_slice,
};

static void run(const char *dir, const char *command)
{
	char text[1024];

	snprintf(text, sizeof(text), "cd %s && %s", dir, command);
	assert_int_equal(system(text), 0);
}

static void read_links_bridges_nodes_and_slices_are_found(void **state)
{
	char dir[] = "/tmp/waveos-topo.XXXXXX";
	struct wv_topo *t = calloc(1, sizeof(*t));

	(void)state;
	assert_non_null(mkdtemp(dir));
	run(dir,
	    "r=devices/pci0000:15/0000:15:01.0/0000:16:00.0 && mkdir -p bus/pci/devices "
	    "devices/system/node/node0 $r/0000:17:00.0/0000:18:00.0 "
	    "$r/0000:17:01.0/0000:19:00.0 devices/pci0000:1a/0000:1a:00.0 && "
	    "echo 0-7 >devices/system/node/node0/cpulist && "
	    "echo 0 >$r/0000:17:00.0/0000:18:00.0/numa_node && "
	    "ln -s ../../../$r/0000:17:00.0/0000:18:00.0 ../../../$r/0000:17:01.0/0000:19:00.0 "
	    "../../../devices/pci0000:1a/0000:1a:00.0 bus/pci/devices/");
	assert_int_equal(wv_topo_read_with(&fake, dir, t), 0);
	assert_int_equal(t->n, 4);
	assert_string_equal(t->gpu[0].pci, "0000:18:00.0");
	assert_int_equal(t->gpu[0].bridges, 1);
	assert_string_equal(t->gpu[0].bridge[0], "0000:16:00.0");
	assert_string_equal(t->gpu[0].root, "0000:15");
	assert_int_equal(t->path[0][1], WV_TOPO_PIX);
	assert_int_equal(t->links[0][1], 4);
	assert_int_equal(t->nvlink_mbs[1][0], 100000);
	assert_int_equal(t->gpu[1].switch_links, 0);
	assert_int_equal(t->numa[0], 0);
	assert_string_equal(t->node[0].cpus, "0-7");
	/* slices in place of the third */
	assert_string_equal(t->gpu[2].uuid, "GPU-10");
	assert_string_equal(t->gpu[3].uuid, "GPU-11");
	assert_string_equal(t->gpu[3].device, "GPU-2");
	assert_int_equal(t->gpu[3].memory_bytes, 5);
	assert_int_equal(t->gpu[2].bridges, 0);
	assert_int_equal(t->path[2][3], WV_TOPO_MIG);
	assert_int_equal(t->nvlink_mbs[2][3], 0);
	run(dir, "rm -r bus devices");
	assert_int_equal(rmdir(dir), 0);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_links_bridges_nodes_and_slices_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
