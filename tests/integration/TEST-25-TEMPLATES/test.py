# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a creation may say: templates, limits, secrets; what a list tells; whose sandboxes there are."""
import glob
import json
import os
import sqlite3
import stat
import time

from sandboxd import (IMAGE, Sandbox, api, configure, eq, ok, parallel, request, run_tests, shell, status_of, wait_for)

DATABASE = "/var/lib/sandboxd/sandboxd.db"
STOP = "systemctl stop sandboxd.service sandbox-execd.service sandbox-fsd.service"
TOKEN = "test-token-of-some-length"
SECRET = "correct-horse-battery-staple"


def builtins():
    found = {t["id"]: t for t in api("GET", "/templates")["templates"] if t["builtin"]}
    eq({i: (t["name"], t["config"], t["createdAt"]) for i, t in found.items()}, {
        "tpl_python-data-science": ("python-data-science", {"image": "python:3.12-slim", "memory": 1024,
                                                            "timeout": 7200, "env": {"PYTHONUNBUFFERED": "1"}}, 0),
        "tpl_node-web": ("node-web", {"image": "node:20-slim", "memory": 512, "timeout": 3600, "network": True}, 0),
        "tpl_go-api": ("go-api", {"image": "golang:1.22-alpine", "memory": 512, "timeout": 3600, "network": True}, 0),
        "tpl_rust-cli": ("rust-cli", {"image": "rust:1.77-slim", "memory": 1024, "timeout": 7200}, 0),
    })
    for id in found:
        api("DELETE", f"/templates/{id}", expect=403)
        eq(api("GET", f"/templates/{id}"), found[id])
    with Sandbox(template="python-data-science") as s:
        eq(s.out("echo $PYTHONUNBUFFERED"), "1\n", "the template's environment")
        eq(shell(f"systemctl show -P MemoryMax {s.scope}").strip(), str(1024 << 20), "the template's memory")
    with Sandbox(template="tpl_rust-cli", image="python:3.12-slim", timeout=600) as s:
        eq((s.record["image"], s.record["config"]["timeout"]), ("rust:1.77-slim", 600))
    with Sandbox(template="rust-cli", image="alpine:3.20") as s:
        eq(s.record["image"], "alpine:3.20", "an image that somebody chose")


def templates():
    made = api("POST", "/templates", {"name": "mine", "description": "d", "config": {
        "image": "test", "memory": 99999, "env": {"A": "1"}, "workdir": "/tmp", "strange": 1}})
    eq(made["config"], {"image": "test", "memory": 99999, "env": {"A": "1"}, "workdir": "/tmp"})
    api("POST", "/templates", {"name": "mine", "config": {"image": "test"}}, expect=409)
    shell(STOP)
    eq(api("GET", f"/templates/{made['id']}"), made)
    with Sandbox(template="mine", cpu=2) as s:
        eq(s.out("pwd; echo $A"), "/tmp\n1\n")
        eq((s.record["config"]["memory"], s.record["config"]["cpu"]), (4096, 2))
    eq(api("DELETE", f"/templates/{made['id']}"), {"deleted": made["id"]})
    api("GET", f"/templates/{made['id']}", expect=404)
    api("POST", "/sandboxes", {"image": IMAGE, "template": "mine"}, expect=404)
    made = api("POST", "/templates", {"name": "unmapped", "config": {"image": "no-such-image:1"}})
    text = api("POST", "/sandboxes", {"template": "unmapped"}, expect=400)["error"]
    ok("no-such-image:1" in text and "alpine:*" in text, "the text names what there is", text)
    api("DELETE", f"/templates/{made['id']}")


def the_limit_is_exact():
    configure(III_MAX_SANDBOXES=3)
    for _ in range(20):
        replies = parallel([lambda: request("POST", "/sandbox/sandboxes", {"image": IMAGE})] * 20)
        good = [r[2]["id"] for r in replies if r[0] == 200]
        refused = [r[2]["error"] for r in replies if r[0] == 429]
        eq((len(good), len(refused)), (3, 17))
        eq(set(refused), {"Maximum sandbox limit reached: 3"})
        eq(api("GET", "/sandboxes")["total"], 3)
        # a place is free as soon as its sandbox is said to be gone
        api("DELETE", f"/sandboxes/{good[0]}")
        api("DELETE", f"/sandboxes/{api('POST', '/sandboxes', {'image': IMAGE})['id']}")
        parallel([lambda i=i: api("DELETE", f"/sandboxes/{i}") for i in good[1:]])
    configure()


def rates():
    configure(III_RATE_LIMIT_ENABLED="true", III_RATE_SBX_EXEC_PM=3, III_RATE_SBX_FS_PM=2, SANDBOX_IDLE_EXIT_SEC=0)
    with Sandbox() as s, Sandbox() as other:
        for i in range(3):
            s.out(f"touch /tmp/{i}")
        status, headers, body = request("POST", f"/sandbox{s.path}/exec", {"command": "touch /tmp/3"})
        eq((status, body), (429, {"error": "Rate limit exceeded"}))
        ok(1 <= int(headers["retry-after"]) <= 20, "Retry-After", headers)
        eq(sorted(f["name"] for f in other.post("/files/list", {"path": "/workspace"})), [])
        eq(other.out("echo another"), "another\n")
        s.post("/files/write", {"path": "a", "content": "x"})
        s.post("/files/read", {"path": "a"})
        s.post("/files/write", {"path": "b", "content": "x"}, expect=429)
        eq(s.get()["status"], "running", "looking is not limited")
        time.sleep(int(headers["retry-after"]))
        eq(s.out("ls /tmp"), "0\n1\n2\n", "what was refused did nothing")
    configure()


def tokens():
    configure(III_AUTH_TOKEN=TOKEN, SANDBOX_IDLE_EXIT_SEC=0)
    good = {"Authorization": f"Bearer {TOKEN}"}
    eq(status_of("GET", "/sandboxes", headers=good), 200)
    begin = time.monotonic()
    replies = [request("GET", "/sandbox/sandboxes", headers={"Authorization": "Bearer wrong"}) for _ in range(60)]
    took = time.monotonic() - begin
    answered = sum(r[0] == 403 for r in replies)
    ok(5 <= answered <= 5 + 5 * took + 1, "failures that were looked at", answered, took)
    ok(answered == 60 or all("retry-after" in r[1] for r in replies if r[0] == 429), "Retry-After")
    eq({r[0] for r in replies} - {403, 429}, set())
    eq(status_of("GET", "/sandboxes", headers=good), 200, "with the token")
    configure(III_AUTH_TOKEN=TOKEN, III_RATE_LIMIT_ENABLED="true", III_RATE_TOKEN_BURST=5, III_RATE_TOKEN_RPM=6,
              SANDBOX_IDLE_EXIT_SEC=0)
    replies = [request("GET", "/sandbox/sandboxes", headers=good) for _ in range(10)]
    ok(5 <= sum(r[0] == 200 for r in replies) <= 7, "within the burst", [r[0] for r in replies])
    ok(1 <= int(replies[-1][1]["retry-after"]) <= 10, "Retry-After", replies[-1])
    configure()


def images_and_prefix():
    configure(III_ALLOWED_IMAGES="alpine:*, test", III_API_PREFIX="/box/")
    eq(request("GET", "/box/health")[0], 200)
    eq(request("GET", "/sandbox/health")[0], 404)
    status, _, body = request("POST", "/box/sandboxes", {"image": IMAGE})
    eq((status, body), (403, {"error": f"Image not allowed: {IMAGE}"}))
    status, _, body = request("POST", "/box/sandboxes", {"template": "rust-cli"})
    eq((status, body), (403, {"error": "Image not allowed: rust:1.77-slim"}))
    for image in "alpine:3.20", "test":
        status, _, body = request("POST", "/box/sandboxes", {"image": image})
        eq(status, 200)
        eq(request("DELETE", f"/box/sandboxes/{body['id']}")[0], 200)
    configure()


def lists():
    made = [Sandbox(name=str(i), metadata={"n": str(i), "even": str(i % 2 == 0)}) for i in range(6)]

    def names(query="", body=None):
        return "".join(s["name"] for s in api("GET", "/sandboxes" + query, body)["items"])

    eq(names(), "012345", "in the order of creation")
    made[1].post("/pause")
    eq(names("?status=paused"), "1")
    eq(names("?metadata[even]=True&pageSize=2&page=2"), "4")
    eq(names("", {"metadata": {"n": "3"}}), "3")
    eq(names("?labels=even=False"), "135")
    shown, cursor = "", ""
    while True:
        page = api("GET", f"/sandboxes?pageSize=4&cursor={cursor}")
        shown += "".join(s["name"] for s in page["items"])
        cursor = page.get("nextCursor")
        if not cursor:
            break
        shell(STOP)
    eq(shown, "012345", "page after page")
    for s in made:
        s.delete()


def secrets():
    def silent(what, text):
        ok(SECRET not in (text if isinstance(text, str) else json.dumps(text)), f"a secret is in {what}")

    begin = time.strftime("%Y-%m-%d %H:%M:%S")
    configure(SANDBOX_LOG_LEVEL="debug")
    with Sandbox(secrets={"ONE": SECRET}, env={"TWO": SECRET, "OPEN": "seen"}, secretEnv=["TWO"],
                 entrypoint=["sh", "-c", "echo $ONE >/tmp/entry; sleep 1000"]) as s:
        eq(s.out("echo $ONE $TWO $OPEN"), f"{SECRET} {SECRET} seen\n")
        eq(sorted(s.record["config"]["secretEnv"]), ["ONE", "TWO"], "names may be seen")
        wait_for("the entrypoint has it", lambda: s.run("cat /tmp/entry")["stdout"] == SECRET + "\n")
        shell("systemctl kill -s KILL sandboxd.service", check=False)
        s.post("/exec/background", {"command": "echo $ONE | wc -c"})
        eq(s.out("echo ${#ONE}"), f"{len(SECRET)}\n", "after a crash")
        silent("the reply to a creation", s.record)
        for path in ("", "/exec", "/metrics", "/processes", "/processes/top", "/alerts", "/terminals"):
            silent(path, api("GET", s.path + path))
        for path in ("/sandboxes", "/templates", "/metrics", "/workers"):
            silent(path, api("GET", path))
        silent("/env", request("GET", f"/sandbox{s.path}/env")[2] or "")
        silent("/env/get", request("POST", f"/sandbox{s.path}/env/get", {"key": "ONE"})[2] or "")
        for path in ("/events/history?limit=1000", "/observability/traces?limit=1000"):
            silent(path, request("GET", "/sandbox" + path)[2] or "")
        for where in glob.glob("/run/sandboxd/**", recursive=True):
            if os.path.isfile(where):
                with open(where, "rb") as f:
                    silent(where, f.read().decode(errors="replace"))
        for where in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(where, "rb") as f:
                    silent(where, f.read().decode(errors="replace"))
            except (FileNotFoundError, ProcessLookupError):
                pass
        eq(stat.S_IMODE(os.stat(DATABASE).st_mode), 0o600, "mode of the database")
    shell("journalctl --sync", check=False)
    silent("the journal", shell(f"journalctl -o export --since '{begin}' 2>/dev/null || true"))
    configure()


def workers():
    own = api("POST", "/workers/heartbeat")
    ok(abs(own["lastHeartbeat"] - time.time() * 1000) < 60000, "heartbeat", own)
    here, lost = Sandbox(), "sbx_" + "0" * 24
    kept = Sandbox()
    eq(here.record["workerId"], own["workerId"])
    eq([w["activeSandboxes"] for w in api("GET", "/workers")["workers"]], [2])
    shell(STOP)
    with sqlite3.connect(DATABASE) as db:
        def put(id, age, active, most):
            row = {"workerId": id, "hostname": "h", "activeSandboxes": active, "maxSandboxes": most, "cpuPercent": 0.0}
            db.execute("INSERT INTO objects(kind, id, sandbox, tag, time, record) VALUES('worker', ?, '', '', ?, ?)",
                       ("worker:" + id, int(time.time() * 1000) - age, json.dumps(row)))

        put("dead", 31000, 2, 50)
        put("full", -3600000, 1, 1)
        put("roomy", -3600000, 0, 100)
        rows = {id: json.loads(record) for id, record in db.execute("SELECT id, record FROM sandboxes")}
        moved = next(id for id in rows if id.startswith(here.id[4:]))
        rows[moved]["worker"] = "dead"
        db.execute("UPDATE sandboxes SET record = ? WHERE id = ?", (json.dumps(rows[moved]), moved))
        db.execute("INSERT INTO sandboxes(id, state, created, record) VALUES(?, 'running', ?, ?)",
                   ("0" * 32, int(time.time() * 1000), json.dumps(dict(rows[moved], name="lost"))))
    db.close()
    listed = api("GET", "/admin/workers")
    eq((listed["alive"], listed["dead"]), (3, 1))
    eq(api("GET", f"/sandboxes/{lost}")["workerId"], "dead", "another worker's, and not reaped")
    eq(status_of("POST", f"/sandboxes/{lost}/exec", {"command": "true"}), 409)
    eq(api("POST", "/workers/select"), {"workerId": "roomy"}, "not the full one")
    eq(api("GET", "/admin/workers/select"), {"workerId": "roomy"})
    eq(api("POST", "/workers/reap"), {"reaped": 1, "reassigned": 1, "expired": 1})
    eq(status_of("GET", f"/sandboxes/{lost}"), 404, "what was the dead one's is over")
    eq(here.get()["workerId"], own["workerId"], "what runs here is ours")
    eq(here.out("echo alive"), "alive\n")
    eq(kept.out("echo untouched"), "untouched\n")
    eq(api("POST", "/workers/reap"), {"reaped": 0, "reassigned": 0, "expired": 0})
    eq(api("POST", "/workers/migrate"), {"migrated": 0})
    shell(STOP)
    with sqlite3.connect(DATABASE) as db:
        db.execute("DELETE FROM objects WHERE kind = 'worker'")
        record = json.loads(db.execute("SELECT record FROM sandboxes WHERE id = ?", (moved,)).fetchone()[0])
        del record["worker"]
        db.execute("UPDATE sandboxes SET record = ? WHERE id = ?", (json.dumps(record), moved))
    db.close()
    eq("workerId" in here.get(), False, "of before workers had names")
    eq(api("POST", "/admin/workers/migrate"), {"migrated": 1})
    eq(here.get()["workerId"], own["workerId"])
    here.delete()
    kept.delete()


configure()
run_tests([builtins, templates, the_limit_is_exact, rates, tokens, images_and_prefix, lists, secrets, workers])
