# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of sandboxes, from the inside: what can be reached, who one seems to be, who answers. The world is a network
namespace with a public address and a private one."""
import os
import subprocess

from sandboxd import (Sandbox, api, configure, eq, ok, parallel, request, run_tests, shell, status_of, wait_for,
                      while_killing)

PUBLIC, PRIVATE, HOST = "198.51.100.7", "10.77.0.7", "198.51.100.1"
LOG = "/tmp/world.log"

TRY = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), int(sys.argv[3]))
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


def reach(s, address, port=80, seconds=10):
    return s.run(f"python3 -c '{TRY}' {address} {port} {seconds}")["stdout"].strip()


def refused(s, address, port=80):
    answer = reach(s, address, port, 1)
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


def rules(table):
    return shell(f"nft list table inet {table}")


FOREIGN = """
table inet foreign {
    chain forward {
        type filter hook forward priority 0; policy drop;
        iifname "sbe*" tcp dport 80 counter accept
        oifname "sbe*" counter accept
    }
    chain input {
        type filter hook input priority 0; policy accept;
        tcp dport 4444 drop
    }
}
"""


def other_tables():
    """Ours passes what theirs drops no more than theirs lets pass what ours closes; and it comes again when somebody has
    taken all tables away. What it guards stays closed without it."""
    shell(f"nft -f - <<'EOF'\n{FOREIGN}\nEOF")
    before = shell("nft -s list table inet foreign")
    with networked() as a, networked() as b:
        eq(reach(a, PUBLIC), HOST, "what they accept, too")
        refused(a, PUBLIC, 8080)
        refused(a, PRIVATE)
        eq(shell("nft -s list table inet foreign"), before, "a foreign table")
        shell("nft delete table inet foreign && nft flush ruleset")
        eq(shell("nft list tables"), "")
        for address_of_others in (PRIVATE, "169.254.169.254", "10.77.0.1", address(b)):
            refused(a, address_of_others)
        with networked() as c:
            ok("chain outward" in rules("sandboxd"), "the table is there again")
            for s in (a, b, c):
                eq(reach(s, PUBLIC), HOST)


def taken_range():
    """A range that the host has a route into is not used."""
    shell("ip addr add 10.201.7.1/24 dev uplink && systemctl stop sandbox-netd.service")
    try:
        eq(status_of("POST", "/sandboxes", {"image": "host", "network": True}), 503)
    finally:
        shell("ip addr del 10.201.7.1/24 dev uplink && systemctl stop sandbox-netd.service")
    with networked() as s:
        eq(reach(s, PUBLIC), HOST)


def no_forwarding():
    path = "/proc/sys/net/ipv4/ip_forward"
    shell(f"echo 0 >{path}")
    try:
        status, _, answer = request("POST", "/sandbox/sandboxes", {"image": "host", "network": True})
        eq(status, 503)
        ok("ip_forward" in answer["error"], answer)
    finally:
        shell(f"echo 1 >{path}")
    wait_for("nothing is left", lambda: not links() and not api("GET", "/sandboxes")["items"])


def allowed():
    """What an administrator opens."""
    configure(SANDBOX_NETWORK_DNS=PUBLIC, III_MAX_SANDBOXES=400, SANDBOX_NETWORK_ALLOW="10.77.0.7, 10.78.0.0/16")
    with networked() as s:
        eq(reach(s, PRIVATE), "10.77.0.1")
        refused(s, "10.77.0.1")
    configure(SANDBOX_NETWORK_DNS=PUBLIC, III_MAX_SANDBOXES=400)


def killed_in_the_middle():
    """Whoever is killed while sandboxes are made, connected and taken out: what was answered is so, what was not is either
    whole or not there."""
    net = network("robust")
    with Sandbox(name="witness") as witness:
        connect(net, witness)
        listen(witness)
        for i, unit in enumerate(("sandbox-netd", "sandboxd", "sandbox-execd", "sandbox-netd", "sandboxd", "sandbox-fsd") * 2):
            made = []
            while_killing(unit, 0.004 * (i % 5), lambda: made.append(networked(name=f"robust-{i}")))
            for s in made:
                eq(reach(s, PUBLIC), HOST, f"{unit} was killed, the sandbox was answered")
                while_killing(unit, 0.002 * (i % 5), lambda: connect(net, s))
                wait_for("it is a member", lambda: s.id in shown(net)["sandboxes"] or status_of(
                    "POST", f"/networks/{net['id']}/connect", {"sandboxId": s.id}) == 200)
                wait_for("it reaches the others", lambda: reach(s, "witness", 8080) == "hello", 20)
                s.delete()
        for left in api("GET", "/sandboxes?pageSize=200")["items"]:
            if left["name"].startswith("robust-"):
                wait_for("its network is whole", lambda: reach(Known(left["id"]), PUBLIC) == HOST, 20)
                api("DELETE", f"/sandboxes/{left['id']}")
        eq(reach(witness, "127.0.0.1", 8080), "hello")
        wait_for("nobody else is left", lambda: links() == {"sbm00" + witness.id[4:14]})
        eq(shown(net)["sandboxes"], [witness.id])
    api("DELETE", f"/networks/{net['id']}")
    wait_for("nothing is left", lambda: not links())


class Known(Sandbox):
    def __init__(self, sandbox):
        self.id, self.path = sandbox, f"/sandboxes/{sandbox}"
        self.scope = f"sandbox-{sandbox[4:]}.scope"


def expired_without_us():
    """The end of a sandbox takes its wires along, though nothing of ours runs."""
    net = network("brief")
    s = networked(timeout=60)
    connect(net, s)
    shell("systemctl stop sandboxd.socket sandbox-execd.socket sandbox-netd.socket sandboxd.service "
          "sandbox-execd.service sandbox-netd.service 2>/dev/null")
    shell(f"systemctl kill --signal=KILL {s.scope}")
    wait_for("its wires are gone", lambda: not links())
    shell("systemctl start sandboxd.socket sandbox-execd.socket sandbox-netd.socket")
    eq(shown(net)["sandboxes"], [])
    api("DELETE", f"/networks/{net['id']}")


def nobody_is_started():
    """Without a network nothing of it is needed."""
    shell("systemctl stop sandbox-netd.service")
    with Sandbox() as s:
        s.out("true")
    eq(shell("systemctl is-active sandbox-netd.service", check=False).strip(), "inactive")


def many():
    """As many as are promised, at once, each with an address of its own and one table for all."""
    n = int(os.environ.get("TEST_CROWD", "200"))
    size = len(rules("sandboxd"))
    crowd = []
    for i in range(0, n, 4):
        crowd += parallel([networked] * 4)
    eq(len(links()), n)
    addresses = [line.split()[0] for line in shell("ip route").splitlines() if " sbe" in line]
    eq(len(set(addresses)), n)
    eq(len(rules("sandboxd")), size, "the rules")
    eq({reach(s, PUBLIC) for s in crowd[::20] + crowd[-1:]}, {HOST})
    parallel([s.delete for s in crowd[:n // 2]])
    parallel([s.delete for s in crowd[n // 2:]])
    wait_for("nothing is left", lambda: not links(), 30)


if __name__ == "__main__":
    configure(SANDBOX_NETWORK_DNS=PUBLIC, III_MAX_SANDBOXES=400)
    world = begin_world()
    try:
        run_tests([way_out, guarded, spoofed_source, no_ipv6, members, statuses, other_tables, taken_range, no_forwarding,
                   allowed, killed_in_the_middle, expired_without_us, nobody_is_started, many])
    finally:
        world.kill()
