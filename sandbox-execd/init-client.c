/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/init-client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"

/* One packet a message, so there is no framing to keep; whatever is no message of init's ends the connection, and with it
 * the sandbox: who speaks there is not the init that was started. */

/* Messages from init are its own small structures: replies, and commands as they end. */
#define RECEIVE_MAX 512U

typedef struct Request Request;
typedef struct Packet Packet;

struct Request {
        Request *next;
        uint32_t sequence;
        InitReplyHandler handler;
        void *userdata;
};

struct Packet {
        Packet *next;
        size_t size, n_fds;
        int fds[MESSAGE_FDS_MAX];
        char data[];
};

struct InitClient {
        InitClientOptions options;
        sd_event_source *source;
        int fd;
        uint32_t sequence;
        Request *requests;          /* in no order, few at a time */
        Packet *first, **last;      /* what the socket did not take yet */
};

static void packet_free(Packet *p) {
        close_many(p->fds, p->n_fds);
        free(p);
}

static void request_finish(Request *q, int error, const InitReply *reply, int *fds, size_t n_fds) {
        InitReplyHandler handler = q->handler;
        void *userdata = q->userdata;

        free(q);
        handler(error, reply, fds, n_fds, userdata);
}

static void fail_requests(InitClient *c) {
        while (c->requests) {
                Request *q = c->requests;

                c->requests = q->next;
                request_finish(q, -ECONNRESET, NULL, NULL, 0);
        }
}

static void lose(InitClient *c, int error) {
        InitClientOptions options = c->options;

        (void) sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
        fail_requests(c);
        options.on_lost(error, options.userdata);
}

static int send_packet(InitClient *c, const void *data, size_t size, const int *fds, size_t n_fds) {
        struct iovec iov = { (void *) data, size };

        return send_with_fds(c->fd, &iov, 1, fds, n_fds, MSG_DONTWAIT);
}

static int flush_queue(InitClient *c) {
        while (c->first) {
                Packet *p = c->first;
                int r;

                r = send_packet(c, p->data, p->size, p->fds, p->n_fds);
                if (r == -EAGAIN)
                        return 0;
                if (r < 0)
                        return r;
                c->first = p->next;
                if (!c->first)
                        c->last = &c->first;
                packet_free(p);
        }
        return sd_event_source_set_io_events(c->source, EPOLLIN);
}

static int enqueue(InitClient *c, const void *data, size_t size, const int *fds, size_t n_fds) {
        Packet *p;

        if (n_fds > MESSAGE_FDS_MAX)
                return -EMSGSIZE;
        p = malloc(sizeof(Packet) + size);
        if (!p)
                return -ENOMEM;
        *p = (Packet) { .size = size };
        memcpy(p->data, data, size);
        for (; p->n_fds < n_fds; p->n_fds++) {
                p->fds[p->n_fds] = fcntl(fds[p->n_fds], F_DUPFD_CLOEXEC, 3);
                if (p->fds[p->n_fds] < 0) {
                        packet_free(p);
                        return -errno;
                }
        }
        *c->last = p;
        c->last = &p->next;
        return sd_event_source_set_io_events(c->source, EPOLLIN | EPOLLOUT);
}

static Request *take_request(InitClient *c, uint32_t sequence) {
        for (Request **q = &c->requests; *q; q = &(*q)->next)
                if ((*q)->sequence == sequence) {
                        Request *found = *q;

                        *q = found->next;
                        return found;
                }
        return NULL;
}

static int dispatch_reply(InitClient *c, const InitReply *reply, int *fds, size_t n_fds) {
        Request *q = take_request(c, reply->header.sequence);

        if (!q)
                return -EBADMSG;
        if (reply->error > 0)
                log_debug("Init refused request %u: error %i at step %i.", reply->header.sequence, reply->error,
                          reply->step);
        request_finish(q, -reply->error, reply, fds, n_fds);
        return 0;
}

/* The handlers may free the client, so nothing of it is touched behind them. */
static int dispatch(InitClient *c, const void *data, size_t size, int *fds, size_t n_fds) {
        const InitHeader *header = data;

        if (size < sizeof *header)
                return -EBADMSG;
        switch ((InitOperation) header->operation) {
        case INIT_REPLY:
                return size == sizeof(InitReply) ? dispatch_reply(c, data, fds, n_fds) : -EBADMSG;
        case INIT_HELLO:
                if (size != sizeof(InitHello))
                        return -EBADMSG;
                c->options.on_hello(data, c->options.userdata);
                return 0;
        case INIT_COMMAND:
                if (size != sizeof(InitCommand) || !memchr(((const InitCommand *) data)->command, 0, INIT_COMMAND_ID_MAX))
                        return -EBADMSG;
                c->options.on_command(data, c->options.userdata);
                return 0;
        default:
                return -EBADMSG;
        }
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _Alignas(8) char data[RECEIVE_MAX];
        int fds[MESSAGE_FDS_MAX], r = 0;
        size_t n_fds = ELEMENTSOF(fds);
        InitClient *c = userdata;
        ssize_t n;

        (void) source;

        if (revents & EPOLLOUT)
                r = flush_queue(c);
        if (r >= 0 && revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                /* One packet an event: a handler may end the client. */
                n = receive_with_fds(fd, data, sizeof data, fds, &n_fds, MSG_DONTWAIT);
                if (n == -EAGAIN || n == -EINTR)
                        return 0;
                if (n <= 0) {
                        lose(c, n < 0 ? (int) n : -ECONNRESET);
                        return 0;
                }
                r = dispatch(c, data, (size_t) n, fds, n_fds);
                close_many(fds, n_fds);
        }
        if (r < 0)
                lose(c, r);
        return 0;
}

static int connect_path(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) &address, sizeof address) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int init_client_new(const InitClientOptions *options, InitClient **ret) {
        _cleanup_(init_client_freep) InitClient *c = NULL;
        int r;

        c = new0(InitClient, 1);
        if (!c)
                return -ENOMEM;
        *c = (InitClient) { .options = *options, .fd = -EBADF };
        c->last = &c->first;

        c->fd = connect_path(options->path);
        if (c->fd < 0)
                return c->fd;
        r = sd_event_add_io(options->event, &c->source, c->fd, EPOLLIN, on_io, c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

InitClient *init_client_free(InitClient *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->source);
        fail_requests(c);
        while (c->first) {
                Packet *p = c->first;

                c->first = p->next;
                packet_free(p);
        }
        safe_close(c->fd);
        free(c);
        return NULL;
}

int init_client_call(InitClient *c, void *message, size_t size, const int *fds, size_t n_fds,
                     InitReplyHandler handler, void *userdata) {
        InitHeader *header = message;
        Request *q = NULL;
        int r;

        assert(size >= sizeof *header && size <= INIT_MESSAGE_MAX);

        if (!c)
                return -ENOTCONN;
        header->sequence = ++c->sequence;
        if (handler) {
                q = new0(Request, 1);
                if (!q)
                        return -ENOMEM;
                *q = (Request) { NULL, header->sequence, handler, userdata };
        }

        r = c->first ? -EAGAIN : send_packet(c, message, size, fds, n_fds);
        if (r == -EAGAIN)
                r = enqueue(c, message, size, fds, n_fds);
        if (r < 0) {
                free(q);
                return r;
        }
        if (q) {
                q->next = c->requests;
                c->requests = q;
        }
        return 0;
}

int init_client_call_simple(InitClient *c, InitOperation operation, InitReplyHandler handler, void *userdata) {
        InitHeader header = { .operation = operation };

        return init_client_call(c, &header, sizeof header, NULL, 0, handler, userdata);
}
