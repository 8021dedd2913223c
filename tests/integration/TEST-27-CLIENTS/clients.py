# SPDX-License-Identifier: LGPL-2.1-or-later
"""How each known client of the API talks, as far as a server can tell: what it sends for what is absent, how it
encodes a query, how it reads a stream, how strictly it parses, how long it waits. Of the standard library alone."""
import codecs
import http.client
import json
import time
from urllib.parse import quote, quote_plus

from sandboxd import HOST, PORT, Failure, eq, ok

TOKEN = "test-token"
ABSENT = type("Absent", (), {"__repr__": lambda self: "absent"})()

# What strict parsers demand of each object. A type may be several, "?" behind a name: may be absent (or null).
SHAPES = {
    "Alert": "id:string sandboxId:string metric:string threshold:number action:string triggered:boolean "
             "createdAt:integer lastChecked?:integer lastTriggered?:integer",
    "AlertEvent": "alertId:string sandboxId:string metric:string value:number threshold:number action:string "
                  "timestamp:integer",
    "BackgroundExec": "id:string sandboxId:string command:string running:boolean startedAt:integer pid?:integer "
                      "exitCode?:integer finishedAt?:integer",
    "CodeResult": "output:string executionTime:number error?:string",
    "Event": "id:string topic:string sandboxId:string data:object timestamp:integer",
    "ExecResult": "exitCode:integer stdout:string stderr:string duration:number",
    "ExecStreamChunk": "type:string data:string timestamp:integer",
    "FileInfo": "name:string path:string size:integer isDirectory:boolean modifiedAt:integer",
    "FileMetadata": "path:string size:integer permissions:string owner:string group:string isDirectory:boolean "
                    "isSymlink:boolean modifiedAt:integer",
    "GlobalMetrics": "activeSandboxes:integer totalCreated:integer totalKilled:integer totalExpired:integer "
                     "uptimeSeconds:integer",
    "KernelSpec": "name:string language:string displayName:string",
    "Network": "id:string name:string dockerNetworkId:string sandboxes:array createdAt:integer",
    "ObservabilityMetrics": "totalRequests:integer totalErrors:integer avgDuration:number p95Duration:number "
                            "activeSandboxes:integer functionCounts:object",
    "PortMapping": "containerPort:integer hostPort:integer protocol:string state:string",
    "ProcessInfo": "pid:integer user:string cpu:string memory:string command:string",
    "ProcessTopInfo": "pid:integer cpu:string mem:string vsz:integer rss:integer command:string",
    "QueueJob": "id:string sandboxId:string command:string status:string retries:integer maxRetries:integer "
                "createdAt:integer startedAt?:integer completedAt?:integer error?:string result?:ExecResult",
    "Sandbox": "id:string name:string image:string status:string createdAt:integer expiresAt:integer "
               "config?:SandboxConfig metadata?:map entrypoint?:array workerId?:string",
    "SandboxConfig": "image:string name?:string timeout?:integer memory?:integer cpu?:number network?:boolean "
                     "env?:map workdir?:string metadata?:map entrypoint?:array",
    "SandboxMetrics": "sandboxId:string cpuPercent:number memoryUsageMb:number memoryLimitMb:number "
                      "networkRxBytes:integer networkTxBytes:integer pids:integer",
    "Snapshot": "id:string sandboxId:string name:string imageId:string size:integer createdAt:integer "
                "config?:SandboxConfig entrypoint?:array metadata?:map",
    "Template": "id:string name:string description:string config:SandboxConfig builtin:boolean createdAt:integer",
    "Trace": "id:string functionId:string duration:number status:string timestamp:integer sandboxId?:string "
             "error?:string",
    "Volume": "id:string name:string dockerVolumeName:string createdAt:integer mountPath?:string sandboxId?:string",
}
TYPES = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "object": dict, "array": list}


def parse(shape, value, where=""):
    """What a strict parser does: every key, every type, no fraction where an integer is meant."""
    where = where or shape
    if shape == "map":
        ok(isinstance(value, dict) and all(isinstance(v, str) for v in value.values()), where, value)
    elif shape in TYPES:
        ok(isinstance(value, TYPES[shape]) and isinstance(value, bool) == (shape == "boolean"), f"{where}: {shape}",
           value)
    else:
        ok(isinstance(value, dict), f"{where}: an object", value)
        for member in SHAPES[shape].split():
            name, kind = member.split(":")
            if value.get(name.removesuffix("?")) is None:
                ok(name.endswith("?"), f"{where}.{name} is there", value)
            else:
                parse(kind, value[name.removesuffix("?")], f"{where}.{name}")
    return value


def parse_all(shape, values):
    ok(isinstance(values, list), f"an array of {shape}", values)
    return [parse(shape, v, f"{shape}[{i}]") for i, v in enumerate(values)]


class HttpError(Failure):
    def __init__(self, method, path, status, body):
        super().__init__(f"{method} {path} failed: {status} {body!r:.300}")
        self.status, self.body = status, body


class Client:
    """What all have in common: a deadline over the whole request, the token, JSON on each success."""
    name = "?"
    timeout = 30
    accept = {}

    def send(self, method, path, body=ABSENT, headers=None):
        """(response, connection), the head of the answer read and good."""
        headers = {"Authorization": f"Bearer {TOKEN}", **self.accept, **(headers or {})}
        data = None
        if body is not ABSENT:
            data = json.dumps(body)
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(HOST, PORT, timeout=self.timeout)
        self.deadline = time.monotonic() + self.timeout
        connection.request(method, "/sandbox" + path, data, headers)
        response = connection.getresponse()
        if not 200 <= response.status < 300:
            text = response.read().decode()
            connection.close()
            raise HttpError(method, path, response.status, text)
        return response, connection

    def json(self, method, path, body=ABSENT, headers=None):
        response, connection = self.send(method, path, body, headers)
        try:
            eq(response.status, 200, "status of a success")
            return json.loads(response.read())
        finally:
            connection.close()
            ok(time.monotonic() < self.deadline, f"{method} {path} within {self.timeout} s")

    def drop(self, body):
        """Optional members that the caller did not give."""
        return {k: v for k, v in body.items() if v is not ABSENT}

    def query(self, **values):
        pairs = [f"{k}={quote_plus(self.text(v))}" for k, v in values.items() if v is not ABSENT]
        return "?" + "&".join(pairs) if pairs else ""

    @staticmethod
    def text(value):
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    def get(self, path, /, **query):
        return self.json("GET", path + self.query(**query))

    def post(self, path, /, **body):
        return self.json("POST", path, self.drop(body))

    def delete(self, path, /, **query):
        return self.json("DELETE", path + self.query(**query))

    def lines(self, response):
        """Lines of a stream, by the reader of most."""
        for line in response:
            yield line.decode().rstrip("\r\n")

    def events(self, method, path, body=ABSENT, end=()):
        """JSON documents of a stream until one of the type end. Lines that are none are skipped without a word."""
        response, connection = self.send(method, path, body, {"Accept": "text/event-stream"})
        try:
            eq(response.getheader("Content-Type"), "text/event-stream")
            for line in self.lines(response):
                ok(time.monotonic() < self.deadline, f"{path} within {self.timeout} s")
                if line.startswith("data: "):
                    event = json.loads(line[6:])
                    yield event
                    if event.get("type") in end:
                        return
        finally:
            connection.close()


class TypeScript(Client):
    """fetch(): JSON content type also without a body, undefined members dropped, limits of 0 left out."""
    name = "typescript"

    def post(self, path, /, **body):
        body = self.drop(body)
        if body:
            return self.json("POST", path, body)
        return self.json("POST", path, headers={"Content-Type": "application/json"})

    def query(self, **values):
        return super().query(**{k: v for k, v in values.items() if v != 0 or v is False})

    def git_status(self, sandbox, path):
        return self.json("GET", f"/sandboxes/{sandbox}/git/status?path=" + quote(path, safe="!~*'()-_."))

    def lines(self, response):
        """A buffer that is split at each LF; what is behind the last one is never looked at."""
        rest = b""
        while piece := response.read1(1500):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line.decode() for line in whole)


class Python(Client):
    """httpx: None is left out, no content type without a body, form encoding, Accept of its own."""
    name = "python"
    accept = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": "python-httpx/0.27"}

    def post(self, path, /, **body):
        body = self.drop(body)
        return self.json("POST", path, body) if body else self.json("POST", path)

    def lines(self, response):
        """As str.splitlines(), which knows more ends of a line than LF; an unterminated last line counts."""
        decoder, rest = codecs.getincrementaldecoder("utf-8")(), ""
        while piece := response.read1(1500):
            whole = (rest + decoder.decode(piece)).splitlines(keepends=True)
            rest = whole.pop() if whole and whole[-1].splitlines()[0] == whole[-1] else ""
            yield from (line.splitlines()[0] for line in whole)
        if rest:
            yield rest


class Rust(Client):
    """serde: null for every optional member that is absent."""
    name = "rust"

    def drop(self, body):
        return {k: None if v is ABSENT else v for k, v in body.items()}

    def post(self, path, /, **body):
        body = self.drop(body)
        return self.json("POST", path, body) if body else self.json("POST", path)


class Cli(TypeScript):
    """The TypeScript client behind a command line, whose parser leaves "--": [] in the options."""
    name = "cli"

    def create(self, **config):
        return self.post("/sandboxes", **{**config, "--": []})


class Mcp(TypeScript):
    """Asks for the sandbox before each use of it; whatever is not 2xx is an error of the tool."""
    name = "mcp"

    def tool(self, sandbox, method, path, body=ABSENT):
        if sandbox:
            parse("Sandbox", self.get(f"/sandboxes/{sandbox}"))
        return self.json(method, path, body)
