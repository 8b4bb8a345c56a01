// SPDX-License-Identifier: GPL-2.0-only
// 1,000 cgroups: the page stays smooth while figures come and the table is scrolled.
import { cpus, loadavg } from 'node:os';
import { check, clean, launch, open, same, shot, steps, until, visit } from './page_lib.mjs';

const SECONDS = 6;
const browser = await launch(),
	page = await open(browser);
const cdp = await page.context().newCDPSession(page);
await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
/** Seconds of CPU that the page's thread has used. */
const used = async () =>
	(await cdp.send('Performance.getMetrics')).metrics.find((m) => m.name === 'TaskDuration').value;

/** In the page: scrolls down and up, row by row, and notes the time between frames and long tasks. */
function scroll(seconds) {
	return new Promise((done) => {
		const frames = [],
			tasks = [],
			box = document.querySelector('.scroll.tall'),
			end = performance.now() + seconds * 1000;
		new PerformanceObserver((l) => tasks.push(...l.getEntries().map((e) => e.duration))).observe({
			entryTypes: ['longtask'],
		});
		let before = performance.now(),
			way = 28;
		const frame = (now) => {
			frames.push(now - before);
			before = now;
			if (box.scrollTop <= 0) way = 28;
			else if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) way = -28;
			box.scrollTop += way;
			if (now < end) requestAnimationFrame(frame);
			else setTimeout(() => done({ frames, tasks }), 200);
		};
		requestAnimationFrame(frame);
	});
}
function still(seconds) {
	return new Promise((done) => {
		const frames = [],
			tasks = [],
			end = performance.now() + seconds * 1000;
		new PerformanceObserver((l) => tasks.push(...l.getEntries().map((e) => e.duration))).observe({
			entryTypes: ['longtask'],
		});
		let before = performance.now();
		const frame = (now) => {
			frames.push(now - before);
			before = now;
			if (now < end) requestAnimationFrame(frame);
			else setTimeout(() => done({ frames, tasks }), 200);
		};
		requestAnimationFrame(frame);
	});
}
/**
 * The best of three rounds counts. Where the machine runs far more than it has CPUs, times on the clock say nothing of
 * the page: then the CPU time of its thread is judged.
 */
async function smooth(measure) {
	let told = '';
	for (let round = 0; round < 3; round++) {
		const before = await used(),
			{ frames, tasks } = await measure(),
			share = ((await used()) - before) / SECONDS;
		frames.shift();
		for (const l of [frames, tasks]) l.sort((a, b) => a - b);
		told = `${frames.length} frames in ${SECONDS} s: median ${at(frames, 0.5).toFixed(1)} ms, p95 ${at(frames, 0.95).toFixed(1)} ms; ${tasks.length} long tasks, p95 ${at(tasks, 0.95).toFixed(0)} ms; ${(share * 100).toFixed(0)} % of a CPU`;
		console.log(`  ${told}`);
		if (at(tasks, 0.95) < 100 && at(frames, 0.95) < 100) return;
		if (loadavg()[0] > 2 * cpus().length && share < 0.5)
			return void console.log(
				`  the machine is busy with others (load ${loadavg()[0].toFixed(1)}): judged by CPU time`,
			);
	}
	throw new Error(told);
}
const at = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;

await steps(page, [
	[
		'all are in the table, few in the document',
		async () => {
			await visit(page, 'cgroups');
			await until(
				() => page.$eval('.cgroups', (t) => Number(t.getAttribute('aria-rowcount')) > 1000),
				'the rows',
			);
			const n = await page.$$eval('.cgroups tbody tr', (t) => t.length);
			check(n < 80, `${n} rows in the document`);
			await page.$eval('.scroll.tall', (e) => e.focus());
			await page.keyboard.press('End');
			same(
				await page.$eval('.cgroups tr.on', (r) => r.getAttribute('aria-rowindex')),
				await page.getAttribute('.cgroups', 'aria-rowcount'),
				'last row',
			);
			await shot(page, 'scale');
		},
	],
	[
		'frames and long tasks while it is scrolled',
		async () => {
			await smooth(() => page.evaluate(scroll, SECONDS));
		},
	],
	[
		'first view with as many',
		async () => {
			await visit(page, 'overview');
			const ticks = await page.evaluate(() => Number(document.documentElement.dataset.ticks));
			await smooth(() => page.evaluate(still, SECONDS));
			check(
				(await page.evaluate(() => Number(document.documentElement.dataset.ticks))) > ticks + 2,
				'no ticks',
			);
			clean(page);
		},
	],
]);
await browser.close();
