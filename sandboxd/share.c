/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/share.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"

/* fsd makes the place where the sandbox is to write next, execd puts its root on that, fsd gives both their names. One at
 * a time for each sandbox. Who was killed in between left a share that was begun, and the next one finds it: if execd had
 * done its part then, what was written since is not in it, so another one is to follow.
 *
 *      Base ------------------------------------------------------------> done
 *      BeginShare -> PrepareRoot -> ShareRoot -> EndShare --(now)-------> done
 *          ^---------------------------------------------(earlier) */

typedef struct Share Share;

struct Share {
        Manager *manager;
        Sandbox *sandbox;
        json_t *record;
        bool now;               /* execd has just done it */
        SnapshotCallback callback;
        void *userdata;
        Share *next;            /* that waits for this one */
};

static Share *share_free(Share *h) {
        if (h) {
                sandbox_unref(h->sandbox);
                json_decref(h->record);
                free(h);
        }
        return NULL;
}
DEFINE_CLEANUP(Share *, share_free)

static void begin(Share *h);

static const char *record_id(const Share *h) {
        return json_string_value(json_object_get(h->record, "id"));
}

static void end(Share *h, const sd_bus_error *error) {
        static const sd_bus_error changed = SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_WRONG_STATE,
                                                                    "The sandbox is being restored.");
        Manager *m = h->manager;

        /* It is there, but not with what was begun: a restore came in between. */
        if (error && sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_OBJECT) && !h->sandbox->leaving)
                error = &changed;
        h->sandbox->share = h->next;
        h->callback(error ? NULL : h->record, error, h->userdata);
        if (h->next) /* what execd said when that was asked for is out of date: another one was made meanwhile */
                begin(h->next);
        manager_unattend(m);
        share_free(h);
}

static void end_errno(Share *h, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r == -EHOSTDOWN)
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        else
                (void) sd_bus_error_set_errno(&error, r);
        end(h, &error);
}

static int set_id(Share *h, sd_bus_message *reply) {
        const char *id;
        int r;

        r = sd_bus_message_read_basic(reply, 's', &id);
        if (r < 0)
                return r;
        if (!object_id_is_valid(id, "snap"))
                return -EBADMSG;
        return json_object_set_new(h->record, "id", json_string(id)) < 0 ||
                               json_object_set_new(h->record, "snapshotId", json_string(id)) < 0
                       ? -ENOMEM : 0;
}

static void on_ended(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Share *h = userdata;

        if (!reply)
                end(h, error);
        else if (h->now) {
                sandbox_note_root(h->sandbox);
                end(h, NULL);
        } else {
                snapshot_drop_files(h->manager, record_id(h)); /* nobody asked for what it was then */
                begin(h);
        }
}

static void on_shared(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Share *h = userdata;
        int now, r;

        if (!reply) {
                end(h, error);
                return;
        }
        r = sd_bus_message_read_basic(reply, 'b', &now);
        if (r >= 0) {
                h->now = now;
                r = fsd_share(h->manager->fsd, "EndShare", record_id(h), h->sandbox->id, on_ended, h);
        }
        if (r < 0)
                end_errno(h, r);
}

static void on_prepared(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Share *h = userdata;
        int r;

        if (!reply) {
                end(h, error);
                return;
        }
        r = execd_replace_root(h->manager->execd, "ShareRoot", h->sandbox->id, reply, on_shared, h);
        if (r < 0)
                end_errno(h, r);
}

static void on_begun(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        RootOptions options = {};
        Share *h = userdata;
        int r;

        if (!reply) {
                end(h, error);
                return;
        }
        r = set_id(h, reply);
        if (r >= 0) {
                options.share = (char *) record_id(h);
                r = fsd_prepare_root(h->manager->fsd, sandbox_get_base(h->sandbox), h->sandbox->id, &options,
                                     on_prepared, h);
        }
        if (r < 0)
                end_errno(h, r);
}

static void begin(Share *h) {
        char id[40];
        int r;

        r = object_id_random("snap", id);
        if (r >= 0)
                r = fsd_share(h->manager->fsd, "BeginShare", id, h->sandbox->id, on_begun, h);
        if (r < 0)
                end_errno(h, r);
}

/* Nothing was written since then, so it is the one that is asked for; unless it has become nobody knows what. */
static void on_base(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Share *h = userdata;

        (void) error;
        if (reply && set_id(h, reply) >= 0)
                end(h, NULL);
        else
                begin(h);
}

int share_start(Manager *m, Sandbox *s, bool untouched, SnapshotCallback callback, void *userdata) {
        _cleanup_(share_freep) Share *h = new0(Share, 1);
        Share **last = &s->share;
        int r;

        if (!h)
                return -ENOMEM;
        *h = (Share) { .manager = m, .sandbox = sandbox_ref(s), .callback = callback, .userdata = userdata };
        r = snapshot_make_record(s, /* name= */ NULL, &h->record);
        if (r < 0)
                return r;
        while (*last)
                last = &(*last)->next;
        (void) store_set_number(m->store, "unclean", 1); /* should we not come to its end */
        manager_attend(m);
        *last = h;
        if (last != &s->share) {
                TAKE_PTR(h);
                return 0;
        }
        r = untouched ? fsd_snapshots(m->fsd, "Base", s->id, on_base, h) : 0;
        if (r < 0) {
                s->share = NULL;
                manager_unattend(m);
                return r;
        }
        if (!untouched)
                begin(h);
        TAKE_PTR(h);
        return 0;
}
