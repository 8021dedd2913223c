# SPDX-License-Identifier: LGPL-2.1-or-later
"""Terminals over WebSockets: both ways on one, and the contract's channels on two; replay, take-over, a reader that
does not read, frames that are none, daemons that are killed in the middle; and what is left afterwards: nothing."""
import asyncio
import glob
import json
import os
import re
import socket
import threading
import time

from sandboxd import (HOST, PORT, Failure, Sandbox, api, configure, eq, kill_main, main_pid, ok, request, run_tests,
                      shell, status_of, wait_for)
from websocket import BINARY, CLOSE, PING, PONG, TEXT, Closed, WebSocket, refused

try:
    import websockets
except ImportError:
    websockets = None

PATIENCE = 60
LINES = 20000
TAKEN = 4001
SPOOL = "/var/lib/sandboxd/spool"
UNITS = ("sandboxd.service", "sandbox-execd.service", "sandbox-fsd.service")


class Terminal:
    def __init__(self, *command, **config):
        self.record = S.post("/terminals", {"command": list(command), **config})
        self.id, self.path = self.record["id"], f"{S.path}/terminals/{self.record['id']}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        api("DELETE", self.path, expect=(200, 404))

    def url(self, query=""):
        return f"/sandbox{self.path}/ws{query and '?' + query}"

    def connect(self, query="", **more):
        return Attached(self.url(query), **more)

    def get(self):
        return api("GET", self.path)


class Attached(WebSocket):
    """Its first word is the position of the first byte."""

    def __init__(self, url, **more):
        super().__init__(url, timeout=PATIENCE, **more)
        self.words, self.seen, self.offset = [], b"", None
        self.step()
        ok(self.offset is not None, "the first word is the offset", self.words)

    def step(self):
        kind, data = self.message()
        if kind == BINARY:
            self.seen += data
            self.offset += len(data)
            return
        word = json.loads(data)
        self.words.append(word)
        if word["type"] == "offset":
            self.offset = word["offset"]

    def until(self, pattern):
        looked = 0
        while not re.search(pattern, self.seen[max(0, looked - 1000):]):
            looked = len(self.seen)
            self.step()
        return self.seen

    def word(self, kind):
        while not any(w["type"] == kind for w in self.words):
            self.step()
        return next(w for w in self.words if w["type"] == kind)

    def rest(self):
        """The Close at the end of what comes."""
        try:
            while True:
                self.step()
        except Closed as e:
            return e


class Session:
    def __init__(self, **config):
        self.record = S.post("/terminal", config)
        self.id, self.path = self.record["sessionId"], f"{S.path}/terminal/{self.record['sessionId']}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        api("DELETE", self.path, expect=(200, 404))

    def url(self, end, **changes):
        ref = {**self.record["channel"][end], **changes}
        return f"/ws/channels/{ref['channel_id']}?key={ref['access_key']}&dir={ref['direction']}"


def both_ways():
    with Terminal("sh", "-c", "stty -echo; stty size; read x; echo \"<$x>\"; stty size; read y; exit 7",
                  rows=30, cols=90) as t, t.connect("holder=me") as w:
        w.until(rb"30 90\r\n")
        eq((t.get()["attached"], t.get()["holder"]), (True, "me"), "who is attached")
        w.text(json.dumps({"type": "resize", "rows": 31, "cols": 91}))
        w.binary("h\u00e4 ".encode()[:2])
        w.binary("h\u00e4 ".encode()[2:] + b"there\n")
        w.until(r"<h\u00e4 there>\r\n31 91\r\n".encode().replace(b"\\u00e4", "\u00e4".encode()))
        for bad in ('{"type":"resize","rows":0,"cols":1}', '{"type":"resize","rows":1}', '{"type":"other"}', "{", "[]",
                    '"x"', '{"type":"resize","rows":1,"cols":65536}'):
            w.text(bad)
            ok(w.word("error")["error"], "what is wrong is told")
            w.words.clear()
        eq(t.get()["cols"], 91, "the size after those")
        w.send(PING, b"here?")
        while (frame := w.frame())[0] != PONG:
            pass
        eq(frame[1], b"here?", "pong")
        w.binary(b"\n")
        eq(w.word("exit"), {"type": "exit", "code": 7})
        end = w.rest()
        eq((end.code, end.reason), (1000, "exited"))
        with t.connect() as again:
            eq(again.rest().code, 1000)
            eq(again.seen, w.seen, "the same once more, of one that has ended")
        with t.connect(f"offset={len(w.seen) - 7}") as again:
            again.rest()
            eq((again.words[0]["offset"], again.seen), (len(w.seen) - 7, b"31 91\r\n"), "from an offset on")


def handshakes():
    with Terminal("cat") as t:
        for headers, status in (({"Upgrade": None}, 426), ({"Connection": None}, 426), ({"Upgrade": "h2c"}, 426),
                                ({"Sec-WebSocket-Version": "8"}, 426), ({"Sec-WebSocket-Version": None}, 400),
                                ({"Sec-WebSocket-Key": "short"}, 400), ({"Sec-WebSocket-Key": None}, 400),
                                ({"Origin": "http://evil.example"}, 403), ({"Host": "evil.example"}, 421)):
            refused(t.url(), status, headers)
        refused(t.url("offset=x"), 400)
        refused(t.url("holder=" + "x" * 40), 400)
        refused(t.url().replace(t.id, "term_" + "0" * 24), 404)
        refused(t.url().replace(S.id, "sbx_" + "0" * 24), 404)
        eq(t.get()["attached"], False, "none of them attached")


def frames_that_are_none():
    """Each is answered with its close code; the terminal does not notice."""
    with Terminal("cat") as t:
        def broken(code, *frames):
            with t.connect() as w:
                for frame in frames:
                    w.send_raw(frame) if isinstance(frame, bytes) else w.send(*frame[0], **frame[1])
                w.expect_close(code)

        def frame(*arguments, **more):
            return arguments, more

        broken(1002, frame(BINARY, b"x", mask=False))
        broken(1002, frame(BINARY, b"x", rsv=4))
        broken(1002, frame(3, b"x"))
        broken(1002, frame(11))
        broken(1002, frame(PING, b"x", fin=False))
        broken(1002, frame(PING, b"x" * 126))
        broken(1002, frame(0, b"x"))
        broken(1002, frame(TEXT, b"{", fin=False), frame(TEXT, b"}"))
        broken(1002, frame(CLOSE, b"\3"))
        broken(1002, frame(CLOSE, b"\3\355"))
        broken(1002, b"\x82\xff\x80" + b"\0" * 11)
        broken(1007, frame(TEXT, b"\xc3\x28"))
        broken(1007, frame(TEXT, b"\xc3", fin=False), frame(0, b"\x28"))
        broken(1009, frame(BINARY, b"x" * (2 ** 20 + 1)))
        broken(1009, frame(BINARY, b"x" * 2 ** 20, fin=False), frame(0, b"x"))
        with t.connect() as w:
            eq(w.close(4321), 4321, "a client's own code comes back")
        with t.connect() as w:  # without a code
            w.send(CLOSE)
            eq(w.rest().code in (None, 1000), True)
        with t.connect() as w:
            w.send(BINARY, b"in ", fin=False)
            w.send(PING, b"between")
            w.send(0, b"pie", fin=False)
            w.send(0, b"ces\n")
            w.until(rb"in pieces\r\nin pieces\r\n")
        eq(t.get()["status"], "running")


def take_over():
    with Terminal("sh", "-c", "stty -echo; echo first; cat") as t, t.connect() as one:
        one.until(b"first")
        with t.connect("holder=two") as two:
            eq(one.word("taken"), {"type": "taken"})
            eq(one.rest().code, TAKEN)
            two.until(b"first")
            refused(t.url("resume=1&holder=one"), 409)
            two.binary(b"still\n")
            two.until(b"still")
        with t.connect("resume=1&holder=two&offset=%d" % two.offset) as back:
            back.binary(b"back\n")
            eq(back.until(b"back\r\n"), b"back\r\n", "nothing twice")


def gap():
    """What is no longer kept is told by a new offset, and the stream goes on."""
    with Terminal("sh", "-c", "stty -echo; read x; head -c 12600000 /dev/zero | tr '\\0' x; echo END; read y") as t:
        with t.connect() as w:
            w.binary(b"\n")
        wait_for("it was written", lambda: t.get()["offset"] >= 12600000, PATIENCE)
        with t.connect() as w:
            w.until(b"END")
            offsets = [x["offset"] for x in w.words if x["type"] == "offset"]
            eq(len(offsets), 2, "offsets that were told")
            ok(offsets[1] > 10 << 20 and w.offset == t.get()["offset"], "positions go on behind it", offsets, w.offset)


def stalled_reader():
    """One that does not read makes the command wait, and then not; pings of his do not make us keep answers."""
    with Terminal("sh", "-c", "stty -echo; read x; yes | head -c 4000000; echo; echo END; read y") as t:
        with t.connect() as w:
            w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            before = rss("sandboxd.service")
            w.binary(b"\n")
            wait_for("it waits for the reader", lambda: 0 < t.get()["offset"] < 4000000, PATIENCE)
            wait_for("and goes on without him", lambda: t.get()["offset"] > 4000000, PATIENCE)
            w.socket.setblocking(False)
            try:
                for _ in range(200):
                    w.send(PING, b"x" * 125)
            except BlockingIOError:
                pass
            w.socket.settimeout(PATIENCE)
            more = rss("sandboxd.service") - before
            ok(more < 8192 or is_sanitized("sandboxd.service"), "KiB more", more)
        with t.connect() as w:
            eq(len(w.until(rb"END\r\n")) > 4000000, True, "all of it, for the next one")


def rss(unit):
    with open(f"/proc/{main_pid(unit)}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def is_sanitized(unit):
    """Then what is freed is kept for a while, on purpose."""
    with open(f"/proc/{main_pid(unit)}/maps") as f:
        return "libasan" in f.read()


def input_that_is_not_read():
    """Waits where it was typed, is not lost, and pings are answered meanwhile."""
    data = b"".join(b"%d\n" % i for i in range(20000))
    with Terminal("sh", "-c", "stty raw -echo; echo go; read x; cat | head -c %d | sha256sum; read y" % len(data)) as t:
        with t.connect() as w:
            w.until(b"go")
            w.binary(data[:4096])
            for i in range(4096, len(data), 50000):
                w.binary(data[i:i + 50000])
            w.send(PING, b"alive?")
            while w.frame()[:2] != (PONG, b"alive?"):
                pass
            w.binary(b"\n" * 200)
            eq(len(w.until(rb"[0-9a-f]{64}")) > 64, True)


COUNTER = ("stty -echo; read x; i=0; while [ $i -lt " + str(LINES) + " ]; do echo n=$i; i=$((i+1)); "
           "[ $((i % 500)) != 0 ] || sleep 0.1; done; read x; exit 9")


def read_lines(connect, on_line):
    """All output, over as many sockets as it takes; connect(offset) makes one."""
    seen, n_sockets, end = b"", 0, time.monotonic() + 240
    while b"n=%d\r\n" % (LINES - 1) not in seen[-4096:]:
        ok(time.monotonic() < end, "all lines come", len(seen), n_sockets)
        try:
            w = connect(len(seen))
        except (Failure, OSError):
            time.sleep(0.05)  # the daemon is being started
            continue
        n_sockets += 1
        with w:
            try:
                while b"n=%d\r\n" % (LINES - 1) not in seen[-4096:]:
                    kind, data = w.message()
                    if kind == BINARY:
                        seen += data
                        on_line(seen)
            except (Closed, OSError):
                pass
    return seen, n_sockets


def check_lines(seen, what):
    numbers = [int(x) for x in re.findall(rb"n=(\d+)\r\n", seen)]
    eq(len(numbers), LINES, f"lines, {what}")
    eq(numbers, list(range(LINES)), f"each once and in order, {what}")


class Killer:
    def __init__(self, unit):
        self.unit, self.marks = unit, [b"n=1000\r", b"n=5000\r", b"n=11000\r"]

    def __call__(self, seen):
        if self.marks and self.marks[0] in seen[-200000:]:
            self.marks.pop(0)
            kill_main(self.unit)


def daemons_die():
    for unit in UNITS:
        with Terminal("sh", "-c", COUNTER) as t:
            with t.connect() as w:
                w.binary(b"\n")
                w.until(b"n=0\r")
            seen, n = read_lines(lambda offset, t=t: WebSocket(t.url(f"offset={offset}"), timeout=PATIENCE),
                                 Killer(unit))
            check_lines(seen, unit)
            ok(n > 3 or unit != "sandboxd.service", "sockets that it took", n)
            with t.connect("tail=0") as w:
                w.binary(b"\n")
                eq(w.word("exit")["code"], 9)


def daemon_ends_in_order():
    """A restart says 1001, and the client comes back."""
    with Terminal("cat") as t, t.connect() as w:
        w.binary(b"one\n")
        w.until(rb"one\r\none\r\n")
        threading.Thread(target=shell, args=("systemctl stop sandboxd.service",)).start()
        eq(w.rest().code, 1001)
        wait_for("it has stopped", lambda: main_pid("sandboxd.service") == 0, PATIENCE)
        with t.connect(f"offset={w.offset}") as back:
            back.binary(b"two\n")
            eq(back.until(rb"two\r\ntwo\r\n"), b"two\r\ntwo\r\n")


def channels():
    with Session(cols=100, rows=40, shell="/bin/bash") as s:
        r = s.record
        eq(set(r), {"sessionId", "sandboxId", "execId", "cols", "rows", "shell", "status", "backend", "createdAt",
                    "channel"}, "members")
        eq((r["sandboxId"], r["cols"], r["rows"], r["shell"], r["status"]), (S.id, 100, 40, "/bin/bash", "running"))
        ok(re.fullmatch("term_[0-9a-f]{24}", s.id), s.id)
        eq({k: v["direction"] for k, v in r["channel"].items()}, {"writer": "write", "reader": "read"})
        references = [v[k] for v in r["channel"].values() for k in ("channel_id", "access_key")]
        eq(len(set(references)), 4, "four references of their own")
        refused(s.url("reader", access_key="no"), 404)
        refused(s.url("reader", access_key=r["channel"]["writer"]["access_key"]), 404)
        refused(s.url("reader", direction="write"), 404)
        refused(s.url("reader", channel_id="no"), 404)
        refused(s.url("reader", direction="both"), 400)
        with WebSocket(s.url("reader")) as reader, WebSocket(s.url("writer")) as writer:
            writer.binary(b"stty size; tty\n")
            reader.shows(b"40 100\r\n/dev/pts/")
            for end in ("reader", "writer"):
                with WebSocket(s.url(end)) as second:
                    second.expect_close(1008)
            eq(api("POST", s.path + "/resize", {"cols": 101, "rows": 41}), {"cols": 101, "rows": 41})
            writer.binary(b"stty size\n")
            reader.shows(b"41 101")
            writer.text('{"type":"resize","cols":102,"rows":42}')
            writer.binary(b"stty size\n")
            reader.shows(b"42 102")
            for size in ({"cols": 0, "rows": 1}, {"cols": 1}, {"cols": 1, "rows": 65536}):
                api("POST", s.path + "/resize", size, 400)
            writer.send(BINARY, b"#" * 65536)
            writer.binary(b"\n")
            writer.close()
            with WebSocket(s.url("writer")) as late:
                late.expect_close(1008)
            eq(api("DELETE", s.path), {"closed": s.id})
            eq(reader.expect_close(1000).reason, "closed")
        refused(s.url("reader"), 404)


def channels_have_bounds():
    with Session() as s:
        with WebSocket(s.url("writer")) as writer:
            writer.send(BINARY, b"x" * 65537)
            writer.expect_close(1009)
        with WebSocket(s.url("reader")) as reader:
            reader.binary(b"x")
            reader.expect_close(1003)
    for shell_, status in (("/bin/fish", 403), ("sh", 403), ("", 403), ("/bin/sh -c id", 403)):
        answer = S.post("/terminal", {"shell": shell_}, status)
        eq(answer["error"], f"shell '{shell_}' not allowed, use one of: /bin/sh, /bin/bash, /bin/zsh, /bin/ash")
    for size in ({"cols": 0}, {"rows": 65536}, {"cols": "x"}):
        S.post("/terminal", size, 400)
    for method, rest, body in (("DELETE", "", None), ("POST", "/resize", {"cols": 1, "rows": 1})):
        status, _, answer = request(method, f"/sandbox{S.path}/terminal/nope{rest}", body)
        eq((status, answer), (404, {"error": "Terminal session not found: nope"}))


def channels_and_tokens():
    """A channel's key is the credential; the other routes want the token."""
    with Session() as s:
        eq(status_of("GET", s.path), 405, "there is no such route")
        data = b"".join(open(p, "rb").read() for p in glob.glob("/var/lib/sandboxd/*") if os.path.isfile(p))
        ok(s.record["channel"]["reader"]["channel_id"].encode() in data, "the database has the reference")
        for end in ("reader", "writer"):
            ok(s.record["channel"][end]["access_key"].encode() not in data, "the database has no key")


def channels_outlive_daemons():
    """References are good after each daemon was killed, taken ones, too, and bytes are neither lost nor doubled."""
    with Session() as s:
        for unit in UNITS:
            kill_main(unit)
        writer = wait_for("it is taken", lambda: attempt(s.url("writer")), PATIENCE)
        with writer:
            writer.binary(b"exec sh -c '" + COUNTER.encode() + b"'\n\n")
            seen, n = read_lines(lambda offset: WebSocket(s.url("reader") + f"&offset={offset}", timeout=PATIENCE),
                                 Killer("sandboxd.service"))
            check_lines(seen, "channel")
            ok(n > 3, "sockets that it took", n)
        with WebSocket(s.url("writer")) as writer:
            writer.binary(b"\n")
            wait_for("it has ended", lambda: api("GET", f"{S.path}/terminals/{s.id}").get("exitCode") == 9, PATIENCE)


def attempt(url):
    try:
        return WebSocket(url)
    except (Failure, OSError):
        return None


def delete_ends_all():
    with Session() as s, WebSocket(s.url("writer")) as writer, WebSocket(s.url("reader")) as reader:
        writer.binary(b"trap '' HUP; (trap '' HUP; exec sleep 4734) & setsid sleep 4734 & echo u''p\n")
        reader.shows(b"up")
        api("DELETE", s.path)
        reader.expect_close(1000)
        writer.expect_close(1000)
        wait_for("all that it started has ended", lambda: S.run("pgrep -fx 'sleep 4734'")["stdout"] == "", PATIENCE)
    with Sandbox(timeout=300) as other:
        record = other.post("/terminals", {"command": ["cat"]})
        with Attached(f"/sandbox{other.path}/terminals/{record['id']}/ws") as w:
            other.delete()
            eq((w.word("exit"), w.rest().reason), ({"type": "exit", "code": None}, "lost"), "with its sandbox")


def real_client():
    """An independent implementation agrees."""
    if not websockets:
        print("python3-websockets is not here")
        return

    async def talk(url):
        async with websockets.connect(f"ws://{HOST}:{PORT}{url}", ping_interval=0.2) as w:
            await w.send(b"echo $((6 * 7))4711\n")
            seen = b""
            while b"424711" not in seen:
                data = await asyncio.wait_for(w.recv(), PATIENCE)
                seen += data if isinstance(data, bytes) else b""
            await w.send(["{\"type\":", "\"resize\",\"rows\":11,", "\"cols\":22}"])
            await w.send(b"stty size\n")
            while b"11 22" not in seen:
                data = await asyncio.wait_for(w.recv(), PATIENCE)
                seen += data if isinstance(data, bytes) else b""
            pong = await w.ping()
            await asyncio.wait_for(pong, PATIENCE)
            await w.send(b"exit 3\n")
            words = []
            try:
                while True:
                    data = await asyncio.wait_for(w.recv(), PATIENCE)
                    words += [data] if isinstance(data, str) else []
            except websockets.ConnectionClosedOK as e:
                eq(e.rcvd.code, 1000)
            eq(json.loads(words[-1]), {"type": "exit", "code": 3})

    with Terminal("sh") as t:
        asyncio.run(talk(t.url()))


def descriptors(unit):
    return len(os.listdir(f"/proc/{main_pid(unit)}/fd"))


def nothing_is_left():
    """Sockets opened and closed in each way, again and again."""
    def cycle():
        with Terminal("cat") as t:
            with t.connect() as w:
                w.binary(b"x\n")
                w.until(b"x")
                w.close()
            with t.connect() as w:  # gone without a word
                w.socket.close()
            with t.connect() as one, t.connect():
                eq(one.rest().code, TAKEN)
        with Session() as s, WebSocket(s.url("reader")) as reader, WebSocket(s.url("writer")):
            api("DELETE", s.path)
            reader.expect_close(1000)

    for _ in range(3):
        cycle()
    settled = {}

    def same():
        now = {u: descriptors(u) for u in UNITS[:2]}
        steady = settled.get("last") == now
        settled["last"] = now
        return steady and now

    before = wait_for("descriptors settle", same, PATIENCE)
    for _ in range(20):
        cycle()
    wait_for("there are as many descriptors as before", lambda: all(descriptors(u) <= before[u] for u in before),
             PATIENCE)
    eq(api("GET", S.path + "/terminals")["terminals"], [], "terminals")
    eq([n for n in S.out("ls /dev/pts").split() if n != "ptmx"], [], "ptys")
    eq([n for n in os.listdir(SPOOL) if n.startswith("term_")], [], "spools")


def idle():
    """An open socket keeps sandboxd; references, or terminals that have ended, do not."""
    configure(SANDBOX_IDLE_EXIT_SEC=1)
    try:
        with Terminal("true") as t:
            wait_for("it has ended", lambda: t.get()["status"] == "exited")
            with Session() as s:
                with WebSocket(s.url("writer")) as w:
                    w.binary(b"exit\n")
                    w.expect_close(1000)
                pid = main_pid("sandboxd.service")
                wait_for("sandboxd leaves", lambda: main_pid("sandboxd.service") == 0, PATIENCE)
                with WebSocket(s.url("reader")) as reader:  # starts it
                    reader.expect_close(1000)
                ok(main_pid("sandboxd.service") not in (0, pid), "another one")
        with Terminal("cat") as t, t.connect() as w:
            pid = main_pid("sandboxd.service")
            w.binary(b"x\n")
            w.until(b"x")
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline:
                eq(main_pid("sandboxd.service"), pid, "it stays")
                time.sleep(0.2)
    finally:
        configure()


with Sandbox(timeout=3600, memory=256) as S:
    run_tests([both_ways, handshakes, frames_that_are_none, take_over, gap, stalled_reader, input_that_is_not_read,
               real_client, channels, channels_have_bounds, channels_and_tokens, delete_ends_all, daemon_ends_in_order,
               daemons_die, channels_outlive_daemons, nothing_is_left, idle])
