#!/usr/bin/env python3
"""A FIXTURE, not a GPU: serves series with the agreed names of a GPU node, so that the GPU dashboard's queries can be
executed where there is none. gpu_fixture.py PORT. The figures are made up and mean nothing."""
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

START = time.time()
GAUGES = {
    'waveos_gpu_info{device="0",uuid="GPU-fixture",model="fixture"}': 1,
    'waveos_gpu_busy_ratio{device="0"}': 0.61,
    'waveos_gpu_memory_used_bytes{device="0"}': 20 << 30,
    'waveos_gpu_exposed_communication_ratio{device="0"}': 0.07,
    'waveos_gpu_dataloader_stall_ratio{device="0"}': 0.22,
    'waveos_gpu_idle_ratio{device="0",cause="input"}': 0.22,
    'waveos_gpu_idle_ratio{device="0",cause="host"}': 0.1,
    'waveos_gpu_idle_ratio{device="0",cause="communication"}': 0.07,
}
COUNTERS = {
    'waveos_gpu_kernels_total{device="0"}': 5000,
    'waveos_gpu_memcpy_bytes_total{device="0",kind="host_to_device"}': 1e9,
    'waveos_gpu_memcpy_bytes_total{device="0",kind="device_to_host"}': 1e7,
    'waveos_gpu_activity_records_dropped_total{device="0"}': 0,
}
BUCKETS = [("0.00001", 0.2), ("0.0001", 0.7), ("0.001", 0.98), ("+Inf", 1)]


def text():
    seconds = time.time() - START
    lines, seen = [], set()

    def put(series, value, kind):
        name = series.split("{")[0]
        if name not in seen:
            seen.add(name)
            lines.append(f"# TYPE {name} {kind}")
        lines.append(f"{series} {value}")

    for series, value in GAUGES.items():
        put(series, value, "gauge")
    for series, rate in COUNTERS.items():
        put(series, rate * seconds, "counter")
    lines.append("# TYPE waveos_gpu_kernel_seconds histogram")
    for le, share in BUCKETS:
        lines.append(f'waveos_gpu_kernel_seconds_bucket{{device="0",le="{le}"}} {int(5000 * seconds * share)}')
    lines.append(f'waveos_gpu_kernel_seconds_sum{{device="0"}} {0.61 * seconds}')
    lines.append(f'waveos_gpu_kernel_seconds_count{{device="0"}} {int(5000 * seconds)}')
    return "\n".join(lines) + "\n"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
