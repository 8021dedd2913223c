# SPDX-License-Identifier: LGPL-2.1-or-later
"""Alerts: what they do really happens, in time, and also when nothing of ours runs as the threshold is crossed."""
import os
import time

from sandboxd import (Failure, Sandbox, api, configure, eq, kill_main, main_pid, ok, run_tests, shell, status_of,
                      wait_for)

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]
IN_TIME = 10
# A machine that is busy with other tests is slow, and still must not lose one.
PATIENCE = 30
CROWD = "for i in $(seq 20); do sleep 1000 & done; wait"


def alert(s, metric, threshold, **more):
    return s.post("/alerts", {"metric": metric, "threshold": threshold, **more})


def history(s, **query):
    return api("GET", s.path + "/alerts/history?" + "&".join(f"{k}={v}" for k, v in query.items()))


def alerts(s):
    return {a["id"]: a for a in api("GET", s.path + "/alerts")["alerts"]}


def is_frozen(group):
    with open(group + "/run/cgroup.events", encoding="ascii") as f:
        return "frozen 1\n" in f.read()


def within(what, condition, begin):
    """Waits patiently, and says how long it took."""
    wait_for(what, condition, PATIENCE)
    took = time.monotonic() - begin
    print(f"    {what}: {took:.1f} s")
    return took


def cpu():
    least = 3  # what a spinner has of a processor that many others want
    with Sandbox() as s:
        a = alert(s, "cpu", least)
        eq((a["action"], a["triggered"], "lastTriggered" in a), ("notify", False, False))
        wait_for("it is looked at", lambda: "lastChecked" in alerts(s)[a["id"]])
        eq(history(s), {"events": [], "total": 0})
        spinner = s.post("/exec/background", {"command": "while :; do :; done"})
        within("cpu", lambda: history(s)["total"] == 1, time.monotonic())
        event = history(s)["events"][0]
        eq((event["alertId"], event["sandboxId"], event["metric"], event["threshold"], event["action"]),
           (a["id"], s.id, "cpu", least, "notify"))
        ok(event["value"] >= least, "value", event)
        eq(alerts(s)[a["id"]]["triggered"], True)
        eq(alerts(s)[a["id"]]["lastTriggered"], event["timestamp"])
        # nothing but a new crossing fires it again
        checked = alerts(s)[a["id"]]["lastChecked"]
        wait_for("two more looks", lambda: alerts(s)[a["id"]]["lastChecked"] > checked + 2500, PATIENCE)
        eq(history(s)["total"], 1, "while it stays above")
        s.post(f"/exec/{spinner['id']}/signal", {"signal": "KILL", "all": True})
        wait_for("it is armed again", lambda: not alerts(s)[a["id"]]["triggered"], PATIENCE)
        s.post("/exec/background", {"command": "while :; do :; done"})
        wait_for("the second crossing", lambda: history(s)["total"] == 2, PATIENCE)
        ok(history(s, limit=1)["events"][0]["timestamp"] > event["timestamp"], "newest first")


def memory():
    with Sandbox(memory=128) as s:
        a = alert(s, "memory", 50)
        s.post("/exec/background", {"command": ["python3", "-c", "x = b'x' * (100 << 20); import time; time.sleep(1000)"]})
        within("memory", lambda: history(s)["total"] == 1, time.monotonic())
        ok(alerts(s)[a["id"]]["triggered"], "triggered")


def pressure():
    with Sandbox() as s:
        if not os.path.exists("/proc/pressure/cpu"):
            s.post("/alerts", {"metric": "psi-cpu", "threshold": 1}, expect=400)
            return
        alert(s, "psi-cpu", 5)
        for _ in range(2 * os.cpu_count() + 1):
            s.post("/exec/background", {"command": "while :; do :; done"})
        within("pressure", lambda: history(s)["total"] == 1, time.monotonic())


def pause():
    with Sandbox() as s:
        alert(s, "pids", 15, action="pause")
        group = s.cgroup()
        s.run(CROWD.replace("; wait", ""))
        within("pause", lambda: s.get()["status"] == "paused", time.monotonic())
        ok(is_frozen(group), "the processes are frozen")
        eq(history(s)["total"], 1)
        # no command is attended, and nobody has to stay for a sandbox that stands still
        wait_for("the daemons left", lambda: not any(main_pid(u) for u in UNITS), PATIENCE)
        eq(s.post("/resume")["status"], "running")
        eq(is_frozen(group), False)


def kill():
    s = Sandbox()
    alert(s, "pids", 15, action="kill")
    s.post("/exec/background", {"command": CROWD})
    within("kill", lambda: status_of("GET", s.path) == 404, time.monotonic())
    wait_for("the scope is gone",
             lambda: shell(f"systemctl show -P ActiveState {s.scope}").strip() != "active", PATIENCE)
    eq(api("GET", s.path + "/alerts"), {"alerts": []})
    eq(history(s), {"events": [], "total": 0})


def with_all_daemons_dead():
    """The crossing comes when nobody is there. No request of ours brings anybody back."""
    def sigkill():
        for unit in UNITS:
            kill_main(unit)

    def stop():
        shell("systemctl stop " + " ".join(u + ".service" for u in UNITS))

    for end in sigkill, stop:
        with Sandbox() as s:
            a = alert(s, "pids", 15, action="pause")
            wait_for("it is looked at", lambda: "lastChecked" in alerts(s)[a["id"]])
            group, mark = s.cgroup(), s.out("echo $$ >/dev/null; pwd").strip() + "/crossed"
            s.post("/exec/background", {"command": f"sleep 1; {CROWD.replace('; wait', f'; touch {mark}; wait')}"})
            end()
            begin = time.monotonic() + 1
            took = within(f"after {end.__name__}", lambda: is_frozen(group), begin)
            # The bar, where the machine has time for us.
            if took > IN_TIME and os.getloadavg()[0] < 2:
                raise Failure(f"it took {took:.1f} s")
            wait_for("the record", lambda: s.get()["status"] == "paused", PATIENCE)
            eq(history(s)["total"], 1, "fired once")
            s.post("/resume")
            s.out(f"test -e {mark}")


def they_hold_the_service():
    with Sandbox() as s:
        a = alert(s, "cpu", 90)
        pid = main_pid("sandboxd")
        begin = alerts(s)[a["id"]].get("lastChecked", 0)
        time.sleep(8)  # more than twice the time after which it would leave
        eq(main_pid("sandboxd"), pid, "sandboxd stays")
        ok(alerts(s)[a["id"]]["lastChecked"] > begin, "looked at without any request")
        eq(api("DELETE", f"/alerts/{a['id']}"), {"deleted": a["id"]})
        eq(alerts(s), {})
        wait_for("it leaves", lambda: not main_pid("sandboxd"), PATIENCE)
        api("DELETE", f"/alerts/{a['id']}", expect=404)


configure()
run_tests([cpu, memory, pressure, pause, kill, with_all_daemons_dead, they_hold_the_service])
