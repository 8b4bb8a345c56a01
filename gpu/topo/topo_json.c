// SPDX-License-Identifier: GPL-2.0-only
/* A topology as JSON, and what follows from what it declares. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "gpu/topo/topo.h"

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}

static int64_t number_of(struct json_object *o, const char *key, int64_t def)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_int)
		       ? json_object_get_int64(v)
		       : def;
}

static struct json_object *list_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_array)
		       ? v
		       : NULL;
}

static size_t length(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

#define COPY(to, text) snprintf(to, sizeof(to), "%s", text)

/* What goes into XML and labels as it is. */
static int is_plain(const char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~' || strchr("<>&\"'", *s))
			return 0;
	return 1;
}

static int parse_gpu(struct json_object *o, struct wv_topo *t, unsigned i)
{
	struct wv_topo_gpu *g = &t->gpu[i];
	struct json_object *bridges = list_of(o, "bridges");
	int64_t numa = number_of(o, "numa", -1), gen = number_of(o, "pcie_gen", 3);
	int64_t width = number_of(o, "pcie_width", 16), links = number_of(o, "switch_links", 0);

	COPY(g->uuid, text_of(o, "uuid"));
	COPY(g->name, text_of(o, "name"));
	COPY(g->pci, text_of(o, "pci"));
	COPY(g->device, text_of(o, "device"));
	COPY(g->root, text_of(o, "root"));
	if (!g->uuid[0] || !is_plain(g->uuid) || !is_plain(g->name) || !is_plain(g->pci) ||
	    !is_plain(g->root) || strchr(g->uuid, ',') || numa < -1 || numa > 1023 || gen < 1 ||
	    gen > 6 || width < 1 || width > 32 || links < 0 || links > 64 ||
	    length(bridges) > WV_TOPO_BRIDGES)
		return -EBADMSG;
	t->numa[i] = (int)numa;
	g->sm = (unsigned)number_of(o, "sm", 0) & 0xfff;
	g->pcie_gen = (unsigned)gen;
	g->pcie_width = (unsigned)width;
	g->switch_links = (unsigned)links;
	g->memory_bytes = (uint64_t)number_of(o, "memory_bytes", 0);
	for (; g->bridges < length(bridges); g->bridges++) {
		const char *b =
			json_object_get_string(json_object_array_get_idx(bridges, g->bridges));

		if (!b || !is_plain(b))
			return -EBADMSG;
		COPY(g->bridge[g->bridges], b);
	}
	for (unsigned k = 0; k < i; k++)
		if (strcmp(t->gpu[k].uuid, g->uuid) == 0)
			return -EBADMSG;
	return 0;
}

static int parse_link(struct json_object *o, struct wv_topo *t)
{
	int64_t a = number_of(o, "a", -1), b = number_of(o, "b", -1), n = number_of(o, "count", 1);

	if (a < 0 || b < 0 || a == b || a >= t->n || b >= t->n || n < 1 || n > 64)
		return -EBADMSG;
	t->links[a][b] = t->links[b][a] = (uint8_t)n;
	return 0;
}

static int parse_all(struct json_object *o, struct wv_topo *t, char why[96])
{
	struct json_object *gpus = list_of(o, "gpus"), *nodes = list_of(o, "nodes");
	struct json_object *links = list_of(o, "links"), *cpu;

	if (number_of(o, "schema_version", 0) != 1 || !gpus)
		return snprintf(why, 96, "schema_version 1 and a list gpus are needed"), -EBADMSG;
	if (length(gpus) > WV_TOPO_GPUS || length(nodes) > WV_TOPO_NODES)
		return -E2BIG;
	COPY(t->source, text_of(o, "source"));
	COPY(t->nvswitch, text_of(o, "nvswitch"));
	t->link_mbs = (uint32_t)number_of(o, "link_mbs", 0) & 0xfffffff;
	if (json_object_object_get_ex(o, "cpu", &cpu)) {
		COPY(t->cpu_vendor, text_of(cpu, "vendor"));
		COPY(t->cpu_arch, text_of(cpu, "arch"));
		t->cpu_family = (unsigned)number_of(cpu, "family", 0) & 0xffff;
		t->cpu_model = (unsigned)number_of(cpu, "model", 0) & 0xffff;
	}
	if (!is_plain(t->cpu_vendor) || !is_plain(t->cpu_arch) || !is_plain(t->nvswitch))
		return snprintf(why, 96, "cpu or nvswitch"), -EBADMSG;
	for (; t->n_nodes < length(nodes); t->n_nodes++) {
		struct json_object *n = json_object_array_get_idx(nodes, t->n_nodes);
		struct wv_topo_node *to = &t->node[t->n_nodes];

		to->id = (int)number_of(n, "id", -1);
		COPY(to->cpus, text_of(n, "cpus"));
		if (to->id < 0 || strspn(to->cpus, "0123456789-,") != strlen(to->cpus))
			return snprintf(why, 96, "node %u", t->n_nodes), -EBADMSG;
	}
	for (; t->n < length(gpus); t->n++)
		if (parse_gpu(json_object_array_get_idx(gpus, t->n), t, t->n) < 0)
			return snprintf(why, 96, "gpu %u", t->n), -EBADMSG;
	for (size_t i = 0; i < length(links); i++)
		if (parse_link(json_object_array_get_idx(links, i), t) < 0)
			return snprintf(why, 96, "link %zu", i), -EBADMSG;
	return 0;
}

int wv_topo_parse(const char *text, struct wv_topo *ret, char why[96])
{
	struct json_object *o = json_tokener_parse(text);
	struct wv_topo *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	snprintf(why, 96, "%s", o ? "too much" : "not JSON");
	if (t)
		r = json_object_is_type(o, json_type_object) ? parse_all(o, t, why) : -EBADMSG;
	if (r == 0) {
		wv_topo_complete(t);
		*ret = *t;
	}
	json_object_put(o);
	free(t);
	return r;
}

static enum wv_topo_path path_of(const struct wv_topo *t, unsigned a, unsigned b)
{
	const struct wv_topo_gpu *x = &t->gpu[a], *y = &t->gpu[b];

	if (a == b)
		return WV_TOPO_SELF;
	if (x->device[0] && strcmp(x->device, y->device) == 0)
		return WV_TOPO_MIG;
	for (unsigned i = 0; i < x->bridges; i++)
		for (unsigned k = 0; k < y->bridges; k++)
			if (strcmp(x->bridge[i], y->bridge[k]) == 0)
				return i == 0 && k == 0 ? WV_TOPO_PIX : WV_TOPO_PXB;
	if (x->root[0] && strcmp(x->root, y->root) == 0)
		return WV_TOPO_PHB;
	return t->numa[a] == t->numa[b] ? WV_TOPO_NODE : WV_TOPO_SYS;
}

void wv_topo_complete(struct wv_topo *t)
{
	/* MB/s of a lane, one direction, after the line code; PCIe 1 to 6 */
	static const unsigned lane[] = {0, 250, 500, 985, 1969, 3938, 7563};

	for (unsigned a = 0; a < t->n; a++) {
		const struct wv_topo_gpu *g = &t->gpu[a];

		t->pcie_mbs[a] = lane[g->pcie_gen < 7 ? g->pcie_gen : 0] * g->pcie_width;
		for (unsigned b = 0; b < t->n; b++) {
			unsigned sw = t->gpu[b].switch_links < g->switch_links
					      ? t->gpu[b].switch_links
					      : g->switch_links;

			t->path[a][b] = (uint8_t)path_of(t, a, b);
			if (a != b && !g->device[0] && !t->gpu[b].device[0])
				t->nvlink_mbs[a][b] = (t->links[a][b] ?: sw) * t->link_mbs;
		}
	}
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
	if (text[0])
		json_object_object_add(o, key, json_object_new_string(text));
}

static void add_number(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

static struct json_object *gpu_json(const struct wv_topo *t, unsigned i)
{
	struct json_object *o = json_object_new_object(), *bridges = json_object_new_array();
	const struct wv_topo_gpu *g = &t->gpu[i];

	add_text(o, "uuid", g->uuid);
	add_text(o, "name", g->name);
	add_text(o, "pci", g->pci);
	add_text(o, "device", g->device);
	add_text(o, "root", g->root);
	json_object_object_add(o, "numa", json_object_new_int(t->numa[i]));
	add_number(o, "sm", g->sm);
	add_number(o, "memory_bytes", g->memory_bytes);
	add_number(o, "pcie_gen", g->pcie_gen);
	add_number(o, "pcie_width", g->pcie_width);
	add_number(o, "switch_links", g->switch_links);
	for (unsigned k = 0; k < g->bridges; k++)
		json_object_array_add(bridges, json_object_new_string(g->bridge[k]));
	json_object_object_add(o, "bridges", bridges);
	return o;
}

static struct json_object *pairs_json(const struct wv_topo *t, int only_links)
{
	struct json_object *list = json_object_new_array();

	for (unsigned a = 0; a < t->n; a++)
		for (unsigned b = a + 1; b < t->n; b++) {
			struct json_object *o;

			if (only_links && !t->links[a][b])
				continue;
			o = json_object_new_object();
			add_number(o, "a", a);
			add_number(o, "b", b);
			if (only_links) {
				add_number(o, "count", t->links[a][b]);
			} else {
				add_text(o, "path", wv_topo_paths[t->path[a][b]]);
				add_number(o, "nvlink_mbs", t->nvlink_mbs[a][b]);
				add_number(o, "rank_mbs", wv_topo_mbs(t, a, b));
			}
			json_object_array_add(list, o);
		}
	return list;
}

char *wv_topo_json(const struct wv_topo *t)
{
	struct json_object *o = json_object_new_object(), *gpus = json_object_new_array();
	struct json_object *nodes = json_object_new_array(), *cpu = json_object_new_object();
	char *text;

	add_number(o, "schema_version", 1);
	add_text(o, "source", t->source);
	add_text(o, "nvswitch", t->nvswitch);
	add_number(o, "link_mbs", t->link_mbs);
	add_text(cpu, "vendor", t->cpu_vendor);
	add_text(cpu, "arch", t->cpu_arch);
	add_number(cpu, "family", t->cpu_family);
	add_number(cpu, "model", t->cpu_model);
	json_object_object_add(o, "cpu", cpu);
	for (unsigned i = 0; i < t->n_nodes; i++) {
		struct json_object *n = json_object_new_object();

		json_object_object_add(n, "id", json_object_new_int(t->node[i].id));
		add_text(n, "cpus", t->node[i].cpus);
		json_object_array_add(nodes, n);
	}
	json_object_object_add(o, "nodes", nodes);
	for (unsigned i = 0; i < t->n; i++)
		json_object_array_add(gpus, gpu_json(t, i));
	json_object_object_add(o, "gpus", gpus);
	json_object_object_add(o, "links", pairs_json(t, 1));
	json_object_object_add(o, "pairs", pairs_json(t, 0));
	text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
								JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}
