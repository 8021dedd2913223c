/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "sandbox-execd/spawn-clone.h"
#include "tests/test.h"

#define STACK_SIZE (64 * KiB)

static int child(void *userdata) {
        volatile int *shared = userdata;

        *shared += 1;
        return 42;
}

TEST(child_shares_memory_and_returns) {
        struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD, .stack_size = STACK_SIZE };
        int shared = 6;
        siginfo_t info;
        void *stack;
        long pid;

        stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_TRUE(stack != MAP_FAILED);
        args.stack = (uintptr_t) stack;
        for (int i = 0; i < 3; i++) {
                pid = spawn_clone3(&args, sizeof args, child, &shared);
                ASSERT_TRUE(pid > 0);
                ASSERT_EQ(shared, 7 + i);
                ASSERT_EQ(waitid(P_PID, (id_t) pid, &info, WEXITED), 0);
                ASSERT_EQ(info.si_code, CLD_EXITED);
                ASSERT_EQ(info.si_status, 42);
        }
        ASSERT_EQ(munmap(stack, STACK_SIZE), 0);
}

TEST(errors_are_negative) {
        struct clone_args args = { .flags = CLONE_SIGHAND }; /* without CLONE_VM */

        ASSERT_EQ(spawn_clone3(&args, sizeof args, child, NULL), -EINVAL);
}
