/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What the root of a live sandbox is made of, as the kernel tells it: the names are those of its vault (INIT_FD_VAULT).
 * Nothing of it is written down anywhere else, so nothing can be wrong about it, whoever was killed at what moment. */

#define COMPOSITION_LOWER_MAX 256U /* of the kernel's for one option */
#define COMPOSITION_MOUNTS_MAX 64U

typedef struct Composition {
        char root_lower[COMPOSITION_LOWER_MAX];
        char usr_lower[COMPOSITION_LOWER_MAX]; /* "": /usr is no mount of its own */
        unsigned generation;                   /* of the upper: 0 is "upper", n is "<n>" */
        char *mounts[COMPOSITION_MOUNTS_MAX];  /* paths at which other mounts are attached to the root */
        size_t n_mounts;
} Composition;

void composition_done(Composition *c);
/* From /proc/PID/mountinfo, which is changed. -EOPNOTSUPP: none of our roots. */
int composition_parse(char *mountinfo, Composition *ret);

/* "upper" or "<n>" */
void composition_upper_name(unsigned generation, char ret[static 16]);

typedef enum PartKind {
        PART_WRITTEN,   /* was an upper of this sandbox */
        PART_FROZEN,    /* came with its creation */
        PART_LAYER,     /* of the image */
} PartKind;

typedef struct Part {
        PartKind kind;
        unsigned generation; /* PART_WRITTEN */
        char name[32];       /* in the vault, without the u below it */
} Part;

/* The next one of a lowerdir, topmost first: 1, or 0 after the last one. */
int composition_next(const char **lower, Part *ret);
