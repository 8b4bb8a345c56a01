#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A stub of an API server of Kubernetes, for tests without one: lists and watches two collections that lie in files.

kube-stub.py FOLDER: pods.json and waveospolicies.json are lists of objects, read anew for each list; a watch ends
with 410 when the file changed. What is patched is appended to FOLDER/patches, the port is in FOLDER/port.
"""
import http.server
import json
import os
import sys
import time
from urllib.parse import parse_qs, urlparse

FOLDER = sys.argv[1]


def version(name):
    return str(os.stat(os.path.join(FOLDER, name)).st_mtime_ns)


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def chunk(self, body):
        text = json.dumps(body).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()

    def do_GET(self):
        url = urlparse(self.path)
        name = url.path.rsplit("/", 1)[1] + ".json"
        if not os.path.exists(os.path.join(FOLDER, name)):
            return self.answer(404, {"kind": "Status", "message": "not here"})
        query = parse_qs(url.query)
        if "watch" not in query:
            with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
                items = json.load(f)
            return self.answer(200, {"metadata": {"resourceVersion": version(name)}, "items": items})
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while version(name) == query["resourceVersion"][0]:
            self.chunk({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version(name)}}})
            time.sleep(0.2)
        self.chunk({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "changed"}})
        self.wfile.write(b"0\r\n\r\n")

    def do_PATCH(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(os.path.join(FOLDER, "patches"), "ab") as f:
            f.write(self.path.encode() + b" " + body + b"\n")
        self.answer(409, {"kind": "Status", "message": "a stub keeps no status"})


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.daemon_threads = True
with open(os.path.join(FOLDER, "port.new"), "w", encoding="utf-8") as out:
    out.write(str(server.server_address[1]))
os.rename(os.path.join(FOLDER, "port.new"), os.path.join(FOLDER, "port"))
server.serve_forever()
