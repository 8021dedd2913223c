/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/manager.h"

typedef enum MethodNeeds {
        NEEDS_ANY,     /* whatever state it is in */
        NEEDS_KNOWN,   /* live, paused or ending */
        NEEDS_LIVE,    /* live or paused */
        NEEDS_RUNNING, /* live and not paused */
} MethodNeeds;

/* Reads the id, the first argument of nearly every method, and finds its sandbox in a fitting state. Also checks that the
 * caller may call more than sandbox-fsd may. */
int method_sandbox(sd_bus_message *message, Manager *m, MethodNeeds needs, Sandbox **ret, sd_bus_error *error);
int method_check_peer(sd_bus_message *message, Manager *m, bool fsd_may, sd_bus_error *error);
/* Root may pass any directory; those of others are looked at first (tree.h), and -EPERM is Denied. */
bool method_peer_is_root(sd_bus_message *message, Manager *m);
int method_tree_error(sd_bus_error *error, int r);
/* The error of ours for an errno that comes from below. */
int method_error(sd_bus_error *error, int r, const char *what);
