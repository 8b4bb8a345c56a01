// SPDX-License-Identifier: GPL-2.0-only
// The agent itself: what it costs, what it lost, which worker lives.
import { bytes, card, count, fill, h, note, percent, put, span, table } from '/assets/dom.js';
import { oldest, store } from '/assets/store.js';
import { Plot } from '/assets/plot.js';

/** Own figures, kept by sample as those of cgroups are. */
const kept = { tick: -1, cpu: [], memory: [], sense: [], dropped: [] };
export function keep() {
	const o = store.overview,
		b = store.overviewBefore,
		k = store.n - 1;
	if (!o || k < 0 || kept.tick === k) return;
	kept.tick = k;
	const at = k % store.cap,
		wall = b ? o.wall_ns - b.wall_ns : 0;
	kept.cpu[at] = wall > 0 ? ((o.self.cpu_ns - b.self.cpu_ns) / wall) * 1e6 : NaN;
	kept.memory[at] = o.self.pss_bytes || o.self.rss_bytes;
	kept.sense[at] = o.self.sense_ns;
	kept.dropped[at] = o.events.reduce((s, e) => s + e.dropped, 0);
}
const get = (name) => (k) =>
	k >= oldest() && kept[name][k % store.cap] !== undefined ? kept[name][k % store.cap] : NaN;

function programs(o) {
	const all = o.uptime_ns;
	const of = o.programs
		.map((p) => ({ ...p, mean: p.run_count ? p.run_ns / p.run_count : 0 }))
		.sort((a, b) => b.run_ns - a.run_ns);
	const measured = of.some((p) => p.run_count);
	return card(
		'BPF programs',
		null,
		measured
			? null
			: note(
					'The kernel has not measured them yet: it does for one tick in 30 (collect.program_stats).',
				),
		table(
			'BPF programs',
			[
				['Program'],
				['Runs', 'num'],
				['Mean', 'num'],
				['Share of a CPU', 'num'],
				['Missed', 'num'],
				['Instructions verified', 'num'],
			],
			of.map((p) => [
				p.name,
				count(p.run_count),
				p.run_count ? span(p.mean) : '–',
				p.run_count ? percent((p.run_ns / all) * 1e6) : '–',
				count(p.misses),
				count(p.verified_insns),
			]),
			'No program is loaded: figures come from files.',
		),
	);
}
function tables(o) {
	return [
		h(
			'div',
			{ class: 'two even' },
			card(
				'Workers',
				null,
				table(
					'Workers',
					[['Worker'], ['Process', 'num'], ['Restarts', 'num']],
					o.workers.map((w) => [
						w.name,
						w.pid ? String(w.pid) : 'not configured',
						h('span', { class: w.restarts ? 'bad' : '' }, w.restarts),
					]),
				),
			),
			card(
				'Events: produced = consumed + dropped',
				null,
				table(
					'Events',
					[['Source'], ['Produced', 'num'], ['Consumed', 'num'], ['Dropped', 'num']],
					o.events.map((e) => [
						e.source,
						count(e.produced),
						count(e.consumed),
						h('span', { class: e.dropped ? 'bad' : '' }, count(e.dropped)),
					]),
				),
			),
		),
		card(
			'Failures, by place',
			null,
			table(
				'Failures',
				[['Place'], ['What'], ['Count', 'num'], ['Last errno', 'num']],
				o.losses.map((l) => [l.place, l.what, count(l.count), String(l.errno)]),
				'None.',
			),
		),
		programs(o),
	];
}
export function agent() {
	const plots = [
		new Plot('CPU of the agent', {
			format: percent,
			height: 120,
			lines: [{ name: 'of one CPU', get: get('cpu') }],
		}),
		new Plot('Memory of the agent', {
			format: bytes,
			height: 120,
			lines: [{ name: 'proportional', get: get('memory') }],
		}),
		new Plot('Duration of a tick', {
			format: span,
			height: 120,
			lines: [{ name: 'tick', get: get('sense') }],
		}),
		new Plot('Events lost', {
			format: count,
			height: 120,
			lines: [{ name: 'since the start', get: get('dropped') }],
		}),
	];
	const sub = h('p', { class: 'muted mono wrap' }),
		trouble = note(),
		body = h('div', { class: 'stack' });
	let drawn = -Infinity;
	return {
		element: h(
			'div',
			{ class: 'view' },
			h('h1', null, 'Agent'),
			sub,
			trouble,
			h(
				'div',
				{ class: 'four' },
				plots.map((p) => p.element),
			),
			body,
		),
		update() {
			const o = store.overview;
			if (!o) return;
			for (const p of plots) p.draw();
			put(
				sub,
				`version ${o.waveos_version}, run ${o.run_id}, up ${span(o.uptime_ns)}, boot ${o.boot_id}, bundle ${(o.bundle_id || 'none').slice(0, 12)}`,
			);
			const said = [
				o.log_errno ? `the log cannot be written (errno ${o.log_errno})` : '',
				o.enforce_errno ? `limits cannot be set (errno ${o.enforce_errno})` : '',
				o.self.records_failed ? `${o.self.records_failed} records could not be written` : '',
				o.armed ? '' : 'actions are stopped by the kill switch',
				...Object.entries(o.drift)
					.filter(([, n]) => n)
					.map(([k, n]) => `${n} ${k} differ${n === 1 ? 's' : ''} from the run before`),
			].filter(Boolean);
			put(trouble, said.length ? said.join('; ') + '.' : '');
			trouble.hidden = !said.length;
			if (
				performance.now() - drawn < 3000 ||
				body.contains(document.activeElement) ||
				body.matches(':hover')
			)
				return;
			drawn = performance.now();
			fill(body, tables(o));
		},
		close() {
			for (const p of plots) p.close();
		},
	};
}
