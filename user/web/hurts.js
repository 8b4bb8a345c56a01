// SPDX-License-Identifier: GPL-2.0-only
// Who hurts whom: whose tasks stand still for want of a resource, and who uses most of it meanwhile. It is a
// ranking by shares, not a proof: the figures stand beside it.
import { bytes, cpus, h, percent, rate } from '/assets/dom.js';
import { current, present, value } from '/assets/store.js';

const LEAST = 10000; // 1 % of the time
const OVER = 5; // samples: one alone jumps
const RESOURCES = [
	{
		name: 'CPU',
		stall: 'wait',
		use: 'cpu',
		least: 50000,
		waits: (v) => `waits ${(v / 1e6).toFixed(2)} s each second`,
		uses: (v) => `uses ${cpus(v)} CPUs`,
	},
	{
		name: 'memory',
		stall: 'reclaim',
		use: 'mem',
		least: 1 << 20,
		waits: (v) => `${percent(v)} of the time in reclaim`,
		uses: (v) => `holds ${bytes(v)}`,
	},
	{
		name: 'disk',
		stall: 'psi_io',
		use: 'io',
		least: 65536,
		waits: (v) => `stalls ${percent(v)} of the time`,
		uses: (v) => `moves ${rate(v)}`,
	},
];
const mean = (c, name, k) => {
	let sum = 0,
		n = 0;
	for (let i = k; i > k - OVER; i--) {
		const v = value(c, name, i);
		if (!Number.isNaN(v)) {
			sum += v;
			n++;
		}
	}
	return n ? sum / n : 0;
};

/** One culprit with all its victims of that resource, worst first. */
export function groups(found, limit = 4) {
	const of = new Map();
	for (const f of found) {
		const key = f.resource.name + f.culprit.id;
		if (!of.has(key)) of.set(key, { ...f, victims: [], score: 0 });
		of.get(key).victims.push(f);
		of.get(key).score += f.score;
	}
	return [...of.values()].sort((a, b) => b.score - a.score).slice(0, limit);
}
/** [{resource, victim, stall, culprit, use, share, score}], worst first. */
export function ranking(k = current(), limit = 12) {
	const all = present(k).filter((c) => value(c, 'tasks', k) > 0 && c.path !== '/'),
		out = [];
	for (const r of RESOURCES) {
		const users = all
			.map((c) => ({ c, use: mean(c, r.use, k) }))
			.filter((u) => u.use > 0)
			.sort((a, b) => b.use - a.use);
		const total = users.reduce((s, u) => s + u.use, 0);
		const useOf = new Map(users.map((u) => [u.c, u.use]));
		for (const victim of all) {
			const stall = mean(victim, r.stall, k);
			if (stall < LEAST) continue;
			const worst = users.find((u) => u.c !== victim && u.use >= r.least && !below(u.c, victim));
			if (!worst) continue;
			const own = useOf.get(victim) ?? 0;
			out.push({
				resource: r,
				victim,
				stall,
				culprit: worst.c,
				use: worst.use,
				share: worst.use / total,
				self: own > worst.use,
				score: stall * (worst.use / total),
			});
		}
	}
	return out.sort((a, b) => b.score - a.score).slice(0, limit);
}
const below = (c, parent) => c.path.startsWith(parent.path + '/');

export function hurts(open) {
	const list = h('ol', { class: 'hurts' });
	const link = (c) =>
		h('button', { type: 'button', class: 'link', title: c.path, onclick: () => open(c) }, c.path);
	const victim = (f) =>
		h(
			'div',
			{ class: 'victim' },
			h('span', { class: 'arrow', role: 'img', 'aria-label': 'hurts' }, '→'),
			link(f.victim),
			h(
				'span',
				{ class: 'small muted' },
				f.resource.waits(f.stall) + (f.self ? ', most for itself' : ''),
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
				'Culprits by their share of the resource, victims by the time that their tasks stand still, over five samples. A ranking by shares, no proof of cause.',
			),
		),
		update() {
			const found = groups(ranking());
			list.replaceChildren(
				...(found.length
					? found.map((g) =>
							h(
								'li',
								null,
								h(
									'span',
									{ class: 'line' },
									link(g.culprit),
									h('span', { class: 'badge' }, g.resource.name),
									h(
										'span',
										{ class: 'small muted' },
										`${g.resource.uses(g.use)}, ${Math.round(g.share * 100)} % of all`,
									),
								),
								g.victims.slice(0, 3).map(victim),
								g.victims.length > 3
									? h('span', { class: 'small muted' }, `and ${g.victims.length - 3} more`)
									: null,
							),
						)
					: [h('li', { class: 'muted quiet' }, 'Nobody waits for more than 1 % of the time.')]),
			);
		},
	};
}
