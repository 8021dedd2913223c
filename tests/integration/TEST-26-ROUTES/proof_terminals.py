# SPDX-License-Identifier: LGPL-2.1-or-later
import http.client

from proof import PREFIX, proof, sandbox
from sandboxd import HOST, PORT, api, eq, request, status_of, wait_for
from websocket import WebSocket

UNKNOWN = "term_" + "0" * 24


class Terminal:
    def __init__(self, *command):
        self.record = sandbox().post("/terminals", {"command": list(command), "rows": 30, "cols": 90})
        self.id, self.path = self.record["id"], f"{sandbox().path}/terminals/{self.record['id']}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        api("DELETE", self.path, expect=(200, 404))

    def wait_output(self, text):
        """What it has shown, once text is in it: of a second stream, which ends the first."""
        connection = http.client.HTTPConnection(HOST, PORT, timeout=30)
        try:
            connection.request("GET", f"{PREFIX}{self.path}/stream")
            response, shown = connection.getresponse(), b""
            while text not in shown:
                piece = response.read1(4096)
                if not piece:
                    break
                shown += piece
            return shown
        finally:
            connection.close()

    def type(self, data):
        return api("POST", self.path + "/input", data)


class Session:
    """The contract's."""

    def __init__(self, record=None):
        self.record = record or sandbox().post("/terminal")
        self.id, self.path = self.record["sessionId"], f"{sandbox().path}/terminal/{self.record['sessionId']}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        api("DELETE", self.path, expect=(200, 404))

    def url(self, end):
        ref = self.record["channel"][end]
        return f"/ws/channels/{ref['channel_id']}?key={ref['access_key']}&dir={ref['direction']}"


@proof("GET /sandboxes/:id/terminals")
def list_terminals(p):
    with Terminal("cat") as t:
        p.effect("an open one is listed", [x["id"] for x in p.good(id=sandbox().id)["terminals"]] == [t.id])
    p.effect("a closed one is not", p.good(id=sandbox().id)["terminals"] == [])
    p.bad(404, id="sbx_" + "0" * 24)


@proof("POST /sandboxes/:id/terminals")
def open_terminal(p):
    p.bad(400, {"rows": 0}, id=sandbox().id)
    record = p.good({"command": ["sh", "-c", "stty size; cat"], "rows": 33, "cols": 99}, id=sandbox().id)
    t = Terminal.__new__(Terminal)
    t.id, t.path = record["id"], f"{sandbox().path}/terminals/{record['id']}"
    with t:
        p.effect("the command has a terminal of that size", b"33 99" in t.wait_output(b"33 99"))


@proof("DELETE /sandboxes/:id/terminals/:terminal")
def close(p):
    t = Terminal("sleep", "4712")
    eq(p.good(id=sandbox().id, terminal=t.id), {"closed": t.id})
    p.effect("it is known no more", status_of("GET", t.path) == 404)
    wait_for("its process is gone", lambda: "sleep 4712" not in [
        x["command"] for x in api("GET", sandbox().path + "/processes")["processes"]])
    p.effect("its process is gone")
    p.bad(404, id=sandbox().id, terminal=t.id)


@proof("GET /sandboxes/:id/terminals/:terminal")
def get(p):
    with Terminal("sh", "-c", "read x; exit 6") as t:
        eq(p.good(id=sandbox().id, terminal=t.id)["status"], "running")
        t.type(b"\n")
        wait_for("it has ended", lambda: p.good(id=sandbox().id, terminal=t.id)["status"] == "exited")
        p.effect("how its command ended", p.good(id=sandbox().id, terminal=t.id)["exitCode"] == 6)
    p.bad(404, id=sandbox().id, terminal=UNKNOWN)


@proof("POST /sandboxes/:id/terminals/:terminal/input")
def type_input(p):
    with Terminal("sh", "-c", "read x; echo \"<$x>\"; sleep 300") as t:
        p.good(b"typed\n", id=sandbox().id, terminal=t.id)
        p.effect("the command has read it", b"<typed>" in t.wait_output(b"<typed>"))
    p.bad(404, b"x", id=sandbox().id, terminal=UNKNOWN)


@proof("POST /sandboxes/:id/terminals/:terminal/resize")
def resize(p):
    with Terminal("sh", "-c", "read x; stty size; sleep 300") as t:
        eq(p.good({"rows": 44, "cols": 111}, id=sandbox().id, terminal=t.id), {"rows": 44, "cols": 111})
        t.type(b"\n")
        p.effect("the kernel has the size", b"44 111" in t.wait_output(b"44 111"))
        p.bad(400, {"rows": 44}, id=sandbox().id, terminal=t.id)


@proof("GET /sandboxes/:id/terminals/:terminal/stream")
def stream(p):
    with Terminal("echo", "shown") as t:
        wait_for("it has ended", lambda: api("GET", t.path)["status"] == "exited")
        shown = p.good(id=sandbox().id, terminal=t.id, raw=True)
        p.effect("what the command wrote", shown == b"shown\r\n", shown)
        tail = p.good(id=sandbox().id, terminal=t.id, query="offset=2", raw=True)
        p.effect("from where one left off", (tail, p.headers["x-terminal-offset"]) == (b"own\r\n", "2"), tail)
        p.bad(400, id=sandbox().id, terminal=t.id, query="offset=x")


@proof("GET /sandboxes/:id/terminals/:terminal/ws")
def both_ways(p):
    with Terminal("sh", "-c", "read x; echo \"<$x>\"; sleep 300") as t:
        url = f"{PREFIX}{t.path}/ws"
        p.bad(426, id=sandbox().id, terminal=t.id)
        with WebSocket(url) as w:
            p.good_status = 101
            w.binary(b"typed\n")
            p.effect("what is typed is read, and what is shown comes back", w.shows(b"<typed>"))
        p.bad(400, id=sandbox().id, terminal=t.id, query="offset=x")


@proof("POST /sandboxes/:id/terminal")
def open_session(p):
    p.bad(403, {"shell": "/bin/fish"}, id=sandbox().id)
    p.bad(400, {"cols": 0}, id=sandbox().id)
    with Session(p.good({"cols": 77}, id=sandbox().id)) as s:
        eq((s.record["cols"], s.record["rows"], s.record["shell"]), (77, 24, "/bin/sh"), "what was asked for")
        t = api("GET", f"{sandbox().path}/terminals/{s.id}")
        p.effect("a shell runs, in a terminal of that size", (t["status"], t["cols"]) == ("running", 77))


@proof("DELETE /sandboxes/:id/terminal/:sessionId")
def close_session(p):
    with Session() as s:
        eq(p.good(id=sandbox().id, sessionId=s.id), {"closed": s.id})
        p.effect("its channels are known no more", request("GET", s.url("reader"))[0] == 404)
        eq(p.bad(404, id=sandbox().id, sessionId=s.id)["error"], f"Terminal session not found: {s.id}")


@proof("POST /sandboxes/:id/terminal/:sessionId/resize")
def resize_session(p):
    with Session() as s:
        eq(p.good({"cols": 99, "rows": 33}, id=sandbox().id, sessionId=s.id), {"cols": 99, "rows": 33})
        with WebSocket(s.url("writer")) as writer, WebSocket(s.url("reader")) as reader:
            writer.binary(b"stty size\n")
            p.effect("the kernel has the size", reader.shows(b"33 99"))
        p.bad(400, {"cols": 0, "rows": 0}, id=sandbox().id, sessionId=s.id)


@proof("GET /ws/channels/:channel at the root")
def channel(p):
    with Session() as s:
        key = s.record["channel"]["reader"]["access_key"]
        p.bad(404, channel=s.record["channel"]["reader"]["channel_id"], query="dir=read&key=no")
        p.bad(404, channel="no", query=f"dir=read&key={key}")
        with WebSocket(s.url("reader")) as reader, WebSocket(s.url("writer")) as writer:
            p.good_status = 101
            writer.binary(b"echo $((6 * 7))4711\n")
            p.effect("what is typed into one is answered in the other", reader.shows(b"424711"))
