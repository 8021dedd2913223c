# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client does with each group of routes, and what it must find. A group says which routes it wants; one that the
table does not have (yet) is named, and does not count as passed."""
import base64

from clients import ABSENT, HttpError, parse, parse_all
from sandboxd import IMAGE, Failure, eq, ok, wait_for

groups = []


def group(*routes, programs=()):
    """programs: what the image must have inside."""
    def register(function):
        function.routes, function.programs = routes, programs
        groups.append(function)
        return function
    return register


def path_of(sandbox):
    return f"/sandboxes/{sandbox['id']}"


def create(client, **more):
    maker = getattr(client, "create", None)
    config = {"image": IMAGE, "name": ABSENT, "timeout": ABSENT, "memory": ABSENT, "cpu": ABSENT, "network": ABSENT,
              "env": ABSENT, "workdir": ABSENT, "metadata": ABSENT, "entrypoint": ABSENT, "template": ABSENT, **more}
    return parse("Sandbox", maker(**config) if maker else client.post("/sandboxes", **config))


def run(client, sandbox, command, **more):
    body = {"command": command, "timeout": ABSENT, **more}
    return parse("ExecResult", client.post(path_of(sandbox) + "/exec", **body))


@group("POST /sandboxes", "GET /sandboxes", "GET /sandboxes/:id", "POST /sandboxes/:id/pause",
       "POST /sandboxes/:id/resume", "POST /sandboxes/:id/renew", "DELETE /sandboxes/:id")
def lifecycle(client, _):
    sandbox = create(client, name="client", timeout=300, metadata={"a": "b"})
    eq((sandbox["status"], sandbox["image"], sandbox["name"]), ("running", IMAGE, "client"))
    listed = client.get("/sandboxes", page=ABSENT, pageSize=200, status=ABSENT)
    ok(sandbox["id"] in [s["id"] for s in parse_all("Sandbox", listed["items"])], "it is listed")
    eq(parse("Sandbox", client.post(path_of(sandbox) + "/pause"))["status"], "paused")
    eq(parse("Sandbox", client.post(path_of(sandbox) + "/resume"))["status"], "running")
    wanted = sandbox["expiresAt"] + 600_000
    renewed = client.post(path_of(sandbox) + "/renew", expiresAt=wanted)
    ok(renewed["expiresAt"] > sandbox["expiresAt"], "it lives longer")
    eq(client.delete(path_of(sandbox)), {"success": True})
    try:
        client.get(path_of(sandbox))
    except HttpError as e:
        eq(e.status, 404)
    else:
        raise Failure("a deleted sandbox is still there")


@group("POST /sandboxes/:id/exec", "POST /sandboxes/:id/exec/interrupt")
def exec_(client, sandbox):
    result = run(client, sandbox, "echo out; echo err >&2; exit 42", cwd=ABSENT)
    eq((result["exitCode"], result["stdout"], result["stderr"]), (42, "out\n", "err\n"))
    ok(result["duration"] > 0, "a duration", result)
    eq(run(client, sandbox, "pwd", cwd="/tmp")["stdout"], "/tmp\n")
    eq(client.post(path_of(sandbox) + "/exec/interrupt", pid=ABSENT), {"success": True})


@group("POST /sandboxes/:id/exec/background", "GET /exec/background/:id/status", "GET /exec/background/:id/logs")
def background(client, sandbox):
    job = parse("BackgroundExec", client.post(path_of(sandbox) + "/exec/background", command="echo one; echo two"))
    wait_for("it has ended", lambda: not parse("BackgroundExec", client.get(f"/exec/background/{job['id']}/status"))[
        "running"])
    eq(client.get(f"/exec/background/{job['id']}/logs", cursor=4), {"output": "two\n", "cursor": 8})


# Ends of lines to some readers, within a line of a stream
SEPARATORS = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh"


@group("POST /sandboxes/:id/exec/stream")
def stream(client, sandbox):
    path = path_of(sandbox) + "/exec/stream"
    events = list(client.events("POST", path, client.drop({"command": "echo hello; echo warn >&2; exit 3",
                                                           "timeout": ABSENT}), end=("exit",)))
    for event in events:
        parse("ExecStreamChunk", event)
    text = {kind: "".join(e["data"] for e in events if e["type"] == kind) for kind in ("stdout", "stderr", "exit")}
    eq(text, {"stdout": "hello\n", "stderr": "warn\n", "exit": "3"})
    eq(events[-1]["type"], "exit")
    shown = list(client.events("POST", path, {"command": f"printf %s '{SEPARATORS}'"}, end=("exit",)))
    eq("".join(e["data"] for e in shown if e["type"] == "stdout"), SEPARATORS)


@group("GET /sandboxes/:id/stream/logs")
def stream_logs(client, sandbox):
    run(client, sandbox, "echo logged")
    events = list(client.events("GET", path_of(sandbox) + "/stream/logs" + client.query(follow=False, tail=100),
                                end=("end",)))
    eq(events[-1]["type"], "end")
    for event in events:
        parse("ExecStreamChunk", event)


@group("GET /sandboxes/:id/stream/metrics")
def stream_metrics(client, sandbox):
    for event in client.events("GET", path_of(sandbox) + "/stream/metrics" + client.query(interval=1)):
        parse("SandboxMetrics", event)
        ok(event["pids"] >= 1, "processes", event)
        break


@group("POST /sandboxes/:id/files/write", "POST /sandboxes/:id/files/read", "POST /sandboxes/:id/files/list",
       "POST /sandboxes/:id/files/search", "POST /sandboxes/:id/files/upload", "POST /sandboxes/:id/files/download",
       "POST /sandboxes/:id/files/info", "POST /sandboxes/:id/files/delete")
def files(client, sandbox):
    path = path_of(sandbox) + "/files"
    text = f"h\u00e9llo {client.name} \U0001f600\n"
    eq(client.post(path + "/write", path="/workspace/note.txt", content=text), {"success": True})
    eq(client.post(path + "/read", path="/workspace/note.txt"), text)
    listed = parse_all("FileInfo", client.post(path + "/list", path=ABSENT))
    ok("note.txt" in [f["name"] for f in listed], "it is listed")
    ok("/workspace/note.txt" in client.post(path + "/search", pattern="*.txt", dir=ABSENT), "it is found")
    data = base64.b64encode(bytes(range(256))).decode()
    eq(client.post(path + "/upload", path="/workspace/data", content=data), {"success": True})
    eq(client.post(path + "/download", path="/workspace/data"), data)
    eq(len(parse_all("FileMetadata", client.post(path + "/info", paths=["/workspace/data"]))), 1)
    eq(client.post(path + "/delete", path="/workspace/data"), {"success": True})
    try:
        client.post(path + "/read", path="../../etc/passwd")
    except HttpError as e:
        ok(e.status >= 400, "the status of an escape", e.status)
    else:
        raise Failure("a path led out")


@group("GET /sandboxes/:id/processes", "GET /sandboxes/:id/processes/top", "POST /sandboxes/:id/processes/kill")
def processes(client, sandbox):
    path = path_of(sandbox) + "/processes"
    pid = int(run(client, sandbox, "sleep 999 & echo $!")["stdout"])
    ok(pid in [x["pid"] for x in parse_all("ProcessInfo", client.get(path)["processes"])], "it is listed")
    parse_all("ProcessTopInfo", client.get(path + "/top")["processes"])
    eq(client.post(path + "/kill", pid=pid, signal="KILL"), {"killed": pid, "signal": "KILL"})
    wait_for("it is gone", lambda: pid not in [x["pid"] for x in client.get(path)["processes"]])


@group("POST /sandboxes/:id/env/get", "POST /sandboxes/:id/env", "GET /sandboxes/:id/env",
       "POST /sandboxes/:id/env/delete")
def env(client, sandbox):
    path = path_of(sandbox) + "/env"
    eq(client.post(path, vars={"MY_VAR": "test123"}), {"set": ["MY_VAR"], "count": 1})
    found = client.post(path + "/get", key="MY_VAR")
    eq((found["value"], found["exists"]), ("test123", True))
    variables = client.get(path)["vars"]
    ok(variables.get("MY_VAR") == "test123" and {"HOME", "PATH", "HOSTNAME"} & set(variables), "variables", variables)
    eq(run(client, sandbox, "echo $MY_VAR")["stdout"], "test123\n")
    ok("MY_VAR=test123" in run(client, sandbox, "cat /etc/environment")["stdout"], "it is in /etc/environment")
    eq(client.post(path + "/delete", key="MY_VAR"), {"deleted": "MY_VAR"})
    found = client.post(path + "/get", key="MY_VAR")
    eq((found["value"], found["exists"]), (None, False))


@group("GET /sandboxes/:id/git/status", "POST /sandboxes/:id/git/commit", "POST /sandboxes/:id/git/branch",
       "GET /sandboxes/:id/git/log", "GET /sandboxes/:id/git/diff", programs=["git"])
def git(client, sandbox):
    path, repository = path_of(sandbox) + "/git", f"/workspace/{client.name} repo"
    run(client, sandbox, f"git init -q '{repository}' && cd '{repository}' && git config user.email a@b.c && "
                         "git config user.name n && echo hi >hello.txt")
    status = client.git_status(sandbox["id"], repository) if hasattr(client, "git_status") else client.get(
        path + "/status", path=repository)
    eq(status["files"], [{"path": "hello.txt", "status": "??"}])
    committed = parse("ExecResult", client.post(path + "/commit", message="it's first", path=repository, all=True))
    eq(committed["exitCode"], 0)
    entries = client.get(path + "/log", path=repository, count=5)["entries"]
    eq([e["message"] for e in entries], ["it's first"])
    eq(client.post(path + "/branch", path=repository, name="feature-test", delete=ABSENT)["current"], "feature-test")
    run(client, sandbox, f"cd '{repository}' && echo more >>hello.txt && git add hello.txt")
    ok("+more" in client.get(path + "/diff", path=repository, staged=True, file=ABSENT)["diff"], "what is staged")


@group("POST /sandboxes/:id/interpret/execute", "GET /sandboxes/:id/interpret/kernels", programs=["python3", "bash"])
def interpreter(client, sandbox):
    path = path_of(sandbox) + "/interpret"
    result = parse("CodeResult", client.post(path + "/execute", code="print(6 * 7)", language="python"))
    eq((result["output"].strip(), result["error"]), ("42", None))
    eq(client.post(path + "/execute", code="echo $((6 * 7))", language="bash")["output"].strip(), "42")
    ok(client.post(path + "/execute", code="import nonexistent_module", language=ABSENT)["error"], "an error")
    ok({k["name"] for k in parse_all("KernelSpec", client.get(path + "/kernels"))} >= {"python3", "node", "bash", "go"},
       "kernels")


@group("POST /sandboxes/:id/exec/queue", "GET /queue/:jobId/status", "POST /queue/:jobId/cancel", "GET /queue/dlq")
def queue(client, sandbox):
    job = parse("QueueJob", client.post(path_of(sandbox) + "/exec/queue", command="echo queued-output",
                                        maxRetries=ABSENT, timeout=ABSENT))
    eq((job["status"], job["maxRetries"]), ("pending", 3))
    done = wait_for("it is done", lambda: finished(client, job["id"]), 15)
    eq((done["status"], done["result"]["stdout"], done["result"]["exitCode"]), ("completed", "queued-output\n", 0))
    dlq = client.get("/queue/dlq", limit=10, offset=0)
    parse_all("QueueJob", dlq["jobs"])
    ok(isinstance(dlq["total"], int), "a total", dlq)


def finished(client, job):
    status = parse("QueueJob", client.get(f"/queue/{job}/status"))
    return status if status["status"] in ("completed", "failed") else None


@group("POST /templates", "GET /templates", "GET /templates/:id", "DELETE /templates/:id")
def templates(client, _):
    listed = {t["id"] for t in parse_all("Template", client.get("/templates")["templates"])}
    ok(listed >= {"tpl_python-data-science", "tpl_node-web", "tpl_go-api", "tpl_rust-cli"}, "built-in ones", listed)
    made = parse("Template", client.post("/templates", name=f"of-{client.name}", description="d",
                                         config={"image": "alpine:3.19", "memory": 256}))
    try:
        eq(parse("Template", client.get(f"/templates/{made['id']}"))["config"]["memory"], 256)
        sandbox = create(client, template=made["id"])
        eq((sandbox["image"], sandbox["config"]["memory"]), ("alpine:3.19", 256), "a sandbox of a template")
        client.delete(path_of(sandbox))
    finally:
        eq(client.delete(f"/templates/{made['id']}"), {"deleted": made["id"]})


@group("POST /events/publish", "GET /events/history")
def events(client, sandbox):
    topic = f"client.{client.name}"
    made = parse("Event", client.post("/events/publish", topic=topic, sandboxId=sandbox["id"], data={"a": [1]}))
    parse("Event", client.post("/events/publish", topic=topic, sandboxId=sandbox["id"], data=ABSENT))
    history = client.get("/events/history", sandboxId=sandbox["id"], topic=topic, limit=10, offset=0)
    found = parse_all("Event", history["events"])
    eq((history["total"], [e["data"] for e in found]), (2, [{}, {"a": [1]}]), "history")
    eq(found[1]["id"], made["id"])


@group("POST /sandboxes/:id/alerts", "GET /sandboxes/:id/alerts", "DELETE /alerts/:alertId",
       "GET /sandboxes/:id/alerts/history")
def alerts(client, sandbox):
    path = path_of(sandbox) + "/alerts"
    alert = parse("Alert", client.post(path, metric="memory", threshold=99.5, action=ABSENT))
    eq((alert["action"], alert["triggered"]), ("notify", False))
    eq([a["id"] for a in parse_all("Alert", client.get(path)["alerts"])], [alert["id"]])
    history = client.get(path + "/history", limit=10)
    eq((parse_all("AlertEvent", history["events"]), history["total"]), ([], 0))
    eq(client.delete(f"/alerts/{alert['id']}"), {"deleted": alert["id"]})


@group("GET /observability/traces", "GET /observability/metrics", "POST /observability/clear")
def observability(client, sandbox):
    run(client, sandbox, "true")
    traces = client.get("/observability/traces", sandboxId=sandbox["id"], functionId=ABSENT, limit=5, offset=ABSENT)
    ok(0 < len(parse_all("Trace", traces["traces"])) <= 5 and traces["total"] >= 1, "traces", traces)
    ok(parse("ObservabilityMetrics", client.get("/observability/metrics"))["totalRequests"] > 0, "requests")
    ok(isinstance(client.post("/observability/clear", before=ABSENT)["cleared"], int), "a number")


@group("GET /sandboxes/:id/metrics", "GET /metrics")
def metrics(client, sandbox):
    ok(parse("SandboxMetrics", client.get(path_of(sandbox) + "/metrics"))["pids"] >= 1, "processes")
    ok(parse("GlobalMetrics", client.get("/metrics"))["activeSandboxes"] >= 1, "sandboxes")


@group("POST /sandboxes/:id/ports", "GET /sandboxes/:id/ports", "DELETE /sandboxes/:id/ports")
def ports(client, sandbox):
    path = path_of(sandbox) + "/ports"
    made = parse("PortMapping", client.post(path, containerPort=8080, hostPort=ABSENT, protocol=ABSENT))
    eq((made["containerPort"], made["protocol"]), (8080, "tcp"))
    eq(parse_all("PortMapping", client.get(path)["ports"]), [made])
    eq(client.delete(path, containerPort=8080), {"removed": 8080}, "by the query")
    client.post(path, containerPort=8081, hostPort=ABSENT, protocol="udp")
    eq(client.json("DELETE", path, {"containerPort": 8081}), {"removed": 8081}, "by the body")
    eq(client.get(path)["ports"], [])


@group("POST /sandboxes/:id/snapshots", "GET /sandboxes/:id/snapshots", "POST /sandboxes/:id/snapshots/restore",
       "POST /snapshots/:snapshotId/clone", "DELETE /snapshots/:snapshotId", "POST /sandboxes/:id/clone")
def snapshots(client, sandbox):
    path = path_of(sandbox)
    run(client, sandbox, "echo before >/workspace/marker")
    made = parse("Snapshot", client.post(path + "/snapshots", name=f"of-{client.name}"))
    ok(made["size"] > 0 and made["sandboxId"] == sandbox["id"], "what it is of", made)
    eq([s["id"] for s in parse_all("Snapshot", client.get(path + "/snapshots")["snapshots"])], [made["id"]])
    run(client, sandbox, "rm /workspace/marker")
    restored = parse("Sandbox", client.post(path + "/snapshots/restore", snapshotId=made["id"]))
    eq((restored["id"], restored["status"]), (sandbox["id"], "running"))
    eq(run(client, sandbox, "cat /workspace/marker")["stdout"], "before\n", "it is back")
    for clone in (client.post(path + "/clone", name=ABSENT), client.post(f"/snapshots/{made['id']}/clone", name="two")):
        eq(parse("Sandbox", clone)["status"], "running")
        eq(run(client, clone, "cat /workspace/marker")["stdout"], "before\n", "a clone has it")
        client.delete(path_of(clone))
    eq(client.delete(f"/snapshots/{made['id']}"), {"deleted": made["id"]})
    eq(client.get(path + "/snapshots")["snapshots"], [])


@group("POST /networks", "GET /networks", "POST /networks/:networkId/connect", "POST /networks/:networkId/disconnect",
       "DELETE /networks/:networkId")
def networks(client, sandbox):
    made = parse("Network", client.post("/networks", name=f"of-{client.name}", driver=ABSENT))
    path = f"/networks/{made['id']}"
    eq(client.post(path + "/connect", sandboxId=sandbox["id"]), {"connected": True})
    eq({n["id"]: n["sandboxes"] for n in parse_all("Network", client.get("/networks")["networks"])}[made["id"]],
       [sandbox["id"]])
    eq(client.post(path + "/disconnect", sandboxId=sandbox["id"]), {"disconnected": True})
    eq(client.delete(path), {"deleted": made["id"]})


@group("POST /volumes", "GET /volumes", "POST /volumes/:volumeId/attach", "POST /volumes/:volumeId/detach",
       "DELETE /volumes/:volumeId")
def volumes(client, sandbox):
    made = parse("Volume", client.post("/volumes", name=f"of-{client.name}", driver=ABSENT))
    path = f"/volumes/{made['id']}"
    eq(client.post(path + "/attach", sandboxId=sandbox["id"], mountPath="/data"), {"attached": True, "mountPath": "/data"})
    run(client, sandbox, "echo kept >/data/file")
    eq({v["id"]: v["sandboxId"] for v in parse_all("Volume", client.get("/volumes")["volumes"]) if "sandboxId" in v},
       {made["id"]: sandbox["id"]})
    eq(client.post(path + "/detach"), {"detached": True})
    eq(client.delete(path), {"deleted": made["id"]})


# The command line has these only.
CLI = [lifecycle, exec_, stream, stream_logs, files, interpreter]
