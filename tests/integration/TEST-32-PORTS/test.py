# SPDX-License-Identifier: LGPL-2.1-or-later
"""Exposed ports: what passes through them, who gets which port of the host, and that they depend on nothing of ours but
the sandbox."""
import glob
import os
import socket
import threading
import time

from sandboxd import (Sandbox, api, eq, main_pid, ok, request, run_tests, shell, status_of, wait_for)

DAEMONS = "sandboxd.service", "sandbox-execd.service", "sandbox-fsd.service"

# Answers what it gets, and ends a connection when the other side does; the same for datagrams.
SERVER = r"""
import socket, sys, threading
port, family = int(sys.argv[1]), socket.AF_INET6 if "::" in sys.argv[2] else socket.AF_INET
def serve(c):
    while data := c.recv(65536):
        c.sendall(data)
    c.close()
def datagrams():
    u = socket.socket(family, socket.SOCK_DGRAM)
    u.bind((sys.argv[2], port))
    while True:
        data, where = u.recvfrom(65536)
        u.sendto(data, where)
threading.Thread(target=datagrams, daemon=True).start()
s = socket.socket(family, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[2], port))
s.listen(128)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


def start_server(s, port=7, address="127.0.0.1"):
    s.put("/tmp/server.py", SERVER.encode())
    job = s.post("/exec/background", {"command": f"exec python3 /tmp/server.py {port} {address}"})
    wait_for("the server listens", lambda: "ready" in api("GET", f"/exec/background/{job['id']}/logs")["output"], 30)


def expose(s, port=7, expect=200, **more):
    return s.post("/ports", {"containerPort": port, **more}, expect)


def ports(s):
    return api("GET", s.path + "/ports")["ports"]


def connect(port, timeout=30):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def echo(port, data=b"hello"):
    with connect(port) as c:
        c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        got = b""
        while piece := c.recv(65536):
            got += piece
        return got


def is_free(port, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def units(s, pattern="*"):
    return shell(f"systemctl list-units --all --plain --no-legend 'sandbox-port-{s.id[4:]}-{pattern}'").split("\n")[:-1]


def kill_daemons():
    for unit in DAEMONS:
        shell(f"systemctl kill -s KILL {unit}", check=False)


def tcp():
    with Sandbox() as s:
        made = expose(s)
        eq({k: made[k] for k in ("containerPort", "protocol", "state")},
           {"containerPort": 7, "protocol": "tcp", "state": "active"})
        ok(made["hostPort"] >= 1024, "a default below 1024 gives another", made)
        eq(ports(s), [made], "the list")
        start_server(s)
        eq(echo(made["hostPort"]), b"hello")
        ok("metadata" in s.get() and "ports" not in s.get()["metadata"], "metadata is the client's own")


def nobody_listens_inside():
    with Sandbox() as s:
        port = expose(s)["hostPort"]
        with connect(port) as c:
            try:
                eq(c.recv(1), b"", "nobody is there")
            except ConnectionResetError:
                pass


def both_loopbacks():
    with Sandbox() as s:
        port = expose(s)["hostPort"]
        datagrams = expose(s, protocol="udp")["hostPort"]
        start_server(s, address="::1")
        eq(echo(port), b"hello", "a server on ::1 alone")
        # The first one finds out where somebody listens, and may be lost.
        wait_for("a datagram comes back", lambda: ask(datagrams, b"six") == b"six")


def ask(port, data, timeout=1.0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(timeout)
        u.connect(("127.0.0.1", port))
        for _ in range(2):
            u.send(data)
            try:
                return u.recv(65536)
            except (socket.timeout, ConnectionRefusedError):
                pass
        return None


def udp():
    with Sandbox() as s:
        made = expose(s, protocol="udp")
        eq(made["protocol"], "udp")
        start_server(s)
        eq(ask(made["hostPort"], b"to whom it may concern", 30), b"to whom it may concern")
        big = os.urandom(60000)
        eq(ask(made["hostPort"], big, 30), big, "one as large as they get")
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(300)]
        for i, u in enumerate(clients):
            u.settimeout(30)
            u.connect(("127.0.0.1", made["hostPort"]))
            u.send(b"%d" % i)
            eq(u.recv(100), b"%d" % i, "each client gets his own answer")
        for u in clients:
            u.close()


def whole_and_unharmed():
    """Both directions at once, a half-closed connection, and many."""
    data = os.urandom(4 << 20)
    with Sandbox() as s:
        port = expose(s)["hostPort"]
        start_server(s)

        def sender(c):
            c.sendall(data)
            c.shutdown(socket.SHUT_WR)

        with connect(port, 120) as c:
            thread = threading.Thread(target=sender, args=(c,))
            thread.start()
            got = bytearray()
            while piece := c.recv(1 << 16):
                got += piece
            thread.join()
        ok(bytes(got) == data, "what comes back is what was sent", len(got))
        many = [connect(port) for _ in range(100)]
        for i, c in enumerate(many):
            c.sendall(b"%03d" % i)
        for i, c in enumerate(many):
            eq(c.recv(3, socket.MSG_WAITALL), b"%03d" % i)
            c.close()


def host_ports():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    number = taken.getsockname()[1]
    free = free_port()
    with Sandbox() as s, Sandbox() as t:
        other = expose(s, number)["hostPort"]
        ok(other not in (number, 0), "a default that is taken gives another", other)
        expose(s, 80, 409, hostPort=number)
        eq(expose(s, 80, hostPort=free)["hostPort"], free, "one that is asked for")
        expose(t, 80, 409, hostPort=free)
        expose(s, 80, 409)
        expose(s, 22, 403, hostPort=22)
        eq(expose(s, 53, hostPort=free, protocol="udp")["hostPort"], free, "udp has numbers of its own")
        expose(t, 53, 409, hostPort=free, protocol="udp")
        eq([p["containerPort"] for p in ports(t)], [], "what failed left nothing")
        eq(units(t), [])
    taken.close()


def wrong_input():
    with Sandbox() as s:
        for port in (0, 65536, -1, "80", 1e5, 2.5, True, None, [80]):
            expose(s, port, 400)
        for more in ({"hostPort": 0}, {"hostPort": 70000}, {"hostPort": "x"}, {"protocol": "sctp"}, {"protocol": 6}):
            expose(s, 80, 400, **more)
        eq(status_of("POST", s.path + "/ports", {}), 400)
        eq(status_of("DELETE", s.path + "/ports"), 400)
        eq(status_of("DELETE", s.path + "/ports?containerPort=80"), 404)
        for method in ("GET", "POST", "DELETE"):
            eq(status_of(method, "/sandboxes/sbx_0123456789abcdef01234567/ports", {"containerPort": 80}), 404)
        for i in range(16):
            expose(s, 1000 + i)
        expose(s, 2000, 429)
        s.post("/pause")
        expose(s, 80, 409)
        eq(len(ports(s)), 16, "listed while it is paused")
        eq(api("DELETE", s.path + "/ports?containerPort=1000"), {"removed": 1000}, "removed while it is paused")


def removal():
    with Sandbox() as s:
        made = expose(s)
        both = expose(s, protocol="udp")
        start_server(s)
        with connect(made["hostPort"]) as c:
            c.sendall(b"hello")
            eq(c.recv(5), b"hello")
            eq(api("DELETE", s.path + "/ports", {"containerPort": 7}), {"removed": 7})
            ok(is_free(made["hostPort"]) and is_free(both["hostPort"], socket.SOCK_DGRAM), "both protocols are free")
            try:
                eq(c.recv(5), b"", "who was connected is cut off")
            except ConnectionResetError:
                pass
        eq(ports(s), [])
        again = expose(s, hostPort=made["hostPort"])
        eq(echo(again["hostPort"]), b"hello")


def the_same_key():
    with Sandbox() as s:
        first = s.post("/ports", {"containerPort": 7}, headers={"Idempotency-Key": "k" + s.id})
        status, headers, again = request("POST", "/sandbox" + s.path + "/ports", {"containerPort": 7},
                                         headers={"Idempotency-Key": "k" + s.id})
        eq((status, again, headers.get("idempotency-replayed")), (200, first, "true"))


def freed_with_the_sandbox():
    """The number is there for the next one as soon as DELETE is answered."""
    number = free_port()
    for _ in range(5):
        s = Sandbox()
        expose(s, hostPort=number)
        start_server(s)
        eq(echo(number), b"hello")
        s.delete()
    wait_for("the port is free", lambda: is_free(number))
    wait_for("and its units are gone", lambda: not units(s))


def pause():
    with Sandbox() as s:
        port = expose(s)["hostPort"]
        start_server(s)
        s.post("/pause")
        with connect(port) as c:
            c.sendall(b"patience")
            c.settimeout(0.5)
            try:
                ok(False, "an answer of a paused sandbox", c.recv(8))
            except socket.timeout:
                pass
            s.post("/resume")
            c.settimeout(30)
            eq(c.recv(8), b"patience")


def without_any_of_us():
    """All daemons killed and kept from coming back: what is connected goes on, and others can connect."""
    with Sandbox() as s:
        made = expose(s)
        start_server(s)
        c = connect(made["hostPort"])
        c.sendall(b"before")
        eq(c.recv(6), b"before")
        for unit in DAEMONS:
            shell(f"systemctl mask --runtime {unit}")
        try:
            kill_daemons()
            c.sendall(b"after")
            eq(c.recv(5), b"after")
            eq(echo(made["hostPort"]), b"hello")
        finally:
            for unit in DAEMONS:
                shell(f"systemctl unmask --runtime {unit}")
            shell("systemctl start sandboxd.socket sandbox-execd.socket sandbox-fsd.socket")
        eq(ports(s), [made], "the next daemons know it")
        c.sendall(b"still")
        eq(c.recv(5), b"still")
        c.close()
        shell("systemctl daemon-reload")
        eq(echo(made["hostPort"]), b"hello")
        shell("systemctl daemon-reexec")
        eq(echo(made["hostPort"]), b"hello")
        eq(api("DELETE", s.path + "/ports?containerPort=7"), {"removed": 7})
        ok(is_free(made["hostPort"]), "and can take it away")


def the_relay_is_killed():
    with Sandbox() as s:
        port = expose(s)["hostPort"]
        start_server(s)
        for _ in range(3):
            with connect(port) as c:
                c.sendall(b"hello")
                eq(c.recv(5), b"hello")
                shell(f"systemctl kill -s KILL 'sandbox-port-{s.id[4:]}-*.service'")
                try:
                    eq(c.recv(5), b"", "the connection ends with its relay")
                except ConnectionResetError:
                    pass
            eq(echo(port), b"hello", "the next one is served")


def expiry_without_any_of_us():
    s = Sandbox(timeout=60)
    made = expose(s)
    start_server(s)
    eq(echo(made["hostPort"]), b"hello")
    for unit in DAEMONS:
        shell(f"systemctl mask --runtime {unit}")
    try:
        kill_daemons()
        # What sandbox-due does at the deadline: it ends the processes, and knows nothing of ports.
        with open(s.cgroup() + "/cgroup.kill", "w", encoding="ascii") as f:
            f.write("1")
        wait_for("the port is free", lambda: is_free(made["hostPort"]), 30)
        wait_for("and its units are gone", lambda: not units(s), 30)
    finally:
        for unit in DAEMONS:
            shell(f"systemctl unmask --runtime {unit}")
        shell("systemctl start sandboxd.socket sandbox-execd.socket sandbox-fsd.socket")
    wait_for("the record goes, too", lambda: status_of("GET", s.path) == 404 or s.get()["status"] == "failed", 30)
    if status_of("GET", s.path) == 200:
        eq([p["state"] for p in ports(s)], ["mapped"], "of a failed one nobody listens")
        s.delete()


def killed_in_the_middle():
    """Whatever is killed while ports are made: each answer is true, and a second try gives what is missing."""
    with Sandbox() as s:
        made = {}

        def attempt(port):
            status, _, body = request("POST", "/sandbox" + s.path + "/ports", {"containerPort": port})
            ok(status in (200, 409, 503), "an answer", status, body)
            if status == 409:
                ok("already exposed" in body["error"], "a conflict with itself alone", body)
            return body if status == 200 else status == 409

        for port in range(5000, 5012):
            killer = threading.Timer((port - 5000) * 0.002, shell, ["systemctl kill -s KILL sandbox-execd.service",
                                                                    False])
            killer.start()
            made[port] = wait_for("it is exposed", lambda: attempt(port), 60)
            killer.join()
        listed = {p["containerPort"]: p for p in ports(s)}
        eq(sorted(listed), sorted(made))
        for port, answer in made.items():
            eq(listed[port]["state"], "active")
            if answer is not True:
                eq(listed[port]["hostPort"], answer["hostPort"])
            ok(not is_free(listed[port]["hostPort"]), "somebody listens there", listed[port])


def a_row_that_was_lost():
    """sandboxd killed between the listener and its row: the list tells what is there."""
    with Sandbox() as s:
        made = expose(s)
        shell("systemctl stop sandboxd.service")
        shell("""python3 -c 'import sqlite3
c = sqlite3.connect("/var/lib/sandboxd/sandboxd.db")
c.execute("DELETE FROM objects WHERE kind = \\"port\\"")
c.commit()'""")
        eq(ports(s), [made])
        eq(api("DELETE", s.path + "/ports?containerPort=7"), {"removed": 7})


def events():
    with Sandbox() as s:
        made = expose(s)
        api("DELETE", s.path + "/ports?containerPort=7")
        told = api("GET", f"/events/history?sandboxId={s.id}")["events"]
        told = {e["topic"]: e["data"] for e in told if e["topic"].startswith("port.")}
        wanted = {k: made[k] for k in ("containerPort", "hostPort", "protocol")}
        eq(told, {"port.exposed": wanted, "port.removed": wanted})


def walls():
    """The relay is nobody, has no capability, and sees the sandbox's network alone."""
    with Sandbox() as s:
        port = expose(s)["hostPort"]
        start_server(s)
        eq(echo(port), b"hello")
        pid = main_pid(f"sandbox-port-{s.id[4:]}-tcp-7.service")
        init = open(s.cgroup() + "/init/cgroup.procs", encoding="ascii").read().split()[0]
        eq(os.readlink(f"/proc/{pid}/ns/net"), os.readlink(f"/proc/{init}/ns/net"), "network namespace")
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status", encoding="ascii"))
        ok("0" not in status["Uid"].split(), "its user", status["Uid"])
        eq({status[f"Cap{c}"].strip().strip("0") for c in ("Eff", "Prm", "Bnd", "Amb")}, {""}, "capabilities")
        eq(status["NoNewPrivs"].strip(), "1")
        eq(status["Seccomp"].strip(), "2")


def nothing_stays():
    """No relay without connections, and nothing at all without sandboxes."""
    s = Sandbox()
    port = expose(s)["hostPort"]
    start_server(s)
    eq(echo(port), b"hello")
    unit = f"sandbox-port-{s.id[4:]}-tcp-7.service"
    ok(main_pid(unit) > 0, "the relay runs")
    wait_for("the relay leaves when idle", lambda: main_pid(unit) == 0, 60)
    eq(shell(f"systemctl is-failed {unit}", check=False).strip(), "inactive")
    eq(echo(port), b"hello", "and comes back")
    s.delete()
    wait_for("no unit is left", lambda: not shell(
        "systemctl list-units --all --plain --no-legend 'sandbox-port-*'").strip(), 30)
    eq(glob.glob("/run/systemd/transient/sandbox-port-*"), [], "unit files")


if __name__ == "__main__":
    if os.environ.get("TESTBED", "").startswith("vm"):
        # What only a real kernel has: filters of addresses on scopes.
        run_tests([tcp, udp, freed_with_the_sandbox, walls])
    run_tests([tcp, nobody_listens_inside, both_loopbacks, udp, whole_and_unharmed, host_ports, wrong_input, removal,
               the_same_key, freed_with_the_sandbox, pause, without_any_of_us, the_relay_is_killed,
               expiry_without_any_of_us, killed_in_the_middle, a_row_that_was_lost, events, walls, nothing_stays])
