/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* Volumes as methods of Exec1: bounds and mounts. Their directories are sandbox-fsd's, which passes a descriptor of the one
 * that a volume lives in, <store>/volumes/<id>; what sandboxes see is "data" below it. */

int method_attach_volume(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_detach_volume(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_release_volume(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_volume_usage(sd_bus_message *message, void *userdata, sd_bus_error *error);
