#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# needs: container sanitized
set -eu
export PYTHONPATH=$TESTDATA/integration/lib PYTHONDONTWRITEBYTECODE=1
exec python3 test.py
