/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/port.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/manager-bus.h"
#include "sandbox-execd/port-host.h"
#include "sandbox-execd/port-unit.h"

/* Exposing asks systemd and answers with what came of it. A call whose answer was lost may be made again: the unit is
 * there then, and its port is the answer.
 *
 * A port that is taken may be one of a sandbox that has just ended and whose listener systemd is about to close; so a
 * port that somebody insists on is looked at for a moment before he is told that it is another's. */

#define RETRY_USEC (20 * USEC_PER_MSEC)
#define RETRIES_MAX 25U
#define STARTS_MAX 8U

typedef struct PortCall {
        Manager *manager;
        sd_bus_message *message;
        PortUnit unit;
        bool insists;           /* on this host port; else any will do */
        bool found;             /* by a listing: the unit as systemd has it */
        uint16_t found_port;
        unsigned retries, starts;
        unsigned n_stopping;    /* units */
        int error;
        sd_event_source *timer;
        sd_bus_message *reply;  /* of Ports(), while it is being filled */
} PortCall;

static void call_free(PortCall *c) {
        sd_event_source_disable_unref(c->timer);
        sd_bus_message_unref(c->message);
        sd_bus_message_unref(c->reply);
        service_release(c->manager->service);
        free(c);
}

static PortCall *call_new(Manager *m, sd_bus_message *message) {
        PortCall *c = new0(PortCall, 1);

        if (c) {
                *c = (PortCall) { .manager = m, .message = sd_bus_message_ref(message) };
                service_hold(m->service);
        }
        return c;
}

static void fail(PortCall *c, const char *name, const char *text) {
        (void) sd_bus_reply_method_errorf(c->message, name, "%s", text);
        call_free(c);
}

static void fail_errno(PortCall *c, int error, const char *details) {
        (void) sd_bus_reply_method_errorf(c->message, BUS_ERROR_UNAVAILABLE, "systemd does not do it: %s.",
                                          details ?: strerror(-error));
        call_free(c);
}

static int request(PortCall *c, SystemdRequestOptions options) {
        options.userdata = c;
        return systemd_client_request(c->manager->systemd, &options, NULL);
}

/* Calls handler for each port of a listing. */
static void read_units(sd_bus_message *m, void (*handler)(PortCall *c, const PortUnit *unit, bool listens),
                       PortCall *c) {
        const char *name, *description, *active, *s[5];
        uint32_t job;
        PortUnit unit;

        if (sd_bus_message_enter_container(m, 'a', "(ssssssouso)") < 0)
                return;
        while (sd_bus_message_read(m, "(ssssssouso)", &name, &description, s, &active, s + 1, s + 2, s + 3, &job, s + 4,
                                   s + 4) > 0)
                if (port_unit_parse(name, description, &unit) >= 0)
                        handler(c, &unit, streq(active, "active"));
}

static void on_same(PortCall *c, const PortUnit *unit, bool listens) {
        if (listens && unit->udp == c->unit.udp && unit->container_port == c->unit.container_port) {
                c->found = true;
                c->found_port = unit->host_port;
        }
}

static void on_same_reply(sd_bus_message *m, void *userdata) {
        read_units(m, on_same, userdata);
}

static void start_later(PortCall *c);

/* It was there: by an earlier call whose caller never saw the answer, or it is just going. */
static void on_same_listed(int error, const char *details, void *userdata) {
        PortCall *c = userdata;

        if (error < 0)
                fail_errno(c, error, details);
        else if (!c->found)
                start_later(c);
        else if (c->insists && c->found_port != c->unit.host_port)
                fail(c, BUS_ERROR_WRONG_STATE, "The port is exposed at another port of the host.");
        else {
                (void) sd_bus_reply_method_return(c->message, "q", c->found_port);
                call_free(c);
        }
}

static int list(PortCall *c, void (*on_reply)(sd_bus_message *m, void *userdata),
                void (*on_done)(int error, const char *details, void *userdata)) {
        char pattern[PORT_UNIT_MAX];

        port_unit_pattern(c->unit.id.digits, pattern);
        return request(c, (SystemdRequestOptions) { .action = SYSTEMD_LIST, .unit = pattern, .on_reply = on_reply,
                                                    .on_done = on_done });
}

static void on_started(int error, const char *details, void *userdata) {
        PortCall *c = userdata;
        int r;

        if (error == 0) {
                (void) sd_bus_reply_method_return(c->message, "q", c->unit.host_port);
                call_free(c);
        } else if (error == -EEXIST) {
                r = list(c, on_same_reply, on_same_listed);
                if (r < 0)
                        fail_errno(c, r, NULL);
        } else if (error == -EIO && streq_ptr(details, "failed")) {
                /* Somebody was quicker, or took it in a way that the tables do not show. */
                if (!c->insists)
                        c->unit.host_port = 0;
                start_later(c);
        } else if (error == -EIO && streq_ptr(details, "dependency"))
                fail(c, BUS_ERROR_NO_SUCH_SANDBOX, "The sandbox has ended.");
        else
                fail_errno(c, error, details);
}

/* 0: there is one. */
static int choose_host_port(PortCall *c) {
        PortUnit *u = &c->unit;
        bool free_one = u->host_port > 0 && host_port_is_taken(u->udp, u->address, u->host_port) <= 0;

        if (free_one)
                return 0;
        return c->insists ? -EADDRINUSE : host_port_pick(u->udp, u->address, &u->host_port);
}

static int append_socket(sd_bus_message *m, void *userdata) {
        return port_unit_append_socket(m, &((PortCall *) userdata)->unit);
}

static int append_service(sd_bus_message *m, void *userdata) {
        return port_unit_append_service(m, &((PortCall *) userdata)->unit);
}

static void start(PortCall *c) {
        char name[PORT_UNIT_MAX], text[96];
        int r;

        r = choose_host_port(c);
        if (r == -EADDRINUSE && c->retries < RETRIES_MAX) {
                start_later(c);
                return;
        }
        if (r < 0 || c->starts++ >= STARTS_MAX) {
                snprintf(text, sizeof text, "Port %u of the host is taken.", c->unit.host_port);
                fail(c, BUS_ERROR_WRONG_STATE, c->unit.host_port > 0 ? text : "The host has no port to spare.");
                return;
        }
        port_unit_name(&c->unit, ".socket", name);
        r = request(c, (SystemdRequestOptions) { .action = SYSTEMD_START_TRANSIENT, .unit = name,
                                                 .append_properties = append_socket,
                                                 .append_auxiliary = append_service,
                                                 .on_done = on_started });
        if (r < 0)
                fail_errno(c, r, NULL);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        PortCall *c = userdata;

        (void) source;
        (void) usec;
        c->timer = sd_event_source_disable_unref(c->timer);
        start(c);
        return 0;
}

static void start_later(PortCall *c) {
        int r;

        if (c->retries++ >= RETRIES_MAX) {
                fail(c, BUS_ERROR_WRONG_STATE, "The port is exposed, or taken by another.");
                return;
        }
        r = sd_event_add_time_relative(service_event(c->manager->service), &c->timer, CLOCK_MONOTONIC, RETRY_USEC, 1,
                                       on_retry, c);
        if (r < 0)
                fail_errno(c, r, NULL);
}

/* The protocol may be empty where ret_all is wanted: tcp and udp. */
static int read_port(sd_bus_message *message, PortUnit *ret, bool *ret_all, sd_bus_error *error) {
        const char *protocol;
        int r;

        r = sd_bus_message_read(message, "qs", &ret->container_port, &protocol);
        if (r < 0)
                return r;
        ret->udp = streq(protocol, "udp");
        if (ret_all)
                *ret_all = isempty(protocol);
        if (ret->container_port == 0 || (!ret->udp && !streq(protocol, "tcp") && !(ret_all && *ret_all)))
                return bus_error_set(error, BUS_ERROR_INVALID, "Not a port of tcp or udp.");
        return 0;
}

/* Where it listens and which ports are out of bounds the operator decides, so it is not for the caller to say. */
static int check_host_port(PortCall *c, sd_bus_error *error) {
        const Settings *settings = &c->manager->settings;
        uint16_t port = c->unit.host_port;

        snprintf(c->unit.address, sizeof c->unit.address, "%s", settings->ports_address);
        if (port >= settings->ports_min)
                return 0;
        if (c->insists)
                return bus_error_set(error, BUS_ERROR_DENIED, "Ports of the host below %u are not given away: %u",
                                     settings->ports_min, port);
        c->unit.host_port = 0;
        return 0;
}

int method_expose(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        int r, insists;
        Sandbox *s;
        PortCall *c;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        c = call_new(userdata, message);
        if (!c)
                return -ENOMEM;
        c->unit.id = s->record.id;
        c->unit.init = s->pid;
        r = read_port(message, &c->unit, NULL, error);
        if (r >= 0)
                r = sd_bus_message_read(message, "qb", &c->unit.host_port, &insists);
        if (r >= 0) {
                c->insists = insists;
                r = check_host_port(c, error);
        }
        if (r >= 0) {
                r = netns_cookie(s->pid, &c->unit.netns_cookie);
                if (r < 0)
                        (void) method_error(error, r, "look at the network namespace");
        }
        if (r < 0) {
                call_free(c);
                return r;
        }
        start(c);
        return 1;
}

static void on_stopped(int error, const char *details, void *userdata) {
        PortCall *c = userdata;

        c->error = error < 0 ? error : c->error;
        if (--c->n_stopping > 0)
                return;
        if (c->error < 0)
                fail_errno(c, c->error, details);
        else {
                (void) sd_bus_reply_method_return(c->message, NULL);
                call_free(c);
        }
}

static int stop(PortCall *c, bool udp) {
        char name[PORT_UNIT_MAX];
        int r;

        c->unit.udp = udp;
        port_unit_name(&c->unit, ".socket", name);
        r = request(c, (SystemdRequestOptions) { .action = SYSTEMD_STOP_WAIT, .unit = name, .on_done = on_stopped });
        if (r >= 0)
                c->n_stopping++;
        return r;
}

/* The listener is closed when this is answered, and connections through it are cut. */
int method_unexpose(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Sandbox *s;
        PortCall *c;
        bool all;
        int r;

        r = method_sandbox(message, userdata, NEEDS_KNOWN, &s, error);
        if (r < 0)
                return r;
        c = call_new(userdata, message);
        if (!c)
                return -ENOMEM;
        c->unit.id = s->record.id;
        r = read_port(message, &c->unit, &all, error);
        if (r >= 0)
                r = stop(c, c->unit.udp);
        if (r < 0) {
                call_free(c);
                return r;
        }
        if (all && stop(c, true) < 0)
                c->error = -EIO; /* told when the first is done */
        return 1;
}

static void add_row(PortCall *c, const PortUnit *unit, bool listens) {
        (void) sd_bus_message_append(c->reply, "(qsqb)", unit->container_port, unit->udp ? "udp" : "tcp",
                                     unit->host_port, (int) listens);
}

static void on_ports_reply(sd_bus_message *m, void *userdata) {
        PortCall *c = userdata;

        if (sd_bus_message_new_method_return(c->message, &c->reply) >= 0 &&
            sd_bus_message_open_container(c->reply, 'a', "(qsqb)") >= 0)
                read_units(m, add_row, c);
}

static void on_ports_listed(int error, const char *details, void *userdata) {
        PortCall *c = userdata;

        if (error >= 0)
                error = c->reply ? sd_bus_message_close_container(c->reply) : -ENOMEM;
        if (error >= 0)
                error = sd_bus_send(NULL, c->reply, NULL);
        if (error < 0)
                fail_errno(c, error, details);
        else
                call_free(c);
}

int method_ports(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Sandbox *s;
        PortCall *c;
        int r;

        r = method_sandbox(message, userdata, NEEDS_KNOWN, &s, error);
        if (r < 0)
                return r;
        c = call_new(userdata, message);
        if (!c)
                return -ENOMEM;
        c->unit.id = s->record.id;
        r = list(c, on_ports_reply, on_ports_listed);
        if (r < 0)
                call_free(c);
        return r < 0 ? r : 1;
}
