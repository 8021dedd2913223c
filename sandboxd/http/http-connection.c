/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/http-private.h"

/* Time limits are kept by one sweep a second over all connections. Where libmicrohttpd does not look, before the first
 * byte and while a request is suspended, a connection is watched by an epoll of ours. The sweep arms it, so that a busy
 * keep-alive connection never pays for it. It is not an event source of its own: sd-event looks at all that is ready
 * before it dispatches one, and ten thousand clients that leave in the same moment would take minutes. */

#define BYTES_PER_SEC_MIN KiB
#define EVENT_STREAM_PATIENCE 20U

const HttpTimes http_times_default = {
        .head_usec = 5 * USEC_PER_SEC,
        .body_idle_usec = 30 * USEC_PER_SEC,
        .keep_alive_usec = 60 * USEC_PER_SEC,
        .write_stall_usec = 30 * USEC_PER_SEC,
        .reply_usec = 300 * USEC_PER_SEC,
        .half_closed_usec = 2 * USEC_PER_SEC,
        .heartbeat_usec = 20 * USEC_PER_SEC,
        .sweep_usec = USEC_PER_SEC,
};

/* libmicrohttpd takes a short read for all there is, and is not told again of an end of file right behind it. */
static bool peer_has_ended(int fd) {
        char byte;
        ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

        return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* Before libmicrohttpd has seen anything, the reply to a broken head can still be ours, and a peer that has ended
 * already is seen. It costs a new connection one call, and a kept one nothing. */
static bool first_bytes_are_good(HttpConnection *c) {
        char bytes[HTTP_BYTES_MAX], text[128];
        HttpRefusal refusal;
        ssize_t n;

        n = recv(c->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return true;
        if (n > 0) {
                if (http_check_bytes(bytes, (size_t) n, &refusal))
                        return true;
                snprintf(text, sizeof text, "{\"error\":\"%s\"}", refusal.message);
                http_send_raw(c->fd, refusal.status, "application/json", text);
                http_linger(c->server, TAKE_FD(c->fd));
        }
        http_connection_free(c);
        return false;
}

/* The first byte is there. Until now the connection took no buffer of libmicrohttpd, so that thousands of idle ones
 * fit. */
static void hand_over(HttpConnection *c) {
        /* libmicrohttpd only keeps the address, it does not use it. */
        struct sockaddr_in address = { .sin_family = AF_INET };
        HttpServer *h = c->server;
        enum MHD_Result result;
        int fd = c->fd;

        http_connection_unwatch(c);
        c->head_since_usec = now_usec(CLOCK_MONOTONIC);
        h->adding = c;
        result = MHD_add_connection(h->mhd, fd, (struct sockaddr *) &address, sizeof address);
        /* Newer versions (1.0 does, 0.9.75 does not) only put it into a queue, which MHD_run() takes it from. */
        if (result == MHD_YES && h->adding && !c->mhd)
                http_server_run(h);
        if (h->adding && (result != MHD_YES || !c->mhd)) { /* it closed the socket, but did not tell */
                c->fd = -EBADF;
                http_connection_free(c);
        }
        h->adding = NULL;
}

static void on_watched(HttpConnection *c, uint32_t events) {
        c->watching = false;
        if (!c->mhd) {
                if (first_bytes_are_good(c))
                        hand_over(c);
        } else if (!c->request)
                c->head_since_usec = now_usec(CLOCK_MONOTONIC);
        else if (events & (EPOLLHUP | EPOLLERR))
                http_request_abort(c->request);
        else
                c->hangup_usec = now_usec(CLOCK_MONOTONIC);
}

/* A few at a time: others want their turn, too. What one of them does may end others of the same batch. */
void http_connections_dispatch(HttpServer *h) {
        struct epoll_event events[HTTP_WATCHED_AT_ONCE];
        int n;

        if (h->n_watched > 0) /* we are in it */
                return;
        n = epoll_wait(h->watch_fd, events, ELEMENTSOF(events), 0);
        for (int i = 0; i < n; i++)
                h->watched[i] = events[i].data.ptr;
        h->n_watched = (size_t) MAX(n, 0);
        for (int i = 0; i < n; i++)
                if (h->watched[i])
                        on_watched(h->watched[i], events[i].events);
        h->n_watched = 0;
}

static int http_connection_watch(HttpConnection *c, uint32_t events) {
        struct epoll_event event = { .events = events | EPOLLONESHOT, .data.ptr = c };

        if (epoll_ctl(c->server->watch_fd, c->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) < 0)
                return -errno;
        c->known = c->watching = true;
        return 0;
}

void http_connection_unwatch(HttpConnection *c) {
        struct epoll_event event = { .events = EPOLLONESHOT, .data.ptr = c };

        if (c->watching)
                (void) epoll_ctl(c->server->watch_fd, EPOLL_CTL_MOD, c->fd, &event);
        c->watching = false;
}

void http_connection_forget_watch(HttpConnection *c) {
        HttpServer *h = c->server;

        if (c->known && c->fd >= 0)
                (void) epoll_ctl(h->watch_fd, EPOLL_CTL_DEL, c->fd, NULL);
        c->known = c->watching = false;
        for (size_t i = 0; i < h->n_watched; i++)
                if (h->watched[i] == c)
                        h->watched[i] = NULL;
}

static void link_connection(HttpServer *h, HttpConnection *c) {
        if (!h->connections) {
                h->connections = c->next = c->previous = c;
                (void) sd_event_source_set_time_relative(h->sweep_timer, h->times.sweep_usec);
                (void) sd_event_source_set_enabled(h->sweep_timer, SD_EVENT_ONESHOT);
        } else {
                c->next = h->connections;
                c->previous = h->connections->previous;
                c->previous->next = c->next->previous = c;
        }
        h->n_connections++;
}

static void unlink_connection(HttpServer *h, HttpConnection *c) {
        if (!c->next)
                return;
        h->connections = c->next == c ? NULL : h->connections == c ? c->next : h->connections;
        c->next->previous = c->previous;
        c->previous->next = c->next;
        h->n_connections--;
}

int http_connection_new(HttpServer *h, int fd, ListenerKind kind, const char *peer) {
        HttpConnection *c;
        int r;

        c = new0(HttpConnection, 1);
        if (!c) {
                safe_close(fd);
                return -ENOMEM;
        }
        *c = (HttpConnection) { .server = h, .fd = fd, .kind = kind, .idle_since_usec = now_usec(CLOCK_MONOTONIC) };
        snprintf(c->peer, sizeof c->peer, "%s", peer);
        link_connection(h, c);

        r = http_connection_watch(c, EPOLLIN);
        if (r < 0) {
                http_connection_free(c);
                return r;
        }
        /* Starts the idle time anew: a fresh connection is not closed at once. */
        service_hold(h->options.service);
        service_release(h->options.service);
        return 0;
}

/* Of a connection that libmicrohttpd does not have (any more). */
HttpConnection *http_connection_free(HttpConnection *c) {
        if (!c)
                return NULL;
        unlink_connection(c->server, c);
        http_connection_forget_watch(c);
        safe_close(c->fd);
        free(c);
        return NULL;
}

/* Within hand_over(), and when libmicrohttpd is done with the connection. */
void http_connection_notify(void *userdata, struct MHD_Connection *mhd, void **context,
                            enum MHD_ConnectionNotificationCode code) {
        HttpServer *h = userdata;
        HttpConnection *c = *context;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                *context = c = h->adding;
                c->mhd = mhd;
                return;
        }
        if (!c)
                return;
        if (h->adding == c)
                h->adding = NULL;
        /* The socket is still open here, and libmicrohttpd closes it. */
        http_connection_forget_watch(c);
        if (c->linger) {
                int copy = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);

                if (copy >= 0)
                        http_linger(h, copy);
        }
        c->fd = -EBADF;
        http_connection_free(c);
}

void http_connection_shut(HttpConnection *c) {
        if (!c->mhd)
                http_connection_free(c);
        else
                (void) shutdown(c->fd, SHUT_RDWR);
}

/* libmicrohttpd can only be given a reply when it calls us, and it does not while it waits for bytes. Nothing of a
 * reply was sent yet, so ours may go to the socket directly. */
static void time_out(HttpConnection *c, const char *message) {
        http_send_raw(c->fd, 408, "application/json", message);
        http_connection_shut(c);
}

static void sweep_idle(HttpConnection *c, uint64_t now) {
        if (c->head_since_usec > 0 && now - c->head_since_usec > c->server->times.head_usec)
                time_out(c, "{\"error\":\"The request took too long to arrive\"}");
        else if (now - c->idle_since_usec > c->server->times.keep_alive_usec)
                http_connection_shut(c);
        else if (c->mhd && !c->watching && c->head_since_usec == 0)
                (void) http_connection_watch(c, EPOLLIN);
}

/* Who only sends no more may still want his reply; nobody knows, so he gets a moment. */
static void end_half_closed(const HttpConnection *c, Request *r, uint64_t now) {
        if (c->hangup_usec > 0 && now - c->hangup_usec >= c->server->times.half_closed_usec)
                http_request_abort(r);
}

static void sweep_body(HttpConnection *c, Request *r, uint64_t now) {
        uint64_t idle_max = c->server->times.body_idle_usec, spent = now - r->started_usec;

        if (r->body_waits) { /* it is us who do not read */
                r->progress_usec = now;
                if (c->hangup_usec == 0 && peer_has_ended(c->fd))
                        c->hangup_usec = now;
                end_half_closed(c, r, now);
                return;
        }
        if (r->progress != r->body_received) {
                r->progress = r->body_received;
                r->progress_usec = now;
        } else if (peer_has_ended(c->fd)) {
                http_request_abort(r);
                return;
        }
        if (now - r->progress_usec > idle_max ||
            (spent > idle_max && (double) (r->body_received - r->body_window) * USEC_PER_SEC <
                                         (double) spent * BYTES_PER_SEC_MIN))
                time_out(c, "{\"error\":\"The request body took too long to arrive\"}");
}

/* What the peer has taken so far: bytes, or of a local peer only something that changes when it takes some.
 * *ret_pending is what waits for it. */
static uint64_t sent_progress(int fd, int *ret_pending, bool *ret_bytes) {
        struct tcp_info info = {};
        socklen_t size = sizeof info;

        if (ioctl(fd, SIOCOUTQ, ret_pending) < 0)
                *ret_pending = 0;
        *ret_bytes = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) >= 0;
        return *ret_bytes ? info.tcpi_bytes_acked : (uint64_t) *ret_pending;
}

/* A large file may take its time, a reader of single bytes may not: he would have our descriptors for ever. How fast
 * events come is not in his hands. */
static bool is_too_slow(const HttpConnection *c, const Request *r, uint64_t now) {
        uint64_t spent = now - r->replying_usec;

        return !r->event_stream && spent > c->server->times.reply_usec &&
               (double) (r->progress - r->reply_base) * USEC_PER_SEC < (double) spent * BYTES_PER_SEC_MIN;
}

/* Who reads an event stream byte by byte looks the same from here as who does not read: the window opens again only
 * after megabytes. What waits for it is bounded, and ending the stream may end a command, so it gets far more time. */
static void sweep_reply(HttpConnection *c, Request *r, uint64_t now) {
        uint64_t patience = c->server->times.write_stall_usec * (r->event_stream ? EVENT_STREAM_PATIENCE : 1);
        uint64_t progress;
        bool bytes;
        int pending;

        progress = sent_progress(c->fd, &pending, &bytes);
        if (r->progress == UINT64_MAX)
                r->reply_base = progress;
        if (progress != r->progress || pending == 0) {
                r->progress = progress;
                r->progress_usec = now;
        }
        if (now - r->progress_usec > patience || (bytes && pending > 0 && is_too_slow(c, r, now))) {
                log_debug("A client reads no more, or hardly, ending its connection.");
                http_request_abort(r);
        }
}

/* libmicrohttpd does not look at the sockets of suspended connections. */
static void sweep_suspended(HttpConnection *c, Request *r, uint64_t now) {
        if (c->hangup_usec > 0)
                end_half_closed(c, r, now);
        else if (!c->watching)
                (void) http_connection_watch(c, EPOLLRDHUP);
}

static void sweep_request(HttpConnection *c, Request *r, uint64_t now) {
        if (r->broken)
                return;
        switch (r->phase) {
        case REQUEST_HEAD:
                if (now - r->started_usec > c->server->times.head_usec)
                        time_out(c, "{\"error\":\"The request took too long to arrive\"}");
                return;
        case REQUEST_BODY:
                return sweep_body(c, r, now);
        case REQUEST_REPLYING:
                sweep_reply(c, r, now);
                break;
        case REQUEST_WAITING:
                break;
        case REQUEST_UPGRADED:
                return;
        }
        if (r->suspended && !r->broken)
                sweep_suspended(c, r, now);
}

void http_connections_sweep(HttpServer *h) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        HttpConnection *c = h->connections;

        for (size_t n = h->n_connections; n > 0; n--) {
                HttpConnection *next = c->next;

                if (c->request)
                        sweep_request(c, c->request, now);
                else
                        sweep_idle(c, now);
                c = next;
        }
}

/* Bytes that wait in a socket are a request that has just come: whoever sent it could not know. */
int http_server_drain(HttpServer *h) {
        HttpConnection *c = h->connections;
        int busy = 0;

        for (size_t n = h->n_connections; n > 0; n--) {
                HttpConnection *next = c->next;
                int waiting = 0;

                if (c->request || c->head_since_usec > 0 || (ioctl(c->fd, FIONREAD, &waiting) >= 0 && waiting > 0))
                        busy = 1;
                else
                        http_connection_shut(c);
                c = next;
        }
        return busy;
}
