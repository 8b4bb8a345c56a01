# Takes POSTs and keeps their bodies: spool_receiver.py PORT FILE MODE_FILE. The mode file may hold a status to answer
# with, `slow` (an answer takes 50 ms), or `drop` (the connection is reset when the body has been read half).
import http.server
import sys
import threading
import time

port, path, mode_path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
out = open(path, 'ab', 0)
lock = threading.Lock()


def mode():
    try:
        with open(mode_path) as f:
            return f.read().strip()
    except OSError:
        return ''


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        length = int(self.headers['Content-Length'])
        now = mode()
        if now == 'drop':
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if len(body) < length:  # it died while it sent
            return
        if now == 'slow':
            time.sleep(0.05)
        code = int(now) if now.isdigit() else 200
        if code == 200:
            with lock:
                out.write(body if body.endswith(b'\n') else body + b'\n')
        self.send_response(code)
        if code in (429, 503):
            self.send_header('Retry-After', '1')
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(('127.0.0.1', port), Handler).serve_forever()
