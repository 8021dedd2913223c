# SPDX-License-Identifier: LGPL-2.1-or-later
import http.client
import json
import threading
import time

from proof import PREFIX, proof, sandbox
from sandboxd import HOST, PORT, Sandbox, api, eq, wait_for

UNKNOWN = "sbx_" + "0" * 24


class Follower:
    """The documents of a stream that has no end; cause: called once the stream has begun."""

    def __init__(self, p, path, cause=lambda: None):
        self.connection = http.client.HTTPConnection(HOST, PORT, timeout=30)
        self.connection.request("GET", PREFIX + path)
        self.response = self.connection.getresponse()
        eq((self.response.status, self.response.getheader("Content-Type")), (200, "text/event-stream"))
        p.good_status = 200
        threading.Timer(0, cause).start()

    def __iter__(self):
        for line in self.response:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def __enter__(self):
        return iter(self)

    def __exit__(self, *_):
        self.connection.close()


@proof("GET /events/history")
def history(p):
    with Sandbox() as s:
        s.post("/pause")
        s.post("/resume")
        topics = wait_for("all are written", lambda: topics_of(p, s))
    p.effect("what happened, newest first", topics == ["sandbox.resumed", "sandbox.paused", "sandbox.created"], topics)
    p.bad(400, query="limit=many")


def topics_of(p, s):
    topics = [e["topic"] for e in p.good(query=f"sandboxId={s.id}&limit=50")["events"]
              if e["topic"] in ("sandbox.created", "sandbox.paused", "sandbox.resumed")]
    return topics if len(topics) == 3 else None


@proof("POST /events/publish")
def publish(p):
    event = p.good({"topic": "proof.made", "sandboxId": sandbox().id, "data": {"k": 1}})
    found = api("GET", f"/events/history?topic=proof.made&sandboxId={sandbox().id}")["events"]
    p.effect("it is in the history", found == [event], found)
    p.bad(400, {"sandboxId": sandbox().id})


@proof("GET /stream/events")
def follow(p):
    def cause():
        api("POST", "/events/publish", {"topic": "proof.followed", "sandboxId": sandbox().id, "data": {"k": 2}})

    sandbox()
    with Follower(p, "/stream/events?topic=proof.followed", cause) as events:
        event = next(events)
    p.effect("an event as it happens", (event["sandboxId"], event["data"]) == (sandbox().id, {"k": 2}), event)
    p.bad(400, query="%zz")


@proof("GET /sandboxes/:id/stream/logs")
def logs(p):
    with Sandbox() as s:
        s.post("/exec/background", {"command": "echo from-the-log"})
        wait_for("it is there", lambda: "from-the-log" in p.good(id=s.id, query="follow=false", raw=True).decode())
        p.effect("what a command has written")
        p.effect("then the end", '"type":"end"' in p.good(id=s.id, query="follow=false", raw=True).decode())
    p.bad(404, id=UNKNOWN)


@proof("GET /sandboxes/:id/stream/metrics")
def metrics(p):
    with Sandbox() as s:
        with Follower(p, f"{s.path}/stream/metrics?interval=1") as samples:
            first = next(samples)
            s.post("/exec/background", {"command": "exec sleep 300"})
            second = next(samples)
        p.effect("a process that started counts", second["pids"] > first["pids"], first, second)
    p.bad(404, id=UNKNOWN)


@proof("GET /observability/traces")
def traces(p):
    s = sandbox()
    s.out("true")
    found = p.good(query=f"sandboxId={s.id}&limit=5")["traces"]
    p.effect("a request that was made", any("exec" in t["functionId"] and t["status"] == "ok" for t in found), found)
    p.bad(400, query="limit=many")


@proof("GET /observability/metrics")
def figures(p):
    before = p.good()
    for _ in range(3):
        api("GET", "/images")
    p.effect("requests count", p.good()["totalRequests"] >= before["totalRequests"] + 3, before)
    p.bad(400, query="%zz")


@proof("POST /observability/clear")
def clear(p):
    api("GET", "/images")
    time_before = int(time.time() * 1000) + 1
    wait_for("a millisecond", lambda: time.time() * 1000 > time_before)
    p.effect("they are gone", p.good({"before": time_before})["cleared"] > 0 and
             not [t for t in api("GET", "/observability/traces?limit=100")["traces"] if t["timestamp"] < time_before])
    p.bad(400, {"before": "now"})


@proof("GET /metrics/prometheus")
def prometheus(p):
    def created():
        text = p.good(raw=True).decode()
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if "created" in line and not line.startswith("#") and "time" not in line)

    before = created()
    with Sandbox():
        p.effect("a creation counts", created() > before, before)
    p.bad(400, query="%zz")
