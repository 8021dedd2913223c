/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/membership.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "libsandbox/string-util.h"

/* A row a worker. Ids of objects are unique over all kinds and a worker's name is anybody's choice, hence the prefix. The
 * time of the row is the heartbeat: it can be told from outside how old it is. */

static int row_id(const char *id, char **ret) {
        return asprintf(ret, MEMBER_KIND ":%s", id) < 0 ? -ENOMEM : 0;
}

static int put_row(void *backend, const Member *m) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_free_ char *id = NULL, *record = NULL;
        int r;

        r = row_id(m->id, &id);
        if (r < 0)
                return r;
        object = json_pack("{s:s, s:s, s:I, s:I, s:f}", "workerId", m->id, "hostname", m->hostname, "activeSandboxes",
                           (json_int_t) m->active, "maxSandboxes", (json_int_t) m->max, "cpuPercent", m->cpu_percent);
        record = object ? json_dumps(object, JSON_COMPACT) : NULL;
        if (!record)
                return -ENOMEM;
        return store_put_object(backend, &(StoredObject) { .kind = MEMBER_KIND, .id = id,
                                                           .time_msec = m->heartbeat_msec, .record = record });
}

static int remove_row(void *backend, const char *id) {
        _cleanup_free_ char *row = NULL;
        int r;

        r = row_id(id, &row);
        return r < 0 ? r : store_remove_object(backend, MEMBER_KIND, row);
}

typedef struct Walk {
        MemberHandler handler;
        void *userdata;
} Walk;

static int on_row(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *object = json_loads(row->record, 0, NULL);
        Member m = { .heartbeat_msec = row->time_msec };
        json_int_t active = 0, max = 0;
        const Walk *walk = userdata;

        if (json_unpack(object, "{s:s, s:s, s:I, s:I, s:F}", "workerId", &m.id, "hostname", &m.hostname,
                        "activeSandboxes", &active, "maxSandboxes", &max, "cpuPercent", &m.cpu_percent) < 0 ||
            active < 0 || max < 0)
                return -EBADMSG;
        m.active = (uint64_t) active;
        m.max = (uint64_t) max;
        return walk->handler(&m, walk->userdata);
}

static int foreach_row(void *backend, MemberHandler handler, void *userdata) {
        Walk walk = { handler, userdata };

        return store_foreach_object(backend, &(ObjectQuery) { .kind = MEMBER_KIND }, on_row, &walk);
}

static void free_nothing(void *backend) {
        (void) backend; /* the store is the manager's */
}

Membership membership_in_store(Store *s) {
        static const MembershipOps ops = { .put = put_row, .remove = remove_row, .foreach = foreach_row,
                                           .free = free_nothing };

        return (Membership) { .ops = &ops, .backend = s };
}
