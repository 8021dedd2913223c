#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for sandboxd that sandboxctl's verbs are tested against: as much of the /sandbox API as they use, on a unix
socket and on a free port of loopback, without any sandbox: commands run here, files lie in a directory.

fake-server.py DIRECTORY    prints "ready PORT" when it listens on DIRECTORY/socket and the port."""
import base64
import json
import os
import queue
import re
import signal
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

WORK = sys.argv[1]
FILES = os.path.join(WORK, "files")
TOKEN = "secret"
sandboxes, commands, background, log = {}, {}, {}, []
lock = threading.Lock()


def new_id(prefix):
    return prefix + "_" + os.urandom(12).hex()


class Failure(Exception):
    def __init__(self, status, text):
        self.status, self.text = status, text


def local(path):
    full = os.path.normpath(os.path.join(FILES, path.lstrip("/")))
    if not (full + "/").startswith(FILES + "/"):
        raise Failure(400, "Path traversal detected: " + path)
    return full


def sandbox(sid):
    if sid not in sandboxes:
        raise Failure(404, "Sandbox not found: " + sid)
    return sandboxes[sid]


def info(path):
    try:
        st = os.lstat(local(path))
    except FileNotFoundError:
        raise Failure(404, "No such file: " + path)
    return {"path": path, "size": st.st_size, "permissions": stat.filemode(st.st_mode), "owner": "root",
            "group": "root", "isDirectory": stat.S_ISDIR(st.st_mode), "isSymlink": stat.S_ISLNK(st.st_mode),
            "modifiedAt": int(st.st_mtime) * 1000}


def chunk(kind, data):
    event = {"type": kind, "timestamp": int(time.time() * 1000)}
    try:
        event["data"] = data.decode()
    except UnicodeDecodeError:
        event["data"], event["encoding"] = base64.b64encode(data).decode(), "base64"
    return event


def environment(body):
    return dict(os.environ, **body.get("env", {}), USER_WANTED=body.get("user", ""))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "test"

    def log_message(self, *arguments):
        pass

    def body_chunks(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                line = self.rfile.readline()
                if not line:
                    raise Failure(400, "interrupted")
                n = int(line.split(b";")[0], 16)
                data = self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    return
                yield data
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left > 0:
                data = self.rfile.read(min(left, 65536))
                if not data:
                    raise Failure(400, "interrupted")
                left -= len(data)
                yield data

    def json_body(self):
        text = b"".join(self.body_chunks())
        return json.loads(text) if text else {}

    def send(self, status, value, kind="application/json", headers=()):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for header in headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(data)

    def refuse_rest(self, status, text):
        """Closed at once, with unread bytes, the connection would be reset, and the answer might be lost."""
        self.send(status, {"error": text}, headers=[("Connection", "close")])
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(10)
        try:
            while self.connection.recv(65536):
                pass
        except OSError:
            pass

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()

    def event(self, value):
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def handle_any(self):
        url = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(url.query).items()}
        log.append((self.command, self.path))
        try:
            if not isinstance(self.server, UnixServer):
                given = self.headers.get("Authorization")
                if given is None:
                    raise Failure(401, "Missing authorization header")
                if given != "Bearer " + TOKEN:
                    raise Failure(403, "Invalid token")
            for method, pattern, function in ROUTES:
                match = re.fullmatch(pattern, url.path)
                if match and method == self.command:
                    return function(self, query, *match.groups())
            raise Failure(404, "No such route")
        except Failure as f:
            self.send(f.status, {"error": f.text}, headers=[("Connection", "close")])

    do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = do_DELETE = handle_any


def create(h, query):
    body = h.json_body()
    body.setdefault("image", body.get("template"))
    if body["image"] == "limit":
        raise Failure(429, "Maximum sandbox limit reached: 50")
    if body["image"] == "forbidden":
        raise Failure(403, "Image not allowed: forbidden")
    if body["image"] == "broken":
        raise Failure(503, "The exec service is not there")
    if body["image"] == "bad\nimage":
        raise Failure(400, "Invalid\nimage \x1b[31mname")
    sid, now = new_id("sbx"), int(time.time() * 1000)
    for key, least, most in ("memory", 64, 4096), ("cpu", 0.5, 4):
        if key in body:
            body[key] = min(max(body[key], least), most)
    seconds = body.get("timeout", 3600)
    sandboxes[sid] = {"id": sid, "name": body.get("name", sid), "image": body["image"], "status": "running",
                      "createdAt": now, "expiresAt": now + seconds * 1000, "config": body,
                      "metadata": body.get("metadata", {})}
    h.send(200, sandboxes[sid])


def listing(h, query):
    items = [s for s in sandboxes.values() if query.get("status", s["status"]) == s["status"]]
    page, size = int(query["page"]), min(int(query["pageSize"]), 3)
    items_sent = items[(page - 1) * size:page * size]
    if query.get("metrics") == "1":
        items_sent = [dict(s, metrics=measure(s["id"])) for s in items_sent]
    h.send(200, {"items": items_sent, "total": len(items), "page": page, "pageSize": size})


def get(h, query, sid):
    h.send(200, sandbox(sid))


def delete(h, query, sid):
    sandbox(sid)
    del sandboxes[sid]
    h.send(200, {"success": True})


def set_state(wanted, state):
    def handler(h, query, sid):
        h.json_body()
        if sandbox(sid)["status"] != wanted:
            raise Failure(409, "Sandbox is not %s: %s" % (wanted, sandboxes[sid]["status"]))
        sandboxes[sid]["status"] = state
        h.send(200, sandboxes[sid])
    return handler


def renew(h, query, sid):
    sandbox(sid)["expiresAt"] = h.json_body()["expiresAt"]
    h.send(200, sandboxes[sid])


def limits(h, query, sid):
    sandbox(sid)["config"].update(h.json_body())
    h.send(200, sandboxes[sid])


def measure(sid):
    return {"sandboxId": sid, "cpuPercent": 12.5, "memoryUsageMb": 20, "memoryLimitMb": 512,
            "networkRxBytes": 2048, "networkTxBytes": 0, "pids": 2}


def metrics(h, query, sid):
    sandbox(sid)
    h.send(200, measure(sid))


def processes(h, query, sid):
    sandbox(sid)
    h.send(200, {"processes": [{"pid": 7, "user": "root", "cpu": "0.0", "memory": "1.5",
                                "command": "evil\x1b[2J\nname"}]})


def top(h, query, sid):
    sandbox(sid)
    h.send(200, {"processes": [{"pid": 7, "cpu": "0.0", "mem": "1.5", "vsz": 2048, "rss": 1024, "command": "sh"}]})


def default_signals():
    # A background job of a shell ignores SIGINT, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(sid, body, stdin):
    argv = body["command"] if isinstance(body["command"], list) else ["sh", "-c", body["command"]]
    try:
        return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                cwd=body.get("cwd"), env=environment(body), start_new_session=True, bufsize=0, preexec_fn=default_signals)
    except OSError as e:
        raise Failure(400, "The command cannot be run: %s." % os.strerror(e.errno))


def exec_stream(h, query, sid):
    sandbox(sid)
    body = h.json_body()
    if query.get("binary") != "1":
        raise Failure(400, "not asked for binary output")
    if not body.get("lossless"):
        raise Failure(400, "not asked to keep all output")
    p = start(sid, body, subprocess.PIPE if body.get("stdin") else subprocess.DEVNULL)
    cid, events = new_id("bg"), queue.Queue()
    commands[cid] = p
    h.begin_stream()
    h.event({"type": "start", "id": cid, "pid": p.pid, "timestamp": 0})

    def pump(kind, pipe):
        while data := pipe.read(65536):
            events.put(chunk(kind, data))
        events.put(None)

    for kind, pipe in ("stdout", p.stdout), ("stderr", p.stderr):
        threading.Thread(target=pump, args=(kind, pipe), daemon=True).start()
    timed_out = threading.Event()
    if "timeout" in body:
        def kill():
            timed_out.set()
            os.killpg(p.pid, signal.SIGKILL)
        timer = threading.Timer(body["timeout"], kill)
        timer.start()
    for _ in range(2):
        while (event := events.get()) is not None:
            h.event(event)
    code = p.wait()
    if "timeout" in body:
        timer.cancel()
    if body.get("env", {}).get("LOSE_THE_STREAM"):
        return
    if body.get("env", {}).get("LOSE_THE_SANDBOX"):
        return h.event({"type": "exit", "data": "-1", "timestamp": 0})
    h.event({"type": "exit", "data": "-1" if timed_out.is_set() else str(code if code >= 0 else 128 - code),
             "timestamp": 0, "timedOut": timed_out.is_set()})


def exec_stdin(h, query, sid, cid):
    p = commands.get(cid)
    if not p:
        raise Failure(404, "Command not found: " + cid)
    try:
        for data in h.body_chunks():
            p.stdin.write(data)
        p.stdin.close()
    except BrokenPipeError:
        h.refuse_rest(409, "The command takes no input any more")
    else:
        h.send(200, {"success": True})


def exec_signal(h, query, sid, cid):
    if cid not in commands:
        raise Failure(404, "Command not found: " + cid)
    os.killpg(commands[cid].pid, getattr(signal, "SIG" + h.json_body()["signal"]))
    h.send(200, {"success": True})


def exec_background(h, query, sid):
    sandbox(sid)
    body = h.json_body()
    p, bid = start(sid, body, subprocess.DEVNULL), new_id("bg")
    background[bid] = {"process": p, "output": b"", "done": False}

    def pump():
        while data := p.stdout.read(65536):
            with lock:
                background[bid]["output"] += data
        p.wait()
        with lock:
            background[bid]["done"] = True
    threading.Thread(target=pump, daemon=True).start()
    h.send(200, {"id": bid, "sandboxId": sid, "command": str(body["command"]), "running": True, "startedAt": 0})


def background_status(h, query, bid):
    if bid not in background:
        raise Failure(404, "Background exec not found: " + bid)
    with lock:
        h.send(200, {"id": bid, "running": not background[bid]["done"]})


def background_logs(h, query, bid):
    if bid not in background:
        raise Failure(404, "Background exec not found: " + bid)
    cursor = int(query.get("cursor", 0))
    with lock:
        data = background[bid]["output"][cursor:]
    event = chunk("", data)
    h.send(200, dict({"output": event["data"], "cursor": cursor + len(data)},
                     **({"encoding": "base64"} if "encoding" in event else {})))


jobs = {}


def queue_submit(h, query, sid):
    sandbox(sid)
    body = h.json_body()
    done = subprocess.run(body["command"], capture_output=True, text=True)
    failed = done.returncode == 99
    jid = new_id("job")
    jobs[jid] = {"id": jid, "sandboxId": sid, "command": str(body["command"]), "status": "failed" if failed else "completed",
                 "retries": int(failed), "maxRetries": body.get("maxRetries", 3), "createdAt": int(time.time() * 1000)}
    jobs[jid].update({"error": "no luck"} if failed else {"result": {"exitCode": done.returncode, "stdout": done.stdout,
                                                                     "stderr": done.stderr, "duration": 1}})
    h.send(200, dict(jobs[jid], status="pending"))


def job(jid):
    if jid not in jobs:
        raise Failure(404, "Queue job not found: " + jid)
    return jobs[jid]


def job_status(h, query, jid):
    h.send(200, job(jid))


def queue_cancel(h, query, jid):
    raise Failure(409, "Job is not pending: " + job(jid)["status"])


def queue_requeue(h, query, jid):
    job(jid).update(status="completed", result={"exitCode": 0, "stdout": "again\n", "stderr": "", "duration": 1})
    h.send(200, dict(job(jid), status="pending"))


def queue_list(h, query):
    """A job a page."""
    found = [j for j in jobs.values() if j["status"] == query.get("status", j["status"]) and
             j["sandboxId"] == query.get("sandboxId", j["sandboxId"])]
    at = int(query.get("cursor", 0))
    h.send(200, dict({"jobs": found[at:at + 1], "total": len(found)},
                     **({"nextCursor": at + 1} if at + 1 < len(found) else {})))


def queue_purge(h, query):
    dead = [j for j, row in jobs.items() if row["status"] == "failed" and query.get("id", j) == j]
    for j in dead:
        del jobs[j]
    h.send(200, {"purged": len(dead), "remaining": 0})


def stream_logs(h, query, sid):
    sandbox(sid)
    h.begin_stream()
    h.event(chunk("stdout", ("tail %s\n" % query.get("tail", "-")).encode()))
    h.event(chunk("stderr", b"warn\n"))
    h.event({"type": "end", "data": "", "timestamp": 0})


def watch(h, query, sid):
    sandbox(sid)
    h.begin_stream()
    for event in ({"type": "ready", "path": ""}, {"type": "created", "path": query["path"] + "/\x1b[31m"},
                  {"type": "moved", "path": "/b", "from": "/a"}, {"type": "end", "path": query["recursive"]}):
        h.event({"isDirectory": False, "timestamp": 0, **event})


def raw_get(h, query, sid):
    sandbox(sid)
    path = local(query["path"])
    if not os.path.exists(path):
        raise Failure(404, "No such file: " + query["path"])
    if os.path.isdir(path):
        raise Failure(400, "Is a directory: " + query["path"])
    with open(path, "rb") as f:
        mode = "%04o" % (os.fstat(f.fileno()).st_mode & 0o7777)
        headers = [("X-File-Mode", mode), ("ETag", '"%x"' % os.fstat(f.fileno()).st_mtime_ns)]
        if query["path"].endswith("/cut"):
            return send_cut(h, f.read(), headers)
        h.send(200, f.read(), "application/octet-stream", headers)


def send_cut(h, data, headers):
    """The connection breaks after two MiB, each time."""
    begin = 0
    if "Range" in h.headers and h.headers["If-Range"] == headers[1][1]:
        begin = int(h.headers["Range"][len("bytes="):-1])
        headers.append(("Content-Range", "bytes %d-%d/%d" % (begin, len(data) - 1, len(data))))
    h.send_response(206 if begin else 200)
    for header in headers + [("Content-Length", str(len(data) - begin))]:
        h.send_header(*header)
    h.end_headers()
    h.wfile.write(data[begin:begin + CUT])
    h.close_connection = True


CUT = 2 << 20
uploads = {}


def upload_begin(h, query, sid):
    sandbox(sid)
    body = h.json_body()
    if body["path"].endswith("/whole"):
        raise Failure(404, "No such route")
    made = {"id": new_id("upl"), "data": b"", **body}
    uploads[made["id"]] = made
    h.send(200, {"id": made["id"], "size": made["size"]})


def upload_head(h, query, sid, uid):
    h.send(200, b"", headers=[("Upload-Offset", str(len(uploads[uid]["data"])))])


def upload_patch(h, query, sid, uid):
    """The connection breaks after two MiB, each time."""
    u, n = uploads[uid], 0
    if h.headers["Upload-Offset"] != str(len(u["data"])):
        raise Failure(409, "its size is another one")
    for data in h.body_chunks():
        u["data"] += data
        n += len(data)
        if n >= CUT and len(u["data"]) < u["size"]:
            h.close_connection = True
            return
    path = local(u["path"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(u["data"])
    os.chmod(path, int(u["mode"], 8))
    h.send_response(204)
    h.send_header("Upload-Offset", str(len(u["data"])))
    h.end_headers()


def raw_put(h, query, sid):
    sandbox(sid)
    path = local(query["path"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        for data in h.body_chunks():
            f.write(data)
    if "mode" in query:
        os.chmod(path, int(query["mode"], 8))
    h.send(200, {"success": True, "size": os.path.getsize(path)})


def inside(body, key):
    paths = body[key] if isinstance(body[key], list) else [body[key]]
    if not body.get("anywhere") and any(p.startswith("/outside") for p in paths):
        raise Failure(400, "Path traversal detected: " + paths[0])
    return body[key]


def files_info(h, query, sid):
    sandbox(sid)
    h.send(200, info(inside(h.json_body(), "path")))


def files_list(h, query, sid):
    path = inside(h.json_body(), "path")
    names = os.listdir(local(path))
    if path.endswith("/evil"):
        names.append("../../outside")
    h.send(200, [{"name": n, "path": path + "/" + n, "size": 0, "isDirectory": False, "modifiedAt": 0}
                 for n in names])


def files_mkdir(h, query, sid):
    for path in inside(h.json_body(), "paths"):
        os.makedirs(local(path), exist_ok=True)
    h.send(200, {"success": True})


def images(h, query):
    h.send(200, {"images": [{"name": "python*", "kind": "host", "source": "/usr", "usable": True},
                            {"name": "debian", "kind": "tar", "source": "/srv/debian.tar", "usable": False}]})


def network_create(h, query):
    networks.append({"id": new_id("net"), "sandboxes": [], "createdAt": 1, **h.json_body()})
    h.send(200, networks[-1])


def network_change(verb):
    def change(h, query, nid):
        sandboxes = [n for n in networks if n["id"] == nid][0]["sandboxes"]
        sandbox = h.json_body()["sandboxId"]
        if (verb == "connect") == (sandbox in sandboxes):
            raise Failure(409, f"Sandbox is {'already' if verb == 'connect' else 'not'} connected: {sandbox}")
        sandboxes.append(sandbox) if verb == "connect" else sandboxes.remove(sandbox)
        h.send(200, {verb + "ed": True})
    return change


def network_delete(h, query, nid):
    networks[:] = [n for n in networks if n["id"] != nid]
    h.send(200, {"deleted": nid})


def template_create(h, query):
    body = h.json_body()
    templates.append({"id": new_id("tpl"), "builtin": False, "createdAt": 1, **body})
    h.send(200, templates[-1])


def template_delete(h, query, tid):
    templates[:] = [t for t in templates if t["id"] != tid]
    h.send(200, {"deleted": tid})


def alert_set(h, query, sid):
    alerts.append({"id": new_id("alrt"), "sandboxId": sid, "triggered": True, "lastTriggered": 1700000000000,
                   "action": "notify", **h.json_body()})
    h.send(200, alerts[-1])


def alert_history(h, query, sid):
    h.send(200, {"events": [{"alertId": a["id"], "value": 93.25, "timestamp": 1700000000000, **a} for a in alerts],
                 "total": len(alerts)})


def alert_delete(h, query, aid):
    if aid not in [a["id"] for a in alerts]:
        raise Failure(404, "Alert not found: " + aid)
    alerts[:] = [a for a in alerts if a["id"] != aid]
    h.send(200, {"deleted": aid})


def volume_create(h, query):
    volumes.append({"id": new_id("vol"), "size": 1 << 30, "createdAt": 1, **h.json_body()})
    h.send(200, volumes[-1])


def find_volume(vid):
    for v in volumes:
        if v["id"] == vid:
            return v
    raise Failure(404, "Volume not found: " + vid)


def volume_attach(h, query, vid):
    find_volume(vid).update(h.json_body())
    h.send(200, {"attached": True, "mountPath": find_volume(vid)["mountPath"]})


def volume_detach(h, query, vid):
    for key in ("sandboxId", "mountPath", "readOnly"):
        find_volume(vid).pop(key, None)
    h.send(200, {"detached": True})


def volume_delete(h, query, vid):
    if "sandboxId" in find_volume(vid):
        raise Failure(409, "Volume is attached")
    volumes.remove(find_volume(vid))
    h.send(200, {"deleted": vid})


def webhook_create(h, query):
    webhooks.append({"id": new_id("whk"), "topics": ["*"], "enabled": True, "delivered": 3, "dead": 1, "attempts": 0,
                     "createdAt": 1700000000000, **h.json_body()})
    h.send(200, {"secret": "whsec_made", **webhooks[-1]})


def webhook_of(wid):
    found = [w for w in webhooks if w["id"] == wid]
    if not found:
        raise Failure(404, "Webhook not found: " + wid)
    return found[0]


def webhook_change(h, query, wid):
    webhook_of(wid).update(h.json_body())
    h.send(200, webhook_of(wid))


def webhook_delete(h, query, wid):
    webhooks.remove(webhook_of(wid))
    h.send(200, {"deleted": wid})


def webhook_test(h, query, wid):
    h.send(200, {"delivered": True} if webhook_of(wid)["enabled"] else {"delivered": False, "httpStatus": 500})


def webhook_deliveries(h, query, wid):
    webhook_of(wid)
    h.send(200, {"deliveries": [{"id": "dlv_1", "webhookId": wid, "eventId": "evt_1", "topic": "a.b", "attempts": 2,
                                 "status": query.get("status", "delivered"), "timestamp": 1700000000000,
                                 "error": "n=" + query["limit"]}], "total": 1})


def port_expose(h, query, sid):
    body = h.json_body()
    ports.append({"hostPort": body.get("hostPort", 18080), "protocol": "tcp", "state": "active", **body})
    h.send(200, ports[-1])


def sign(h, query, sid):
    body = h.json_body()
    h.send(200, {"url": "http://127.0.0.1:3111/{port}{path}/{expiresIn}".format(**body), "expiresAt": 1})


def port_close(h, query, sid):
    number = h.json_body()["containerPort"]
    if number not in [p["containerPort"] for p in ports]:
        raise Failure(404, f"Port {number} is not exposed")
    ports[:] = [p for p in ports if p["containerPort"] != number]
    h.send(200, {"removed": number})


WORKERS = {"workers": [{"workerId": "w1", "hostname": "h1", "activeSandboxes": 2, "maxSandboxes": 50, "cpuPercent": 7.0,
                        "lastHeartbeat": 1700000000000}], "alive": 1, "dead": 0}
templates = [{"id": "tpl_one", "name": "one", "description": "d", "config": {"image": "python"}, "builtin": True,
              "createdAt": 0}]
alerts = []
volumes = []
webhooks = []
networks = []
ports = []
S = r"/sandbox/sandboxes"
ONE = S + r"/(sbx_[0-9a-f]{24})"
SNAPSHOTS = [{"id": "snap_" + n * 24, "name": name, "size": 1, "createdAt": 0}
             for n, name in (("1", "good"), ("2", "same"), ("3", "same"))]


def restore(h, query, sid):
    wanted = h.json_body()["snapshotId"]
    if wanted not in [x["id"] for x in SNAPSHOTS]:
        raise Failure(404, "Snapshot not found: " + wanted)
    h.send(200, dict(sandbox(sid), image=wanted))


def interpret(h, query, sid):
    language = h.json_body()["language"]
    h.send(200, {"output": language + "\n", "stderr": "", "exitCode": 0, "error": None, "executionTime": 1})


ROUTES = [
    ("POST", S, create), ("GET", S, listing), ("GET", ONE, get), ("DELETE", ONE, delete),
    ("POST", ONE + "/pause", set_state("running", "paused")), ("POST", ONE + "/resume", set_state("paused", "running")),
    ("POST", ONE + "/renew", renew), ("POST", ONE + "/limits", limits), ("GET", ONE + "/metrics", metrics),
    ("GET", ONE + "/processes", processes), ("GET", ONE + "/processes/top", top),
    ("POST", ONE + "/exec/stream", exec_stream), ("POST", ONE + "/exec/background", exec_background),
    ("POST", ONE + "/exec/queue", queue_submit), ("GET", "/sandbox/queue", queue_list),
    ("DELETE", "/sandbox/queue/dlq", queue_purge), ("GET", "/sandbox/queue/([^/]+)/status", job_status),
    ("POST", "/sandbox/queue/([^/]+)/cancel", queue_cancel), ("POST", "/sandbox/queue/([^/]+)/requeue", queue_requeue),
    ("POST", ONE + r"/exec/(bg_[0-9a-f]{24})/signal", exec_signal),
    ("POST", ONE + r"/exec/(bg_[0-9a-f]{24})/stdin", exec_stdin),
    ("GET", r"/sandbox/exec/background/([^/]+)/status", background_status),
    ("GET", r"/sandbox/exec/background/([^/]+)/logs", background_logs),
    ("GET", ONE + "/files/watch", watch), ("GET", ONE + "/stream/logs", stream_logs), ("GET", ONE + "/files/raw", raw_get), ("PUT", ONE + "/files/raw", raw_put),
    ("POST", ONE + "/files/uploads", upload_begin), ("HEAD", ONE + r"/files/uploads/(\w+)", upload_head),
    ("PATCH", ONE + r"/files/uploads/(\w+)", upload_patch),
    ("POST", ONE + "/files/info", files_info), ("POST", ONE + "/files/list", files_list),
    ("POST", ONE + "/files/mkdir", files_mkdir), ("GET", "/sandbox/images", images),
    ("GET", "/sandbox/templates", lambda h, query: h.send(200, {"templates": templates})),
    ("POST", "/sandbox/templates", template_create), ("DELETE", r"/sandbox/templates/(\w+)", template_delete),
    ("GET", "/sandbox/networks", lambda h, query: h.send(200, {"networks": networks})),
    ("POST", "/sandbox/networks", network_create), ("DELETE", r"/sandbox/networks/(\w+)", network_delete),
    ("POST", r"/sandbox/networks/(\w+)/connect", network_change("connect")),
    ("POST", r"/sandbox/networks/(\w+)/disconnect", network_change("disconnect")),
    ("GET", ONE + "/alerts", lambda h, query, sid: h.send(200, {"alerts": alerts})), ("POST", ONE + "/alerts", alert_set),
    ("GET", ONE + "/alerts/history", alert_history), ("DELETE", r"/sandbox/alerts/([^/]+)", alert_delete),
    ("GET", "/sandbox/volumes", lambda h, query: h.send(200, {"volumes": volumes})),
    ("POST", "/sandbox/volumes", volume_create), ("DELETE", r"/sandbox/volumes/(\w+)", volume_delete),
    ("GET", r"/sandbox/volumes/(\w+)", lambda h, query, vid: h.send(200, {**find_volume(vid), "used": 4096})),
    ("POST", r"/sandbox/volumes/(\w+)/attach", volume_attach), ("POST", r"/sandbox/volumes/(\w+)/detach", volume_detach),
    ("GET", "/sandbox/webhooks", lambda h, query: h.send(200, {"webhooks": webhooks})),
    ("POST", "/sandbox/webhooks", webhook_create), ("DELETE", r"/sandbox/webhooks/(\w+)", webhook_delete),
    ("GET", r"/sandbox/webhooks/(\w+)", lambda h, query, wid: h.send(200, webhook_of(wid))),
    ("POST", r"/sandbox/webhooks/(\w+)", webhook_change), ("POST", r"/sandbox/webhooks/(\w+)/test", webhook_test),
    ("GET", r"/sandbox/webhooks/(\w+)/deliveries", webhook_deliveries),
    ("GET", ONE + "/snapshots", lambda h, query, sid: h.send(200, {"snapshots": SNAPSHOTS})),
    ("POST", ONE + "/snapshots/restore", restore), ("POST", ONE + "/interpret/execute", interpret),
    ("GET", ONE + "/ports", lambda h, query, sid: h.send(200, {"ports": ports})), ("POST", ONE + "/ports", port_expose),
    ("DELETE", ONE + "/ports", port_close), ("POST", ONE + "/proxy/url", sign),
    ("GET", "/sandbox/workers", lambda h, query: h.send(200, WORKERS)),
    ("POST", "/sandbox/workers/select", lambda h, query: h.send(200, {"workerId": "w1"})),
    ("POST", "/sandbox/workers/reap", lambda h, query: h.send(200, {"reaped": 1, "reassigned": 2, "expired": 3})),
]


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        # Clients that go away early are a part of the test.
        if not isinstance(sys.exc_info()[1], (BrokenPipeError, ConnectionResetError)):
            super().handle_error(request, client_address)


os.makedirs(FILES)
unix = UnixServer(os.path.join(WORK, "socket"), Handler)
tcp = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=unix.serve_forever, daemon=True).start()
print("ready", tcp.server_port, flush=True)
tcp.serve_forever()
