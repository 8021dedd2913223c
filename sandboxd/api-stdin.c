/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "sandboxd/api.h"

/* The other half of exec/stream with "stdin": true. Its own request, so that output and input flow independently of
 * each other; the end of the body is the end of the input. */

/* A raw body on its way into a command's standard input. */
typedef struct InputUpload {
        Request *request;
        Command *command;
        sd_event_source *writable;
        uint64_t written;
} InputUpload;

static void input_upload_free(InputUpload *u) {
        u->command->on_input_closed = NULL;
        sd_event_source_disable_unref(u->writable);
        command_close_input(u->command);
        command_unref(u->command);
        free(u);
}

static int on_input_writable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        InputUpload *u = userdata;

        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        request_body_wake(u->request);
        return 0;
}

/* A command that has ended or closed its input gets no more; the rest of the body is read and dropped, so that the
 * client hears an answer instead of a broken connection. */
static ssize_t on_input_data(void *userdata, const char *data, size_t n) {
        InputUpload *u = userdata;
        ssize_t k = command_write_input(u->command, data, n);

        if (k == -EPIPE) {
                u->writable = sd_event_source_disable_unref(u->writable);
                return (ssize_t) n;
        }
        if (k < 0)
                return k;
        if ((size_t) k < n && u->writable)
                (void) sd_event_source_set_enabled(u->writable, SD_EVENT_ONESHOT);
        u->written += (uint64_t) k;
        return k;
}

/* The command ended: whatever the body still brings is dropped by the next write. */
static void on_input_closed(void *userdata) {
        InputUpload *u = userdata;

        u->writable = sd_event_source_disable_unref(u->writable);
        request_body_wake(u->request);
}

static int on_input_end(void *userdata, sd_bus_error *error) {
        InputUpload *u = userdata;
        Request *request = u->request;
        uint64_t written = u->written;

        (void) error;
        request_on_gone(request, NULL, NULL);
        input_upload_free(u);
        return request_reply_json(request, 200, json_pack("{s:b, s:I}", "success", 1, "written",
                                                          (json_int_t) written));
}

static void on_input_gone(Request *request, void *userdata) {
        (void) request;
        input_upload_free(userdata);
}

int api_exec_stdin(Request *request, sd_bus_error *error) {
        InputUpload *u;
        Sandbox *s;
        Command *c;
        int r;

        r = api_get_command(request, &s, &c, error);
        if (r < 0)
                return r;
        if (c->stdin_fd < 0 || c->stdin_data || c->stdin_taken)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Command takes no input: %s", c->id);

        u = new0(InputUpload, 1);
        if (!u)
                return -ENOMEM;
        *u = (InputUpload) { .request = request, .command = command_ref(c) };
        r = sd_event_add_io(c->manager->event, &u->writable, c->stdin_fd, EPOLLOUT, on_input_writable, u);
        if (r >= 0)
                r = sd_event_source_set_enabled(u->writable, SD_EVENT_OFF);
        if (r >= 0)
                r = request_receive(request, &(BodySink) { .write = on_input_data, .end = on_input_end,
                                                           .userdata = u });
        if (r < 0) {
                input_upload_free(u);
                return r;
        }
        c->stdin_taken = true;
        c->on_input_closed = on_input_closed;
        c->on_input_closed_userdata = u;
        request_on_gone(request, on_input_gone, u);
        return 1;
}
