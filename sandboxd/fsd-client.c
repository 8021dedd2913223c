/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/fsd-client.h"

#include <errno.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/bus-util.h"

/* Thin on purpose, as execd-client.c. PrepareRoot() is not repeated: a creation that was interrupted is taken back as
 * a whole. */

struct FsdClient {
        Peer *peer;
};

static const BusField root_fields[] = {
        { "From",           BUS_FIELD_STRING, offsetof(RootOptions, from)     },
        { "Share",          BUS_FIELD_STRING, offsetof(RootOptions, share)    },
        { "Snapshot",       BUS_FIELD_STRING, offsetof(RootOptions, snapshot) },
        { "Writable",       BUS_FIELD_STRING, offsetof(RootOptions, writable) },
        { "WritableBytes",  BUS_FIELD_U64,    offsetof(RootOptions, bytes)    },
        { "WritableInodes", BUS_FIELD_U64,    offsetof(RootOptions, inodes)   },
};

int fsd_client_new(sd_event *event, const char *path, FsdClient **ret) {
        _cleanup_(fsd_client_freep) FsdClient *c = new0(FsdClient, 1);
        int r;

        if (!c)
                return -ENOMEM;
        r = peer_new(&(PeerOptions) { .event = event, .path = path, .object = FSD_OBJECT }, &c->peer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

FsdClient *fsd_client_free(FsdClient *c) {
        if (c) {
                peer_free(c->peer);
                free(c);
        }
        return NULL;
}

int fsd_send(FsdClient *c, sd_bus_message *m, PeerFlags flags, PeerCallback callback, void *userdata) {
        return peer_send(c->peer, m, flags, callback, userdata);
}

int fsd_prepare_root(FsdClient *c, const char *image, const char *id, const RootOptions *options,
                     PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, IMAGES_INTERFACE, "PrepareRoot", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", image, id);
        if (r >= 0)
                r = bus_fields_append(m, root_fields, ELEMENTSOF(root_fields), options);
        if (r < 0)
                return r;
        return fsd_send(c, m, 0, callback, userdata);
}

int fsd_remove_root(FsdClient *c, const char *id, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, IMAGES_INTERFACE, "RemoveRoot", &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', id);
        if (r < 0)
                return r;
        return fsd_send(c, m, PEER_REPEATABLE, callback, userdata);
}

static int call_images(FsdClient *c, const char *member, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, IMAGES_INTERFACE, member, &m);
        if (r < 0)
                return r;
        return fsd_send(c, m, PEER_REPEATABLE, callback, userdata);
}

int fsd_ping(FsdClient *c, PeerCallback callback, void *userdata) {
        return peer_ping(c->peer, callback, userdata);
}

int fsd_list_roots(FsdClient *c, PeerCallback callback, void *userdata) {
        return call_images(c, "ListRoots", callback, userdata);
}

int fsd_list_images(FsdClient *c, PeerCallback callback, void *userdata) {
        return call_images(c, "List", callback, userdata);
}

int fsd_snapshots(FsdClient *c, const char *member, const char *id, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, SNAPSHOTS_INTERFACE, member, &m);
        if (r >= 0 && id)
                r = sd_bus_message_append_basic(m, 's', id);
        return r < 0 ? r : fsd_send(c, m, 0, callback, userdata);
}

int fsd_make_snapshot(FsdClient *c, const char *snapshot, const char *sandbox, PeerCallback callback, void *userdata) {
        return fsd_share(c, "Make", snapshot, sandbox, callback, userdata);
}

int fsd_share(FsdClient *c, const char *member, const char *snapshot, const char *sandbox, PeerCallback callback,
              void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, SNAPSHOTS_INTERFACE, member, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", snapshot, sandbox);
        return r < 0 ? r : fsd_send(c, m, 0, callback, userdata);
}

int fsd_publish(FsdClient *c, const char *snapshot, uint64_t bytes, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, SNAPSHOTS_INTERFACE, "Publish", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "st", snapshot, bytes);
        return r < 0 ? r : fsd_send(c, m, 0, callback, userdata);
}

int fsd_open_volume(FsdClient *c, const char *id, uint64_t bytes, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, VOLUMES_INTERFACE, "OpenVolume", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "st", id, bytes);
        return r < 0 ? r : fsd_send(c, m, PEER_REPEATABLE, callback, userdata);
}

int fsd_remove_volume(FsdClient *c, const char *id, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, VOLUMES_INTERFACE, "RemoveVolume", &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', id);
        return r < 0 ? r : fsd_send(c, m, PEER_REPEATABLE, callback, userdata);
}

int fsd_files_message(FsdClient *c, const char *id, const char *member, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, FILES_INTERFACE, member, &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', id);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}
