/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/command-internal.h"
#include "sandboxd/manager.h"

/* What is different for an attempt of a queued job: nobody waits for it, so there is nobody who could be told that it is
 * not known whether it runs. It is found out instead. */

int command_open_spools(Command *c) {
        static const char *const suffixes[ELEMENTSOF(c->outputs)] = { ".out", ".err" };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(c->outputs); i++) {
                char name[sizeof c->id + 8];

                (void) snprintf(name, sizeof name, "%s%s", c->id, suffixes[i]);
                r = spool_new_live(c->manager->spool_fd, name, &c->outputs[i].spool);
        }
        return r;
}

void command_on_missing(Command *c) {
        _cleanup_(command_unrefp) Command *held = command_ref(c);
        const CommandHandlers *handlers = TAKE_PTR(c->handlers);

        c->state = COMMAND_LOST;
        if (handlers && handlers->on_failed)
                handlers->on_failed(c, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_UNAVAILABLE, "The command was not started."),
                                    c->userdata);
        manager_drop_command(c->manager, c);
}

/* What the list of its sandbox's commands says of a command whose start has an unknown outcome. */
static void on_looked_up(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(command_unrefp) Command *c = userdata;
        CommandStatus status;

        if (!command_is_live(c) || c->adoption || c->interrupted || c->manager->stopping)
                return;
        if (reply && sd_bus_message_enter_container(reply, 'a', "(ssubiibtt)") >= 0)
                while (execd_read_command(reply, &status) > 0)
                        if (streq(status.command, c->id)) {
                                command_on_status(c, &status);
                                return;
                        }
        if (error && execd_client_is_lost(c->manager->execd))
                c->interrupted = true;
        else
                command_fail(c, error ?: &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_UNAVAILABLE, "The command was not started."));
}

/* Did the call perhaps do its work? What execd itself refuses it has not started, but for one that it has already. */
static bool is_ambiguous(const sd_bus_error *error) {
        return !startswith(error->name, "io.sandboxd.Error.") || streq(error->name, BUS_ERROR_UNAVAILABLE) ||
               streq(error->name, BUS_ERROR_INTERRUPTED);
}

/* An earlier process of ours may have been killed just after it had asked for the same command, or execd was too
 * slow to answer: then it runs, with the pipes of that call, and must not be taken for a failure. */
int command_look_up(Command *c, const sd_bus_error *error) {
        int r;

        if (!is_ambiguous(error))
                return -EINVAL;
        c->foreign = true;
        r = execd_call(c->manager->execd, "Commands", c->sandbox->id, on_looked_up, c);
        if (r >= 0)
                command_ref(c);
        return r;
}
