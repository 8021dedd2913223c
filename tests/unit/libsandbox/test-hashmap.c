/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsandbox/hashmap.h"
#include "tests/test.h"

TEST(put_get_remove_and_order) {
        _cleanup_(hashmap_freep) Hashmap *h = hashmap_new();
        static char keys[1000][8];
        char *value;
        int n = 0;

        for (int i = 0; i < 1000; i++) {
                snprintf(keys[i], sizeof keys[i], "k%d", i);
                ASSERT_OK(hashmap_put(h, keys[i], keys[i]));
                if (i % 3 == 0)
                        ASSERT_TRUE(hashmap_remove(h, keys[i]) == keys[i]);
        }
        ASSERT_EQ(hashmap_put(h, "k1", keys[0]), -EEXIST);
        ASSERT_EQ(hashmap_size(h), 666);
        ASSERT_NULL(hashmap_get(h, "k0"));
        ASSERT_NULL(hashmap_remove(h, "k0"));
        ASSERT_TRUE(hashmap_get(h, "k998") == keys[998]);

        HASHMAP_FOREACH(value, h) {
                ASSERT_TRUE(atoi(value + 1) > n - 1);
                n = atoi(value + 1);
                ASSERT_TRUE(hashmap_remove(h, value) == value);
        }
        ASSERT_EQ(hashmap_size(h), 0);
}

TEST(empty) {
        size_t i = 0;

        ASSERT_NULL(hashmap_get(NULL, "x"));
        ASSERT_NULL(hashmap_iterate(NULL, &i));
        ASSERT_EQ(hashmap_size(NULL), 0);
}
