/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "libsandbox/fd-util.h"
#include "sandboxd/http/http-private.h"

/* Closing a socket with unread bytes resets the connection, and the peer may lose the reply that was on its way. So
 * the last bytes are read and dropped for a moment, for a few connections at a time. */

#define LINGER_USEC (2 * USEC_PER_SEC)
#define LINGER_BYTES_MAX (64 * MiB)

struct HttpLinger {
        HttpLinger **slot;
        sd_event_source *io, *timer;
        int fd;
        uint64_t n;
};

void http_send_raw(int fd, unsigned status, const char *content_type, const char *text) {
        const char *reason = MHD_get_reason_phrase_for(status);
        char head[512];
        struct iovec iov[2] = { { .iov_base = head }, { .iov_base = (char *) text, .iov_len = strlen(text) } };
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov) };
        int n;

        n = snprintf(head, sizeof head,
                     "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n"
                     "%sCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n",
                     status, reason ? reason : "Error", content_type, strlen(text),
                     status == 503 ? "Retry-After: 1\r\n" : "");
        iov[0].iov_len = (size_t) n;
        (void) sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void) shutdown(fd, SHUT_WR);
}

static int linger_end(HttpLinger *l) {
        *l->slot = NULL;
        sd_event_source_disable_unref(l->io);
        sd_event_source_disable_unref(l->timer);
        safe_close(l->fd);
        free(l);
        return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        HttpLinger *l = userdata;
        char buffer[64 * KiB];
        ssize_t n;

        (void) source;
        (void) events;
        n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                return linger_end(l);
        l->n += (uint64_t) n;
        return l->n > LINGER_BYTES_MAX ? linger_end(l) : 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        return linger_end(userdata);
}

void http_linger(HttpServer *h, int fd) {
        HttpLinger **slot = h->lingering, *l = NULL;
        int r;

        while (slot < h->lingering + HTTP_LINGERING_MAX && *slot)
                slot++;
        if (slot < h->lingering + HTTP_LINGERING_MAX)
                l = new0(HttpLinger, 1);
        if (!l) {
                safe_close(fd);
                return;
        }
        *slot = l;
        *l = (HttpLinger) { .slot = slot, .fd = fd };
        r = sd_event_add_io(h->event, &l->io, fd, EPOLLIN, on_readable, l);
        if (r >= 0)
                r = sd_event_add_time_relative(h->event, &l->timer, CLOCK_MONOTONIC, LINGER_USEC, 0, on_timer, l);
        if (r < 0)
                linger_end(l);
}

void http_linger_end_all(HttpServer *h) {
        for (size_t i = 0; i < HTTP_LINGERING_MAX; i++)
                if (h->lingering[i])
                        linger_end(h->lingering[i]);
}
