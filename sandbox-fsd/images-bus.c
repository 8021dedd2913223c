/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/images-bus.h"

#include <errno.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/images.h"

/* Images1 as methods. PrepareRoot() may have to wait for a layer that is being made, so its answer comes from a
 * callback; a client that has gone by then is no reason to stop: the next one wants the same layer. */

static const BusField root_fields[] = {
        { "From",           BUS_FIELD_STRING, offsetof(RootOptions, from)            },
        { "Share",          BUS_FIELD_STRING, offsetof(RootOptions, share)           },
        { "Snapshot",       BUS_FIELD_STRING, offsetof(RootOptions, snapshot)        },
        { "Writable",       BUS_FIELD_STRING, offsetof(RootOptions, writable)        },
        { "WritableBytes",  BUS_FIELD_U64,    offsetof(RootOptions, writable_bytes)  },
        { "WritableInodes", BUS_FIELD_U64,    offsetof(RootOptions, writable_inodes) },
};

static void root_options_done(RootOptions *o) {
        bus_fields_done(root_fields, ELEMENTSOF(root_fields), o);
}

static bool image_is_usable(const Image *image) {
        if (image->kind == IMAGE_UNSUPPORTED)
                return false;
        return !image->path || access(image->path, R_OK) >= 0;
}

static int append_image(sd_bus_message *reply, const Image *image) {
        return sd_bus_message_append(reply, "(sssb)", image->name, image_kind_to_string(image->kind), image->source,
                                     image_is_usable(image));
}

static int method_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Images *i = userdata;
        int r;

        (void) error;
        r = catalog_refresh(&i->catalog);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sssb)");
        for (size_t k = 0; r >= 0 && k < i->catalog.n_images; k++)
                r = append_image(reply, &i->catalog.images[k]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_resolve(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Images *i = userdata;
        const Image *image;
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = catalog_refresh(&i->catalog);
        if (r >= 0)
                r = catalog_find(&i->catalog, name, &image, error);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "s", image->source);
}

static int append_mounts(sd_bus_message *reply, const ImageMounts *mounts) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(hsu)");
        for (size_t i = 0; r >= 0 && i < mounts->n; i++)
                r = sd_bus_message_append(reply, "(hsu)", mounts->mounts[i].fd, mounts->mounts[i].target,
                                          mounts->mounts[i].id_origin);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static void on_prepared(int r, ImageMounts *mounts, const sd_bus_error *error, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = userdata, *reply = NULL;

        if (r < 0) {
                (void) sd_bus_reply_method_error(m, error);
                return;
        }
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_mounts(reply, mounts);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        if (r < 0)
                (void) sd_bus_reply_method_errno(m, r, NULL);
}

static int read_id(sd_bus_message *m, const char **ret, sd_bus_error *error) {
        int r;

        r = sd_bus_message_read(m, "s", ret);
        if (r < 0)
                return r;
        return sandbox_id_is_valid(*ret) ? 0 : bus_error_set(error, BUS_ERROR_INVALID, "Not the id of a sandbox.");
}

static int method_prepare_root(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(root_options_done) RootOptions options = {};
        PrepareRequest request = { .handler = on_prepared, .userdata = m };
        Images *i = userdata;
        int r;

        r = sd_bus_message_read(m, "s", &request.image);
        if (r >= 0)
                r = read_id(m, &request.id, error);
        if (r >= 0)
                r = bus_fields_read(m, root_fields, ELEMENTSOF(root_fields), &options, error);
        if (r < 0)
                return r;
        if (options.writable && !streq(options.writable, "disk") && !streq(options.writable, "tmpfs"))
                return bus_error_set(error, BUS_ERROR_INVALID, "Writable must be 'disk' or 'tmpfs'.");

        if ((options.from && !sandbox_id_is_valid(options.from)) ||
            (options.snapshot && !snapshot_id_is_valid(options.snapshot)) ||
            (options.share && !snapshot_id_is_valid(options.share)))
                return bus_error_set(error, BUS_ERROR_INVALID, "Not the id of a sandbox, or of a snapshot.");

        request.from = options.from;
        request.snapshot = options.snapshot;
        request.share = options.share;
        request.on_disk = options.writable ? streq(options.writable, "disk") : store_has_quotas(&i->store);
        (void) sd_bus_message_ref(m); /* on_prepared()'s */
        r = images_prepare(i, &request, error);
        if (r < 0) {
                (void) sd_bus_message_unref(m);
                return r;
        }
        return 1;
}

static int method_remove_root(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Images *i = userdata;
        const char *id;
        int r;

        r = read_id(m, &id, error);
        if (r >= 0)
                r = images_remove_root(i, id);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, NULL);
}

static int method_list_roots(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ids = NULL;
        Images *i = userdata;
        int r;

        (void) error;
        r = store_list_roots(&i->store, &ids);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append_strv(reply, ids);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* The server admits root and sandboxd only, hence UNPRIVILEGED. */
const sd_bus_vtable images_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssb)", images), method_list,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Resolve", SD_BUS_ARGS("s", name), SD_BUS_RESULT("s", source), method_resolve,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("PrepareRoot", SD_BUS_ARGS("s", image, "s", id, "a{sv}", options),
                                SD_BUS_RESULT("a(hsu)", mounts), method_prepare_root, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RemoveRoot", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT, method_remove_root,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListRoots", SD_BUS_NO_ARGS, SD_BUS_RESULT("as", ids), method_list_roots,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};
