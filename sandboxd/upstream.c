/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* What the socket has is looked at once a turn of the loop at most, however much comes: a server that floods us gets its
 * turn like all others. */

#define OUT_MAX (64 * KiB)
/* Hints and the like before the answer. */
#define INTERIM_MAX 16U

struct Upstream {
        sd_event_source *io;
        int fd;
        uint32_t events;                /* that io listens to */
        const UpstreamHandlers *handlers;
        void *userdata;

        char *out;                      /* of which out_sent are with the kernel */
        size_t n_out, out_sent, out_allocated;
        bool busy, is_head, may_switch, chunked;
        bool ended;                     /* the request is whole */
        bool unsendable;                /* the server takes no more; it may answer all the same */
        bool blocked;                   /* somebody waits for on_writable() */

        char *in;                       /* RESPONSE_HEAD_MAX and a byte; in_at to n_in is unread */
        size_t n_in, in_at;
        unsigned n_interim;
        bool answered, done, broken, hung_up;
        bool wanted;                    /* somebody waits for on_readable() */
        ResponseHead head;
        uint64_t left;                  /* of a body with a length */
        ChunkDecoder chunks;
        uint64_t progress_usec;
};

static void listen_to(Upstream *u, uint32_t events) {
        if (u->events != events && sd_event_source_set_io_events(u->io, events) >= 0)
                u->events = events;
}

static void note_progress(Upstream *u) {
        u->progress_usec = now_usec(CLOCK_MONOTONIC);
}

static void fail(Upstream *u, const char *what) {
        u->broken = true;
        (void) sd_event_source_set_enabled(u->io, SD_EVENT_OFF);
        u->handlers->on_failed(what, u->userdata);
}

/* --- out */

static void forget_out(Upstream *u) {
        u->n_out = u->out_sent = 0;
}

/* True when nothing waits any more. */
static bool flush(Upstream *u) {
        while (u->out_sent < u->n_out) {
                ssize_t n = send(u->fd, u->out + u->out_sent, u->n_out - u->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) /* not yet connected is as good as full */
                        return false;
                if (n < 0) {
                        u->unsendable = true;
                        break;
                }
                u->out_sent += (size_t) n;
                note_progress(u);
        }
        forget_out(u);
        return true;
}

static int append(Upstream *u, const char *data, size_t n) {
        if (u->n_out + n > u->out_allocated) {
                size_t wanted = MAX(u->n_out + n, 2 * KiB);
                char *larger = realloc(u->out, wanted);

                if (!larger)
                        return -ENOMEM;
                u->out = larger;
                u->out_allocated = wanted;
        }
        memcpy(u->out + u->n_out, data, n);
        u->n_out += n;
        return 0;
}

static void send_more(Upstream *u, uint32_t events) {
        listen_to(u, (events & ~(uint32_t) EPOLLOUT) | (flush(u) ? 0 : EPOLLOUT));
}

int upstream_begin(Upstream *u, UpstreamRequest *request) {
        assert(!u->busy);

        free(u->out);
        u->out = TAKE_PTR(request->head);
        u->n_out = u->out_allocated = request->n_head;
        u->out_sent = 0;
        u->busy = true;
        u->is_head = request->is_head;
        u->may_switch = request->may_switch;
        u->chunked = request->body_size == UINT64_MAX;
        u->ended = request->body_size == 0;
        u->n_in = u->in_at = u->n_interim = 0;
        u->answered = u->done = u->wanted = u->blocked = false;
        u->chunks = (ChunkDecoder) {};
        if (!u->in)
                u->in = malloc(RESPONSE_HEAD_MAX + 1);
        if (!u->in)
                return -ENOMEM;
        note_progress(u);
        send_more(u, EPOLLIN);
        return 0;
}

size_t upstream_write(Upstream *u, const char *data, size_t n) {
        char line[24];
        size_t room;

        u->unsendable |= u->done;
        if (u->unsendable) /* what it says of it is on its way, or here: the rest is only dropped */
                return n;
        room = u->n_out < OUT_MAX ? OUT_MAX - u->n_out : 0;
        n = MIN(n, room);
        if (n == 0) {
                u->blocked = true;
                return 0;
        }
        if (u->chunked && append(u, line, (size_t) snprintf(line, sizeof line, "%zx\r\n", n)) < 0)
                return 0;
        if (append(u, data, n) < 0 || (u->chunked && append(u, "\r\n", 2) < 0)) {
                u->unsendable = true;
                return n;
        }
        send_more(u, u->events);
        return n;
}

void upstream_end_body(Upstream *u) {
        if (u->ended)
                return;
        u->ended = true;
        note_progress(u);
        if (u->chunked && !u->unsendable && append(u, "0\r\n\r\n", 5) < 0)
                u->unsendable = true;
        send_more(u, u->events);
}

/* --- in */

static void begin_body(Upstream *u) {
        u->answered = true;
        u->left = u->head.framing == BODY_LENGTH ? u->head.length : 0;
        u->done = u->head.framing == BODY_NONE && u->head.status != 101;
}

static void on_head_text(Upstream *u) {
        ssize_t n;

        for (;;) {
                n = response_parse(u->in + u->in_at, u->n_in - u->in_at, u->is_head, &u->head);
                if (n == 0)
                        return;
                if (n == -E2BIG)
                        return fail(u, "The head of its answer is too large");
                if (n < 0 || (u->head.status == 101 && !u->may_switch))
                        return fail(u, "Its answer is not valid HTTP");
                u->in_at += (size_t) n;
                if (u->head.status >= 200 || u->head.status == 101)
                        break;
                if (++u->n_interim > INTERIM_MAX)
                        return fail(u, "Its answer is not valid HTTP");
        }
        begin_body(u);
        u->handlers->on_head(&u->head, u->userdata);
}

/* What precedes the head was read already; the buffer is the head's alone. */
static ssize_t receive(Upstream *u, char *buffer, size_t size) {
        ssize_t n;

        do
                n = recv(u->fd, buffer, size, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? -EAGAIN : -errno;
        if (n > 0)
                note_progress(u);
        return n;
}

static void read_head(Upstream *u) {
        ssize_t n;

        if (u->in_at > 0) { /* interim ones */
                memmove(u->in, u->in + u->in_at, u->n_in - u->in_at);
                u->n_in -= u->in_at;
                u->in_at = 0;
        }
        n = receive(u, u->in + u->n_in, RESPONSE_HEAD_MAX - u->n_in);
        if (n == -EAGAIN)
                return;
        if (n <= 0)
                return fail(u, u->n_in > 0 ? "It closed the connection within its answer"
                                           : "It closed the connection without an answer");
        u->n_in += (size_t) n;
        on_head_text(u);
}

static ssize_t take_kept(Upstream *u, char *buffer, size_t size) {
        size_t n = MIN(size, u->n_in - u->in_at);

        memcpy(buffer, u->in + u->in_at, n);
        u->in_at += n;
        return (ssize_t) n;
}

/* Bytes as they are: what came with the head, then from the socket without a detour. */
static ssize_t read_plain(Upstream *u, char *buffer, size_t size) {
        ssize_t n = take_kept(u, buffer, size);

        return n > 0 ? n : receive(u, buffer, size);
}

static ssize_t read_with_length(Upstream *u, char *buffer, size_t size) {
        ssize_t n = read_plain(u, buffer, MIN(size, u->left));

        if (n > 0) {
                u->left -= (uint64_t) n;
                u->done = u->left == 0;
        }
        return n == 0 ? -EPIPE : n;
}

static ssize_t read_until_close(Upstream *u, char *buffer, size_t size) {
        ssize_t n = read_plain(u, buffer, size);

        u->done = n == 0;
        return n == 0 ? -ENODATA : n;
}

static ssize_t fill_kept(Upstream *u) {
        ssize_t n = receive(u, u->in, RESPONSE_HEAD_MAX);

        u->in_at = 0;
        u->n_in = (size_t) MAX(n, 0);
        return n;
}

static ssize_t read_chunks(Upstream *u, char *buffer, size_t size) {
        size_t copied = 0;

        while (copied < size && !u->chunks.done) {
                const char *data;
                size_t n_data;
                ssize_t n;

                if (u->in_at == u->n_in) {
                        n = copied > 0 ? -EAGAIN : fill_kept(u);
                        if (n <= 0)
                                return copied > 0 ? (ssize_t) copied : n == 0 ? -EPIPE : n;
                }
                /* no more is looked at than fits */
                n = chunk_decode(&u->chunks, u->in + u->in_at, MIN(u->n_in - u->in_at, size - copied), &data, &n_data);
                if (n < 0)
                        return n;
                memcpy(buffer + copied, data, n_data);
                copied += n_data;
                u->in_at += (size_t) n;
        }
        u->done = u->chunks.done;
        return copied > 0 ? (ssize_t) copied : -ENODATA;
}

ssize_t upstream_read(Upstream *u, char *buffer, size_t size) {
        ssize_t n;

        if (u->done)
                return -ENODATA;
        if (u->broken)
                return -EPIPE;
        n = u->head.framing == BODY_LENGTH    ? read_with_length(u, buffer, size)
            : u->head.framing == BODY_CHUNKED ? read_chunks(u, buffer, size)
                                              : read_until_close(u, buffer, size);
        if (n == -EAGAIN) {
                u->wanted = true;
                listen_to(u, u->events | EPOLLIN);
                return 0;
        }
        if (n < 0 && n != -ENODATA)
                u->broken = true;
        return n;
}

static void on_input(Upstream *u) {
        if (!u->busy)
                return u->handlers->on_idle_end(u, u->userdata);
        if (!u->answered)
                return read_head(u);
        /* Nobody wants it now: the kernel keeps it, and the server waits. */
        if (!u->wanted) {
                listen_to(u, u->events & ~(uint32_t) EPOLLIN);
                return;
        }
        u->wanted = false;
        u->handlers->on_readable(u->userdata);
}

/* Each handler may free the connection: only one is called in a turn. */
static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Upstream *u = userdata;

        (void) source;
        (void) fd;
        if (events & EPOLLOUT) {
                send_more(u, u->events);
                if (u->blocked && (u->unsendable || u->n_out == 0)) {
                        u->blocked = false;
                        u->handlers->on_writable(u->userdata);
                        return 0;
                }
        }
        if (events & (EPOLLHUP | EPOLLERR) && u->busy && u->answered && !u->wanted) {
                /* Told again and again, whatever we listen to. Whoever reads later does not need to be woken: what is
                 * left is there already. */
                u->hung_up = true;
                (void) sd_event_source_set_enabled(u->io, SD_EVENT_OFF);
        } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                on_input(u);
        return 0;
}

/* --- the whole */

int upstream_new(sd_event *event, int fd, Upstream **ret) {
        _cleanup_(upstream_freep) Upstream *u = new0(Upstream, 1);
        int on = 1, r;

        if (!u) {
                safe_close(fd);
                return -ENOMEM;
        }
        *u = (Upstream) { .fd = fd, .events = EPOLLIN };
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        r = sd_event_add_io(event, &u->io, fd, u->events, on_io, u);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

Upstream *upstream_free(Upstream *u) {
        if (u) {
                sd_event_source_disable_unref(u->io);
                safe_close(u->fd);
                free(u->out);
                free(u->in);
                free(u);
        }
        return NULL;
}

void upstream_set_handlers(Upstream *u, const UpstreamHandlers *handlers, void *userdata) {
        u->handlers = handlers;
        u->userdata = userdata;
}

bool upstream_is_done(const Upstream *u) {
        return u->done;
}

bool upstream_has_answered(const Upstream *u) {
        return u->answered;
}

/* Bytes behind a response that nobody asked for: who knows what it means by them. */
bool upstream_is_reusable(const Upstream *u) {
        return u->busy && u->done && u->ended && u->n_out == 0 && !u->unsendable && !u->broken && !u->hung_up &&
               u->head.keeps_alive && u->in_at == u->n_in;
}

void upstream_set_idle(Upstream *u, const UpstreamHandlers *handlers, void *userdata) {
        u->busy = false;
        u->in = mfree(u->in);
        u->n_in = u->in_at = 0;
        upstream_set_handlers(u, handlers, userdata);
        listen_to(u, EPOLLIN);
}

bool upstream_waits(const Upstream *u) {
        return u->n_out > 0 || u->wanted || (u->ended && !u->answered);
}

uint64_t upstream_progress_usec(const Upstream *u) {
        return u->progress_usec;
}

int upstream_take_socket(Upstream *u, const char **ret_data, size_t *ret_size) {
        u->io = sd_event_source_disable_unref(u->io);
        *ret_data = u->in + u->in_at;
        *ret_size = u->n_in - u->in_at;
        return TAKE_FD(u->fd);
}
