/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/api.h"

#include "libsandbox/string-util.h"

/* The objects of the contract. SDKs parse them strictly: names, integers and what is absent are theirs to decide. */

json_t *sandbox_to_json(const Manager *m, const Sandbox *s) {
        (void) m;
        return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:O, s:O, s:O*, s:s*}",
                         "id", s->public_id, "name", s->name, "image", s->image,
                         "status", sandbox_state_to_string(s->state),
                         "createdAt", (json_int_t) s->created_msec, "expiresAt", (json_int_t) s->expires_msec,
                         "config", s->config, "metadata", s->metadata, "entrypoint", s->entrypoint,
                         "workerId", s->worker);
}

json_t *background_to_json(const Command *c) {
        json_t *object = json_pack("{s:s, s:s, s:s, s:b, s:I}", "id", c->id, "sandboxId", c->sandbox->public_id,
                                   "command", c->text, "running", (int) command_is_live(c),
                                   "startedAt", (json_int_t) c->started_msec);

        if (object && c->pid > 0)
                (void) json_object_set_new(object, "pid", json_integer(c->pid));
        if (object && !command_is_live(c)) {
                (void) json_object_set_new(object, "exitCode", json_integer(command_exit_code(c)));
                (void) json_object_set_new(object, "finishedAt", json_integer((json_int_t) c->finished_msec));
        }
        if (object && c->oom) {
                (void) json_object_set_new(object, "oom", json_true());
                (void) json_object_set_new(object, "error", json_string(COMMAND_OOM_TEXT));
        }
        return object;
}
