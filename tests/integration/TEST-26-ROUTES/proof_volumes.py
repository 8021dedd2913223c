# SPDX-License-Identifier: LGPL-2.1-or-later
import os

from proof import proof, sandbox
from sandboxd import api, eq

STORE = "/var/lib/sandbox/volumes"


def make(**more):
    return api("POST", "/volumes", {"name": "proof", **more})


def attached(path):
    made = make()
    api("POST", f"/volumes/{made['id']}/attach", {"sandboxId": sandbox().id, "mountPath": path})
    return made["id"]


def remove(volume):
    api("POST", f"/volumes/{volume}/detach", {})
    api("DELETE", f"/volumes/{volume}")


@proof("GET /volumes")
def list_volumes(p):
    made = make(size="2M")
    p.effect("what was made", made in p.good()["volumes"])
    remove(made["id"])
    p.effect("until it is deleted", made not in p.good()["volumes"])
    p.bad(400, query="%zz")


@proof("POST /volumes")
def create(p):
    made = p.good({"name": "proof", "driver": "local"})
    eq(made["dockerVolumeName"], "iii-vol-" + made["id"])
    p.effect("it can be found by its id", api("GET", f"/volumes/{made['id']}")["name"] == "proof")
    remove(made["id"])
    p.bad(400, {"name": "proof", "size": "much"})


@proof("DELETE /volumes/:volume")
def delete(p):
    volume = attached("/gone")
    p.bad(409, volume=volume)
    p.effect("while it is attached it stays", os.path.isdir(f"{STORE}/{volume}"))
    api("POST", f"/volumes/{volume}/detach", {})
    eq(p.good(volume=volume), {"deleted": volume})
    p.effect("nothing is left on disk", not os.path.exists(f"{STORE}/{volume}"))


@proof("GET /volumes/:volume")
def show(p):
    volume = attached("/shown")
    sandbox().out("dd if=/dev/zero of=/shown/file bs=1M count=2 2>/dev/null; sync /shown/file")
    got = p.good(volume=volume)
    p.effect("who has it, and how much is in it", (got["sandboxId"], got["used"] >= 2 << 20) == (sandbox().id, True), got)
    remove(volume)
    p.bad(404, volume=volume)


@proof("POST /volumes/:volume/attach")
def attach(p):
    volume = make()["id"]
    eq(p.good({"sandboxId": sandbox().id, "mountPath": "/here"}, volume=volume), {"attached": True, "mountPath": "/here"})
    p.effect("it is mounted", " /here " in sandbox().out("cat /proc/self/mountinfo"))
    p.bad(409, {"sandboxId": sandbox().id, "mountPath": "/there"}, volume=volume)
    remove(volume)


@proof("POST /volumes/:volume/detach")
def detach(p):
    volume = attached("/away")
    eq(p.good({}, volume=volume), {"detached": True})
    p.effect("it is not mounted any more", " /away " not in sandbox().out("cat /proc/self/mountinfo"))
    remove(volume)
    p.bad(404, {}, volume=volume)
