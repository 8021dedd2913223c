/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/snapshot.h"

/* What a sandbox has written to disk, as a snapshot that is not copied and that nobody sees. */

/* The record of the snapshot, which goes with those who stand on it. WrongState: something runs in it, or there are too
 * many layers: it is to be copied. untouched: execd knows of nothing that was written since the last time. */
int share_start(Manager *m, Sandbox *s, bool untouched, SnapshotCallback callback, void *userdata);
