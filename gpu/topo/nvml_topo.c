// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/topo/nvml_topo.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define LINKS_MAX 18 /* of a GPU, up to Hopper and Blackwell */
#define PATH_DEPTH 32

static int read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");

	buf[0] = '\0';
	if (!f)
		return -errno;
	if (fgets(buf, (int)size, f))
		buf[strcspn(buf, "\n")] = '\0';
	fclose(f);
	return 0;
}

static int is_address(const char *s)
{
	return strlen(s) == 12 && s[4] == ':' && s[7] == ':' && s[10] == '.';
}

/*
 * From where the device stands in the tree of devices. Below a switch's upstream port (which
 * counts) comes its downstream port (which does not); the first port is the root's and counts
 * neither.
 */
static void take_bridges(const char *sys, struct wv_topo_gpu *g)
{
	char path[PATH_MAX], real[PATH_MAX], *at[PATH_DEPTH], *save;
	int n = 0;

	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s", sys, g->pci);
	if (!realpath(path, real))
		return;
	for (char *p = strtok_r(real, "/", &save); p && n < PATH_DEPTH;
	     p = strtok_r(NULL, "/", &save)) {
		if (is_address(p))
			at[n++] = p;
		else if (strncmp(p, "pci", 3) == 0 && strlen(p) == 10)
			snprintf(g->root, sizeof(g->root), "%s", p + 3);
	}
	for (int i = n - 3; i >= 0 && g->bridges < WV_TOPO_BRIDGES; i -= 2)
		snprintf(g->bridge[g->bridges++], sizeof(g->bridge[0]), "%s", at[i]);
}

static void take_nodes(const char *sys, struct wv_topo *t)
{
	char path[PATH_MAX];

	for (int id = 0; id < 1024 && t->n_nodes < WV_TOPO_NODES; id++) {
		struct wv_topo_node *n = &t->node[t->n_nodes];

		snprintf(path, sizeof(path), "%s/devices/system/node/node%d/cpulist", sys, id);
		if (read_line(path, n->cpus, sizeof(n->cpus)) < 0)
			continue;
		n->id = id;
		t->n_nodes++;
	}
}

static void address(const struct wv_nvml_pci *p, char buf[16])
{
	snprintf(buf, 16, "%04x:%02x:%02x.0", p->domain & 0xffff, p->bus & 0xff, p->device & 0x1f);
}

static int take_gpu(const struct wv_nvml *nvml, void *device, const char *sys, struct wv_topo *t,
		    unsigned i)
{
	struct wv_topo_gpu *g = &t->gpu[i];
	struct wv_nvml_memory memory = {0};
	struct wv_nvml_pci pci = {.domain = 0};
	char path[PATH_MAX], line[16];
	int major = 0, minor = 0;

	if (nvml->uuid(device, g->uuid, sizeof(g->uuid)) || nvml->pci(device, &pci))
		return -ENODEV;
	(void)nvml->name(device, g->name, sizeof(g->name));
	if (nvml->memory(device, &memory) == 0)
		g->memory_bytes = memory.total;
	if (nvml->capability(device, &major, &minor) == 0)
		g->sm = (unsigned)(major * 10 + minor);
	if (nvml->generation(device, &g->pcie_gen))
		g->pcie_gen = 3;
	if (nvml->width(device, &g->pcie_width))
		g->pcie_width = 16;
	address(&pci, g->pci);
	take_bridges(sys, g);
	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/numa_node", sys, g->pci);
	t->numa[i] = read_line(path, line, sizeof(line)) == 0 && line[0] ? atoi(line) : -1;
	/* a machine with one node says so by -1 at times */
	if (t->numa[i] < 0 && t->n_nodes == 1)
		t->numa[i] = t->node[0].id;
	return 0;
}

/* Nominal MB/s of one link and direction, by version of NVLink. */
static uint32_t link_mbs(unsigned version)
{
	return version <= 1 ? 20000 : version >= 5 ? 50000 : 25000;
}

static void take_links(const struct wv_nvml *nvml, void *device, struct wv_topo *t, unsigned i)
{
	for (unsigned link = 0; link < LINKS_MAX; link++) {
		struct wv_nvml_pci pci = {.domain = 0};
		unsigned on = 0, version = 2, k = 0;
		char remote[16];

		if (nvml->link_state(device, link, &on) || !on ||
		    nvml->link_remote(device, link, &pci))
			continue;
		(void)nvml->link_version(device, link, &version);
		t->link_mbs = link_mbs(version);
		address(&pci, remote);
		while (k < t->n && strcmp(t->gpu[k].pci, remote) != 0)
			k++;
		if (k < t->n) {
			t->links[i][k]++;
		} else {
			t->gpu[i].switch_links++;
			snprintf(t->nvswitch, sizeof(t->nvswitch), "%s", remote);
		}
	}
}

/* In place of GPU i, the last one, its slices, where it is cut into some. */
static void take_slices(const struct wv_nvml *nvml, void *device, struct wv_topo *t, unsigned i)
{
	struct wv_topo_gpu whole = t->gpu[i];
	unsigned now = 0, later, max = 0;
	int numa = t->numa[i];

	if (nvml->mig_mode(device, &now, &later) || !now || nvml->mig_max(device, &max))
		return;
	t->n--;
	memset(&t->gpu[i], 0, sizeof(t->gpu[i]));
	for (unsigned k = 0; k < max && t->n < WV_TOPO_GPUS; k++) {
		struct wv_topo_gpu *g = &t->gpu[t->n];
		struct wv_nvml_memory memory = {0};
		void *slice;

		if (nvml->mig_handle(device, k, &slice))
			continue;
		*g = whole;
		snprintf(g->device, sizeof(g->device), "%s", whole.uuid);
		if (nvml->uuid(slice, g->uuid, sizeof(g->uuid)))
			continue;
		(void)nvml->name(slice, g->name, sizeof(g->name));
		if (nvml->memory(slice, &memory) == 0)
			g->memory_bytes = memory.total;
		t->numa[t->n++] = numa;
	}
}

int wv_topo_read_with(const struct wv_nvml *nvml, const char *sys, struct wv_topo *ret)
{
	struct wv_topo *t = calloc(1, sizeof(*t));
	void *device, *whole[WV_TOPO_GPUS] = {NULL};
	unsigned n = 0;
	struct utsname u;
	int r = 0;

	if (!t)
		return -ENOMEM;
	take_nodes(sys, t);
	if (uname(&u) == 0)
		snprintf(t->cpu_arch, sizeof(t->cpu_arch), "%s",
			 strcmp(u.machine, "aarch64") == 0 ? "arm64" : "x86_64");
	snprintf(t->source, sizeof(t->source), "NVML and sysfs of this machine");
	if (nvml->count(&n))
		r = -ENODEV;
	for (unsigned i = 0; r == 0 && i < n; i++) {
		if (t->n == WV_TOPO_GPUS)
			r = -E2BIG;
		else if (nvml->handle(i, &device) == 0 &&
			 take_gpu(nvml, device, sys, t, t->n) == 0) {
			whole[t->n++] = device;
			take_slices(nvml, device, t, t->n - 1);
		}
	}
	for (unsigned i = 0; r == 0 && i < t->n; i++)
		if (!t->gpu[i].device[0])
			take_links(nvml, whole[i], t, i);
	wv_topo_complete(t);
	if (r == 0)
		*ret = *t;
	free(t);
	return r;
}

int wv_topo_read(struct wv_topo *ret)
{
	struct wv_nvml nvml;
	int r;

	if (wv_nvml_load(WV_NVML_TOPOLOGY, &nvml) < 0)
		return -ENOPKG;
	if (nvml.init())
		return -ENODEV;
	r = wv_topo_read_with(&nvml, "/sys", ret);
	(void)nvml.shutdown();
	return r;
}
