# SPDX-License-Identifier: LGPL-2.1-or-later
import time

from proof import proof, sandbox
from proof_system import scope_state
from sandboxd import IMAGE, Sandbox, api, eq, status_of, wait_for

UNKNOWN = "sbx_" + "0" * 24


@proof("GET /sandboxes")
def list_sandboxes(p):
    with Sandbox(metadata={"proof": "list"}) as s:
        listed = [i["id"] for i in p.good(query="pageSize=200")["items"]]
        p.effect("a new one is listed", s.id in listed, listed)
        found = p.good({"metadata": {"proof": "list"}})
        p.effect("a filter finds it only", [i["id"] for i in found["items"]] == [s.id], found)
    p.effect("an ended one is not", p.good({"metadata": {"proof": "list"}})["total"] == 0)
    p.bad(400, query="page=first")


@proof("POST /sandboxes")
def create(p):
    record = p.good({"image": IMAGE, "name": "n", "env": {"A": "b c"}, "metadata": {"k": "v"}, "memory": 128})
    s = Sandbox.__new__(Sandbox)
    s.record, s.id, s.path = record, record["id"], f"/sandboxes/{record['id']}"
    s.scope = f"sandbox-{s.id[4:]}.scope"
    with s:
        p.effect("systemd holds its scope", scope_state(s) == "active")
        p.effect("commands run in it", s.out("echo $A; hostname") == f"b c\n{s.id[4:16]}\n")
    before = api("GET", "/metrics")["activeSandboxes"]
    p.bad(400, {"name": "n"})
    eq(api("GET", "/metrics")["activeSandboxes"], before, "sandboxes after a refusal")


@proof("DELETE /sandboxes/:id")
def delete(p):
    s = Sandbox()
    s.post("/exec/background", {"command": "sleep 300"})
    eq(p.good(id=s.id), {"success": True})
    p.effect("its scope and processes are gone", scope_state(s) != "active")
    p.effect("it is known no more", status_of("GET", s.path) == 404)
    p.bad(404, id=s.id)


@proof("GET /sandboxes/:id")
def get(p):
    with Sandbox(name="shown", timeout=100) as s:
        record = p.good(id=s.id)
        p.effect("it shows what was created", (record["name"], record["config"]["timeout"]) == ("shown", 100), record)
        s.post("/pause")
        p.effect("and what became of it", p.good(id=s.id)["status"] == "paused")
    p.bad(404, id=UNKNOWN)


@proof("POST /sandboxes/:id/limits")
def limits(p):
    with Sandbox(memory=512) as s:
        eq(s.get()["config"]["memory"], 512)
        p.good({"memory": 256, "pids": 77}, id=s.id)
        metrics = api("GET", s.path + "/metrics")
        p.effect("the figures have them", (metrics["memoryLimitMb"], s.get()["config"]["pids"]) == (256, 77), metrics)
        p.bad(400, {"memory": 1}, id=s.id)
        eq(s.get()["config"]["memory"], 256, "memory after a refusal")


@proof("GET /sandboxes/:id/metrics")
def metrics(p):
    with Sandbox() as s:
        before = p.good(id=s.id)
        for _ in range(3):
            s.post("/exec/background", {"command": "exec sleep 300"})
        after = p.good(id=s.id)
        p.effect("processes that started count", after["pids"] >= before["pids"] + 3, before, after)
        s.out("python3 -c 'sum(range(3000000))'")
        p.effect("time that was used counts", p.good(id=s.id)["cpuUsec"] > after["cpuUsec"])
    p.bad(404, id=UNKNOWN)


def beats(s):
    return len(s.get_raw("/workspace/beats"))


@proof("POST /sandboxes/:id/pause")
def pause(p):
    with Sandbox() as s:
        s.post("/exec/background", {"command": "while :; do printf x >>/workspace/beats; sleep 0.01; done"})
        wait_for("it beats", lambda: status_of("GET", f"{s.path}/files/raw?path=/workspace/beats") == 200)
        eq(p.good(id=s.id)["status"], "paused")
        with open(s.cgroup() + "/run/cgroup.events", encoding="ascii") as f:
            p.effect("the kernel has frozen its processes", "frozen 1" in f.read())
        p.effect("no command can start", status_of("POST", s.path + "/exec", {"command": "true"}) == 409)
        p.bad(409, id=s.id)


@proof("POST /sandboxes/:id/resume")
def resume(p):
    with Sandbox() as s:
        s.post("/exec/background", {"command": "while :; do printf x >>/workspace/beats; sleep 0.01; done"})
        wait_for("it beats", lambda: status_of("GET", f"{s.path}/files/raw?path=/workspace/beats") == 200)
        s.post("/pause")
        eq(p.good(id=s.id)["status"], "running")
        before = beats(s)
        wait_for("its processes go on", lambda: beats(s) > before)
        p.effect("its processes go on")
        p.bad(409, id=s.id)


@proof("POST /sandboxes/:id/renew")
def renew(p):
    with Sandbox(timeout=100) as s:
        wanted = s.record["expiresAt"] + 600_000
        eq(p.good({"expiresAt": wanted}, id=s.id)["expiresAt"], wanted)
        p.effect("its end has moved", s.get()["expiresAt"] == wanted)
        p.bad(400, {"expiresAt": "soon"}, id=s.id)
        p.good({"expiresAt": 0}, id=s.id)
        left = s.get()["expiresAt"] / 1000 - time.time()
        p.effect("but not into the past", 30 < left < 90, left)


@proof("GET /sandboxes/:id/processes")
def processes(p):
    s = sandbox()
    pid = s.post("/exec/background", {"command": ["sleep", "4711"]})["pid"]
    found = [x for x in p.good(id=s.id)["processes"] if x["command"] == "sleep 4711"]
    p.effect("a command is in it, by its number inside", [x["pid"] for x in found] == [pid], found, pid)
    s.post("/processes/kill", {"pid": pid, "signal": "KILL"})
    wait_for("it is gone", lambda: not [x for x in p.good(id=s.id)["processes"] if x["pid"] == pid])
    p.effect("until it has ended")
    p.bad(404, id=UNKNOWN)


@proof("POST /sandboxes/:id/processes/kill")
def kill(p):
    s = sandbox()
    command = s.post("/exec/background", {"command": "exec sleep 4711"})
    p.bad(400, {"pid": command["pid"], "signal": "FOO"}, id=s.id)
    eq(p.good({"pid": command["pid"], "signal": "KILL"}, id=s.id), {"killed": command["pid"], "signal": "KILL"})
    wait_for("it has ended", lambda: not api("GET", f"/exec/background/{command['id']}/status")["running"])
    p.effect("it has ended by the signal", api("GET", f"/exec/background/{command['id']}/status")["exitCode"] == 137)


@proof("GET /sandboxes/:id/processes/top")
def top(p):
    s = sandbox()
    command = s.post("/exec/background", {"command": [
        "python3", "-c", "import time; x = bytearray(20 << 20); time.sleep(300)"]})

    def row():
        return next((x for x in p.good(id=s.id)["processes"] if x["pid"] == command["pid"]), {"rss": 0})

    wait_for("it has its memory", lambda: row()["rss"] > 20 << 10)
    p.effect("it shows the memory that a command takes", row()["vsz"] >= row()["rss"])
    s.post("/processes/kill", {"pid": command["pid"], "signal": "KILL"})
    p.bad(404, id=UNKNOWN)
