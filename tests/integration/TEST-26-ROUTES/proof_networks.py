# SPDX-License-Identifier: LGPL-2.1-or-later
import itertools

from proof import proof, sandbox
from sandboxd import Sandbox, api, eq

numbers = itertools.count()


def network():
    return api("POST", "/networks", {"name": f"proof {next(numbers)}"})


def members(net):
    return [n["sandboxes"] for n in api("GET", "/networks")["networks"] if n["id"] == net["id"]]


def interfaces(s):
    return s.out("cat /proc/net/dev").count(" net")


@proof("GET /networks")
def list_networks(p):
    net = network()
    p.effect("one that was made", net in p.good()["networks"])
    p.bad(400, query="%zz")
    api("DELETE", f"/networks/{net['id']}")


@proof("POST /networks")
def create(p):
    net = p.good({"name": "proof"})
    eq((net["name"], net["sandboxes"], net["dockerNetworkId"]), ("proof", [], net["id"]))
    p.effect("it is listed", members(net) == [[]])
    p.bad(409, {"name": "proof"})
    p.bad(400, {"name": ""})
    p.bad(400, {"name": "host's", "driver": "host"})
    api("DELETE", f"/networks/{net['id']}")


@proof("POST /networks/:network/connect")
def connect(p):
    net = network()
    with Sandbox() as s:
        eq(p.good({"sandboxId": s.id}, network=net["id"]), {"connected": True})
        p.effect("it has one more interface, and is listed", interfaces(s) == 1 and members(net) == [[s.id]])
        p.bad(409, {"sandboxId": s.id}, network=net["id"])
        p.bad(404, {"sandboxId": s.id}, network="net_0")
        p.bad(404, {"sandboxId": "sbx_0"}, network=net["id"])
        p.bad(400, {}, network=net["id"])
    api("DELETE", f"/networks/{net['id']}")


@proof("POST /networks/:network/disconnect")
def disconnect(p):
    net = network()
    with Sandbox() as s:
        api("POST", f"/networks/{net['id']}/connect", {"sandboxId": s.id})
        eq(p.good({"sandboxId": s.id}, network=net["id"]), {"disconnected": True})
        p.effect("its interface is gone", interfaces(s) == 0 and members(net) == [[]])
        p.bad(409, {"sandboxId": s.id}, network=net["id"])
    api("DELETE", f"/networks/{net['id']}")


@proof("DELETE /networks/:network")
def delete(p):
    net = network()
    api("POST", f"/networks/{net['id']}/connect", {"sandboxId": sandbox().id})
    before = interfaces(sandbox())
    eq(p.good(network=net["id"]), {"deleted": net["id"]})
    p.effect("so are its members' interfaces", interfaces(sandbox()) == before - 1 and members(net) == [])
    p.bad(404, network=net["id"])
