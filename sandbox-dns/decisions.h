/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/egress-entry.h"

/* What was decided of the questions of one sandbox: sums, and the last names. They stand in a file that is mapped, so
 * that they are what they were, whenever somebody kills us. */

#define DECISION_ROWS 64U

typedef enum Verdict {
        VERDICT_DENIED,
        VERDICT_ALLOWED,
        VERDICT_PRIVATE,        /* allowed, but all of its addresses are guarded */
        _VERDICT_MAX,
} Verdict;

const char *verdict_to_string(Verdict v);

typedef struct Decision {
        uint64_t time_msec, count;      /* of the last time; 0: an empty row */
        uint16_t type;
        uint8_t verdict;
        char name[EGRESS_NAME_MAX + 1];
} Decision;

typedef struct Decisions {
        uint64_t version, counts[_VERDICT_MAX];
        Decision rows[DECISION_ROWS];
} Decisions;

/* A file that is none is begun anew. */
int decisions_open(int directory_fd, const char *name, Decisions **ret);
Decisions *decisions_close(Decisions *d);

/* Whether it is worth a line in the log: it is new, or has not been for a while. */
bool decisions_note(Decisions *d, Verdict verdict, const char *name, uint16_t type, uint64_t now_msec);
