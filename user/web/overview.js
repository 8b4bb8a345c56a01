// SPDX-License-Identifier: GPL-2.0-only
// First view: how the machine does, who uses it, who hurts whom, what was decided.
import { bytes, cpus, h, percent, put, rate, span, count, card } from '/assets/dom.js';
import { current, oldest, present, root, store, value } from '/assets/store.js';
import { Plot } from '/assets/plot.js';
import { hurts } from '/assets/hurts.js';
import { latest } from '/assets/events.js';

const TOP = 5;
const total = (name, k) => {
	let s = 0,
		any = false;
	for (const c of store.cgroups.values()) {
		const v = value(c, name, k);
		if (!Number.isNaN(v)) {
			s += v;
			any = true;
		}
	}
	return any ? s : NaN;
};
const most = (name, k) => {
	let m = NaN,
		who = null;
	for (const c of store.cgroups.values()) {
		const v = value(c, name, k);
		if (v > (m || -1)) {
			m = v;
			who = c;
		}
	}
	return [m, who];
};
const all = new Map(); // sums over all cgroups, by name, of the samples that are kept
function sum(name, k) {
	let of = all.get(name);
	if (!of) all.set(name, (of = new Map()));
	if (!of.has(k)) {
		of.set(k, total(name, k));
		of.delete(k - store.cap);
	}
	return of.get(k);
}

/** The largest users of late; their order stays while they stay among them. */
function leaders(name, before) {
	const k = current(),
		of = present(k)
			.filter((c) => c.path !== '/' || name === 'cpu')
			.map((c) => {
				let s = 0;
				for (let i = Math.max(oldest(), k - 19); i <= k; i++) s += value(c, name, i) || 0;
				return [s, c];
			})
			.filter(([s]) => s > 0)
			.sort((a, b) => b[0] - a[0]);
	const near = new Set(of.slice(0, TOP + 1).map(([, c]) => c)),
		kept = before.filter((c) => near.has(c)).slice(0, TOP);
	for (const [, c] of of) if (kept.length < TOP && !kept.includes(c)) kept.push(c);
	return kept;
}
const short = (path) => (path.length > 34 ? path.slice(0, 12) + '…' + path.slice(-21) : path);
function byCgroup(title, name, format, max) {
	let who = [];
	const lines = () =>
		[...Array(TOP).keys()]
			.map((i) => ({
				name: who[i] ? short(who[i].path) : '',
				get: (k) => (who[i] ? value(who[i], name, k) : NaN),
			}))
			.concat({
				name: 'all others',
				get: (k) =>
					Math.max(0, sum(name, k) - who.reduce((s, c) => s + (value(c, name, k) || 0), 0)),
			});
	const p = new Plot(title, { format, stacked: true, lines: lines(), max });
	return {
		p,
		update() {
			who = leaders(name, who);
			p.set(lines());
			p.draw();
		},
	};
}

function tiles() {
	const of = (title, href, f) => {
		const v = h('b', { class: 'num' }),
			s = h('span', { class: 'small muted' });
		return {
			e: h('a', { class: 'tile', href }, h('span', { class: 'title' }, title), v, s),
			v,
			s,
			f,
		};
	};
	const list = [
		of('CPU', '#/cgroups', (k, o) => {
			const used = sum('cpu', k),
				n = o.cpus;
			return [
				`${cpus(used)} of ${n}`,
				`${percent(Math.min(1e6, used / n))} busy`,
				used / n > 9e5 ? 'warn' : '',
			];
		}),
		of('CPU wait', '#/cgroups', (k) => {
			const [v, c] = most('wait', k);
			return [percent(v), c ? short(c.path) : 'nobody', v > 1e6 ? 'bad' : v > 2e5 ? 'warn' : ''];
		}),
		of('Memory', '#/cgroups', (k, o) => {
			const r = root(),
				used = r ? value(r, 'mem_tree', k) : NaN;
			return [
				bytes(used),
				`of ${bytes(o.memory_bytes)}`,
				used / o.memory_bytes > 0.9 ? 'warn' : '',
			];
		}),
		of('Disk', '#/cgroups', (k) => {
			const v = sum('io', k),
				r = root();
			return [rate(v), `I/O pressure ${percent(r ? value(r, 'psi_io', k) : NaN)}`, ''];
		}),
		of('Network', '#/cgroups', (k) => {
			const v = sum('net', k);
			return [
				rate(v),
				`${count(sum('drops', k))} refused a second`,
				sum('drops', k) > 0 ? 'warn' : '',
			];
		}),
		of('In force', '#/policy', (_k, o) => {
			const c = o.counts,
				n = c.budgets_in_force + c.breakers_in_force + c.rules_open + c.held;
			return [
				String(n),
				n
					? `${c.rules_open} rules open, ${c.budgets_in_force} budgets, ${c.breakers_in_force} breakers, ${c.held} held`
					: `${c.rules} rules, ${c.budgets} budgets watch`,
				n ? 'warn' : '',
			];
		}),
		of('Lost events', '#/agent', (_k, o) => {
			const p = o.events.reduce((s, e) => s + e.produced, 0),
				d = o.events.reduce((s, e) => s + e.dropped, 0);
			return [count(d), `of ${count(p)} produced`, d ? 'bad' : ''];
		}),
		of('Agent', '#/agent', (_k, o) => {
			const b = store.overviewBefore,
				s = o.self;
			return [
				b ? percent(((s.cpu_ns - b.self.cpu_ns) / (o.wall_ns - b.wall_ns)) * 1e6) : '–',
				`${bytes(s.pss_bytes)}, tick ${span(s.sense_ns)}`,
				'',
			];
		}),
	];
	return {
		element: h(
			'div',
			{ class: 'tiles' },
			list.map((t) => t.e),
		),
		update() {
			if (!store.overview || store.n === 0) return;
			for (const t of list) {
				const [a, b, kind] = t.f(current(), store.overview);
				put(t.v, a);
				put(t.s, b);
				t.s.title = b;
				t.v.className = 'num ' + kind;
			}
		},
	};
}

export function overview(go) {
	const t = tiles();
	const who = hurts((c) => go(`#/cgroups/${encodeURIComponent(c.id)}`));
	const cpu = byCgroup('CPU by cgroup', 'cpu', (v) =>
			v === null || v === undefined ? '–' : percent(v),
		),
		mem = byCgroup('Memory by cgroup (resident)', 'mem', bytes);
	const psi = new Plot('Pressure of the machine (PSI some)', {
		format: percent,
		lines: [
			['CPU', 'psi_cpu'],
			['memory', 'psi_mem'],
			['I/O', 'psi_io'],
		].map(([name, key]) => ({
			name,
			get: (k) => {
				const r = root();
				return r ? value(r, key, k) : NaN;
			},
		})),
	});
	const flow = new Plot('Disk and network', {
		format: rate,
		lines: [
			['read', 'io_read'],
			['write', 'io_write'],
			['receive', 'rx'],
			['send', 'tx'],
		].map(([name, key]) => ({ name, get: (k) => sum(key, k) })),
	});
	const news = latest(8);
	return {
		element: h(
			'div',
			{ class: 'view' },
			h('h1', { class: 'away' }, 'Overview'),
			t.element,
			h(
				'div',
				{ class: 'columns' },
				h(
					'div',
					{ class: 'stack' },
					cpu.p.element,
					mem.p.element,
					h('div', { class: 'two even' }, psi.element, flow.element),
				),
				h(
					'div',
					{ class: 'stack' },
					who.element,
					card('Latest decisions and trouble', null, news.element),
				),
			),
		),
		update() {
			t.update();
			who.update();
			cpu.update();
			mem.update();
			psi.draw();
			flow.draw();
			news.update();
		},
		close() {
			for (const p of [cpu.p, mem.p, psi, flow]) p.close();
		},
	};
}
