// SPDX-License-Identifier: GPL-2.0-only
/*
 * The live view: takes samples, follows keys. Everything is redrawn from the model when a sample, a
 * key or a new size comes.
 */
#include "user/cmd/top_screen.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd/cmd.h"
#include "user/cmd/top_draw.h"
#include "user/core/cleanup.h"

/* How long a key is waited for before a new sample is looked for. */
#define KEY_WAIT_MS 100

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
	wv_top_draw(&s);
	while (!s.quit && !interrupted) {
		int key = getch();

		if (key == KEY_RESIZE)
			clearok(curscr, TRUE);
		else if (key != ERR)
			on_key(&s, key);
		/* one draw for a key, a new size, a sample, or the age in the message */
		if (poll_sample(&s) || key != ERR || s.stale || s.error)
			wv_top_draw(&s);
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
