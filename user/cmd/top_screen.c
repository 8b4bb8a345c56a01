// SPDX-License-Identifier: GPL-2.0-only
/*
 * The live view: header, self row, table, optional detail pane, one line of keys. Everything is
 * redrawn from the model when a sample, a key or a new size comes.
 */
#include "user/cmd/top_screen.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "user/cmd/cmd.h"
#include "user/cmd/top_print.h"
#include "user/core/cgroup.h"
#include "user/core/cleanup.h"

/* How long a key is waited for before a new sample is looked for. */
#define KEY_WAIT_MS 100
#define HEADER_LINES 4
#define DETAIL_LINES (WV_HIST_N + 5)
#define COLUMN_WIDTH 9
#define NAME_AT (WV_TOP_N * (COLUMN_WIDTH + 1))

enum { PAIR_TITLE = 1, PAIR_HIGH, PAIR_DIM, PAIR_SELECTED, PAIR_SPARK };

struct screen {
	const struct wv_paths *paths;
	struct wv_top_options o;
	struct wv_top_folds folds;
	struct wv_view view;
	struct wv_snapshot head, before_head; /* of the samples that are shown */
	struct wv_sample samples[2];	      /* shown one and the one before */
	unsigned n_samples;
	struct wv_top top;
	uint64_t interval_ns, selected_key, last_poll_ns;
	uint32_t selected, first; /* lines */
	bool paused, detail, help, filtering, color, utf8, quit, stale;
	bool moved;   /* the user chose a row: follow it */
	int error;    /* of the last read */
	int stats_fd; /* BPF statistics, while on */
};

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

/* Samples -------------------------------------------------------------------------------------- */

static void arrange(struct screen *s)
{
	s->error = wv_top_arrange(&s->top, &s->o, &s->folds);
	/* the cursor stays on its cgroup while rows move */
	for (uint32_t i = 0; s->moved && i < s->top.n_lines; i++)
		if (s->top.now->rows[s->top.rows[s->top.lines[i].row].slot].key ==
		    s->selected_key) {
			s->selected = i;
			return;
		}
	if (s->selected >= s->top.n_lines)
		s->selected = s->top.n_lines ? s->top.n_lines - 1 : 0;
	if (s->top.n_lines)
		s->selected_key =
			s->top.now->rows[s->top.rows[s->top.lines[s->selected].row].slot].key;
}

static int take(struct screen *s)
{
	struct wv_sample swap = s->samples[1];
	int r;

	s->samples[1] = s->samples[0];
	s->samples[0] = s->view.sample;
	s->view.sample = swap;
	s->before_head = s->head;
	s->head = s->view.head;
	s->n_samples += s->n_samples < 2;
	if (s->view.sample.max_rows < s->samples[0].max_rows) {
		wv_sample_done(&s->view.sample);
		r = wv_sample_init(&s->view.sample, s->samples[0].max_rows);
		if (r < 0)
			return r;
	}
	r = wv_top_build(&s->top, &s->samples[0], s->n_samples > 1 ? &s->samples[1] : NULL);
	if (r == 0)
		arrange(s);
	return r;
}

/* Looks for a newer sample; true if the screen changed. */
static bool poll_sample(struct screen *s)
{
	uint64_t now = wv_view_mono_ns(), age = now > s->head.mono_ns ? now - s->head.mono_ns : 0;
	bool was = s->stale;
	int pid;

	/* a paused screen is meant to be old */
	s->stale = !s->paused && s->n_samples && age > 3 * s->head.tick_interval_ns;
	if (s->paused || (s->n_samples && s->view.map.head && age < s->interval_ns))
		return s->stale != was;
	/* the header of the mapped file tells cheaply; a new agent's file only the folder */
	if (s->n_samples && s->view.map.head && s->view.map.head->mono_ns == s->head.mono_ns &&
	    now - s->last_poll_ns < 1000000000ULL)
		return s->stale != was;
	s->last_poll_ns = now;
	s->error = wv_view_read(&s->view, s->paths);
	if (s->error == 0 && !wv_view_agent_runs(s->paths, &pid))
		s->stale = true;
	if (s->error < 0 || (s->n_samples && s->view.head.mono_ns == s->head.mono_ns))
		return true;
	s->error = take(s);
	return true;
}

/* Drawing -------------------------------------------------------------------------------------- */

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
	char line[256], word[WV_WORD], up[WV_WORD];
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
		"c m r i n t p                sort by cpu, memory, run queue, io, net rx, tasks, "
		"pressure",
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

static void draw(struct screen *s)
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

/* Keys ----------------------------------------------------------------------------------------- */

static void select_line(struct screen *s, int64_t line)
{
	if (!s->top.n_lines)
		return;
	if (line < 0)
		line = 0;
	if (line >= s->top.n_lines)
		line = s->top.n_lines - 1;
	s->moved = true;
	s->selected = (uint32_t)line;
	s->selected_key = s->top.now->rows[s->top.rows[s->top.lines[line].row].slot].key;
}

static void fold(struct screen *s, int how)
{
	const struct wv_top_line *line;
	bool folded;

	if (!s->top.n_lines || s->o.flat)
		return;
	line = &s->top.lines[s->selected];
	folded = how < 0 ? !line->folded : how;
	/* folding what is folded or has nothing below: go to its parent */
	if (how == 1 && (line->folded || !line->children)) {
		for (int64_t i = s->selected; i >= 0; i--)
			if (s->top.lines[i].depth < line->depth) {
				select_line(s, i);
				return;
			}
		return;
	}
	s->moved = true;
	s->error = wv_top_fold(&s->folds, s->selected_key, folded);
	arrange(s);
}

static void toggle_stats(struct screen *s)
{
	if (s->stats_fd >= 0) {
		close(s->stats_fd);
		s->stats_fd = -1;
		return;
	}
	s->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
}

static void filter_key(struct screen *s, int key)
{
	size_t len = strlen(s->o.filter);

	if (key == '\n' || key == KEY_ENTER) {
		s->filtering = false;
	} else if (key == 27) {
		s->filtering = false;
		s->o.filter[0] = '\0';
	} else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && len) {
		s->o.filter[len - 1] = '\0';
	} else if (key >= 32 && key < 256 && key != 127 && len + 1 < sizeof(s->o.filter)) {
		s->o.filter[len] = (char)key;
		s->o.filter[len + 1] = '\0';
	}
	if (s->n_samples)
		arrange(s);
}

static void sort_by(struct screen *s, unsigned column)
{
	s->o.sort = column;
	if (s->n_samples)
		arrange(s);
}

static void move_key(struct screen *s, int key)
{
	int64_t page = LINES > HEADER_LINES + 2 ? LINES - HEADER_LINES - 2 : 1;
	int64_t at = s->selected;

	switch (key) {
	case KEY_UP:
	case 'k':
		select_line(s, at - 1);
		break;
	case KEY_DOWN:
	case 'j':
		select_line(s, at + 1);
		break;
	case KEY_PPAGE:
		select_line(s, at - page);
		break;
	case KEY_NPAGE:
		select_line(s, at + page);
		break;
	case KEY_HOME:
		select_line(s, 0);
		break;
	case KEY_END:
		select_line(s, INT64_MAX);
		break;
	}
}

static bool sort_key(struct screen *s, int key)
{
	static const struct {
		int key;
		unsigned column;
	} keys[] = {{'c', WV_TOP_CPU}, {'m', WV_TOP_MEM},   {'r', WV_TOP_RUNQ}, {'i', WV_TOP_IO},
		    {'n', WV_TOP_RX},  {'t', WV_TOP_TASKS}, {'p', WV_TOP_PSI}};

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].key == key) {
			sort_by(s, keys[i].column);
			return true;
		}
	return false;
}

static void on_key(struct screen *s, int key)
{
	if (s->filtering) {
		filter_key(s, key);
		return;
	}
	if (sort_key(s, key))
		return;
	switch (key) {
	case 'q':
	case 'Q':
		s->quit = true;
		break;
	case '<':
		sort_by(s, (s->o.sort + WV_TOP_N - 1) % WV_TOP_N);
		break;
	case '>':
		sort_by(s, (s->o.sort + 1) % WV_TOP_N);
		break;
	case 'f':
		s->o.flat = !s->o.flat;
		sort_by(s, s->o.sort);
		break;
	case '/':
		s->filtering = true;
		break;
	case 27:
		s->o.filter[0] = '\0';
		s->help = s->detail = false;
		sort_by(s, s->o.sort);
		break;
	case ' ':
	case KEY_RIGHT:
	case KEY_LEFT:
		fold(s, key == ' ' ? -1 : key == KEY_LEFT);
		break;
	case '\n':
	case KEY_ENTER:
		s->detail = !s->detail;
		break;
	case 'z':
		s->paused = !s->paused;
		break;
	case 'b':
		toggle_stats(s);
		break;
	case '?':
	case 'h':
		s->help = !s->help;
		break;
	default:
		move_key(s, key);
	}
}

/* Life ----------------------------------------------------------------------------------------- */

static bool screen_open(struct screen *s)
{
	const char *no_color = getenv("NO_COLOR");
	SCREEN *terminal;

	setlocale(LC_ALL, "");
	s->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal)
		return false;
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	set_escdelay(25);
	curs_set(0);
	timeout(KEY_WAIT_MS);
	s->color = !(no_color && no_color[0]) && has_colors();
	if (!s->color)
		return true;
	start_color();
	use_default_colors();
	init_pair(PAIR_TITLE, COLOR_CYAN, -1);
	init_pair(PAIR_HIGH, COLOR_RED, -1);
	init_pair(PAIR_DIM, COLOR_BLUE, -1);
	init_pair(PAIR_SPARK, COLOR_GREEN, -1);
	return true;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

int wv_top_screen(const struct wv_paths *paths, const struct wv_top_options *options,
		  uint64_t interval_ns)
{
	struct screen s = {
		.paths = paths, .o = *options, .interval_ns = interval_ns, .stats_fd = -1};
	const struct sigaction act = {.sa_handler = on_signal};

	/* the terminal must be given back */
	(void)sigaction(SIGINT, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	if (!screen_open(&s)) {
		fprintf(stderr,
			"waveos-bpf top: this terminal (TERM=%s) cannot be driven; use --once\n",
			getenv("TERM") ?: "");
		return WV_EXIT_UNSUPPORTED;
	}
	(void)poll_sample(&s);
	draw(&s);
	while (!s.quit && !interrupted) {
		int key = getch();

		if (key == KEY_RESIZE)
			clearok(curscr, TRUE);
		else if (key != ERR)
			on_key(&s, key);
		/* one draw for a key, a new size, a sample, or the age in the message */
		if (poll_sample(&s) || key != ERR || s.stale || s.error)
			draw(&s);
	}
	endwin();
	if (s.stats_fd >= 0)
		close(s.stats_fd);
	wv_top_done(&s.top);
	wv_sample_done(&s.samples[0]);
	wv_sample_done(&s.samples[1]);
	wv_view_done(&s.view);
	free(s.folds.keys);
	return WV_EXIT_OK;
}
