#!/usr/bin/env python3
"""A source of updates that misbehaves on demand: update_server.py FOLDER CERT KEY CA PORTFILE.

HTTPS with client certificates, ETag, Range, If-Range, If-None-Match. FOLDER.mode says what is wrong:
  ok          nothing                       cut N       the connection ends after N bytes of a bundle
  norange     Range is ignored              corrupt     a byte of each bundle is another one
  busy N      503 with Retry-After: N       wrongrange  206 for another range than was asked for
  longer      a bundle has more bytes than it should
Requests are logged to FOLDER.log: path, Range, If-Range, If-None-Match, status.
"""
import hashlib
import os
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder, cert, key, ca, portfile = sys.argv[1:6]


def mode():
    try:
        words = open(folder + ".mode").read().split()
    except FileNotFoundError:
        words = []
    return words[0] if words else "ok", int(words[1]) if len(words) > 1 else 0


class Source(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        with open(folder + ".log", "a") as f:
            names = ("Range", "If-Range", "If-None-Match")
            print(self.path, *(self.headers.get(n, "-") for n in names), status, file=f)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        kind, n = mode()
        if kind == "cut" and self.path.endswith(".wvb") and n < len(body):
            self.wfile.write(body[:n])
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(body)

    def do_GET(self):
        kind, n = mode()
        path = os.path.join(folder, self.path.lstrip("/"))
        if kind == "busy":
            return self.answer(503, b"later", Retry_After=str(n))
        if not os.path.isfile(path):
            return self.answer(404, b"none")
        body = open(path, "rb").read()
        if self.path.endswith(".wvb"):
            if kind == "corrupt":
                body = body[:500] + bytes([body[500] ^ 1]) + body[501:]
            if kind == "longer":
                body += b"more"
        etag = '"%s"' % hashlib.sha256(body).hexdigest()[:16]
        if self.headers.get("If-None-Match") == etag:
            return self.answer(304, ETag=etag)
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and kind != "norange" and self.headers.get("If-Range", etag) == etag:
            first = int(wanted[6:].rstrip("-"))
            if first >= len(body):
                return self.answer(416)
            if kind == "wrongrange":
                first = max(0, first - 7)
            return self.answer(206, body[first:], ETag=etag,
                               Content_Range="bytes %d-%d/%d" % (first, len(body) - 1, len(body)))
        return self.answer(200, body, ETag=etag)


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[6]) if len(sys.argv) > 6 else 0), Source)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
context.load_verify_locations(ca)
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(portfile + ".tmp", "w") as f:
    print(server.server_address[1], file=f)
os.rename(portfile + ".tmp", portfile)
server.serve_forever()
