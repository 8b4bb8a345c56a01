// SPDX-License-Identifier: GPL-2.0-only
// The table of cgroups. Only the rows that can be seen are in the document, and only cells that changed are
// written, so that thousands of cgroups cost what forty do.
import { add, bytes, count, h, percent, put, rate, span } from '/assets/dom.js';
import { column, current, present, store, value } from '/assets/store.js';
import { spark } from '/assets/plot.js';

const ROW = 28,
	SPARE = 6;
export const COLUMNS = [
	{
		key: 'path',
		title: 'Cgroup',
		help: 'Path; figures are of its own tasks, without descendants',
		text: true,
	},
	{
		key: 'cpu',
		title: 'CPU',
		help: 'Percent of one CPU',
		format: percent,
		bar: () => 1e6 * (store.overview?.cpus ?? 1),
	},
	{
		key: 'trend',
		title: 'CPU trend',
		help: 'CPU of the last samples, each row by its own largest',
		spark: true,
	},
	{
		key: 'wait',
		title: 'CPU wait',
		help: 'Time that its runnable tasks waited for a CPU; more than 100 % where several wait at once',
		format: percent,
		warn: 2e5,
		bad: 1e6,
	},
	{
		key: 'runq',
		title: 'Queue p99',
		help: '99th percentile of the time on a run queue',
		format: span,
		warn: 2e7,
		bad: 1e8,
	},
	{
		key: 'psi',
		title: 'Pressure',
		help: 'Largest of CPU, memory and I/O pressure (PSI some), descendants included',
		format: percent,
		warn: 1e5,
		bad: 4e5,
	},
	{
		key: 'mem',
		title: 'Memory',
		help: 'Resident memory of its processes',
		format: bytes,
		bar: () => store.overview?.memory_bytes,
	},
	{ key: 'io', title: 'Disk', help: 'Block I/O read and written', format: rate },
	{ key: 'net', title: 'Network', help: 'Received and sent', format: rate },
	{
		key: 'drops',
		title: 'Refused',
		help: 'Packets dropped, connects and starts refused, per second',
		format: count,
		warn: 1,
		bad: 1000,
	},
	{ key: 'tasks', title: 'Tasks', help: 'Threads', format: count },
	{
		key: 'trouble',
		title: 'Trouble',
		help: 'OOM kills, crash loops, fatal signals, breaker trips since it was first seen',
		trouble: true,
	},
];
const TROUBLE = [
	['oom_kills', 'OOM', 'bad'],
	['crash_loops', 'loop', 'bad'],
	['breaker_trips', 'trip', 'warn'],
	['fatal_signals', 'signal', 'warn'],
];
const troubles = (c) => TROUBLE.reduce((n, [k]) => n + (column(c, k) ?? 0), 0);

export class Cgroups {
	constructor(onOpen) {
		Object.assign(this, {
			sort: 'cpu',
			down: true,
			filter: '',
			order: [],
			at: 0,
			onOpen,
			chosen: null,
			drawn: 0,
			before: 0,
		});
		this.heads = COLUMNS.map((c) =>
			h(
				'th',
				{ scope: 'col', class: c.text ? 'path' : c.spark ? 'trend' : 'num', title: c.help },
				c.spark ? c.title : h('button', { type: 'button', onclick: () => this.by(c.key) }, c.title),
			),
		);
		this.body = h('tbody');
		this.above = h('tr', { class: 'gap', 'aria-hidden': 'true' }, h('td'));
		this.below = h('tr', { class: 'gap', 'aria-hidden': 'true' }, h('td'));
		this.pool = [];
		this.table = h(
			'table',
			{ class: 'cgroups' },
			h('caption', { class: 'away' }, 'Cgroups; j and k move, Enter opens'),
			h('thead', null, h('tr', { 'aria-rowindex': 1 }, this.heads)),
			this.body,
		);
		this.box = h(
			'div',
			{ class: 'scroll tall', tabindex: 0, role: 'region', 'aria-label': 'Cgroups' },
			this.table,
		);
		this.box.addEventListener('scroll', () => this.soon(), { passive: true });
		this.watcher = new ResizeObserver(() => this.soon());
		this.watcher.observe(this.box);
		this.box.addEventListener('keydown', (e) => this.key(e));
		this.body.addEventListener('click', (e) => {
			const i = this.pool.findIndex((r) => r.tr.contains(e.target));
			if (i >= 0) this.choose(this.first + i, true);
		});
	}
	close() {
		this.watcher.disconnect();
	}
	by(key) {
		if (this.sort === key) this.down = !this.down;
		else {
			this.sort = key;
			this.down = key !== 'path';
		}
		this.update();
	}
	search(text) {
		this.filter = text.toLowerCase();
		this.box.scrollTop = 0;
		this.update();
	}
	key(e) {
		const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 2);
		const move = {
			ArrowDown: 1,
			ArrowUp: -1,
			PageDown: page,
			PageUp: -page,
			Home: -Infinity,
			End: Infinity,
		}[e.key];
		if (e.target.closest('button')) return;
		if (move !== undefined) {
			this.move(move);
			e.preventDefault();
		} else if (e.key === 'Enter' && this.order[this.at]) {
			this.choose(this.at, true);
			e.preventDefault();
		}
	}
	move(n) {
		this.choose(Math.min(Math.max(this.at + n, 0), this.order.length - 1), false);
		const top = this.at * ROW,
			room = this.box.clientHeight - ROW * 2;
		if (top < this.box.scrollTop) this.box.scrollTop = top;
		else if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
		this.draw();
	}
	choose(i, open) {
		const c = this.order[i];
		if (!c) return;
		this.at = i;
		this.chosen = c.id;
		this.draw();
		if (open || this.opened) {
			this.opened = true;
			this.onOpen(c);
		}
	}
	soon() {
		this.asked ??= requestAnimationFrame(() => {
			this.asked = null;
			this.draw();
		});
	}
	/** Order anew, after a sample or another choice. */
	update() {
		const k = current(),
			by = this.sort,
			of = new Map();
		let all = present(k);
		if (this.filter) all = all.filter((c) => c.path.toLowerCase().includes(this.filter));
		for (const c of all)
			of.set(c, by === 'path' ? c.path : by === 'trouble' ? troubles(c) : value(c, by, k));
		const sign = this.down ? -1 : 1;
		all.sort((a, b) => {
			const x = of.get(a),
				y = of.get(b);
			return x < y ? -sign : x > y ? sign : a.path < b.path ? -1 : 1;
		});
		this.order = all;
		if (this.chosen) {
			const i = all.findIndex((c) => c.id === this.chosen);
			if (i >= 0) this.at = i;
		}
		COLUMNS.forEach((c, i) => {
			if (c.key === by)
				this.heads[i].setAttribute('aria-sort', this.down ? 'descending' : 'ascending');
			else this.heads[i].removeAttribute('aria-sort');
		});
		this.table.setAttribute('aria-rowcount', all.length + 1);
		this.draw();
	}
	line() {
		const cells = COLUMNS.map((c) =>
			c.spark
				? h('td', { class: 'trend' }, h('canvas', { 'aria-hidden': 'true' }))
				: h('td', { class: c.text ? 'path' : 'num' + (c.bar ? ' part' : '') }),
		);
		return { tr: h('tr', null, cells), cells, said: [] };
	}
	draw() {
		const rows = Math.ceil((this.box.clientHeight || 600) / ROW) + 2 * SPARE;
		this.first = Math.max(
			0,
			Math.min(Math.floor(this.box.scrollTop / ROW) - SPARE, this.order.length - rows),
		);
		const n = Math.min(rows, this.order.length - this.first);
		while (this.pool.length < n) this.pool.push(this.line());
		while (this.pool.length > n) this.pool.pop();
		this.turn(n);
		this.above.firstChild.style.height = `${this.first * ROW}px`;
		this.below.firstChild.style.height = `${(this.order.length - this.first - n) * ROW}px`;
		for (let i = 0; i < n; i++) this.show(this.pool[i], this.order[this.first + i], this.first + i);
	}
	/** After scrolling, lines that stay in sight stay what they are; those that left it come in at the other end. */
	turn(n) {
		const by = this.first - this.before;
		this.before = this.first;
		if (this.drawn !== n || !this.body.firstChild) {
			this.body.replaceChildren();
			add(this.body, [this.above, ...this.pool.map((r) => r.tr), this.below]);
			this.drawn = n;
		} else if (by > 0 && by < n) {
			for (let i = 0; i < by; i++) {
				const r = this.pool.shift();
				this.pool.push(r);
				this.below.before(r.tr);
			}
		} else if (by < 0 && -by < n) {
			for (let i = 0; i < -by; i++) {
				const r = this.pool.pop();
				this.pool.unshift(r);
				this.above.after(r.tr);
			}
		}
	}
	show(line, c, index) {
		const k = current(),
			on = index === this.at && this.chosen === c.id;
		if (
			line.id === c.id &&
			line.k === k &&
			line.index === index &&
			line.on === on &&
			line.row === c.row
		)
			return;
		Object.assign(line, { index, on, row: c.row });
		line.tr.setAttribute('aria-rowindex', index + 2);
		line.tr.classList.toggle('on', on);
		if (this.chosen === c.id) line.tr.setAttribute('aria-current', 'true');
		else line.tr.removeAttribute('aria-current');
		COLUMNS.forEach((col, i) => {
			const cell = line.cells[i];
			if (col.text) {
				if (line.id !== c.id) {
					put(cell, c.path);
					cell.title = c.path;
					cell.classList.toggle('v1', c.v1);
				}
			} else if (col.spark) {
				if (line.id !== c.id || line.k !== k)
					spark(cell.firstChild, (at) => value(c, 'cpu', at), k);
			} else if (col.trouble) {
				const words = TROUBLE.map(([key, word]) => [column(c, key), word])
					.filter(([v]) => v)
					.map(([v, word]) => `${v} ${word}`)
					.join(', ');
				put(cell, words);
				cell.classList.toggle('bad', words !== '');
			} else {
				const v = value(c, col.key, k);
				put(cell, col.format(v));
				const part = col.bar
					? Math.min(100, (100 * v) / (col.bar() || Infinity)).toFixed(1)
					: '0.0';
				if (col.bar && line.said[i] !== part)
					cell.style.setProperty('--part', `${(line.said[i] = part)}%`);
				if (col.warn) {
					cell.classList.toggle('bad', v >= col.bad);
					cell.classList.toggle('warn', v >= col.warn && v < col.bad);
				}
				cell.classList.toggle('zero', v === 0);
			}
		});
		line.id = c.id;
		line.k = k;
	}
}
