/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/tool.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/exec-input.h"

/* What an image has and what it lacks is not ours to know before: a program that is not there is found out by starting
 * it, and told by its name. */

#define COMPLAINT_MAX 2000U

struct Tool {
        Command *command;
        char *name;
        ToolCallback callback;
        void *userdata;
};

static Tool *tool_free(Tool *t) {
        if (t) {
                command_unref(t->command);
                free(t->name);
                free(t);
        }
        return NULL;
}
DEFINE_CLEANUP(Tool *, tool_free)

static void on_failed(Command *c, const sd_bus_error *error, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error own = SD_BUS_ERROR_NULL;
        _cleanup_(tool_freep) Tool *t = userdata;
        bool missing = sd_bus_error_has_name(error, BUS_ERROR_COMMAND_NOT_FOUND);

        if (missing)
                (void) bus_error_set(&own, BUS_ERROR_COMMAND_NOT_FOUND,
                                     "The image of this sandbox has no program '%s'", t->name);
        t->callback(c, missing ? &own : error, t->userdata);
}

static void on_finished(Command *c, void *userdata) {
        static const sd_bus_error ended =
                SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_INTERRUPTED, "The sandbox ended while the command ran");
        _cleanup_(tool_freep) Tool *t = userdata;

        t->callback(c, c->state == COMMAND_EXITED ? NULL : &ended, t->userdata);
}

static const CommandHandlers tool_handlers = {
        .on_failed = on_failed,
        .on_finished = on_finished,
};

static int make_spec(const Manager *m, const Sandbox *s, const ToolSpec *spec, CommandSpec *ret) {
        int r;

        ret->argv = strv_copy(spec->argv);
        ret->timeout_usec = spec->timeout_usec;
        r = exec_make_cwd(s, &m->settings, spec->cwd, &ret->cwd, NULL);
        if (r >= 0)
                r = exec_make_env(s, spec->env, &ret->env);
        if (r >= 0)
                r = exec_env_add_defaults(&ret->env, spec->defaults);
        return r < 0 ? r : ret->argv ? 0 : -ENOMEM;
}

int tool_run(Manager *m, Sandbox *s, const ToolSpec *spec, ToolCallback callback, void *userdata, Tool **ret,
             sd_bus_error *error) {
        _cleanup_(command_spec_done) CommandSpec command = COMMAND_SPEC_DEFAULT;
        CommandInput input = { .data = spec->input };
        _cleanup_free_ char *text = NULL;
        _cleanup_(tool_freep) Tool *t = NULL;
        int r;

        if (s->n_live >= m->settings.commands_max)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum command limit reached: %u",
                                     m->settings.commands_max);
        t = new0(Tool, 1);
        if (!t)
                return -ENOMEM;
        *t = (Tool) { .callback = callback, .userdata = userdata, .name = strdup(spec->argv[0]) };
        r = t->name ? make_spec(m, s, spec, &command) : -ENOMEM;
        if (r >= 0)
                r = exec_make_text(command.argv, &text);
        if (r >= 0)
                r = command_new(m, s, COMMAND_EXEC, text, &t->command);
        if (r >= 0)
                r = command_start(t->command, &command, &input, &tool_handlers, t);
        if (r == -EHOSTDOWN)
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

void tool_cancel(Tool *t) {
        if (!t)
                return;
        command_set_handlers(t->command, NULL, NULL);
        command_kill(t->command);
        tool_free(t);
}

static int read_range(Spool *spool, uint64_t from, size_t max, char **ret, size_t *ret_n) {
        uint64_t total = spool_total(spool), cursor = from;
        size_t size = (size_t) MIN(total > from ? total - from : 0, (uint64_t) max), n = 0;
        _cleanup_free_ char *data = malloc(size + 1);

        if (!data)
                return -ENOMEM;
        while (n < size) {
                ssize_t k = spool_read(spool, &cursor, data + n, size - n);

                if (k < 0)
                        return (int) k;
                if (k == 0)
                        break;
                n += (size_t) k;
        }
        data[n] = 0;
        *ret = TAKE_PTR(data);
        *ret_n = n;
        return 0;
}

int tool_read(const Command *c, size_t stream, size_t max, char **ret, size_t *ret_n) {
        return read_range(c->outputs[stream].spool, 0, max, ret, ret_n);
}

char *tool_complaint(const Command *c) {
        Spool *spool = c->outputs[1].spool;
        uint64_t total = spool_total(spool);
        _cleanup_free_ char *data = NULL, *text = NULL;
        size_t n;

        if (c->timed_out)
                return strdup("Its time was over");
        if (read_range(spool, total > COMPLAINT_MAX ? total - COMPLAINT_MAX : 0, COMPLAINT_MAX, &data, &n) < 0)
                return NULL;
        text = utf8_sanitize(data, n);
        if (!text)
                return NULL;
        if (!isempty(strstrip(text)))
                return strdup(strstrip(text));
        free(text);
        return asprintf(&text, "It ended with status %d", command_exit_code(c)) < 0 ? NULL : TAKE_PTR(text);
}
