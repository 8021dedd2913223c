/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/ctl.h"

/* What a verb of several does with its first word: "template show ID". A table ends with an empty row. */
typedef struct Subverb {
        const char *name;
        const char *arguments;  /* behind the name, for the line on a wrong number of them */
        unsigned min, max;
        int (*handler)(Ctl *c, char **words); /* gets the words behind the name */
} Subverb;

int subverb_run(Ctl *c, const Subverb *table, char **words);
