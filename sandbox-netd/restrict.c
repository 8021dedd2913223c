/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-netd/restrict.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

/* The kernel is told first, then the file is written: whoever kills us in between leaves a file that differs, and the next
 * change, which sandboxd repeats, does not fit what is there; then all is made anew. An element may end between our
 * look at it and what we do with it, hence the repetitions. */

#define TRIES 4U
/* CLAMP() shadows a name of its own. */
#define CLAMP_SEC(sec) ((sec) < 1 ? 1 : (sec) > PIN_SEC_MAX ? PIN_SEC_MAX : (sec))
#define LOG_DELAY_USEC (200 * USEC_PER_MSEC)
#define COMMANDS "inet sandboxd"

typedef struct Commands {
        FILE *f;
        char *text;
        size_t size;
} Commands;

static int commands_begin(Commands *c) {
        *c = (Commands) {};
        c->f = open_memstream(&c->text, &c->size);
        return c->f ? 0 : -ENOMEM;
}

static int commands_run(Commands *c, Firewall *firewall) {
        int r = fclose(c->f) == 0 ? 0 : -ENOMEM;

        if (r >= 0 && c->size > 0)
                r = firewall_run(firewall, c->text);
        free(c->text);
        return r;
}

int manager_get_elements(Manager *m, const char *set, uint32_t source, Element **ret, size_t *ret_n) {
        bool map = startswith(set, "pinned") != NULL;
        _cleanup_free_ Element *all = NULL;
        _cleanup_free_ char *text = NULL;
        char command[64];
        size_t n, kept = 0;
        int r;

        snprintf(command, sizeof command, "list %s " COMMANDS " %s", map ? "map" : "set", set);
        r = firewall_list(m->firewall, command, &text);
        if (r >= 0)
                r = elements_parse(text, &all, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (source == 0 || all[i].parts[0] == source)
                        all[kept++] = all[i];
        *ret = TAKE_PTR(all);
        *ret_n = kept;
        return 0;
}

uint64_t manager_get_counter(Manager *m, const char *set, uint32_t source) {
        _cleanup_free_ Element *found = NULL;
        _cleanup_free_ char *text = NULL;
        char address[ADDRESS_TEXT_MAX], command[96];
        size_t n = 0;

        snprintf(command, sizeof command, "get element " COMMANDS " %s { %s }", set, address_format(source, address));
        if (firewall_list(m->firewall, command, &text) < 0 || elements_parse(text, &found, &n) < 0 || n == 0)
                return 0;
        return found->packets;
}

static void write_key(FILE *f, const Element *e) {
        char text[ADDRESS_TEXT_MAX];

        for (unsigned i = 0; i < e->n_parts; i++)
                if (i < 2)
                        fprintf(f, "%s%s", i ? " . " : "", address_format(e->parts[i], text));
                else
                        fprintf(f, " . %" PRIu32, e->parts[i]);
}

static void log_one(Manager *m, const Element *e) {
        const EgressList *l = egress_lists_find(&m->lists, e->parts[0]);
        char address[ADDRESS_TEXT_MAX], port[16], protocol[16];
        const LogField fields[] = {
                { "EGRESS_DECISION", "denied" }, { "EGRESS_ADDRESS", address }, { "EGRESS_PROTOCOL", protocol },
                { "EGRESS_PORT", port },
        };

        if (!l || e->n_parts != 4)
                return;
        (void) address_format(e->parts[1], address);
        snprintf(protocol, sizeof protocol, "%" PRIu32, e->parts[2]);
        snprintf(port, sizeof port, "%" PRIu32, e->parts[3]);
        log_fields(LOG_NOTICE, l->id, fields, ELEMENTSOF(fields), "Egress denied: %s, protocol %s, port %s.", address,
                   protocol, port);
}

static int try_log_refused(Manager *m) {
        _cleanup_free_ Element *elements = NULL;
        Commands c;
        size_t n;
        int r;

        r = manager_get_elements(m, "unlogged", 0, &elements, &n);
        if (r >= 0)
                r = commands_begin(&c);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                fputs("delete element " COMMANDS " unlogged { ", c.f);
                write_key(c.f, elements + i);
                fputs(" }\n", c.f);
        }
        r = commands_run(&c, m->firewall);
        for (size_t i = 0; r >= 0 && i < n; i++)
                log_one(m, elements + i);
        return r;
}

static bool any(const Element *e, const EgressList *l) {
        (void) e;
        (void) l;
        return true;
}

static bool is_stale(const Element *e, const EgressList *l) {
        return !egress_list_has_mark(l, e->value);
}

static int try_delete(Manager *m, const char *set, const EgressList *l, bool (*which)(const Element *, const EgressList *)) {
        _cleanup_free_ Element *elements = NULL;
        Commands c;
        size_t n;
        int r;

        r = manager_get_elements(m, set, l->address, &elements, &n);
        if (r >= 0)
                r = commands_begin(&c);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (which(elements + i, l)) {
                        fprintf(c.f, "delete element " COMMANDS " %s { ", set);
                        write_key(c.f, elements + i);
                        fputs(" }\n", c.f);
                }
        return commands_run(&c, m->firewall);
}

static void delete_elements(Manager *m, const char *set, const EgressList *l,
                            bool (*which)(const Element *, const EgressList *)) {
        int r = -EIO;

        for (unsigned i = 0; r == -EIO && i < TRIES; i++)
                r = try_delete(m, set, l, which);
        if (r < 0)
                log_sandbox_errno(LOG_WARNING, r, l->id, "Failed to forget addresses of the sandbox, ignoring: %m");
}

/* Without its entry a pin lets nothing through, so that this is only tidy. */
static void delete_stale_pins(Manager *m, const EgressList *l) {
        delete_elements(m, "pinned", l, is_stale);
        delete_elements(m, "pinned_ports", l, is_stale);
}

static void delete_traces(Manager *m, const EgressList *l) {
        static const char *const sets[] = { "pinned", "pinned_ports", "denied", "unlogged", "noisy" };

        for (size_t i = 0; i < ELEMENTSOF(sets); i++)
                delete_elements(m, sets[i], l, any);
}

static int change(Manager *m, const EgressList *before, const EgressList *after) {
        Commands c;
        int r;

        r = commands_begin(&c);
        if (r < 0)
                return r;
        egress_list_write_change(c.f, before, after);
        return commands_run(&c, m->firewall);
}

/* An earlier one that had this address went without a word. */
static int drop_namesake(Manager *m, const EgressList *l, sd_bus_error *error) {
        const EgressList *other = egress_lists_find(&m->lists, l->address);

        return other && !streq(other->id, l->id) ? manager_release(m, other->id, error) : 0;
}

/* Wires of before there were lists have no resolver behind them. */
static int find_wire(Manager *m, EgressList *l, sd_bus_error *error) {
        unsigned index;
        LinkName name;
        int r;

        link_name_egress(l->id, name);
        if (link_get_alias(m->host, name, &l->address) < 0)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "The sandbox has no network.");
        r = netlink_find_link(m->host, name, &index);
        return r < 0 ? r : netlink_add_address(m->host, index, EGRESS_RESOLVER_ADDRESS);
}

int manager_restrict(Manager *m, EgressList *list, uint32_t *ret, sd_bus_error *error) {
        _cleanup_(egress_list_freep) EgressList *l = list;
        EgressList *now;
        int r, changed;

        r = find_wire(m, l, error);
        if (r >= 0)
                r = manager_prepare(m, /* egress= */ true, error);
        if (r >= 0)
                r = drop_namesake(m, l, error);
        if (r < 0)
                return r;
        egress_list_normalize(l);
        now = l;
        changed = change(m, egress_lists_get(&m->lists, l->id), l);
        r = egress_lists_put(&m->lists, TAKE_PTR(l));
        if (r >= 0 && changed < 0)
                r = firewall_rebuild(m->firewall, &m->spec, &m->lists, error);
        if (r < 0)
                return r;
        delete_stale_pins(m, now);
        *ret = now->address;
        return 0;
}

int manager_release(Manager *m, const char *id, sd_bus_error *error) {
        EgressList *l = egress_lists_get(&m->lists, id);
        int r;

        if (!l)
                return 0;
        (void) try_log_refused(m);
        r = change(m, l, NULL);
        if (r >= 0)
                delete_traces(m, l);
        egress_lists_remove(&m->lists, l);
        return r < 0 ? firewall_rebuild(m->firewall, &m->spec, &m->lists, error) : 0;
}

/* Pins */

static void format_key(const Pin *pin, uint32_t address, char *ret, size_t size) {
        char source[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX], port[16] = "";

        if (pin->port > 0)
                snprintf(port, sizeof port, " . %u", pin->port);
        snprintf(ret, size, "%s . %s%s", address_format(pin->source, source), address_format(address, text), port);
}

/* Seconds that a pin which is there has still to go; 0: there is none. An element keeps the time that it was made with. */
static uint64_t get_left(Manager *m, const char *map, const char *key) {
        _cleanup_free_ Element *found = NULL;
        _cleanup_free_ char *text = NULL;
        char command[128];
        size_t n = 0;

        snprintf(command, sizeof command, "get element " COMMANDS " %s { %s }", map, key);
        if (firewall_list(m->firewall, command, &text) < 0 || elements_parse(text, &found, &n) < 0 || n == 0)
                return 0;
        return MAX(found->expires_sec, UINT64_C(1));
}

/* A name server may say it twice. */
static bool is_repeated(const Pin *pin, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (pin->addresses[k].address == pin->addresses[i].address)
                        return true;
        return false;
}

static int try_pin(Manager *m, const Pin *pin, unsigned *ret_n) {
        const char *map = pin->port > 0 ? "pinned_ports" : "pinned";
        Commands c;
        int r;

        r = commands_begin(&c);
        if (r < 0)
                return r;
        *ret_n = 0;
        for (size_t i = 0; i < pin->n_addresses; i++) {
                uint64_t sec = CLAMP_SEC(pin->addresses[i].sec), left;
                char key[80];

                if (is_repeated(pin, i) ||
                    address_is_guarded(pin->addresses[i].address, m->spec.allowed, m->spec.n_allowed))
                        continue;
                (*ret_n)++;
                format_key(pin, pin->addresses[i].address, key, sizeof key);
                left = get_left(m, map, key);
                if (left > 0)
                        fprintf(c.f, "delete element " COMMANDS " %s { %s }\n", map, key);
                fprintf(c.f, "add element " COMMANDS " %s { %s timeout %" PRIu64 "s : 0x%08" PRIx32 " }\n", map, key,
                        MAX(sec, left), pin->mark);
        }
        return commands_run(&c, m->firewall);
}

int manager_pin(Manager *m, const Pin *pin, unsigned *ret_n, sd_bus_error *error) {
        const EgressList *l = egress_lists_find(&m->lists, pin->source);
        int r;

        if (!l || !egress_list_has_mark(l, pin->mark))
                return bus_error_set(error, BUS_ERROR_DENIED, "This is not on the list.");
        r = firewall_ensure(m->firewall, &m->spec, &m->lists, error);
        if (r < 0)
                return r;
        r = -EIO;
        for (unsigned i = 0; r == -EIO && i < TRIES; i++)
                r = try_pin(m, pin, ret_n);
        return r;
}

/* Tidying */

static bool has_wire(Manager *m, const EgressList *l) {
        uint32_t address;
        LinkName name;

        link_name_egress(l->id, name);
        return link_get_alias(m->host, name, &address) != -ENODEV;
}

void manager_collect_lists(Manager *m) {
        EgressList *l;

        HASHMAP_FOREACH(l, m->lists.by_id)
                if (!has_wire(m, l))
                        (void) manager_release(m, l->id, NULL);
}

/* Decisions */

static int on_log_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        int r = -EIO;

        (void) source;
        (void) usec;
        for (unsigned i = 0; r == -EIO && i < TRIES; i++)
                r = try_log_refused(m);
        m->log_timer = sd_event_source_disable_unref(m->log_timer);
        return 0;
}

void manager_log_refused_soon(Manager *m) {
        if (m->log_timer || hashmap_size(m->lists.by_id) == 0)
                return;
        (void) sd_event_add_time_relative(service_event(m->service), &m->log_timer, CLOCK_MONOTONIC, LOG_DELAY_USEC, 0,
                                          on_log_time, m);
}
