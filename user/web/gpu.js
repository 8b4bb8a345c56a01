// SPDX-License-Identifier: GPL-2.0-only
// GPUs: what each device did, stacked over time; its meters; processes; what holds them back, in words.
import { bytes, card, count, fill, h, note, percent, span, table } from '/assets/dom.js';
import { askFor, store } from '/assets/store.js';
import { Plot } from '/assets/plot.js';

const KEEP = 600;
/** What a device's time is made of: [name, of recent]. Idle by its largest causes; the rest is one part. */
const PARTS = [
	['kernel', (r) => r.kernel_ns],
	['communication alone', (r) => r.exposed_ns],
	['copies alone', (r) => r.memory_ns],
	['idle: input', (r) => r.idle_cause_ns.input],
	['idle: not known', (r) => r.idle_cause_ns.unknown],
	['idle: other', (r) => r.idle_ns - r.idle_cause_ns.input - r.idle_cause_ns.unknown],
];
const part = (d, of) =>
	d?.recent?.window_ns ? (of(d.recent) / d.recent.window_ns) * 1e6 : Number.NaN;
const unless = (v, f) => (v === null || v === undefined ? '–' : f(v));
const causes = (ns, whole) =>
	Object.entries(ns)
		.filter(([, v]) => v && whole)
		.sort((a, b) => b[1] - a[1])
		.slice(0, 3)
		.map(([k, v]) => `${k} ${percent((v / whole) * 1e6)}`)
		.join(', ') || '–';
const advice = (d) => `${d.bottleneck}: ${d.advice}`;
const seen = (d) => (d.degraded ? `${d.level_words}; less than asked for: ${d.degraded_words}` : d.level_words);

function meters(devices) {
	return card(
		'Devices',
		null,
		table(
			'Devices',
			[
				['Device'],
				['Busy (NVML)', 'num'],
				['Memory', 'num'],
				['Power', 'num'],
				['Temperature', 'num'],
				['Kernels', 'num'],
				['Records lost', 'num'],
				['What holds back'],
				['Seen'],
			],
			devices.map((d) => [
				`${d.name || 'device'} ${d.uuid}`,
				unless(d.meter.busy_permille, (v) => percent(v * 1e3)),
				unless(d.meter.memory_used_bytes, bytes),
				unless(d.meter.power_mw, (v) => `${(v / 1e3).toFixed(0)} W`),
				unless(d.meter.temperature_c, (v) => `${v} °C`),
				count(d.total.kernels),
				count(d.total.dropped),
				advice(d),
				seen(d),
			]),
		),
	);
}
function processes(list) {
	return card(
		'Processes',
		null,
		table(
			'Processes',
			[
				['Process'],
				['Steps', 'num'],
				['Step', 'num'],
				['Confidence', 'num'],
				['Its training thread'],
				['What holds back'],
				['Seen'],
			],
			list.map((p) => [
				`${p.comm} (${p.pid})`,
				count(p.steps),
				p.step_ns ? span(p.step_ns) : '–',
				p.steps ? percent(p.confidence_permille * 1e3) : '–',
				causes(p.recent_cause_ns, p.recent_ns),
				advice(p),
				seen(p),
			]),
			'None reports: start it with waveos-bpf gpu run.',
		),
	);
}
function trouble(data) {
	return [
		data.age_ns > 1e10 ? `These figures are ${span(data.age_ns)} old.` : '',
		data.nvml ? '' : 'No meters: the library of NVML does not answer.',
		data.wakes ? '' : 'Waits are not explained: BPF for it is not loaded.',
	].filter(Boolean);
}

/** The page of GPUs as /api/v1/gpu has it (docs/gpu.md). */
export function gpu() {
	const plotted = h('div', { class: 'two even' }),
		said = note(),
		rest = h('div', { class: 'stack' }),
		body = h('div', { class: 'stack' }),
		past = new Map();
	let asked = Number.NEGATIVE_INFINITY,
		plots = [],
		key = '',
		closed = false;
	function draw(data) {
		const names = data.devices.map((d) => d.uuid).join();
		past.set(store.n - 1, data.devices);
		if (past.size > KEEP) past.delete(past.keys().next().value);
		if (!body.contains(rest)) fill(body, said, plotted, rest);
		if (key !== names) {
			key = names;
			for (const p of plots) p.close();
			plots = data.devices.map(
				(d, i) =>
					new Plot(`Time of ${d.name || 'device'} ${i}`, {
						format: percent,
						stacked: true,
						max: 1e6,
						lines: PARTS.map(([name, of]) => ({
							name,
							get: (k) => part(past.get(k)?.[i], of),
						})),
					}),
			);
			fill(
				plotted,
				plots.map((p) => p.element),
			);
		}
		for (const p of plots) p.draw();
		const words = trouble(data);
		said.hidden = !words.length;
		fill(said, words.join(' '));
		if (rest.contains(document.activeElement) || rest.matches(':hover')) return;
		fill(rest, meters(data.devices), processes(data.processes));
	}
	async function load() {
		asked = performance.now();
		const { data, error } = await askFor('gpu');
		if (closed) return;
		if (data?.available) return draw(data);
		fill(
			body,
			card(
				'No GPU figures',
				null,
				h('p', null, data?.reason ?? `Not here: ${error?.message}.`),
				h(
					'p',
					{ class: 'muted' },
					'Where the agent watches GPUs, each device shows here what its time went to, and why it was idle.',
				),
			),
		);
	}
	return {
		element: h('div', { class: 'view' }, h('h1', null, 'GPU'), body),
		update() {
			if (performance.now() - asked > (body.contains(rest) ? 900 : 10000)) load();
		},
		close() {
			closed = true;
			for (const p of plots) p.close();
		},
	};
}
