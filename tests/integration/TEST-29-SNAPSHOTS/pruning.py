# SPDX-License-Identifier: LGPL-2.1-or-later
"""What snapshots may take, and which are deleted for it: none, unless the operator says so."""
from sandboxd import Sandbox, api, configure, eq, ok, status_of, wait_for
from snapshots import WRITER, background, clone, forget, nothing_left, of_snapshot

SIZE = 3000000


def ids(s):
    return [x["id"] for x in api("GET", f"{s.path}/snapshots")["snapshots"]]


def pruned():
    """(snapshot, reason), the latest first."""
    events = api("GET", "/events/history?topic=sandbox.snapshot.pruned&limit=20")["events"]
    return [(e["data"]["snapshotId"], e["data"]["reason"]) for e in events]


def with_file(size=SIZE):
    s = Sandbox()
    s.out(f"head -c {size} /dev/urandom >/f")
    return s


def budget():
    configure(III_MAX_SANDBOXES=100, SANDBOX_DISK_BUDGET="5M", SANDBOX_SNAPSHOTS_MAX=2)
    with with_file() as s:
        first = s.post("/snapshots")
        ok(SIZE <= first["size"] < 2 * SIZE, "its size", first)
        eq(api("GET", f"{s.path}/snapshots")["snapshots"][0]["size"], first["size"])
        eq(status_of("POST", f"{s.path}/snapshots", {}), 507, "more than all may have")
        eq(ids(s), [first["id"]], "nothing is deleted without leave")
        s.out("rm /f")
        second = s.post("/snapshots")
        eq(status_of("POST", f"{s.path}/snapshots", {}), 429, "more than there may be")
        forget(first, second)
    eq(pruned(), [])
    configure(III_MAX_SANDBOXES=100)
    nothing_left()


def copies_count():
    """A copy that nobody sees takes its part of the budget, until the last clone that stands on it goes."""
    configure(III_MAX_SANDBOXES=100, SANDBOX_DISK_BUDGET="5M")
    with with_file() as s:
        s.put("/workspace/writer.py", WRITER.encode())
        background(s, "exec python3 /workspace/writer.py")
        wait_for("it writes", lambda: s.run("test -s /data/w/a/b/done")["exitCode"] == 0)
        with clone(s):
            eq(status_of("POST", f"{s.path}/snapshots", {}), 507)
            eq(status_of("POST", f"{s.path}/clone", {}), 507)
        snapshot = wait_for("there is room again", lambda: api("POST", f"{s.path}/snapshots", {}, expect=None).get("id"))
        forget({"id": snapshot})
    nothing_left()


def oldest_first():
    configure(III_MAX_SANDBOXES=100, SANDBOX_DISK_BUDGET="8M", SANDBOX_SNAPSHOTS_PRUNE="true")
    with with_file() as s, with_file(1000) as other:
        kept = other.post("/snapshots")
        first, second = s.post("/snapshots"), s.post("/snapshots")
        third = s.post("/snapshots")
        eq(ids(s), [second["id"], third["id"]], "the oldest one made room")
        eq(ids(other), [kept["id"]], "the last one of a sandbox that lives is kept")
        eq(pruned()[:1], [(first["id"], "budget")])
        with of_snapshot(second) as c:
            eq(status_of("POST", f"{s.path}/snapshots", {}), 507, "deleting what is in use would free nothing")
            eq(ids(s), [second["id"], third["id"]], "and so nothing is deleted")
            eq(c.out("stat -c %s /f"), f"{SIZE}\n")
        fourth = wait_for("room", lambda: api("POST", f"{s.path}/snapshots", {}, expect=None).get("id"))
        eq(ids(s), [third["id"], fourth])
        s.out(f"head -c {3 * SIZE} /dev/urandom >/f")
        eq(status_of("POST", f"{s.path}/snapshots", {}), 507, "more than all together")
        eq(ids(s), [third["id"], fourth], "for nothing, nothing is deleted")
        eq([x[1] for x in pruned()[:2]], ["budget", "budget"])
        forget(third, {"id": fourth}, kept)
    nothing_left()


def number():
    configure(III_MAX_SANDBOXES=100, SANDBOX_SNAPSHOTS_MAX=3, SANDBOX_SNAPSHOTS_PRUNE="true", SANDBOX_SNAPSHOTS_KEEP=2)
    with with_file(10) as s:
        made = [s.post("/snapshots")["id"] for _ in range(5)]
        eq(ids(s), made[2:])
        eq(pruned()[:2], [(made[1], "number"), (made[0], "number")])
        with with_file(10) as other:
            made.append(other.post("/snapshots")["id"])
            eq(ids(s), made[3:5])
            eq(status_of("POST", f"{other.path}/snapshots", {}), 429, "the newest two of each are kept")
    # The sandboxes are gone: then all are alike.
    with with_file(10) as s:
        made.append(s.post("/snapshots")["id"])
        eq(ids(s), made[6:])
    eq(pruned()[:1], [(made[3], "number")])
    forget(*({"id": x} for x in made[4:]))
    nothing_left()


def age():
    configure(III_MAX_SANDBOXES=100)
    with with_file(10) as s:
        made = [s.post("/snapshots")["id"] for _ in range(3)]
        configure(III_MAX_SANDBOXES=100, SANDBOX_SNAPSHOTS_AGE_SEC=1)
        wait_for("the older ones go", lambda: ids(s) == made[2:])
        configure(III_MAX_SANDBOXES=100, SANDBOX_SNAPSHOTS_AGE_SEC=1, SANDBOX_SNAPSHOTS_KEEP=0)
        wait_for("also the last one, without a reason to keep it", lambda: ids(s) == [])
        eq(sorted(pruned()[:3]), sorted((x, "age") for x in made))
    configure(III_MAX_SANDBOXES=100)
    nothing_left()
