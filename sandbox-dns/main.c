/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandbox-dns/manager.h"

static int run(void) {
        _cleanup_(service_freep) Service *service = NULL;
        const int *fds;
        Manager m = {};
        size_t n;
        int r;

        r = service_new(&(ServiceOptions) { .program = "sandbox-dns", .idle_usec = USEC_INFINITY,
                                            .on_reload = manager_reload }, &service);
        if (r < 0)
                return r;
        r = manager_init(&m, service);
        if (r >= 0)
                r = service_get_sockets(service, "names", &fds, &n);
        if (r >= 0)
                r = manager_serve_names(&m, fds, n);
        if (r >= 0)
                r = service_get_sockets(service, "dns", &fds, &n);
        if (r >= 0)
                r = manager_serve_bus(&m, fds[0]);
        if (r >= 0) {
                service_set_userdata(service, &m);
                manager_set_idle(&m);
                r = service_run(service);
        }
        manager_done(&m);
        return r;
}

static int help(void) {
        puts("sandbox-dns [OPTION]\n\n"
             "Answers sandboxes that may not reach everything about the names that they\n"
             "may. Started by systemd through its sockets.\n\n"
             "  -h --help            Show this help\n"
             "     --version         Show the version\n"
             "     --bus-introspect  Show the interface");
        return EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        static const BusInterface interfaces[] = { { DNS_OBJECT, DNS_INTERFACE, manager_vtable } };

        log_set_program("sandbox-dns");
        if (argc == 2 && streq(argv[1], "--bus-introspect"))
                return bus_introspect(interfaces, ELEMENTSOF(interfaces)) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (argc == 2 && streq(argv[1], "--version"))
                return puts("sandbox-dns " PACKAGE_VERSION) < 0;
        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "-h")))
                return help();
        if (argc > 1) {
                log_error("Unknown argument '%s'.", argv[1]);
                return 2;
        }
        return run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
