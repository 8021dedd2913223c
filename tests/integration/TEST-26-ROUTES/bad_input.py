# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input for each field of each route, made from the OpenAPI document alone: what says there that it is refused,
clamped or ignored must be. Whatever comes in, nothing answers with a 5xx, and what is refused changes nothing."""
import http.client
import itertools
import json
import re
import time
from urllib.parse import quote

from sandboxd import HOST, IMAGE, PORT, Sandbox, api, eq, main_pid, ok, request, wait_for

UNKNOWN = "unknown_" + "0" * 24
IMMUNE = "trap '' INT TERM HUP QUIT USR1 USR2; exec sleep 100000"
# Answers whatever is asked.
WEB = b"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def __getattr__(self, name):
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self.answer
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
# Figures and histories, which move by themselves.
VOLATILE = ("/metrics", "/processes", "/events", "/observability", "/health", "/openapi.json", "/pool", "/stream",
            "/images", "/workers", "/history")

# Valid bodies where the types alone do not tell one. Every other field gets a sample of its type.
SAMPLES = {
    "code": "1",
    "command": "true",
    "config": {"image": IMAGE},
    "content": "eA==",
    "dir": "read",
    "expiresAt": lambda: int(time.time() * 1000) + 3_600_000,
    "image": IMAGE,
    "language": "bash",
    "metric": "memory",
    "mode": "644",
    "mountPath": "/mnt/bad",
    "moves": [{"from": "bad/file", "to": "bad/file"}],
    "path": "bad/file",
    "paths": ["bad/file"],
    "pattern": "*",
    "port": 8080,
    "shell": "/bin/sh",
    "signal": "CONT",
    "size": 1 << 30,
    "threshold": 90,
    "url": "/workspace/none.git",
}
# At least one of the fields that the document calls optional.
ALSO = {"/limits": {"memory": 512}, "/files/mkdir": {"paths": ["bad/d"]}, "/files/rmdir": {"paths": ["bad/d"]},
        "/files/info": {"paths": ["bad/file"]}, "/files/uploads": {"size": 1}, "/terminals": {"command": "true"},
        "/webhooks": {"url": "http://127.0.0.1:9/"}, "/egress": {"allow": []}}
# What must be there for the valid request, made by a POST to the same path.
BEFORE = {"DELETE /sandbox/sandboxes/{id}/ports": {"containerPort": 1}}


# What a WebSocket wants. Its 101 is a success; the connection ends there.
HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


class Raw(str):
    """JSON text that no encoder would make."""


def encode(body):
    """JSON, with the Raw values as they are."""
    marks = {}

    def mark(value):
        if isinstance(value, Raw):
            marks[f"@raw{len(marks)}@"] = value
            return f"@raw{len(marks) - 1}@"
        return value

    text = json.dumps({k: mark(v) for k, v in body.items()})
    for name, value in marks.items():
        text = text.replace(f'"{name}"', value, 1)
    return text.encode("utf-8", "surrogatepass")


def types_of(schema):
    if "anyOf" in schema:
        return set(itertools.chain.from_iterable(types_of(s) for s in schema["anyOf"]))
    kind = schema.get("type", ["array", "boolean", "integer", "number", "object", "string"])
    return {kind} if isinstance(kind, str) else set(kind)


def sample(name, schema, more):
    samples = {**SAMPLES, **more}
    if name in samples:
        return samples[name]() if callable(samples[name]) else samples[name]
    kind = sorted(types_of(schema))[-1]
    return {"string": "x", "integer": schema.get("minimum", 1), "number": schema.get("minimum", 1), "boolean": True,
            "array": ["x"], "object": {"k": "v"}}[kind]


WRONG = {"string": "wr\u00f6ng", "integer": 7, "number": 7.5, "boolean": True, "array": [[]], "object": {"a": {}}}


def wrong_types(schema):
    """Values of no type that the schema takes. Numbers and booleans may also come as text, as in a query."""
    taken = types_of(schema)
    if "number" in taken:
        taken = taken | {"integer"}
    values = [v for kind, v in WRONG.items() if kind not in taken]
    if "integer" in taken and "number" not in taken:
        values += ["1.5", Raw("1e400")][:1]
    if taken == {"array"} and schema.get("items", {}).get("type") == "string":
        values += [[1], ["a", None], [["a"]]]
    if schema.get("additionalProperties"):
        values += [{"a": 1}, {"a": None}]
    return values


def wrong_texts(schema):
    """The same in a query, where everything is text."""
    return [] if "string" in types_of(schema) else ["wrong", "1.5.", "", "[]"]


def out_of_range(schema):
    if "minimum" not in schema:
        return []
    low, high = schema["minimum"], schema["maximum"]
    return [(low - 1, low), (high + 1, high), (-(2 ** 63), low), (2 ** 63 - 1, high), (Raw("1e300"), high),
            (str(high + 1), high)]


def odd_values(schema):
    """No policy but the one of all: no 5xx, no change if refused."""
    taken, values = types_of(schema), []
    if "string" in taken:
        values += ["", "x" * 2 ** 20, "\x01\x1b[31m\x7f\u202e", "/" * 5000, "a\nb", "é" * 1000, Raw('"\\u0000"'),
                   Raw('"\\ud800"'), Raw('"\\udc00\\ud800"'), "%s%n" * 100]
    if taken & {"integer", "number"}:
        values += [-1, 0, Raw("9223372036854775808"), Raw("-1e999"), Raw("1" * 400), "0x10", " 1", "", "-0"]
    if "array" in taken:
        values += [[], ["x"] * 10000, [""], ["x" * 2 ** 20]]
    if "object" in taken:
        values += [{}, {f"k{i}": "v" for i in range(10000)}, {"": "v"}, {"a=b": "v"}, {"k": "x" * 2 ** 20},
                   {"\u0001": "\u0001"}]
    if "boolean" in taken:
        values += ["", "yes", "TRUE", 0]
    return values


class Fields:
    """One operation of the document and a request that it takes."""

    def __init__(self, path, method, operation, battery):
        self.method, self.template = method.upper(), path
        self.what = f"{self.method} {path}"
        self.query = {p["name"]: p["schema"] for p in operation["parameters"] if p["in"] == "query"}
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {"properties": {}, "required": []})
        self.body = schema["properties"]
        self.required = set(schema["required"]) | {p["name"] for p in operation["parameters"]
                                                   if p["in"] == "query" and p["required"]}
        self.path = re.sub(r"{(\w+)}", lambda m: battery.subjects(path, m[1]), path)
        self.valid = {n: sample(n, s, battery.samples) for n, s in self.fields().items() if n in self.required}
        if "key" in self.valid and "/ws/" in path:
            self.valid["key"] = battery.reader["access_key"]
        for end, more in ALSO.items():
            if path.endswith(end):
                self.valid.update(more)
        self.raw = "application/octet-stream" in content
        self.headers = HANDSHAKE if "101" in operation["responses"] else {}

    def fields(self):
        return {**self.query, **self.body}

    def prepare(self):
        if self.what in BEFORE:
            exchange("POST", self.path, json.dumps(BEFORE[self.what]), "application/json", {})

    def send(self, changes):
        """changes: values by name; ... leaves a field out."""
        self.prepare()
        values = {k: v for k, v in {**self.valid, **changes}.items()
                  if v is not ... and not (v is None and k in self.query)
                  # JSON's numbers cannot be in a query, and what has a body is no handshake
                  and not (self.headers and isinstance(v, Raw))}
        query = {k: v for k, v in values.items() if k in self.query and not isinstance(v, (list, dict, Raw))}
        body = {k: v for k, v in values.items() if k not in query}
        path = self.path + ("?" + "&".join(f"{k}={text_of(v)}" for k, v in query.items()) if query else "")
        data = b"x" if self.raw else encode(body) if body or self.method not in ("GET", "DELETE") else None
        return exchange(self.method, path, data, "application/octet-stream" if self.raw else "application/json",
                        self.headers)

    def text(self, answer):
        try:
            document = json.loads(answer)
        except ValueError:
            return answer.decode(errors="replace")
        return (document.get("error") or document.get("message") or "") if isinstance(document, dict) else ""


def text_of(value):
    return quote(("true" if value else "false") if isinstance(value, bool) else str(value), safe="")


def exchange(method, path, data, kind, headers):
    """Status and body; of a stream that has no end, of which there may be one at each GET, the status only."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=120)
    try:
        connection.request(method, path, data, {**headers, **({"Content-Type": kind} if data is not None else {})})
        response = connection.getresponse()
        endless = method == "GET" and response.status == 200 and response.getheader("Content-Length") is None
        return response.status, b"" if endless else response.read()
    finally:
        connection.close()


class Battery:
    """All probes, and what they may not do."""

    def __init__(self, document):
        self.document = document
        self.sandbox = Sandbox(name="bad-input")
        self.background = self.sandbox.post("/exec/background", {"command": IMMUNE})
        self.terminal = self.sandbox.post("/terminals", {"command": IMMUNE})
        self.context = self.sandbox.post("/interpret/contexts", {"language": "python"})
        self.webhook = api("POST", "/webhooks", {"url": "http://127.0.0.1:9/", "enabled": False})
        # no probe is to come before its signals are ignored
        wait_for("both ignore signals", lambda: sum(x["command"] == "sleep 100000" for x in api(
            "GET", self.sandbox.path + "/processes")["processes"]) == 2)
        self.sandbox.put("/tmp/web.py", WEB)
        self.sandbox.post("/ports", {"containerPort": 8080}, expect=None)
        self.sandbox.post("/exec/background", {"command": "exec python3 /tmp/web.py"})
        wait_for("its server listens", lambda: request("GET", f"/sandbox/proxy/{self.sandbox.id}/8080/")[0] == 200)
        # there is no network to install anything from
        self.sandbox.put("/usr/local/bin/pip", b"#!/bin/sh\n", mode="755")
        # a restore ends all that runs, so it is another one's
        self.restored = Sandbox(name="bad-input-restored")
        self.snapshot = self.restored.post("/snapshots")
        self.networked = Sandbox(name="bad-input-networked", network=True)
        self.volume = api("POST", "/volumes", {"name": "bad-input"})
        self.session = self.sandbox.post("/terminal")
        self.reader = self.session["channel"]["reader"]
        self.samples = {"pid": self.background["pid"], "sandboxId": self.sandbox.id,
                        "snapshotId": self.snapshot["id"]}
        # of the one it is no member, of the other it is
        self.networks = [api("POST", "/networks", {"name": f"bad input {i}"})["id"] for i in range(2)]
        api("POST", f"/networks/{self.networks[1]}/connect", {"sandboxId": self.sandbox.id})
        self.probes, self.failures = 0, []
        self.lists = [p for p, item in document["paths"].items() if self.is_list(p, item)]

    def subjects(self, path, name):
        if name == "snapshotId":
            return self.snapshot["id"]
        if path.endswith("/snapshots/restore"):
            return self.restored.id
        if path.endswith("/egress"):
            return self.networked.id
        if "/proxy/{id}" in path:
            return {"id": self.sandbox.id, "port": "8080"}.get(name, "x")
        if "/sandboxes/{id}" in path:
            return {"id": self.sandbox.id, "command": self.background["id"], "context": self.context["id"],
                    "terminal": self.terminal["id"], "sessionId": self.session["sessionId"]}.get(name, UNKNOWN)
        if name == "volume":
            return self.volume["id"]
        if name == "webhook":
            return self.webhook["id"]
        if "/ws/channels/" in path:
            return self.reader["channel_id"]
        if name == "network":
            return self.networks[path.endswith("/disconnect")]
        return self.background["id"] if "/exec/background/" in path else UNKNOWN

    def is_list(self, path, item):
        if "get" not in item or any(v in path for v in VOLATILE) or set(re.findall(r"{(\w+)}", path)) - {"id"}:
            return False
        if "{" in path and "/sandboxes/{id}" not in path:
            return False
        schema = item["get"]["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
        name = schema.get("$ref", "").rsplit("/", 1)[-1]
        members = self.document["components"]["schemas"].get(name, {}).get("properties", {})
        return any(m.get("type") == "array" for m in members.values())

    def world(self):
        """How many there are of everything that can be listed."""
        counts = {}
        for path in self.lists:
            answer = request("GET", path.replace("{id}", self.sandbox.id))[2]
            counts[path] = {k: len(v) for k, v in answer.items() if isinstance(v, list)}
        return counts

    def note(self, fields, name, value, status, answer, wanted):
        self.failures.append(f"{fields.what} {name}={str(value)[:60]!r}: {status} {fields.text(answer)[:120]!r}, "
                             + wanted)

    def send(self, fields, name, value):
        status, answer = fields.send({name: value})
        self.probes += 1
        # 504 is what a command gets whose time was over at once
        if status >= 500 and not (status == 504 and name == "timeout"):
            self.note(fields, name, value, status, answer, "a 5xx")
        if status < 300:
            self.clean(fields, answer)
        return status, answer

    def clean(self, fields, answer):
        """Ends what an accepted request has made."""
        if fields.method != "POST" or "/proxy/{id}" in fields.template: # what is below is the server's
            return
        if fields.path.endswith(("/clone", "/fork")) and "/git/" not in fields.path:
            made = json.loads(answer)
            for one in made.get("sandboxes", [made]):
                request("DELETE", f"/sandbox/sandboxes/{one['id']}")
            return
        if fields.path.endswith("/snapshots/restore"):
            return
        for template, path in ((fields.template, fields.path), (2 * ("/sandbox/" + fields.path.rsplit("/", 1)[1],))):
            if any(re.fullmatch(re.escape(template) + r"/{\w+}", p) and "delete" in item
                   for p, item in self.document["paths"].items()):
                made = json.loads(answer)
                request("DELETE", f"{path}/{made.get('id') or made['sessionId']}")
                return
        if fields.path.endswith("/ports"):
            request("DELETE", fields.path, json.loads(answer))
        if fields.path.startswith("/sandbox/networks/"):
            path, verb = fields.path.rsplit("/", 1)
            request("POST", f"{path}/{'disconnect' if verb == 'connect' else 'connect'}", {"sandboxId": self.sandbox.id})
        if fields.path.endswith("/exec/queue"):
            status = f"/queue/{json.loads(answer)['id']}/status"
            wait_for("the job is done", lambda: api("GET", status)["status"] not in ("pending", "running"))

    def refused(self, fields, name, value):
        status, answer = self.send(fields, name, value)
        if status not in (400, 413):
            self.note(fields, name, value, status, answer, "to be refused with 400")
        elif status == 400 and name not in fields.text(answer):
            self.note(fields, name, value, status, answer, "to be named")

    def accepted(self, fields, name, value, base):
        status, answer = self.send(fields, name, value)
        if status != base and status >= 300 and not (status == 504 and name == "timeout"):
            self.note(fields, name, value, status, answer, f"to be taken like the valid one ({base})")
        return status, answer

    def clamped(self, fields, name, value, bound, base):
        status, answer = self.accepted(fields, name, value, base)
        if status < 300:
            try:
                got = json.loads(answer)["config"][name]
            except (KeyError, TypeError, ValueError):
                return
            if got != bound:
                self.note(fields, name, value, status, answer, f"to be clamped to {bound}, not {got}")

    def must_be_refused(self, fields, name, schema):
        if name in fields.required:
            self.refused(fields, name, ...)
            if name in fields.body:
                self.refused(fields, name, None)
        if schema["x-wrong-type"] == "refused":
            for value in wrong_types(schema) if name in fields.body else wrong_texts(schema):
                self.refused(fields, name, value)
        if schema.get("x-out-of-range") == "refused":
            for value, _ in out_of_range(schema):
                self.refused(fields, name, value)
        if schema.get("minLength") or schema.get("minItems"):
            self.refused(fields, name, "" if "string" in types_of(schema) else [])
        if "maxLength" in schema and name in fields.body:
            self.refused(fields, name, "x" * (schema["maxLength"] + 1))
            self.refused(fields, name, "x" * 2 ** 20)

    def may_be_taken(self, fields, name, schema, base):
        if name not in fields.required and name not in fields.valid:
            self.accepted(fields, name, None, base)
        if schema["x-wrong-type"] == "ignored":
            for value in wrong_types(schema) if name in fields.body else wrong_texts(schema):
                self.accepted(fields, name, value, base)
        if schema.get("x-out-of-range") == "clamped":
            for value, bound in out_of_range(schema):
                self.clamped(fields, name, value, bound, base)
        for value in odd_values(schema):
            if name in fields.body or not isinstance(value, (list, dict, Raw)) and len(str(value)) < 5000:
                self.send(fields, name, value)

    def field(self, fields, name, schema, base):
        fields.prepare()
        before = self.world()
        self.must_be_refused(fields, name, schema)
        after = self.world()
        if after != before:
            self.failures.append(f"{fields.what} {name}: what was refused changed {before} to {after}")
        self.may_be_taken(fields, name, schema, base)

    def operation(self, path, method, operation):
        fields = Fields(path, method, operation, self)
        if not fields.fields():
            return 0
        self.sandbox.put("bad/file", b"x")
        base, answer = fields.send({})
        if base < 300:
            self.clean(fields, answer)
        if base >= 300:
            self.note(fields, "", "", base, answer, "to be taken: SAMPLES, ALSO or subjects() want a row")
        status, answer = self.send(fields, "noSuchField", {"a": [1]}) if fields.body else (base, b"")
        if status != base:
            self.note(fields, "noSuchField", "", status, answer, f"to be ignored ({base})")
        for name, schema in fields.fields().items():
            self.field(fields, name, schema, base)
        self.sandbox.put("bad/file", b"x")
        # what was taken may have left the sandbox with a minute to live, or no memory
        status, answer = self.send(fields, "", ...)
        if status != base:
            self.note(fields, "", "", status, answer, f"to be taken again ({base})")
        return len(fields.fields())

    def run(self):
        n = 0
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                if method != "delete" or "{id}" not in path.rsplit("/", 1)[-1]:
                    n += self.operation(path, method, operation)
        return n

    def done(self):
        request("DELETE", f"/sandbox/snapshots/{self.snapshot['id']}")
        self.restored.delete()
        self.networked.delete()
        self.sandbox.delete()
        api("DELETE", f"/webhooks/{self.webhook['id']}")
        for network in self.networks:
            api("DELETE", f"/networks/{network}")


def each_field_keeps_its_policy():
    document = request("GET", "/openapi.json")[2]
    battery = Battery(document)
    before = api("GET", "/metrics")["activeSandboxes"]
    try:
        n = battery.run()
        print(f"  {n} fields, {battery.probes} probes", *battery.failures, sep="\n  ", flush=True)
        ok(n > 80, "fields", n)
        eq(api("GET", "/metrics")["activeSandboxes"], before, "sandboxes")
        eq(battery.sandbox.out("echo alive"), "alive\n", "the sandbox")
        eq(api("GET", f"/exec/background/{battery.background['id']}/status")["running"], True, "its command")
    finally:
        battery.done()
    ok(not battery.failures, "probes that failed", len(battery.failures))


NO_OBJECTS = (b"[]", b"1", b'"x"', b"{", b'{"a":', b"\xff", b'{"a":1}x', b"[" * 3000, b'{"a":' * 3000, b'{"\xff":1}',
              b"{\"a\":\"\x01\"}", b'{"a":1,"a":2')


def bodies_that_are_no_object():
    """At each route that takes one."""
    document = request("GET", "/openapi.json")[2]
    with Sandbox() as s:
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if "application/json" not in operation.get("requestBody", {}).get("content", {}):
                    continue
                url = re.sub(r"{\w+}", UNKNOWN, path.replace("/sandboxes/{id}", "/sandboxes/" + s.id))
                for data in NO_OBJECTS:
                    status, _, answer = request(method.upper(), url, data, headers={"Content-Type": "application/json"})
                    eq(status, 400, f"{method} {url} {data[:20]} {answer}")


def memory_stays():
    """What large requests took is given back: as much again costs nothing more."""
    with Sandbox() as s:
        def round_of_large_ones():
            for _ in range(20):
                s.post("/files/write", {"path": "large", "content": "x" * 2 ** 20, "mode": ["x"] * 10000})
                s.post("/exec", {"command": "true", "env": {f"k{i}": "v" * 900 for i in range(200)}}, expect=413)
                s.post("/files/mkdir", {"paths": ["x" * 2 ** 20]}, expect=(400, 413))

        round_of_large_ones()
        before = resident()
        round_of_large_ones()
        round_of_large_ones()
        ok(resident() < before + 4096, "KiB resident before and after", before, resident())


def resident():
    with open(f"/proc/{main_pid('sandboxd.service')}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

