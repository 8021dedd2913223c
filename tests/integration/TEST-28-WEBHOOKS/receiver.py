# SPDX-License-Identifier: LGPL-2.1-or-later
"""What webhooks call: a server that writes down what comes and answers as the path says."""
import hashlib
import hmac
import http.server
import json
import re
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        getattr(self, self.server.owner.note(self.path, self.headers, body))()

    def answer(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def ok(self):
        self.answer(200)

    def fail(self):
        self.answer(500)

    def redirect(self):
        self.answer(307, Location=self.server.owner.url("/ok-redirected"))

    def stall(self):
        self.server.owner.ended.wait(120)
        self.close_connection = True

    def flood(self):
        """Far more than anybody wants to read, and never the end."""
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.owner.ended.is_set():
                self.wfile.write(b"x" * 65536)
                self.server.owner.flooded += 65536
        except OSError:
            pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        pass


class Receiver:
    """A request is answered as the begin of its path says: /ok, /fail, /stall... A path that has a plan takes its next
    word first: plans = {"/ok-1": ["fail", "stall"]}."""

    def __init__(self, port=0):
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.requests, self.plans, self.flooded = [], {}, 0
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.owner = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def url(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    def note(self, path, headers, body):
        with self.lock:
            self.requests.append(Request(path, headers, body))
            plan = self.plans.get(path)
            return plan.pop(0) if plan else re.match(r"/([a-z]+)", path)[1]

    def at(self, path):
        with self.lock:
            return [r for r in self.requests if r.path == path]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


class Request:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, dict(headers.items()), body
        self.event = json.loads(body)
        self.delivery = self.headers["X-Sandbox-Delivery"]

    def n(self):
        return self.event["data"].get("n")

    def is_signed(self, secret):
        """As a receiver of ours would check it, with no code of ours."""
        m = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", self.headers["X-Sandbox-Signature"])
        wanted = hmac.new(secret.encode(), m[1].encode() + b"." + self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted, m[2])
