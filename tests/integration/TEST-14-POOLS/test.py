# SPDX-License-Identifier: LGPL-2.1-or-later
"""Spare sandboxes, blank and warm: who gets them, how they come back, that they leave with the daemons."""
import os
import threading
import time

from leftovers import at_rest, baseline, settled
from sandboxd import (IMAGE, Sandbox, api, configure, eq, kill_main, main_pid, ok, parallel, request, run_tests, shell,
                      spares, wait_for)

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]
SIZE = 8
SMALL = {"image": IMAGE, "memory": 128, "cpu": 0.5}
PROFILE = f"{IMAGE},128,0.5,false"


def pool():
    return api("GET", "/pool/status")


def counters():
    return api("GET", "/metrics")


def since(before, *names):
    now = counters()
    return tuple(now["created" + n] - before["created" + n] for n in names)


def full(seconds=30):
    wait_for("the pools are full", at_rest, seconds)


def p95(values):
    return sorted(values)[int(len(values) * 0.95)]


# --- blank

def nothing_before_the_first_sandbox():
    configure()
    api("GET", "/sandboxes")
    eq((pool()["blank"]["size"], len(spares())), (0, 0), "spares of a daemon that was started for something else")
    before = counters()
    Sandbox().delete()
    eq(since(before, "Cold", "Blank", "Warm"), (1, 0, 0), "the first one")
    full()
    eq(len(spares()), SIZE, "spares")


def spares_go_first():
    """With a rate that brings none back meanwhile."""
    configure(SANDBOX_BLANK_POOL=4, SANDBOX_BLANK_RATE=1)
    Sandbox().delete()
    full()
    before, held = counters(), []
    for _ in range(4):
        held.append(Sandbox())
    blank, cold = since(before, "Blank", "Cold")
    eq((blank, cold), (4, 0), "of the first four")
    parallel([lambda: held.append(Sandbox()) for _ in range(12)])
    blank, cold = since(before, "Blank", "Cold")
    eq(blank + cold, 16, "all")
    ok(cold >= 4, "beyond the spares there is waiting", blank, cold)
    for s in held:
        eq(s.out("echo on"), "on\n")
        s.delete()
    full()
    eq(len(spares()), 4, "they came back")


def a_burst_is_remembered():
    configure(SANDBOX_BLANK_POOL=4, SANDBOX_BLANK_POOL_MAX=10, SANDBOX_BLANK_RATE=0)
    with Sandbox() as s:
        def fork():
            before = counters()
            made = s.post("/fork", {"count": 30})["sandboxes"]
            blank, = since(before, "Blank")
            for one in made:
                api("DELETE", f"/sandboxes/{one['id']}")
            return blank

        full()
        eq(pool()["blank"]["size"], 4, "before")
        # Where others take the machine, even those of one fork may come one by one.
        wait_for("as many as the setting allows", lambda: fork() >= 0 and pool()["blank"]["size"] == 10)
        full()
        eq(len(spares()), 10, "spares")
        ok(fork() >= 10, "spares for the next fork")


def off():
    configure(SANDBOX_BLANK_POOL=0)
    before = counters()
    parallel([lambda: Sandbox().delete()] * 4)
    eq(since(before, "Cold", "Blank"), (4, 0))
    eq(spares(), set())


def the_rate_is_bounded():
    rate, seconds = 5, 4
    configure(SANDBOX_BLANK_POOL=SIZE, SANDBOX_BLANK_RATE=rate)
    Sandbox().delete()
    full()
    made, seen, end = 0, spares(), time.monotonic() + seconds
    while time.monotonic() < end:
        if len(seen) > 1:
            Sandbox().delete()
        now = spares()
        made += len(now - seen)
        seen = now
        time.sleep(0.02)
    print(f"    {made} spares in {seconds} s at {rate} a second")
    ok(made <= rate * seconds + 2 * SIZE, "spares made", made)


def burst():
    """More at once than there are spares, and than are made at a time."""
    configure(III_MAX_SANDBOXES=200)
    Sandbox().delete()
    full()
    before = baseline()

    def life():
        s = Sandbox(timeout=300)
        eq(s.out("echo on"), "on\n")
        return s

    counted, begin = counters(), time.monotonic()
    made = parallel([life] * 60)
    took = time.monotonic() - begin
    blank, cold = since(counted, "Blank", "Cold")
    eq(blank + cold, 60)
    print(f"    60 at once: {took:.2f} s, {blank} of spares")
    eq(len({s.id for s in made}), 60, "ids")
    parallel([s.delete for s in made])
    settled(before)


def exec_while_refilling():
    """What refilling costs somebody else's commands; the figure for a calm machine is in the benchmarks."""
    configure()
    with Sandbox() as s:
        full()

        def times(n):
            found = []
            for _ in range(n):
                begin = time.monotonic()
                s.run("true")
                found.append(time.monotonic() - begin)
            return found

        times(20)
        calm = times(150)
        end = threading.Event()

        def take():
            while not end.wait(0.1):
                Sandbox().delete()

        t = threading.Thread(target=take)
        t.start()
        try:
            busy = times(150)
        finally:
            end.set()
            t.join()
    print(f"    exec p95 {p95(calm) * 1000:.2f} ms, while refilling 10/s {p95(busy) * 1000:.2f} ms:"
          f" {p95(busy) / p95(calm):.2f}")
    ok(p95(busy) < 6 * p95(calm), "exec p95 while refilling", p95(calm), p95(busy))


def failures_are_survived():
    """A fault hits a spare: it is undone, another one is made."""
    configure()
    Sandbox().delete()
    full()
    before = baseline()
    for step in ("clone", "go", "scope", "cgroup-init"):
        with open("/run/sandboxd/execd/fault", "w", encoding="ascii") as f:
            f.write(step)
        Sandbox().delete()
        wait_for("the fault was taken", lambda: not os.path.exists("/run/sandboxd/execd/fault"))
        settled(before, f"what differs after a fault at {step}")


# --- warm

def warm_by_profile():
    configure(III_POOL_SIZE=3, III_POOL_PROFILES=PROFILE)
    full()
    status = pool()
    eq((status["total"], status["ready"]), (3, 3), "warm ones")
    eq(list(status["by_profile"]), [f"{IMAGE}:128:0.5:false"])
    eq(api("GET", "/sandboxes")["total"], 0, "a client sees")
    eq(counters()["activeSandboxes"], 0, "a client counts")

    before = counters()
    with Sandbox(**SMALL, name="mine", metadata={"a": "b"}, env={"WHOSE": "mine"}, timeout=120) as s:
        eq(since(before, "Warm", "Blank", "Cold"), (1, 0, 0))
        eq((s.record["name"], s.record["metadata"], s.record["status"]), ("mine", {"a": "b"}, "running"))
        ok(abs(s.record["expiresAt"] - s.record["createdAt"] - 120000) < 5, "its end", s.record)
        eq(s.out("echo $WHOSE; pwd"), "mine\n/workspace\n")
        eq(s.out("hostname"), s.out("cat /etc/hostname"))
        eq([i["id"] for i in api("GET", "/sandboxes")["items"]], [s.id])
        due = [f for f in os.listdir("/run/sandboxd/due") if f.startswith(s.id[4:])]
        with open("/run/sandboxd/due/" + due[0], encoding="ascii") as f:
            left = int(f.read().split()[0]) / 1e6 - time.clock_gettime(time.CLOCK_BOOTTIME)
        ok(100 < left <= 120, "the deadline is the client's", left)

        for other in ({"memory": 256}, {"cpu": 1}, {"network": True}, {"workdir": "/srv"}):
            before = counters()
            Sandbox(**{**SMALL, **other}).delete()
            eq(since(before, "Warm"), (0,), f"with {other}")
    full()


def warm_makes_room():
    """Under the limit a client's counts, the pool's does not."""
    configure(III_POOL_SIZE=3, III_POOL_PROFILES=PROFILE, III_MAX_SANDBOXES=4)
    full()
    made = [Sandbox(memory=256) for _ in range(4)]
    eq(request("POST", "/sandbox/sandboxes", SMALL)[0], 429, "one too many")
    wait_for("the pool made room", lambda: pool()["total"] == 0)
    for s in made:
        eq(s.out("echo on"), "on\n")
        s.delete()
    full()


def crashes_leak_nothing():
    """Killed with full pools, in all orders: the spares are ended and made again."""
    configure(III_POOL_SIZE=2, III_POOL_PROFILES=PROFILE)
    Sandbox(**SMALL).delete()
    full()
    before = baseline()
    with Sandbox(**SMALL) as kept:
        for units in (["sandbox-execd"], ["sandboxd"], UNITS, ["sandbox-execd", "sandboxd"]):
            full()
            for unit in units:
                kill_main(unit)
            wait_for("they serve again", lambda: _up(kept), 30)
            full()
            eq(api("GET", "/sandboxes")["total"], 1, f"sandboxes after {units}")
    settled(before)


def _up(s):
    try:
        return s.out("echo on") == "on\n"
    except Exception:  # noqa: B902 - a service that is on its way up
        return False


def spares_end_with_their_daemon():
    """Even if no other one comes to clear up."""
    configure()
    Sandbox().delete()
    full()
    shell("systemctl stop sandbox-execd.socket sandbox-execd.service")
    wait_for("their inits are gone", lambda: shell("ps -eo comm= | grep -c '^sandbox-init' || true").strip() == "0")
    shell("systemctl start sandbox-execd.socket")
    Sandbox().delete()
    full()
    eq(len(spares()), SIZE)


def all_leave_when_idle():
    configure(III_POOL_SIZE=2, III_POOL_PROFILES=PROFILE)
    Sandbox(**SMALL).delete()
    full()
    wait_for("the daemons left", lambda: not any(main_pid(u) for u in UNITS), 30)
    wait_for("nothing is left", lambda: not shell("systemctl list-units --no-legend --plain 'sandbox-*.scope'").strip())
    eq([f for f in os.listdir("/run/sandboxd/execd") if len(f) >= 32], [], "records")
    eq(os.listdir("/run/sandboxd/due"), [], "deadlines")
    configure()


run_tests([nothing_before_the_first_sandbox, spares_go_first, a_burst_is_remembered, off, the_rate_is_bounded, burst,
           exec_while_refilling, failures_are_survived, warm_by_profile, warm_makes_room, crashes_leak_nothing,
           spares_end_with_their_daemon, all_leave_when_idle])
