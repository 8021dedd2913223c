# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to files, as a stream: every change is told, whoever of us is killed meanwhile, and whoever reads slowly
is told that he missed some."""
import os
import queue
import threading
from urllib.parse import urlencode

from sandboxd import Failure, Sandbox, eq, ok, run_tests, shell, sse, status_of, wait_for

DAEMONS = "sandboxd.service", "sandbox-execd.service", "sandbox-fsd.service"


class Watch:
    """Reads a stream in a thread; the watches stand when it is made."""

    def __init__(self, s, timeout=60, **query):
        self.events, self.seen = queue.Queue(), []
        text = urlencode({k: ("true" if v else "false") if isinstance(v, bool) else v for k, v in query.items()})
        self.stream = sse(f"{s.path}/files/watch?{text}", method="GET", timeout=timeout)
        self.first = next(self.stream)
        eq(self.first["type"], "ready")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for event in self.stream:
                self.events.put(event)
        except OSError:
            pass
        self.events.put(None)

    def expect(self, kind, path, **more):
        """Waits for this one; others may come before."""
        while True:
            try:
                event = self.events.get(timeout=30)
            except queue.Empty:
                raise Failure(f"no {kind} of {path} {more}, but {self.seen[-10:]}") from None
            self.seen.append(event)
            if event is None:
                raise Failure(f"the stream ended before {kind} of {path}: {self.seen[-10:]}")
            if event["type"] == kind and event["path"] == path and all(event.get(k) == v for k, v in more.items()):
                return event

    def ended(self):
        while True:
            event = self.events.get(timeout=30)
            if event is None:
                return self.seen and self.seen[-1]["type"] == "end"
            self.seen.append(event)


def kinds():
    with Sandbox() as s:
        s.out("mkdir -p /workspace/d && echo 1 >/workspace/old")
        w = Watch(s)
        s.out("echo x >new")
        w.expect("created", "/workspace/new", isDirectory=False)
        w.expect("modified", "/workspace/new")
        s.out("chmod 600 new")
        w.expect("attributes", "/workspace/new")
        s.out("mv new newer")
        w.expect("moved", "/workspace/newer", **{"from": "/workspace/new"})
        s.out("mv newer /tmp/away")
        w.expect("deleted", "/workspace/newer")
        s.out("mv /tmp/away back")
        w.expect("created", "/workspace/back")
        s.out("rm back old")
        w.expect("deleted", "/workspace/back")
        w.expect("deleted", "/workspace/old")
        s.out("mkdir e; rmdir e")
        w.expect("created", "/workspace/e", isDirectory=True)
        w.expect("deleted", "/workspace/e", isDirectory=True)
        s.out("echo deep >d/file; echo end >end")
        w.expect("created", "/workspace/end")
        ok(not any(e["path"].startswith("/workspace/d/") for e in w.seen), "what is below is not told", w.seen)


def by_the_api():
    with Sandbox() as s:
        w = Watch(s, path="/workspace")
        s.put("/workspace/uploaded", b"x" * 1000)
        event = wait_for("it is told", lambda: w.events.get(timeout=30))
        ok(event["type"] in ("created", "moved", "attributes", "modified"), "its first event", event)
        s.post("/files/delete", {"path": "uploaded"})
        w.expect("deleted", "/workspace/uploaded")


def trees():
    with Sandbox() as s:
        s.out("mkdir -p a/b/c")
        w = Watch(s, path="/workspace", recursive=True)
        s.out("echo 1 >a/b/c/file")
        w.expect("created", "/workspace/a/b/c/file")
        s.out("mkdir -p new/er; echo 1 >new/er/file")
        w.expect("created", "/workspace/new", isDirectory=True)
        w.expect("created", "/workspace/new/er/file")
        s.out("echo 2 >>new/er/file")
        w.expect("modified", "/workspace/new/er/file")
        s.out("mv a moved; echo 2 >>moved/b/c/file")
        w.expect("moved", "/workspace/moved", **{"from": "/workspace/a"})
        w.expect("modified", "/workspace/moved/b/c/file")
        s.out("mv moved /tmp/; echo 3 >>/tmp/moved/b/c/file; echo 1 >mark")
        w.expect("created", "/workspace/mark")
        ok(not any(e["path"].startswith("/tmp") for e in w.seen), "what is out of sight is not told", w.seen)
        for i in range(30):
            s.out(f"mkdir -p t{i}/x/y; echo 1 >t{i}/x/y/z")
            w.expect("created", f"/workspace/t{i}/x/y/z")


def odd_names():
    with Sandbox() as s:
        w = Watch(s, recursive=True)
        s.out("printf x >\"$(printf 'a\\nb \\033[31m\\377')\"; mkdir '\"'; : >'\"/x'")
        w.expect("created", "/workspace/a\nb \x1b[31m\ufffd")
        w.expect("created", "/workspace/\"/x")


def refused():
    with Sandbox() as s:
        s.put("/workspace/file", b"x")
        for path, status in (("/nowhere", 404), ("/workspace/file", 400), ("/proc", 403), ("/dev", 403),
                             ("/" + "x" * 300, 400)):
            eq(status_of("GET", f"{s.path}/files/watch?path={path}"), status, path)
        eq(status_of("GET", f"{s.path}/files/watch?recursive=perhaps"), 400)
        eq(status_of("GET", "/sandboxes/sbx_0123456789abcdef01234567/files/watch"), 404)
        s.out("mkdir -p many; cd many; for i in $(seq 0 70); do mkdir $i; (cd $i; mkdir $(seq 60)); done")
        eq(status_of("GET", f"{s.path}/files/watch?path=/workspace/many&recursive=true"), 429, "too many directories")
        s.out("mkdir host; ln -s /etc host/link; ln -s / up")
        eq(status_of("GET", f"{s.path}/files/watch?path=/workspace/host/../../../../proc/1/root"), 403, "dots")


def ends():
    with Sandbox() as s:
        s.out("mkdir d")
        w = Watch(s, path="/workspace/d")
        s.out("rmdir d")
        w.expect("deleted", "/workspace/d")
        ok(w.ended(), "it ends with its directory", w.seen[-3:])
        w = Watch(s)
        s.delete()
        ok(w.ended(), "it ends with its sandbox", w.seen[-3:])


def daemons_are_killed():
    """The stream is sandboxd's and the kernel's: it goes on without the others."""
    with Sandbox() as s:
        w = Watch(s, path="/workspace", recursive=True)
        for unit in ("sandbox-fsd.service", "sandbox-execd.service"):
            shell(f"systemctl kill -s KILL {unit}", check=False)
            s.out(f"mkdir -p {unit}/below; echo x >{unit}/below/file")
            w.expect("created", f"/workspace/{unit}")
            wait_for("the new directory is watched", lambda: again(s, w, f"{unit}/below"))
        shell("systemctl kill -s KILL sandboxd.service")
        while w.events.get(timeout=30) is not None:
            pass
        w = Watch(s)
        s.out("echo x >after")
        w.expect("created", "/workspace/after")


def again(s, w, directory):
    s.out(f"echo x >>{directory}/again")
    while not w.events.empty():
        event = w.events.get()
        if event and event["path"] == f"/workspace/{directory}/again":
            return True
    return False


def slow_readers_hear_of_it():
    """More than the kernel keeps: the reader is told, and the stream goes on."""
    limit = int(open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii").read())
    with Sandbox() as s:
        stream = sse(f"{s.path}/files/watch", method="GET")
        eq(next(stream)["type"], "ready")
        s.out("python3 -c 'import os\n"
              f"for i in range({limit}):\n"
              "    name = \"%0200d\" % i\n"
              "    os.close(os.open(name, os.O_CREAT))\n"
              "    os.unlink(name)'", timeout=120)
        for n, event in enumerate(stream):
            if event["type"] == "overflow":
                break
            ok(n < 4 * limit, "an overflow is told")
        s.out("echo x >after")
        for event in stream:
            if event["path"] == "/workspace/after":
                break
        stream.close()


def nothing_stays():
    with Sandbox() as s:
        pid = int(shell("systemctl show -P MainPID sandboxd.service"))
        before = len(os.listdir(f"/proc/{pid}/fd"))
        for _ in range(20):
            stream = sse(f"{s.path}/files/watch?recursive=true", method="GET")
            eq(next(stream)["type"], "ready")
            stream.close()

        def gone():
            s.out("echo x >>file")
            return len(os.listdir(f"/proc/{pid}/fd")) <= before + 2
        wait_for("their descriptors are closed", gone, 30)


if __name__ == "__main__":
    run_tests([kinds, by_the_api, trees, odd_names, refused, ends, daemons_are_killed, slow_readers_hear_of_it,
               nothing_stays])
