/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/rate.h"

#include <errno.h>
#include <math.h>
#include <sys/random.h>

#define N_BUCKETS 1024U
#define N_WAYS 4U
/* What is told to who will never get one. */
#define WAIT_MAX_SEC 3600.0

typedef struct Bucket {
        uint64_t key; /* hash; 0: unused */
        uint64_t used_usec;
        double level;
} Bucket;

struct RateTable {
        double per_second, burst;
        uint64_t seed;
        Bucket buckets[N_BUCKETS];
};

int rate_table_new(double per_second, double burst, RateTable **ret) {
        RateTable *t;

        t = new0(RateTable, 1);
        if (!t)
                return -ENOMEM;
        t->per_second = per_second;
        t->burst = burst;
        /* So that nobody can choose colliding keys. */
        if (getrandom(&t->seed, sizeof t->seed, GRND_NONBLOCK) < 0)
                t->seed = (uintptr_t) t;
        *ret = t;
        return 0;
}

RateTable *rate_table_free(RateTable *t) {
        free(t);
        return NULL;
}

/* Two keys with one hash share a bucket; the keys themselves, which may be tokens, are not kept. */
static uint64_t hash_key(const RateTable *t, const char *key) {
        uint64_t h = t->seed ^ UINT64_C(0xcbf29ce484222325);

        for (; *key; key++) {
                h ^= (unsigned char) *key;
                h *= UINT64_C(0x100000001b3);
                h ^= h >> 32;
        }
        return h ? h : 1;
}

static Bucket *find_bucket(RateTable *t, uint64_t key, uint64_t now_usec) {
        Bucket *set = t->buckets + key % (N_BUCKETS / N_WAYS) * N_WAYS, *oldest = set;

        for (size_t i = 0; i < N_WAYS; i++) {
                if (set[i].key == key)
                        return set + i;
                if (set[i].used_usec < oldest->used_usec)
                        oldest = set + i;
        }
        *oldest = (Bucket) { .key = key, .used_usec = now_usec, .level = t->burst };
        return oldest;
}

unsigned rate_table_wait_sec(RateTable *t, const char *key, uint64_t now_usec) {
        double missing = 1 - find_bucket(t, hash_key(t, key), now_usec)->level, sec = WAIT_MAX_SEC;

        if (t->per_second > 0)
                sec = MIN(missing / t->per_second, sec);
        return sec > 1 ? (unsigned) ceil(sec) : 1;
}

bool rate_table_take(RateTable *t, const char *key, uint64_t now_usec) {
        Bucket *b;
        double level;

        assert(t);
        assert(key);

        b = find_bucket(t, hash_key(t, key), now_usec);
        level = b->level + (double) (now_usec - b->used_usec) / (double) USEC_PER_SEC * t->per_second;
        b->level = MIN(level, t->burst);
        b->used_usec = now_usec;
        if (b->level < 1)
                return false;
        b->level -= 1;
        return true;
}
