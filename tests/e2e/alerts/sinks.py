#!/usr/bin/python3
"""Who alerts are sent to: webhooks that behave as they are told, and a mail server (aiosmtpd) that wants STARTTLS and a login.

    sinks.py FOLDER HTTP_PORT SMTP_PORT CERT KEY

FOLDER/mode-NAME, where it exists, says how /hook/NAME and /slack/NAME behave: 500, 429, 400, hang, close. FOLDER/got has a
line of JSON for each request, FOLDER/mails one for each mail.
"""
import base64
import email
import email.policy
import http.server
import json
import os
import ssl
import sys
import threading
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

FOLDER = sys.argv[1]
lock = threading.Lock()


def note(file, **fields):
    with lock, open(os.path.join(FOLDER, file), "a") as f:
        f.write(json.dumps(dict(fields, at=time.time())) + "\n")


class Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        name = self.path.rsplit("/", 1)[1]
        try:
            with open(os.path.join(FOLDER, "mode-" + name)) as f:
                mode = f.read().strip()
        except FileNotFoundError:
            mode = "ok"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if mode == "hang":
            note("got", name=name, status=0)
            time.sleep(3)
            self.close_connection = True
            return
        status = int(mode) if mode.isdigit() else 200
        # taken, but the answer is lost: it will come again
        note("got", name=name, status=status, lost=mode == "close", type=self.headers["Content-Type"], body=body)
        if mode == "close":
            self.close_connection = True
            return
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Mails:
    async def handle_DATA(self, server, session, envelope):
        m = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        note("mails", tls=session.ssl is not None, login=session.auth_data is not None, sender=envelope.mail_from,
             to=envelope.rcpt_tos, headers=dict(m.items()), subject=str(m["Subject"]), body=m.get_content())
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    ok = data.login == b"mailer" and data.password == os.environ["SINK_SMTP_PASSWORD"].encode()
    return AuthResult(success=ok, auth_data=data if ok else None)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[4], sys.argv[5])
hooks = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Hook)
mail = Controller(Mails(), hostname="127.0.0.1", port=int(sys.argv[3]), tls_context=context, require_starttls=True,
                  authenticator=login, auth_required=True)
mail.start()
print("ready", flush=True)
hooks.serve_forever()
