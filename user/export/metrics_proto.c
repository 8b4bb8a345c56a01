// SPDX-License-Identifier: GPL-2.0-only
/*
 * The delimited protobuf form: a io.prometheus.client.MetricFamily each, with its length before it
 * (client_model's metrics.proto; protobuf wire format). Prometheus takes native histograms in this
 * form only.
 *
 * Native histograms. The kernel half counts by powers of two in microseconds; the exponential
 * schema that has one bucket a factor of two is 0, whose bounds are powers of two in seconds. These
 * never meet: 2^i us lies 4.9 % above 2^(i-20) s. Our bucket i is told as the native one that holds
 * 93 % of it (on a log scale), so a bound reads 4.6 % too low; nothing finer than a factor of two
 * is claimed. What is below 1 us is the zero bucket, the last bucket (4.2 s and more) is told as 4
 * s to 8 s. Sum and count are exact. The classic buckets stand beside it.
 */
#include <math.h>
#include <stdio.h>

#include "user/export/metrics_out.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2 };
/* Field numbers of metrics.proto. */
enum { FAMILY_NAME = 1, FAMILY_HELP, FAMILY_TYPE, FAMILY_METRIC };
enum { METRIC_LABEL = 1, METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM = 7 };
enum { LABEL_NAME = 1, LABEL_VALUE };
enum { VALUE = 1 }; /* of Gauge and Counter */
enum {
	HIST_COUNT = 1,
	HIST_SUM,
	HIST_BUCKET,
	HIST_SCHEMA = 5,
	HIST_ZERO_THRESHOLD,
	HIST_ZERO_COUNT,
	HIST_SPAN = 12,
	HIST_DELTA,
};
enum { BUCKET_COUNT = 1, BUCKET_BOUND };
enum { SPAN_OFFSET = 1, SPAN_LENGTH };
enum { TYPE_COUNTER = 0, TYPE_GAUGE = 1, TYPE_HISTOGRAM = 4 };

#define SCHEMA 0
#define FIRST_INDEX (-19)	/* of our bucket 1: up to 2 us, told as 2^-19 s */
#define ZERO_THRESHOLD 0x1p-20	/* bucket 0: below 1 us */
#define FAMILY_MAX (256U << 20) /* bytes of the largest family; `out` has the tighter bound */
#define METRIC_MAX 65536

static void varint(struct wv_text *t, uint64_t v)
{
	char buf[10];
	size_t n = 0;

	do {
		buf[n] = (char)(v & 0x7f);
		v >>= 7;
		if (v)
			buf[n] |= (char)0x80;
		n++;
	} while (v);
	wv_text_add(t, buf, n);
}

static uint64_t zigzag(int64_t v)
{
	return v < 0 ? ~((uint64_t)v << 1) : (uint64_t)v << 1;
}

static void tag(struct wv_text *t, unsigned field, unsigned wire)
{
	varint(t, field << 3 | wire);
}

static void add_u64(struct wv_text *t, unsigned field, uint64_t v)
{
	tag(t, field, VARINT);
	varint(t, v);
}

/* Bytes of an IEEE double, least significant first whatever the machine. */
static void add_double(struct wv_text *t, unsigned field, double v)
{
	union {
		double d;
		uint64_t u;
	} bits = {.d = v};
	char buf[8];

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(bits.u >> (8 * i));
	tag(t, field, FIXED64);
	wv_text_add(t, buf, sizeof(buf));
}

static void add_bytes(struct wv_text *t, unsigned field, const char *s, size_t len)
{
	tag(t, field, BYTES);
	varint(t, len);
	wv_text_add(t, s, len);
}

/* The nearest double: below 2^53 units the same that a reader makes of the text. */
static double number(uint64_t v, enum wv_scale scale)
{
	static const long double unit[] = {
		[WV_NS] = 1e9L,		[WV_US] = 1e6L, [WV_BYTES_SCALE] = 1,
		[WV_PERMILLE] = 1000.L, [WV_ONE] = 1,
	};

	return (double)((long double)v / unit[scale]);
}

/* One label off the text; returns where the next one starts. */
static const char *take_label(struct wv_metrics_out *o, const char *s, const char *end)
{
	const char *equals = memchr(s, '=', (size_t)(end - s));
	struct wv_text *t = &o->label;

	if (!equals || equals + 1 >= end || equals[1] != '"')
		return end;
	o->part.len = t->len = 0;
	t->max = METRIC_MAX;
	add_bytes(&o->part, LABEL_NAME, s, (size_t)(equals - s));
	for (s = equals + 2; s < end && *s != '"'; s++) {
		if (*s == '\\' && s + 1 < end)
			s++, wv_text_add(t, *s == 'n' ? "\n" : s, 1);
		else
			wv_text_add(t, s, 1);
	}
	add_bytes(&o->part, LABEL_VALUE, t->data, t->len);
	add_bytes(&o->metric, METRIC_LABEL, o->part.data, o->part.len);
	s++;
	return s < end && *s == ',' ? s + 1 : end;
}

static void begin_metric(struct wv_metrics_out *o, const char *labels, size_t len, const char *more)
{
	o->metric.len = 0;
	o->metric.max = o->part.max = METRIC_MAX;
	for (const char *s = labels, *end = labels + len; s < end;)
		s = take_label(o, s, end);
	for (const char *s = more, *end = more + strlen(more); s < end;)
		s = take_label(o, s, end);
	o->part.len = 0;
}

/* What is in `part` is the metric's value. */
static void end_metric(struct wv_metrics_out *o, unsigned field)
{
	add_bytes(&o->metric, field, o->part.data, o->part.len);
	add_bytes(&o->family, FAMILY_METRIC, o->metric.data, o->metric.len);
	o->has_metric = true;
}

void wv_proto_value(struct wv_metrics_out *o, const char *labels, size_t labels_len,
		    const char *more, uint64_t v, enum wv_scale scale)
{
	begin_metric(o, labels, labels_len, more);
	add_double(&o->part, VALUE, number(v, scale));
	end_metric(o, strcmp(o->type, "counter") == 0 ? METRIC_COUNTER : METRIC_GAUGE);
}

static void add_classic(struct wv_metrics_out *o, const uint64_t *v)
{
	struct wv_text bucket = {.max = 64};
	uint64_t seen = 0;

	for (unsigned i = 0, b = 0; i < WV_PLAN_BOUNDS; i++) {
		for (; b <= o->bounds[i]; b++)
			seen += v[b];
		bucket.len = 0;
		add_u64(&bucket, BUCKET_COUNT, seen);
		add_double(&bucket, BUCKET_BOUND, number(wv_hist_bound_ns(o->bounds[i]), WV_NS));
		add_bytes(&o->part, HIST_BUCKET, bucket.data, bucket.len);
	}
	o->part.error = o->part.error ?: bucket.error;
	wv_text_done(&bucket);
}

/* All buckets are one span; counts stand as differences to the one before. */
static void add_native(struct wv_metrics_out *o, const uint64_t *v)
{
	struct wv_text t = {.max = 1024};
	unsigned first = 1, last = WV_HIST_BUCKETS - 1;
	int64_t before = 0;

	while (first < WV_HIST_BUCKETS && !v[first])
		first++;
	while (last > first && !v[last])
		last--;
	add_u64(&o->part, HIST_SCHEMA, zigzag(SCHEMA));
	add_double(&o->part, HIST_ZERO_THRESHOLD, ZERO_THRESHOLD);
	add_u64(&o->part, HIST_ZERO_COUNT, v[0]);
	if (first == WV_HIST_BUCKETS)
		return;
	add_u64(&t, SPAN_OFFSET, zigzag(FIRST_INDEX + (int)first - 1));
	add_u64(&t, SPAN_LENGTH, last - first + 1);
	add_bytes(&o->part, HIST_SPAN, t.data, t.len);
	t.len = 0;
	for (unsigned i = first; i <= last; i++) {
		varint(&t, zigzag((int64_t)v[i] - before));
		before = (int64_t)v[i];
	}
	add_bytes(&o->part, HIST_DELTA, t.data, t.len);
	o->part.error = o->part.error ?: t.error;
	wv_text_done(&t);
}

void wv_proto_histogram(struct wv_metrics_out *o, const char *labels, size_t labels_len,
			const uint64_t *v)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < WV_HIST_BUCKETS; i++)
		count += v[i];
	begin_metric(o, labels, labels_len, "");
	add_u64(&o->part, HIST_COUNT, count);
	add_double(&o->part, HIST_SUM, number(v[WV_HIST_BUCKETS], WV_NS));
	add_classic(o, v);
	add_native(o, v);
	end_metric(o, METRIC_HISTOGRAM);
}

void wv_proto_family(struct wv_metrics_out *o, const char *help)
{
	o->family.len = 0;
	o->family.max = FAMILY_MAX;
	o->has_metric = false;
	add_bytes(&o->family, FAMILY_NAME, o->name, strlen(o->name));
	add_bytes(&o->family, FAMILY_HELP, help, strlen(help));
	add_u64(&o->family, FAMILY_TYPE,
		strcmp(o->type, "counter") == 0	    ? TYPE_COUNTER
		: strcmp(o->type, "histogram") == 0 ? TYPE_HISTOGRAM
						    : TYPE_GAUGE);
}

/* A family without series is left out: there is nothing to tell of it in this form. */
void wv_proto_family_end(struct wv_metrics_out *o)
{
	if (!o->has_metric)
		return;
	varint(o->out, o->family.len);
	wv_text_add(o->out, o->family.data, o->family.len);
	o->has_metric = false;
	if (o->out->error)
		o->family.error = o->family.error ?: o->out->error;
}
