/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"
#include "libsandbox/program.h"
#include "libsandbox/settings.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/collect.h"
#include "sandbox-fsd/helper.h"
#include "sandbox-fsd/images-bus.h"
#include "sandbox-fsd/snapshots-bus.h"
#include "sandbox-fsd/manager.h"
#include "sandbox-fsd/volumes-bus.h"

/* The same program is daemon and helper, so that a helper is always of the version that started it, also while a
 * package is being upgraded. */

#define WORKER_IDLE_USEC (3 * USEC_PER_SEC)
#define CLIENT_USER "sandboxd"

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return manager_attach(userdata, bus);
}

static int start_server(Manager *m) {
        static uid_t client_uid; /* the server keeps the pointer */
        const struct passwd *client;
        const int *fds;
        size_t n;
        int r;

        r = service_get_sockets(m->service, "fsd", &fds, &n);
        if (r < 0)
                return r;
        errno = 0;
        client = getpwnam(CLIENT_USER);
        if (!client)
                log_warning("There is no user %s: only root may connect.", CLIENT_USER);
        else
                client_uid = client->pw_uid;

        r = bus_server_new(&(BusServerOptions) {
                .service = m->service,
                .listen_fd = fds[0],
                .on_connect = on_connect,
                .userdata = m,
                .uids = &client_uid,
                .n_uids = !!client,
        }, &m->server);
        return r < 0 ? log_error_errno(r, "Failed to serve: %m") : 0;
}

static void done(Manager *m, Service **service) {
        manager_done(m);
        *service = service_free(*service);
}

/* What a reload needs. The catalog needs none: its files are looked at with each create. */
typedef struct Context {
        Service *service;
        Manager *manager; /* once it is there */
        Settings settings;
} Context;

static int on_reload(void *userdata) {
        Context *c = userdata;
        int r;

        r = settings_reload(&c->settings);
        if (r > 0)
                service_set_idle_sec(c->service, c->settings.idle_exit_sec);
        if (c->manager) /* whoever has changed the catalog says so this way */
                c->manager->images.collect_due = true;
        return r;
}

static int on_idle(void *userdata) {
        Context *c = userdata;

        return c->manager ? collect_start(c->manager) : 0;
}

static int run(Context *c) {
        Manager m = { .images.store = STORE_NULL };
        int r;

        (void) umask(0);
        r = service_new(&(ServiceOptions) { .program = "sandbox-fsd", .idle_usec = USEC_INFINITY,
                                            .on_reload = on_reload, .on_idle = on_idle, .userdata = c },
                        &c->service);
        if (r < 0)
                return r;
        service_set_idle_sec(c->service, c->settings.idle_exit_sec);
        r = manager_init(&m, &(ManagerOptions) {
                .images = {
                        .service = c->service,
                        .program = "/proc/self/exe",
                        .store_directory = STORE_DIRECTORY,
                        .catalog_directories = image_directories,
                },
                .execd_path = EXECD_SOCKET_PATH,
                .worker_idle_usec = WORKER_IDLE_USEC,
        });
        if (r >= 0)
                r = start_server(&m);
        if (r >= 0) {
                c->manager = &m;
                r = service_run(c->service);
                c->manager = NULL;
        }
        done(&m, &c->service);
        return r;
}

static int load_and_run(void) {
        Context c = {};
        int r;

        r = settings_load(&c.settings);
        if (r < 0)
                return log_error_errno(r, "Failed to read the settings: %m");
        r = run(&c);
        settings_done(&c.settings);
        return r;
}

int main(int argc, char *argv[]) {
        static const BusInterface interfaces[] = {
                { FSD_OBJECT, IMAGES_INTERFACE, images_vtable },
                { FSD_OBJECT, SNAPSHOTS_INTERFACE, snapshots_vtable },
                { FSD_OBJECT, VOLUMES_INTERFACE, volumes_vtable },
        };
        static const Program program = {
                .name = "sandbox-fsd",
                .about = "Images, writable directories and file operations of sandboxes. Started by\n"
                         "systemd through sandbox-fsd.socket.\n",
                .interfaces = interfaces,
                .n_interfaces = ELEMENTSOF(interfaces),
                .run = load_and_run,
        };

        if (argc == 3 && streq(argv[1], "--helper")) {
                log_set_program(program.name);
                return helper_main(argv[2]);
        }
        return program_main(&program, argc, argv);
}
