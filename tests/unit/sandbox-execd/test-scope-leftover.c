/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/scope-leftover.h"
#include "tests/test.h"

#define SLICE "/sandbox.slice/sandbox-1.slice"

static struct {
        char directory[32];
        int fd;
        sd_event *event;
        SystemdClient *systemd;
        Leftovers *leftovers;
} t;

static void set_up(void) {
        strcpy(t.directory, "/tmp/leftover-XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(t.directory));
        t.fd = ASSERT_OK(open(t.directory, O_PATH | O_DIRECTORY | O_CLOEXEC));
        ASSERT_OK(mkdirat(t.fd, "sandbox.slice", 0755));
        ASSERT_OK(mkdirat(t.fd, &SLICE[1], 0755));
        ASSERT_OK(sd_event_new(&t.event));
        ASSERT_OK(systemd_client_new(t.event, &t.systemd));
        ASSERT_OK(leftovers_new(t.event, t.systemd, t.fd, &t.leftovers));
}

static void tear_down(void) {
        leftovers_free(t.leftovers);
        systemd_client_free(t.systemd);
        sd_event_unref(t.event);
        ASSERT_OK(unlinkat(t.fd, &SLICE[1], AT_REMOVEDIR));
        ASSERT_OK(unlinkat(t.fd, "sandbox.slice", AT_REMOVEDIR));
        safe_close(t.fd);
        ASSERT_OK(rmdir(t.directory));
}

static void run_for(uint64_t usec) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + usec, now;

        while (leftovers_pending(t.leftovers) && (now = now_usec(CLOCK_MONOTONIC)) < end)
                ASSERT_OK(sd_event_run(t.event, end - now));
}

static void count(void *userdata) {
        (*(unsigned *) userdata)++;
}

TEST(gone_by_itself) {
        unsigned n_none = 0;

        set_up();
        leftovers_on_none(t.leftovers, count, &n_none);
        ASSERT_FALSE(leftovers_pending(t.leftovers));
        leftovers_add(t.leftovers, SLICE "/sandbox-000000000000000000000001.scope");
        leftovers_add(t.leftovers, SLICE "/sandbox-000000000000000000000002.scope");
        ASSERT_TRUE(leftovers_pending(t.leftovers));
        run_for(30 * USEC_PER_SEC);
        ASSERT_FALSE(leftovers_pending(t.leftovers));
        ASSERT_EQ(n_none, 1);
        tear_down();
}

/* Not before systemd has said that it has no such unit; where there is none to ask, it stays. */
TEST(left) {
        static const char path[] = SLICE "/sandbox-000000000000000000000003.scope";
        bool exists;

        set_up();
        ASSERT_OK(mkdirat(t.fd, path + 1, 0755));
        leftovers_add(t.leftovers, path);
        run_for(USEC_PER_SEC);
        exists = faccessat(t.fd, path + 1, F_OK, 0) >= 0;
        ASSERT_EQ(leftovers_pending(t.leftovers), exists);
        if (exists)
                ASSERT_OK(unlinkat(t.fd, path + 1, AT_REMOVEDIR));
        tear_down();
}

TEST(freed_while_waiting) {
        set_up();
        leftovers_add(t.leftovers, SLICE "/sandbox-000000000000000000000004.scope");
        leftovers_add(t.leftovers, SLICE "/sandbox-000000000000000000000005.scope");
        tear_down();
}
