/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <systemd/sd-id128.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/sandbox-event.h"
#include "sandboxd/snapshot-prune.h"

/* Three answers in a row: fsd has a place, execd has filled it, fsd has given it its name. Only then there is an object, so
 * what is interrupted is files that nobody knows: the next start deletes them. */

typedef struct Taking {
        Manager *manager;
        Sandbox *sandbox;
        bool hidden;
        IdempotencyUse *use;
        json_t *record;
        uint64_t bytes_max, bytes;
        SnapshotCallback callback;
        void *userdata;
} Taking;

static Taking *taking_free(Taking *t) {
        if (t) {
                sandbox_unref(t->sandbox);
                json_decref(t->record);
                free(t);
        }
        return NULL;
}
DEFINE_CLEANUP(Taking *, taking_free)

static const char *record_id(const json_t *record) {
        return json_string_value(json_object_get(record, "id"));
}

/* As a container engine would call what it has committed. */
int snapshot_random_image_id(char ret[static 80]) {
        char text[SD_ID128_STRING_MAX];
        sd_id128_t a, b;
        int r;

        r = sd_id128_randomize(&a);
        if (r >= 0)
                r = sd_id128_randomize(&b);
        if (r < 0)
                return r;
        (void) snprintf(ret, 80, "sha256:%s", sd_id128_to_string(a, text));
        (void) snprintf(ret + strlen(ret), 80 - strlen(ret), "%s", sd_id128_to_string(b, text));
        return 0;
}

/* "private" is what no client is shown. */
int snapshot_make_record(const Sandbox *s, const char *name, json_t **ret) {
        char id[40], image[80];
        int r;

        r = object_id_random("snap", id);
        if (r >= 0)
                r = snapshot_random_image_id(image);
        if (r < 0)
                return r;
        *ret = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o*, s:{s:s, s:o*, s:o*, s:o*}}", "id", id,
                         "snapshotId", id, "sandboxId", s->public_id, "name", name ?: id, "imageId", image, "size",
                         (json_int_t) 0, "createdAt", (json_int_t) (now_usec(CLOCK_REALTIME) / USEC_PER_MSEC), "config",
                         json_deep_copy(s->config), "metadata", json_deep_copy(s->metadata), "entrypoint",
                         json_deep_copy(s->entrypoint), "private", "base", sandbox_get_base(s), "secrets",
                         json_deep_copy(s->secrets), "env", json_deep_copy(s->env), "proxy", json_deep_copy(s->proxy));
        return *ret ? 0 : -ENOMEM;
}

json_t *snapshot_to_json(const json_t *record) {
        json_t *shown = json_copy((json_t *) record);

        (void) json_object_del(shown, "private");
        return shown;
}

static int put(Store *s, const json_t *record) {
        _cleanup_free_ char *text = json_dumps(record, JSON_COMPACT);

        if (!text)
                return -ENOMEM;
        return store_put_object(s, &(StoredObject) {
                        .kind = SNAPSHOT_KIND, .id = record_id(record),
                        .sandbox = json_string_value(json_object_get(record, "sandboxId")),
                        .time_msec = (uint64_t) json_integer_value(json_object_get(record, "createdAt")),
                        .record = text });
}

static int take_row(const StoredObject *row, void *userdata) {
        json_t **ret = userdata, *object = json_loads(row->record, 0, NULL), *shown;

        if (!json_is_object(object)) {
                json_decref(object);
                return -EBADMSG;
        }
        if (!json_is_array(*ret)) {
                *ret = object;
                return 0;
        }
        shown = snapshot_to_json(object);
        json_decref(object);
        return json_array_append_new(*ret, shown) < 0 ? -ENOMEM : 0;
}

int snapshot_get(Store *s, const char *id, json_t **ret) {
        json_t *found = NULL;
        int r;

        r = store_foreach_object(s, &(ObjectQuery) { .kind = SNAPSHOT_KIND, .id = id, .limit = 1 }, take_row, &found);
        if (r < 0)
                return r;
        if (!found)
                return -ENOENT;
        *ret = found;
        return 0;
}

int snapshot_list(Store *s, const char *sandbox, json_t **ret) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        int r;

        r = store_foreach_object(s, &(ObjectQuery) { .kind = SNAPSHOT_KIND, .sandbox = sandbox }, take_row, &list);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

void snapshot_drop_files(Manager *m, const char *id) {
        if (m->stopping || fsd_snapshots(m->fsd, "Remove", id, peer_ignore, NULL) < 0)
                (void) store_set_number(m->store, "unclean", 1);
}

void snapshot_drop_hidden(Manager *m, const char *id) {
        _cleanup_(json_decrefp) json_t *record = NULL;

        if (snapshot_get(m->store, id, &record) == -ENOENT)
                snapshot_drop_files(m, id);
}

int snapshot_remove(Manager *m, const char *id) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        int r;

        r = snapshot_get(m->store, id, &record);
        if (r >= 0)
                r = store_remove_object(m->store, SNAPSHOT_KIND, id);
        if (r < 0)
                return r;
        snapshot_drop_files(m, id);
        return 0;
}

/* ---- taking one */

static void give_up(Taking *t, const sd_bus_error *error) {
        Manager *m = t->manager;

        snapshot_drop_files(m, record_id(t->record));
        t->callback(NULL, error, t->userdata);
        manager_unattend(m);
        taking_free(t);
}

static void give_up_errno(Taking *t, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r == -EHOSTDOWN)
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        else if (r == -ENOSPC)
                (void) bus_error_set(&error, BUS_ERROR_NO_SPACE, "No space is left for snapshots.");
        else
                (void) sd_bus_error_set_errno(&error, r);
        give_up(t, &error);
}

/* The object, and that its client's key leads to it, are written together. */
static int write_object(Taking *t) {
        Store *store = t->manager->store;
        bool together;
        int r, q;

        if (t->hidden)
                return 0;
        together = store_begin(store) >= 0;
        r = put(store, t->record);
        if (r >= 0)
                (void) idempotency_note_object(t->use, record_id(t->record));
        q = together ? store_end(store) : 0;
        return r < 0 ? r : q;
}

static void on_published(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Taking *t = userdata;
        Manager *m = t->manager;
        int r;

        if (!reply) {
                give_up(t, error);
                return;
        }
        r = write_object(t);
        if (r < 0) {
                give_up_errno(t, r);
                return;
        }
        if (!t->hidden)
                event_publish(m, EVENT_SNAPSHOT, t->sandbox->public_id, snapshot_to_json(t->record));
        t->callback(t->record, NULL, t->userdata);
        manager_unattend(m);
        taking_free(t);
}

static int publish(Taking *t) {
        return fsd_publish(t->manager->fsd, record_id(t->record), t->bytes, on_published, t);
}

/* Older ones go only now that it is certain that there is a new one for them. */
static void on_usage_after(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(snapshot_usage_done) SnapshotUsage u = {};
        Taking *t = userdata;
        int r;

        if (!reply) {
                give_up(t, error);
                return;
        }
        r = snapshot_usage_read(reply, &u);
        if (r >= 0)
                r = snapshot_make_room(t->manager, &u, t->bytes);
        if (r >= 0)
                r = publish(t);
        if (r < 0)
                give_up_errno(t, r);
}

static void on_copied(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        uint64_t files;
        Taking *t = userdata;
        int r;

        if (!reply) {
                give_up(t, error);
                return;
        }
        r = sd_bus_message_read(reply, "tt", &t->bytes, &files);
        if (r >= 0) {
                (void) json_object_set_new(t->record, "size", json_integer((json_int_t) t->bytes));
                r = t->manager->settings.snapshot_budget > 0
                            ? fsd_snapshots(t->manager->fsd, "Usage", NULL, on_usage_after, t) : publish(t);
        }
        if (r < 0)
                give_up_errno(t, r);
}

static void on_made(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Taking *t = userdata;
        int r;

        if (!reply) {
                give_up(t, error);
                return;
        }
        r = execd_copy(t->manager->execd, "Copy", t->sandbox->id, reply, t->bytes_max, on_copied, t);
        if (r < 0)
                give_up_errno(t, r);
}

static int make(Taking *t) {
        return fsd_make_snapshot(t->manager->fsd, record_id(t->record), t->sandbox->id, on_made, t);
}

static void on_usage_before(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(snapshot_usage_done) SnapshotUsage u = {};
        Taking *t = userdata;
        int r;

        if (!reply) {
                give_up(t, error);
                return;
        }
        r = snapshot_usage_read(reply, &u);
        if (r >= 0)
                r = snapshot_room(t->manager, &u, &t->bytes_max);
        if (r >= 0)
                r = t->bytes_max > 0 ? make(t) : -ENOSPC;
        if (r < 0)
                give_up_errno(t, r);
}

int snapshot_take(Manager *m, const SnapshotRequest *request, SnapshotCallback callback, void *userdata,
                  sd_bus_error *error) {
        _cleanup_(taking_freep) Taking *t = NULL;
        int r;

        (void) snapshot_prune_old(m);
        r = request->hidden ? 0 : snapshot_make_place(m);
        if (r == -EBUSY)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum snapshot limit reached: %u",
                                     m->settings.snapshots_max);
        if (r < 0)
                return r;
        t = new0(Taking, 1);
        if (!t)
                return -ENOMEM;
        *t = (Taking) { .manager = m, .sandbox = sandbox_ref(request->sandbox), .hidden = request->hidden,
                        .use = request->use, .bytes_max = UINT64_MAX / 2, .callback = callback,
                        .userdata = userdata };
        r = snapshot_make_record(request->sandbox, request->name, &t->record);
        if (r < 0)
                return r;
        (void) store_set_number(m->store, "unclean", 1); /* should we not come to its end */
        r = m->settings.snapshot_budget > 0 ? fsd_snapshots(m->fsd, "Usage", NULL, on_usage_before, t) : make(t);
        if (r < 0)
                return r;
        manager_attend(m);
        TAKE_PTR(t);
        return 0;
}

/* ---- restoring */

typedef struct Restore {
        Manager *manager;
        Sandbox *sandbox;
        json_t *record;
        RestoreCallback callback;
        void *userdata;
} Restore;

static void restore_end(Restore *x, const sd_bus_error *error) {
        Manager *m = x->manager;

        x->sandbox->restoring = false;
        x->callback(error, x->userdata);
        manager_unattend(m);
        sandbox_unref(x->sandbox);
        json_decref(x->record);
        free(x);
}

static void restore_fail(Restore *x, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r == -EHOSTDOWN)
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        else
                (void) sd_bus_error_set_errno(&error, r);
        restore_end(x, &error);
}

/* execd's own word that it has not been done. A service that left without an answer, or is late with it, may have. */
static bool is_refusal(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE) || sd_bus_error_has_name(error, BUS_ERROR_NO_SPACE) ||
               sd_bus_error_has_name(error, BUS_ERROR_INVALID);
}

/* The image is the snapshot's from now on; all else of the sandbox is its own, its time among it. */
static void on_replaced(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Restore *x = userdata;
        Sandbox *s = x->sandbox;
        json_t *base = json_object_get(json_object_get(x->record, "private"), "base");

        if (!reply && is_refusal(error))
                (void) fsd_share(x->manager->fsd, "Revert", record_id(x->record), s->id, peer_ignore, NULL);
        if (!reply || s->leaving) {
                static const sd_bus_error gone = SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_NO_SUCH_SANDBOX,
                                                                         "The sandbox has ended.");

                restore_end(x, error ?: &gone);
                return;
        }
        (void) fsd_snapshots(x->manager->fsd, "Settle", s->id, peer_ignore, NULL);
        (void) free_and_strdup(&s->base, json_string_value(base));
        (void) free_and_strdup(&s->image, json_string_value(json_object_get(x->record, "imageId")));
        (void) manager_set_state(x->manager, s, SANDBOX_RUNNING);
        event_publish(x->manager, EVENT_RESTORED, s->public_id,
                      json_pack("{s:O, s:s}", "snapshotId", json_object_get(x->record, "id"), "id", s->public_id));
        restore_end(x, NULL);
}

static void on_prepared(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Restore *x = userdata;
        int r;

        if (!reply) {
                restore_end(x, error);
                return;
        }
        r = execd_replace_root(x->manager->execd, "ReplaceRoot", x->sandbox->id, reply, on_replaced, x);
        if (r < 0)
                restore_fail(x, r);
}

static int prepare(Restore *x) {
        const Settings *settings = &x->manager->settings;
        RootOptions options = { .bytes = settings->writable_bytes, .inodes = settings->writable_inodes };
        json_t *base = json_object_get(json_object_get(x->record, "private"), "base");
        _cleanup_free_ char *id = strdup(record_id(x->record));

        if (!id)
                return -ENOMEM;
        options.snapshot = id;
        if (!streq_ptr(settings->writable, "auto"))
                options.writable = settings->writable;
        return fsd_prepare_root(x->manager->fsd, json_string_value(base), x->sandbox->id, &options, on_prepared, x);
}

int snapshot_restore(Manager *m, Sandbox *s, const json_t *record, RestoreCallback callback, void *userdata,
                     sd_bus_error *error) {
        Restore *x;
        int r;

        if (s->restoring || s->share)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is being restored, or cloned: %s",
                                     s->public_id);
        x = new0(Restore, 1);
        if (!x)
                return -ENOMEM;
        *x = (Restore) { .manager = m, .sandbox = sandbox_ref(s), .record = json_incref((json_t *) record),
                         .callback = callback, .userdata = userdata };
        r = prepare(x);
        if (r < 0) {
                sandbox_unref(x->sandbox);
                json_decref(x->record);
                free(x);
                return r;
        }
        s->restoring = true;
        sandbox_note_root(s);
        (void) fsd_snapshots(m->fsd, "EndWorkers", s->id, peer_ignore, NULL);
        manager_attend(m);
        return 0;
}

/* ---- at a start */

static void on_listed(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Manager *m = userdata;
        const char *id;

        if (!reply) {
                log_warning("Failed to list the files of snapshots, ignoring: %s", error->message);
                return;
        }
        if (sd_bus_message_enter_container(reply, 'a', "s") < 0)
                return;
        while (sd_bus_message_read_basic(reply, 's', &id) > 0)
                snapshot_drop_hidden(m, id);
}

void snapshot_reconcile(Manager *m) {
        (void) fsd_snapshots(m->fsd, "List", NULL, on_listed, m);
}
