/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/clone.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/flatten.h"
#include "sandboxd/removal.h"
#include "sandboxd/sandbox-event.h"
#include "sandboxd/share.h"

/* Freeze() tells whether what the source wrote can be shared. If not, a snapshot is taken that nobody sees, and deleted as
 * soon as all clones stand on it: its files go with the last of them. Then the clones are created side by side, each in
 * the way of any other sandbox. */

#define WAIT_USEC (50 * USEC_PER_MSEC)
#define WAITS_MAX 200U

typedef struct Cloning {
        Manager *manager;
        Sandbox *source;
        json_t *record;         /* of the snapshot; hidden: made for this */
        bool hidden;
        bool on_disk;           /* and shared there: the source stands on it, too */
        char *name;
        uint32_t generation;
        unsigned n_layers;      /* that they stand on, without those of the image */
        unsigned n, n_pending;
        unsigned n_waits;
        sd_event_source *wait;
        CreateNamed on_named;
        Sandbox **made;
        unsigned n_made;
        sd_bus_error error;     /* the first */
        CloneCallback callback;
        void *userdata;
} Cloning;

static Cloning *cloning_free(Cloning *c) {
        if (c) {
                for (unsigned i = 0; i < c->n_made; i++)
                        sandbox_unref(c->made[i]);
                free(c->made);
                sd_event_source_disable_unref(c->wait);
                sandbox_unref(c->source);
                json_decref(c->record);
                sd_bus_error_free(&c->error);
                free(c->name);
                free(c);
        }
        return NULL;
}
DEFINE_CLEANUP(Cloning *, cloning_free)

static void note_error(Cloning *c, int r, const sd_bus_error *error) {
        if (sd_bus_error_is_set(&c->error))
                return;
        if (error && sd_bus_error_is_set(error))
                (void) sd_bus_error_copy(&c->error, error);
        else if (r == -EHOSTDOWN)
                (void) bus_error_set(&c->error, BUS_ERROR_UNAVAILABLE,
                                     "A service is not available; please try again.");
        else
                (void) sd_bus_error_set_errno(&c->error, r);
}

static const char *snapshot_id(const Cloning *c) {
        return json_string_value(json_object_get(c->record, "id"));
}

/* All or nothing: what was made of a group that is not whole is ended again. */
static void finish(Cloning *c) {
        Manager *m = c->manager;
        bool failed = sd_bus_error_is_set(&c->error);

        if (c->hidden)
                snapshot_drop_hidden(m, snapshot_id(c));
        for (unsigned i = 0; i < c->n_made; i++)
                if (failed && !c->made[i]->leaving)
                        (void) removal_start(m, c->made[i], COUNTER_KILLED, NULL, NULL);
                else if (!failed && c->source)
                        event_publish(m, EVENT_CLONED, c->source->public_id,
                                      json_pack("{s:s, s:s}", "id", c->made[i]->public_id, "name", c->made[i]->name));
        if (!failed)
                flatten_add(m, c->on_disk ? c->source : NULL, c->made, c->n_made, c->n_layers);
        c->callback(c->made, failed ? 0 : c->n_made, failed ? &c->error : NULL, c->userdata);
        manager_unattend(m);
        cloning_free(c);
}

static void one_done(Cloning *c) {
        if (--c->n_pending == 0)
                finish(c);
}

static void on_made(Sandbox *s, const sd_bus_error *error, void *userdata) {
        Cloning *c = userdata;

        if (s)
                c->made[c->n_made++] = sandbox_ref(s);
        else
                note_error(c, -EIO, error);
        one_done(c);
}

static void on_named(const char *public_id, void *userdata) {
        Cloning *c = userdata;

        if (c->on_named)
                c->on_named(public_id, c->userdata);
}

/* As a container engine does: its image is what was committed, whatever that was made of. */
static json_t *clone_config(const json_t *config, const char *image) {
        json_t *copy = json_deep_copy(config);

        (void) json_object_set_new(copy, "image", json_string(image));
        return copy;
}

typedef struct Origin {
        const json_t *config, *metadata, *entrypoint, *secrets, *env, *proxy;
        const char *base, *image;
} Origin;

static void get_origin(const Cloning *c, Origin *ret) {
        const json_t *private = json_object_get(c->record, "private");
        const Sandbox *s = c->source;

        if (s)
                *ret = (Origin) { s->config, s->metadata, s->entrypoint, s->secrets, s->env, s->proxy,
                                  sandbox_get_base(s), NULL };
        else
                *ret = (Origin) { json_object_get(c->record, "config"), json_object_get(c->record, "metadata"),
                                  json_object_get(c->record, "entrypoint"), json_object_get(private, "secrets"),
                                  json_object_get(private, "env"), json_object_get(private, "proxy"),
                                  json_string_value(json_object_get(private, "base")),
                                  NULL };
        ret->image = json_string_value(json_object_get(c->record, "imageId"));
}

static int create_one(Cloning *c, sd_bus_error *error) {
        char image[80];
        Origin o;
        int r;

        get_origin(c, &o);
        r = snapshot_random_image_id(image);
        if (r < 0)
                return r;
        if (c->source || !o.image)
                o.image = image;
        return create_start(c->manager, &(CreateRequest) {
                        .name = c->name, .image = o.image, .base = o.base,
                        .source = c->source && !c->hidden ? c->source->id : NULL, .generation = c->generation,
                        .snapshot = c->record ? snapshot_id(c) : NULL,
                        .config = clone_config(o.config, o.image), .metadata = json_deep_copy(o.metadata),
                        .entrypoint = json_deep_copy(o.entrypoint), .secrets = json_deep_copy(o.secrets),
                        .env = json_deep_copy(o.env), .proxy = json_deep_copy(o.proxy),
                        .timeout_sec = (uint64_t) json_integer_value(json_object_get(o.config, "timeout")),
                        .network = json_is_true(json_object_get(o.config, "network")),
                        .on_named = c->on_named && c->n == 1 ? on_named : NULL }, on_made, c, error);
}

static void create_all(Cloning *c) {
        c->n_pending = c->n + 1; /* this function itself */
        for (unsigned i = 0; i < c->n; i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                int r = sd_bus_error_is_set(&c->error) ? -ECANCELED : create_one(c, &error);

                if (r < 0) {
                        note_error(c, r, &error);
                        c->n_pending--;
                }
        }
        one_done(c);
}

static void end_with(Cloning *c, int r, const sd_bus_error *error) {
        note_error(c, r, error);
        finish(c);
}

static int freeze_source(Cloning *c);

static int on_wait_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Cloning *c = userdata;
        int r;

        (void) source;
        (void) usec;
        r = freeze_source(c);
        if (r < 0)
                end_with(c, r, NULL);
        return 0;
}

/* Somebody else has it copied, or restored, at the moment: no reason to tell a client to come again. */
static bool wait_for_source(Cloning *c, const sd_bus_error *error) {
        if (!sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE) || !c->source || c->source->leaving ||
            c->manager->stopping || c->n_waits++ == WAITS_MAX)
                return false;
        c->wait = sd_event_source_disable_unref(c->wait);
        return sd_event_add_time_relative(c->manager->event, &c->wait, CLOCK_MONOTONIC, WAIT_USEC, 1, on_wait_over,
                                          c) >= 0;
}

static void on_snapshot(json_t *record, const sd_bus_error *error, void *userdata) {
        Cloning *c = userdata;

        if (!record && wait_for_source(c, error))
                return;
        if (!record) {
                end_with(c, -EIO, error);
                return;
        }
        c->record = json_incref(record);
        c->hidden = true;
        create_all(c);
}

static void copy_source(Cloning *c) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = snapshot_take(c->manager, &(SnapshotRequest) { .sandbox = c->source, .hidden = true }, on_snapshot, c,
                          &error);
        if (r < 0)
                end_with(c, r, &error);
}

static void on_shared(json_t *record, const sd_bus_error *error, void *userdata) {
        Cloning *c = userdata;

        c->on_disk = record;
        if (record || !sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE)) {
                on_snapshot(record, error, c);
                return;
        }
        c->n_layers = 1;
        copy_source(c);
}

static void on_frozen(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        uint32_t n_written, n_frozen;
        Cloning *c = userdata;
        const char *where;
        int r;

        if (!reply && sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE)) {
                copy_source(c);
                return;
        }
        r = reply ? sd_bus_message_read(reply, "usuu", &c->generation, &where, &n_written, &n_frozen) : -EIO;
        if (r >= 0)
                c->n_layers = n_written + (c->source->flat ? 1 : n_frozen);
        if (r >= 0 && streq(where, "done")) {
                create_all(c);
                return;
        }
        if (r >= 0 && c->source->restoring) {
                copy_source(c); /* or that is refused */
                return;
        }
        if (r >= 0)
                r = share_start(c->manager, c->source, streq(where, "untouched"), on_shared, c);
        if (r < 0)
                end_with(c, r, error);
}

/* File workers hold the files open without need: those that are at nothing end, while execd is being asked. */
static int freeze_source(Cloning *c) {
        Manager *m = c->manager;

        (void) fsd_snapshots(m->fsd, "EndWorkers", c->source->id, peer_ignore, NULL);
        return execd_freeze(m->execd, c->source->id, on_frozen, c);
}

static void on_ready(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Cloning *c = userdata;

        if (reply)
                create_all(c);
        else
                end_with(c, -EHOSTDOWN, error);
}

/* The answer is to come from the loop, never from here. */
static int begin(Cloning *c) {
        if (c->source)
                return freeze_source(c);
        return fsd_ping(c->manager->fsd, on_ready, c);
}

int clone_start(Manager *m, const CloneRequest *request, CloneCallback callback, void *userdata, sd_bus_error *error) {
        _cleanup_(cloning_freep) Cloning *c = NULL;
        int r;

        if (manager_count(m) + request->n > m->settings.max_sandboxes)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum sandbox limit reached: %u",
                                     m->settings.max_sandboxes);
        c = new0(Cloning, 1);
        if (!c)
                return -ENOMEM;
        *c = (Cloning) { .manager = m, .source = sandbox_ref(request->source),
                         .record = json_incref((json_t *) request->snapshot), .n = request->n,
                         .on_named = request->on_named, .made = new0(Sandbox *, request->n), .callback = callback,
                         .userdata = userdata };
        if (request->name)
                c->name = strdup(request->name);
        if (!c->made || (request->name && !c->name))
                return -ENOMEM;
        r = begin(c);
        if (r < 0)
                return r;
        manager_attend(m);
        TAKE_PTR(c);
        return 0;
}
