// SPDX-License-Identifier: GPL-2.0-only
/* Headings, paragraphs and tables in two languages; all text that comes from outside is escaped
 * here. */
#include <stdarg.h>
#include <stdio.h>

#include "user/cmd/report_doc.h"

static void escaped(struct wv_doc *d, const char *text)
{
	if (d->html)
		wv_text_html(&d->text, text);
	else
		wv_text_markdown(&d->text, text);
}

void wv_doc_heading(struct wv_doc *d, unsigned level, const char *text)
{
	if (d->html) {
		wv_text_printf(&d->text, "<h%u>", level);
		escaped(d, text);
		wv_text_printf(&d->text, "</h%u>\n", level);
	} else {
		wv_text_printf(&d->text, "%.*s ", (int)level, "######");
		escaped(d, text);
		wv_text_str(&d->text, "\n\n");
	}
}

void wv_doc_paragraph(struct wv_doc *d, const char *text)
{
	wv_text_str(&d->text, d->html ? "<p>" : "");
	escaped(d, text);
	wv_text_str(&d->text, d->html ? "</p>\n" : "\n\n");
}

void wv_doc_table(struct wv_doc *d, const char *const *titles)
{
	d->cell = d->columns = 0;
	wv_text_str(&d->text, d->html ? "<div class=\"t\"><table><thead><tr>" : "|");
	for (; titles[d->columns]; d->columns++) {
		bool right = titles[d->columns][0] == '>';

		if (d->html)
			wv_text_str(&d->text, right ? "<th class=\"n\">" : "<th>");
		else
			wv_text_str(&d->text, " ");
		escaped(d, titles[d->columns] + right);
		wv_text_str(&d->text, d->html ? "</th>" : " |");
	}
	wv_text_str(&d->text, d->html ? "</tr></thead>\n<tbody>\n" : "\n|");
	for (unsigned i = 0; titles[i] && !d->html; i++)
		wv_text_str(&d->text, titles[i][0] == '>' ? " ---: |" : " --- |");
	wv_text_str(&d->text, d->html ? "" : "\n");
}

void wv_doc_cell(struct wv_doc *d, const char *text)
{
	if (d->cell == 0)
		wv_text_str(&d->text, d->html ? "<tr>" : "|");
	wv_text_str(&d->text, d->html ? "<td>" : " ");
	escaped(d, text[0] ? text : "-");
	wv_text_str(&d->text, d->html ? "</td>" : " |");
	if (++d->cell < d->columns)
		return;
	wv_text_str(&d->text, d->html ? "</tr>\n" : "\n");
	d->cell = 0;
}

void wv_doc_cellf(struct wv_doc *d, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	wv_doc_cell(d, text);
}

void wv_doc_table_end(struct wv_doc *d)
{
	wv_text_str(&d->text, d->html ? "</tbody></table></div>\n" : "\n");
}
