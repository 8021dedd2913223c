/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Maps text keys to pointers and remembers the order of insertion. The key is not copied: it must live in the value
 * and stay as long as the entry. hashmap_remove() of the current entry is allowed in HASHMAP_FOREACH. */
typedef struct Hashmap Hashmap;

Hashmap *hashmap_new(void);
Hashmap *hashmap_free(Hashmap *h);
DEFINE_CLEANUP(Hashmap *, hashmap_free)

/* -EEXIST if the key is there already. */
int hashmap_put(Hashmap *h, const char *key, void *value);
void *hashmap_get(Hashmap *h, const char *key);
/* The removed value, or NULL. */
void *hashmap_remove(Hashmap *h, const char *key);
size_t hashmap_size(const Hashmap *h);

/* Entries in order of insertion: pass *iterator = 0 first; NULL at the end. */
void *hashmap_iterate(Hashmap *h, size_t *iterator);

#define HASHMAP_FOREACH(v, h) for (size_t _i = 0; ((v) = hashmap_iterate(h, &_i));)
