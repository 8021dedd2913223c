/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "sandbox-init/command.h"
#include "tests/test.h"

static Command *add(CommandTable *t, const char *name, uint64_t deadline_usec) {
        InitExec m = { .header.sequence = 7, .deadline_usec = deadline_usec, .cgroup = "exec-3" };
        Command *c = NULL;

        snprintf(m.command, sizeof(m.command), "%s", name);
        ASSERT_OK(command_table_add(t, &m, 1000, &c));
        return c;
}

TEST(life) {
        static CommandTable t;
        InitCommand told;
        Command *c = add(&t, "c", 5000);

        ASSERT_EQ(c->state, COMMAND_STARTING);
        ASSERT_TRUE(command_is_live(c));
        ASSERT_EQ(c->keep[0], -EBADF);
        ASSERT_EQ(command_table_count_told(&t), 0);
        c->pid = 17;
        ASSERT_TRUE(command_table_find_pid(&t, 17) == c);

        command_started(c);
        ASSERT_TRUE(c->reply_due);
        ASSERT_FALSE(c->notice_due);
        ASSERT_EQ(command_table_count_told(&t), 1);

        command_ended(c, CLD_EXITED, 42, 3000);
        ASSERT_EQ(c->state, COMMAND_EXITED);
        ASSERT_TRUE(c->notice_due);
        ASSERT_NULL(command_table_find_pid(&t, 17)); /* the number may be another's by now */
        command_describe(c, &told);
        ASSERT_EQ(told.header.operation, INIT_COMMAND);
        ASSERT_EQ(told.state, INIT_COMMAND_EXITED);
        ASSERT_EQ(told.code, CLD_EXITED);
        ASSERT_EQ(told.status, 42);
        ASSERT_EQ(told.pid, 17);
        ASSERT_EQ(told.started_usec, 1000);
        ASSERT_EQ(told.ended_usec, 3000);
        ASSERT_EQ(told.deadline_usec, 5000);
        ASSERT_STREQ(told.command, "c");
        ASSERT_STREQ(told.cgroup, "exec-3");

        command_free(&t, c);
        ASSERT_NULL(command_table_find(&t, "c"));
        ASSERT_EQ(t.n_used, 0);
}

TEST(failed_start) {
        static CommandTable t;
        Command *c = add(&t, "c", UINT64_MAX);

        command_ended(c, CLD_EXITED, 127, 2000);
        ASSERT_EQ(c->state, COMMAND_FAILED);
        ASSERT_TRUE(c->reply_due);
        ASSERT_FALSE(c->notice_due);
        ASSERT_EQ(command_table_count_told(&t), 0);

        /* Nobody waits for the answer any more. */
        command_table_reconnected(&t);
        ASSERT_EQ(t.n_used, 0);
}

TEST(names) {
        static CommandTable t;
        InitExec m = { .command = "same" };
        Command *c;

        (void) add(&t, "same", 0);
        ASSERT_EQ(command_table_add(&t, &m, 0, &c), -EEXIST);
        ASSERT_NULL(command_table_find(&t, "sam"));
        ASSERT_NULL(command_table_find(&t, "same2"));

        /* As long as the field allows. */
        memset(m.command, 'x', INIT_COMMAND_ID_MAX - 1);
        ASSERT_OK(command_table_add(&t, &m, 0, &c));
        ASSERT_STREQ(c->name, m.command);
        ASSERT_TRUE(command_table_find(&t, m.command) == c);
}

TEST(full) {
        static CommandTable t;
        InitExec m = { .command = "one more" };
        char name[16];
        Command *c;

        for (unsigned i = 0; i < INIT_COMMANDS_MAX; i++) {
                snprintf(name, sizeof(name), "c%u", i);
                (void) add(&t, name, 0);
        }
        ASSERT_EQ(command_table_add(&t, &m, 0, &c), -EAGAIN);

        command_free(&t, command_table_find(&t, "c100"));
        ASSERT_EQ(t.n_used, INIT_COMMANDS_MAX);
        ASSERT_OK(command_table_add(&t, &m, 0, &c));
        ASSERT_TRUE(c == &t.rows[100]);
}

TEST(rows_are_given_back) {
        static CommandTable t;

        (void) add(&t, "a", 0);
        (void) add(&t, "b", 0);
        (void) add(&t, "c", 0);
        command_free(&t, command_table_find(&t, "b"));
        ASSERT_EQ(t.n_used, 3);
        command_free(&t, command_table_find(&t, "c"));
        ASSERT_EQ(t.n_used, 1);
}

TEST(deadlines) {
        static CommandTable t;
        Command *a, *b;

        ASSERT_TRUE(command_table_next_deadline(&t) == UINT64_MAX);
        (void) add(&t, "never", UINT64_MAX);
        ASSERT_TRUE(command_table_next_deadline(&t) == UINT64_MAX);
        a = add(&t, "a", 9000);
        b = add(&t, "b", 4000);
        ASSERT_EQ(command_table_next_deadline(&t), 4000);
        ASSERT_FALSE(command_is_due(b, 3999));
        ASSERT_TRUE(command_is_due(b, 4000));

        /* What it left behind in its cgroup is still bound by it. */
        command_started(b);
        command_ended(b, CLD_EXITED, 0, 3000);
        ASSERT_TRUE(command_is_due(b, 4000));

        b->deadline_done = true;
        ASSERT_FALSE(command_is_due(b, 4000));
        ASSERT_EQ(command_table_next_deadline(&t), 9000);
        command_free(&t, a);
        ASSERT_TRUE(command_table_next_deadline(&t) == UINT64_MAX);
}

TEST(reconnected) {
        static CommandTable t;
        Command *starting = add(&t, "starting", 0), *running = add(&t, "running", 0), *exited = add(&t, "exited", 0);

        command_started(running);
        command_started(exited);
        command_ended(exited, CLD_EXITED, 0, 0);
        exited->notice_due = exited->reply_due = running->reply_due = false; /* all were sent */

        command_table_reconnected(&t);
        ASSERT_TRUE(running->notice_due);
        ASSERT_TRUE(exited->notice_due);
        ASSERT_FALSE(starting->notice_due);
        ASSERT_EQ(command_table_count_told(&t), 2);

        /* The one who asked for it is gone: news for the other one, not a reply. */
        command_started(starting);
        ASSERT_FALSE(starting->reply_due);
        ASSERT_TRUE(starting->notice_due);
}
