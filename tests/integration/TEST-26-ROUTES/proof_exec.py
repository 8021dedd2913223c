# SPDX-License-Identifier: LGPL-2.1-or-later
import json

from proof import proof, sandbox
from sandboxd import Sandbox, api, eq, sse, status_of, wait_for

UNKNOWN = "bg_" + "0" * 24


def background(command):
    return sandbox().post("/exec/background", {"command": command})


def state(command):
    return api("GET", f"/exec/background/{command['id']}/status")


def wait_end(command):
    return wait_for("it has ended", lambda: not state(command)["running"] and state(command))


@proof("GET /exec/background/:id/logs")
def logs(p):
    s = sandbox()
    command = background("echo one; until [ -e go ]; do sleep 0.01; done; echo two; rm go")
    wait_for("it has begun", lambda: p.good(id=command["id"])["output"] == "one\n")
    cursor = p.good(id=command["id"])["cursor"]
    s.post("/files/write", {"path": "go", "content": ""})
    wait_end(command)
    more = p.good(id=command["id"], query=f"cursor={cursor}")
    p.effect("what a command writes, from where one left off", more == {"output": "two\n", "cursor": 8}, more)
    p.bad(404, id=UNKNOWN)


@proof("GET /exec/background/:id/status")
def status(p):
    command = background("until [ -e end ]; do sleep 0.01; done; rm end; exit 3")
    eq(p.good(id=command["id"])["running"], True)
    sandbox().post("/files/write", {"path": "end", "content": ""})
    wait_for("it has ended", lambda: not p.good(id=command["id"])["running"])
    p.effect("how a command ended", p.good(id=command["id"])["exitCode"] == 3)
    p.bad(404, id=UNKNOWN)


@proof("GET /sandboxes/:id/exec")
def list_commands(p):
    command = background("exec sleep 300")
    listed = {c["id"]: c for c in p.good(id=sandbox().id)["commands"]}
    p.effect("a live command is listed", listed[command["id"]]["kind"] == "background", listed)
    api("POST", f"{sandbox().path}/exec/{command['id']}/signal", {"signal": "KILL"})
    p.bad(404, id="sbx_" + "0" * 24)


@proof("POST /sandboxes/:id/exec")
def run(p):
    s = sandbox()
    result = p.good({"command": "cat >made; pwd; exit 4", "cwd": "/tmp", "stdin": "text"}, id=s.id)
    eq((result["exitCode"], result["stdout"]), (4, "/tmp\n"))
    p.effect("it did what it was told", s.get_raw("/tmp/made") == b"text")
    p.bad(400, {"command": ""}, id=s.id)


@proof("POST /sandboxes/:id/exec/:command/signal")
def signal(p):
    command = background("exec sleep 300")
    p.bad(400, {"signal": "NONE"}, id=sandbox().id, command=command["id"])
    p.good({"signal": "TERM"}, id=sandbox().id, command=command["id"])
    p.effect("the command ended by it", wait_end(command)["exitCode"] == 143, state(command))


@proof("POST /sandboxes/:id/exec/:command/stdin")
def stdin(p):
    s = sandbox()
    events = sse(f"{s.path}/exec/stream", {"command": "tr a-z A-Z", "stdin": True})
    start = next(events)
    eq(start["type"], "start")
    eq(p.good(b"abc", id=s.id, command=start["id"])["written"], 3)
    p.effect("the command has read it", "".join(e["data"] for e in events if e["type"] == "stdout") == "ABC")
    p.bad(404, b"abc", id=s.id, command=UNKNOWN)


@proof("POST /sandboxes/:id/exec/background")
def start(p):
    s = sandbox()
    command = p.good({"command": "echo $$ >pid; exec sleep 300"}, id=s.id)
    wait_for("it runs", lambda: status_of("POST", s.path + "/files/read", {"path": "pid"}) == 200)
    p.effect("it runs on, as the process that was told", s.out(f"kill -0 {command['pid']} && cat pid") ==
             f"{command['pid']}\n")
    api("POST", f"{s.path}/exec/{command['id']}/signal", {"signal": "KILL"})
    p.bad(400, {}, id=s.id)


@proof("POST /sandboxes/:id/exec/interrupt")
def interrupt(p):
    with Sandbox() as s:
        command = s.post("/exec/background", {"command": "exec sleep 300"})
        other = s.post("/exec/background", {"command": "exec sleep 300"})
        p.good({"pid": command["pid"]}, id=s.id)
        p.effect("one command has got SIGINT", wait_end(command)["exitCode"] == 130)
        p.effect("and no other", state(other)["running"])
        p.good({}, id=s.id)
        p.effect("all have got it", wait_end(other)["exitCode"] == 130)
        p.bad(400, {"pid": 0}, id=s.id)


@proof("POST /sandboxes/:id/exec/stream")
def stream(p):
    s = sandbox()
    answer = p.good({"command": "echo out; echo made >streamed; exit 5"}, id=s.id, raw=True)
    events = [json.loads(line[6:]) for line in answer.decode().split("\n") if line.startswith("data: ")]
    eq([(e["type"], e["data"]) for e in events if e["type"] != "start"], [("stdout", "out\n"), ("exit", "5")])
    p.effect("it did what it was told", s.get_raw("/workspace/streamed") == b"made\n")
    p.bad(400, {"command": None}, id=s.id)
