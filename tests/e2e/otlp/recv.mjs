// SPDX-License-Identifier: GPL-2.0-only
// An OTLP/HTTP receiver that takes only what the official definitions (opentelemetry-proto) allow, for tests.
//   node recv.mjs --out DIR [--protos DIR] [--tls KEY CERT] [--token TOKEN]
// Prints its port. DIR/spans.jsonl and DIR/logs.jsonl get what was taken, an item a line, ids in hex, 64-bit integers
// as text; DIR/requests.jsonl a line a request, DIR/bad.jsonl why one was not taken.
// POST /control {"mode": ...} sets how it answers from then on:
//   ok | status (code, retry_after) | slow (ms) | partial (rejected) | refuse (seq: a record's waveos.seq)
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import zlib from 'node:zlib';
import { createRequire } from 'node:module';

const require = createRequire(path.join(process.env.NODE_MODULES ?? '.', 'x.js'));
const protobuf = require('protobufjs');

const option = (name, n = 1) => {
	const i = process.argv.indexOf(`--${name}`);
	return i < 0 ? undefined : n === 1 ? process.argv[i + 1] : process.argv.slice(i + 1, i + 1 + n);
};
const out = option('out');
const protos = option('protos') ?? '/usr/include';
const token = option('token');

const root = new protobuf.Root();
root.resolvePath = (_origin, target) => path.join(protos, target);
root.loadSync([
	'opentelemetry/proto/collector/trace/v1/trace_service.proto',
	'opentelemetry/proto/collector/logs/v1/logs_service.proto',
], { keepCase: false });
const base = 'opentelemetry.proto.collector';
const kinds = {
	'/v1/traces': {
		request: root.lookupType(`${base}.trace.v1.ExportTraceServiceRequest`),
		response: root.lookupType(`${base}.trace.v1.ExportTraceServiceResponse`),
		rejected: 'rejectedSpans', file: 'spans.jsonl', items: spansOf,
	},
	'/v1/logs': {
		request: root.lookupType(`${base}.logs.v1.ExportLogsServiceRequest`),
		response: root.lookupType(`${base}.logs.v1.ExportLogsServiceResponse`),
		rejected: 'rejectedLogRecords', file: 'logs.jsonl', items: logsOf,
	},
};

const idFields = new Set(['traceId', 'spanId', 'parentSpanId']);
const ranges = {
	int32: [-(2n ** 31n), 2n ** 31n - 1n], uint32: [0n, 2n ** 32n - 1n], fixed32: [0n, 2n ** 32n - 1n],
	int64: [-(2n ** 63n), 2n ** 63n - 1n], uint64: [0n, 2n ** 64n - 1n], fixed64: [0n, 2n ** 64n - 1n],
	sint64: [-(2n ** 63n), 2n ** 63n - 1n], sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
};

// One value of a field by OTLP's JSON mapping: https://opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"
function jsonValue(field, v, at) {
	const type = field.resolvedType;
	if (type instanceof protobuf.Type)
		return jsonMessage(type, v, at);
	if (type instanceof protobuf.Enum) {
		if (!Number.isInteger(v)) // names are not allowed
			throw new Error(`${at}: an enum is a number`);
		if (type.valuesById[v] === undefined)
			throw new Error(`${at}: ${v} is no ${type.name}`);
		return v;
	}
	if (field.type === 'bytes') {
		if (typeof v !== 'string')
			throw new Error(`${at}: bytes are text`);
		if (idFields.has(field.name)) {
			if (!/^([0-9a-fA-F]{2})*$/.test(v))
				throw new Error(`${at}: an id is hex`);
			return Buffer.from(v, 'hex');
		}
		if (Buffer.from(v, 'base64').toString('base64') !== v)
			throw new Error(`${at}: no base64`);
		return Buffer.from(v, 'base64');
	}
	if (field.type === 'string' || field.type === 'bool') {
		if (typeof v !== (field.type === 'string' ? 'string' : 'boolean'))
			throw new Error(`${at}: expected a ${field.type}`);
		return v;
	}
	if (field.type === 'double') {
		if (typeof v === 'number' || ['NaN', 'Infinity', '-Infinity'].includes(v))
			return Number(v);
		throw new Error(`${at}: expected a number`);
	}
	const range = ranges[field.type];
	if (!range || !/^-?[0-9]+$/.test(String(v)) || (typeof v === 'number' && !Number.isSafeInteger(v)))
		throw new Error(`${at}: expected ${field.type}, got ${JSON.stringify(v)}`);
	if (BigInt(v) < range[0] || BigInt(v) > range[1])
		throw new Error(`${at}: ${v} is out of range`);
	return field.type.includes('64') ? protobuf.util.Long.fromString(String(v), !field.type.startsWith('int')) : Number(v);
}

function jsonMessage(type, o, at) {
	if (o === null || typeof o !== 'object' || Array.isArray(o))
		throw new Error(`${at}: expected an object`);
	const result = {}, chosen = {};
	for (const [name, v] of Object.entries(o)) {
		const field = type.fields[name];
		if (!field)
			throw new Error(`${at}: unknown field ${name} of ${type.name}`);
		field.resolve();
		if (field.partOf) {
			if (chosen[field.partOf.name])
				throw new Error(`${at}: both ${chosen[field.partOf.name]} and ${name}`);
			chosen[field.partOf.name] = name;
		}
		if (field.repeated) {
			if (!Array.isArray(v))
				throw new Error(`${at}.${name}: expected a list`);
			result[name] = v.map((x, i) => jsonValue(field, x, `${at}.${name}[${i}]`));
		} else {
			result[name] = jsonValue(field, v, `${at}.${name}`);
		}
	}
	return type.create(result);
}

// Unknown fields are skipped by every protobuf library; encoded again they are missing.
function decode(type, bytes) {
	const message = type.decode(bytes);
	const again = type.encode(message).finish();
	if (again.length !== bytes.length)
		throw new Error(`protobuf: ${bytes.length} bytes, ${again.length} are known fields`);
	return message;
}

const hex = (b) => Buffer.from(b ?? []).toString('hex');

function value(v) {
	if (!v)
		return null;
	switch (v.value) {
	case 'stringValue': return v.stringValue;
	case 'boolValue': return v.boolValue;
	case 'intValue': return Number.isSafeInteger(Number(v.intValue)) ? Number(v.intValue) : String(v.intValue);
	case 'doubleValue': return v.doubleValue;
	case 'arrayValue': return v.arrayValue.values.map(value);
	case 'kvlistValue': return attributes(v.kvlistValue.values, 'kvlist');
	case 'bytesValue': return Buffer.from(v.bytesValue).toString('base64');
	default: return null;
	}
}

function attributes(list, at) {
	const o = {};
	for (const { key, value: v } of list) {
		if (!key)
			throw new Error(`${at}: an attribute without a key`);
		if (Object.hasOwn(o, key))
			throw new Error(`${at}: attribute ${key} twice`);
		o[key] = value(v);
	}
	return o;
}

function id(bytes, n, at) {
	if (bytes.length !== n || !bytes.some((b) => b))
		throw new Error(`${at}: an id has ${n} bytes, not all of them zero`);
	return hex(bytes);
}

function envelope(resource, scope) {
	return {
		resource: attributes(resource?.attributes ?? [], 'resource'),
		scope: { name: scope?.name ?? '', version: scope?.version ?? '' },
	};
}

function spansOf(request) {
	return request.resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans.map((x) => {
		if (BigInt(x.endTimeUnixNano) < BigInt(x.startTimeUnixNano))
			throw new Error(`span ${x.name}: ends before it starts`);
		if (!x.name)
			throw new Error('a span without a name');
		return {
			...envelope(r.resource, s.scope),
			trace: id(x.traceId, 16, x.name), span: id(x.spanId, 8, x.name),
			parent: x.parentSpanId?.length ? id(x.parentSpanId, 8, x.name) : null,
			name: x.name, kind: x.kind, flags: x.flags,
			start: String(x.startTimeUnixNano), end: String(x.endTimeUnixNano),
			attributes: attributes(x.attributes, x.name),
			events: x.events.map((e) => ({ name: e.name, time: String(e.timeUnixNano), attributes: attributes(e.attributes, e.name) })),
			links: x.links.map((l) => ({ trace: id(l.traceId, 16, 'link'), span: id(l.spanId, 8, 'link'), attributes: attributes(l.attributes, 'link') })),
			status: { code: x.status?.code ?? 0, message: x.status?.message ?? '' },
		};
	})));
}

function logsOf(request) {
	return request.resourceLogs.flatMap((r) => r.scopeLogs.flatMap((s) => s.logRecords.map((x) => ({
		...envelope(r.resource, s.scope),
		time: String(x.timeUnixNano), observed: String(x.observedTimeUnixNano),
		severity: x.severityNumber, severityText: x.severityText, event: x.eventName, body: value(x.body),
		attributes: attributes(x.attributes, x.eventName),
		trace: x.traceId?.length ? id(x.traceId, 16, 'log') : null,
		span: x.spanId?.length ? id(x.spanId, 8, 'log') : null,
	}))));
}

let mode = { mode: 'ok' };
const append = (name, o) => fs.appendFileSync(path.join(out, name), `${JSON.stringify(o)}\n`);

function answer(res, kind, json, status, o, headers = {}) {
	const body = json ? JSON.stringify(o) : kind && status === 200 ? Buffer.from(kind.response.encode(kind.response.fromObject(o)).finish()) : Buffer.alloc(0);
	res.writeHead(status, { 'Content-Type': json ? 'application/json' : 'application/x-protobuf', ...headers });
	res.end(body);
}

function receive(req, res, bytes) {
	if (req.url === '/control') {
		mode = JSON.parse(bytes);
		res.end('ok\n');
		return;
	}
	const kind = kinds[req.url], json = req.headers['content-type'] === 'application/json';
	try {
		if (req.method !== 'POST' || !kind)
			throw Object.assign(new Error('no such path'), { status: 404 });
		if (token && req.headers.authorization !== `Bearer ${token}`)
			throw Object.assign(new Error('no valid token'), { status: 401 });
		if (!json && req.headers['content-type'] !== 'application/x-protobuf')
			throw Object.assign(new Error('unknown content type'), { status: 415 });
		if (req.headers['content-encoding'] === 'gzip')
			bytes = zlib.gunzipSync(bytes);
		else if (req.headers['content-encoding'])
			throw Object.assign(new Error('unknown encoding'), { status: 415 });
		if (mode.mode === 'status') {
			append('requests.jsonl', { url: req.url, status: mode.code });
			answer(res, kind, json, mode.code, { message: 'as told' }, mode.retry_after ? { 'Retry-After': String(mode.retry_after) } : {});
			return;
		}
		const request = json ? jsonMessage(kind.request, JSON.parse(bytes), '$') : decode(kind.request, bytes);
		// both ways come to the same message
		const items = kind.items(kind.request.decode(kind.request.encode(request).finish()));
		if (mode.mode === 'refuse' && items.some((x) => x.attributes['waveos.seq'] === mode.seq))
			throw Object.assign(new Error(`seq ${mode.seq} is not wanted`), { status: 400, told: true });
		for (const x of items)
			append(kind.file, x);
		append('requests.jsonl', { url: req.url, status: 200, json, items: items.length, bytes: bytes.length, wire: Number(req.headers['content-length']) });
		const rejected = mode.mode === 'partial' ? mode.rejected : 0;
		answer(res, kind, json, 200, rejected ? { partialSuccess: { [kind.rejected]: json ? String(rejected) : rejected, errorMessage: 'as told' } } : {});
	} catch (e) {
		const status = e.status ?? 400;
		append('requests.jsonl', { url: req.url, status });
		if (!e.told)
			append('bad.jsonl', { url: req.url, status, error: e.message });
		answer(res, kind, json, status, { code: 3, message: e.message });
	}
}

function serve(req, res) {
	const parts = [];
	req.on('data', (b) => parts.push(b));
	req.on('end', () => {
		const run = () => receive(req, res, Buffer.concat(parts));
		if (mode.mode === 'slow' && req.url !== '/control')
			setTimeout(run, mode.ms);
		else
			run();
	});
}

const tls = option('tls', 2);
const server = tls ? https.createServer({ key: fs.readFileSync(tls[0]), cert: fs.readFileSync(tls[1]) }, serve) : http.createServer(serve);
server.listen(Number(option('port') ?? 0), '127.0.0.1', () => console.log(server.address().port));
