// SPDX-License-Identifier: GPL-2.0-only
// Runs that were recorded, and the figures of a cgroup in one of them.
import { bytes, clock, count, date, fill, h, note, percent, table } from '/assets/dom.js';
import { askFor, has, store } from '/assets/store.js';
import { color } from '/assets/plot.js';

const FIGURES = {
	'CPU used': ['cpu_usage_ns', 1e-3, percent],
	'CPU wait': ['cpu_run_delay_ns', 1e-3, percent],
	'Memory resident': ['mem_rss_bytes', 0, bytes],
	Threads: ['task_threads', 0, count],
	'Network sent': ['net_tx_bytes', 1, bytes],
};

/**
 * Counters become changes a second; times are nanoseconds. A path can be in both hierarchies: of two rows of
 * one moment the larger counts.
 */
function shape(data, name, factor) {
	const at = Object.fromEntries(data.columns.map((c, i) => [c, i])),
		of = new Map();
	for (const r of data.rows) {
		const t = r[at.wall_ns ?? at.mono_ns] / 1e9;
		of.set(t, Math.max(of.get(t) ?? 0, r[at[name]] ?? 0));
	}
	const x = [...of.keys()].sort((a, b) => a - b),
		v = x.map((t) => of.get(t));
	if (!factor) return [x, v];
	return [
		x,
		v.map((n, i) => (i ? Math.max(0, ((n - v[i - 1]) / (x[i] - x[i - 1])) * factor) : null)),
	];
}
export function runs() {
	const body = h('div', { class: 'stack' }),
		where = h('div', { class: 'card' });
	let loaded = false,
		chart = null;
	async function draw(run, cgroup, title) {
		const [name, factor, format] = FIGURES[title];
		const { data, error } = await askFor('history', {
			run: run.run_id ?? run.id,
			cgroup,
			columns: name,
		});
		chart?.destroy();
		chart = null;
		if (error || !data.rows?.length)
			return fill(
				where,
				note(error ? `No history: ${error.message}.` : 'That cgroup has no rows in that run.'),
			);
		const box = h('div', {
			class: 'plot',
			role: 'img',
			'aria-label': `${title} of ${cgroup} in ${run.run_id ?? run.id}`,
		});
		fill(where, h('h2', null, `${title} of ${cgroup}`), box);
		const text = getComputedStyle(document.documentElement).getPropertyValue('--muted').trim();
		const axis = {
			stroke: text,
			font: '11px system-ui, sans-serif',
			grid: {
				stroke: getComputedStyle(document.documentElement).getPropertyValue('--line').trim(),
				width: 1,
			},
		};
		chart = new uPlot(
			{
				width: box.clientWidth,
				height: 220,
				legend: { show: false },
				series: [{}, { stroke: color(0), width: 1.5, fill: color(0) + '22' }],
				axes: [
					{ ...axis, values: (_u, at) => at.map((t) => clock(t * 1e9)), space: 84 },
					{ ...axis, size: 66, values: (_u, at) => at.map(format) },
				],
			},
			shape(data, name, factor),
			box,
		);
	}
	async function load() {
		loaded = true;
		const { data, error } = await askFor('runs');
		if (error)
			return fill(
				body,
				note(
					`Recorded runs are not here: ${error.message}. In a terminal: `,
					h('code', null, 'waveos-bpf report --list'),
					'.',
				),
			);
		const list = data.runs ?? [];
		if (!list.length) return fill(body, note('No run is recorded yet.'));
		const id = (r) => r.run_id ?? r.id;
		const run = h(
			'select',
			{ id: 'run', 'aria-label': 'Run' },
			list.map((r) => h('option', { value: id(r) }, id(r))),
		);
		const paths = h(
			'datalist',
			{ id: 'paths' },
			[...new Set([...store.cgroups.values()].map((c) => c.path))]
				.slice(0, 500)
				.map((p) => h('option', { value: p })),
		);
		const cgroup = h('input', {
			type: 'text',
			id: 'of',
			value: '/',
			list: 'paths',
			'aria-label': 'Cgroup',
		});
		const figure = h(
			'select',
			{ id: 'figure', 'aria-label': 'Figure' },
			Object.keys(FIGURES).map((f) => h('option', null, f)),
		);
		const go = () =>
			draw(
				list.find((r) => id(r) === run.value),
				cgroup.value,
				figure.value,
			);
		for (const e of [run, cgroup, figure]) e.addEventListener('change', go);
		fill(
			body,
			table(
				'Recorded runs',
				[['Run'], ['Begin'], ['End'], ['Records', 'num'], ['Report']],
				list.map((r) => [
					id(r),
					date(r.begin_wall_ns ?? r.begin),
					(r.end_wall_ns ?? r.end) ? date(r.end_wall_ns ?? r.end) : 'goes on',
					r.records === undefined ? '–' : count(r.records),
					has('report')
						? h('a', { href: `/api/v1/report?run=${encodeURIComponent(id(r))}` }, 'report')
						: '–',
				]),
			),
			h(
				'div',
				{ class: 'bar' },
				run,
				cgroup,
				paths,
				figure,
				h('button', { type: 'button', onclick: go }, 'Plot'),
			),
			where,
		);
		go();
	}
	return {
		element: h('div', { class: 'view' }, h('h1', null, 'Recorded runs'), body),
		update() {
			if (!loaded && store.overview) load();
		},
		close() {
			chart?.destroy();
		},
	};
}
