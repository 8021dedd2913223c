# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs in the sandbox: a server that says what it is asked to say, well or badly. server.py PORT [ADDRESS]"""
import base64
import hashlib
import socket
import sys
import threading
import time

BLOCK = b"0123456789abcdef" * 4096


def reply(c, body, status="200 OK", *headers, close=False):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if close:
        head.append("Connection: close")
    c.sendall(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body)


def chunks(c, pieces, *headers):
    c.sendall(("\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers]) + "\r\n\r\n").encode())
    for piece in pieces:
        c.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    c.sendall(b"0\r\n\r\n")


class Body:
    """What comes behind a head, piece by piece."""

    def __init__(self, f, fields):
        self.f, self.left = f, int(fields.get("content-length", 0))
        self.chunked = fields.get("transfer-encoding") == "chunked"

    def pieces(self):
        while self.chunked:
            n = int(self.f.readline(), 16)
            data = self.f.read(n)
            self.f.readline()
            if n == 0:
                return
            yield data
        while self.left > 0:
            data = self.f.read(min(self.left, 65536))
            if not data:
                raise EOFError
            self.left -= len(data)
            yield data

    def all(self):
        return b"".join(self.pieces())


def echo(c, f, head, fields, body):
    reply(c, head + b"\n" + body.all(), "200 OK", "Content-Type: text/plain")


def upload(c, f, head, fields, body):
    digest, n = hashlib.sha256(), 0
    for piece in body.pieces():
        digest.update(piece)
        n += len(piece)
    reply(c, f"{n} {digest.hexdigest()}".encode())


def refuse_upload(c, f, head, fields, body):
    reply(c, b"no more", "413 Too Large", close=True)
    return True


def download(c, f, head, fields, body):
    n = int(head.split(b" ")[1].rsplit(b"/", 1)[1])
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
    for at in range(0, n, len(BLOCK)):
        c.sendall(BLOCK[:min(len(BLOCK), n - at)])


def in_chunks(c, f, head, fields, body):
    n = int(head.split(b" ")[1].rsplit(b"/", 1)[1])
    chunks(c, (BLOCK[:min(len(BLOCK), n - at)] for at in range(0, n, len(BLOCK))))


def events(c, f, head, fields, body):
    """The next one when a file appears: so the test says when."""
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    for i in range(3):
        c.sendall(b"data: %d\n\n" % i)
        while True:
            try:
                open(f"/tmp/go-{i}", "rb").close()
                break
            except FileNotFoundError:
                time.sleep(0.02)
    return True


def poll(c, f, head, fields, body):
    while True:
        try:
            open("/tmp/go-poll", "rb").close()
            break
        except FileNotFoundError:
            time.sleep(0.02)
    reply(c, b"at last")


def never(c, f, head, fields, body):
    time.sleep(1000)


def cookies(c, f, head, fields, body):
    reply(c, b"<script>1</script>", "200 OK", "Content-Type: text/html", "Set-Cookie: a=1", "Set-Cookie: b=2; Path=/x; Domain=localhost; HttpOnly",
          "Set-Cookie: c=3; path=../../..", "Strict-Transport-Security: max-age=1", "Clear-Site-Data: \"*\"",
          "Access-Control-Allow-Origin: http://evil.example", "Access-Control-Allow-Credentials: true",
          "Service-Worker-Allowed: /", "X-Mine: yes", "Connection: X-Hop", "X-Hop: no")


def redirect(c, f, head, fields, body):
    where = {b"own": "http://localhost:8080/echo?x=1", b"path": "/echo", b"other": "http://169.254.169.254/",
             b"slashes": "//evil.example/", b"relative": "echo"}[head.split(b" ")[1].rsplit(b"/", 1)[1]]
    reply(c, b"", "302 Found", f"Location: {where}")


def websocket(c, f, head, fields, body):
    key = fields.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    c.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               f"Sec-WebSocket-Accept: {accept}\r\nX-Mine: yes\r\n\r\nhello").encode())
    while True:
        data = f.read1(65536)
        if not data:
            return True
        c.sendall(data)


# What it says, without a thought for HTTP; then it closes.
RAW = {
    "bad-status": b"HTTP/1.1 abc OK\r\n\r\n",
    "not-http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "version": b"HTTP/2.0 200 OK\r\n\r\n",
    "nothing": b"",
    "half-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "folded": b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\nContent-Length: 0\r\n\r\n",
    "no-colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
    "space-colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nA: a\0b\r\nContent-Length: 0\r\n\r\n",
    "bare-cr": b"HTTP/1.1 200 OK\r\nA: a\rSet-Cookie: x=y\r\nContent-Length: 0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length-list": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "length-sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "length-hex": b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    "length-huge": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "both": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "huge-head": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70000 + b"\r\n\r\n",
    "many-fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    "interims": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
}
# The head is good, the rest is not.
CUT = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
    "chunk-size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
    "chunk-end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    "chunk-cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "chunk-huge": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk-negative": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
}
# Odd, but HTTP.
GOOD = {
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "old": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "lf": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\nT: x\r\n\r\n",
    "behind": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
}
WORDS = {**RAW, **CUT, **GOOD}


def endless(c, f, head, fields, body):
    c.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        c.sendall(b"A: b\r\n" * 100)


def drip(c, f, head, fields, body):
    """A head, one byte after the other, without an end."""
    for byte in b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100000:
        c.sendall(bytes([byte]))
        time.sleep(0.1)


def say(c, f, head, fields, body):
    c.sendall(WORDS[head.split(b" ")[1].rsplit(b"/", 1)[1].decode()])
    return True


SAYS = {"echo": echo, "upload": upload, "refuse": refuse_upload, "download": download, "chunks": in_chunks,
        "events": events, "poll": poll, "never": never, "cookies": cookies, "redirect": redirect, "ws": websocket,
        "endless": endless, "drip": drip, "say": say}


def serve(c):
    f = c.makefile("rb")
    while True:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = f.readline()
            if not line:
                return
            head += line
        fields = {}
        for line in head.decode("latin-1").split("\r\n")[1:-2]:
            name, value = line.split(":", 1)
            fields[name.lower()] = value.strip()
        name = head.split(b" ")[1].decode("latin-1").split("?")[0].split("/")[1]
        if SAYS.get(name, echo)(c, f, head, fields, Body(f, fields)):
            return


def run(c):
    with c:
        try:
            serve(c)
        except (OSError, EOFError, ValueError):
            pass


if __name__ == "__main__":
    address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    listener = socket.create_server((address, int(sys.argv[1])), family=socket.AF_INET6 if ":" in address
                                    else socket.AF_INET, backlog=100)
    while True:
        connection = listener.accept()[0]
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=run, args=(connection,), daemon=True).start()
