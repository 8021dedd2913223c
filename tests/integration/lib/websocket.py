# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of WebSockets that believes nothing: it checks what the server says against RFC 6455 byte by byte, and can
itself say what no client may. Of the standard library alone."""

import base64
import hashlib
import os
import socket

from sandboxd import HOST, PORT, ApiError, Failure, eq, ok

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Closed(Failure):
    """The server's Close: code (None: none was given) and reason. Without a Close the code is 1006."""

    def __init__(self, code, reason=""):
        super().__init__(f"the connection was closed: {code} {reason!r}")
        self.code, self.reason = code, reason


def mask_bytes(data, key):
    n = len(data)
    pad = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(n, "big")


class WebSocket:
    def __init__(self, path, headers=None, timeout=60):
        key = base64.b64encode(os.urandom(16)).decode()
        fields = {"Host": f"{HOST}:{PORT}", "Connection": "Upgrade", "Upgrade": "websocket",
                  "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key, **(headers or {})}
        self.socket = socket.create_connection((HOST, PORT), timeout)
        self.buffer = b""
        try:
            lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items() if v is not None)]
            self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
            self.handshake(path, key)
        except BaseException:
            self.socket.close()
            raise

    def handshake(self, path, key):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        first, *lines = head.decode().rstrip().split("\r\n")
        status = int(first.split()[1])
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        if status != 101:
            raise ApiError(status, self.read(int(fields.get("content-length", 0))), path)
        eq(fields["upgrade"].lower(), "websocket", "Upgrade")
        ok("upgrade" in fields["connection"].lower(), "Connection", fields["connection"])
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        eq(fields["sec-websocket-accept"], accept, "Sec-WebSocket-Accept")
        for name in ("sec-websocket-extensions", "sec-websocket-protocol", "content-length", "transfer-encoding"):
            ok(name not in fields, f"{name} in the reply to a handshake that did not ask for it")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self, n):
        while len(self.buffer) < n:
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError:
                more = b""
            if not more:
                raise Closed(1006)
            self.buffer += more
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def send(self, opcode, data=b"", fin=True, rsv=0, mask=True):
        head, n = bytearray([fin << 7 | rsv << 4 | opcode]), len(data)
        if n < 126:
            head.append(mask << 7 | n)
        elif n < 1 << 16:
            head.append(mask << 7 | 126)
            head += n.to_bytes(2, "big")
        else:
            head.append(mask << 7 | 127)
            head += n.to_bytes(8, "big")
        key = os.urandom(4) if mask else b""
        self.send_raw(bytes(head) + key + (mask_bytes(data, key) if mask else data))

    def send_raw(self, data):
        self.socket.sendall(data)

    def text(self, text):
        self.send(TEXT, text.encode())

    def binary(self, data):
        self.send(BINARY, data)

    def frame(self):
        """(opcode, data, fin) of the next one, whatever it is."""
        first, second = self.read(2)
        opcode, n, fin = first & 15, second & 127, bool(first & 128)
        eq(first & 0x70, 0, "reserved bits")
        eq(second & 128, 0, "a server's mask")
        ok(opcode in (0, TEXT, BINARY, CLOSE, PING, PONG), "opcode", opcode)
        if opcode & 8:
            ok(fin and n < 126, "a control frame is short and whole", fin, n)
        if n > 125:
            size, least = (2, 126) if n == 126 else (8, 1 << 16)
            n = int.from_bytes(self.read(size), "big")
            ok(n >= least, "a length is in its shortest form", n)
        return opcode, self.read(n), fin

    def message(self):
        """(TEXT or BINARY, data) of the next whole one. Pings are answered; a Close is answered and raised."""
        kind, whole = None, b""
        while True:
            opcode, data, fin = self.frame()
            if opcode == CLOSE:
                self.closed(data)
            elif opcode == PING:
                self.send(PONG, data)
            elif opcode != PONG:
                ok((opcode == 0) == (kind is not None), "a continuation where there is something to continue", opcode)
                kind, whole = kind or opcode, whole + data
                if fin:
                    return kind, whole.decode() if kind == TEXT else whole

    def shows(self, pattern):
        """All that comes in binary until pattern is in it."""
        seen = b""
        while pattern not in seen:
            kind, data = self.message()
            seen += data if kind == BINARY else b""
        return seen

    def closed(self, data):
        ok(len(data) != 1, "a Close has a whole code")
        code = int.from_bytes(data[:2], "big") if data else None
        ok(code is None or 1000 <= code < 5000 and code not in (1004, 1005, 1006, 1015), "close code", code)
        try:
            self.send(CLOSE, data[:2])
        except OSError:
            pass
        self.expect_end()
        raise Closed(code, data[2:].decode())

    def expect_end(self):
        """The server ends the connection first, and says nothing after its Close."""
        try:
            eq(self.buffer + self.socket.recv(1), b"", "what comes after a Close")
        except ConnectionError:
            pass
        self.socket.close()

    def close(self, code=1000, reason=""):
        """The whole handshake of a Close from this side."""
        self.send(CLOSE, code.to_bytes(2, "big") + reason.encode())
        try:
            while True:
                self.message()
        except Closed as e:
            return e.code

    def expect_close(self, *codes):
        """Reads until the server closes."""
        try:
            while True:
                self.message()
        except Closed as e:
            ok(e.code in codes, f"close code: got {e.code} {e.reason!r}, expected", codes)
            return e


def refused(path, status, headers=None):
    """A handshake that gets this status; its answer."""
    try:
        WebSocket(path, headers).socket.close()
    except ApiError as e:
        eq(e.status, status, f"status of a handshake at {path} ({e.body!r:.200})")
        return e.body
    raise Failure(f"the handshake at {path} was taken, expected status {status}")
