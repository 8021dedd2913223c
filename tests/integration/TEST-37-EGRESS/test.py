# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a sandbox may reach: lists of prefixes and names, changed while it runs, whoever is killed. The world is a network
namespace with servers and a name server of its own."""
import json
import os
import re
import subprocess
import time

from sandboxd import (Failure, Sandbox, api, configure, eq, kill_main, main_pid, ok, parallel, request, run_tests,
                      shell, status_of, wait_for, while_killing)

WEB, OTHER, NAMES, PRIVATE, HOST = "198.51.100.7", "198.51.100.8", "198.51.100.53", "10.77.0.7", "198.51.100.1"
ZONE, LOG = "/tmp/zone.json", "/tmp/names.log"
DAEMONS = ("sandbox-netd", "sandbox-dns", "sandboxd", "sandbox-execd", "sandbox-fsd")
SETTINGS = {"SANDBOX_NETWORK_DNS": NAMES, "III_MAX_SANDBOXES": 400, "SANDBOX_EGRESS_TTL_MIN_SEC": 1}

NAMES_OF_WORLD = {
    "web.test": [["A", 300, WEB], ["TXT", 300, "hello"]],
    "other.test": [["A", 300, OTHER], ["A", 300, OTHER]],
    "alias.test": [["CNAME", 300, "a.chain.test"]],
    "a.chain.test": [["CNAME", 300, "b.chain.test"]],
    "b.chain.test": [["A", 300, WEB]],
    "deep.sub.test": [["A", 300, WEB]],
    "sub.test": [["A", 300, OTHER]],
    "evil.test": [["A", 300, PRIVATE], ["A", 300, "127.0.0.1"], ["A", 300, "169.254.169.254"]],
    "half.test": [["A", 300, PRIVATE], ["A", 300, OTHER]],
    "short.test": [["A", 1, OTHER]],
    "large.test": [["A", 300, f"198.51.100.{n}"] for n in range(100, 150)] + [["A", 300, OTHER]],
}

TRY = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
    print(s.makefile().read())
except OSError as e:
    print("no:", e.errno or type(e).__name__)
"""

# A connection that is used all the time; the file says how it is.
HOLD = """
import socket, sys, time
def say(text):
    with open(sys.argv[3] + ".new", "w") as f:
        f.write(text)
    import os
    os.rename(sys.argv[3] + ".new", sys.argv[3])
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(5)
n = 0
try:
    while True:
        s.sendall(b"x")
        if not s.recv(1):
            raise OSError("end")
        n += 1
        say(f"alive {n}")
        time.sleep(0.05)
except OSError as e:
    say(f"cut {e.errno}")
"""

# One question, as bytes; the answer's code and addresses.
ASK = """
import socket, struct, sys
server, name, kind, way = sys.argv[1:]
q = b"\\x12\\x34\\x01\\x00\\0\\1\\0\\0\\0\\0\\0\\0" + b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\\0"
q += struct.pack(">HH", int(kind), 1)
try:
    if way == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(3)
        s.connect((server, 53))
        s.send(q)
        r = s.recv(4096)
    else:
        s = socket.create_connection((server, 53), 3)
        s.sendall(struct.pack(">H", len(q)) + q)
        f = s.makefile("rb")
        r = f.read(struct.unpack(">H", f.read(2))[0])
    assert r[:2] == b"\\x12\\x34"
    print(r[3] & 15, struct.unpack(">H", r[6:8])[0], r[2] >> 1 & 1)
except OSError as e:
    print("no:", e.errno or type(e).__name__)
"""


def begin_world():
    with open(ZONE, "w", encoding="ascii") as f:
        json.dump(NAMES_OF_WORLD, f)
    addresses = " && ".join(f"ip -n world addr add {a}/24 dev eth0" for a in (WEB, OTHER, NAMES, PRIVATE))
    shell("ip netns add world && ip link add uplink type veth peer name eth0 netns world && ip link set uplink up && "
          f"ip addr add {HOST}/24 dev uplink && ip addr add 10.77.0.1/24 dev uplink && ip -n world link set eth0 up && "
          f"ip -n world link set lo up && {addresses} && ip route add default via {WEB} && ip link set lo up")
    world = subprocess.Popen(["ip", "netns", "exec", "world", "python3", "world.py", ZONE, LOG, NAMES], stdout=subprocess.PIPE,
                             text=True)
    eq(world.stdout.readline(), "ready\n")
    return world


def python(s, script, *arguments):
    return s.run(f"python3 -c '{script}' " + " ".join(str(a) for a in arguments))["stdout"].strip()


def reach(s, address, port=80, seconds=5):
    return python(s, TRY, address, port, seconds)


def refused(s, address, port=80):
    answer = reach(s, address, port, 1)
    ok(answer.startswith("no:"), f"{address} port {port} answers:", answer)


def ask(s, name, kind=1, server="10.201.0.1", way="udp"):
    return python(s, ASK, server, name, kind, way)


def listed(*entries, **more):
    return Sandbox(network=True, egress={"allow": list(entries)}, **more)


def allow(s, entries, expect=200):
    return api("PUT", f"{s.path}/egress", {"allow": entries}, expect)


def shown(s):
    return api("GET", f"{s.path}/egress")


def wire(s):
    return "sbe" + s.id[4:16]


def address(s):
    return shell(f"ip -o link show {wire(s)} | sed -n 's/.*alias //p'").split()[0].rstrip("\\")


def inside(s, script, *arguments):
    """As root of the host in the network of the sandbox, so that none of our daemons is needed."""
    pid = shell(f"cat {s.cgroup()}/init/cgroup.procs").split()[0]
    return subprocess.run(["nsenter", "-t", pid, "-n", "python3", "-c", script, *map(str, arguments)],
                          stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def hold(s, name, port=7, file="held"):
    s.post("/exec/background", {"command": f"python3 -c '{HOLD}' {name} {port} /tmp/{file}"})
    wait_for("the connection stands", lambda: held(s, file).startswith("alive"))


def held(s, file="held"):
    return s.run(f"cat /tmp/{file} 2>/dev/null")["stdout"].strip()


def still_alive(s, file="held"):
    before = held(s, file)
    ok(before.startswith("alive"), "the connection:", before)
    wait_for("it goes on", lambda: held(s, file) not in (before, "") and held(s, file).startswith("alive"))


def rules():
    return shell("nft -n list table inet sandboxd")


def elements(name):
    text = shell(f"nft -n list {'map' if name.startswith('pinned') else 'set'} inet sandboxd {name}")
    return re.findall(r"\d+\.\d+\.\d+\.\d+", text.split("elements", 1)[1]) if "elements" in text else []


STATE = ("accepted", "current", "denied", "named", "pinned", "pinned_ports", "prefix_ports", "prefixes", "refused",
         "restricted", "unlogged")


def leftovers():
    files = shell("ls /run/sandbox-netd /run/sandbox-dns | grep -v ':$' | grep . || true").split()
    return files + [n for n in STATE if elements(n)]


def nothing_left():
    try:
        wait_for("nothing of lists is left", lambda: not leftovers(), 20)
    except Failure:
        raise Failure(f"left: {leftovers()}") from None


def asked():
    with open(LOG, encoding="ascii") as f:
        return f.read().split("\n")[:-1]


def everything():
    with Sandbox(network=True) as s:
        for a in (WEB, OTHER, "web.test", "other.test"):
            eq(reach(s, a), HOST, a)
        eq(shown(s), {"mode": "all", "allow": None})
        eq(api("GET", s.path)["config"].get("egress"), None)


def prefixes():
    with listed(WEB + "/32", OTHER + ":8080", "198.51.100.9:80", "198.51.100.8/31:443") as s:
        eq(shown(s)["mode"], "list")
        eq(shown(s)["allow"], [WEB, OTHER + ":8080", "198.51.100.9:80", "198.51.100.8/31:443"])
        eq(reach(s, WEB), HOST)
        eq(reach(s, WEB, 8080), HOST)
        eq(reach(s, OTHER, 8080), HOST)
        eq(reach(s, OTHER, 443), HOST)
        refused(s, OTHER)
        refused(s, "web.test")
        eq(ask(s, "web.test"), "5 0 0")
    with listed() as s:
        eq(shown(s)["mode"], "none")
        refused(s, WEB)
        refused(s, "web.test")
    nothing_left()


def the_guard_wins():
    with listed("0.0.0.0/0") as s, Sandbox(network=True) as other:
        eq(reach(s, WEB), HOST)
        for a in (PRIVATE, "10.77.0.1", "169.254.169.254", address(other), "10.201.0.1"):
            refused(s, a)
        refused(s, HOST, 3111)
        refused(s, "169.254.1.53", 1053)
        ok(python(s, ASK.replace("53))", "1053))"), "169.254.1.53", "web.test", 1, "udp").startswith("no:"), "past the rules")


def names():
    with listed("web.test") as s:
        refused(s, WEB)
        refused(s, OTHER)
        before = len(asked())
        refused(s, "other.test")
        eq(ask(s, "other.test"), "5 0 0", "a name that is not listed")
        eq([x for x in asked()[before:] if x.startswith("other")], [], "what went on to the name server")
        eq(reach(s, "web.test"), HOST)
        eq(reach(s, WEB), HOST, "its address, now that it was asked for")
        eq(reach(s, "WEB.Test."), HOST, "the same name otherwise")
        refused(s, OTHER)
        eq(ask(s, "web.test", 16), "0 1 0", "another type")
        eq(ask(s, "web.test", 28), "0 0 0", "an address of IPv6")
        eq(ask(s, "web.test", 255), "4 0 0", "all types")
        eq(ask(s, "x.web.test"), "5 0 0", "a name below it")
        eq(ask(s, "nothing.web.test".replace("nothing.", "")), "0 1 0")
    nothing_left()


def wildcards_and_ports():
    with listed("*.sub.test:80", "other.test:8080") as s:
        eq(reach(s, "deep.sub.test"), HOST)
        refused(s, "deep.sub.test", 443)
        eq(ask(s, "sub.test"), "5 0 0", "not below it")
        eq(reach(s, "other.test", 8080), HOST)
        refused(s, "other.test", 80)
    nothing_left()


def no_other_resolver():
    with listed("web.test", NAMES + "/32", WEB) as s:
        eq(ask(s, "web.test"), "0 1 0")
        for way in ("udp", "tcp"):
            ok(ask(s, "other.test", 1, NAMES, way).startswith("no:"), f"another name server by {way}")
        refused(s, WEB, 853)
        eq(reach(s, NAMES, 80), HOST)
    with listed(NAMES + "/32") as s:
        eq(ask(s, "sub.test", 1, NAMES), "0 1 0", "a list without names has its own name server")


def aliases():
    with listed("alias.test") as s:
        eq(reach(s, "alias.test"), HOST)
        eq(ask(s, "b.chain.test"), "5 0 0", "what it is an alias of")


def private_answers():
    with listed("evil.test", "half.test") as s:
        eq(ask(s, "evil.test"), "0 3 0")
        refused(s, "evil.test")
        eq(reach(s, "half.test"), HOST, "the address that is none")
        refused(s, PRIVATE)
        mine = address(s)
        ok(not [x for x in elements("pinned") if x not in (mine, OTHER)], "private addresses are open:", elements("pinned"))
        ok([r for r in shown(s)["recent"] if r.get("name") == "evil.test" and r["decision"] == "private"], shown(s))
    configure(**SETTINGS, SANDBOX_NETWORK_ALLOW=PRIVATE)
    with listed("evil.test") as s:
        eq(reach(s, "evil.test"), "10.77.0.1", "what the administrator opens")
    configure(**SETTINGS)


def times():
    with listed("short.test", "web.test") as s:
        hold(s, "short.test")
        eq(reach(s, OTHER), HOST)
        wait_for("its time is over", lambda: reach(s, OTHER, 80, 1).startswith("no:"), 20)
        still_alive(s)
        eq(reach(s, "short.test"), HOST, "asked for again")


def large_answers():
    with listed("large.test") as s:
        eq(ask(s, "large.test"), "0 0 1", "cut off")
        eq(ask(s, "large.test", way="tcp"), "0 51 0")
        eq(len(elements("pinned")), 2 * 51)
        eq(reach(s, OTHER), HOST)
        eq(ask(s, "other.test", way="tcp"), "5 0 0")


def live_changes():
    with Sandbox(network=True) as s:
        hold(s, WEB, file="web")
        hold(s, OTHER, file="other")
        eq(allow(s, [WEB]), {"mode": "list", "allow": [WEB]})
        wait_for("what is not listed is cut", lambda: held(s, "other").startswith("cut"))
        still_alive(s, "web")
        refused(s, OTHER)
        allow(s, ["other.test", "web.test", WEB])
        eq(reach(s, "other.test"), HOST)
        hold(s, "other.test", file="named")
        hold(s, "web.test", file="both")
        allow(s, ["other.test", "web.test"])
        still_alive(s, "named")
        allow(s, ["web.test"])
        wait_for("the name that was taken off is cut", lambda: held(s, "named").startswith("cut"))
        refused(s, OTHER)
        eq(ask(s, "other.test"), "5 0 0")
        hold(s, "web.test", file="last")
        allow(s, ["198.51.0.0/16", "198.51.100.0/24", WEB])
        allow(s, ["198.51.100.0/24"])
        eq(reach(s, OTHER), HOST)
        eq(api("GET", s.path)["config"]["egress"], {"allow": ["198.51.100.0/24"]})
        allow(s, [])
        wait_for("all is cut", lambda: held(s, "last").startswith("cut"))
        refused(s, WEB)
        eq(allow(s, None), {"mode": "all", "allow": None})
        eq(reach(s, "other.test"), HOST)
        nothing_left()
    topics = [e["data"]["mode"] for e in api("GET", "/events/history?topic=sandbox.egress&limit=100")["events"]
              if e["sandboxId"] == s.id]
    eq(len(topics), 8)


def killed():
    """What is in force stays so, whoever ends, and comes to the same when it is changed then."""
    with listed("web.test", "198.51.100.9/32") as s:
        hold(s, "web.test")
        for unit in DAEMONS:
            kill_main(unit)
            eq(inside(s, TRY, WEB, 80, 5), HOST, f"without {unit}")
            ok(inside(s, TRY, OTHER, 80, 1).startswith("no:"), f"without {unit}: the other")
            eq(reach(s, "web.test"), HOST, f"after {unit}")
            refused(s, "other.test")
            kill_main(unit)
            allow(s, ["web.test", "other.test"])
            kill_main(unit)
            eq(reach(s, "other.test"), HOST)
            kill_main(unit)
            allow(s, ["web.test"])
            refused(s, OTHER)
            still_alive(s)


def without_us():
    with listed("web.test") as s:
        hold(s, "web.test")
        names_of_units = " ".join(f"{d}.{k}" for d in DAEMONS for k in ("socket", "service"))
        shell(f"systemctl stop {names_of_units} sandbox-netd-pins.socket sandbox-dns-names.socket 2>/dev/null")
        eq(inside(s, TRY, WEB, 80, 5), HOST)
        ok(inside(s, TRY, OTHER, 80, 1).startswith("no:"), "the other")
        shell("systemctl start " + " ".join(f"{d}.socket" for d in DAEMONS) +
              " sandbox-netd-pins.socket sandbox-dns-names.socket")
        still_alive(s)
        eq(reach(s, "web.test"), HOST)


def journal(s, unit):
    lines = shell(f"journalctl -u {unit} -o json --no-pager | tail -n 3000").splitlines()
    return [e for e in map(json.loads, lines) if str(e.get("SANDBOX_ID", "")).startswith(s.id[4:])]


def decisions():
    with listed("web.test", "evil.test") as s:
        reach(s, "web.test")
        for _ in range(3):
            refused(s, "other.test")
        refused(s, OTHER, 8080)
        ask(s, "evil.test")
        got = shown(s)
        counters, recent = got["counters"], got["recent"]
        ok(counters["connectionsAllowed"] >= 1 and counters["packetsDenied"] >= 1, counters)
        ok(counters["namesAllowed"] >= 1 and counters["namesDenied"] >= 3 and counters["namesPrivate"] >= 1, counters)
        denied = [r for r in recent if r["kind"] == "connection"]
        eq([(r["address"], r["port"], r["protocol"], r["decision"]) for r in denied], [(OTHER, 8080, "tcp", "denied")])
        eq({(r["name"], r["decision"]) for r in recent if r["kind"] == "name" and r["type"] == 1},
           {("web.test", "allowed"), ("other.test", "denied"), ("evil.test", "private")})
        log = shell(f"sandboxctl egress log {s.id}")
        for row in (r"denied +name +other\.test A +\d+", rf"denied +connection +{re.escape(OTHER)}:8080/tcp +\d+"):
            ok(re.search(rf"^{row}$", log, re.M), row, log)
        wait_for("the connection is in the journal", lambda: [
            e for e in journal(s, "sandbox-netd") if e.get("EGRESS_ADDRESS") == OTHER and e["EGRESS_PORT"] == "8080"])
        eq({(e["EGRESS_NAME"], e["EGRESS_DECISION"]) for e in journal(s, "sandbox-dns") if e["EGRESS_TYPE"] == "1"},
           {("web.test", "allowed"), ("other.test", "denied"), ("evil.test", "private")})
        kill_main("sandbox-dns")
        kill_main("sandbox-netd")
        after = shown(s)["counters"]
        ok(all(after[k] >= counters[k] for k in counters), "after a kill:", after)


FLOOD = """
import socket
q = b"\\x12\\x34\\x01\\x00\\0\\1\\0\\0\\0\\0\\0\\0"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.201.0.1", 53))
t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(3000):
    n = b"x%d" % i
    s.send(q + bytes([len(n)]) + n + b"\\4evil\\0\\0\\1\\0\\1")
    try:
        t.sendto(b"", ("198.51.100.8", 1 + i))
    except OSError:
        pass
    if i % 16 == 0:
        s.recv(512)
"""


def floods():
    """Neither the journal nor the answer grows with what a sandbox does; the others go on."""
    with listed("web.test") as s, listed("web.test") as quiet:
        python(s, FLOOD)
        eq(reach(quiet, "web.test"), HOST)
        got = shown(s)
        ok(len(got["recent"]) <= 64 + 256, len(got["recent"]))
        ok(got["counters"]["namesDenied"] > 500, got["counters"])
        ok(len(journal(s, "sandbox-dns")) < 150, len(journal(s, "sandbox-dns")))
        ok(len(elements("denied")) < 2 * 600, len(elements("denied")))


def malformed():
    """What is no question gets no answer, or one that says so; the service lives."""
    script = """
import os, socket, random
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.201.0.1", 53))
random.seed(7)
good = b"\\x12\\x34\\x01\\x00\\0\\1\\0\\0\\0\\0\\0\\0\\3web\\4test\\0\\0\\1\\0\\1"
for i in range(2000):
    b = bytearray(good)
    for _ in range(random.randrange(1, 6)):
        b[random.randrange(len(b))] = random.randrange(256)
    s.send(bytes(b[:random.randrange(1, len(b) + 1)]))
c = socket.create_connection(("10.201.0.1", 53))
c.sendall(b"\\xff\\xff" + b"x" * 1000)
"""
    with listed("web.test") as s:
        pid = wait_for("it runs", lambda: ask(s, "web.test") == "0 1 0" and main_pid("sandbox-dns"))
        python(s, script)
        eq(reach(s, "web.test"), HOST)
        eq(main_pid("sandbox-dns"), pid, "the same process")


def copies():
    with listed("web.test") as s:
        twin = s.post("/clone", {})
        try:
            eq(twin["config"]["egress"], {"allow": ["web.test"]})
            t = Known(twin["id"])
            eq(reach(t, "web.test"), HOST)
            refused(t, OTHER)
        finally:
            api("DELETE", f"/sandboxes/{twin['id']}")
    template = api("POST", "/templates", {"name": "closed", "config": {"image": "host", "network": True,
                                                                       "egress": {"allow": ["WEB.test"]}}})
    with Sandbox(template="closed") as s:
        refused(s, OTHER)
        eq(reach(s, "web.test"), HOST)
    api("DELETE", f"/templates/{template['id']}")
    nothing_left()


class Known(Sandbox):
    def __init__(self, sandbox):
        self.id, self.path = sandbox, f"/sandboxes/{sandbox}"
        self.scope = f"sandbox-{sandbox[4:]}.scope"


def members():
    """Networks of users go on beside a list, with their names."""
    net = api("POST", "/networks", {"name": "blue"})
    with listed("web.test", name="alice") as a, Sandbox(name="bob") as b:
        for s in (a, b):
            api("POST", f"/networks/{net['id']}/connect", {"sandboxId": s.id})
        b.post("/exec/background", {"command": "python3 -m http.server 8080"})
        wait_for("its server", lambda: not reach(b, "127.0.0.1", 8080, 0.2).startswith("no: 111"))
        ok(not reach(a, "bob", 8080, 0.5).startswith("no: 1"), reach(a, "bob", 8080, 0.5))
        eq(reach(a, "web.test"), HOST)
        refused(a, OTHER)
    api("DELETE", f"/networks/{net['id']}")


FOREIGN = """
table inet foreign {
    chain forward {
        type filter hook forward priority 0; policy drop;
        iifname "sbe*" tcp dport 80 accept
        oifname "sbe*" accept
    }
}
"""


def other_tables():
    shell(f"nft -f - <<'EOF'\n{FOREIGN}\nEOF")
    before = shell("nft -s list table inet foreign")
    with listed("web.test", OTHER) as s:
        eq(reach(s, "web.test"), HOST)
        refused(s, WEB, 8080)
        refused(s, "198.51.100.53")
        eq(shell("nft -s list table inet foreign"), before, "a foreign table")
        shell("nft flush ruleset")
        shown(s)
        eq(reach(s, "web.test"), HOST, "the list is there again")
        eq(reach(s, OTHER), HOST)
        refused(s, NAMES)


def statuses():
    for bad in ("x", {}, {"allow": "x"}, {"allow": [1]}, {"allow": ["a b"]}, {"allow": ["10.0.0.1/8"]}, {"allow": ["1.2.3"]},
                {"allow": ["*"]}, {"allow": ["web.test:0"]}, {"allow": ["web.test:70000"]}, {"allow": ["x" * 64 + ".test"]},
                {"allow": ["::/0"]}, {"allow": ["web.test\u0000.evil"]}, {"allow": ["web.test"] * 257}, {"deny": []}):
        eq(status_of("POST", "/sandboxes", {"image": "host", "network": True, "egress": bad}), 400, bad)
    eq(status_of("POST", "/sandboxes", {"image": "host", "egress": {"allow": []}}), 400)
    with Sandbox() as s:
        allow(s, [], 409)
        api("GET", f"{s.path}/egress", expect=409)
    with Sandbox(network=True) as s:
        api("PUT", f"{s.path}/egress", {}, 400)
        allow(s, ["a b"], 400)
        allow(s, "web.test", 400)
        eq(shown(s)["mode"], "all")
        s.post("/pause")
        allow(s, ["web.test"])
        s.post("/resume")
        refused(s, OTHER)
    api("PUT", f"/sandboxes/sbx_{'0' * 24}/egress", {"allow": []}, 404)
    eq(api("GET", "/sandboxes")["items"], [])
    nothing_left()


def metrics(s):
    return api("GET", f"{s.path}/metrics")


def figures():
    """Bytes that went over the wire, as the kernel counts them."""
    with Sandbox(network=True) as s, Sandbox() as closed:
        before = metrics(s)
        python(s, """
import socket
c = socket.create_connection(("198.51.100.7", 7))
for _ in range(100):
    c.sendall(b"x" * 10000)
    n = 0
    while n < 10000:
        n += len(c.recv(65536))
""")
        after = metrics(s)
        for k in ("networkRxBytes", "networkTxBytes"):
            ok(1000000 <= after[k] - before[k] < 1500000, k, before[k], after[k])
        eq((metrics(closed)["networkRxBytes"], metrics(closed)["networkTxBytes"]), (0, 0))
        text = request("GET", "/sandbox/metrics?format=prometheus")[2].decode()
        value = re.search(f'sandbox_network_received_bytes_total{{sandbox="{s.id}"}} (\\d+)', text)
        ok(value and int(value[1]) >= after["networkRxBytes"], "Prometheus")
        ok(f'received_bytes_total{{sandbox="{closed.id}"' not in text, "one without a network")
        rows = api("GET", "/sandboxes?metrics=true")["items"]
        eq([r["metrics"]["networkTxBytes"] > 1000000 for r in rows if r["id"] == s.id], [True])


def killed_in_the_middle():
    """Whatever a change came to: what is shown is in force, and what is in force is a whole list."""
    lists = (["web.test", OTHER], ["other.test", WEB], [])
    with listed(WEB) as s:
        for i, unit in enumerate(("sandbox-netd", "sandboxd", "sandbox-dns", "sandbox-execd") * 3):
            while_killing(unit, 0.003 * (i % 5), lambda: allow(s, lists[i % 3]))
            wait_for("it answers", lambda: status_of("GET", f"{s.path}/egress") == 200, 20)
            for address_listed in (WEB, OTHER):
                def agrees():
                    entries = shown(s)["allow"]
                    name = "web.test" if address_listed == WEB else "other.test"
                    wanted = address_listed in entries
                    return (not reach(s, address_listed, 80, 1).startswith("no:")) == wanted or name in entries
                wait_for(f"{address_listed} is as it is shown after {unit}", agrees, 20)
            for name, its in (("web.test", WEB), ("other.test", OTHER)):
                entries = shown(s)["allow"]
                if its not in entries:
                    eq(not reach(s, name, 80, 1).startswith("no:"), name in entries, f"{name} after {unit}")
            made = []
            while_killing(unit, 0.004 * (i % 5), lambda: made.append(listed("web.test", name=f"made-{i}")))
            for m in made:
                refused(m, OTHER)
                eq(reach(m, "web.test"), HOST)
                m.delete()
        for left in api("GET", "/sandboxes?pageSize=200")["items"]:
            if left["name"].startswith("made-"):
                m = Known(left["id"])
                wait_for("its list is in force", lambda: reach(m, OTHER, 80, 1).startswith("no:") and
                         reach(m, "web.test", 80, 1) == HOST, 20)
                api("DELETE", f"/sandboxes/{left['id']}")
    nothing_left()


def expired_without_us():
    s = listed("web.test", timeout=60)
    eq(reach(s, "web.test"), HOST)
    units = " ".join(f"{d}.{k}" for d in DAEMONS for k in ("socket", "service"))
    shell(f"systemctl stop {units} 2>/dev/null")
    shell(f"systemctl kill --signal=KILL {s.scope}")
    wait_for("its wire is gone", lambda: wire(s) not in shell("ip -o link"))
    shell("systemctl start " + " ".join(f"{d}.socket" for d in DAEMONS))
    eq(api("GET", "/sandboxes")["items"], [])
    nothing_left()


def many():
    """As many as are promised, each with a list; one table of rules for all."""
    n = int(os.environ.get("TEST_CROWD", "200"))
    crowd = []
    for i in range(0, n, 4):
        crowd += parallel([lambda k=k: listed("web.test", "*.sub.test:80", f"198.51.100.{k % 200 + 20}") for k in range(i, i + 4)])
    eq(len(set(elements("restricted"))), n)
    eq({reach(s, "web.test") for s in crowd[::20] + crowd[-1:]}, {HOST})
    for s in crowd[::50]:
        refused(s, OTHER)
    size = rules().count("chain ")
    allow(crowd[0], [OTHER])
    eq(reach(crowd[0], OTHER), HOST)
    refused(crowd[1], OTHER)
    eq(rules().count("chain "), size)
    parallel([s.delete for s in crowd[:n // 2]])
    parallel([s.delete for s in crowd[n // 2:]])
    nothing_left()


if __name__ == "__main__":
    configure(**SETTINGS)
    world = begin_world()
    open(LOG, "w", encoding="ascii").close()
    try:
        run_tests([everything, prefixes, the_guard_wins, names, wildcards_and_ports, no_other_resolver, aliases,
                   private_answers, times, large_answers, live_changes, killed, without_us, decisions, floods, malformed,
                   copies, members, other_tables, statuses, figures, killed_in_the_middle, expired_without_us, many])
    finally:
        world.kill()
