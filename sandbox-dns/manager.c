/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/manager.h"

#include <errno.h>
#include <pwd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"
#include "libsandbox/runtime-files.h"
#include "libsandbox/string-util.h"
#include "sandbox-dns/pins.h"

/* A list that is not understood opens nothing: sandbox-netd, which has the last word, says so. */
static void read_allowed(Manager *m) {
        m->allowed = mfree(m->allowed);
        m->n_allowed = 0;
        if (prefixes_parse(m->settings.network_allow ?: "", &m->allowed, &m->n_allowed, NULL) < 0)
                m->n_allowed = 0;
}

/* /run/sandbox-dns, which stays when we leave. */
static int open_lists(Manager *m) {
        int fd = runtime_directory_open(), r;

        if (fd < 0)
                return fd;
        r = name_lists_init(&m->lists, fd);
        return r < 0 ? log_error_errno(r, "Failed to read the lists: %m") : 0;
}

int manager_init(Manager *m, Service *service) {
        const struct passwd *user = getpwnam("sandboxd");
        int r;

        *m = (Manager) { .service = service, .sandboxd_uid = user ? user->pw_uid : UID_INVALID,
                         .lists.directory_fd = -EBADF };
        r = settings_load(&m->settings);
        if (r < 0)
                return log_error_errno(r, "Failed to read the settings: %m");
        read_allowed(m);
        r = open_lists(m);
        if (r < 0)
                return r;
        r = pins_new(service_event(service), PINS_SOCKET_PATH, &m->pins);
        return r < 0 ? log_error_errno(r, "Failed to set up: %m") : 0;
}

void manager_done(Manager *m) {
        m->server = bus_server_free(m->server);
        manager_close_streams(m);
        for (size_t i = 0; i < m->n_sources; i++)
                sd_event_source_disable_unref(m->sources[i]);
        m->pins = pins_free(m->pins);
        name_lists_done(&m->lists);
        free(m->allowed);
        settings_done(&m->settings);
}

void manager_set_idle(Manager *m) {
        service_set_idle_sec(m->service, m->settings.idle_exit_sec);
}

int manager_reload(void *userdata) {
        Manager *m = userdata;
        int r;

        r = settings_reload(&m->settings);
        if (r > 0) {
                manager_set_idle(m);
                read_allowed(m);
                m->upstreams = (Upstreams) {};
        }
        return r;
}
