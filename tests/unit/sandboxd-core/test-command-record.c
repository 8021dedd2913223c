/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/manager.h"
#include "tests/test.h"

#define ID "0123456789abcdef0123456789abcdef"
#define COMMAND "bg_0123456789abcdef01234567"

typedef struct Fixture {
        char directory[32];
        Manager manager;
        Sandbox *sandbox;
} Fixture;

static void fixture_start(Fixture *f) {
        bool fresh;

        *f = (Fixture) { .directory = "/tmp/command-XXXXXX" };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        f->manager.sandboxes = hashmap_new();
        f->manager.spool_fd = open(f->directory, O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(store_open(f->directory, &fresh, &f->manager.store));
        ASSERT_OK(sandbox_new(&(SandboxInit) { .id = ID, .image = "x", .timeout_sec = 60 }, &f->sandbox));
        ASSERT_OK(hashmap_put(f->manager.sandboxes, f->sandbox->public_id, f->sandbox));
}

static void fixture_done(Fixture *f) {
        store_close(f->manager.store);
        (void) unlinkat(f->manager.spool_fd, "sandboxd.db", 0);
        (void) unlinkat(f->manager.spool_fd, "reserve", 0);
        (void) unlinkat(f->manager.spool_fd, COMMAND, 0);
        safe_close(f->manager.spool_fd);
        ASSERT_EQ(rmdir(f->directory), 0);
        hashmap_free(f->manager.sandboxes);
        sandbox_unref(f->sandbox);
}

static int load(const StoredCommand *row, void *userdata) {
        void **both = userdata;

        return command_from_record(both[0], row, both[1]);
}

TEST(round_trip) {
        _cleanup_(fixture_done) Fixture f = {};
        _cleanup_(command_unrefp) Command *c = NULL, *again = NULL;
        void *both[] = { &f.manager, &again };

        fixture_start(&f);
        ASSERT_OK(command_new(&f.manager, f.sandbox, COMMAND_BACKGROUND, "echo \"x\"\n", &c));
        memcpy(c->id, COMMAND, sizeof COMMAND);
        c->state = COMMAND_EXITED;
        c->code = CLD_KILLED;
        c->status = 9;
        c->pid = 77;
        c->timed_out = true;
        c->finished_msec = 5000;
        c->ended_usec = c->started_usec + 3000;
        ASSERT_EQ(command_exit_code(c), 137);
        ASSERT_EQ(command_duration_msec(c), 3);
        ASSERT_OK(command_save(c));

        ASSERT_OK(store_foreach_command(f.manager.store, load, both));
        ASSERT_NOT_NULL(again);
        ASSERT_STREQ(again->id, COMMAND);
        ASSERT_STREQ(again->text, "echo \"x\"\n");
        ASSERT_EQ(command_exit_code(again), 137);
        ASSERT_EQ(again->pid, 77);
        ASSERT_TRUE(again->timed_out);
        ASSERT_EQ(again->started_msec, c->started_msec);
        ASSERT_EQ(again->finished_msec, 5000);
        ASSERT_EQ(command_duration_msec(again), 3);
}

TEST(bad_records) {
        static const struct {
                const char *id, *sandbox, *record;
        } cases[] = {
                { COMMAND,  ID,                                 "" },
                { COMMAND,  ID,                                 "{}" },
                { COMMAND,  ID,                                 "{\"version\":1,\"text\":\"x\"}" },
                { COMMAND,  "ffffffffffffffffffffffffffffffff", "{\"version\":1,\"text\":\"x\"}" },
                { "../x",   ID,                                 "{\"version\":1,\"text\":\"x\"}" },
                { COMMAND,  ID, "{\"version\":1,\"text\":\"x\",\"state\":9,\"pid\":1,\"code\":1,\"status\":1,\"timedOut\":false,"
                                "\"oom\":false,\"finished\":1,\"startedUSec\":1,\"endedUSec\":1}" },
        };
        _cleanup_(fixture_done) Fixture f = {};

        fixture_start(&f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Command *c = NULL;

                ASSERT_EQ(command_from_record(&f.manager, &(StoredCommand) { .id = cases[i].id, .sandbox = cases[i].sandbox,
                                                                             .record = cases[i].record }, &c), -EBADMSG);
        }
}

/* Nothing is made up: no status, no code. */
TEST(exit_codes) {
        static const struct {
                CommandState state;
                int code, status, expect;
        } cases[] = {
                { COMMAND_STARTING, 0,          0,  -1  }, { COMMAND_RUNNING, 0,          0,  -1  },
                { COMMAND_LOST,     0,          0,  -1  }, { COMMAND_EXITED,  CLD_EXITED, 0,  0   },
                { COMMAND_EXITED,   CLD_EXITED, 42, 42  }, { COMMAND_EXITED,  CLD_KILLED, 15, 143 },
                { COMMAND_EXITED,   CLD_DUMPED, 11, 139 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Command c = { .state = cases[i].state, .code = cases[i].code, .status = cases[i].status };

                ASSERT_EQ(command_exit_code(&c), cases[i].expect);
        }
}
