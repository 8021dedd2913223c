/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/exchange.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"

#define ROUNDS 2U
#define DNS_UDP_BUFFER 4096U
#define TRY_USEC (1500 * USEC_PER_MSEC)
#define STREAM_TRY_USEC (4 * USEC_PER_SEC)

struct Exchange {
        ExchangeOptions options;
        Upstreams upstreams;
        unsigned n_tries;
        uint16_t id;
        int fd;
        sd_event_source *io, *timer;
        uint8_t out[2 + DNS_QUERY_MAX];
        size_t n_out, sent;
        uint8_t *in;            /* with the length in front, if by TCP */
        size_t size, n_in;
};

static void disconnect(Exchange *e) {
        e->io = sd_event_source_disable_unref(e->io);
        e->fd = safe_close(e->fd);
        e->n_in = e->sent = 0;
}

Exchange *exchange_free(Exchange *e) {
        if (e) {
                disconnect(e);
                sd_event_source_disable_unref(e->timer);
                free(e->in);
                free(e);
        }
        return NULL;
}

static void attempt(Exchange *e);

static void finish(Exchange *e, int r) {
        disconnect(e);
        (void) sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
        e->options.callback(r, NULL, NULL, 0, e->options.userdata);
}

/* An answer that says that this server cannot is as good as none, while there are others. */
static bool take(Exchange *e, uint8_t *data, size_t n) {
        size_t tries = e->upstreams.n * ROUNDS;
        DnsAnswer answer;
        int r;

        r = dns_answer_read(data, n, e->options.query, e->id, e->options.sec_max, &answer);
        if (r < 0)
                return false;
        if (answer.rcode == DNS_RCODE_SERVER && e->n_tries < tries) {
                attempt(e);
                return true;
        }
        disconnect(e);
        (void) sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
        e->options.callback(0, &answer, data, n, e->options.userdata);
        return true;
}

/* What comes and is no answer to us is dropped: the socket takes from the server's address alone. */
static void on_datagram(Exchange *e) {
        ssize_t n = recv(e->fd, e->in, e->size, MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
                attempt(e);
        else if (n > 0)
                (void) take(e, e->in, (size_t) n);
}

static int send_rest(Exchange *e) {
        ssize_t n;

        while (e->sent < e->n_out) {
                n = send(e->fd, e->out + e->sent, e->n_out - e->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                e->sent += (size_t) n;
        }
        return sd_event_source_set_io_events(e->io, EPOLLIN);
}

static int receive_stream(Exchange *e) {
        size_t want = e->n_in < 2 ? 2 : 2 + ((size_t) e->in[0] << 8 | e->in[1]);
        ssize_t n;

        n = recv(e->fd, e->in + e->n_in, want - e->n_in, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;
        e->n_in += (size_t) n;
        if (e->n_in < 2 || e->n_in < 2 + ((size_t) e->in[0] << 8 | e->in[1]))
                return 0;
        return take(e, e->in + 2, e->n_in - 2) ? 0 : -EBADMSG;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Exchange *e = userdata;
        int r = 0;

        (void) source;
        (void) fd;
        if (!e->options.stream)
                on_datagram(e);
        else {
                if (events & EPOLLOUT)
                        r = send_rest(e);
                if (r >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                        r = receive_stream(e);
                if (r < 0)
                        attempt(e);
        }
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        attempt(userdata);
        return 0;
}

static int make_message(Exchange *e) {
        size_t n;

        if (getrandom(&e->id, sizeof e->id, 0) != sizeof e->id)
                return -errno;
        n = dns_query_write(e->options.query, e->id, e->out + 2);
        e->out[0] = (uint8_t) (n >> 8);
        e->out[1] = (uint8_t) n;
        e->n_out = n + 2;
        e->sent = e->options.stream ? 0 : 2;
        return 0;
}

/* The port is the kernel's choice, another one each time. */
static int connect_to(Exchange *e, const UpstreamAddress *a) {
        e->fd = socket(a->any.sa_family, (e->options.stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (e->fd < 0)
                return -errno;
        if (connect(e->fd, &a->any, upstream_size(a)) < 0 && errno != EINPROGRESS)
                return -errno;
        if (!e->options.stream && send(e->fd, e->out + 2, e->n_out - 2, MSG_NOSIGNAL) < 0)
                return -errno;
        return sd_event_add_io(e->options.event, &e->io, e->fd, e->options.stream ? EPOLLOUT : EPOLLIN, on_io, e);
}

static void attempt(Exchange *e) {
        int r = -ETIMEDOUT;

        while (e->n_tries < e->upstreams.n * ROUNDS) {
                const UpstreamAddress *a = e->upstreams.addresses + e->n_tries++ % e->upstreams.n;

                disconnect(e);
                r = make_message(e);
                if (r >= 0)
                        r = connect_to(e, a);
                if (r >= 0)
                        r = sd_event_source_set_time_relative(e->timer, e->options.stream ? STREAM_TRY_USEC : TRY_USEC);
                if (r >= 0)
                        r = sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
                if (r >= 0)
                        return;
        }
        finish(e, r < 0 ? r : -ETIMEDOUT);
}

/* The first attempt is made from the loop, so that nobody is called back from in here. */
int exchange_new(const ExchangeOptions *options, Exchange **ret) {
        Exchange *e = new0(Exchange, 1);
        int r;

        if (!e)
                return -ENOMEM;
        *e = (Exchange) { .options = *options, .upstreams = *options->upstreams, .fd = -EBADF,
                          .size = options->stream ? 2 + DNS_MESSAGE_MAX : DNS_UDP_BUFFER };
        e->in = malloc(e->size);
        if (!e->in) {
                exchange_free(e);
                return -ENOMEM;
        }
        r = sd_event_add_time_relative(options->event, &e->timer, CLOCK_MONOTONIC, 0, 0, on_time, e);
        if (r < 0) {
                exchange_free(e);
                return r;
        }
        *ret = e;
        return 0;
}
