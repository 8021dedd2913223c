# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one sandbox wrote, as the beginning of others: clones, forks, snapshots, restores. A writer that never stops tells
whether a copy is of one moment; the daemons are killed in the middle of everything."""
import os
import re
import time

from sandboxd import (ApiError, Failure, Sandbox, api, configure, eq, ok, parallel, request, run_tests, shell, status_of, wait_for)

STORE = "/var/lib/sandbox"
UNITS = ("sandboxd", "sandbox-execd", "sandbox-fsd")

# All that an upper layer can hold: names, links, holes, attributes, things deleted and things replaced.
TREE = r"""
set -e
mkdir -p /data/deep/er /data/replaced && cd /data
echo one >a && ln a b && ln -s a soft && mkfifo pipe
truncate -s 10M sparse && printf end >>sparse
echo attributes >x && chown 12:34 x && chmod 4711 x && touch -d @1234567890 x
python3 - <<'PY'
import os
os.setxattr("/data/x", "user.mine", b"value")
PY
rm -f /etc/hosts.allow; rm -rf /usr/share/doc; mkdir -p /usr/share/doc/own && echo doc >/usr/share/doc/own/file
rm /etc/hostname && mkdir /etc/hostname
rm -f /usr/bin/perl
"""
LOOK = r"""
cd /data && cat a b soft && stat -c '%h %a %u:%g %Y %s %b' a x && stat -c '%s' sparse && tail -c 3 sparse
[ $(stat -c %i a) = $(stat -c %i b) ] && echo linked
[ $(stat -c %b sparse) -lt 1000 ] && echo sparse
test -p pipe && echo pipe
python3 -c 'import os; print(os.getxattr("/data/x", "user.mine"))'
ls /usr/share/doc; cat /usr/share/doc/own/file; test -d /etc/hostname && echo directory; ls /usr/bin/perl 2>&1
ls /proc/self/fd >/dev/null && ls /dev/pts >/dev/null && echo mounted >/tmp/x && cat /tmp/x
"""


def adopt(record):
    s = Sandbox.__new__(Sandbox)
    s.record, s.id = record, record["id"]
    s.path, s.scope = f"/sandboxes/{s.id}", f"sandbox-{s.id[4:]}.scope"
    return s


def clone(s, **body):
    return adopt(s.post("/clone", body))


def fork(s, n):
    return [adopt(r) for r in s.post("/fork", {"count": n})["sandboxes"]]


def of_snapshot(snapshot, **body):
    return adopt(api("POST", f"/snapshots/{snapshot['id']}/clone", body))


def forget(*snapshots):
    for x in snapshots:
        eq(api("DELETE", f"/snapshots/{x['id']}"), {"deleted": x["id"]})


def background(s, command):
    return s.post("/exec/background", {"command": command})


def root_of(s):
    """The options of its overlay."""
    return re.search(r" / overlay .*", s.out("grep ' / / ' /proc/self/mountinfo | sed 's/.* - overlay none/ \\/ overlay/'"))[0]


def stored():
    """What lies on disk for snapshots, but for what is being deleted."""
    return sorted(n for n in os.listdir(f"{STORE}/snapshots") if not n.startswith(".gone-"))


def everything_there(s, expected):
    eq(s.out(LOOK.replace("ls /usr/bin/perl 2>&1", "ls /usr/bin/perl 2>&1 || true")), expected)


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
            eq(stored(), [], "nothing was copied to the store")
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


# Each round it writes the same number to many files, through descriptors and a working directory that it keeps.
WRITER = r"""
import os
os.makedirs("/data/w/a/b"); os.chdir("/data/w/a/b")
fds = [os.open(f"f{i}", os.O_RDWR | os.O_CREAT) for i in range(8)]
n = 0
while True:
    n += 1
    for fd in fds:
        os.pwrite(fd, b"%16d" % n, 0)
    open("step", "w").write(str(n)); os.rename("step", "done")
"""


def one_moment(s):
    """Writes are in order, so of any two neighbours the later one is at most one round behind."""
    values = [int(x) for x in s.out("cd /data/w/a/b && for i in 0 1 2 3 4 5 6 7; do cat f$i; echo; done").split()]
    done = int(s.out("cat /data/w/a/b/done"))
    ok(all(a >= b for a, b in zip(values, values[1:])) and values[0] - values[-1] <= 1 and 0 <= values[-1] - done <= 1,
       "what was written is of one moment", values, done)
    return done


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
    wait_for("with the last one it goes", lambda: stored() == [])
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
    wait_for("what was half-made goes", lambda: status_of("GET", "/sandboxes") == 200 and stored() == [])


def alive(s):
    try:
        return s.run("true")["exitCode"] == 0
    except (Failure, OSError):
        return False


def nothing_left():
    eq(api("GET", "/sandboxes")["items"], [])
    wait_for("no snapshot on disk", lambda: stored() == [])
    wait_for("no note of one", lambda: not [n for n in os.listdir(f"{STORE}/roots") if n.startswith(".snap-")])
    eq([x for x in shell("findmnt -rno TARGET").split() if "snapshots" in x], [])


def budget():
    configure(III_MAX_SANDBOXES=100, SANDBOX_DISK_BUDGET="5M", SANDBOX_SNAPSHOTS_MAX=2)
    with Sandbox() as s:
        s.out("head -c 3000000 /dev/urandom >/f")
        first = s.post("/snapshots")
        eq(status_of("POST", f"{s.path}/snapshots", {}), 507, "more than all may have")
        s.out("rm /f")
        second = s.post("/snapshots")
        eq(status_of("POST", f"{s.path}/snapshots", {}), 429, "more than there may be")
        forget(first, second)
    nothing_left()


configure(III_MAX_SANDBOXES=100)
if os.environ.get("TESTBED", "").startswith("vm"): # what is written goes to disk there: it is copied, always
    run_tests([kinds_of_files, restore, references, nothing_left])
else:
    run_tests([kinds_of_files, of_the_idle_nothing_is_copied, while_it_writes, files_meanwhile, restore, group, what_goes_along,
               references, killed_daemons, nothing_left, budget])
