// SPDX-License-Identifier: GPL-2.0-only
// One record and its evidence: what it was decided on, the record as it was logged, and the proof that it is in
// the log, which is computed again here (RFC 9162, 2.1.3.2).
import { $, badge, date, fill, h, table } from '/assets/dom.js';
import { askFor } from '/assets/store.js';
import { tell } from '/assets/events.js';

const raw = (b64) => Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
const same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);
async function hash(...parts) {
	const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
	let at = 0;
	for (const p of parts) {
		all.set(p, at);
		at += p.length;
	}
	return new Uint8Array(await crypto.subtle.digest('SHA-256', all));
}
/** {root, size, matches}: the root that record and path lead to, against the one of the checkpoint's note. */
export async function recompute(proof) {
	const path = proof.path.map(raw),
		note = proof.checkpoint.split('\n');
	let index = BigInt(proof.index),
		last = BigInt(proof.size) - 1n;
	let root = await hash(Uint8Array.of(0), new TextEncoder().encode(proof.record));
	for (const p of path) {
		if (last === 0n) return { matches: false };
		if (index & 1n || index === last) {
			root = await hash(Uint8Array.of(1), p, root);
			while (!(index & 1n) && index !== 0n) {
				index >>= 1n;
				last >>= 1n;
			}
		} else {
			root = await hash(Uint8Array.of(1), root, p);
		}
		index >>= 1n;
		last >>= 1n;
	}
	return {
		root,
		size: proof.size,
		matches: last === 0n && note[1] === String(proof.size) && same(root, raw(note[2])),
	};
}
const hex = (b) => [...b].map((v) => v.toString(16).padStart(2, '0')).join('');

async function proofOf(e, box) {
	fill(box, h('p', { class: 'muted' }, 'Asking for the proof …'));
	const { data, error } = await askFor(`events/${e.seq}/proof`);
	if (error)
		return fill(
			box,
			h(
				'p',
				{ class: 'note' },
				`No proof: ${error.message.replace(/^waveos-bpf evidence prove: /, '')}.`,
			),
		);
	const proof = data.proof ?? data;
	if (!crypto.subtle)
		return fill(
			box,
			h(
				'p',
				{ class: 'note' },
				'The browser computes hashes only on a secure connection or on localhost. Verify it with “waveos-bpf evidence verify --proof”.',
			),
			json(proof),
		);
	let result;
	try {
		result = await recompute(proof);
	} catch {
		result = { matches: false };
	}
	const differs = result.matches && JSON.parse(proof.record).seq !== e.seq;
	const good = result.matches && !differs;
	return fill(
		box,
		h(
			'p',
			{ class: 'proof', 'data-proof': good ? 'good' : 'bad' },
			badge(good ? 'in the log' : 'does not verify', good ? 'good' : 'bad'),
			good
				? ` Record ${e.seq} and ${proof.path.length} hashes lead to the root of a tree of ${proof.size} records, the root of the checkpoint below. Computed in this browser.`
				: ' Record, path and checkpoint do not fit: “waveos-bpf evidence verify” says what is wrong.',
		),
		good ? h('p', { class: 'small mono' }, hex(result.root)) : null,
		h('pre', { tabindex: 0, 'aria-label': 'Checkpoint' }, proof.checkpoint),
		h(
			'p',
			{ class: 'small muted' },
			'The signature of the checkpoint is not checked here. Save the proof and run: waveos-bpf evidence verify --proof proof.json --key device.vkey',
		),
		h(
			'button',
			{ type: 'button', onclick: () => save(`proof-${e.seq}.json`, proof) },
			'Save the proof',
		),
	);
}
function save(name, what) {
	const url = URL.createObjectURL(new Blob([JSON.stringify(what)], { type: 'application/json' })),
		a = h('a', { href: url, download: name });
	a.click();
	URL.revokeObjectURL(url);
}
const json = (o) =>
	h('pre', { tabindex: 0, 'aria-label': 'Record as JSON' }, JSON.stringify(o, null, 2));
const text = (v) =>
	v === null || v === undefined ? '–' : typeof v === 'object' ? JSON.stringify(v) : String(v);
const FIRST = [
	'rule',
	'budget',
	'breaker',
	'domain',
	'cgroup',
	'verdict',
	'withheld',
	'held_back',
	'condition',
	'severity',
	'dry_run',
	'rule_file',
	'rule_line',
	'chain',
	'act',
	'outcome',
];

function inputs(e) {
	if (Array.isArray(e.inputs) && e.inputs.length) {
		const keys = [
			...new Set(
				e.inputs.flatMap((i) => (i && typeof i === 'object' ? Object.keys(i) : ['value'])),
			),
		];
		return table(
			'Inputs',
			keys.map((k) => [k]),
			e.inputs.map((i) => keys.map((k) => text(i && typeof i === 'object' ? i[k] : i))),
		);
	}
	if (e.signal !== undefined)
		return table(
			'Inputs',
			[['signal'], ['value', 'num'], [''], ['threshold', 'num']],
			[[text(e.signal), text(e.value), text(e.comparison), text(e.threshold)]],
		);
	return null;
}
/** Opens the record in the sheet. */
export function openRecord(e) {
	const sheet = $('sheet'),
		proof = h('div'),
		facts = FIRST.filter((k) => e[k] !== undefined && e[k] !== null).map((k) => [
			k.replaceAll('_', ' '),
			text(e[k]),
		]),
		given = inputs(e);
	fill(
		sheet,
		h(
			'div',
			{ class: 'sheet-head' },
			h('h2', { id: 'sheet-title' }, `Record ${e.seq}: ${e.type}`),
			h(
				'button',
				{ type: 'button', class: 'icon', 'aria-label': 'Close', onclick: () => sheet.close() },
				'×',
			),
		),
		h('p', null, tell(e)),
		h('p', { class: 'small muted' }, `${date(e.wall_ns)}, run ${e.run_id ?? 'unknown'}`),
		facts.length ? table('Facts', [['What'], ['Value']], facts) : null,
		given ? [h('h3', null, 'Decided on'), given] : null,
		h('h3', null, 'Proof'),
		proof,
		h('h3', null, 'Record'),
		json(e),
	);
	fill(
		proof,
		h(
			'button',
			{ type: 'button', onclick: () => proofOf(e, proof) },
			'Prove that it is in the log',
		),
	);
	if (!sheet.open) sheet.showModal();
	sheet.scrollTop = 0;
}
