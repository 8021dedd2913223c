#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ./dev soak restart: 300 rounds of killing, stopping and restarting daemons under 20 sandboxes at work.
set -eu
export TEST_ROUNDS=${TEST_ROUNDS:-300} TEST_TIMEOUT=${TEST_TIMEOUT:-7200}
exec "$(dirname "$(readlink -f "$0")")/../../dev" test TEST-05 "$@"
