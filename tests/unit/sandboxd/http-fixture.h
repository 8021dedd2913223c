/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "sandboxd/http/http-server.h"
#include "sandboxd/http/upgrade.h"
#include "tests/test.h"

/* A real server on a loopback socket and raw clients, all in one loop and one process. */
typedef struct Fixture {
        sd_event *event;
        Settings settings;
        Auth *auth;
        HttpServer *server;
        int listen_fd;
        uint16_t port;
} Fixture;

typedef struct Reply {
        char *text;             /* all bytes, NUL-terminated */
        size_t n, head_size;    /* head_size: 0 until the headers are whole */
        size_t size;            /* of all, where the headers say it */
        bool chunked;
        unsigned status;
        bool closed;            /* the server ended the connection */
} Reply;

extern const Route fixture_routes[];
extern const size_t n_fixture_routes;

/* What the routes of http-fixture-routes.c did. */
typedef struct FixtureState {
        sd_event *event;
        Request *pending;       /* of /later and /hang */
        unsigned n_handled, n_gone, n_freed;
        uint64_t n_made, n_received;
        bool sink_waits, source_waits;
        Upgrade *upgrade;       /* of /upgrade, while it is handed over */
        sd_event_source *upgrade_source;
        size_t sink_step;       /* bytes that the sink takes at once; 0: all */
        unsigned char sum;
} FixtureState;

extern FixtureState fixture_state;

#define HOST "Host: localhost\r\n"
#define HEALTH "GET /sandbox/health HTTP/1.1\r\n" HOST "\r\n"
#define LATER "POST /sandbox/later HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"

/* A WebSocket, in http-fixture-socket.c. */
int fixture_handle_socket(Request *r, sd_bus_error *error);
void fixture_unpause_socket(void);

/* Short enough that a test need not wait, long enough for a busy machine. */
extern const HttpTimes short_times;

/* The server with those routes and a new state. */
void routes_start(Fixture *f, const char *const *settings, const HttpTimes *times);
/* For fixture_run_until(), of the FixtureState and of the HttpServer. */
bool request_pends(void *userdata);
bool no_connection(void *userdata);

/* assignments: "NAME=VALUE" settings, may be NULL. */
void fixture_start(Fixture *f, const char *const *assignments, const HttpTimes *times, void *userdata);
void fixture_stop(Fixture *f);

int fixture_connect(Fixture *f);
void fixture_send(Fixture *f, int fd, const void *data, size_t n);
#define fixture_send_text(f, fd, text) fixture_send(f, fd, text, strlen(text))
/* Runs the loop until a whole reply is there or the connection has ended; fails after 20 s. */
void fixture_receive(Fixture *f, int fd, Reply *ret);
void fixture_expect_body(Fixture *f, int fd, unsigned status, const char *body);
/* Runs the loop until done(userdata). */
void fixture_run_until(Fixture *f, bool (*done)(void *userdata), void *userdata);
void fixture_run_for(Fixture *f, uint64_t usec);
/* connect, send, receive, close. */
void fixture_exchange(Fixture *f, const void *data, size_t n, Reply *ret);
void reply_done(Reply *r);
const char *reply_body(const Reply *r);
/* 0 with AddressSanitizer, which keeps what was freed. */
size_t rss_bytes(void);
