# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one sandbox wrote, as the beginning of others: clones, forks, snapshots, restores. A writer that never stops tells
whether a copy is of one moment; the daemons are killed in the middle of everything."""
import os
import re
import time

from sandboxd import (VM, ApiError, Sandbox, api, configure, eq, ok, parallel, request, run_tests, shell, status_of,
                      wait_for)

import corners
import layers
import pruning
from snapshots import (LOOK, ON_DISK, TREE, UNITS, WRITER, alive, background, clone, copies, everything_there, forget, fork,
                       nothing_left, nothing_stored, of_snapshot, one_moment, root_of)


def kinds_of_files():
    with Sandbox() as s:
        s.out(TREE)
        look = s.out(LOOK.replace("ls /usr/bin/perl 2>&1", "ls /usr/bin/perl 2>&1 || true"))
        with clone(s, name="twin") as c:
            eq(c.get()["name"], "twin")
            ok(c.record["image"].startswith("sha256:"), "its image", c.record)
            eq(c.record["config"]["image"], c.record["image"])
            everything_there(c, look)
            c.out("echo changed >/data/a && rm /data/x && echo new >/data/new")
            eq(s.out("cat /data/a; ls /data/new 2>&1 || true").split("\n")[0], "one", "the source is as it was")
            s.out("echo mine >/data/a; rm /data/pipe")
            eq(c.out("cat /data/a; ls /data"), "changed\na\nb\ndeep\nnew\npipe\nreplaced\nsoft\nsparse\n")
        snapshot = s.post("/snapshots", {"name": "kept"})
        eq((snapshot["name"], snapshot["sandboxId"], snapshot["snapshotId"]), ("kept", s.id, snapshot["id"]))
        s.out("rm -rf /data /usr/share/doc; mkdir /usr/share/doc; rm -r /etc/hostname")
    # Its sandbox is gone.
    with of_snapshot(snapshot) as c:
        eq(c.out("cat /data/a; ls /data"), "mine\na\nb\ndeep\nreplaced\nsoft\nsparse\nx\n")
        eq(c.out("ls /usr/share/doc; test -d /etc/hostname && echo directory"), "own\ndirectory\n")
        eq(c.out("stat -c '%h %a %u:%g %Y' /data/x; stat -c %h /data/a").split(), ["1", "4711", "12:34", "1234567890", "1"])
        with clone(c) as d, clone(d) as e:
            eq(e.out("cat /data/a /usr/share/doc/own/file"), "mine\ndoc\n")
    forget(snapshot)


def of_the_idle_nothing_is_copied():
    with Sandbox() as s:
        s.out("mkdir /data && head -c 20000000 /dev/urandom >/data/large")
        digest = s.out("sha256sum </data/large")
        before = root_of(s)
        with clone(s) as c:
            ok(root_of(s) != before, "the source has another root", root_of(s))
            eq(c.out("sha256sum </data/large"), digest)
            eq(copies("large"), ON_DISK, "once, where it was written")
            after = root_of(s)
            with clone(c):
                pass
            with clone(c):
                pass
        # A file worker that was left idle is no reason to copy.
        s.put("/workspace/by-worker", b"worker")
        with clone(s) as c:
            eq(c.out("cat /workspace/by-worker"), "worker")
            ok(root_of(s) != after, "shared again")
        root = root_of(s)
        for _ in range(12): # whatever is not changed needs no other root
            with clone(s) as c:
                eq(c.out("sha256sum </data/large"), digest)
        eq(root_of(s), root)
        for i in range(12): # more layers than are stacked
            s.out(f"echo {i} >/data/{i}")
            with clone(s) as c:
                eq(c.out("cat $(ls -tr /data/* | grep -v large)"), "".join(f"{k}\n" for k in range(i + 1)))
        eq(s.out("sha256sum </data/large"), digest)
        generations = [clone(s)]
        for i in range(12):
            generations[-1].out(f"echo {i} >/data/g{i}")
            generations.append(clone(generations[-1]))
        for c in generations[:-1]:
            c.delete()
        eq(generations[-1].out("cat /data/g? /data/g??"), "".join(f"{k}\n" for k in range(12)))
        eq(generations[-1].out("sha256sum </data/large"), digest)
        generations[-1].delete()


def while_it_writes():
    with Sandbox() as s:
        s.put("/workspace/writer.py", WRITER.encode())
        writer = background(s, "exec python3 /workspace/writer.py")
        wait_for("it writes", lambda: s.run("test -s /data/w/a/b/done")["exitCode"] == 0)
        seen = []
        for i in range(3):
            with clone(s) as c:
                seen.append(one_moment(c))
                eq(c.get()["status"], "running")
            snapshot = s.post("/snapshots")
            with of_snapshot(snapshot) as c:
                seen.append(one_moment(c))
            forget(snapshot)
            eq(s.get()["status"], "running", "nobody hears of its standing still")
        eq(seen, sorted(seen))
        before = int(s.out("cat /data/w/a/b/done"))
        wait_for("it goes on", lambda: int(s.out("cat /data/w/a/b/done")) > before)
        eq(api("GET", f"/exec/background/{writer['id']}/status")["running"], True)
        # Paused it stays paused.
        s.post("/pause")
        with clone(s) as c:
            paused = one_moment(c)
        eq(s.get()["status"], "paused")
        with clone(s) as c:
            eq(one_moment(c), paused, "nothing was written meanwhile")
        s.post("/resume")
        wait_for("it goes on", lambda: int(s.out("cat /data/w/a/b/done")) > paused)


def files_meanwhile():
    """Writes by the file API while clones are made: what was answered with success is there, in the source for ever."""
    with Sandbox() as s:
        stop = []

        def write():
            n = 0
            while not stop:
                s.put(f"/workspace/f{n}", b"%d" % n)
                n += 1
            return n

        def clones():
            try:
                for _ in range(8):
                    with clone(s) as c:
                        names = c.out("cd /workspace && grep . f* || true")
                        for name, value in re.findall(r"^f(\d+):(\d+)$", names, re.M):
                            eq(value, name, "no file is half in a clone")
            finally:
                stop.append(1)

        n, _ = parallel([write, clones])
        for i in range(n):
            eq(s.get_raw(f"/workspace/f{i}"), b"%d" % i, "a write that was answered")


def restore():
    with Sandbox(timeout=900) as s:
        s.out("mkdir /data && echo before >/data/f")
        snapshot = s.post("/snapshots")
        s.out("echo after >/data/f; echo more >/data/more; rm -rf /etc/alternatives")
        running = background(s, "sleep 1000")
        terminal = s.post("/terminals", {})["id"]
        s.put("/workspace/left", b"open")
        expires = s.get()["expiresAt"]
        record = s.post("/snapshots/restore", {"snapshotId": snapshot["id"]})
        eq((record["id"], record["status"], record["expiresAt"], record["image"]),
           (s.id, "running", expires, snapshot["imageId"]))
        eq(s.out("cat /data/*; ls /workspace; ls -d /etc/alternatives 2>/dev/null; ls /proc/1/ns >/dev/null && echo ok"),
           "before\n" + ("/etc/alternatives\n" if os.path.isdir("/etc/alternatives") else "") + "ok\n")
        wait_for("the command is told as ended",
                 lambda: not api("GET", f"/exec/background/{running['id']}/status")["running"])
        wait_for("the terminal, too", lambda: s.get() and api("GET", f"{s.path}/terminals/{terminal}")["status"] != "running")
        eq(s.out("ps ax 2>/dev/null | grep -c '[s]leep 1000' || true").strip() or "0", "0")
        # Again, paused, and into another sandbox.
        s.out("echo third >/data/f")
        s.post("/pause")
        eq(s.post("/snapshots/restore", {"snapshotId": snapshot["id"]})["status"], "running")
        eq(s.out("cat /data/f"), "before\n")
        with Sandbox() as other:
            other.out("echo own >/own")
            other.post("/snapshots/restore", {"snapshotId": snapshot["id"]})
            eq(other.out("cat /data/f; ls /own 2>&1 | wc -l; ls /data"), "before\n1\nf\n")
            ok(status_of("POST", f"{other.path}/snapshots/restore", {"snapshotId": "snap_" + "0" * 24}) == 404, "404")
            forget(snapshot) # both stand on it
            eq(other.out("cat /data/f"), "before\n")
            with clone(other) as c:
                eq(c.out("cat /data/f"), "before\n")
            again = other.post("/snapshots")
        eq(s.out("cat /data/f"), "before\n")
    with of_snapshot(again) as c:
        eq(c.out("cat /data/f"), "before\n")
    forget(again)


def group():
    with Sandbox(env={"COLOUR": "blue"}, metadata={"kind": "seed"}) as s:
        s.out("mkdir /data && echo seed >/data/f")
        s.post("/env", {"vars": {"LATER": "yes"}})
        made = fork(s, 20)
        eq(len({c.id for c in made}), 20)
        parallel([lambda c=c: eq(c.out(f"cat /data/f; echo {c.id} >/data/f; cat /data/f; echo $COLOUR $LATER"),
                                 f"seed\n{c.id}\nblue yes\n") for c in made])
        eq({c.get()["metadata"]["kind"] for c in made}, {"seed"})
        eq(s.out("cat /data/f"), "seed\n")
        for c in made:
            c.delete()
        for count in (0, 101, -1, "x", None):
            eq(status_of("POST", f"{s.path}/fork", {"count": count}), 400, f"count {count!r}")
        n = len(api("GET", "/sandboxes?pageSize=200")["items"])
        eq(status_of("POST", f"{s.path}/fork", {"count": 100}), 429, "more than there may be")
        eq(len(api("GET", "/sandboxes?pageSize=200")["items"]), n, "all or none")
        key = {"Idempotency-Key": "one-clone"}
        first, second = (request("POST", f"/sandbox{s.path}/clone", {}, headers=key)[2]["id"] for _ in range(2))
        eq(first, second, "the same key")
        api("DELETE", f"/sandboxes/{first}")


def proxy_of(s):
    return {k: v for k, v in s.post("/proxy/config", {}).items() if k in ("cors", "requireAuth", "timeout")}


def what_goes_along():
    """How it is goes to a clone, a fork, a clone of a snapshot; what it has with others does not."""
    proxy = {"cors": "https://a.example", "requireAuth": False, "timeout": 1234}
    with Sandbox(metadata={"owner": "me"}, env={"AT_BIRTH": "1"}, secrets={"KEY": "hidden"}, memory=256) as s:
        s.post("/env", {"vars": {"LATER": "2"}})
        s.post("/proxy/config", proxy)
        s.post("/ports", {"containerPort": 8000})
        s.post("/alerts", {"metric": "pids", "threshold": 200})
        s.post("/files/uploads", {"path": "x", "size": 5})
        config = s.get()["config"]
        try:
            config = s.post("/limits", {"pids": 77})["config"]
        except ApiError:  # where no limits are enforced
            pass
        tasks = shell(f"systemctl show -P TasksMax {s.scope}")
        snapshot = s.post("/snapshots")
        others = [clone(s), *fork(s, 2), of_snapshot(snapshot)]
        # what it is when the snapshot was taken counts, not what became of it
        s.post("/proxy/config", {"timeout": 4321})
        others.append(of_snapshot(snapshot))
        for o in others:
            record = o.get()
            eq({k: v for k, v in record["config"].items() if k != "image"},
               {k: v for k, v in config.items() if k != "image"}, "config")
            eq(record["metadata"], {"owner": "me"})
            eq(o.out("echo $AT_BIRTH $LATER $KEY"), "1 2 hidden\n")
            eq(proxy_of(o), proxy)
            eq(shell(f"systemctl show -P TasksMax {o.scope}"), tasks, "processes that it may have")
            eq((api("GET", o.path + "/ports")["ports"], api("GET", o.path + "/alerts")["alerts"],
                api("GET", o.path + "/files/uploads")["uploads"]), ([], [], []))
        # restored it stays what it is, with what it had then
        s.post("/snapshots/restore", {"snapshotId": snapshot["id"]})
        eq(proxy_of(s), {**proxy, "timeout": 4321})
        eq(len(api("GET", s.path + "/ports")["ports"]), 1)
        eq(s.out("echo $LATER"), "2\n")
        for o in others:
            o.delete()
        forget(snapshot)


def references():
    with Sandbox() as s:
        s.out("mkdir /data && head -c 3000000 /dev/urandom >/data/f")
        digest = s.out("sha256sum </data/f")
        snapshot = s.post("/snapshots")
        ok(3000000 <= snapshot["size"] < 4000000, "its size", snapshot)
        c, d = of_snapshot(snapshot), of_snapshot(snapshot)
        eq([x["id"] for x in api("GET", f"{s.path}/snapshots")["snapshots"]], [snapshot["id"]])
        forget(snapshot)
        eq(api("GET", f"{s.path}/snapshots"), {"snapshots": []})
        eq(status_of("POST", f"/snapshots/{snapshot['id']}/clone", {}), 404)
        eq(status_of("DELETE", f"/snapshots/{snapshot['id']}"), 404)
    eq(c.out("sha256sum </data/f"), digest)
    c.delete()
    with clone(d) as e:
        d.delete()
        eq(e.out("sha256sum </data/f"), digest, "its source's layer, though both are gone")
    nothing_stored("with the last one it goes")
    eq(api("GET", "/sandboxes/sbx_" + "0" * 24 + "/snapshots"), {"snapshots": []})


def killed_daemons():
    """Whoever dies in the middle: nothing stays frozen, nothing is left, what was answered is right."""
    with Sandbox() as s:
        s.out("mkdir /data && for i in $(seq 40); do head -c 1000000 /dev/urandom >/data/$i; done")
        digest = s.out("cat /data/* | sha256sum")
        ticker = background(s, "i=0; while :; do i=$((i+1)); echo $i >/tick; sleep 0.02; done")
        for unit in UNITS:
            for delay in (0.002, 0.01, 0.03, 0.06):
                def kill():
                    time.sleep(delay)
                    shell(f"systemctl kill -s KILL --kill-whom=main {unit}.service", check=False)

                def take():
                    try:
                        return request("POST", f"/sandbox{s.path}/snapshots", {})
                    except OSError:
                        return 0, {}, None

                (status, _, snapshot), _ = parallel([take, kill])
                wait_for(f"the API after the death of {unit}", lambda: alive(s))
                before = int(s.out("cat /tick") or 0)
                wait_for("the commands go on", lambda: int(s.out("cat /tick") or 0) > before)
                if status == 200:
                    with of_snapshot(snapshot) as c:
                        eq(c.out("cat /data/* | sha256sum"), digest)
                for x in api("GET", f"{s.path}/snapshots")["snapshots"]:
                    forget(x)
        api("POST", f"{s.path}/exec/interrupt", {}, expect=None)
        s.run("pkill -f tick")
        eq(s.out("cat /data/* | sha256sum"), digest)
    shell("systemctl restart sandbox-fsd.service; systemctl kill -s KILL --kill-whom=main sandboxd.service")
    nothing_stored("what was half-made goes")


def after_a_killed_copy():
    """What a daemon that died left of its copy is ended by the next one. The kernel ends at once what is cloned into a
    cgroup that was killed before: the next copy must not come to lie there."""
    with Sandbox() as s:
        s.out("echo kept >/workspace/kept")
        os.mkdir(s.cgroup() + "/copy")
        with open(s.cgroup() + "/copy/cgroup.kill", "w", encoding="ascii") as f:
            f.write("1")
        snapshot = s.post("/snapshots")
        with of_snapshot(snapshot) as c:
            eq(c.out("cat /workspace/kept"), "kept\n")
        forget(snapshot)


EVERYWHERE = [kinds_of_files, while_it_writes, restore, layers.generations, layers.clones_at_once,
              layers.killed_while_sharing, corners.restored_over_and_over, references, nothing_left, pruning.budget]
configure(III_MAX_SANDBOXES=100)
if VM: # emulated: what does not depend on where sandboxes write is left out
    run_tests([*EVERYWHERE, layers.counted, layers.full, nothing_left])
else:
    run_tests([*EVERYWHERE, of_the_idle_nothing_is_copied, files_meanwhile, group, what_goes_along, killed_daemons,
               after_a_killed_copy, corners.names, corners.paused, corners.during_a_copy, corners.deleted_while_cloned,
               corners.full_disk, nothing_left, pruning.copies_count, pruning.oldest_first, pruning.number, pruning.age])
