/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/sandboxd/http-fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/dialect.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

static void listen_on_loopback(Fixture *f) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof address;

        f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_TRUE(f->listen_fd >= 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 4096), 0);
        ASSERT_EQ(getsockname(f->listen_fd, (struct sockaddr *) &address, &size), 0);
        f->port = ntohs(address.sin_port);
}

void fixture_start(Fixture *f, const char *const *assignments, const HttpTimes *times, void *userdata) {
        static RouteTable table;

        *f = (Fixture) {};
        table = (RouteTable) { &dialect_sandbox, "/sandbox", fixture_routes, n_fixture_routes };
        ASSERT_OK(sd_event_new(&f->event));
        ASSERT_OK(settings_init_defaults(&f->settings));
        for (const char *const *a = assignments; a && *a; a++) {
                char name[64];

                snprintf(name, sizeof name, "%.*s", (int) strcspn(*a, "="), *a);
                ASSERT_OK(settings_assign(&f->settings, name, *a + strlen(name) + 1));
        }
        ASSERT_OK(auth_new(&f->settings, NULL, &f->auth));
        listen_on_loopback(f);
        ASSERT_OK(http_server_new(
                &(HttpServerOptions) {
                        .event = f->event,
                        .settings = &f->settings,
                        .tables = &table,
                        .n_tables = 1,
                        .tcp_fds = &f->listen_fd,
                        .n_tcp = 1,
                        .auth = f->auth,
                        .times = times,
                        .userdata = userdata,
                },
                &f->server));
}

void fixture_stop(Fixture *f) {
        http_server_free(f->server);
        auth_free(f->auth);
        settings_done(&f->settings);
        close(f->listen_fd);
        sd_event_unref(f->event);
}

int fixture_connect(Fixture *f) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                       .sin_port = htons(f->port) };
        int fd;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_TRUE(fd >= 0);
        ASSERT_EQ(connect(fd, (struct sockaddr *) &address, sizeof address), 0);
        return fd;
}

/* A server that refuses the rest is no failure here. */
void fixture_send(Fixture *f, int fd, const void *data, size_t n) {
        uint64_t start = now_usec(CLOCK_MONOTONIC);

        while (n > 0) {
                ssize_t k = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (k < 0 && errno != EAGAIN)
                        return;
                if (k > 0) {
                        data = (const char *) data + k;
                        n -= (size_t) k;
                } else
                        ASSERT_OK(sd_event_run(f->event, 10 * USEC_PER_MSEC));
                ASSERT_TRUE(now_usec(CLOCK_MONOTONIC) - start < PATIENCE_USEC);
        }
}

/* Looks at the head only: the body may have megabytes, and each piece of it leads here. */
static const char *find_in_head(Reply *r, const char *text) {
        const char *found;
        char first = r->text[r->head_size];

        r->text[r->head_size] = 0;
        found = strcasestr(r->text, text);
        r->text[r->head_size] = first;
        return found;
}

static bool reply_is_whole(Reply *r) {
        const char *end, *length;

        if (r->head_size == 0) {
                end = strstr(r->text, "\r\n\r\n");
                if (!end)
                        return false;
                r->head_size = (size_t) (end + 4 - r->text);
                if (sscanf(r->text, "HTTP/1.%*d %u", &r->status) != 1)
                        r->status = 0;
        }
        length = find_in_head(r, "\r\nContent-Length: ");
        if (length)
                return r->n >= r->head_size + strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
        if (find_in_head(r, "chunked"))
                return r->n >= 5 && memcmp(r->text + r->n - 5, "0\r\n\r\n", 5) == 0;
        return false;
}

void fixture_receive(Fixture *f, int fd, Reply *ret) {
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        Reply r = { .text = calloc(1, 1) };

        while (!r.closed && !reply_is_whole(&r)) {
                char buffer[16384];
                ssize_t n;

                ASSERT_OK(sd_event_run(f->event, USEC_PER_MSEC));
                n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno != EAGAIN))
                        r.closed = true;
                if (n > 0) {
                        r.text = realloc(r.text, r.n + (size_t) n + 1);
                        memcpy(r.text + r.n, buffer, (size_t) n);
                        r.n += (size_t) n;
                        r.text[r.n] = 0;
                }
                ASSERT_TRUE(now_usec(CLOCK_MONOTONIC) - start < PATIENCE_USEC);
        }
        *ret = r;
}

void fixture_expect_body(Fixture *f, int fd, unsigned status, const char *body) {
        Reply r;

        fixture_receive(f, fd, &r);
        ASSERT_EQ(r.status, status);
        ASSERT_STREQ(reply_body(&r), body);
        reply_done(&r);
}

void fixture_run_until(Fixture *f, bool (*done)(void *userdata), void *userdata) {
        uint64_t start = now_usec(CLOCK_MONOTONIC);

        while (!done(userdata)) {
                ASSERT_OK(sd_event_run(f->event, 5 * USEC_PER_MSEC));
                ASSERT_TRUE(now_usec(CLOCK_MONOTONIC) - start < PATIENCE_USEC);
        }
}

void fixture_run_for(Fixture *f, uint64_t usec) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + usec;

        for (uint64_t now; (now = now_usec(CLOCK_MONOTONIC)) < end;)
                ASSERT_OK(sd_event_run(f->event, MIN(end - now, 5 * USEC_PER_MSEC)));
}

void fixture_exchange(Fixture *f, const void *data, size_t n, Reply *ret) {
        int fd = fixture_connect(f);

        fixture_send(f, fd, data, n);
        fixture_receive(f, fd, ret);
        close(fd);
}

void reply_done(Reply *r) {
        r->text = mfree(r->text);
}

const char *reply_body(const Reply *r) {
        return r->text + r->head_size;
}

size_t rss_bytes(void) {
        unsigned long size = 0, resident = 0;
        FILE *file = fopen("/proc/self/statm", "re");

        if (SANITIZED) {
                if (file)
                        fclose(file);
                return 0;
        }
        ASSERT_NOT_NULL(file);
        ASSERT_EQ(fscanf(file, "%lu %lu", &size, &resident), 2);
        fclose(file);
        return resident * (size_t) sysconf(_SC_PAGESIZE);
}
