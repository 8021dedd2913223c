/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/host-key.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "tests/test.h"

static int make_tree(char path[static 32]) {
        static const char *const directories[] = { "usr", "etc", "etc/perl", "etc/perl/Net" };
        int fd;

        strcpy(path, "/tmp/test-host-key-XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(path));
        fd = open(path, O_DIRECTORY | O_CLOEXEC);
        ASSERT_TRUE(fd >= 0);
        for (size_t i = 0; i < ELEMENTSOF(directories); i++)
                ASSERT_OK(mkdirat(fd, directories[i], 0755));
        return fd;
}

static void remove_tree(const char *path) {
        char command[64];

        ASSERT_TRUE(snprintf(command, sizeof command, "rm -rf %s", path) < (int) sizeof command);
        ASSERT_EQ(system(command), 0);
}

static void write_text(int root_fd, const char *path, const char *text) {
        _cleanup_close_ int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

        ASSERT_TRUE(fd >= 0);
        ASSERT_OK(loop_write(fd, text, strlen(text)));
}

static void get(HostKeys *keys, int root_fd, char key[HOST_LAYER_KEY_MAX]) {
        char fresh[HOST_LAYER_KEY_MAX];

        ASSERT_OK(host_layer_key(root_fd, NULL, fresh));
        ASSERT_OK(host_keys_get(keys, root_fd, key));
        ASSERT_STREQ(key, fresh); /* what is remembered is never behind */
}

/* Each of these changes a file that is taken, or one that is not. */
static void change(int fd, unsigned which) {
        switch (which) {
        case 0:
                write_text(fd, "etc/services", "a");
                break;
        case 1:
                write_text(fd, "etc/services", "b"); /* in place */
                break;
        case 2:
                write_text(fd, "etc/perl/Net/libnet.cfg", "c"); /* deep */
                break;
        case 3:
                ASSERT_OK(mkdirat(fd, "etc/pki", 0755)); /* step by step, from what was not there */
                break;
        case 4:
                ASSERT_OK(mkdirat(fd, "etc/pki/tls", 0755));
                break;
        case 5:
                write_text(fd, "etc/pki/tls/openssl.cnf", "d");
                break;
        case 6:
                ASSERT_OK(fchmodat(fd, "etc/services", 0755, 0));
                break;
        case 7:
                ASSERT_OK(renameat(fd, "etc/perl/Net", fd, "etc/perl/Gone"));
                break;
        case 8:
                ASSERT_OK(symlinkat("usr/bin", fd, "bin"));
                break;
        case 9:
                ASSERT_OK(unlinkat(fd, "etc/services", 0));
                break;
        }
}

TEST(changes_are_seen) {
        _cleanup_close_ int fd = -EBADF;
        char path[32], before[HOST_LAYER_KEY_MAX], key[HOST_LAYER_KEY_MAX];
        HostKeys keys = {};

        fd = make_tree(path);
        get(&keys, fd, before);
        for (unsigned which = 0; which < 10; which++) {
                change(fd, which);
                get(&keys, fd, key);
                /* Directories that nothing is taken of are no part of it. */
                ASSERT_EQ(strcmp(before, key) != 0, which != 3 && which != 4);
                strcpy(before, key);
                get(&keys, fd, key);
                ASSERT_STREQ(before, key);
        }
        host_keys_done(&keys);
        remove_tree(path);
}

TEST(more_trees_than_places) {
        char paths[HOST_KEYS_MAX + 2][32], key[HOST_LAYER_KEY_MAX];
        int fds[ELEMENTSOF(paths)];
        HostKeys keys = {};

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                fds[i] = make_tree(paths[i]);
                write_text(fds[i], "etc/services", &"abcdefgh"[i]);
        }
        for (size_t round = 0; round < 3; round++)
                for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                        get(&keys, fds[i], key);
        host_keys_done(&keys);
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                close(fds[i]);
                remove_tree(paths[i]);
        }
}
