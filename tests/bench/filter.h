/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

/* A memfd with the program, as `bwrap --seccomp` reads it. */
int filter_open(void);
/* The same as linux.seccomp of an OCI bundle. */
json_t *filter_profile(void);
