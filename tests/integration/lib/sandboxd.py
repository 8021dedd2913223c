# SPDX-License-Identifier: LGPL-2.1-or-later
"""A REST client for the integration tests, of the standard library alone: sandboxes, commands, files, and assertions
that print both sides. Waiting is always for something, with a bound."""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

HOST = os.environ.get("TEST_HOST", "127.0.0.1")
PORT = int(os.environ.get("TEST_PORT", "3111"))
IMAGE = os.environ.get("TEST_IMAGE", "python:3.12-slim")
TESTBED = os.environ.get("TESTBED", "")
VM = TESTBED.startswith("vm")
SLOW = 10 if VM else 1
# An emulated machine has better things to do than to answer all the time.
POLL_SEC = 0.2 if VM else 0.02


class Failure(Exception):
    pass


class ApiError(Failure):
    def __init__(self, status, body, what):
        super().__init__(f"{what}: status {status}: {body!r:.400}")
        self.status, self.body = status, body


def eq(got, expected, what=""):
    if got != expected:
        raise Failure(f"{what or 'values'}: got {got!r:.600}, expected {expected!r:.600}")


def ok(condition, what, *more):
    if not condition:
        raise Failure(f"{what} {' '.join(repr(m)[:400] for m in more)}")


def wait_for(what, condition, seconds=30.0 * SLOW):
    """Polls condition until it is true; its value is returned. The bound is for what never comes, on a busy machine."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SEC)


def patiently(function, seconds=15 * SLOW):
    """What a client does whose server is restarted: a broken connection and a 503 are tried again, all else is news."""
    end = time.monotonic() + seconds
    while True:
        try:
            return function()
        except (OSError, http.client.HTTPException) as e:
            last = e
        except ApiError as e:
            if e.status != 503:
                raise
            last = e
        if time.monotonic() > end:
            raise Failure(f"still failing after {seconds} s: {last!r}")
        time.sleep(0.05)


def request(method, path, body=None, headers=None, timeout=60 * SLOW, raw=False):
    """(status, headers, body). A dict or list becomes JSON; bytes and files go as they are."""
    headers = dict(headers or {})
    if body is not None and not hasattr(body, "read") and not isinstance(body, (bytes, bytearray)):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(HOST, PORT, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read()
        if not raw and "json" in (response.getheader("Content-Type") or "") and data:
            data = json.loads(data)
        return response.status, dict((k.lower(), v) for k, v in response.getheaders()), data
    finally:
        connection.close()


def api(method, path, body=None, expect=200, **keywords):
    """The body, once the status is the expected one (a number, a tuple, or None for any)."""
    status, _, data = request(method, "/sandbox" + path, body, **keywords)
    wanted = expect if isinstance(expect, tuple) else (expect,)
    if expect is not None and status not in wanted:
        raise ApiError(status, data, f"{method} {path}")
    return data


def status_of(method, path, body=None, **keywords):
    return request(method, "/sandbox" + path, body, **keywords)[0]


class Sandbox:
    def __init__(self, **config):
        config.setdefault("image", IMAGE)
        self.record = api("POST", "/sandboxes", config)
        self.id = self.record["id"]
        self.path = f"/sandboxes/{self.id}"
        self.scope = f"sandbox-{self.id[4:]}.scope"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.delete()
        except (Failure, OSError):
            pass

    def delete(self):
        return api("DELETE", self.path)

    def get(self):
        return api("GET", self.path)

    def post(self, path, body=None, expect=200, **keywords):
        return api("POST", self.path + path, {} if body is None else body, expect, **keywords)

    def run(self, command, **more):
        return self.post("/exec", {"command": command, **more})

    def out(self, command, **more):
        """stdout of a command that must succeed."""
        result = self.run(command, **more)
        eq(result["exitCode"], 0, f"exit code of {command!r} ({result['stderr']!r:.300})")
        return result["stdout"]

    def put(self, path, data, **query):
        extra = "".join(f"&{k}={v}" for k, v in query.items())
        return api("PUT", f"{self.path}/files/raw?path={path}{extra}", data,
                   headers={"Content-Type": "application/octet-stream"}, timeout=300)

    def get_raw(self, path):
        return api("GET", f"{self.path}/files/raw?path={path}", raw=True, timeout=300)

    def cgroup(self):
        group = shell(f"systemctl show -P ControlGroup {self.scope}").strip()
        ok(group, f"{self.scope} has no cgroup")
        return cgroup_root() + group


def cgroup_root():
    return "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"


def shell(command, check=True):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise Failure(f"{command!r} ended with {done.returncode}: {done.stderr.strip()!r:.400}")
    return done.stdout


def spares():
    """Ids of the blank sandboxes: those whose record says that they are nobody's yet."""
    found, state = set(), "/run/sandboxd/execd/"
    for name in os.listdir(state):
        if len(name) == 32:
            try:
                with open(state + name, encoding="utf-8") as f:
                    if "\nlive=0\n" in f.read():
                        found.add("sbx_" + name[:24])
            except FileNotFoundError:
                pass
    return found


def configure(**settings):
    """Replaces what an earlier call set, and restarts the daemons (unless there is nothing running). The pool does not
    grow after a burst unless it is told to: tests compare what is there before and after."""
    settings.setdefault("SANDBOX_BLANK_POOL_MAX", 0)
    path = "/run/sandboxd/sandboxd.conf.d/90-test.conf"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as f:
        f.writelines(f"{k}={v}\n" for k, v in settings.items())
    shell("systemctl stop sandboxd.service sandbox-execd.service sandbox-fsd.service sandbox-hook.service sandbox-netd.service "
          "sandbox-dns.service")


def main_pid(unit):
    return int(shell(f"systemctl show -P MainPID {unit}").strip() or 0)


def kill_main(unit):
    """Whether there was a main process to kill: it may just be ending by itself, or because of the last call."""
    pid = main_pid(unit)
    try:
        if pid:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return pid > 0


def while_killing(unit, after, function):
    """Whether it came to an answer is left to chance, like where it was by then."""
    def attempt():
        try:
            function()
        except (Failure, OSError, http.client.HTTPException):
            pass

    worker = threading.Thread(target=attempt)
    worker.start()
    time.sleep(after)
    kill_main(unit)
    worker.join()


def parallel(functions):
    """Runs all at once; the results in order; the first failure is raised."""
    results, errors = [None] * len(functions), []

    def one(i):
        try:
            results[i] = functions[i]()
        except BaseException as e:  # noqa: B902 - handed to the caller
            errors.append(e)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return results


def b64(data):
    return base64.b64encode(data).decode()


def sse(path, body=None, method="POST", timeout=60):
    """Yields the JSON documents of an event stream as its clients parse it: lines that begin with 'data: '."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=timeout)
    try:
        data = None if body is None else json.dumps(body)
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        connection.request(method, "/sandbox" + path, data, headers)
        response = connection.getresponse()
        if response.status != 200:
            raise ApiError(response.status, response.read(), path)
        eq(response.getheader("Content-Type"), "text/event-stream", "content type of a stream")
        for line in response:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
    finally:
        connection.close()


def but_newer(*tests):
    """Not once more with a newer systemd, which has no part in it: for what takes a minute."""
    return [] if TESTBED == "container257" else list(tests)


def run_tests(tests):
    """Runs the functions in order, says how each went, and exits with 1 if one failed."""
    failed = 0
    only = sys.argv[1:]
    for test in tests:
        if only and test.__name__ not in only:
            continue
        begin = time.monotonic()
        try:
            test()
            print(f"ok   {test.__name__} ({time.monotonic() - begin:.2f} s)", flush=True)
        except Exception as e:  # noqa: B902 - each test is told apart
            failed += 1
            print(f"FAIL {test.__name__}: {e}", flush=True)
            if not isinstance(e, Failure):
                traceback.print_exc()
    sys.exit(1 if failed else 0)
