/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* userdata: Manager */
extern const sd_bus_vtable snapshots_vtable[];
