# SPDX-License-Identifier: LGPL-2.1-or-later
import socket

from proof import proof, sandbox
from sandboxd import Sandbox, api, eq, wait_for


def greeting(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as c:
        return c.recv(5)


SERVER = "exec python3 -c 'import socket\ns = socket.create_server((\"127.0.0.1\", 99))\nprint(1, flush=True)\n" \
         "while True: s.accept()[0].send(b\"hello\")'"


@proof("POST /sandboxes/:id/ports")
def expose(p):
    with Sandbox() as s:
        job = s.post("/exec/background", {"command": SERVER})
        wait_for("the server listens", lambda: api("GET", f"/exec/background/{job['id']}/logs")["output"], 30)
        made = p.good({"containerPort": 99}, id=s.id)
        p.effect("who connects to the host's port is in the sandbox", greeting(made["hostPort"]) == b"hello", made)
        p.bad(409, {"containerPort": 99}, id=s.id)
        p.bad(400, {"containerPort": 0}, id=s.id)


@proof("GET /sandboxes/:id/ports")
def list_ports(p):
    with Sandbox() as s:
        made = s.post("/ports", {"containerPort": 99, "protocol": "udp"})
        p.effect("what was exposed", p.good(id=s.id)["ports"] == [made])
        p.bad(404, id="sbx_0123456789abcdef01234567")


@proof("DELETE /sandboxes/:id/ports")
def remove(p):
    made = sandbox().post("/ports", {"containerPort": 99})
    eq(p.good({"containerPort": 99}, id=sandbox().id), {"removed": 99})
    with socket.socket() as probe:
        p.effect("nobody listens any more", probe.connect_ex(("127.0.0.1", made["hostPort"])) != 0)
    p.bad(404, {"containerPort": 99}, id=sandbox().id)
