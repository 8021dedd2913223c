# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kill, stop and restart any daemon at any moment: no sandbox, command, output or upload is lost."""
import http.client
import os
import random
import re
import signal
import subprocess
import threading
import time

from sandboxd import (ApiError, Sandbox, api, eq, kill_main, main_pid, ok, parallel, patiently, request, run_tests,
                      shell, spares, wait_for)

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]
COUNTER = "i=0; while :; do i=$((i+1)); echo $i; echo $i > /tmp/count; sleep 0.05; done"
ROUNDS = int(os.environ.get("TEST_ROUNDS", "30"))
SANDBOXES = int(os.environ.get("TEST_SANDBOXES", "20"))
R = random.Random(int(os.environ.get("TEST_SEED", "7")))


def hit(unit, how):
    service = unit + ".service"
    if how == "kill":
        kill_main(service)
    else:
        shell(f"systemctl {how} {service}")


class Watched:
    """A sandbox with a counter in the background; its processes and its output are compared at the end."""

    def __init__(self):
        self.s = Sandbox(timeout=1800)
        self.bg = self.s.post("/exec/background", {"command": COUNTER})["id"]
        self.counter = wait_for("the counter runs", self.counter_pid)

    def init(self):
        return open(self.s.cgroup() + "/init/cgroup.procs").read().split()[0]

    def counter_pid(self):
        group = self.s.cgroup() + "/run"
        found = [open(os.path.join(d, "cgroup.procs")).read().split() for d, _, _ in os.walk(group)]
        pids = sorted((int(p) for ps in found for p in ps), key=int)
        return pids[0] if pids else None

    def check(self):
        os.kill(self.counter, 0)
        text = patiently(lambda: api("GET", f"/exec/background/{self.bg}/logs")["output"])
        numbers = [int(n) for n in text.split("\n")[:-1]]
        eq(numbers, list(range(1, len(numbers) + 1)), f"{self.s.id}: the counter has no gap")
        ok(patiently(lambda: api("GET", f"/exec/background/{self.bg}/status")["running"]), "still running")
        return len(numbers)


def exec_in_flight(s, n, results):
    """Its answer is right or the connection broke; 5xx is no answer to a command that ran."""
    try:
        r = s.run(f"sleep 0.{n % 10}; exit {n % 200}", timeout=60)
        if r["exitCode"] != n % 200:
            results.append(f"exit code {r['exitCode']} instead of {n % 200}")
    except ApiError as e:
        if e.status not in (503,):
            results.append(f"exec: {e}")
    except (OSError, http.client.HTTPException):
        pass


def upload_in_flight(s, n, results):
    data = bytes([n % 251]) * (3 * 2**20)
    path = "/workspace/upload"
    try:
        s.put(path, data)
    except ApiError as e:
        if e.status != 503:
            results.append(f"upload: {e}")
    except (OSError, http.client.HTTPException):
        pass


def check_upload(s):
    got = patiently(lambda: s.run("test -e upload && python3 -c 'd = open(\"upload\", \"rb\").read(); "
                                  "print(len(d), len(set(d)))'; ls -a /workspace"))
    lines = got["stdout"].split()
    if lines[0].isdigit():
        eq(lines[:2], [str(3 * 2**20), "1"], f"{s.id}: an upload is whole or not there")
    ok(not re.search(r"\.sbx-|\.tmp", got["stdout"]), "no temporary files", got["stdout"])


def create_and_delete_in_flight(results):
    try:
        s = Sandbox(timeout=120)
        s.run("true")
        s.delete()
    except (ApiError, OSError, http.client.HTTPException) as e:
        if isinstance(e, ApiError) and e.status not in (503, 404):
            results.append(f"create or delete: {e}")


def thirty_rounds():
    watched = parallel([Watched] * SANDBOXES) if SANDBOXES <= 8 else [Watched() for _ in range(SANDBOXES)]
    inits = [w.init() for w in watched]
    ids = {w.s.id for w in watched}
    problems = []
    try:
        for n in range(ROUNDS):
            w = R.choice(watched)
            threads = [threading.Thread(target=exec_in_flight, args=(w.s, n, problems)),
                       threading.Thread(target=upload_in_flight, args=(R.choice(watched).s, n, problems)),
                       threading.Thread(target=create_and_delete_in_flight, args=(problems,))]
            for t in threads:
                t.start()
            time.sleep(R.random() * 0.4)  # the moment of the blow is what is random here
            for unit in R.sample(UNITS, R.choice([1, 1, 1, 2, 3])):
                hit(unit, R.choice(["kill", "kill", "restart", "stop"]))
            for t in threads:
                t.join()
            patiently(lambda: api("GET", "/health"))
        eq(problems, [], "problems")
        eq([w.init() for w in watched], inits, "the inits are the same processes")
        counts = [w.check() for w in watched]
        print("    counters stand at", min(counts), "to", max(counts))
        for w in watched:
            check_upload(w.s)
        for n, w in enumerate(watched):
            eq(patiently(lambda: w.s.run(f"exit {n}"))["exitCode"], n, "exit code afterwards")
        listed = {i["id"] for i in patiently(lambda: api("GET", "/sandboxes?pageSize=200"))["items"]}
        ok(ids <= listed, "all are listed", ids - listed)
        wait_for("nothing is orphaned", lambda: scopes() == {i["id"] for i in
                 patiently(lambda: api("GET", "/sandboxes?pageSize=200"))["items"]}, 20)
    finally:
        for i in patiently(lambda: api("GET", "/sandboxes?pageSize=200"))["items"]:
            patiently(lambda i=i: api("DELETE", "/sandboxes/" + i["id"], expect=(200, 404)))
    eq(shell("systemctl --failed --no-legend --plain | grep -c sandbox || true").strip(), "0", "failed units")


def scopes():
    lines = shell("systemctl list-units --no-legend --plain 'sandbox-*.scope'").splitlines()
    return {"sbx_" + line.split()[0][len("sandbox-"):-len(".scope")] for line in lines} - spares()


def exec_survives_execd():
    """The answer of a command that runs while execd is killed is the right one."""
    with Sandbox() as s:
        for how in ("kill", "restart"):
            got = []
            t = threading.Thread(target=lambda: got.append(s.run("echo begin; sleep 1.5; echo end; exit 17")))
            t.start()
            wait_for("it runs", lambda: "sleep 1.5" in shell("ps ax -o args | grep '[s]leep 1.5' || true"))
            hit("sandbox-execd", how)
            t.join()
            eq((got[0]["exitCode"], got[0]["stdout"]), (17, "begin\nend\n"), how)


def status_of_the_time_between():
    """A background command that ends while every daemon is stopped."""
    with Sandbox() as s:
        bg = s.post("/exec/background", {"command": "echo out; sleep 1; echo more; exit 42"})["id"]
        wait_for("it began", lambda: api("GET", f"/exec/background/{bg}/logs")["output"] == "out\n")
        shell("systemctl stop " + " ".join(UNITS))
        group = s.cgroup()
        wait_for("it ended", lambda: "populated 0" in open(group + "/run/cgroup.events").read())
        status = patiently(lambda: api("GET", f"/exec/background/{bg}/status"))
        status = wait_for("its status", lambda: (lambda x: x if not x["running"] else None)(
            api("GET", f"/exec/background/{bg}/status")))
        eq(status["exitCode"], 42)
        eq(api("GET", f"/exec/background/{bg}/logs")["output"], "out\nmore\n")


def exec_that_breaks(s, command):
    try:
        s.run(command, timeout=2)
    except (ApiError, OSError, http.client.HTTPException):
        pass


def timeout_holds_without_daemons():
    """init ends a command at its deadline with nobody there."""
    with Sandbox() as s:
        t = threading.Thread(target=exec_that_breaks, args=(s, "setsid sleep 987 & sleep 987"))
        t.start()
        wait_for("it runs", lambda: "sleep 987" in shell("ps ax -o args | grep '[s]leep 987' || true"))
        for unit in UNITS:
            shell(f"systemctl stop {unit}.socket {unit}.service 2>/dev/null", check=False)
        try:
            wait_for("it is killed", lambda: "sleep 987" not in shell("ps ax -o args | grep '[s]leep 987' || true"), 5)
        finally:
            shell("systemctl start " + " ".join(u + ".socket" for u in UNITS))
            t.join()
        eq(patiently(lambda: s.run("echo on")["stdout"]), "on\n")


def death_of_init():
    s = Sandbox()
    group = s.cgroup()
    os.kill(int(open(group + "/init/cgroup.procs").read().split()[0]), signal.SIGKILL)
    wait_for("the scope is gone", lambda: not os.path.exists(group), 5)
    wait_for("the state says it", lambda: request("GET", "/sandbox" + s.path)[0] == 404 or s.get()["status"] == "failed", 5)
    status = request("POST", "/sandbox" + s.path + "/exec", {"command": "true"})[0]
    ok(status in (404, 409, 410), "exec", status)
    ok(request("DELETE", "/sandbox" + s.path)[0] in (200, 404), "delete")


def manager_reexec_and_reload():
    with Sandbox() as s:
        for verb in ("daemon-reload", "daemon-reexec"):
            shell("systemctl " + verb)
            eq(patiently(lambda: s.run("echo on")["stdout"]), "on\n", verb)
            patiently(Sandbox).delete()


def paused_stays_paused():
    with Sandbox() as s:
        s.post("/pause")
        for unit in UNITS:
            hit(unit, "kill")
        eq(patiently(s.get)["status"], "paused")
        patiently(lambda: s.post("/exec", {"command": "true"}, expect=409))
        patiently(lambda: s.post("/resume"))
        eq(s.out("echo on"), "on\n")


SETTINGS = "/etc/sandboxd/sandboxd.conf.d/90-test.conf"


def reload_with(*lines):
    """Writes the settings, has all running services read them, and gives what they say to that."""
    os.makedirs(os.path.dirname(SETTINGS), exist_ok=True)
    with open(SETTINGS, "w") as f:
        f.write("\n".join(lines) + "\n")
    mark = shell("journalctl --no-pager -o cat -n 0 --show-cursor").split("cursor: ")[1].strip()
    pids = {unit: main_pid(unit) for unit in UNITS}
    shell("systemctl reload " + " ".join(UNITS))
    said = lambda: shell(f"journalctl --no-pager -o short --after-cursor='{mark}' "  # noqa: E731
                         + " ".join("-t " + unit for unit in UNITS))
    verdict = re.compile("Settings read again|keeping the old")
    wait_for("all three have read", lambda: len(verdict.findall(said())) >= 3, 15)
    eq({unit: main_pid(unit) for unit in UNITS}, pids, "the processes are the same")
    return said()


def status_with(token):
    return request("GET", "/sandbox/sandboxes", headers={"Authorization": "Bearer " + token})[0]


def reload_changes_what_it_can():
    """Limits, defaults and tokens change live; what cannot is named; a file with a mistake changes nothing."""
    with Sandbox() as s:
        # a live command: nobody leaves because of idleness while we look
        bg = s.post("/exec/background", {"command": "sleep 600"})["id"]
        shell("systemctl start " + " ".join(UNITS))
        try:
            said = reload_with("III_DEFAULT_MEMORY=96", "III_MAX_SANDBOXES=2", "III_REST_PORT=4711",
                               "SANDBOX_IDLE_EXIT_SEC=60")
            ok("III_DEFAULT_MEMORY" in said and "III_MAX_SANDBOXES" in said, "named as changed", said)
            ok(re.search("next start.*III_REST_PORT", said), "named as not changed", said)
            with Sandbox() as t:
                eq(t.get()["config"]["memory"], 96, "the new default")
                eq(shell(f"systemctl show -P MemoryMax {t.scope}").strip(), str(96 * 2**20), "of the scope")
                eq(request("POST", "/sandbox/sandboxes", {"image": "python:3.12-slim"})[0], 429, "the new limit")
            said = reload_with("III_DEFAULT_MEMORY=lots", "III_MAX_SANDBOXES=50", "SANDBOX_IDLE_EXIT_SEC=60")
            ok(f"{SETTINGS}:1:" in said and "III_DEFAULT_MEMORY" in said, "file, line and key", said)
            with Sandbox() as t:
                eq(t.get()["config"]["memory"], 96, "the old default stays")
                eq(request("POST", "/sandbox/sandboxes", {"image": "python:3.12-slim"})[0], 429, "and the limit")
            reload_with("III_AUTH_TOKEN=first", "SANDBOX_IDLE_EXIT_SEC=60")
            eq((status_with("first"), status_with("second")), (200, 403), "a token came")
            reload_with("III_AUTH_TOKEN=second", "SANDBOX_IDLE_EXIT_SEC=60")
            eq((status_with("first"), status_with("second")), (403, 200), "another came")
        finally:
            os.unlink(SETTINGS)
            shell("systemctl reload " + " ".join(UNITS))
        wait_for("no token any more", lambda: request("GET", "/sandbox/sandboxes")[0] == 200)
        ok(api("GET", f"/exec/background/{bg}/status")["running"], "its command runs on")


def a_helper_beside_init():
    """What gives a sandbox another root is in the cgroup of its init, and goes on when execd is killed: the next one
    knows init all the same."""
    with Sandbox(timeout=600) as s:
        s.out("echo here >/workspace/here")
        with subprocess.Popen(["sleep", "600"]) as helper:
            with open(s.cgroup() + "/init/cgroup.procs", "w", encoding="ascii") as f:
                f.write(str(helper.pid))
            hit("sandbox-execd", "kill")
            eq(patiently(lambda: s.out("cat /workspace/here")), "here\n", "it lives on")
            eq(helper.poll(), None, "and so does the helper")
            s.delete()
            eq(helper.wait(10), -signal.SIGKILL, "which is ended with the sandbox")


def broken_records_are_set_aside():
    """A truncated, a random, a future and a wrong state file: one line each, the other sandboxes go on."""
    good, bad = Sandbox(), [Sandbox() for _ in range(3)]
    shell("systemctl stop sandboxd sandbox-execd")
    state = "/run/sandboxd/execd/"
    for s, text in zip(bad, (b"", os.urandom(200), b"version=999\n")):
        name = [f for f in os.listdir(state) if f.startswith(s.id[4:]) and "." not in f][0]
        with open(state + name, "wb") as f:
            f.write(text)
    eq(patiently(lambda: good.run("echo on")["stdout"]), "on\n")
    for s in bad:
        patiently(lambda s=s: api("DELETE", s.path, expect=(200, 404)))
        wait_for("its scope goes", lambda s=s: shell(f"systemctl is-active {s.scope}", check=False).strip() != "active")
    good.delete()
    for f in os.listdir(state):
        if ".bad" in f:
            os.unlink(state + f)


run_tests([exec_survives_execd, status_of_the_time_between, timeout_holds_without_daemons, death_of_init,
           manager_reexec_and_reload, reload_changes_what_it_can, paused_stays_paused, a_helper_beside_init, broken_records_are_set_aside, thirty_rounds])
