# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof, sandbox
from sandboxd import eq


@proof("POST /sandboxes/:id/interpret/execute")
def execute(p):
    s = sandbox()
    result = p.good({"code": "open('/tmp/by-code', 'w').write('x'); print(6 * 7)", "language": "python"}, id=s.id)
    eq((result["output"].strip(), result["error"]), ("42", None))
    p.effect("it did what it was told", s.get_raw("/tmp/by-code") == b"x")
    p.bad(400, {"language": "python"}, id=s.id)


@proof("POST /sandboxes/:id/interpret/install")
def install(p):
    """Without a network: a package that is there already, by pip; or, where the image has none, by a stand-in."""
    s = sandbox()
    s.put("/usr/local/bin/pip", b"#!/bin/sh\nprintf '%s\\n' \"$@\" >/tmp/pip-was-asked\necho installed\n", mode="755")
    answer = p.good({"packages": ["proof-package==1.0"], "manager": "pip"}, id=s.id)
    eq(answer["output"].strip(), "installed")
    p.effect("pip was told to", "proof-package==1.0" in s.get_raw("/tmp/pip-was-asked").decode().split("\n"))
    p.bad(400, {"packages": ["--evil"]}, id=s.id)


@proof("GET /sandboxes/:id/interpret/kernels")
def kernels(p):
    s = sandbox()
    names = {k["language"] for k in p.good(id=s.id)}
    p.effect("each that the image has runs", "bash" in names and
             s.post("/interpret/execute", {"code": "echo ok", "language": "bash"})["output"].strip() == "ok", names)
    p.bad(400, query="%zz", id=s.id)
