# SPDX-License-Identifier: LGPL-2.1-or-later
"""Steps that fail, clients that leave, calls that race: one clear answer each, and nothing is left."""
import json
import os
import random
import socket
import struct
import subprocess
import time

from leftovers import baseline, settled
from sandboxd import (HOST, IMAGE, PORT, Sandbox, api, configure, eq, kill_main, ok, parallel, patiently, request,
                      run_tests, shell, status_of, wait_for)

FAULT = "/run/sandboxd/execd/fault"
ROUNDS = int(os.environ.get("TEST_ROUNDS", "100"))
R = random.Random(int(os.environ.get("TEST_SEED", "11")))


def one_life(s=None):
    s = s or Sandbox(timeout=300)
    eq(s.run("true")["exitCode"], 0)
    s.delete()


def in_four(round_):
    """ROUNDS rounds, four at a time."""
    parallel([lambda: [round_() for _ in range(ROUNDS // 4)]] * 4)


def delete_all():
    for item in api("GET", "/sandboxes?pageSize=200")["items"]:
        api("DELETE", "/sandboxes/" + item["id"], expect=(200, 404))


# --- steps

def every_step_is_undone():
    configure(SANDBOX_BLANK_POOL=0)  # a spare would take the fault
    steps = shell("/usr/lib/sandboxd/sandbox-execd --list-steps").split()
    ok(len(steps) >= 10, "steps", steps)
    one_life()
    before = baseline()
    for step in steps:
        with open(FAULT, "w", encoding="ascii") as f:
            f.write(step)
        status, _, body = request("POST", "/sandbox/sandboxes", {"image": IMAGE})
        eq(status, 503, f"create with a fault at {step}: {body}")
        ok(f"step '{step}'" in body["error"], "the text names the step", body)
        ok(not os.path.exists(FAULT), "the fault was taken", step)
        eq(api("GET", "/sandboxes")["total"], 0, "sandboxes")
        settled(before, f"what differs after a fault at {step}")
        one_life()
    settled(before)
    configure()


class Trimming:
    """systemd removes this directory: its first attempt finds it busy, as when something in it vanishes meanwhile."""

    def __init__(self, path):
        self.log = f"/tmp/trimming-{os.getpid()}"
        self.tracer = subprocess.Popen(["strace", "-qq", "-p", "1", "-P", path, "-e", "trace=rmdir", "-e",
                                        "inject=rmdir:error=EBUSY:when=1", "-o", self.log])
        wait_for("systemd is traced", lambda: "TracerPid:\t0\n" not in open("/proc/1/status", encoding="ascii").read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tracer.terminate()
        self.tracer.wait()

    def failed(self):
        with open(self.log, encoding="ascii") as f:
            return "INJECTED" in f.read()


def a_cgroup_that_systemd_leaves():
    """It forgets the scope, and the directory is left to us; to the next daemon, if ours was killed."""
    one_life()
    before = baseline()
    s = Sandbox()
    path = s.cgroup()
    with Trimming(path) as trimming:
        s.delete()
        wait_for("systemd gave up", trimming.failed)
    wait_for("the directory is gone", lambda: not os.path.exists(path))
    settled(before)

    kill_main("sandbox-execd")
    path = f"{os.path.dirname(path)}/sandbox-{'9' * 24}.scope"
    os.makedirs(path + "/run")
    patiently(one_life)
    wait_for("what was nobody's is gone", lambda: not os.path.exists(path))
    settled(before)


# --- clients that leave

class Client:
    """Sends a request and does not wait for the answer."""

    def __init__(self, path, body, method="POST", kind="application/json", length=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((HOST, PORT))
        self.socket.sendall(f"{method} /sandbox{path} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nContent-Type: {kind}\r\n"
                            f"Content-Length: {len(data) if length is None else length}\r\n\r\n".encode() + data)

    def leave(self, delay=0.0, reset=False):
        time.sleep(delay)  # the moment is what is tried out
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def processes(text):
    """Of commands inside that have this in their arguments."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
                inside = "/run/exec-" in f.read()
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
                if inside and text in f.read().replace("\0", " "):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def leaving_a_create():
    """The sandbox is there or it is not; it is nobody's, but it can be found and has an end."""
    one_life()
    before = baseline()
    in_four(lambda: Client("/sandboxes", {"image": IMAGE, "timeout": 60}).leave(R.random() * 0.05, R.random() < 0.5))

    def all_decided():
        return all(i["status"] == "running" for i in api("GET", "/sandboxes?pageSize=200")["items"])

    # a request may still wait in a socket, and a sandbox be made
    wait_for("nothing is being made", lambda: all_decided() and (delete_all() or not api("GET", "/sandboxes")["total"]))
    wait_for("nothing more comes", lambda: delete_all() or not shell("ls /run/sandboxd/due"))
    settled(before)
    one_life()


def leaving_an_exec():
    with Sandbox() as s:
        s.out("true")
        before = baseline()
        for _ in range(2):
            clients = [Client(s.path + "/exec", {"command": "sleep 4321"}) for _ in range(ROUNDS // 2)]
            for c in clients:
                c.leave(R.random() * 0.01, R.random() < 0.5)
            wait_for("their commands are ended", lambda: not processes("sleep 4321"), 15)
        wait_for("none comes late", lambda: not api("GET", s.path + "/exec")["commands"])
        ok(not processes("sleep 4321"), "none is left")
        s.out("true") # leaves its cgroup to the next one, as before; those that were killed do not
        settled(before)


def leaving_a_stream():
    """Silent, stalled with a full pipe, and while output is dropped."""
    with Sandbox() as s:
        s.out("true")
        before = baseline()
        bodies = [{"command": "sleep 4322"}, {"command": "yes 4322"}, {"command": "yes 4322", "lossless": True},
                  {"command": "setsid sleep 4322 & sleep 4322"}]
        clients = [Client(s.path + "/exec/stream", b) for b in bodies for _ in range(2)]
        wait_for("all run", lambda: len(processes("4322")) >= len(clients))
        for n, c in enumerate(clients):
            c.leave(0.25, n % 2 == 0)
        wait_for("their commands are ended", lambda: not processes("4322"), 15)
        s.out("true") # leaves its cgroup to the next one, as before; those that were killed do not
        settled(before)


def leaving_while_execd_is_away():
    with Sandbox() as s:
        for n in range(10):
            c = Client(s.path + "/exec", {"command": "sleep 4323"})
            if n % 2:
                wait_for("it runs", lambda: processes("sleep 4323"))
            kill_main("sandbox-execd")
            c.leave(0, reset=True)
        wait_for("all are ended", lambda: not processes("sleep 4323"), 15)
        wait_for("none comes late", lambda: not api("GET", s.path + "/exec")["commands"])
        ok(not processes("sleep 4323"), "none is left")


def a_crash_is_no_leaving():
    """The command goes on: its client did not mean it to end."""
    with Sandbox() as s:
        for path in ("/exec", "/exec/stream"):
            c = Client(s.path + path, {"command": "sleep 1.4324; echo on > lived"})
            wait_for("it runs", lambda: processes("1.4324"))
            kill_main("sandboxd")
            wait_for("it ended by itself", lambda: s.run("cat lived")["stdout"] == "on\n")
            s.out("rm lived")
            c.leave()


def leaving_an_upload():
    with Sandbox() as s:
        s.put("/workspace/kept", b"old")
        s.out("true")
        wait_for("the file worker left", lambda: not os.path.exists(s.cgroup() + "/files"))
        before = baseline()
        in_four(lambda: Client(s.path + "/files/raw?path=/workspace/kept", b"x" * R.randrange(200000), "PUT",
                               "application/octet-stream", 300000).leave(R.random() * 0.02, R.random() < 0.5))
        settled(before)
        eq(s.get_raw("/workspace/kept"), b"old")
        wait_for("no temporary file is left", lambda: s.out("ls -A").split() == ["kept"])


# --- races

def deletes_race():
    def round_():
        s = Sandbox()
        eq(sorted(parallel([lambda: status_of("DELETE", s.path)] * 2)), [200, 404], "two DELETEs")

    race(round_)


def delete_and_exec_race():
    def round_():
        s = Sandbox()
        deleted, ran = parallel([lambda: status_of("DELETE", s.path),
                                 lambda: request("POST", "/sandbox" + s.path + "/exec", {"command": "echo on"})])
        eq(deleted, 200, "DELETE")
        ok(ran[0] in (200, 404, 409, 503), "exec", ran)
        if ran[0] == 200:
            eq((ran[2]["exitCode"], ran[2]["stdout"]), (0, "on\n"), "exec that won")
        eq(status_of("GET", s.path), 404, "afterwards")

    race(round_)


def pause_and_delete_race():
    def round_():
        s = Sandbox()
        paused, deleted = parallel([lambda: status_of("POST", s.path + "/pause", {}),
                                    lambda: status_of("DELETE", s.path)])
        eq(deleted, 200, "DELETE")
        ok(paused in (200, 404, 409), "pause", paused)
        eq(status_of("GET", s.path), 404, "afterwards")

    race(round_)


def renewal_and_expiry_race():
    won = []

    def round_():
        s = Sandbox()
        full = [f for f in os.listdir("/run/sandboxd/due") if f.startswith(s.id[4:])][0]
        deadline = time.clock_gettime(time.CLOCK_BOOTTIME) + 0.1
        shell("dbus-send --peer=unix:path=/run/sandboxd/execd.sock --print-reply /io/sandboxd/Exec1 "
              f"io.sandboxd.Exec1.SetDeadline string:{full} uint64:{int(deadline * 1e6)}")
        time.sleep(max(deadline - time.clock_gettime(time.CLOCK_BOOTTIME) - 0.006 + R.random() * 0.006, 0))
        renewed = status_of("POST", s.path + "/renew", {"expiresAt": int(time.time() * 1000) + 300000})
        won.append(renewed == 200)
        if renewed == 200:
            time.sleep(0.2)  # would it be ended all the same?
            eq(s.out("echo on"), "on\n", "renewed in time")
            s.delete()
        else:
            ok(renewed in (404, 409), "renew", renewed)
            wait_for("it is gone", lambda: status_of("GET", s.path) == 404)

    race(round_)
    print(f"    {sum(won)} of {len(won)} renewals won")


def race(round_):
    one_life()
    before = baseline()
    in_four(round_)
    eq(api("GET", "/sandboxes")["total"], 0, "sandboxes")
    settled(before)


def pausing_has_one_winner():
    """And nothing passes a paused one but its end."""
    with Sandbox() as s:
        for _ in range(ROUNDS):
            eq(sorted(parallel([lambda: status_of("POST", s.path + "/pause", {})] * 2)), [200, 409], "two pauses")
            eq(s.get()["status"], "paused")
            eq(status_of("POST", s.path + "/exec", {"command": "true"}), 409, "exec")
            eq(sorted(parallel([lambda: status_of("POST", s.path + "/resume", {})] * 2)), [200, 409], "two resumes")
            eq(s.out("echo on"), "on\n")
        s.post("/pause")
        begin = time.monotonic()
        s.delete()
        ok(time.monotonic() - begin < 2, "DELETE of a paused one is at once", time.monotonic() - begin)


def nothing_failed():
    eq(shell("systemctl --failed --no-legend --plain | grep -c sandbox || true").strip(), "0", "failed units")


run_tests([every_step_is_undone, a_cgroup_that_systemd_leaves, leaving_a_create, leaving_an_exec, leaving_a_stream,
           leaving_while_execd_is_away, a_crash_is_no_leaving, leaving_an_upload, deletes_race, delete_and_exec_race,
           pause_and_delete_race, renewal_and_expiry_race, pausing_has_one_winner, nothing_failed])
