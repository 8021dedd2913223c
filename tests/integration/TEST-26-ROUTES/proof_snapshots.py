# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof
from sandboxd import Sandbox, api, eq


def adopt(record):
    s = Sandbox.__new__(Sandbox)
    s.record, s.id = record, record["id"]
    s.path, s.scope = f"/sandboxes/{s.id}", f"sandbox-{s.id[4:]}.scope"
    return s


@proof("POST /sandboxes/:id/clone")
def clone(p):
    with Sandbox() as s:
        s.out("echo text >/root/file")
        with adopt(p.good({"name": "twin"}, id=s.id)) as twin:
            p.effect("it has the files", twin.out("cat /root/file") == "text\n")
            eq(twin.record["name"], "twin")
    p.bad(404, {}, id="sbx_" + "0" * 24)


@proof("POST /sandboxes/:id/fork")
def fork(p):
    with Sandbox() as s:
        s.out("echo text >/root/file")
        made = [adopt(r) for r in p.good({"count": 3}, id=s.id)["sandboxes"]]
        p.effect("each has the files", [c.out("cat /root/file") for c in made] == ["text\n"] * 3)
        for c in made:
            c.delete()
        p.bad(400, {"count": 101}, id=s.id)


@proof("POST /sandboxes/:id/snapshots")
def take(p):
    with Sandbox() as s:
        s.out("head -c 100000 /dev/urandom >/root/file")
        made = p.good({"name": "mine"}, id=s.id)
        p.effect("it is as large as what was written", 100000 <= made["size"] < 400000, made)
        api("DELETE", f"/snapshots/{made['id']}")
    p.bad(404, {}, id="sbx_" + "0" * 24)


@proof("GET /sandboxes/:id/snapshots")
def list_snapshots(p):
    with Sandbox() as s:
        made = s.post("/snapshots")
        p.effect("it is listed", [x["id"] for x in p.good(id=s.id)["snapshots"]] == [made["id"]])
        api("DELETE", f"/snapshots/{made['id']}")
        eq(p.good(id=s.id), {"snapshots": []})
    p.bad(400, query="%zz", id=s.id)


@proof("POST /sandboxes/:id/snapshots/restore")
def restore(p):
    with Sandbox() as s:
        s.out("echo before >/root/file")
        made = s.post("/snapshots")
        s.out("echo after >/root/file; touch /root/other")
        p.good({"snapshotId": made["id"]}, id=s.id)
        p.effect("it is as it was", s.out("cat /root/*") == "before\n")
        p.bad(404, {"snapshotId": "snap_" + "0" * 24}, id=s.id)
        api("DELETE", f"/snapshots/{made['id']}")


@proof("DELETE /snapshots/:snapshotId")
def delete(p):
    with Sandbox() as s:
        made = s.post("/snapshots")
        eq(p.good(snapshotId=made["id"]), {"deleted": made["id"]})
        p.effect("it is not listed", s.get() and api("GET", f"{s.path}/snapshots")["snapshots"] == [])
        p.bad(404, snapshotId=made["id"])


@proof("POST /snapshots/:snapshotId/clone")
def clone_snapshot(p):
    with Sandbox() as s:
        s.out("echo text >/root/file")
        made = s.post("/snapshots")
    with adopt(p.good({}, snapshotId=made["id"])) as c:
        p.effect("it has the files though their sandbox is gone", c.out("cat /root/file") == "text\n")
        api("DELETE", f"/snapshots/{made['id']}")
    p.bad(404, {}, snapshotId=made["id"])
