/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

typedef struct Fixture {
        char directory[32], program[64];
        Service *service;
        bool done;
        int error;
        char text[HELPER_TEXT_MAX];
} Fixture;

static void on_done(int error, const char *text, void *userdata) {
        Fixture *f = userdata;

        f->done = true;
        f->error = error;
        (void) snprintf(f->text, sizeof f->text, "%s", text);
}

/* A shell's script in the place of our program. */
static void run(Fixture *f, const char *script, uint64_t timeout_usec) {
        _cleanup_close_ int fd = -EBADF;
        Helper *h;

        *f = (Fixture) { .directory = "/tmp/test-helper-XXXXXX" };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        fd = open(f->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(write_file_atomic_at(fd, "program", script, 0700));
        (void) snprintf(f->program, sizeof f->program, "%s/program", f->directory);
        ASSERT_OK(service_new(&(ServiceOptions) { .program = "test", .idle_usec = USEC_INFINITY }, &f->service));
        ASSERT_OK(helper_new(&(HelperOptions) { .service = f->service, .program = f->program, .work = "w",
                                                .timeout_usec = timeout_usec, .handler = on_done, .userdata = f }, &h));
        while (!f->done)
                ASSERT_OK(sd_event_run(service_event(f->service), UINT64_MAX));
        f->service = service_free(f->service);
        ASSERT_EQ(unlink(f->program), 0);
        ASSERT_EQ(rmdir(f->directory), 0);
}

TEST(what_it_says) {
        static const struct {
                const char *script;
                int error;
                const char *text;
        } cases[] = {
                { "#!/bin/sh\nprintf '0 well' >&3\n",           0,          "well" },
                { "#!/bin/sh\nprintf '28 full' >&3\n",          -ENOSPC,    "full" },
                { "#!/bin/sh\nprintf '0 well' >&3; exit 1\n",   -EPROTO,    "well" },
                { "#!/bin/sh\nprintf 'nonsense' >&3\n",         -EPROTO,    NULL   },
                { "#!/bin/sh\n",                                -EPROTO,    NULL   },
                { "#!/bin/sh\nexec sleep 1000\n",               -ETIMEDOUT, NULL   },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fixture f;

                run(&f, cases[i].script, cases[i].error == -ETIMEDOUT ? USEC_PER_MSEC : USEC_INFINITY / 4);
                ASSERT_EQ(f.error, cases[i].error);
                if (cases[i].text)
                        ASSERT_STREQ(f.text, cases[i].text);
        }
}

/* Nobody waits for what it leaves behind, which may have the other end of the pipe. */
TEST(who_outlives_it) {
        static const char *const scripts[] = {
                "#!/bin/sh\nsleep 10 & printf \"0 $!\" >&3\n",
                "#!/bin/sh\nsleep 10 & printf \"0 $!\" >&3; kill -9 $$\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                _cleanup_free_ char *command = NULL;
                char path[64];
                Fixture f;
                pid_t pid;

                run(&f, scripts[i], USEC_INFINITY / 4);
                ASSERT_EQ(f.error, i == 0 ? 0 : -EPROTO);
                pid = atoi(f.text);
                ASSERT_TRUE(pid > 1);
                (void) snprintf(path, sizeof path, "/proc/%i/cmdline", pid);
                ASSERT_OK(read_text_at(AT_FDCWD, path, 4096, &command));
                ASSERT_TRUE(command[0] != 0); /* the shell's still, or sleep's: one that has ended has none any more */
                ASSERT_EQ(kill(pid, SIGKILL), 0);
        }
}
