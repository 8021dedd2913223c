/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/daemon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/http/auth.h"
#include "sandboxd/http/http-server.h"
#include "sandboxd/reconcile.h"
#include "sandboxd/upload.h"
#include "sandboxd/webhook.h"

/* From the sockets to the loop. HTTP starts when the records are true: connections that arrive before wait in the
 * queues of the sockets, which systemd holds. */

#define SOCKETS_MAX 32U

typedef struct Daemon {
        Service *service;
        Manager *manager;
        Auth *auth;
        HttpServer *http;
        RouteTable *tables;
        char *prefix;
        int tcp_fds[SOCKETS_MAX], unix_fds[SOCKETS_MAX];
        size_t n_tcp, n_unix;
        int result;
} Daemon;

static void daemon_done(Daemon *d) {
        /* Requests first: they refer to sandboxes and commands. */
        manager_stop(d->manager);
        http_server_free(d->http);
        manager_free(d->manager);
        auth_free(d->auth);
        service_free(d->service);
        free(d->tables);
        free(d->prefix);
}

static int on_idle(void *userdata) {
        Daemon *d = userdata;

        if (d->http && http_server_drain(d->http) > 0)
                return 1;
        return warm_drain(d->manager->warm) > 0;
}

/* All sockets of the unit bear one name, in the order that its file and drop-ins give: sort them by family. */
static int get_sockets(Daemon *d) {
        const int *fds;
        size_t n;
        int r;

        r = service_get_sockets(d->service, "http", &fds, &n);
        if (r < 0)
                return r;

        for (size_t i = 0; i < n; i++) {
                bool local = sd_is_socket(fds[i], AF_UNIX, SOCK_STREAM, /* listening= */ 1) > 0;

                if ((local ? d->n_unix : d->n_tcp) == SOCKETS_MAX)
                        return log_error_errno(-E2BIG, "More than %u sockets were passed.", SOCKETS_MAX);
                if (local)
                        d->unix_fds[d->n_unix++] = fds[i];
                else
                        d->tcp_fds[d->n_tcp++] = fds[i];
        }
        return 0;
}

/* The socket unit decides where we listen; a setting that says something else is a mistake worth a word. */
static void compare_port(const Daemon *d) {
        uint32_t wanted = d->manager->settings.rest_port;

        for (size_t i = 0; i < d->n_tcp; i++) {
                struct sockaddr_in6 address = {};
                socklen_t size = sizeof address;
                unsigned port;

                if (getsockname(d->tcp_fds[i], (struct sockaddr *) &address, &size) < 0)
                        continue;
                /* the port stands at the same place in both families */
                port = ntohs(address.sin6_port);
                if (port != wanted)
                        log_notice("III_REST_PORT is %u, but systemd passed a socket on port %u, which is used: "
                                   "run 'sandboxctl configure' to change the socket unit.", wanted, port);
        }
}

/* Copies the tables, with the prefix of the settings for the /sandbox dialect. */
static int make_tables(Daemon *d) {
        d->tables = new0(RouteTable, n_route_tables);
        d->prefix = path_prefix(d->manager->settings.api_prefix);
        if (!d->tables || !d->prefix)
                return log_oom();
        for (size_t i = 0; i < n_route_tables; i++)
                d->tables[i] = route_tables[i];
        d->tables[0].prefix = d->prefix;
        return 0;
}

/* The records are true now: serve. Until then connections wait in the sockets' queues. */
static void on_reconciled(void *userdata) {
        Daemon *d = userdata;
        HttpServerOptions options = {
                .service = d->service,
                .event = service_event(d->service),
                .settings = &d->manager->settings,
                .tables = d->tables,
                .n_tables = n_route_tables,
                .tcp_fds = d->tcp_fds,
                .n_tcp = d->n_tcp,
                .unix_fds = d->unix_fds,
                .n_unix = d->n_unix,
                .auth = d->auth,
                .guard = &idempotency_guard,
                .gate = &proxy_gate,
                .on_outcome = api_trace,
                .userdata = d->manager,
        };
        int r;

        r = http_server_new(&options, &d->http);
        if (r >= 0) {
                warm_start(d->manager->warm);
                webhooks_start(d->manager->webhooks);
                return;
        }
        d->result = log_error_errno(r, "Failed to start the HTTP server: %m");
        (void) sd_event_exit(service_event(d->service), 1);
}

/* Whoever asks for virtual machines is not given less; names of other containers mean the same as ours. */
static int check_backend(const Settings *s) {
        const char *backend = s->isolation_backend ?: "";

        if (!streq(backend, "firecracker")) {
                if (!streq(backend, "docker") && !streq(backend, "native"))
                        log_warning("III_ISOLATION_BACKEND='%s' is unknown: sandboxes are made of namespaces.", backend);
                return 0;
        }
        log_error("III_ISOLATION_BACKEND=firecracker: sandboxes are made of namespaces here, there are no virtual "
                  "machines. Remove the setting, or set it to docker or native.");
        return -EOPNOTSUPP;
}

/* Tokens of the settings and of the credential; systemd gives a running service no newer credential than it began
 * with. */
static int make_auth(const Settings *s, Auth **ret) {
        return auth_new(s, getenv("CREDENTIALS_DIRECTORY"), ret);
}

/* Everything that may be refused comes before anything is changed. */
static int take_settings(Daemon *d, SettingsChange *ret) {
        _cleanup_(settings_done) Settings fresh = {};
        _cleanup_(auth_freep) Auth *auth = NULL;
        int r;

        r = settings_load_strict(&fresh);
        if (r == -EBADMSG)
                return log_error_errno(r, "Not all of the settings are understood, keeping the old ones.");
        if (r >= 0)
                r = make_auth(&fresh, &auth);
        if (r < 0)
                return log_error_errno(r, "Failed to read the settings, keeping the old ones: %m");
        if (d->http && !http_server_can_use(d->http, auth))
                return log_error_errno(-EPERM, "A socket listens beyond loopback, and the settings have no token any "
                                               "more; keeping the old ones.");
        r = settings_take_live(&d->manager->settings, &fresh, ret);
        if (r < 0)
                return log_error_errno(r, "Failed to compare the settings, keeping the old ones: %m");

        auth_free(d->auth);
        d->auth = TAKE_PTR(auth);
        service_set_idle_sec(d->service, d->manager->settings.idle_exit_sec);
        event_hub_set_keep(d->manager->events, d->manager->settings.events_max, d->manager->settings.events_age_sec);
        uploads_plan(d->manager->uploads);
        return d->http ? http_server_reload(d->http, d->auth) : 0;
}

static int on_reload(void *userdata) {
        _cleanup_(settings_change_done) SettingsChange change = {};
        Daemon *d = userdata;
        int r;

        r = take_settings(d, &change);
        if (r < 0)
                return r;
        log_info("Settings read again, changed: %s.", change.live ? change.live : "none");
        if (change.fixed)
                log_notice("These settings hold from the next start of sandboxd on: %s.", change.fixed);
        return 0;
}

static int start(Daemon *d, const ManagerOptions *options) {
        Settings settings;
        int r;

        r = settings_load(&settings);
        if (r < 0)
                return log_error_errno(r, "Failed to load the settings: %m");
        r = check_backend(&settings);
        if (r < 0) {
                settings_done(&settings);
                return r;
        }
        service_set_idle_sec(d->service, settings.idle_exit_sec);
        r = manager_new(options, &settings, &d->manager);
        if (r >= 0)
                r = make_auth(&d->manager->settings, &d->auth);
        if (r >= 0)
                r = make_tables(d);
        return r;
}

int daemon_run(const ManagerOptions *options) {
        _cleanup_(daemon_done) Daemon d = {};
        ManagerOptions filled = *options;
        int r;

        r = service_new(&(ServiceOptions) { .program = "sandboxd", .idle_usec = USEC_INFINITY, .on_idle = on_idle,
                                            .on_reload = on_reload, .userdata = &d }, &d.service);
        if (r >= 0)
                r = get_sockets(&d);
        filled.service = d.service;
        if (r >= 0)
                r = start(&d, &filled);
        if (r < 0)
                return r;
        compare_port(&d);
        reconcile_start(d.manager, on_reconciled, &d);
        r = service_run(d.service);
        return d.result < 0 ? d.result : r;
}
