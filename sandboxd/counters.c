/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/counters.h"

#include <systemd/sd-id128.h>

#include "libsandbox/time-util.h"

/* Totals that count. The values in memory are what is shown; each change is written behind them by one statement. */

static const char *const counter_names[_COUNTER_MAX] = {
        [COUNTER_CREATED] = "created",
        [COUNTER_WARM] = "created-warm",
        [COUNTER_BLANK] = "created-blank",
        [COUNTER_COLD] = "created-cold",
        [COUNTER_KILLED] = "killed",
        [COUNTER_EXPIRED] = "expired",
        [COUNTER_LOST] = "lost",
};

/* Uptime is that of the service, not of a process that leaves after three quiet seconds. */
static int load_start(Counters *c) {
        uint64_t boot, known_boot, started;
        sd_id128_t id;
        int r;

        r = sd_id128_get_boot(&id);
        if (r < 0)
                return r;
        boot = (id.qwords[0] ^ id.qwords[1]) >> 1;

        r = store_get_number(c->store, "boot", &known_boot);
        if (r >= 0)
                r = store_get_number(c->store, "started", &started);
        if (r < 0)
                return r;
        if (known_boot == boot) {
                c->started_usec = started;
                return 0;
        }
        c->started_usec = now_usec(CLOCK_BOOTTIME);
        r = store_set_number(c->store, "boot", boot);
        return r < 0 ? r : store_set_number(c->store, "started", c->started_usec);
}

static void write_all(Counters *c) {
        for (Counter i = 0; i < _COUNTER_MAX; i++) {
                if (c->unwritten[i] > 0)
                        (void) store_add_number(c->store, counter_names[i], c->unwritten[i]);
                c->unwritten[i] = 0;
        }
}

static int on_writer(sd_event_source *source, void *userdata) {
        (void) source;
        write_all(userdata);
        return 0;
}

static int add_writer(Counters *c, sd_event *event) {
        int r;

        r = sd_event_add_defer(event, &c->writer, on_writer, c);
        if (r >= 0)
                r = sd_event_source_set_priority(c->writer, SD_EVENT_PRIORITY_IDLE);
        return r < 0 ? r : sd_event_source_set_enabled(c->writer, SD_EVENT_OFF);
}

void counters_done(Counters *c) {
        c->writer = sd_event_source_disable_unref(c->writer);
        if (c->store)
                write_all(c);
}

int counters_load(Counters *c, sd_event *event, Store *store) {
        int r;

        *c = (Counters) { .store = store };
        r = add_writer(c, event);
        if (r < 0)
                return r;
        for (Counter i = 0; i < _COUNTER_MAX; i++) {
                r = store_get_number(store, counter_names[i], c->values + i);
                if (r < 0)
                        return r;
        }
        return load_start(c);
}

void counters_add(Counters *c, Counter which) {
        c->values[which]++;
        (void) store_add_number(c->store, counter_names[which], 1);
}

void counters_add_later(Counters *c, Counter which) {
        c->values[which]++;
        c->unwritten[which]++;
        (void) sd_event_source_set_enabled(c->writer, SD_EVENT_ONESHOT);
}
