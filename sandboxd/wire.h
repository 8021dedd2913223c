/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Connecting a live sandbox: to the world outside, or to a user's network. Execd opens the sandbox's network namespace,
 * netd lays the wire. Nothing of this knows what a network is, that is network.h. */

/* error NULL: address is the sandbox's. */
typedef void (*WireCallback)(const char *address, const sd_bus_error *error, void *userdata);

/* With a resolv.conf. Idempotent, and so is the other. */
int wire_attach(Manager *m, Sandbox *s, WireCallback callback, void *userdata);
int wire_join(Manager *m, Sandbox *s, unsigned network, unsigned member, WireCallback callback, void *userdata);
