/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* Methods of ports; port-unit.h says what they make. */
int method_expose(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_unexpose(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_ports(sd_bus_message *message, void *userdata, sd_bus_error *error);
