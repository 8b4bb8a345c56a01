// SPDX-License-Identifier: GPL-2.0-only
/*
 * The protobuf form of a scrape, read back by a decoder of its own: the same series and figures as
 * the text has, and native histograms whose counts are the classic ones'.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/export/openmetrics.h"
#include "user/flow/figures.h"

#define MAX_SERIES 20000

struct fixture {
	struct wv_sample s;
	struct wv_snapshot head;
	struct wv_metrics *m;
	struct wv_text text, proto;
};

static void render(struct fixture *f)
{
	struct wv_metrics_process p = {.now_mono_ns = 1500000000, .open_fds = 9};

	f->text.max = f->proto.max = 64U << 20;
	/* the first scrape settles ranks and gauges */
	assert_int_equal(wv_metrics_render(f->m, &f->head, &f->s, &p, WV_METRICS_TEXT, &f->text),
			 0);
	f->text.len = 0;
	assert_int_equal(wv_metrics_render(f->m, &f->head, &f->s, &p, WV_METRICS_TEXT, &f->text),
			 0);
	assert_int_equal(wv_text_end(&f->text), 0);
	assert_int_equal(
		wv_metrics_render(f->m, &f->head, &f->s, &p, WV_METRICS_PROTOBUF, &f->proto), 0);
}

static void begin(struct fixture *f, uint32_t rows)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(wv_figures_open(), 0);
	assert_int_equal(wv_sample_init(&f->s, rows), 0);
	assert_int_equal(wv_metrics_new(&f->m, rows, MAX_SERIES), 0);
	snprintf(f->head.version, sizeof(f->head.version), "0.1.0");
	snprintf(f->head.policy_version, sizeof(f->head.policy_version), "p@0123456789ab");
	snprintf(f->head.run_id, sizeof(f->head.run_id), "run-\"quoted\"\\");
	f->head.workers[WV_WORKER_CORE].pid = 1;
	f->head.mono_ns = 1000000000;
	f->head.tick = 1;
}

static void end(struct fixture *f)
{
	wv_text_done(&f->text);
	wv_text_done(&f->proto);
	wv_metrics_free(f->m);
	wv_sample_done(&f->s);
	wv_figures_close();
}

static void add_row(struct fixture *f, uint32_t slot, const char *path)
{
	struct wv_row *row = &f->s.rows[slot];

	*row = (struct wv_row){.key = slot + 5, .created_mono_ns = 1, .flags = WV_ROW_LIVE};
	row->path_len = (uint16_t)snprintf(row->path, sizeof(row->path), "%s", path);
	if (f->s.used_rows <= slot)
		f->s.used_rows = slot + 1;
	for (unsigned i = 0; i < WV_SIG_N; i++)
		row->f.v[i] = 1000003ULL * (i + 1) + slot;
	for (unsigned h = 0; h < WV_HIST_N; h++) {
		for (unsigned b = 0; b < WV_HIST_BUCKETS; b++)
			row->f.hist[h].bucket[b] = b == 7 ? 0 : b + h + slot;
		row->f.hist[h].sum_ns = 123456789ULL * (h + 1);
	}
}

/* The wire format ------------------------------------------------------------------------------
 */

struct field {
	unsigned number, wire;
	uint64_t v; /* varint, or the bits of a fixed64 */
	const uint8_t *at;
	size_t len; /* of bytes */
};

static uint64_t varint(const uint8_t **p, const uint8_t *stop)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		assert_true(*p < stop);
		v |= (uint64_t)(**p & 0x7f) << shift;
		if (!(*(*p)++ & 0x80))
			return v;
	}
	fail_msg("a varint of more than ten bytes");
	return 0;
}

static bool next_field(const uint8_t **p, const uint8_t *stop, struct field *f)
{
	uint64_t key;

	if (*p == stop)
		return false;
	key = varint(p, stop);
	*f = (struct field){.number = (unsigned)(key >> 3), .wire = key & 7};
	if (f->wire == 0) {
		f->v = varint(p, stop);
	} else if (f->wire == 1) {
		assert_true(stop - *p >= 8);
		for (unsigned i = 0; i < 8; i++)
			f->v |= (uint64_t)(*p)[i] << (8 * i);
		*p += 8;
	} else {
		assert_int_equal(f->wire, 2);
		f->len = varint(p, stop);
		assert_true((size_t)(stop - *p) >= f->len);
		f->at = *p;
		*p += f->len;
	}
	return true;
}

static double as_double(uint64_t bits)
{
	union {
		uint64_t u;
		double d;
	} x = {.u = bits};

	return x.d;
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Comparing with the text ----------------------------------------------------------------------
 */

struct reading {
	const char *text;
	uint64_t series, families, native;
	char name[128];
	unsigned type; /* 0 counter, 1 gauge, 4 histogram */
};

static void assert_in_text(struct reading *r, const char *series, double v)
{
	size_t n = strlen(series);
	const char *at = r->text;

	while ((at = strstr(at, series)) && ((at != r->text && at[-1] != '\n') || at[n] != ' '))
		at++;
	if (!at)
		fail_msg("the text has no %s", series);
	if (fabs(strtod(at + n, NULL) - v) > fabs(v) * 1e-15)
		fail_msg("%s is %.17g in protobuf and %.*s in text", series, v,
			 (int)strcspn(at + n + 1, "\n"), at + n + 1);
	r->series++;
}

/* name<suffix>{labels[,more]} as text has it */
static void series_name(char *buf, size_t size, const struct reading *r, const char *suffix,
			const char *labels, const char *more)
{
	const char *comma = labels[0] && more[0] ? "," : "";

	if (labels[0] || more[0])
		snprintf(buf, size, "%s%s{%s%s%s}", r->name, suffix, labels, comma, more);
	else
		snprintf(buf, size, "%s%s", r->name, suffix);
}

static void read_label(const struct field *f, struct wv_text *labels)
{
	const uint8_t *p = f->at, *stop = f->at + f->len;
	char value[1024];
	struct field part = {0};

	assert_true(next_field(&p, stop, &part));
	assert_int_equal(part.number, 1);
	wv_text_str(labels, labels->len ? "," : "");
	wv_text_add(labels, (const char *)part.at, part.len);
	assert_true(next_field(&p, stop, &part));
	assert_int_equal(part.number, 2);
	assert_true(part.len < sizeof(value));
	memcpy(value, part.at, part.len);
	value[part.len] = '\0';
	wv_text_str(labels, "=\"");
	wv_text_label(labels, value);
	wv_text_str(labels, "\"");
	assert_true(p == stop);
}

/* A decimal as the text prints bounds: nanoseconds, trailing zeros cut. */
static void le_label(char *buf, size_t size, double bound)
{
	struct wv_text t = {.max = 64};

	wv_text_scaled(&t, (uint64_t)llround(bound * 1e9), WV_NS);
	assert_int_equal(wv_text_end(&t), 0);
	snprintf(buf, size, "le=\"%s\"", t.data);
	wv_text_done(&t);
}

static void read_bucket(struct reading *r, const struct field *f, const char *labels,
			uint64_t *ret_last, double *ret_bound)
{
	const uint8_t *p = f->at, *stop = f->at + f->len;
	char name[1024], le[64];
	struct field part = {0};
	uint64_t n;

	assert_true(next_field(&p, stop, &part) && part.number == 1);
	n = part.v;
	assert_true(next_field(&p, stop, &part) && part.number == 2 && part.wire == 1);
	le_label(le, sizeof(le), as_double(part.v));
	assert_true(n >= *ret_last);
	assert_true(as_double(part.v) > *ret_bound);
	*ret_last = n;
	*ret_bound = as_double(part.v);
	series_name(name, sizeof(name), r, "_bucket", labels, le);
	assert_in_text(r, name, (double)n);
}

/* Native buckets must hold the count, and for each classic bound as many as lie below it. */
struct native {
	int64_t schema, offset;
	uint64_t zero, length, deltas, sum;
	double threshold;
	uint64_t below[64]; /* cumulative, by bucket */
};

static void read_deltas(struct native *n, const struct field *f)
{
	const uint8_t *p = f->at, *stop = f->at + f->len;
	int64_t v = 0;

	while (p < stop) {
		v += unzigzag(varint(&p, stop));
		assert_true(v >= 0 && n->deltas < 64);
		n->sum += (uint64_t)v;
		n->below[n->deltas++] = n->sum;
	}
}

static void read_span(struct native *n, const struct field *f)
{
	const uint8_t *p = f->at, *stop = f->at + f->len;
	struct field part = {0};

	assert_true(next_field(&p, stop, &part) && part.number == 1);
	n->offset = unzigzag(part.v);
	assert_true(next_field(&p, stop, &part) && part.number == 2);
	n->length = part.v;
}

static void read_histogram(struct reading *r, const struct field *f, const char *labels)
{
	const uint8_t *p = f->at, *stop = f->at + f->len;
	uint64_t count = 0, last = 0, i = 0;
	double bounds[32], bound = 0, sum = 0;
	uint64_t counts[32];
	struct native n = {.schema = 99};
	char name[1024];
	struct field part = {0};

	while (next_field(&p, stop, &part)) {
		if (part.number == 1) {
			count = part.v;
		} else if (part.number == 2) {
			sum = as_double(part.v);
		} else if (part.number == 3) {
			read_bucket(r, &part, labels, &last, &bound);
			assert_true(i < 32);
			bounds[i] = bound;
			counts[i++] = last;
		} else if (part.number == 5) {
			n.schema = unzigzag(part.v);
		} else if (part.number == 6) {
			n.threshold = as_double(part.v);
		} else if (part.number == 7) {
			n.zero = part.v;
		} else if (part.number == 12) {
			read_span(&n, &part);
		} else {
			assert_int_equal(part.number, 13);
			read_deltas(&n, &part);
		}
	}
	series_name(name, sizeof(name), r, "_count", labels, "");
	assert_in_text(r, name, (double)count);
	series_name(name, sizeof(name), r, "_sum", labels, "");
	assert_in_text(r, name, sum);
	series_name(name, sizeof(name), r, "_bucket", labels, "le=\"+Inf\"");
	assert_in_text(r, name, (double)count);
	assert_int_equal(n.schema, 0);
	assert_int_equal(n.deltas, n.length);
	assert_int_equal(n.zero + n.sum, count);
	assert_true(n.threshold == 0x1p-20);
	/* the native bucket k ends at 2^k s; ours at 4.9 % more */
	for (uint64_t k = 0; k < i; k++) {
		int64_t at = llround(log2(bounds[k] / 1.048576)) - n.offset;

		if (at >= 0 && at < (int64_t)n.deltas)
			assert_int_equal(n.zero + n.below[at], counts[k]);
	}
	r->native++;
}

static void read_metric(struct reading *r, const struct field *f)
{
	const uint8_t *p = f->at, *stop = f->at + f->len, *inner;
	struct wv_text labels = {.max = 4096};
	char name[2048];
	struct field part = {0}, value = {0};

	while (next_field(&p, stop, &part)) {
		if (part.number == 1) {
			read_label(&part, &labels);
			continue;
		}
		assert_int_equal(wv_text_end(&labels), 0);
		if (r->type == 4) {
			assert_int_equal(part.number, 7);
			read_histogram(r, &part, labels.data);
			continue;
		}
		assert_int_equal(part.number, r->type == 0 ? 3 : 2);
		inner = part.at;
		assert_true(next_field(&inner, part.at + part.len, &value));
		assert_true(value.number == 1 && value.wire == 1);
		series_name(name, sizeof(name), r, "", labels.data, "");
		assert_in_text(r, name, as_double(value.v));
	}
	wv_text_done(&labels);
}

static void read_family(struct reading *r, const uint8_t *p, const uint8_t *stop)
{
	char type[256];
	struct field f = {0};

	while (next_field(&p, stop, &f)) {
		if (f.number == 1) {
			assert_true(f.len < sizeof(r->name));
			snprintf(r->name, sizeof(r->name), "%.*s", (int)f.len, (const char *)f.at);
		} else if (f.number == 2) {
			assert_true(f.len > 0);
		} else if (f.number == 3) {
			r->type = (unsigned)f.v;
			snprintf(type, sizeof(type), "# TYPE %s %s\n", r->name,
				 f.v == 0   ? "counter"
				 : f.v == 1 ? "gauge"
					    : "histogram");
			assert_non_null(strstr(r->text, type));
		} else {
			assert_int_equal(f.number, 4);
			read_metric(r, &f);
		}
	}
	r->families++;
}

static struct reading read_all(const struct fixture *f)
{
	const uint8_t *p = (const uint8_t *)f->proto.data, *stop = p + f->proto.len;
	struct reading r = {.text = f->text.data};

	while (p < stop) {
		uint64_t len = varint(&p, stop);

		assert_true(len <= (uint64_t)(stop - p));
		read_family(&r, p, p + len);
		p += len;
	}
	return r;
}

static uint64_t lines_of_series(const char *text)
{
	uint64_t n = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		n += line[0] != '#';
	return n;
}

static void protobuf_has_what_the_text_has(void **state)
{
	struct wv_policy_figures *p;
	struct wv_facet_row *facet;
	struct reading r;
	struct fixture f;

	(void)state;
	begin(&f, 16);
	add_row(&f, 0, "other");
	add_row(&f, 1, "/");
	add_row(&f, 2, "/a\"b\\c\nd,e={}\xff");
	facet = wv_sample_add_facet(&f.s, WV_FACET_BLKDEV, 1, "vda");
	facet->v[0] = 4096;
	f.head.self.n_progs = 2;
	wv_figure_add(WV_FIG_RULE_OPENED, 3);
	p = wv_policy_figures_begin();
	p->n_rules = p->n_domains = 1;
	snprintf(p->rules[0].name, sizeof(p->rules[0].name), "hot");
	p->rules[0].trips = 2;
	snprintf(p->domains[0].name, sizeof(p->domains[0].name), "web");
	snprintf(p->domains[0].mode, sizeof(p->domains[0].mode), "safe");
	wv_policy_figures_end();
	render(&f);
	r = read_all(&f);
	assert_int_equal(r.series, lines_of_series(f.text.data));
	assert_int_equal(r.series, wv_metrics_series(f.m));
	assert_int_equal(r.native, 3 * WV_HIST_N); /* two rows and the rest */
	assert_non_null(strstr(f.text.data, "\nwaveos_rule_trips_total{rule=\"hot\"} 2\n"));
	assert_non_null(
		strstr(f.text.data, "\nwaveos_domain_mode{domain=\"web\",mode=\"safe\"} 1\n"));
	assert_non_null(strstr(f.text.data,
			       "\nwaveos_decisions_total{subject=\"rule\",verdict=\"open\"} 3\n"));
	end(&f);
}

static void protobuf_of_many_cgroups_has_what_the_text_has(void **state)
{
	struct reading r;
	struct fixture f;
	char path[64];

	(void)state;
	begin(&f, 128);
	add_row(&f, 0, "other");
	for (uint32_t i = 1; i < 60; i++) {
		snprintf(path, sizeof(path), "/system.slice/unit-%u.service", i);
		add_row(&f, i, path);
	}
	render(&f);
	r = read_all(&f);
	assert_int_equal(r.series, lines_of_series(f.text.data));
	assert_true(r.native > 10);
	end(&f);
}

static void protobuf_histogram_with_one_bucket_is_one_span(void **state)
{
	struct fixture f;
	struct reading r;

	(void)state;
	begin(&f, 16);
	f.s.rows[1] = (struct wv_row){.key = 6, .flags = WV_ROW_LIVE, .path = "/one"};
	f.s.used_rows = 2;
	f.s.rows[1].f.hist[WV_HIST_RUNQ_LATENCY].bucket[10] = 5;
	f.s.rows[1].f.hist[WV_HIST_RUNQ_LATENCY].sum_ns = 5000000;
	f.s.rows[1].f.hist[WV_HIST_IO_LATENCY].bucket[0] = 2; /* zero bucket alone */
	render(&f);
	r = read_all(&f);
	assert_int_equal(r.native, 2);
	end(&f);
}

static void protobuf_over_its_maximum_is_refused(void **state)
{
	struct wv_metrics_process p = {0};
	struct fixture f;

	(void)state;
	begin(&f, 16);
	add_row(&f, 1, "/");
	f.proto.max = 1000;
	assert_int_equal(wv_metrics_render(f.m, &f.head, &f.s, &p, WV_METRICS_PROTOBUF, &f.proto),
			 -EFBIG);
	end(&f);
}

static void figures_without_pages_are_nothing(void **state)
{
	struct wv_policy_figures p;

	(void)state;
	wv_figures_close();
	wv_figure_add(WV_FIG_RULE_OPENED, 1);
	wv_figure_set(WV_FIG_RULE_OPENED, 1);
	assert_int_equal(wv_figure_get(WV_FIG_RULE_OPENED), 0);
	assert_null(wv_policy_figures_begin());
	assert_int_equal(wv_policy_figures_read(&p), -ENOENT);
}

static void figures_of_one_metric_stand_together(void **state)
{
	(void)state;
	for (unsigned i = 0; i < WV_FIGURE_N; i++) {
		const struct wv_figure_info *a = &wv_figure_infos[i];
		size_t len = strlen(a->metric);
		bool total = len > 6 && strcmp(a->metric + len - 6, "_total") == 0;

		assert_int_equal(total, a->kind == WV_COUNTER);
		for (unsigned k = i + 1; k < WV_FIGURE_N; k++) {
			const struct wv_figure_info *b = &wv_figure_infos[k];

			if (strcmp(a->metric, b->metric) != 0)
				continue;
			assert_string_equal(b->metric, wv_figure_infos[k - 1].metric);
			assert_string_equal(a->help, b->help);
			assert_string_not_equal(a->labels, b->labels);
			assert_int_equal(a->kind, b->kind);
			assert_int_equal(a->worker, b->worker);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protobuf_has_what_the_text_has),
		cmocka_unit_test(protobuf_of_many_cgroups_has_what_the_text_has),
		cmocka_unit_test(protobuf_histogram_with_one_bucket_is_one_span),
		cmocka_unit_test(protobuf_over_its_maximum_is_refused),
		cmocka_unit_test(figures_without_pages_are_nothing),
		cmocka_unit_test(figures_of_one_metric_stand_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
