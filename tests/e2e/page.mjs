// SPDX-License-Identifier: GPL-2.0-only
// Clicks through the page of a running agent.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import {
	axe,
	check,
	clean,
	colors,
	hostile,
	launch,
	name,
	near,
	open,
	same,
	shot,
	steps,
	until,
	url,
	visit,
} from './page_lib.mjs';

const browser = await launch(),
	page = await open(browser);
const style = (prop, sel = 'body') =>
	page.$eval(sel, (e, p) => getComputedStyle(e).getPropertyValue(p), prop);
const token = (v) =>
	page.evaluate((n) => getComputedStyle(document.documentElement).getPropertyValue(n).trim(), v);
const text = (sel) => page.$eval(sel, (e) => e.textContent);
const row = (path) =>
	page.evaluate((p) => {
		const tr = [...document.querySelectorAll('.cgroups tbody tr:not(.gap)')].find(
			(r) => r.cells[0].textContent === p,
		);
		return tr ? [...tr.cells].map((c) => c.textContent) : null;
	}, path);
const paths = (await (await fetch(url + '/api/v1/overview')).json()).paths;
const has = (p) => paths.includes('/api/v1/' + p);

await steps(page, [
	[
		'first view: figures, plots that are drawn, no error',
		async () => {
			same(await text('#state'), 'live', 'state');
			same(await page.$$eval('.tile', (t) => t.length), 8, 'tiles');
			const tiles = await page.$$eval('.tile b', (t) => t.map((e) => e.textContent));
			check(
				tiles.every((t) => t && t !== '–' && !/NaN|undefined/.test(t)),
				`tiles: ${tiles}`,
			);
			await page.waitForFunction(() => Number(document.documentElement.dataset.ticks) >= 5);
			const first = await page.$('figure .plot');
			const image = await shot(page, 'plot', first);
			check(near(image, await token('--s0')) > 60, 'the first plot has no line in its colour');
			check(colors(await shot(page, 'overview')) > 30, 'the picture is empty');
			check(
				(await page.getAttribute('figure .plot', 'aria-label')).includes('%'),
				'a plot that says nothing to those who do not see it',
			);
			clean(page);
		},
	],
	[
		'the planted cgroup is the busiest of its name, and hostile names are text',
		async () => {
			await visit(page, 'cgroups');
			await page.fill('#search', name);
			await until(
				async () =>
					(await row('/' + name))?.[1] !== undefined && parseFloat((await row('/' + name))[1]) > 5,
				'CPU of the planted cgroup',
			);
			const order = await page.$$eval('.cgroups tbody tr:not(.gap) td.path', (t) =>
				t.map((e) => e.textContent),
			);
			same(order[0], '/' + name, 'first row');
			check(order.includes('/' + hostile), `no ${hostile} in ${order}`);
			same(await page.$$eval('main img', (t) => t.length), 0, 'images out of names');
			clean(page);
		},
	],
	[
		'its figures are those of top --json, tick by tick',
		async () => {
			const shown = new Map();
			await until(
				async () => {
					const [tick, cpu] = await page.evaluate(
						(p) => [
							document.getElementById('about').textContent.match(/tick (\d+)/)?.[1],
							[...document.querySelectorAll('.cgroups tbody tr:not(.gap)')].find(
								(r) => r.cells[0].textContent === p,
							)?.cells[1].textContent,
						],
						'/' + name,
					);
					if (tick && cpu) shown.set(Number(tick), cpu);
					return shown.size >= 10;
				},
				'ten ticks',
				40000,
			);
			const top = readFileSync(process.env.TOP, 'utf8')
				.trim()
				.split('\n')
				.map((l) => {
					try {
						return JSON.parse(l);
					} catch {
						return null;
					}
				})
				.filter((l) => l?.interval_ns && l.interval_ns < 1.5e9);
			let agree = 0;
			for (const l of top) {
				const cell = shown.get(l.tick),
					own = l.rows.find((r) => r.cgroup === '/' + name)?.own.cpu_percent;
				// the rate of a page that skipped a tick is of two
				if (cell === undefined || own === undefined || !shown.has(l.tick - 1)) continue;
				check(
					Math.abs(parseFloat(cell) - own) <= 0.6,
					`tick ${l.tick}: the page says ${cell}, top ${own}`,
				);
				agree++;
			}
			check(
				agree >= 3,
				`only ${agree} ticks to compare: ${[...shown.keys()]} and ${top.map((l) => l.tick)}`,
			);
		},
	],
	[
		'sorting, and the bar beside a figure',
		async () => {
			await page.fill('#search', '');
			await page.click('.cgroups th button:has-text("Memory")');
			same(
				await page.getAttribute('.cgroups th:has-text("Memory")', 'aria-sort'),
				'descending',
				'aria-sort',
			);
			await page.click('.cgroups th button:has-text("Cgroup")');
			const order = await page.$$eval('.cgroups tbody tr:not(.gap) td.path', (t) =>
				t.slice(0, 20).map((e) => e.textContent),
			);
			check(
				order.every((p, i) => i === 0 || order[i - 1] <= p),
				`by path: ${order}`,
			);
			await page.click('.cgroups th button:has-text("CPU")');
			check(near(await shot(page, 'table'), await token('--bar'), 12) > 50, 'no bar in the table');
		},
	],
	[
		'one cgroup in full',
		async () => {
			await page.fill('#search', name);
			await until(() => row('/' + name), 'the row');
			await page.click(`.cgroups td.path:text-is("/${name}")`);
			same(await text('.detail h2'), '/' + name, 'title');
			same(await page.$$eval('.detail figure canvas', (t) => t.length), 5, 'plots');
			const first = await page.$('.detail .plot');
			await until(
				async () => near(await shot(page, 'detail-plot', first), await token('--s0')) > 20,
				'a line in the first plot',
			);
			await until(() => page.$$eval('.detail table tbody tr', (t) => t.length > 20), 'all figures');
			check(page.url().includes('#/cgroups/v2'), page.url());
			await page.keyboard.press('Escape');
			await page.keyboard.press('Escape');
			same(await page.$$eval('.detail', (t) => t.length), 0, 'details after Escape');
			clean(page);
		},
	],
	[
		'keyboard: skip link, order of tabs, views by number, list, search, help',
		async () => {
			await page.goto(url + '/#/');
			await page.reload();
			await page.waitForFunction(() => Number(document.documentElement.dataset.ticks) >= 2);
			const order = [];
			for (let i = 0; i < 12; i++) {
				await page.keyboard.press('Tab');
				order.push(
					await page.evaluate(() => {
						const e = document.activeElement;
						return e.className === 'skip' ? 'skip' : e.id || e.textContent;
					}),
				);
			}
			same(
				order.join(),
				'skip,Overview,Cgroups,Policy,Timeline,Runs,GPU,Agent,theme,help,live,scrub',
				'tabs',
			);
			check((await style('outline-style', ':focus')) !== 'none', 'focus cannot be seen');
			await page.evaluate(() => document.activeElement.blur());
			await page.keyboard.press('2');
			await page.waitForSelector('main[data-view="cgroups"]');
			await page.keyboard.press('j');
			await page.keyboard.press('j');
			await page.keyboard.press('k');
			await until(() => page.$$eval('.cgroups tr.on', (t) => t.length === 1), 'a row is on');
			check(
				await page.$eval('.scroll.tall', (e) => e === document.activeElement),
				'the list has the focus after j j k',
			);
			await page.keyboard.press('Enter');
			await page.waitForSelector('.detail');
			await page.keyboard.press('Escape');
			await page.keyboard.press('/');
			same(await page.evaluate(() => document.activeElement.id), 'search', 'focus after /');
			await page.keyboard.type('nothing-like-it');
			await until(
				() => page.$$eval('.cgroups tbody tr:not(.gap)', (t) => t.length === 0),
				'no row',
			);
			await page.keyboard.press('Escape');
			await page.keyboard.press('?');
			await page.waitForSelector('dialog[open] .keys');
			await page.keyboard.press('Escape');
			same(await page.$$eval('dialog[open]', (t) => t.length), 0, 'dialogs after Escape');
			clean(page);
		},
	],
	[
		'time travel over the samples that are kept',
		async () => {
			await visit(page, 'overview');
			await page.waitForFunction(() => Number(document.documentElement.dataset.ticks) >= 6);
			for (let i = 0; i < 3; i++) await page.keyboard.press('[');
			await until(async () => (await text('#state')) === 'in the past', 'in the past');
			const frozen = await text('#when'),
				cpu = await text('.tile b');
			check(/[3-9] s ago/.test(frozen), frozen);
			const ticks = await page.evaluate(() => document.documentElement.dataset.ticks);
			await page.waitForFunction(
				(n) => Number(document.documentElement.dataset.ticks) > Number(n) + 1,
				ticks,
			);
			same((await text('#when')).slice(0, 8), frozen.slice(0, 8), 'the moment that is looked at');
			same(await text('.tile b'), cpu, 'CPU of that moment');
			await page.keyboard.press('l');
			await until(async () => (await text('#state')) === 'live', 'live again');
			clean(page);
		},
	],
	[
		'policy: what is in force',
		async () => {
			await visit(page, 'policy');
			await until(
				async () => (await text('h1')).startsWith('Policy page-test@'),
				'name of the policy',
			);
			await until(async () => (await text('.tiles')).includes('1 (1 rules)'), 'the rule is open');
			if (has('policy')) {
				await page.waitForSelector('table:has-text("planted-load")');
				await until(async () => (await text('main')).includes('open'), 'state of the rule');
			} else {
				check(
					(await text('main')).includes('does not answer /api/v1/policy'),
					'why there is no more',
				);
			}
			clean(page);
		},
	],
	[
		'timeline, record, inputs and proof',
		async () => {
			await visit(page, 'timeline');
			if (!has('events'))
				return check(
					(await text('main')).includes('does not answer /api/v1/events'),
					'why there are no records',
				);
			await page.waitForSelector('.records td:has-text("planted-load")');
			check(
				near(await shot(page, 'lanes', await page.$('.lanes')), await token('--bad')) > 100,
				'no span of a decision in the lanes',
			);
			await page
				.locator('.records tr', { hasText: 'decision' })
				.filter({ hasText: 'planted-load' })
				.locator('button')
				.first()
				.click();
			await page.waitForSelector('dialog[open] pre:has-text("planted-load")');
			check((await text('dialog')).includes('Decided on'), 'no inputs');
			// a proof leads to a checkpoint: one that has the record
			execFileSync(process.env.BIN, ['evidence', 'checkpoint', '--root', process.env.ROOT], {
				stdio: 'ignore',
			});
			await page.click('dialog button:has-text("Prove")');
			await page.waitForSelector('dialog .proof[data-proof="good"]');
			await shot(page, 'record');
			await page.keyboard.press('Escape');
			await page.keyboard.press('j');
			same(await page.$$eval('.records tr.on', (t) => t.length), 1, 'row after j');
			return clean(page);
		},
	],
	[
		'runs, GPU and agent',
		async () => {
			await visit(page, 'runs');
			if (has('runs')) {
				await page.waitForSelector('table a:has-text("report")');
				await page.click('button:has-text("Plot")');
				await page.waitForSelector('.plot canvas');
			} else
				await until(
					async () => (await text('main')).includes('does not answer /api/v1/runs'),
					'why there are no runs',
				);
			await visit(page, 'gpu');
			await until(
				async () => (await text('main')).includes('No GPU figures'),
				'why there is no GPU',
			);
			// planted figures, with names that a page without care would take for markup
			execFileSync(process.env.PLANT, ['plant', process.env.RUN]);
			await visit(page, 'overview');
			await visit(page, 'gpu');
			await page.waitForSelector('figure:has-text("idle: input") canvas');
			for (const words of [
				'<img src=x onerror=alert(1)> GPU-planted',
				'input: the data loader is too slow',
				'less than asked for: it cost more than its limit',
				'<b>train (4242)',
				'20.0 ms',
				'Waits are not explained',
			])
				await until(async () => (await text('main')).includes(words), words);
			same(await page.$$eval('main img', (t) => t.length), 0, 'elements out of a name');
			check(colors(await shot(page, 'gpu')) > 20, 'the picture is empty');
			await visit(page, 'agent');
			await page.waitForSelector('table:has-text("core")');
			await page.waitForSelector('table:has-text("fatal-signal")');
			const programs = await page.$$eval('[aria-label="BPF programs"] tbody tr', (t) => t.length);
			check(programs > 10, `${programs} BPF programs`);
			same(await page.$$eval('figure canvas', (t) => t.length), 4, 'plots');
			check(colors(await shot(page, 'agent')) > 20, 'the picture is empty');
			clean(page);
		},
	],
	[
		'accessible in both themes (axe), and the theme stays',
		async () => {
			const rules = readFileSync(axe, 'utf8'),
				dark = await style('background-color');
			for (const theme of ['dark', 'light']) {
				same(await page.evaluate(() => document.documentElement.dataset.theme), theme, 'theme');
				for (const view of ['overview', 'cgroups', 'policy', 'timeline', 'runs', 'gpu', 'agent']) {
					await visit(page, view);
					if (view === 'cgroups') {
						await page.keyboard.press('j');
						await page.keyboard.press('Enter');
						await page.waitForSelector('.detail');
					}
					await page.evaluate(rules);
					const found = await page.evaluate(() =>
						axe.run(document, {
							runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
						}),
					);
					check(
						found.violations.length === 0,
						`${theme} ${view}: ${found.violations.map((v) => `${v.id} (${v.nodes.length}): ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`).join('\n')}`,
					);
					await shot(page, `${theme}-${view}`);
				}
				if (theme === 'dark') {
					await page.keyboard.press('t');
					check((await style('background-color')) !== dark, 'the theme changes nothing');
				}
			}
			await page.reload();
			same(
				await page.evaluate(() => document.documentElement.dataset.theme),
				'light',
				'theme after a reload',
			);
			clean(page);
		},
	],
	[
		'follows the system: light, less motion, narrow',
		async () => {
			const other = await open(browser, {
				colorScheme: 'light',
				reducedMotion: 'reduce',
				viewport: { width: 700, height: 900 },
			});
			same(await other.evaluate(() => document.documentElement.dataset.theme), 'light', 'theme');
			same(
				await other.$eval('.tile', (e) => getComputedStyle(e).transitionDuration),
				'0s',
				'motion',
			);
			check(
				await other.evaluate(() => document.documentElement.scrollWidth <= innerWidth + 1),
				'a narrow window scrolls sideways',
			);
			clean(other);
			await other.context().close();
		},
	],
	[
		'its policy lets no inline script run',
		async () => {
			const other = await open(browser);
			const blocked = await other.evaluate(
				() =>
					new Promise((done) => {
						document.addEventListener('securitypolicyviolation', (e) => done(e.violatedDirective));
						const s = document.createElement('script');
						s.textContent = 'window.ran = true';
						document.body.append(s);
						setTimeout(() => done('nothing'), 2000);
					}),
			);
			check(blocked.startsWith('script-src'), `blocked: ${blocked}`);
			check(!(await other.evaluate(() => window.ran)), 'it ran');
			await other.context().close();
		},
	],
]);
await browser.close();
