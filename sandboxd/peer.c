/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/peer.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/log.h"

/* sd-bus fails the calls of a dying connection one after the other, each from its dispatcher, and forgets those that
 * are left when the connection is closed before it has told all. So nothing is sent or answered while a connection
 * dies: calls are marked as broken, and an event of their own looks after them when the dispatcher has returned. A
 * connection that is replaced early takes its calls along in the same way.
 *
 * Whether a peer takes descriptors is known when it has answered for the first time, and sd_bus_send() waits for that. A
 * service that is started by our connection takes its time. So such a call is held back until the connection is ready,
 * and those behind it, too: their order stays. */

#define CALL_TIMEOUT_USEC (60 * USEC_PER_SEC)
#define REST_USEC (2 * USEC_PER_SEC)
#define PAUSE_FIRST_USEC (50 * USEC_PER_MSEC)
#define PAUSE_MAX_USEC (5 * USEC_PER_SEC)
/* Under a load that never ends there is no quiet moment: so many wait for one. */
#define POSTS_MAX 64U
#define PRIORITY_POST (SD_EVENT_PRIORITY_NORMAL + 5)

typedef struct PeerCall PeerCall;

struct PeerCall {
        PeerCall *next, **previous;
        Peer *peer;
        sd_bus *bus;            /* the connection it went over; compared only */
        sd_bus_message *message;
        sd_bus_slot *slot;
        PeerFlags flags;
        bool broken, repeated;
        bool held;              /* not sent yet; message is what will be */
        PeerCallback callback;
        void *userdata;
};

struct Peer {
        PeerOptions options;
        BusClient *client;
        sd_bus *bus;            /* compared only: whether it is still the same connection */
        PeerCall *calls;
        sd_event_source *mend, *rest, *pause;
        sd_event_source *post;
        sd_bus_message *posts[POSTS_MAX];
        size_t n_posts;
        uint64_t pause_usec;
        bool attached, lost, closed;
};

static PeerCall *call_free(PeerCall *c) {
        if (c) {
                if (c->previous) {
                        *c->previous = c->next;
                        if (c->next)
                                c->next->previous = c->previous;
                }
                sd_bus_slot_unref(c->slot);
                sd_bus_message_unref(c->message);
                free(c);
        }
        return NULL;
}
DEFINE_CLEANUP(PeerCall *, call_free)

static void call_link(Peer *p, PeerCall *c) {
        c->next = p->calls;
        c->previous = &p->calls;
        if (c->next)
                c->next->previous = &c->next;
        p->calls = c;
}

/* An unused connection holds the other daemon, which would stay for nothing: it is closed after a moment. Who is
 * attached wants signals, and keeps it. */
static void arm_rest(Peer *p) {
        if (!p->attached && !p->calls)
                (void) sd_event_source_set_time_relative(p->rest, REST_USEC);
        (void) sd_event_source_set_enabled(p->rest, !p->attached && !p->calls ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* Freed first: the callback may send the next call, or end everything. */
static void call_finish(PeerCall *c, sd_bus_message *reply, const sd_bus_error *error) {
        PeerCallback callback = c->callback;
        void *userdata = c->userdata;
        Peer *p = c->peer;

        call_free(c);
        arm_rest(p);
        callback(reply, error, userdata);
}

static void call_fail_lost(PeerCall *c) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "A service was interrupted; please try again.");
        call_finish(c, NULL, &error);
}

/* Nothing is sent or answered from here: we may be deep in the dying connection's dispatcher. */
static void call_break(PeerCall *c) {
        c->broken = true;
        c->slot = sd_bus_slot_unref(c->slot);
        (void) sd_event_source_set_enabled(c->peer->mend, SD_EVENT_ONESHOT);
}

static void arm_pause(Peer *p) {
        (void) sd_event_source_set_time_relative(p->pause, p->pause_usec);
        (void) sd_event_source_set_enabled(p->pause, SD_EVENT_ONESHOT);
        p->pause_usec = MIN(p->pause_usec * 2, PAUSE_MAX_USEC);
}

/* Signals may have been missed. */
static void note_loss(Peer *p) {
        if (p->attached && p->options.on_return && !p->lost) {
                p->lost = true;
                arm_pause(p);
        }
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        PeerCall *c = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(m);

        (void) ret_error;
        if (!error)
                call_finish(c, m, NULL);
        else if (sd_bus_is_open(sd_bus_message_get_bus(m)) <= 0) {
                note_loss(c->peer);
                call_break(c);
        } else
                call_finish(c, NULL, error);
        return 1;
}

static void break_calls(Peer *p, const sd_bus *but) {
        for (PeerCall *c = p->calls; c; c = c->next)
                if (!c->broken && c->bus != but)
                        call_break(c);
}

static bool any_held(const Peer *p) {
        for (const PeerCall *c = p->calls; c; c = c->next)
                if (c->held)
                        return true;
        return false;
}

static bool must_be_held(const Peer *p, sd_bus_message *m) {
        const char *signature = sd_bus_message_get_signature(m, /* complete= */ true);

        return sd_bus_is_ready(sd_bus_message_get_bus(m)) <= 0 &&
               ((signature && strchr(signature, 'h')) || any_held(p));
}

static int peer_get_bus(Peer *p, sd_bus **ret) {
        if (p->closed || bus_client_get(p->client, ret) < 0)
                return -EHOSTDOWN;
        return 0;
}

/* With a bound, for a service that hangs must not hold our clients; only what is known to take long waits without one. */
static int call_dispatch(PeerCall *c, sd_bus_message *m) {
        c->bus = sd_bus_message_get_bus(m);
        c->held = must_be_held(c->peer, m);
        if (c->held) {
                sd_bus_message_ref(m); /* it may be the one that is there */
                sd_bus_message_unref(c->message);
                c->message = m;
                return 0;
        }
        return sd_bus_call_async(c->bus, &c->slot, m, on_reply, c,
                                 c->flags & PEER_SLOW ? USEC_INFINITY : CALL_TIMEOUT_USEC);
}

/* The same call over the connection of today. */
static int call_repeat(PeerCall *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus *bus;
        int r;

        c->repeated = true;
        r = peer_get_bus(c->peer, &bus);
        if (r < 0)
                return r;
        if (c->held)
                (void) sd_bus_message_seal(c->message, 1, 0);
        r = sd_bus_message_new_method_call(bus, &m, NULL, sd_bus_message_get_path(c->message),
                                           sd_bus_message_get_interface(c->message),
                                           sd_bus_message_get_member(c->message));
        if (r >= 0)
                r = sd_bus_message_rewind(c->message, true);
        if (r >= 0)
                r = sd_bus_message_copy(m, c->message, true);
        if (r < 0)
                return r;
        c->broken = false;
        return call_dispatch(c, m);
}

static bool connection_is_lost(int r) {
        return r == -ENOTCONN || r == -ECONNRESET || r == -EPIPE;
}

/* The list begins with the last one. */
static PeerCall *first_call(Peer *p, bool (*condition)(const PeerCall *c)) {
        PeerCall *first = NULL;

        for (PeerCall *c = p->calls; c; c = c->next)
                if (condition(c))
                        first = c;
        return first;
}

static bool is_broken(const PeerCall *c) {
        return c->broken;
}

static bool can_go(const PeerCall *c) {
        return c->held && !c->broken;
}

/* Once more, and only what may be done twice. A second loss is told to the caller: a service that dies of a call would
 * else be made to die of it for ever. */
static int on_mend(sd_event_source *source, void *userdata) {
        Peer *p = userdata;
        PeerCall *c;

        (void) source;
        while ((c = first_call(p, is_broken)))
                if (!(c->held || c->flags & PEER_REPEATABLE) || c->repeated || call_repeat(c) < 0)
                        call_fail_lost(c);
        return 0;
}

static int on_rest(sd_event_source *source, uint64_t usec, void *userdata) {
        Peer *p = userdata;

        (void) source;
        (void) usec;
        if (!p->attached && !p->calls) {
                bus_client_close(p->client);
                p->bus = NULL;
        }
        return 0;
}

/* The service may be on its way up again: tried at growing distances until it answers and its state is known. */
static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Peer *p = userdata;
        sd_bus *bus;

        (void) source;
        (void) usec;
        if (!p->attached)
                return 0;
        if (peer_get_bus(p, &bus) < 0)
                arm_pause(p);
        else
                p->options.on_return(p, p->options.userdata);
        return 0;
}

void peer_settled(Peer *p, bool success) {
        if (success) {
                p->lost = false;
                p->pause_usec = PAUSE_FIRST_USEC;
        } else if (p->attached)
                arm_pause(p);
}

static int on_connect(BusClient *client, sd_bus *bus, void *userdata) {
        Peer *p = userdata;

        (void) client;
        if (p->bus)
                note_loss(p); /* a call was quicker than the news of the end of the old connection */
        p->bus = bus;
        /* Calls of an older connection have no answer to wait for: their dispatcher is gone. */
        break_calls(p, bus);
        return p->options.on_connect ? p->options.on_connect(bus, p->options.userdata) : 0;
}

static void on_ready(BusClient *client, void *userdata) {
        Peer *p = userdata;
        PeerCall *c;

        (void) client;
        while ((c = first_call(p, can_go))) {
                if (call_dispatch(c, c->message) < 0)
                        call_break(c);
                if (c->held)
                        return; /* it is gone again */
        }
}

static void on_disconnect(BusClient *client, void *userdata) {
        Peer *p = userdata;

        (void) client;
        p->bus = NULL;
        break_calls(p, NULL);
        note_loss(p);
}

static int add_timer(Peer *p, sd_event_source **source, sd_event_time_handler_t handler) {
        int r = sd_event_add_time_relative(p->options.event, source, CLOCK_MONOTONIC, REST_USEC, 0, handler, p);

        return r < 0 ? r : sd_event_source_set_enabled(*source, SD_EVENT_OFF);
}

static void send_posts(Peer *p) {
        for (size_t i = 0; i < p->n_posts; i++) {
                (void) sd_bus_send(sd_bus_message_get_bus(p->posts[i]), p->posts[i], NULL);
                sd_bus_message_unref(p->posts[i]);
        }
        p->n_posts = 0;
}

static int on_post(sd_event_source *source, void *userdata) {
        (void) source;
        send_posts(userdata);
        return 0;
}

int peer_new(const PeerOptions *options, Peer **ret) {
        _cleanup_(peer_freep) Peer *p = NULL;
        int r;

        assert(options);
        assert(ret);

        p = new0(Peer, 1);
        if (!p)
                return -ENOMEM;
        *p = (Peer) { .options = *options, .pause_usec = PAUSE_FIRST_USEC };

        r = bus_client_new(&(BusClientOptions) { .event = options->event, .path = options->path, .userdata = p,
                                                 .on_connect = on_connect, .on_ready = on_ready,
                                                 .on_disconnect = on_disconnect },
                           &p->client);
        if (r >= 0)
                r = sd_event_add_defer(options->event, &p->mend, on_mend, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->mend, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(options->event, &p->post, on_post, p);
        if (r >= 0)
                r = sd_event_source_set_priority(p->post, PRIORITY_POST);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->post, SD_EVENT_OFF);
        if (r >= 0)
                r = add_timer(p, &p->rest, on_rest);
        if (r >= 0)
                r = add_timer(p, &p->pause, on_pause_over);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

Peer *peer_free(Peer *p) {
        if (p) {
                p->closed = true;
                while (p->calls)
                        call_fail_lost(p->calls);
                send_posts(p);
                bus_client_free(p->client);
                sd_event_source_disable_unref(p->mend);
                sd_event_source_disable_unref(p->post);
                sd_event_source_disable_unref(p->rest);
                sd_event_source_disable_unref(p->pause);
                free(p);
        }
        return NULL;
}

int peer_message(Peer *p, const char *interface, const char *member, sd_bus_message **ret) {
        sd_bus *bus;
        int r;

        r = peer_get_bus(p, &bus);
        if (r < 0)
                return r;
        return sd_bus_message_new_method_call(bus, ret, NULL, p->options.object, interface, member);
}

int peer_send(Peer *p, sd_bus_message *m, PeerFlags flags, PeerCallback callback, void *userdata) {
        _cleanup_(call_freep) PeerCall *c = NULL;
        int r;

        assert(callback);

        c = new0(PeerCall, 1);
        if (!c)
                return -ENOMEM;
        *c = (PeerCall) { .peer = p, .flags = flags, .callback = callback, .userdata = userdata };

        if (flags & PEER_REPEATABLE)
                c->message = sd_bus_message_ref(m);
        r = call_dispatch(c, m);
        if (connection_is_lost(r)) {
                /* Nobody has seen it yet, so that any call may go over a new connection. */
                (void) sd_bus_message_seal(m, 1, 0);
                if (!c->message)
                        c->message = sd_bus_message_ref(m);
                r = call_repeat(c);
        }
        if (r < 0)
                return connection_is_lost(r) ? -EHOSTDOWN : r;
        call_link(p, c);
        (void) sd_event_source_set_enabled(p->rest, SD_EVENT_OFF);
        TAKE_PTR(c);
        return 0;
}

int peer_ping(Peer *p, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(p, "org.freedesktop.DBus.Peer", "Ping", &m);
        return r < 0 ? r : peer_send(p, m, PEER_REPEATABLE, callback, userdata);
}

int peer_post(Peer *p, sd_bus_message *m) {
        (void) sd_bus_message_set_expect_reply(m, false);
        arm_rest(p);
        if (p->n_posts == POSTS_MAX)
                send_posts(p);
        p->posts[p->n_posts++] = sd_bus_message_ref(m);
        return sd_event_source_set_enabled(p->post, SD_EVENT_ONESHOT);
}

void peer_set_attached(Peer *p, bool attached) {
        p->attached = attached;
        if (!attached)
                p->lost = false;
        arm_rest(p);
}

const sd_bus *peer_connection(const Peer *p) {
        return p->bus;
}

bool peer_is_lost(const Peer *p) {
        return p->lost;
}
