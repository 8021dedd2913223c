# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof
from sandboxd import Sandbox, api, eq, status_of


def make(name, **config):
    return api("POST", "/templates", {"name": name, "config": {"image": "alpine:3.19", **config}})


@proof("GET /templates")
def list_templates(p):
    made = make("listed")
    p.effect("one that was made", made["id"] in [t["id"] for t in p.good()["templates"]])
    api("DELETE", f"/templates/{made['id']}")
    p.effect("until it is deleted", made["id"] not in [t["id"] for t in p.good()["templates"]])
    p.bad(400, query="%zz")


@proof("POST /templates")
def create(p):
    made = p.good({"name": "proof", "config": {"image": "alpine:3.19", "memory": 222}})
    with Sandbox(template="proof") as s:
        config = s.get()["config"]
        p.effect("a sandbox is made by it", (config["image"], config["memory"]) == ("alpine:3.19", 222), config)
    p.bad(400, {"name": "proof-2", "config": {"memory": 64}})
    api("DELETE", f"/templates/{made['id']}")


@proof("DELETE /templates/:template")
def delete(p):
    made = make("unwanted")
    eq(p.good(template=made["id"]), {"deleted": made["id"]})
    wanted = {"image": "host", "template": "unwanted"}
    p.effect("none can be made by it", status_of("POST", "/sandboxes", wanted) == 404)
    p.bad(404, template=made["id"])


@proof("GET /templates/:template")
def get(p):
    made = make("shown", memory=333)
    p.effect("it shows what was made", p.good(template=made["id"])["config"]["memory"] == 333)
    api("DELETE", f"/templates/{made['id']}")
    p.bad(404, template=made["id"])
