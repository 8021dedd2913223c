# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs tests/probe inside a sandbox."""
from sandboxd import eq

PROBE = "/usr/lib/sandboxd/tests/isolation-probe"


def run_probe(s, timeout=120):
    """Every line of it that is no PASS is shown; none may be a FAIL."""
    with open(PROBE, "rb") as f:
        s.put("/workspace/probe", f.read(), mode="755")
    r = s.run(["/workspace/probe", s.id[4:16]], timeout=timeout)
    other = [line for line in (r["stdout"] + r["stderr"]).splitlines() if not line.startswith("PASS")]
    print("    " + "\n    ".join(other))
    eq((r["exitCode"], [line for line in other if line.startswith("FAIL")]), (0, []), "probe")
