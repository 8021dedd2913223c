/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/idempotency.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/test.h"

typedef struct Fixture {
        char directory[32];
        Store *store;
        Idempotency *idempotency;
} Fixture;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        return remove(path);
}

static void fixture_start(Fixture *f) {
        bool fresh;

        strcpy(f->directory, "/tmp/idempotency-XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        ASSERT_OK(store_open(f->directory, &fresh, &f->store));
        ASSERT_OK(idempotency_new(f->store, &f->idempotency));
}

static void fixture_done(Fixture *f) {
        idempotency_free(f->idempotency);
        store_close(f->store);
        ASSERT_EQ(nftw(f->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

TEST(key_is_valid) {
        static const struct {
                const char *key;
                bool valid;
        } cases[] = {
                { "", false }, { "a", true }, { "~!", true }, { "a b", false }, { " a", false }, { "a\t", false },
                { "\x7f", false }, { "\xc3\xa4", false }, { "550e8400-e29b-41d4-a716-446655440000", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(idempotency_key_is_valid(cases[i].key), cases[i].valid);
}

#define BEGIN(f, scope, body, now)                                                                 \
        _cleanup_(idempotency_use_unrefp) IdempotencyUse *use = NULL;                              \
        _cleanup_(idempotency_found_done) IdempotencyFound found = {};                             \
        int r = idempotency_begin((f)->idempotency, scope, body, now, &found, &use)

static void expect_error(Fixture *f, const char *scope, const char *body, uint64_t now, int expected) {
        BEGIN(f, scope, body, now);

        ASSERT_EQ(r, expected);
        ASSERT_NULL(use);
}

TEST(life_of_a_key) {
        _cleanup_(fixture_done) Fixture f;
        const uint64_t t = IDEMPOTENCY_AGE_MSEC * 10;
        uint64_t n;

        fixture_start(&f);
        {
                BEGIN(&f, "s", "b", t);
                ASSERT_OK(r);
                ASSERT_NOT_NULL(use);
                expect_error(&f, "s", "b", t, -EBUSY);
                expect_error(&f, "s", "c", t, -EKEYREJECTED);
                ASSERT_OK(idempotency_note_object(use, "sbx_1"));
                ASSERT_OK(idempotency_forget_object(use));
        }
        ASSERT_OK(store_count_objects(f.store, IDEMPOTENCY_KIND, NULL, NULL, &n));
        ASSERT_EQ(n, 0); /* it led to nothing */
        {
                BEGIN(&f, "s", "c", t);
                ASSERT_OK(r);
                ASSERT_OK(idempotency_note_object(use, "sbx_2"));
        }
        {
                BEGIN(&f, "s", "c", t);
                ASSERT_OK(r);
                ASSERT_STREQ(found.object, "sbx_2");
                ASSERT_EQ(found.status, 0);
                ASSERT_OK(idempotency_note_reply(use, 200, "{\"a\":1}xx", 7));
        }
        {
                BEGIN(&f, "s", "c", t + IDEMPOTENCY_AGE_MSEC);
                ASSERT_OK(r);
                ASSERT_NULL(use);
                ASSERT_EQ(found.status, 200);
                ASSERT_STREQ(found.body, "{\"a\":1}");
        }
        expect_error(&f, "s", "d", t, -EKEYREJECTED);
        {
                BEGIN(&f, "s", "d", t + IDEMPOTENCY_AGE_MSEC + 1);
                ASSERT_OK(r);
                ASSERT_NOT_NULL(use);
        }
}

/* One who holds a key longer than the module lives. */
TEST(end_of_all) {
        _cleanup_(idempotency_use_unrefp) IdempotencyUse *use = NULL;
        IdempotencyFound found;
        Fixture f;

        fixture_start(&f);
        ASSERT_OK(idempotency_begin(f.idempotency, "s", "b", 1, &found, &use));
        fixture_done(&f);
        ASSERT_OK(idempotency_note_reply(use, 200, "{}", 2));
}
