# SPDX-License-Identifier: LGPL-2.1-or-later
"""Downloads and uploads in parts: they fit together, are never of two files, and no crash costs what has come."""
import hashlib
import os
import signal
import socket
import subprocess
import tempfile

from sandboxd import HOST, PORT, Sandbox, api, configure, eq, main_pid, ok, patiently, request, run_tests, shell, wait_for

MIB = 1 << 20
DAEMONS = ["sandboxd.service", "sandbox-fsd.service", "sandbox-execd.service"]


def get(s, path="/workspace/f", **headers):
    names = {"range": "Range", "if_range": "If-Range"}
    return request("GET", f"/sandbox{s.path}/files/raw?path={path}", raw=True,
                   headers={names[k]: v for k, v in headers.items()})


def settled_tag(s):
    """A file that was changed a moment ago has a weak tag."""
    def strong():
        tag = get(s)[1]["etag"]
        return None if tag.startswith("W/") else tag
    return wait_for("the tag is strong", strong)


def parts():
    data = os.urandom(300_000)
    with Sandbox() as s:
        s.put("/workspace/f", data)
        got = b""
        while len(got) < len(data):
            status, headers, part = get(s, range=f"bytes={len(got)}-{len(got) + 70_000 - 1}")
            eq(status, 206)
            eq(headers["content-range"], f"bytes {len(got)}-{len(got) + len(part) - 1}/{len(data)}")
            got += part
        ok(got == data, "the parts are the whole")
        eq(get(s, range="bytes=-5")[2], data[-5:])
        eq(get(s, range=f"bytes={len(data)}-")[0], 416)


def of_one_file():
    with Sandbox() as s:
        s.put("/workspace/f", b"first " * 1000)
        tag = settled_tag(s)
        status, headers, part = get(s, range="bytes=6-", if_range=tag)
        eq((status, len(part), headers["etag"]), (206, 5994, tag))
        # as long, and written over it: neither name, size nor inode differ
        s.out("python3 -c 'f = open(\"/workspace/f\", \"r+\"); f.write(\"other \" * 1000)'")
        status, headers, whole = get(s, range="bytes=6-", if_range=tag)
        eq((status, whole), (200, b"other " * 1000), "the whole of the new one")
        ok(headers["etag"] != tag, "its tag is another")
        eq(get(s, range="bytes=6-", if_range='W/"weak"')[0], 200, "a weak tag fits nothing")
        eq(get(s, range="bytes=6-", if_range='"other"')[0], 200, "nor does a wrong one")


class Upload:
    def __init__(self, s, size, path="/workspace/big", **more):
        self.sandbox, self.size = s, size
        self.id = s.post("/files/uploads", {"path": path, "size": size, **more})["id"]
        self.path = f"/sandbox{s.path}/files/uploads/{self.id}"
        self.part = f"{os.path.dirname(path)}/.sbx-{self.id}"

    def patch(self, offset, data):
        return request("PATCH", self.path, data, {"Upload-Offset": str(offset)})[0]

    def offset(self):
        """As a client asks who goes on, until somebody answers."""
        def ask():
            try:
                status, headers, _ = request("HEAD", self.path)
            except OSError:
                return None
            return headers if status == 200 else None
        headers = wait_for("the upload can be gone on with", ask, 30)
        eq(headers["upload-length"], str(self.size))
        return int(headers["upload-offset"])

    def send_some(self, offset, data):
        """A part that says it will be all of the rest, and stops in the middle: the connection."""
        c = socket.create_connection((HOST, PORT), timeout=60)
        c.sendall(f"PATCH {self.path} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: {offset}\r\n"
                  f"Content-Length: {self.size - offset}\r\n\r\n".encode() + data)
        return c

    def received(self, n):
        wait_for(f"{n} bytes have come", lambda: api("GET", self.path[len("/sandbox"):])["offset"] == n)

    def stored(self):
        return int(self.sandbox.out(f"stat -c %s {self.part}"))


def same(s, path, data):
    eq(s.out(f"sha256sum {path}").split()[0], hashlib.sha256(data).hexdigest(), path)


def upload_in_parts():
    data = os.urandom(5 * MIB)
    with Sandbox() as s:
        s.put("/workspace/big", b"the old one", mode="604")
        u = Upload(s, len(data))
        eq((u.offset(), u.stored()), (0, 0))
        u.send_some(0, data[:3 * MIB]).close()
        # all that reached the kernel here need not have come when the connection broke
        there = u.offset()
        ok(there <= 3 * MIB, "no more than was sent", there)
        eq((u.stored(), s.out("cat /workspace/big")), (there, "the old one"))
        eq(u.patch(there + 1, b"x"), 409)
        eq(u.patch(there, data[there:]), 204)
        same(s, "/workspace/big", data)
        eq(s.out("stat -c %a /workspace/big; ls -A /workspace"), "604\nbig\n")
        eq(u.offset(), len(data), "who missed the end hears of it")


def kills_in_the_middle():
    data = os.urandom(4 * MIB)
    with Sandbox() as s:
        u = Upload(s, len(data))
        there = 0
        for daemon in DAEMONS:
            pid = main_pid(daemon) or wait_for(f"{daemon} runs", lambda: (s.out("true") or True) and main_pid(daemon))
            c = u.send_some(there, data[there:there + MIB])
            u.received(there + MIB)
            os.kill(pid, signal.SIGKILL)
            wait_for("it is gone", lambda: not os.path.exists(f"/proc/{pid}"))
            if daemon != "sandboxd.service":
                u.received(there + MIB) if daemon == "sandbox-execd.service" else None
            there = u.offset()
            eq(there, u.stored(), f"bytes after the death of {daemon}")
            ok(there > 0, "what had come is kept", daemon, there)
            c.close()
        worker = wait_for("a file worker", lambda: shell(f"pgrep -P 1 -f sandbox-files || pgrep -f sandbox-files", check=False).split())
        c = u.send_some(there, data[there:there + 1000])
        u.received(there + 1000)
        for pid in worker:
            os.kill(int(pid), signal.SIGKILL)
        there = u.offset()
        eq(there, u.stored(), "bytes after the death of the worker")
        c.close()
        eq(patiently(lambda: u.patch(there, data[there:])), 204)
        same(s, "/workspace/big", data)


def ends():
    with Sandbox() as s:
        u = Upload(s, 1000)
        eq(u.patch(0, b"x" * 10), 204)
        s.post("/pause")
        eq(request("HEAD", u.path)[0], 409)
        s.post("/resume")
        eq(u.offset(), 10)
        s.out(f"rm {u.part}")
        eq(u.patch(10, b"x"), 404, "taken away from inside")
        made = [Upload(s, 10) for _ in range(16)]
        s.post("/files/uploads", {"path": "x", "size": 1}, expect=429)
        api("DELETE", made[0].path[len("/sandbox"):])
        again = Upload(s, 10)
        api("DELETE", made[1].path[len("/sandbox"):])
        s.post("/files/uploads", {"path": "x", "size": 1 << 33}, expect=507)
    eq(request("HEAD", again.path)[0], 404, "gone with its sandbox")


def nobody_goes_on():
    """Also when sandboxd has left in between: it is started for that."""
    configure(SANDBOX_UPLOAD_AGE_SEC=6, SANDBOX_IDLE_EXIT_SEC=1)
    try:
        with Sandbox() as s:
            u = Upload(s, 1000)
            eq(u.patch(0, b"x" * 10), 204)
            s.run("nohup sh -c 'while test -e %s; do sleep 0.1; done; date >/tmp/gone' >/dev/null 2>&1 &" % u.part)
            wait_for("sandboxd leaves", lambda: main_pid("sandboxd.service") == 0, 30)
            wait_for("and is back", lambda: main_pid("sandboxd.service") != 0, 30)
            wait_for("what had come is deleted", lambda: s.run("test -e /tmp/gone")["exitCode"] == 0)
            eq(request("HEAD", u.path)[0], 404)
    finally:
        configure()


def ctl_copies_on():
    """sandboxctl: both ways, with sandboxd killed in the middle."""
    data = os.urandom(128 * MIB)

    def begun(s, work):
        """One of the two: some has come, there or here."""
        here = [f for f in os.listdir(work) if f.endswith(".part") and os.path.getsize(f"{work}/{f}") > 0]
        return here or [u for u in api("GET", f"{s.path}/files/uploads")["uploads"] if u["status"] == "open" and
                        api("GET", f"{s.path}/files/uploads/{u['id']}")["offset"] > 0]

    with Sandbox() as s, tempfile.TemporaryDirectory() as work:
        with open(f"{work}/a", "wb") as f:
            f.write(data)
        os.chmod(f"{work}/a", 0o640)
        for source, target in ((f"{work}/a", f"{s.id}:/tmp/a"), (f"{s.id}:/tmp/a", f"{work}/b")):
            copy = subprocess.Popen(["sandboxctl", "cp", "-q", source, target], stderr=subprocess.PIPE, text=True)
            kills = 0
            while kills < 3 and wait_for("it is under way", lambda: copy.poll() is not None or begun(s, work)) is not True:
                copy.send_signal(signal.SIGSTOP)
                os.kill(main_pid("sandboxd.service"), signal.SIGKILL)
                copy.send_signal(signal.SIGCONT)
                patiently(s.get)
                kills += 1
            ok(kills > 0, "a kill in the middle")
            error = copy.communicate(timeout=120)[1]
            eq((copy.returncode, error), (0, ""), f"cp {source} {target}")
        same(s, "/tmp/a", data)
        eq(s.out("stat -c %a /tmp/a; ls -A /tmp | wc -l"), "640\n1\n")
        with open(f"{work}/b", "rb") as f:
            ok(f.read() == data, "what came back")


def ctl_tells_who_waits():
    """An interrupted copy leaves nothing behind."""
    with Sandbox() as s, tempfile.TemporaryDirectory() as work:
        with open(f"{work}/a", "wb") as f:
            f.truncate(64 * MIB)
        s.post("/pause")
        done = subprocess.run(["sandboxctl", "cp", "-q", f"{work}/a", f"{s.id}:/tmp/a"], capture_output=True, text=True)
        ok(done.returncode not in (0, None) and "not running" in done.stderr, "the reason", done)
        s.post("/resume")
        uploads = f"{s.path}/files/uploads"
        copy = subprocess.Popen(["sandboxctl", "cp", "-q", f"{work}/a", f"{s.id}:/tmp/a"])
        wait_for("it has begun", lambda: api("GET", uploads)["uploads"] or copy.poll() is not None)
        copy.send_signal(signal.SIGINT)
        if copy.wait(60) != 0:
            eq(copy.returncode, -signal.SIGINT)
            eq(api("GET", uploads)["uploads"], [])
        eq(s.out("ls -A /tmp | grep -c sbx || true"), "0\n")


run_tests([parts, of_one_file, upload_in_parts, kills_in_the_middle, ends, nobody_goes_on, ctl_copies_on, ctl_tells_who_waits])
