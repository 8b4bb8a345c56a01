# Traffic for 75-proxy.sh: raw bytes to a real HAProxy, with servers behind it that tell what reached them.
#   proxy_traffic.py PORT PART...    PORT: the first of thirteen that are free
import json, os, socket, ssl, struct, subprocess, sys, threading, time, warnings

BASE = int(sys.argv[1])
TMP, BIN, ROOT = os.environ["TMP"], os.environ["BIN"], os.environ["ROOT"]
warnings.simplefilter("ignore", DeprecationWarning)  # old versions of TLS are tried on purpose
failures = []
web = None


def check(what, ok, detail=""):
    if not ok:
        failures.append(f"{what}: {detail}")
        print(f"FAIL: {what}: {detail}", file=sys.stderr)


class Server:
    """HTTP or bytes, one thread a connection; keeps what it received."""

    def __init__(self, port, raw=False, tls=None):
        self.seen, self.now, self.peak, self.raw, self.tls = [], 0, 0, raw, tls
        self.status, self.delay, self.lock = 200, 0.0, threading.Lock()
        self.sock = socket.create_server(("127.0.0.1", port), backlog=200)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def accept(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            c.settimeout(10)
            if self.tls:
                c = self.tls.wrap_socket(c, server_side=True)
            self.bytes(c) if self.raw else self.http(c)
        except (OSError, ValueError):
            pass
        finally:
            c.close()

    def bytes(self, c):
        first = c.recv(65536)
        while first and not first.endswith(b"hello"):  # the PROXY header may come alone
            more = c.recv(65536)
            if not more:
                break
            first += more
        if first:
            with self.lock:
                self.seen.append(first)
            c.sendall(b"got " + first[-5:])
            while c.recv(65536):
                pass

    def http(self, c):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = c.recv(65536)
                if not more:
                    return
                data += more
            head, data = data.split(b"\r\n\r\n", 1)
            low = head.lower()
            if b"transfer-encoding: chunked" in low:
                while not data.endswith(b"0\r\n\r\n"):
                    data += c.recv(65536)
                body, data = data, b""
            else:
                length = 0
                for line in low.split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line[15:])
                while len(data) < length:
                    data += c.recv(65536)
                body, data = data[:length], data[length:]
            probe = head.startswith(b"GET /health ")
            if not probe:
                with self.lock:
                    self.seen.append(head + b"\r\n\r\n" + body)
                    self.now += 1
                    self.peak = max(self.peak, self.now)
                time.sleep(self.delay)
                with self.lock:
                    self.now -= 1
            c.sendall(b"HTTP/1.1 %d x\r\nContent-Length: 2\r\n\r\nok" % self.status)
            if b"connection: close" in low:
                return


def connect(port, source=None):
    return socket.create_connection(("127.0.0.1", port), timeout=8, source_address=(source, 0) if source else None)


def read_all(s):
    data = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                break
            data += more
    except (TimeoutError, ConnectionResetError, ssl.SSLError):
        pass
    return data


def ask(port, request, source=None):
    """Sends bytes, returns (status or 0 where there is no answer, whole answer)."""
    s = connect(port, source)
    with s:
        s.sendall(request)
        data = read_all(s)
    return (int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/1.") else 0), data


def get(path="/", more="", method="GET", host="a"):
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def post(body, kind="application/json", more=""):
    body = body if isinstance(body, bytes) else body.encode()
    return f"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def status():
    out = subprocess.run([BIN, "proxy", "status", "--json", "--root", ROOT], capture_output=True, text=True)
    return json.loads(out.stdout) if out.returncode == 0 else None


def wait(seconds, what, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    check(what, False, f"not within {seconds} s")
    return False


def proxy(name):
    s = status()
    return next((p for p in s["proxies"] if p["name"] == name), None) if s else None


H = b"Host: a\r\n"
P = b"POST / HTTP/1.1\r\n" + H
TE = b"Transfer-Encoding: chunked\r\n"
# What a strict proxy answers. 0: nothing, the connection is closed.
FRAMING = [
    ("plain", b"GET / HTTP/1.1\r\n" + H + b"\r\n", 200),
    ("http10", b"GET / HTTP/1.0\r\n" + H + b"\r\n", 200),
    ("length", P + b"Content-Length: 5\r\n\r\nhello", 200),
    ("length-zero", P + b"Content-Length: 0\r\n\r\n", 200),
    ("chunked", P + TE + b"\r\n5\r\nhello\r\n0\r\n\r\n", 200),
    ("chunk-extension", P + TE + b"\r\n5;a=b\r\nhello\r\n0\r\n\r\n", 200),
    ("nul-in-body", P + b"Content-Length: 5\r\n\r\nh\0llo", 200),
    ("absolute-form", b"GET http://a/ HTTP/1.1\r\n" + H + b"\r\n", 200),
    ("length+chunked", P + b"Content-Length: 5\r\n" + TE + b"\r\n0\r\n\r\n", 400),
    ("chunked+length", P + TE + b"Content-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("chunked+length0", P + TE + b"Content-Length: 0\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two-lengths", P + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    ("two-equal-lengths", P + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("length-list", P + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    ("length-plus", P + b"Content-Length: +5\r\n\r\nhello", 400),
    ("length-minus", P + b"Content-Length: -1\r\n\r\nhello", 400),
    ("length-hex", P + b"Content-Length: 0x5\r\n\r\nhello", 400),
    ("length-empty", P + b"Content-Length: \r\n\r\nhello", 400),
    ("length-space", P + b"Content-Length: 5 5\r\n\r\nhello", 400),
    ("length-huge", P + b"Content-Length: 99999999999999999999999\r\n\r\nhello", 400),
    ("te-twice", P + TE + TE + b"\r\n0\r\n\r\n", 400),
    ("te-identity", P + b"Transfer-Encoding: identity\r\n\r\n", 400),
    ("te-chunked-identity", P + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    ("te-gzip-chunked", P + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400, 422)),
    ("te-xchunked", P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("te-vertical-tab", P + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("te-quoted", P + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    ("te-space-colon", P + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("te-http10", b"POST / HTTP/1.0\r\n" + H + TE + b"\r\n0\r\n\r\n", 400),
    ("te-folded", P + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    ("te-underscore", P + b"Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunk-size-letter", P + TE + b"\r\nZ\r\nhello\r\n0\r\n\r\n", 400),
    ("chunk-size-minus", P + TE + b"\r\n-5\r\nhello\r\n0\r\n\r\n", 400),
    ("chunk-size-0x", P + TE + b"\r\n0x5\r\nhello\r\n0\r\n\r\n", 400),
    ("chunk-size-huge", P + TE + b"\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400),
    ("chunk-no-crlf", P + TE + b"\r\n5\r\nhelloXX0\r\n\r\n", 400),
    ("folded", b"GET / HTTP/1.1\r\n" + H + b"X: 1\r\n 2\r\n\r\n", 400),
    ("folded-first", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("nul-in-value", b"GET / HTTP/1.1\r\n" + H + b"X: a\0b\r\n\r\n", 400),
    ("nul-in-name", b"GET / HTTP/1.1\r\n" + H + b"X\0: a\r\n\r\n", 400),
    ("nul-in-target", b"GET /\0 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("space-before-colon", b"GET / HTTP/1.1\r\n" + H + b"X : a\r\n\r\n", 400),
    ("space-in-name", b"GET / HTTP/1.1\r\n" + H + b"X y: a\r\n\r\n", 400),
    ("empty-name", b"GET / HTTP/1.1\r\n" + H + b": a\r\n\r\n", 400),
    ("no-colon", b"GET / HTTP/1.1\r\n" + H + b"nocolon\r\n\r\n", 400),
    ("underscore-name", b"GET / HTTP/1.1\r\n" + H + b"X_Y: a\r\n\r\n", 400),
    ("control-in-value", b"GET / HTTP/1.1\r\n" + H + b"X: a\x01b\r\n\r\n", 400),
    ("bare-lf", b"GET / HTTP/1.1\n" + b"Host: a\n\n", 400),
    ("bare-lf-line", b"GET / HTTP/1.1\r\n" + H + b"X: a\nY: b\r\n\r\n", 400),
    ("bare-cr", b"GET / HTTP/1.1\r\n" + H + b"X: a\rY: b\r\n\r\n", 400),
    ("bare-cr-end", b"GET / HTTP/1.1\r\n" + H + b"X: a\r\r\n\r\n", 400),
    ("host-missing", b"GET / HTTP/1.1\r\nX: a\r\n\r\n", 400),
    ("host-twice", b"GET / HTTP/1.1\r\n" + H + H + b"\r\n", 400),
    ("host-two", b"GET / HTTP/1.1\r\n" + H + b"Host: b\r\n\r\n", 400),
    ("host-path", b"GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n", 400),
    ("host-space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("absolute-other-host", b"GET http://b/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("target-star", b"GET * HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("target-fragment", b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("target-8bit", b"GET /\xff HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("target-two-spaces", b"GET  / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("target-tab", b"GET\t/\tHTTP/1.1\r\n" + H + b"\r\n", 400),
    ("target-three-words", b"GET / x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("method-odd", b"G@T / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("method-small", b"get / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("version-09", b"GET / HTTP/0.9\r\n" + H + b"\r\n", 400),
    ("version-12", b"GET / HTTP/1.2\r\n" + H + b"\r\n", 400),
    ("version-20", b"GET / HTTP/2.0\r\n" + H + b"\r\n", 400),
    ("h2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("empty-lines-first", b"\r\n\r\nGET / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("connect", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
    ("connection-names-length", P + b"Content-Length: 5\r\nConnection: Content-Length\r\n\r\nhello", 400),
]


def web_server():
    """The server that the HTTP proxies share, and that all of them find well."""
    global web
    if not web:
        web = Server(BASE + 1)
        names = ("strict", "limits", "json", "normalise", "budgets", "queue")
        wait(10, "servers are well", lambda: all(proxy(n)["servers"][0]["breaker"] == "closed" for n in names))
    wait(5, "server is idle", lambda: web.now == 0)
    web.status, web.delay, web.peak = 200, 0.0, 0
    web.seen.clear()
    return web


def framing():
    up = web_server()
    for name, request, want in FRAMING:
        up.seen.clear()
        got, answer = ask(BASE, request)
        wanted = want if isinstance(want, tuple) else (want,)
        check(f"framing {name}", got in wanted, f"expected {want}, got {got}: {answer[:60]!r}")
        # whatever is refused never reached the server
        check(f"framing {name} reaches server", bool(up.seen) == (200 in wanted), up.seen[:1])
    # two requests at once: the second one is not served on the same connection
    up.seen.clear()
    got, answer = ask(BASE, get("/1") + get("/2"))
    check("pipelined", answer.count(b"HTTP/1.1 200") == 1 and len(up.seen) == 1, (answer, up.seen))
    # a change of protocol is not passed on
    up.seen.clear()
    ask(BASE, get("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"))
    check("upgrade", up.seen and b"upgrade:" not in up.seen[0].lower() and b"http2-settings:" not in up.seen[0].lower(),
          up.seen)
    # a head in many pieces is judged whole
    s = connect(BASE)
    for byte in (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"):
        s.sendall(bytes([byte]))
    check("folded in pieces", read_all(s).startswith(b"HTTP/1.1 400"))
    # the normalising proxy keeps connections and hands on one meaning only
    up.seen.clear()
    got, answer = ask(BASE + 4, P + b"Content-Length: 5\r\n" + TE + b"\r\n0\r\n\r\n")
    check("normalise", got == 200 and b"content-length" not in up.seen[0].lower(), (got, up.seen))
    got, answer = ask(BASE + 4, get("/1") + get("/2", "Connection: close\r\n"))
    check("normalise keeps connections", answer.count(b"HTTP/1.1 200") == 2, answer)


def limits():
    up = web_server()
    cases = [
        ("method", get(method="DELETE"), 405),
        ("uri", get("/" + "a" * 300), 414),
        ("uri just right", get("/" + "a" * 255), 200),
        ("headers", get("/", "".join(f"X-{i}: a\r\n" for i in range(20))), 431),
        ("header bytes", get("/", "X-Long: " + "a" * 2000 + "\r\n"), 431),
        ("more than a buffer", get("/", "X-Long: " + "a" * 40000 + "\r\n"), 0),
        ("host", get(host="b"), 421),
        ("host with port", get(host="A:80"), 200),
        ("denied header", get("/", "X-Debug: 1\r\n"), 400),
        ("header value", get("/", "X-Unit: 12345\r\n"), 400),
        ("header value, second line", get("/", "X-Unit: 1\r\nX-Unit: x\r\n"), 400),
        ("header value right, twice", get("/", "X-Unit: 1\r\nX-Unit: 2\r\n"), 400),
        ("header value right", get("/", "X-Unit: 1234\r\n"), 200),
        ("quote in a pattern", get("/", "X-Quote: a'b\r\n"), 200),
        ("quote in a pattern, wrong", get("/", "X-Quote: ab\r\n"), 400),
        ("content type", post("{}", "text/plain"), 415),
        ("content type missing", P + b"Content-Length: 2\r\n\r\n{}", 415),
        ("content type twice", post("{}", more="Content-Type: text/html\r\n"), 415),
        ("content type prefix", post("{}", "application/jsonx"), 415),
        ("content type parameter", post("{}", "application/json; charset=utf-8"), 200),
        ("body", post("[" + "1," * 600 + "1]"), 413),
        ("chunked body", P + b"Content-Type: application/json\r\n" + TE + b"\r\n7d0\r\n" + b" " * 2000 + b"\r\n0\r\n\r\n", 413),
        ("length of a body that never comes", P + b"Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n", 413),
    ]
    for name, request, want in cases:
        up.seen.clear()
        got, answer = ask(BASE + 2, request)
        check(f"limit {name}", got == want, f"expected {want}, got {got}: {answer[:80]!r}")
        check(f"limit {name} reaches server", bool(up.seen) == (want == 200), up.seen[:1])
    up.seen.clear()
    ask(BASE + 2, get("/", "Accept: x\r\nX-Other: y\r\nX-Forwarded-For: 1.2.3.4\r\n"))
    head = up.seen[0].lower()
    check("only allowed headers pass", b"accept: x" in head and b"x-other" not in head, head)
    check("who asks is told by the proxy", head.count(b"x-forwarded-for") == 1 and b"x-forwarded-for: 127.0.0.1" in head, head)
    got, _ = ask(BASE + 2, P + TE + b"\r\n2\r\n{}\r\n0\r\n\r\n")
    check("chunked with a type missing", got == 415, got)
    got, _ = ask(BASE + 5, P + TE + b"\r\n2\r\n{}\r\n0\r\n\r\n")
    check("chunked where not allowed", got == 411, got)


def schema():
    up = web_server()
    good = '{"unit": 7, "name": "x"}'
    cases = [
        (good, 200), (' { "name" : "x\\u0041" ,\n"unit":-1.5e+3 , "more":[1,{"a":true,"b":null}]} ', 200),
        ('{"unit": 7, "name": "x", "a": {"b": {"c": {"d": 1}}}}', 422),  # four deep
        ('{"unit": 7, "name": "x", "a": {"b": {"c": 1}}}', 200),  # three
        ('[[[[1]]]]', 422), ('{"unit": 7}', 422), ('{"name": "x"}', 422), ('{"unit": "7", "name": "x"}', 422),
        ('{"a": {"unit": 7, "name": "x"}}', 422), ('{"unit": 7, "name": "x", "unit": 8}', 422),
        ('{"unit": 7, "name": "x", "\\u0075nit": 8}', 422), ('{"x": "\\"unit\\": 7", "name": "x"}', 422),
        ("{'unit': 7, 'name': 'x'}", 422), ('{"unit": 07, "name": "x"}', 422), ('{"unit": 7, "name": "x",}', 422),
        ('{"unit": 7 "name": "x"}', 422), ('{"unit": NaN, "name": "x"}', 422), (good + "x", 422), ("x" + good, 422),
        ('{"unit": 7, "name": "a\tb"}', 422), ('{"unit": 7, "name": "\\x41"}', 422), ('{"unit": 7, "name": "x"', 422),
        (good.encode() + b"\0{}", 422), (b"\0" + good.encode(), 422), ('{"unit": 1., "name": "x"}', 422), ("", 200),
        (" ", 422), ("[" + "1," * 450 + "1]", 422), ('{"unit": 7, "name": "' + "x" * 900 + '"}', 200),
        ('{"unit": 7, "name": "x", "l": [' + "[1]," * 200 + "1]}", 200),
    ]
    for body, want in cases:
        up.seen.clear()
        got, answer = ask(BASE + 3, post(body))
        check(f"json {body[:60]!r}", got == want, f"expected {want}, got {got}: {answer[-40:]!r}")
        check(f"json {body[:60]!r} reaches server", bool(up.seen) == (want == 200))
    got, _ = ask(BASE + 3, P + b"Content-Type: application/json\r\n" + TE + b"\r\n6\r\n{\"unit\r\n12\r\n\": 7, \"name\": \"x\"}\r\n0\r\n\r\n")
    check("json in chunks", got == 200, got)


def slow():
    up = web_server()
    for name, first, drip, least, most in (
            ("head", b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: a\r\n", 0.8, 3.0),
            ("body", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n", b" ", 0.8, 3.0)):
        s = connect(BASE + 2)
        s.sendall(first)
        begin = time.monotonic()
        s.settimeout(0.1)
        data = None
        while data is None and time.monotonic() - begin < 6:
            try:
                s.sendall(drip)
                data = s.recv(1000)
            except TimeoutError:
                pass
            except (ConnectionResetError, BrokenPipeError):
                data = b""
        took = time.monotonic() - begin
        check(f"slow {name}", data is not None and least < took < most and (not data or b" 408 " in data), (took, data))
    s = connect(BASE + 2)
    begin = time.monotonic()
    check("idle connection is closed", read_all(s) == b"" and time.monotonic() - begin < 4, time.monotonic() - begin)
    up.delay = 3
    got, _ = ask(BASE + 2, get())
    check("silent server", got == 504, got)
    check("nothing of slow bodies reached the server", len(up.seen) == 1, up.seen)


def budgets():
    up = web_server()
    # connections of one client: five, others are closed
    held = [connect(BASE + 5, "127.0.0.11") for _ in range(5)]
    time.sleep(0.2)
    got, answer = ask(BASE + 5, get(), "127.0.0.11")
    check("connections of a client", got == 0, answer)
    got, answer = ask(BASE + 5, get(), "127.0.0.12")
    check("connections of another client", got == 200, answer)
    for s in held:
        s.close()
    # requests of one client: twenty a second
    answers = [ask(BASE + 5, get(), "127.0.0.13") for _ in range(60)]
    over = [a for a in answers if a[0] == 429]
    check("rate of a client", 15 <= 60 - len(over) <= 40 and all(b"retry-after: 1" in a[1].lower() for a in over),
          [a[0] for a in answers])
    got, answer = ask(BASE + 5, get(), "127.0.0.14")
    check("rate of another client", got == 200, answer)
    # all clients together: one hundred a second, and refused ones do not count
    time.sleep(1.2)
    counts = {}
    for i in range(400):
        got, _ = ask(BASE + 5, get(), f"127.0.1.{i % 40 + 1}")
        counts[got] = counts.get(got, 0) + 1
    check("rate of all", counts.get(503, 0) > 100 and 60 <= counts.get(200, 0) <= 220, counts)


def queue():
    up = web_server()
    up.delay = 1.2
    got, lock = {}, threading.Lock()

    def one(i):
        begin = time.monotonic()
        code, answer = ask(BASE + 6, get(), f"127.0.2.{i + 1}")
        with lock:
            got.setdefault(code, []).append((time.monotonic() - begin, b"retry-after: 1" in answer.lower()))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
        time.sleep(0.02)
    for t in threads:
        t.join()
    # two at the server, four wait (and give up after half a second), the rest is told at once
    busy = got.get(503, [])
    check("queue", len(got.get(200, [])) == 2 and len(busy) == 10, {k: len(v) for k, v in got.items()})
    check("requests at the server at once", up.peak == 2, up.peak)
    check("503 with Retry-After", all(b for _, b in busy), busy)
    check("some wait, some are refused at once", sum(t < 0.3 for t, _ in busy) == 6 and sum(0.4 < t < 1 for t, _ in busy) == 4,
          sorted(t for t, _ in busy))


def breaker():
    name = "break"
    up = Server(BASE + 12)
    state = lambda: proxy(name)["servers"][0]["breaker"]
    wait(5, "breaker is closed at first", lambda: proxy(name) and state() == "closed")
    opened = proxy(name)["servers"][0]["breaker_opened_total"]
    # five failures in a row open it at once; the next request is refused by the proxy
    up.status = 500
    for _ in range(5):
        ask(BASE + 7, get())
    before = len(up.seen)
    got, answer = ask(BASE + 7, get())
    check("breaker opens", got == 503 and b"retry-after" in answer.lower() and len(up.seen) == before, (got, len(up.seen)))
    wait(3, "breaker is told open", lambda: state() in ("open", "half-open"))
    # probes find it well: half-open, then closed; requests pass again
    up.status = 200
    wait(5, "breaker closes", lambda: state() == "closed")
    got, _ = ask(BASE + 7, get())
    check("requests pass again", got == 200, got)
    check("opened once", proxy(name)["servers"][0]["breaker_opened_total"] == opened + 1, proxy(name))
    # every second one fails: never five in a row, but half of them within the window
    end = time.monotonic() + 8
    got = 0
    while got != 503 and time.monotonic() < end:
        up.status = 500 if up.status == 200 else 200
        got, _ = ask(BASE + 7, get())
        time.sleep(0.03)  # below the budget of a client
    check("share of failures opens it", got == 503, got)
    up.status = 200
    wait(6, "breaker closes again", lambda: state() == "closed")
    # no server at all: connections fail, probes fail
    up.close()
    for _ in range(6):
        got, _ = ask(BASE + 7, get())
    check("server is gone", got == 503, got)
    wait(5, "breaker is told open when the server is gone", lambda: state() == "open")
    up = Server(BASE + 12)
    wait(6, "breaker closes when the server is back", lambda: state() == "closed")
    up.close()


def v2(source, port):
    return (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(source) + socket.inet_aton("127.0.0.1") +
            struct.pack("!HH", 4000, port))


def tcp():
    up = Server(BASE + 9, raw=True)
    wait(5, "tcp server", lambda: proxy("raw") and proxy("raw")["servers"][0]["breaker"] == "closed")
    time.sleep(0.2)
    up.seen.clear()

    def talk(data, source="127.0.0.1"):
        s = connect(BASE + 8, source)
        s.sendall(data)
        s.settimeout(2)
        try:
            return s.recv(100)
        except (TimeoutError, ConnectionResetError):
            return b""

    check("tcp", talk(b"hello") == b"got hello")
    check("PROXY v2 out", up.seen and up.seen[-1].startswith(v2("127.0.0.1", 0)[:16]) and up.seen[-1].endswith(b"hello"), up.seen)
    check("PROXY v1 in", talk(b"PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\nhello", "127.0.0.9") == b"got hello")
    check("PROXY v1 in is told on", socket.inet_aton("192.0.2.7") in up.seen[-1], up.seen[-1:])
    check("PROXY v2 in", talk(v2("192.0.2.8", 80) + b"hello", "127.0.0.9") == b"got hello")
    check("PROXY v2 in is told on", socket.inet_aton("192.0.2.8") in up.seen[-1], up.seen[-1:])
    before = len(up.seen)
    for name, data in (("no header", b"hello"), ("bad v1", b"PROXY TCP4 x y 1 2\r\nhello"), ("bad v2", v2("1.2.3.4", 80).replace(b"\x21", b"\x31") + b"hello")):
        check(f"PROXY in: {name}", talk(data, "127.0.0.9") == b"", name)
    check("from elsewhere a header is data", talk(b"PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\nhello") == b"got hello" and
          socket.inet_aton("127.0.0.1") in up.seen[-1], up.seen[-1:])
    check("PROXY in: nothing else passed", len(up.seen) == before + 1, up.seen[before:])
    got = [talk(b"hello", "127.0.0.21") for _ in range(40)]
    check("tcp rate of a client", 10 <= got.count(b"got hello") <= 30 and talk(b"hello", "127.0.0.22") == b"got hello",
          got.count(b"got hello"))
    s = connect(BASE + 8, "127.0.0.23")
    s.sendall(b"hello")
    s.recv(100)
    begin = time.monotonic()
    check("tcp idle", read_all(s) == b"" and 0.5 < time.monotonic() - begin < 5, time.monotonic() - begin)
    up.close()


def tls():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(f"{TMP}/up.pem")
    server.load_verify_locations(f"{TMP}/ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    up = Server(BASE + 11, tls=server)
    wait(8, "server with TLS is well", lambda: proxy("tls") and proxy("tls")["servers"][0]["breaker"] == "closed")

    def talk(cert=None, version=None, ca="ca", name="a"):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.load_verify_locations(f"{TMP}/{ca}.pem")
        if cert:
            c.load_cert_chain(f"{TMP}/{cert}.pem")
        if version:
            c.minimum_version = c.maximum_version = version
            c.set_ciphers("ALL:@SECLEVEL=0")
        try:
            with c.wrap_socket(connect(BASE + 10), server_hostname=name) as s:
                s.sendall(get())
                return int(read_all(s).split(b" ", 2)[1])
        except (ssl.SSLError, OSError, IndexError) as e:
            return str(e)

    for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        check(f"mutual TLS {v.name}", talk("client", v) == 200, talk("client", v))
    seen = len(up.seen)
    check("client without a certificate", talk() != 200)
    check("client with another authority's", talk("other") != 200)
    for v in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        check(f"old version {v.name} is refused", talk("client", v) != 200)
    got, _ = ask(BASE + 10, get())
    check("no TLS at all", got != 200, got)
    check("nothing of them reached the server", len(up.seen) == seen, up.seen[seen:])
    up.close()
    # a server with a certificate for another name, or of another authority, is not talked to
    for cert in ("client", "other"):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(f"{TMP}/{cert}.pem")
        up = Server(BASE + 11, tls=server)
        wait(8, f"breaker to a server with certificate {cert}", lambda: proxy("tls")["servers"][0]["breaker"] == "open")
        check(f"server with certificate {cert}", talk("client") == 503 and not up.seen, up.seen)
        up.close()


for part in sys.argv[2:]:
    begin = time.monotonic()
    globals()[part]()
    print(f"{part}: {time.monotonic() - begin:.1f} s")
sys.exit(1 if failures else 0)
