/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

int method_open_network(sd_bus_message *message, void *userdata, sd_bus_error *error);
