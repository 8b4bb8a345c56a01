// SPDX-License-Identifier: GPL-2.0-only
// What the agent said, tick by tick. Of every cgroup the last samples are kept in one typed array each, so
// that any of them can be plotted, and the whole page be turned back, without asking again.

/** Columns that are kept; `from` are those of /api/v1/cgroups that are added up. */
const KEPT = {
	cpu: ['cpu_ppm'],
	wait: ['cpu_wait_ppm'],
	runq: ['runq_p99_ns'],
	throttled: ['cpu_throttled_ppm'],
	psi_cpu: ['psi_cpu_ppm'],
	psi_mem: ['psi_mem_ppm'],
	psi_io: ['psi_io_ppm'],
	mem: ['mem_rss_bytes'],
	mem_tree: ['mem_usage_bytes'],
	reclaim: ['mem_reclaim_ppm'],
	io_read: ['io_read_bytes_per_second'],
	io_write: ['io_write_bytes_per_second'],
	io: ['io_read_bytes_per_second', 'io_write_bytes_per_second'],
	rx: ['net_rx_bytes_per_second'],
	tx: ['net_tx_bytes_per_second'],
	net: ['net_rx_bytes_per_second', 'net_tx_bytes_per_second'],
	drops: ['net_drops_per_second', 'limit_drops_per_second', 'limit_refused_per_second'],
	tasks: ['tasks'],
};
export const names = Object.keys(KEPT);
const INDEX = Object.fromEntries(names.map((n, i) => [n, i]));
const PSI = ['psi_cpu', 'psi_mem', 'psi_io'];

export const store = {
	overview: null,
	overviewBefore: null,
	cgroups: new Map(),
	times: [],
	harms: [], // who hurt whom, of every kept sample
	n: 0,
	cap: 0,
	tick: -1,
	at: null, // sample that is looked at; null: the newest
	error: null,
	paths: new Set(),
	interval: 0,
	total: 0,
};
const watchers = new Set();
/** f() after every sample, and when another moment is looked at; returns what ends it. */
export function watch(f) {
	watchers.add(f);
	return () => watchers.delete(f);
}
export function tell() {
	for (const f of watchers) f();
}

export const current = () => store.at ?? store.n - 1;
export const oldest = () => Math.max(0, store.n - store.cap);
export const timeOf = (k) => store.times[k % store.cap];
export const harmsOf = (k) => store.harms[k % store.cap];

/** A kept figure of a cgroup at sample k (NaN: it was not there). `psi` is the largest of three. */
export function value(c, name, k = current()) {
	if (k < oldest() || k >= store.n) return NaN;
	const base = (k % store.cap) * names.length;
	if (name !== 'psi') return c.ring[base + INDEX[name]];
	let max = c.ring[base + INDEX.psi_cpu];
	for (const p of PSI) if (c.ring[base + INDEX[p]] > max) max = c.ring[base + INDEX[p]];
	return max;
}
/** Cgroups that were there at that moment. */
export function present(k = current()) {
	const out = [];
	for (const c of store.cgroups.values()) if (!Number.isNaN(value(c, 'cpu', k))) out.push(c);
	return out;
}
/** A figure over all kept samples, for a plot; f(k) where it is no figure of one cgroup. */
export function series(f) {
	const out = new Array(store.n - oldest());
	for (let i = 0, k = oldest(); k < store.n; i++, k++) {
		const v = f(k);
		out[i] = Number.isNaN(v) ? null : v;
	}
	return out;
}
export const seconds = () => series((k) => timeOf(k) / 1e9);
/** The live row's figure by its column of the API; undefined in the past. */
export const column = (c, name) =>
	store.at === null && c.row ? c.row[store.columns[name]] : undefined;
export const root = () => {
	let best = null;
	for (const c of store.cgroups.values())
		if (c.path === '/' && (!best || (value(c, 'mem_tree') || 0) > (value(best, 'mem_tree') || 0)))
			best = c;
	return best;
};

function ingest(data) {
	const at = Object.fromEntries(data.columns.map((c, i) => [c, i]));
	if (!store.cap) store.cap = data.rows.length <= 400 ? 600 : data.rows.length <= 3000 ? 300 : 60;
	const k = store.n,
		slot = k % store.cap,
		width = names.length;
	const from = names.map((n) => KEPT[n].map((c) => at[c]).filter((i) => i !== undefined));
	store.columns = at;
	store.times[slot] = data.wall_ns;
	store.harms[slot] = store.overview?.harms ?? null;
	for (const row of data.rows) {
		const id = row[at.id] + row[at.cgroup];
		let c = store.cgroups.get(id);
		if (!c) {
			c = {
				id,
				path: row[at.cgroup],
				v1: row[at.id].startsWith('v1'),
				ring: new Float32Array(store.cap * width).fill(NaN),
			};
			store.cgroups.set(id, c);
		}
		c.row = row;
		c.seen = k;
		for (let i = 0, o = slot * width; i < width; i++, o++) {
			let v = 0;
			for (const j of from[i]) v += row[j];
			c.ring[o] = v;
		}
	}
	for (const c of store.cgroups.values()) {
		if (c.seen === k) continue;
		c.row = null;
		c.ring.fill(NaN, slot * width, (slot + 1) * width);
		if (k - c.seen >= store.cap) store.cgroups.delete(c.id);
	}
	store.interval = data.interval_ns;
	store.total = data.total;
	store.run = data.run_id;
	store.n++;
	if (store.at !== null && store.at < oldest()) store.at = oldest();
}

let token = null;
try {
	token = sessionStorage.getItem('token');
} catch {
	/* storage is off */
}
export function signIn(value) {
	token = value || null;
	try {
		if (token) sessionStorage.setItem('token', token);
		else sessionStorage.removeItem('token');
	} catch {
		/* off */
	}
}
/** {data} or {error: {status, code, message}}; never throws. */
export async function ask(path, options) {
	try {
		const headers = {
			Accept: 'application/json',
			...(token ? { Authorization: 'Bearer ' + token } : {}),
		};
		const answer = await fetch(path, {
			cache: 'no-cache',
			credentials: 'omit',
			headers,
			...options,
		});
		let body = null;
		try {
			body = await answer.json();
		} catch {
			/* not JSON */
		}
		if (answer.ok && body) return { data: body };
		return {
			error: {
				status: answer.status,
				code: body?.error?.code ?? 'internal',
				message: body?.error?.message ?? `the agent answered ${answer.status}`,
			},
		};
	} catch {
		return { error: { status: 0, code: 'unreachable', message: 'the agent does not answer' } };
	}
}
/** Whether this agent has that path (/api/v1/ is left out): a page of a newer agent asks an older one for nothing it lacks. */
export const has = (name) => store.paths.has('/api/v1/' + name);
/** As ask(), of a path below /api/v1/, saying in words when the agent has no such path. */
export function askFor(name, query) {
	if (!has(name.split('/')[0]))
		return Promise.resolve({
			error: {
				status: 404,
				code: 'not-found',
				message: `this agent does not answer /api/v1/${name.split('/')[0]}`,
			},
		});
	return ask(`/api/v1/${name}${query ? '?' + new URLSearchParams(query) : ''}`);
}

async function step() {
	const o = await ask('/api/v1/overview');
	store.error = o.error ?? null;
	if (o.error) return o.error.status === 0 ? 2000 : 1000;
	if (store.overview && store.overview.started_wall_ns !== o.data.started_wall_ns)
		store.overviewBefore = null;
	else if (store.overview && store.overview.tick !== o.data.tick)
		store.overviewBefore = store.overview;
	store.overview = o.data;
	store.paths = new Set(o.data.paths ?? []);
	const interval = o.data.tick_interval_ns / 1e6,
		key = o.data.started_wall_ns + '/' + o.data.tick;
	if (store.tick !== key) {
		const c = await ask('/api/v1/cgroups');
		store.error = c.error ?? null;
		if (c.error) return interval;
		store.tick = key;
		ingest(c.data);
	}
	// just after the next tick
	const left = interval - ((o.data.sample_age_ns / 1e6) % interval);
	return Math.max(100, Math.min(left + 40, interval));
}
export async function run() {
	for (;;) {
		const pause = await step();
		tell();
		await new Promise((r) => setTimeout(r, pause));
	}
}
