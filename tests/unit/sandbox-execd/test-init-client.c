/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-execd/init-client.h"
#include "tests/test.h"

/* A fake init: the test itself holds the other end. */
typedef struct Fake {
        char directory[32], path[64];
        int listen_fd, fd;
        sd_event *event;
        InitClient *client;
        unsigned n_hello, n_commands, n_replies, n_lost;
        int error;
        size_t n_fds;
} Fake;

static void on_hello(const InitHello *hello, void *userdata) {
        ASSERT_EQ(hello->version, INIT_PROTOCOL_VERSION);
        ((Fake *) userdata)->n_hello++;
}

static void on_command(const InitCommand *command, void *userdata) {
        ASSERT_STREQ(command->command, "bg_1");
        ((Fake *) userdata)->n_commands++;
}

static void on_lost(int error, void *userdata) {
        Fake *f = userdata;

        f->n_lost++;
        f->error = error;
        f->client = init_client_free(f->client); /* as the daemon does */
}

static void on_reply(int error, const InitReply *reply, int *fds, size_t n_fds, void *userdata) {
        Fake *f = userdata;

        (void) fds;
        ASSERT_EQ(!reply, error == -ECONNRESET);
        f->n_replies++;
        f->error = error;
        f->n_fds = n_fds;
}

static void set_up(Fake *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        InitClientOptions options = { .on_hello = on_hello, .on_command = on_command, .on_lost = on_lost, .userdata = f };

        *f = (Fake) { .directory = "/tmp/test-init.XXXXXX", .fd = -EBADF };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        snprintf(f->path, sizeof f->path, "%s/s", f->directory);
        strcpy(address.sun_path, f->path);
        f->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 4), 0);
        ASSERT_OK(sd_event_new(&f->event));
        options.event = f->event;
        options.path = f->path;
        ASSERT_OK(init_client_new(&options, &f->client));
        f->fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        ASSERT_TRUE(f->fd >= 0);
}

static void tear_down(Fake *f) {
        init_client_free(f->client);
        sd_event_unref(f->event);
        safe_close(f->fd);
        safe_close(f->listen_fd);
        ASSERT_EQ(unlink(f->path), 0);
        ASSERT_EQ(rmdir(f->directory), 0);
}

static void run(Fake *f) {
        while (ASSERT_OK(sd_event_run(f->event, 0)) > 0)
                ;
}

static void reply_to(Fake *f, uint32_t sequence, int error, const int *fds, size_t n_fds) {
        InitReply reply = { .header = { INIT_REPLY, sequence }, .error = error };
        struct iovec iov = { &reply, sizeof reply };

        ASSERT_OK(send_with_fds(f->fd, &iov, 1, fds, n_fds, 0));
        run(f);
}

TEST(hello_and_commands) {
        InitHello hello = { .header.operation = INIT_HELLO, .version = INIT_PROTOCOL_VERSION };
        InitCommand command = { .header.operation = INIT_COMMAND, .command = "bg_1" };
        Fake f;

        set_up(&f);
        ASSERT_EQ(send(f.fd, &hello, sizeof hello, 0), sizeof hello);
        ASSERT_EQ(send(f.fd, &command, sizeof command, 0), sizeof command);
        run(&f);
        ASSERT_EQ(f.n_hello, 1);
        ASSERT_EQ(f.n_commands, 1);
        tear_down(&f);
}

TEST(replies_find_their_requests) {
        _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        const int fds[] = { null, null };
        InitHeader got[2];
        Fake f;

        set_up(&f);
        ASSERT_OK(init_client_call_simple(f.client, INIT_PING, on_reply, &f));
        ASSERT_OK(init_client_call_simple(f.client, INIT_PING, on_reply, &f));
        for (int i = 0; i < 2; i++)
                ASSERT_EQ(recv(f.fd, &got[i], sizeof got[i], 0), sizeof(InitHeader));
        ASSERT_NE(got[0].sequence, got[1].sequence);

        reply_to(&f, got[1].sequence, ENOENT, NULL, 0); /* in any order */
        ASSERT_EQ(f.n_replies, 1);
        ASSERT_EQ(f.error, -ENOENT);
        reply_to(&f, got[0].sequence, 0, fds, 2);
        ASSERT_EQ(f.n_replies, 2);
        ASSERT_EQ(f.n_fds, 2);
        ASSERT_EQ(f.n_lost, 0);
        tear_down(&f);
}

/* What is no message of init's ends the connection: whoever speaks there is not to be trusted. */
TEST(nonsense_ends_it) {
        static const char nonsense[][8] = { "x", { INIT_HELLO, 0, 0, 0, 0, 0, 0, 0 }, { 0 } };
        static const size_t sizes[] = { 1, 8, 8 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                Fake f;

                set_up(&f);
                ASSERT_OK(init_client_call_simple(f.client, INIT_PING, on_reply, &f));
                ASSERT_EQ(send(f.fd, nonsense[i], sizes[i], 0), sizes[i]);
                run(&f);
                ASSERT_EQ(f.n_lost, 1);
                ASSERT_EQ(f.n_replies, 1);
                tear_down(&f);
        }
}

TEST(unasked_reply_ends_it) {
        Fake f;

        set_up(&f);
        reply_to(&f, 99, 0, NULL, 0);
        ASSERT_EQ(f.n_lost, 1);
        ASSERT_EQ(f.error, -EBADMSG);
        tear_down(&f);
}

TEST(death_answers_all) {
        Fake f;

        set_up(&f);
        ASSERT_OK(init_client_call_simple(f.client, INIT_PING, on_reply, &f));
        ASSERT_OK(init_client_call_simple(f.client, INIT_PING, on_reply, &f));
        f.fd = safe_close(f.fd);
        run(&f);
        ASSERT_EQ(f.n_replies, 2);
        ASSERT_EQ(f.n_lost, 1);
        ASSERT_NULL(f.client);
        tear_down(&f);
}

/* More than the socket takes is queued, and arrives in order. */
TEST(full_socket) {
        static char message[INIT_MESSAGE_MAX];
        uint32_t last = 0;
        unsigned n = 0;
        Fake f;

        set_up(&f);
        ((InitHeader *) message)->operation = INIT_PING;
        for (unsigned i = 0; i < 32; i++)
                ASSERT_OK(init_client_call(f.client, message, sizeof message, NULL, 0, on_reply, &f));
        ASSERT_EQ(fcntl(f.fd, F_SETFL, O_NONBLOCK), 0);
        while (n < 32) {
                ssize_t k = recv(f.fd, message, sizeof message, 0);

                if (k < 0) {
                        ASSERT_EQ(errno, EAGAIN);
                        ASSERT_OK(sd_event_run(f.event, UINT64_MAX));
                        continue;
                }
                ASSERT_EQ(k, sizeof message);
                ASSERT_EQ(((InitHeader *) message)->sequence, ++last);
                n++;
        }
        tear_down(&f);
        ASSERT_EQ(f.n_replies, 32); /* with -ECONNRESET, by the end of the client */
}
