/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* The proxy, with a test that is the server in the sandbox, and an execd that fails, is late or gone. */

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

typedef struct Fixture {
        Core core;
        char id[40], path[128];
} Fixture;

static void expect(Fixture *f, const char *method, const char *below, const char *body, unsigned status) {
        char path[200];

        snprintf(path, sizeof path, "/sandbox/sandboxes/%s%s", f->id, below);
        REQUEST(&f->core, method, path, body, r);
        if (r.status != status)
                print_error("%s %s: %u %s\n", method, path, r.status, r.body);
        ASSERT_EQ(r.status, status);
}

static void fixture_init(Fixture *f) {
        *f = (Fixture) {};
        core_start(&f->core);
        core_create(&f->core, f->id);
        expect(f, "POST", "/ports", "{\"containerPort\":8000}", 200);
        snprintf(f->path, sizeof f->path, "/sandbox/proxy/%s/8000/page?q", f->id);
}

static void fixture_done(Fixture *f) {
        core_stop(&f->core);
}

/* --- the server's side */

typedef struct Wanted {
        int *fd;
        size_t n;
        char text[4096];
} Wanted;

static bool is_connected(Core *c, void *userdata) {
        return c->execd.n_servers >= *(size_t *) userdata;
}

static bool has_request(Core *c, void *userdata) {
        Wanted *w = userdata;
        ssize_t n = recv(*w->fd, w->text + w->n, sizeof w->text - 1 - w->n, MSG_DONTWAIT);

        (void) c;
        if (n > 0)
                w->n += (size_t) n;
        w->text[w->n] = 0;
        return strstr(w->text, "\r\n\r\n");
}

static bool has_ended(Core *c, void *userdata) {
        char byte;
        ssize_t n = recv(*(int *) userdata, &byte, 1, MSG_DONTWAIT);

        (void) c;
        return n == 0 || (n < 0 && errno != EAGAIN);
}

/* The n-th connection has a request, which begins with this line. */
static int *serve(Fixture *f, size_t n, const char *line) {
        Wanted w = {};

        core_wait(&f->core, is_connected, &n);
        w.fd = f->core.execd.servers + n - 1;
        core_wait(&f->core, has_request, &w);
        ASSERT_NOT_NULL(startswith(w.text, line));
        return w.fd;
}

static void say(const int *fd, const char *text) {
        ASSERT_EQ(send(*fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect_reply(Client *client, unsigned status, const char *text) {
        _cleanup_(reply_done) Reply r = {};

        client_wait(client, &r);
        if (r.status != status || !strstr(r.body, text))
                print_error("%u %s\n", r.status, r.body);
        ASSERT_EQ(r.status, status);
        ASSERT_NOT_NULL(strstr(r.body, text));
}

static bool is_idle(Core *c, void *userdata) {
        (void) userdata;
        return http_server_n_connections(c->http) == 0;
}

/* --- */

TEST(kept_connections) {
        _cleanup_(fixture_done) Fixture f;
        Client client;
        int *server;

        fixture_init(&f);
        client_open(&f.core, &client, "GET", f.path, NULL);
        server = serve(&f, 1, "GET /page?q HTTP/1.1\r\nHost: localhost:8000\r\n");
        say(server, ANSWER);
        expect_reply(&client, 200, "hi");

        client_open(&f.core, &client, "GET", f.path, NULL);
        ASSERT_EQ(serve(&f, 1, "GET /page?q"), server);
        say(server, ANSWER);
        expect_reply(&client, 200, "hi");
        ASSERT_EQ(f.core.execd.n_servers, 1);

        /* closed just when it is used again: asked once more, over another one */
        *server = safe_close(*server);
        client_open(&f.core, &client, "GET", f.path, NULL);
        server = serve(&f, 2, "GET /page?q");
        say(server, ANSWER);
        expect_reply(&client, 200, "hi");

        /* what may not be done twice goes over a fresh one, and the kept one is closed before */
        client_open_raw(&f.core, &client, "DELETE", f.path, "", "", 0);
        core_wait(&f.core, has_ended, server);
        server = serve(&f, 3, "DELETE /page?q");
        say(server, ANSWER);
        expect_reply(&client, 200, "hi");
        ASSERT_EQ(f.core.execd.n_servers, 3);
}

TEST(connecting_fails) {
        static const struct {
                const char *name;
                unsigned status;
        } cases[] = {
                { BUS_ERROR_UPSTREAM,        502 },
                { BUS_ERROR_WRONG_STATE,     409 },
                { BUS_ERROR_NO_SUCH_SANDBOX, 404 },
                { BUS_ERROR_UNAVAILABLE,     503 },
        };
        _cleanup_(fixture_done) Fixture f;
        Client client;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                f.core.execd.fail_method = "Connect";
                f.core.execd.fail_name = cases[i].name;
                client_open(&f.core, &client, "GET", f.path, NULL);
                expect_reply(&client, cases[i].status, "as the test wants it");
        }
        f.core.execd.cut_before = "Connect"; /* asked again */
        client_open(&f.core, &client, "GET", f.path, NULL);
        say(serve(&f, 1, "GET"), ANSWER);
        expect_reply(&client, 200, "hi");
        snprintf(f.path, sizeof f.path, "/sandbox/proxy/%s/8001/", f.id);
        client_open(&f.core, &client, "GET", f.path, NULL);
        expect_reply(&client, 404, "not exposed");
}

TEST(connecting_takes_its_time) {
        _cleanup_(fixture_done) Fixture f;
        _cleanup_free_ char *body = calloc(1, 300001);
        Client client;
        int *server;

        fixture_init(&f);
        memset(body, 'b', 300000);
        f.core.execd.hold_connect = true;
        client_open_partly(&f.core, &client, "POST", f.path, "", body, 1000, 300000); /* meanwhile it waits */
        while (!f.core.execd.held_connect)
                ASSERT_OK(sd_event_run(service_event(f.core.service), 100000));
        client_close(&client); /* nobody waits any more */
        core_wait(&f.core, is_idle, NULL);
        fake_execd_let_connect(&f.core.execd);
        core_wait(&f.core, has_ended, f.core.execd.servers);

        expect(&f, "POST", "/proxy/config", "{\"timeout\":50}", 200);
        client_open(&f.core, &client, "GET", f.path, NULL);
        expect_reply(&client, 504, "within 50 ms");
        fake_execd_let_connect(&f.core.execd);
        core_wait(&f.core, has_ended, f.core.execd.servers + 1);

        expect(&f, "POST", "/proxy/config", "{\"timeout\":30000}", 200);
        client_open(&f.core, &client, "GET", f.path, NULL);
        while (!f.core.execd.held_connect)
                ASSERT_OK(sd_event_run(service_event(f.core.service), 100000));
        fake_execd_let_connect(&f.core.execd);
        server = serve(&f, 3, "GET");
        say(server, ANSWER);
        expect_reply(&client, 200, "hi");
}

TEST(answers_that_are_none) {
        static const struct {
                const char *answer;
                unsigned status;
                const char *text;
        } cases[] = {
                { "",                                                                  502, "without an answer" },
                { "HTTP/1.1 200 O",                                                    502, "within its answer" },
                { "SSH-2.0-x\r\n\r\n",                                                 502, "not valid HTTP"    },
                { "HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",   502, "not valid HTTP"    },
                { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 502, "not valid HTTP"    },
        };
        _cleanup_(fixture_done) Fixture f;
        Client client;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int *server;

                client_open(&f.core, &client, "GET", f.path, NULL);
                server = serve(&f, i + 1, "GET");
                say(server, cases[i].answer);
                (void) shutdown(*server, SHUT_WR);
                expect_reply(&client, cases[i].status, cases[i].text);
        }
        expect(&f, "POST", "/proxy/config", "{\"timeout\":50}", 200);
        client_open(&f.core, &client, "GET", f.path, NULL);
        (void) serve(&f, ELEMENTSOF(cases) + 1, "GET");
        expect_reply(&client, 504, "within 50 ms");
}

/* Which half of an exchange it is when the sandbox stops being there. */
static void begin_two(Fixture *f, Client *waiting, Client *reading) {
        client_open(&f->core, reading, "GET", f->path, NULL);
        say(serve(f, 1, "GET"), "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegin");
        client_wait_text(reading, "begin");
        client_open(&f->core, waiting, "GET", f->path, NULL);
        (void) serve(f, 2, "GET");
}

static void expect_ends(Fixture *f, Client *waiting, Client *reading, const char *text) {
        _cleanup_(reply_done) Reply r = {};

        expect_reply(waiting, 409, text);
        client_wait(reading, &r);
        ASSERT_EQ(r.n_body, 5); /* which shows that it is not whole */
        core_wait(&f->core, has_ended, f->core.execd.servers);
        core_wait(&f->core, has_ended, f->core.execd.servers + 1);
}

TEST(paused_meanwhile) {
        _cleanup_(fixture_done) Fixture f;
        Client waiting, reading;

        fixture_init(&f);
        begin_two(&f, &waiting, &reading);
        expect(&f, "POST", "/pause", NULL, 200);
        expect_ends(&f, &waiting, &reading, "paused");
        client_open(&f.core, &waiting, "GET", f.path, NULL);
        expect_reply(&waiting, 409, "not running");
        expect(&f, "POST", "/resume", NULL, 200);
        client_open(&f.core, &waiting, "GET", f.path, NULL);
        say(serve(&f, 3, "GET"), ANSWER);
        expect_reply(&waiting, 200, "hi");
}

TEST(deleted_meanwhile) {
        _cleanup_(fixture_done) Fixture f;
        Client waiting, reading;

        fixture_init(&f);
        begin_two(&f, &waiting, &reading);
        expect(&f, "DELETE", "", NULL, 200);
        expect_ends(&f, &waiting, &reading, "ended");
        client_open(&f.core, &waiting, "GET", f.path, NULL);
        expect_reply(&waiting, 404, "not found");
}

TEST(dies_meanwhile) {
        _cleanup_(fixture_done) Fixture f;
        Client waiting, reading;

        fixture_init(&f);
        begin_two(&f, &waiting, &reading);
        fake_execd_crash(&f.core.execd); /* costs nobody anything */
        say(f.core.execd.servers + 1, ANSWER);
        expect_reply(&waiting, 200, "hi");
        client_open(&f.core, &waiting, "GET", f.path, NULL);
        (void) serve(&f, 2, "GET");
        fake_execd_gone(&f.core.execd, f.core.execd.sandboxes[0].id, "init-died");
        expect_ends(&f, &waiting, &reading, "failed");
}

/* What is under way when we end is freed; the client sees that it is not whole. */
TEST(sandboxd_ends_meanwhile) {
        _cleanup_(fixture_done) Fixture f;
        Client waiting, reading;

        fixture_init(&f);
        begin_two(&f, &waiting, &reading);
        core_stop_sandboxd(&f.core);
        client_close(&waiting);
        client_close(&reading);
        core_start_sandboxd(&f.core);
        client_open(&f.core, &waiting, "GET", f.path, NULL);
        say(serve(&f, 3, "GET"), ANSWER);
        expect_reply(&waiting, 200, "hi");
}

/* What was said before a hang-up arrives, however slowly it is read, and nothing turns round and round meanwhile. */
TEST(last_words_on_a_socket) {
        static const char asked[] = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        static const char agreed[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        _cleanup_(fixture_done) Fixture f;
        _cleanup_(reply_done) Reply r = {};
        static const char words[4096] = "word";
        size_t n_said = 0;
        unsigned n_turns = 0;
        Client client;
        int *server;

        fixture_init(&f);
        client_open_raw(&f.core, &client, "GET", f.path, asked, "", 0);
        server = serve(&f, 1, "GET");
        say(server, agreed);
        client_wait_text(&client, "HTTP/1.1 101 ");
        ASSERT_OK(sd_event_source_set_enabled(client.source, SD_EVENT_OFF));
        for (unsigned n_full = 0; n_full < 20;) { /* until nobody takes more */
                ssize_t n = send(*server, words, sizeof words, MSG_NOSIGNAL | MSG_DONTWAIT);

                n_said += (size_t) MAX(n, 0);
                n_full = n > 0 ? 0 : n_full + 1;
                ASSERT_OK(sd_event_run(service_event(f.core.service), 1000));
        }
        *server = safe_close(*server);
        while (sd_event_run(service_event(f.core.service), 10000) > 0) /* until all stands still */
                assert_true(++n_turns < 1000);
        ASSERT_OK(sd_event_source_set_enabled(client.source, SD_EVENT_ON));
        client_wait(&client, &r);
        ASSERT_EQ(r.n_body, n_said);
}
