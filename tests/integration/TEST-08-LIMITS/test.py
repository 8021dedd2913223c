# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits bind, where the controllers are: v1 controllers (hybrid) and cgroup v2 in a virtual machine."""
import glob
import os
import time

from sandboxd import Sandbox, api, cgroup_root, eq, ok, request, run_tests, shell, wait_for

V2 = cgroup_root() == "/sys/fs/cgroup"
SLOW = 10 if os.environ.get("TESTBED", "").startswith("vm") else 1


def memory_is_bounded():
    with Sandbox(memory=128) as s:
        r = s.run("python3 -c 'b = bytearray(1 << 30); print(len(b))'", timeout=60)
        eq(r["exitCode"], 137, f"killed ({r})")
        eq(s.out("echo on"), "on\n", "the sandbox lives on")
        stats = api("GET", s.path + "/metrics")
        eq(stats["memoryLimitMb"], 128)
        for directory in ("/dev/shm", "/tmp"):
            r = s.run(f"head -c 1000000000 /dev/zero > {directory}/x; echo $?; stat -c %s {directory}/x", timeout=120)
            ok(r["exitCode"] == 137 or int(r["stdout"].split()[-1]) < 200 * 2**20, directory, r)
            s.run(f"rm -f {directory}/x")
    api("GET", "/health")


def a_pipeline_dies_as_one():
    if not V2:
        return
    with Sandbox(memory=128) as s:
        bg = s.post("/exec/background", {"command": "sleep 500 | python3 -c 'b = bytearray(1 << 30)' | sleep 500"})["id"]
        status = wait_for("it ends", lambda: (lambda x: x if not x["running"] else None)(
            api("GET", f"/exec/background/{bg}/status")), 30 * SLOW)
        eq(status["exitCode"], 137)
        wait_for("all of it", lambda: not s.run("pgrep sleep")["stdout"], 10 * SLOW)


def processes_are_bounded():
    with Sandbox() as s:
        s.post("/limits", {"pids": 64})
        r = s.run("for i in $(seq 200); do sleep 100 & done; jobs -p | wc -l", timeout=60)
        ok("fork" in r["stderr"].lower() or "resource" in r["stderr"].lower(), "refused", r)
        with Sandbox() as other:
            eq(other.out("echo on"), "on\n", "a neighbour")
        begin = time.monotonic()
        s.delete()
        ok(time.monotonic() - begin < 5 * SLOW, "delete ends it", time.monotonic() - begin)


def processor_is_bounded():
    with Sandbox(cpu=0.5) as s:
        bg = [s.post("/exec/background", {"command": "while :; do :; done"}) for _ in range(2)]
        group = s.cgroup()
        path = group + "/cpu.stat" if V2 else glob.glob("/sys/fs/cgroup/cpu*" + group[len(cgroup_root()):] + "/cpuacct.usage")[0]

        def used():
            text = open(path).read()
            return int(text) / 1e9 if text.strip().isdigit() else int(text.split()[1]) / 1e6

        begin, start = time.monotonic(), used()
        wait_for("ten seconds", lambda: time.monotonic() - begin > 10, 30)
        share = (used() - start) / (time.monotonic() - begin)
        ok(0.40 <= share <= 0.58, "share of a processor", share)
        ok(len(bg) == 2, "both run")


def limits_change_live():
    with Sandbox(memory=256) as s:
        s.post("/limits", {"memory": 128, "cpu": 0.5, "pids": 32})
        eq(api("GET", s.path + "/metrics")["memoryLimitMb"], 128)
        eq(s.run("python3 -c 'bytearray(200 << 20)'", timeout=60)["exitCode"], 137)
        s.post("/limits", {"memory": 512})
        eq(s.run("python3 -c 'bytearray(200 << 20)'", timeout=60)["exitCode"], 0)


def writable_layer_is_bounded():
    with Sandbox(memory=512) as s:
        total = int(s.out("df -k --output=size / | tail -1")) * 1024
        ok(total <= 1100 * 2**20, "df shows the limit", total)
        r = s.run("dd if=/dev/zero of=/x bs=1M count=1200 2>&1; stat -c %s /x", timeout=120)
        ok("No space" in r["stdout"] or "quota" in r["stdout"].lower() or r["exitCode"] == 137, "refused", r)


def limits_stand_before_the_first_command():
    if not V2:
        return
    with Sandbox(memory=128, cpu=0.5) as s:
        g = s.cgroup()
        values = [open(f"{g}/{f}").read().strip() for f in ("memory.max", "memory.swap.max", "pids.max", "cpu.max")]
        eq(values, [str(128 * 2**20), "0", "256", "50000 100000"])
        eq(open(f"{g}/run/memory.oom.group").read().strip(), "1")


def pause_freezes():
    if not V2:
        return
    with Sandbox() as s:
        s.post("/exec/background", {"command": "while :; do :; done"})
        s.post("/pause")
        g = s.cgroup()
        wait_for("frozen", lambda: "frozen 1" in open(g + "/run/cgroup.events").read())
        used = open(g + "/cpu.stat").read().split()[1]
        eq(open(g + "/cpu.stat").read().split()[1], used, "no cpu is used")
        s.post("/resume")
        eq(s.out("echo on"), "on\n")


def stats_name_their_source():
    with Sandbox() as s:
        s.out("head -c 50000000 /dev/zero | tail -c 1 > /dev/null")
        m = api("GET", s.path + "/metrics")
        ok(m["memoryUsageMb"] >= 0 and m["pids"] >= 1, "metrics", m)


run_tests([limits_stand_before_the_first_command, memory_is_bounded, a_pipeline_dies_as_one, processes_are_bounded,
           processor_is_bounded, limits_change_live, writable_layer_is_bounded, pause_freezes, stats_name_their_source])
