#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every example of the manual pages, of the help and of the README is run.
# needs: container
set -eu
export PYTHONPATH=$TESTDATA/integration/lib PYTHONDONTWRITEBYTECODE=1
exec python3 test.py
