/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* By the mark of a connection the kernel knows which entry of its sandbox's list let it through: a name and a port are a
 * number to whoever must not hear names, and the same number whenever the list is set again. */

#define EGRESS_MARK_PREFIX 0x5b000000U
#define EGRESS_MARK_MASK 0xff000000U

static inline bool egress_mark_is_valid(uint32_t mark) {
        return (mark & EGRESS_MARK_MASK) == EGRESS_MARK_PREFIX;
}

/* text: the entry as it stands in the list. */
static inline uint32_t egress_mark(const char *text) {
        uint32_t h = UINT32_C(0x811c9dc5); /* FNV-1a */

        for (; *text; text++)
                h = (h ^ (uint8_t) *text) * UINT32_C(0x01000193);
        return EGRESS_MARK_PREFIX | ((h >> 24) ^ (h & ~EGRESS_MARK_MASK));
}

/* The address that sandbox-dns listens on, and its port: units/sandbox-dns.socket has the same. */
#define EGRESS_RESOLVER_ADDRESS UINT32_C(0xa9fe0135) /* 169.254.1.53 */
#define EGRESS_RESOLVER_PORT 1053U
