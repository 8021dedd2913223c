# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every list among 10 sandboxes, 10 events and 10 jobs, and the same one among 1,000, 100,000 and 1,000."""
import http.client
import os
import sqlite3
import statistics
import subprocess
import time

from sandboxd import HOST, PORT, Sandbox, api, configure, eq, ok, parallel, run_tests, shell

FEW, MANY, EVENTS = 10, int(os.environ.get("TEST_SANDBOXES", "1000")), 100000
BAR = 5
ROUNDS = 41
DATABASE = "/var/lib/sandboxd/sandboxd.db"
SANDBOXD = "/usr/lib/sandboxd/sandboxd"

# GETs that are no lists: one thing, a stream, a file, what git says.
NO_LISTS = ("/health", "/openapi.json", "/files/raw", "/files/watch", "/stream", "/git/", "/ws", "/select", "/prometheus",
            "/metrics", "/egress")
# Lists with what they can be asked for besides.
QUESTIONS = ["/sandboxes?status=running", "/sandboxes?labels=group=few", "/sandboxes?labels=group=none",
             "/sandboxes?metrics=true&pageSize=10", "/events/history?topic=test.few", "/events/history?sandboxId=few",
             "/events/history?topic=test.lot&limit=10", "/events/history?topic=test.lot&sandboxId=lot1&limit=10",
             "/events/history?since=1&until=9000000000000&limit=10", "/queue?status=pending&limit=10",
             "/queue?status=completed"]


def routes(s):
    """Of the table itself, so that a list that comes later is measured, too."""
    found = []
    for line in subprocess.run([SANDBOXD, "--routes"], capture_output=True, text=True, check=True).stdout.splitlines():
        method, path = line.split()[:2]
        if method != "GET" or not path.startswith("/sandbox/") or any(part in path for part in NO_LISTS):
            continue
        path = path[len("/sandbox"):].replace("/sandboxes/:id", s.path)
        if ":" not in path and path != s.path:
            found.append(path)
    return found


def times_of(connection, path):
    """How many times as long as a request that does nothing, one of which lies between any two."""
    times = [], []
    for _ in range(ROUNDS):
        for i, target in enumerate((path, "/health")):
            begin = time.perf_counter()
            connection.request("GET", "/sandbox" + target)
            response = connection.getresponse()
            data = response.read()
            times[i].append(time.perf_counter() - begin)
            eq(response.status, 200, f"{target} {data[:200]!r}")
    return statistics.median(times[0]) / statistics.median(times[1])


def measure(paths):
    connection = http.client.HTTPConnection(HOST, PORT, timeout=60)
    try:
        return {path: times_of(connection, path) for path in paths}
    finally:
        connection.close()


def fill(n_sandboxes, n_jobs, s, group):
    parallel([lambda: [Sandbox(metadata={"group": group}) for _ in range(n_sandboxes // 8)]] * 8)
    for _ in range(n_sandboxes % 8):
        Sandbox(metadata={"group": group})
    for _ in range(n_jobs):
        s.post("/exec/queue", {"command": "sleep 1000"})  # the others wait for the first ones


def fill_events():
    """Into the database itself, while nobody has it; exactly as many as are kept."""
    shell("systemctl stop sandboxd.service")
    with sqlite3.connect(DATABASE) as db:
        there = db.execute("SELECT count(*) FROM objects WHERE kind = 'event'").fetchone()[0]
        now = int(time.time() * 1000)
        db.executemany("INSERT INTO objects(kind, id, sandbox, tag, time, record) VALUES('event', ?, ?, ?, ?, '{}')",
                       ((f"evt_{i:024x}", f"lot{i % 2}", "test.rare" if i % 20000 == 0 else "test.lot", now)
                        for i in range(EVENTS - there)))
    db.close()
    shell(f"chown --reference=/var/lib/sandboxd {DATABASE}*")


def check(before, paths):
    """The worst of three attempts is not the list's fault."""
    slow = {path: [] for path in paths}
    for _ in range(3):
        now = measure(slow)
        slow = {path: slow[path] + [now[path]] for path in slow if now[path] > BAR * before[path]}
        if not slow:
            return
    ok(False, f"a list among many takes more than {BAR} times as long", {p: (before[p], t) for p, t in slow.items()})


def lists_stay_fast():
    configure(III_MAX_SANDBOXES=MANY + 100)
    with Sandbox() as s:
        fill(FEW - 1, FEW, s, "few")
        for i in range(FEW):
            api("POST", "/events/publish", {"topic": "test.few", "sandboxId": "few", "data": {"n": i}})
        paths = sorted(set(routes(s)) | set(QUESTIONS))
        ok(len(paths) > 20 and "/sandboxes" in paths and "/volumes" in paths, "lists", paths)
        before = measure(paths)
        fill(MANY - FEW, MANY - FEW, s, "many")
        fill_events()
        total = api("GET", "/sandboxes")["total"], api("GET", "/events/history")["total"], api("GET", "/queue")["total"]
        ok(total[0] >= MANY and total[1] >= EVENTS - 1000 and total[2] >= MANY, "as many as there should be", total)
        after = measure(paths)
        for path in paths:
            print(f"    {path}: {before[path]:.2f} -> {after[path]:.2f} no-ops", flush=True)
        check(before, [path for path in paths if after[path] > BAR * before[path]])


def main():
    run_tests([lists_stay_fast])


main()
