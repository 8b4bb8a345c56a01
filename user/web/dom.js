// SPDX-License-Identifier: GPL-2.0-only
// Elements and words. Text of the agent reaches the document as text only: nothing here parses HTML.

export const $ = (id) => document.getElementById(id);

/** h('a', {href: '#x', class: 'y', onclick: f, 'aria-label': 'z'}, 'text', child, ...) */
export function h(tag, attrs, ...children) {
	const e = document.createElement(tag);
	for (const [k, v] of Object.entries(attrs ?? {})) {
		if (v === null || v === undefined || v === false) continue;
		if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
		else if (k === 'class') e.className = v;
		else e.setAttribute(k, v === true ? '' : String(v));
	}
	add(e, children);
	return e;
}
export function add(e, children) {
	for (const c of children.flat(Infinity)) {
		if (c === null || c === undefined || c === false) continue;
		e.append(c instanceof Node ? c : document.createTextNode(String(c)));
	}
	return e;
}
export const fill = (e, ...children) => {
	e.replaceChildren();
	return add(e, children);
};
/** Sets text only where it differs: an unchanged cell costs no layout. */
export const put = (e, text) => {
	if (e.textContent !== text) e.textContent = text;
};

const three = (v) => (v < 9.995 ? v.toFixed(2) : v < 99.95 ? v.toFixed(1) : v.toFixed(0));
function scaled(v, step, units) {
	let u = 0;
	while (v >= step * 0.9995 && u + 1 < units.length) {
		v /= step;
		u++;
	}
	return (u ? three(v) : v.toFixed(0)) + units[u];
}
const none = (v) => v === null || v === undefined || Number.isNaN(v);
const or = (f) => (v) => (none(v) ? '–' : f(v));
export const bytes = or((v) => scaled(v, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB']));
export const rate = or((v) => (v ? bytes(v) + '/s' : '0'));
export const count = or((v) => scaled(v, 1000, ['', 'k', 'M', 'G', 'T']));
/** Millionths as percent. */
export const percent = or((v) => {
	const p = v / 1e4;
	return (p === 0 ? '0' : p < 9.95 ? p.toFixed(p < 0.995 ? 2 : 1) : p.toFixed(0)) + ' %';
});
export const cpus = or((v) => (v / 1e6).toFixed(2));
export const span = or((ns) => {
	if (ns <= 0) return '0';
	if (ns < 1e9) return scaled(ns, 1000, [' ns', ' µs', ' ms']);
	const s = Math.floor(ns / 1e9);
	if (s < 60) return (ns / 1e9).toFixed(1) + ' s';
	if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
	if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
	return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
});
const two = (n) => String(n).padStart(2, '0');
export const clock = or((ns) => {
	const d = new Date(ns / 1e6);
	return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
});
export const date = or((ns) => {
	const d = new Date(ns / 1e6);
	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ns)}`;
});

/** A box with a heading; kids go below it. */
export const card = (title, attrs, ...kids) =>
	h('section', { class: 'card', ...attrs }, h('h2', null, title), kids);
export const note = (...text) => h('p', { class: 'note' }, text);

/** A plain table: heads are [title, 'num'?], rows are arrays of text or nodes. */
export function table(caption, heads, rows, empty) {
	return h(
		'div',
		{ class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
		h(
			'table',
			null,
			h('caption', { class: 'away' }, caption),
			h(
				'thead',
				null,
				h(
					'tr',
					null,
					heads.map(([t, k]) => h('th', { scope: 'col', class: k }, t)),
				),
			),
			h(
				'tbody',
				null,
				rows.length
					? rows.map((r) =>
							h(
								'tr',
								null,
								r.map((c, i) => h('td', { class: heads[i][1] }, c)),
							),
						)
					: h('tr', null, h('td', { colspan: heads.length, class: 'muted' }, empty ?? 'none')),
			),
		),
	);
}
export function badge(word, kind) {
	return h('span', { class: 'badge ' + (kind ?? '') }, word);
}
const KINDS = {
	normal: 'good',
	enforce: 'warn',
	closed: 'good',
	ok: 'good',
	healthy: 'good',
	open: 'bad',
	tripped: 'bad',
	'half-open': 'warn',
	pending: 'warn',
	degraded: 'warn',
	safe: 'bad',
	'safe-mode': 'bad',
};
export const state = (word) => badge(word ?? 'unknown', KINDS[word] ?? '');
