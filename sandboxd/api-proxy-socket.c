/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "libsandbox/fd-util.h"
#include "sandboxd/api-proxy.h"
#include "sandboxd/exchange.h"
#include "sandboxd/http/upgrade.h"

/* After an upgrade we do not know what the bytes mean, and need not: each side is read only while the other one takes what
 * was read, so that the kernel makes a sender wait whose reader is slow. Both ways end one by one. A silent connection
 * stays, as its sides want it; it ends with the sandbox, when it is paused, and with us. */

#define BUFFER_SIZE (32 * KiB)

enum {
        CLIENT,
        SERVER,
        _SIDE_MAX,
};

/* Read from one side, on its way to the other. */
typedef struct Flow {
        char *bytes;
        size_t begin, end;
        bool eof;               /* the side says no more */
        bool told;              /* the other side knows */
} Flow;

typedef struct Join {
        Manager *manager;
        ExchangeWatch *watch;
        Upgrade *upgrade;
        int fds[_SIDE_MAX];
        sd_event_source *sources[_SIDE_MAX];
        uint32_t events[_SIDE_MAX];
        Flow flows[_SIDE_MAX];  /* from this side */
        bool over;
} Join;

static void join_free(Join *j) {
        for (size_t i = 0; i < _SIDE_MAX; i++) {
                sd_event_source_disable_unref(j->sources[i]);
                free(j->flows[i].bytes);
        }
        exchange_watch_free(j->watch);
        safe_close(j->fds[SERVER]);
        free(j);
}

static void end(Join *j) {
        if (j->over)
                return;
        j->over = true;
        for (size_t i = 0; i < _SIDE_MAX; i++)
                j->sources[i] = sd_event_source_disable_unref(j->sources[i]);
        j->fds[SERVER] = safe_close(j->fds[SERVER]);
        if (j->upgrade)
                upgrade_close(j->upgrade);
}

/* < 0: the side is gone. */
static int fill(Flow *f, int from) {
        ssize_t n;

        if (f->eof || f->begin < f->end)
                return 0;
        n = recv(from, f->bytes, BUFFER_SIZE, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        f->begin = 0;
        f->end = (size_t) n;
        f->eof = n == 0;
        return 0;
}

static int drain(Flow *f, int to) {
        while (f->begin < f->end) {
                ssize_t n = send(to, f->bytes + f->begin, f->end - f->begin, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                f->begin += (size_t) n;
        }
        if (f->eof && !f->told) {
                f->told = true;
                (void) shutdown(to, SHUT_WR);
        }
        return 0;
}

static uint32_t wanted_events(const Join *j, size_t side) {
        const Flow *from = j->flows + side, *to = j->flows + (side ^ 1);

        return (!from->eof && from->begin == from->end ? EPOLLIN : 0) | (to->begin < to->end ? EPOLLOUT : 0);
}

/* A hang-up is told for ever, whatever we listen to: one of which nothing is wanted now is not listened to at all. */
static int listen_again(Join *j) {
        for (size_t i = 0; i < _SIDE_MAX; i++) {
                uint32_t events = wanted_events(j, i);

                if (events == j->events[i])
                        continue;
                if (sd_event_source_set_io_events(j->sources[i], events) < 0 ||
                    sd_event_source_set_enabled(j->sources[i], events ? SD_EVENT_ON : SD_EVENT_OFF) < 0)
                        return -EIO;
                j->events[i] = events;
        }
        return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Join *j = userdata;
        size_t side = fd == j->fds[CLIENT] ? CLIENT : SERVER;
        int r = 0;

        (void) source;
        if (events & EPOLLOUT)
                r = drain(j->flows + (side ^ 1), fd);
        if (r >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = fill(j->flows + side, fd);
        if (r >= 0)
                r = drain(j->flows + side, j->fds[side ^ 1]);
        if (r >= 0)
                r = listen_again(j);
        /* What a side said before it hung up is passed on to the end; it can take nothing more. */
        if (r < 0 || (events & (EPOLLHUP | EPOLLERR) && j->flows[side].eof) ||
            (j->flows[CLIENT].told && j->flows[SERVER].told))
                end(j);
        return 0;
}

static int watch_side(Join *j, size_t side) {
        int r;

        j->events[side] = EPOLLIN;
        r = sd_event_add_io(j->manager->event, j->sources + side, j->fds[side], EPOLLIN, on_io, j);
        return r;
}

static void keep_early(Flow *f, const char *data, size_t n) {
        memcpy(f->bytes, data, MIN(n, (size_t) BUFFER_SIZE));
        f->end = MIN(n, (size_t) BUFFER_SIZE);
}

static void on_opened(Upgrade *u, int fd, const char *bytes, size_t n, void *userdata) {
        Join *j = userdata;

        j->upgrade = u;
        j->fds[CLIENT] = fd;
        if (j->over || n > BUFFER_SIZE) { /* the sandbox has ended meanwhile */
                upgrade_close(u);
                return;
        }
        keep_early(j->flows + CLIENT, bytes, n);
        if (watch_side(j, CLIENT) < 0 || watch_side(j, SERVER) < 0 || drain(j->flows + CLIENT, j->fds[SERVER]) < 0 ||
            drain(j->flows + SERVER, fd) < 0 || listen_again(j) < 0)
                end(j);
}

static void on_free(void *userdata) {
        join_free(userdata);
}

static void on_sandbox_end(void *userdata) {
        end(userdata);
}

int proxy_join_sockets(Request *request, Sandbox *s, int server, const char *data, size_t n) {
        UpgradeHandler handler = { .opened = on_opened, .free = on_free };
        Join *j = new0(Join, 1);
        int r;

        if (!j) {
                safe_close(server);
                return -ENOMEM;
        }
        *j = (Join) { .manager = request_userdata(request), .fds = { -EBADF, server } };
        j->flows[CLIENT].bytes = malloc(BUFFER_SIZE);
        j->flows[SERVER].bytes = malloc(BUFFER_SIZE);
        r = !j->flows[CLIENT].bytes || !j->flows[SERVER].bytes || n > BUFFER_SIZE ? -ENOMEM : 0;
        if (r >= 0)
                r = exchange_watch_new(j->manager->exchanges, s, on_sandbox_end, j, &j->watch);
        if (r >= 0) {
                keep_early(j->flows + SERVER, data, n);
                handler.userdata = j;
                r = request_upgrade(request, "websocket", &handler);
        }
        if (r < 0)
                join_free(j);
        return r;
}
