#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ./dev soak leaks: 10,000 lives of a sandbox, half of them while daemons are killed at random.
set -eu
export TEST_CYCLES=${TEST_CYCLES:-10000} TEST_TIMEOUT=${TEST_TIMEOUT:-7200}
exec "$(dirname "$(readlink -f "$0")")/../../dev" test TEST-06 "$@"
