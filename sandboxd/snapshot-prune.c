/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/snapshot-prune.h"

#include <errno.h>
#include <inttypes.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/sandbox-event.h"
#include "sandboxd/snapshot.h"

/* What nobody needs any more is never here to be pruned: fsd deletes a copy with the last sandbox that stands on it, and
 * the layers of images to which nothing leads. So what is left to choose from are snapshots that somebody made and has
 * not deleted, oldest first. */

#define PRUNE_INTERVAL_USEC (3600 * USEC_PER_SEC)

typedef struct Candidate {
        char *id, *sandbox;
        uint64_t bytes, created_msec;
        bool kept, used;
} Candidate;

typedef struct Candidates {
        Candidate *items; /* oldest first */
        size_t n, n_allocated;
} Candidates;

static void candidates_done(Candidates *c) {
        for (size_t i = 0; i < c->n; i++) {
                free(c->items[i].id);
                free(c->items[i].sandbox);
        }
        free(c->items);
}

void snapshot_usage_done(SnapshotUsage *u) {
        free(u->files);
        *u = (SnapshotUsage) {};
}

int snapshot_usage_read(sd_bus_message *reply, SnapshotUsage *ret) {
        _cleanup_(snapshot_usage_done) SnapshotUsage u = {};
        const char *id;
        uint64_t bytes;
        int used, r;

        r = sd_bus_message_enter_container(reply, 'a', "(stb)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(stb)", &id, &bytes, &used)) > 0) {
                SnapshotFiles *files = reallocarray(u.files, u.n + 1, sizeof *files);

                if (!files)
                        return -ENOMEM;
                u.files = files;
                files[u.n] = (SnapshotFiles) { .bytes = bytes, .used = used };
                (void) snprintf(files[u.n].id, sizeof files[u.n].id, "%s", id);
                u.bytes += bytes;
                u.n++;
        }
        if (r < 0)
                return r;
        *ret = u;
        u = (SnapshotUsage) {};
        return 0;
}

static int add_candidate(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *record = json_loads(row->record, 0, NULL);
        const char *sandbox = json_string_value(json_object_get(record, "sandboxId"));
        Candidates *c = userdata;

        if (c->n == c->n_allocated) {
                Candidate *items = reallocarray(c->items, 2 * c->n + 16, sizeof *items);

                if (!items)
                        return -ENOMEM;
                c->items = items;
                c->n_allocated = 2 * c->n + 16;
        }
        c->items[c->n] = (Candidate) {
                .id = strdup(row->id), .sandbox = strdup(sandbox ?: ""), .created_msec = row->time_msec,
                .bytes = (uint64_t) json_integer_value(json_object_get(record, "size")),
        };
        c->n++; /* also a half-built one: it is freed with the others */
        return c->items[c->n - 1].id && c->items[c->n - 1].sandbox ? 0 : -ENOMEM;
}

static bool is_among_newest(const Candidates *c, size_t at, uint32_t n) {
        for (size_t i = at + 1; i < c->n && n > 0; i++)
                n -= streq(c->items[i].sandbox, c->items[at].sandbox);
        return n > 0;
}

static int candidates_get(Manager *m, Candidates *ret) {
        int r;

        r = store_foreach_object(m->store, &(ObjectQuery) { .kind = SNAPSHOT_KIND }, add_candidate, ret);
        for (size_t i = 0; r >= 0 && i < ret->n; i++)
                ret->items[i].kept = hashmap_get(m->sandboxes, ret->items[i].sandbox) &&
                                     is_among_newest(ret, i, m->settings.snapshots_keep);
        return r;
}

static void note_used(Candidates *c, const SnapshotUsage *u) {
        for (size_t i = 0; i < c->n; i++)
                for (size_t k = 0; k < u->n; k++)
                        if (streq(c->items[i].id, u->files[k].id)) {
                                c->items[i].used = u->files[k].used;
                                c->items[i].bytes = u->files[k].bytes;
                        }
}

static void prune(Manager *m, const Candidate *c, const char *reason) {
        int r = snapshot_remove(m, c->id);

        if (r < 0) {
                log_warning_errno(r, "Failed to delete snapshot %s, ignoring: %m", c->id);
                return;
        }
        log_info("Deleted snapshot %s of %s (%" PRIu64 " bytes), for the %s.", c->id, c->sandbox, c->bytes, reason);
        event_publish(m, EVENT_PRUNED, c->sandbox,
                      json_pack("{s:s, s:s, s:s, s:I, s:I}", "snapshotId", c->id, "sandboxId", c->sandbox, "reason",
                                reason, "size", (json_int_t) c->bytes, "createdAt", (json_int_t) c->created_msec));
}

static bool frees(const Candidate *c) {
        return !c->kept && !c->used;
}

int snapshot_room(Manager *m, const SnapshotUsage *u, uint64_t *ret_bytes) {
        _cleanup_(candidates_done) Candidates c = {};
        uint64_t budget = m->settings.snapshot_budget, room = budget > u->bytes ? budget - u->bytes : 0;
        int r;

        if (m->settings.snapshots_prune) {
                r = candidates_get(m, &c);
                if (r < 0)
                        return r;
                note_used(&c, u);
                for (size_t i = 0; i < c.n; i++)
                        room += frees(c.items + i) ? c.items[i].bytes : 0;
        }
        *ret_bytes = MIN(room, budget);
        return 0;
}

int snapshot_make_room(Manager *m, const SnapshotUsage *u, uint64_t bytes) {
        _cleanup_(candidates_done) Candidates c = {};
        uint64_t budget = m->settings.snapshot_budget, used = u->bytes, room;
        int r;

        if (used + bytes <= budget)
                return 0;
        r = snapshot_room(m, u, &room);
        if (r >= 0)
                r = bytes > room ? -ENOSPC : candidates_get(m, &c);
        if (r < 0)
                return r;
        note_used(&c, u);
        for (size_t i = 0; i < c.n && used + bytes > budget; i++)
                if (frees(c.items + i)) {
                        prune(m, c.items + i, "budget");
                        used -= c.items[i].bytes;
                }
        return 0;
}

int snapshot_make_place(Manager *m) {
        _cleanup_(candidates_done) Candidates c = {};
        size_t n;
        int r;

        r = candidates_get(m, &c);
        if (r < 0)
                return r;
        n = c.n;
        if (m->settings.snapshots_prune)
                for (size_t i = 0; i < c.n && n >= m->settings.snapshots_max; i++)
                        if (!c.items[i].kept) {
                                prune(m, c.items + i, "number");
                                n--;
                        }
        return n < m->settings.snapshots_max ? 0 : -EBUSY;
}

uint64_t snapshot_prune_old(Manager *m) {
        uint64_t age_msec = (uint64_t) m->settings.snapshots_age_sec * 1000, now = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
        _cleanup_(candidates_done) Candidates c = {};
        uint64_t next_msec = UINT64_MAX / USEC_PER_MSEC;
        int r;

        if (age_msec == 0)
                return UINT64_MAX;
        r = candidates_get(m, &c);
        if (r < 0) {
                log_warning_errno(r, "Failed to look for old snapshots, ignoring: %m");
                return UINT64_MAX;
        }
        for (size_t i = 0; i < c.n; i++)
                if (c.items[i].kept)
                        continue;
                else if (c.items[i].created_msec + age_msec < now)
                        prune(m, c.items + i, "age");
                else
                        next_msec = MIN(next_msec, c.items[i].created_msec + age_msec + 1 - now);
        return next_msec * USEC_PER_MSEC;
}

/* Now and then in any case: the clock may be set, the settings may change, and a sandbox that ends keeps nothing. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        uint64_t next_usec = snapshot_prune_old(userdata);

        (void) usec;
        (void) sd_event_source_set_time_relative(source, MIN(next_usec, PRUNE_INTERVAL_USEC));
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int snapshot_prune_begin(Manager *m) {
        if (m->prune_timer)
                return 0;
        return sd_event_add_time_relative(m->event, &m->prune_timer, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_timer, m);
}
