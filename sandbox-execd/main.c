/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/sandbox-steps.h"
#include "sandbox-execd/spawn.h"

/* Arguments, and the order of the start: descriptors with fixed numbers, the loop, the manager, what earlier daemons
 * left, and only then the idle time. Nothing is served before all sandboxes that live are known, since an answer that
 * knows half of them would be taken for the truth. */

static const char *arg_init = PKGLIBDIR "/sandbox-init";
static const char *arg_files = PKGLIBDIR "/sandbox-files";

static int help(void) {
        puts("sandbox-execd [OPTION...]\n\n"
             "Runs sandboxes. Started by sandbox-execd.socket.\n\n"
             "  -h --help            Show this help\n"
             "     --version         Show the version\n"
             "     --bus-introspect  Print the interface and exit\n"
             "     --list-steps      Print the steps of making a sandbox and exit\n"
             "     --init=PATH       Program of the init of a sandbox\n"
             "     --files=PATH      Program of the file worker of a sandbox");
        return 0;
}

static int bus_xml(void) {
        static const BusInterface interfaces[] = { { EXEC_OBJECT, EXEC_INTERFACE, manager_vtable } };

        return MIN(bus_introspect(interfaces, ELEMENTSOF(interfaces)), 0);
}

static int list_steps(void) {
        for (unsigned i = 0; i < n_sandbox_steps; i++)
                puts(sandbox_steps[i].name);
        return 0;
}

static int version(void) {
        puts("sandboxd " PACKAGE_VERSION);
        return 0;
}

/* < 0: wrong arguments, 0: done, 1: run. */
static int parse_argv(int argc, char **argv) {
        static const struct option options[] = {
                { "help",           no_argument,       NULL, 'h' },
                { "version",        no_argument,       NULL, 'v' },
                { "bus-introspect", no_argument,       NULL, 'b' },
                { "list-steps",     no_argument,       NULL, 'l' },
                { "init",           required_argument, NULL, 'i' },
                { "files",          required_argument, NULL, 'f' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return help();
                case 'v':
                        return version();
                case 'b':
                        return bus_xml();
                case 'l':
                        return list_steps();
                case 'i':
                        arg_init = optarg;
                        break;
                case 'f':
                        arg_files = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind < argc) {
                log_error("%s takes no arguments.", argv[0]);
                return -EINVAL;
        }
        return 1;
}

static int run(void) {
        ServiceOptions options = { .program = "sandbox-execd", .idle_usec = USEC_INFINITY, .on_idle = manager_drain,
                                   .on_reload = manager_reload };
        _cleanup_(service_freep) Service *service = NULL;
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        /* First: it wants fixed descriptor numbers. */
        r = spawn_setup(arg_init, arg_files);
        if (r >= 0)
                r = service_new(&options, &service);
        if (r >= 0)
                r = manager_new(service, &m);
        if (r < 0)
                return r;
        service_set_userdata(service, m);
        r = manager_restore(m);
        if (r < 0)
                return r;
        manager_set_idle(m);
        return service_run(service);
}

int main(int argc, char **argv) {
        int r;

        log_set_program("sandbox-execd");
        /* The cgroups of commands must let init pass; what is secret lies in a 0700 directory with modes of its own. */
        (void) umask(0022);
        r = parse_argv(argc, argv);
        if (r < 0)
                return 2;
        if (r > 0)
                r = run();
        return r < 0 ? EXIT_FAILURE : r;
}
