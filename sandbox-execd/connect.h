/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/sandbox.h"

/* A TCP socket of the sandbox's network namespace, on its way to the loopback address of that namespace: connected, or
 * about to be where the server's queue is full. -ECONNREFUSED: nobody listens there. */
int connect_inside(const Sandbox *s, uint16_t port);

int method_connect(sd_bus_message *message, void *userdata, sd_bus_error *error);
