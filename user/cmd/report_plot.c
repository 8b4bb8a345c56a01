// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plots as inline SVG, drawn from the samples; no script. Colours come from classes that the page's
 * style sets for light and dark.
 */
#include <math.h>
#include <stdio.h>

#include "user/cmd/report_doc.h"
#include "user/cmd/status_view.h"

#define WIDTH 860
#define HEIGHT 250
#define LEFT 76
#define RIGHT 12
#define TOP 10
#define BOTTOM 26
#define SERIES 7
/* More points than pixels say nothing: then the mean of neighbours is drawn. */
#define POINTS 600

struct series {
	char name[300];
	double v[POINTS];
	bool has[POINTS];
	double last, max;
};

struct plot {
	const struct wv_report *r;
	const struct wv_plot *p;
	struct series *series; /* SERIES and the rest */
	unsigned n_series;
	unsigned n, step; /* points, samples a point */
	double max, x0_s, x1_s;
};

static double value_at(const struct plot *pl, const struct wv_report_cgroup *c, uint32_t i)
{
	const struct wv_plot *p = pl->p;
	double v = p->rate ? wv_report_rate(pl->r, c, i, p->a) : (double)c->rows[i].v[p->a];

	if (p->b != p->a)
		v += p->rate ? wv_report_rate(pl->r, c, i, p->b) : (double)c->rows[i].v[p->b];
	return v * p->scale;
}

/* Adds a cgroup's samples to a series, as means over `step` samples. */
static void add_cgroup(const struct plot *pl, struct series *s, const struct wv_report_cgroup *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t at = (c->first + i) / pl->step;

		/* a rate has no value at the first sample of all */
		if (pl->p->rate && c->first + i == 0)
			continue;
		s->v[at] += value_at(pl, c, i) / pl->step;
		s->has[at] = true;
	}
}

static void finish(struct plot *pl)
{
	double sum;

	for (unsigned k = 0; k < pl->n_series; k++)
		for (unsigned i = 0; i < pl->n; i++) {
			struct series *s = &pl->series[k];

			s->max = s->v[i] > s->max ? s->v[i] : s->max;
			if (s->has[i])
				s->last = s->v[i];
			if (!pl->p->stack && s->v[i] > pl->max)
				pl->max = s->v[i];
		}
	for (unsigned i = 0; i < pl->n && pl->p->stack; i++) {
		sum = 0;
		for (unsigned k = 0; k < pl->n_series; k++)
			sum += pl->series[k].v[i];
		pl->max = sum > pl->max ? sum : pl->max;
	}
}

static void gather(struct plot *pl)
{
	const struct wv_report *r = pl->r;
	uint32_t top[SERIES];
	unsigned n = wv_report_rank(r, pl->p->a, pl->p->b, SERIES, top);

	pl->step = (r->n_samples + POINTS - 1) / POINTS;
	pl->n = (r->n_samples + pl->step - 1) / pl->step;
	for (unsigned k = 0; k < n; k++) {
		const struct wv_report_cgroup *c = &r->cgroups[top[k]];

		snprintf(pl->series[k].name, sizeof(pl->series[k].name), "%s%s", c->path,
			 c->key & WV_KEY_V1 ? " (v1)" : "");
		add_cgroup(pl, &pl->series[k], c);
	}
	pl->n_series = n;
	if (pl->p->stack && r->n_cgroups > n) {
		struct series *rest = &pl->series[pl->n_series++];

		snprintf(rest->name, sizeof(rest->name), "all others");
		for (uint32_t i = 0; i < r->n_cgroups; i++) {
			bool shown = false;

			for (unsigned k = 0; k < n; k++)
				shown = shown || top[k] == i;
			if (!shown)
				add_cgroup(pl, rest, &r->cgroups[i]);
		}
	}
	pl->x1_s = (double)(r->mono[r->n_samples - 1] - r->mono[0]) / 1e9;
	finish(pl);
}

static double x_of(const struct plot *pl, unsigned i)
{
	double share = pl->n > 1 ? (double)i / (pl->n - 1) : 0;

	return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct plot *pl, double v)
{
	return HEIGHT - BOTTOM - (pl->max > 0 ? v / pl->max : 0) * (HEIGHT - TOP - BOTTOM);
}

/* A step of 1, 2 or 5 times a power of ten, or a power of two, that gives at most `parts` parts. */
static double nice_step(double range, unsigned parts, bool binary)
{
	static const double steps[] = {1, 2, 5, 10};
	double power, want = range / parts;

	if (binary)
		return pow(2, ceil(log2(want > 0 ? want : 1)));
	power = pow(10, floor(log10(want > 0 ? want : 1)));
	for (unsigned i = 0; i < 4; i++)
		if (steps[i] * power >= want)
			return steps[i] * power;
	return 10 * power;
}

static void draw_axes(struct wv_text *t, struct plot *pl)
{
	double step = nice_step(pl->max, 4, pl->p->binary);
	char word[WV_WORD];

	/* the top line is a full step */
	pl->max = step * ceil(pl->max / step);
	for (double v = 0; v <= pl->max * 1.001; v += step) {
		double y = y_of(pl, v);

		wv_text_printf(t, "<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>",
			       LEFT, WIDTH - RIGHT, y, y);
		wv_text_printf(t, "<text class=\"y\" x=\"%d\" y=\"%.1f\">%s</text>\n", LEFT - 6,
			       y + 4, v > 0 ? pl->p->word(word, v) : "0");
	}
	step = nice_step(pl->x1_s, 8, false);
	for (double s = 0; s <= pl->x1_s * 1.001; s += step) {
		double x = LEFT + (pl->x1_s > 0 ? s / pl->x1_s : 0) * (WIDTH - LEFT - RIGHT);

		if (pl->x1_s >= 600)
			snprintf(word, sizeof(word), "%.4g min", s / 60);
		else
			snprintf(word, sizeof(word), "%.4g s", s);
		wv_text_printf(t, "<text class=\"x\" x=\"%.1f\" y=\"%d\">%s</text>\n", x,
			       HEIGHT - 8, word);
	}
}

static void draw_lines(struct wv_text *t, const struct plot *pl)
{
	for (unsigned k = pl->n_series; k-- > 0;) {
		const struct series *s = &pl->series[k];
		bool pen = false;

		wv_text_printf(t, "<path class=\"l s%u\" d=\"", k);
		for (unsigned i = 0; i < pl->n; i++) {
			if (s->has[i])
				wv_text_printf(t, "%c%.1f %.1f", pen ? 'L' : 'M', x_of(pl, i),
					       y_of(pl, s->v[i]));
			pen = s->has[i];
		}
		wv_text_str(t, "\"><title>");
		wv_text_html(t, s->name);
		wv_text_str(t, "</title></path>\n");
	}
}

static void draw_stack(struct wv_text *t, const struct plot *pl)
{
	double below[POINTS] = {0};
	/* rates begin with the second sample */
	unsigned first = pl->p->rate && pl->step == 1 ? 1 : 0;

	for (unsigned k = 0; k < pl->n_series; k++) {
		const struct series *s = &pl->series[k];

		wv_text_printf(t, "<path class=\"a s%u\" d=\"", k);
		for (unsigned i = first; i < pl->n; i++)
			wv_text_printf(t, "%c%.1f %.1f", i == first ? 'M' : 'L', x_of(pl, i),
				       y_of(pl, below[i] + s->v[i]));
		for (unsigned i = pl->n; i-- > first;) {
			wv_text_printf(t, "L%.1f %.1f", x_of(pl, i), y_of(pl, below[i]));
			below[i] += s->v[i];
		}
		wv_text_str(t, "Z\"><title>");
		wv_text_html(t, s->name);
		wv_text_str(t, "</title></path>\n");
	}
}

static void draw_legend(struct wv_text *t, const struct plot *pl)
{
	char word[WV_WORD];

	wv_text_str(t, "<ul class=\"legend\">");
	for (unsigned k = 0; k < pl->n_series; k++) {
		wv_text_printf(t, "<li><i class=\"s%u\"></i>", k);
		wv_text_html(t, pl->series[k].name);
		wv_text_printf(t, " <b>%s</b></li>\n", pl->p->word(word, pl->series[k].max));
	}
	wv_text_str(t, "</ul>\n");
}

void wv_plot_html(struct wv_text *t, const struct wv_report *r, const struct wv_plot *p)
{
	struct plot pl = {.r = r, .p = p, .series = calloc(SERIES + 1, sizeof(*pl.series))};

	wv_text_str(t, "<figure><figcaption><h2>");
	wv_text_html(t, p->title);
	wv_text_str(t, "</h2><p>");
	wv_text_html(t, p->note);
	wv_text_str(t, "</p></figcaption>\n");
	if (pl.series && r->n_samples > (p->rate ? 2U : 1U))
		gather(&pl);
	if (pl.n_series && pl.max > 0) {
		wv_text_printf(t, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH,
			       HEIGHT);
		wv_text_html(t, p->title);
		wv_text_str(t, "\">\n");
		draw_axes(t, &pl);
		if (p->stack)
			draw_stack(t, &pl);
		else
			draw_lines(t, &pl);
		wv_text_str(t, "</svg>\n");
		draw_legend(t, &pl);
	} else {
		wv_text_str(t, r->n_samples > (p->rate ? 2U : 1U)
				       ? "<p class=\"none\">None was seen.</p>\n"
				       : "<p class=\"none\">The run has too few samples for a "
					 "plot.</p>\n");
	}
	wv_text_str(t, "</figure>\n");
	free(pl.series);
}
