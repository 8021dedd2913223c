/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/state-file.h"
#include "tests/test.h"

#define ID "0123456789abcdef0123456789abcdef"
#define OTHER "ffffffffffffffffffffffffffffffff"

static SandboxRecord sample(void) {
        return (SandboxRecord) {
                .id = { ID },
                .live = true,
                .base = 589824,
                .slice = 7,
                .label = (char *) "python:3.12 100%\nbase=0\t\x7f\xc3\xa4",
                .created_usec = UINT64_MAX,
                .deadline_usec = 12345,
                .memory_max_bytes = 1U << 29,
                .pids_max = 256,
                .idmapped = true,
        };
}

TEST(there_and_back) {
        _cleanup_(sandbox_record_done) SandboxRecord back = {};
        _cleanup_free_ char *text = NULL;
        SandboxRecord record = sample();

        ASSERT_OK(sandbox_record_format(&record, &text));
        ASSERT_NOT_NULL(startswith(text, "version=1\n"));
        ASSERT_OK(sandbox_record_parse(text, ID, &back));
        ASSERT_STREQ(back.label, record.label);
        ASSERT_STREQ(back.id.digits, ID);
        ASSERT_TRUE(back.live && back.idmapped && !back.writable_disk);
        ASSERT_EQ(back.base, record.base);
        ASSERT_EQ(back.slice, 7);
        ASSERT_TRUE(back.created_usec == UINT64_MAX);
        ASSERT_EQ(back.deadline_usec, 12345);
}

/* A crash of the host's file system may leave any beginning of a file. */
TEST(every_truncation) {
        _cleanup_free_ char *text = NULL;
        SandboxRecord record = sample();
        size_t n;

        ASSERT_OK(sandbox_record_format(&record, &text));
        n = strlen(text);
        for (size_t i = 0; i + 1 < n; i++) {
                _cleanup_free_ char *part = strndup(text, i);
                SandboxRecord back;

                ASSERT_TRUE(sandbox_record_parse(part, ID, &back) < 0);
        }
}

TEST(bad_texts) {
        static const struct {
                const char *text;
                int result;
        } cases[] = {
                { "",                                                             -EBADMSG         },
                { "garbage",                                                      -EBADMSG         },
                { "base=1\nversion=1\nid=" ID "\nend=" ID "\n",                   -EBADMSG         },
                { "version=0\nid=" ID "\nend=" ID "\n",                           -EBADMSG         },
                { "version=2\nid=" ID "\nwhatever\nend=" ID "\n",                 -EPROTONOSUPPORT },
                { "version=1\nid=" OTHER "\nend=" OTHER "\n",                     -ESTALE          },
                { "version=1\nid=" ID "\nbase=x\nend=" ID "\n",                   -EBADMSG         },
                { "version=1\nid=" ID "\nbase=4294967296\nend=" ID "\n",          -EBADMSG         },
                { "version=1\nid=" ID "\nlabel=%0\nend=" ID "\n",                 -EBADMSG         },
                { "version=1\nid=" ID "\nlabel=%00\nend=" ID "\n",                -EBADMSG         },
                { "version=1\nid=" ID "\nend=" ID "\nbase=1\n",                   -EBADMSG         },
                { "version=1\nid=" ID "\nlater=key\nlive=1\nend=" ID "\n",        0                },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *text = strdup(cases[i].text);
                SandboxRecord record = {};

                ASSERT_EQ(sandbox_record_parse(text, ID, &record), cases[i].result);
                sandbox_record_done(&record);
        }
}

typedef struct Loaded {
        unsigned n;
        int answer;
} Loaded;

static int on_record(SandboxRecord *record, void *userdata) {
        Loaded *loaded = userdata;

        sandbox_record_done(record);
        loaded->n++;
        return loaded->answer;
}

TEST(load) {
        char directory[] = "/tmp/test-state-file.XXXXXX";
        _cleanup_close_ int fd = -EBADF;
        SandboxRecord record = sample();
        Loaded loaded = {};

        ASSERT_NOT_NULL(mkdtemp(directory));
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(state_file_write(fd, &record));
        ASSERT_OK(write_file_atomic_at(fd, OTHER, "version=1\nid=" ID "\n", 0600));
        ASSERT_OK(write_file_atomic_at(fd, "fault", "3", 0600));

        ASSERT_OK(state_files_load(fd, on_record, &loaded));
        ASSERT_EQ(loaded.n, 1);
        ASSERT_EQ(faccessat(fd, OTHER ".bad", F_OK, 0), 0);
        ASSERT_EQ(faccessat(fd, OTHER, F_OK, 0), -1);
        ASSERT_EQ(faccessat(fd, "fault", F_OK, 0), 0);

        /* Its range belongs to another one. */
        loaded.answer = -EEXIST;
        ASSERT_OK(state_files_load(fd, on_record, &loaded));
        ASSERT_EQ(faccessat(fd, ID ".bad", F_OK, 0), 0);

        ASSERT_OK(state_file_remove(fd, ID));
        ASSERT_EQ(unlinkat(fd, ID ".bad", 0), 0);
        ASSERT_EQ(unlinkat(fd, OTHER ".bad", 0), 0);
        ASSERT_EQ(unlinkat(fd, "fault", 0), 0);
        ASSERT_EQ(rmdir(directory), 0);
}
