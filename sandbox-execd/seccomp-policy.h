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
void seccomp_policy_done(SeccompPolicy *p);
