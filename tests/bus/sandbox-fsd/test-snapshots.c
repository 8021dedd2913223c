/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "sandbox-fsd/manager.h"
#include "sandbox-fsd/snapshots-bus.h"
#include "tests/test.h"

#define BOX "000000000000000000000000000000aa"
#define SNAP_1 "snap_111111111111111111111111"
#define SNAP_2 "snap_222222222222222222222222"

/* Snapshots1 over a socketpair, with a store of its own in which one sandbox has a root. */
typedef struct Fixture {
        Manager manager;
        sd_bus *server, *client;
        char directory[32];
} Fixture;

static void fixture_init(Fixture *f) {
        Store *s = &f->manager.images.store;
        int fd;

        if (geteuid() != 0)
                test_skip("directories of the foreign range need root");
        (void) umask(0);
        *f = (Fixture) { .directory = "/tmp/test-snapshots-XXXXXX" };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        ASSERT_OK(store_open(f->directory, s));
        ASSERT_OK(store_open_root(s, BOX, &fd));
        close(fd);
        ASSERT_OK(store_set_use(s, BOX, "host-layer"));
        bus_pair(&f->server, &f->client);
        ASSERT_OK(sd_bus_add_object_vtable(f->server, NULL, FSD_OBJECT, SNAPSHOTS_INTERFACE, snapshots_vtable,
                                           &f->manager));
}

static void fixture_done(Fixture *f) {
        char command[64];

        sd_bus_flush_close_unref(f->client);
        sd_bus_flush_close_unref(f->server);
        store_done(&f->manager.images.store);
        (void) snprintf(command, sizeof command, "rm -rf %s", f->directory);
        ASSERT_EQ(system(command), 0);
}

#define CALL(f, member, reply, ...)                                                                \
        bus_call_and_wait((f)->server, (f)->client, FSD_OBJECT, SNAPSHOTS_INTERFACE, member, reply, __VA_ARGS__)

static void assert_fails(Fixture *f, const char *member, const char *first, const char *second, const char *name) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        if (second)
                CALL(f, member, &reply, "ss", first, second);
        else
                CALL(f, member, &reply, "s", first);
        if (!sd_bus_message_is_method_error(reply, NULL))
                fail_msg("%s succeeded", member);
        ASSERT_STREQ(sd_bus_message_get_error(reply)->name, name);
}

static void assert_done(Fixture *f, const char *member, const char *first, const char *second) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        CALL(f, member, &reply, "ss", first, second);
        if (sd_bus_message_is_method_error(reply, NULL))
                fail_msg("%s: %s", member, sd_bus_message_get_error(reply)->message);
}

static void assert_base(Fixture *f, const char *expected) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *base;

        CALL(f, "Base", &reply, "s", BOX);
        ASSERT_OK(sd_bus_message_read(reply, "s", &base));
        ASSERT_STREQ(base, expected);
}

TEST(share) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *begun;
        Fixture f;

        fixture_init(&f);
        assert_fails(&f, "Base", BOX, NULL, BUS_ERROR_NO_SUCH_OBJECT);
        assert_fails(&f, "EndShare", SNAP_1, BOX, BUS_ERROR_NO_SUCH_OBJECT);
        assert_done(&f, "BeginShare", SNAP_1, BOX);
        CALL(&f, "BeginShare", &reply, "ss", SNAP_2, BOX);
        ASSERT_OK(sd_bus_message_read(reply, "s", &begun));
        ASSERT_STREQ(begun, SNAP_1);
        assert_fails(&f, "Base", BOX, NULL, BUS_ERROR_NO_SUCH_OBJECT);
        assert_done(&f, "EndShare", SNAP_1, BOX);
        assert_base(&f, SNAP_1);
        fixture_done(&f);
}

TEST(usage) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *made = NULL, *published = NULL, *reply = NULL;
        const char *id;
        uint64_t bytes;
        Fixture f;
        int used;

        fixture_init(&f);
        CALL(&f, "Make", &made, "ss", SNAP_1, BOX);
        ASSERT_FALSE(sd_bus_message_is_method_error(made, NULL));
        CALL(&f, "Publish", &published, "st", SNAP_1, (uint64_t) 12345);
        ASSERT_FALSE(sd_bus_message_is_method_error(published, NULL));
        assert_done(&f, "Adopt", SNAP_1, BOX);
        ASSERT_TRUE(store_snapshot_is_adopted(&f.manager.images.store, BOX, SNAP_1));
        assert_base(&f, SNAP_1);
        CALL(&f, "Usage", &reply, "");
        ASSERT_OK(sd_bus_message_enter_container(reply, 'a', "(stb)"));
        ASSERT_TRUE(sd_bus_message_read(reply, "(stb)", &id, &bytes, &used) > 0);
        ASSERT_STREQ(id, SNAP_1);
        ASSERT_EQ(bytes, 12345);
        ASSERT_TRUE(used);
        ASSERT_EQ(sd_bus_message_read(reply, "(stb)", &id, &bytes, &used), 0);
        fixture_done(&f);
}

TEST(refusals) {
        static const char *const members[] = { "Make", "BeginShare", "EndShare", "Adopt", "Revert" };
        Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                assert_fails(&f, members[i], "../x", BOX, BUS_ERROR_INVALID);
                assert_fails(&f, members[i], SNAP_1, "../x", BUS_ERROR_INVALID);
        }
        assert_fails(&f, "Settle", "../x", NULL, BUS_ERROR_INVALID);
        assert_fails(&f, "Adopt", SNAP_1, "000000000000000000000000000000bb", BUS_ERROR_NO_SUCH_OBJECT);
        fixture_done(&f);
}
