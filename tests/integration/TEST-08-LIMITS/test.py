# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits bind, where the controllers are: v1 controllers (hybrid) and cgroup v2 in a virtual machine, which also has a
disk with project quotas for what sandboxes write."""
import contextlib
import os
import time

from probe import run_probe
from sandboxd import Sandbox, api, cgroup_root, eq, ok, request, run_tests, shell, wait_for

V2 = cgroup_root() == "/sys/fs/cgroup"
EMULATED = os.environ.get("TESTBED", "").startswith("vm")
SLOW = 10 if EMULATED else 1
STORE = "/var/lib/sandbox"
QUOTA = "prjquota" in shell(f"findmnt -no OPTIONS {STORE}")

ALLOCATE = "python3 -c 'b = bytearray(1 << 30); print(len(b))'"


@contextlib.contextmanager
def settings(*lines):
    """The services with other settings; what is said on a running one holds from its next start on."""
    path = "/etc/sandboxd/sandboxd.conf.d/90-test.conf"
    services = "sandboxd.service sandbox-execd.service sandbox-fsd.service"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    shell(f"systemctl stop {services}")
    try:
        yield
    finally:
        os.unlink(path)
        shell(f"systemctl stop {services}")


def elapse(seconds):
    begin = time.monotonic()
    wait_for("time passes", lambda: time.monotonic() - begin > seconds, seconds * 3)


def read(path):
    with open(path) as f:
        return f.read().strip()


def key_of(path, key):
    return int(dict(line.split() for line in read(path).splitlines())[key])


def background_end(sandbox, command, seconds):
    bg = sandbox.post("/exec/background", {"command": command})["id"]
    return wait_for(f"{command!r} ends", lambda: (lambda x: x if not x["running"] else None)(
        api("GET", f"/exec/background/{bg}/status")), seconds)


# --- memory

def limits_stand_before_the_first_command():
    if not V2:
        return
    with Sandbox(memory=128, cpu=0.5) as s:
        g = s.cgroup()
        values = [read(f"{g}/{f}") for f in ("memory.max", "memory.swap.max", "pids.max", "cpu.max")]
        eq(values, [str(128 * 2**20), "0", "256", "50000 100000"])
        eq(read(f"{g}/run/memory.oom.group"), "1")


def probe_passes():
    """On the kernels of the virtual machines, and with an upper on a disk."""
    with Sandbox() as s:
        run_probe(s, timeout=60 * SLOW)


def memory_is_bounded():
    with Sandbox(memory=128) as s:
        r = s.run(ALLOCATE, timeout=30 * SLOW)
        eq((r["exitCode"], r.get("oom")), (137, True), f"killed ({r})")
        ok("memory" in r["error"], "the reason", r)
        r = s.run("echo on")
        eq((r["exitCode"], r["stdout"], r.get("oom"), r.get("error")), (0, "on\n", None, None), "the sandbox lives on")
        eq(api("GET", s.path)["status"], "running")
        m = api("GET", s.path + "/metrics")
        eq(m["memoryLimitMb"], 128)
        ok(m["oomKills"] >= 1, "counted", m)


def memory_of_files_is_bounded():
    with Sandbox(memory=128) as s:
        for directory in ("/dev/shm", "/tmp"):
            r = s.run(f"head -c 300000000 /dev/zero > {directory}/x; stat -c %s {directory}/x", timeout=30 * SLOW)
            ok(r["exitCode"] == 137 or int(r["stdout"]) < 128 * 2**20, directory, r)
            ok(r.get("oom") or "No space left" in r["stderr"], "the reason", r)
            s.run(f"rm -f {directory}/x")
        eq(s.out("echo on"), "on\n")


def a_pipeline_dies_as_one():
    if not V2:
        return
    with Sandbox(memory=128) as s:
        status = background_end(s, f"sleep 500 | {ALLOCATE} | sleep 500", 30 * SLOW)
        eq((status["exitCode"], status.get("oom")), (137, True), f"killed ({status})")
        wait_for("all of it", lambda: not s.run("pgrep sleep")["stdout"], 10 * SLOW)
        eq(int(read(s.cgroup() + "/run/cgroup.procs") or 0), 0)


def another_end_is_no_oom():
    with Sandbox(memory=128) as s:
        s.run(ALLOCATE, timeout=30 * SLOW)
        r = s.run("kill -KILL $$")
        eq((r["exitCode"], r.get("oom"), r.get("error")), (137, None, None))


# --- processes and processors

def processes_are_bounded():
    with Sandbox() as s:
        s.post("/limits", {"pids": 64})
        r = s.run("for i in $(seq 200); do sleep 100 & done; jobs -p | wc -l", timeout=30 * SLOW)
        ok("fork" in r["stderr"].lower() or "resource" in r["stderr"].lower(), "refused", r)
        m = api("GET", s.path + "/metrics")
        eq(m["pidsLimit"], 64)
        ok(m["pids"] <= 64, "no more than that", m)
        with Sandbox() as other:
            eq(other.out("echo on"), "on\n", "a neighbour")
        begin = time.monotonic()
        s.delete()
        ok(time.monotonic() - begin < 5 * SLOW, "delete ends it", time.monotonic() - begin)


def processor_is_bounded():
    with Sandbox(cpu=0.5) as s:
        for _ in range(2):
            s.post("/exec/background", {"command": "while :; do :; done"})
        path = s.cgroup() + "/cpu.stat"  # there in the hybrid tree, too
        begin, start = time.monotonic(), key_of(path, "usage_usec")
        elapse(10)
        share = (key_of(path, "usage_usec") - start) / 1e6 / (time.monotonic() - begin)
        ok(share <= 0.58, "share of a processor", share)
        # a quota is a ceiling: others may leave less than that
        ok(share >= 0.40 or os.getloadavg()[0] > 2 * os.cpu_count(), "all of the share", share, os.getloadavg())


RAISE = """
import ctypes, os, resource
def attempt(what, f):
    try:
        f()
        print(what)
    except (OSError, ValueError):
        pass
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
libc = ctypes.CDLL(None, use_errno=True)
def lock():
    libc.mmap.restype = ctypes.c_void_p
    p = libc.mmap(None, ctypes.c_size_t(1 << 30), 3, 0x22, -1, ctypes.c_long(0))
    if libc.mlock(ctypes.c_void_p(p), ctypes.c_size_t(1 << 30)) < 0:
        raise OSError(ctypes.get_errno())
def score():
    with open("/proc/self/oom_score_adj", "w") as f:
        f.write("-1000")
attempt("nofile", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1)))
attempt("nice", lambda: os.nice(-5))
attempt("fifo", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
attempt("score", score)
attempt("mlock", lock)
print("done")
"""


def nothing_is_raised_from_inside():
    with Sandbox() as s:
        s.put("/tmp/raise.py", RAISE.encode())
        eq(s.out("python3 /tmp/raise.py", timeout=30 * SLOW), "done\n")


# --- changes

def limits_change_live():
    with Sandbox(memory=256) as s:
        s.post("/limits", {"memory": 128, "cpu": 0.5, "pids": 32})
        eq(api("GET", s.path + "/metrics")["memoryLimitMb"], 128)
        eq(s.run("python3 -c 'bytearray(200 << 20)'", timeout=30 * SLOW)["exitCode"], 137)
        s.post("/limits", {"memory": 512})
        eq(s.run("python3 -c 'bytearray(200 << 20)'", timeout=30 * SLOW)["exitCode"], 0)
        for limits in ({}, {"memory": 1}, {"pids": -1}, {"ioReadBps": 1}, {"cpu": "much"}):
            s.post("/limits", limits, expect=400)


def disk_bandwidth_is_bounded():
    if not (V2 and QUOTA):
        return
    write = "dd if=/dev/zero of=/workspace/x bs=256k count=16 oflag=direct conv=notrunc 2>/dev/null"
    with Sandbox() as s:
        s.out(write)
        s.post("/limits", {"ioReadBps": 2**20, "ioWriteBps": 2**20})
        device = shell(f"findmnt -no MAJ:MIN {STORE}").strip()
        values = read(s.cgroup() + "/io.max").split()
        eq(values[0], device, "the store's disk")
        ok({"rbps=1048576", "wbps=1048576"} <= set(values), "limits", values)
        for command in (write, "dd if=/workspace/x of=/dev/null bs=256k count=16 iflag=direct 2>/dev/null"):
            begin = time.monotonic()
            s.out(command, timeout=60)
            took = time.monotonic() - begin
            ok(took > 2.5, "4 MiB at 1 MiB/s", command, took)
        m = api("GET", s.path + "/metrics")
        ok(m["ioWriteBytes"] >= 8 * 2**20 and m["ioReadBytes"] >= 4 * 2**20, "counted", m["ioWriteBytes"],
           m["ioReadBytes"], read(s.cgroup() + "/io.stat"))
        s.post("/limits", {"ioReadBps": 2**30, "ioWriteBps": 2**30})
        begin = time.monotonic()
        s.out(write, timeout=60)
        ok(time.monotonic() - begin < took, "lifted", time.monotonic() - begin)


# --- the writable layer

SIZE = 64 * 2**20
BOUNDED = ("SANDBOX_WRITABLE_SIZE=64M", "SANDBOX_WRITABLE_INODES=1000")
FULL = ("No space left", "quota exceeded")


def used_on_host():
    return int(shell(f"df -k --output=used {STORE} | tail -1")) * 1024


def check_full(s, command, what):
    r = s.run(command, timeout=30 * SLOW)
    ok(r["exitCode"] != 0 and any(f in r["stderr"] + r["stdout"] for f in FULL), what, r)


def check_bytes(s):
    eq(int(s.out("df -k --output=size / | tail -1")) * 1024, SIZE, "df shows the limit")
    check_full(s, "dd if=/dev/zero of=/x bs=1M count=100", "bytes")
    size = int(s.out("stat -c %s /x"))
    ok(SIZE * 0.95 <= size <= SIZE, "ends at the limit", size)
    check_full(s, "head -c 1000000 /dev/zero > /usr/x", "/usr is of the same")
    eq(request("PUT", f"/sandbox{s.path}/files/raw?path=/workspace/x", b"x" * 1000000,
               headers={"Content-Type": "application/octet-stream"})[0], 507, "the file API says it")
    s.out("rm -f /x /usr/x")
    # two files: the size of a single one is limited, too
    check_full(s, "fallocate -l 40M /x && fallocate -l 40M /y", "fallocate")
    check_full(s, "rm -f /x /y; truncate -s 60M /x /y && for f in /x /y; do "
                  "dd if=/dev/zero of=$f bs=1M seek=10 count=40 conv=notrunc || exit 1; done", "holes")
    check_full(s, "rm -f /x /y; head -c 40000000 /dev/zero > /x && exec 3< /x && rm /x && "
                  "head -c 40000000 /dev/zero > /y", "what has no name")
    s.out("rm -f /x /y; head -c 1000 /dev/zero > /x && rm /x")


def check_inodes(s):
    total = int(s.out("df --output=itotal / | tail -1"))
    eq(total, 1000, "df shows the limit")
    check_full(s, "mkdir /many; for i in $(seq 1100); do : > /many/$i || exit 1; done", "inodes")
    made = int(s.out("ls /many | wc -l"))
    ok(900 <= made <= 1000, "ends at the limit", made)
    s.out("rm -r /many")


# FS_IOC_FSSETXATTR of another project, and of one that is not inherited
LEAVE = """
import fcntl, os, struct
fd = os.open("/workspace", os.O_RDONLY)
get, set = 0x801c581f, 0x401c5820
try:
    old = list(struct.unpack("5I8x", fcntl.ioctl(fd, get, bytes(28))))
    for i, value in ((3, 0), (3, 7), (0, 0)):
        new = list(old)
        new[i] = value
        try:
            fcntl.ioctl(fd, set, struct.pack("5I8x", *new))
            print("changed", i, value, old)
        except OSError:
            pass
except OSError:
    pass
print("done")
"""


def writable_layer_is_bounded():
    with settings(*BOUNDED):
        before = used_on_host()
        with Sandbox() as s:
            eq(os.path.isdir(f"{STORE}/roots/{full_id(s)}"), QUOTA, "on disk where it can be bounded")
            check_bytes(s)
            check_inodes(s)
            if QUOTA:
                s.put("/workspace/leave.py", LEAVE.encode())
                eq(s.out("python3 /workspace/leave.py", timeout=30 * SLOW), "done\n", "nobody leaves the project")
            s.run("dd if=/dev/zero of=/x bs=1M count=100", timeout=30 * SLOW)
            ok(used_on_host() - before < SIZE * 1.05, "the host's disk", used_on_host() - before)
        wait_for("all is removed", lambda: os.listdir(f"{STORE}/roots") == [], 30)
        wait_for("the host has its space back", lambda: used_on_host() - before < 2**20, 30)
        ok(not project_limits(), "no project is left", project_limits())


def full_id(s):
    """All 32 digits, of which the public id shows 24."""
    return next((n for n in os.listdir("/run/sandboxd/execd") if n.startswith(s.id[4:]) and len(n) == 32), "none")


def project_limits():
    """Our projects that the file system still knows."""
    if not QUOTA:
        return []
    return [line for line in shell(f"repquota -P -n {STORE}").splitlines() if line.startswith("#10737")]


def projects_are_apart():
    if not QUOTA:
        return
    with settings(*BOUNDED):
        with Sandbox() as a, Sandbox() as b:
            eq(len(project_limits()), 2)
            check_full(a, "dd if=/dev/zero of=/x bs=1M count=100", "one is full")
            b.out("head -c 10000000 /dev/zero > /x")
            # what an execd that did not see the creation must free
            shell("systemctl kill -s KILL sandbox-execd.service")
        wait_for("both are forgotten", lambda: not project_limits(), 30)


def a_writable_layer_in_memory():
    with settings(*BOUNDED, "SANDBOX_WRITABLE=tmpfs"):
        with Sandbox() as s:
            ok(not os.path.isdir(f"{STORE}/roots/{full_id(s)}"), "nothing on disk")
            check_bytes(s)
            check_inodes(s)


def no_disk_without_bounds():
    if QUOTA:
        return
    with settings("SANDBOX_WRITABLE=disk"):
        status, _, body = request("POST", "/sandbox/sandboxes", {"image": "test"})
        eq(status, 503, body)
        ok("project quotas" in body["error"], "the reason", body)
        wait_for("nothing is left", lambda: os.listdir(f"{STORE}/roots") == [], 30)


# --- pause, figures

def pause_freezes():
    if not V2:
        return
    with Sandbox() as s:
        s.post("/exec/background", {"command": "while :; do :; done"})
        s.post("/pause")
        g = s.cgroup()
        wait_for("frozen", lambda: "frozen 1" in read(g + "/run/cgroup.events"))
        used = key_of(g + "/run/cpu.stat", "usage_usec")
        elapse(1)
        eq(key_of(g + "/run/cpu.stat", "usage_usec"), used, "no cpu is used")
        s.post("/resume")
        eq(s.out("echo on"), "on\n")
        wait_for("it goes on", lambda: key_of(g + "/run/cpu.stat", "usage_usec") > used + 1000)


def stats_name_their_source():
    with Sandbox(memory=256) as s:
        s.out("python3 -c 'bytearray(50 << 20)'", timeout=30 * SLOW)
        m = api("GET", s.path + "/metrics")
        eq(m["source"], "cgroup" if V2 else "cgroup-v1", m)
        ok(50 <= m["memoryPeakMb"] <= 256 and 0 <= m["memoryUsageMb"] <= m["memoryPeakMb"], "memory", m)
        ok(1 <= m["pids"] <= 20, "processes", m)
        ok("not exact" not in shell(f"sandboxctl status {s.id}"), "the figures are the kernel's, and so shown")


run_tests([limits_stand_before_the_first_command, probe_passes, memory_is_bounded, memory_of_files_is_bounded,
           a_pipeline_dies_as_one, another_end_is_no_oom, processes_are_bounded, processor_is_bounded,
           nothing_is_raised_from_inside, limits_change_live, disk_bandwidth_is_bounded, writable_layer_is_bounded,
           projects_are_apart, a_writable_layer_in_memory, no_disk_without_bounds, pause_freezes, stats_name_their_source])
