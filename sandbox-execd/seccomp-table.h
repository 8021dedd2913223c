/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* The system call policy of every sandbox as data; seccomp-policy.c compiles it, the tests read it.
 *
 * Two programs are made, since the kernel takes the strictest answer of all that are loaded: the first lists calls by
 * name, with ENOSYS for whatever it does not name (so that newer C libraries fall back), the second looks at arguments.
 * Init carries both and hands them down; clone3() passes them, since init clones into a cgroup with it. Its flags are
 * out of a filter's sight, so init refuses it to commands with a few instructions of its own. */

typedef struct SeccompGroup {
        const char *group;
        int error;           /* 0: allowed */
        const char *names;   /* separated by spaces; names that this architecture lacks are skipped */
} SeccompGroup;

typedef enum SeccompCompare {
        SECCOMP_NONE,        /* no condition here */
        SECCOMP_EQUAL,       /* in all 64 bits */
        SECCOMP_EQUAL_32,    /* in the low 32 bits: what the kernel looks at */
        SECCOMP_HAS_BIT,
        SECCOMP_GREATER,
        SECCOMP_OTHER_THAN,
} SeccompCompare;

typedef struct SeccompCondition {
        unsigned argument;
        SeccompCompare compare;
        uint64_t value;
} SeccompCondition;

typedef struct SeccompArgumentRule {
        const char *name;
        int error;
        SeccompCondition conditions[2];
} SeccompArgumentRule;

extern const SeccompGroup seccomp_groups[];
extern const size_t n_seccomp_groups;
/* Added to the first program: only these values are allowed. */
extern const uint64_t seccomp_personalities[];
extern const size_t n_seccomp_personalities;
/* The second program: everything else passes it. */
extern const SeccompArgumentRule seccomp_argument_rules[];
extern const size_t n_seccomp_argument_rules;
