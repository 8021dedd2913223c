/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/volumes-bus.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/images.h"
#include "sandbox-fsd/removal.h"
#include "sandbox-fsd/volume-image.h"

/* Volumes1: directories that outlive sandboxes. They are made here and mounted by execd, which also bounds them: to do
 * either takes a right that this service does not have. */

static int read_id(sd_bus_message *m, const char **ret, sd_bus_error *error) {
        int r;

        r = sd_bus_message_read_basic(m, 's', ret);
        if (r < 0)
                return r;
        return object_id_is_valid(*ret, "vol") ? 0 : bus_error_set(error, BUS_ERROR_INVALID, "Not a volume's id.");
}

/* A call that waits for a file system to be made. */
typedef struct Opening {
        sd_bus_message *message;
        int fd;
} Opening;

static void on_image(int error, const char *text, void *userdata) {
        Opening *o = userdata;

        if (error < 0)
                (void) sd_bus_reply_method_errorf(o->message, error == -ENOSPC ? BUS_ERROR_NO_SPACE : BUS_ERROR_UNAVAILABLE,
                                                  "Failed to make the volume: %s.", text);
        else
                (void) sd_bus_reply_method_return(o->message, "h", o->fd);
        sd_bus_message_unref(o->message);
        safe_close(o->fd);
        free(o);
}

/* > 0: the answer comes later, and the descriptor is its. */
static int make_image(Images *i, sd_bus_message *m, int fd, uint64_t bytes) {
        Opening *o = new0(Opening, 1);
        int r;

        if (!o)
                return -ENOMEM;
        *o = (Opening) { .message = sd_bus_message_ref(m), .fd = fd };
        r = volume_image_make(i, fd, bytes, on_image, o);
        if (r == 0)
                return 1;
        sd_bus_message_unref(o->message);
        free(o);
        return MIN(r, 0);
}

/* Made when it is asked for the first time, so that one that was never used takes nothing. */
static int method_open(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int fd = -EBADF;
        Images *i = userdata;
        uint64_t bytes;
        const char *id;
        int r;

        r = read_id(m, &id, error);
        if (r >= 0)
                r = sd_bus_message_read_basic(m, 't', &bytes);
        if (r < 0)
                return r;
        r = store_open_volume(&i->store, id, &fd);
        if (r >= 0 && bytes > 0 && volume_image_is_needed(&i->store))
                r = make_image(i, m, fd, bytes);
        if (r > 0) {
                TAKE_FD(fd);
                return 1;
        }
        if (r == -ENOSPC || r == -EDQUOT)
                return bus_error_set(error, BUS_ERROR_NO_SPACE, "No space is left for a volume.");
        if (r == -EFBIG)
                return bus_error_set(error, BUS_ERROR_INVALID, "size is more than a file of the store can have.");
        return r < 0 ? r : sd_bus_reply_method_return(m, "h", fd);
}

/* The answer waits for the rename only; one that is not there is gone. */
static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *name = NULL;
        Images *i = userdata;
        const char *id;
        int r;

        r = read_id(m, &id, error);
        if (r < 0)
                return r;
        r = store_retire_volume(&i->store, id, &name);
        if (r >= 0)
                r = removal_start(i, i->store.volumes_fd, name);
        return r < 0 && r != -ENOENT ? r : sd_bus_reply_method_return(m, NULL);
}

static int method_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ids = NULL;
        Images *i = userdata;
        int r;

        (void) error;
        r = store_list_volumes(&i->store, &ids);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append_strv(reply, ids);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

const sd_bus_vtable volumes_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("OpenVolume", SD_BUS_ARGS("s", id, "t", bytes), SD_BUS_RESULT("h", directory),
                                method_open, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RemoveVolume", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListVolumes", SD_BUS_NO_ARGS, SD_BUS_RESULT("as", ids), method_list,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};
