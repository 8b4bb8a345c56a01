// SPDX-License-Identifier: GPL-2.0-only
/* gpu scale: what a step would take on more devices, simulated from what was measured on one. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/tune/parallel.h"
#include "user/cmd/gpu_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/io.h"

#define FILE_MAX_BYTES (1U << 20)
#define COUNTS 16

struct request {
	const char *file;
	uint32_t count[COUNTS];
	unsigned n;
	uint64_t bytes_per_s, latency_ns, contention_permille, zero;
};

static const struct wv_option options[] = {
	{"devices", 'n', "N,N", "how many devices (default: 2,4,8)"},
	{"link", 'l', "BYTES", "bytes a second between two devices (default: 25G)"},
	{"latency", 0, "DURATION", "of a message between two devices (default: 10us)"},
	{"contention", 0, "PERCENT",
	 "computation is slower by so much while it sends (default: 5%)"},
	{"zero", 0, "0..2", "stage of ZeRO (default: 0)"},
	{0},
};
static const char examples[] =
	"  WAVEOS_GPU_INTERVALS=steps.json waveos-bpf gpu run -- python3 train.py\n"
	"  waveos-bpf gpu scale steps.json --devices 2,4,8 --link 200G\n";

static int wrong(const char *what, const char *value)
{
	fprintf(stderr, "waveos-bpf gpu scale: %s: '%s' is not what is expected (--help)\n", what,
		value);
	return WV_EXIT_USAGE;
}

static int refuse(const char *file, const char *why)
{
	fprintf(stderr, "waveos-bpf gpu scale: %s: %s\n", file, why);
	return WV_EXIT_USAGE;
}

static int set_devices(struct request *q, const char *value)
{
	const char *p = value;

	q->n = 0;
	while (*p) {
		char *end;
		unsigned long n = strtoul(p, &end, 10);

		if (end == p || n < 2 || n > 65536 || q->n == COUNTS || (*end && *end != ','))
			return wrong("--devices", value);
		q->count[q->n++] = (uint32_t)n;
		p = *end ? end + 1 : end;
	}
	return q->n ? 0 : wrong("--devices", value);
}

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct request *q = ctx;
	int r = 0;

	if (o->letter == 'n')
		return set_devices(q, value);
	if (o->letter == 'l')
		r = wv_parse_bytes(value, &q->bytes_per_s);
	else if (strcmp(o->name, "latency") == 0)
		r = wv_parse_duration(value, &q->latency_ns);
	else if (strcmp(o->name, "contention") == 0)
		r = wv_parse_percent(value, &q->contention_permille);
	else
		r = wv_parse_uint(value, &q->zero);
	if (r < 0 || !q->bytes_per_s || q->contention_permille >= 1000 || q->zero > 2)
		return wrong(o->name, value);
	return 0;
}

/* A whole number from 0; *bad is set where there is none. */
static uint64_t number(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int) ||
	    json_object_get_int64(v) < 0) {
		*bad = true;
		return 0;
	}
	return json_object_get_uint64(v);
}

static bool take(struct json_object *o, struct wv_tune_parallel *p)
{
	struct json_object *list = NULL, *v = NULL;
	bool bad = !json_object_object_get_ex(o, "format", &v) ||
		   strcmp(json_object_get_string(v) ?: "", "waveos-intervals") != 0;

	p->forward_ns = number(o, "forward_ns", &bad);
	p->backward_ns = number(o, "backward_ns", &bad);
	p->optimizer_ns = number(o, "optimizer_ns", &bad);
	p->other_ns = number(o, "other_ns", &bad);
	p->accumulate = (uint32_t)number(o, "accumulate", &bad);
	p->spread_permille = (uint32_t)number(o, "spread_permille", &bad);
	if (!json_object_object_get_ex(o, "gradients", &list) ||
	    !json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > WV_TUNE_GRADIENTS)
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *g = json_object_array_get_idx(list, i);

		p->gradient[i].bytes = number(g, "bytes", &bad);
		p->gradient[i].ready_ns = number(g, "ready_ns", &bad);
		p->n_gradients++;
	}
	return !bad;
}

static struct json_object *row_json(uint32_t devices, uint32_t mb,
				    const struct wv_tune_parallel_step *s)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "devices", json_object_new_uint64(devices));
	json_object_object_add(o, "bucket_mb", json_object_new_uint64(mb));
	json_object_object_add(o, "step_ns", json_object_new_uint64(s->step_ns));
	json_object_object_add(o, "compute_ns", json_object_new_uint64(s->compute_ns));
	json_object_object_add(o, "comms_ns", json_object_new_uint64(s->comms_ns));
	json_object_object_add(o, "exposed_ns", json_object_new_uint64(s->exposed_ns));
	json_object_object_add(o, "wait_ns", json_object_new_uint64(s->wait_ns));
	json_object_object_add(o, "efficiency", json_object_new_double(s->efficiency));
	return o;
}

static int show(const struct wv_cli *cli, const struct request *q, struct wv_tune_parallel *p)
{
	static const uint32_t buckets[] = {5, 25, 50, 100, 200};
	struct json_object *o = json_object_new_object(), *rows = json_object_new_array();

	if (!cli->json)
		printf("Simulated from one device (%.1f GB/s a link, %.1f us, ZeRO %u): no "
		       "measurement.\n%8s %10s %10s %10s %8s %10s\n",
		       (double)p->bytes_per_s / 1e9, (double)p->latency_ns / 1e3, p->zero,
		       "devices", "step", "exposed", "waiting", "bucket", "efficiency");
	for (unsigned i = 0; i < q->n; i++) {
		struct wv_tune_parallel_step s;
		uint32_t mb;
		int r;

		p->devices = q->count[i];
		r = wv_tune_parallel_bucket(p, buckets, ARRAY_SIZE(buckets), &mb, &s);
		if (r < 0) {
			json_object_put(o);
			json_object_put(rows);
			return refuse(q->file, strerror(-r));
		}
		if (!cli->json)
			printf("%8u %7.2f ms %7.2f ms %7.2f ms %5u MB %8.1f %%\n", p->devices,
			       (double)s.step_ns / 1e6, (double)s.exposed_ns / 1e6,
			       (double)s.wait_ns / 1e6, mb, 100 * s.efficiency);
		json_object_array_add(rows, row_json(p->devices, mb, &s));
	}
	json_object_object_add(o, "simulated", json_object_new_boolean(true));
	json_object_object_add(o, "rows", rows);
	if (cli->json)
		printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return 0;
}

int wv_gpu_scale_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct request q = {.count = {2, 4, 8},
			    .n = 3,
			    .bytes_per_s = 25ULL << 30,
			    .latency_ns = 10000,
			    .contention_permille = 50};
	_cleanup_free_ struct wv_tune_parallel *p = calloc(1, sizeof(*p));
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	bool whole;
	int i = wv_cli_parse(cli, argc, argv, "gpu scale FILE [OPTIONS]", examples, options,
			     set_option, &q),
	    r;

	if (i < 0)
		return -i;
	if (i + 1 != argc || !p) {
		fprintf(stderr, "waveos-bpf gpu scale: which file? One that WAVEOS_GPU_INTERVALS "
				"made (docs/gpu-python.md)\n");
		return WV_EXIT_USAGE;
	}
	q.file = argv[i];
	r = wv_io_read_file(&wv_io_system, AT_FDCWD, q.file, FILE_MAX_BYTES, &text, NULL);
	if (r < 0)
		return refuse(q.file, strerror(-r));
	o = json_tokener_parse(text);
	whole = json_object_is_type(o, json_type_object) && take(o, p);
	json_object_put(o);
	if (!whole)
		return refuse(q.file,
			      "no file that WAVEOS_GPU_INTERVALS made (docs/gpu-python.md)");
	p->bytes_per_s = q.bytes_per_s;
	p->latency_ns = q.latency_ns;
	p->contention_permille = (uint32_t)q.contention_permille;
	p->zero = (uint32_t)q.zero;
	p->overlap = true;
	return show(cli, &q, p);
}
