// SPDX-License-Identifier: GPL-2.0-only
// Who hurts whom, as the agent ranks it (user/flow/harm.h): a waiting is measured, whose fault it is is inferred from who
// took what the victim waited for. One culprit with its victims, the worst first.
import { bytes, h } from '/assets/dom.js';
import { current, harmsOf, store } from '/assets/store.js';

const KINDS = { cpu: 'CPU', memory: 'memory', io: 'disk' };
const took = (g) =>
	g.unit === 'cpus'
		? `takes ${g.culprit_took.toFixed(2)} CPUs`
		: g.unit === 'bytes_per_second'
			? `takes ${bytes(g.culprit_took)}/s`
			: `has ${g.culprit_took.toFixed(1)} requests in flight`;
const ofSecond = (ns, f) => Math.round((1000 * ns) / f.span_ns);

/** [{...harm, victims: [harm]}] by culprit (a limit: by whose it is), worst first. */
export function groups(found, limit = 4) {
	const of = new Map();
	for (const f of found) {
		const key = [f.kind, f.cause, f.culprit_id, f.culprit].join(' ');
		if (!of.has(key)) of.set(key, { ...f, victims: [], score: 0 });
		of.get(key).victims.push(f);
		of.get(key).score += (f.blamed_ns / f.span_ns) * f.lost_permille;
	}
	return [...of.values()].sort((a, b) => b.score - a.score).slice(0, limit);
}

export function hurts(open) {
	const list = h('ol', { class: 'hurts' });
	const link = (id, path) => {
		const c = store.cgroups.get(id + path);
		return c
			? h('button', { type: 'button', class: 'link', title: path, onclick: () => open(c) }, path)
			: h('span', { title: path }, path);
	};
	const victim = (f) =>
		h(
			'div',
			{ class: 'victim' },
			h('span', { class: 'arrow', role: 'img', 'aria-label': 'hurts' }, '→'),
			link(f.victim_id, f.victim),
			h(
				'span',
				{ class: 'small muted' },
				f.cause === 'limit'
					? `waits ${ofSecond(f.blamed_ns, f)} ms a second for that limit`
					: `waits ${ofSecond(f.blamed_ns, f)} of its ${ofSecond(f.wait_ns, f)} ms a second for it`,
			),
		);
	const line = (g) =>
		h(
			'span',
			{ class: 'line' },
			link(g.culprit_id, g.culprit),
			h('span', { class: 'badge' }, KINDS[g.kind] ?? g.kind),
			h(
				'span',
				{ class: 'small muted' },
				g.cause === 'limit'
					? 'its own limit is reached'
					: `${took(g)}, ${Math.round(g.share_permille / 10)} % of all; confidence ${g.confidence}`,
			),
		);
	return {
		element: h(
			'section',
			{ class: 'card', 'aria-label': 'Who hurts whom' },
			h('h2', null, 'Who hurts whom'),
			list,
			h(
				'p',
				{ class: 'small muted' },
				'Waiting is measured, over up to five seconds. Whose fault it is, is inferred from who took what was waited for.',
			),
		),
		update() {
			const harms = harmsOf(current());
			const found = groups(harms ?? []);
			list.replaceChildren(
				...(found.length
					? found.map((g) =>
							h(
								'li',
								null,
								line(g),
								g.victims.slice(0, 3).map(victim),
								g.victims.length > 3
									? h('span', { class: 'small muted' }, `and ${g.victims.length - 3} more`)
									: null,
							),
						)
					: [
							h(
								'li',
								{ class: 'muted quiet' },
								harms ? 'Nobody is hurt by anybody.' : 'This agent does not tell.',
							),
						]),
			);
		},
	};
}
