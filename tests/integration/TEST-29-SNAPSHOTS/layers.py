# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is shared instead of copied: how deep it gets, whom it counts against, and what a death in the middle leaves."""
import ctypes
import os
import statistics
import time

from sandboxd import SLOW, VM, Sandbox, configure, eq, ok, parallel, patiently, request, shell, status_of, wait_for
from snapshots import STORE, UNITS, alive, background, clone, copies, forget, nothing_stored, of_snapshot, root_of, stored

GENERATIONS = 10 if VM else 20
LARGE = 4000000 if VM else 60000000
LAYERS_MAX = 8


def depth(s):
    """Layers over those of the image, without the one that it writes to."""
    return root_of(s).split("lowerdir=")[1].split(",")[0].count("/u")


def is_flat(s):
    """What it began with has been merged."""
    roots = f"{STORE}/roots"
    for name in os.listdir(roots):
        try:
            if name.startswith(f".snap-{s.id[4:]}") and "m" in os.readlink(f"{roots}/{name}"):
                return True
        except FileNotFoundError:
            pass
    return False


def generations():
    """Each is a clone of the one before, which wrote something and then dies. None of them is a copy that somebody waits
    for, however many there are."""
    s, times = Sandbox(), []
    s.out(f"mkdir /data && head -c {LARGE} /dev/urandom >/data/large && echo old >/data/changed && touch /data/gone")
    digest = s.out("sha256sum </data/large")
    for i in range(GENERATIONS):
        s.out(f"echo {i} >/data/g{i}; echo {i} >/data/changed; mkdir /data/d{i}; rm -rf /data/gone /data/d{i - 1}")
        if depth(s) >= 4:
            wait_for("layers are merged in the background", lambda: is_flat(s), 120 * SLOW)
        begin = time.monotonic()
        c = clone(s)
        times.append(time.monotonic() - begin)
        ok(min(i, 1) < depth(c) <= LAYERS_MAX, "its layers, of which a copy would have one", depth(c))
        s.delete()
        s = c
    eq(s.out("cat $(ls -tr /data/g*)"), "".join(f"{i}\n" for i in range(GENERATIONS)))
    eq(s.out("cat /data/changed; ls -d /data/d*; ls /data/gone 2>/dev/null | wc -l"),
       f"{GENERATIONS - 1}\n/data/d{GENERATIONS - 1}\n0\n")
    eq(s.out("sha256sum </data/large"), digest)
    early, late = statistics.median(times[1:4]), statistics.median(times[-5:])
    print(f"a clone of generation 2 to 4: {early * 1000:.1f} ms, of the last five of {GENERATIONS}: {late * 1000:.1f} ms")
    ok(late <= 3 * early, "a late generation is as cheap as an early one", times)
    s.delete()
    nothing_stored("all layers go with the last one", 30)


def clones_at_once():
    """Each has all that was written before it was asked for; and so has the next one."""
    with Sandbox() as s:
        s.out("mkdir /data")
        for i in range(3):
            s.out(f"echo {i} >/data/f{i}")
            made = parallel([lambda: clone(s)] * 3)
            expected = "".join(f"{k}\n" for k in range(i + 1))
            for c in made:
                eq(c.out("cat /data/f*"), expected)
                c.delete()
        made = parallel([lambda: clone(s), lambda: s.put("/workspace/w", b"w") and clone(s), lambda: clone(s)])
        eq(made[1].out("cat /workspace/w"), "w", "a write that was answered before the clone was asked for")
        for c in made:
            c.delete()
        background(s, "while :; do echo >>/data/tick; sleep 0.02; done")
        for c in parallel([lambda: clone(s)] * 3): # each is a copy, one after the other
            eq(c.out("cat /data/f*"), expected)
            c.delete()
    nothing_stored("nothing is left", 30)


def killed_while_sharing():
    """The services die while an idle sandbox is cloned: its next clone has all that it wrote until then."""
    with Sandbox() as s:
        s.out("mkdir /data && head -c 1000000 /dev/urandom >/data/large")
        digest, n = s.out("sha256sum </data/large"), 0
        for unit in UNITS:
            for delay in (0.05, 0.3) if VM else (0, 0.002, 0.005, 0.01, 0.02):
                n += 1
                s.out(f"echo {n} >/data/n{n}; echo {n} >/data/last")

                def kill():
                    time.sleep(delay)
                    shell(f"systemctl kill -s KILL --kill-whom=main {unit}.service", check=False)

                def take():
                    try:
                        return request("POST", f"/sandbox{s.path}/clone", {})
                    except OSError:
                        return 0, {}, None

                (status, _, record), _ = parallel([take, kill])
                wait_for(f"the API after the death of {unit}", lambda: alive(s), 60 * SLOW)
                s.out(f"echo more >/data/more{n}")
                with patiently(lambda: clone(s)) as c:
                    eq(c.out("cat /data/last; ls /data/n* | wc -l; ls /data/more* | wc -l"), f"{n}\n{n}\n{n}\n")
                    eq(c.out("sha256sum </data/large"), digest)
                if status == 200:
                    status_of("DELETE", f"/sandboxes/{record['id']}")
        eq(s.out("cat /data/last; ls /data/n* | wc -l; sha256sum </data/large"), f"{n}\n{n}\n{digest}")
    for record in request("GET", "/sandbox/sandboxes?pageSize=200")[2]["items"]: # of answers that nobody got
        status_of("DELETE", f"/sandboxes/{record['id']}")
    shell("systemctl kill -s KILL --kill-whom=main sandboxd.service")
    nothing_stored("what was half-made goes", 60 * SLOW)


def projects():
    """Numbers of ours that have something, or bounds: what quotactl() tells of each that the file system knows."""
    class Quota(ctypes.Structure):
        _fields_ = [(n, ctypes.c_uint64) for n in ("bhard", "bsoft", "space", "ihard", "isoft", "inodes", "b", "i")]
        _fields_ += [("valid", ctypes.c_uint32), ("id", ctypes.c_uint32)]

    device = shell(f"findmnt -no SOURCE {STORE}").strip().encode()
    libc, found, at = ctypes.CDLL(None, use_errno=True), {}, 0x40000000
    while True:
        q = Quota()
        if libc.quotactl(0x800009 << 8 | 2, device, at, ctypes.byref(q)) < 0: # Q_GETNEXTQUOTA, PRJQUOTA
            return found
        if q.space or q.inodes or q.bhard:
            found[q.id] = q.space
        at = q.id + 1


def all_free(what):
    """Asked for, since what a service was deleting when it ended goes on with the next start."""
    wait_for(what, lambda: status_of("GET", "/sandboxes") == 200 and not projects(), 60 * SLOW)


def used_kib(s):
    return int(s.out("df -k --output=used / | tail -n 1"))


def counted():
    """A shared layer counts against who wrote it while that one lives, and then against nobody; its number is not given
    to anybody else as long as it is there."""
    all_free("nobody has anything")
    with Sandbox() as s:
        s.out("mkdir /data && head -c 20000000 /dev/urandom >/data/large && sync -f /data")
        digest, before = s.out("sha256sum </data/large"), used_kib(s)
        ok(before >= 19000, "what it wrote is counted", before)
        c = clone(s)
        eq(copies("large"), 1)
        ok(used_kib(s) >= before, "it still is", used_kib(s))
        ok(used_kib(c) < 2000, "but not for the clone", used_kib(c))
    with Sandbox() as other:
        other.out("head -c 1000000 /dev/zero >/f && sync -f /f")
        ok(used_kib(other) < 4000, "another one begins with nothing", used_kib(other))
        eq(c.out("sha256sum </data/large"), digest)
        c.out("echo >>/data/large && sync -f /data")
        ok(used_kib(c) >= 19000, "what a clone changes is its own", used_kib(c))
    c.delete()
    all_free("all numbers are free")
    eq(stored(), [])


def full():
    """One that has filled its disk can be cloned and restored all the same, and has its space back after that."""
    configure(III_MAX_SANDBOXES=100, SANDBOX_WRITABLE_SIZE="20M")
    with Sandbox() as s:
        s.out("mkdir /data && echo before >/data/f")
        snapshot = s.post("/snapshots")
        s.run("head -c 50000000 /dev/zero >/data/full")
        s.run("while echo x >/data/x$((n=n+1)); do [ $n -lt 2000 ] || break; done; sync -f /data")
        with clone(s) as c:
            ok(int(c.out("stat -c %s /data/full")) > 15000000, "what there was")
            c.out("rm /data/full; head -c 5000000 /dev/zero >/data/own && sync -f /data")
        s.post("/snapshots/restore", {"snapshotId": snapshot["id"]})
        eq(s.out("cat /data/*"), "before\n")
        wait_for("what it had is deleted", lambda: used_kib(s) < 2000, 60 * SLOW)
        s.out("head -c 10000000 /dev/urandom >/data/again && sync -f /data")
        with of_snapshot(snapshot) as c:
            eq(c.out("cat /data/*"), "before\n")
    forget(snapshot)
    configure(III_MAX_SANDBOXES=100)
    all_free("all numbers are free")
