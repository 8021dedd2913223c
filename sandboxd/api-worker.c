/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "sandboxd/api.h"
#include "sandboxd/worker.h"

/* Routes of workers; each stands below /workers and, for older clients, below /admin/workers. */

int api_worker_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        json_t *list;
        int r;

        (void) error;
        r = workers_list(m->workers, &list);
        return r < 0 ? r : request_reply_json(request, 200, list);
}

int api_worker_heartbeat(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        _cleanup_(json_decrefp) json_t *own = NULL;
        int r;

        (void) error;
        r = workers_own(m->workers, &own);
        return r < 0 ? r : request_reply_json(request, 200, TAKE_PTR(own));
}

int api_worker_select(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        _cleanup_free_ char *id = NULL;
        int r;

        r = workers_select(m->workers, &id);
        if (r == -ENOENT)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "No worker capacity available");
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:s}", "workerId", id));
}

int api_worker_reap(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        WorkersReaped reaped;
        int r;

        (void) error;
        r = workers_reap(m->workers, &reaped);
        if (r < 0)
                return r;
        return request_reply_json(request, 200, json_pack("{s:i, s:i, s:i}", "reaped", (int) reaped.workers, "reassigned",
                                                          (int) reaped.reassigned, "expired", (int) reaped.expired));
}

int api_worker_migrate(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);

        (void) error;
        return request_reply_json(request, 200, json_pack("{s:i}", "migrated", (int) workers_migrate(m->workers)));
}
