/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/idempotency.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "libsandbox/hashmap.h"
#include "libsandbox/string-util.h"

/* Keys are stored as digests: they may be long, and none of our business. */

#define DIGEST_SIZE 65U /* of SHA-256 as text */
#define TRIM_INTERVAL 64U
#define EXPIRED_AT_ONCE 100U

/* The uses that are under way, by id: a second request with the same key while the first is not answered is told so,
 * which no row in the database could do. */
struct Idempotency {
        Store *store;
        Hashmap *uses;
        unsigned n_written;
};

/* Held by the request and by whatever goes on behind it. When the last one lets go without an outcome the key is free
 * again: the request failed, and repeating it is what keys are for. */
struct IdempotencyUse {
        unsigned n_ref;
        Idempotency *owner;
        char id[sizeof(IDEMPOTENCY_KIND) + DIGEST_SIZE];
        char body[DIGEST_SIZE], object[40];
        uint64_t time_msec;
        bool written, finished;
};

int idempotency_new(Store *store, Idempotency **ret) {
        _cleanup_(idempotency_freep) Idempotency *i = new0(Idempotency, 1);

        if (!i)
                return -ENOMEM;
        i->store = store;
        i->uses = hashmap_new();
        if (!i->uses)
                return -ENOMEM;
        *ret = TAKE_PTR(i);
        return 0;
}

Idempotency *idempotency_free(Idempotency *i) {
        if (i) {
                IdempotencyUse *u;

                /* Whoever still holds one lets it go later. */
                HASHMAP_FOREACH(u, i->uses)
                        u->owner = NULL;
                hashmap_free(i->uses);
                free(i);
        }
        return NULL;
}

bool idempotency_key_is_valid(const char *key) {
        size_t n = 0;

        while (key[n] > 0x20 && key[n] < 0x7f)
                n++;
        return n > 0 && n <= IDEMPOTENCY_KEY_MAX && key[n] == 0;
}

static int digest(const char *text, char ret[DIGEST_SIZE]) {
        unsigned char bytes[EVP_MAX_MD_SIZE];
        unsigned n = 0;

        if (EVP_Digest(text, strlen(text), bytes, &n, EVP_sha256(), NULL) != 1 || 2 * n + 1 != DIGEST_SIZE)
                return -EIO;
        for (unsigned i = 0; i < n; i++)
                (void) snprintf(ret + (size_t) 2 * i, 3, "%02x", bytes[i]);
        return 0;
}

void idempotency_found_done(IdempotencyFound *f) {
        free(f->body);
        *f = (IdempotencyFound) {};
}

typedef struct Lookup {
        IdempotencyFound *found;
        const char *body;
        bool present, other;
        uint64_t time_msec;
} Lookup;

static int read_row(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *record = json_loads(row->record, 0, NULL);
        Lookup *l = userdata;
        const char *body = json_string_value(json_object_get(record, "reply"));

        l->present = true;
        l->time_msec = row->time_msec;
        l->other = !streq_ptr(json_string_value(json_object_get(record, "body")), l->body);
        (void) snprintf(l->found->object, sizeof l->found->object, "%s",
                        json_string_value(json_object_get(record, "object")) ?: "");
        if (!body)
                return 0;
        l->found->status = (unsigned) json_integer_value(json_object_get(record, "status"));
        l->found->body = strdup(body);
        return l->found->body ? 0 : -ENOMEM;
}

/* A key with another body is a mistake of the client's, and answering it with the reply to the first body would hide
 * it. */
static int look_up(Idempotency *i, const char *id, const char *body, uint64_t now_msec, IdempotencyFound *found) {
        Lookup l = { .found = found, .body = body };
        int r;

        r = store_foreach_object(i->store, &(ObjectQuery) { .kind = IDEMPOTENCY_KIND, .id = id }, read_row, &l);
        if (r < 0)
                return r;
        if (l.present && l.time_msec + IDEMPOTENCY_AGE_MSEC < now_msec) {
                idempotency_found_done(found);
                return store_remove_object(i->store, IDEMPOTENCY_KIND, id);
        }
        if (l.present && l.other) {
                idempotency_found_done(found);
                return -EKEYREJECTED;
        }
        return l.present;
}

int idempotency_begin(Idempotency *i, const char *scope, const char *body, uint64_t now_msec, IdempotencyFound *ret,
                      IdempotencyUse **ret_use) {
        _cleanup_(idempotency_found_done) IdempotencyFound found = {};
        IdempotencyUse *u = new0(IdempotencyUse, 1), *other;
        char text[DIGEST_SIZE] = "";
        int r;

        if (!u)
                return -ENOMEM;
        *u = (IdempotencyUse) { .n_ref = 1, .time_msec = now_msec };
        r = digest(scope, text);
        if (r >= 0)
                r = digest(body, u->body);
        (void) snprintf(u->id, sizeof u->id, IDEMPOTENCY_KIND "_%s", text);
        if (r >= 0 && (other = hashmap_get(i->uses, u->id)))
                r = streq(other->body, u->body) ? -EBUSY : -EKEYREJECTED;
        if (r >= 0)
                r = look_up(i, u->id, u->body, now_msec, &found);
        if (r >= 0 && found.status == 0) {
                u->written = r > 0;
                memcpy(u->object, found.object, sizeof u->object);
                r = hashmap_put(i->uses, u->id, u);
        }
        if (r >= 0 && found.status == 0) {
                u->owner = i;
                *ret_use = u;
        } else
                free(u);
        if (r < 0)
                return r;
        *ret = found;
        found = (IdempotencyFound) {};
        return 0;
}

IdempotencyUse *idempotency_use_ref(IdempotencyUse *u) {
        if (u)
                u->n_ref++;
        return u;
}

IdempotencyUse *idempotency_use_unref(IdempotencyUse *u) {
        if (u && --u->n_ref == 0) {
                if (u->owner) {
                        (void) hashmap_remove(u->owner->uses, u->id);
                        if (u->written && !u->finished && !u->object[0])
                                (void) store_remove_object(u->owner->store, IDEMPOTENCY_KIND, u->id);
                }
                free(u);
        }
        return NULL;
}

typedef struct Expired {
        char ids[EXPIRED_AT_ONCE][sizeof(((IdempotencyUse *) NULL)->id)];
        size_t n;
} Expired;

static int note_expired(const StoredObject *row, void *userdata) {
        Expired *e = userdata;

        (void) snprintf(e->ids[e->n++], sizeof e->ids[0], "%s", row->id);
        return 0;
}

/* Now and then, a bounded number at a time: by number, so that no client can fill the disk, and by age. */
static void trim(Idempotency *i, uint64_t now_msec) {
        Expired expired = {};

        if (++i->n_written % TRIM_INTERVAL != 0)
                return;
        (void) store_trim_objects(i->store, IDEMPOTENCY_KIND, IDEMPOTENCY_ROWS_MAX);
        if (store_foreach_object(i->store, &(ObjectQuery) { .kind = IDEMPOTENCY_KIND, .limit = EXPIRED_AT_ONCE,
                                 .until_msec = now_msec - MIN(now_msec, IDEMPOTENCY_AGE_MSEC) }, note_expired,
                                 &expired) < 0)
                return;
        for (size_t k = 0; k < expired.n; k++)
                (void) store_remove_object(i->store, IDEMPOTENCY_KIND, expired.ids[k]);
}

static int write_row(IdempotencyUse *u, unsigned status, const char *body, size_t n) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        record = json_pack("{s:s, s:s}", "body", u->body, "object", u->object);
        if (record && body && (json_object_set_new(record, "reply", json_stringn(body, n)) < 0 ||
                               json_object_set_new(record, "status", json_integer(status)) < 0))
                return -EINVAL;
        text = record ? json_dumps(record, JSON_COMPACT) : NULL;
        if (!text)
                return -ENOMEM;
        r = store_put_object(u->owner->store, &(StoredObject) { .kind = IDEMPOTENCY_KIND, .id = u->id,
                             .time_msec = u->time_msec, .record = text });
        if (r >= 0) {
                u->written = true;
                trim(u->owner, u->time_msec);
        }
        return r;
}

/* Written together with the object, before the reply exists: who repeats the request after a crash gets that object. */
int idempotency_note_object(IdempotencyUse *u, const char *object) {
        if (!u || !u->owner)
                return 0;
        (void) snprintf(u->object, sizeof u->object, "%s", object);
        return write_row(u, 0, NULL, 0);
}

int idempotency_forget_object(IdempotencyUse *u) {
        if (!u->owner)
                return 0;
        u->object[0] = 0;
        return u->written ? write_row(u, 0, NULL, 0) : 0;
}

int idempotency_note_reply(IdempotencyUse *u, unsigned status, const char *body, size_t n) {
        int r;

        if (!u->owner || n > IDEMPOTENCY_REPLY_MAX)
                return 0;
        r = write_row(u, status, body, n);
        u->finished = r >= 0;
        return r;
}
