/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/snapshots-bus.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/manager.h"

/* Snapshots1 as methods: places on disk and who uses them. What is in a snapshot is written by sandbox-execd, as root of
 * the sandbox that it is of. */

static int read_snapshot(sd_bus_message *m, const char **ret, sd_bus_error *error) {
        int r = sd_bus_message_read_basic(m, 's', ret);

        if (r < 0)
                return r;
        return snapshot_id_is_valid(*ret) ? 0 : bus_error_set(error, BUS_ERROR_INVALID, "Not the id of a snapshot.");
}

static int read_sandbox(sd_bus_message *m, const char **ret, sd_bus_error *error) {
        int r = sd_bus_message_read_basic(m, 's', ret);

        if (r < 0)
                return r;
        return sandbox_id_is_valid(*ret) ? 0 : bus_error_set(error, BUS_ERROR_INVALID, "Not the id of a sandbox.");
}

static int explain(int r, sd_bus_error *error) {
        if (r == -ENOENT)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "There is no such snapshot, or sandbox.");
        if (r == -ENOSPC || r == -EDQUOT)
                return bus_error_set(error, BUS_ERROR_NO_SPACE, "No space is left for snapshots.");
        return r;
}

static int method_make(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int fd = -EBADF;
        const char *snapshot, *sandbox;
        Manager *manager = userdata;
        int r;

        r = read_snapshot(m, &snapshot, error);
        if (r >= 0)
                r = read_sandbox(m, &sandbox, error);
        if (r >= 0)
                r = store_make_snapshot(&manager->images.store, snapshot, sandbox, &fd);
        if (r < 0)
                return explain(r, error);
        return sd_bus_reply_method_return(m, "h", fd);
}

static int method_publish(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        const char *snapshot;
        int r;

        r = read_snapshot(m, &snapshot, error);
        if (r >= 0)
                r = store_publish_snapshot(&manager->images.store, snapshot);
        return r < 0 ? explain(r, error) : sd_bus_reply_method_return(m, NULL);
}

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        const char *snapshot;
        int r;

        r = read_snapshot(m, &snapshot, error);
        if (r >= 0)
                r = images_remove_snapshot(&manager->images, snapshot);
        if (r < 0 && r != -ENOENT)
                return explain(r, error);
        return sd_bus_reply_method_return(m, NULL);
}

static int method_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ids = NULL;
        Manager *manager = userdata;
        int r;

        (void) error;
        r = store_list_snapshots(&manager->images.store, &ids);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append_strv(reply, ids);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_end_workers(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        const char *sandbox;
        int r;

        r = read_sandbox(m, &sandbox, error);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "u", router_end_idle(manager->router, sandbox));
}

/* The server admits root and sandboxd only, hence UNPRIVILEGED. */
const sd_bus_vtable snapshots_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Make", SD_BUS_ARGS("s", snapshot, "s", sandbox), SD_BUS_RESULT("h", directory),
                                method_make, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Publish", SD_BUS_ARGS("s", snapshot), SD_BUS_NO_RESULT, method_publish,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("s", snapshot), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_NO_ARGS, SD_BUS_RESULT("as", snapshots), method_list,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("EndWorkers", SD_BUS_ARGS("s", sandbox), SD_BUS_RESULT("u", busy), method_end_workers,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};
