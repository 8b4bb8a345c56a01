// SPDX-License-Identifier: GPL-2.0-only
/* The self-contained page: style, plots, tables. Nothing is loaded, nothing runs. */
#include <stdio.h>

#include "user/cmd/report_doc.h"
#include "user/cmd/status_view.h"

static const char style[] =
	":root{color-scheme:light "
	"dark;--bg:#fbfbfa;--fg:#1d2125;--dim:#667;--line:#dcdcd8;--card:#fff;"
	"--c0:#2f6fb0;--c1:#d9722b;--c2:#3f8f4f;--c3:#b3446c;--c4:#7d5ba6;--c5:#8c6d31;--c6:#"
	"2a9aa0;--c7:#a3a7ad}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e4e6e8;--dim:#99a1a9;--line:#"
	"2c3238;--card:#1b1f23;"
	"--c0:#6aa9e9;--c1:#f0965a;--c2:#74c283;--c3:#e383a6;--c4:#b294dc;--c5:#cbb069;--c6:#"
	"5fcbd1;--c7:#6d747b}}\n"
	"*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);"
	"font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}\n"
	"main{max-width:940px;margin:0 auto;padding:32px 20px 64px}\n"
	"h1{font-size:24px;margin:0 0 16px}h2{font-size:18px;margin:36px 0 "
	"8px}h3{font-size:15px;margin:24px 0 6px}\n"
	"p{margin:6px 0;color:var(--dim)}.t{overflow-x:auto}\n"
	"table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-"
	"nums}\n"
	"th{text-align:left;font-weight:600;color:var(--dim);white-space:nowrap}\n"
	"th,td{padding:5px 14px 5px 0;border-bottom:1px solid "
	"var(--line);vertical-align:top;overflow-wrap:anywhere}\n"
	"td:first-child{min-width:9em}th.n{text-align:right}\n"
	"figure{margin:20px 0 0;padding:14px 18px;background:var(--card);border:1px solid "
	"var(--line);border-radius:8px}\n"
	"figcaption h2{margin:0;font-size:16px}figcaption p{margin:0 0 6px;font-size:13px}\n"
	"svg{display:block;width:100%;height:auto}svg text{font:11.5px "
	"system-ui,sans-serif;fill:var(--dim)}\n"
	".y{text-anchor:end}.x{text-anchor:middle}.g{stroke:var(--line);stroke-width:1}\n"
	".l{fill:none;stroke:var(--c);stroke-width:1.8;stroke-linejoin:round}.a{fill:var(--c);fill-"
	"opacity:.82;"
	"stroke:var(--card);stroke-width:.6}\n"
	".l:hover{stroke-width:3.2}.a:hover{fill-opacity:1}\n"
	".legend{list-style:none;margin:8px 0 "
	"0;padding:0;font-size:12.5px;color:var(--dim);columns:2;column-gap:28px}\n"
	".legend "
	"li{break-inside:avoid;overflow-wrap:anywhere;padding-left:18px;position:relative}\n"
	".legend "
	"i{position:absolute;left:0;top:5px;width:11px;height:11px;border-radius:3px;background:"
	"var(--c)}\n"
	".legend b{color:var(--fg);font-weight:600;white-space:nowrap}.none{padding:18px 0}\n"
	".s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}"
	".s4{--c:var(--c4)}.s5{--c:var(--c5)}.s6{--c:var(--c6)}.s7{--c:var(--c7)}\n"
	"@media(max-width:640px){.legend{columns:1}}@media print{figure{break-inside:avoid}}\n";

static const char *word_percent(char buf[WV_WORD], double v)
{
	snprintf(buf, WV_WORD, v < 10 ? "%.2g %%" : "%.0f %%", v);
	return buf;
}

static const char *word_rate(char buf[WV_WORD], double v)
{
	char bytes[WV_WORD];

	snprintf(buf, WV_WORD, "%.20s/s", wv_word_bytes(bytes, v));
	return buf;
}

static const char *word_ns(char buf[WV_WORD], double v)
{
	return wv_word_span(buf, (uint64_t)v);
}

static const struct wv_plot plots[] = {
	{.title = "CPU",
	 .note = "Percent of one CPU, by each cgroup's own tasks. Beside each name: its highest "
		 "value.",
	 .a = WV_REPORT_CPU,
	 .b = WV_REPORT_CPU,
	 .rate = true,
	 .stack = true,
	 .scale = 1e-7,
	 .word = word_percent},
	{.title = "Memory",
	 .note = "Resident memory of each cgroup's own tasks.",
	 .a = WV_REPORT_RSS,
	 .b = WV_REPORT_RSS,
	 .binary = true,
	 .scale = 1,
	 .word = wv_word_bytes},
	{.title = "Network",
	 .note = "Bytes received and sent a second.",
	 .a = WV_REPORT_RX,
	 .b = WV_REPORT_TX,
	 .rate = true,
	 .binary = true,
	 .scale = 1,
	 .word = word_rate},
	{.title = "Block I/O",
	 .note = "Bytes read and written a second.",
	 .a = WV_REPORT_IO_READ,
	 .b = WV_REPORT_IO_WRITE,
	 .rate = true,
	 .binary = true,
	 .scale = 1,
	 .word = word_rate},
	{.title = "Run queue latency",
	 .note = "How long a task waits for a CPU: 99th percentile since the cgroup was first "
		 "seen.",
	 .a = WV_REPORT_RUNQ_P99,
	 .b = WV_REPORT_RUNQ_P99,
	 .scale = 1,
	 .word = word_ns},
};

void wv_doc_page_begin(struct wv_doc *d, const char *title)
{
	struct wv_text *t = &d->text;

	wv_text_str(t, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		       "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
		       "<meta http-equiv=\"Content-Security-Policy\" "
		       "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>");
	wv_text_html(t, title);
	wv_text_str(t, "</title>\n<style>\n");
	wv_text_str(t, style);
	wv_text_str(t, "</style></head><body><main>\n");
	wv_doc_heading(d, 1, title);
}

void wv_doc_page_end(struct wv_doc *d)
{
	wv_text_str(&d->text, "</main></body></html>\n");
}

void wv_report_html(struct wv_doc *d, const struct wv_report *r)
{
	char title[128];

	snprintf(title, sizeof(title), "Run %.100s", wv_report_meta(r, NULL, "run_id"));
	wv_doc_page_begin(d, title);
	wv_report_facts(d, r);
	for (size_t i = 0; i < ARRAY_SIZE(plots); i++)
		wv_plot_html(&d->text, r, &plots[i]);
	wv_report_summary(d, r);
	wv_doc_page_end(d);
}
