/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/upload.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/files.h"
#include "sandboxd/waker.h"

/* The tag is the state. Ended ones stay for a while, so that a client who never saw the last answer hears that it is
 * there. The gathering file of one whose sandbox is paused cannot be deleted: that is tried again. */

#define DONE_MAX 64U
#define AGAIN_MSEC UINT64_C(60000)
#define ASLEEP_MSEC UINT64_C(3600000)

struct Uploads {
        Manager *manager;
        sd_event_source *timer;
        UploadWriter *writers;
};

static const char *const state_names[_UPLOAD_STATE_MAX] = {
        [UPLOAD_OPEN] = "open",
        [UPLOAD_FINISHING] = "finishing",
        [UPLOAD_DONE] = "done",
};

const char *upload_state_to_string(UploadState state) {
        return state >= 0 && state < _UPLOAD_STATE_MAX ? state_names[state] : NULL;
}

UploadState upload_state_from_string(const char *s) {
        for (UploadState i = 0; s && i < _UPLOAD_STATE_MAX; i++)
                if (streq(state_names[i], s))
                        return i;
        return _UPLOAD_STATE_INVALID;
}

void upload_done(Upload *u) {
        free(u->path);
        free(u->part);
        *u = (Upload) {};
}

static uint64_t now_msec(void) {
        return now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
}

static uint64_t age_msec(const Uploads *u) {
        return (uint64_t) u->manager->settings.upload_age_sec * 1000;
}

json_t *upload_to_json(const Uploads *u, const Upload *upload, int64_t offset) {
        json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:I}", "id", upload->id, "sandboxId", upload->sandbox,
                                   "path", upload->path, "size", (json_int_t) upload->size, "status",
                                   upload->state == UPLOAD_DONE ? "complete" : "open", "createdAt",
                                   (json_int_t) upload->created_msec, "expiresAt",
                                   (json_int_t) (upload->used_msec + age_msec(u)));

        if (object && offset >= 0)
                (void) json_object_set_new(object, "offset", json_integer(offset));
        return object;
}

static int save(Uploads *u, const Upload *upload) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_free_ char *record = NULL;

        object = json_pack("{s:s, s:s, s:I, s:i, s:b, s:I}", "path", upload->path, "part", upload->part, "size",
                           (json_int_t) upload->size, "mode", (int) upload->mode, "keepMode", (int) upload->keep_mode,
                           "createdAt", (json_int_t) upload->created_msec);
        record = object ? json_dumps(object, JSON_COMPACT) : NULL;
        if (!record)
                return -ENOMEM;
        return store_put_object(u->manager->store,
                                &(StoredObject) { .kind = UPLOAD_KIND, .id = upload->id, .sandbox = upload->sandbox,
                                                  .tag = upload_state_to_string(upload->state),
                                                  .time_msec = upload->used_msec, .record = record });
}

static int read_row(const StoredObject *row, Upload *ret) {
        _cleanup_(json_decrefp) json_t *object = json_loads(row->record, 0, NULL);
        _cleanup_(upload_done) Upload u = {};
        const char *path, *part;
        json_int_t size, created;
        int mode, keep_mode;

        if (!object || json_unpack(object, "{s:s, s:s, s:I, s:i, s:b, s:I}", "path", &path, "part", &part, "size", &size,
                                   "mode", &mode, "keepMode", &keep_mode, "createdAt", &created) < 0)
                return -EBADMSG;
        u = (Upload) { .path = strdup(path), .part = strdup(part), .size = (uint64_t) size, .mode = (uint32_t) mode,
                       .keep_mode = keep_mode, .state = upload_state_from_string(row->tag),
                       .created_msec = (uint64_t) created, .used_msec = row->time_msec };
        if (!u.path || !u.part)
                return -ENOMEM;
        if (u.state < 0)
                return -EBADMSG;
        (void) snprintf(u.id, sizeof u.id, "%s", row->id);
        (void) snprintf(u.sandbox, sizeof u.sandbox, "%s", row->sandbox);
        *ret = u;
        u = (Upload) {};
        return 0;
}

typedef struct Walk {
        int (*handler)(const Upload *upload, void *userdata);
        void *userdata;
} Walk;

static int take_row(const StoredObject *row, void *userdata) {
        _cleanup_(upload_done) Upload u = {};
        const Walk *walk = userdata;
        int r;

        r = read_row(row, &u);
        return r < 0 ? r : walk->handler(&u, walk->userdata);
}

static int foreach(Uploads *u, ObjectQuery query, int (*handler)(const Upload *upload, void *userdata),
                   void *userdata) {
        query.kind = UPLOAD_KIND;
        return store_foreach_object(u->manager->store, &query, take_row, &(Walk) { handler, userdata });
}

int uploads_foreach(Uploads *u, const char *sandbox, int (*handler)(const Upload *upload, void *userdata),
                    void *userdata) {
        return foreach(u, (ObjectQuery) { .sandbox = sandbox }, handler, userdata);
}

static int copy_row(const StoredObject *row, void *userdata) {
        return read_row(row, userdata);
}

int upload_find(Uploads *u, const char *sandbox, const char *id, Upload *ret) {
        _cleanup_(upload_done) Upload found = {};
        int r;

        r = store_foreach_object(u->manager->store,
                                 &(ObjectQuery) { .kind = UPLOAD_KIND, .id = id, .sandbox = sandbox, .limit = 1 },
                                 copy_row, &found);
        if (r < 0)
                return r;
        if (!found.path)
                return -ENOENT;
        *ret = found;
        found = (Upload) {};
        return 0;
}

static int name_part(Upload *upload) {
        const char *slash = strrchr(upload->path, '/');
        int n = slash ? (int) (slash - upload->path) : 0;

        return asprintf(&upload->part, "%.*s/.sbx-%s", n, upload->path, upload->id) < 0 ? -ENOMEM : 0;
}

int upload_add(Uploads *u, const char *sandbox, Upload *upload) {
        const Settings *settings = &u->manager->settings;
        uint64_t n = 0, n_done = 0;
        int r;

        r = store_count_objects(u->manager->store, UPLOAD_KIND, sandbox, NULL, &n);
        if (r >= 0)
                r = store_count_objects(u->manager->store, UPLOAD_KIND, sandbox, state_names[UPLOAD_DONE], &n_done);
        if (r < 0)
                return r;
        if (n - n_done >= settings->uploads_max)
                return -E2BIG;
        r = object_id_random("upl", upload->id);
        if (r >= 0)
                r = name_part(upload);
        if (r < 0)
                return r;
        (void) snprintf(upload->sandbox, sizeof upload->sandbox, "%s", sandbox);
        upload->created_msec = upload->used_msec = now_msec();
        r = save(u, upload);
        if (r >= 0)
                uploads_plan(u);
        return r;
}

static int first_id(const Upload *upload, void *userdata) {
        (void) snprintf(userdata, 40, "%s", upload->id);
        return 0;
}

/* Of those that are told only to who missed the last answer. */
static void trim_done(Uploads *u, const char *sandbox) {
        ObjectQuery query = { .sandbox = sandbox, .tag = state_names[UPLOAD_DONE], .limit = 1 };
        char id[40] = "";
        uint64_t n;

        if (store_count_objects(u->manager->store, UPLOAD_KIND, sandbox, query.tag, &n) >= 0 && n > DONE_MAX &&
            foreach(u, query, first_id, id) >= 0 && *id)
                (void) upload_drop(u, id);
}

int upload_set_state(Uploads *u, Upload *upload, UploadState state) {
        int r;

        upload->state = state;
        upload->used_msec = now_msec();
        r = save(u, upload);
        if (r >= 0 && state == UPLOAD_DONE)
                trim_done(u, upload->sandbox);
        return r;
}

int upload_touch(Uploads *u, Upload *upload) {
        return upload_set_state(u, upload, upload->state);
}

int upload_drop(Uploads *u, const char *id) {
        return store_remove_object(u->manager->store, UPLOAD_KIND, id);
}

/* --- what nobody goes on with */

typedef struct Abandoned {
        Uploads *uploads;
        char id[40];
} Abandoned;

static void on_deleted(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_free_ Abandoned *a = userdata;
        Manager *m = a->uploads->manager;

        (void) reply;
        if (error)
                log_debug("Failed to delete what has come of upload %s, trying again: %s", a->id, error->message);
        else if (!m->stopping)
                (void) upload_drop(a->uploads, a->id);
        service_release(m->service);
}

void upload_abandon(Uploads *u, const Upload *upload) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        _cleanup_free_ Abandoned *a = NULL;
        Manager *m = u->manager;
        Sandbox *s = hashmap_get(m->sandboxes, upload->sandbox);
        UploadWriter *w = upload_writer_find(u, upload->id);

        if (w)
                w->cut(w);
        if (!s || upload->state == UPLOAD_DONE) {
                (void) upload_drop(u, upload->id);
                return;
        }
        a = new0(Abandoned, 1);
        if (!a || s->state != SANDBOX_RUNNING || s->leaving)
                return;
        *a = (Abandoned) { .uploads = u };
        memcpy(a->id, upload->id, sizeof a->id);
        if (fsd_files_message(m->fsd, s->id, "Delete", &message) < 0 ||
            sd_bus_message_append(message, "s", upload->part) < 0 ||
            fsd_send(m->fsd, message, PEER_REPEATABLE, on_deleted, a) < 0)
                return;
        service_hold(m->service);
        TAKE_PTR(a);
}

typedef struct Due {
        Uploads *uploads;
        Upload *list;
        size_t n, n_max;
        uint64_t now_msec, next_msec;
} Due;

/* One that somebody is at gets more time; in one that sleeps nothing can be deleted, and nobody is to be woken for that. */
static uint64_t end_of(const Due *d, const Upload *upload) {
        const Sandbox *s = hashmap_get(d->uploads->manager->sandboxes, upload->sandbox);
        uint64_t end = upload->used_msec + age_msec(d->uploads);

        if (end > d->now_msec)
                return end;
        if (upload_writer_find(d->uploads, upload->id))
                return d->now_msec + AGAIN_MSEC;
        return s && s->state != SANDBOX_RUNNING ? d->now_msec + ASLEEP_MSEC : end;
}

static int note_due(const Upload *upload, void *userdata) {
        Due *d = userdata;
        uint64_t end = end_of(d, upload);

        if (end > d->now_msec || d->n == d->n_max) {
                d->next_msec = MIN(d->next_msec, MAX(end, d->now_msec));
                return 0;
        }
        d->list[d->n] = *upload;
        d->list[d->n].path = NULL;
        d->list[d->n].part = strdup(upload->part);
        if (!d->list[d->n].part)
                return -ENOMEM;
        d->n++;
        return 0;
}

#define DUE_AT_ONCE 64U

/* Rows cannot be changed while they are walked. */
static uint64_t end_due(Uploads *u) {
        Upload list[DUE_AT_ONCE] = {};
        Due due = { .uploads = u, .list = list, .n_max = DUE_AT_ONCE, .now_msec = now_msec(), .next_msec = UINT64_MAX };

        if (foreach(u, (ObjectQuery) {}, note_due, &due) < 0)
                due.next_msec = MIN(due.next_msec, due.now_msec + AGAIN_MSEC);
        for (size_t i = 0; i < due.n; i++) {
                upload_abandon(u, list + i);
                upload_done(list + i);
        }
        /* Each is looked for again: it is gone by then, or could not be deleted. */
        if (due.n > 0)
                due.next_msec = MIN(due.next_msec, due.now_msec + AGAIN_MSEC);
        return due.next_msec == UINT64_MAX ? USEC_INFINITY : (due.next_msec - due.now_msec) * USEC_PER_MSEC;
}

static void arm(Uploads *u, uint64_t usec) {
        uint64_t at = usec == USEC_INFINITY ? USEC_INFINITY : now_usec(CLOCK_BOOTTIME) + usec;

        waker_set(u->manager->waker, WAKE_UPLOADS, at);
        if (at != USEC_INFINITY)
                (void) sd_event_source_set_time(u->timer, at);
        (void) sd_event_source_set_enabled(u->timer, at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata) {
        Uploads *u = userdata;

        (void) source;
        (void) usec;
        if (!u->manager->stopping)
                arm(u, end_due(u));
        return 0;
}

void uploads_plan(Uploads *u) {
        (void) sd_event_source_set_time(u->timer, now_usec(CLOCK_BOOTTIME));
        (void) sd_event_source_set_enabled(u->timer, SD_EVENT_ONESHOT);
}

int uploads_new(Manager *m, Uploads **ret) {
        Uploads *u = new0(Uploads, 1);
        uint64_t n;
        int r;

        if (!u)
                return -ENOMEM;
        u->manager = m;
        r = sd_event_add_time(m->event, &u->timer, CLOCK_BOOTTIME, USEC_INFINITY, USEC_PER_SEC, on_due, u);
        if (r >= 0)
                r = sd_event_source_set_enabled(u->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = store_count_objects(m->store, UPLOAD_KIND, NULL, NULL, &n);
        if (r < 0) {
                uploads_free(u);
                return r;
        }
        if (n > 0)
                uploads_plan(u);
        *ret = u;
        return 0;
}

Uploads *uploads_free(Uploads *u) {
        if (u) {
                sd_event_source_disable_unref(u->timer);
                free(u);
        }
        return NULL;
}

void uploads_forget_sandbox(Uploads *u, const Sandbox *s) {
        uint64_t n;

        if (store_count_objects(u->manager->store, UPLOAD_KIND, s->public_id, NULL, &n) >= 0 && n > 0)
                (void) store_remove_objects_of(u->manager->store, UPLOAD_KIND, s->public_id);
}

/* --- who is at one */

void upload_writer_link(Uploads *u, UploadWriter *w) {
        w->uploads = u;
        w->next = u->writers;
        u->writers = w;
}

void upload_writer_unlink(UploadWriter *w) {
        UploadWriter **p;

        if (!w->uploads)
                return;
        for (p = &w->uploads->writers; *p != w; p = &(*p)->next)
                ;
        *p = w->next;
        w->uploads = NULL;
}

UploadWriter *upload_writer_find(Uploads *u, const char *id) {
        UploadWriter *w = u->writers;

        while (w && !streq(w->id, id))
                w = w->next;
        return w;
}
