# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must be the same before and after: see counts in testbed/lib.sh."""
import os
import time

from sandboxd import Sandbox, api, eq, shell, wait_for

COUNT = '. "$TESTDATA/testbed/lib.sh"; counts'


def counts():
    return dict(line.split("=", 1) for line in shell(f"bash -c '{COUNT}'").splitlines())


def at_rest():
    """The pools are full (or off): a fresh sandbox-execd begins to fill its own with the first sandbox."""
    status = api("GET", "/pool/status")
    if not status["blank"]["size"]:
        Sandbox().delete()
        status = api("GET", "/pool/status")
    blank, warm = status["blank"], sum(p["size"] for p in status["by_profile"].values())
    return blank["ready"] == blank["size"] and not blank["making"] and status["ready"] == warm


def differences(before):
    if not at_rest():
        return {"pools": ("full", "not full")}
    after = counts()
    return {k: (v, after[k]) for k, v in before.items() if v and after[k] and v != after[k]}


def baseline():
    """The counts, once systemd has collected the scopes of earlier sandboxes too, which no reply waits for."""
    def records():
        return sum(len(n) == 32 for n in os.listdir("/run/sandboxd/execd"))
    return wait_for("a scope for each record",
                    lambda: at_rest() and (c := counts()) and int(c["scopes"]) == records() and c)


def settled(before, what="what differs from before"):
    """Waits for what is freed in the background."""
    end = time.monotonic() + 30
    while (found := differences(before)) and time.monotonic() < end:
        time.sleep(0.2)
    eq(found, {}, what)
