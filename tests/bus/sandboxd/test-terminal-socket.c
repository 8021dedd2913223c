/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "sandboxd/idempotency.h"
#include "sandboxd/terminal-session.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Terminals on WebSockets, at an execd that makes real ones. */

#define ASKED                                                                                      \
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"               \
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

enum { TEXT = 0x81, BINARY = 0x82, CLOSE = 0x88 };

/* A session as the client has it. */
typedef struct Refs {
        char id[40], channel[2][40], key[2][40];
} Refs;

static bool nothing_runs(Core *c, void *userdata) {
        (void) userdata;
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (c->execd.commands[i].used)
                        return false;
        return c->manager->n_attended == 0;
}

static bool no_connection(Core *c, void *userdata) {
        (void) userdata;
        return http_server_n_connections(c->http) == 0;
}

static bool one_connection(Core *c, void *userdata) {
        (void) userdata;
        return http_server_n_connections(c->http) == 1;
}

/* The loop that the client was read by has ended. */
static void expect_going_away(Client *client) {
        char buffer[4096];
        ssize_t n;

        n = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        ASSERT_TRUE(n >= 4);
        ASSERT_EQ(memcmp(buffer + n - 4, "\210\002\003\351", 4), 0); /* 1001 */
}

static void connect_socket(Core *c, Client *client, const char *path) {
        client_open_raw(c, client, "GET", path, ASKED, "", 0);
        client_wait_text(client, "HTTP/1.1 101 ");
}

/* With a mask that changes nothing. */
static void say(Client *client, unsigned first, const char *text) {
        char frame[130] = { (char) first, (char) (0x80 | strlen(text)) };

        ASSERT_TRUE(strlen(text) < 120);
        memcpy(frame + 6, text, strlen(text));
        ASSERT_EQ(send(client->fd, frame, 6 + strlen(text), MSG_NOSIGNAL), 6 + strlen(text));
}

static const char *channel_path(const Refs *refs, TerminalDirection d) {
        static char path[2][200];

        snprintf(path[d], sizeof path[d], "/ws/channels/%s?dir=%s&key=%s", refs->channel[d],
                 terminal_direction_to_string(d), refs->key[d]);
        return path[d];
}

/* more: of the head. */
static void open_session_with(Core *c, const char *id, const char *more, Refs *ret) {
        static const char *const names[] = { [TERMINAL_WRITE] = "writer", [TERMINAL_READ] = "reader" };
        static const char body[] = "{\"cols\":90,\"rows\":30}";
        _cleanup_(reply_done) Reply r = {};
        char path[100], headers[200];
        Client client;

        snprintf(path, sizeof path, "/sandbox/sandboxes/%s/terminal", id);
        snprintf(headers, sizeof headers, "Content-Type: application/json\r\n%s", more);
        client_open_raw(c, &client, "POST", path, headers, body, strlen(body));
        client_wait(&client, &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "shell"), "/bin/sh");
        ASSERT_STREQ(reply_string(&r, "status"), "running");
        ASSERT_EQ(reply_integer(&r, "cols"), 90);
        strcpy(ret->id, reply_string(&r, "sessionId"));
        for (int d = 0; d < _TERMINAL_DIRECTION_MAX; d++) {
                json_t *ref = json_object_get(json_object_get(r.json, "channel"), names[d]);

                ASSERT_STREQ(json_string_value(json_object_get(ref, "direction")), terminal_direction_to_string(d));
                strcpy(ret->channel[d], json_string_value(json_object_get(ref, "channel_id")));
                strcpy(ret->key[d], json_string_value(json_object_get(ref, "access_key")));
        }
}

static void open_session(Core *c, const char *id, Refs *ret) {
        open_session_with(c, id, "", ret);
}

static void close_session(Core *c, const char *id, const Refs *refs) {
        char path[140];

        snprintf(path, sizeof path, "/sandbox/sandboxes/%s/terminal/%s", id, refs->id);
        REQUEST(c, "DELETE", path, NULL, r);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "closed"), refs->id);
}

static void expect_status(Core *c, const char *path, unsigned status) {
        Client client;
        Reply r;

        client_open_raw(c, &client, "GET", path, "", "", 0);
        client_wait(&client, &r);
        ASSERT_EQ(r.status, status);
        reply_done(&r);
}

static int has_key(const StoredObject *row, void *userdata) {
        const Refs *refs = userdata;

        for (int d = 0; d < _TERMINAL_DIRECTION_MAX; d++)
                ASSERT_NULL(strstr(row->record, refs->key[d]));
        return 0;
}

static bool has_size(Core *c, void *userdata) {
        uint32_t rows, columns;

        terminal_get_size(manager_find_command(c->manager, userdata), &rows, &columns);
        return columns > 0;
}

/* A request that is repeated opens no second shell, and no key is kept for it: the reply is made anew. */
TEST(session_by_a_key_of_the_client) {
        static const char key[] = "Idempotency-Key: k\r\n";
        _cleanup_(core_stop) Core c = {};
        Refs first, again, third, other;
        char id[40];
        Client reader;

        core_start(&c);
        core_create(&c, id);
        open_session_with(&c, id, key, &first);
        ASSERT_OK(store_foreach_object(c.manager->store, &(ObjectQuery) { .kind = IDEMPOTENCY_KIND }, has_key, &first));
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        core_wait(&c, has_size, first.id); /* it is attached again */
        open_session_with(&c, id, key, &again);
        ASSERT_STREQ(again.id, first.id);
        ASSERT_EQ(c.execd.n_execs, 1);
        ASSERT_STREQ(again.channel[TERMINAL_READ], first.channel[TERMINAL_READ]);
        assert_true(!streq(again.key[TERMINAL_READ], first.key[TERMINAL_READ]));
        ASSERT_OK(store_foreach_object(c.manager->store, &(ObjectQuery) { .kind = IDEMPOTENCY_KIND }, has_key, &again));
        /* what the reply said that nobody saw is void */
        expect_status(&c, channel_path(&first, TERMINAL_READ), 404);
        connect_socket(&c, &reader, channel_path(&again, TERMINAL_READ));
        /* nobody gets the key of a channel that somebody has */
        open_session_with(&c, id, key, &third);
        ASSERT_STREQ(third.id, first.id);
        ASSERT_STREQ(third.key[TERMINAL_READ], "");
        ASSERT_EQ(strlen(third.key[TERMINAL_WRITE]), TERMINAL_CHANNEL_MAX - 1);
        ASSERT_EQ(c.execd.n_execs, 1);
        open_session_with(&c, id, "Idempotency-Key: other\r\n", &other);
        assert_true(!streq(other.id, first.id));
        client_close(&reader);
        close_session(&c, id, &third);
        close_session(&c, id, &other);
        core_wait(&c, nothing_runs, NULL);
}

TEST(both_ways) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[140];
        Client one, two;

        core_start(&c);
        core_create(&c, id);
        snprintf(path, sizeof path, "/sandbox/sandboxes/%s/terminals", id);
        {
                REQUEST(&c, "POST", path,
                        "{\"command\":\"stty -echo; echo up; read x; echo got $x; stty size; exit 7\"}", r);
                ASSERT_EQ(r.status, 200);
                snprintf(path, sizeof path, "/sandbox/sandboxes/%s/terminals/%s/ws", id, reply_string(&r, "id"));
        }
        expect_status(&c, path, 426);
        connect_socket(&c, &one, path);
        client_wait_text(&one, "{\"type\":\"offset\",\"offset\":0}");
        client_wait_text(&one, "up");
        connect_socket(&c, &two, path);
        client_wait_text(&one, "{\"type\":\"taken\"}");
        client_wait_text(&one, "\017\241another one has attached"); /* 4001 */
        client_wait_text(&two, "up");
        say(&two, TEXT, "{\"type\":\"resize\",\"rows\":31,\"cols\":91}");
        say(&two, TEXT, "{\"type\":\"resize\",\"rows\":0,\"cols\":91}");
        client_wait_text(&two, "\"error\":\"rows must be");
        say(&two, BINARY, "word\n");
        client_wait_text(&two, "got word");
        client_wait_text(&two, "31 91");
        client_wait_text(&two, "{\"type\":\"exit\",\"code\":7}");
        client_wait_text(&two, "\003\350exited");
        client_close(&one);
        client_close(&two);
        core_wait(&c, nothing_runs, NULL);
        core_wait(&c, no_connection, NULL);
}

TEST(channels) {
        _cleanup_(core_stop) Core c = {};
        Client reader, writer, second;
        char id[40];
        Refs refs;

        core_start(&c);
        core_create(&c, id);
        open_session(&c, id, &refs);
        connect_socket(&c, &writer, channel_path(&refs, TERMINAL_WRITE));
        say(&writer, BINARY, "echo $((6 * 7))4711\n");
        connect_socket(&c, &reader, channel_path(&refs, TERMINAL_READ));
        client_wait_text(&reader, "424711");
        connect_socket(&c, &second, channel_path(&refs, TERMINAL_READ));
        client_wait_text(&second, "\003\360this channel was taken already"); /* 1008 */
        client_close(&second);

        /* who only writes hears of the end, too */
        close_session(&c, id, &refs);
        client_wait_text(&reader, "\003\350closed");
        client_wait_text(&writer, "\003\350closed");
        client_close(&reader);
        client_close(&writer);
        core_wait(&c, nothing_runs, NULL);
        core_wait(&c, no_connection, NULL);
        expect_status(&c, channel_path(&refs, TERMINAL_READ), 404);
}

/* The references stand in the record; one that is held when we end may be taken again, one that was closed may not. */
TEST(restart) {
        _cleanup_(core_stop) Core c = {};
        Client reader, writer;
        char id[40];
        Refs refs;

        core_start(&c);
        core_create(&c, id);
        open_session(&c, id, &refs);
        connect_socket(&c, &reader, channel_path(&refs, TERMINAL_READ));
        connect_socket(&c, &writer, channel_path(&refs, TERMINAL_WRITE));
        say(&writer, CLOSE, "\003\350");
        client_close(&writer);
        core_wait(&c, one_connection, NULL);
        core_stop_sandboxd(&c);
        expect_going_away(&reader);
        client_close(&reader);

        core_start_sandboxd(&c);
        expect_status(&c, channel_path(&refs, TERMINAL_READ), 426);
        connect_socket(&c, &reader, channel_path(&refs, TERMINAL_READ));
        connect_socket(&c, &writer, channel_path(&refs, TERMINAL_WRITE));
        client_wait_text(&writer, "\003\360");
        client_close(&writer);
        close_session(&c, id, &refs);
        client_wait_text(&reader, "\003\350closed");
        client_close(&reader);
        core_wait(&c, nothing_runs, NULL);
}

TEST(references_have_their_time) {
        _cleanup_(core_stop) Core c = {};
        Client reader;
        char id[40];
        Refs refs;

        core_start(&c);
        core_create(&c, id);
        open_session(&c, id, &refs);
        connect_socket(&c, &reader, channel_path(&refs, TERMINAL_READ));
        manager_find_command(c.manager, refs.id)->started_msec -= TERMINAL_CHANNEL_AGE_MSEC;
        expect_status(&c, channel_path(&refs, TERMINAL_WRITE), 404);
        expect_status(&c, channel_path(&refs, TERMINAL_READ), 426); /* taken in time */
        refs.key[TERMINAL_READ][0] ^= 1;
        expect_status(&c, channel_path(&refs, TERMINAL_READ), 404);
        client_close(&reader);
        close_session(&c, id, &refs);
        core_wait(&c, nothing_runs, NULL);
}

/* Nobody would ever have the keys. */
TEST(who_asks_for_a_session_and_leaves) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[100];
        Client client;

        core_start(&c);
        core_create(&c, id);
        snprintf(path, sizeof path, "/sandbox/sandboxes/%s/terminal", id);
        client_open(&c, &client, "POST", path, "{}");
        client_close(&client);
        core_wait(&c, nothing_runs, NULL);
}
