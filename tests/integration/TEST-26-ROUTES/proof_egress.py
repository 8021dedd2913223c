# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof, sandbox
from sandboxd import Sandbox, api, eq, shell


def restricted(s):
    """Whether the kernel has a list of it."""
    address = shell(f"ip -o link show sbe{s.id[4:16]} | sed -n 's/.*alias //p'").split()[0].rstrip("\\")
    return address in shell("cat /run/sandbox-netd/* 2>/dev/null || true")


@proof("GET /sandboxes/:id/egress")
def show(p):
    with Sandbox(network=True, egress={"allow": ["Example.org", "192.0.2.0/24:443"]}) as s:
        got = p.good(id=s.id)
        eq((got["mode"], got["allow"]), ("list", ["example.org", "192.0.2.0/24:443"]))
        p.effect("it was created so", restricted(s))
        p.bad(409, id=sandbox().id)


@proof("PUT /sandboxes/:id/egress")
def change(p):
    with Sandbox(network=True) as s:
        before = restricted(s)
        eq(p.good({"allow": []}, id=s.id), {"mode": "none", "allow": []})
        p.effect("the kernel has it, and so has the config",
                 not before and restricted(s) and api("GET", s.path)["config"]["egress"] == {"allow": []})
        p.bad(400, {"allow": ["no such thing!"]}, id=s.id)
        eq(p.good({"allow": None}, id=s.id)["mode"], "all")
