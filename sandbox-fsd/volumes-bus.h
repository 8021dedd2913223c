/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* userdata: Images, whose store and whose removals volumes share. */
extern const sd_bus_vtable volumes_vtable[];
