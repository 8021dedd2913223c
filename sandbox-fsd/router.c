/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/router.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/hashmap.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"

/* Calls are passed on without being read: what a sandbox's files are called, and what is in them, never reaches a
 * parser of the daemon. Messages are copied from one connection to another with their descriptors. */

/* Workers have shorter deadlines of their own; this one is for a worker that hangs in the kernel. */
#define CALL_TIMEOUT_USEC (30 * 60 * USEC_PER_SEC)

typedef struct Call Call;
typedef struct Worker Worker;
typedef struct Target Target;

struct Call {
        Call *next;
        sd_bus_message *message;
};

struct Worker {
        Target *target;
        Worker *next;
        sd_bus *bus;
        sd_event_source *idle_timer;
        sd_bus_slot *slot;
        Call *call; /* NULL: idle */
};

/* One sandbox. It exists while there is a worker, a start under way or a call. */
struct Target {
        Router *router;
        char id[SANDBOX_ID_LENGTH + 1];
        Worker *workers;
        unsigned n_workers, n_starting, n_calls;
        Call *first, *last;
};

struct Router {
        RouterOptions options;
        Hashmap *targets;
};

static Call *call_free(Router *r, Call *c) {
        sd_bus_message_unref(c->message);
        free(c);
        service_release(r->options.service);
        return NULL;
}

static void call_fail(Router *r, Call *c, const sd_bus_error *error) {
        (void) sd_bus_reply_method_error(c->message, error);
        call_free(r, c);
}

static void call_interrupt(Router *r, Call *c) {
        static const sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(
                BUS_ERROR_INTERRUPTED, "The sandbox's file worker ended before it answered.");

        call_fail(r, c, &error);
}

static Call *target_pop(Target *t) {
        Call *c = t->first;

        if (!c)
                return NULL;
        t->first = c->next;
        if (!t->first)
                t->last = NULL;
        t->n_calls--;
        return c;
}

static void target_push(Target *t, Call *c) {
        if (t->last)
                t->last->next = c;
        else
                t->first = c;
        t->last = c;
        t->n_calls++;
}

/* A call that it was at is answered as interrupted: whether the change was made nobody can say any more, so it is not
 * given to another worker. */
static void worker_free(Worker *w) {
        Target *t = w->target;

        for (Worker **p = &t->workers; *p; p = &(*p)->next)
                if (*p == w) {
                        *p = w->next;
                        t->n_workers--;
                        break;
                }
        sd_event_source_disable_unref(w->idle_timer);
        sd_bus_slot_unref(w->slot);
        sd_bus_close_unref(w->bus);
        if (w->call)
                call_interrupt(t->router, w->call);
        free(w);
}

static void target_free(Target *t) {
        Call *c;

        while (t->workers)
                worker_free(t->workers);
        while ((c = target_pop(t)))
                call_interrupt(t->router, c);
        (void) hashmap_remove(t->router->targets, t->id);
        free(t);
}

/* Sandboxes come and go, and one that nobody asks about must cost nothing. */
static void target_release(Target *t) {
        Router *r = t->router;

        if (t->workers || t->n_starting > 0 || t->first)
                return;
        target_free(t);
        if (hashmap_size(r->targets) == 0 && r->options.on_empty)
                r->options.on_empty(r, r->options.userdata);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Worker *w = userdata;
        Target *t = w->target;

        (void) source;
        (void) usec;
        worker_free(w);
        target_release(t);
        return 0;
}

static void worker_arm_idle(Worker *w) {
        (void) sd_event_source_set_time_relative(w->idle_timer, w->target->router->options.idle_usec);
        (void) sd_event_source_set_enabled(w->idle_timer, SD_EVENT_ONESHOT);
}

/* sd_bus_message_copy() takes an array element by element, some 70 ns each: contents would cost more than all else that
 * is done with them. Bytes are what is large here. */
static int copy_body(sd_bus_message *to, sd_bus_message *from) {
        const char *contents;
        const void *bytes;
        size_t n;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(from, &type, &contents)) > 0) {
                if (type == 'a' && streq(contents, "y")) {
                        r = sd_bus_message_read_array(from, 'y', &bytes, &n);
                        if (r >= 0)
                                r = sd_bus_message_append_array(to, 'y', bytes, n);
                } else
                        r = sd_bus_message_copy(to, from, /* all= */ false);
                if (r < 0)
                        return r;
        }
        return r;
}

/* Errors keep their names: these are what sandboxd makes a status of. */
static int copy_answer(sd_bus_message *answer, sd_bus_message *call) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        if (sd_bus_message_is_method_error(answer, NULL))
                return sd_bus_reply_method_error(call, sd_bus_message_get_error(answer));
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = copy_body(reply, answer);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* What sd-bus itself answers for a connection that ended, or a call that timed out. */
static bool worker_is_lost(sd_bus_message *answer) {
        return sd_bus_message_is_method_error(answer, SD_BUS_ERROR_NO_REPLY) ||
               sd_bus_message_is_method_error(answer, SD_BUS_ERROR_DISCONNECTED) ||
               sd_bus_message_is_method_error(answer, SD_BUS_ERROR_TIMEOUT);
}

static void target_dispatch(Target *t);

static int on_answer(sd_bus_message *answer, void *userdata, sd_bus_error *error) {
        Worker *w = userdata;
        Target *t = w->target;
        Call *c = w->call;
        int r;

        (void) error;
        w->slot = sd_bus_slot_unref(w->slot);
        if (worker_is_lost(answer)) {
                worker_free(w);
                target_dispatch(t);
                return 0;
        }

        w->call = NULL;
        r = copy_answer(answer, c->message);
        if (r < 0)
                log_sandbox_errno(LOG_DEBUG, r, t->id, "Failed to pass an answer on, ignoring: %m");
        call_free(t->router, c);
        worker_arm_idle(w);
        target_dispatch(t);
        return 0;
}

static int worker_call(Worker *w, Call *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *copy = NULL;
        int r;

        r = sd_bus_message_new_method_call(w->bus, &copy, NULL, sd_bus_message_get_path(c->message), FILES_INTERFACE,
                                           sd_bus_message_get_member(c->message));
        if (r >= 0)
                r = sd_bus_message_rewind(c->message, /* complete= */ true);
        if (r >= 0)
                r = copy_body(copy, c->message);
        if (r >= 0)
                r = sd_bus_call_async(w->bus, &w->slot, copy, on_answer, w, CALL_TIMEOUT_USEC);
        if (r < 0)
                return r;
        w->call = c;
        (void) sd_event_source_set_enabled(w->idle_timer, SD_EVENT_OFF);
        return 0;
}

static Worker *target_idle_worker(Target *t) {
        for (Worker *w = t->workers; w; w = w->next)
                if (!w->call)
                        return w;
        return NULL;
}

static void target_fail_all(Target *t, const sd_bus_error *error) {
        Call *c;

        while ((c = target_pop(t)))
                call_fail(t->router, c, error);
}

static void target_start_worker(Target *t) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Router *router = t->router;
        int r;

        t->n_starting++;
        r = router->options.start(router, t->id, router->options.userdata);
        if (r < 0) {
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "The execution service cannot be reached.");
                router_start_failed(router, t->id, &error);
        }
}

/* Gives waiting calls to idle workers, and has workers started for the rest. The target may be gone afterwards. */
static void target_dispatch(Target *t) {
        Worker *w;

        while (t->first && (w = target_idle_worker(t))) {
                Call *c = target_pop(t);

                if (worker_call(w, c) < 0) {
                        call_interrupt(t->router, c);
                        worker_free(w);
                }
        }
        if (t->n_calls > t->n_starting && t->n_workers + t->n_starting < ROUTER_WORKERS_MAX)
                target_start_worker(t);
        else
                target_release(t);
}

/* It ended by itself, or with its sandbox; calls that still wait get another one, or the error of its start. */
static int on_worker_gone(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Worker *w = userdata;
        Target *t = w->target;

        (void) m;
        (void) error;
        worker_free(w);
        target_dispatch(t);
        return 1;
}

static int worker_start_bus(Worker *w, int fd) {
        sd_event *event = service_event(w->target->router->options.service);
        int r;

        r = sd_bus_new(&w->bus);
        if (r >= 0)
                r = sd_bus_set_fd(w->bus, fd, fd);
        if (r < 0) {
                safe_close(fd);
                return r;
        }
        r = sd_bus_negotiate_fds(w->bus, true);
        if (r >= 0)
                r = sd_bus_start(w->bus);
        if (r >= 0)
                r = sd_bus_attach_event(w->bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(w->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                              "org.freedesktop.DBus.Local", "Disconnected", on_worker_gone, NULL, w);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &w->idle_timer, CLOCK_MONOTONIC,
                                               w->target->router->options.idle_usec, 0, on_idle, w);
        return r;
}

void router_add_worker(Router *router, const char *id, int fd) {
        Target *t = hashmap_get(router->targets, id);
        Worker *w = t ? new0(Worker, 1) : NULL;
        int r;

        if (!w) {
                safe_close(fd);
                return;
        }
        t->n_starting--;
        *w = (Worker) { .target = t, .next = t->workers };
        t->workers = w;
        t->n_workers++;
        r = fd_set_nonblock(fd, true);
        if (r >= 0)
                r = worker_start_bus(w, fd);
        if (r < 0) {
                log_sandbox_errno(LOG_WARNING, r, id, "Failed to talk to a file worker: %m");
                worker_free(w);
                if (!t->workers) {
                        target_fail_all(t, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_UNAVAILABLE, "No file worker."));
                        target_release(t);
                        return;
                }
        }
        target_dispatch(t);
}

/* With other workers at work the calls just wait for them. */
void router_start_failed(Router *router, const char *id, const sd_bus_error *error) {
        Target *t = hashmap_get(router->targets, id);

        if (!t)
                return;
        t->n_starting--;
        if (!t->workers && t->n_starting == 0)
                target_fail_all(t, error);
        target_release(t);
}

static int target_get(Router *r, const char *id, Target **ret) {
        Target *t = hashmap_get(r->targets, id);
        int k;

        if (!t) {
                t = new0(Target, 1);
                if (!t)
                        return -ENOMEM;
                t->router = r;
                memcpy(t->id, id, sizeof t->id);
                k = hashmap_put(r->targets, t->id, t);
                if (k < 0) {
                        free(t);
                        return k;
                }
        }
        *ret = t;
        return 0;
}

/* The queue of a sandbox is bounded: one whose files do not answer must not fill our memory with calls about them. */
static int route_call(Router *r, sd_bus_message *m, sd_bus_error *error) {
        const char *id;
        Target *t;
        Call *c;
        int k;

        k = sd_bus_message_read(m, "s", &id);
        if (k < 0)
                return k;
        if (!sandbox_id_is_valid(id))
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Not the id of a sandbox.");
        k = target_get(r, id, &t);
        if (k < 0)
                return k;
        if (t->n_calls >= ROUTER_CALLS_MAX)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Too many file operations wait for this sandbox.");
        c = new0(Call, 1);
        if (!c) {
                target_release(t);
                return -ENOMEM;
        }
        c->message = sd_bus_message_ref(m);
        service_hold(r->options.service);
        target_push(t, c);
        target_dispatch(t);
        return 1;
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        if (!streq_ptr(sd_bus_message_get_interface(m), FILES_INTERFACE))
                return 0;
        return route_call(userdata, m, error);
}

unsigned router_end_idle(Router *r, const char *id) {
        Target *t = hashmap_get(r->targets, id);
        unsigned n;
        Worker *w;

        if (!t)
                return 0;
        while ((w = target_idle_worker(t)))
                worker_free(w);
        n = t->n_workers + t->n_starting;
        target_release(t);
        return n;
}

int router_attach(Router *r, sd_bus *bus) {
        return sd_bus_add_fallback(bus, NULL, FSD_OBJECT, on_call, r);
}

int router_new(const RouterOptions *options, Router **ret) {
        _cleanup_(router_freep) Router *r = new0(Router, 1);

        if (!r)
                return -ENOMEM;
        r->options = *options;
        r->targets = hashmap_new();
        if (!r->targets)
                return -ENOMEM;
        *ret = TAKE_PTR(r);
        return 0;
}

Router *router_free(Router *r) {
        Target *t;

        if (!r)
                return NULL;
        if (r->targets)
                HASHMAP_FOREACH(t, r->targets)
                        target_free(t);
        hashmap_free(r->targets);
        free(r);
        return NULL;
}
