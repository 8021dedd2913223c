# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a sandbox is shut off from, read back from inside and from the host."""
import os

from probe import run_probe
from sandboxd import Sandbox, eq, ok, request, run_tests, shell

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


def limits_stand_on_the_scope():
    with Sandbox(memory=128, cpu=0.5) as s:
        shown = dict(line.split("=", 1) for line in shell(
            f"systemctl show {s.scope} -p MemoryMax -p MemorySwapMax -p TasksMax -p CPUQuotaPerSecUSec -p KillSignal "
            "-p Delegate -p DevicePolicy -p Slice").splitlines())
        eq((shown["MemoryMax"], shown["MemorySwapMax"], shown["TasksMax"], shown["CPUQuotaPerSecUSec"], shown["KillSignal"],
            shown["Delegate"], shown["DevicePolicy"]),
           (str(128 * 2**20), "0", "256", "500ms", "9", "yes", "closed"))
        ok(shown["Slice"].startswith("sandbox-") and shown["Slice"].endswith(".slice"), "slice", shown)


def main():
    global S
    with Sandbox(timeout=900) as S:
        run_tests([probe_passes, ranges_do_not_overlap, set_uid_gives_nothing, common_programs_work,
                   nothing_of_the_host_in_sight, loopback_works_inside, two_listen_on_one_port, limits_stand_on_the_scope])


main()
