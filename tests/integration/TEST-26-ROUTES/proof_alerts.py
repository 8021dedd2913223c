# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof, sandbox
from sandboxd import Sandbox, api, eq, wait_for


def make(s, **more):
    return s.post("/alerts", {"metric": "pids", "threshold": 200, **more})


@proof("GET /sandboxes/:id/alerts")
def list_alerts(p):
    with Sandbox() as s:
        made = make(s)
        p.effect("one that was set", [a["id"] for a in p.good(id=s.id)["alerts"]] == [made["id"]])
        api("DELETE", f"/alerts/{made['id']}")
        p.effect("until it is deleted", p.good(id=s.id)["alerts"] == [])
        p.bad(400, id=s.id, query="%zz")


@proof("POST /sandboxes/:id/alerts")
def create(p):
    with Sandbox() as s:
        p.good({"metric": "pids", "threshold": 3, "action": "pause"}, id=s.id)
        for _ in range(4):
            s.post("/exec/background", {"command": "exec sleep 300"}, expect=(200, 409))
        wait_for("it fires", lambda: s.get()["status"] == "paused", 30)
        p.effect("it fires, and does what it says")
        p.bad(400, {"metric": "moon", "threshold": 3}, id=s.id)


@proof("GET /sandboxes/:id/alerts/history")
def history(p):
    with Sandbox() as s:
        made = make(s, threshold=3)
        for _ in range(4):
            s.post("/exec/background", {"command": "exec sleep 300"})
        events = wait_for("it has fired", lambda: p.good(id=s.id)["events"], 30)
        p.effect("when and at what", (events[0]["alertId"], events[0]["value"] >= 3) == (made["id"], True), events)
        p.bad(400, id=s.id, query="limit=many")


@proof("DELETE /alerts/:alert")
def delete(p):
    made = make(sandbox())
    eq(p.good(alert=made["id"]), {"deleted": made["id"]})
    p.effect("it is listed no more", api("GET", sandbox().path + "/alerts")["alerts"] == [])
    p.bad(404, alert=made["id"])
