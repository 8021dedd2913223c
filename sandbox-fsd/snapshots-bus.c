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

static int read_both(sd_bus_message *m, const char **ret_snapshot, const char **ret_sandbox, sd_bus_error *error) {
        int r = read_snapshot(m, ret_snapshot, error);

        return r < 0 ? r : read_sandbox(m, ret_sandbox, error);
}

static int method_make(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int fd = -EBADF;
        const char *snapshot, *sandbox;
        Manager *manager = userdata;
        int r;

        r = read_both(m, &snapshot, &sandbox, error);
        if (r >= 0)
                r = store_make_snapshot(&manager->images.store, snapshot, sandbox, &fd);
        if (r < 0)
                return explain(r, error);
        return sd_bus_reply_method_return(m, "h", fd);
}

static int method_publish(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        const char *snapshot;
        uint64_t bytes = 0;
        int r;

        r = read_snapshot(m, &snapshot, error);
        if (r >= 0)
                r = sd_bus_message_read_basic(m, 't', &bytes);
        if (r >= 0)
                r = store_publish_snapshot(&manager->images.store, snapshot, bytes);
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

static int method_begin_share(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *snapshot, *sandbox;
        _cleanup_free_ char *id = NULL;
        Manager *manager = userdata;
        int r;

        r = read_both(m, &snapshot, &sandbox, error);
        if (r >= 0)
                r = store_begin_share(&manager->images.store, sandbox, snapshot, &id);
        return r < 0 ? explain(r, error) : sd_bus_reply_method_return(m, "s", id);
}

/* What is noted in the store, and needs no answer. */
static int note(sd_bus_message *m, Manager *manager,
                int (*function)(const Store *s, const char *sandbox, const char *snapshot), sd_bus_error *error) {
        const char *snapshot, *sandbox;
        int r;

        r = read_both(m, &snapshot, &sandbox, error);
        if (r >= 0)
                r = function(&manager->images.store, sandbox, snapshot);
        return r < 0 ? explain(r, error) : sd_bus_reply_method_return(m, NULL);
}

static int method_end_share(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return note(m, userdata, store_end_share, error);
}

static int method_adopt(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return note(m, userdata, store_adopt_snapshot, error);
}

static int method_base(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *snapshot = NULL;
        Manager *manager = userdata;
        const char *sandbox;
        int r;

        r = read_sandbox(m, &sandbox, error);
        if (r >= 0)
                r = store_get_base(&manager->images.store, sandbox, &snapshot);
        return r < 0 ? explain(r, error) : sd_bus_reply_method_return(m, "s", snapshot);
}

static int method_settle(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        const char *sandbox;
        int r;

        r = read_sandbox(m, &sandbox, error);
        if (r >= 0)
                r = images_settle(&manager->images, sandbox);
        return r < 0 ? explain(r, error) : sd_bus_reply_method_return(m, NULL);
}

static int method_revert(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *snapshot, *sandbox;
        Manager *manager = userdata;
        int r;

        r = read_both(m, &snapshot, &sandbox, error);
        if (r >= 0)
                r = images_revert(&manager->images, sandbox, snapshot);
        return r < 0 ? explain(r, error) : sd_bus_reply_method_return(m, NULL);
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

static int append_usage(sd_bus_message *reply, const Store *s, char *const *ids) {
        int r = 0;

        STRV_FOREACH(id, ids) {
                int used = store_snapshot_is_used(s, *id);

                r = used < 0 ? used
                             : sd_bus_message_append(reply, "(stb)", *id, store_get_snapshot_size(s, *id), used);
                if (r < 0)
                        break;
        }
        return r;
}

static int method_usage(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ids = NULL, **unwanted = NULL;
        const Store *s = &((Manager *) userdata)->images.store;
        int r;

        (void) error;
        r = store_list_snapshots(s, &ids);
        if (r >= 0)
                r = store_list_unwanted(s, &unwanted);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(stb)");
        if (r >= 0)
                r = append_usage(reply, s, ids);
        if (r >= 0)
                r = append_usage(reply, s, unwanted);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
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
        SD_BUS_METHOD_WITH_ARGS("Publish", SD_BUS_ARGS("s", snapshot, "t", bytes), SD_BUS_NO_RESULT,
                                method_publish, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("s", snapshot), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_NO_ARGS, SD_BUS_RESULT("as", snapshots), method_list,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Usage", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(stb)", snapshots), method_usage,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("BeginShare", SD_BUS_ARGS("s", snapshot, "s", sandbox), SD_BUS_RESULT("s", begun),
                                method_begin_share, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("EndShare", SD_BUS_ARGS("s", snapshot, "s", sandbox), SD_BUS_NO_RESULT,
                                method_end_share, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Adopt", SD_BUS_ARGS("s", snapshot, "s", sandbox), SD_BUS_NO_RESULT, method_adopt,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Base", SD_BUS_ARGS("s", sandbox), SD_BUS_RESULT("s", snapshot), method_base,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Settle", SD_BUS_ARGS("s", sandbox), SD_BUS_NO_RESULT, method_settle,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Revert", SD_BUS_ARGS("s", snapshot, "s", sandbox), SD_BUS_NO_RESULT, method_revert,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("EndWorkers", SD_BUS_ARGS("s", sandbox), SD_BUS_RESULT("u", busy), method_end_workers,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};
