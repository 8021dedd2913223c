# SPDX-License-Identifier: LGPL-2.1-or-later
import time

from proof import proof, sandbox
from sandboxd import HOST, PORT, api, eq, request, wait_for

UNKNOWN = "sbx_" + "0" * 24
WEB = 8080
# Tells what it was asked, and notes it.
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        text = f"{self.command} {self.path} ".encode() + body
        open("/tmp/asked", "ab").write(text + b"\\n")
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_GET = do_POST = do_PATCH = answer
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
started = []


def web():
    s = sandbox()
    if not started:
        s.put("/tmp/web.py", SERVER.encode())
        s.post("/ports", {"containerPort": WEB}, expect=None)
        started.append(s.post("/exec/background", {"command": "exec python3 /tmp/web.py"}))
        wait_for("the server listens", lambda: request("GET", f"/sandbox/proxy/{s.id}/{WEB}/")[0] == 200)
    return s


def asked(s):
    return s.out("tail -n 1 /tmp/asked").strip()


@proof("* /proxy/:id/:port")
def pass_root(p):
    s = web()
    answer = p.good(b"body", query="x=1", id=s.id, port=WEB, raw=True)
    p.effect("the server was asked", asked(s) == "PATCH /?x=1 body", asked(s))
    p.effect("and its answer came back", answer == b"PATCH /?x=1 body", answer)
    p.bad(404, id=UNKNOWN, port=WEB)
    p.bad(400, id=s.id, port="x")


@proof("* /proxy/:id/:port/*rest")
def pass_path(p):
    s = web()
    answer = p.good(b"body", id=s.id, port=WEB, rest="a/b", raw=True)
    p.effect("the server was asked", asked(s) == "PATCH /a/b body", asked(s))
    p.effect("and its answer came back", answer == b"PATCH /a/b body", answer)
    p.bad(404, id=UNKNOWN, port=WEB, rest="a")
    p.bad(400, id=s.id, port=0, rest="a")


@proof("POST /proxy/:id/:port")
def envelope(p):
    s = web()
    answer = p.good({"method": "post", "path": "/a?x=1", "body": "text"}, id=s.id, port=WEB)
    p.effect("the server was asked", asked(s) == "POST /a?x=1 text", asked(s))
    p.effect("and its answer came back", (answer["statusCode"], answer["body"]) == (200, "POST /a?x=1 text"), answer)
    p.bad(400, {"path": "a"}, id=s.id, port=WEB)
    p.bad(404, {}, id=UNKNOWN, port=WEB)


@proof("POST /sandboxes/:id/proxy/config")
def config(p):
    s = web()
    p.good({"cors": "http://a.example"}, id=s.id)
    headers = request("GET", f"/sandbox/proxy/{s.id}/{WEB}/", headers={"Origin": "http://a.example"})[1]
    p.effect("pages of that origin may read it", headers.get("access-control-allow-origin") == "http://a.example", headers)
    p.effect("and it is remembered", api("POST", s.path + "/proxy/config", {})["cors"] == "http://a.example")
    p.bad(400, {"cors": "x y"}, id=s.id)
    p.bad(404, {}, id=UNKNOWN)


@proof("POST /sandboxes/:id/proxy/url")
def url(p):
    s = web()
    answer = p.good({"port": WEB, "path": "/a?x=1", "expiresIn": 60}, id=s.id)
    p.effect("it has an end", 0 < answer["expiresAt"] / 1000 - time.time() <= 61, answer)
    status, _, shown = request("GET", answer["url"].removeprefix(f"http://{HOST}:{PORT}"), raw=True)
    p.effect("it leads to the server", (status, shown) == (200, b"GET /a?x=1 "), shown)
    eq(request("GET", answer["url"].removeprefix(f"http://{HOST}:{PORT}")[:-1])[0], 403, "one that is cut")
    p.bad(400, {"port": 0}, id=s.id)
    p.bad(404, {"port": WEB}, id=UNKNOWN)
