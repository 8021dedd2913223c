#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs in the booted container or VM: what a package's maintainer script does after unpacking.
set -eu
sockets=(sandboxd.socket sandbox-execd.socket sandbox-fsd.socket sandbox-hook.socket)

systemd-sysusers sandboxd.conf
systemd-tmpfiles --create sandboxd.conf
systemctl daemon-reload
systemctl --quiet enable --now "${sockets[@]}"
