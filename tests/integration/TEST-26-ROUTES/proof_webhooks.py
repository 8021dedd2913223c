# SPDX-License-Identifier: LGPL-2.1-or-later
import http.server
import threading

from proof import proof
from sandboxd import api, configure, eq, status_of, wait_for

UNKNOWN = "whk_" + "0" * 24


class Receiver:
    def __init__(self):
        got = self.got = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                got.append((self.headers["X-Sandbox-Topic"], self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        configure(SANDBOX_WEBHOOK_ALLOW="127.0.0.1")
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        configure()


def make(url="http://receiver.example/", **more):
    return api("POST", "/webhooks", {"url": url, "topics": ["proof.sent"], **more})


def say(n=1):
    return api("POST", "/events/publish", {"topic": "proof.sent", "sandboxId": "nobody", "data": {"n": n}})


@proof("POST /webhooks")
def create(p):
    with Receiver() as r:
        made = p.good({"url": r.url, "topics": ["proof.sent"]})
        event = say()
        wait_for("it arrives", lambda: r.got)
        p.effect("an event is sent", event["id"].encode() in r.got[0][1], r.got)
        api("DELETE", f"/webhooks/{made['id']}")
    p.bad(400, {"url": "ftp://receiver.example/"})


@proof("GET /webhooks")
def list_webhooks(p):
    made = make()
    p.effect("one that was made, without its secret", [(w["id"], "secret" in w) for w in p.good()["webhooks"]] ==
             [(made["id"], False)])
    api("DELETE", f"/webhooks/{made['id']}")
    p.effect("until it is deleted", p.good()["webhooks"] == [])
    p.bad(400, query="%zz")


@proof("GET /webhooks/:webhook")
def get(p):
    made = make()
    shown = p.good(webhook=made["id"])
    p.effect("all of it but the secret", shown == {k: v for k, v in made.items() if k != "secret"}, shown)
    api("DELETE", f"/webhooks/{made['id']}")
    p.bad(404, webhook=made["id"])


@proof("POST /webhooks/:webhook")
def change(p):
    with Receiver() as r:
        made = make(r.url, enabled=False)
        say()
        p.good({"enabled": True}, webhook=made["id"])
        wait_for("it arrives", lambda: r.got)
        p.effect("what waited is sent", [topic for topic, _ in r.got] == ["proof.sent"], r.got)
        p.bad(400, {"url": "nowhere"}, webhook=made["id"])
        api("DELETE", f"/webhooks/{made['id']}")


@proof("DELETE /webhooks/:webhook")
def delete(p):
    made = make()
    eq(p.good(webhook=made["id"]), {"deleted": made["id"]})
    p.effect("it is gone", status_of("GET", f"/webhooks/{made['id']}") == 404)
    p.bad(404, webhook=made["id"])


@proof("POST /webhooks/:webhook/test")
def test(p):
    with Receiver() as r:
        made = make(r.url)
        answer = p.good({}, webhook=made["id"])
        p.effect("it is sent at once", (answer["delivered"], [t for t, _ in r.got]) == (True, ["webhook.test"]), answer)
        api("DELETE", f"/webhooks/{made['id']}")
    p.bad(404, {}, webhook=UNKNOWN)


@proof("GET /webhooks/:webhook/deliveries")
def deliveries(p):
    with Receiver() as r:
        made = make(r.url)
        event = say()
        found = wait_for("it is written down", lambda: p.good(webhook=made["id"])["deliveries"])
        p.effect("what became of an event", (found[0]["eventId"], found[0]["status"]) == (event["id"], "delivered"),
                 found)
        p.bad(400, webhook=made["id"], query="limit=many")
        api("DELETE", f"/webhooks/{made['id']}")
