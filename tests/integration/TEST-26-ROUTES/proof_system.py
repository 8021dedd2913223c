# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import subprocess
import time

from proof import PREFIX, proof
from sandboxd import Sandbox, api, eq, main_pid, request, shell, status_of, wait_for

MALFORMED = "%zz"
CATALOG = "/etc/sandboxd/images.d/90-proof.conf"
SETTINGS = "/run/sandboxd/sandboxd.conf.d/90-proof.conf"


@proof("POST /admin/sweep")
def sweep(p):
    os.makedirs(os.path.dirname(SETTINGS), exist_ok=True)
    api("GET", "/health")
    with open(SETTINGS, "w", encoding="ascii") as f:
        f.write("III_DEFAULT_TIMEOUT=1\n")
    try:
        shell("systemctl reload sandboxd.service")
        with Sandbox(timeout=3600) as other, Sandbox() as short:
            wait_for("its time is over", lambda: time.time() * 1000 > short.record["expiresAt"])
            p.good()
            p.effect("what is past its end is gone", status_of("GET", short.path) == 404)
            p.effect("what is not lives on", other.get()["status"] == "running")
            wait_for("its scope is gone", lambda: scope_state(short) != "active")
    finally:
        os.unlink(SETTINGS)
        shell("systemctl reload sandboxd.service")
    p.bad(400, query=MALFORMED)


def scope_state(s):
    return shell(f"systemctl show -P ActiveState {s.scope}").strip()


@proof("GET /health")
def health(p):
    shell("systemctl stop sandboxd.service")
    eq(main_pid("sandboxd.service"), 0)
    eq(p.good(), {"status": "healthy"})
    p.bad(400, query=MALFORMED)
    p.effect("a stopped service serves again", main_pid("sandboxd.service") > 0)


@proof("GET /health/:service")
def health_service(p):
    shell("systemctl stop sandbox-fsd.service")
    eq(p.good(service="files")["service"], "files")
    p.effect("the service runs", main_pid("sandbox-fsd.service") > 0)
    p.bad(404, service="nothing")


@proof("GET /images")
def images(p):
    def names():
        return {i["name"]: i for i in p.good()["images"]}

    eq("proof" in names(), False)
    with open(CATALOG, "w", encoding="ascii") as f:
        f.write("[Image]\nName=proof\nSource=host:/hostusr\n")
    try:
        shell("systemctl reload sandbox-fsd.service")
        p.effect("a name of the catalog appears", names().get("proof", {}).get("usable") is True)
        with Sandbox(image="proof") as s:
            p.effect("and can be used", s.out("echo ok") == "ok\n")
    finally:
        os.unlink(CATALOG)
        shell("systemctl reload sandbox-fsd.service")
    p.bad(400, query=MALFORMED)


@proof("GET /metrics")
def metrics(p):
    before = p.good()
    with Sandbox():
        during = p.good()
    after = p.good()
    p.effect("a creation counts", (during["totalCreated"], during["activeSandboxes"]) ==
             (before["totalCreated"] + 1, before["activeSandboxes"] + 1), before, during)
    p.effect("an end counts", after["totalKilled"] == before["totalKilled"] + 1, before, after)
    p.bad(400, query=MALFORMED)


def check_document(p, other):
    document = p.good()
    lines = subprocess.run(["/usr/lib/sandboxd/sandboxd", "--routes"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    # of a row for any method the document has all that it can name, no other route has HEAD
    any_method = {line.split()[1] for line in lines if line.startswith("*")}
    named, items = [line for line in lines if line.split()[1] not in any_method], document["paths"].values()
    p.effect("each route is in it", len(named) == sum(len(item) for item in items if "head" not in item))
    p.effect("also those of any method", len(any_method) == sum(len(item) == 7 for item in items if "head" in item))
    p.effect("it is the same at both places", request("GET", other)[2] == document)
    p.bad(400, query=MALFORMED)


@proof("GET /openapi.json")
def openapi(p):
    check_document(p, "/openapi.json")


@proof("GET /openapi.json at the root")
def openapi_at_the_root(p):
    check_document(p, PREFIX + "/openapi.json")


@proof("GET /pool/status")
def pool(p):
    before = p.good()["blank"]
    with Sandbox():
        after = p.good()["blank"]
    p.effect("a creation takes one", after["hits"] + after["misses"] > before["hits"] + before["misses"], before, after)
    p.bad(400, query=MALFORMED)
