# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hostile HTTP at the services as systemd runs them: refused in one form, at no cost to others, and nothing leaks."""
import contextlib
import json
import os
import socket
import time

from sandboxd import HOST, IMAGE, PORT, Sandbox, api, eq, main_pid, ok, request, run_tests, shell, status_of, wait_for

TOKEN = "t0ken-of-this-test-9d1c"
S = None


def send_raw(data, timeout=10):
    """All that is answered to these bytes until the connection ends, or nothing more comes."""
    with socket.create_connection((HOST, PORT), timeout=timeout) as c:
        c.sendall(data)
        answer = b""
        with contextlib.suppress(socket.timeout, ConnectionResetError):
            while chunk := c.recv(65536):
                answer += chunk
                if whole(answer):
                    break
        return answer


def whole(answer):
    head, separator, body = answer.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return separator and len(body) >= int(value)
    return False


def check_answer(answer, statuses, what):
    head, _, body = answer.decode("latin-1").partition("\r\n\r\n")
    lines = head.split("\r\n")
    status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/1.1 ") else 0
    ok(status in statuses, f"status of {what}", answer)
    headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:]}
    eq((headers.get("x-content-type-options"), headers.get("cache-control")), ("nosniff", "no-store"), what)
    ok("access-control-allow-origin" not in headers, what, headers)
    if body:
        document = json.loads(body)
        ok("error" in document or "message" in document, f"envelope of {what}", body)
        for word in ("/var/lib", "/run/", "errno", "/usr/"):
            ok(word not in body, f"nothing of the host in {what}", body)


GET = b"GET /sandbox/health HTTP/1.1\r\n"
POST = b"POST /sandbox/sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def errors_have_one_form():
    local = b"Host: localhost\r\n"
    for data, *statuses in (
            (GET + b"\r\n", 400), (GET + local + local + b"\r\n", 400), (GET + b"Host: evil.example\r\n\r\n", 421),
            (GET + b"Host: localhost:99999\r\n\r\n", 421), (GET + local + b"Origin: http://evil.example\r\n\r\n", 403),
            (GET + local + b"Origin: null\r\n\r\n", 403), (GET + local + b"X-A: b\r\n c\r\n\r\n", 400),
            (GET + local + b"X-A : b\r\n\r\n", 400), (GET + local + b"X-A: \0\r\n\r\n", 400),
            (GET + local + b"X-A\r\n\r\n", 400), (GET + local + b"X-A: a\rX-B: c\r\n\r\n", 400),
            (GET + local + b"X: y\r\n" * 65 + b"\r\n", 431), (GET + local + b"X: " + b"y" * 17000 + b"\r\n\r\n", 431),
            (b"GET /sandbox/" + b"x" * 5000 + b" HTTP/1.1\r\n" + local + b"\r\n", 414),
            (b"M" * 4096 + b" / HTTP/1.1\r\n" + local + b"\r\n", 501, 400),
            (b"GET /sandbox/health HTTP/2.0\r\n" + local + b"\r\n", 505), (b"GET /sandbox/health\r\n\r\n", 400, 505),
            (b"GET http://other/ HTTP/1.1\r\n" + local + b"\r\n", 400, 421),
            (POST + b"Content-Length: 5, 5\r\n\r\n12345", 400), (POST + b"Content-Length: -1\r\n\r\n", 400),
            (POST + b"Content-Length: 18446744073709551616\r\n\r\n", 400, 413),
            (POST + b"Content-Length: 99999999999\r\n\r\n", 413), (POST + b"Transfer-Encoding: xchunked\r\n\r\n", 400, 501),
            (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
            (POST + b"Content-Length: 2\r\n\r\n[]", 400), (POST + b"Content-Length: 1\r\n\r\n{", 400),
            (b"GET /sandbox/nothing HTTP/1.1\r\n" + local + b"\r\n", 404),
            (b"PUT /sandbox/health HTTP/1.1\r\n" + local + b"\r\n", 405),
            (b"GET /sandbox/sandboxes/%2e%2e/x HTTP/1.1\r\n" + local + b"\r\n", 400, 404),
            (b"GET /sandbox/sandboxes/a%00 HTTP/1.1\r\n" + local + b"\r\n", 400, 404)):
        check_answer(send_raw(data), statuses, data[:60])
    eq(status_of("GET", "/health"), 200)


def large_and_deep():
    """Refused, and the daemon is as small as before."""
    def rss():
        status = open(f"/proc/{main_pid('sandboxd')}/status").read()
        return int(status.split("VmRSS:")[1].split()[0])

    api("GET", "/sandboxes")
    before = rss()
    for body in (b'{"image":' + b"[" * 10000 + b"]" * 10000 + b"}", b"{" + b",".join(b'"k%d":1' % i for i in range(80000)) + b"}",
                 b'{"image":"a","image":"b"}', b'{"image":"a\\u0000b"}', b'{"image":"\\ud800"}', b'{"image":NaN}',
                 b'{"timeout":1e999,"image":"x"}', b"\xef\xbb\xbf{}", b"{} {}"):
        status, _, answer = request("POST", "/sandbox/sandboxes", body, headers={"Content-Type": "application/json"})
        ok(status == 400 and set(answer) == {"error"}, "refused", body[:40], status, answer)
    with contextlib.suppress(OSError):
        check_answer(send_raw(GET + b"Host: localhost\r\nX: " + b"y" * 1000000 + b"\r\n\r\n"), (400, 431), "1 MB header")
    if os.environ.get("TESTBED") != "sanitized":
        ok(rss() - before < 32 * 1024, "memory", before, rss())


def numbers_never_wrap():
    for field, values, low, high in (("memory", (-1, 0, 1, 2**31, 2**53 + 1, 1.5), 64, 4096),
                                     ("timeout", (0, -1, 2**63, 2**64), 60, 86400), ("cpu", (0, -1, 1e9), 0.5, 4)):
        for value in values:
            status, _, answer = request("POST", "/sandbox/sandboxes", {"image": IMAGE, field: value})
            if status == 200:
                api("DELETE", f"/sandboxes/{answer['id']}")
                ok(low <= answer["config"][field] <= high, "in its bounds", field, value, answer["config"])
            else:
                ok(status == 400 and "error" in answer, "refused", field, value, status, answer)


def texts_have_bounds():
    big = "x" * 2**20
    for body in ({"env": {"": "x"}}, {"env": {"A=B": "x"}}, {"env": {"1A": "x"}}, {"env": {"A\n": "x"}}, {"env": {"A": big}},
                 {"env": {f"A{i}": "x" for i in range(10000)}}, {"metadata": {"": "x"}}, {"metadata": {"a": 5}},
                 {"metadata": {str(i): "x" for i in range(10000)}}, {"env": {"A": 5}}):
        status, _, answer = request("POST", "/sandbox/sandboxes", {"image": IMAGE, **body})
        ok(status in (400, 413) and set(answer) == {"error"}, "refused", str(body)[:60], status, answer)


def slow_connections_cost_nobody():
    """600 that send a byte now and then: another request is answered at once, and they are closed."""
    slow = [socket.create_connection((HOST, PORT), timeout=30) for _ in range(600)]
    try:
        for c in slow:
            c.sendall(b"G")
        begin = time.monotonic()
        eq(status_of("GET", "/health"), 200)
        ok(time.monotonic() - begin < 5, "at once", time.monotonic() - begin)

        def closed():
            left = [c for c in slow if c.fileno() >= 0]
            for c in left:
                try:
                    c.setblocking(False)
                    data = c.recv(4096)
                    if not data or data.startswith(b"HTTP/1.1 408"):
                        c.close()
                except BlockingIOError:
                    pass
                except OSError:
                    c.close()
            return not left
        wait_for("all are closed", closed, 60)
    finally:
        for c in slow:
            c.close()


def half_a_body_is_not_waited_for():
    """Announced is a MiB, sent is a byte: nothing else waits for the rest."""
    with socket.create_connection((HOST, PORT), timeout=30) as c:
        c.sendall(POST + b"Content-Length: 1048576\r\n\r\n{")
        eq(status_of("GET", "/health"), 200)
        eq(S.out("echo on"), "on\n")


def journal_since(cursor):
    return shell(f"journalctl --no-pager -o json --after-cursor='{cursor}' -u sandboxd.service -u sandbox-execd.service "
                 "-u sandbox-fsd.service")


def journal_cursor():
    return shell("journalctl --no-pager -n 0 --show-cursor").split("cursor: ")[1].strip()


def log_entries_cannot_be_forged():
    cursor = journal_cursor()
    forged = "x\nsandboxd: all is well\x1b[2J"
    with Sandbox(name=forged, metadata={"a": forged}) as s:
        s.run(["printf", forged])
        s.post("/files/write", {"path": "/workspace/" + forged, "content": "x"}, expect=(200, 400))
    request("GET", "/sandbox/nothing%0aforged", headers={"User-Agent": "a\x1b[2Jb"})
    api("POST", "/sandboxes", {"image": forged}, expect=400)
    for line in journal_since(cursor).splitlines():
        message = json.loads(line).get("MESSAGE", "")
        ok(isinstance(message, str), "a text, without control characters", message)
        ok("\x1b" not in message and not message.startswith("sandboxd: all is well"), "not forged", message)


@contextlib.contextmanager
def token_is_set():
    """As an administrator does it; the settings are read when the service starts."""
    path = "/etc/sandboxd/sandboxd.conf.d/90-token.conf"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(f"III_AUTH_TOKEN={TOKEN}\n")
    shell("systemctl stop sandboxd.service")
    try:
        yield {"Authorization": f"Bearer {TOKEN}"}
    finally:
        os.unlink(path)
        shell("systemctl stop sandboxd.service")


def tokens_stay_secret():
    cursor = journal_cursor()
    with token_is_set() as good:
        eq(status_of("GET", "/sandboxes"), 401)
        eq(status_of("GET", "/sandboxes", headers={"Authorization": "Bearer wrong"}), 403)
        eq(status_of("GET", "/sandboxes", headers=good), 200)
        eq(status_of("GET", "/health"), 200)
        check_answer(send_raw(b"GET /sandbox/sandboxes HTTP/1.1\r\nHost: localhost\r\n\r\n"), (401,), "no token")
        pid = main_pid("sandboxd")
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as f:
                ok(TOKEN.encode() not in f.read(), f"not in {name}")
        status, _, made = request("POST", "/sandbox/sandboxes", {"image": IMAGE}, headers=good)
        eq(status, 200)
        status, _, answer = request("POST", f"/sandbox/sandboxes/{made['id']}/exec", {"command": "env; cat /proc/*/environ"},
                                    headers=good)
        ok(status == 200 and TOKEN not in answer["stdout"], "not inside", answer)
        eq(request("DELETE", f"/sandbox/sandboxes/{made['id']}", headers=good)[0], 200)
    ok(TOKEN not in journal_since(cursor), "not in the journal")


def guesses_are_limited():
    """After a handful of wrong tokens the next is told to wait; who has the right one is not."""
    with token_is_set() as good:
        wrong = [request("GET", "/sandbox/sandboxes", headers={"Authorization": "Bearer wrong"}) for _ in range(50)]
        ok({w[0] for w in wrong} == {403, 429}, "statuses", {w[0] for w in wrong})
        ok(all("retry-after" in w[1] for w in wrong if w[0] == 429), "Retry-After")
        eq(status_of("GET", "/sandboxes", headers=good), 200)


def nothing_failed():
    eq(shell("systemctl list-units --failed --no-legend 'sandbox*'").strip(), "")
    eq({u: int(shell(f"systemctl show -P NRestarts {u}")) for u in ("sandboxd", "sandbox-execd", "sandbox-fsd")},
       {"sandboxd": 0, "sandbox-execd": 0, "sandbox-fsd": 0}, "restarts")


def main():
    global S
    with Sandbox(timeout=900) as S:
        run_tests([errors_have_one_form, large_and_deep, numbers_never_wrap, texts_have_bounds, slow_connections_cost_nobody,
                   half_a_body_is_not_waited_for, log_entries_cannot_be_forged, tokens_stay_secret, guesses_are_limited,
                   nothing_failed])


main()
