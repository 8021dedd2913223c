/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/bus-names.h"
#include "libsandbox/program.h"
#include "sandbox-netd/manager.h"

static int run(void) {
        _cleanup_(service_freep) Service *service = NULL;
        const int *fds;
        Manager m = {};
        size_t n;
        int r;

        r = service_new(&(ServiceOptions) { .program = "sandbox-netd", .idle_usec = USEC_INFINITY,
                                            .on_reload = manager_reload }, &service);
        if (r < 0)
                return r;
        r = manager_init(&m, service);
        if (r >= 0)
                r = service_get_sockets(service, "netd", &fds, &n);
        if (r >= 0)
                r = manager_serve(&m, fds[0]);
        if (r >= 0)
                r = service_get_sockets(service, "pins", &fds, &n);
        if (r >= 0)
                r = manager_serve_pins(&m, fds[0]);
        if (r >= 0) {
                service_set_userdata(service, &m);
                manager_set_idle(&m);
                r = service_run(service);
        }
        manager_done(&m);
        return r;
}

int main(int argc, char *argv[]) {
        static const BusInterface interfaces[] = { { NET_OBJECT, NET_INTERFACE, manager_vtable },
                                                   { PINS_OBJECT, PINS_INTERFACE, pins_vtable } };
        static const Program program = {
                .name = "sandbox-netd",
                .about = "Connects sandboxes to networks. Started by systemd through sandbox-netd.socket.\n",
                .interfaces = interfaces,
                .n_interfaces = ELEMENTSOF(interfaces),
                .run = run,
        };

        return program_main(&program, argc, argv);
}
