/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/hashmap.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* Entries stand in an array in order of insertion; removed ones leave a hole until the next rebuild. An open-addressed
 * table of indices into it finds keys. The hash is seeded, since keys may come from a client. */

typedef struct Entry {
        const char *key;
        void *value;
} Entry;

struct Hashmap {
        Entry *entries;
        size_t n_used, n_allocated, n_live;
        uint32_t *table; /* index + 1, 0 is free */
        size_t table_size;
        uint64_t seed;
};

/* FNV-1a; the seed makes collisions something that a client cannot prepare. */
static uint64_t hash_text(const Hashmap *h, const char *s) {
        uint64_t x = 0xcbf29ce484222325U ^ h->seed;

        for (; *s; s++)
                x = (x ^ (unsigned char) *s) * 0x100000001b3U;
        return x ^ x >> 29;
}

Hashmap *hashmap_new(void) {
        Hashmap *h = new0(Hashmap, 1);

        if (h && getrandom(&h->seed, sizeof h->seed, GRND_NONBLOCK) < 0)
                h->seed = (uintptr_t) h;
        return h;
}

Hashmap *hashmap_free(Hashmap *h) {
        if (h) {
                free(h->entries);
                free(h->table);
                free(h);
        }
        return NULL;
}

static void table_insert(Hashmap *h, size_t index) {
        size_t i = hash_text(h, h->entries[index].key) & (h->table_size - 1);

        while (h->table[i] != 0)
                i = (i + 1) & (h->table_size - 1);
        h->table[i] = (uint32_t) index + 1;
}

/* Grows and closes the holes in one go: iteration in order of insertion costs no list. */
static int rebuild(Hashmap *h) {
        size_t wanted = MAX(h->n_live * 2, (size_t) 16), table_size = 32, n = 0;
        Entry *entries;
        uint32_t *table;

        while (table_size < wanted * 2)
                table_size *= 2;

        entries = new0(Entry, wanted);
        table = new0(uint32_t, table_size);
        if (!entries || !table) {
                free(entries);
                free(table);
                return -ENOMEM;
        }

        for (size_t i = 0; i < h->n_used; i++)
                if (h->entries[i].key)
                        entries[n++] = h->entries[i];
        free(h->entries);
        free(h->table);
        h->entries = entries;
        h->table = table;
        h->table_size = table_size;
        h->n_allocated = wanted;
        h->n_used = n;
        for (size_t i = 0; i < n; i++)
                table_insert(h, i);
        return 0;
}

static Entry *find(Hashmap *h, const char *key) {
        if (!h || h->table_size == 0)
                return NULL;

        for (size_t i = hash_text(h, key) & (h->table_size - 1); h->table[i] != 0; i = (i + 1) & (h->table_size - 1)) {
                Entry *e = h->entries + h->table[i] - 1;

                if (e->key && strcmp(e->key, key) == 0)
                        return e;
        }
        return NULL;
}

int hashmap_put(Hashmap *h, const char *key, void *value) {
        int r;

        assert(h);
        assert(key);
        assert(value);

        if (find(h, key))
                return -EEXIST;
        if (h->n_used == h->n_allocated) {
                r = rebuild(h);
                if (r < 0)
                        return r;
        }
        h->entries[h->n_used] = (Entry) { key, value };
        table_insert(h, h->n_used++);
        h->n_live++;
        return 0;
}

void *hashmap_get(Hashmap *h, const char *key) {
        Entry *e = find(h, key);

        return e ? e->value : NULL;
}

void *hashmap_remove(Hashmap *h, const char *key) {
        Entry *e = find(h, key);

        if (!e)
                return NULL;
        e->key = NULL; /* the slot of the table stays taken, so that later keys of its chain are still found */
        h->n_live--;
        return TAKE_PTR(e->value);
}

size_t hashmap_size(const Hashmap *h) {
        return h ? h->n_live : 0;
}

void *hashmap_iterate(Hashmap *h, size_t *iterator) {
        while (h && *iterator < h->n_used) {
                Entry *e = h->entries + (*iterator)++;

                if (e->key)
                        return e->value;
        }
        return NULL;
}
