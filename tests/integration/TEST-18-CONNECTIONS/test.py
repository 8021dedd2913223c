# SPDX-License-Identifier: LGPL-2.1-or-later
"""Thousands of connections, idle, busy, slow, stalled and hostile: whoever asks in the ordinary way is answered."""
import contextlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from sandboxd import HOST, PORT, Sandbox, api, eq, main_pid, ok, request, run_tests, shell, wait_for

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]
SETTINGS = "/etc/sandboxd/sandboxd.conf.d/90-test.conf"
IDLE, BUSY = 10000, 500
HEAD = b"GET /sandbox/health HTTP/1.1\r\nHost: localhost\r\n"

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def connect(n=0, receive_bytes=None):
    """From one of several addresses: a client's ports are the scarcer good."""
    s = socket.socket()
    if receive_bytes:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.bind((f"127.0.0.{2 + n // 5000}", 0))
    s.settimeout(60)
    s.connect((HOST, PORT))
    return s


@contextlib.contextmanager
def many(n):
    sockets = [connect(i) for i in range(n)]
    try:
        yield sockets
    finally:
        for s in sockets:
            s.close()


def rss():
    found = {}
    for unit in UNITS[:2]:
        lines = dict(line.split(":", 1) for line in open(f"/proc/{main_pid(unit)}/status") if ":" in line)
        found[unit] = int(lines["RssAnon"].split()[0]) + int(lines["RssShmem"].split()[0])
    return found


def cpu_seconds(unit):
    fields = open(f"/proc/{main_pid(unit)}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask():
    begin = time.monotonic()
    eq(request("GET", "/sandbox/health")[0], 200, "an ordinary request")
    return time.monotonic() - begin


def p95(times):
    return sorted(times)[int(len(times) * 0.95)]


def tell(what, times):
    print(f"    {what}: p50 {statistics.median(times) * 1e3:.2f} ms, p95 {p95(times) * 1e3:.2f} ms, n {len(times)}",
          flush=True)


def read_all(s):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := s.recv(65536):
            data += chunk
    return data


# --- others at the same time, in a process of their own so that they do not share our interpreter

BUSY_CLIENTS = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for i in range(%d):
    s = socket.create_connection((%r, %d))
    s.setblocking(False)
    s.send(%r)
    selector.register(s, selectors.EVENT_READ)
n = 0
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        data = key.fileobj.recv(4096)
        if not data.startswith(b"HTTP/1.1 200"):
            sys.exit(f"answered with {data[:60]!r}")
        key.fileobj.send(%r)
        n += 1
"""


@contextlib.contextmanager
def process(text):
    p = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    try:
        eq(p.stdout.readline(), "ready\n", "the other clients")
        yield p
        eq(p.poll(), None, "the other clients are still served")
    finally:
        p.kill()
        p.wait()


def thousands():
    """10,000 idle and 500 busy ones, and one more gets its answer at once."""
    with Sandbox() as s:
        s.post("/exec/background", {"command": "sleep 1000"})
        calm = [ask() for _ in range(200)]
        before = rss()
        with many(IDLE) as sockets:
            idle = [ask() for _ in range(200)]
            grown = rss()["sandboxd"] - before["sandboxd"]
            with process(BUSY_CLIENTS % (BUSY, HOST, PORT, HEAD + b"\r\n", HEAD + b"\r\n")):
                busy = [ask() for _ in range(60)]
                eq(s.out("echo on"), "on\n", "and a command")
            for what, times in (("calm", calm), ("10,000 idle", idle), ("and 500 busy", busy)):
                tell(what, times)
            print(f"    {IDLE} idle connections take {grown} KiB", flush=True)
            ok(p95(idle) < max(5 * p95(calm), 0.05), "idle ones cost nothing", p95(calm), p95(idle))
            ok(p95(busy) < 1, "an answer within a second", p95(busy))
            ok(grown < IDLE * 2, "an idle one takes less than 2 KiB", grown)
            for n in (0, IDLE // 2, IDLE - 1):  # all of them are still good
                sockets[n].sendall(HEAD + b"Connection: close\r\n\r\n")
                ok(read_all(sockets[n]).startswith(b"HTTP/1.1 200"), "an idle one wakes up", n)
        gone = ask()
        print(f"    the moment they all leave: {gone * 1e3:.2f} ms", flush=True)
        ok(gone < 5, "all of them leaving at once holds nobody up", gone)


# --- beyond the bound

@contextlib.contextmanager
def settings(*lines):
    os.makedirs(os.path.dirname(SETTINGS), exist_ok=True)
    with open(SETTINGS, "w") as f:
        f.write("\n".join(lines) + "\n")
    shell("systemctl reload-or-restart sandboxd")
    try:
        yield
    finally:
        os.unlink(SETTINGS)
        shell("systemctl reload-or-restart sandboxd")


def check_refusals(n):
    """n connections that come too late: each is told to come back, and closed."""
    for i in range(n):
        with connect(i) as s:
            data = read_all(s)
            ok(data.startswith(b"HTTP/1.1 503 "), "refused", data[:100])
            ok(b"\r\nRetry-After: " in data and b"Connection: close" in data, "told when to come back", data[:300])


def check_no_spin():
    begin, used = time.monotonic(), cpu_seconds("sandboxd")
    with contextlib.ExitStack() as stack:
        waiting = stack.enter_context(connect())
        ok(read_all(waiting).startswith(b"HTTP/1.1 503 "), "refused")
        wait_for("a while", lambda: time.monotonic() - begin > 2, 10)
    share = (cpu_seconds("sandboxd") - used) / (time.monotonic() - begin)
    ok(share < 0.25, "sandboxd does not spin", share)


def full():
    with Sandbox() as s:
        s.post("/exec/background", {"command": "sleep 1000"})
        with settings("SANDBOX_CONNECTIONS_MAX=300"):
            with many(300) as sockets:
                check_refusals(50)
                check_no_spin()
                sockets[7].close()
                wait_for("a place is free", lambda: request("GET", "/sandbox/health")[0] == 200)


def descriptors_in_reserve():
    """The bound is by descriptors here: those who are in can still start commands, which takes some."""
    directory = "/run/systemd/system/sandboxd.service.d"
    os.makedirs(directory, exist_ok=True)
    with open(directory + "/90-test.conf", "w") as f:
        f.write("[Service]\nLimitNOFILE=200\n")
    shell("systemctl daemon-reload; systemctl stop sandboxd")
    try:
        with Sandbox() as s:
            s.post("/exec/background", {"command": "sleep 1000"})
            inside = http.client.HTTPConnection(HOST, PORT, timeout=60)
            inside.connect()
            sockets = [connect() for _ in range(200)]
            wait_for("no more are let in", lambda: request("GET", "/sandbox/health")[0] == 503)
            for _ in range(20):
                inside.request("POST", f"/sandbox{s.path}/exec", json.dumps({"command": "echo on"}),
                               {"Content-Type": "application/json"})
                response = inside.getresponse()
                data = json.loads(response.read())
                eq((response.status, data.get("stdout")), (200, "on\n"), f"a command ({data})")
            check_no_spin()
            for c in sockets:
                c.close()
            wait_for("places are free", lambda: request("GET", "/sandbox/health")[0] == 200)
            inside.close()
    finally:
        os.unlink(directory + "/90-test.conf")
        shell("systemctl daemon-reload; systemctl stop sandboxd")


# --- slow ones

SLOW_HEADS = """
import selectors, socket, time
sockets = []
for i in range(600):
    s = socket.create_connection((%r, %d))
    s.setblocking(False)
    sockets.append(s)
print("ready", flush=True)
head = b"GET /sandbox/health HTTP/1.1\\r\\nHost: localhost\\r\\nX-Slow: " + b"x" * 1000
for byte in head:
    for s in sockets:
        try:
            s.send(bytes([byte]))
        except OSError:
            pass
    time.sleep(1)
"""


def slow_heads():
    """600 who send a byte a second: an ordinary one does not notice, and they are sent away after 5 to 10 seconds."""
    with Sandbox() as s:
        s.post("/exec/background", {"command": "sleep 1000"})
        with process(SLOW_HEADS % (HOST, PORT)), connect() as slow:
            begin = time.monotonic()
            slow.sendall(b"G")
            times = []
            while time.monotonic() - begin < 3:
                times.append(ask())
            tell("beside 600 slow heads", times)
            ok(p95(times) < 1, "answered within a second", p95(times))
            data, took = read_all(slow), time.monotonic() - begin
            ok(data.startswith(b"HTTP/1.1 408 "), "told why", data[:60])
            ok(4.5 < took < 12, "closed after 5 to 10 s", took)
            print(f"    ended after {took:.1f} s", flush=True)


def until_closed(what, s, data, expect, low, high):
    """A thread that waits for the end of a connection: these take half a minute and more, and run side by side."""
    problems = []

    def wait():
        begin = time.monotonic()
        s.settimeout(high + 60)
        try:
            if data:
                s.sendall(data)
            got = read_all(s)
            took = time.monotonic() - begin
            print(f"    {what}: closed after {took:.1f} s", flush=True)
            if not (got.startswith(expect) and (got or not expect)):
                problems.append(f"{what}: got {got[:80]!r}")
            if not low < took < high:
                problems.append(f"{what}: closed after {took:.1f} s")
        except OSError as e:
            problems.append(f"{what}: {e!r}")
        finally:
            s.close()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, problems


def drip(s):
    """100 bytes a second of an announced body: something comes all the time, but not enough."""
    try:
        while True:
            s.sendall(b" " * 100)
            time.sleep(1)
    except OSError:
        pass


def patience():
    """Bodies that never come, or too slowly, connections that are kept for nothing, replies that nobody reads."""
    with Sandbox(timeout=900, memory=512) as s:
        s.post("/exec/background", {"command": "sleep 1000"})
        s.out("head -c 100000000 /dev/zero > /workspace/large")
        post = (b"POST /sandbox%s/exec HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000000\r\n\r\n{" % s.path.encode())
        get = b"GET /sandbox%s/files/raw?path=/workspace/large HTTP/1.1\r\nHost: localhost\r\n\r\n" % s.path.encode()
        dripping = connect()
        kept = connect()
        kept.sendall(HEAD + b"\r\n")
        ok(kept.recv(4096).startswith(b"HTTP/1.1 200"), "a connection to keep")
        stalled = connect(receive_bytes=4096)
        stalled.sendall(get)
        waits = [until_closed("a body that never comes", connect(), post, b"HTTP/1.1 408 ", 28, 40),
                 until_closed("a body of 100 bytes a second", dripping, post, b"HTTP/1.1 408 ", 28, 40),
                 until_closed("kept alive for nothing", kept, b"", b"", 55, 75)]
        ok(not server_has_closed(stalled), "the one that does not read is served at first")
        threading.Thread(target=drip, args=(dripping,), daemon=True).start()
        wait_for("the reply that nobody reads is given up", lambda: server_has_closed(stalled), 60)
        stalled.close()
        for thread, _ in waits:
            thread.join()
        eq([p for _, problems in waits for p in problems], [])


def server_has_closed(s):
    """Without reading: that would be what it waits for."""
    port = s.getsockname()[1]
    return not shell(f"ss -Htn state established 'sport = :{PORT} and dport = :{port}'").strip()


def slow_reader():
    """A gibibyte of output to somebody who reads a few bytes a second: the command goes on, memory stays, and what he
    missed is said."""
    size = int(os.environ.get("TEST_SIZE", str(2**30)))
    with Sandbox(timeout=900) as s:
        s.post("/exec/background", {"command": "sleep 1000"})
        s.out("true")
        before, most = rss(), {}
        c = connect(receive_bytes=4096)
        body = json.dumps({"command": f"head -c {size} /dev/zero | tr '\\0' x; echo over > /tmp/over"}).encode()
        c.sendall(b"POST /sandbox%s/exec/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % (s.path.encode(), len(body)) + body)

        def over():
            c.recv(1)
            for unit, kib in rss().items():
                most[unit] = max(kib, most.get(unit, 0))
            return s.run("cat /tmp/over 2>/dev/null")["stdout"] == "over\n"

        wait_for("the command ended", over, 120)
        for unit, kib in most.items():
            print(f"    {unit}: {before[unit]} KiB, at most {kib} KiB", flush=True)
            ok(kib - before[unit] < 4096, f"{unit} grew", before[unit], kib)
        rest = read_until(c, b'"type":"exit"')
        gaps = [int(n) for n in re.findall(rb"^: gap (\d+)", rest, re.M)]
        ok(gaps and sum(gaps) > size // 2, "what was dropped is told", gaps)
        print(f"    {len(rest)} bytes came, {sum(gaps)} were told to be missing", flush=True)
        c.close()


def read_until(s, mark):
    data = b""
    while mark not in data[-400:]:
        chunk = s.recv(65536)
        ok(chunk, "the stream goes on to its end", data[-200:])
        data += chunk
    return data


# --- hostile ones

HOSTILE = """
import socket, time
def send(data):
    s = socket.create_connection((%r, %d))
    s.settimeout(20)
    got = b""
    try:
        s.sendall(data)
        while chunk := s.recv(65536):
            got += chunk
    except OSError:
        pass
    s.close()
    return got[:12]
json = lambda text: (b"POST /sandbox/sandboxes HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\n"
                     b"Connection: close\\r\\nContent-Length: %%d\\r\\n\\r\\n" %% len(text)) + text
attacks = [
    (b"GET /sandbox/health HTTP/1.1\\r\\nHost: localhost\\r\\nX: " + b"x" * 1000000 + b"\\r\\n\\r\\n", b"431"),
    (b"GET /sandbox/health HTTP/1.1\\r\\nHost: localhost\\r\\n" + b"X: y\\r\\n" * 200000 + b"\\r\\n", b"431"),
    (json(b"[" * 10000 + b"]" * 10000), b"400"),
    (json(b'{"a":' * 10000 + b"1" + b"}" * 10000), b"400"),
    (json(b"{" + b",".join(b'"%%d":1' %% i for i in range(90000)) + b"}"), b"400"),
    (json(b'{"image":"x","image":"y"}'), b"400"),
]
print("ready", flush=True)
while True:
    for data, status in attacks:
        got = send(data)
        if got and got[9:] != status:
            print(got, status, flush=True)
            raise SystemExit(1)
        time.sleep(0.02)
"""


def hostile_requests():
    """Headers of a megabyte, JSON ten thousand deep: refused, and others are served as if nothing were."""
    with Sandbox() as s:
        s.post("/exec/background", {"command": "sleep 1000"})
        ratios = []
        before = rss()
        while len(ratios) < 3 and (not ratios or min(ratios) >= 2):
            calm, loud = [], []
            with process(HOSTILE % (HOST, PORT)) as attacker:
                for _ in range(6):  # by turns: what else the machine does falls on both sides alike
                    attacker.send_signal(signal.SIGSTOP)
                    calm += [ask() for _ in range(100)]
                    attacker.send_signal(signal.SIGCONT)
                    loud += [ask() for _ in range(100)]
            tell("calm", calm)
            tell("attacked", loud)
            ratios.append(p95(loud) / p95(calm))
        grown = rss()["sandboxd"] - before["sandboxd"]
        print(f"    p95 grew {', '.join(f'{r:.2f}' for r in ratios)} times, sandboxd by {grown} KiB", flush=True)
        ok(min(ratios) < 2, "others do not pay for it", ratios)
        ok(grown < 32 * 1024, "memory", grown)


def nothing_is_left():
    """All connections gone, sandboxd has as few descriptors as one that has just begun."""
    wait_for("descriptors are closed", lambda: len(os.listdir(f"/proc/{main_pid('sandboxd')}/fd")) < 40
             if main_pid("sandboxd") else True, 90)
    eq(shell("systemctl --failed --no-legend --plain | grep -c sandbox || true").strip(), "0", "failed units")


run_tests([thousands, full, descriptors_in_reserve, slow_heads, slow_reader, hostile_requests, patience,
           nothing_is_left])
