# SPDX-License-Identifier: LGPL-2.1-or-later
"""All bombs at once in one sandbox: its neighbours and our daemons hardly notice, and it can be ended at once.

The bombs are frozen and thawed in turn, so that what is compared was measured in the same seconds: whatever else the
machine does falls on both sides alike."""
import http.client
import json
import os
import statistics
import threading
import time

from sandboxd import HOST, PORT, ApiError, Sandbox, api, eq, main_pid, ok, run_tests, wait_for

EMULATED = os.environ.get("TESTBED", "").startswith("vm")
SLOW = 10 if EMULATED else 1
UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]
ROUNDS, SETTLE_SEC, PHASE_SEC = (1, 3, 10) if EMULATED else (6, 0.3, 0.8)

# Each for ever. What one of them takes away from the others, the limits do: that is the point.
BOMBS = {
    "forks": "while :; do sh -c 'f() { f & f & wait; }; f' 2>/dev/null; done",
    "memory": "while :; do python3 -c '\nb = []\nwhile 1: b.append(bytearray(1 << 22))'; done 2>/dev/null",
    "disk": "while :; do dd if=/dev/zero of=/bomb bs=1M 2>/dev/null; rm -f /bomb; done",
    "output": "yes 0123456789012345678901234567890123456789",
}


def rss():
    found = {}
    for unit in UNITS:
        pid = main_pid(unit)
        if pid:
            lines = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if ":" in line)
            found[unit] = int(lines["RssAnon"].split()[0]) + int(lines["RssShmem"].split()[0])
    return found


class Bombed:
    """A sandbox with every bomb in it; one that the kernel has ended is lit again."""

    def __init__(self):
        self.s = Sandbox(memory=256, cpu=1, timeout=1800)
        self.over = threading.Event()
        self.lit = dict.fromkeys(BOMBS, 0)
        self.threads = [threading.Thread(target=self.keep, args=(name,), daemon=True) for name in BOMBS]
        for t in self.threads:
            t.start()
        wait_for("all bombs burn", lambda: all(self.lit.values()), 30 * SLOW)

    def keep(self, name):
        while not self.over.is_set():
            try:
                bg = self.s.post("/exec/background", {"command": BOMBS[name]})["id"]
                self.lit[name] += 1
                while not self.over.wait(0.5) and api("GET", f"/exec/background/{bg}/status")["running"]:
                    pass
            except (ApiError, OSError, http.client.HTTPException):
                self.over.wait(0.1)  # frozen, or no process left to start it with

    def delete(self):
        self.over.set()
        begin = time.monotonic()
        self.s.delete()
        took = time.monotonic() - begin
        for t in self.threads:
            t.join()
        return took


class Neighbour:
    """Commands over one connection, timed."""

    def __init__(self, s):
        self.connection = http.client.HTTPConnection(HOST, PORT, timeout=120)
        self.path = f"/sandbox{s.path}/exec"

    def once(self):
        begin = time.monotonic()
        self.connection.request("POST", self.path, json.dumps({"command": "true"}),
                                {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        result = json.loads(response.read())
        took = time.monotonic() - begin
        eq((response.status, result.get("exitCode")), (200, 0), "a neighbour's command")
        return took

    def during(self, seconds):
        """One command after the other, as long as it takes."""
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            times.append(self.once())
        return times


def p95(times):
    return sorted(times)[int(len(times) * 0.95)]


def compare(bombed, neighbour):
    """How much p95 and p50 grow from one to the other: the fire frozen, and under fire."""
    quiet, loud = [], []
    for _ in range(ROUNDS):
        bombed.s.post("/pause")
        neighbour.during(SETTLE_SEC)
        quiet += neighbour.during(PHASE_SEC)
        bombed.s.post("/resume")
        neighbour.during(SETTLE_SEC)
        loud += neighbour.during(PHASE_SEC)
    for what, times in (("quiet", quiet), ("loud", loud)):
        print(f"    {what}: p50 {statistics.median(times) * 1e3:.2f} ms, p95 {p95(times) * 1e3:.2f} ms, n {len(times)}", flush=True)
    return p95(loud) / p95(quiet), statistics.median(loud) / statistics.median(quiet)


def burnt(s):
    """The bombs were no squibs: memory and processes went as far as they may, and the output overflowed."""
    m = api("GET", s.path + "/metrics")
    print("    " + ", ".join(f"{k} {m[k]}" for k in ("cpuUsageUsec", "memoryPeakMb", "oomKills", "pids", "pidsLimit")
                             if k in m), flush=True)
    # where all is slow, the kernel is still looking for a page to take when we leave
    ok(m["oomKills"] >= 1 or m["memoryPeakMb"] >= 0.95 * m["memoryLimitMb"], "memory ran out", m)


def neighbours_hardly_notice():
    with Sandbox() as n:
        n.post("/exec/background", {"command": "sleep 1000"})  # nobody leaves for being idle while we look elsewhere
        neighbour = Neighbour(n)
        neighbour.during(SETTLE_SEC)
        before, crowded = rss(), os.getloadavg()[0] > 3 * os.cpu_count()
        bombed = Bombed()
        try:
            # A p95 of a few milliseconds takes one hiccup of a shared machine too many: the best of some is ours. On one
            # that others keep busy (seen: a load of 29 on two processors) it is all hiccups, and the median has to do.
            ratios, medians = [], []
            # A virtual machine here has two processors of one thread of the host: a busy one alone halves the other's
            # speed, so the figure says nothing there. What is killed, and how fast, does.
            while not ratios or (not EMULATED and len(ratios) < 5 and min(ratios) >= 2):
                ratio, median = compare(bombed, neighbour)
                ratios.append(ratio)
                medians.append(median)
            print(f"    p95 grew {', '.join(f'{r:.2f}' for r in ratios)} times; bombs lit: {bombed.lit}", flush=True)
            after = rss()
            burnt(bombed.s)
            took = bombed.delete()
        except BaseException:
            bombed.over.set()
            bombed.s.__exit__()
            raise
        print(f"    ended in {took:.3f} s", flush=True)
        ok(EMULATED or min(medians if crowded else ratios) < 2, "a neighbour notices less than twice", ratios, medians)
        ok(took < 1 * SLOW, "killable in a second", took)
        for unit in before:
            print(f"    {unit}: {before[unit]} -> {after.get(unit)} KiB", flush=True)
            ok(after.get(unit, 0) - before[unit] < 8192, f"{unit} grew", before[unit], after.get(unit))
        eq(n.out("echo on"), "on\n")


def again_and_again():
    """Bombs at the moment of a delete: nothing is left, and the next sandbox is as good as new."""
    for _ in range(1 if EMULATED else 3):
        bombed = Bombed()
        group = bombed.s.cgroup()
        bombed.delete()
        wait_for("its cgroup is gone", lambda: not os.path.exists(group), 10 * SLOW)
        with Sandbox() as s:
            eq(s.out("echo on"), "on\n")


run_tests([neighbours_hardly_notice, again_and_again])
