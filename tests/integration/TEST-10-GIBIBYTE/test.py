# SPDX-License-Identifier: LGPL-2.1-or-later
"""A gibibyte of output and of file in each direction: the daemons stay as small as they were."""
import hashlib
import http.client
import json
import os
import threading

from sandboxd import HOST, PORT, Sandbox, api, eq, main_pid, ok, run_tests, wait_for

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]
SIZE = int(os.environ.get("TEST_SIZE", str(2**30)))


def rss():
    found = {}
    for unit in UNITS:
        pid = main_pid(unit)
        if pid:
            lines = dict(l.split(":", 1) for l in open(f"/proc/{pid}/status") if ":" in l)
            found[unit] = int(lines["RssAnon"].split()[0]) + int(lines["RssShmem"].split()[0])
    return found


class Watch:
    """The largest size of each daemon while the block runs."""

    def __enter__(self):
        self.before, self.most, self.end = rss(), {}, threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.end.wait(0.05):
            for unit, kib in rss().items():
                self.most[unit] = max(kib, self.most.get(unit, 0))

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()
        for unit, kib in self.most.items():
            growth = kib - self.before.get(unit, kib)
            print(f"    {unit}: {self.before.get(unit)} KiB, at most {kib} KiB")
            ok(growth < 8192, f"{unit} grew by KiB", growth)


def output():
    with Sandbox(timeout=900) as s:
        s.out("true")
        with Watch():
            c = http.client.HTTPConnection(HOST, PORT, timeout=120)
            c.request("POST", f"/sandbox{s.path}/exec/stream", json.dumps({"command": f"head -c {SIZE} /dev/zero | tr '\\0' x", "lossless": True}),
                      {"Content-Type": "application/json"})
            n, last = 0, b""
            response = c.getresponse()
            while chunk := response.read(1 << 20):
                n += chunk.count(b"x")
                last = (last + chunk)[-200:]
            ok(b'"type":"exit","data":"0"' in last.replace(b": ", b":").replace(b", ", b","), "the end", last)
            ok(n >= SIZE * 0.999, "bytes", n)
        with Watch():
            r = s.run(f"head -c {SIZE} /dev/zero | tr '\\0' x", timeout=120)
            ok(len(r["stdout"]) >= 10 * 2**20, "head and tail", len(r["stdout"]))


class Zeros:
    def __init__(self, n):
        self.left = n

    def read(self, n=65536):
        k = min(n, self.left, 1 << 20)
        self.left -= k
        return bytes(k)


def file_both_ways():
    with Sandbox(timeout=900, memory=4096) as s:
        s.put("/workspace/warm", b"x")
        s.get_raw("/workspace/warm")
        size = SIZE - 64 * 2**20  # the writable layer is a gibibyte by default
        with Watch():
            c = http.client.HTTPConnection(HOST, PORT, timeout=300)
            c.request("PUT", f"/sandbox{s.path}/files/raw?path=/workspace/big", Zeros(size),
                      {"Content-Length": str(size), "Content-Type": "application/octet-stream"})
            eq(c.getresponse().status, 200, "upload")
        eq(int(s.out("stat -c %s /workspace/big")), size)
        with Watch():
            c = http.client.HTTPConnection(HOST, PORT, timeout=300)
            c.request("GET", f"/sandbox{s.path}/files/raw?path=/workspace/big")
            response, n = c.getresponse(), 0
            while chunk := response.read(1 << 20):
                n += len(chunk)
            eq(n, size, "download")


def slow_reader():
    """A client that does not read neither stops the command nor fills our memory."""
    with Sandbox(timeout=900) as s:
        s.out("true")
        with Watch():
            c = http.client.HTTPConnection(HOST, PORT, timeout=60)
            c.request("POST", f"/sandbox{s.path}/exec/stream", json.dumps(
                {"command": "head -c 300000000 /dev/zero | tr '\\0' x; echo over > /tmp/over"}),
                {"Content-Type": "application/json"})
            wait_for("the command ended", lambda: s.run("cat /tmp/over")["stdout"] == "over\n", 60)
            c.close()


run_tests([output, file_both_ways, slow_reader])
