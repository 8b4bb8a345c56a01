// SPDX-License-Identifier: GPL-2.0-only
// What the scripts that drive the page in Chromium share.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { inflateSync } from 'node:zlib';

const load = createRequire(process.env.MODULES + '/');
export const { chromium } = load('playwright-core');
export const axe = load.resolve('axe-core/axe.min.js');
export const { URL: url, NAME: name, HOSTILE: hostile, TMP: tmp } = process.env;
const seen = `${tmp}/seen`;
mkdirSync(seen, { recursive: true });

export function check(good, what) {
	if (!good) throw new Error(what);
}
export const same = (a, b, what) =>
	check(a === b, `${what}: ${JSON.stringify(a)}, not ${JSON.stringify(b)}`);

/** Polls until f() is truthy, and returns that. */
export async function until(f, what, ms = 15000) {
	const end = Date.now() + ms;
	let last;
	while (Date.now() < end) {
		last = await f();
		if (last) return last;
		await new Promise((r) => setTimeout(r, 50));
	}
	throw new Error(`not within ${ms} ms: ${what}`);
}

export function launch() {
	return chromium.launch({
		executablePath: process.env.CHROMIUM,
		args: [
			'--no-sandbox',
			'--disable-gpu',
			'--disable-quic',
			'--no-first-run',
			'--disable-background-networking',
			'--disable-component-update',
			'--disable-sync',
		],
	});
}
/** A page that notes what must not happen: errors on the console, requests to anywhere else. */
export async function open(browser, options = {}) {
	const context = await browser.newContext({
		viewport: { width: 1440, height: 900 },
		colorScheme: 'dark',
		...options,
	});
	const page = await context.newPage();
	page.trouble = [];
	page.on('console', (m) => {
		if (m.type() === 'error' || m.type() === 'warning')
			page.trouble.push(`console: ${m.text()} ${m.location().url}`);
	});
	page.on('pageerror', (e) => page.trouble.push(`error: ${e.stack}`));
	page.on('dialog', (d) => {
		page.trouble.push(`dialog: ${d.message()}`);
		d.dismiss();
	});
	page.on('request', (r) => {
		if (!r.url().startsWith(url + '/') && !r.url().startsWith('blob:'))
			page.trouble.push(`request to ${r.url()}`);
	});
	page.on('response', (r) => {
		if (r.status() >= 400) page.trouble.push(`${r.status()} of ${r.url()}`);
	});
	await page.goto(url + '/');
	await page.waitForFunction(() => Number(document.documentElement.dataset.ticks) >= 2, null, {
		timeout: 20000,
	});
	return page;
}
export function clean(page) {
	check(page.trouble.length === 0, page.trouble.join('\n'));
}
export async function visit(page, view) {
	await page.click(`nav a[href="#/${view === 'overview' ? '' : view}"]`);
	await page.waitForSelector(`main[data-view="${view}"]`);
}

/** Runs steps in their order; the first that fails ends it, with a picture of what was on the screen. */
export async function steps(page, list) {
	for (const [what, f] of list) {
		const start = Date.now();
		try {
			await f();
		} catch (e) {
			await page.screenshot({ path: `${seen}/failed.png` }).catch(() => {});
			console.error(`FAIL: ${what}: ${e.message}\n${page.trouble.join('\n')}`);
			process.exit(1);
		}
		console.log(`  ${what} (${Date.now() - start} ms)`);
	}
}

/** An 8-bit PNG of Chromium: {width, height, at(x, y) -> [r, g, b]}. */
export function png(data) {
	let at = 8,
		width = 0,
		height = 0,
		depth = 0;
	const parts = [];
	while (at < data.length) {
		const n = data.readUInt32BE(at),
			type = data.toString('latin1', at + 4, at + 8),
			body = data.subarray(at + 8, at + 8 + n);
		if (type === 'IHDR') {
			width = body.readUInt32BE(0);
			height = body.readUInt32BE(4);
			depth = body[9] === 6 ? 4 : 3;
			check(body[8] === 8 && (body[9] === 6 || body[9] === 2), 'an unknown kind of PNG');
		}
		if (type === 'IDAT') parts.push(body);
		at += n + 12;
	}
	const raw = inflateSync(Buffer.concat(parts)),
		line = width * depth,
		out = Buffer.alloc(line * height);
	for (let y = 0; y < height; y++) {
		const filter = raw[y * (line + 1)];
		for (let x = 0; x < line; x++) {
			const v = raw[y * (line + 1) + 1 + x],
				a = x >= depth ? out[y * line + x - depth] : 0,
				b = y ? out[(y - 1) * line + x] : 0,
				c = x >= depth && y ? out[(y - 1) * line + x - depth] : 0;
			const p = a + b - c,
				pa = Math.abs(p - a),
				pb = Math.abs(p - b),
				pc = Math.abs(p - c);
			out[y * line + x] =
				v + [0, a, b, (a + b) >> 1, pa <= pb && pa <= pc ? a : pb <= pc ? b : c][filter];
		}
	}
	return {
		width,
		height,
		at: (x, y) => [...out.subarray(y * line + x * depth, y * line + x * depth + 3)],
	};
}
/** Pixels of a picture that are near a colour "#rrggbb". */
export function near(image, hex, distance = 40) {
	const want = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
	let n = 0;
	for (let y = 0; y < image.height; y++)
		for (let x = 0; x < image.width; x++) {
			const p = image.at(x, y);
			if (
				Math.abs(p[0] - want[0]) + Math.abs(p[1] - want[1]) + Math.abs(p[2] - want[2]) <=
				distance
			)
				n++;
		}
	return n;
}
export function colors(image) {
	const of = new Set();
	for (let y = 0; y < image.height; y += 2)
		for (let x = 0; x < image.width; x += 2) of.add(image.at(x, y).join());
	return of.size;
}
export async function shot(page, what, locator) {
	const data = await (locator ?? page).screenshot();
	writeFileSync(`${seen}/${what}.png`, data);
	return png(data);
}
