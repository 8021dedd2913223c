# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof, sandbox
from sandboxd import eq


@proof("GET /sandboxes/:id/env")
def list_variables(p):
    s = sandbox()
    s.post("/env", {"vars": {"LISTED": "a b"}})
    p.effect("a variable that was set", p.good(id=s.id)["vars"].get("LISTED") == "a b")
    p.bad(404, id="sbx_" + "0" * 24)


@proof("POST /sandboxes/:id/env")
def set_variables(p):
    s = sandbox()
    eq(p.good({"vars": {"SET": "v $x"}}, id=s.id), {"set": ["SET"], "count": 1})
    p.effect("later commands have it", s.out("printf %s \"$SET\"") == "v $x")
    p.bad(400, {"vars": {"a-b": "v"}}, id=s.id)
    p.effect("what is refused is not set", "a-b" not in s.out("env"))


@proof("POST /sandboxes/:id/env/delete")
def delete(p):
    s = sandbox()
    s.post("/env", {"vars": {"UNSET": "v"}})
    eq(p.good({"key": "UNSET"}, id=s.id), {"deleted": "UNSET"})
    p.effect("later commands lack it", s.out("echo ${UNSET-none}") == "none\n")
    p.bad(400, {"key": ""}, id=s.id)


@proof("POST /sandboxes/:id/env/get")
def get(p):
    s = sandbox()
    s.post("/env", {"vars": {"GOT": "v"}})
    p.effect("a variable that was set", p.good({"key": "GOT"}, id=s.id) == {"key": "GOT", "value": "v", "exists": True})
    p.effect("and none that was not", p.good({"key": "NOT"}, id=s.id) == {"key": "NOT", "value": None, "exists": False})
    p.bad(400, {}, id=s.id)
