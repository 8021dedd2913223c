/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/websocket.h"
#include "tests/unit/sandboxd/http-fixture.h"

/* An echo with words of its own: "pause" and "close" do so, "flood" sends for as long as there is room. */

static WebSocket *socket_open;
static bool flooding;

static void on_message(WebSocket *w, bool text, const char *data, size_t n, void *userdata) {
        FixtureState *s = userdata;

        s->n_received += n;
        if (text && n == 5 && memcmp(data, "pause", n) == 0)
                websocket_pause(w, true);
        else if (text && n == 5 && memcmp(data, "close", n) == 0) {
                /* what was said before is not lost */
                assert(websocket_send(w, true, "last", 4) == 0);
                websocket_close(w, 4001, "as asked for");
                assert(websocket_send(w, true, "late", 4) < 0);
        } else if (text && n == 5 && memcmp(data, "flood", n) == 0) {
                flooding = true;
                websocket_wake(w);
        } else
                assert(websocket_send(w, text, data, n) == 0);
}

static void on_room(WebSocket *w, void *userdata) {
        static const char bytes[4096] = "flood";
        FixtureState *s = userdata;

        while (flooding && websocket_room(w) > 0) {
                assert(websocket_send(w, false, bytes, sizeof bytes) == 0);
                s->n_made += sizeof bytes;
        }
}

static void on_end(bool by_server, void *userdata) {
        FixtureState *s = userdata;

        socket_open = NULL;
        flooding = false;
        s->n_freed++;
        s->n_gone += by_server;
}

int fixture_handle_socket(Request *r, sd_bus_error *error) {
        int result;

        (void) error;
        if (!websocket_check(r))
                return 0;
        result = websocket_accept(r, 1000, &(WebSocketHandler) { .on_message = on_message, .on_room = on_room,
                                                                 .on_end = on_end, .userdata = &fixture_state },
                                  &socket_open);
        return result;
}

void fixture_unpause_socket(void) {
        if (socket_open)
                websocket_pause(socket_open, false);
}
