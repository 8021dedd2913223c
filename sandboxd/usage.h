/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* What went over the ways out of sandboxes. sandbox-netd is asked once for all of them; the figures stand in the
 * sandboxes then (rx_bytes, tx_bytes). */

/* The callback comes in any case, from within if there is nothing to ask. s: only this one matters; NULL: all. */
typedef void (*UsageCallback)(void *userdata);
void usage_ask(Manager *m, const Sandbox *s, UsageCallback callback, void *userdata);
