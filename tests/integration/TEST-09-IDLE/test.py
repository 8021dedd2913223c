# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing of ours runs while nothing is asked for; the next request starts it again, as often as one likes."""
from sandboxd import Sandbox, api, eq, main_pid, run_tests, shell, wait_for

UNITS = ["sandboxd", "sandbox-execd", "sandbox-fsd"]


def running():
    return [u for u in UNITS if main_pid(u)]


def ours():
    lines = shell("ps -eo args= | grep -E '^(/usr/lib/sandboxd/)?sandbox' || true").splitlines()
    return [line for line in lines if not line.startswith("sandbox-init")]


def all_leave_with_sandboxes_alive():
    made = [Sandbox() for _ in range(3)]
    made[0].post("/files/write", {"path": "x", "content": "y"})
    eq(made[0].out("cat x"), "y")
    wait_for("all daemons left", lambda: not running(), 12)
    wait_for("no process but the inits", lambda: not ours(), 2)
    eq(shell("ps -eo comm= | grep -c '^sandbox-init' || true").strip(), "3", "inits")
    eq(made[0].out("cat x"), "y", "the next request finds all as it was")
    wait_for("those that took over left, too", lambda: not running(), 12)
    for s in made:
        s.delete()
    wait_for("all daemons left", lambda: not running(), 12)


def a_live_command_keeps_them():
    with Sandbox() as s:
        bg = s.post("/exec/background", {"command": "sleep 8; echo done"})["id"]
        wait_for("the command ended", lambda: not api("GET", f"/exec/background/{bg}/status")["running"], 15)
        eq(api("GET", f"/exec/background/{bg}/logs")["output"], "done\n")
        wait_for("all daemons left", lambda: not running(), 12)
        eq(api("GET", f"/exec/background/{bg}/status")["exitCode"], 0, "the status was kept")
        eq(api("GET", f"/exec/background/{bg}/logs")["output"], "done\n", "the output was kept")


def often():
    """More activations than systemd's limits would take if they counted."""
    for _ in range(30):
        shell("systemctl stop sandboxd.service sandbox-execd.service sandbox-fsd.service")
        api("GET", "/sandboxes")
    eq(shell("systemctl is-active sandboxd.socket sandbox-execd.socket sandbox-fsd.socket").split(), ["active"] * 3)


run_tests([all_leave_with_sandboxes_alive, a_live_command_keeps_them, often])
