/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include "libsandbox/string-util.h"

/* For the fuzzers of bus interfaces: two ends of a connection in one process, and arguments out of a line of text whose
 * fields stand between tabs. What is missing is empty or zero, so that every line is a well-typed call. */

static inline void fuzz_bus_start(int fd, bool server, sd_bus **ret) {
        sd_id128_t id;

        if (sd_id128_randomize(&id) < 0 || sd_bus_new(ret) < 0 || sd_bus_set_fd(*ret, fd, fd) < 0 ||
            (server && sd_bus_set_server(*ret, true, id) < 0) || sd_bus_negotiate_fds(*ret, true) < 0 ||
            sd_bus_start(*ret) < 0)
                abort();
}

static inline void fuzz_bus_pair(sd_bus **ret_server, sd_bus **ret_client) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                abort();
        fuzz_bus_start(pair[0], true, ret_server);
        fuzz_bus_start(pair[1], false, ret_client);
}

static inline char *fuzz_next_text(char **rest) {
        const char *text = strsep(rest, "\t");

        return utf8_sanitize(text ? text : "", text ? strlen(text) : 0);
}

static inline uint64_t fuzz_next_number(char **rest) {
        const char *text = strsep(rest, "\t");

        return text ? strtoull(text, NULL, 0) : 0;
}

static inline int fuzz_on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) m;
        (void) error;
        *(bool *) userdata = true;
        return 0;
}

/* Sends m and runs both ends until there is an answer, whichever. */
static inline void fuzz_bus_call(sd_bus *server, sd_bus *client, sd_bus_message *m) {
        bool replied = false;

        if (sd_bus_call_async(client, NULL, m, fuzz_on_reply, &replied, UINT64_MAX) < 0)
                abort();
        while (!replied)
                if (sd_bus_process(server, NULL) < 0 || sd_bus_process(client, NULL) < 0)
                        abort();
}
