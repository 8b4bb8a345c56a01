// SPDX-License-Identifier: GPL-2.0-only
// All cgroups, and one of them in full.
import { bytes, count, h, percent, put, rate, span, table } from '/assets/dom.js';
import { column, store, value } from '/assets/store.js';
import { Cgroups } from '/assets/table.js';
import { Plot } from '/assets/plot.js';
import { log, tell } from '/assets/events.js';
import { openRecord } from '/assets/record.js';

const line = (c, name, key) => ({ name, get: (k) => value(c, key, k) });
const UNITS = [
	[/_ppm$/, percent],
	[/_ns$/, span],
	[/bytes_per_second$/, rate],
	[/_bytes$/, bytes],
];
const worded = (name, v) => (UNITS.find(([r]) => r.test(name))?.[1] ?? count)(v);
const plain = (name) =>
	name
		.replace(/_(ppm|ns|bytes|per_second)$/g, '')
		.replace(/_bytes_per_second$/, '')
		.replaceAll('_', ' ');

function detail(c, close) {
	const plots = [
		new Plot('CPU', {
			format: percent,
			height: 130,
			lines: [line(c, 'used', 'cpu'), line(c, 'waited', 'wait'), line(c, 'throttled', 'throttled')],
		}),
		new Plot('Memory', {
			format: bytes,
			height: 130,
			lines: [line(c, 'resident', 'mem'), line(c, 'charged, descendants too', 'mem_tree')],
		}),
		new Plot('Run queue p99', { format: span, height: 130, lines: [line(c, 'p99', 'runq')] }),
		new Plot('Pressure', {
			format: percent,
			height: 130,
			lines: [line(c, 'CPU', 'psi_cpu'), line(c, 'memory', 'psi_mem'), line(c, 'I/O', 'psi_io')],
		}),
		new Plot('Disk and network', {
			format: rate,
			height: 130,
			lines: [
				line(c, 'read', 'io_read'),
				line(c, 'write', 'io_write'),
				line(c, 'receive', 'rx'),
				line(c, 'send', 'tx'),
			],
		}),
	];
	const figures = h('div'),
		news = h('ol', { class: 'news' });
	return {
		id: c.id,
		plots,
		element: h(
			'aside',
			{ class: 'detail', 'aria-label': `Details of ${c.path}` },
			h(
				'div',
				{ class: 'sheet-head' },
				h('h2', { class: 'wrap' }, c.path),
				h(
					'button',
					{ type: 'button', class: 'icon', 'aria-label': 'Close details', onclick: close },
					'×',
				),
			),
			h(
				'p',
				{ class: 'small muted' },
				c.v1 ? 'cgroup v1' : 'cgroup v2',
				'. What holds for it: ',
				h('code', null, `waveos-bpf policy explain ${c.path}`),
			),
			plots.map((p) => p.element),
			h('h3', null, 'Records of it'),
			news,
			h('h3', null, 'All figures'),
			figures,
		),
		update() {
			for (const p of plots) p.draw();
			const rows =
				c.row && store.at === null
					? Object.keys(store.columns)
							.filter((n) => typeof c.row[store.columns[n]] === 'number')
							.map((n) => [plain(n), worded(n, column(c, n))])
					: null;
			const of = log.events
				.filter((e) => e.cgroup === c.path)
				.slice(-6)
				.reverse();
			news.replaceChildren(
				...(of.length
					? of.map((e) =>
							h(
								'li',
								null,
								h(
									'button',
									{ type: 'button', class: 'row', onclick: () => openRecord(e) },
									h('span', { class: 'muted' }, e.type),
									h('span', { class: 'grow' }, tell(e)),
								),
							),
						)
					: [h('li', { class: 'muted quiet' }, 'none among those that are loaded')]),
			);
			figures.replaceChildren(
				rows
					? table('All figures', [['Figure'], ['Now', 'num']], rows)
					: h('p', { class: 'muted' }, c.row ? 'Only at the newest sample.' : 'It is gone.'),
			);
		},
		close() {
			for (const p of plots) p.close();
		},
	};
}

export function cgroups(go, id) {
	let open = null,
		wanted = id;
	const side = h('div', { class: 'side' }),
		box = h('div', { class: 'split' });
	const shut = () => {
		open?.close();
		open = null;
		side.replaceChildren();
		box.classList.remove('open');
		list.opened = false;
		history.replaceState(null, '', '#/cgroups');
		list.box.focus();
	};
	const show = (c) => {
		if (open?.id === c.id) return;
		open?.close();
		open = detail(c, shut);
		side.replaceChildren(open.element);
		box.classList.add('open');
		open.update();
		history.replaceState(null, '', `#/cgroups/${encodeURIComponent(c.id)}`);
	};
	const list = new Cgroups(show);
	const field = h('input', {
		type: 'search',
		id: 'search',
		placeholder: 'part of a path  /',
		'aria-label': 'Filter cgroups',
		oninput: (e) => {
			list.search(e.target.value);
			said();
		},
	});
	const number = h('span', { class: 'muted', role: 'status' });
	const said = () =>
		put(
			number,
			list.filter ? `${list.order.length} of ${store.total}` : `${list.order.length} cgroups`,
		);
	box.append(list.box, side);
	return {
		element: h(
			'div',
			{ class: 'view fill' },
			h('h1', { class: 'away' }, 'Cgroups'),
			h(
				'div',
				{ class: 'bar' },
				field,
				number,
				h('span', { class: 'grow' }),
				h('span', { class: 'small muted' }, 'own tasks, without descendants'),
			),
			box,
		),
		update() {
			list.update();
			said();
			if (wanted && store.cgroups.has(wanted)) {
				list.chosen = wanted;
				list.update();
				list.opened = true;
				show(store.cgroups.get(wanted));
				wanted = null;
				list.move(0);
			}
			if (open && performance.now() - (open.drawn ?? 0) > 400) {
				open.drawn = performance.now();
				open.update();
			}
		},
		move: (n) => {
			list.box.focus({ preventScroll: true });
			list.move(n);
		},
		enter: () => list.choose(list.at, true),
		focus: () => list.box.focus(),
		escape: () => {
			if (!open) return false;
			shut();
			return true;
		},
		close() {
			list.close();
			open?.close();
		},
	};
}
