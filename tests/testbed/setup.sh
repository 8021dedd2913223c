#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# setup.sh [NET]: runs in the booted container or VM: what a package's maintainer script does after unpacking. With a
# network of its own ("host": it is the machine's) it forwards packets, as sandboxes with a network need it.
set -eu
sockets=(sandboxd.socket sandbox-execd.socket sandbox-fsd.socket sandbox-hook.socket sandbox-netd.socket
         sandbox-netd-pins.socket sandbox-dns.socket)

systemd-sysusers sandboxd.conf
systemd-tmpfiles --create sandboxd.conf
[ "${1:-}" = host ] || echo 1 >/proc/sys/net/ipv4/ip_forward
systemctl daemon-reload
systemctl --quiet enable --now "${sockets[@]}"
# An address that is the network's, of which another instance may be part.
systemctl --quiet enable --now sandbox-dns-names.socket || [ "${1:-}" = host ]
