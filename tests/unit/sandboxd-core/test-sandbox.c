/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/sandbox.h"

#include <errno.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/test.h"

#define ID "0123456789abcdef0123456789abcdef"

static Sandbox *make(void) {
        Sandbox *s;

        ASSERT_OK(sandbox_new(&(SandboxInit) { .id = ID, .image = "python:3", .timeout_sec = 100,
                                               .config = json_pack("{s:i, s:f, s:s}", "memory", 64, "cpu", 1.5,
                                                                   "workdir", "/w"),
                                               .metadata = json_pack("{s:s}", "k", "v"),
                                               .created_msec = now_usec(CLOCK_REALTIME) / 1000 }, &s));
        return s;
}

TEST(states) {
        for (SandboxState i = 0; i < _SANDBOX_STATE_MAX; i++)
                ASSERT_EQ(sandbox_state_from_string(sandbox_state_to_string(i)), i);
        ASSERT_EQ(sandbox_state_from_string("none"), _SANDBOX_STATE_INVALID);
        ASSERT_NULL(sandbox_state_to_string(_SANDBOX_STATE_MAX));
}

TEST(defaults) {
        _cleanup_(sandbox_unrefp) Sandbox *s = make();
        uint64_t memory;
        double cpu;

        ASSERT_STREQ(s->public_id, "sbx_0123456789abcdef01234567");
        ASSERT_STREQ(s->name, s->public_id);
        ASSERT_EQ(s->expires_msec - s->created_msec, 100000);
        ASSERT_FALSE(sandbox_is_expired(s));
        sandbox_get_limits(s, &memory, &cpu);
        ASSERT_EQ(memory, 64 * MiB);
        assert_true(cpu > 1.49 && cpu < 1.51);
        ASSERT_STREQ(sandbox_get_workdir(s), "/w");
}

TEST(all_limits) {
        _cleanup_(sandbox_unrefp) Sandbox *s = make();
        SandboxLimits limits;

        sandbox_get_all_limits(s, &limits);
        ASSERT_EQ(limits.memory_max_bytes, 64 * MiB);
        ASSERT_EQ(limits.cpu_quota_usec, 1500000);
        ASSERT_EQ(limits.pids_max, 0);
        ASSERT_EQ(json_object_update_new(s->config, json_pack("{s:i, s:i, s:i}", "pids", 100, "ioReadBps", 65536,
                                                              "ioWriteBps", -1)), 0);
        sandbox_get_all_limits(s, &limits);
        ASSERT_EQ(limits.pids_max, 100);
        ASSERT_EQ(limits.io_read_bps, 65536);
        ASSERT_EQ(limits.io_write_bps, 0);
}

TEST(record_round_trip) {
        _cleanup_(sandbox_unrefp) Sandbox *s = make(), *again = NULL;
        _cleanup_free_ char *record = NULL;

        s->deadline_usec += 12345; /* it counts, not what the wall clock would give */
        ASSERT_OK(sandbox_to_record(s, &record));
        ASSERT_OK(sandbox_from_record(ID, "paused", s->created_msec, record, &again));
        ASSERT_EQ(again->state, SANDBOX_PAUSED);
        ASSERT_STREQ(again->image, "python:3");
        ASSERT_EQ(again->expires_msec, s->expires_msec);
        ASSERT_EQ(again->deadline_usec, s->deadline_usec);
        ASSERT_TRUE(json_equal(again->config, s->config));
        ASSERT_TRUE(json_equal(again->metadata, s->metadata));
        ASSERT_NULL(again->entrypoint);
}

TEST(bad_records) {
        static const char good[] = "{\"version\":1,\"name\":\"n\",\"image\":\"i\",\"config\":{},\"metadata\":{},"
                                   "\"expires\":1,\"deadline\":1,\"boot\":\"x\"}";
        static const struct {
                const char *id, *state, *record;
        } cases[] = {
                { ID,    "running", "" },
                { ID,    "running", "{" },
                { ID,    "running", "[]" },
                { ID,    "running", "{}" },
                { ID,    "walking", good },
                { "abc", "running", good },
                { ID,    "running", "{\"version\":2,\"name\":\"n\",\"image\":\"i\",\"config\":{},\"metadata\":{},"
                                    "\"expires\":1,\"deadline\":1,\"boot\":\"x\"}" },
                { ID,    "running", "{\"version\":1,\"name\":\"n\",\"image\":\"i\",\"config\":[],\"metadata\":{},"
                                    "\"expires\":1,\"deadline\":1,\"boot\":\"x\"}" },
                { ID,    "running", "{\"version\":1,\"name\":7,\"image\":\"i\",\"config\":{},\"metadata\":{},"
                                    "\"expires\":1,\"deadline\":1,\"boot\":\"x\"}" },
        };
        _cleanup_(sandbox_unrefp) Sandbox *s = NULL;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ASSERT_EQ(sandbox_from_record(cases[i].id, cases[i].state, 1, cases[i].record, &s), -EBADMSG);
                ASSERT_NULL(s);
        }
        ASSERT_OK(sandbox_from_record(ID, "running", 1, good, &s));
        ASSERT_TRUE(sandbox_is_expired(s)); /* another boot: the wall clock decides */
}
