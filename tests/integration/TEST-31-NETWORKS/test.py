# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of sandboxes, from the inside: what can be reached, who one seems to be, who answers. The world is a network
namespace with a public address and a private one."""
import os
import signal
import subprocess
import time

from sandboxd import Failure, Sandbox, api, configure, eq, main_pid, ok, parallel, run_tests, shell, status_of, wait_for

PUBLIC, PRIVATE, HOST = "198.51.100.7", "10.77.0.7", "198.51.100.1"
LOG = "/tmp/world.log"

TRY = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
    print(s.makefile().read())
except OSError as e:
    print("no:", e.errno or type(e).__name__)
"""


def begin_world():
    shell("ip netns add world && ip link add uplink type veth peer name eth0 netns world && ip link set uplink up && "
          f"ip addr add {HOST}/24 dev uplink && ip addr add 10.77.0.1/24 dev uplink && "
          "ip -n world link set eth0 up && ip -n world link set lo up && "
          f"ip -n world addr add {PUBLIC}/24 dev eth0 && ip -n world addr add {PRIVATE}/24 dev eth0 && "
          f"ip route add default via {PUBLIC} && ip link set lo up")
    world = subprocess.Popen(["ip", "netns", "exec", "world", "python3", "world.py", PUBLIC, LOG],
                             stdout=subprocess.PIPE, text=True)
    eq(world.stdout.readline(), "ready\n")
    return world


SERVE = """
import socket, sys
s = socket.create_server(("", int(sys.argv[1])))
while True:
    c, peer = s.accept()
    c.sendall(b"hello")
    c.close()
"""


def listen(s, port=8080):
    """Says hello to whoever connects."""
    s.post("/exec/background", {"command": f"python3 -c '{SERVE}' {port}"})
    wait_for("its server", lambda: reach(s, "127.0.0.1", port) == "hello")


def reach(s, address, port=80):
    return s.run(f"python3 -c '{TRY}' {address} {port}")["stdout"].strip()


def refused(s, address, port=80):
    answer = reach(s, address, port)
    ok(answer.startswith("no:"), f"{address} port {port} answers:", answer)
    return answer


def links():
    return {line.split(":")[1].split("@")[0].strip() for line in shell("ip -o link").splitlines() if ": sb" in line}


def wire(s):
    return "sbe" + s.id[4:16]


def address(s):
    return shell(f"ip -o link show {wire(s)} | sed -n 's/.*alias //p'").split()[0].rstrip("\\")


def networked(**more):
    return Sandbox(network=True, **more)


def way_out():
    with networked() as s:
        eq(s.get()["config"]["network"], True)
        eq(reach(s, PUBLIC), HOST, "who the world sees")
        eq(s.out("getent ahostsv4 example.test | awk 'NR == 1 { print $1 }'").strip(), PUBLIC, "a name")
        with Sandbox() as closed:
            refused(closed, PUBLIC)
    wait_for("its wire is gone", lambda: not links())


def guarded():
    with networked() as a, networked() as b:
        eq(reach(a, PUBLIC), HOST)
        listen(a)
        for host in (PRIVATE, HOST, "10.77.0.1", "169.254.169.254", "192.0.2.1", "10.201.0.1"):
            refused(a, host, 3111 if host == HOST else 80)
        refused(b, address(a), 8080)


def inside(s, command):
    """As root of the host in the network of the sandbox: what no command of a sandbox may do."""
    pid = shell(f"cat {s.cgroup()}/init/cgroup.procs").split()[0]
    return shell(f"nsenter -t {pid} -n {command}")


SPOOF = """
import socket, struct, sys
source, to = sys.argv[1:]
payload = b"spoofed"
udp = struct.pack(">HHHH", 5353, 9, 8 + len(payload), 0) + payload
ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(to))
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
s.sendto(ip + udp, (to, 0))
n = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
n.sendto(b"honest", (to, 9))
"""


def heard():
    try:
        with open(LOG, encoding="ascii") as f:
            return f.read().split("\n")[:-1]
    except FileNotFoundError:
        return []


def spoofed_source():
    with networked() as a, networked() as b:
        for i, source in enumerate((address(b), "192.0.2.99", HOST, "10.201.0.1")):
            inside(a, f"python3 -c '{SPOOF}' {source} {PUBLIC}")
            wait_for("what was sent after it", lambda: heard().count(f"{HOST} honest") == i + 1)
        ok(not [x for x in heard() if "spoofed" in x], "somebody got it:", heard())
        status = a.run("python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'")["exitCode"]
        ok(status != 0, "a raw socket in a sandbox")


def no_ipv6():
    with networked() as s:
        conf = f"/proc/sys/net/ipv6/conf/{wire(s)}/"
        eq((shell(f"cat {conf}accept_ra").strip(), shell(f"cat {conf}disable_ipv6").strip()), ("0", "1"))
        eq(shell(f"ip -6 -o addr show dev {wire(s)}"), "")
        result = s.run("python3 -c 'import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); "
                       "s.sendto(b\"\", (\"fd00::1\", 9))'")
        ok(result["exitCode"] != 0, "a way to a unique local address")


def network(name):
    return api("POST", "/networks", {"name": name})


def connect(net, s, expect=200):
    return api("POST", f"/networks/{net['id']}/connect", {"sandboxId": s.id}, expect)


def disconnect(net, s, expect=200):
    return api("POST", f"/networks/{net['id']}/disconnect", {"sandboxId": s.id}, expect)


def shown(net):
    return [n for n in api("GET", "/networks")["networks"] if n["id"] == net["id"]][0]


def members():
    net, other = network("blue"), network("green")
    with Sandbox(name="alice") as a, Sandbox(name="bob") as b, Sandbox(name="carol") as c, networked(name="dave") as d:
        for s in (a, b):
            eq(connect(net, s), {"connected": True})
        connect(net, d)
        connect(other, c)
        listen(b)
        at = shown(net)["addresses"]
        eq(shown(net)["sandboxes"], [a.id, b.id, d.id])
        for name in ("bob", b.id, b.id[4:16], at[b.id]):
            eq(reach(a, name, 8080), "hello", f"{name} of a member")
        eq(reach(d, "bob", 8080), "hello", "a member with a way out")
        eq(reach(d, PUBLIC), HOST, "the way out")
        refused(a, PUBLIC)
        refused(c, at[b.id], 8080)
        refused(c, "bob", 8080)
        refused(b, shown(other)["addresses"][c.id], 8080)
        for host in (HOST, "10.77.0.1", "169.254.1.1"):
            refused(a, host, 3111)
        eq(disconnect(net, a), {"disconnected": True})
        refused(a, at[b.id], 8080)
        refused(a, "bob", 8080)
        eq(reach(d, "bob", 8080), "hello", "those who stay")
        connect(net, a)
        eq(reach(a, "bob", 8080), "hello", "who comes again")
        connect(other, a)
        listen(c)
        eq(reach(a, "carol", 8080), "hello", "the second network")
        eq(reach(a, "bob", 8080), "hello", "the first network")
        refused(b, shown(other)["addresses"][c.id], 8080)
        b.delete()
        eq(shown(net)["sandboxes"], [d.id, a.id])
        ok("bob" not in a.out("cat /etc/hosts"), "its name is left")
        eq(api("DELETE", f"/networks/{net['id']}"), {"deleted": net["id"]})
        eq(a.out("grep -c dave /etc/hosts || true").strip(), "0")
        eq(reach(a, "carol", 8080), "hello", "the other network")
        eq({x for x in links() if x.startswith("sbm")}, {f"sbm01{s.id[4:14]}" for s in (a, c)})
        api("DELETE", f"/networks/{other['id']}")
        eq([x for x in links() if x.startswith("sbm")], [])
        eq(a.out("cat /etc/hosts").count("\n"), 3)


def statuses():
    net = network("red")
    api("POST", "/networks", {"name": "red"}, 409)
    api("POST", "/networks", {}, 400)
    api("POST", "/networks", {"name": "x", "driver": "host"}, 400)
    api("POST", "/networks", {"name": "x" * 129}, 400)
    nowhere = {"id": "net_" + "0" * 24}
    with Sandbox() as s:
        connect(nowhere, s, 404)
        disconnect(nowhere, s, 404)
        api("DELETE", f"/networks/{nowhere['id']}", expect=404)
        api("POST", f"/networks/{net['id']}/connect", {"sandboxId": "sbx_" + "0" * 24}, 404)
        api("POST", f"/networks/{net['id']}/connect", {}, 400)
        disconnect(net, s, 409)
        connect(net, s)
        connect(net, s, 409)
        s.post("/pause")
        disconnect(net, s)
        connect(net, s)
        s.post("/resume")
    eq(shown(net)["sandboxes"], [])
    api("DELETE", f"/networks/{net['id']}")
    api("DELETE", f"/networks/{net['id']}", expect=404)


if __name__ == "__main__":
    configure(SANDBOX_NETWORK_DNS=PUBLIC, III_MAX_SANDBOXES=400)
    world = begin_world()
    try:
        run_tests([way_out, guarded, spoofed_source, no_ipv6, members, statuses])
    finally:
        world.kill()
