#!/bin/bash
# Runs in the booted container or VM: what a package's maintainer script does after unpacking.
set -eu
sockets=(sandboxd.socket sandbox-execd.socket sandbox-fsd.socket)

[ -e /usr/lib/systemd/system/sandboxd.socket ] || { echo 'setup: nothing of ours is installed' >&2; exit 0; }
systemd-sysusers sandboxd.conf
systemd-tmpfiles --create sandboxd.conf
systemctl daemon-reload
systemctl --quiet enable --now "${sockets[@]}"
