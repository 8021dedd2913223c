/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Elements of a set or map of ours, as nft prints them. */

#define ELEMENT_PARTS_MAX 4U

typedef struct Element {
        uint32_t parts[ELEMENT_PARTS_MAX];      /* addresses and numbers of its key */
        unsigned n_parts;
        uint64_t packets;
        uint64_t expires_sec;                   /* 0: never, or at once */
        uint32_t value;                         /* of a map */
} Element;

/* -EBADMSG. The caller frees *ret. */
int elements_parse(const char *text, Element **ret, size_t *ret_n);
