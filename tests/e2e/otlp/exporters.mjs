// SPDX-License-Identifier: GPL-2.0-only
// The official exporters send a span and a log record to URL, as JSON and as protobuf: what a receiver that is one has
// to take. node exporters.mjs URL; NODE_MODULES is where they are installed.
import path from 'node:path';
import { createRequire } from 'node:module';

const require = createRequire(path.join(process.env.NODE_MODULES ?? '.', 'x.js'));
const { TracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace');
const { LoggerProvider, SimpleLogRecordProcessor } = require('@opentelemetry/sdk-logs');
const { SpanStatusCode } = require('@opentelemetry/api');

const url = process.argv[2];
for (const kind of ['http', 'proto']) {
	const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${kind}`);
	const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${kind}`);
	const failures = [];
	const checked = (exporter) => {
		const send = exporter.export.bind(exporter);
		exporter.export = (items, done) => send(items, (result) => {
			if (result.code !== 0)
				failures.push(result.error);
			done(result);
		});
		return exporter;
	};
	const tracer = new TracerProvider({
		spanProcessors: [new SimpleSpanProcessor({ exporter: checked(new OTLPTraceExporter({ url: `${url}/v1/traces` })) })],
	});
	const span = tracer.getTracer('official').startSpan(`official ${kind}`, {
		attributes: { text: 'ä', number: 1, real: 0.5, yes: true, list: ['a', 'b'] },
		links: [{ context: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 } }],
	});
	span.addEvent('happened', { why: 'test' });
	span.setStatus({ code: SpanStatusCode.ERROR, message: 'as told' });
	span.end();
	await tracer.forceFlush();
	await tracer.shutdown();

	const logger = new LoggerProvider({
		processors: [new SimpleLogRecordProcessor({ exporter: checked(new OTLPLogExporter({ url: `${url}/v1/logs` })) })],
	});
	logger.getLogger('official').emit({ severityNumber: 13, severityText: 'WARN', eventName: `official.${kind}`, body: { a: [1, null] }, attributes: { deep: { er: true } } });
	await logger.forceFlush();
	await logger.shutdown();
	if (failures.length)
		throw failures[0];
}
