/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/context-internal.h"

/* What is remembered of a context: which process it is, and how to make another one. */

int context_allocate(Contexts *set, Sandbox *s, const Language *language, const char *cwd, Context **ret) {
        _cleanup_(context_freep) Context *c = new0(Context, 1);

        if (!c)
                return -ENOMEM;
        *c = (Context) { .set = set, .sandbox = sandbox_ref(s), .language = language, .cwd = strdup(cwd),
                         .created_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC };
        if (!c->cwd)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

void context_unwatch(Context *c) {
        c->source = sd_event_source_disable_unref(c->source);
        if (c->command)
                c->command->on_input_closed = NULL;
}

Context *context_free(Context *c) {
        if (c) {
                context_unwatch(c);
                sd_event_source_disable_unref(c->timer);
                command_unref(c->command);
                sandbox_unref(c->sandbox);
                free(c->cwd);
                free(c);
        }
        return NULL;
}

/* One that ended before we came back was not told to end to us. */
bool context_is_alive(const Context *c) {
        return c->command && command_is_live(c->command);
}

int context_save(const Context *c) {
        _cleanup_(json_decrefp) json_t *record = json_pack("{s:s, s:s, s:s}", "language", c->language->name, "cwd",
                                                           c->cwd, "command", c->command_id);
        _cleanup_free_ char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;

        if (!text)
                return -ENOMEM;
        return store_put_object(c->set->manager->store, &(StoredObject) { .kind = CONTEXT_KIND, .id = c->id,
                                .sandbox = c->sandbox->public_id, .tag = "", .time_msec = c->created_msec,
                                .record = text });
}

json_t *context_to_json(const Context *c) {
        const char *status = !context_is_alive(c) ? "dead" : !c->ready ? "starting" : c->running ? "busy" : "idle";

        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "id", c->id, "sandboxId", c->sandbox->public_id, "language",
                         c->language->name, "cwd", c->cwd, "status", status, "createdAt", (json_int_t) c->created_msec);
}

json_t *contexts_to_json(Contexts *set, const Sandbox *s) {
        json_t *array = json_array();
        Context *c;

        HASHMAP_FOREACH(c, set->contexts)
                if (c->sandbox == s)
                        (void) json_array_append_new(array, context_to_json(c));
        return array;
}

static int load(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *record = json_loads(row->record, 0, NULL);
        _cleanup_(context_freep) Context *c = NULL;
        Contexts *set = userdata;
        Sandbox *s = hashmap_get(set->manager->sandboxes, row->sandbox);
        const char *language, *cwd, *command;
        Command *found;
        int r;

        if (!s || !object_id_is_valid(row->id, "ctx") ||
            json_unpack(record, "{s:s, s:s, s:s}", "language", &language, "cwd", &cwd, "command", &command) < 0 ||
            !language_find_stateful(language, NULL))
                return -EBADMSG;
        r = context_allocate(set, s, language_find_stateful(language, NULL), cwd, &c);
        if (r < 0)
                return r;
        snprintf(c->id, sizeof c->id, "%s", row->id);
        snprintf(c->command_id, sizeof c->command_id, "%s", command);
        c->created_msec = row->time_msec;
        found = manager_find_command(set->manager, command);
        if (found && found->kind == COMMAND_KERNEL && command_is_live(found)) {
                c->command = command_ref(found);
                command_set_handlers(found, &context_handlers, c);
        }
        r = hashmap_put(set->contexts, c->id, c);
        if (r >= 0)
                TAKE_PTR(c);
        return r;
}

/* Of contexts that were deleted or started anew while nobody could be told. */
static void end_strays(Manager *m) {
        Command *c;

        HASHMAP_FOREACH(c, m->commands)
                if (c->kind == COMMAND_KERNEL && !c->handlers)
                        c->killed = c->forgotten = true; /* done once execd is asked about it */
}

int contexts_new(Manager *m, Contexts **ret) {
        _cleanup_(contexts_freep) Contexts *set = new0(Contexts, 1);
        int r;

        if (!set)
                return -ENOMEM;
        set->manager = m;
        set->contexts = hashmap_new();
        if (!set->contexts)
                return -ENOMEM;
        r = store_foreach_object(m->store, &(ObjectQuery) { .kind = CONTEXT_KIND }, load, set);
        if (r < 0)
                return r;
        end_strays(m);
        *ret = TAKE_PTR(set);
        return 0;
}
