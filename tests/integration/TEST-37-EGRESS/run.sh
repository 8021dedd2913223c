#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# needs: container
set -eu
command -v nft >/dev/null || { echo "skipped: there is no nft to look at the rules with"; exit 77; }
export PYTHONPATH=$TESTDATA/integration/lib PYTHONDONTWRITEBYTECODE=1
exec python3 test.py
