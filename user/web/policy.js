// SPDX-License-Identifier: GPL-2.0-only
// The policy in force: what it says, and what of it holds at the moment.
import { badge, card, count, fill, h, note, put, span, state, table } from '/assets/dom.js';
import { askFor, store } from '/assets/store.js';
import { breakerState, follow } from '/assets/events.js';

const EVERY = 2000;
const text = (v) =>
	v === null || v === undefined
		? '–'
		: Array.isArray(v)
			? v.map(text).join(', ')
			: typeof v === 'object'
				? Object.entries(v)
						.map(([k, w]) => `${k} ${text(w)}`)
						.join(', ')
				: String(v);
const scope = (d) => text(d.scope ?? d.cgroup);
function states(r) {
	const of = r.states ?? r.open ?? [];
	if (Array.isArray(of) && of.length)
		return of.map((s) => h('div', null, state(s.state ?? 'open'), ' ', s.cgroup ?? s.domain ?? ''));
	return state(r.state ?? (r.open ? 'open' : 'closed'));
}
function sections(p) {
	const out = [];
	if (p.domains)
		out.push(
			card(
				'Domains and modes',
				null,
				table(
					'Domains',
					[['Domain'], ['Mode'], ['Scope'], ['Cgroups', 'num']],
					p.domains.map((d) => [d.name, state(d.mode), scope(d), text(d.cgroups)]),
					'The policy has no domain.',
				),
			),
		);
	if (p.rules)
		out.push(
			card(
				'Rules',
				null,
				table(
					'Rules',
					[['Rule'], ['State'], ['If'], ['Then'], ['Domain'], ['Severity']],
					p.rules.map((r) => [
						r.name,
						states(r),
						h('code', null, text(r.if ?? r.condition)),
						text(r.then),
						text(r.domain),
						text(r.severity),
					]),
					'The policy has no rule.',
				),
			),
		);
	if (p.breakers)
		out.push(
			card(
				'Breakers in the kernel',
				null,
				table(
					'Breakers',
					[
						['Breaker'],
						['State'],
						['Domain'],
						['Kind'],
						['Does'],
						['Limit', 'num'],
						['For', 'num'],
					],
					p.breakers.map((b) => [
						b.name,
						state(b.state ?? breakerState(b.name) ?? 'closed'),
						text(b.domain ?? b.cgroup),
						text(b.kind),
						text(b.action),
						b.limit === undefined ? '–' : count(b.limit),
						b.per_ns ? span(b.per_ns) : '–',
					]),
					'The policy has no breaker.',
				),
			),
		);
	if (p.gates?.length)
		out.push(
			card(
				'Gates',
				null,
				table(
					'Gates',
					[['Gate'], ['Mode'], ['Domain'], ['Kind']],
					p.gates.map((g) => [g.name, state(g.mode), text(g.domain), text(g.kind)]),
				),
			),
		);
	if (p.budgets)
		out.push(
			card(
				'Budgets',
				null,
				table(
					'Budgets',
					[['Budget'], ['In force'], ['Cgroup'], ['If'], ['Limits']],
					p.budgets.map((b) => [
						b.name,
						b.in_force === undefined
							? '–'
							: badge(b.in_force ? 'in force' : 'watching', b.in_force ? 'warn' : 'good'),
						text(b.cgroup ?? b.cgroups),
						h('code', null, text(b.condition ?? b.if ?? 'always')),
						text(b.limits),
					]),
					'The policy has no budget.',
				),
			),
		);
	return out;
}
export function policy() {
	const name = h('h1'),
		sub = h('p', { class: 'muted mono wrap' }, ''),
		numbers = h('div', { class: 'tiles small' }),
		body = h('div', { class: 'stack' });
	const tile = (title) => {
		const v = h('b', { class: 'num' });
		numbers.append(h('div', { class: 'tile' }, h('span', { class: 'title' }, title), v));
		return v;
	};
	const rules = tile('Rules open'),
		budgets = tile('Budgets in force'),
		breakers = tile('Breakers in force'),
		held = tile('Cgroups held'),
		armed = tile('Actions'),
		refused = tile('Reloads refused'),
		first = tile('First limit after');
	let asked = 0,
		shown = '';
	async function load() {
		follow(); // the state of breakers is in their records
		if (performance.now() - asked < EVERY && asked) return;
		asked = performance.now();
		const { data, error } = await askFor('policy'),
			key = JSON.stringify(data ?? error);
		if (key === shown) return;
		shown = key;
		if (error) {
			asked += 15000;
			fill(
				body,
				note(
					`What the policy says in detail is not here: ${error.message}. In a terminal: `,
					h('code', null, 'waveos-bpf status'),
					', ',
					h('code', null, 'waveos-bpf policy explain CGROUP'),
					'.',
				),
			);
		} else {
			if (data.sha256)
				put(
					sub,
					`sha256 ${data.sha256}${data.file ? '  ' + data.file : ''}${data.description ? '  ' + data.description : ''}`,
				);
			fill(body, sections(data.policy ?? data));
		}
	}
	return {
		element: h('div', { class: 'view' }, name, sub, numbers, body),
		update() {
			const o = store.overview,
				c = o?.counts;
			if (!o) return;
			put(name, o.policy_version ? `Policy ${o.policy_version}` : 'No policy is in force');
			put(rules, `${c.rules_open} (${c.rules} rules)`);
			put(budgets, `${c.budgets_in_force} of ${c.budgets}`);
			put(breakers, String(c.breakers_in_force));
			put(held, String(c.held));
			put(armed, o.armed ? 'allowed' : 'stopped');
			armed.className = 'num ' + (o.armed ? '' : 'bad');
			put(refused, `${c.policies_refused} (${c.policies_taken} taken)`);
			put(first, o.first_limit_ns ? span(o.first_limit_ns) : 'none yet');
			load();
		},
	};
}
