#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Inside the VM: unpacks the job disk over the root, runs its /testdata/job, sends /testout back, ends the machine.
# The disks are root, job and data; the channels, in order, output, /testout as tar, exit status.
set -u
ports=(/dev/vport*p1)
port=${ports[0]%1}

mkdir -p /testout /hostusr /var/lib/sandbox
tar -x -f /dev/vdb -C / --keep-directory-symlink
mount --bind /usr /hostusr
mount -o remount,bind,ro /hostusr
mount -o noatime,prjquota /dev/vdc /var/lib/sandbox
export TESTDATA=/testdata HOME=/root
bash /testdata/job </dev/null >"${port}1" 2>&1
status=$?
tar -c -C /testout . >"${port}2"
echo "$status" >"${port}3"
sync
systemctl poweroff --force --force
