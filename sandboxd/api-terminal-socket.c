/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api-terminal.h"
#include "sandboxd/api.h"
#include "sandboxd/http/json-scan.h"
#include "sandboxd/http/websocket.h"
#include "sandboxd/terminal-session.h"
#include "sandboxd/terminal-writer.h"

/* A terminal on a WebSocket: its bytes are binary messages, cut anywhere; what is said about it are texts, JSON objects
 * with a "type". Either both ways on one socket, or, as the contract has it, a socket each way.
 *
 * Output goes from the spool to the socket's queue when there is room, by the reader's position: a client that counts
 * what it has got comes back with that offset, whoever was killed meanwhile. Input waits here when the terminal takes no
 * more, and when that is a lot the socket is not read: the peer has to wait, as at a real line. Until then its pings and
 * its other words are heard. */

#define MESSAGE_MAX (1 * MiB)
#define CHANNEL_MESSAGE_MAX (64 * KiB)
#define CHUNK_BYTES (16 * KiB)
#define INPUT_MAX (256 * KiB)
#define TYPE_MAX 32U
#define CLOSE_TAKEN 4001
#define OFFSET_MAX ((double) (UINT64_C(1) << 53))

typedef struct TerminalSocket {
        WebSocket *socket;
        Command *command;
        TerminalReader *reader;     /* NULL: a socket to write to */
        TerminalWriter *writer;     /* NULL: one to read from */
        TerminalChannel *channel;   /* of the command's session; NULL: both ways */
        TerminalWaiter mourner;     /* for the terminal's end, if nothing else tells */
        bool told_offset;
        char *input;                /* typed, and not taken yet */
        size_t n_input, input_done, input_allocated;
} TerminalSocket;

typedef struct ControlInput {
        char *type;
} ControlInput;

static const JsonField control_fields[] = {
        { "type", JSON_FIELD_STRING, offsetof(ControlInput, type), JSON_FIELD_MANDATORY, 0, TYPE_MAX, "resize" },
};

typedef struct ChannelInput {
        char *direction, *key;
        int64_t offset;
} ChannelInput;

static const JsonField channel_fields[] = {
        { "dir",    JSON_FIELD_STRING, offsetof(ChannelInput, direction), JSON_FIELD_MANDATORY, 0, 0, "read or write" },
        { "key",    JSON_FIELD_STRING, offsetof(ChannelInput, key), JSON_FIELD_MANDATORY, 0, 0, "the access key" },
        { "offset", JSON_FIELD_INT, offsetof(ChannelInput, offset), JSON_FIELD_CLAMP, 0, OFFSET_MAX,
          "byte position to go on from" },
};
const JsonTable terminal_channel_table = JSON_TABLE(channel_fields);

static void socket_free(TerminalSocket *s) {
        if (!s)
                return;
        terminal_reader_free(s->reader);
        terminal_writer_free(s->writer);
        if (s->command)
                terminal_unwait(s->command, &s->mourner);
        command_unref(s->command);
        free(s->input);
        free(s);
}
DEFINE_CLEANUP(TerminalSocket *, socket_free)

/* Texts are for who has both ways: who reads a channel takes all that comes for output. Takes object. */
static void say(TerminalSocket *s, json_t *object) {
        _cleanup_(json_decrefp) json_t *held = object;
        _cleanup_free_ char *text = NULL;

        if (s->channel || !object)
                return;
        text = json_dumps(object, JSON_COMPACT);
        if (text)
                (void) websocket_send(s->socket, /* text= */ true, text, strlen(text));
}

static void say_exit(TerminalSocket *s) {
        const Command *c = s->command;
        bool known = c->state == COMMAND_EXITED;

        say(s, json_pack("{s:s, s:o}", "type", "exit", "code",
                         known ? json_integer(command_exit_code(c)) : json_null()));
        websocket_close(s->socket, WEBSOCKET_NORMAL, c->forgotten ? "closed" : known ? "exited" : "lost");
}

static void say_offset(TerminalSocket *s) {
        s->told_offset = true;
        say(s, json_pack("{s:s, s:I}", "type", "offset", "offset",
                         (json_int_t) terminal_reader_position(s->reader)));
}

/* False: nothing more will come. */
static bool on_output_end(TerminalSocket *s) {
        switch (terminal_reader_end(s->reader)) {
        case TERMINAL_END_GAP:
                terminal_reader_skip(s->reader);
                say_offset(s);
                return true;
        case TERMINAL_END_TAKEN:
                say(s, json_pack("{s:s}", "type", "taken"));
                websocket_close(s->socket, CLOSE_TAKEN, "another one has attached");
                return false;
        case TERMINAL_END_EXITED:
                break;
        }
        say_exit(s);
        return false;
}

/* Who only writes would not hear of it. */
static void watch_end(TerminalSocket *s) {
        if (command_is_live(s->command))
                terminal_wait_end(s->command, &s->mourner);
        else
                say_exit(s);
}

static void on_room(WebSocket *w, void *userdata) {
        static char buffer[CHUNK_BYTES];
        TerminalSocket *s = userdata;
        size_t room;

        if (!s->reader) {
                watch_end(s);
                return;
        }
        if (!s->told_offset)
                say_offset(s);
        while ((room = websocket_room(w)) > 0) {
                ssize_t n = terminal_reader_read(s->reader, buffer, MIN(sizeof buffer, room));

                if (n == 0 || (n == -ENODATA && !on_output_end(s)))
                        return;
                if (n > 0 && websocket_send(w, /* text= */ false, buffer, (size_t) n) < 0)
                        n = -EIO;
                if (n < 0 && n != -ENODATA) {
                        websocket_close(w, WEBSOCKET_INTERNAL, "the output cannot be read");
                        return;
                }
        }
}

/* Again and again until the terminal takes no more, or nothing is left. */
static void type(TerminalSocket *s) {
        while (s->input_done < s->n_input) {
                ssize_t n = terminal_writer_write(s->writer, s->input + s->input_done, s->n_input - s->input_done);

                if (n == 0)
                        break;
                if (n < 0) /* it has ended, which is told elsewhere */
                        s->input_done = s->n_input;
                else
                        s->input_done += (size_t) n;
        }
        if (s->input_done == s->n_input) {
                s->n_input = s->input_done = 0;
                if (s->input_allocated > CHANNEL_MESSAGE_MAX) { /* once in a while something is pasted */
                        s->input = mfree(s->input);
                        s->input_allocated = 0;
                }
        }
        websocket_pause(s->socket, s->n_input - s->input_done > INPUT_MAX);
}

static int keep_input(TerminalSocket *s, const char *data, size_t n) {
        char *larger;
        size_t want;

        if (s->input_done > 0) {
                memmove(s->input, s->input + s->input_done, s->n_input - s->input_done);
                s->n_input -= s->input_done;
                s->input_done = 0;
        }
        want = s->n_input + n;
        if (want > s->input_allocated) {
                larger = realloc(s->input, want);
                if (!larger)
                        return -ENOMEM;
                s->input = larger;
                s->input_allocated = want;
        }
        memcpy(s->input + s->n_input, data, n);
        s->n_input += n;
        return 0;
}

static void on_writable(void *userdata) {
        type(userdata);
}

static int control(TerminalSocket *s, const char *text, size_t n, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        ControlInput in = {};
        int r;

        r = json_parse_limited(text, n, &object, error);
        if (r >= 0 && !json_is_object(object))
                r = bus_error_set(error, BUS_ERROR_INVALID, "A text must be a JSON object");
        if (r >= 0)
                r = json_fields_read(object, control_fields, ELEMENTSOF(control_fields), &in, error);
        if (r >= 0)
                r = streq(in.type, "resize") ? api_terminal_resize_by(s->command, object, error)
                                             : bus_error_set(error, BUS_ERROR_INVALID, "type must be resize");
        json_fields_done(control_fields, ELEMENTSOF(control_fields), &in);
        return r;
}

static void on_message(WebSocket *w, bool text, const char *data, size_t n, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        TerminalSocket *s = userdata;

        if (text && control(s, data, n, &error) < 0)
                say(s, json_pack("{s:s, s:s}", "type", "error", "error", error.message ?: "Failed"));
        else if (!text && !s->writer)
                websocket_close(w, WEBSOCKET_UNSUPPORTED, "this channel is for reading");
        else if (!text && n > 0) {
                if (keep_input(s, data, n) < 0)
                        websocket_close(w, WEBSOCKET_INTERNAL, "out of memory");
                else
                        type(s);
        }
}

/* A channel is good for one socket, but for ours that break when our process ends. */
static void let_go(TerminalSocket *s, bool by_server) {
        Command *c = s->command;

        s->channel->held = false;
        if (by_server)
                return;
        s->channel->state = TERMINAL_CHANNEL_OVER;
        if (manager_find_command(c->manager, c->id) == c && !c->forgotten)
                (void) command_save(c);
}

static void on_end(bool by_server, void *userdata) {
        TerminalSocket *s = userdata;

        if (s->channel)
                let_go(s, by_server);
        socket_free(s);
}

static void on_reader_wake(void *userdata) {
        TerminalSocket *s = userdata;

        if (s->socket)
                websocket_wake(s->socket);
}

static void on_terminal_end(void *userdata) {
        TerminalSocket *s = userdata;

        say_exit(s);
}

static TerminalSocket *socket_new(Command *c) {
        TerminalSocket *s = new0(TerminalSocket, 1);

        if (s)
                *s = (TerminalSocket) { .command = command_ref(c), .mourner = { .wake = on_terminal_end,
                                                                                .userdata = s } };
        return s;
}

static int accept_socket(Request *request, TerminalSocket **s, size_t message_max) {
        int r;

        r = websocket_accept(request, message_max, &(WebSocketHandler) { .on_message = on_message, .on_room = on_room,
                                                                       .on_end = on_end, .userdata = *s },
                             &(*s)->socket);
        if (r >= 0)
                TAKE_PTR(*s);
        return r;
}

int api_terminal_socket(Request *request, sd_bus_error *error) {
        _cleanup_(attach_input_done) AttachInput in = {};
        _cleanup_(socket_freep) TerminalSocket *s = NULL;
        Command *c;
        int r;

        r = api_get_terminal(request, &c, error);
        if (r >= 0)
                r = attach_input_read(request, &in, error);
        if (r < 0)
                return r;
        if (!websocket_check(request))
                return 0;
        s = socket_new(c);
        if (!s)
                return -ENOMEM;
        r = terminal_writer_new(c, on_writable, s, &s->writer);
        if (r >= 0)
                r = api_terminal_attach(&in, c, on_reader_wake, s, &s->reader, error);
        return r < 0 ? r : accept_socket(request, &s, MESSAGE_MAX);
}

/* Somebody has it, or had it: he who comes second is told so at once, by the end of his socket. */
static void on_nothing(WebSocket *w, void *userdata) {
        (void) userdata;
        websocket_close(w, WEBSOCKET_POLICY, "this channel was taken already");
}

static void on_nothing_message(WebSocket *w, bool text, const char *data, size_t n, void *userdata) {
        (void) text;
        (void) data;
        (void) n;
        on_nothing(w, userdata);
}

static void on_nothing_end(bool by_server, void *userdata) {
        (void) by_server;
        (void) userdata;
}

static int refuse_second(Request *request) {
        WebSocket *w;

        return websocket_accept(request, CHANNEL_MESSAGE_MAX,
                                &(WebSocketHandler) { .on_message = on_nothing_message, .on_room = on_nothing,
                                                      .on_end = on_nothing_end },
                                &w);
}

static int open_channel(TerminalSocket *s, TerminalDirection direction, uint64_t offset) {
        Command *c = s->command;
        int r;

        if (direction == TERMINAL_WRITE)
                r = terminal_writer_new(c, on_writable, s, &s->writer);
        else
                r = terminal_attach(c, "", /* resume= */ false, offset, on_reader_wake, s, &s->reader);
        if (r < 0)
                return r;
        s->channel = terminal_get_session(c)->channels + direction;
        s->channel->held = true;
        s->channel->state = TERMINAL_CHANNEL_TAKEN;
        return command_save(c);
}

static int take_channel(Request *request, Command *c, TerminalDirection direction, uint64_t offset) {
        const TerminalChannel *channel = terminal_get_session(c)->channels + direction;
        _cleanup_(socket_freep) TerminalSocket *s = NULL;
        int r;

        if (channel->held || channel->state == TERMINAL_CHANNEL_OVER)
                return refuse_second(request);
        s = socket_new(c);
        if (!s)
                return -ENOMEM;
        r = open_channel(s, direction, offset);
        if (r >= 0)
                r = accept_socket(request, &s, CHANNEL_MESSAGE_MAX);
        if (r < 0 && s && s->channel)
                s->channel->held = false;
        return r;
}

/* The key in the query is the credential: it is good for this channel only, and clients of the contract have no other way
 * to give one. */
int api_terminal_channel(Request *request, sd_bus_error *error) {
        const char *id = request_path_value(request, "channel");
        ChannelInput in = {};
        TerminalDirection direction;
        Command *c;
        int r;

        r = json_table_read(request_input(request), &terminal_channel_table, &in, error);
        if (r >= 0) {
                direction = terminal_direction_from_string(in.direction);
                if (direction < 0)
                        r = bus_error_set(error, BUS_ERROR_INVALID, "dir must be read or write");
        }
        if (r >= 0 && terminal_session_find(request_userdata(request), id ?: "", in.key, direction,
                                            now_usec(CLOCK_REALTIME) / USEC_PER_MSEC, &c) < 0)
                r = bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "There is no such channel");
        if (r >= 0 && websocket_check(request))
                r = take_channel(request, c, direction, (uint64_t) in.offset);
        json_fields_done(channel_fields, ELEMENTSOF(channel_fields), &in);
        return r < 0 ? r : 0;
}
