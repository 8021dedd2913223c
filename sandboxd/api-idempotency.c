/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/context.h"
#include "sandboxd/idempotency.h"
#include "sandboxd/snapshot.h"
#include "sandboxd/port.h"
#include "sandboxd/upload.h"

/* The header Idempotency-Key. A handler need not know of it: what it has written when it returns, and its reply, get
 * into the database in one transaction, so that there are both or none. Only one that makes something while it waits for
 * the bus says what, by idempotency_note_object().
 *
 * (ROUTE_ANEW) A reply with keys in it is not remembered, but made anew of the object.
 *
 * A reply that made nothing is not remembered: its client may try again with the same key. */

/* One whose interpreter was never started, because we were killed before, is of no use: it goes, and another is
 * made. */
static json_t *context_left(Manager *m, const char *id) {
        Context *c = context_find(m->contexts, NULL, id);
        json_t *object = c ? context_to_json(c) : NULL;

        if (!object || !streq_ptr(json_string_value(json_object_get(object, "status")), "dead"))
                return object;
        json_decref(object);
        context_delete(c);
        return NULL;
}

static json_t *terminal_made(Manager *m, const char *id, bool anew) {
        Command *c = manager_find_command(m, id);

        if (!c)
                return NULL;
        return anew ? session_renew(c) : command_is_live(c) ? terminal_to_json(c) : NULL;
}

/* NULL: it was not made after all, or is gone. */
static json_t *object_to_json(Manager *m, const char *id, bool anew) {
        if (object_id_is_valid(id, "sbx")) {
                Sandbox *s = manager_find_sandbox(m, id);

                return s && s->state != SANDBOX_CREATING ? sandbox_to_json(m, s) : NULL;
        }
        if (object_id_is_valid(id, "snap")) {
                _cleanup_(json_decrefp) json_t *record = NULL;

                return snapshot_get(m->store, id, &record) >= 0 ? snapshot_to_json(record) : NULL;
        }
        if (object_id_is_valid(id, "bg")) {
                const Command *c = manager_find_command(m, id);

                return c ? background_to_json(c) : NULL;
        }
        if (object_id_is_valid(id, "port")) {
                Port p;

                return port_find_by_id(m->store, id, &p) >= 0 ? port_to_json(&p, true) : NULL;
        }
        if (object_id_is_valid(id, "term"))
                return terminal_made(m, id, anew);
        if (object_id_is_valid(id, "upl")) {
                _cleanup_(upload_done) Upload u = {};

                return upload_find(m->uploads, NULL, id, &u) >= 0 ? upload_to_json(m->uploads, &u, -1) : NULL;
        }
        return object_id_is_valid(id, "ctx") ? context_left(m, id) : NULL;
}

static int reply_replayed(Request *request, unsigned status, char *text) {
        (void) request_add_header(request, "Idempotency-Replayed", "true");
        return request_reply_bytes(request, status, "application/json", text, strlen(text));
}

static int begin_key(Request *request, const char *key, IdempotencyFound *found, IdempotencyUse **ret_use) {
        Manager *m = request_userdata(request);
        _cleanup_free_ char *scope = NULL, *body = NULL;

        if (asprintf(&scope, "%s\n%s %s\n%s", request_principal(request), request_method(request),
                     request_path(request), key) < 0) {
                scope = NULL;
                return -ENOMEM;
        }
        body = json_dumps(request_input(request), JSON_COMPACT | JSON_SORT_KEYS);
        if (!body)
                return -ENOMEM;
        return idempotency_begin(m->idempotency, scope, body, now_usec(CLOCK_REALTIME) / USEC_PER_MSEC, found, ret_use);
}

static int guard_begin(Request *request, sd_bus_error *error) {
        _cleanup_(idempotency_use_unrefp) IdempotencyUse *use = NULL;
        _cleanup_(idempotency_found_done) IdempotencyFound found = {};
        const char *key = request_header(request, "Idempotency-Key");
        Manager *m = request_userdata(request);
        json_t *made;
        bool anew;
        int r;

        if (!key)
                return 1;
        if (!idempotency_key_is_valid(key))
                return bus_error_set(error, BUS_ERROR_INVALID,
                                     "Idempotency-Key must have 1 to 255 visible characters of ASCII");
        r = begin_key(request, key, &found, &use);
        if (r == -EBUSY) {
                (void) request_add_header(request, "Retry-After", "1");
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "A request with this Idempotency-Key is at work");
        }
        if (r == -EKEYREJECTED)
                return request_reply_json(request, 422, json_pack("{s:s}", "error",
                                          "This Idempotency-Key was used with another request"));
        if (r < 0)
                return r;
        if (found.status > 0)
                return reply_replayed(request, found.status, TAKE_PTR(found.body));
        anew = request_route(request)->flags & ROUTE_ANEW;
        made = object_to_json(m, found.object, anew);
        if (made) {
                char *text = json_dumps(made, JSON_COMPACT);

                json_decref(made);
                if (!text)
                        return -ENOMEM;
                if (!anew)
                        (void) idempotency_note_reply(use, 200, text, strlen(text));
                return reply_replayed(request, 200, text);
        }
        (void) idempotency_forget_object(use);
        r = store_begin(m->store);
        if (r < 0)
                return r;
        request_set_guard_data(request, TAKE_PTR(use));
        return 1;
}

static int guard_handled(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        int r = store_end(m->store);

        return r == -ENOSPC ? bus_error_set(error, BUS_ERROR_NO_SPACE, "No space is left for the records.") : r;
}

static void guard_replied(Request *request, unsigned status, const char *text, size_t n) {
        if (status >= 200 && status < 300 && request_route(request)->flags & ROUTE_ANEW)
                return; /* what it is about is remembered */
        if (status >= 200 && status < 300 && text)
                (void) idempotency_note_reply(request_guard_data(request), status, text, n);
        else if (status >= 400)
                (void) idempotency_forget_object(request_guard_data(request));
}

static void guard_ended(Request *request) {
        idempotency_use_unref(request_guard_data(request));
        request_set_guard_data(request, NULL);
}

const RequestGuard idempotency_guard = {
        .begin = guard_begin,
        .handled = guard_handled,
        .replied = guard_replied,
        .ended = guard_ended,
};
