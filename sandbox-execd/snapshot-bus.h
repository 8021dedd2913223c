/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* Methods for snapshots, clones and restores. */
int method_copy(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_flatten(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_freeze(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_replace_root(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_share_root(sd_bus_message *message, void *userdata, sd_bus_error *error);

/* The sandbox ends while its commands are being ended for another root. */
typedef struct Sandbox Sandbox;
void replace_root_done(Sandbox *s);
