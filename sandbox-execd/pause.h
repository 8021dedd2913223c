/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/sandbox.h"

/* cgroup.freeze of all commands. The call is answered here, when none of them runs any more: > 0. -EALREADY: it is so
 * already. -EOPNOTSUPP: this tree cannot freeze. */
int sandbox_pause(Sandbox *s, bool pause, sd_bus_message *call);
/* Whoever waits for the pause of a sandbox that ends is told so. */
void pause_done(Sandbox *s);
