/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/upload.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

#define TEXT "0123456789"

typedef struct Fixture {
        Core core;
        char sandbox[40], upload[40], path[256];
} Fixture;

static const char *below(const Fixture *f, const char *rest) {
        static char text[4][256];
        static unsigned i;

        i = (i + 1) % 4;
        snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s/files%s", f->sandbox, rest);
        return text[i];
}

static void begin(Fixture *f, unsigned size) {
        char body[128];

        snprintf(body, sizeof body, "{\"path\":\"d/target\",\"size\":%u}", size);
        REQUEST(&f->core, "POST", below(f, "/uploads"), body, r);
        ASSERT_EQ(r.status, 200);
        snprintf(f->upload, sizeof f->upload, "%s", reply_string(&r, "id"));
        snprintf(f->path, sizeof f->path, "/sandbox/sandboxes/%s/files/uploads/%s", f->sandbox, f->upload);
        ASSERT_NOT_NULL(strcasestr(r.head, f->path)); /* Location */
}

static void fixture_init(Fixture *f) {
        *f = (Fixture) {};
        core_start(&f->core);
        core_create(&f->core, f->sandbox);
        begin(f, 10);
}

static void fixture_done(Fixture *f) {
        core_stop(&f->core);
}

static void patch_open(Fixture *f, Client *client, int offset, const char *data, size_t n_announced) {
        char headers[256];
        size_t n = strlen(data);

        snprintf(headers, sizeof headers, "Content-Type: application/offset+octet-stream\r\nUpload-Offset: %d\r\n", offset);
        client_open_partly(&f->core, client, "PATCH", f->path, headers, data, n, n_announced);
}

static unsigned patch(Fixture *f, int offset, const char *data) {
        _cleanup_(reply_done) Reply r = {};
        Client client;

        patch_open(f, &client, offset, data, strlen(data));
        client_wait(&client, &r);
        if (r.status == 204)
                ASSERT_NOT_NULL(strcasestr(r.head, "Upload-Offset: "));
        return r.status;
}

/* The offset that HEAD tells, -1 for a refusal. */
static int offset(Fixture *f) {
        REQUEST(&f->core, "HEAD", f->path, NULL, r);
        const char *header = strcasestr(r.head, "Upload-Offset: ");
        int n = -1;

        if (r.status != 200)
                return -1;
        ASSERT_NOT_NULL(header);
        ASSERT_EQ(sscanf(header + 15, "%d", &n), 1);
        ASSERT_EQ(r.n_body, 0);
        return n;
}

/* Who only looks cuts nobody. */
static void wait_received(Fixture *f, json_int_t n) {
        json_int_t there = -1;

        while (there < n) {
                REQUEST(&f->core, "GET", f->path, NULL, r);
                there = reply_integer(&r, "offset");
        }
        ASSERT_EQ(there, n);
}

static void assert_target(Fixture *f, const char *text) {
        REQUEST(&f->core, "POST", below(f, "/read"), "{\"path\":\"d/target\"}", r);
        ASSERT_EQ(r.status, text ? 200 : 404);
        if (text)
                ASSERT_STREQ(json_string_value(r.json), text);
}

static void assert_complete(Fixture *f) {
        REQUEST(&f->core, "GET", f->path, NULL, r);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "status"), "complete");
        ASSERT_EQ(reply_integer(&r, "offset"), 10);
        ASSERT_EQ(offset(f), 10);
        assert_target(f, TEXT);
}

static size_t n_parts(const Fixture *f) {
        uint64_t n;

        ASSERT_OK(store_count_objects(f->core.manager->store, UPLOAD_KIND, f->sandbox, NULL, &n));
        return n;
}

static bool part_exists(const Fixture *f) {
        char name[128];

        snprintf(name, sizeof name, "file.workspace.d..sbx-%s", f->upload);
        return faccessat(f->core.fsd.root_fd, name, F_OK, 0) == 0;
}

TEST(in_parts) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        ASSERT_EQ(offset(&f), 0);
        ASSERT_EQ(patch(&f, 0, "0123"), 204);
        ASSERT_EQ(patch(&f, 0, "0123"), 409);
        ASSERT_EQ(patch(&f, 6, "6"), 409);
        ASSERT_EQ(patch(&f, 4, "4567890"), 413);
        ASSERT_EQ(patch(&f, 11, ""), 413);
        ASSERT_EQ(patch(&f, -1, "4"), 400);
        ASSERT_EQ(offset(&f), 4);
        assert_target(&f, NULL);
        ASSERT_EQ(patch(&f, 4, ""), 204);
        ASSERT_EQ(patch(&f, 4, "456789"), 204);
        assert_complete(&f);
        ASSERT_FALSE(part_exists(&f));
        ASSERT_EQ(patch(&f, 10, ""), 409);
        {
                REQUEST(&f.core, "GET", below(&f, "/uploads"), NULL, r);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "uploads")), 1);
        }
        begin(&f, 0); /* of nothing: it is there at once */
        {
                REQUEST(&f.core, "GET", f.path, NULL, r);
                ASSERT_STREQ(reply_string(&r, "status"), "complete");
        }
        assert_target(&f, "");
}

TEST(broken_connections) {
        _cleanup_(fixture_done) Fixture f;
        _cleanup_(reply_done) Reply r = {};
        Client client, other;

        fixture_init(&f);
        patch_open(&f, &client, 0, "012", 10);
        wait_received(&f, 3);
        client_close(&client);
        ASSERT_EQ(offset(&f), 3);
        ASSERT_EQ(n_parts(&f), 1);
        /* one that hangs: who comes next has it cut, and what it brought counts */
        patch_open(&f, &client, 3, "34", 7);
        wait_received(&f, 5);
        ASSERT_EQ(offset(&f), 5);
        client_wait(&client, &r);
        ASSERT_EQ(r.status, 409);
        patch_open(&f, &other, 5, "56", 5);
        wait_received(&f, 7);
        client_close(&other);
        ASSERT_EQ(offset(&f), 7);
        ASSERT_EQ(patch(&f, 7, "789"), 204);
        assert_complete(&f);
}

TEST(services_come_and_go) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        ASSERT_EQ(patch(&f, 0, "0123"), 204);
        core_stop_sandboxd(&f.core);
        core_start_sandboxd(&f.core);
        ASSERT_EQ(offset(&f), 4);
        f.core.fsd.cut_before = "Append";
        ASSERT_EQ(patch(&f, 4, "4"), 503);
        f.core.fsd.cut_before = "UploadSize"; /* asked again */
        ASSERT_EQ(offset(&f), 4);
        f.core.fsd.cut_before = "FinishUpload";
        ASSERT_EQ(patch(&f, 4, "456789"), 503);
        assert_target(&f, NULL);
        core_stop_sandboxd(&f.core);
        core_start_sandboxd(&f.core);
        ASSERT_EQ(offset(&f), 10); /* who asks finishes it */
        assert_complete(&f);
}

TEST(the_answer_to_the_end_is_lost) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        f.core.fsd.cut_after = "FinishUpload";
        ASSERT_EQ(patch(&f, 0, TEXT), 503);
        ASSERT_FALSE(part_exists(&f));
        assert_complete(&f);
}

TEST(taken_away_from_inside) {
        _cleanup_(fixture_done) Fixture f;
        char name[128];

        fixture_init(&f);
        snprintf(name, sizeof name, "file.workspace.d..sbx-%s", f.upload);
        ASSERT_EQ(unlinkat(f.core.fsd.root_fd, name, 0), 0);
        ASSERT_EQ(patch(&f, 0, "0"), 404);
        ASSERT_EQ(offset(&f), -1);
        ASSERT_EQ(n_parts(&f), 0);
}

static bool is_forgotten(Core *c, void *userdata) {
        (void) c;
        return n_parts(userdata) == 0;
}

TEST(ends) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        ASSERT_EQ(patch(&f, 0, "0"), 204);
        f.core.manager->settings.uploads_max = 1;
        {
                REQUEST(&f.core, "POST", below(&f, "/uploads"), "{\"path\":\"x\",\"size\":1}", r);
                ASSERT_EQ(r.status, 429);
        }
        {
                REQUEST(&f.core, "DELETE", f.path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        ASSERT_FALSE(part_exists(&f));
        ASSERT_EQ(offset(&f), -1);

        begin(&f, 10);
        f.core.manager->settings.upload_age_sec = 0; /* nobody goes on with it in time */
        uploads_plan(f.core.manager->uploads);
        core_wait(&f.core, is_forgotten, &f);
        ASSERT_FALSE(part_exists(&f));

        f.core.manager->settings.upload_age_sec = 1000;
        begin(&f, 10);
        {
                REQUEST(&f.core, "DELETE", "/sandbox/sandboxes/", NULL, r);
                ASSERT_EQ(r.status, 404);
        }
        {
                char path[128];

                snprintf(path, sizeof path, "/sandbox/sandboxes/%s", f.sandbox);
                REQUEST(&f.core, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        ASSERT_EQ(n_parts(&f), 0);
}

TEST(wrong_input) {
        static const struct {
                const char *body;
                unsigned status;
        } cases[] = {
                { "{\"path\":\"x\"}",                               400 },
                { "{\"size\":1}",                                   400 },
                { "{\"path\":\"x\",\"size\":-1}",                   400 },
                { "{\"path\":\"x\",\"size\":9000000000000}",        413 },
                { "{\"path\":\"x\",\"size\":1,\"mode\":\"8\"}",     400 },
        };
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&f.core, "POST", below(&f, "/uploads"), cases[i].body, r);
                ASSERT_EQ(r.status, cases[i].status);
        }
        f.core.fsd.fail_method = "BeginUpload";
        f.core.fsd.fail_name = BUS_ERROR_NO_SPACE;
        {
                REQUEST(&f.core, "POST", below(&f, "/uploads"), "{\"path\":\"x\",\"size\":1}", r);
                ASSERT_EQ(r.status, 507);
        }
        ASSERT_EQ(n_parts(&f), 1);
        f.core.fsd.fail_method = "Append";
        ASSERT_EQ(patch(&f, 0, "0"), 507);
        ASSERT_EQ(offset(&f), 0);
}

TEST(states) {
        for (UploadState i = 0; i < _UPLOAD_STATE_MAX; i++)
                ASSERT_EQ(upload_state_from_string(upload_state_to_string(i)), i);
        ASSERT_EQ(upload_state_from_string("x"), _UPLOAD_STATE_INVALID);
}
