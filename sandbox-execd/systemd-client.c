/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/systemd-client.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* Every request is kept until it is answered, so a connection may be lost at any moment. Starting a unit is the one that
 * must not simply be sent twice: after a reconnect its state is asked for first. JobRemoved arrives on the private socket
 * without Subscribe(). */

#define PRIVATE_SOCKET "/run/systemd/private"
#define SERVICE_NAME "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define UNIT_INTERFACE "org.freedesktop.systemd1.Unit"
#define BACKOFF_FIRST_USEC (50 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (5 * USEC_PER_SEC)
#define DRAIN_USEC USEC_PER_SEC

struct SystemdRequest {
        SystemdClient *client;
        SystemdRequest *next, *previous;
        SystemdRequestOptions options;
        char unit[96];
        sd_bus_slot *slot;
        bool sent; /* once at least: after a reconnect the unit may be there */
};

struct SystemdClient {
        sd_event *event;
        sd_bus *bus;
        sd_event_source *reconnect_timer;
        unsigned attempts;
        SystemdRequest *requests;
};

static int client_connect(SystemdClient *c);

/* Done when their job is, not when systemd has taken the request. */
static bool waits_for_job(const SystemdRequest *q) {
        return q->options.action == SYSTEMD_START_TRANSIENT || q->options.action == SYSTEMD_STOP_WAIT;
}

static bool is_stop(const SystemdRequest *q) {
        return q->options.action == SYSTEMD_STOP || q->options.action == SYSTEMD_STOP_WAIT;
}

/* A manager that re-executes itself is back in a moment, one that is broken must not be hammered. */
uint64_t systemd_backoff_usec(unsigned attempt) {
        return attempt >= 7 ? BACKOFF_MAX_USEC : MIN(BACKOFF_FIRST_USEC << attempt, BACKOFF_MAX_USEC);
}

static int on_reconnect_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        (void) client_connect(userdata);
        return 0;
}

static void schedule_reconnect(SystemdClient *c) {
        uint64_t pause = systemd_backoff_usec(c->attempts++);

        (void) sd_event_source_set_time_relative(c->reconnect_timer, pause);
        (void) sd_event_source_set_enabled(c->reconnect_timer, SD_EVENT_ONESHOT);
}

/* The slots first: their callbacks would be told of an error that means nothing, since everything is asked again. */
static void client_disconnect(SystemdClient *c) {
        sd_bus *bus = TAKE_PTR(c->bus);

        for (SystemdRequest *q = c->requests; q; q = q->next)
                q->slot = sd_bus_slot_unref(q->slot);
        sd_bus_close_unref(bus);
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SystemdClient *c = userdata;

        (void) m;
        (void) error;
        log_debug("Lost the connection to the system manager.");
        client_disconnect(c);
        schedule_reconnect(c);
        return 1;
}

/* Freed before its owner is told, who may begin the next one in its place. */
static void finish(SystemdRequest *q, int error, const char *details) {
        SystemdRequestOptions options = q->options;

        systemd_request_free(q);
        if (options.on_done)
                options.on_done(error, details, options.userdata);
}

/* Done when their job is, not when systemd has taken the request. */
/* The reply to StartTransientUnit only says that a job is queued; this says that the unit is there. By the unit's name,
 * as the job's number is not known yet if the signal overtakes the reply. */
static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *path, *unit, *result;
        SystemdClient *c = userdata;
        uint32_t id;

        (void) error;
        if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
                return 0;
        for (SystemdRequest *q = c->requests; q; q = q->next)
                if (waits_for_job(q) && streq(q->unit, unit)) {
                        finish(q, streq(result, "done") ? 0 : -EIO, result);
                        break;
                }
        return 0;
}

/* A unit that is gone has been stopped; one that exists may be ours, of a connection before: the owner decides. */
static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(m);
        SystemdRequest *q = userdata;

        (void) ret_error;
        if (error && streq(error->name, SD_BUS_ERROR_NO_REPLY))
                return 0; /* the connection is being closed: asked again after the next one */
        q->slot = sd_bus_slot_unref(q->slot);
        if (error && is_stop(q) && streq(error->name, "org.freedesktop.systemd1.NoSuchUnit"))
                finish(q, 0, NULL);
        else if (error && streq(error->name, "org.freedesktop.systemd1.UnitExists"))
                finish(q, -EEXIST, error->message);
        else if (error)
                finish(q, -MAX(sd_bus_error_get_errno(error), 1), error->message);
        else if (!waits_for_job(q)) {
                if (q->options.action == SYSTEMD_LIST)
                        q->options.on_reply(m, q->options.userdata);
                finish(q, 0, NULL);
        }
        return 0;
}

static int append_arguments(sd_bus_message *m, const SystemdRequest *q) {
        bool start = q->options.action == SYSTEMD_START_TRANSIENT;
        int r;

        if (is_stop(q))
                return sd_bus_message_append(m, "ss", q->unit, "replace");
        if (q->options.action == SYSTEMD_LIST)
                return sd_bus_message_append(m, "asas", 0, 1, q->unit);

        r = start ? sd_bus_message_append(m, "ss", q->unit, "fail") : sd_bus_message_append(m, "sb", q->unit, true);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = q->options.append_properties(m, q->options.userdata);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0 && start)
                r = q->options.append_auxiliary ? q->options.append_auxiliary(m, q->options.userdata)
                                                : sd_bus_message_append(m, "a(sa(sv))", 0);
        return r;
}

static int request_send(SystemdRequest *q) {
        static const char *const methods[] = {
                [SYSTEMD_START_TRANSIENT] = "StartTransientUnit",
                [SYSTEMD_SET_PROPERTIES] = "SetUnitProperties",
                [SYSTEMD_STOP] = "StopUnit",
                [SYSTEMD_STOP_WAIT] = "StopUnit",
                [SYSTEMD_LIST] = "ListUnitsByPatterns",
        };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(q->client->bus, &m, SERVICE_NAME, MANAGER_PATH, MANAGER_INTERFACE,
                                           methods[q->options.action]);
        if (r >= 0)
                r = append_arguments(m, q);
        if (r >= 0)
                r = sd_bus_call_async(q->client->bus, &q->slot, m, on_reply, q, UINT64_MAX);
        if (r >= 0)
                q->sent = true;
        return r;
}

/* The answer of what became of a unit that was asked for on the lost connection. */
static int on_active_state(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(m);
        SystemdRequest *q = userdata;
        const char *state = "";
        int r;

        (void) ret_error;
        if (error && streq(error->name, SD_BUS_ERROR_NO_REPLY))
                return 0;
        q->slot = sd_bus_slot_unref(q->slot);
        if (!error && sd_bus_message_read(m, "v", "s", &state) < 0)
                state = "";
        if (streq(state, "active"))
                finish(q, 0, NULL);
        else if (!streq(state, "activating")) { /* else its job's end will be told on this connection */
                r = request_send(q);
                if (r < 0)
                        finish(q, r, NULL);
        }
        return 0;
}

static int request_query(SystemdRequest *q) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", q->unit, &path);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(q->client->bus, &q->slot, SERVICE_NAME, path, "org.freedesktop.DBus.Properties",
                                        "Get", on_active_state, q, "ss", UNIT_INTERFACE, "ActiveState");
}

static int bus_open_private(sd_bus **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        int r;

        if (access(PRIVATE_SOCKET, F_OK) < 0)
                return -errno;
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, "unix:path=" PRIVATE_SOCKET);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static int bus_attach(SystemdClient *c, bool private_socket) {
        int r;

        r = sd_bus_attach_event(c->bus, c->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(c->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, c);
        if (r >= 0)
                r = sd_bus_match_signal_async(c->bus, NULL, private_socket ? NULL : SERVICE_NAME, MANAGER_PATH,
                                              MANAGER_INTERFACE, "JobRemoved", on_job_removed, NULL, c);
        if (r >= 0 && !private_socket)
                r = sd_bus_call_method_async(c->bus, NULL, SERVICE_NAME, MANAGER_PATH, MANAGER_INTERFACE, "Subscribe",
                                             NULL, NULL, "");
        return r;
}

static int client_connect(SystemdClient *c) {
        bool private_socket;
        int r;

        r = bus_open_private(&c->bus);
        private_socket = r >= 0;
        if (!private_socket)
                r = sd_bus_open_system(&c->bus);
        if (r >= 0)
                r = bus_attach(c, private_socket);
        if (r < 0) {
                log_warning_errno(r, "Failed to connect to the system manager, trying again: %m");
                client_disconnect(c);
                schedule_reconnect(c);
                return r;
        }

        c->attempts = 0;
        for (SystemdRequest *q = c->requests, *next; q; q = next) {
                next = q->next;
                r = q->sent && q->options.action == SYSTEMD_START_TRANSIENT ? request_query(q) : request_send(q);
                if (r < 0)
                        finish(q, r, NULL);
        }
        return 0;
}

int systemd_client_new(sd_event *event, SystemdClient **ret) {
        _cleanup_(systemd_client_freep) SystemdClient *c = NULL;
        int r;

        c = new0(SystemdClient, 1);
        if (!c)
                return -ENOMEM;
        c->event = sd_event_ref(event);
        r = sd_event_add_time_relative(event, &c->reconnect_timer, CLOCK_MONOTONIC, USEC_INFINITY / 4, 0,
                                       on_reconnect_timer, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->reconnect_timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void) client_connect(c);
        *ret = TAKE_PTR(c);
        return 0;
}

/* Before the process ends, with a bound: what was asked is to be on its way, but a hanging manager must not keep us. */
void systemd_client_drain(SystemdClient *c) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + DRAIN_USEC, now;

        while (c && c->bus && c->requests && (now = now_usec(CLOCK_MONOTONIC)) < end)
                if (sd_bus_process(c->bus, NULL) == 0 && c->bus && sd_bus_wait(c->bus, end - now) < 0)
                        break;
}

SystemdClient *systemd_client_free(SystemdClient *c) {
        if (!c)
                return NULL;
        while (c->requests)
                systemd_request_free(c->requests);
        client_disconnect(c);
        sd_event_source_disable_unref(c->reconnect_timer);
        sd_event_unref(c->event);
        free(c);
        return NULL;
}

int systemd_client_request(SystemdClient *c, const SystemdRequestOptions *options, SystemdRequest **ret) {
        SystemdRequest *q;
        int r = 0;

        q = new0(SystemdRequest, 1);
        if (!q)
                return -ENOMEM;
        *q = (SystemdRequest) { .client = c, .options = *options, .next = c->requests };
        if ((size_t) snprintf(q->unit, sizeof q->unit, "%s", options->unit) >= sizeof q->unit) {
                free(q);
                return -ENAMETOOLONG;
        }
        if (c->requests)
                c->requests->previous = q;
        c->requests = q;

        if (c->bus)
                r = request_send(q);
        if (r < 0 && r != -ENOTCONN) { /* a lost connection is noticed in a moment, then it is sent again */
                systemd_request_free(q);
                return r;
        }
        if (ret)
                *ret = q;
        return 0;
}

SystemdRequest *systemd_request_free(SystemdRequest *q) {
        if (!q)
                return NULL;
        if (q->previous)
                q->previous->next = q->next;
        else
                q->client->requests = q->next;
        if (q->next)
                q->next->previous = q->previous;
        sd_bus_slot_unref(q->slot);
        free(q);
        return NULL;
}
