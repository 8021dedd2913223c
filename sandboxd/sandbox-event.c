/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/sandbox-event.h"

#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/api.h"

/* An event is written a moment after the record that it tells of, so that nobody waits for it. Killed in that moment we
 * would leave a sandbox that was never born: the next start compares the records with the events that there are, which
 * takes one look at a number for each. */

/* A command's text may be as long as a request; an event is for reading. */
#define COMMAND_TEXT_MAX 4096U

void sandbox_event(Manager *m, const char *topic, const Sandbox *s) {
        event_publish(m, topic, s->public_id, sandbox_to_json(m, s));
}

void sandbox_event_error(Manager *m, const Sandbox *s, const char *reason, const char *text) {
        json_t *data = json_pack("{s:s, s:s*}", "reason", reason, "error", text);

        if (s)
                (void) json_object_set_new(data, "sandbox", sandbox_to_json(m, s));
        event_publish(m, EVENT_ERROR, s ? s->public_id : NULL, data);
}

/* Not a byte sequence that the limit cuts in two: the rest of one is no text to jansson. */
static json_t *command_text(const Command *c) {
        size_t n = strlen(c->text);

        if (n > COMMAND_TEXT_MAX) {
                n = COMMAND_TEXT_MAX;
                while (n > 0 && (c->text[n] & 0xc0) == 0x80)
                        n--;
        }
        return json_stringn(c->text, n);
}

void sandbox_event_exec(const Command *c) {
        json_t *text = command_text(c);

        event_publish(c->manager, EVENT_EXEC, c->sandbox->public_id,
                      json_pack("{s:o, s:i, s:I, s:s}", "command", text ? text : json_string(""),
                                "exitCode", c->timed_out ? -1 : command_exit_code(c),
                                "duration", (json_int_t) command_duration_msec(c), "commandId", c->id));
        if (c->oom)
                event_publish(c->manager, EVENT_ERROR, c->sandbox->public_id,
                              json_pack("{s:s, s:s, s:s}", "reason", "oom", "error", COMMAND_OOM_TEXT,
                                        "commandId", c->id));
}

static bool was_told(Manager *m, const char *topic, const Sandbox *s) {
        uint64_t n = 0;

        return store_count_objects(m->store, EVENT_KIND, s->public_id, topic, &n) < 0 || n > 0;
}

/* Of what is older than all events that are kept nobody knows whether it was told. */
static bool is_beyond_memory(Manager *m, uint64_t msec) {
        uint64_t oldest = event_hub_oldest(m->events);

        return oldest > 0 && event_hub_number_at(m->events, msec) <= oldest;
}

void sandbox_event_make_up(Manager *m, const char *topic, const Sandbox *s) {
        if (!event_hub_was_cut(m->events))
                return;
        if (streq(topic, EVENT_CREATED)) {
                if (was_told(m, topic, s) || is_beyond_memory(m, s->created_msec))
                        return;
        } else if (was_told(m, EVENT_KILLED, s) || was_told(m, EVENT_EXPIRED, s))
                return;
        sandbox_event(m, topic, s);
}
