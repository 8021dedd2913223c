/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* The end of a sandbox: its processes, then its files, then its record, in this order, so that whatever is interrupted
 * is found again by the next reconciliation. */

/* error NULL: it is gone. */
typedef void (*RemovalCallback)(const sd_bus_error *error, void *userdata);

/* The sandbox must be there (manager_find_sandbox()); from now on it is not there for anybody else. If it cannot be
 * killed it comes back. callback may be NULL. */
int removal_start(Manager *m, Sandbox *s, Counter reason, RemovalCallback callback, void *userdata);

/* execd says that its processes are gone already. */
void removal_on_gone(Manager *m, const char *id, const char *reason);

/* Ends all whose time is over; the number of them. */
unsigned removal_sweep(Manager *m);
/* After every change of a deadline. */
void removal_arm_timer(Manager *m);

/* Removes a root that belongs to nobody. */
void removal_drop_root(Manager *m, const char *id);
