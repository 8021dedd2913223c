/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/stats-bus.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/manager-bus.h"
#include "sandbox-execd/stats.h"

/* Figures of one sandbox, and of many by one call: a view of a thousand that asked for each would be a thousand round
 * trips every second or two. The caller names the sandboxes, a bounded number at a time, so that whoever wants something
 * else of us gets his turn in between. */

int method_stats(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        SandboxStats st;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        r = stats_read(s, &st);
        if (r < 0)
                return method_error(error, r, "read the statistics");
        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = bus_fields_append(reply, sandbox_stats_fields, n_sandbox_stats_fields, &st);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* One that has ended meanwhile is not an error: it has no row. */
static int append_stats(sd_bus_message *reply, Manager *m, const char *id) {
        Sandbox *s = manager_get(m, id);
        SandboxStats st;
        int r;

        if (!s || !s->created || s->state != SANDBOX_LIVE || stats_read(s, &st) < 0)
                return 0;
        r = sd_bus_message_open_container(reply, 'r', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 's', id);
        if (r >= 0)
                r = bus_fields_append(reply, sandbox_stats_fields, n_sandbox_stats_fields, &st);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int check_ids(char *const *ids, sd_bus_error *error) {
        if (strv_length(ids) > STATS_MANY_MAX)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "More than %u sandboxes at a time.", STATS_MANY_MAX);
        STRV_FOREACH(id, ids)
                if (!sandbox_id_is_valid(*id))
                        return bus_error_set(error, BUS_ERROR_INVALID, "Not a sandbox's id: '%.64s'.", *id);
        return 0;
}

int method_stats_many(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ids = NULL;
        Manager *m = userdata;
        int r;

        r = method_check_peer(message, m, /* fsd_may= */ false, error);
        if (r >= 0)
                r = sd_bus_message_read_strv(message, &ids);
        if (r >= 0)
                r = check_ids(ids, error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sa{sv})");
        STRV_FOREACH(id, ids)
                if (r >= 0)
                        r = append_stats(reply, m, *id);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
