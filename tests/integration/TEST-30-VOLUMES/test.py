# SPDX-License-Identifier: LGPL-2.1-or-later
"""Volumes: what is written into one in a sandbox is there in the next, bounded, and nowhere else."""
import os
import threading
import time

from sandboxd import Failure, Sandbox, api, eq, kill_main, ok, run_tests, shell, status_of, wait_for

VM = os.environ.get("TESTBED", "").startswith("vm")
STORE = "/var/lib/sandbox/volumes"
STOP = "systemctl stop sandboxd.service sandbox-execd.service sandbox-fsd.service"


class Volume:
    def __init__(self, **more):
        self.record = api("POST", "/volumes", {"name": "test", **more})
        self.id = self.record["id"]
        self.path = f"/volumes/{self.id}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.delete()
        except (Failure, OSError):
            pass

    def attach(self, s, path="/data", expect=200, **more):
        return api("POST", self.path + "/attach", {"sandboxId": s.id, "mountPath": path, **more}, expect)

    def detach(self, expect=200):
        return api("POST", self.path + "/detach", {}, expect)

    def delete(self, expect=200):
        return api("DELETE", self.path, expect=expect)

    def get(self):
        return api("GET", self.path)


def from_one_to_the_next():
    with Volume() as v, Sandbox() as a, Sandbox() as b:
        eq(v.attach(a), {"attached": True, "mountPath": "/data"})
        eq((v.get()["sandboxId"], v.get()["mountPath"]), (a.id, "/data"))
        a.out("echo hello >/data/file && mkdir /data/sub && chown 1000:1000 /data/sub && chmod 2750 /data/sub")
        eq(a.get_raw("/data/file"), b"hello\n", "the file API in a volume")
        eq(v.detach(), {"detached": True})
        eq(a.out("ls -A /data"), "")
        v.attach(b, "/mnt/deep/volume")
        eq(b.out("cat /mnt/deep/volume/file; stat -c '%u:%g %a' /mnt/deep/volume /mnt/deep/volume/file /mnt/deep/volume/sub"),
           "hello\n0:0 755\n0:0 644\n1000:1000 2750\n")
        v.detach()
        ok("sandboxId" not in v.get(), "nobody has it", v.get())


def refusals():
    with Volume() as v, Sandbox() as a, Sandbox() as b:
        for path in ("", "data", "/", "/data/", "/a//b", "/a/../b", "/./a", "/proc", "/proc/x", "/dev/shm", "/sys", "/" + "x" * 300,
                     "/" + "x/" * 700):
            v.attach(a, path, expect=400)
        v.attach(a, expect=400, readOnly="perhaps")
        api("POST", v.path + "/attach", {"mountPath": "/data"}, 400)
        api("POST", v.path + "/attach", {"mountPath": "/data", "sandboxId": "sbx_" + "0" * 24}, 404)
        for path in ("/vol_" + "0" * 24, "/nonsense"):
            api("POST", f"/volumes{path}/attach", {"mountPath": "/data", "sandboxId": a.id}, 404)
            api("POST", f"/volumes{path}/detach", {}, 404)
            api("DELETE", f"/volumes{path}", expect=404)
            api("GET", f"/volumes{path}", expect=404)
        for size in (0, -1, 1, "x", "1Q", 1.5, [], True, "9999T", 1 << 60):
            eq(status_of("POST", "/volumes", {"name": "x", "size": size}), 400, f"size {size!r}")
        eq(status_of("POST", "/volumes", {"size": 1 << 30}), 400, "no name")
        v.attach(a)
        v.attach(a)  # once more is the same
        eq(a.out("grep -c ' /data ' /proc/self/mountinfo"), "1\n")
        v.attach(b, expect=409)
        v.attach(a, "/other", expect=409)
        v.attach(a, readOnly=True, expect=409)
        v.delete(expect=409)
        with Volume() as w:
            w.attach(a, expect=409)
            w.attach(a, "/data/inner")  # in the other volume
            v.detach(expect=409)
            eq(a.out("echo 1 >/data/inner/file; cat /data/inner/file"), "1\n")
            w.detach()
        v.detach()
        v.detach()


def links_on_the_way():
    with Volume() as v, Sandbox() as s:
        s.out("ln -s /etc /data; mkdir /tmp/d; ln -s ../etc /tmp/d/l; touch /tmp/file")
        for path in ("/data", "/data/x", "/tmp/d/l/y", "/tmp/file", "/tmp/file/z"):
            v.attach(s, path, expect=400)
        eq(s.out("ls /etc/x /etc/y 2>/dev/null; grep -c volumes /proc/self/mountinfo || true"), "0\n")
        # one that comes while it is attached leads detaching nowhere
        v.attach(s, "/tmp/a/b")
        s.out("mv /tmp/a /tmp/moved && ln -s /etc /tmp/a")
        v.detach()
        s.out("test -d /etc")


def busy():
    with Volume() as v, Sandbox() as s:
        v.attach(s)
        job = s.post("/exec/background", {"command": "cd /data && exec sleep 1000"})
        wait_for("it is there", lambda: s.run("readlink /proc/*/cwd | grep -x /data")["exitCode"] == 0)
        v.detach(expect=409)
        eq(v.get()["sandboxId"], s.id, "still attached")
        s.out("echo still >/data/works")
        s.post(f"/exec/{job['id']}/signal", {"signal": "KILL"})
        wait_for("it is free", lambda: status_of("POST", v.path + "/detach", {}) == 200)
        with Sandbox() as other:
            v.attach(other)
            eq(other.out("cat /data/works"), "still\n")


def read_only_and_harmless():
    with Volume() as v, Sandbox() as a, Sandbox() as b:
        v.attach(a)
        a.out("cp /bin/sh /data/sh; chmod 6755 /data/sh; mkdir /data/d; chmod 777 /data/d")
        options = a.out("grep ' /data ' /proc/self/mountinfo")
        ok("nosuid" in options and "nodev" in options, "options of the mount", options)
        ok("/var/lib" not in options or VM, "nothing of the host's paths", options)
        ok(a.run("mknod /data/null c 1 3")["exitCode"] != 0, "no device can be made")
        eq(a.out("su -s /data/sh nobody -c 'id -u' 2>/dev/null || setpriv --reuid 65534 /data/sh -c 'id -u'"), "65534\n")
        v.detach()
        v.attach(b, readOnly=True)
        eq(v.get()["readOnly"], True)
        for command in ("echo >/data/file", "rm /data/sh", "mount -o remount,rw /data", "touch /data/d/x"):
            ok(b.run(command)["exitCode"] != 0, command)
        ok("Read-only" in b.run("touch /data/x")["stderr"], "EROFS")
        b.out("cmp /data/sh /bin/sh")
        v.detach()
        found = shell(f"find {STORE}/{v.id} -xdev -user root").split()
        eq(found, [], "files of the host's root")


def bounds():
    with Volume(size="8M") as v, Sandbox() as s:
        eq(v.record["size"], 8 << 20)
        v.attach(s)
        result = s.run("dd if=/dev/zero of=/data/fill bs=65536 count=1000 2>&1")
        ok("No space" in result["stdout"] or "quota" in result["stdout"], "full", result)
        size = int(s.out("stat -c %s /data/fill"))
        ok((7 << 20) <= size <= (8 << 20), "as much as was asked for", size)
        ok((7 << 20) <= v.get()["used"] <= (8 << 20), "what is said to be used", v.get())
        s.out("rm /data/fill; echo again >/data/file")
        ok(s.run("i=0; while [ $i -lt 3000 ]; do echo >/data/n$i || exit 1; i=$((i+1)); done", timeout=120)["exitCode"] != 0,
           "and no more files than 1024")
        v.detach()


def kept():
    with Volume() as v:
        with Sandbox() as s:
            v.attach(s)
            s.out("echo kept >/data/file")
        ok("sandboxId" not in v.get(), "free after the deletion", v.get())
        s = Sandbox(timeout=60)
        v.attach(s)
        eq(s.out("cat /data/file"), "kept\n")
        shell(STOP)
        # it ends with all daemons dead
        shell(f"systemctl kill -s KILL {s.scope}")
        wait_for("it is gone", lambda: shell(f"systemctl is-active {s.scope}", check=False).strip() != "active")
        wait_for("and nobody has the volume", lambda: "sandboxId" not in v.get() or status_of(
            "POST", v.path + "/detach", {}) == 200)
        api("DELETE", s.path, expect=None)
        with Sandbox() as s:
            v.attach(s)
            eq(s.out("cat /data/file"), "kept\n")
            for unit in ("sandboxd", "sandbox-execd", "sandbox-fsd"):
                shell(f"systemctl kill -s KILL {unit}.service", check=False)
            eq(s.out("cat /data/file"), "kept\n", "after the death of all daemons")
            v.detach()
            eq(s.out("ls -A /data"), "")


def a_file_system_in_a_file():
    """A store on a disk without quotas."""
    shell(STOP)
    image = "/var/tmp/store.img"
    shell(f"truncate -s 200M {image} && mkfs.ext4 -q -F {image} && mount -o loop {image} /var/lib/sandbox && "
          "chown sandbox-fsd: /var/lib/sandbox && chmod 711 /var/lib/sandbox")
    try:
        with Volume(size="16M") as v, Sandbox() as a, Sandbox() as b:
            v.attach(a)
            eq(a.out("ls -A /data; stat -c '%u:%g %a' /data"), "0:0 755\n")
            ok("errors=remount-ro" in shell(f"findmnt -no OPTIONS {STORE}/{v.id}/data"),
               "what the image says of errors, a panic say, does not count")
            result = a.run("echo kept >/data/file; dd if=/dev/zero of=/data/fill bs=65536 count=1000 2>&1")
            ok("No space" in result["stdout"], "full", result)
            ok((12 << 20) <= int(a.out("stat -c %s /data/fill; rm /data/fill")) <= (16 << 20), "nearly as much as was asked for")
            v.detach()
            shell(STOP)
            v.attach(b, readOnly=True)
            eq(b.out("cat /data/file"), "kept\n")
            ok(" / /data " in b.out("cat /proc/self/mountinfo"), "its mount tells of nothing else")
            v.detach()
            v.delete()
        wait_for("the loop device is free", lambda: STORE not in shell("losetup -a"))
        left_behind()
    finally:
        shell(STOP)
        wait_for("it can be unmounted", lambda: os.system("umount /var/lib/sandbox 2>/dev/null") == 0, 60)
        os.unlink(image)


def killed_in_between():
    """Whatever dies at whichever step: asking once more has the effect, and once."""
    with Volume() as v, Sandbox() as a:
        for unit in ("sandboxd", "sandbox-execd", "sandbox-fsd"):
            for work in ("attach", "detach"):
                for pause in (0, 0.001, 0.002, 0.004):
                    if work == "detach":
                        v.attach(a)
                    else:
                        v.detach()
                    body = {"sandboxId": a.id, "mountPath": "/data"} if work == "attach" else {}
                    answers = []

                    def ask():
                        try:
                            answers.append(status_of("POST", f"{v.path}/{work}", body))
                        except OSError:
                            answers.append(0)

                    thread = threading.Thread(target=ask)
                    thread.start()
                    time.sleep(pause)
                    kill_main(f"{unit}.service")
                    thread.join()
                    ok(answers[0] in (0, 200, 503), f"{work} while {unit} dies", answers)
                    wait_for("done when it is asked for once more",
                             lambda: status_of("POST", f"{v.path}/{work}", body) == 200)
                    mounts = a.out("grep -c ' /data ' /proc/self/mountinfo || true").strip()
                    eq(mounts, "1" if work == "attach" else "0", f"mounts after {work} while {unit} died")
                    eq("sandboxId" in v.get(), work == "attach", "what is said")
        v.detach()


def left_behind():
    shell(STOP)
    eq([n for n in os.listdir(STORE) if not n.startswith(".")], [], "directories of volumes")
    eq(shell("grep -c sandbox/volumes /proc/self/mountinfo || true").strip(), "0", "mounts")
    eq(shell("systemctl list-units --all --no-legend 'var-lib-sandbox-volumes-*'").strip(), "", "units")


# Each listing of a directory of the image's that holds so much and has changed is put together anew, under its lock.
HOLD = """
import os, tempfile
for i in range(250000):
    os.close(os.open(f"/mnt/{i}", os.O_CREAT, 0o600))
for _ in range(120):
    if os.fork() == 0:
        while True:
            os.rmdir(tempfile.mkdtemp(dir="/mnt"))
            os.listdir("/mnt")
open("/workspace/ready", "w").close()
os.wait()
"""


def longest_command(s, going_on):
    longest = 0
    while going_on():
        begin = time.monotonic()
        s.out("true")
        longest = max(longest, time.monotonic() - begin)
    return longest


def a_directory_under_lock():
    """Who owns a directory on the way makes whoever looks into it wait, as long as he likes: but nobody else."""
    with Volume() as v, Sandbox(timeout=600, memory=2048) as s, Sandbox(timeout=600) as other:
        s.post("/exec/background", {"command": ["python3", "-c", HOLD]})
        wait_for("the directory is held", lambda: s.run("ls /workspace")["stdout"].split() == ["ready"], 60)
        end = time.monotonic() + 2
        usual = longest_command(other, lambda: time.monotonic() < end)
        for call in (lambda: v.attach(s, "/mnt/data"), v.detach):
            done = []
            calling = threading.Thread(target=lambda c=call: done.append(c()))
            begin = time.monotonic()
            calling.start()
            longest = longest_command(other, calling.is_alive)
            took = time.monotonic() - begin
            print(f"    {done} took {took:.2f} s, a neighbour's commands {longest:.2f} s at most, {usual:.2f} s before")
            ok(done and (longest < took / 2 or longest < 3 * usual), "the neighbour does not wait with it")


# What the store is makes a difference to these; an emulated machine has no time for the others.
ON_DISK = [from_one_to_the_next, bounds, left_behind, a_file_system_in_a_file]

if __name__ == "__main__":
    if VM:
        run_tests(ON_DISK)
    run_tests([
        from_one_to_the_next,
        refusals,
        links_on_the_way,
        busy,
        read_only_and_harmless,
        bounds,
        kept,
        killed_in_between,
        a_directory_under_lock,
        left_behind,
    ])
