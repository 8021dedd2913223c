# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deadlines are held by systemd: exact to a second, with our daemons dead or masked, for paused sandboxes too."""
import os
import time

from sandboxd import Sandbox, api, eq, ok, request, run_tests, shell, wait_for

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]


class Deadline:
    """A moment, and a timer of systemd for the same one that starts nothing of ours: the machine may be slow, not we."""

    def __init__(self, seconds):
        self.at = time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
        self.seconds = seconds

    def compare(self):
        self.file = f"/tmp/compared-{self.at}"
        shell(f"systemd-run --quiet --collect --on-active={self.seconds} --timer-property=AccuracySec=1ms "
              f"cp /proc/uptime {self.file}")
        return self

    def met(self, what, slack):
        late = time.clock_gettime(time.CLOCK_BOOTTIME) - self.at
        wait_for("the timer beside it", lambda: os.path.exists(self.file) and os.path.getsize(self.file), 30)
        with open(self.file, encoding="ascii") as f:
            other = float(f.read().split()[0]) - self.at
        ok(-0.05 <= late <= slack + max(other, 0), f"{what} at its time, seconds late, and systemd", late, other)


def set_deadline(s, seconds):
    """The API clamps to a minute; the bus method does not."""
    deadline = Deadline(seconds)
    full = [f for f in os.listdir("/run/sandboxd/due") if f.startswith(s.id[4:])][0]
    shell(f"/usr/lib/sandboxd/tests/exec1-tool deadline {full} {int(seconds * 1e6)}")
    return deadline.compare()


def gone_at(s, deadline, slack=1.0):
    group = s.cgroup()
    wait_for("it ends", lambda: not os.path.exists(group), deadline.seconds + 30)
    deadline.met("ended", slack)


def all_is_freed(s):
    wait_for("record and root are freed", lambda: request("GET", "/sandbox" + s.path)[0] == 404)
    wait_for("execd's record", lambda: not [f for f in os.listdir("/run/sandboxd/execd") if f.startswith(s.id[4:])])
    ok(not [f for f in os.listdir("/run/sandboxd/due") if f.startswith(s.id[4:])], "due file")


def expires():
    before = api("GET", "/metrics")["totalExpired"]
    s = Sandbox()
    gone_at(s, set_deadline(s, 2))
    all_is_freed(s)
    eq(api("GET", "/metrics")["totalExpired"], before + 1)


def renewal_wins():
    s = Sandbox()
    set_deadline(s, 1)
    late = set_deadline(s, 3)
    gone_at(s, late)


def order_does_not_matter():
    a, b = Sandbox(), Sandbox()
    at_b = set_deadline(b, 3)
    at_a = set_deadline(a, 1.5)
    gone_at(a, at_a)
    gone_at(b, at_b)


def paused_ones_expire():
    s = Sandbox()
    s.post("/pause")
    gone_at(s, set_deadline(s, 2))
    all_is_freed(s)


def expires_with_all_dead_and_frees_without_a_client():
    s = Sandbox()
    deadline = set_deadline(s, 2)
    shell("systemctl stop sandboxd sandbox-execd sandbox-fsd")
    gone_at(s, deadline)
    # nobody asks: the expiry itself wakes what must free
    wait_for("execd's record", lambda: not [f for f in os.listdir("/run/sandboxd/execd") if f.startswith(s.id[4:])])
    wait_for("the record", lambda: shell("sqlite3 /var/lib/sandboxd/*.db 'select count(*) from sandboxes' 2>/dev/null || "
                                         "echo 0", check=False).strip() in ("0", ""))
    all_is_freed(s)


def expires_with_all_masked():
    s = Sandbox()
    deadline = set_deadline(s, 2)
    names = " ".join(f"{u}.socket {u}.service" for u in UNITS)
    shell(f"systemctl stop {names}")
    shell(f"systemctl mask --runtime {names}")
    try:
        gone_at(s, deadline)
    finally:
        shell(f"systemctl unmask --runtime {names}")
        shell("systemctl start " + " ".join(u + ".socket" for u in UNITS))
    all_is_freed(s)


def one_timer_for_all():
    made = [Sandbox(timeout=600 + i) for i in range(5)]
    try:
        timers = shell("systemctl list-units --no-legend --plain 'sandbox-due@*.timer'").splitlines()
        eq(len(timers), 1, "timers")
    finally:
        for s in made:
            s.delete()
    wait_for("no timer is left", lambda: not shell("systemctl list-units --all --no-legend --plain 'sandbox-due@*.timer'"), 5)


def wake(seconds):
    deadline = Deadline(seconds)
    shell(f"/usr/lib/sandboxd/tests/exec1-tool wake {int(seconds * 1e6)}")
    return deadline.compare()


def sandboxd_is_started_when_it_asked_for_it():
    """A time that moved on counts, the earlier one does not."""
    wake(1.5)
    at = wake(3)
    shell("systemctl stop sandboxd sandbox-execd sandbox-fsd")
    wait_for("sandboxd is started", lambda: shell("systemctl is-active sandboxd", check=False).strip() == "active", 30)
    at.met("started", 2)


run_tests([expires, renewal_wins, order_does_not_matter, paused_ones_expire, expires_with_all_dead_and_frees_without_a_client,
           expires_with_all_masked, sandboxd_is_started_when_it_asked_for_it, one_timer_for_all])
