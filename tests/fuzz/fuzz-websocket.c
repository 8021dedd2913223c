/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/dialect.h"
#include "sandboxd/http/http-server.h"
#include "sandboxd/http/websocket.h"
#include "tests/fuzz/fuzz.h"

/* The frames of a client, at an echo. What comes back are frames of a server, and at the end nothing is left. */

#define HANDSHAKE                                                                                  \
        "GET /s/w HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"     \
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define MESSAGE_MAX 300U

static struct {
        sd_event *event;
        Settings settings;
        Auth *auth;
        HttpServer *server;
        unsigned n_open;
} f;

static void on_message(WebSocket *w, bool text, const char *data, size_t n, void *userdata) {
        (void) userdata;
        assert(n <= MESSAGE_MAX);
        assert(!text || utf8_is_valid(data, n) || memchr(data, 0, n));
        assert(websocket_send(w, text, data, n) == 0);
        if (n == 7)
                websocket_close(w, 4000, "seven");
}

static void on_room(WebSocket *w, void *userdata) {
        (void) w;
        (void) userdata;
}

static void on_end(bool by_server, void *userdata) {
        (void) by_server;
        (void) userdata;
        f.n_open--;
}

static int handle_socket(Request *r, sd_bus_error *error) {
        WebSocket *w;
        int result;

        (void) error;
        if (!websocket_check(r))
                return 0;
        result = websocket_accept(r, MESSAGE_MAX, &(WebSocketHandler) { .on_message = on_message, .on_room = on_room,
                                                                       .on_end = on_end }, &w);
        assert(result >= 0);
        f.n_open++;
        return 0;
}

static const Route routes[] = { { "GET", "/w", handle_socket, 0, "" } };
static const RouteTable table = { &dialect_sandbox, "/s", routes, ELEMENTSOF(routes) };

static void start(void) {
        log_set_max_level(-1);
        assert(sd_event_new(&f.event) >= 0);
        assert(settings_init_defaults(&f.settings) >= 0);
        assert(auth_new(&f.settings, NULL, &f.auth) >= 0);
        assert(http_server_new(&(HttpServerOptions) { .event = f.event, .settings = &f.settings, .tables = &table,
                                                      .n_tables = 1, .auth = f.auth },
                               &f.server) >= 0);
}

static void stop(void) {
        http_server_free(f.server);
        auth_free(f.auth);
        settings_done(&f.settings);
        sd_event_unref(f.event);
}

static void run(void) {
        while (sd_event_run(f.event, 0) > 0)
                ;
}

/* Whole frames, as far as they have come. */
static void check_frames(const unsigned char *p, size_t n) {
        while (n >= 4) {
                size_t size = p[1], head = 2;

                assert((p[0] & 0x70) == 0 && (p[1] & 0x80) == 0);
                assert((p[0] & 0x80) && strchr("\x1\x2\x8\x9\xa", p[0] & 0xf));
                if (size == 126) {
                        size = (size_t) p[2] << 8 | p[3];
                        head = 4;
                }
                assert(size <= MESSAGE_MAX);
                if (p[0] == 0x88 && size > 0)
                        assert(size >= 2 && (p[2] << 8 | p[3]) >= 1000);
                if (n < head + size)
                        return;
                p += head + size;
                n -= head + size;
        }
}

static void check_output(int fd) {
        static char buffer[1024 * 1024];
        size_t n = 0;
        ssize_t k;
        char *frames;

        while (n < sizeof buffer - 1 && (k = recv(fd, buffer + n, sizeof buffer - 1 - n, MSG_DONTWAIT)) > 0)
                n += (size_t) k;
        buffer[n] = 0;
        assert(startswith(buffer, "HTTP/1.1 101 "));
        frames = strstr(buffer, "\r\n\r\n");
        assert(frames);
        frames += 4;
        check_frames((const unsigned char *) frames, n - (size_t) (frames - buffer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        int pair[2];

        if (!f.server) {
                start();
                atexit(stop);
        }
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) >= 0);
        assert(http_server_add_socket(f.server, pair[0]) >= 0);
        assert(send(pair[1], HANDSHAKE, strlen(HANDSHAKE), MSG_NOSIGNAL) == (ssize_t) strlen(HANDSHAKE));
        if (n % 2 > 0) /* with it, or behind it */
                run();
        (void) send(pair[1], data, n, MSG_NOSIGNAL);
        run();
        check_output(pair[1]);
        close(pair[1]);
        run();
        assert(f.n_open == 0);
        assert(http_server_n_connections(f.server) == 0);
        return 0;
}
