/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/pins.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"

/* The connection is closed when nothing has gone over it for a moment: an open one would keep sandbox-netd running. */
#define LINGER_USEC (1 * USEC_PER_SEC)
#define CALL_USEC (5 * USEC_PER_SEC)
#define TRIES 3U

struct Pins {
        sd_event *event;
        BusClient *client;
        sd_event_source *linger;
        unsigned n_calls;
};

struct PinCall {
        Pins *pins;
        uint32_t source, mark;
        uint16_t port;
        DnsAddress addresses[DNS_ADDRESSES_MAX];
        size_t n_addresses;
        unsigned n_tries;
        sd_bus_slot *slot;
        PinCallback callback;
        void *userdata;
};

static int on_linger(sd_event_source *source, uint64_t usec, void *userdata) {
        Pins *p = userdata;

        (void) source;
        (void) usec;
        if (p->n_calls == 0)
                bus_client_close(p->client);
        return 0;
}

int pins_new(sd_event *event, const char *path, Pins **ret) {
        _cleanup_(pins_freep) Pins *p = new0(Pins, 1);
        int r;

        if (!p)
                return -ENOMEM;
        p->event = event;
        r = bus_client_new(&(BusClientOptions) { .event = event, .path = path }, &p->client);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &p->linger, CLOCK_MONOTONIC, LINGER_USEC, 0, on_linger, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->linger, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

Pins *pins_free(Pins *p) {
        if (p) {
                sd_event_source_disable_unref(p->linger);
                bus_client_free(p->client);
                free(p);
        }
        return NULL;
}

PinCall *pin_call_free(PinCall *c) {
        if (c) {
                Pins *p = c->pins;

                sd_bus_slot_unref(c->slot);
                if (--p->n_calls == 0) {
                        (void) sd_event_source_set_time_relative(p->linger, LINGER_USEC);
                        (void) sd_event_source_set_enabled(p->linger, SD_EVENT_ONESHOT);
                }
                free(c);
        }
        return NULL;
}

static int send_call(PinCall *c);

/* Whoever was killed under it is back at once; saying it twice is as good as once. */
static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        PinCall *c = userdata;

        (void) error;
        c->slot = sd_bus_slot_unref(c->slot);
        if (!e)
                c->callback(0, c->userdata);
        else if (sd_bus_error_has_name(e, BUS_ERROR_DENIED))
                c->callback(-EACCES, c->userdata);
        else if (c->n_tries >= TRIES || send_call(c) < 0) {
                log_warning("An address could not be opened: %s", e->message);
                c->callback(-EIO, c->userdata);
        }
        return 1;
}

static int append_addresses(sd_bus_message *m, const PinCall *c) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(uu)");
        for (size_t i = 0; r >= 0 && i < c->n_addresses; i++)
                r = sd_bus_message_append(m, "(uu)", c->addresses[i].address, c->addresses[i].sec);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int send_call(PinCall *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus *bus;
        int r;

        c->n_tries++;
        r = bus_client_get(c->pins->client, &bus);
        if (r >= 0)
                r = sd_bus_message_new_method_call(bus, &m, NULL, PINS_OBJECT, PINS_INTERFACE, "Pin");
        if (r >= 0)
                r = sd_bus_message_append(m, "uuq", c->source, c->mark, c->port);
        if (r >= 0)
                r = append_addresses(m, c);
        return r < 0 ? r : sd_bus_call_async(bus, &c->slot, m, on_reply, c, CALL_USEC);
}

int pins_call(Pins *p, uint32_t source, uint32_t mark, uint16_t port, const DnsAddress *addresses, size_t n,
              PinCallback callback, void *userdata, PinCall **ret) {
        PinCall *c = new0(PinCall, 1);
        int r;

        if (!c)
                return -ENOMEM;
        *c = (PinCall) { .pins = p, .source = source, .mark = mark, .port = port,
                         .n_addresses = MIN(n, (size_t) DNS_ADDRESSES_MAX), .callback = callback, .userdata = userdata };
        for (size_t i = 0; i < c->n_addresses; i++)
                c->addresses[i] = addresses[i];
        p->n_calls++;
        r = send_call(c);
        if (r < 0) {
                pin_call_free(c);
                return r;
        }
        *ret = c;
        return 0;
}
