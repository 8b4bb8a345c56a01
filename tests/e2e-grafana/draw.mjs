#!/usr/bin/env node
// Bundles panels.jsx, draws every dashboard in Chromium and says what each panel shows:
//   draw.mjs DASHBOARDS_FOLDER PROMETHEUS_URL OUT_FOLDER [CGROUP_PATTERN]
// Exits 1 if a panel that needs no GPU has no finite value, an error, or a canvas on which nothing was drawn.
import {spawn} from 'node:child_process';
import {createServer} from 'node:http';
import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const [dashboards, prometheus, out, cgroup] = process.argv.slice(2);
const CHROMIUM = process.env.CHROMIUM || 'chromium';
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--remote-debugging-pipe'];

const shim = join(here, 'shim-router.js');
const scrollbars = {name: 'scrollbars', setup(b) {
  b.onResolve({filter: /^react-custom-scrollbars-2$/}, (a) => (a.importer.endsWith('.mjs') ? {path: join(here, 'shim-scrollbars.js')} : undefined));
}};
const bundle = await build({
  plugins: [scrollbars],
  entryPoints: [join(here, 'panels.jsx')], bundle: true, write: false, format: 'esm', minify: true, jsx: 'transform', outdir: out,
  loader: {'.svg': 'text', '.ttf': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.png': 'dataurl'}, logLevel: 'error',
  alias: {'react-router-dom': shim, 'react-router-dom-v5-compat': shim, 'react-router': shim},
  define: {'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'window'},
});
const page = '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/panels.css"><body class="theme-dark"><div id="root"></div><script type="module" src="/panels.js"></script>';
const server = createServer((request, response) => {
  const path = new URL(request.url, 'http://x').pathname;
  const send = (type, body) => { response.setHeader('Content-Type', type); response.end(body); };
  if (path === '/') send('text/html', page);
  else if (path === '/panels.js') send('text/javascript', bundle.outputFiles.find((f) => f.path.endsWith('.js')).contents);
  else if (path === '/panels.css') send('text/css', bundle.outputFiles.find((f) => f.path.endsWith('.css')).contents);
  else if (/^\/[\w-]+\.json$/.test(path)) send('application/json', readFileSync(join(dashboards, path)));
  else { response.statusCode = 404; response.end(); }
}).listen(0, '127.0.0.1');
await new Promise((done) => server.on('listening', done));

// Chromium by its debugging pipe: messages end with a NUL byte.
const profile = mkdtempSync(join(tmpdir(), 'grafana-panels-'));
const browser = spawn(CHROMIUM, [...FLAGS, `--user-data-dir=${profile}`], {detached: true, stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe']});
let number = 0, rest = '';
const waiting = new Map(), messages = [];
browser.stdio[4].on('data', (chunk) => {
  const parts = (rest + chunk).split('\0');
  rest = parts.pop();
  for (const m of parts.map((p) => JSON.parse(p))) {
    if (m.id) waiting.get(m.id)(m);
    else if (m.method === 'Runtime.exceptionThrown') messages.push(m.params.exceptionDetails.exception?.description || m.params.exceptionDetails.text);
  }
});
const call = (method, params = {}, sessionId) => new Promise((done, fail) => {
  const id = ++number;
  waiting.set(id, (m) => (m.error ? fail(new Error(`${method}: ${m.error.message}`)) : done(m.result)));
  browser.stdio[3].write(JSON.stringify({id, method, params, ...(sessionId ? {sessionId} : {})}) + '\0');
});

// What the page says of each panel, and how many pixels of its canvases have a colour: series do, axes and grids are grey.
const LOOK = `JSON.stringify([...document.querySelectorAll('.panel')].map(p => ({...p.dataset, colours: [...p.querySelectorAll('canvas')]
  .reduce((n, c) => { if (!c.width || !c.height) return n; const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    for (let i = 0; i < d.length; i += 4)
      if (d[i + 3] > 60 && Math.max(d[i], d[i + 1], d[i + 2]) - Math.min(d[i], d[i + 1], d[i + 2]) > 25) n++;
    return n; }, 0), text: p.innerText.length})))`;

async function draw(name) {
  const gpu = name === 'waveos-gpu';
  const q = new URLSearchParams({prometheus, dashboard: `/${name}.json`, ...(cgroup ? {cgroup} : {}), ...(gpu ? {} : {job: 'waveos'}),
    ...(gpu ? {note: 'series of a FIXTURE, not of a GPU'} : {})});
  const {targetId} = await call('Target.createTarget', {url: 'about:blank'});
  const {sessionId} = await call('Target.attachToTarget', {targetId, flatten: true});
  await call('Runtime.enable', {}, sessionId);
  await call('Page.enable', {}, sessionId);
  await call('Emulation.setDeviceMetricsOverride', {width: 1470, height: 900, deviceScaleFactor: 1, mobile: false}, sessionId);
  await call('Page.navigate', {url: `http://127.0.0.1:${server.address().port}/?${q}`}, sessionId);
  let panels = [];
  for (const deadline = Date.now() + 60000; Date.now() < deadline;) {
    await new Promise((done) => setTimeout(done, 300));
    const {result} = await call('Runtime.evaluate', {expression: LOOK}, sessionId);
    panels = JSON.parse(result.value || '[]');
    const settled = panels.length && panels.every((p) => p.state !== 'loading' && (p.type !== 'timeseries' || p.state !== 'data' || p.colours > 20));
    if (settled) break;
  }
  const {result} = await call('Runtime.evaluate', {expression: 'document.documentElement.scrollHeight'}, sessionId);
  const shot = await call('Page.captureScreenshot', {format: 'png', captureBeyondViewport: true,
    clip: {x: 0, y: 0, width: 1470, height: result.value, scale: 1}}, sessionId);
  writeFileSync(join(out, `${name}.png`), Buffer.from(shot.data, 'base64'));
  await call('Target.closeTarget', {targetId});
  return panels;
}

let bad = 0, drawn = 0, total = 0;
try {
  for (const name of readdirSync(dashboards).map((f) => f.replace('.json', '')).sort()) {
    const panels = await draw(name);
    const gpu = name === 'waveos-gpu';
    total += panels.length;
    for (const p of panels) {
      const good = p.state === 'data' && Number(p.values) > 0 && (p.type === 'timeseries' ? p.colours > 20 : p.text > p.title.length);
      drawn += good;
      if (!good) console.log(`${gpu ? 'needs a GPU' : 'BAD'}: ${name} / ${p.title}: ${p.state} ${p.values} values, ${p.colours} coloured pixels, ${p.error || ''}`);
      bad += !good && !gpu;
    }
    if (!panels.length) { console.log(`BAD: ${name}: no panel`); bad++; }
    console.log(`${name}: ${panels.length} panels`);
  }
} finally {
  const ended = new Promise((done) => browser.on('exit', done));
  process.kill(-browser.pid, 'SIGKILL'); // its children, too: they write to the profile
  await ended;
  server.close();
  for (let left = 50; left; left--) {
    try { rmSync(profile, {recursive: true, force: true}); break; } catch { await new Promise((done) => setTimeout(done, 100)); }
  }
}
for (const m of [...new Set(messages)].slice(0, 5)) console.log(`exception: ${String(m).slice(0, 400)}`);
console.log(`${drawn} of ${total} panels drawn with finite values by Grafana's panel components`);
process.exit(bad || messages.length ? 1 : 0);
