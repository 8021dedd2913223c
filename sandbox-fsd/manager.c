/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/manager.h"

#include <errno.h>
#include <fcntl.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/images-bus.h"
#include "sandbox-fsd/snapshots-bus.h"
#include "sandbox-fsd/volumes-bus.h"

/* Where the two halves meet: images, which are ours, and files, which belong to workers that only execd can start. The
 * connection to execd lasts while there are workers and no longer, so that execd can leave. */

/* How long execd may take to start a worker: a fork and two setns(). */
#define START_TIMEOUT_USEC (10 * USEC_PER_SEC)

/* A worker that was asked for. */
typedef struct Start {
        Router *router;
        char id[SANDBOX_ID_LENGTH + 1];
} Start;

static void start_failed(Start *s, const sd_bus_error *error) {
        static const sd_bus_error unavailable = SD_BUS_ERROR_MAKE_CONST(
                BUS_ERROR_UNAVAILABLE, "The execution service did not start a file worker.");

        /* What execd says goes to the client; what sd-bus says of the connection does not. */
        router_start_failed(s->router, s->id, startswith(error->name, "io.sandboxd.") ? error : &unavailable);
}

static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Start *s = userdata;
        int fd, r;

        (void) error;
        if (sd_bus_message_is_method_error(m, NULL)) {
                start_failed(s, sd_bus_message_get_error(m));
                return 0;
        }
        r = sd_bus_message_read(m, "h", &fd);
        if (r >= 0) {
                fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                r = fd < 0 ? -errno : 0;
        }
        if (r < 0)
                start_failed(s, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_UNAVAILABLE, "No socket of a file worker came."));
        else
                router_add_worker(s->router, s->id, fd);
        return 0;
}

/* Asked for and not waited for: execd may be about to start. The answer finds the sandbox by its id. */
static int start_worker(Router *router, const char *id, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        _cleanup_free_ Start *s = NULL;
        Manager *m = userdata;
        sd_bus *bus;
        int r;

        r = bus_client_get(m->execd, &bus);
        if (r < 0)
                return r;
        s = new0(Start, 1);
        if (!s)
                return -ENOMEM;
        s->router = router;
        memcpy(s->id, id, sizeof s->id);

        r = sd_bus_message_new_method_call(bus, &call, NULL, EXEC_OBJECT, EXEC_INTERFACE, "StartFileWorker");
        if (r >= 0)
                r = sd_bus_message_append(call, "s", id);
        if (r >= 0)
                r = sd_bus_call_async(bus, &slot, call, on_started, s, START_TIMEOUT_USEC);
        if (r >= 0)
                r = sd_bus_slot_set_destroy_callback(slot, free);
        if (r < 0)
                return r;
        s = NULL;
        return sd_bus_slot_set_floating(slot, true);
}

/* So that an idle execd can leave. */
static void on_empty(Router *router, void *userdata) {
        Manager *m = userdata;

        (void) router;
        if (!m->collecting)
                bus_client_close(m->execd);
}

int manager_attach(Manager *m, sd_bus *bus) {
        int r;

        r = sd_bus_add_object_vtable(bus, NULL, FSD_OBJECT, IMAGES_INTERFACE, images_vtable, &m->images);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, FSD_OBJECT, SNAPSHOTS_INTERFACE, snapshots_vtable, m);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, FSD_OBJECT, VOLUMES_INTERFACE, volumes_vtable, &m->images);
        return r < 0 ? r : router_attach(m->router, bus);
}

int manager_init(Manager *m, const ManagerOptions *options) {
        int r;

        *m = (Manager) { .service = options->images.service };
        r = images_init(&m->images, &options->images);
        if (r < 0)
                return r;
        r = bus_client_new(&(BusClientOptions) {
                .event = service_event(m->service), .path = options->execd_path,
        }, &m->execd);
        if (r < 0)
                return r;
        return router_new(&(RouterOptions) {
                .service = m->service,
                .idle_usec = options->worker_idle_usec,
                .start = start_worker,
                .on_empty = on_empty,
                .userdata = m,
        }, &m->router);
}

void manager_done(Manager *m) {
        m->server = bus_server_free(m->server);
        m->router = router_free(m->router);
        m->execd = bus_client_free(m->execd);
        images_done(&m->images);
}
