/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxd/volume-internal.h"

/* A volume as JSON and as a row: the record is what clients see, the tag is its state. */

static const char *const states[_VOLUME_STATE_MAX] = {
        [VOLUME_DETACHED] = "",
        [VOLUME_ATTACHING] = "attaching",
        [VOLUME_ATTACHED] = "attached",
        [VOLUME_DETACHING] = "detaching",
        [VOLUME_REMOVING] = "removing",
};

const char *volume_state_to_string(VolumeState state) {
        return states[state];
}

static VolumeState state_from_string(const char *s) {
        for (VolumeState i = 0; i < _VOLUME_STATE_MAX; i++)
                if (streq(states[i], s))
                        return i;
        return _VOLUME_STATE_INVALID;
}

void volume_done(Volume *v) {
        v->name = mfree(v->name);
        v->sandbox = mfree(v->sandbox);
        v->path = mfree(v->path);
}

/* Normal paths only: what is compared with another volume's path is the text. */
bool volume_path_is_valid(const char *path) {
        static const char *const refused[] = { "/dev", "/proc", "/sys" };
        size_t n = strlen(path);

        if (path[0] != '/' || n < 2 || n >= VOLUME_PATH_MAX || path[n - 1] == '/')
                return false;
        for (const char *p = path; p; p = strchr(p + 1, '/')) {
                size_t length = strcspn(p + 1, "/");

                if (length == 0 || length > NAME_MAX || (p[1] == '.' && (length == 1 || (length == 2 && p[2] == '.'))))
                        return false;
        }
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                const char *rest = startswith(path, refused[i]);

                if (rest && (*rest == 0 || *rest == '/'))
                        return false;
        }
        return true;
}

json_t *volume_to_json(const Volume *v) {
        _cleanup_free_ char *docker = NULL;
        json_t *object;

        if (asprintf(&docker, "iii-vol-%s", v->id) < 0)
                return NULL;
        object = json_pack("{s:s, s:s, s:s, s:I}", "id", v->id, "name", v->name, "dockerVolumeName", docker,
                           "createdAt", (json_int_t) v->created_msec);
        if (v->sandbox) {
                (void) json_object_set_new(object, "sandboxId", json_string(v->sandbox));
                (void) json_object_set_new(object, "mountPath", json_string(v->path));
                (void) json_object_set_new(object, "readOnly", json_boolean(v->read_only));
        }
        if (v->bytes > 0)
                (void) json_object_set_new(object, "size", json_integer((json_int_t) v->bytes));
        return object;
}

static int copy_member(const json_t *object, const char *key, char **ret) {
        const char *s = json_string_value(json_object_get(object, key));

        return s ? free_and_strdup(ret, s) : 0;
}

int volume_from_row(const StoredObject *row, Volume *ret) {
        _cleanup_(json_decrefp) json_t *object = json_loads(row->record, 0, NULL);
        _cleanup_(volume_done) Volume v = { .state = state_from_string(row->tag), .created_msec = row->time_msec };
        int r;

        if (!object || v.state < 0 || !object_id_is_valid(row->id, "vol"))
                return -EBADMSG;
        memcpy(v.id, row->id, strlen(row->id) + 1);
        v.read_only = json_is_true(json_object_get(object, "readOnly"));
        v.bytes = (uint64_t) json_integer_value(json_object_get(object, "size"));
        r = copy_member(object, "name", &v.name);
        if (r >= 0)
                r = copy_member(object, "sandboxId", &v.sandbox);
        if (r >= 0)
                r = copy_member(object, "mountPath", &v.path);
        if (r < 0)
                return r;
        if (!v.name || !v.sandbox != !v.path)
                return -EBADMSG;
        *ret = v;
        v = (Volume) {};
        return 0;
}

int volume_put(Store *store, const Volume *v) {
        _cleanup_(json_decrefp) json_t *object = volume_to_json(v);
        _cleanup_free_ char *record = object ? json_dumps(object, JSON_COMPACT) : NULL;

        if (!record)
                return -ENOMEM;
        return store_put_object(store, &(StoredObject) {
                        .kind = VOLUME_KIND, .id = v->id, .sandbox = v->sandbox ?: "",
                        .tag = volume_state_to_string(v->state), .time_msec = v->created_msec, .record = record });
}
