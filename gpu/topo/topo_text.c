// SPDX-License-Identifier: GPL-2.0-only
/* A topology for people, for NCCL, for Node Feature Discovery, and as CPUs of a job. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/topo/topo.h"

static const struct wv_topo_node *node_of(const struct wv_topo *t, int id)
{
	for (unsigned i = 0; i < t->n_nodes; i++)
		if (t->node[i].id == id)
			return &t->node[i];
	return NULL;
}

static void cell(const struct wv_topo *t, unsigned a, unsigned b, char buf[12])
{
	const char *kind = t->links[a][b] ? "NV" : "NVS";
	unsigned n = t->links[a][b];

	if (!n && t->link_mbs)
		n = t->nvlink_mbs[a][b] / t->link_mbs;
	if (a == b || !t->nvlink_mbs[a][b])
		snprintf(buf, 12, "%s", wv_topo_paths[t->path[a][b]]);
	else
		snprintf(buf, 12, "%s%u", kind, n & 0xff);
}

char *wv_topo_matrix(const struct wv_topo *t)
{
	char *text = NULL, buf[12];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (t->source[0])
		fprintf(f, "Source: %s\n", t->source);
	fprintf(f, "%-6s", "");
	for (unsigned b = 0; b < t->n; b++)
		fprintf(f, "%-6u", b);
	fprintf(f, "%-5s %-16s %-13s %s\n", "NUMA", "CPUs", "PCI", "GPU");
	for (unsigned a = 0; a < t->n; a++) {
		const struct wv_topo_node *n = node_of(t, t->numa[a]);

		fprintf(f, "%-6u", a);
		for (unsigned b = 0; b < t->n; b++) {
			cell(t, a, b, buf);
			fprintf(f, "%-6s", buf);
		}
		fprintf(f, "%-5d %-16s %-13s %s %s\n", t->numa[a], n ? n->cpus : "?", t->gpu[a].pci,
			t->gpu[a].name, t->gpu[a].uuid);
	}
	fprintf(f, "\nNVn: n NVLinks to each other; NVSn: n to NVSwitch; PCIe: PIX one switch, PXB "
		   "several, PHB a host\nbridge, NODE within a NUMA node, SYS between nodes; MIG: "
		   "slices of one GPU\n");
	return fclose(f) == 0 ? text : (free(text), NULL);
}

/* "0-3,8" as NCCL has it, in words of 32 bits, the highest first. */
static void affinity(FILE *f, const char *cpus)
{
	uint32_t word[32] = {0};
	unsigned top = 0;

	while (*cpus) {
		char *end;
		unsigned long a = strtoul(cpus, &end, 10), b = a;

		if (end == cpus)
			break;
		if (*end == '-')
			b = strtoul(end + 1, &end, 10);
		for (; a <= b && a < 1024; a++) {
			word[a / 32] |= 1U << a % 32;
			top = a / 32 > top ? (unsigned)(a / 32) : top;
		}
		cpus = *end == ',' ? end + 1 : end;
	}
	for (unsigned i = top + 1; i-- > 0;)
		fprintf(f, "%08x%s", word[i], i ? "," : "");
}

static void pci_open(FILE *f, const struct wv_topo_gpu *g, const char *busid, const char *class,
		     unsigned depth)
{
	static const char *const speed[] = {"", "2.5", "5.0", "8.0", "16.0", "32.0", "64.0"};

	fprintf(f,
		"%*s<pci busid=\"%s\" class=\"%s\" link_speed=\"%s GT/s PCIe\" "
		"link_width=\"%u\">\n",
		(int)(4 + 2 * depth), "", busid, class, speed[g->pcie_gen < 7 ? g->pcie_gen : 0],
		g->pcie_width);
}

static void gpu_element(FILE *f, const struct wv_topo *t, unsigned i, unsigned depth)
{
	const struct wv_topo_gpu *g = &t->gpu[i];
	int in = (int)(4 + 2 * depth);

	pci_open(f, g, g->pci, "0x030200", depth);
	fprintf(f, "%*s<gpu dev=\"%u\" sm=\"%u\">\n", in + 2, "", i, g->sm);
	for (unsigned b = 0; b < t->n; b++)
		if (t->links[i][b])
			fprintf(f, "%*s<nvlink target=\"%s\" count=\"%u\" tclass=\"0x030200\"/>\n",
				in + 4, "", t->gpu[b].pci, t->links[i][b]);
	if (g->switch_links && t->nvswitch[0])
		fprintf(f, "%*s<nvlink target=\"%s\" count=\"%u\" tclass=\"0x068000\"/>\n", in + 4,
			"", t->nvswitch, g->switch_links);
	fprintf(f, "%*s</gpu>\n%*s</pci>\n", in + 2, "", in, "");
}

static const char *bridge_at(const struct wv_topo_gpu *g, unsigned depth)
{
	return depth < g->bridges ? g->bridge[g->bridges - 1 - depth] : NULL;
}

/* The GPUs of a set share all bridges above `depth`, counted from the root; no cycles: depth grows.
 */
static void subtree(FILE *f, const struct wv_topo *t, uint64_t set, unsigned depth)
{
	while (set) {
		unsigned i = (unsigned)__builtin_ctzll(set);
		const char *bridge = bridge_at(&t->gpu[i], depth);
		uint64_t same = 0;

		if (!bridge) {
			gpu_element(f, t, i, depth);
			set &= set - 1;
			continue;
		}
		for (unsigned k = i; k < t->n; k++) {
			const char *other = bridge_at(&t->gpu[k], depth);

			if (set >> k & 1 && other && strcmp(other, bridge) == 0)
				same |= 1ULL << k;
		}
		pci_open(f, &t->gpu[i], bridge, "0x060400", depth);
		subtree(f, t, same, depth + 1);
		fprintf(f, "%*s</pci>\n", (int)(4 + 2 * depth), "");
		set &= ~same;
	}
}

/* Whole GPUs of a NUMA node. */
static uint64_t gpus_of(const struct wv_topo *t, int numa)
{
	uint64_t set = 0;

	for (unsigned i = 0; i < t->n; i++)
		if (t->numa[i] == numa && !t->gpu[i].device[0] && t->gpu[i].pci[0])
			set |= 1ULL << i;
	return set;
}

static void cpu_element(FILE *f, const struct wv_topo *t, int numa, const char *cpus)
{
	fprintf(f, "  <cpu numaid=\"%d\"", numa);
	if (cpus[0]) {
		fprintf(f, " affinity=\"");
		affinity(f, cpus);
		fprintf(f, "\"");
	}
	if (t->cpu_arch[0])
		fprintf(f, " arch=\"%s\"", t->cpu_arch);
	if (t->cpu_vendor[0])
		fprintf(f, " vendor=\"%s\" familyid=\"%u\" modelid=\"%u\"", t->cpu_vendor,
			t->cpu_family, t->cpu_model);
	fprintf(f, ">\n");
	subtree(f, t, gpus_of(t, numa), 0);
	fprintf(f, "  </cpu>\n");
}

char *wv_topo_nccl(const struct wv_topo *t)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	/* no <?xml?> line and no tabs: NCCL's own reader knows neither */
	fprintf(f, "<system version=\"1\">\n");
	for (unsigned i = 0; i < t->n_nodes; i++)
		cpu_element(f, t, t->node[i].id, t->node[i].cpus);
	if (gpus_of(t, -1))
		cpu_element(f, t, -1, "");
	fprintf(f, "</system>\n");
	return fclose(f) == 0 ? text : (free(text), NULL);
}

/* Label values: letters, digits, - _ . and at most 63 of them. */
static void label(FILE *f, const char *key, const char *text)
{
	fprintf(f, "waveos.io/%s=", key);
	for (unsigned i = 0; i < 63 && text[i]; i++)
		fputc(isalnum((unsigned char)text[i]) ||
				      (strchr("-_.", text[i]) && i && text[i + 1])
			      ? text[i]
			      : '-',
		      f);
	fputc('\n', f);
}

char *wv_topo_nfd(const struct wv_topo *t)
{
	char *text = NULL;
	size_t size, slices = 0;
	uint32_t worst = UINT32_MAX;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (unsigned a = 0; a < t->n; a++) {
		slices += t->gpu[a].device[0] != 0;
		for (unsigned b = 0; b < a; b++)
			worst = t->nvlink_mbs[a][b] < worst ? t->nvlink_mbs[a][b] : worst;
	}
	fprintf(f, "waveos.io/gpu.count=%zu\nwaveos.io/gpu.mig-slices=%zu\n", t->n - slices,
		slices);
	fprintf(f, "waveos.io/gpu.nvswitch=%s\n", t->nvswitch[0] ? "true" : "false");
	if (t->n > 1)
		fprintf(f, "waveos.io/gpu.nvlink-all-pairs=%s\nwaveos.io/gpu.nvlink-worst-mbs=%u\n",
			worst ? "true" : "false", worst);
	if (t->n)
		label(f, "gpu.model", t->gpu[0].name);
	return fclose(f) == 0 ? text : (free(text), NULL);
}

int wv_topo_cpus(const struct wv_topo *t, uint64_t gpus, char *buf, size_t size)
{
	size_t at = 0;
	uint64_t done = 0; /* of t->node */

	if (!size)
		return -ENOBUFS;
	buf[0] = '\0';
	for (unsigned i = 0; i < t->n; i++) {
		const struct wv_topo_node *n = node_of(t, t->numa[i]);
		int k;

		if (!(gpus >> i & 1))
			continue;
		if (!n || !n->cpus[0]) {
			buf[0] = '\0';
			return 0;
		}
		if (done >> (n - t->node) & 1)
			continue;
		done |= 1ULL << (n - t->node);
		k = snprintf(buf + at, size - at, "%s%s", at ? "," : "", n->cpus);
		if (k < 0 || (size_t)k >= size - at) {
			buf[0] = '\0';
			return -ENOBUFS;
		}
		at += (size_t)k;
	}
	return 0;
}
