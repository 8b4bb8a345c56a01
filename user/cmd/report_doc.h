/* SPDX-License-Identifier: GPL-2.0-only */
/* A report being written: the same content as Markdown or HTML. */
#ifndef WV_CMD_REPORT_DOC_H
#define WV_CMD_REPORT_DOC_H

#include "user/cmd/report_data.h"
#include "user/export/text.h"

struct wv_doc {
	struct wv_text text;
	bool html;
	unsigned cell, columns; /* of the table's row that is being written */
};

void wv_doc_heading(struct wv_doc *d, unsigned level, const char *text);
void wv_doc_paragraph(struct wv_doc *d, const char *text);
/* Column titles; one that begins with '>' is of figures and set to the right. Ends with NULL. */
void wv_doc_table(struct wv_doc *d, const char *const *titles);
/* The next cell; rows end by themselves. */
void wv_doc_cell(struct wv_doc *d, const char *text);
void wv_doc_cellf(struct wv_doc *d, const char *format, ...) _printf_(2, 3);
void wv_doc_table_end(struct wv_doc *d);

/* A page of its own around what is written between, with its title as heading; HTML only. */
void wv_doc_page_begin(struct wv_doc *d, const char *title);
void wv_doc_page_end(struct wv_doc *d);

/* What ran where and when; then everything else but plots. */
void wv_report_facts(struct wv_doc *d, const struct wv_report *r);
void wv_report_summary(struct wv_doc *d, const struct wv_report *r);
/* report_drift.c: part of the summary */
void wv_report_drift(struct wv_doc *d, const struct wv_report *r);

/* One plot: lines (or a stack) of the cgroups with the largest figures. Appends HTML. */
struct wv_plot {
	const char *title, *note;
	enum wv_report_column a, b; /* b == a: only one */
	bool rate;		    /* change a second instead of the value */
	bool stack;		    /* areas on each other, with all others on top */
	bool binary;		    /* steps of the axis are powers of two */
	double scale;		    /* of the value */
	const char *(*word)(char buf[32], double v); /* of a value on the axis */
};
void wv_plot_html(struct wv_text *t, const struct wv_report *r, const struct wv_plot *p);

/* Whole documents into d->text. */
void wv_report_html(struct wv_doc *d, const struct wv_report *r);
void wv_report_markdown(struct wv_doc *d, const struct wv_report *r);

#endif
