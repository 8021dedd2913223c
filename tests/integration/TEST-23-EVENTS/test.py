# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events, streams, traces and figures: to the byte, over kills, with readers that stall, and beside a hundred thousand."""
import contextlib
import http.client
import json
import re
import selectors
import socket
import statistics
import subprocess
import threading
import time

from sandboxd import HOST, PORT, ApiError, Failure, Sandbox, api, eq, main_pid, ok, request, run_tests, shell, sse, wait_for

try:
    import sqlite3
except ImportError:
    sqlite3 = None

DATABASE = "/var/lib/sandboxd/sandboxd.db"
PATIENCE = 60


class Stream:
    """A raw reader: the bytes of the body, put together of their chunks."""

    def __init__(self, path, headers=(), receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((HOST, PORT))
        lines = [f"GET /sandbox{path} HTTP/1.1", "Host: localhost", "Accept: text/event-stream", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        self.raw = b""
        while b"\r\n\r\n" not in self.raw:
            ok(self.fill(), "a head comes")
        self.head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        self.body, self.ended = b"", False
        eq(self.head.split(b"\r\n")[0], b"HTTP/1.1 200 OK", "status line")

    def fill(self):
        more = self.socket.recv(262144)
        self.raw += more
        return len(more)

    def unchunk(self):
        while b"\r\n" in self.raw and not self.ended:
            size, rest = self.raw.split(b"\r\n", 1)
            n = int(size, 16)
            if n == 0:
                self.ended = True
            elif len(rest) < n + 2:
                return
            else:
                self.body += rest[:n]
                self.raw = rest[n + 2:]

    def step(self):
        """More of the body; False at its end."""
        n = self.fill()
        self.unchunk()
        return n > 0 and not self.ended

    def until(self, text):
        more = True
        while text not in self.body:
            ok(more, f"{text!r} comes before the end", self.body[-300:])
            more = self.step()
        return self.body

    def close(self):
        self.socket.close()


def publish(topic, sandbox="test", data=None):
    return api("POST", "/events/publish", {"topic": topic, "sandboxId": sandbox, "data": data})


def history(**query):
    return api("GET", "/events/history?" + "&".join(f"{k}={v}" for k, v in query.items()))


def topics(sandbox):
    return [e["topic"].split(".", 1)[1] for e in reversed(history(sandboxId=sandbox, limit=100)["events"])]


def kill_sandboxd():
    pid = main_pid("sandboxd.service")
    if pid:
        shell(f"kill -9 {pid}", check=False)
    return pid


@contextlib.contextmanager
def database():
    """While no sandboxd is there."""
    shell("systemctl stop sandboxd.service")
    connection = sqlite3.connect(DATABASE)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()
        shell(f"chown --reference=/var/lib/sandboxd {DATABASE}*")


def frames_are_exact():
    stream, other = Stream("/stream/events?topic=test.exact"), Stream("/stream/events")
    for line in (b"Content-Type: text/event-stream", b"Cache-Control: no-cache"):
        ok(line in stream.head, f"header {line!r}", stream.head)
    event = publish("test.exact", data={"text": "line\nbreak", "n": 1})
    expected = f"data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
    eq(stream.until(b"\n\n"), expected, "frame of an event")
    eq(sorted(event), ["data", "id", "sandboxId", "timestamp", "topic"], "keys of an event")
    shown = publish("sandbox.test")
    eq(other.until(b"\n\n"), f"data: {json.dumps(shown, separators=(',', ':'))}\n\n".encode(), "sandbox.* alone")
    stream.close()
    other.close()


def every_cause_is_told():
    with Sandbox() as s:
        s.out("echo hello")
        s.post("/pause")
        s.post("/resume")
        s.post("/renew", {"expiresAt": s.get()["expiresAt"] + 600000})
        try:
            s.post("/limits", {"pids": 100})
            limited = ["limited"]
        except ApiError:  # where no limits are enforced
            limited = []
        s.delete()
        eq(topics(s.id), ["created", "exec", "paused", "resumed", "renewed", *limited, "killed"], "topics")
        data = history(sandboxId=s.id, topic="sandbox.exec")["events"][0]["data"]
        eq((data["command"], data["exitCode"]), ("echo hello", 0), "what exec says")
        ok(data["duration"] >= 1, "duration", data)
        eq(history(sandboxId=s.id, topic="sandbox.killed")["events"][0]["data"]["id"], s.id, "the sandbox is told")

    before = history(topic="sandbox.error")["total"]
    api("POST", "/sandboxes", {"image": "no-such-image"}, expect=None)
    eq(history(topic="sandbox.error")["total"], before + 1, "a creation that failed")

    with Sandbox() as s:
        shell(f"systemctl kill -s KILL {s.scope}", check=False)  # fails if it is quick: the group is gone meanwhile
        wait_for("its death is told", lambda: "error" in topics(s.id), PATIENCE)
        eq(topics(s.id), ["created", "error"], "topics of one that died")


def told(s, deed):
    """Topics that a deed leaves, of this sandbox or of none; an end of a command may come at any time."""
    before = {e["id"] for e in history(limit=1000)["events"]}
    deed()
    return sorted(e["topic"] for e in history(limit=1000)["events"]
                  if e["id"] not in before and e["sandboxId"] in (s.id, "") and e["topic"] != "sandbox.exec")


def what_belongs_to_a_sandbox_is_told():
    with Sandbox() as s:
        ids = {}

        def make(name, path, body):
            return lambda: ids.__setitem__(name, api("POST", path, body)["id"])

        port = {"containerPort": 8000}
        deeds = [
            (lambda: s.post("/ports", port), ["port.exposed"]),
            (lambda: s.post("/proxy/config", {"timeout": 1000}), ["proxy.configured"]),
            (lambda: s.post("/proxy/config", {}), []),
            (lambda: s.post("/proxy/url", {"port": 8000, "path": "/a?b"}), ["proxy.shared"]),
            (lambda: request("GET", f"/sandbox/proxy/{s.id}/8000/"), []),
            (lambda: api("DELETE", s.path + "/ports", port), ["port.removed"]),
            (lambda: s.post("/env", {"vars": {"A": "b"}}), ["env.set"]),
            (lambda: s.post("/env/delete", {"key": "A"}), ["env.deleted"]),
            (make("alert", s.path + "/alerts", {"metric": "pids", "threshold": 200}), ["alert.created"]),
            (lambda: api("DELETE", f"/alerts/{ids['alert']}"), ["alert.deleted"]),
            (make("terminal", s.path + "/terminals", {}), ["terminal.opened"]),
            (lambda: api("DELETE", f"{s.path}/terminals/{ids['terminal']}"), ["terminal.closed"]),
            (make("context", s.path + "/interpret/contexts", {"language": "bash"}), ["context.created"]),
            (lambda: api("DELETE", f"{s.path}/interpret/contexts/{ids['context']}"), ["context.deleted"]),
            (make("volume", "/volumes", {"name": "told"}), ["volume.created"]),
            (lambda: api("POST", f"/volumes/{ids['volume']}/attach", {"sandboxId": s.id, "mountPath": "/v"}),
             ["volume.attached"]),
            (lambda: api("POST", f"/volumes/{ids['volume']}/detach"), ["volume.detached"]),
            (lambda: api("DELETE", f"/volumes/{ids['volume']}"), ["volume.deleted"]),
            (make("network", "/networks", {"name": "told"}), ["network.created"]),
            (lambda: api("POST", f"/networks/{ids['network']}/connect", {"sandboxId": s.id}), ["network.connected"]),
            (lambda: api("POST", f"/networks/{ids['network']}/disconnect", {"sandboxId": s.id}),
             ["network.disconnected"]),
            (lambda: api("DELETE", f"/networks/{ids['network']}"), ["network.deleted"]),
            (make("snapshot", s.path + "/snapshots", {}), ["sandbox.snapshot"]),
            (lambda: s.post("/snapshots/restore", {"snapshotId": ids["snapshot"]}), ["sandbox.restored"]),
            (lambda: api("DELETE", f"/snapshots/{ids['snapshot']}"), ["snapshot.deleted"]),
            (make("twin", s.path + "/clone", {}), ["sandbox.cloned"]),
            (make("template", "/templates", {"name": "told", "config": {"image": "host"}}), ["template.created"]),
            (lambda: api("DELETE", f"/templates/{ids['template']}"), ["template.deleted"]),
        ]
        for i, (deed, topics_of_it) in enumerate(deeds):
            eq(told(s, deed), topics_of_it, f"topics of deed {i}")
        api("DELETE", f"/sandboxes/{ids['twin']}")
        shared = history(sandboxId=s.id, topic="proxy.shared")["events"][0]["data"]
        eq((shared["port"], shared["path"], sorted(shared)), (8000, "/a", ["expiresAt", "path", "port"]))
        eq(history(sandboxId=s.id, topic="proxy.configured")["events"][0]["data"], {"timeout": 1000})


def expiry_without_us_is_told_once():
    if not sqlite3:
        return
    s = Sandbox()
    with database() as db:
        record = json.loads(db.execute("SELECT record FROM sandboxes WHERE id LIKE ?", (s.id[4:] + "%",)).fetchone()[0])
        for key in record:
            if key.startswith("expire"):
                record[key] = 1000
            elif key.startswith("deadline"):
                record[key] = 1
        db.execute("UPDATE sandboxes SET record = ? WHERE id LIKE ?", (json.dumps(record), s.id[4:] + "%"))
    shell(f"systemctl stop {s.scope}")
    for _ in range(3):
        wait_for("the expiry is told", lambda: topics(s.id) == ["created", "expired"], PATIENCE)
        kill_sandboxd()


def nothing_is_lost_over_kills():
    """All that was acknowledged comes once, in order, though the daemon is killed again and again."""
    acknowledged, done = [], threading.Event()

    def publisher():
        for i in range(400):
            try:
                acknowledged.append(publish("test.resume", data={"n": i})["id"])
            except (OSError, http.client.HTTPException, ApiError):
                pass
        done.set()

    def killer():
        while not done.wait(0.3):
            kill_sandboxd()

    first = publish("test.resume")
    start = Stream("/stream/events?topic=test.resume&ids=1")
    marker = publish("test.resume")
    last = re.search(rb"id: (\d+)\n", start.until(marker["id"].encode())).group(1).decode()
    start.close()
    threads = [threading.Thread(target=f) for f in (publisher, killer)]
    for t in threads:
        t.start()
    seen, kills = [], 0
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        wanted = set(acknowledged) if done.is_set() else None
        if wanted is not None and wanted <= set(seen):
            break
        try:
            stream = Stream("/stream/events?topic=test.resume", [f"Last-Event-ID: {last}"])
        except (OSError, Failure):
            continue  # killed before there was a head
        stream.socket.settimeout(1)
        try:
            while stream.step():
                pass
        except OSError:
            pass
        stream.close()
        whole = stream.body[:stream.body.rfind(b"\n\n") + 2] if b"\n\n" in stream.body else b""
        for number, event in re.findall(rb"id: (\d+)\ndata: (\{.*\})\n\n", whole):
            last = number.decode()
            seen.append(json.loads(event)["id"])
        ok(b": gap" not in whole, "no gap")
        kills += 1
    for t in threads:
        t.join()
    ok(len(acknowledged) > 50, "enough were acknowledged", len(acknowledged))
    eq(len(seen), len(set(seen)), "none comes twice")
    eq([i for i in seen if i in set(acknowledged)], acknowledged, "all come in order")
    ok(first["id"] not in seen, "nothing from before")


def resident():
    for line in open(f"/proc/{main_pid('sandboxd.service')}/status", encoding="ascii"):
        if line.startswith("RssAnon"):
            return int(line.split()[1])
    return 0


def stalled_readers_harm_nobody():
    readers, stalled, events, size = 180, 20, 1500, 300
    streams = [Stream("/stream/events?topic=test.many") for _ in range(readers)]
    lazy = [Stream("/stream/events?topic=test.many", receive_bytes=4096) for _ in range(stalled)]
    publish("test.many", data={"x": "y" * size})
    before = resident()
    selector = selectors.DefaultSelector()
    counts = {}
    for s in streams:
        s.socket.setblocking(False)
        selector.register(s.socket, selectors.EVENT_READ, s)
        counts[s] = s.raw.count(b"data: ")

    def publisher():
        connection = http.client.HTTPConnection(HOST, PORT, timeout=PATIENCE)
        body = json.dumps({"topic": "test.many", "sandboxId": "test", "data": {"x": "y" * size}})
        for _ in range(events - 1):
            connection.request("POST", "/sandbox/events/publish", body, {"Content-Type": "application/json"})
            connection.getresponse().read()

    thread = threading.Thread(target=publisher)
    thread.start()
    end = time.monotonic() + 2 * PATIENCE
    # What a read cuts in two is counted by its last bytes.
    while min(counts.values()) < events and time.monotonic() < end:
        for key, _ in selector.select(1):
            s = key.data
            data = s.raw[-6:] + s.socket.recv(1 << 20)
            counts[s] += data.count(b"data: ") - s.raw[-6:].count(b"data: ")
            s.raw = data[-6:]
    thread.join()
    eq(sorted(set(counts.values())), [events], "each reader has all")
    grown = resident() - before
    ok(grown < 12 * 1024, "memory stays flat, KiB more:", grown)
    # Those who slept read on: from the database what is no longer in memory.
    for s in lazy[:3]:
        s.unchunk()
        while s.body.count(b"data: ") < events:
            ok(s.step(), "the sleeper gets all", s.body.count(b"data: "))
        eq(s.body.count(b": gap"), 0, "gaps of a sleeper")
    for s in streams + lazy:
        s.close()


def numbers_come_back():
    numbers = {"a": 0.1, "b": 0.1 + 0.2, "c": 1e300, "d": -7, "e": 2 ** 53}
    eq(publish("test.numbers", data=numbers)["data"], numbers, "to the last bit")
    eq(history(topic="test.numbers")["events"][0]["data"], numbers, "later")


def pages_join():
    for i in range(25):
        publish("test.page", sandbox=f"page{i % 2}", data={"n": i})
    eq(history(topic="test.page")["total"], 25, "total")
    eq([e["data"]["n"] for e in history(topic="test.page", limit=3, offset=2)["events"]], [22, 21, 20], "a page")
    eq(history(topic="test.page", sandboxId="page1")["total"], 12, "by both")
    seen, query = [], {}
    while True:
        page = history(topic="test.page", limit=4, **query)["events"]
        if not page:
            break
        seen += [e["data"]["n"] for e in page]
        query = {"before": page[-1]["id"]}
    eq(seen, list(range(24, -1, -1)), "by the cursor")
    middle = history(topic="test.page", limit=1, offset=12)["events"][0]["timestamp"]
    eq(len(history(topic="test.page", since=middle, limit=100)["events"]) +
       len(history(topic="test.page", until=middle, limit=100)["events"]), 25, "two times share all")


def median_usec(path, n=60):
    connection = http.client.HTTPConnection(HOST, PORT, timeout=PATIENCE)
    times = []
    for _ in range(n):
        begin = time.perf_counter()
        connection.request("GET", "/sandbox" + path)
        response = connection.getresponse()
        data = response.read()
        times.append(time.perf_counter() - begin)
        eq(response.status, 200, path + " " + data[:200].decode())
    connection.close()
    return statistics.median(times) * 1e6


def lists_stay_fast():
    if not sqlite3:
        return
    paths = ["/events/history?topic=test.ten&limit=10", "/events/history?topic=test.lot&limit=10",
             "/events/history?limit=10", "/events/history?topic=test.lot&sandboxId=lot1&limit=10",
             "/events/history?topic=test.rare&sandboxId=lot0&limit=10",
             "/events/history?topic=test.lot&since=1&until=9000000000000&limit=10"]
    for i in range(10):
        publish("test.ten", data={"n": i})
    with database() as db:
        now = int(time.time() * 1000)
        db.executemany("INSERT INTO objects(kind, id, sandbox, tag, time, record) VALUES('event', ?, ?, ?, ?, '{}')",
                       ((f"evt_{i:024x}", f"lot{i % 2}", "test.rare" if i % 20000 == 0 else "test.lot", now)
                        for i in range(99000)))
    for attempt in range(3):
        times = [median_usec(path) for path in paths]
        print(f"lists, us: {[round(t) for t in times]}", flush=True)
        if max(times) <= 5 * times[0]:
            return
    ok(False, "a list among 100,000 takes as long as one of ten", times)


def timed(connection, request_bytes, reader, end):
    begin = time.perf_counter()
    connection.sendall(request_bytes)
    data = b""
    while end not in data:
        data += reader.recv(65536)
    return time.perf_counter() - begin


def streams_are_quick():
    """A frame is at its reader about when the publisher has his answer; what a request costs that does nothing is told
    beside it."""
    stream = Stream("/stream/events?topic=test.quick").socket
    connection = socket.create_connection((HOST, PORT))
    body = json.dumps({"topic": "test.quick", "sandboxId": "test"})
    send = (f"POST /sandbox/events/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    nothing = b"GET /sandbox/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ratios = []
    for _ in range(6):
        times = [], [], []
        for _ in range(100):
            times[0].append(timed(connection, send, stream, b"\n\n"))
            connection.recv(65536)
            times[1].append(timed(connection, nothing, connection, b'"healthy"}'))
            times[2].append(timed(connection, send, connection, b'"timestamp"'))
            stream.recv(65536)
        frame, noop, answer = (statistics.median(t) for t in times)
        ratios.append(frame / answer)
        print(f"frame {frame * 1e6:.0f} us, answer {answer * 1e6:.0f} us, no-op {noop * 1e6:.0f} us", flush=True)
    ok(min(ratios) <= 2, "a frame is not much later than the answer", ratios)
    connection.close()
    stream.close()


def lines_are_quick():
    """From the write of a process in the sandbox to the client that reads its log, against requests of the same kind of
    client that do nothing."""
    with Sandbox() as s:
        stream = Stream(f"{s.path}/stream/logs?tail=0")
        s.post("/exec/background", {"command": "i=0; while [ $i -lt 150 ]; do date +%s%N; sleep 0.02; i=$((i+1)); done"})
        times = []
        while len(times) < 150:
            stream.until(b"\n\n")
            now = time.time_ns()
            frame, stream.body = stream.body.split(b"\n\n", 1)
            times.append((now - int(re.search(rb"Z (\d+)", frame).group(1))) / 1e3)
        late, noop = statistics.median(times), median_usec("/health", 150)
        print(f"line {late:.0f} us, no-op {noop:.0f} us", flush=True)
        stream.close()


def figures_as_a_stream():
    with Sandbox() as s:
        stream = Stream(f"{s.path}/stream/metrics?interval=1")
        sample = json.loads(stream.until(b"\n\n").split(b"\n")[0][len("data: "):])
        for key in ("sandboxId", "cpuPercent", "memoryUsageMb", "memoryLimitMb", "networkRxBytes", "networkTxBytes",
                    "pids"):
            ok(key in sample, key, sample)
        while stream.body.count(b"\n\n") < 2:
            ok(stream.step(), "a second sample")
        s.delete()
        while stream.step():
            pass
        last = stream.body.split(b"\n\n")[-2]
        ok(re.fullmatch(rb'data: \{"type":"error","error":"Container stopped","timestamp":\d+\}', last), "end", last)


def logs_of_a_sandbox():
    with Sandbox(entrypoint=["sh", "-c", "echo from the entrypoint; sleep 1000"]) as s:
        wait_for("the entrypoint has spoken", lambda: b"entrypoint" in request(
            "GET", f"/sandbox{s.path}/stream/logs?follow=false", raw=True)[2], PATIENCE)
        s.post("/exec/background", {"command": "for i in 1 2 3; do echo line $i; done"})
        wait_for("three lines", lambda: len(list(sse(f"{s.path}/stream/logs?follow=false", method="GET"))) == 5, PATIENCE)
        events = list(sse(f"{s.path}/stream/logs?follow=false&tail=2", method="GET"))
        eq([e["type"] for e in events], ["stdout", "stdout", "end"], "types")
        for event, line in zip(events, ("line 2", "line 3")):
            ok(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z " + line, event["data"]), "line", event)
        eq(shell(f"sandboxctl logs {s.id}"), "from the entrypoint\nline 1\nline 2\nline 3\n", "sandboxctl logs")

        follower = Stream(f"{s.path}/stream/logs?tail=0")
        s.post("/exec/background", {"command": "printf 'with'; sleep 0.3; echo out; sleep 0.3; printf end"})
        follower.until(b" without\"")
        follower.until(b" end\"")
        s.delete()
        follower.until(b'"type":"end","data":""')
        follower.close()


def traces_are_true():
    with Sandbox() as s:
        api("POST", "/observability/clear", {})
        for i in range(20):
            s.run("sleep 0.3" if i % 10 == 9 else "true")
        api("GET", "/sandboxes/sbx_nothing", expect=404)
        traces = api("GET", f"/observability/traces?sandboxId={s.id}&functionId=sandbox::exec&limit=7&offset=1")
        eq((traces["total"], len(traces["traces"])), (20, 7), "of the commands")
        ok(all(t["status"] == "ok" and t["duration"] > 0 for t in traces["traces"]), "traces", traces)
        missed = api("GET", "/observability/traces?functionId=sandbox::get")["traces"][0]
        eq((missed["status"], missed["error"]), ("error", "Sandbox not found: sbx_nothing"), "an error")
        figures = api("GET", "/observability/metrics")
        eq(figures["functionCounts"]["sandbox::exec"], 20, "counted")
        eq(figures["totalErrors"], 1, "errors")
        ok(figures["p95Duration"] >= figures["avgDuration"] > 0, "p95", figures)
        text = api("GET", "/observability/traces?limit=100", raw=True).decode()
        eq(re.findall(r"[.]\d{4,}", text), [], "microseconds have three digits behind a millisecond")
        if sqlite3:
            wait_for("they are written in a moment", lambda: written_traces("sandbox::exec") == 20, PATIENCE)
            kill_sandboxd()
            counts = api("GET", "/observability/metrics")["functionCounts"]
            eq(counts["sandbox::exec"], 20, "a kill loses none of them")
        ok(api("POST", "/observability/clear", {"before": 1})["cleared"] == 0, "nothing is that old")
        ok(api("POST", "/observability/clear", {})["cleared"] >= 20, "cleared")


def written_traces(function):
    with contextlib.closing(sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT record FROM objects WHERE kind = 'trace'").fetchall()
    return sum(trace[1] == function for row in rows for trace in json.loads(row[0]))


SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (-?[0-9.e+-]+|[+-]Inf|NaN)')


def prometheus_text():
    with Sandbox(name='a "name"\\with\nall') as s:
        s.out("true")
        for path, headers in (("/metrics", {"Accept": "text/plain"}), ("/metrics?format=prometheus", {}),
                              ("/metrics/prometheus", {})):
            status, head, text = request("GET", "/sandbox" + path, headers=headers, raw=True)
            eq(status, 200, path)
            ok(head["content-type"].startswith("text/plain; version=0.0.4"), "type", head)
        typed, values = {}, {}
        for line in text.decode().splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                ok(name not in typed, "each metric once", name)
                typed[name] = kind
            elif not line.startswith("# HELP "):
                match = SAMPLE.fullmatch(line)
                ok(match, "a sample", line)
                ok(match.group(1) in typed, "after its type", line)
                ok(not typed[match.group(1)] == "counter" or match.group(1).endswith("_total"), "name", line)
                values[match.group(1), match.group(2)] = float(match.group(3))
        ok(values["sandbox_processes", f'sandbox="{s.id}"'] >= 1, "processes of it")
        ok(values["sandboxd_sandboxes", 'state="running"'] >= 1, "sandboxes")
        ok(values["process_resident_memory_bytes", None] > 1e6, "memory of ours")
        eq(api("GET", "/metrics")["activeSandboxes"] >= 1, True, "JSON as before")


def command_line():
    with Sandbox(name="watched") as s:
        ok("sandbox.created" in shell(f"sandboxctl events {s.id}"), "events")
        follower = subprocess.Popen(["sandboxctl", "--json", "events", "--follow", s.id], stdout=subprocess.PIPE, text=True)
        try:
            line = [None]

            def pause():
                while line[0] is None:
                    s.post("/pause", expect=None)
                    s.post("/resume", expect=None)
                    time.sleep(0.1)

            thread = threading.Thread(target=pause)
            thread.start()
            line[0] = follower.stdout.readline()
            thread.join()
            ok(json.loads(line[0])["topic"] in ("sandbox.paused", "sandbox.resumed"), "followed", line[0])
        finally:
            follower.terminate()
            follower.wait()
        s.out("true")
        ok("sandbox::exec" in shell(f"sandboxctl trace {s.id}"), "trace")
        ok("sandboxd_uptime_seconds" in shell("sandboxctl metrics --prometheus"), "metrics")
        shell("sandboxctl metrics")


run_tests([frames_are_exact, every_cause_is_told, what_belongs_to_a_sandbox_is_told,
           expiry_without_us_is_told_once, nothing_is_lost_over_kills, stalled_readers_harm_nobody, numbers_come_back,
           pages_join, streams_are_quick, lines_are_quick, figures_as_a_stream, logs_of_a_sandbox, traces_are_true,
           prometheus_text, command_line, lists_stay_fast])
