/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"
#include "sandbox-hook/transfer.h"

/* The object's userdata. */
typedef struct HookBus {
        Service *service;
        TransferPool *pool;
} HookBus;

extern const sd_bus_vtable hook_vtable[];
