#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# needs: container container257 vm61
# The installed sandbox-init in namespaces and a control group made by hand, spoken to as sandbox-execd does.
set -eu
export SANDBOX_INIT=/usr/lib/sandboxd/sandbox-init
exec /usr/lib/sandboxd/tests/test-sandbox-init-protocol
