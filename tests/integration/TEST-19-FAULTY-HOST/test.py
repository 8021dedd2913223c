# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a host may do to us: disks that are full, records that are damaged, a clock that jumps, a bus that goes away, no
memory. Sandboxes that live go on, and what cannot be done is said."""
import contextlib
import http.client
import os
import random
import sqlite3
import threading
import time

from sandboxd import (SLOW, VM, ApiError, Sandbox, api, eq, main_pid, ok, parallel, patiently, request, run_tests,
                      shell, wait_for)

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]
DATABASE = "/var/lib/sandboxd/sandboxd.db"
STORE = "/var/lib/sandbox"


def stop_all():
    shell("systemctl stop " + " ".join(UNITS))


def create_status():
    """Of a create; one that succeeds is not wanted and ends again."""
    status, _, body = request("POST", "/sandbox/sandboxes", {"image": "python:3.12-slim"}, timeout=120)
    if status == 200:
        api("DELETE", "/sandboxes/" + body["id"])
    return status


@contextlib.contextmanager
def small_file_system(path, options, owner):
    """A file system of its own where our state lies. Nothing of ours runs while it comes and goes."""
    stop_all()
    shell(f"mount -t tmpfs -o {options} test {path} && chown {owner} {path} && chmod 0700 {path}")
    try:
        yield
    finally:
        stop_all()
        shell(f"umount {path}")


@contextlib.contextmanager
def filled(directory):
    path = f"{directory}/filler"
    shell(f"head -c 10G /dev/zero > {path} 2>/dev/null", check=False)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


# --- full disks

def no_room_for_records():
    """Creates are refused, what lives goes on, and deleting works: it has a reserve."""
    with small_file_system("/var/lib/sandboxd", "size=16m", "sandboxd:sandboxd"):
        first, second = Sandbox(), Sandbox()
        first.post("/exec/background", {"command": "sleep 1000"})
        with filled("/var/lib/sandboxd"):
            # the last page that the log has may still take a record or two
            wait_for("creates are refused", lambda: create_status() == 507, 20 * SLOW)
            eq(first.out("echo on"), "on\n", "a command")
            r = first.run("head -c 3000000 /dev/zero | tr '\\0' x")
            eq(r["exitCode"], 0, "one whose output has no room")
            eq(first.put("/workspace/x", b"y") is not None, True)
            second.delete()
            eq(request("GET", "/sandbox" + second.path)[0], 404, "deleted")
            wait_for("its scope is gone", lambda: not shell(f"systemctl list-units --no-legend {second.scope}").strip())
            shell("systemctl kill -s KILL sandboxd")
            eq(patiently(lambda: request("GET", "/sandbox" + second.path)[0]), 404, "and stays so")
            eq(patiently(first.get)["status"], "running", "the other one")
        wait_for("there is room again", lambda: create_status() == 200, 20 * SLOW)
        first.delete()
        stop_all()
        shell("systemctl start sandboxd")
        eq(os.stat("/var/lib/sandboxd/reserve").st_size, 4 * 2**20, "the reserve for the next time")


def no_room_in_run():
    """The same where execd keeps its records."""
    with small_file_system("/run/sandboxd/execd", "size=256k", "root:root"):
        s = Sandbox()
        s.post("/exec/background", {"command": "sleep 1000"})
        with filled("/run/sandboxd/execd"):
            eq(create_status(), 507, "a create")
            eq(s.out("echo on"), "on\n", "a command")
            s.delete()
            eq(create_status(), 507, "still")
        eq(create_status(), 200, "afterwards")


def no_room_in_the_store():
    with Sandbox() as s:
        other = Sandbox()
        with filled(STORE):
            shell(f"head -c 100M /dev/zero | split -b 1k -a 5 - {STORE}/filler- 2>/dev/null; sync", check=False)
            try:
                status = create_status()
                ok(status in (200, 507), "a create needs a few blocks of the store", status)
                eq(s.out("echo on"), "on\n", "a command")
                other.delete()
            finally:
                shell(f"find {STORE} -maxdepth 1 -name 'filler-*' -delete")
        eq(create_status(), 200, "afterwards")


# --- damaged records

def change_database(function):
    shell("systemctl stop sandboxd")
    database = sqlite3.connect(DATABASE)
    function(database)
    database.commit()
    database.close()
    shell(f"chown sandboxd:sandboxd {DATABASE}*")


def listed():
    return {i["id"] for i in patiently(lambda: api("GET", "/sandboxes?pageSize=200"))["items"]}


def damaged_rows():
    """Truncated, random and of another's id: set aside with a line each, and the sandboxes are adopted anew."""
    sandboxes = [Sandbox() for _ in range(4)]
    noise = "".join(chr(random.randrange(32, 127)) for _ in range(100))

    def damage(database):
        rows = database.execute("SELECT id, record FROM sandboxes ORDER BY number").fetchall()
        eq(len(rows), 4, "rows")
        database.execute("UPDATE sandboxes SET record = ? WHERE id = ?", (rows[0][1][:40], rows[0][0]))
        database.execute("UPDATE sandboxes SET record = ? WHERE id = ?", (noise, rows[1][0]))
        database.execute("UPDATE sandboxes SET id = ? WHERE id = ?", ("f" * 32, rows[2][0]))

    try:
        change_database(damage)
        wait_for("all are there", lambda: {s.id for s in sandboxes} <= listed(), 20 * SLOW)
        for s in sandboxes:
            eq(s.out("echo on"), "on\n")
        rejected = []
        change_database(lambda d: rejected.extend(d.execute("SELECT id FROM rejected").fetchall()))
        ok(len(rejected) >= 2, "set aside, not thrown away", rejected)
    finally:
        for s in sandboxes:
            patiently(lambda s=s: api("DELETE", s.path, expect=(200, 404)))


def a_damaged_database():
    with Sandbox() as s:
        shell("systemctl stop sandboxd")
        with open(DATABASE, "r+b") as f:
            f.write(os.urandom(8192))
        eq(patiently(lambda: s.run("echo on")["stdout"]), "on\n", "adopted")
        aside = [f for f in os.listdir("/var/lib/sandboxd") if ".broken-" in f]
        ok(aside, "set aside", os.listdir("/var/lib/sandboxd"))
        for f in aside:
            os.unlink("/var/lib/sandboxd/" + f)


def a_database_of_the_future():
    """Refused and left as it is; the version that wrote it goes on with it."""
    with Sandbox() as s:
        versions = []
        change_database(lambda d: versions.extend(d.execute("PRAGMA user_version").fetchone()))
        change_database(lambda d: d.execute("PRAGMA user_version = 999"))
        with contextlib.suppress(OSError, http.client.HTTPException):
            request("GET", "/sandbox/health", timeout=2)
        said = wait_for("it says so", lambda: shell("journalctl --no-pager -o cat -t sandboxd -n 50 | "
                                                    "grep 'newer version' || true"), 20 * SLOW)
        ok(DATABASE in said, "which file", said)
        change_database(lambda d: d.execute(f"PRAGMA user_version = {versions[0]}"))
        shell("systemctl reset-failed sandboxd; systemctl restart sandboxd.socket")
        eq(patiently(lambda: s.run("echo on")["stdout"]), "on\n")


# --- clocks

def jump(seconds):
    shell(f"date -s @{int(time.time()) + seconds}")


def the_clock_jumps():
    """A sandbox lives as long as it was promised, whatever the time of day is said to be."""
    begin, moved = time.monotonic(), 0
    s = Sandbox(timeout=60)
    try:
        for seconds in (86400, -2 * 86400, 10 * 365 * 86400):
            jump(seconds)
            moved += seconds
            eq(s.out("echo on"), "on\n", f"after {seconds} s")
        r = s.post("/exec", {"command": "sleep 100", "timeout": 3}, expect=(200, 504))
        ok(r.get("timedOut"), "a time limit", r)
        shell("systemctl restart sandboxd")
        eq(patiently(s.get)["status"], "running", "for a sandboxd that begins after it")
        ok(time.monotonic() - begin < 60, "in time for that")
        wait_for("it ends", lambda: not shell(f"systemctl list-units --no-legend {s.scope}").strip(), 90)
        took = time.monotonic() - begin
        print(f"    lived for {took:.1f} s", flush=True)
        ok(55 < took < 80, "lived for a minute", took)
    finally:
        jump(-moved)
        s.__exit__()


# --- the bus, the manager, memory

def the_bus_restarts():
    with Sandbox() as s:
        s.post("/exec/background", {"command": "sleep 1000"})
        for _ in range(3):
            shell("systemctl restart dbus")
            begin = time.monotonic()
            patiently(Sandbox).delete()
            eq(s.out("echo on"), "on\n")
            took = time.monotonic() - begin
            ok(took < 5 * SLOW, "works again", took)


def reexec_under_way():
    """PID 1 starts itself anew in the middle of creates and deletes: none is half done."""
    over = threading.Event()

    def lives():
        n = 0
        while not over.is_set():
            s = patiently(Sandbox)
            eq(patiently(lambda: s.run("echo on")["stdout"]), "on\n")
            patiently(lambda: api("DELETE", s.path, expect=(200, 404)))
            n += 1
        return n

    def reexecs():
        try:
            for verb in ("daemon-reexec", "daemon-reload", "daemon-reexec"):
                shell("systemctl " + verb)
        finally:
            over.set()

    before = len(shell("systemctl list-units --no-legend --plain 'sandbox-*.scope'").splitlines())
    print("    lives:", parallel([lives, lives, reexecs])[:2], flush=True)
    wait_for("no scope is left", lambda: len(shell(
        "systemctl list-units --no-legend --plain 'sandbox-*.scope'").splitlines()) <= before, 20 * SLOW)


def execd_has_no_memory():
    """The kernel ends execd for want of memory: it comes back and finds everything as it was."""
    with Sandbox() as s:
        bg = s.post("/exec/background", {"command": "sleep 1000"})["id"]
        pid = main_pid("sandbox-execd")
        shell("systemctl set-property --runtime sandbox-execd.service MemoryMax=400K")
        try:
            with contextlib.suppress(ApiError, OSError, http.client.HTTPException):
                parallel([lambda: request("POST", "/sandbox/sandboxes", {"image": "python:3.12-slim"}, timeout=60)] * 8)
            wait_for("execd is killed", lambda: main_pid("sandbox-execd") != pid, 60)
        finally:
            shell("systemctl set-property --runtime sandbox-execd.service MemoryMax=512M")
        eq(patiently(lambda: s.run("echo on")["stdout"]), "on\n", "adopted")
        ok(patiently(lambda: api("GET", f"/exec/background/{bg}/status"))["running"], "its command runs on")
        for i in listed() - {s.id}:  # one that was being made is told to be so until execd has answered for it
            wait_for("it can be deleted",
                     lambda i=i: patiently(lambda: request("DELETE", "/sandbox/sandboxes/" + i)[0]) in (200, 404), 60)
    shell("systemctl revert sandbox-execd.service; systemctl reset-failed 'sandbox*'", check=False)


def nothing_failed():
    eq(shell("systemctl --failed --no-legend --plain | grep -c sandbox || true").strip(), "0", "failed units")


# A container has the machine's clock, no limit of memory, and nothing of a sandbox in the store. The rest is the same in a
# virtual machine, but takes minutes there.
if VM:
    run_tests([no_room_in_the_store, the_clock_jumps, execd_has_no_memory, nothing_failed])
else:
    run_tests([no_room_for_records, no_room_in_run, damaged_rows, a_damaged_database, a_database_of_the_future,
               the_bus_restarts, reexec_under_way, nothing_failed])
