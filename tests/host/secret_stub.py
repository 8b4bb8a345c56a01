#!/usr/bin/env python3
"""Stubs of the contracts of Vault (KV version 2), AWS Secrets Manager and Google Secret Manager, and a receiver of
webhooks that wants a token. They are no such products: they answer as the products' references say, and check what they
are sent (tokens; AWS's signature, version 4, is computed again).

    secret_stub.py CONTROL LOG TLS_PORT PLAIN_PORT CERT KEY

CONTROL is a JSON file that is read for each request: mode, value, vault_token, gcp_token, aws_key, aws_secret,
aws_session, hook_token. LOG gets a line of JSON a request.
"""
import base64
import hashlib
import hmac
import http.server
import json
import re
import ssl
import sys
import threading
import time

CONTROL, LOG = sys.argv[1:3]
lock = threading.Lock()


def control():
    with open(CONTROL) as f:
        return json.load(f)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Stub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def note(self, **fields):
        with lock, open(LOG, "a") as f:
            f.write(json.dumps(dict(fields, path=self.path)) + "\n")

    def answer(self, status, body=b"", headers=()):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def went_wrong(self, c):
        """What any server may do; whether it did."""
        mode = c.get("mode", "ok")
        if mode in ("401", "403", "404", "429", "500", "503"):
            # what a server says back must not come through: here it says the secret
            self.answer(int(mode), {"errors": [c["value"]]}, [("Retry-After", "7")] if mode == "429" else ())
        elif mode == "slow":
            time.sleep(3)
            self.close_connection = True
        elif mode == "truncated":
            self.send_response(200)
            self.send_header("Content-Length", "4096")
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"data": {"k": c["value"]}}}).encode())
            self.close_connection = True
        elif mode == "oversized":
            self.answer(200, b'{"data":"' + b"x" * (2 << 20) + b'"}')
        elif mode == "malformed":
            self.answer(200, b'{"data":{"data":{"k":"' + c["value"].encode())
        elif mode == "redirect":
            self.answer(307, headers=[("Location", "/elsewhere")])
        else:
            return False
        return True

    def vault(self, c):
        if self.headers.get("X-Vault-Token") != c["vault_token"]:
            return self.answer(403, {"errors": ["permission denied"]})
        meta = {"created_time": "2025-03-22T02:24:06.945319214Z", "deletion_time": "", "destroyed": False, "version": 2}
        if c.get("mode") in ("destroyed", "deleted"):
            meta["destroyed"] = c["mode"] == "destroyed"
            return self.answer(404, {"data": {"data": None, "metadata": meta}})
        if c.get("mode") == "kv1":
            return self.answer(200, {"data": {"k": c["value"]}})
        self.answer(200, {"data": {"data": {"k": c["value"], "other": "x"}, "metadata": meta}})

    def gcp(self, c):
        if self.headers.get("Authorization") != "Bearer " + c["gcp_token"]:
            return self.answer(401, {"error": {"code": 401}})
        data = c["value"].encode()
        sum = crc32c(data) + (c.get("mode") == "badsum")
        payload = {"data": base64.b64encode(data).decode(), "dataCrc32c": str(sum)}
        if c.get("mode") == "nosum":
            del payload["dataCrc32c"]
        if c.get("mode") == "disabled":
            return self.answer(400, {"error": {"code": 400, "status": "FAILED_PRECONDITION"}})
        self.answer(200, {"name": "projects/1/secrets/s/versions/3", "payload": payload})

    def metadata(self, c):
        if self.headers.get("Metadata-Flavor") != "Google":
            return self.answer(403)
        self.answer(200, {"access_token": c["gcp_token"], "expires_in": 3599, "token_type": "Bearer"})

    def aws_signature_is_right(self, c, body):
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/secretsmanager/aws4_request), "
                         r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", self.headers.get("Authorization", ""))
        if not m or m[1] != c["aws_key"]:
            return False
        if c.get("aws_session") and (self.headers.get("X-Amz-Security-Token") != c["aws_session"]
                                     or "x-amz-security-token" not in m[3].split(";")):
            return False
        canonical = "\n".join(["POST", "/", "", *(f"{h}:{self.headers[h].strip()}" for h in m[3].split(";")), "", m[3],
                               hashlib.sha256(body).hexdigest()])
        text = "\n".join(["AWS4-HMAC-SHA256", self.headers["X-Amz-Date"], m[2],
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + c["aws_secret"]).encode()
        for part in m[2].split("/"):
            key = sign(key, part)
        return hmac.compare_digest(sign(key, text).hex(), m[4])

    def aws(self, c, body):
        def error(status, name):
            self.answer(status, {"__type": "com.amazonaws.secretsmanager#" + name, "Message": c["value"]})

        if not self.aws_signature_is_right(c, body):
            return error(400, "InvalidSignatureException")
        if self.headers["X-Amz-Target"] != "secretsmanager.GetSecretValue":
            return error(400, "InvalidRequestException")
        if json.loads(body)["SecretId"] != "prod/hook":
            return error(400, "ResourceNotFoundException")
        if c.get("mode") == "throttled":
            return error(400, "ThrottlingException")
        self.answer(200, {"Name": "prod/hook", "SecretString": json.dumps({"k": c["value"]}), "CreatedDate": 1.7e9})

    def do_GET(self):
        c = control()
        self.note(method="GET")
        if self.path.startswith("/computeMetadata/"):
            return self.metadata(c)
        if self.went_wrong(c):
            return
        if re.fullmatch(r"/v1/kv/data/team/hook%20s", self.path):
            return self.vault(c)
        if re.fullmatch(r"/v1/projects/proj/secrets/hook/versions/(latest|3):access", self.path):
            return self.gcp(c)
        self.answer(404, {"errors": []})

    def do_POST(self):
        c = control()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/hook/"):
            ok = self.headers.get("Authorization") == "Bearer " + c["hook_token"]
            self.note(method="POST", ok=ok, body=json.loads(body))
            return self.answer(200 if ok else 401)
        self.note(method="POST")
        if not self.went_wrong(c):
            self.aws(c, body)


def main():
    tls = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Stub)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[5], sys.argv[6])
    # handshakes in the threads of connections: a client that waits does not keep others from being accepted
    tls.socket = context.wrap_socket(tls.socket, server_side=True, do_handshake_on_connect=False)
    plain = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[4])), Stub)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    print("ready", flush=True)
    tls.serve_forever()


main()
