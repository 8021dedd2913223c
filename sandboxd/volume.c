/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/volume.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/volume-internal.h"

/* What is to be done is written down, done, and written down as done; each step may be done twice. So a start that finds
 * a volume in between does the step again, and only has to know which: the tag says so.
 *
 * One thing is done with a volume at a time; who comes meanwhile is told so. What a service did not answer may have been
 * done: such a volume counts as attached, and detaching it is right in either case. */

/* Of the bytes; each inode of a tmpfs takes memory, too. */
#define BYTES_PER_INODE (16 * KiB)
#define INODES_MIN 1024U

struct Volumes {
        Manager *manager;
        Hashmap *operations;    /* under way, by the volume's id */
        bool any_attached;      /* since the start, at least: the way of a deletion is short where none is */
};

typedef enum Work {
        WORK_ATTACH,
        WORK_DETACH,
        WORK_REMOVE,
        WORK_USAGE,
} Work;

typedef struct Operation {
        Volumes *volumes;
        Work work;
        Volume volume;
        Sandbox *sandbox;       /* (ATTACH, DETACH) */
        bool asked;             /* execd, or somebody before us: it may be done, whatever is answered */
        PeerCallback callback;  /* NULL: of a start */
        void *userdata;
} Operation;

static Operation *operation_free(Operation *o) {
        if (o) {
                if (hashmap_get(o->volumes->operations, o->volume.id) == o)
                        (void) hashmap_remove(o->volumes->operations, o->volume.id);
                sandbox_unref(o->sandbox);
                volume_done(&o->volume);
                free(o);
        }
        return NULL;
}
DEFINE_CLEANUP(Operation *, operation_free)

static int take_row(const StoredObject *row, void *userdata) {
        Volume *v = userdata;

        volume_done(v);
        return volume_from_row(row, v);
}

int volume_get(Volumes *vs, const char *id, Volume *ret, sd_bus_error *error) {
        Volume v = {};
        int r = 0;

        if (object_id_is_valid(id, "vol"))
                r = store_foreach_object(vs->manager->store,
                                         &(ObjectQuery) { .kind = VOLUME_KIND, .id = id, .limit = 1 }, take_row, &v);
        if (r < 0)
                return r;
        if (!v.name)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Volume not found: %s", id);
        *ret = v;
        return 0;
}

static void detached(Volume *v) {
        v->state = VOLUME_DETACHED;
        v->sandbox = mfree(v->sandbox);
        v->path = mfree(v->path);
        v->read_only = false;
}

static int publish(Manager *m, const char *topic, const Volume *v, const char *sandbox) {
        event_publish(m, topic, sandbox, volume_to_json(v));
        return 0;
}

/* What a deletion of the sandbox has written meanwhile stays. */
static int save(Operation *o) {
        Volume *v = &o->volume;

        if (v->sandbox && o->sandbox && o->sandbox->leaving)
                detached(v);
        return volume_put(o->volumes->manager->store, v);
}

static bool may_have_happened(const Operation *o, const sd_bus_error *error) {
        return o->asked && (sd_bus_error_has_name(error, BUS_ERROR_UNAVAILABLE) ||
                            sd_bus_error_has_name(error, BUS_ERROR_INTERRUPTED) ||
                            sd_bus_error_has_name(error, BUS_ERROR_TIMED_OUT));
}

static int settle_attach(Operation *o, const sd_bus_error *error) {
        if (!error)
                o->volume.state = VOLUME_ATTACHED;
        else if (!may_have_happened(o, error))
                detached(&o->volume);
        return save(o);
}

/* A sandbox that is gone has taken its mounts along. */
static int settle_detach(Operation *o, const sd_bus_error *error) {
        if (!error || sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_SANDBOX))
                detached(&o->volume);
        else
                o->volume.state = may_have_happened(o, error) ? VOLUME_ATTACHING : VOLUME_ATTACHED;
        return save(o);
}

static int settle_remove(Operation *o, const sd_bus_error *error) {
        Store *store = o->volumes->manager->store;

        if (!error)
                return store_remove_object(store, VOLUME_KIND, o->volume.id);
        if (may_have_happened(o, error))
                return 0; /* the next start tries again, or whoever asks once more */
        detached(&o->volume);
        return volume_put(store, &o->volume);
}

static int settle(Operation *o, const sd_bus_error *error) {
        switch (o->work) {
        case WORK_ATTACH:
                return settle_attach(o, error);
        case WORK_DETACH:
                return settle_detach(o, error);
        case WORK_REMOVE:
                return settle_remove(o, error);
        default:
                return 0;
        }
}

static void tell(const Operation *o) {
        static const char *const topics[] = { [WORK_ATTACH] = "volume.attached", [WORK_DETACH] = "volume.detached",
                                              [WORK_REMOVE] = "volume.deleted" };

        if (o->work != WORK_USAGE)
                (void) publish(o->volumes->manager, topics[o->work], &o->volume,
                               o->sandbox ? o->sandbox->public_id : NULL);
}

/* A manager that is being freed breaks all calls off: the row says what is under way, and that is right. */
static void finish(Operation *o, sd_bus_message *reply, const sd_bus_error *error) {
        Manager *m = o->volumes->manager;
        PeerCallback callback = o->callback;
        void *userdata = o->userdata;
        int r;

        if (o->work == WORK_DETACH && sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_SANDBOX)) {
                (void) settle(o, error);
                error = NULL;
        } else if (!m->stopping) {
                r = settle(o, error);
                if (r < 0)
                        log_warning_errno(r, "Failed to write down what became of volume %s: %m", o->volume.id);
        }
        if (!error && !m->stopping)
                tell(o);
        operation_free(o);
        manager_unattend(m);
        if (callback)
                callback(reply, error, userdata);
}

static void finish_errno(Operation *o, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r == -EHOSTDOWN)
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        else
                (void) sd_bus_error_set_errno(&error, r);
        finish(o, NULL, &error);
}

static void on_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        finish(userdata, reply, error);
}

static void on_released(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Operation *o = userdata;
        int r;

        if (!reply) {
                finish(o, NULL, error);
                return;
        }
        r = fsd_remove_volume(o->volumes->manager->fsd, o->volume.id, on_done, o);
        if (r < 0)
                finish_errno(o, r);
}

static int ask_execd(Operation *o, int fd) {
        ExecdClient *execd = o->volumes->manager->execd;
        const Volume *v = &o->volume;
        ExecdVolume volume = { .id = v->id, .directory_fd = fd, .sandbox = o->sandbox ? o->sandbox->id : NULL,
                               .path = v->path, .read_only = v->read_only, .bytes = v->bytes,
                               .inodes = v->bytes > 0 ? MAX(v->bytes / BYTES_PER_INODE, (uint64_t) INODES_MIN) : 0 };

        o->asked = true;
        switch (o->work) {
        case WORK_ATTACH:
                return execd_attach_volume(execd, &volume, on_done, o);
        case WORK_DETACH:
                return execd_detach_volume(execd, &volume, on_done, o);
        case WORK_REMOVE:
                return execd_ask_volume(execd, "ReleaseVolume", &volume, on_released, o);
        default:
                return execd_ask_volume(execd, "VolumeUsage", &volume, on_done, o);
        }
}

static void on_opened(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Operation *o = userdata;
        int fd, r;

        if (!reply) {
                finish(o, NULL, error);
                return;
        }
        r = sd_bus_message_read_basic(reply, 'h', &fd);
        if (r >= 0)
                r = ask_execd(o, fd);
        if (r < 0)
                finish_errno(o, r);
}

static int check_idle(Volumes *vs, const char *id, sd_bus_error *error) {
        if (hashmap_get(vs->operations, id))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Volume is busy: %s", id);
        return 0;
}

/* Nobody could be asked: it is as it was. */
static void take_back(Volumes *vs, Work work, VolumeState before, Volume *v) {
        if (work == WORK_USAGE)
                return;
        v->state = before;
        if (before == VOLUME_DETACHED)
                detached(v);
        (void) volume_put(vs->manager->store, v);
}

/* before: what the row says until now. Takes the volume over if it succeeds. */
static int begin(Volumes *vs, Work work, VolumeState before, Volume *v, Sandbox *s, PeerCallback callback,
                 void *userdata) {
        _cleanup_(operation_freep) Operation *o = new0(Operation, 1);
        Manager *m = vs->manager;
        int r = 0;

        if (!o)
                return -ENOMEM;
        *o = (Operation) { .volumes = vs, .work = work, .sandbox = s ? sandbox_ref(s) : NULL,
                           .asked = before == VOLUME_ATTACHING, .callback = callback, .userdata = userdata };
        memcpy(o->volume.id, v->id, sizeof o->volume.id);
        if (work != WORK_USAGE) {
                r = hashmap_put(vs->operations, o->volume.id, o);
                if (r >= 0)
                        r = volume_put(m->store, v);
        }
        if (r < 0)
                return r;
        r = fsd_open_volume(m->fsd, v->id, work == WORK_ATTACH ? v->bytes : 0, on_opened, o);
        if (r < 0) {
                take_back(vs, work, before, v);
                return r;
        }
        o->volume = *v;
        *v = (Volume) {};
        manager_attend(m);
        TAKE_PTR(o);
        return 1;
}

/* The live sandbox that has the volume; NULL: nobody has it. */
static Sandbox *holder(Volumes *vs, const Volume *v) {
        Sandbox *s = v->sandbox ? manager_find_sandbox(vs->manager, v->sandbox) : NULL;

        return s && sandbox_is_live(s) ? s : NULL;
}

typedef struct PathSearch {
        const char *path, *except;
        bool taken;
} PathSearch;

static int compare_path(const StoredObject *row, void *userdata) {
        _cleanup_(volume_done) Volume v = {};
        PathSearch *search = userdata;
        int r;

        r = volume_from_row(row, &v);
        if (r >= 0 && !streq(v.id, search->except))
                search->taken |= streq_ptr(v.path, search->path);
        return r;
}

static int check_path(Volumes *vs, const Volume *v, const Sandbox *s, const char *path, sd_bus_error *error) {
        PathSearch search = { .path = path, .except = v->id };
        int r;

        r = store_foreach_object(vs->manager->store, &(ObjectQuery) { .kind = VOLUME_KIND, .sandbox = s->public_id },
                                 compare_path, &search);
        if (r < 0)
                return r;
        return search.taken ? bus_error_set(error, BUS_ERROR_WRONG_STATE, "Another volume is mounted at %s", path) : 0;
}

static int get_idle(Volumes *vs, const char *id, Volume *ret, sd_bus_error *error) {
        int r;

        r = volume_get(vs, id, ret, error);
        return r < 0 ? r : check_idle(vs, id, error);
}

static bool is_attached_so(const Volume *v, const Sandbox *s, const VolumeAttachment *where) {
        return v->sandbox && streq(v->sandbox, s->public_id) && streq(v->path, where->path) &&
               v->read_only == where->read_only;
}

int volume_attach(Volumes *vs, const char *id, Sandbox *s, const VolumeAttachment *where, PeerCallback callback,
                  void *userdata, sd_bus_error *error) {
        _cleanup_(volume_done) Volume v = {};
        VolumeState before;
        int r;

        r = get_idle(vs, id, &v, error);
        if (r < 0)
                return r;
        before = v.state;
        if (v.state == VOLUME_REMOVING)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Volume is being deleted: %s", id);
        if (is_attached_so(&v, s, where)) {
                if (v.state == VOLUME_ATTACHED)
                        return 0;
        } else if (holder(vs, &v))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Volume is attached to sandbox %s at %s", v.sandbox,
                                     v.path);
        r = check_path(vs, &v, s, where->path, error);
        if (r >= 0)
                r = free_and_strdup(&v.sandbox, s->public_id);
        if (r >= 0)
                r = free_and_strdup(&v.path, where->path);
        if (r < 0)
                return r;
        v.read_only = where->read_only;
        v.state = VOLUME_ATTACHING;
        vs->any_attached = true;
        return begin(vs, WORK_ATTACH, before, &v, s, callback, userdata);
}

int volume_detach(Volumes *vs, const char *id, PeerCallback callback, void *userdata, sd_bus_error *error) {
        _cleanup_(volume_done) Volume v = {};
        VolumeState before;
        Sandbox *s;
        int r;

        r = get_idle(vs, id, &v, error);
        if (r < 0)
                return r;
        if (!v.sandbox)
                return 0;
        s = holder(vs, &v);
        if (!s) {
                detached(&v);
                return volume_put(vs->manager->store, &v);
        }
        before = v.state;
        v.state = VOLUME_DETACHING;
        return begin(vs, WORK_DETACH, before, &v, s, callback, userdata);
}

int volume_remove(Volumes *vs, const char *id, PeerCallback callback, void *userdata, sd_bus_error *error) {
        _cleanup_(volume_done) Volume v = {};
        int r;

        r = get_idle(vs, id, &v, error);
        if (r < 0)
                return r;
        if (holder(vs, &v))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Volume is attached to sandbox %s", v.sandbox);
        detached(&v);
        v.state = VOLUME_REMOVING;
        return begin(vs, WORK_REMOVE, VOLUME_DETACHED, &v, NULL, callback, userdata);
}

int volume_ask_usage(Volumes *vs, const char *id, PeerCallback callback, void *userdata, sd_bus_error *error) {
        _cleanup_(volume_done) Volume v = {};
        int r;

        r = volume_get(vs, id, &v, error);
        return r < 0 ? r : begin(vs, WORK_USAGE, v.state, &v, NULL, callback, userdata);
}

int volume_add(Volumes *vs, const char *name, uint64_t bytes, Volume *ret) {
        _cleanup_(volume_done) Volume v = { .bytes = bytes, .created_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC };
        Manager *m = vs->manager;
        uint64_t n;
        int r;

        r = store_count_objects(m->store, VOLUME_KIND, NULL, NULL, &n);
        if (r >= 0 && n >= m->settings.volumes_max)
                r = -E2BIG;
        if (r >= 0)
                r = object_id_random("vol", v.id);
        if (r >= 0)
                r = free_and_strdup(&v.name, name);
        if (r >= 0)
                r = volume_put(m->store, &v);
        if (r < 0)
                return r;
        (void) publish(m, "volume.created", &v, NULL);
        *ret = v;
        v = (Volume) {};
        return 0;
}

static int add_to_list(const StoredObject *row, void *userdata) {
        _cleanup_(volume_done) Volume v = {};
        int r;

        r = volume_from_row(row, &v);
        return r < 0 ? r : json_array_append_new(userdata, volume_to_json(&v)) < 0 ? -ENOMEM : 0;
}

int volume_list(Volumes *vs, json_t **ret) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        int r;

        r = store_foreach_object(vs->manager->store, &(ObjectQuery) { .kind = VOLUME_KIND }, add_to_list, list);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

static int add_id(const StoredObject *row, void *userdata) {
        return strv_extend(userdata, row->id);
}

/* Their ids first: rows must not be written while they are walked. */
static char **list_ids(Volumes *vs, const char *sandbox, const char *tag) {
        char **ids = NULL;
        int r;

        r = store_foreach_object(vs->manager->store,
                                 &(ObjectQuery) { .kind = VOLUME_KIND, .sandbox = sandbox, .tag = tag }, add_id, &ids);
        if (r < 0)
                log_warning_errno(r, "Failed to look through the volumes, ignoring: %m");
        return ids;
}

/* One that is being attached by somebody stays his: he finds that the sandbox is gone. */
void volumes_forget_sandbox(Volumes *vs, const Sandbox *s) {
        _cleanup_strv_free_ char **ids = NULL;

        if (!vs || !vs->any_attached)
                return;
        ids = list_ids(vs, s->public_id, NULL);
        STRV_FOREACH(id, ids) {
                _cleanup_(volume_done) Volume v = {};

                if (volume_get(vs, *id, &v, NULL) < 0)
                        continue;
                detached(&v);
                (void) publish(vs->manager, "volume.detached", &v, s->public_id);
                (void) volume_put(vs->manager->store, &v);
        }
}

static void resume(Volumes *vs, const char *id) {
        _cleanup_(volume_done) Volume v = {};
        Sandbox *s;
        int r = 0;

        if (get_idle(vs, id, &v, NULL) < 0)
                return;
        s = holder(vs, &v);
        if (v.state == VOLUME_REMOVING)
                r = begin(vs, WORK_REMOVE, v.state, &v, NULL, NULL, NULL);
        else if (!s) {
                detached(&v);
                r = volume_put(vs->manager->store, &v);
        } else if (v.state != VOLUME_ATTACHED)
                r = begin(vs, v.state == VOLUME_DETACHING ? WORK_DETACH : WORK_ATTACH, v.state, &v, s, NULL, NULL);
        if (r < 0)
                log_warning_errno(r, "Failed to go on with volume %s, ignoring: %m", id);
}

void volumes_start(Volumes *vs) {
        vs->any_attached = false;
        for (VolumeState state = VOLUME_DETACHED + 1; state < _VOLUME_STATE_MAX; state++) {
                _cleanup_strv_free_ char **ids = list_ids(vs, NULL, volume_state_to_string(state));

                vs->any_attached |= ids && state != VOLUME_REMOVING;
                STRV_FOREACH(id, ids)
                        resume(vs, *id);
        }
}

int volumes_new(Manager *m, Volumes **ret) {
        Volumes *vs = new0(Volumes, 1);

        if (!vs)
                return -ENOMEM;
        *vs = (Volumes) { .manager = m, .operations = hashmap_new(), .any_attached = true };
        if (!vs->operations) {
                free(vs);
                return -ENOMEM;
        }
        *ret = vs;
        return 0;
}

Volumes *volumes_free(Volumes *vs) {
        if (vs) {
                hashmap_free(vs->operations);
                free(vs);
        }
        return NULL;
}
