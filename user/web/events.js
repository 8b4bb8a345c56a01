// SPDX-License-Identifier: GPL-2.0-only
// Records of the log: loaded once, followed from there, told in words, drawn on a timeline.
import { add, badge, clock, date, h, note, put, span } from '/assets/dom.js';
import { askFor, has, store } from '/assets/store.js';
import { openRecord } from '/assets/record.js';

const GROUPS = {
	decisions: [
		'decision',
		'outcome',
		'alert',
		'mode',
		'limit-trip',
		'budget-overflow',
		'policy',
		'rules-adopted',
	],
	breakers: [
		'breaker-trip',
		'breaker-half-open',
		'breaker-close',
		'gate',
		'gate-deny',
		'gate-audit',
		'priority-corrected',
		'proxy-breaker',
	],
	actions: [
		'action',
		'action-outcome',
		'recovery',
		'request',
		'kill-switch',
		'service',
		'bundle-intent',
		'bundle-outcome',
	],
	trouble: [
		'oom-kill',
		'crash-loop',
		'task-hung',
		'io-error',
		'hw-error',
		'alloc-failure',
		'heartbeat-missed',
		'heartbeat-back',
		'accept-overflow',
		'config-drift',
		'records-lost',
	],
};
const STORY = Object.values(GROUPS).flat();
const GROUP_OF = Object.fromEntries(
	Object.entries(GROUPS).flatMap(([g, types]) => types.map((t) => [t, g])),
);
const KIND = {
	'breaker-trip': 'bad',
	'oom-kill': 'bad',
	'crash-loop': 'bad',
	'hw-error': 'bad',
	'io-error': 'bad',
	'gate-deny': 'bad',
	'records-lost': 'bad',
	'breaker-half-open': 'warn',
	'limit-trip': 'warn',
	action: 'warn',
	decision: 'warn',
	'breaker-close': 'good',
	'heartbeat-back': 'good',
};
const KEEP = 2000;

export const log = { events: [], last: 0, error: null, loaded: false };
let busy = false,
	asked = 0;

/** Loads what is new; at most once a second, whoever asks. */
export async function follow() {
	if (busy || Date.now() - asked < 1000 || !store.overview) return;
	if (log.error && log.error.status !== 0 && Date.now() - asked < 15000) return;
	busy = true;
	asked = Date.now();
	const query = { limit: log.loaded ? 1000 : 500, type: STORY.join(',') };
	if (log.loaded) query.after = log.last;
	const { data, error } = await askFor('events', query);
	busy = false;
	log.error = error ?? null;
	if (error) return;
	const events = data.events ?? [];
	log.loaded = true;
	// what was looked at, whether or not it fits the types
	log.last = Math.max(log.last, data.last ?? 0, ...events.map((e) => e.seq));
	if (!events.length) return;
	const known = log.events.length ? log.events[log.events.length - 1].seq : 0;
	log.events = log.events.concat(events.filter((e) => e.seq > known)).slice(-KEEP);
}
export const why = () =>
	log.error
		? `No records: ${log.error.message}.`
		: log.loaded
			? 'No records yet.'
			: 'Loading records …';

const who = (e) => e.cgroup ?? e.service ?? e.domain ?? e.name ?? '';
const named = (e) => e.rule ?? e.budget ?? e.breaker ?? e.gate ?? '';
const seen = (e) =>
	e.inputs?.[0]?.left !== undefined ? ` (${Number(e.inputs[0].left.toPrecision(3))})` : '';
const value = (e) =>
	e.value !== undefined && e.threshold !== undefined
		? `${e.signal ?? 'value'} ${e.value} ${e.comparison ?? 'against'} ${e.threshold}`
		: (e.condition ?? '') + seen(e);
/** One line about a record. */
export function tell(e) {
	switch (e.type) {
		case 'decision':
			return `${named(e)}: ${e.verdict}${e.dry_run ? ' (dry run)' : ''}${e.held_back ? ', held back: ' + e.held_back : ''}${value(e) ? ' – ' + value(e) : ''}`;
		case 'outcome':
			return (
				(e.actions ?? [])
					.map((a) =>
						typeof a === 'string'
							? a
							: [a.action ?? a.what ?? a.knob, a.outcome ?? a.result].filter(Boolean).join(' '),
					)
					.join(', ') || 'done'
			);
		case 'mode':
			return `${e.domain}: ${e.from} → ${e.to}`;
		case 'alert':
			return `${e.rule}: ${e.what}`;
		case 'policy':
			return `${e.name} is in force: ${e.rules} rules, ${e.budgets} budgets`;
		case 'breaker-trip':
			return `${e.breaker} tripped: ${e.count} in ${span(e.counted_ns)}, limit ${e.limit}`;
		case 'breaker-half-open':
			return `${e.breaker} lets a few through on trial`;
		case 'breaker-close':
			return `${e.breaker} is closed again, refused ${e.refused}`;
		case 'limit-trip':
			return `limit of ${e.limit} ${e.unit} refused ${e.refused}`;
		case 'action':
			return `${e.act}${e.dry_run ? ' (dry run)' : ''}${e.chain ? `, chain ${e.chain}` : ''}`;
		case 'action-outcome':
			return `${e.act}: ${e.outcome}${e.detail ? `, ${e.detail}` : ''}${e.took_ns ? ' in ' + span(e.took_ns) : ''}`;
		case 'recovery':
			return [e.event, e.act, e.reason].filter(Boolean).join(', ');
		case 'service':
			return [e.event, e.status !== undefined ? `status ${e.status}` : '', e.error]
				.filter(Boolean)
				.join(', ');
		case 'gate-deny':
		case 'gate-audit':
			return `${e.gate}: ${e.comm} (${e.pid}) ${e.kind} ${e.object}`;
		case 'crash-loop':
			return `${e.comm} ended badly ${e.exits} times in ${span(e.in_ns)}`;
		case 'oom-kill':
			return `${e.comm} (${e.pid}) was killed for want of memory`;
		case 'task-hung':
			return `${e.comm} (${e.pid}) sleeps uninterruptibly for ${span(e.blocked_ns)}`;
		case 'kill-switch':
			return e.armed ? 'actions are allowed again' : 'actions are stopped';
		default:
			return [e.what, e.reason, e.detail, e.message, e.event, e.outcome]
				.filter((v) => typeof v === 'string')
				.join(', ');
	}
}
const dot = (e) => badge(e.type, KIND[e.type]);

/** State of a breaker in the kernel, by its last record; undefined where none was loaded. */
export function breakerState(name) {
	const open = new Map();
	for (const e of log.events)
		if (e.breaker === name && e.type.startsWith('breaker-')) open.set(e.cgroup, e.type);
	if (!open.size) return undefined;
	const of = [...open.values()];
	return of.includes('breaker-trip')
		? 'open'
		: of.includes('breaker-half-open')
			? 'half-open'
			: 'closed';
}

/** A short list of the newest, for the first view. */
export function latest(n) {
	const list = h('ol', { class: 'news' });
	let shown = null;
	return {
		element: list,
		update() {
			follow();
			const of = log.events.slice(-n).reverse(),
				key = of.length ? of.map((e) => e.seq).join() : why();
			if (key === shown) return;
			shown = key;
			list.replaceChildren(
				...(of.length
					? of.map((e) =>
							h(
								'li',
								null,
								h(
									'button',
									{ type: 'button', class: 'row', onclick: () => openRecord(e) },
									h('span', { class: 'num muted' }, clock(e.wall_ns)),
									dot(e),
									h('span', { class: 'grow' }, tell(e), ' ', h('span', { class: 'muted' }, who(e))),
								),
							),
						)
					: [h('li', { class: 'muted quiet' }, why())]),
			);
		},
	};
}

/** What was in which state from when to when: [{name, kind, spans: [{from, to, state, event}], points}]. */
export function lanes(events, end) {
	const of = new Map();
	const lane = (name, kind) => {
		let l = of.get(name);
		if (!l) of.set(name, (l = { name, kind, spans: [], points: [], open: null }));
		return l;
	};
	const enter = (l, e, word) => {
		if (l.open) l.spans.push({ ...l.open, to: e.wall_ns });
		l.open = word ? { from: e.wall_ns, state: word, event: e } : null;
	};
	for (const e of events) {
		if (e.type === 'mode') {
			const l = lane(`mode of ${e.domain}`, 'mode');
			if (!l.open && !l.spans.length && e.from)
				l.open = { from: events[0].wall_ns, state: e.from, event: e };
			enter(l, e, e.to);
		} else if (e.type === 'breaker-trip')
			enter(lane(`${e.breaker} ${e.cgroup}`, 'breaker'), e, 'open');
		else if (e.type === 'breaker-half-open')
			enter(lane(`${e.breaker} ${e.cgroup}`, 'breaker'), e, 'half-open');
		else if (e.type === 'breaker-close')
			enter(lane(`${e.breaker} ${e.cgroup}`, 'breaker'), e, null);
		else if (e.type === 'decision') {
			const l = lane(`${named(e)} ${e.cgroup}`, 'decision');
			const state = { apply: 'applied', release: null, closed: null }[e.verdict];
			if (e.dry_run && state !== null) enter(l, e, 'dry run');
			else if (state !== undefined) enter(l, e, state);
			else if (e.verdict === 'open' || e.verdict === 'half-open') enter(l, e, e.verdict);
			else l.points.push(e);
		} else if (e.type === 'action' || e.type === 'action-outcome' || e.type === 'request')
			lane(`actions on ${who(e)}`, 'action').points.push(e);
		else if (GROUP_OF[e.type] === 'trouble') lane('trouble', 'trouble').points.push(e);
	}
	for (const l of of.values()) if (l.open) l.spans.push({ ...l.open, to: end, lasts: true });
	return [...of.values()].filter((l) => l.spans.length || l.points.length);
}

const SVG = 'http://www.w3.org/2000/svg';
function s(tag, attrs, text) {
	const e = document.createElementNS(SVG, tag);
	for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
	if (text !== undefined) e.textContent = text;
	return e;
}
const LANE = 24,
	NAMES = 250,
	MOST = 24;
const stateClass = (word) =>
	({ open: 'bad', applied: 'warn', 'half-open': 'warn', normal: 'good', 'dry run': 'dry' })[word] ??
	'mode';

function drawLanes(svg, all, from, to, width) {
	const shown = all.slice(-MOST),
		height = shown.length * LANE + 26,
		plot = width - NAMES - 12;
	const x = (t) => NAMES + ((Math.min(Math.max(t, from), to) - from) / (to - from)) * plot;
	svg.replaceChildren();
	svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
	svg.setAttribute('width', width);
	svg.setAttribute('height', height);
	const steps = Math.max(2, Math.floor(plot / 130));
	for (let i = 0; i <= steps; i++) {
		const t = from + ((to - from) * i) / steps,
			at = x(t);
		svg.append(
			s('line', { x1: at, x2: at, y1: 0, y2: height - 20, class: 'grid' }),
			s(
				'text',
				{
					x: at,
					y: height - 6,
					class: 'tick',
					'text-anchor': i === 0 ? 'start' : i === steps ? 'end' : 'middle',
				},
				clock(t),
			),
		);
	}
	shown.forEach((l, i) => {
		const y = i * LANE;
		const name = s(
			'text',
			{ x: 0, y: y + 16, class: 'lane' },
			l.name.length > 38 ? l.name.slice(0, 16) + '…' + l.name.slice(-21) : l.name,
		);
		name.append(s('title', {}, l.name));
		svg.append(
			s('line', { x1: NAMES, x2: width - 12, y1: y + 12, y2: y + 12, class: 'grid' }),
			name,
		);
		for (const p of l.spans) {
			if (p.to < from) continue;
			const a = x(p.from),
				b = Math.max(x(p.to), a + 3),
				r = s('rect', {
					x: a,
					y: y + 4,
					width: b - a,
					height: 16,
					rx: 3,
					class: 'span ' + stateClass(p.state),
				});
			r.append(
				s(
					'title',
					{},
					`${l.name}: ${p.state} from ${date(p.from)}${p.lasts ? ', still' : ' to ' + date(p.to)}`,
				),
			);
			r.addEventListener('click', () => openRecord(p.event));
			svg.append(r);
			if (b - a > 60) svg.append(s('text', { x: a + 6, y: y + 16, class: 'word' }, p.state));
		}
		for (const e of l.points) {
			if (e.wall_ns < from) continue;
			const c = s('circle', {
				cx: x(e.wall_ns),
				cy: y + 12,
				r: 5,
				class: 'point ' + (KIND[e.type] ?? 'mode'),
			});
			c.append(s('title', {}, `${date(e.wall_ns)} ${e.type}: ${tell(e)}`));
			c.addEventListener('click', () => openRecord(e));
			svg.append(c);
		}
	});
}

const RANGES = [
	['5 min', 300],
	['30 min', 1800],
	['6 h', 21600],
	['all', 0],
];
export function timeline() {
	let group = 'all',
		range = 1800,
		search = '',
		shown = '',
		at = -1;
	const svg = s('svg', {
		role: 'img',
		'aria-label': 'Modes, breakers and decisions over time; the table below has the same',
		class: 'lanes',
	});
	const box = h('div', { class: 'lanebox' }, svg),
		message = note();
	const body = h('tbody'),
		head = h(
			'thead',
			null,
			h(
				'tr',
				null,
				['Seq', 'Time', 'Type', 'What', 'Where'].map((t, i) =>
					h('th', { scope: 'col', class: i === 0 ? 'num' : '' }, t),
				),
			),
		);
	const choice = (name, list, get, set) =>
		h(
			'div',
			{ class: 'chips', role: 'group', 'aria-label': name },
			list.map(([text, v]) =>
				h(
					'button',
					{
						type: 'button',
						class: 'chip',
						'aria-pressed': String(get() === v),
						onclick: (ev) => {
							set(v);
							for (const b of ev.target.parentElement.children)
								b.setAttribute('aria-pressed', String(b === ev.target));
							shown = '';
							update();
						},
					},
					text,
				),
			),
		);
	const field = h('input', {
		type: 'search',
		id: 'search',
		placeholder: 'cgroup, rule, word  /',
		'aria-label': 'Filter records',
		oninput: (ev) => {
			search = ev.target.value.toLowerCase();
			shown = '';
			update();
		},
	});
	const list = h(
		'div',
		{ class: 'scroll tall', tabindex: 0, role: 'region', 'aria-label': 'Records' },
		h(
			'table',
			{ class: 'records' },
			h('caption', { class: 'away' }, 'Records, newest first'),
			head,
			body,
		),
	);
	function select(i) {
		const rows = [...body.children];
		at = Math.min(Math.max(i, 0), rows.length - 1);
		rows.forEach((r, j) => r.classList.toggle('on', j === at));
		rows[at]?.querySelector('button')?.focus();
	}
	function update() {
		follow();
		put(message, log.events.length ? '' : why());
		message.hidden = !message.textContent;
		const now = store.overview?.wall_ns ?? Date.now() * 1e6,
			first = log.events[0]?.wall_ns ?? now - 3e11;
		// no empty hours before the first record
		const begin = Math.min(first - 5e9, now - 6e10),
			from = range ? Math.max(now - range * 1e9, begin) : begin,
			width = Math.max(box.clientWidth, 640);
		if (log.events.length) drawLanes(svg, lanes(log.events, now), from, now, width);
		box.hidden = !log.events.length;
		const of = log.events
			.filter(
				(e) =>
					(group === 'all' || GROUP_OF[e.type] === group) &&
					(!range || e.wall_ns >= from) &&
					(!search || JSON.stringify(e).toLowerCase().includes(search)),
			)
			.slice(-300)
			.reverse();
		const key = of.map((e) => e.seq).join();
		if (key === shown) return;
		shown = key;
		at = -1;
		body.replaceChildren();
		add(
			body,
			of.length
				? of.map((e) =>
						h(
							'tr',
							null,
							h(
								'td',
								{ class: 'num' },
								h(
									'button',
									{
										type: 'button',
										class: 'link',
										'aria-label': `Record ${e.seq}`,
										onclick: () => openRecord(e),
									},
									e.seq,
								),
							),
							h('td', { class: 'time' }, clock(e.wall_ns)),
							h('td', null, dot(e)),
							h('td', { class: 'what', title: tell(e) }, tell(e)),
							h('td', { class: 'path', title: who(e) }, who(e)),
						),
					)
				: h(
						'tr',
						null,
						h(
							'td',
							{ colspan: 5, class: 'muted' },
							log.events.length ? 'No record of that kind in this time.' : why(),
						),
					),
		);
	}
	return {
		element: h(
			'div',
			{ class: 'view' },
			h('h1', null, 'Timeline'),
			message,
			h(
				'div',
				{ class: 'bar' },
				choice(
					'Kind',
					[['All', 'all'], ...Object.keys(GROUPS).map((g) => [g[0].toUpperCase() + g.slice(1), g])],
					() => group,
					(v) => {
						group = v;
					},
				),
				choice(
					'Time',
					RANGES,
					() => range,
					(v) => {
						range = v;
					},
				),
				field,
			),
			h('section', { class: 'card', 'aria-label': 'Lanes' }, box),
			list,
			has('events')
				? null
				: note('Records are also in ', h('code', null, 'waveos-bpf evidence log'), '.'),
		),
		update,
		move: (n) => select(at + n),
		opened: () => log.events.length,
	};
}
