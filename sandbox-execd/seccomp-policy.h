/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/filter.h>

#include "libsandbox/macro.h"

/* The two programs of seccomp-table.h, compiled once when the daemon starts: building them takes 15 ms. */
typedef struct SeccompPolicy {
        struct sock_filter *allow, *args;
        size_t n_allow, n_args;
} SeccompPolicy;

int seccomp_policy_compile(SeccompPolicy *ret);
/* The same for another architecture (SCMP_ARCH_*), so that its programs can be tested on this one. */
int seccomp_policy_compile_for(uint32_t arch, SeccompPolicy *ret);
void seccomp_policy_done(SeccompPolicy *p);
