# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two at once, names, limits, a full disk: what one would try to break it."""
import os

from sandboxd import Sandbox, api, eq, ok, parallel, shell, status_of, wait_for
from snapshots import STORE, WRITER, background, clone, forget, nothing_stored, of_snapshot, one_moment

MUCH = ("echo after >/data/f; for i in $(seq 2000); do echo $i >/data/$i; done; "
        "head -c 60000000 /dev/urandom >/data/l")


def names():
    with Sandbox() as s:
        longest = "n" * 256
        for name in ("with blanks", "ünïcode", longest, "../../etc"):
            snapshot = s.post("/snapshots", {"name": name})
            eq(snapshot["name"], name)
            with of_snapshot(snapshot, name=name) as c:
                eq(c.get()["name"], name)
            forget(snapshot)
        for name in (longest + "n", 5, ["x"]):
            ok(status_of("POST", f"{s.path}/snapshots", {"name": name}) in (200, 400), f"name {name!r:.40}")
        same = [s.post("/snapshots", {"name": "same"}) for _ in range(2)]
        ok(same[0]["id"] != same[1]["id"], "a name is no key")
        for snapshot in api("GET", f"{s.path}/snapshots")["snapshots"]:
            forget(snapshot)
        for missing in ("snap_" + "0" * 24, "snap_0", "..", "%2e%2e%2fx"):
            ok(status_of("DELETE", f"/snapshots/{missing}") in (400, 404), missing)
    eq(status_of("POST", f"{s.path}/snapshots", {}), 404, "of one that is gone")
    eq(status_of("POST", f"{s.path}/clone", {}), 404)


def paused():
    with Sandbox() as s:
        s.put("/workspace/writer.py", WRITER.encode())
        background(s, "exec python3 /workspace/writer.py")
        wait_for("it writes", lambda: s.run("test -s /data/w/a/b/done")["exitCode"] == 0)
        s.post("/pause")
        snapshots = [s.post("/snapshots") for _ in range(2)]
        eq(s.get()["status"], "paused", "and it stays so")
        seen = []
        for snapshot in snapshots:
            with of_snapshot(snapshot) as c:
                eq(c.get()["status"], "running")
                seen.append(one_moment(c))
        eq(seen[0], seen[1], "nothing was written in between")
        s.post("/resume")
        wait_for("it goes on", lambda: int(s.out("cat /data/w/a/b/done")) > seen[0])
        forget(*snapshots)


def during_a_copy():
    """A snapshot that is being made is in the way of a restore, and of another one: both are told so, and nothing breaks."""
    with Sandbox() as s:
        s.out("mkdir /data && echo before >/data/f")
        snapshot = s.post("/snapshots")
        s.out(MUCH)

        def when_it_copies(what):
            wait_for("it copies", lambda: any(n.startswith(".tmp-") for n in os.listdir(f"{STORE}/snapshots")) or done)
            return status_of("POST", f"{s.path}{what}", {"snapshotId": snapshot["id"]})

        done, seen = [], set()
        for what in ("/snapshots", "/snapshots/restore") * 3:
            def take():
                try:
                    return api("POST", f"{s.path}/snapshots", {}, expect=(200, 409))
                finally:
                    done.append(1)

            done.clear()
            taken, status = parallel([take, lambda what=what: when_it_copies(what)])
            ok(status in (200, 409), "status", status)
            seen.add(status)
            if "id" in taken and what == "/snapshots/restore" and status == 409:
                with of_snapshot(taken) as c:
                    eq(c.out("cat /data/f; ls /data | wc -l"), "after\n2002\n")
            if status == 200 and what == "/snapshots/restore":
                eq(s.out("cat /data/f; ls /data"), "before\nf\n")
                s.out(MUCH)
            for x in api("GET", f"{s.path}/snapshots")["snapshots"]:
                if x["id"] != snapshot["id"]:
                    forget(x)
        ok(409 in seen, "they did meet", seen)
        s.post("/snapshots/restore", {"snapshotId": snapshot["id"]})
        eq(s.out("cat /data/f"), "before\n")
        forget(snapshot)
    nothing_stored("nothing is left")


def deleted_while_cloned():
    with Sandbox() as s:
        s.out("echo content >/f")
        for _ in range(6):
            snapshot = s.post("/snapshots")
            made, _ = parallel([lambda: api("POST", f"/snapshots/{snapshot['id']}/clone", {}, expect=(200, 404)),
                                lambda: forget(snapshot)])
            if "config" in made:
                eq(api("POST", f"/sandboxes/{made['id']}/exec", {"command": "cat /f"})["stdout"], "content\n")
                api("DELETE", f"/sandboxes/{made['id']}")
    nothing_stored("nothing is left")


def restored_over_and_over():
    """What a restored sandbox had goes at once, not only with its end; and who is cloned in between stands on the right one."""
    with Sandbox() as s:
        made = []
        for i in range(3):
            s.out(f"echo {i} >/f; head -c 100000 /dev/urandom >/large{i}")
            made.append(s.post("/snapshots"))
        for i in (0, 2, 1, 1, 0):
            s.out("echo own >/f")
            s.post("/snapshots/restore", {"snapshotId": made[i]["id"]})
            with clone(s) as c:
                eq(c.out("cat /f; ls / | grep -c large"), f"{i}\n{i + 1}\n")
            s.out("echo more >/more")
            with clone(s) as c:
                eq(c.out("cat /f /more"), f"{i}\nmore\n")
        roots = f"{STORE}/roots"
        wait_for("one root is left", lambda: not [n for n in os.listdir(roots) if n.startswith((".old-", ".next-"))])
        forget(*made)
        eq(s.out("cat /f"), "0\n")
    nothing_stored("nothing is left")


def full_disk():
    """The store's file system is full in the middle of a copy."""
    filler = f"{STORE}/filler"
    with Sandbox() as s:
        s.out("mkdir /data && head -c 8000000 /dev/urandom >/data/f")
        digest = s.out("sha256sum </data/f")
        space = os.statvfs(STORE)
        try:
            shell(f"fallocate -l {space.f_bavail * space.f_frsize - 4000000} {filler}")
            eq(status_of("POST", f"{s.path}/snapshots", {}), 507)
            eq(s.out("sha256sum </data/f"), digest, "it goes on")
        finally:
            os.unlink(filler)
        eq(api("GET", f"{s.path}/snapshots"), {"snapshots": []})
        nothing_stored("nothing is left of it")
        snapshot = s.post("/snapshots")
        with of_snapshot(snapshot) as c:
            eq(c.out("sha256sum </data/f"), digest)
        forget(snapshot)
