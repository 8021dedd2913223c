/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

static const char *path(const char *format, const char *id) {
        static char text[4][256];
        static unsigned i;

        i = (i + 1) % 4;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text[i], sizeof text[i], format, id);
#pragma GCC diagnostic pop
        return text[i];
}

#define SUBMIT "/sandbox/sandboxes/%s/exec/queue"
#define STATUS "/sandbox/queue/%s/status"
#define CANCEL "/sandbox/queue/%s/cancel"
#define REQUEUE "/sandbox/queue/%s/requeue"

static void submit(Core *c, const char *sandbox, const char *body, char ret[40]) {
        REQUEST(c, "POST", path(SUBMIT, sandbox), body, r);

        if (r.status != 200)
                print_error("%s\n", r.body);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "status"), "pending");
        ASSERT_STREQ(reply_string(&r, "sandboxId"), sandbox);
        ASSERT_NOT_NULL(startswith(reply_string(&r, "id"), "job_"));
        snprintf(ret, 40, "%s", reply_string(&r, "id"));
}

static void assert_status(Core *c, const char *job, const char *expected) {
        REQUEST(c, "GET", path(STATUS, job), NULL, r);

        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "status"), expected);
}

typedef struct Wanted {
        const char *job, *status;
} Wanted;

static int note_tag(const StoredObject *row, void *userdata) {
        const char **status = userdata;

        *status = streq(row->tag, *status) ? NULL : *status;
        return 0;
}

static bool has_status(Core *c, void *userdata) {
        const Wanted *w = userdata;
        const char *status = w->status;

        ASSERT_OK(store_foreach_object(c->manager->store, &(ObjectQuery) { .kind = QUEUE_KIND, .id = w->job }, note_tag,
                                       &status));
        return !status;
}

static void wait_status(Core *c, const char *job, const char *status) {
        core_wait(c, has_status, &(Wanted) { job, status });
}

static bool nothing_is_left(Core *c, void *userdata) {
        (void) userdata;
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (c->execd.commands[i].used)
                        return false;
        return c->manager->n_attended == 0;
}

static bool has_started(Core *c, void *userdata) {
        return c->execd.n_execs >= *(unsigned *) userdata;
}

static void wait_started(Core *c, unsigned n) {
        core_wait(c, has_started, &n);
}

static json_int_t total(Core *c, const char *target) {
        REQUEST(c, "GET", target, NULL, r);

        ASSERT_EQ(r.status, 200);
        ASSERT_TRUE(json_is_array(json_object_get(r.json, "jobs")));
        return reply_integer(&r, "total");
}

static void assert_result(Core *c, const char *job, int code, const char *out, const char *err) {
        REQUEST(c, "GET", path(STATUS, job), NULL, r);
        json_t *result = json_object_get(r.json, "result");

        ASSERT_STREQ(reply_string(&r, "status"), "completed");
        ASSERT_EQ(json_integer_value(json_object_get(result, "exitCode")), code);
        ASSERT_STREQ(json_string_value(json_object_get(result, "stdout")), out);
        ASSERT_STREQ(json_string_value(json_object_get(result, "stderr")), err);
        assert_true(json_integer_value(json_object_get(result, "duration")) >= 1);
        assert_true(reply_integer(&r, "completedAt") >= reply_integer(&r, "startedAt"));
        assert_true(reply_integer(&r, "startedAt") >= reply_integer(&r, "createdAt"));
        ASSERT_EQ(reply_integer(&r, "retries"), 0);
}

TEST(cycle) {
        _cleanup_(core_stop) Core c = {};
        char id[40], first[40], second[40];

        core_start(&c);
        core_create(&c, id);
        submit(&c, id, "{\"command\":\"echo out; echo err >&2; exit 3\"}", first);
        submit(&c, id, "{\"command\":[\"printf\",\"%s|\",\"a b\",\"$HOME\"],\"maxRetries\":0}", second);
        wait_status(&c, first, "completed");
        wait_status(&c, second, "completed");
        assert_result(&c, first, 3, "out\n", "err\n");
        assert_result(&c, second, 0, "a b|$HOME|", "");
        ASSERT_EQ(total(&c, "/sandbox/queue"), 2);
        ASSERT_EQ(total(&c, "/sandbox/queue?status=completed&limit=1"), 2);
        ASSERT_EQ(total(&c, path("/sandbox/queue?status=pending&sandboxId=%s", id)), 0);
        ASSERT_EQ(total(&c, "/sandbox/queue/dlq"), 0);
        {
                REQUEST(&c, "GET", "/sandbox/queue?limit=1", NULL, r);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "jobs")), 1);
                char next[80];

                snprintf(next, sizeof next, "/sandbox/queue?limit=1&cursor=%lld",
                         (long long) reply_integer(&r, "nextCursor"));
                REQUEST(&c, "GET", next, NULL, n);
                ASSERT_STREQ(json_string_value(json_object_get(json_array_get(json_object_get(n.json, "jobs"), 0), "id")),
                             second);
                ASSERT_NULL(json_object_get(n.json, "nextCursor"));
        }
        /* results survive us */
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        assert_result(&c, first, 3, "out\n", "err\n");
        ASSERT_EQ(c.execd.n_execs, 2);
        core_wait(&c, nothing_is_left, NULL);
}

TEST(refusals) {
        static const struct {
                const char *method, *path, *body;
                unsigned status;
        } cases[] = {
                { "GET",  "/sandbox/queue/job_x/status",                           NULL, 404 },
                { "POST", "/sandbox/queue/job_x/cancel",                           NULL, 404 },
                { "POST", "/sandbox/queue/job_x/requeue",                          NULL, 404 },
                { "GET",  "/sandbox/queue?status=strange",                         NULL, 400 },
                { "POST", "/sandbox/sandboxes/sbx_0123456789abcdef01234567/exec/queue", "{\"command\":\"true\"}", 404 },
                { "GET",  "/sandbox/queue/dlq/status",                             NULL, 404 },
        };
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&c, cases[i].method, cases[i].path, cases[i].body, r);
                ASSERT_EQ(r.status, cases[i].status);
        }
        {
                REQUEST(&c, "POST", path(SUBMIT, id), "{}", r);
                ASSERT_EQ(r.status, 400);
        }
        {
                REQUEST(&c, "POST", path(SUBMIT, id), "{\"command\":\"cat\",\"stdin\":\"x\"}", r);
                ASSERT_EQ(r.status, 400);
        }
        c.manager->settings.queue_pending_max = 0;
        {
                REQUEST(&c, "POST", path(SUBMIT, id), "{\"command\":\"true\"}", r);
                ASSERT_EQ(r.status, 429);
        }
        ASSERT_EQ(total(&c, "/sandbox/queue"), 0);
}

/* Each of us dies at each point, and in the end there is one result, of one run. */
TEST(deaths) {
        enum {
                EXECD_BEFORE,           /* the call is lost */
                EXECD_AFTER,            /* its answer is */
                EXECD_TWICE,            /* and that of the next one */
                EXECD_WHILE,
                WE_BEFORE,              /* written down, not asked for */
                WE_AFTER,               /* asked for, no answer yet */
                WE_AFTER_UNSEEN,        /* and execd comes to it only after our next process has asked what runs */
                WE_WHILE,
                WE_AFTER_ITS_END,       /* its end was not told to us */
                _POINT_MAX,
        };
        _cleanup_(core_stop) Core c = {};
        char id[40], job[40];

        core_start(&c);
        core_create(&c, id);
        for (int point = 0; point < _POINT_MAX; point++) {
                unsigned before = c.execd.n_execs, repeats = c.execd.n_repeats;

                if (point == EXECD_BEFORE || point == WE_BEFORE)
                        c.execd.cut_before = "Exec";
                if (point == EXECD_AFTER || point == WE_AFTER || point == WE_AFTER_UNSEEN)
                        c.execd.cut_after = "Exec";
                if (point == EXECD_TWICE)
                        c.execd.cut_before = "Exec";
                submit(&c, id, "{\"command\":\"echo a; sleep 0.2; echo b; exit 5\",\"maxRetries\":1}", job);
                if (point == EXECD_TWICE) {
                        while (c.execd.cut_before)
                                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
                        c.execd.cut_after = "Exec";
                }
                if (point == WE_BEFORE)
                        while (c.execd.cut_before)
                                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
                else if (point != EXECD_BEFORE)
                        wait_started(&c, before + 1);
                if (point == EXECD_WHILE)
                        fake_execd_crash(&c.execd);
                if (point >= WE_BEFORE) {
                        core_stop_sandboxd(&c);
                        if (point == WE_AFTER_ITS_END)
                                for (unsigned i = 0; i < 6; i++)
                                        ASSERT_OK(sd_event_run(service_event(c.service), 100000));
                        c.execd.hide_commands = c.execd.may_repeat = point == WE_AFTER_UNSEEN;
                        core_start_sandboxd(&c);
                }
                wait_status(&c, job, "completed");
                core_wait(&c, nothing_is_left, NULL);
                assert_result(&c, job, 5, "a\nb\n", "");
                ASSERT_EQ(c.execd.n_execs, before + 1);
                ASSERT_EQ(c.execd.n_repeats, repeats + (point == WE_AFTER_UNSEEN));
                c.execd.may_repeat = false;
        }
}

/* Ends what runs when our next process has begun to ask, but not yet what runs: the signal comes before the list. */
static void end_at_list(FakeExecd *f, const char *member) {
        siginfo_t info;

        if (!streq(member, "List"))
                return;
        f->on_call = NULL;
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (f->commands[i].used) {
                        ASSERT_EQ(kill(-f->commands[i].pid, SIGTERM), 0);
                        ASSERT_EQ(waitid(P_PID, (id_t) f->commands[i].pid, &info, WEXITED | WNOWAIT), 0);
                }
}

TEST(end_is_told_before_the_list) {
        _cleanup_(core_stop) Core c = {};
        char id[40], job[40];

        core_start(&c);
        core_create(&c, id);
        submit(&c, id, "{\"command\":\"trap 'echo last; exit 6' TERM; echo first >&2; exec 2>/dev/null; while :; do sleep 0.01; done\"}", job);
        wait_started(&c, 1);
        for (unsigned i = 0; i < 4; i++) /* the trap is set */
                ASSERT_OK(sd_event_run(service_event(c.service), 50000));
        core_stop_sandboxd(&c);
        c.execd.on_call = end_at_list;
        core_start_sandboxd(&c);
        wait_status(&c, job, "completed");
        assert_result(&c, job, 6, "last\n", "first\n");
        core_wait(&c, nothing_is_left, NULL);
}

/* Its start was answered with a failure, and it ran all the same: it was only late. */
TEST(late_command_is_claimed) {
        _cleanup_(core_stop) Core c = {};
        char id[40], job[40];

        core_start(&c);
        core_create(&c, id);
        c.manager->settings.queue_backoff_sec = c.manager->settings.queue_backoff_max_sec = 600;
        c.execd.fail_after = "Exec";
        c.execd.fail_name = BUS_ERROR_INTERRUPTED;
        c.execd.hide_commands = true;
        submit(&c, id, "{\"command\":\"sleep 0.3; echo on; exit 4\"}", job);
        wait_status(&c, job, "completed");
        ASSERT_EQ(c.execd.n_execs, 1);
        {
                REQUEST(&c, "GET", path(STATUS, job), NULL, r);
                json_t *result = json_object_get(r.json, "result");

                ASSERT_EQ(json_integer_value(json_object_get(result, "exitCode")), 4);
                ASSERT_STREQ(json_string_value(json_object_get(result, "stdout")), "on\n");
        }
        core_wait(&c, nothing_is_left, NULL);
}

static void assert_dead(Core *c, const char *job, int retries, const char *error) {
        REQUEST(c, "GET", path(STATUS, job), NULL, r);

        ASSERT_STREQ(reply_string(&r, "status"), "failed");
        ASSERT_EQ(reply_integer(&r, "retries"), retries);
        ASSERT_STREQ(reply_string(&r, "error"), error);
        ASSERT_NULL(json_object_get(r.json, "result"));
        assert_true(reply_integer(&r, "completedAt") > 0);
}

TEST(failures_are_tried_again) {
        _cleanup_(core_stop) Core c = {};
        char id[40], job[40];

        core_start(&c);
        c.manager->settings.queue_backoff_sec = 0;
        core_create(&c, id);
        submit(&c, id, "{\"command\":\"echo x; sleep 30\",\"timeout\":0,\"maxRetries\":3}", job);
        wait_status(&c, job, "failed");
        assert_dead(&c, job, 3, "Command timed out after 1ms");
        ASSERT_EQ(c.execd.n_execs, 3);
        ASSERT_EQ(total(&c, "/sandbox/queue/dlq"), 1);

        c.execd.fail_method = "Exec"; /* once */
        c.execd.fail_name = BUS_ERROR_NO_SPACE;
        submit(&c, id, "{\"command\":\"echo y\",\"maxRetries\":2}", job);
        wait_status(&c, job, "completed");
        {
                REQUEST(&c, "GET", path(STATUS, job), NULL, r);
                ASSERT_EQ(reply_integer(&r, "retries"), 1);
                ASSERT_NULL(json_object_get(r.json, "error"));
        }
        c.execd.fail_method = "Exec";
        c.execd.fail_name = BUS_ERROR_COMMAND_NOT_FOUND; /* which no repetition changes */
        submit(&c, id, "{\"command\":[\"nope\"],\"maxRetries\":5}", job);
        wait_status(&c, job, "failed");
        assert_dead(&c, job, 1, "as the test wants it");
        ASSERT_EQ(total(&c, "/sandbox/queue/dlq?limit=1&offset=1"), 2);

        /* Dead letters: once more, or away. */
        {
                REQUEST(&c, "POST", path(REQUEUE, job), NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "status"), "pending");
                ASSERT_NULL(json_object_get(r.json, "error"));
        }
        wait_status(&c, job, "completed");
        assert_result(&c, job, 127, "", "");
        {
                REQUEST(&c, "POST", path(REQUEUE, job), NULL, r);
                ASSERT_EQ(r.status, 409);
        }
        {
                REQUEST(&c, "DELETE", "/sandbox/queue/dlq?sandboxId=sbx_0123456789abcdef01234567", NULL, r);
                ASSERT_EQ(reply_integer(&r, "purged"), 0);
        }
        {
                REQUEST(&c, "DELETE", "/sandbox/queue/dlq", NULL, r);
                ASSERT_EQ(reply_integer(&r, "purged"), 1);
                ASSERT_EQ(reply_integer(&r, "remaining"), 0);
        }
        ASSERT_EQ(total(&c, "/sandbox/queue"), 2);
        core_wait(&c, nothing_is_left, NULL);
}

/* The pause is kept, and kept by somebody else when we are gone. */
TEST(pauses) {
        _cleanup_(core_stop) Core c = {};
        char id[40], job[40];
        uint64_t wake;

        core_start(&c);
        core_create(&c, id);
        c.manager->settings.queue_backoff_sec = 600;
        c.manager->settings.queue_backoff_max_sec = 600;
        c.execd.fail_method = "Exec";
        c.execd.fail_name = BUS_ERROR_NO_SPACE;
        submit(&c, id, "{\"command\":\"true\"}", job);
        while (c.execd.fail_method)
                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
        core_wait(&c, nothing_is_left, NULL);
        assert_status(&c, job, "pending");
        wake = c.execd.wake_usec;
        assert_true(wake != USEC_INFINITY && wake > 0);
        {
                REQUEST(&c, "POST", path(CANCEL, job), NULL, r);
                ASSERT_STREQ(reply_string(&r, "cancelled"), job);
        }
        while (c.execd.wake_usec == wake)
                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
        assert_true(c.execd.wake_usec == USEC_INFINITY);
}

TEST(cancel) {
        _cleanup_(core_stop) Core c = {};
        char id[40], running[40], pending[40];

        core_start(&c);
        core_create(&c, id);
        c.manager->settings.queue_sandbox_max = 1;
        for (unsigned again = 0; again < 2; again++) { /* the second time over a restart */
                submit(&c, id, "{\"command\":\"sleep 100\"}", running);
                submit(&c, id, "{\"command\":\"echo never\"}", pending);
                wait_started(&c, again + 1);
                if (again) {
                        core_stop_sandboxd(&c);
                        core_start_sandboxd(&c);
                        c.manager->settings.queue_sandbox_max = 1;
                }
                assert_status(&c, running, "running");
                {
                        REQUEST(&c, "POST", path(CANCEL, pending), NULL, r);
                        ASSERT_STREQ(reply_string(&r, "cancelled"), pending);
                }
                {
                        REQUEST(&c, "POST", path(CANCEL, running), NULL, r);
                        ASSERT_STREQ(reply_string(&r, "cancelled"), running);
                }
                assert_status(&c, running, "cancelled");
                assert_status(&c, pending, "cancelled");
                {
                        REQUEST(&c, "POST", path(CANCEL, running), NULL, r);
                        ASSERT_EQ(r.status, 409);
                        ASSERT_STREQ(reply_string(&r, "error"), "Job is not pending: cancelled");
                }
        }
        ASSERT_EQ(c.execd.n_execs, 2);
        core_wait(&c, nothing_is_left, NULL);
}

/* We die between the promise to cancel and its fulfilment. */
TEST(cancel_survives_us) {
        _cleanup_(core_stop) Core c = {};
        char id[40], job[40];
        Client client;

        core_start(&c);
        core_create(&c, id);
        submit(&c, id, "{\"command\":\"sleep 100\"}", job);
        wait_started(&c, 1);
        c.execd.cut_before = "Signal";
        client_open(&c, &client, "POST", path(CANCEL, job), NULL);
        while (c.execd.cut_before)
                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
        core_stop_sandboxd(&c);
        client_close(&client);
        core_start_sandboxd(&c);
        wait_status(&c, job, "cancelled");
        core_wait(&c, nothing_is_left, NULL);
        ASSERT_EQ(c.execd.n_execs, 1);
}

TEST(paused_and_deleted) {
        _cleanup_(core_stop) Core c = {};
        char id[40], running[40], jobs[3][40];

        core_start(&c);
        core_create(&c, id);
        c.manager->settings.queue_sandbox_max = 1;
        submit(&c, id, "{\"command\":\"sleep 0.2\"}", running);
        submit(&c, id, "{\"command\":\"echo later\"}", jobs[0]);
        wait_started(&c, 1);
        {
                REQUEST(&c, "POST", path("/sandbox/sandboxes/%s/pause", id), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        wait_status(&c, running, "completed"); /* the test's sandbox does not really stand still */
        core_wait(&c, nothing_is_left, NULL);
        assert_status(&c, jobs[0], "pending");
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        core_wait(&c, nothing_is_left, NULL);
        assert_status(&c, jobs[0], "pending");
        {
                REQUEST(&c, "POST", path("/sandbox/sandboxes/%s/resume", id), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        wait_status(&c, jobs[0], "completed");
        assert_result(&c, jobs[0], 0, "later\n", "");

        c.manager->settings.queue_sandbox_max = 1;
        submit(&c, id, "{\"command\":\"sleep 100\"}", running);
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++)
                submit(&c, id, "{\"command\":\"true\"}", jobs[i]);
        wait_started(&c, 3);
        {
                REQUEST(&c, "DELETE", path("/sandbox/sandboxes/%s", id), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        assert_dead(&c, running, 0, "The sandbox was deleted");
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++)
                assert_dead(&c, jobs[i], 0, "The sandbox was deleted");
        {
                REQUEST(&c, "POST", path(REQUEUE, running), NULL, r);
                ASSERT_EQ(r.status, 404);
        }
        ASSERT_EQ(c.manager->n_attended, 0);
}

/* A sandbox that went away while none of us was there. */
TEST(sandbox_ends_without_us) {
        _cleanup_(core_stop) Core c = {};
        char id[40], jobs[2][40];

        core_start(&c);
        core_create(&c, id);
        c.manager->settings.queue_sandbox_max = 1;
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++)
                submit(&c, id, "{\"command\":\"sleep 100\"}", jobs[i]);
        wait_started(&c, 1);
        core_stop_sandboxd(&c);
        fake_execd_gone(&c.execd, c.execd.sandboxes[0].id, "killed");
        core_start_sandboxd(&c);
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++)
                assert_dead(&c, jobs[i], 0, "The sandbox is gone");
}

TEST(no_more_than_allowed) {
        _cleanup_(core_stop) Core c = {};
        char ids[2][40], job[40], gate[80], body[160];

        core_start(&c);
        snprintf(gate, sizeof gate, "%s/gate", c.directory);
        snprintf(body, sizeof body, "{\"command\":\"until [ -e %s ]; do sleep 0.02; done\"}", gate);
        core_create(&c, ids[0]);
        core_create(&c, ids[1]);
        c.manager->settings.queue_sandbox_max = 3;
        c.manager->settings.queue_active_max = 5;
        for (unsigned i = 0; i < 12; i++)
                submit(&c, ids[i / 6], body, job);
        wait_started(&c, 5);
        ASSERT_EQ(total(&c, "/sandbox/queue?status=running"), 5);
        ASSERT_EQ(total(&c, path("/sandbox/queue?status=running&sandboxId=%s", ids[0])), 3);
        ASSERT_OK(mkdir(gate, 0755));
        core_wait(&c, nothing_is_left, NULL);
        ASSERT_EQ(total(&c, "/sandbox/queue?status=completed"), 12);
}

/* The oldest go first, with their output. */
TEST(retention) {
        _cleanup_(core_stop) Core c = {};
        char id[40], job[40];

        core_start(&c);
        core_create(&c, id);
        c.manager->settings.queue_output_max = 30;
        for (unsigned i = 0; i < 5; i++) {
                submit(&c, id, "{\"command\":\"echo 123456789\"}", job);
                wait_status(&c, job, "completed");
        }
        core_wait(&c, nothing_is_left, NULL);
        ASSERT_EQ(total(&c, "/sandbox/queue"), 3);
        assert_result(&c, job, 0, "123456789\n", "");
        c.manager->settings.queue_keep = 1;
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        ASSERT_EQ(total(&c, "/sandbox/queue"), 3); /* the settings of the start are others */
}
