# SPDX-License-Identifier: LGPL-2.1-or-later
import threading

from proof import proof, sandbox
from sandboxd import api, eq, status_of, wait_for

UNKNOWN = "ctx_" + "0" * 24


class Context:
    def __init__(self, record=None):
        self.id = (record or sandbox().post("/interpret/contexts", {"language": "python"}))["id"]
        self.path = f"/interpret/contexts/{self.id}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        api("DELETE", sandbox().path + self.path, expect=(200, 404))

    def execute(self, code):
        return sandbox().post(self.path + "/execute", {"code": code})

    def state(self):
        return api("GET", sandbox().path + self.path)["status"]


@proof("GET /sandboxes/:id/interpret/contexts")
def list_contexts(p):
    with Context() as c:
        p.effect("one that was made", [x["id"] for x in p.good(id=sandbox().id)["contexts"]] == [c.id])
    p.effect("until it is ended", p.good(id=sandbox().id)["contexts"] == [])
    p.bad(404, id="sbx_" + "0" * 24)


@proof("POST /sandboxes/:id/interpret/contexts")
def create(p):
    with Context(p.good({"language": "python", "cwd": "/tmp"}, id=sandbox().id)) as c:
        c.execute("x = 41")
        p.effect("it keeps what code does in it", c.execute("x + 1")["result"] == "42")
    p.bad(400, {"language": "none"}, id=sandbox().id)


@proof("DELETE /sandboxes/:id/interpret/contexts/:context")
def delete(p):
    c = Context()
    pid = int(c.execute("import os; os.getpid()")["result"])
    eq(p.good(id=sandbox().id, context=c.id), {"deleted": c.id})
    p.effect("it is known no more", status_of("GET", sandbox().path + c.path) == 404)
    wait_for("its process is gone", lambda: pid not in [
        x["pid"] for x in api("GET", sandbox().path + "/processes")["processes"]])
    p.effect("its process is gone")
    p.bad(404, id=sandbox().id, context=c.id)


@proof("GET /sandboxes/:id/interpret/contexts/:context")
def get(p):
    with Context() as c:
        eq(p.good(id=sandbox().id, context=c.id)["status"], "idle")
        thread = busy(c)
        wait_for("it is busy", lambda: p.good(id=sandbox().id, context=c.id)["status"] == "busy")
        p.effect("whether it is busy")
        sandbox().post(c.path + "/interrupt")
        thread.join()
    p.bad(404, id=sandbox().id, context=UNKNOWN)


def busy(c):
    thread = threading.Thread(target=lambda: c.execute("import time; time.sleep(100)"))
    thread.start()
    return thread


@proof("POST /sandboxes/:id/interpret/contexts/:context/execute")
def execute(p):
    with Context() as c:
        result = p.good({"code": "open('/tmp/by-cell', 'w').write('y'); print('said')"}, id=sandbox().id, context=c.id)
        eq((result["output"], result["error"]), ("said\n", None))
        p.effect("it did what it was told", sandbox().get_raw("/tmp/by-cell") == b"y")
        p.bad(400, {}, id=sandbox().id, context=c.id)


@proof("POST /sandboxes/:id/interpret/contexts/:context/interrupt")
def interrupt(p):
    with Context() as c:
        c.execute("x = 1")
        thread = busy(c)
        wait_for("it is busy", lambda: c.state() == "busy")
        # what has been sent may not have begun yet
        wait_for("it is idle", lambda: p.good({}, id=sandbox().id, context=c.id) and c.state() == "idle")
        thread.join()
        p.effect("what ran has ended, the context lives", c.execute("x")["result"] == "1")
    p.bad(404, {}, id=sandbox().id, context=UNKNOWN)


@proof("POST /sandboxes/:id/interpret/contexts/:context/restart")
def restart(p):
    with Context() as c:
        c.execute("x = 1")
        eq(p.good({}, id=sandbox().id, context=c.id)["status"], "idle")
        p.effect("it has forgotten everything", "NameError" in c.execute("x")["error"])
    p.bad(404, {}, id=sandbox().id, context=UNKNOWN)
