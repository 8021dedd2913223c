# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers in sandboxes, seen through the proxy: what goes through and what does not, servers that lie, bodies of any size,
streams, WebSockets, signed URLs, and what a death of a daemon or an end of the sandbox does to all of them."""
import base64
import hashlib
import http.client
import os
import re
import socket
import time

import leftovers
import server
from sandboxd import (HOST, PORT, Failure, Sandbox, api, configure, eq, kill_main, main_pid, ok, request, run_tests,
                      shell, status_of, wait_for)

WEB = 8080


class Web(Sandbox):
    """A sandbox with the server, exposed."""

    def __init__(self, *ports, **config):
        super().__init__(**config)
        with open("server.py", "rb") as f:
            self.put("/tmp/server.py", f.read())
        for port in ports or (WEB,):
            self.serve(port)

    def expose(self, port):
        self.post("/ports", {"containerPort": port}, expect=None)

    def serve(self, port, address="127.0.0.1"):
        self.expose(port)
        self.post("/exec/background", {"command": f"exec python3 /tmp/server.py {port} {address}"})
        wait_for("the server listens", lambda: self.get_page("/echo", port=port)[0] == 200)

    def base(self, port=WEB):
        return f"/sandbox/proxy/{self.id}/{port}"

    def ask(self, method, path, body=None, headers=None, port=WEB, **more):
        return request(method, self.base(port) + path, body, headers, raw=True, **more)

    def get_page(self, path, headers=None, port=WEB):
        return self.ask("GET", path, None, headers, port)

    def envelope(self, expect=200, port=WEB, **fields):
        return api("POST", f"/proxy/{self.id}/{port}", fields, expect)


def connect(port=PORT, timeout=60):
    return http.client.HTTPConnection(HOST, port, timeout=timeout)


def rss(unit="sandboxd.service"):
    with open(f"/proc/{main_pid(unit)}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024


def descriptors(unit):
    return len(os.listdir(f"/proc/{main_pid(unit)}/fd"))


def text_of(echoed):
    return echoed.decode("latin-1").lower()


def requests_go_through():
    with Web() as s:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
            body = None if method in ("GET", "DELETE") else b"the body"
            status, _, answer = s.ask(method, "/echo/a%20b//c;d?x=1&y=%2f&&z", body, {"X-Own": "kept"})
            eq(status, 200, method)
            ok(answer.startswith(f"{method} /echo/a%20b//c;d?x=1&y=%2f&&z HTTP/1.1\r\n".encode()), "the line", answer)
            ok(b"x-own: kept" in answer.lower() and answer.endswith(body or b"\n"), "the rest", answer)
        status, headers, answer = s.ask("HEAD", "/echo")
        eq((status, answer), (200, b""), "HEAD")
        ok(int(headers["content-length"]) > 20, "of a HEAD", headers)
        ok(text_of(s.get_page("")[2]).startswith("get / http/1.1"), "no path")
        eq(s.envelope(path="/echo/x?y=1")["statusCode"], 200, "the envelope")


def the_envelope_is_the_contracts():
    with Web() as s:
        r = s.envelope(method="post", path="/echo/x?y=1", headers={"X-A": "b", "Connection": "X-A"}, body="gr\u00fc\u00dfe")
        eq((r["statusCode"], r["headers"]["content-type"]), (200, "text/plain"), "status and headers")
        ok(r["url"].endswith(":8080/echo/x?y=1"), "the URL", r["url"])
        ok(r["body"].startswith("POST /echo/x?y=1 ") and r["body"].endswith("gr\u00fc\u00dfe"), "the body", r["body"])
        eq(s.envelope()["body"].split(" ")[1], "/", "the default path")
        ok(s.envelope(body="not sent")["body"].endswith("\n"), "a GET has no body")
        r = s.envelope(path="/redirect/own")
        eq((r["statusCode"], r["headers"]["location"]), (302, "http://localhost:8080/echo?x=1"), "is not followed")
        for bad in ({"path": "x"}, {"path": "/a b"}, {"path": "/a\r\nX: y"}, {"method": "G T"}, {"method": "CONNECT"},
                    {"headers": {"a b": "c"}}, {"headers": {"a": "b\r\nc: d"}}, {"headers": {"a": 1}}, {"body": {}},
                    {"headers": {f"h{i}": "v" for i in range(1000)}}):
            s.envelope(400, **bad)
        s.envelope(502, path="/download/11000000")
        eq(len(s.envelope(path="/download/10000000")["body"]), 10000000, "just fits")


def only_ports_of_the_sandbox():
    """174: nothing of a client's words is an address."""
    with Web() as s:
        listener = socket.create_server((HOST, 0))
        for port in ("0", "65536", "-1", "8080@host", "8080%2f..", "8080%00", "http", "80.5", "+80", " 80", "localhost:80"):
            ok(status_of("GET", f"/proxy/{s.id}/{port.replace(' ', '%20')}/echo") in (400, 404), "the port", port)
        host_port = listener.getsockname()[1]
        eq(s.get_page("/", port=host_port)[0], 404, "one that is not exposed")
        s.envelope(404, port=host_port)
        s.post("/proxy/url", {"port": host_port}, 404)
        s.expose(host_port)
        eq(s.get_page("/", port=host_port)[0], 502, "a port that only the host listens on")
        eq(s.get_page("/", port=PORT)[0] in (404, 502), True, "our own")
        listener.settimeout(0.01)
        try:
            listener.accept()
            raise Failure("the host's server was reached")
        except TimeoutError:
            pass
        listener.close()
        s.serve(8081, "::1")
        eq(s.get_page("/echo", port=8081)[0], 200, "a server at ::1")
        eq(status_of("GET", f"/proxy/sbx_{'0' * 24}/8080/"), 404, "an unknown sandbox")


def status_without(method, path, headers=None):
    """Of a request without a token; guessing is limited, so a 429 is asked again."""
    return wait_for("no limit of guesses", lambda: (status := request(method, path, None, headers)[0]) != 429 and status)


def what_is_ours_stays_here():
    """173: neither the token nor anything else of the way to us reaches the server."""
    configure(III_AUTH_TOKEN="the-secret")
    token = {"Authorization": "Bearer the-secret"}
    try:
        status, _, record = request("POST", "/sandbox/sandboxes", {"image": "python:3.12-slim"}, token)
        eq(status, 200, "creation")
        path = f"/sandbox/sandboxes/{record['id']}"
        with open("server.py", "rb") as f:
            request("PUT", f"{path}/files/raw?path=/tmp/server.py", f.read(), token)
        request("POST", f"{path}/ports", {"containerPort": WEB}, token)
        request("POST", f"{path}/exec/background", {"command": "exec python3 /tmp/server.py 8080"}, token)
        page = f"/sandbox/proxy/{record['id']}/8080"
        wait_for("the server listens", lambda: request("GET", page + "/echo", headers=token)[0] == 200)
        eq(status_without("GET", page + "/echo"), 401, "without a token")
        eq(status_without("GET", page + "/echo", {"Authorization": "Bearer wrong"}), 403, "with a wrong one")
        given = {**token, "Forwarded": "for=1.2.3.4", "X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4",
                 "Proxy-Authorization": "Basic x", "Connection": "X-Named", "X-Named": "no", "TE": "trailers",
                 "Cookie": "a=1; sandbox-sig=1.1.ff; b=2", "X-Other": "yes"}
        seen = text_of(request("GET", page + "/echo", headers=given, raw=True)[2])
        for word in ("the-secret", "authorization", "1.2.3.4", "x-named", "trailers", "sandbox-sig"):
            ok(word not in seen, f"the server sees {word}", seen)
        for word in ("x-other: yes", "cookie: a=1; b=2\r\n", "host: localhost:8080\r\n", "via: 1.1 sandboxd"):
            ok(word in seen, f"the server does not see {word}", seen)

        signed_urls(path, page, token)
        public(path, page, token)
        eq(request("DELETE", path, headers=token)[0], 200, "deletion")
    finally:
        configure()


def local(url):
    ok(url.startswith(f"http://{HOST}:{PORT}/"), "the address", url)
    return url[len(f"http://{HOST}:{PORT}"):]


def signed_urls(path, page, token):
    def sign(expect=200, **fields):
        status, _, answer = request("POST", path + "/proxy/url", fields, token)
        eq(status, expect, f"signing {fields}: {answer}")
        return answer

    answer = sign(port=WEB, path="/echo?q=1", expiresIn=600)
    ok(abs(answer["expiresAt"] / 1000 - time.time() - 600) < 60, "the end", answer)
    url = local(answer["url"])
    browser = {"Sec-Fetch-Site": "cross-site"}
    status, headers, seen = request("GET", url, headers=browser, raw=True)
    eq(status, 200, "the signed URL")
    ok(seen.startswith(b"GET /echo?q=1 HTTP/1.1\r\n"), "the server sees nothing of it", seen)
    cookie = headers["set-cookie"]
    ok(f"Path={page}/echo;" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie, "the cookie", cookie)
    cookie = {"Cookie": cookie.split(";")[0]}
    eq(request("GET", page + "/echo/deeper", headers=cookie)[0], 200, "below, by the cookie")
    eq(request("POST", page + "/echo", b"x", {**cookie, "Origin": f"http://{HOST}:{PORT}"})[0], 200, "own origin")
    for other in ("/other", "/echo2", "/", "/ech"):
        eq(status_without("GET", page + other, cookie), 401, f"the cookie at {other}")
    eq(status_without("GET", page.replace("/8080", "/8081") + "/echo", cookie), 401, "another port")
    signature = url.split("sandbox-sig=")[1]
    expires, length, digest = signature.split(".")
    for forged in (f"{int(expires) + 1}.{length}.{digest}", f"{expires}.0.{digest}", f"{expires}.1.{digest}",
                   f"{expires}.{length}.{'0' * 64}", f"{expires}.{length}.{digest[:-1]}", f"{expires}.{length}",
                   "", "x" * 300, f"{expires}.-1.{digest}", digest):
        eq(request("GET", f"{page}/echo?sandbox-sig={forged}")[0], 403, f"forged: {forged}")
    short = local(sign(port=WEB, path="/echo", expiresIn=1)["url"])
    wait_for("its time is over", lambda: request("GET", short)[0] == 403)
    sign(400, port=WEB, path="echo")
    sign(400, port=0)
    sign(400, port=WEB, expiresIn=0)
    sign(400)
    mode = os.stat("/var/lib/sandboxd/proxy.key").st_mode
    eq(oct(mode & 0o777), "0o600", "mode of the key")
    shell("systemctl restart sandboxd.service")
    eq(request("GET", url)[0], 200, "after a restart")


def public(path, page, token):
    def config(expect=200, **fields):
        status, _, answer = request("POST", path + "/proxy/config", fields, token)
        eq(status, expect, f"config {fields}: {answer}")
        return answer

    shown = config()
    eq((shown["cors"], shown["requireAuth"], shown["timeout"]), ("*", False, 30000), "the contract's defaults")
    eq(request("GET", page + "/echo", headers={**token, "Origin": "http://a.example"})[0], 403,
       "what nobody said opens nothing")
    config(requireAuth=False)
    eq(status_without("GET", page + "/echo"), 401, "the operator has not said so")
    config(cors="http://a.example, http://b.example")
    status, headers, _ = request("GET", page + "/echo", headers={**token, "Origin": "http://b.example"})
    eq((status, headers.get("access-control-allow-origin")), (200, "http://b.example"), "a page that may")
    ok("access-control-allow-credentials" not in headers, "no credentials", headers)
    eq(request("GET", page + "/echo", headers={**token, "Origin": "http://c.example"})[0], 403, "one that may not")
    status, headers, _ = request("OPTIONS", page + "/echo", headers={"Origin": "http://a.example",
                                                                     "Access-Control-Request-Method": "PUT"})
    eq((status, headers.get("access-control-allow-origin")), (200, "http://a.example"), "the question before")
    config(cors="*", timeout=1234)
    status, headers, _ = request("GET", page + "/cookies", headers={**token, "Origin": "http://c.example"})
    eq((status, headers.get("access-control-allow-origin")), (200, "*"), "everybody, and not what the server says")
    for bad in ({"cors": "example"}, {"cors": "http://a b"}, {"cors": "http://a\r\nX: y"}, {"timeout": 0},
                {"timeout": "x"}, {"requireAuth": 7}):
        config(400, **bad)
    eq(config()["timeout"], 1234, "what was refused changed nothing")
    configure(III_AUTH_TOKEN="the-secret", SANDBOX_PROXY_PUBLIC="yes")
    eq(config()["timeout"], 1234, "after a restart")
    eq(request("GET", page + "/echo")[0], 200, "both have said so")
    config(requireAuth=True)
    eq(status_without("GET", page + "/echo"), 401, "its owner says no")


def what_is_theirs_stays_theirs():
    """178: a page cannot act on what belongs to our host."""
    with Web() as s:
        connection = connect()
        connection.request("GET", s.base() + "/cookies")
        response = connection.getresponse()
        eq(response.read(), b"<script>1</script>", "the page")
        base = s.base()
        eq(sorted(response.headers.get_all("Set-Cookie")),
           [f"a=1; Path={base}/", f"b=2; HttpOnly; Path={base}/x", f"c=3; Path={base}/"], "cookies")
        ok(response.headers["Content-Security-Policy"].startswith("sandbox"), "an origin of its own")
        ok("allow-same-origin" not in response.headers["Content-Security-Policy"], "not ours")
        eq(response.headers["X-Content-Type-Options"], "nosniff", "no guessing")
        eq(response.headers["X-Mine"], "yes", "what may pass")
        for name in ("Strict-Transport-Security", "Clear-Site-Data", "Access-Control-Allow-Origin", "X-Hop",
                     "Access-Control-Allow-Credentials", "Service-Worker-Allowed", "Transfer-Encoding"):
            eq(response.headers[name], None, name)
        connection.close()
        for where, location in (("own", base + "/echo?x=1"), ("path", base + "/echo"), ("relative", "echo"),
                                ("other", "http://169.254.169.254/"), ("slashes", "//evil.example/")):
            status, headers, _ = s.get_page(f"/redirect/{where}")
            eq((status, headers["location"]), (302, location), where)
        for loop in range(6):
            via = ", ".join(["1.1 sandboxd"] * loop)
            eq(s.get_page("/echo", {"Via": via})[0], 200 if loop < 4 else 508, f"through us {loop} times")


def servers_that_lie():
    with Web() as s:
        before = main_pid("sandboxd.service")
        for name in server.RAW:
            status, _, answer = s.get_page(f"/say/{name}")
            eq(status, 502, f"{name}: {answer!r:.100}")
            ok(b"error" in answer, "the envelope of errors", answer)
            s.envelope(502, path=f"/say/{name}")
        for name in server.CUT:
            try:
                answer = s.get_page(f"/say/{name}")
                raise Failure(f"{name} passed as whole: {answer}")
            except (http.client.HTTPException, ConnectionError):
                pass
            s.envelope(502, path=f"/say/{name}")
        for name in server.GOOD:
            for _ in range(3):
                status, _, answer = s.get_page(f"/say/{name}")
                eq((status, answer), (200, b"hello"), name)
            eq(s.envelope(path=f"/say/{name}")["body"], "hello", name)
        eq(s.get_page("/endless")[0], 502, "a head without an end")
        s.post("/proxy/config", {"timeout": 500})
        for path in ("/never", "/drip"):
            begin = time.monotonic()
            s.envelope(504, path=path)
            ok(time.monotonic() - begin > 0.4, "not before its time", path)
        eq(s.get_page("/never")[0], 504, "silence")
        eq(main_pid("sandboxd.service"), before, "sandboxd lives")
        s.post("/proxy/config", {"timeout": 30000})
        eq(s.get_page("/echo")[0], 200, "and serves")


class Pattern:
    """Bytes to send, made while they are read."""

    def __init__(self, n):
        self.left, self.digest = n, hashlib.sha256()

    def read(self, size):
        data = os.urandom(min(size, self.left, 65536))
        self.left -= len(data)
        self.digest.update(data)
        return data


def bodies_of_any_size():
    """Nothing is kept of them: 100 MB go each way, and sandboxd does not grow."""
    size = 100 * 2 ** 20
    with Web() as s:
        s.get_page("/download/1000000")
        before = rss()
        for headers in ({"Content-Length": str(size)}, {"Transfer-Encoding": "chunked"}):
            body = Pattern(size)
            connection = connect()
            connection.request("POST", s.base() + "/upload", body, headers,
                               encode_chunked="Transfer-Encoding" in headers)
            response = connection.getresponse()
            eq((response.status, response.read().decode()), (200, f"{size} {body.digest.hexdigest()}"), str(headers))
            connection.close()
            ok(rss() - before < 8 * 2 ** 20, "memory after the upload", before, rss())
        for path, length in ((f"/download/{size}", str(size)), (f"/chunks/{size}", None)):
            connection = connect()
            connection.request("GET", s.base() + path)
            response = connection.getresponse()
            eq(response.getheader("Content-Length"), length, "length of " + path)
            n, highest = 0, 0
            while piece := response.read(2 ** 20):
                n, highest = n + len(piece), max(highest, rss())
            eq(n, size, path)
            ok(highest - before < 8 * 2 ** 20, "memory during " + path, before, highest)
            connection.close()
        status, _, answer = s.ask("POST", "/refuse", os.urandom(3 * 2 ** 20))
        eq((status, answer), (413, b"no more"), "an answer before the end of the request")


def a_slow_reader_makes_the_server_wait():
    with Web() as s:
        s.get_page("/echo")
        before = rss()
        connection = connect()
        connection.request("GET", s.base() + f"/download/{10 ** 9}")
        response = connection.getresponse()
        response.read(1000)
        wait_for("nothing moves", lambda: progress(s) == (time.sleep(0.3), progress(s))[1])
        ok(rss() - before < 8 * 2 ** 20, "memory", before, rss())
        connection.close()


def progress(s):
    """What the server in it has sent."""
    return s.out("cat /proc/net/dev | sed -n 's/.*lo: *//p'")


def streams():
    """Events come as they happen, a long poll waits, though each is longer than the silence that is allowed... as long as
    something is said."""
    with Web() as s:
        connection = connect()
        connection.request("GET", s.base() + "/events")
        response = connection.getresponse()
        eq(response.getheader("Content-Type"), "text/event-stream", "events")
        for i in range(3):
            eq(response.fp.readline() if response.chunked is False else response.readline(), b"data: %d\n" % i, "event")
            response.readline()
            s.put(f"/tmp/go-{i}", b"")
        eq(response.read(), b"", "the end")
        connection.close()
        connection = connect()
        connection.request("GET", s.base() + "/poll")
        s.put("/tmp/go-poll", b"")
        eq(connection.getresponse().read(), b"at last", "a long poll")
        connection.close()


class Socket:
    """A WebSocket as far as the proxy knows it: bytes after a 101."""

    def __init__(self, s, headers=()):
        self.sock = socket.create_connection((HOST, PORT), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {s.base()}/ws HTTP/1.1", f"Host: {HOST}:{PORT}", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *headers, "", ""]
        self.sock.sendall("\r\n".join(lines).encode())
        self.file = self.sock.makefile("rb")
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            ok(line, "the connection ended", self.head)
            self.head += line
        self.status = int(self.head.split(b" ")[1])
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        if self.status == 101:
            ok(accept in self.head and b"x-mine: yes" in self.head.lower(), "the server's own words", self.head)
            eq(self.file.read(5), b"hello", "what comes right behind")

    def echo(self, data):
        self.sock.sendall(data)
        eq(self.file.read(len(data)), data, "echo")

    def ended(self):
        self.sock.settimeout(30)
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True

    def close(self):
        self.file.close()
        self.sock.close()


def websockets():
    with Web() as s:
        ws = Socket(s)
        eq(ws.status, 101, "switched")
        for size in (1, 1000, 200000):
            ws.echo(os.urandom(size))
        ws.sock.shutdown(socket.SHUT_WR)
        ok(ws.ended(), "both ways end")
        ws.close()
        many = [Socket(s) for _ in range(20)]
        for i, ws in enumerate(many):
            ws.echo(b"%d" % i)
        for ws in many:
            ws.close()
        eq(Socket(s, ["Origin: http://evil.example"]).status, 403, "a foreign page")


def deaths_of_daemons():
    with Web() as s:
        ws = Socket(s)
        connection = connect()
        connection.request("GET", s.base() + "/events")
        response = connection.getresponse()
        eq(response.readline(), b"data: 0\n", "before")
        for unit in ("sandbox-execd.service", "sandbox-fsd.service"):
            kill_main(unit)
        ws.echo(b"still here")
        wait_for("fsd is back", lambda: status_of("PUT", s.path + "/files/raw?path=/tmp/go-0", b"") == 200)
        response.readline()
        eq(response.readline(), b"data: 1\n", "after the death of execd and fsd")
        eq(s.ask("POST", "/echo", b"x")[0], 200, "a new connection")
        kill_main("sandboxd.service")
        ok(ws.ended(), "without sandboxd it ends")
        ws.close()
        connection.close()
        wait_for("serves again", lambda: s.get_page("/echo")[0] == 200)


def ends_of_sandboxes():
    s = Web()
    ws = Socket(s)
    waiting = connect()
    waiting.request("GET", s.base() + "/never")
    s.get_page("/echo")
    s.post("/pause")
    ok(ws.ended(), "a pause ends connections")
    eq(waiting.getresponse().status, 409, "and waiting")
    eq(s.get_page("/echo")[0], 409, "paused")
    s.envelope(409)
    s.post("/resume")
    eq(s.get_page("/echo")[0], 200, "resumed")
    ws = Socket(s)
    url = local(s.post("/proxy/url", {"port": WEB})["url"])
    eq(request("GET", url)[0], 200, "a signed one")
    s.delete()
    ok(ws.ended(), "DELETE ends connections")
    eq(request("GET", url)[0], 404, "a sandbox that is gone")
    waiting.close()


def nothing_is_left():
    before = leftovers.baseline()
    fds = {u: descriptors(u) for u in ("sandboxd.service", "sandbox-execd.service")}
    with Web() as s:
        for i in range(200):
            eq(s.get_page("/echo")[0], 200, "GET")
            eq(s.ask("POST", "/echo", b"x")[0], 200, "POST")
        sockets = [Socket(s) for _ in range(5)]
        cut = connect()
        cut.request("GET", s.base() + "/download/100000000")
        cut.getresponse().read(1000)
        cut.close()
    for ws in sockets:
        ok(ws.ended(), "ended with it")
        ws.close()
    for unit, n in fds.items():
        wait_for(f"{unit} has the descriptors it had", lambda u=unit, m=n: abs(descriptors(u) - m) <= 4)
    leftovers.settled(before)


run_tests([requests_go_through, the_envelope_is_the_contracts, only_ports_of_the_sandbox, what_is_ours_stays_here,
           what_is_theirs_stays_theirs, servers_that_lie, bodies_of_any_size, a_slow_reader_makes_the_server_wait,
           streams, websockets, deaths_of_daemons, ends_of_sandboxes, nothing_is_left])
