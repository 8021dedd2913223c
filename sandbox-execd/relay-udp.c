/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/relay.h"

/* As a router does it: each address that sends something gets a socket of its own inside, and what comes back there is
 * sent to it. Whoever is silent for a minute is forgotten, and the one who was silent longest when there are too many. */

#define SESSIONS_MAX 256U
#define SESSION_USEC (60 * USEC_PER_SEC)
#define SWEEP_USEC (10 * USEC_PER_SEC)
#define BATCH_MAX 64U

typedef struct Session {
        Relay *relay;
        struct sockaddr_storage client;
        socklen_t client_size;
        int fd;
        sd_event_source *source;
        uint64_t used_usec;
        bool v6;
        struct Session *next;
} Session;

/* One thread, one datagram at a time. */
static char buffer[65536];
static Session *sessions;
static sd_event_source *sweep_timer;

static void session_free(Session *s) {
        for (Session **i = &sessions; *i; i = &(*i)->next)
                if (*i == s) {
                        *i = s->next;
                        break;
                }
        sd_event_source_disable_unref(s->source);
        safe_close(s->fd);
        relay_release(s->relay);
        free(s);
}

static void drop_oldest(void) {
        Session *oldest = sessions;

        for (Session *s = sessions; s; s = s->next)
                if (s->used_usec < oldest->used_usec)
                        oldest = s;
        session_free(oldest);
}

static void arm_sweep(void) {
        (void) sd_event_source_set_time_relative(sweep_timer, SWEEP_USEC);
        (void) sd_event_source_set_enabled(sweep_timer, SD_EVENT_ONESHOT);
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        (void) source;
        (void) usec;
        (void) userdata;
        for (Session *s = sessions, *next; s; s = next) {
                next = s->next;
                if (now - s->used_usec >= SESSION_USEC)
                        session_free(s);
        }
        if (sessions)
                arm_sweep();
        return 0;
}

static int session_connect(Session *s);

/* Nobody listens there. Perhaps on the other loopback: what is sent next goes there. */
static void session_refused(Session *s) {
        s->v6 = !s->v6;
        if (session_connect(s) < 0)
                session_free(s);
}

static int on_inside(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Session *s = userdata;

        (void) source;
        (void) revents;
        for (unsigned i = 0; i < BATCH_MAX; i++) {
                ssize_t n;

                n = recv(fd, buffer, sizeof buffer, 0);
                if (n < 0) {
                        if (errno == ECONNREFUSED)
                                session_refused(s);
                        return 0;
                }
                s->used_usec = now_usec(CLOCK_MONOTONIC);
                (void) sendto(s->relay->listen_fd, buffer, (size_t) n, MSG_NOSIGNAL,
                              (const struct sockaddr *) &s->client, s->client_size);
        }
        return 0;
}

static int session_connect(Session *s) {
        struct sockaddr_storage address;
        socklen_t size = relay_address(s->relay, s->v6, &address);

        s->source = sd_event_source_disable_unref(s->source);
        s->fd = safe_close(s->fd);
        s->fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0 || connect(s->fd, (const struct sockaddr *) &address, size) < 0)
                return -errno;
        return sd_event_add_io(s->relay->event, &s->source, s->fd, EPOLLIN, on_inside, s);
}

static Session *session_find(const struct sockaddr_storage *client, socklen_t size) {
        for (Session *s = sessions; s; s = s->next)
                if (s->client_size == size && memcmp(&s->client, client, size) == 0)
                        return s;
        return NULL;
}

static Session *session_new(Relay *relay, const struct sockaddr_storage *client, socklen_t size) {
        Session *s;

        if (relay->n_sessions >= SESSIONS_MAX)
                drop_oldest();
        s = new0(Session, 1);
        if (!s)
                return NULL;
        *s = (Session) { .relay = relay, .client = *client, .client_size = size, .fd = -EBADF, .next = sessions };
        if (!sessions)
                arm_sweep();
        sessions = s;
        relay_hold(relay);
        if (session_connect(s) < 0) {
                session_free(s);
                return NULL;
        }
        return s;
}

static void session_send(Session *s, size_t n) {
        s->used_usec = now_usec(CLOCK_MONOTONIC);
        /* The refusal of an earlier datagram is told to the next call: this one is worth a second try. */
        if (send(s->fd, buffer, n, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED) {
                s->v6 = !s->v6;
                if (session_connect(s) < 0)
                        session_free(s);
                else
                        (void) send(s->fd, buffer, n, MSG_NOSIGNAL);
        }
}

static int on_outside(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Relay *relay = userdata;

        (void) source;
        (void) revents;
        for (unsigned i = 0; i < BATCH_MAX; i++) {
                struct sockaddr_storage client = {};
                socklen_t size = sizeof client;
                Session *s;
                ssize_t n;

                n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *) &client, &size);
                if (n < 0)
                        return 0;
                s = session_find(&client, size) ?: session_new(relay, &client, size);
                if (s)
                        session_send(s, (size_t) n);
        }
        return 0;
}

int relay_udp_start(Relay *r) {
        int k;

        k = sd_event_add_time_relative(r->event, &sweep_timer, CLOCK_MONOTONIC, SWEEP_USEC, USEC_PER_SEC, on_sweep, r);
        if (k >= 0)
                k = sd_event_source_set_enabled(sweep_timer, SD_EVENT_OFF);
        if (k >= 0)
                k = sd_event_add_io(r->event, &r->listen_source, r->listen_fd, EPOLLIN, on_outside, r);
        return k;
}
