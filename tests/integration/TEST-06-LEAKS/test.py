# SPDX-License-Identifier: LGPL-2.1-or-later
"""500 lives of a sandbox, with daemons killed at random: every count is as before."""
import http.client
import os
import random
import threading

from leftovers import baseline, settled
from sandboxd import (ApiError, Sandbox, api, configure, eq, kill_main, main_pid, ok, parallel, request, run_tests, shell,
                      wait_for)

CYCLES = int(os.environ.get("TEST_CYCLES", "500"))
UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]


def descriptors():
    return {u: len(os.listdir(f"/proc/{main_pid(u)}/fd")) for u in UNITS if main_pid(u)}


def rss():
    return {u: int([l for l in open(f"/proc/{main_pid(u)}/status") if l.startswith("VmRSS")][0].split()[1])
            for u in UNITS if main_pid(u)}


def one_life(_=None):
    s = Sandbox(timeout=300)
    eq(s.run("true")["exitCode"], 0)
    s.delete()


def warm_up():
    for _ in range(5):
        one_life()


def plain_cycles():
    warm_up()
    before, fds, memory = baseline(), descriptors(), rss()
    n = CYCLES // 2
    parallel([lambda: [one_life() for _ in range(n // 4)]] * 4)
    settled(before)
    for unit, count in descriptors().items():
        ok(abs(count - fds.get(unit, count)) <= 4, f"descriptors of {unit}", fds.get(unit), count)
    for unit, kib in rss().items():
        ok(kib - memory.get(unit, kib) < 4096, f"memory of {unit} in KiB", memory.get(unit), kib)
    print("    rss KiB", memory, "->", rss())


def cycles_with_kills():
    warm_up()
    before = baseline()
    end, r = threading.Event(), random.Random(3)

    def killer():
        while not end.wait(0.2 + r.random() * 0.5):
            kill_main(r.choice(UNITS))

    def lives():
        for _ in range(CYCLES // 2 // 4):
            try:
                one_life()
            except (ApiError, OSError, http.client.HTTPException) as e:
                if isinstance(e, ApiError) and e.status not in (404, 409, 503):
                    raise

    t = threading.Thread(target=killer)
    t.start()
    try:
        parallel([lives] * 4)
    finally:
        end.set()
        t.join()
    for item in wait_for("the list", lambda: api("GET", "/sandboxes?pageSize=200"))["items"]:
        api("DELETE", "/sandboxes/" + item["id"], expect=(200, 404))
    settled(before)


def failing_creates():
    warm_up()
    before = baseline()
    for _ in range(50):
        ok(request("POST", "/sandbox/sandboxes", {"image": "no-such-image"})[0] == 400, "bad image")
    settled(before)


def many_commands():
    with Sandbox() as s:
        s.out("true")
        before, fds = baseline(), descriptors()
        init = open(s.cgroup() + "/init/cgroup.procs").read().split()[0]
        size = lambda: int([l for l in open(f"/proc/{init}/status") if l.startswith("VmRSS")][0].split()[1])
        old = size()
        parallel([lambda: [s.out("true") for _ in range(100)]] * 4)
        for _ in range(50):
            s.post("/exec/background", {"command": "true"})
        for i in range(50):
            s.post("/files/write", {"path": f"/workspace/{i}", "content": "x" * 1000})
            s.post("/files/read", {"path": f"/workspace/{i}"})
            s.post("/files/delete", {"path": f"/workspace/{i}"})
        settled(before)
        ok(size() - old < 1024, "memory of init in KiB", old, size())
        for unit, count in descriptors().items():
            ok(abs(count - fds.get(unit, count)) <= 6, f"descriptors of {unit}", fds.get(unit), count)


def nothing_failed():
    eq(shell("systemctl --failed --no-legend --plain | grep -c sandbox || true").strip(), "0", "failed units")


configure()
run_tests([failing_creates, plain_cycles, many_commands, cycles_with_kills, nothing_failed])
