/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

int method_stats(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_stats_many(sd_bus_message *message, void *userdata, sd_bus_error *error);
