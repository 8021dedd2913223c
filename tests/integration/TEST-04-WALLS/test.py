# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a sandbox is shut off from, read back from inside and from the host."""
import ctypes
import json
import os
import shutil
import socket
import stat
import subprocess

from probe import run_probe
from sandboxd import Sandbox, cgroup_root, eq, ok, request, run_tests, shell, wait_for

S = None


def init_pid(s):
    return int(open(s.cgroup() + "/init/cgroup.procs").read().split()[0])


def probe_passes():
    run_probe(S)


def ranges_do_not_overlap():
    with Sandbox() as other:
        maps = [open(f"/proc/{init_pid(s)}/uid_map").read().split() for s in (S, other)]
        bases = [int(m[1]) for m in maps]
        ok(abs(bases[0] - bases[1]) >= 65536 and all(b % 65536 == 0 for b in bases), "bases", bases)
        for kind in ("user", "mnt", "pid", "ipc", "uts", "net", "cgroup"):
            three = [os.readlink(f"/proc/{p}/ns/{kind}") for p in (1, init_pid(S), init_pid(other))]
            eq(len(set(three)), 3, f"namespaces of {kind}")


def set_uid_gives_nothing():
    S.out("cp $(command -v python3) /workspace/py; chown 0:0 /workspace/py; chmod 4755 /workspace/py; chmod 755 /workspace")
    code = "import os; print(os.geteuid()); print([l for l in open('/proc/self/status') if l.startswith('CapEff')][0].split()[1])"
    out = S.run(["python3", "-c", f"import os; os.setgroups([]); os.setgid(1000); os.setuid(1000); "
                 f"os.execv('/workspace/py', ['py', '-c', {code!r}])"])
    eq(out["stdout"].split(), ["1000", "0000000000000000"], out["stderr"])


FILE_CAPABILITY = """
import os, shutil, struct, sys
shutil.copy(sys.executable, "/workspace/cap"); os.chmod("/workspace/cap", 0o755)
# version 2, effective, CAP_NET_RAW and CAP_SYS_ADMIN permitted
os.setxattr("/workspace/cap", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13 | 1 << 21, 0, 0, 0))
os.setgroups([]); os.setgid(1000); os.setuid(1000)
os.execv("/workspace/cap", ["cap", "-c", "print([l for l in open('/proc/self/status') if l.startswith('CapEff')][0].split()[1])"])
"""


def file_capabilities_give_nothing():
    r = S.run(["python3", "-c", FILE_CAPABILITY])
    ok(r["stdout"].strip() == "0000000000000000" or "not permitted" in r["stderr"], "no capability", r)


def common_programs_work():
    for command, expected in (("python3 -c 'import ssl, sqlite3, json; print(1)'", "1\n"),
                              ("awk 'BEGIN { print 2 }'", "2\n"),
                              ("cd /tmp && tar cf t.tar -C /etc passwd && tar tf t.tar", "passwd\n"),
                              ("su nobody -s /bin/sh -c 'id -un'", "nobody\n"),
                              ("getent passwd root | cut -d: -f1", "root\n"),
                              ("touch /usr/bin/zz && echo writable", "writable\n"),
                              ("rm -rf /etc/alternatives && mkdir /etc/alternatives && ls /etc/alternatives | wc -l", "0\n")):
        eq(S.out(command), expected, command)
    for program, command, expected in (
            ("node", "node -e 'let s=0;for(let i=0;i<1e7;i++)s+=i;console.log(s)'", "49999995000000\n"),
            ("git", "git init -q /tmp/g && cd /tmp/g && git -c user.name=a -c user.email=b commit -q --allow-empty -m m && "
                    "git log --format=%s", "m\n"),
            ("gcc", "cd /tmp && echo 'int main(void){return 7;}' > a.c && gcc a.c && ./a.out; echo $?", "7\n")):
        if S.run(f"command -v {program}")["exitCode"] == 0:
            eq(S.out(command, timeout=60), expected, command)
        else:
            print(f"    not in this image: {program}")


def nothing_of_the_host_in_sight():
    eq(S.out("find / -xdev -type s 2>/dev/null | wc -l").strip(), "0", "sockets")
    eq(S.out("cat /proc/net/unix | tail -n +2 | wc -l").strip(), "0", "unix sockets")
    ok("127.0.0.1" in S.out("cat /etc/hosts"), "hosts")
    eq(S.out("cat /etc/hostname; hostname").split(), [S.id[4:16]] * 2)
    ok("$" not in S.run("cat /etc/shadow")["stdout"], "no password of the host")


REACH = """
import errno, socket, sys, time
port, own = int(sys.argv[1]), sys.argv[2]
for host in ("127.0.0.1", "::1", own, "169.254.169.254", "192.0.2.1", "10.0.0.1"):
    begin = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=30)
        print("reached", host)
    except OSError as e:
        local = host in ("127.0.0.1", "::1")
        if e.errno not in ((errno.ECONNREFUSED, errno.EADDRNOTAVAIL) if local else (errno.ENETUNREACH, errno.EHOSTUNREACH)):
            print("strange", host, e)
    if time.monotonic() - begin > 20:
        print("slow", host)
for family, group in ((socket.AF_INET, "224.0.0.1"), (socket.AF_INET6, "ff02::1")):
    try:
        socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (group, 9))
        print("sent to", group)
    except OSError:
        pass
try:
    socket.getaddrinfo("sandbox.test.example", 80)
    print("resolved")
except OSError:
    pass
a = socket.socket(socket.AF_UNIX)
try:
    a.connect("\\0host-abstract")
    print("reached the abstract socket")
except ConnectionRefusedError:
    pass
a.bind("\\0host-abstract")
print("done")
"""


def own_address():
    """One of the host's that is not loopback, or a documentation address where it has none."""
    found = shell("ip -4 -o addr show scope global", check=False).split()
    return found[found.index("inet") + 1].split("/")[0] if "inet" in found else "198.51.100.1"


def the_host_is_not_reached():
    with socket.create_server(("0.0.0.0", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0host-abstract")
        abstract.listen()
        r = S.run(["python3", "-c", REACH, str(listener.getsockname()[1]), own_address()], timeout=60)
        eq((r["exitCode"], r["stdout"]), (0, "done\n"), r["stderr"])
        listener.settimeout(0.1)
        try:
            listener.accept()
            ok(False, "somebody came through")
        except socket.timeout:
            pass


EXHAUST = """
import ctypes, os, resource, socket
libc = ctypes.CDLL(None, use_errno=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
def until_refused(what, make, most):
    kept = []
    try:
        for _ in range(most):
            kept.append(make())
        print("no end:", what)
    except OSError:
        pass
    for k in kept:
        k.close() if hasattr(k, "close") else [os.close(f) for f in (k if isinstance(k, tuple) else (k,))]
def checked(r):
    if r < 0:
        raise OSError(ctypes.get_errno(), "call")
    return r
until_refused("inotify", lambda: checked(libc.inotify_init1(0)), 100000)
until_refused("pipes", os.pipe, 100000)
until_refused("sockets", socket.socket, 100000)
segments = []
try:
    for _ in range(100000):
        segments.append(checked(libc.shmget(0, ctypes.c_size_t(4096), 0o1600)))
    print("no end: shm")
except OSError:
    pass
for s in segments:
    libc.shmctl(s, 0, None)
queues = 0
try:
    for i in range(100000):
        checked(libc.mq_open(b"/q%d" % i, 0o102, 0o600, None)); queues += 1
    print("no end: queues")
except OSError:
    pass
for i in range(queues):
    libc.mq_unlink(b"/q%d" % i)
print("done")
"""


def tables_of_the_kernel_are_bounded():
    with Sandbox() as other:
        r = S.run(["python3", "-c", EXHAUST], timeout=120)
        eq((r["exitCode"], r["stdout"]), (0, "done\n"), r["stderr"])
        eq(other.out("python3 -c 'import os, socket; os.pipe(); socket.socket(); print(1)'"), "1\n", "a neighbour")


QUEUES = """
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
n = 0
while libc.mq_open(b"/q%d" % n, 0o102, 0o600, None) >= 0:
    n += 1
print(n, flush=True)
time.sleep(600)
"""


def the_host_keeps_its_message_queues():
    """What a sandbox has is counted against whoever made its user namespace, too: root of the host."""
    with Sandbox() as s:
        s.put("/workspace/queues.py", QUEUES.encode())
        s.post("/exec/background", {"command": "python3 /workspace/queues.py >/workspace/n"})
        wait_for("it has all that it gets", lambda: s.run("cat /workspace/n")["stdout"].strip())
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.mq_open(b"/of-the-host", os.O_CREAT | os.O_RDWR, 0o600, None)
        error = ctypes.get_errno()
        libc.mq_unlink(b"/of-the-host")
        ok(fd >= 0, "root of the host makes a queue", os.strerror(error))
        os.close(fd)


EXEC1 = "/usr/lib/sandboxd/tests/exec1-tool"
TREE = "/run/tree-of-the-host"


def exec1(user, *arguments):
    return subprocess.run(["runuser", "-u", user, "--", EXEC1, *arguments], capture_output=True, text=True)


def sandboxd_names_no_tree_of_the_host():
    """Whoever has taken over sandboxd can pass any directory as a layer: what root of the host owns would be root's
    of the sandbox. Only what images.d lists is shown by its own ids, and all else is the store's."""
    os.makedirs(TREE)
    try:
        for name in ("lib", "lib64", "bin"):
            if os.path.exists("/hostusr/" + name):
                os.symlink("usr/" + name, f"{TREE}/{name}")
        with open(TREE + "/secret", "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write("of the host's root")
        store = [e.path for e in os.scandir("/var/lib/sandbox/images") if e.is_dir(follow_symlinks=False)][0] + ":foreign"
        for mounts in ([f"layer={TREE}", "usr=/hostusr"], [f"layer={TREE}:foreign", "usr=/hostusr"],
                       [f"layer={store}", f"usr={TREE}"]):
            done = exec1("sandboxd", "create", *mounts)
            if done.returncode == 0:
                told = shell(f"{EXEC1} exec {done.stdout.strip()} -- /usr/bin/cat /secret", check=False)
                shell(f"{EXEC1} kill {done.stdout.strip()}")
                ok(False, "a sandbox on it, which reads", mounts, told)
            ok("Denied" in done.stderr, "the reason", mounts, done.stderr)
        done = exec1("sandboxd", "create", f"layer={store}", "usr=/hostusr")
        eq(done.returncode, 0, f"what is listed, and of the store: {done.stderr}")
        shell(f"{EXEC1} kill {done.stdout.strip()}")
        done = exec1("root", "create", f"layer={TREE}", "usr=/hostusr")
        eq(done.returncode, 0, f"root may: {done.stderr}")
        eq(shell(f"{EXEC1} exec {done.stdout.strip()} -- /usr/bin/cat /secret"), "of the host's root")
        shell(f"{EXEC1} kill {done.stdout.strip()}")
    finally:
        shutil.rmtree(TREE)


def loopback_works_inside():
    eq(S.out("""python3 - <<'P'
import socket, threading
l = socket.create_server(("127.0.0.1", 8080))
threading.Thread(target=lambda: l.accept()[0].sendall(b"hi")).start()
print(socket.create_connection(("127.0.0.1", 8080)).recv(9))
P"""), "b'hi'\n")


def two_listen_on_one_port():
    with Sandbox() as other:
        server = "python3 -m http.server 8080 --bind 127.0.0.1"
        for s in (S, other):
            s.post("/exec/background", {"command": server})
        for s in (S, other):
            s.out("for i in $(seq 100); do python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8080))' "
                  "2>/dev/null && exit 0; sleep 0.05; done; exit 1")


def doctor(status):
    done = subprocess.run(["sandboxctl", "doctor", "--json"], capture_output=True, text=True)
    eq(done.returncode, status, f"exit status ({done.stdout!r:.2000} {done.stderr!r:.200})")
    rows = {row["check"]: row for row in json.loads(done.stdout)}
    for row in rows.values():
        ok(row["found"] and (row["level"] == "ok") == (row["advice"] == ""), "found, and what to do", row)
    return rows


def doctor_tells_what_holds():
    rows = doctor(0)
    levels = {name: row["level"] for name, row in rows.items()}
    for name in ("kernel", "systemd", "accounts", "cgroup kill", "freezer", "user namespaces", "namespaces", "id ranges",
                 "overlay", "seccomp", "sums", "hardening", "sockets", "api socket"):
        eq(levels[name], "ok", f"{name} ({rows[name]['found']})")
    eq(levels["tokens"], "warn", "no token, but a TCP socket")
    eq(levels["cgroup v2"], "ok" if cgroup_root() == "/sys/fs/cgroup" else "warn", "cgroup v2")
    with open(cgroup_root() + "/cgroup.controllers") as f:
        whole = {"cpu", "io", "memory", "pids"} <= set(f.read().split())
    eq(levels["controllers"], "ok" if whole else "warn", "controllers")


def doctor_sees_what_was_taken_away():
    directory = "/run/systemd/system/sandboxd.service.d"
    os.makedirs(directory, exist_ok=True)
    try:
        with open(directory + "/90-weak.conf", "w") as f:
            f.write("[Service]\nProtectSystem=no\n")
        shell("systemctl daemon-reload")
        row = doctor(0)["hardening"]
        eq((row["level"], row["found"]), ("warn", "sandboxd.service: ProtectSystem=no"))
    finally:
        shutil.rmtree(directory)
        shell("systemctl daemon-reload")
    eq(doctor(0)["hardening"]["level"], "ok", "as before")
    shell("systemctl stop sandbox-fsd.socket")
    try:
        eq(doctor(1)["sockets"]["level"], "missing", "a socket that does not listen")
    finally:
        shell("systemctl start sandbox-fsd.socket")
    doctor(0)


def limits_stand_on_the_scope():
    with Sandbox(memory=128, cpu=0.5) as s:
        shown = dict(line.split("=", 1) for line in shell(
            f"systemctl show {s.scope} -p MemoryMax -p MemorySwapMax -p TasksMax -p CPUQuotaPerSecUSec -p KillSignal "
            "-p Delegate -p Slice -p IPAddressDeny -p IPAddressAllow").splitlines())
        eq((shown["MemoryMax"], shown["MemorySwapMax"], shown["TasksMax"], shown["CPUQuotaPerSecUSec"], shown["KillSignal"],
            shown["Delegate"]),
           (str(128 * 2**20), "0", "256", "500ms", "9", "yes"))
        eq((set(shown["IPAddressDeny"].split()), set(shown["IPAddressAllow"].split())),
           ({"::/0", "0.0.0.0/0"}, {"127.0.0.0/8", "::1/128"}))
        ok(shown["Slice"].startswith("sandbox-") and shown["Slice"].endswith(".slice"), "slice", shown)


def devices_are_refused_by_the_slice():
    """A process of the host with all rights, moved into a sandbox's cgroup, opens /dev/null and nothing else."""
    eq(shell("systemctl show -p DevicePolicy --value sandbox.slice").strip(), "closed")
    if cgroup_root().endswith("unified"):
        print("devices are a matter of a v1 controller here, which scopes are not put into")
        return
    nodes = {"/root/null": (1, 3), "/root/kmsg": (1, 11)}
    for path, device in nodes.items():
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(*device))
    try:
        opened = "for n in null kmsg; do if (: >/root/$n) 2>/dev/null; then echo $n; fi; done"
        if "kmsg" not in shell(opened).split():
            print("no device to be refused here")
            return
        eq(shell(f"echo $$ >{S.cgroup()}/init/cgroup.procs; {opened}").split(), ["null"])
    finally:
        for path in nodes:
            os.unlink(path)


def main():
    global S
    with Sandbox(timeout=900) as S:
        run_tests([probe_passes, ranges_do_not_overlap, set_uid_gives_nothing, file_capabilities_give_nothing,
                   common_programs_work, nothing_of_the_host_in_sight, the_host_is_not_reached,
                   tables_of_the_kernel_are_bounded, the_host_keeps_its_message_queues,
                   sandboxd_names_no_tree_of_the_host, loopback_works_inside, two_listen_on_one_port,
                   limits_stand_on_the_scope, devices_are_refused_by_the_slice, doctor_tells_what_holds, doctor_sees_what_was_taken_away])


main()
