/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/runtime-files.h"
#include "tests/test.h"

#define ID "0123456789abcdef0123456789abcdef"
#define BAD "1123456789abcdef0123456789abcdef"

static int collect(const char *id, const char *text, void *userdata) {
        strcat(userdata, id);
        strcat(userdata, text);
        return strcmp(text, "bad") == 0 ? -EBADMSG : 0;
}

TEST(directory_and_files) {
        char path[] = "/tmp/test-runtime-XXXXXX", found[256] = "";
        _cleanup_close_ int fd = -EBADF;

        ASSERT_EQ(unsetenv("RUNTIME_DIRECTORY"), 0);
        ASSERT_EQ(runtime_directory_open(), -ENOENT);
        ASSERT_NOT_NULL(mkdtemp(path));
        ASSERT_EQ(setenv("RUNTIME_DIRECTORY", path, 1), 0);
        fd = runtime_directory_open();
        ASSERT_TRUE(fd >= 0);
        ASSERT_OK(write_file_atomic_at(fd, ID, "text", 0600));
        ASSERT_OK(write_file_atomic_at(fd, "something-else", "x", 0600));
        ASSERT_OK(runtime_files_foreach(fd, 64, collect, found));
        ASSERT_STREQ(found, ID "text");
        /* One that is bad does not keep the others from being read; one that is too large is none. */
        ASSERT_OK(write_file_atomic_at(fd, BAD, "bad", 0600));
        found[0] = 0;
        ASSERT_OK(runtime_files_foreach(fd, 64, collect, found));
        ASSERT_EQ(strlen(found), strlen(ID "text" BAD "bad"));
        found[0] = 0;
        ASSERT_OK(runtime_files_foreach(fd, 1, collect, found));
        ASSERT_STREQ(found, "");
        for (size_t i = 0; i < 3; i++)
                ASSERT_EQ(unlinkat(fd, i == 0 ? ID : i == 1 ? BAD : "something-else", 0), 0);
        ASSERT_EQ(rmdir(path), 0);
}
