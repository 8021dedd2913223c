/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandbox-execd/relay.h"

/* Bytes go from socket to pipe to socket by splice(), so they are never copied through this process. Both sockets are
 * watched edge-triggered, once and for all: each event moves whatever can be moved in both directions, until both sides
 * say EAGAIN. A connection that always has more gets in line again after a share. */

#define CONNECTIONS_MAX 1000U
#define ACCEPTS_MAX 32U
#define ROUNDS_MAX 16U
#define PIPE_BYTES (256 * 1024)

typedef struct Flow {
        int from, to;           /* of the connection */
        int pipe[2];
        size_t held;            /* bytes in the pipe */
        bool ended;             /* from has said all */
        bool told;              /* and to knows it */
} Flow;

typedef struct Connection {
        Relay *relay;
        int client, server;
        sd_event_source *client_source, *server_source, *more_source;
        Flow up, down;          /* client to server, server to client */
        bool connected, v6;
} Connection;

static void flow_done(Flow *f) {
        close_many(f->pipe, 2);
}

static Connection *connection_free(Connection *c) {
        Relay *r = c->relay;

        sd_event_source_disable_unref(c->client_source);
        sd_event_source_disable_unref(c->server_source);
        sd_event_source_disable_unref(c->more_source);
        flow_done(&c->up);
        flow_done(&c->down);
        safe_close(c->client);
        safe_close(c->server);
        free(c);
        (void) sd_event_source_set_enabled(r->listen_source, SD_EVENT_ON);
        relay_release(r);
        return NULL;
}

/* What is not whole ends with a reset, so that nobody takes it for the whole. */
static void connection_abort(Connection *c) {
        const struct linger hard = { .l_onoff = 1 };

        (void) setsockopt(c->client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        if (c->server >= 0)
                (void) setsockopt(c->server, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        connection_free(c);
}

/* The bytes moved, 0 if nothing can be at the moment; a pipe that is full looks the same as a socket without bytes, and
 * is told apart by what it holds. */
static int flow_fill(Flow *f) {
        ssize_t n;

        if (f->ended)
                return 0;
        n = splice(f->from, NULL, f->pipe[1], NULL, PIPE_BYTES, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        if (n == 0)
                f->ended = true;
        f->held += (size_t) n;
        return n > 0;
}

static int flow_drain(Flow *f) {
        ssize_t n;

        if (f->held > 0) {
                n = splice(f->pipe[0], NULL, f->to, NULL, f->held, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                f->held -= (size_t) n;
                return n > 0;
        }
        if (f->ended && !f->told) {
                f->told = true;
                /* One that is gone altogether does not hear it; the other direction finds out. */
                (void) shutdown(f->to, SHUT_WR);
        }
        return 0;
}

/* > 0: something moved. */
static int flow_move(Flow *f) {
        int filled, drained;

        filled = flow_fill(f);
        if (filled < 0)
                return filled;
        drained = flow_drain(f);
        return drained < 0 ? drained : filled || drained;
}

static void connection_move(Connection *c) {
        for (unsigned i = 0; i < ROUNDS_MAX; i++) {
                int up, down;

                up = flow_move(&c->up);
                down = up < 0 ? up : flow_move(&c->down);
                if (down < 0) {
                        connection_abort(c);
                        return;
                }
                if (c->up.told && c->down.told) {
                        connection_free(c);
                        return;
                }
                if (!up && !down)
                        return;
        }
        (void) sd_event_source_set_enabled(c->more_source, SD_EVENT_ONESHOT);
}

static int on_more(sd_event_source *source, void *userdata) {
        (void) source;
        connection_move(userdata);
        return 0;
}

static int connection_connect(Connection *c);

/* > 0: connected; 0: not yet. */
static int check_connected(Connection *c) {
        int error = 0;
        socklen_t size = sizeof error;
        struct sockaddr_storage peer;
        socklen_t peer_size = sizeof peer;

        if (getsockopt(c->server, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                return -errno;
        if (error == ECONNREFUSED && !c->v6) { /* perhaps it listens on ::1 alone */
                c->v6 = true;
                return connection_connect(c);
        }
        if (error > 0)
                return -error;
        if (getpeername(c->server, (struct sockaddr *) &peer, &peer_size) < 0)
                return errno == ENOTCONN ? 0 : -errno;
        c->connected = true;
        return 1;
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Connection *c = userdata;
        int r = 1;

        (void) source;
        (void) revents;
        if (!c->connected)
                r = fd == c->server ? check_connected(c) : 0;
        if (r < 0)
                connection_abort(c);
        else if (r > 0)
                connection_move(c);
        return 0;
}

static int watch(Connection *c, int fd, sd_event_source **source) {
        return sd_event_add_io(c->relay->event, source, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_socket, c);
}

/* A paused sandbox's kernel still takes connections: they wait until it runs again. */
static int connection_connect(Connection *c) {
        struct sockaddr_storage address;
        socklen_t size = relay_address(c->relay, c->v6, &address);

        c->server_source = sd_event_source_disable_unref(c->server_source);
        c->server = safe_close(c->server);
        c->server = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->server < 0)
                return -errno;
        c->up.to = c->down.from = c->server;
        if (connect(c->server, (const struct sockaddr *) &address, size) < 0 && errno != EINPROGRESS) {
                if (errno != ECONNREFUSED || c->v6)
                        return -errno;
                c->v6 = true;
                return connection_connect(c);
        }
        return watch(c, c->server, &c->server_source);
}

static int flow_init(Flow *f) {
        if (pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        /* A user may have so much in pipes and no more: then it stays as small as it is. */
        (void) fcntl(f->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
        return 0;
}

static int connection_start(Connection *c) {
        int one = 1, r;

        (void) setsockopt(c->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        r = flow_init(&c->up);
        if (r >= 0)
                r = flow_init(&c->down);
        if (r >= 0)
                r = sd_event_add_defer(c->relay->event, &c->more_source, on_more, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->more_source, SD_EVENT_OFF);
        if (r >= 0)
                r = watch(c, c->client, &c->client_source);
        return r < 0 ? r : connection_connect(c);
}

static int connection_new(Relay *relay, int fd) {
        Connection *c = new0(Connection, 1);
        int r;

        if (!c) {
                safe_close(fd);
                return -ENOMEM;
        }
        *c = (Connection) { .relay = relay, .client = fd, .server = -EBADF,
                            .up = { .from = fd, .to = -EBADF, .pipe = { -EBADF, -EBADF } },
                            .down = { .from = -EBADF, .to = fd, .pipe = { -EBADF, -EBADF } } };
        relay_hold(relay);
        r = connection_start(c);
        if (r < 0)
                connection_abort(c);
        return r;
}

/* Those beyond the limit wait in the listener's queue until one has ended. */
static int on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Relay *relay = userdata;

        (void) revents;
        for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
                int client, r;

                if (relay->n_sessions >= CONNECTIONS_MAX)
                        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
                client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (client < 0)
                        return errno == EAGAIN || errno == ECONNABORTED ? 0 : log_warning_errno(errno, "accept: %m");
                r = connection_new(relay, client);
                if (r < 0)
                        log_debug_errno(r, "A connection came to nothing: %m");
        }
        return 0;
}

int relay_tcp_start(Relay *r) {
        return sd_event_add_io(r->event, &r->listen_source, r->listen_fd, EPOLLIN, on_listener, r);
}
