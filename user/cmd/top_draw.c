// SPDX-License-Identifier: GPL-2.0-only
/* Draws the live view: header, self row, table, detail pane, one line of keys. */
#include "user/cmd/gpu_line.h"
#include "user/cmd/top_draw.h"

#include <errno.h>
#include <ncurses.h>
#include <stdarg.h>
#include <string.h>
#include <wchar.h>

#include "user/cmd/top_print.h"
#include "user/core/cgroup.h"
#include "user/core/cleanup.h"

#define DETAIL_LINES (WV_HIST_N + 5)
#define COLUMN_WIDTH 9
#define NAME_AT (WV_TOP_N * (COLUMN_WIDTH + 1))

static int pair(const struct screen *s, int number)
{
	return s->color ? COLOR_PAIR(number) : 0;
}

/* Sparkline ------------------------------------------------------------------------------------ */

const char *wv_top_sparkline(const struct wv_hist *h, bool utf8, char buf[4 * WV_HIST_BUCKETS + 1])
{
	static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const plain[] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
	uint64_t max = 0;
	char *p = buf;

	for (unsigned b = 0; b < WV_HIST_BUCKETS; b++)
		max = h->bucket[b] > max ? h->bucket[b] : max;
	for (unsigned b = 0; b < WV_HIST_BUCKETS; b++) {
		/* anything that is there at all is seen */
		double share = max ? (double)h->bucket[b] / (double)max : 0;
		unsigned level = h->bucket[b] ? 1 + (unsigned)(share * 7.0) : 0;

		p = stpcpy(p, (utf8 ? blocks : plain)[level]);
	}
	return buf;
}

/* Text at the cursor, cut at the right edge (addstr would go on in the next line). */
static void put(const char *text)
{
	mbstate_t state = {0};
	int room = COLS - getcurx(stdscr);
	wchar_t c;
	size_t n;

	for (const char *p = text; *p; p += n) {
		n = mbrtowc(&c, p, MB_CUR_MAX, &state);
		if (n == 0 || n > MB_CUR_MAX)
			return;
		room -= wcwidth(c) > 0 ? wcwidth(c) : 0;
		if (room < 0)
			return;
		addnstr(p, (int)n);
	}
}

static void putf(const char *format, ...) _printf_(1, 2);
static void putf(const char *format, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	put(line);
}

static void draw_header(struct screen *s)
{
	char line[256], word[WV_WORD], up[WV_WORD], gpus[256];
	const struct wv_top_values *all = &s->top.total;

	attron(A_BOLD | pair(s, PAIR_TITLE));
	move(0, 0);
	putf("waveos-bpf %s", s->head.version);
	attroff(A_BOLD | pair(s, PAIR_TITLE));
	putf("  run %s  up %s  tick %s", s->head.run_id,
	     wv_word_span(up, s->head.mono_ns - s->head.started_mono_ns),
	     wv_word_span(word, s->head.tick_interval_ns));
	if (s->paused) {
		attron(A_REVERSE);
		putf("  PAUSED");
		attroff(A_REVERSE);
	}
	move(1, 0);
	putf("%u cgroups, %s threads, cpu %.1f %%; budgets in force %u of %u; %s", s->top.n_rows,
	     wv_word_count(word, all->v[WV_TOP_TASKS]), all->v[WV_TOP_CPU],
	     s->head.n_budgets_in_force, s->head.n_budgets,
	     s->n_samples > 1 ? "rates since the last sample"
			      : "means since each cgroup was first seen");
	if (wv_gpu_line(s->paths, gpus, sizeof(gpus)))
		putf("; %s", gpus);
	wv_top_self_line(&s->head, s->n_samples > 1 ? &s->before_head : NULL, line, sizeof(line));
	attron(pair(s, PAIR_DIM));
	move(2, 0);
	put(line);
	attroff(pair(s, PAIR_DIM));
}

static void draw_titles(struct screen *s)
{
	attron(A_REVERSE);
	mvhline(3, 0, ' ', COLS);
	for (unsigned c = 0; c < WV_TOP_N; c++) {
		if (c == s->o.sort)
			attron(A_BOLD | A_UNDERLINE);
		move(3, (int)(c * (COLUMN_WIDTH + 1)));
		putf("%*s", COLUMN_WIDTH, wv_top_titles[c]);
		attroff(A_BOLD | A_UNDERLINE);
	}
	move(3, NAME_AT);
	putf("CGROUP (%s)%s%s", s->o.flat ? "own tasks" : "with descendants",
	     s->o.filter[0] ? "  filter: " : "", s->o.filter);
	attroff(A_REVERSE);
}

/* Figures that deserve a look. */
static bool is_high(unsigned column, double v)
{
	return (column == WV_TOP_CPU && v >= 80) || (column == WV_TOP_RUNQ && v >= 20e6) ||
	       (column == WV_TOP_PSI && v >= 20);
}

/* Name of a row in the tree: the last part of its path, and the whole path where rows are flat. */
static const char *label(const struct wv_top *t, const struct wv_top_line *line, bool flat,
			 char *buf, size_t size)
{
	const struct wv_row *row = &t->now->rows[t->rows[line->row].slot];
	const char *last;

	wv_top_path(row, buf, size);
	if (flat || !line->depth)
		return buf;
	last = strrchr(buf, '/');
	return last && last[1] ? last + 1 : buf;
}

static void draw_row(struct screen *s, int y, uint32_t index)
{
	const struct wv_top_line *line = &s->top.lines[index];
	const struct wv_top_row *r = &s->top.rows[line->row];
	const struct wv_row *row = &s->top.now->rows[r->slot];
	bool selected = index == s->selected;
	char word[WV_WORD], path[WV_ROW_PATH_MAX + 8];
	int at = NAME_AT + (s->o.flat ? 0 : 2 * line->depth);

	if (selected) {
		attron(A_REVERSE);
		mvhline(y, 0, ' ', COLS);
	}
	for (unsigned c = 0; c < WV_TOP_N; c++) {
		double v = s->o.flat ? r->own.v[c] : r->tree.v[c];
		int high = is_high(c, v) ? A_BOLD | pair(s, PAIR_HIGH) : 0;

		attron(high);
		move(y, (int)(c * (COLUMN_WIDTH + 1)));
		putf("%*s", COLUMN_WIDTH, wv_top_text(c, v, word));
		attroff(high);
	}
	if (at < COLS - 2) {
		mvaddstr(y, at, s->o.flat || !line->children ? "  " : line->folded ? "+ " : "- ");
		put(label(&s->top, line, s->o.flat, path, sizeof(path)));
		if ((row->key & WV_KEY_V1) && !line->depth)
			put("  (v1)");
	}
	if (selected)
		attroff(A_REVERSE);
}

static void draw_histogram(struct screen *s, int y, uint32_t slot, unsigned id)
{
	char spark[4 * WV_HIST_BUCKETS + 1], p50[WV_WORD], p99[WV_WORD], n[WV_WORD];
	struct wv_hist h;
	uint64_t count;

	wv_top_hist(&s->top, slot, id, &h);
	count = wv_hist_count(&h);
	move(y, 0);
	putf("%-16s ", wv_hists[id].name);
	attron(pair(s, PAIR_SPARK));
	addstr(wv_top_sparkline(&h, s->utf8, spark));
	attroff(pair(s, PAIR_SPARK));
	if (!count) {
		addstr(" none");
		return;
	}
	putf("  %s: p50 %s, p99 %s", wv_word_count(n, (double)count),
	     wv_word_span(p50, wv_hist_quantile_ns(&h, 0.5)),
	     wv_word_span(p99, wv_hist_quantile_ns(&h, 0.99)));
}

static void draw_detail(struct screen *s, int y)
{
	uint32_t slot = s->top.rows[s->top.lines[s->selected].row].slot;
	const struct wv_row *row = &s->top.now->rows[slot];
	struct wv_identity id;
	char path[WV_ROW_PATH_MAX + 8];

	mvhline(y++, 0, ACS_HLINE, COLS);
	attron(A_BOLD);
	move(y++, 0);
	put(wv_top_path(row, path, sizeof(path)));
	attroff(A_BOLD);
	wv_identity_parse(row->path, &id);
	move(y++, 0);
	putf("%s%s%s%s%s%.12s  switches %.0f/s (%.0f involuntary)  migrations %.0f/s  forks %.1f/s",
	     id.unit[0] ? "unit " : "", id.unit, id.pod_uid[0] ? "  pod " : "", id.pod_uid,
	     id.container_id[0] ? "  container " : "", id.container_id,
	     wv_top_rate(&s->top, slot, WV_SIG_CPU_SWITCH_VOLUNTARY) +
		     wv_top_rate(&s->top, slot, WV_SIG_CPU_SWITCH_INVOLUNTARY),
	     wv_top_rate(&s->top, slot, WV_SIG_CPU_SWITCH_INVOLUNTARY),
	     wv_top_rate(&s->top, slot, WV_SIG_CPU_MIGRATIONS),
	     wv_top_rate(&s->top, slot, WV_SIG_TASK_FORKS));
	move(y++, 0);
	putf("faults %.0f/s (%.1f major)  retransmits %.1f/s  drops %.1f/s  oom kills %llu  fatal "
	     "signals "
	     "%llu",
	     wv_top_rate(&s->top, slot, WV_SIG_MEM_MINOR_FAULTS),
	     wv_top_rate(&s->top, slot, WV_SIG_MEM_MAJOR_FAULTS),
	     wv_top_rate(&s->top, slot, WV_SIG_TCP_RETRANSMITS),
	     wv_top_rate(&s->top, slot, WV_SIG_NET_DROPS),
	     (unsigned long long)row->f.v[WV_SIG_MEM_OOM_KILLS],
	     (unsigned long long)row->f.v[WV_SIG_ERR_FATAL_SIGNALS]);
	for (unsigned i = 0; i < WV_HIST_N; i++)
		draw_histogram(s, y++, slot, i);
	attron(pair(s, PAIR_DIM));
	move(y, 0);
	putf("%-16s 1us  8us  64us  512us 4ms  32ms 256ms 2s   (powers of two)", "");
	attroff(pair(s, PAIR_DIM));
}

static void draw_help(const struct screen *s)
{
	static const char *const lines[] = {
		"up down pgup pgdn home end   move",
		"left right space             fold, unfold (tree)",
		"enter                        details: histograms of the selected cgroup",
		"< >                          sort by the column before, after",
		"c m r i n t p                sort: cpu mem runq io rx tasks psi",
		"f                            flat list by own figures, or tree with sums",
		"/                            filter by path; escape clears it",
		"z                            pause",
		"b                            BPF run time statistics on or off (costs a little)",
		"q                            quit",
	};

	(void)s;
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
		mvaddstr(HEADER_LINES + 1 + (int)i, 4, lines[i]);
}

static void draw_footer(struct screen *s)
{
	char ago[WV_WORD];
	int pid;

	move(LINES - 1, 0);
	clrtoeol();
	if (s->filtering) {
		putf("filter: %s_  (enter to keep, escape to clear)", s->o.filter);
	} else if (s->error < 0 || s->stale) {
		attron(A_BOLD | pair(s, PAIR_HIGH));
		if (s->error == -EACCES || s->error == -EPERM)
			putf("may not read %s: run top as root", s->paths->runtime);
		else if (s->error == -EPROTO)
			putf("the agent is of another version than this program");
		else if (!wv_view_agent_runs(s->paths, &pid))
			putf("no agent runs: waiting for one (waveos-bpf attach)");
		else
			putf("the agent is late: waiting");
		if (s->n_samples)
			putf("; last sample %s ago",
			     wv_word_span(ago, wv_view_mono_ns() - s->head.mono_ns));
		attroff(A_BOLD | pair(s, PAIR_HIGH));
	} else {
		attron(pair(s, PAIR_DIM));
		putf("q quit  / filter  f flat/tree  < > sort  enter details  z pause  ? help");
		attroff(pair(s, PAIR_DIM));
	}
}

void wv_top_draw(struct screen *s)
{
	int detail = s->detail && s->top.n_lines && LINES > DETAIL_LINES + HEADER_LINES + 3
			     ? DETAIL_LINES
			     : 0;
	uint32_t room = LINES > HEADER_LINES + 1 + detail
				? (uint32_t)(LINES - HEADER_LINES - 1 - detail)
				: 0;

	erase();
	if (s->n_samples) {
		draw_header(s);
		draw_titles(s);
		if (s->selected < s->first)
			s->first = s->selected;
		if (room && s->selected >= s->first + room)
			s->first = s->selected - room + 1;
		for (uint32_t i = 0; i < room && s->first + i < s->top.n_lines && !s->help; i++)
			draw_row(s, HEADER_LINES + (int)i, s->first + i);
		if (detail && !s->help)
			draw_detail(s, LINES - 1 - detail);
	}
	if (s->help)
		draw_help(s);
	draw_footer(s);
	refresh();
}
