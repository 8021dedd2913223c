/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/files-server.h"
#include "sandbox-fsd/tree-remove.h"
#include "tests/test.h"

#define ID "00112233445566778899aabbccddeeff"

/* Files1 over a socketpair, with a fresh directory for the sandbox's root. */
typedef struct Fixture {
        sd_bus *server, *client;
        FilesServer files;
        char directory[64];
} Fixture;

static void fixture_init(Fixture *f) {
        *f = (Fixture) { .directory = "/tmp/test-files-XXXXXX" };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        ASSERT_OK(file_root_init(&f->files.root, open(f->directory, O_PATH | O_DIRECTORY | O_CLOEXEC)));
        bus_pair(&f->server, &f->client);
        ASSERT_OK(files_server_attach(&f->files, f->server));
}

static void fixture_done(Fixture *f) {
        _cleanup_close_ int tmp_fd = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

        sd_bus_flush_close_unref(f->client);
        sd_bus_flush_close_unref(f->server);
        file_root_done(&f->files.root);
        ASSERT_OK(tree_remove_at(tmp_fd, f->directory + strlen("/tmp/"), USEC_INFINITY));
}

#define CALL(f, member, reply, ...)                                                                \
        bus_call_and_wait((f)->server, (f)->client, FSD_OBJECT, FILES_INTERFACE, member, reply, __VA_ARGS__)

static void assert_error(sd_bus_message *reply, const char *name) {
        if (!sd_bus_message_is_method_error(reply, NULL))
                fail_msg("no error, expected %s", name);
        ASSERT_STREQ(sd_bus_message_get_error(reply)->name, name);
}

static void assert_success(sd_bus_message *reply) {
        if (sd_bus_message_is_method_error(reply, NULL))
                fail_msg("%s", sd_bus_message_get_error(reply)->message);
}

/* Reads the whole file over the bus and compares. */
static void assert_content(Fixture *f, const char *path, const char *expected) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        uint64_t size, mtime;
        char buffer[4096];
        uint32_t mode;
        ssize_t n;
        int fd;

        CALL(f, "Read", &reply, "sstt", ID, path, (uint64_t) 0, (uint64_t) 0);
        assert_success(reply);
        ASSERT_OK(sd_bus_message_read(reply, "htut", &fd, &size, &mode, &mtime));
        ASSERT_EQ(size, strlen(expected));
        ASSERT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        n = loop_read(fd, buffer, sizeof buffer - 1);
        ASSERT_EQ(n, strlen(expected));
        buffer[n] = 0;
        ASSERT_STREQ(buffer, expected);
}

static void write_small(Fixture *f, const char *path, const char *content, const char *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;

        ASSERT_OK(sd_bus_message_new_method_call(f->client, &call, NULL, FSD_OBJECT, FILES_INTERFACE, "WriteSmall"));
        ASSERT_OK(sd_bus_message_append(call, "ssub", ID, path, 0644, false));
        ASSERT_OK(sd_bus_message_append_array(call, 'y', content, strlen(content)));
        bus_send_and_wait(f->server, f->client, call, &reply);
        if (error)
                assert_error(reply, error);
        else
                assert_success(reply);
}

/* Writes what a pipe brings, which is then closed. */
static void write_pipe(Fixture *f, const char *path, const char *content, uint64_t size, const char *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int fds[2];

        ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
        ASSERT_OK(loop_write(fds[1], content, strlen(content)));
        safe_close(fds[1]);
        CALL(f, "Write", &reply, "ssubth", ID, path, 0600, false, size, fds[0]);
        safe_close(fds[0]);
        if (error)
                assert_error(reply, error);
        else
                assert_success(reply);
}

TEST(write_and_read) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        write_small(&f, "/a/b/c", "first", NULL);
        assert_content(&f, "/a/b/c", "first");
        write_small(&f, "/a/b/c", "", NULL);
        assert_content(&f, "/a/b/c", "");
        write_pipe(&f, "/a/b/c", "from a pipe", 11, NULL);
        assert_content(&f, "/a/b/c", "from a pipe");
        /* More than asked for: the rest is not ours. */
        write_pipe(&f, "/a/b/c", "0123456789", 4, NULL);
        assert_content(&f, "/a/b/c", "0123");
}

TEST(interrupted_write_changes_nothing) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(fixture_done) Fixture f;
        const char *name;
        int more;

        fixture_init(&f);
        write_small(&f, "/x", "old", NULL);
        write_pipe(&f, "/x", "half", 8, BUS_ERROR_INTERRUPTED);
        assert_content(&f, "/x", "old");

        /* No temporary file is left. */
        CALL(&f, "ListDirectory", &reply, "sstu", ID, "/", (uint64_t) 0, 0);
        assert_success(reply);
        ASSERT_OK(sd_bus_message_enter_container(reply, 'a', "(ssttub)"));
        ASSERT_EQ(sd_bus_message_read(reply, "(ssttub)", &name, NULL, NULL, NULL, NULL, NULL), 1);
        ASSERT_STREQ(name, "x");
        ASSERT_EQ(sd_bus_message_exit_container(reply), 1);
        ASSERT_OK(sd_bus_message_read(reply, "b", &more));
        ASSERT_FALSE(more);
}

TEST(upload) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *begun = NULL, *part = NULL, *size = NULL, *again = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *early = NULL, *done = NULL;
        _cleanup_(fixture_done) Fixture f;
        uint64_t n;
        int fds[2];

        fixture_init(&f);
        write_small(&f, "/x", "old", NULL);
        CALL(&f, "BeginUpload", &begun, "ssst", ID, "/x", "/.part", (uint64_t) 4);
        assert_success(begun);
        ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
        ASSERT_OK(loop_write(fds[1], "ne", 2));
        safe_close(fds[1]);
        CALL(&f, "Append", &part, "sstth", ID, "/.part", (uint64_t) 0, (uint64_t) 4, fds[0]);
        assert_success(part);
        ASSERT_OK(sd_bus_message_read(part, "t", &n));
        ASSERT_EQ(n, 2);
        CALL(&f, "Append", &again, "sstth", ID, "/.part", (uint64_t) 0, (uint64_t) 4, fds[0]);
        assert_error(again, BUS_ERROR_WRONG_STATE);
        safe_close(fds[0]);
        CALL(&f, "UploadSize", &size, "ss", ID, "/.part");
        assert_success(size);
        ASSERT_OK(sd_bus_message_read(size, "t", &n));
        ASSERT_EQ(n, 2);
        CALL(&f, "FinishUpload", &early, "ssstub", ID, "/x", "/.part", (uint64_t) 4, 0644, 1);
        assert_error(early, BUS_ERROR_WRONG_STATE);
        assert_content(&f, "/x", "old");
        CALL(&f, "FinishUpload", &done, "ssstub", ID, "/x", "/.part", (uint64_t) 2, 0644, 1);
        assert_success(done);
        assert_content(&f, "/x", "ne");
}

TEST(errors_by_path) {
        static const struct {
                const char *path, *error;
        } cases[] = {
                { "",              BUS_ERROR_INVALID         },
                { "relative",      BUS_ERROR_PATH_REFUSED    },
                { "/missing",      BUS_ERROR_NO_SUCH_FILE    },
                { "/file/below",   BUS_ERROR_NOT_A_DIRECTORY },
                { "/directory",    BUS_ERROR_NOT_A_FILE      },
                { "/",             BUS_ERROR_NOT_A_FILE      },
                { "/fifo",         BUS_ERROR_NOT_A_FILE      },
                { "/socket",       BUS_ERROR_NOT_A_FILE      },
                { "/loop",         BUS_ERROR_PATH_REFUSED    },
                { "/outside",      BUS_ERROR_NO_SUCH_FILE    }, /* -> /../../etc/passwd: inside there is none */
                { "/../../file/x", BUS_ERROR_NOT_A_DIRECTORY },
        };
        _cleanup_(fixture_done) Fixture f;
        int fd;

        fixture_init(&f);
        fd = open(f.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd);
        write_small(&f, "/file", "x", NULL);
        ASSERT_EQ(mkdirat(fd, "directory", 0755), 0);
        ASSERT_EQ(mkfifoat(fd, "fifo", 0666), 0);
        ASSERT_EQ(mknodat(fd, "socket", S_IFSOCK | 0666, 0), 0);
        ASSERT_EQ(symlinkat("loop", fd, "loop"), 0);
        ASSERT_EQ(symlinkat("/../../etc/passwd", fd, "outside"), 0);
        safe_close(fd);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL, *small = NULL;

                CALL(&f, "Read", &reply, "sstt", ID, cases[i].path, (uint64_t) 0, (uint64_t) 0);
                assert_error(reply, cases[i].error);
                CALL(&f, "ReadSmall", &small, "sst", ID, cases[i].path, (uint64_t) 100);
                assert_error(small, cases[i].error);
        }
}

TEST(user_of_the_object_path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL, *unknown = NULL, *own = NULL;
        _cleanup_(fixture_done) Fixture f;
        uid_t uid;
        gid_t gid;

        ASSERT_OK(files_path_to_user(FSD_OBJECT "/1000_100", &uid, &gid));
        ASSERT_EQ(uid, 1000);
        ASSERT_EQ(gid, 100);
        ASSERT_EQ(files_path_to_user(FSD_OBJECT "/65536_0", &uid, &gid), -ENOENT);
        ASSERT_EQ(files_path_to_user(FSD_OBJECT "/1000", &uid, &gid), -ENOENT);
        ASSERT_EQ(files_path_to_user(FSD_OBJECT "x", &uid, &gid), -ENOENT);
        if (geteuid() != 0)
                test_skip("other users' files need root");

        fixture_init(&f);
        ASSERT_EQ(chmod(f.directory, 0755), 0);
        write_small(&f, "/secret", "s", NULL);
        ASSERT_EQ(fchmodat(AT_FDCWD, strcat(strcpy((char[128]) {}, f.directory), "/secret"), 0600, 0), 0);

        bus_call_and_wait(f.server, f.client, FSD_OBJECT "/1000_1000", FILES_INTERFACE, "ReadSmall", &reply, "sst", ID,
                          "/secret", (uint64_t) 10);
        assert_error(reply, BUS_ERROR_FILE_ACCESS);
        bus_call_and_wait(f.server, f.client, FSD_OBJECT "/nobody", FILES_INTERFACE, "ReadSmall", &unknown, "sst", ID,
                          "/secret", (uint64_t) 10);
        assert_error(unknown, SD_BUS_ERROR_UNKNOWN_OBJECT);
        /* And root again. */
        CALL(&f, "ReadSmall", &own, "sst", ID, "/secret", (uint64_t) 10);
        assert_success(own);
}
