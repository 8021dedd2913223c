/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/request.h"

/* A WebSocket (RFC 6455) on a connection that was handed over. libwslay reads and writes the frames and keeps their
 * rules: masks, opcodes, fragments, UTF-8, close codes. Here are the handshake, the socket, and the bounds: of a
 * message, of what waits to be sent, of a peer's silence. Extensions and subprotocols are not taken up. */

typedef struct WebSocket WebSocket;

/* Close codes that are used here; from 4000 on they are an application's own. */
enum {
        WEBSOCKET_NORMAL = 1000,
        WEBSOCKET_GOING_AWAY = 1001,
        WEBSOCKET_PROTOCOL_ERROR = 1002,
        WEBSOCKET_UNSUPPORTED = 1003,
        WEBSOCKET_POLICY = 1008,
        WEBSOCKET_INTERNAL = 1011,
};

/* What waits to be sent, at most, but for one message more. */
#define WEBSOCKET_QUEUE_MAX (64 * KiB)

typedef struct WebSocketHandler {
        /* A whole message of at most message_max bytes; of a text it is certain that it is UTF-8. */
        void (*on_message)(WebSocket *w, bool text, const char *data, size_t n, void *userdata);
        /* There is room in the queue: at the beginning, after websocket_wake(), and whenever it was full. */
        void (*on_room)(WebSocket *w, void *userdata);
        /* Exactly once, after everything else, from the loop. by_server: our process ends, or it never was open. */
        void (*on_end)(bool by_server, void *userdata);
        void *userdata;
} WebSocketHandler;

/* Whether the request is a handshake; if not, it has its reply: 400, or 426 with the version that is spoken. */
bool websocket_check(Request *r);
/* (checked) Replies 101. Takes userdata over on success. */
int websocket_accept(Request *r, size_t message_max, const WebSocketHandler *handler, WebSocket **ret);

/* Bytes that the queue still takes; 0: wait for on_room(). */
size_t websocket_room(const WebSocket *w);
/* -ENOTCONN: it is being closed. */
int websocket_send(WebSocket *w, bool text, const void *data, size_t n);
/* There is something to send: on_room() is called if there is room, otherwise later. */
void websocket_wake(WebSocket *w);
/* Reads no more until it is taken back: the peer has to wait. */
void websocket_pause(WebSocket *w, bool pause);
/* The end, after what is queued; the first one counts. */
void websocket_close(WebSocket *w, unsigned code, const char *reason);
