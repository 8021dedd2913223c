/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"

/* What the command line of a service without settings of its own there can say: nothing but --help, --version and
 * --bus-introspect. */
typedef struct Program {
        const char *name;
        const char *about;              /* lines of --help, each with its end */
        const BusInterface *interfaces;
        size_t n_interfaces;
        int (*run)(void);               /* < 0: has said why */
} Program;

/* The exit status. */
int program_main(const Program *program, int argc, char *argv[]);
