/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* A connection that is kept saves a third of a short request. But who keeps one occupies a server that serves one after
 * the other, as many small ones do, and one that is kept may be closed by the server at the very moment when it is used
 * again. So:
 *
 * - only requests that may be repeated go over a kept connection, and are repeated if it turns out to be dead;
 * - for any other one the kept connection to that port is closed first, and none is kept while somebody still waits for
 *   an answer of that port;
 * - what is kept is closed after a few seconds. */

#define IDLE_USEC (5 * USEC_PER_SEC)
#define IDLE_MAX 8U             /* a sandbox */
#define TIMER_ACCURACY (10 * USEC_PER_MSEC)

typedef struct Idle {
        struct Group *group;
        struct Idle *next;
        Upstream *upstream;
        uint16_t port;
        uint64_t since_usec;
} Idle;

struct ExchangeWatch {
        struct Group *group;
        ExchangeWatch *next;
        void (*callback)(void *userdata);
        void *userdata;
};

/* What there is of one sandbox. */
typedef struct Group {
        Exchanges *all;
        char id[SANDBOX_ID_LENGTH + 1];
        Exchange *exchanges;
        ExchangeWatch *watches;
        Idle *idle;             /* the latest first */
        size_t n_idle;
} Group;

struct Exchanges {
        Manager *manager;
        Hashmap *groups;        /* by the sandbox's id */
        sd_event_source *timer;
        size_t n_idle;
};

/* Between us and execd: outlives an exchange that was given up. */
typedef struct Asking {
        Exchange *exchange;     /* NULL: given up */
} Asking;

struct Exchange {
        Group *group;
        Exchange *next, *previous;
        Sandbox *sandbox;
        ExchangeOptions options;
        Upstream *upstream;
        Asking *asking;
        sd_event_source *timer, *defer;
        uint64_t begun_usec;
        bool reused;            /* the connection is a kept one */
        bool body_ended, body_blocked;
        sd_bus_error error;     /* for on_failed(), out of defer */
};

/* --- groups */

static void group_check(Group *g) {
        if (g->exchanges || g->idle || g->watches)
                return;
        (void) hashmap_remove(g->all->groups, g->id);
        free(g);
}

static int group_get(Exchanges *x, const Sandbox *s, Group **ret) {
        Group *g = hashmap_get(x->groups, s->id);
        int r;

        if (!g) {
                g = new0(Group, 1);
                if (!g)
                        return -ENOMEM;
                g->all = x;
                memcpy(g->id, s->id, sizeof g->id);
                r = hashmap_put(x->groups, g->id, g);
                if (r < 0) {
                        free(g);
                        return r;
                }
        }
        *ret = g;
        return 0;
}

/* --- kept connections */

static Upstream *idle_remove(Idle *i) {
        Upstream *u = i->upstream;
        Idle **p = &i->group->idle;

        while (*p != i)
                p = &(*p)->next;
        *p = i->next;
        i->group->n_idle--;
        i->group->all->n_idle--;
        free(i);
        return u;
}

static Idle *idle_find(Group *g, uint16_t port) {
        Idle *i = g->idle;

        while (i && i->port != port)
                i = i->next;
        return i;
}

static void on_idle_end(Upstream *u, void *userdata) {
        Idle *i = userdata;
        Group *g = i->group;

        upstream_free(idle_remove(i));
        (void) u;
        group_check(g);
}

static const UpstreamHandlers idle_handlers = { .on_idle_end = on_idle_end };

static int on_idle_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        Exchanges *x = userdata;
        Group *g;

        (void) usec;
        HASHMAP_FOREACH(g, x->groups) {
                for (Idle *i = g->idle, *next; i; i = next) {
                        next = i->next;
                        if (now - i->since_usec >= IDLE_USEC)
                                upstream_free(idle_remove(i));
                }
                group_check(g);
        }
        if (x->n_idle == 0)
                return 0;
        (void) sd_event_source_set_time_relative(source, USEC_PER_SEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static bool somebody_waits(const Group *g, uint16_t port) {
        for (const Exchange *e = g->exchanges; e; e = e->next)
                if (e->options.port == port && !(e->upstream && upstream_has_answered(e->upstream)))
                        return true;
        return false;
}

static bool keep(Group *g, Upstream *u, uint16_t port) {
        Exchanges *x = g->all;
        Idle *i;

        if (g->n_idle >= IDLE_MAX || somebody_waits(g, port))
                return false;
        i = new0(Idle, 1);
        if (!i)
                return false;
        *i = (Idle) { g, g->idle, u, port, now_usec(CLOCK_MONOTONIC) };
        g->idle = i;
        g->n_idle++;
        if (x->n_idle++ == 0) {
                (void) sd_event_source_set_time_relative(x->timer, USEC_PER_SEC);
                (void) sd_event_source_set_enabled(x->timer, SD_EVENT_ONESHOT);
        }
        upstream_set_idle(u, &idle_handlers, i);
        return true;
}

/* --- one exchange */

static int on_defer(sd_event_source *source, void *userdata) {
        Exchange *e = userdata;

        (void) source;
        e->options.handlers->on_failed(&e->error, e->options.userdata);
        return 0;
}

/* Not at once: whoever is calling us may be in the middle of something. */
static void fail(Exchange *e, const char *name, const char *text) {
        sd_event *event = e->group->all->manager->event;

        if (e->defer)
                return;
        if (e->asking)
                e->asking->exchange = NULL;
        e->asking = NULL;
        e->upstream = upstream_free(e->upstream);
        e->timer = sd_event_source_disable_unref(e->timer);
        (void) bus_error_set(&e->error, name, "%s", text);
        if (sd_event_add_defer(event, &e->defer, on_defer, e) < 0)
                e->options.handlers->on_failed(&e->error, e->options.userdata);
}

static void fail_upstream(Exchange *e, const char *what) {
        char text[160];

        snprintf(text, sizeof text, "The server on port %u of the sandbox gave no answer: %s", e->options.port, what);
        fail(e, BUS_ERROR_UPSTREAM, text);
}

static void on_head(const ResponseHead *head, void *userdata) {
        Exchange *e = userdata;

        e->options.handlers->on_head(head, e->options.userdata);
}

static void on_readable(void *userdata) {
        Exchange *e = userdata;

        e->options.handlers->on_readable(e->options.userdata);
}

static void on_writable(void *userdata) {
        Exchange *e = userdata;

        e->options.handlers->on_writable(e->options.userdata);
}

static int ask(Exchange *e);

static void on_upstream_failed(const char *what, void *userdata) {
        Exchange *e = userdata;

        if (e->reused) { /* it was closed before it had our request, or just when: repeatable, so no matter */
                e->upstream = upstream_free(e->upstream);
                e->reused = false;
                if (ask(e) >= 0)
                        return;
        }
        fail_upstream(e, what);
}

static const UpstreamHandlers upstream_handlers = {
        .on_head = on_head,
        .on_readable = on_readable,
        .on_writable = on_writable,
        .on_failed = on_upstream_failed,
};

static int begin(Exchange *e, Upstream *u) {
        UpstreamRequest request = { .n_head = e->options.n_head, .body_size = e->options.body_size,
                                    .is_head = e->options.is_head, .may_switch = e->options.may_switch };
        int r;

        /* kept, should it have to be sent again */
        request.head = malloc(e->options.n_head);
        if (!request.head)
                return -ENOMEM;
        memcpy(request.head, e->options.head, e->options.n_head);
        upstream_set_handlers(u, &upstream_handlers, e);
        e->upstream = u;
        r = upstream_begin(u, &request);
        if (r < 0)
                return r;
        if (e->body_ended)
                upstream_end_body(u);
        return 0;
}

static int take_reply(Exchange *e, sd_bus_message *reply) {
        int fd, r;

        r = sd_bus_message_read_basic(reply, 'h', &fd);
        if (r < 0)
                return r;
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : upstream_new(e->group->all->manager->event, fd, &e->upstream);
}

static void on_connected(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_free_ Asking *asking = userdata;
        Exchange *e = asking->exchange;
        int r;

        if (!e)
                return;
        e->asking = NULL;
        if (error)
                return fail(e, error->name, error->message ?: "");
        r = take_reply(e, reply);
        if (r >= 0)
                r = begin(e, e->upstream);
        if (r < 0)
                return fail(e, BUS_ERROR_UNAVAILABLE, "The sandbox cannot be connected to at the moment");
        if (e->body_blocked) {
                e->body_blocked = false;
                e->options.handlers->on_writable(e->options.userdata);
        }
}

static int ask(Exchange *e) {
        _cleanup_free_ Asking *asking = new0(Asking, 1);
        Manager *m = e->group->all->manager;
        int r;

        if (!asking)
                return -ENOMEM;
        asking->exchange = e;
        r = execd_connect(m->execd, e->sandbox->id, e->options.port, on_connected, asking);
        if (r < 0)
                return r;
        e->asking = TAKE_PTR(asking);
        return 0;
}

/* Only while it is the server's turn: a client that takes its time is somebody else's business. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Exchange *e = userdata;
        uint64_t now = now_usec(CLOCK_MONOTONIC), timeout = e->options.timeout_usec, quiet = 0;
        char text[128];

        (void) usec;
        if (e->options.in_all)
                quiet = now - e->begun_usec;
        else if (!e->upstream || upstream_waits(e->upstream))
                quiet = now - (e->upstream ? upstream_progress_usec(e->upstream) : e->begun_usec);
        if (quiet < timeout) {
                (void) sd_event_source_set_time_relative(source, timeout - quiet);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        if (e->upstream && upstream_has_answered(e->upstream)) {
                e->upstream = upstream_free(e->upstream);
                e->options.handlers->on_readable(e->options.userdata);
                return 0;
        }
        snprintf(text, sizeof text, "The server on port %u of the sandbox gave no answer within %llu ms",
                 e->options.port, (unsigned long long) (timeout / USEC_PER_MSEC));
        fail(e, BUS_ERROR_TIMED_OUT, text);
        return 0;
}

static int start(Exchange *e) {
        Manager *m = e->group->all->manager;
        Idle *idle = idle_find(e->group, e->options.port);
        Upstream *u;
        int r;

        r = sd_event_add_time_relative(m->event, &e->timer, CLOCK_MONOTONIC, e->options.timeout_usec, TIMER_ACCURACY,
                                       on_timer, e);
        if (r < 0)
                return r;
        if (!idle)
                return ask(e);
        u = idle_remove(idle);
        if (e->options.repeatable) {
                e->reused = true;
                return begin(e, u);
        }
        upstream_free(u);
        return ask(e);
}

int exchange_new(Exchanges *x, const ExchangeOptions *options, Exchange **ret) {
        _cleanup_(exchange_freep) Exchange *e = new0(Exchange, 1);
        int r;

        if (!e) {
                free(options->head);
                return -ENOMEM;
        }
        e->options = *options;
        e->begun_usec = now_usec(CLOCK_MONOTONIC);
        e->sandbox = sandbox_ref(options->sandbox);
        r = group_get(x, e->sandbox, &e->group);
        if (r < 0)
                return r;
        e->next = e->group->exchanges;
        if (e->next)
                e->next->previous = e;
        e->group->exchanges = e;
        r = start(e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

static void unlink_exchange(Exchange *e) {
        if (e->next)
                e->next->previous = e->previous;
        if (e->previous)
                e->previous->next = e->next;
        else
                e->group->exchanges = e->next;
}

Exchange *exchange_free(Exchange *e) {
        if (!e)
                return NULL;
        if (e->asking)
                e->asking->exchange = NULL;
        sd_event_source_disable_unref(e->timer);
        sd_event_source_disable_unref(e->defer);
        if (e->group) {
                unlink_exchange(e);
                if (e->upstream && upstream_is_reusable(e->upstream) && keep(e->group, e->upstream, e->options.port))
                        e->upstream = NULL;
                e->upstream = upstream_free(e->upstream);
                group_check(e->group);
        }
        sd_bus_error_free(&e->error);
        free(e->options.head);
        sandbox_unref(e->sandbox);
        free(e);
        return NULL;
}

size_t exchange_write(Exchange *e, const char *data, size_t n) {
        if (e->defer)
                return n;
        if (!e->upstream) {
                e->body_blocked = true;
                return 0;
        }
        return upstream_write(e->upstream, data, n);
}

void exchange_end_body(Exchange *e) {
        e->body_ended = true;
        if (e->upstream)
                upstream_end_body(e->upstream);
}

ssize_t exchange_read(Exchange *e, char *buffer, size_t size) {
        return e->upstream ? upstream_read(e->upstream, buffer, size) : -EPIPE;
}

bool exchange_is_done(const Exchange *e) {
        return e->upstream && upstream_is_done(e->upstream);
}

int exchange_take_socket(Exchange *e, const char **ret_data, size_t *ret_size) {
        return e->upstream ? upstream_take_socket(e->upstream, ret_data, ret_size) : -EBADF;
}

/* --- watches */

int exchange_watch_new(Exchanges *x, const Sandbox *s, void (*callback)(void *userdata), void *userdata,
                       ExchangeWatch **ret) {
        _cleanup_free_ ExchangeWatch *w = new0(ExchangeWatch, 1);
        int r;

        if (!w)
                return -ENOMEM;
        *w = (ExchangeWatch) { .callback = callback, .userdata = userdata };
        r = group_get(x, s, &w->group);
        if (r < 0)
                return r;
        w->next = w->group->watches;
        w->group->watches = w;
        *ret = TAKE_PTR(w);
        return 0;
}

static void unlink_watch(ExchangeWatch *w) {
        ExchangeWatch **p = &w->group->watches;

        while (*p != w)
                p = &(*p)->next;
        *p = w->next;
        w->group = NULL;
}

ExchangeWatch *exchange_watch_free(ExchangeWatch *w) {
        Group *g = w ? w->group : NULL;

        if (g) {
                unlink_watch(w);
                group_check(g);
        }
        free(w);
        return NULL;
}

/* --- all of them */

int exchanges_new(Manager *m, Exchanges **ret) {
        _cleanup_(exchanges_freep) Exchanges *x = new0(Exchanges, 1);
        int r;

        if (!x)
                return -ENOMEM;
        x->manager = m;
        x->groups = hashmap_new();
        if (!x->groups)
                return -ENOMEM;
        r = sd_event_add_time_relative(m->event, &x->timer, CLOCK_MONOTONIC, USEC_PER_SEC, USEC_PER_SEC / 2,
                                       on_idle_timer, x);
        if (r >= 0)
                r = sd_event_source_set_enabled(x->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(x);
        return 0;
}

static void drop_idle(Group *g) {
        while (g->idle)
                upstream_free(idle_remove(g->idle));
}

/* Exchanges are their clients', which end before us. */
Exchanges *exchanges_free(Exchanges *x) {
        Group *g;

        if (!x)
                return NULL;
        if (x->groups)
                HASHMAP_FOREACH(g, x->groups) {
                        drop_idle(g);
                        group_check(g);
                }
        hashmap_free(x->groups);
        sd_event_source_disable_unref(x->timer);
        free(x);
        return NULL;
}

void exchanges_end_sandbox(Exchanges *x, const Sandbox *s, const char *why) {
        Group *g = hashmap_get(x->groups, s->id);

        if (!g)
                return;
        drop_idle(g);
        for (Exchange *e = g->exchanges, *next; e; e = next) {
                next = e->next;
                if (e->upstream && upstream_has_answered(e->upstream)) {
                        e->upstream = upstream_free(e->upstream);
                        e->options.handlers->on_readable(e->options.userdata);
                } else
                        fail(e, BUS_ERROR_WRONG_STATE, why);
        }
        while ((g = hashmap_get(x->groups, s->id)) && g->watches) {
                ExchangeWatch *w = g->watches;

                unlink_watch(w);
                w->callback(w->userdata);
        }
        if (g)
                group_check(g);
}

size_t exchanges_count_idle(const Exchanges *x) {
        return x->n_idle;
}
