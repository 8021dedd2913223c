/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <curl/curl.h>
#include <errno.h>
#include <pwd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"
#include "libsandbox/program.h"
#include "libsandbox/settings.h"
#include "sandbox-hook/hook-bus.h"

/* The one program with a network of the host and nothing else: no privilege, no file, no record, no secret. sandboxd,
 * which has all of these but the network, says what to send. */

#define CLIENT_USER "sandboxd"

typedef struct Daemon {
        Settings settings;
        HookBus bus;
        BusServer *server;
} Daemon;

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, HOOK_OBJECT, HOOK_INTERFACE, hook_vtable, userdata);
}

static int start_server(Daemon *d) {
        static uid_t client_uid; /* the server keeps the pointer */
        const struct passwd *client = getpwnam(CLIENT_USER);
        const int *fds;
        size_t n;
        int r;

        r = service_get_sockets(d->bus.service, "hook", &fds, &n);
        if (r < 0)
                return r;
        if (client)
                client_uid = client->pw_uid;
        else
                log_warning("There is no user %s: only root may connect.", CLIENT_USER);
        r = bus_server_new(&(BusServerOptions) { .service = d->bus.service, .listen_fd = fds[0],
                                                 .on_connect = on_connect, .userdata = &d->bus, .uids = &client_uid,
                                                 .n_uids = !!client }, &d->server);
        return r < 0 ? log_error_errno(r, "Failed to serve: %m") : 0;
}

/* A list that is not understood allows nothing: no one is let in by a slip of the pen. */
static int explain_allow(const Daemon *d, int r) {
        if (r == -EINVAL)
                return log_error_errno(r, "SANDBOX_WEBHOOK_ALLOW is not understood: %s", d->settings.webhook_allow);
        return r;
}

static int on_reload(void *userdata) {
        Daemon *d = userdata;
        int r;

        r = settings_reload(&d->settings);
        if (r <= 0)
                return r;
        service_set_idle_sec(d->bus.service, d->settings.idle_exit_sec);
        return explain_allow(d, transfer_pool_set_allow(d->bus.pool, d->settings.webhook_allow));
}

static int start(Daemon *d) {
        int r;

        r = settings_load(&d->settings);
        if (r < 0)
                return log_error_errno(r, "Failed to read the settings: %m");
        r = service_new(&(ServiceOptions) { .program = "sandbox-hook", .idle_usec = USEC_INFINITY,
                                            .on_reload = on_reload, .userdata = d }, &d->bus.service);
        if (r < 0)
                return r;
        service_set_idle_sec(d->bus.service, d->settings.idle_exit_sec);
        r = transfer_pool_new(service_event(d->bus.service), d->settings.webhook_allow, &d->bus.pool);
        if (explain_allow(d, r) == -EINVAL)
                r = transfer_pool_new(service_event(d->bus.service), "", &d->bus.pool);
        return r < 0 ? log_error_errno(r, "Failed to set up curl: %m") : start_server(d);
}

static void daemon_done(Daemon *d) {
        bus_server_free(d->server);
        transfer_pool_free(d->bus.pool);
        service_free(d->bus.service);
        settings_done(&d->settings);
}

static int run(void) {
        _cleanup_(daemon_done) Daemon d = {};
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return log_error_errno(-ENOMEM, "Failed to set up curl: %m");
        r = start(&d);
        return r < 0 ? r : service_run(d.bus.service);
}

int main(int argc, char *argv[]) {
        static const BusInterface interfaces[] = { { HOOK_OBJECT, HOOK_INTERFACE, hook_vtable } };
        static const Program program = {
                .name = "sandbox-hook",
                .about = "Sends the requests of webhooks. Started by systemd through\n"
                         "sandbox-hook.socket.\n",
                .interfaces = interfaces,
                .n_interfaces = ELEMENTSOF(interfaces),
                .run = run,
        };

        return program_main(&program, argc, argv);
}
