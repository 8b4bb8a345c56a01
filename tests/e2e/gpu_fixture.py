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
    'waveos_gpu_idle_ratio{device="0",cause="unknown"}': 0.02,
    'waveos_gpu_bottleneck{device="0",bottleneck="input"}': 1,
    'waveos_gpu_bottleneck{device="0",bottleneck="compute"}': 0,
    'waveos_gpu_power_watts{device="0"}': 300,
}
COUNTERS = {
    'waveos_gpu_kernels_total{device="0"}': 5000,
    'waveos_gpu_memcpy_bytes_total{device="0",kind="host_to_device"}': 1e9,
    'waveos_gpu_memcpy_bytes_total{device="0",kind="device_to_host"}': 1e7,
    'waveos_gpu_activity_records_dropped_total{device="0"}': 0,
    'waveos_gpu_observed_seconds_total{device="0"}': 1,
    'waveos_gpu_kernel_seconds_total{device="0"}': 0.55,
    'waveos_gpu_communication_seconds_total{device="0",kind="exposed"}': 0.07,
    'waveos_gpu_communication_seconds_total{device="0",kind="overlapped"}': 0.05,
    'waveos_gpu_memory_seconds_total{device="0"}': 0.04,
    'waveos_gpu_idle_seconds_total{device="0",cause="input"}': 0.22,
    'waveos_gpu_idle_seconds_total{device="0",cause="host"}': 0.1,
    'waveos_gpu_idle_seconds_total{device="0",cause="unknown"}': 0.02,
}


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
