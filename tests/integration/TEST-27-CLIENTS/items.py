# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the live tests of the clients' project assert, item by item. A function is an item."""
import base64
import time

from clients import HttpError, Mcp, Python, Rust, TypeScript, parse
from groups import create, path_of, run
from sandboxd import Failure, eq, ok, parallel, request, wait_for

# Shown by a group, for each client.
BY_GROUP = {5: "interpreter", 9: "env", 10: "git", 11: "ports", 12: "snapshots", 13: "templates", 14: "queue",
            15: "events", 16: "observability", 21: "snapshots", 23: "networks", 24: "snapshots"}
TRAVERSALS = ("/etc/passwd", "../../etc/cron.d/evil", "/workspace/../etc/passwd", "/../../../etc/hostname")

ts, python, rust, mcp = TypeScript(), Python(), Rust(), Mcp()


def refused(client, path, /, **body):
    try:
        client.post(path, **body)
    except HttpError as e:
        return e.status
    raise Failure(f"{path} {body} was taken")


def item_1(_):
    """Health without a token, nothing else."""
    eq(request("GET", "/sandbox/health")[0], 200)
    eq(request("GET", "/sandbox/sandboxes")[::2], (401, {"error": "Missing authorization header"}))
    eq(request("GET", "/sandbox/sandboxes", headers={"Authorization": "Bearer wrong"})[::2],
       (403, {"error": "Invalid token"}))


def item_2(_):
    """Images are echoed exactly."""
    for image in ("python:3.12-slim", "alpine:3.19", "alpine:3.20"):
        sandbox = create(rust, image=image, name=f"of {image}", timeout=300)
        eq((sandbox["status"], sandbox["image"], rust.get(path_of(sandbox))["image"]), ("running", image, image))
        ts.delete(path_of(sandbox))
    eq(refused(ts, "/sandboxes", image="") >= 400, True, "an empty image")


def item_3(sandbox):
    """Commands."""
    for command, expect in (("echo hello world", "hello world\n"), ("python3 -c 'print(1 + 1)'", "2\n"),
                            ("echo hello", "hello\n"), ("echo abc | tr a-z A-Z | rev", "CBA\n"), ("true", "")):
        result = run(rust, sandbox, command)
        eq((result["exitCode"], result["stdout"]), (0, expect), command)
        ok(result["duration"] > 0, "a duration", result)
    eq(run(ts, sandbox, "echo err >&2")["stderr"], "err\n")
    eq(run(ts, sandbox, "exit 42")["exitCode"], 42)
    eq(len(run(ts, sandbox, "seq 1 1000")["stdout"].split()), 1000)
    begin = time.monotonic()
    eq(run(ts, sandbox, "sleep 300 &")["exitCode"], 0)
    ok(int(run(ts, sandbox, "sleep 999 & echo $!")["stdout"]) > 0, "a pid")
    ok(time.monotonic() - begin < 25, "what stays behind holds no reply")


def item_4(sandbox):
    """Files."""
    path = path_of(sandbox) + "/files"
    for name, content in (("a.txt", "x" * 102400), ("unicode.txt", "\u00fc\u4e16\u754c \U0001f680")):
        python.post(path + "/write", path=f"/workspace/{name}", content=content)
        eq(python.post(path + "/read", path=f"/workspace/{name}"), content)
    found = ts.post(path + "/search", pattern="*.txt")
    ok({"/workspace/a.txt", "/workspace/unicode.txt"} <= set(found), "the default place", found)
    data = base64.b64encode(bytes(range(256)) * 9).decode()
    ts.post(path + "/upload", path="/workspace/b", content=data)
    eq(ts.post(path + "/download", path="/workspace/b"), data)
    for escape in TRAVERSALS:
        for route, more in (("read", {}), ("write", {"content": "x"}), ("delete", {}), ("list", {})):
            ok(refused(ts, f"{path}/{route}", path=escape, **more) >= 400, escape)
    ts.post(path + "/move", moves=[{"from": "/workspace/b", "to": "/workspace/c"}])
    ts.post(path + "/mkdir", paths=["/workspace/d/e"])
    ts.post(path + "/rmdir", paths=["/workspace/d"])
    ts.post(path + "/delete", path="/workspace/c")
    eq(run(ts, sandbox, "ls -d /workspace/b /workspace/c /workspace/d 2>/dev/null | wc -l")["stdout"].strip(), "0")


def item_6(sandbox):
    """Pause and resume."""
    eq(ts.post(path_of(sandbox) + "/pause")["status"], "paused")
    eq(ts.post(path_of(sandbox) + "/resume")["status"], "running")
    eq(run(ts, sandbox, "echo again")["stdout"], "again\n")


def item_7(sandbox):
    """Renew."""
    before = rust.get(path_of(sandbox))["expiresAt"]
    ok(rust.post(path_of(sandbox) + "/renew", expiresAt=before + 600_000)["expiresAt"] > before, "it grows")


def item_8(sandbox):
    """Metrics."""
    ok(parse("SandboxMetrics", rust.get(path_of(sandbox) + "/metrics"))["pids"] >= 1, "processes")
    figures = parse("GlobalMetrics", rust.get("/metrics"))
    ok(figures["activeSandboxes"] >= 1 and figures["uptimeSeconds"] >= 0, "figures", figures)


def item_17(sandbox):
    """A substitution in a command."""
    ok("uid=" in run(ts, sandbox, "echo $(id)")["stdout"], "uid=")


def item_18(sandbox):
    """Ten at a time."""
    results = parallel([lambda i=i: run(TypeScript(), sandbox, f"echo {i}") for i in range(10)])
    eq([r["stdout"] for r in results], [f"{i}\n" for i in range(10)])


def item_19(sandbox):
    """Logs of a background command."""
    job = ts.post(path_of(sandbox) + "/exec/background", command="echo line1; echo line2 >&2")
    logs = wait_for("both lines", lambda: has_both(f"/exec/background/{job['id']}/logs"), 15)
    eq(logs["cursor"], 12)


def has_both(path):
    logs = ts.get(path)
    return logs if "line1" in logs["output"] and "line2" in logs["output"] else None


def item_20(sandbox):
    """One path gives one object; a script that is made executable runs."""
    path = path_of(sandbox) + "/files"
    ts.post(path + "/write", path="/workspace/run.sh", content="#!/bin/sh\necho ran\n")
    info = ts.post(path + "/info", path="/workspace/run.sh")
    eq((info["path"], info["size"]), ("/workspace/run.sh", 19))
    eq(ts.post(path + "/chmod", path="/workspace/run.sh", mode="755"), {"success": True})
    eq(run(ts, sandbox, "/workspace/run.sh")["stdout"], "ran\n")


def item_22(_):
    """Delete, then it is gone."""
    sandbox = create(python)
    eq(python.delete(path_of(sandbox)), {"success": True})
    for call in (lambda: python.get(path_of(sandbox)), lambda: python.delete(path_of(sandbox))):
        try:
            call()
        except HttpError as e:
            eq(e.status, 404)
        else:
            raise Failure("it is still there")


def item_25(_):
    """What the shell script does: creations at once, members that mean nothing, a directory by the wrong key."""
    made = parallel([lambda: create(TypeScript(), memory_mb=256) for _ in range(3)])
    for sandbox in made:
        eq(ts.post(path_of(sandbox) + "/files/mkdir", path="/workspace/p"), {"success": True})
        run(ts, sandbox, "apk add git || true")
        ts.delete(path_of(sandbox))
    eq(len({s["id"] for s in made}), 3)


ITEMS = {int(name[5:]): function for name, function in list(globals().items()) if name.startswith("item_")}
