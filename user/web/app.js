// SPDX-License-Identifier: GPL-2.0-only
// The frame: views by the address behind #, the clock, the theme, the keyboard.
import { $, add, clock, fill, h, put, span } from '/assets/dom.js';
import { current, oldest, run, signIn, store, tell, timeOf, watch } from '/assets/store.js';
import { restyle, color } from '/assets/plot.js';
import { overview } from '/assets/overview.js';
import { cgroups } from '/assets/cgroups.js';
import { policy } from '/assets/policy.js';
import { timeline } from '/assets/events.js';
import { agent, keep } from '/assets/agent.js';
import { gpu } from '/assets/gpu.js';
import { runs } from '/assets/runs.js';

const go = (hash) => {
	location.hash = hash;
};
const VIEWS = [
	['', 'Overview', () => overview(go)],
	['cgroups', 'Cgroups', (id) => cgroups(go, id)],
	['policy', 'Policy', policy],
	['timeline', 'Timeline', timeline],
	['runs', 'Runs', runs],
	['gpu', 'GPU', gpu],
	['agent', 'Agent', agent],
];
let view = null,
	name = null;

const links = VIEWS.map(([id, title], i) =>
	h('a', { href: `#/${id}`, title: `${title} (${i + 1})` }, title),
);
add($('nav'), links);

function route() {
	const [, id = '', rest] = location.hash.split('/'),
		at = Math.max(
			0,
			VIEWS.findIndex(([n]) => n === id),
		);
	if (name === VIEWS[at][0] && view && !rest) return;
	view?.close?.();
	name = VIEWS[at][0];
	view = VIEWS[at][2](rest ? decodeURIComponent(rest) : undefined);
	links.forEach((l, i) => {
		if (i === at) l.setAttribute('aria-current', 'page');
		else l.removeAttribute('aria-current');
	});
	document.title = `${VIEWS[at][1]} – waveos-bpf`;
	$('main').replaceChildren(view.element);
	$('main').dataset.view = name || 'overview';
	draw();
}

function status() {
	const o = store.overview,
		pill = $('state'),
		e = store.error;
	const [word, kind] = e
		? e.status === 401 || e.status === 403
			? ['denied', 'bad']
			: e.status === 0
				? ['unreachable', 'bad']
				: ['waiting', 'warn']
		: !o
			? ['connecting', '']
			: store.at !== null
				? ['in the past', 'warn']
				: o.sample_age_ns > 3 * o.tick_interval_ns
					? ['stale', 'bad']
					: ['live', 'good'];
	put(pill, word);
	pill.className = 'pill ' + kind;
	pill.title = e ? e.message : o ? `tick ${o.tick}, every ${span(o.tick_interval_ns)}` : '';
	$('signin').hidden = !(e && (e.status === 401 || e.status === 403));
	if (!o) return;
	put($('host'), o.host);
	put($('about'), `waveos-bpf ${o.waveos_version}, run ${o.run_id}, tick ${o.tick}`);
}
function travel() {
	const scrub = $('scrub'),
		first = oldest(),
		last = Math.max(0, store.n - 1),
		k = current();
	scrub.min = first;
	scrub.max = last;
	scrub.value = k;
	$('live').setAttribute('aria-pressed', String(store.at === null));
	if (store.n === 0) return;
	const back = (timeOf(last) - timeOf(k)) / 1e9,
		words = store.at === null ? clock(timeOf(k)) : `${clock(timeOf(k))}, ${Math.round(back)} s ago`;
	put($('when'), words);
	scrub.setAttribute('aria-valuetext', words);
}
let asked = false;
function draw() {
	asked = false;
	status();
	travel();
	if (view && (store.n > 0 || store.error)) view.update();
	document.documentElement.dataset.ticks = store.n;
}
const soon = () => {
	if (!asked) {
		asked = true;
		requestAnimationFrame(draw);
	}
};
watch(() => {
	keep();
	if (document.hidden) {
		status();
		return;
	}
	soon();
});

function turn(k) {
	const last = store.n - 1;
	store.at = k >= last ? null : Math.max(oldest(), k);
	tell();
}
$('scrub').addEventListener('input', (e) => turn(Number(e.target.value)));
$('live').addEventListener('click', () => turn(Infinity));

function theme(dark) {
	document.documentElement.dataset.theme = dark ? 'dark' : 'light';
	color.kept = null;
	restyle();
}
const isDark = () => document.documentElement.dataset.theme === 'dark';
function toggle() {
	theme(!isDark());
	try {
		localStorage.setItem('theme', isDark() ? 'dark' : 'light');
	} catch {
		/* storage is off */
	}
}
$('theme').addEventListener('click', toggle);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (e) => {
	let kept = null;
	try {
		kept = localStorage.getItem('theme');
	} catch {
		/* off */
	}
	if (!kept) theme(e.matches);
});

const KEYS = [
	['1 – 7', 'the views'],
	['j, k', 'down and up in a list'],
	['Enter', 'open'],
	['Escape', 'close'],
	['/', 'search'],
	['[, ]', 'a sample back, forward'],
	['l', 'live'],
	['t', 'dark or light'],
	['?', 'this'],
];
function sheet(title, ...content) {
	const s = $('sheet');
	fill(
		s,
		h(
			'div',
			{ class: 'sheet-head' },
			h('h2', { id: 'sheet-title' }, title),
			h(
				'button',
				{ type: 'button', class: 'icon', 'aria-label': 'Close', onclick: () => s.close() },
				'×',
			),
		),
		content,
	);
	s.showModal();
}
const help = () =>
	sheet(
		'Keyboard',
		h(
			'dl',
			{ class: 'keys' },
			KEYS.map(([k, what]) => [h('dt', null, h('kbd', null, k)), h('dd', null, what)]),
		),
	);
$('help').addEventListener('click', help);
$('signin').addEventListener('click', () => {
	const field = h('input', {
		type: 'password',
		id: 'token',
		autocomplete: 'off',
		'aria-label': 'Token',
	});
	sheet(
		'Sign in',
		h('p', null, 'The agent wants a token. It is kept in this tab only.'),
		h(
			'div',
			{ class: 'bar' },
			field,
			h(
				'button',
				{
					type: 'button',
					onclick: () => {
						signIn(field.value);
						$('sheet').close();
					},
				},
				'Use it',
			),
		),
	);
	field.focus();
});
$('sheet').addEventListener('click', (e) => {
	if (e.target === $('sheet')) $('sheet').close();
});

document.addEventListener('keydown', (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey || $('sheet').open) return;
	if (e.target.matches('input:not([type=range]), select, textarea')) {
		if (e.key === 'Escape') {
			e.target.blur();
			view?.focus?.();
		}
		return;
	}
	const deeds = {
		j: () => view?.move?.(1),
		k: () => view?.move?.(-1),
		'/': () => $('search')?.focus(),
		'?': help,
		t: toggle,
		l: () => turn(Infinity),
		'[': () => turn(current() - 1),
		']': () => turn(current() + 1),
		Escape: () => view?.escape?.(),
	};
	if (/^[1-9]$/.test(e.key) && VIEWS[e.key - 1]) go(`#/${VIEWS[e.key - 1][0]}`);
	else if (e.key === 'Enter' && e.target.matches('body, main')) view?.enter?.();
	else if (deeds[e.key]) deeds[e.key]();
	else return;
	if (e.key !== 'Enter') e.preventDefault();
});

addEventListener('hashchange', route);
route();
run();
