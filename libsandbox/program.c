/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/program.h"

#include <stdio.h>
#include <stdlib.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

#define EXIT_USAGE 2

static int help(const Program *p) {
        return printf("%s [OPTION]\n\n"
                      "%s\n"
                      "  -h --help            Show this help\n"
                      "     --version         Show the version\n"
                      "     --bus-introspect  Show the interfaces\n",
                      p->name, p->about) < 0;
}

int program_main(const Program *program, int argc, char *argv[]) {
        log_set_program(program->name);
        if (argc == 2 && streq(argv[1], "--bus-introspect"))
                return bus_introspect(program->interfaces, program->n_interfaces) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (argc == 2 && streq(argv[1], "--version"))
                return printf("%s " PACKAGE_VERSION "\n", program->name) < 0;
        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "-h")))
                return help(program);
        if (argc > 1) {
                log_error("Unknown argument '%s'.", argv[1]);
                return EXIT_USAGE;
        }
        return program->run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
