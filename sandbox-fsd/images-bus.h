/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* userdata: Images */
extern const sd_bus_vtable images_vtable[];
