// SPDX-License-Identifier: GPL-2.0-only
// Plots over the kept samples, by uPlot. Beside each stands its legend as text with the figures of the moment
// that is looked at, which is also what a screen reader reads.
import { bytes, count, h, put, rate, span } from '/assets/dom.js';
import { current, oldest, seconds } from '/assets/store.js';

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const color = (i) => css(`--s${i % 6}`);
const live = new Set();
const doubled = Array.from({ length: 51 }, (_, i) => 2 ** i),
	whole = Array.from({ length: 36 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
/** Steps of the axis where those of ten are not those of the unit. */
const INCREMENTS = new Map([
	[bytes, doubled],
	[rate, doubled],
	[count, whole],
	[span, whole],
]);

export class Plot {
	/**
	 * lines: [{name, get: (k) => number}]; format: number to text; stacked: areas on top of each other;
	 * max: a fixed upper end. set(lines) may change names and getters, never their number.
	 */
	constructor(title, { format, lines, stacked, height = 168, max }) {
		Object.assign(this, { title, format, lines, stacked, height, max });
		this.keys = lines.map((_, i) => ({
			swatch: h('i', { class: `swatch s${i % 6}`, 'aria-hidden': 'true' }),
			name: h('span', { class: 'key' }),
			value: h('b', { class: 'num' }),
		}));
		this.legend = h(
			'ul',
			{ class: 'legend' },
			this.keys.map((k) => h('li', null, k.swatch, k.name, k.value)),
		);
		this.box = h('div', { class: 'plot', role: 'img', 'aria-label': title });
		this.element = h(
			'figure',
			{ class: 'card' },
			h('figcaption', null, h('h2', null, title)),
			this.box,
			this.legend,
		);
		this.watcher = new ResizeObserver(() => this.resize());
		this.watcher.observe(this.box);
		live.add(this);
	}
	set(lines) {
		this.lines = lines;
	}
	options(width) {
		const line = css('--line'),
			text = css('--muted'),
			font = '11px system-ui, sans-serif';
		const bands = this.stacked
			? this.lines.slice(1).map((_, i) => ({ series: [i + 1, i + 2] }))
			: [];
		return {
			width,
			height: this.height,
			legend: { show: false },
			cursor: { sync: { key: 'waveos' }, y: false, points: { size: 6 } },
			padding: [8, 8, 0, 0],
			scales: {
				x: { time: true },
				y: { range: (_u, _min, top) => [0, this.max ?? (top > 0 ? top * 1.1 : 1)] },
			},
			axes: [
				{
					stroke: text,
					font,
					size: 24,
					grid: { stroke: line, width: 1 },
					ticks: { show: false },
					values: (_u, at) => at.map((s) => new Date(s * 1000).toTimeString().slice(0, 8)),
					space: 84,
				},
				{
					stroke: text,
					font,
					size: 66,
					grid: { stroke: line, width: 1 },
					ticks: { show: false },
					values: (_u, at) => at.map((v) => this.format(v)),
					space: 30,
					incrs: INCREMENTS.get(this.format),
				},
			],
			series: [
				{},
				...this.lines.map((_, i) => ({
					stroke: color(i),
					width: 1.5,
					points: { show: false },
					fill: this.stacked ? color(i) + '66' : i ? undefined : color(i) + '22',
				})),
			],
			bands,
			hooks: { draw: [(u) => this.mark(u)] },
		};
	}
	/** A line at the moment that is looked at. */
	mark(u) {
		if (this.at === undefined) return;
		const x = Math.round(u.valToPos(this.at, 'x', true)),
			c = u.ctx;
		c.save();
		c.strokeStyle = css('--text');
		c.setLineDash([4, 4]);
		c.beginPath();
		c.moveTo(x, u.bbox.top);
		c.lineTo(x, u.bbox.top + u.bbox.height);
		c.stroke();
		c.restore();
	}
	resize() {
		const width = this.box.clientWidth;
		if (this.chart && width && width !== this.chart.width)
			this.chart.setSize({ width, height: this.height });
		else if (!this.chart && width) this.draw();
	}
	draw() {
		const first = oldest(),
			k = current(),
			x = seconds(),
			width = this.box.clientWidth;
		const raw = this.lines.map((l) => {
			const out = new Array(x.length);
			for (let i = 0; i < x.length; i++) {
				const v = l.get(first + i);
				out[i] = Number.isNaN(v) || v === undefined ? null : v;
			}
			return out;
		});
		this.lines.forEach((l, i) => {
			put(this.keys[i].name, l.name);
			this.keys[i].name.title = l.name;
			put(this.keys[i].value, k >= 0 ? this.format(raw[i][k - first]) : '–');
			this.keys[i].name.parentElement.hidden = !l.name;
		});
		if (this.stacked)
			for (let i = raw.length - 2; i >= 0; i--)
				raw[i] = raw[i].map((v, j) => (v ?? 0) + (raw[i + 1][j] ?? 0));
		this.at = k < first + x.length - 1 ? x[k - first] : undefined;
		if (!width) return;
		if (!this.chart) this.chart = new uPlot(this.options(width), [x, ...raw], this.box);
		else this.chart.setData([x, ...raw]);
		this.box.setAttribute(
			'aria-label',
			`${this.title}: ${this.lines
				.filter((l) => l.name)
				.map((l, i) => `${l.name} ${this.keys[i].value.textContent}`)
				.join(', ')}`,
		);
	}
	restyle() {
		if (!this.chart) return;
		this.chart.destroy();
		this.chart = null;
		this.draw();
	}
	close() {
		this.watcher.disconnect();
		this.chart?.destroy();
		this.chart = null;
		live.delete(this);
	}
}
export function restyle() {
	for (const p of live) p.restyle();
}

/** A small line without axes, in a canvas of w by h CSS pixels. */
export function spark(canvas, get, last, points = 48) {
	const scale = devicePixelRatio || 1,
		w = 64,
		hgt = 18,
		c = canvas.getContext('2d');
	if (canvas.width !== w * scale) {
		canvas.width = w * scale;
		canvas.height = hgt * scale;
	}
	c.setTransform(scale, 0, 0, scale, 0, 0);
	c.clearRect(0, 0, w, hgt);
	let max = 0;
	const v = new Float32Array(points);
	for (let i = 0; i < points; i++) {
		v[i] = get(last - points + 1 + i);
		if (v[i] > max) max = v[i];
	}
	if (!max) return;
	c.strokeStyle = color.kept ??= color(0);
	c.lineWidth = 1.2;
	c.beginPath();
	let pen = false;
	for (let i = 0; i < points; i++) {
		if (Number.isNaN(v[i])) {
			pen = false;
			continue;
		}
		const x = (i / (points - 1)) * w,
			y = hgt - 1.5 - (v[i] / max) * (hgt - 3);
		if (pen) c.lineTo(x, y);
		else c.moveTo(x, y);
		pen = true;
	}
	c.stroke();
}
