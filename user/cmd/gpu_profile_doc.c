// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/gpu_profile_doc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/status_view.h"

#define X(id, name, doc) doc,
static const char *const cause_docs[] = {WV_GPU_CAUSES(X)};
static const char *const input_docs[] = {WV_GPU_INPUTS(X)};
static const char *const bound_docs[] = {WV_GPU_BOTTLENECKS(X)};
#undef X

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void row(struct wv_doc *d, const char *name, const char *doc, uint64_t ns, uint64_t whole)
{
	char span[WV_WORD];

	wv_doc_cell(d, name);
	wv_doc_cellf(d, "%.1f %%", percent(ns, whole));
	wv_doc_cell(d, wv_word_span(span, ns));
	wv_doc_cell(d, doc);
}

static const char *const shares_titles[] = {"share", ">of the time", ">time", "what it is", NULL};

static void cause_rows(struct wv_doc *d, const uint64_t *ns, const uint64_t *input_ns,
		       uint64_t whole)
{
	wv_doc_table(d, shares_titles);
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++) {
		char name[64];

		if (!ns[i] && i != WV_GPU_CAUSE_UNKNOWN)
			continue;
		row(d, wv_gpu_cause_names[i], cause_docs[i], ns[i], whole);
		for (unsigned k = 0; i == WV_GPU_CAUSE_INPUT && k < WV_GPU_INPUT_N; k++) {
			snprintf(name, sizeof(name), "input: %s", wv_gpu_input_names[k]);
			row(d, name, input_docs[k], input_ns[k], whole);
		}
	}
	wv_doc_table_end(d);
}

/* --- plot ------------------------------------------------------------------------------------ */

#define WIDTH 880.0
#define HEIGHT 160.0

static uint64_t layer(const struct wv_profile_point *p, unsigned i)
{
	switch (i) {
	case 0:
		return p->kernel;
	case 1:
		return p->exposed;
	case 2:
		return p->memory;
	case 3:
		return p->cause_ns[WV_GPU_CAUSE_INPUT];
	default:
		return p->idle - p->cause_ns[WV_GPU_CAUSE_INPUT];
	}
}

/* Areas on each other, which make the whole height: the invariant can be seen. */
static void plot(struct wv_text *t, const struct wv_profile_device *d)
{
	static const char *const names[] = {"kernel", "exposed comms", "memory", "idle: input",
					    "idle: other causes"};
	uint64_t from = d->line[0].begin, to = d->line[d->n - 1].end;
	double x = WIDTH / (double)(to - from);

	wv_text_str(t, "<figure><figcaption><h2>Time line</h2></figcaption><svg role=\"img\" "
		       "aria-label=\"shares of the device's time\" viewBox=\"0 0 880 160\">");
	for (unsigned l = 0; l < 5; l++) {
		wv_text_printf(t, "<path class=\"a s%u\" d=\"M", l == 0 ? 0 : l == 3 ? 1 : l + 2);
		for (unsigned i = 0; i < 2 * d->n; i++) {
			unsigned k = i < d->n ? i : 2 * d->n - 1 - i, until = i < d->n ? l + 1 : l;
			const struct wv_profile_point *p = &d->line[k];
			uint64_t sum = 0;

			for (unsigned m = 0; m < until; m++)
				sum += layer(p, m);
			wv_text_printf(t, "%.1f %.1f%s",
				       (double)((p->begin + p->end) / 2 - from) * x,
				       HEIGHT * (1 - (double)sum / (double)(p->end - p->begin)),
				       i + 1 < 2 * d->n ? "L" : "Z\"></path>");
		}
	}
	wv_text_str(t, "</svg><ul class=\"legend\">");
	for (unsigned l = 0; l < 5; l++)
		wv_text_printf(t, "<li class=\"s%u\"><i></i>%s</li>",
			       l == 0	? 0
			       : l == 3 ? 1
					: l + 2,
			       names[l]);
	wv_text_str(t, "</ul></figure>\n");
}

/* --- document -------------------------------------------------------------------------------- */

static void device(struct wv_doc *d, const struct wv_profile_device *dev)
{
	static const char *const kernel_titles[] = {"kernel", ">time", ">runs", NULL};
	const struct wv_gpu_shares *s = &dev->sums.shares;
	char text[256], span[WV_WORD];

	snprintf(text, sizeof(text), "Device %s %s", dev->name, dev->uuid);
	wv_doc_heading(d, 2, text);
	if (d->html && dev->n > 1)
		plot(&d->text, dev);
	wv_doc_table(d, shares_titles);
	row(d, "kernel", "any kernel that is no communication", s->kernel, s->window);
	row(d, "exposed comms", "communication while no kernel ran", s->exposed, s->window);
	row(d, "memory", "copies and sets while nothing else ran", s->memory, s->window);
	row(d, "idle", "nothing ran", s->idle, s->window);
	row(d, "overlapped comms", "hidden by kernels: part of them", s->overlapped, s->window);
	wv_doc_table_end(d);
	snprintf(text, sizeof(text),
		 "kernel + exposed + memory + idle is the whole time; the worst window is off by "
		 "%.4f "
		 "%%. %" PRIu64 " records, %" PRIu64 " dropped; the library took %s of CPU.",
		 100 * dev->worst_error, dev->sums.records, dev->sums.dropped,
		 wv_word_span(span, dev->sums.own_ns));
	wv_doc_paragraph(d, text);
	wv_doc_heading(d, 3, "Why it was idle");
	cause_rows(d, dev->sums.cause_ns, dev->sums.input_ns, s->window);
	wv_doc_heading(d, 3, "Kernels by time");
	wv_doc_table(d, kernel_titles);
	for (unsigned i = 0; i < dev->names && i < 16; i++) {
		wv_doc_cell(d, dev->top[i].name);
		wv_doc_cell(d, wv_word_span(span, dev->top[i].ns));
		wv_doc_cellf(d, "%" PRIu64, dev->top[i].n);
	}
	wv_doc_table_end(d);
}

static void steps(struct wv_doc *d, const struct wv_profile_steps *st, bool waits)
{
	char text[256], span[WV_WORD];

	wv_doc_heading(d, 2, "Training thread");
	snprintf(text, sizeof(text), "%" PRIu64 " steps, %s each on average.", st->seen,
		 wv_word_span(span, st->seen ? st->total_ns / st->seen : 0));
	wv_doc_paragraph(d, text);
	if (!waits)
		wv_doc_paragraph(d, "What it waited for is not known: BPF cannot be loaded here.");
	cause_rows(d, st->cause_ns, st->input_ns, st->total_ns);
}

static void main_thread(struct wv_doc *d, const struct wv_profile *p)
{
	wv_doc_heading(d, 2, "Main thread");
	wv_doc_paragraph(d, "No step was seen: it is no PyTorch program, or the Python package or "
			    "the profiler library is not installed. This is all the time of the "
			    "command's main thread, its start included.");
	cause_rows(d, p->main_cause_ns, p->main_input_ns, p->main_ns);
}

void wv_profile_doc(struct wv_doc *d, const struct wv_profile *p)
{
	char text[256], span[WV_WORD];

	if (d->html)
		wv_doc_page_begin(d, "GPU profile");
	else
		wv_doc_heading(d, 1, "GPU profile");
	for (unsigned i = 0, n = 0; p->argv && p->argv[i] && n < sizeof(text) - 1; i++)
		n += (unsigned)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "",
					p->argv[i]);
	wv_doc_paragraph(d, p->argv && p->argv[0] ? text : "");
	snprintf(text, sizeof(text), "What holds it back: %s, %s. It ran for %s.",
		 wv_gpu_bottleneck_names[p->bottleneck], bound_docs[p->bottleneck],
		 wv_word_span(span, p->end - p->begin));
	wv_doc_paragraph(d, text);
	if (!p->devices)
		wv_doc_paragraph(d,
				 "No device was seen: the command used no GPU, or its work could "
				 "not be traced. What follows is of its threads alone.");
	for (unsigned i = 0; i < p->devices; i++)
		if (p->device[i].windows)
			device(d, &p->device[i]);
	if (p->steps.seen)
		steps(d, &p->steps, p->waits);
	else
		main_thread(d, p);
	if (d->html)
		wv_doc_page_end(d);
}
