# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of a sandbox as the clients of /sandbox see it."""
import time

from sandboxd import IMAGE, Sandbox, api, eq, ok, parallel, request, run_tests, shell, status_of, wait_for


def health_needs_nothing():
    eq(api("GET", "/health"), {"status": "healthy"})


def create_answers_the_whole_record():
    before = time.time() * 1000
    with Sandbox(name="first", timeout=600, memory=256, cpu=1, metadata={"a": "b"}, env={"X": "1"}) as s:
        r = s.record
        ok(len(r["id"]) == 28 and r["id"].startswith("sbx_"), "id form", r["id"])
        eq((r["name"], r["image"], r["status"], r["metadata"]), ("first", IMAGE, "running", {"a": "b"}))
        for key in ("createdAt", "expiresAt"):
            ok(isinstance(r[key], int), f"{key} is an integer", r[key])
        ok(abs(r["createdAt"] - before) < 10000, "createdAt is now", r["createdAt"], before)
        ok(abs(r["expiresAt"] - r["createdAt"] - 600000) < 2000, "expiresAt", r)
        for key, value in {"image": IMAGE, "timeout": 600, "memory": 256, "cpu": 1, "workdir": "/workspace"}.items():
            eq(r["config"].get(key), value, f"config.{key}")
        ok(r["workerId"], "workerId is set", r)
        eq(s.get(), r, "get answers the same")
        items = api("GET", "/sandboxes?pageSize=200")
        ok(any(i["id"] == s.id for i in items["items"]), "list has it", items)
        eq(items["total"], len(items["items"]), "total")
        eq(shell(f"systemctl is-active {s.scope}").strip(), "active")


def names_default_to_the_id():
    with Sandbox(name=None, metadata=None) as s:
        eq(s.record["name"], s.id)


def out_of_range_is_clamped():
    with Sandbox(timeout=1, memory=1, cpu=100) as s:
        c = s.record["config"]
        eq((c["timeout"], c["memory"], c["cpu"]), (60, 64, 4))


def bad_input_is_refused():
    for body, status in (({}, 400), ({"image": ""}, 400), ({"image": "a..b"}, 400), ({"image": "a$b"}, 400),
                         ({"image": 7}, 400), ({"image": "no-such-image"}, 400), ({"image": "../x"}, 400),
                         ({"image": "-v"}, 400), ({"image": "x" * 4096}, 400)):
        s, _, answer = request("POST", "/sandbox/sandboxes", body)
        eq(s, status, f"create {str(body)[:60]}")
        ok(isinstance(answer, dict) and set(answer) == {"error"} and answer["error"], "envelope", answer)


def unknown_ones_are_404():
    for id_ in ("sbx_000000000000000000000000", "nothing", "sbx_..%2f..", "SBX_000000000000000000000000"):
        ok(status_of("GET", f"/sandboxes/{id_}") in (400, 404), "get", id_)
        ok(status_of("DELETE", f"/sandboxes/{id_}") in (400, 404), "delete", id_)
    eq(status_of("GET", "/sandboxes/sbx_000000000000000000000000"), 404)


def delete_once():
    s = Sandbox()
    begin = time.monotonic()
    eq(s.delete(), {"success": True})
    ok(time.monotonic() - begin < 5, "delete is at once", time.monotonic() - begin)
    eq(status_of("GET", s.path), 404)
    eq(status_of("DELETE", s.path), 404)
    wait_for("the scope is gone", lambda: shell(f"systemctl is-active {s.scope}", check=False).strip() == "inactive")


def two_deletes_one_winner():
    for _ in range(5):
        s = Sandbox()
        codes = sorted(parallel([lambda: status_of("DELETE", s.path)] * 4))
        eq(codes, [200, 404, 404, 404])


def pause_and_resume():
    with Sandbox() as s:
        s.post("/exec/background", {"command": "while :; do date +%s%N > /tmp/t; done"})
        wait_for("it counts", lambda: s.run("cat /tmp/t")["stdout"])
        eq(s.post("/pause")["status"], "paused")
        eq(s.get()["status"], "paused")
        s.post("/pause", expect=409)
        s.post("/exec", {"command": "true"}, expect=409)
        s.post("/files/list", {}, expect=409)
        eq(s.post("/resume")["status"], "running")
        s.post("/resume", expect=409)
        eq(s.out("echo on"), "on\n")
    s = Sandbox()
    s.post("/pause")
    eq(s.delete(), {"success": True}, "delete of a paused one")


def renew_moves_the_deadline():
    with Sandbox(timeout=600) as s:
        old = s.record["expiresAt"]
        new = s.post("/renew", {"expiresAt": old + 600000})
        eq(new["expiresAt"], old + 600000)
        eq(s.get()["expiresAt"], old + 600000)
        soon = s.post("/renew", {"expiresAt": 0})["expiresAt"]
        ok(55000 < soon - time.time() * 1000 < 65000, "clamped to a minute", soon)
        far = s.post("/renew", {"expiresAt": old * 2})["expiresAt"]
        ok(far - time.time() * 1000 <= 86400000 + 5000, "clamped to a day", far)
        s.post("/renew", {}, expect=400)


def lists_have_pages():
    made = [Sandbox(name=f"page{i}") for i in range(5)]
    try:
        total = api("GET", "/sandboxes")["total"]
        page = api("GET", "/sandboxes?page=2&pageSize=2")
        eq((len(page["items"]), page["page"], page["pageSize"], page["total"]), (2, 2, 2, total))
        eq(api("GET", "/sandboxes?status=paused")["items"], [])
        made[0].post("/pause")
        eq([i["id"] for i in api("GET", "/sandboxes?status=paused")["items"]], [made[0].id])
    finally:
        for s in made:
            s.delete()


def counters_count():
    before = api("GET", "/metrics")
    Sandbox().delete()
    after = api("GET", "/metrics")
    eq(after["totalCreated"], before["totalCreated"] + 1)
    eq(after["totalKilled"], before["totalKilled"] + 1)
    ok(after["uptimeSeconds"] >= 0, "uptime", after)


def sandbox_metrics():
    with Sandbox(memory=256) as s:
        m = api("GET", s.path + "/metrics")
        eq(m["sandboxId"], s.id)
        for key in ("cpuPercent", "memoryUsageMb", "memoryLimitMb", "networkRxBytes", "networkTxBytes", "pids"):
            ok(isinstance(m[key], (int, float)), key, m)
        ok(m["pids"] >= 1, "pids", m)
        eq(m["memoryLimitMb"], 256)


def sweep_answers():
    eq(api("POST", "/admin/sweep")["swept"], 0)


def limit_is_exact_under_concurrency():
    """III_MAX_SANDBOXES is 50 here: 60 at once give exactly what is free."""
    free = 50 - api("GET", "/sandboxes")["total"]
    answers = parallel([lambda: request("POST", "/sandbox/sandboxes", {"image": IMAGE})] * (free + 10))
    good = [a for a in answers if a[0] == 200]
    try:
        eq(sorted({a[0] for a in answers}), [200, 429])
        eq(len(good), free)
        ok("Maximum sandbox limit reached: 50" in [a for a in answers if a[0] == 429][0][2]["error"], "text", answers[-1])
    finally:
        parallel([lambda a=a: api("DELETE", "/sandboxes/" + a[2]["id"]) for a in good])


def three_at_once():
    made = parallel([Sandbox] * 3)
    eq(len({s.id for s in made}), 3)
    for s in made:
        s.delete()


def unknown_routes():
    eq(request("GET", "/sandbox/nothing")[0], 404)
    status, headers, body = request("PATCH", "/sandbox/sandboxes")
    eq(status, 405)
    ok("POST" in headers.get("allow", ""), "Allow", headers)
    eq(body, b"")
    status, headers, body = request("GET", "/elsewhere")
    eq(status, 404)
    ok(isinstance(body, dict) and set(body) == {"code", "message"}, "envelope of nobody's path", body)
    eq((headers.get("x-content-type-options"), headers.get("cache-control")), ("nosniff", "no-store"))


run_tests([health_needs_nothing, create_answers_the_whole_record, names_default_to_the_id, out_of_range_is_clamped,
           bad_input_is_refused, unknown_ones_are_404, delete_once, two_deletes_one_winner, pause_and_resume,
           renew_moves_the_deadline, lists_have_pages, counters_count, sandbox_metrics, sweep_answers,
           limit_is_exact_under_concurrency, three_at_once, unknown_routes])
