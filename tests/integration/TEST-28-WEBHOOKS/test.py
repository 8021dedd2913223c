# SPDX-License-Identifier: LGPL-2.1-or-later
"""Webhooks: every event arrives, in order and signed, whatever fails and whoever is killed, and nobody reaches by one
what only this machine can."""
import itertools
import os
import socket
import time

from receiver import Receiver
from sandboxd import (Sandbox, api, but_newer, configure, eq, kill_main, main_pid, ok, run_tests, shell, status_of,
                      wait_for)

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd", "sandbox-hook"]
ALLOW = {"SANDBOX_WEBHOOK_ALLOW": "127.0.0.1"}
QUICK = {**ALLOW, "SANDBOX_WEBHOOK_BACKOFF_SEC": 1, "SANDBOX_WEBHOOK_BACKOFF_MAX_SEC": 1,
         "SANDBOX_WEBHOOK_TIMEOUT_SEC": 2, "SANDBOX_WEBHOOK_ATTEMPTS": 100}
PATIENCE = 60
numbers = itertools.count(1)


class Hook:
    def __init__(self, url, **more):
        self.topic = f"t{next(numbers)}.said"
        more.setdefault("topics", [self.topic])
        self.record = api("POST", "/webhooks", {"url": url, **more})
        self.id, self.secret = self.record["id"], self.record["secret"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        status_of("DELETE", f"/webhooks/{self.id}")

    def get(self):
        return api("GET", f"/webhooks/{self.id}")

    def deliveries(self, **query):
        query.setdefault("limit", 1000)
        return api("GET", f"/webhooks/{self.id}/deliveries?" + "&".join(f"{k}={v}" for k, v in query.items()))

    def say(self, n):
        return api("POST", "/events/publish", {"topic": self.topic, "sandboxId": "nobody", "data": {"n": n}})

    def test(self):
        return api("POST", f"/webhooks/{self.id}/test", {})

    def wait(self, delivered):
        wait_for(f"{delivered} delivered", lambda: self.get()["delivered"] >= delivered, PATIENCE)
        eq(self.get()["delivered"], delivered)


def kill(*units):
    for unit in units:
        kill_main(unit + ".service")


def in_order_and_signed():
    configure(**ALLOW)
    with Receiver() as r, Hook(r.url("/ok"), secret="the-secret-that-is-known") as h:
        eq(h.secret, "the-secret-that-is-known")
        events = [h.say(i) for i in range(30)]
        api("POST", "/events/publish", {"topic": "another", "sandboxId": "nobody"})
        h.wait(30)
        got = r.at("/ok")
        eq([g.n() for g in got], list(range(30)), "order")
        eq([g.event for g in got], events, "the events as the API shows them")
        ok(all(g.is_signed(h.secret) for g in got), "signatures", got[0].headers)
        ok(not got[0].is_signed("another secret"), "the check itself")
        eq(got[0].headers["X-Sandbox-Event"], events[0]["id"])
        eq((got[0].headers["X-Sandbox-Topic"], got[0].headers["X-Sandbox-Webhook"]), (h.topic, h.id))
        eq(len({g.delivery for g in got}), 30, "ids of deliveries")
        listed = h.deliveries()
        eq((listed["total"], {d["status"] for d in listed["deliveries"]}), (30, {"delivered"}))
        eq({d["id"] for d in listed["deliveries"]}, {g.delivery for g in got})


def sandboxes_tell_of_themselves():
    configure(**ALLOW)
    with Receiver() as r, Sandbox() as s:
        h = Hook(r.url("/ok"), topics=["sandbox.*"], sandboxId=s.id)
        other = Sandbox()
        other.delete()
        s.out("true")
        s.post("/pause")
        s.delete()
        wait_for("its end was told", lambda: [g.event["topic"] for g in r.at("/ok")] == [
            "sandbox.exec", "sandbox.paused", "sandbox.killed"], PATIENCE)
        eq({g.event["sandboxId"] for g in r.at("/ok")}, {s.id})
        wait_for("and the webhook went with it", lambda: status_of("GET", f"/webhooks/{h.id}") == 404)


def failures_are_tried_again():
    configure(**QUICK)
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    with Receiver() as r, Hook(r.url("/ok-failing")) as failing, Hook(r.url("/ok-stalling")) as stalling, \
            Hook(f"http://127.0.0.1:{port}/ok") as refused, Hook(r.url("/redirect")) as redirected:
        r.plans = {"/ok-failing": ["fail"] * 3, "/ok-stalling": ["stall"]}
        for i in range(2):
            for h in (failing, stalling, refused, redirected):
                h.say(i)
        failing.wait(2)
        stalling.wait(2)
        eq([g.n() for g in r.at("/ok-failing")], [0, 0, 0, 0, 1])
        eq([g.headers["X-Sandbox-Attempt"] for g in r.at("/ok-failing")], ["1", "2", "3", "4", "1"])
        eq(len({g.delivery for g in r.at("/ok-failing")}), 2, "the same each time")
        ok(all(g.is_signed(failing.secret) for g in r.at("/ok-failing")), "each attempt is signed")
        eq([g.n() for g in r.at("/ok-stalling")], [0, 0, 1])
        wait_for("it is tried", lambda: refused.get()["attempts"] > 0)
        pending = refused.deliveries(status="pending")["deliveries"]
        eq((len(pending), "onnect" in pending[0]["error"]), (1, True), f"what is still tried: {pending}")
        with Receiver(port) as late:
            refused.wait(2)
            eq([g.n() for g in late.at("/ok")], [0, 1])
        wait_for("a redirect is a failure", lambda: "307" in redirected.get().get("lastError", ""))
        eq(r.at("/ok-redirected"), [], "redirects that were followed")


def given_up_after_so_many():
    configure(**QUICK | {"SANDBOX_WEBHOOK_ATTEMPTS": 2})
    with Receiver() as r, Hook(r.url("/ok"), topics=["webhook.failed"]) as watcher, Hook(r.url("/ok-2")) as h:
        r.plans = {"/ok-2": ["fail"] * 2}
        dead, alive = h.say(0), h.say(1)
        wait_for("it went on", lambda: h.get()["delivered"] == 1, PATIENCE)
        eq([g.n() for g in r.at("/ok-2")], [0, 0, 1])
        record = h.deliveries(status="dead")["deliveries"][0]
        eq((record["eventId"], record["attempts"], record["httpStatus"]), (dead["id"], 2, 500))
        ok("500" in record["error"], "the error", record)
        eq(h.deliveries(status="delivered")["deliveries"][0]["eventId"], alive["id"])
        watcher.wait(1)
        eq(r.at("/ok")[0].event["data"]["eventId"], dead["id"], "it is told")


def nothing_is_lost(units):
    """Events are said while units are killed again and again: each arrives, and what arrives twice says so."""
    configure(**QUICK)
    with Receiver() as r, Hook(r.url("/ok")) as h:
        for i in range(60):
            h.say(i)
            if i % 5 == 4:
                kill(*units)
        wait_for("all arrived", lambda: {g.n() for g in r.at("/ok")} == set(range(60)), PATIENCE)
        wait_for("all are settled", lambda: h.deliveries(status="delivered")["total"] == 60, PATIENCE)
        got = r.at("/ok")
        first = list(dict.fromkeys(g.n() for g in got))
        eq(first, sorted(first), "order")
        eq(len({g.delivery for g in got}), 60, "what came twice has the same id")
        print(f"    {len(got)} requests")


def nothing_is_lost_with_sandboxd():
    nothing_is_lost(["sandboxd"])


def nothing_is_lost_with_the_sender():
    nothing_is_lost(["sandbox-hook"])


def nothing_is_lost_with_all():
    nothing_is_lost(UNITS)


def we_are_woken():
    """The receiver comes back when nothing of ours runs, and nobody asks us anything."""
    configure(**QUICK | {"SANDBOX_IDLE_EXIT_SEC": 1, "SANDBOX_WEBHOOK_BACKOFF_SEC": 8,
                         "SANDBOX_WEBHOOK_BACKOFF_MAX_SEC": 8})
    with Receiver() as r:
        h = Hook(r.url("/ok"))
        r.plans = {"/ok": ["fail"]}
        h.say(1)
        wait_for("it failed", lambda: h.get()["attempts"] == 1, PATIENCE)
        wait_for("all have left", lambda: not any(main_pid(u + ".service") for u in UNITS), PATIENCE)
        eq(len(r.at("/ok")), 1)
        wait_for("it came again", lambda: len(r.at("/ok")) == 2, PATIENCE)
        # Killed while it is sent: started again by the same timer.
        r.plans = {"/ok": ["stall"]}
        h.say(2)
        wait_for("it is under way", lambda: len(r.at("/ok")) == 3, PATIENCE)
        kill(*UNITS)
        wait_for("it came again", lambda: len(r.at("/ok")) == 4, PATIENCE)
        eq([g.n() for g in r.at("/ok")], [1, 1, 2, 2])
        with h:
            pass


def the_end_is_told_by_a_timer():
    """A sandbox expires while nothing of ours runs."""
    configure(**QUICK | {"SANDBOX_IDLE_EXIT_SEC": 1})
    with Receiver() as r, Hook(r.url("/ok"), topics=["sandbox.expired"]):
        s = Sandbox()
        s.post("/renew", {"expiresAt": int(time.time() * 1000) + 6000}) # the least is a minute
        wait_for("all have left", lambda: not any(main_pid(u + ".service") for u in UNITS), PATIENCE)
        eq(r.at("/ok"), [])
        wait_for("its end was told", lambda: [g.event["sandboxId"] for g in r.at("/ok")] == [s.id], 60 + PATIENCE)


def private_destinations_are_refused():
    configure()
    with Receiver() as r:
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "2130706433", "0x7f.1", "127.1", "[::1]", "[::]",
                     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[fe80::1]", "169.254.169.254",
                     "10.0.0.1", "192.168.0.1", "224.0.0.1"):
            with Hook(r.url("/ok", host)) as h:
                answer = h.test()
                eq((answer["delivered"], "not allowed" in answer["error"]), (False, True), f"{host}: {answer}")
        eq(r.requests, [])
        # A rule is for what it names, and takes effect without a restart of anything.
        with open("/run/sandboxd/sandboxd.conf.d/90-test.conf", "w", encoding="ascii") as f:
            f.write("SANDBOX_WEBHOOK_ALLOW=localhost\n")
        shell("systemctl reload sandbox-hook.service")
        with Hook(r.url("/ok", "localhost")) as named, Hook(r.url("/ok", "127.0.0.1")) as numbered:
            wait_for("the host that is named", lambda: named.test()["delivered"])
            eq(numbered.test()["delivered"], False)
        ok("proxy" not in shell("systemctl show -P Environment sandbox-hook.service"), "no proxy is meant")
        for url in ("file:///etc/passwd", "ftp://127.0.0.1/", "http://user:word@127.0.0.1/", "gopher://x"):
            eq(status_of("POST", "/webhooks", {"url": url}), 400, url)


def proxies_are_not_used():
    """A unit's environment may name one; it is a door of its own."""
    configure(**ALLOW)
    directory = "/run/systemd/system/sandbox-hook.service.d"
    os.makedirs(directory, exist_ok=True)
    try:
        with Receiver() as r, Receiver() as proxy:
            with open(directory + "/90-test.conf", "w", encoding="ascii") as f:
                f.write(f"[Service]\nEnvironment=http_proxy={proxy.url('')} all_proxy={proxy.url('')}\n")
            shell("systemctl daemon-reload")
            with Hook(r.url("/ok")) as h:
                eq(h.test()["delivered"], True)
            eq((len(r.requests), len(proxy.requests)), (1, 0))
    finally:
        os.unlink(directory + "/90-test.conf")
        shell("systemctl daemon-reload; systemctl stop sandbox-hook.service")


def long_answers_are_cut():
    configure(**ALLOW)
    with Receiver() as r, Hook(r.url("/flood")) as h:
        h.say(1)
        h.wait(1)
        eq(len(r.at("/flood")), 1)
        ok(r.flooded < 64 << 20, "bytes that it could write", r.flooded)


def resident(unit):
    with open(f"/proc/{main_pid(unit + '.service')}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def who_stalls_holds_nobody():
    """A hundred that wait for a receiver which never answers, one whose receiver does."""
    configure(**QUICK | {"SANDBOX_WEBHOOK_TIMEOUT_SEC": 60, "SANDBOX_WEBHOOKS_MAX": 101})
    with Receiver() as r:
        topic = "crowd.said"
        stalled = [Hook(r.url("/stall"), topics=[topic]) for _ in range(100)]
        h = Hook(r.url("/ok"), topics=[topic])
        eq(status_of("POST", "/webhooks", {"url": r.url("/ok")}), 429, "one too many")
        h.topic = topic
        h.say(0)
        wait_for("all stall", lambda: len(r.at("/stall")) == 100, PATIENCE)
        before = resident("sandboxd")
        for i in range(1, 50):
            h.say(i)
        h.wait(50)
        eq([g.n() for g in r.at("/ok")], list(range(50)))
        eq(len(r.at("/stall")), 100, "one request each")
        if "asan" not in shell(f"cat /proc/{main_pid('sandboxd.service')}/maps"):
            ok(resident("sandboxd") < before + 8192, "KiB before and after", before, resident("sandboxd"))
        for x in [*stalled, h]:
            eq(api("DELETE", f"/webhooks/{x.id}"), {"deleted": x.id})
    kill("sandbox-hook")


def secrets_stay_secret():
    configure(**QUICK | {"SANDBOX_LOG_LEVEL": "debug"})
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    with Receiver() as r, Hook(r.url("/ok?token=secret-of-the-path"), secret="secret-of-the-key") as h, \
            Hook(r.url("/fail?token=secret-of-the-path"), secret="secret-of-the-key") as failing:
        h.say(1)
        failing.say(1)
        h.wait(1)
        wait_for("it failed", lambda: failing.get()["attempts"] > 0)
        status_of("POST", f"/webhooks/{h.id}", {"enabled": True})
        shown = [api("GET", path, raw=True).decode() for path in (
            "/webhooks", f"/webhooks/{h.id}", f"/webhooks/{failing.id}/deliveries", "/events/history?limit=1000",
            "/observability/traces?limit=1000", "/metrics/prometheus")]
        journal = shell(f"journalctl --no-pager -o verbose --since '{since}' -u 'sandbox*'")
        ok(h.id in journal or "webhook" in journal, "the log says something")
        for text in [*shown, journal]:
            ok("secret-of-the-key" not in text, "the key", text[max(0, text.find("secret-of-the-key") - 200):][:300])
        for text in [*shown[2:], journal]:
            ok("secret-of-the-path" not in text, "the path", text[max(0, text.find("secret-of-the-path") - 200):][:300])
        eq({g.headers.get("Authorization") for g in r.requests}, {None})


def the_sender_has_nothing_but_the_network():
    configure(**ALLOW)
    with Receiver() as r, Hook(r.url("/ok")) as h:
        h.test()
        pid = main_pid("sandbox-hook.service")
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = dict(line.split(":", 1) for line in f)
        eq({int(status[k], 16) for k in ("CapEff", "CapPrm", "CapBnd", "CapAmb")}, {0}, "capabilities")
        eq(status["NoNewPrivs"].strip(), "1")
        ok(status["Uid"].split()[0] != "0", "not root", status["Uid"])
        ok(not os.path.exists(f"/proc/{pid}/root/var/lib/sandboxd/db") and
           shell(f"ls /proc/{pid}/root/var/lib/sandboxd 2>/dev/null | wc -l").strip() == "0", "the records")
        eq(os.readlink(f"/proc/{main_pid('sandboxd.service')}/ns/net") == os.readlink("/proc/self/ns/net"), False,
           "sandboxd has a network")


def nothing_is_left():
    configure(SANDBOX_IDLE_EXIT_SEC=1)
    eq(api("GET", "/webhooks"), {"webhooks": []})
    wait_for("the sender has left", lambda: not main_pid("sandbox-hook.service"), PATIENCE)
    eq(shell("systemctl is-failed sandbox-hook.service", check=False).strip(), "inactive")
    configure()


run_tests([in_order_and_signed, sandboxes_tell_of_themselves, failures_are_tried_again, given_up_after_so_many,
           nothing_is_lost_with_sandboxd, nothing_is_lost_with_the_sender, nothing_is_lost_with_all, we_are_woken,
           *but_newer(the_end_is_told_by_a_timer), private_destinations_are_refused, proxies_are_not_used,
           long_answers_are_cut, who_stalls_holds_nobody, secrets_stay_secret,
           the_sender_has_nothing_but_the_network, nothing_is_left])
