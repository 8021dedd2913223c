# SPDX-License-Identifier: LGPL-2.1-or-later
"""The queue: every job has one result and was carried out once, whoever is killed meanwhile; and keys that make a
creation safe to repeat."""
import functools
import http.client
import os
import random
import threading
import time

import sandboxd
from sandboxd import (ApiError, Failure, Sandbox, api, eq, kill_main, ok, parallel, request, run_tests, shell, spares,
                      wait_for)

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]
JOBS = int(os.environ.get("TEST_JOBS", "200"))
DRAIN = int(os.environ.get("TEST_DRAIN", "1000"))
R = random.Random(int(os.environ.get("TEST_SEED", "22")))
ENDED = ("completed", "failed", "cancelled")
# Hundreds of jobs want the same two processors.
patiently = functools.partial(sandboxd.patiently, seconds=30)


def submit(s, command, **more):
    job = s.post("/exec/queue", {"command": command, **more})
    eq(job["status"], "pending", "status of a submission")
    return job["id"]


def job(i):
    return api("GET", f"/queue/{i}/status")


def ended(i, seconds=60):
    return wait_for(f"{i} ends", lambda: (lambda j: j if j["status"] in ENDED else None)(patiently(lambda: job(i))),
                    seconds)


def count(**query):
    text = "&".join(f"{k}={v}" for k, v in query.items())
    return api("GET", f"/queue?limit=1&{text}")["total"]


def kill_all():
    for unit in UNITS:
        kill_main(unit + ".service")


def stop_all():
    shell("systemctl stop " + " ".join(u + ".service" for u in UNITS))


def contract():
    """What live clients assert."""
    with Sandbox() as s:
        first = s.post("/exec/queue", {"command": "echo queued-output", "maxRetries": 2, "timeout": 30})
        eq({k: first[k] for k in ("sandboxId", "command", "status", "retries", "maxRetries")},
           {"sandboxId": s.id, "command": "echo queued-output", "status": "pending", "retries": 0, "maxRetries": 2})
        done = ended(first["id"], 15)
        eq((done["status"], done["result"]["stdout"], done["result"]["exitCode"]), ("completed", "queued-output\n", 0))
        ok(done["result"]["duration"] > 0 and done["completedAt"] >= done["startedAt"] >= done["createdAt"], "times", done)
        done = ended(submit(s, "cd / && pwd; echo $X >&2; exit 9", env={"X": "y"}), 15)
        eq((done["status"], done["result"]["exitCode"], done["result"]["stdout"], done["result"]["stderr"]),
           ("completed", 9, "/\n", "y\n"))
        done = ended(submit(s, ["printf", "%s", "a b"], cwd="/tmp"), 15)
        eq((done["command"], done["result"]["stdout"]), ("printf %s a b", "a b"))
        dead = api("GET", "/queue/dlq")
        ok(isinstance(dead["jobs"], list) and isinstance(dead["total"], int), "shape of the dead letters", dead)
        eq(request("GET", "/sandbox/queue/job_000000000000000000000000/status")[0], 404)
        big = ended(submit(s, "head -c 12000000 /dev/zero | tr '\\0' x"), 60)
        eq((len(big["result"]["stdout"]), big["result"]["truncated"]), (10 * 2**20, True), "the head is what is shown")


def failures():
    with Sandbox() as s:
        i = submit(s, "sleep 60", timeout=1, maxRetries=2)
        begin = time.monotonic()
        j = ended(i)
        eq((j["status"], j["retries"]), ("failed", 2))
        ok("timed out" in j["error"], "error", j)
        ok(time.monotonic() - begin >= 2.4, "two attempts and a pause")
        ok(i in [x["id"] for x in api("GET", "/queue/dlq?limit=1000")["jobs"]], "it is a dead letter")
        eq(api("POST", f"/queue/{i}/requeue")["status"], "pending")
        eq(ended(i)["status"], "failed")
        eq(api("DELETE", f"/queue/dlq?sandboxId={s.id}")["purged"], 1)
        eq(request("GET", f"/sandbox/queue/{i}/status")[0], 404)


def cancel():
    with Sandbox() as s:
        running = [submit(s, "trap '' TERM; setsid sleep 871 & sleep 871") for _ in range(4)]
        pending = submit(s, "echo never > /tmp/never")
        wait_for("four run", lambda: count(sandboxId=s.id, status="running") == 4)
        eq(job(pending)["status"], "pending", "no more than four at a time")
        for i in [pending] + running:
            eq(api("POST", f"/queue/{i}/cancel"), {"cancelled": i})
            eq(job(i)["status"], "cancelled")
        eq(request("POST", f"/sandbox/queue/{pending}/cancel")[0], 409)
        eq(s.out("cat /tmp/never 2>/dev/null; ps ax -o args 2>/dev/null | grep -c '[s]leep 871' || true").split(), ["0"],
           "nothing of them runs")


def paused_and_deleted():
    s = Sandbox()
    i = submit(s, "sleep 0.3; echo on")
    wait_for("it runs", lambda: job(i)["status"] != "pending")
    s.post("/pause")
    waiting = [submit_while_paused(s) for _ in range(2)]
    eq(waiting, [409, 409], "no submission while it is paused")
    s.post("/resume")
    eq(ended(i)["result"]["stdout"], "on\n")
    running = submit(s, "sleep 872")
    more = [submit(s, "sleep 872") for _ in range(6)]
    s.post("/pause")
    kill_all()
    time.sleep(1)  # nothing is to happen
    eq(patiently(lambda: job(more[-1])["status"]), "pending", "waits for the sandbox to go on")
    patiently(s.delete)
    for x in [running] + more:
        j = job(x)
        eq(j["status"], "failed")
        ok("deleted" in j["error"], "says why", j)


def submit_while_paused(s):
    return request("POST", "/sandbox" + s.path + "/exec/queue", {"command": "true"})[0]


def work_goes_on_without_clients():
    """All daemons are stopped or killed, and nobody asks for anything any more."""
    with Sandbox() as s:
        for how in (stop_all, kill_all):
            mark = f"/tmp/mark-{how.__name__}"
            ids = [submit(s, f"sleep 0.3; echo x >> {mark}") for _ in range(8)]
            how()
            wait_for("all eight are done", lambda: file_in(s, mark) == "x\n" * 8, 60)
            eq([ended(i)["status"] for i in ids], ["completed"] * 8)


def file_in(s, path):
    """Read beside the API: nothing of ours is started by looking."""
    pids = [open(os.path.join(d, "cgroup.procs")).read().split() for d, _, _ in os.walk(s.cgroup())]
    for pid in [p for ps in pids for p in ps]:
        try:
            with open(f"/proc/{pid}/root{path}") as f:
                return f.read()
        except OSError:
            continue
    return ""


def pause_ends_without_daemons():
    """The time between two attempts is over while every daemon is stopped."""
    with Sandbox() as s:
        i = submit(s, "echo x >> /tmp/attempts; test -e /tmp/slept && exit 0; touch /tmp/slept; sleep 60", timeout=1,
                   maxRetries=5)
        wait_for("the first attempt failed", lambda: job(i)["retries"] == 1)
        stop_all()
        wait_for("the second one", lambda: file_in(s, "/tmp/attempts") == "x\nx\n", 60)
        j = ended(i)
        eq((j["status"], j["result"]["exitCode"], j["retries"]), ("completed", 0, 1))


def nobody_is_lost():
    """Jobs over five sandboxes while all daemons are killed at random moments. Each job writes a line when it begins
    and one when it ends. No command fails or times out here, so that nothing is ever tried again for a reason of its
    own: each line is there exactly once, and each job has exactly one result, that of this run."""
    sandboxes = [Sandbox(timeout=3600) for _ in range(5)]
    ids, stop, kills = {}, threading.Event(), [0]

    def killer():
        while not stop.wait(R.uniform(0.1, 0.7)):
            units = R.choice([UNITS, UNITS, UNITS[:1], UNITS[1:2]])
            for unit in units:
                kills[0] += kill_main(unit + ".service")

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        for n in range(JOBS):
            s = sandboxes[n % 5]
            body = {"command": f"echo b{n} >> /tmp/log; sleep 0.{n % 10}; echo out{n}; echo e{n} >> /tmp/log; exit {n % 7}",
                    "maxRetries": 50}
            ids[n] = submit_until_known(s, body, n)
        deadline = time.monotonic() + 240
        while patiently(lambda: count(status="pending") + count(status="running")) and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        stop.set()
        thread.join()
    results = {n: ended(i) for n, i in ids.items()}
    interrupted = sum(r["retries"] for r in results.values())
    print(f"    {JOBS} jobs, {kills[0]} kills, {interrupted} attempts that were refused and repeated")
    for n, r in results.items():
        eq((r["status"], r["result"]["exitCode"] if "result" in r else r.get("error")), ("completed", n % 7), f"job {n}")
        eq(r["result"]["stdout"], f"out{n}\n", f"output of job {n}")
    eq(len(set(ids.values())), JOBS, "ids")
    ok(kills[0] >= JOBS // 10, "there were kills", kills[0])
    for k, s in enumerate(sandboxes):
        lines = patiently(lambda s=s: s.out("cat /tmp/log")).split()
        expected = sorted(f"{c}{n}" for n in range(k, JOBS, 5) for c in "be")
        eq(sorted(lines), expected, f"what was done in sandbox {k}")
        eq(patiently(lambda s=s: count(sandboxId=s.id)), JOBS // 5, "rows: no submission made two jobs")
    for s in sandboxes:
        patiently(s.delete)
    eq(shell("systemctl --failed --no-legend --plain | grep -c sandbox || true").strip(), "0", "failed units")


def submit_until_known(s, body, n):
    """409: an earlier try of ours is still at work."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            return s.post("/exec/queue", body, headers={"Idempotency-Key": f"lost-{os.getpid()}-{n}"})["id"]
        except (OSError, http.client.HTTPException):
            pass
        except ApiError as e:
            if e.status not in (409, 503):
                raise
        time.sleep(0.05)
    raise Failure("no answer to a submission")


def drain_rate():
    """Of the rate of exec calls by four clients, that of as many jobs with their submissions."""
    with Sandbox() as s:
        def some():
            for _ in range(DRAIN // 4):
                s.run("true")

        parallel([some])  # warm
        begin = time.monotonic()
        parallel([some] * 4)
        rate = DRAIN / (time.monotonic() - begin)
        s.post("/pause")
        s.post("/resume")

        def submit_some():
            for _ in range(DRAIN // 4):
                submit(s, "true")

        begin = time.monotonic()
        parallel([submit_some] * 4)
        left = count(sandboxId=s.id, status="pending") + count(sandboxId=s.id, status="running")
        while count(sandboxId=s.id, status="completed") < DRAIN:
            if time.monotonic() - begin > 300:
                raise Failure("the queue does not drain")
            time.sleep(0.05)
        drained = DRAIN / (time.monotonic() - begin)
        print(f"    exec: {rate:.0f}/s, queue with the submissions: {drained:.0f}/s = {drained / rate:.2f} "
              f"({left} were left when all were submitted)")
        return drained / rate


def drain():
    """A thousand jobs against as many exec calls in the same run; others on this machine may spoil one of three."""
    ratios = []
    while not ratios or (len(ratios) < 3 and max(ratios) < 0.5):
        ratios.append(drain_rate())
    ok(max(ratios) >= 0.5, "the queue keeps up", ratios)


def scopes():
    lines = shell("systemctl list-units --no-legend --plain 'sandbox-*.scope'").splitlines()
    return {"sbx_" + line.split()[0][len("sandbox-"):-len(".scope")] for line in lines} - spares()


def create_with_key(key, body):
    """A client that repeats until it knows."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            status, headers, reply = request("POST", "/sandbox/sandboxes", body, headers={"Idempotency-Key": key})
        except (OSError, http.client.HTTPException):
            status = 0
        if status == 200:
            return reply["id"]
        if status not in (0, 409, 503):
            raise Failure(f"status {status}: {reply}")
        if status == 409:
            eq(headers.get("retry-after"), "1")
        time.sleep(0.02)
    raise Failure("no sandbox")


BODY = {"image": "python:3.12-slim", "timeout": 600}


def keys():
    """Twenty at once make one; another body is refused; and it stays one over all deaths."""
    made = parallel([lambda: create_with_key("twenty", BODY)] * 20)
    eq(len(set(made)), 1, "sandboxes of one key")
    status, headers, reply = request("POST", "/sandbox/sandboxes", BODY, headers={"Idempotency-Key": "twenty"})
    eq((status, headers.get("idempotency-replayed"), reply["id"]), (200, "true", made[0]))
    eq(request("POST", "/sandbox/sandboxes", {**BODY, "timeout": 601}, headers={"Idempotency-Key": "twenty"})[0], 422)
    eq(request("POST", "/sandbox/sandboxes", BODY, headers={"Idempotency-Key": "a b"})[0], 400)
    ids = {made[0]}
    for n in range(8):
        stop = threading.Event()

        def killer(stop=stop):
            stop.wait(R.uniform(0, 0.15))
            kill_all()

        thread = threading.Thread(target=killer)
        thread.start()
        ids.add(create_with_key(f"killed-{n}", BODY))
        thread.join()
    eq(len(ids), 9, "one for each key")
    listed = lambda: {i["id"] for i in patiently(lambda: api("GET", "/sandboxes?pageSize=200"))["items"]}  # noqa: E731
    eq(listed(), ids, "and no other one")
    wait_for("no scope without a record", lambda: scopes() == ids, 20)
    for i in ids:
        patiently(lambda i=i: api("DELETE", f"/sandboxes/{i}", expect=(200, 404)))


run_tests([contract, failures, cancel, paused_and_deleted, work_goes_on_without_clients, pause_ends_without_daemons, keys,
           nobody_is_lost, drain])
