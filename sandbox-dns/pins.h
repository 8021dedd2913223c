/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"
#include "sandbox-dns/message.h"

/* Has sandbox-netd open addresses. */

typedef struct Pins Pins;
typedef struct PinCall PinCall;

int pins_new(sd_event *event, const char *path, Pins **ret);
Pins *pins_free(Pins *p);
DEFINE_CLEANUP(Pins *, pins_free)

/* Called once, from the loop. r -EACCES: the entry is not on the list any more. */
typedef void (*PinCallback)(int r, void *userdata);

int pins_call(Pins *p, uint32_t source, uint32_t mark, uint16_t port, const DnsAddress *addresses, size_t n,
              PinCallback callback, void *userdata, PinCall **ret);
/* Nobody waits for it any more. */
PinCall *pin_call_free(PinCall *c);
