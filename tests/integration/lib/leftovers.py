# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must be the same before and after: see counts in testbed/lib.sh."""
import time

from sandboxd import eq, shell

COUNT = '. "$TESTDATA/testbed/lib.sh"; counts'


def counts():
    return dict(line.split("=", 1) for line in shell(f"bash -c '{COUNT}'").splitlines())


def differences(before):
    after = counts()
    return {k: (v, after[k]) for k, v in before.items() if v and after[k] and v != after[k]}


def settled(before, what="what differs from before"):
    """Waits for what is freed in the background."""
    end = time.monotonic() + 30
    while (found := differences(before)) and time.monotonic() < end:
        time.sleep(0.2)
    eq(found, {}, what)
