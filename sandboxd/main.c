/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/daemon.h"
#include "sandboxd/openapi.h"

/* What can be asked without a service comes from the same tables as the service itself: tests and the manual compare
 * with it. */

static const ManagerOptions paths = {
        .state_directory = "/var/lib/sandboxd",
        .execd_path = EXECD_SOCKET_PATH,
        .fsd_path = FSD_SOCKET_PATH,
        .hook_path = HOOK_SOCKET_PATH,
        .netd_path = NETD_SOCKET_PATH,
        .dns_path = DNS_SOCKET_PATH,
};

static int print_help(void) {
        puts("sandboxd [OPTION]\n"
             "\n"
             "Serves the REST API of the sandboxes on the sockets that systemd passes:\n"
             "those named \"http\" (TCP) and \"api\" (local).\n"
             "\n"
             "  --help      Show this text\n"
             "  --openapi   Print the OpenAPI document\n"
             "  --routes    Print all methods and paths\n"
             "  --version   Show the version\n"
             "\n"
             "Settings: /etc/sandboxd/sandboxd.conf and the environment.");
        return 0;
}

static int print_version(void) {
        puts("sandboxd " PACKAGE_VERSION);
        return 0;
}

static const struct {
        const char *name;
        int (*run)(void);
} options[] = {
        { "--help",    print_help    },
        { "--openapi", openapi_print },
        { "--routes",  routes_print  },
        { "--version", print_version },
};

int main(int argc, char **argv) {
        if (argc == 1)
                return daemon_run(&paths) < 0 ? 1 : 0;
        for (size_t i = 0; argc == 2 && i < ELEMENTSOF(options); i++)
                if (streq(options[i].name, argv[1]))
                        return options[i].run();
        fprintf(stderr, "sandboxd: unknown option '%s'; see sandboxd --help\n", argv[argc > 2 ? 2 : 1]);
        return 2;
}
