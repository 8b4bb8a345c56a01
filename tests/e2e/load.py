#!/usr/bin/env python3
"""Load for one cgroup, until it is killed: load.py cpu|memory|network|connects|block|errors|idle|tight|logs|http DIR [PORT...]

Every kind is real work of the kernel (scheduler, page faults, TCP, block requests, signals), at a duty that leaves most
of a CPU to others.
"""
import os
import signal
import socket
import subprocess
import sys
import threading
import time


def cpu(_):
    # two threads of work that want the same CPU for a third of the time: run queue waits, switches
    def turn():
        while True:
            end = time.monotonic() + 0.02
            while time.monotonic() < end:
                pass
            time.sleep(0.06)

    os.sched_setaffinity(0, {0})
    for _ in range(2):
        if os.fork() == 0:
            turn()
    turn()


def memory(_):
    while True:
        block = bytearray(48 << 20)
        for at in range(0, len(block), 4096):
            block[at] = 1
        time.sleep(0.4)
        del block
        time.sleep(0.1)


def serve(port):
    s = socket.create_server(("127.0.0.1", port), backlog=16)

    def talk(c):
        with c:
            while data := c.recv(65536):
                c.sendall(data)

    while True:
        threading.Thread(target=talk, args=(s.accept()[0],), daemon=True).start()


def network(args):
    port, closed = int(args[1]), int(args[2])
    if os.fork() == 0:
        serve(port)
    time.sleep(0.3)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as c:
                for _ in range(20):
                    c.sendall(b"x" * 8192)
                    c.recv(65536)
        except OSError:
            pass  # a breaker refuses, as it should
        try:
            socket.create_connection(("127.0.0.1", closed), timeout=1)
        except OSError:
            pass
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
                u.sendto(b"x" * 1000, ("127.0.0.1", closed))
        except OSError:
            pass
        time.sleep(0.1)


def connects(args):
    """More connects than a budget or a breaker allows."""
    port = int(args[1])
    if os.fork() == 0:
        serve(port)
    time.sleep(0.3)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pass
        time.sleep(0.1)


def block(args):
    name = os.path.join(args[0], "block")
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    import mmap
    buf = mmap.mmap(-1, 65536)
    while True:
        for at in range(8):
            os.pwrite(fd, buf, at * 65536)
        os.fsync(fd)
        for at in range(8):
            os.preadv(fd, [buf], at * 65536)
        time.sleep(0.2)


def errors(_):
    while True:
        subprocess.run(["/bin/sh", "-c", "exit 3"], check=False)
        if os.fork() == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        os.wait()
        # a zombie for a while
        child = os.fork()
        if child == 0:
            os._exit(0)
        time.sleep(0.4)
        os.waitpid(child, 0)


def idle(_):
    while True:
        time.sleep(60)


def tight(args):
    # more pages than the cgroup may keep, more CPU than its quota
    name = os.path.join(args[0], "pages")
    with open(name, "wb") as f:
        for _ in range(40):
            f.write(bytes(1 << 20))
    while True:
        with open(name, "rb", buffering=0) as f:
            while f.read(1 << 20):
                pass
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        time.sleep(1)


def logs(args):
    port = int(args[1])
    n = 0
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as c:
                while True:
                    c.sendall(b"<13>1 - host load 1 - - line %d\n" % n)
                    n += 1
                    time.sleep(0.05)
        except OSError:
            time.sleep(0.2)


def http(args):
    """A server behind the proxy, and a client in front of it."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    import urllib.request

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def handle(self):
            try:
                super().handle()
            except ConnectionError:
                pass  # a probe that has seen enough

        def log_message(self, *_):
            pass

    if os.fork() == 0:
        HTTPServer(("127.0.0.1", int(args[1])), Answer).serve_forever()
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{args[2]}/", timeout=2).read()
        except OSError:
            pass
        time.sleep(0.1)


{f.__name__: f for f in (cpu, memory, network, connects, block, errors, idle, tight, logs, http)}[sys.argv[1]](sys.argv[2:])
