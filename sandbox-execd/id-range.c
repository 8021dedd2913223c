/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/id-range.h"

#include <errno.h>

/* Which ranges of 65536 ids are taken: a bit each. The records of the sandboxes are the truth, this is their sum: a
 * restarted daemon claims what they say before it takes any. Two sandboxes with one range would be one set of users to
 * the kernel, so a record that claims a taken one is refused. */

#define BITS 64U
#define WORDS ((ID_RANGES + BITS - 1) / BITS)

struct IdRanges {
        uint64_t used[WORDS];
        uint32_t next; /* the search goes on behind the last one taken, so that a range rests before its next owner */
        size_t n_used;
};

IdRanges *id_ranges_new(void) {
        return new0(IdRanges, 1);
}

IdRanges *id_ranges_free(IdRanges *r) {
        free(r);
        return NULL;
}

static bool slot_is_used(const IdRanges *r, uint32_t slot) {
        return r->used[slot / BITS] >> slot % BITS & 1;
}

static void slot_set(IdRanges *r, uint32_t slot) {
        r->used[slot / BITS] |= UINT64_C(1) << slot % BITS;
        r->n_used++;
}

static int slot_of(uint32_t base, uint32_t *ret) {
        if (base < ID_RANGE_FIRST || base >= ID_RANGE_END || base % ID_RANGE_SIZE != 0)
                return -EINVAL;
        *ret = (base - ID_RANGE_FIRST) / ID_RANGE_SIZE;
        return 0;
}

int id_ranges_take(IdRanges *r, uint32_t *ret_base) {
        for (uint32_t i = 0; i < ID_RANGES; i++) {
                uint32_t slot = (r->next + i) % ID_RANGES;

                if (slot_is_used(r, slot))
                        continue;
                slot_set(r, slot);
                r->next = (slot + 1) % ID_RANGES;
                *ret_base = ID_RANGE_FIRST + slot * ID_RANGE_SIZE;
                return 0;
        }
        return -ENOSPC;
}

int id_ranges_claim(IdRanges *r, uint32_t base) {
        uint32_t slot;
        int k;

        k = slot_of(base, &slot);
        if (k < 0)
                return k;
        if (slot_is_used(r, slot))
                return -EEXIST;
        slot_set(r, slot);
        r->next = MAX(r->next, (slot + 1) % ID_RANGES);
        return 0;
}

void id_ranges_release(IdRanges *r, uint32_t base) {
        uint32_t slot;

        if (slot_of(base, &slot) < 0 || !slot_is_used(r, slot))
                return;
        r->used[slot / BITS] &= ~(UINT64_C(1) << slot % BITS);
        r->n_used--;
}

size_t id_ranges_used(const IdRanges *r) {
        return r->n_used;
}
