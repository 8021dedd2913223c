/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/bus-names.h"
#include "libsandbox/program.h"
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

int main(int argc, char *argv[]) {
        static const BusInterface interfaces[] = { { DNS_OBJECT, DNS_INTERFACE, manager_vtable } };
        static const Program program = {
                .name = "sandbox-dns",
                .about = "Answers sandboxes that may not reach everything about the names that they\n"
                         "may. Started by systemd through its sockets.\n",
                .interfaces = interfaces,
                .n_interfaces = ELEMENTSOF(interfaces),
                .run = run,
        };

        return program_main(&program, argc, argv);
}
