/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Ranges of 64 Ki user and group ids, one a live sandbox, out of systemd's container range: outside /etc/passwd,
 * /etc/subuid and DynamicUser=. */
#define ID_RANGE_SIZE 65536U
#define ID_RANGE_FIRST 524288U
#define ID_RANGE_END 1879048192U
#define ID_RANGES ((ID_RANGE_END - ID_RANGE_FIRST) / ID_RANGE_SIZE)

typedef struct IdRanges IdRanges;

IdRanges *id_ranges_new(void);
IdRanges *id_ranges_free(IdRanges *r);
DEFINE_CLEANUP(IdRanges *, id_ranges_free)

/* A range that was free for longest; -ENOSPC. */
int id_ranges_take(IdRanges *r, uint32_t *ret_base);
/* A given one, from a record: -EINVAL if it is none of ours, -EEXIST if it has an owner. */
int id_ranges_claim(IdRanges *r, uint32_t base);
void id_ranges_release(IdRanges *r, uint32_t base);
size_t id_ranges_used(const IdRanges *r);
