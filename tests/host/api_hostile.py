#!/usr/bin/env python3
"""Requests that no decent client sends: each is answered with an error or a closed connection, and the server goes on.
usage: api_hostile.py PORT TOKEN"""
import socket
import sys
import time

port, token = int(sys.argv[1]), sys.argv[2]
auth = f"Authorization: Bearer {token}\r\n".encode()


def ask(data, wait=3.0):
    s = socket.create_connection(("127.0.0.1", port), timeout=wait)
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        out = b""
        while len(out) < 1 << 20:
            piece = s.recv(65536)
            if not piece:
                break
            out += piece
        return out
    except (ConnectionError, socket.timeout):
        return b""
    finally:
        s.close()


def head(line, *headers, host=b"127.0.0.1"):
    return line + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n"


bad = [
    b"\0" * 1000,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /api/v1/events\r\n\r\n",
    head(b"GET /api/v1/events" + b"/" * 20000),
    head(b"GET /api/v1/events?" + b"&".join(b"k%d=v" % i for i in range(100)), auth.strip()),
    head(b"GET /api/v1/events?type=" + b"A" * 5000, auth.strip()),
    head(b"GET /api/v1/events?type=%00%0d%0aX:y", auth.strip()),
    head(b"GET /api/v1/%2e%2e/%2e%2e/etc/passwd", auth.strip()),
    head(b"GET /api/v1/events/99999999999999999999999/proof", auth.strip()),
    head(b"GET /api/v1/whoami", b"Authorization: Bearer " + b"x" * 10000),
    head(b"GET /api/v1/whoami", b"Authorization: Bearer \x00\x01\xff"),
    head(b"GET /api/v1/whoami", b"Authorization: Bearer"),
    head(b"GET /api/v1/whoami", auth.strip(), host=b"a" * 5000),
    head(b"POST /api/v1/policy/apply", auth.strip(), b"Content-Length: 99999999999999999999"),
    head(b"POST /api/v1/policy/apply", auth.strip(), b"Content-Length: -1"),
    head(b"POST /api/v1/policy/apply", auth.strip(), b"Content-Length: 10", b"Content-Length: 20") + b"x" * 20,
    head(b"POST /api/v1/policy/apply", auth.strip(), b"Content-Length: 10", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    head(b"POST /api/v1/policy/apply", auth.strip(), b"Transfer-Encoding: chunked") + b"ffffffffffffffff\r\nx",
    head(b"POST /api/v1/policy/apply", auth.strip(), b"Content-Length: 1000") + b"x" * 10,
    head(b"DELETE /api/v1/policy", auth.strip()),
    head(b"TRACE /", auth.strip()),
    head(b"CONNECT 10.0.0.1:80"),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
]
for data in bad:
    answer = ask(data)
    first = answer.split(b"\r\n", 1)[0]
    if first and not (first.startswith(b"HTTP/1.") and first.split(b" ")[1][:1] in (b"2", b"4", b"5")):
        sys.exit(f"{data[:60]!r} gave {first!r}")
    if first.split(b" ")[1:2] == [b"200"] and b"proof" in data.split(b"\r\n")[0]:
        sys.exit(f"{data[:60]!r} was done")
    if token.encode() in answer:
        sys.exit("a token comes back")

# slow ones: as many as there may be from one address; others of this machine wait at most for their timeout
slow = []
for i in range(10):
    s = socket.create_connection(("127.0.0.1", port), timeout=5)
    s.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
    slow.append(s)
begin = time.monotonic()
answer = ask(head(b"GET /healthz", b"Connection: close"))
took = time.monotonic() - begin
if b" 200 " not in answer.split(b"\r\n", 1)[0] + b" " or took > 1:
    sys.exit(f"beside slow clients: {took:.2f} s, {answer[:60]!r}")
deadline = time.monotonic() + 30
while slow and time.monotonic() < deadline:
    for s in list(slow):
        try:
            s.settimeout(0.2)
            s.sendall(b"a")
            if s.recv(1) == b"":
                raise ConnectionError
        except socket.timeout:
            continue
        except ConnectionError:
            s.close()
            slow.remove(s)
if slow:
    sys.exit(f"{len(slow)} clients that send a byte now and then were not ended within 30 s")
print(f"hostile: {len(bad)} requests, {10 - len(slow)} of 10 slow clients that trickle were ended within 30 s")
