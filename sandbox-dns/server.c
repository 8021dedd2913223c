/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandbox-dns/message.h"
#include "sandbox-dns/question.h"

/* The sockets that systemd holds: datagrams, and connections that ask one question after the other. Who asks is told by
 * the source of the packet, which the rules of sandbox-netd have checked. */

#define BATCH 32U                       /* datagrams a turn of the loop */
#define STREAM_QUERY_MAX 512U
#define STREAM_USEC (10 * USEC_PER_SEC)

typedef struct Asker {
        int fd;
        struct sockaddr_in peer;
} Asker;

static void reply_datagram(const uint8_t *data, size_t n, void *userdata) {
        _cleanup_free_ Asker *a = userdata;

        if (data)
                (void) sendto(a->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &a->peer, sizeof a->peer);
}

static int on_datagram(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        uint8_t buffer[DNS_UDP_MIN];

        (void) source;
        (void) events;
        for (unsigned i = 0; i < BATCH; i++) {
                struct sockaddr_in peer;
                socklen_t size = sizeof peer;
                ssize_t n = recvfrom(fd, buffer, sizeof buffer, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *) &peer, &size);
                Asker *a;

                if (n < 0)
                        break;
                if ((size_t) n > sizeof buffer || size != sizeof peer || peer.sin_family != AF_INET)
                        continue;
                a = new0(Asker, 1);
                if (!a)
                        break;
                *a = (Asker) { fd, peer };
                question_ask(userdata, ntohl(peer.sin_addr.s_addr), buffer, (size_t) n, /* stream= */ false,
                             reply_datagram, a, NULL);
        }
        return 0;
}

/* Connections */

typedef struct Stream {
        struct Stream *next;
        Manager *manager;
        int fd;
        uint32_t source;
        sd_event_source *io, *timer;
        uint8_t in[2 + STREAM_QUERY_MAX];
        size_t n_in;
        uint8_t *out;
        size_t n_out, sent;
        Question *question;
} Stream;

static void stream_close(Stream *s) {
        Stream **at = &s->manager->streams;

        while (*at != s)
                at = &(*at)->next;
        *at = s->next;
        if (s->question)
                question_abandon(s->question);
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->timer);
        safe_close(s->fd);
        s->manager->n_streams--;
        service_release(s->manager->service);
        free(s->out);
        free(s);
}

void manager_close_streams(Manager *m) {
        while (m->streams)
                stream_close(m->streams);
}

static int stream_wait(Stream *s, uint32_t events) {
        (void) sd_event_source_set_time_relative(s->timer, STREAM_USEC);
        return sd_event_source_set_io_events(s->io, events);
}

/* 0: all is sent. */
static int stream_send(Stream *s) {
        while (s->sent < s->n_out) {
                ssize_t n = send(s->fd, s->out + s->sent, s->n_out - s->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0)
                        return -errno;
                s->sent += (size_t) n;
        }
        s->out = mfree(s->out);
        s->n_out = s->sent = 0;
        return 0;
}

/* A failed one is closed by the timer, at once: whoever calls may still look at it. */
static void stream_fail(Stream *s) {
        (void) sd_event_source_set_io_events(s->io, 0);
        (void) sd_event_source_set_time_relative(s->timer, 0);
}

static void reply_stream(const uint8_t *data, size_t n, void *userdata) {
        Stream *s = userdata;
        int r;

        s->question = NULL;
        s->out = data ? malloc(n + 2) : NULL;
        if (!s->out) {
                stream_fail(s);
                return;
        }
        s->out[0] = (uint8_t) (n >> 8);
        s->out[1] = (uint8_t) n;
        memcpy(s->out + 2, data, n);
        s->n_out = n + 2;
        r = stream_send(s);
        if (r >= 0 || r == -EAGAIN)
                r = stream_wait(s, r == -EAGAIN ? EPOLLOUT : EPOLLIN);
        if (r < 0)
                stream_fail(s);
}

/* 1: a whole question is there, *ret_n long. */
static int stream_receive(Stream *s, size_t *ret_n) {
        size_t want = s->n_in < 2 ? 2 : 2 + ((size_t) s->in[0] << 8 | s->in[1]);
        ssize_t n;

        if (want > sizeof s->in)
                return -EMSGSIZE;
        n = recv(s->fd, s->in + s->n_in, want - s->n_in, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;
        s->n_in += (size_t) n;
        *ret_n = s->n_in - 2;
        return s->n_in > 2 && *ret_n == ((size_t) s->in[0] << 8 | s->in[1]);
}

static int on_stream(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Stream *s = userdata;
        size_t n = 0;
        int r;

        (void) source;
        (void) fd;
        if (events & EPOLLOUT) {
                r = stream_send(s);
                r = r == -EAGAIN ? 0 : r < 0 ? r : stream_wait(s, EPOLLIN);
        } else
                r = stream_receive(s, &n);
        if (r < 0) {
                stream_close(s);
                return 0;
        }
        if (r > 0) {
                s->n_in = 0;
                (void) stream_wait(s, 0);
                question_ask(s->manager, s->source, s->in + 2, n, /* stream= */ true, reply_stream, s, &s->question);
        }
        return 0;
}

static int on_stream_time(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        stream_close(userdata);
        return 0;
}

static unsigned count_streams(const Manager *m, uint32_t source) {
        unsigned n = 0;

        for (const Stream *s = m->streams; s; s = s->next)
                n += s->source == source;
        return n;
}

/* Takes the descriptor over. */
static int stream_new(Manager *m, int fd, uint32_t source) {
        sd_event *event = service_event(m->service);
        Stream *s = new0(Stream, 1);
        int r;

        if (!s) {
                safe_close(fd);
                return -ENOMEM;
        }
        *s = (Stream) { .next = m->streams, .manager = m, .fd = fd, .source = source };
        m->streams = s;
        m->n_streams++;
        service_hold(m->service);
        r = sd_event_add_io(event, &s->io, fd, EPOLLIN, on_stream, s);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &s->timer, CLOCK_MONOTONIC, STREAM_USEC, 0, on_stream_time, s);
        if (r < 0)
                stream_close(s);
        return r;
}

static int on_connection(sd_event_source *source, int listen_fd, uint32_t events, void *userdata) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        Manager *m = userdata;
        uint32_t address;
        int fd;

        (void) source;
        (void) events;
        fd = accept4(listen_fd, (struct sockaddr *) &peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return 0;
        address = ntohl(peer.sin_addr.s_addr);
        if (size != sizeof peer || peer.sin_family != AF_INET || m->n_streams >= STREAMS_MAX ||
            count_streams(m, address) >= STREAMS_SANDBOX_MAX || !name_lists_find(&m->lists, address))
                safe_close(fd);
        else
                (void) stream_new(m, fd, address);
        return 0;
}

int manager_serve_names(Manager *m, const int *fds, size_t n) {
        for (size_t i = 0; i < n; i++) {
                socklen_t size = sizeof(int);
                int r, type;

                if (m->n_sources == ELEMENTSOF(m->sources))
                        return -E2BIG;
                if (getsockopt(fds[i], SOL_SOCKET, SO_TYPE, &type, &size) < 0)
                        return log_error_errno(errno, "Not a socket: %m");
                r = sd_event_add_io(service_event(m->service), m->sources + m->n_sources, fds[i], EPOLLIN,
                                    type == SOCK_DGRAM ? on_datagram : on_connection, m);
                if (r < 0)
                        return log_error_errno(r, "Failed to serve: %m");
                m->n_sources++;
        }
        return 0;
}
