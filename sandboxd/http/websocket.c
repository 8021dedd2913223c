/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/websocket.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/http-private.h"

/* What a peer can make us hold is bounded: a message by message_max, our own words by WEBSOCKET_QUEUE_MAX, and answers
 * to its pings by not reading while many of them wait. What a peer can make us wait is bounded, too: after each
 * heartbeat it is pinged, and one that has said nothing, or taken nothing of what waits for it, for SILENT_BEATS of them
 * is gone.
 *
 * libwslay sends control frames before data that was queued earlier. A close of ours must not overtake the last words,
 * so it is kept here until they are sent. */

#define RECEIVE_AT_ONCE (64 * KiB)
#define ROUNDS_AT_ONCE 4U
#define MESSAGES_QUEUED_MAX 256U
#define SILENT_BEATS 3U
#define CLOSE_USEC (10 * USEC_PER_SEC)
#define REASON_MAX 100U
#define KEY_LENGTH 24U          /* base64 of 16 bytes */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct WebSocket {
        WebSocketHandler handler;
        HttpServer *server;
        Upgrade *upgrade;       /* NULL: not open yet */
        wslay_event_context_ptr frames;
        sd_event_source *io, *timer;
        int fd;
        char *early;            /* what came behind the handshake, and is not read yet */
        size_t n_early, early_done;
        size_t received;        /* in this turn */
        unsigned silent, stuck; /* beats without a byte from it, without one taken */
        unsigned close_code;    /* 0: nobody wants to close it */
        char close_reason[REASON_MAX + 1];
        bool busy;              /* within one of our own steps */
        bool malformed;         /* what came */
        bool paused, broken, over;
};

static bool key_is_valid(const char *key) {
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

        return strlen(key) == KEY_LENGTH && strspn(key, alphabet) == KEY_LENGTH - 2 &&
               streq(key + KEY_LENGTH - 2, "==");
}

static bool refuse(Request *r, unsigned status, const char *message) {
        (void) http_reply_refusal(r, &(HttpRefusal) { .status = status, .message = message });
        return false;
}

bool websocket_check(Request *r) {
        const char *version = request_header(r, MHD_HTTP_HEADER_SEC_WEBSOCKET_VERSION);
        const char *key = request_header(r, MHD_HTTP_HEADER_SEC_WEBSOCKET_KEY);

        if (!streq(r->method, "GET") || !request_wants_upgrade(r, "websocket")) {
                (void) request_add_header(r, MHD_HTTP_HEADER_UPGRADE, "websocket");
                return refuse(r, 426, "This is a WebSocket: it wants GET and 'Upgrade: websocket'");
        }
        if (!version || !key || !key_is_valid(key))
                return refuse(r, 400, "Sec-WebSocket-Version or Sec-WebSocket-Key is missing or not valid");
        if (!streq(version, "13")) {
                (void) request_add_header(r, MHD_HTTP_HEADER_SEC_WEBSOCKET_VERSION, "13");
                return refuse(r, 426, "Only version 13 of WebSocket is spoken here");
        }
        return true;
}

static int add_accept(Request *r) {
        const char *key = request_header(r, MHD_HTTP_HEADER_SEC_WEBSOCKET_KEY);
        unsigned char hash[SHA_DIGEST_LENGTH], text[KEY_LENGTH + sizeof GUID], base64[32];

        (void) snprintf((char *) text, sizeof text, "%.*s" GUID, (int) KEY_LENGTH, key);
        SHA1(text, strlen((const char *) text), hash);
        (void) EVP_EncodeBlock(base64, hash, sizeof hash);
        return request_add_header(r, MHD_HTTP_HEADER_SEC_WEBSOCKET_ACCEPT, (const char *) base64);
}

/* Nothing is read while the handler does not want it, or while more answers wait than a peer in good faith asks for. */
static bool is_blocked(const WebSocket *w) {
        return w->paused || wslay_event_get_queued_msg_count(w->frames) > MESSAGES_QUEUED_MAX ||
               wslay_event_get_queued_msg_length(w->frames) > 2 * WEBSOCKET_QUEUE_MAX;
}

static ssize_t read_early(WebSocket *w, uint8_t *buffer, size_t size) {
        size_t n = MIN(size, w->n_early - w->early_done);

        memcpy(buffer, w->early + w->early_done, n);
        w->early_done += n;
        if (w->early_done == w->n_early) {
                w->early = mfree(w->early);
                w->n_early = w->early_done = 0;
        }
        return (ssize_t) n;
}

static ssize_t on_receive(wslay_event_context_ptr frames, uint8_t *buffer, size_t size, int flags, void *userdata) {
        WebSocket *w = userdata;
        ssize_t n = -1;

        (void) flags;
        errno = EAGAIN;
        if (!is_blocked(w) && w->received < RECEIVE_AT_ONCE)
                n = w->early ? read_early(w, buffer, size) : recv(w->fd, buffer, size, MSG_DONTWAIT);
        if (n > 0) {
                w->received += (size_t) n;
                w->silent = 0;
                return n;
        }
        w->broken |= n == 0 || (errno != EAGAIN && errno != EINTR);
        wslay_event_set_error(frames, w->broken ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
        return -1;
}

/* Of some of what must not be sent libwslay makes a close that does not say why. */
static ssize_t send_why(const WebSocket *w) {
        static const uint8_t close[] = { 0x88, 2, WEBSOCKET_PROTOCOL_ERROR >> 8, WEBSOCKET_PROTOCOL_ERROR & 0xff };
        ssize_t k = send(w->fd, close, sizeof close, MSG_DONTWAIT | MSG_NOSIGNAL);

        errno = k > 0 ? EPIPE : errno;
        return k == sizeof close ? 2 : -1;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *data, size_t n, int flags, void *userdata) {
        WebSocket *w = userdata;
        ssize_t k;

        if (w->malformed && n == 2 && data[0] == 0x88 && data[1] == 0)
                k = send_why(w);
        else
                k = send(w->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));
        if (k > 0) {
                w->stuck = 0;
                return k;
        }
        w->broken |= k < 0 && errno != EAGAIN && errno != EINTR;
        wslay_event_set_error(frames, w->broken ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
        return -1;
}

static void on_message(wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *arg, void *userdata) {
        WebSocket *w = userdata;

        (void) frames;
        w->malformed |= arg->opcode == WSLAY_CONNECTION_CLOSE && arg->msg_length == 1; /* half a code */
        if (!wslay_is_ctrl_frame(arg->opcode) && w->close_code == 0)
                w->handler.on_message(w, arg->opcode == WSLAY_TEXT_FRAME, (const char *) arg->msg, arg->msg_length,
                                      w->handler.userdata);
}

static void end(WebSocket *w) {
        if (w->over)
                return;
        w->over = true;
        w->io = sd_event_source_disable_unref(w->io);
        w->timer = sd_event_source_disable_unref(w->timer);
        upgrade_close(w->upgrade);
}

static void receive(WebSocket *w) {
        w->received = 0;
        if (wslay_event_get_read_enabled(w->frames) && wslay_event_recv(w->frames) < 0) {
                w->malformed = true; /* unless it is broken */
                wslay_event_shutdown_read(w->frames);
        }
}

static void flush(WebSocket *w) {
        if (wslay_event_want_write(w->frames) && wslay_event_send(w->frames) < 0)
                w->broken = true;
        if (w->broken || w->close_code == 0 || wslay_event_get_queued_msg_count(w->frames) > 0)
                return;
        /* -NO_MORE_MSG: it is closed already, by the peer or for what it sent */
        if (wslay_event_queue_close(w->frames, (uint16_t) w->close_code, (const uint8_t *) w->close_reason,
                                    strlen(w->close_reason)) == 0 &&
            wslay_event_send(w->frames) < 0)
                w->broken = true;
}

static bool has_room(const WebSocket *w) {
        return w->upgrade && !w->over && !w->broken && w->close_code == 0 &&
               wslay_event_get_write_enabled(w->frames) && !wslay_event_get_close_received(w->frames) &&
               wslay_event_get_queued_msg_length(w->frames) < WEBSOCKET_QUEUE_MAX;
}

/* Fills the queue and empties it for as long as both go on, a few times: others want their turn, too. True: there may be
 * more. */
static bool produce(WebSocket *w) {
        for (unsigned i = 0; i < ROUNDS_AT_ONCE; i++) {
                if (!has_room(w))
                        return false;
                w->handler.on_room(w, w->handler.userdata);
                if (!wslay_event_want_write(w->frames) && w->close_code == 0)
                        return false;
                flush(w);
        }
        return true;
}

static void watch(WebSocket *w, bool more) {
        uint32_t events = 0;
        int r;

        if (wslay_event_want_read(w->frames) && !is_blocked(w))
                events |= EPOLLIN;
        if (wslay_event_want_write(w->frames) || more)
                events |= EPOLLOUT;
        /* A hangup is reported whether it was asked for or not: for ever, while nobody reads. */
        r = sd_event_source_set_enabled(w->io, events != 0 ? SD_EVENT_ON : SD_EVENT_OFF);
        if (r >= 0 && events != 0)
                r = sd_event_source_set_io_events(w->io, events);
        if (r < 0)
                w->broken = true;
}

/* After anything has happened. */
static void settle(WebSocket *w) {
        bool more;

        if (w->busy || w->over || !w->upgrade)
                return;
        w->busy = true;
        flush(w);
        if (w->early && !is_blocked(w)) {
                receive(w);
                flush(w);
        }
        more = produce(w);
        w->busy = false;
        if (!w->broken)
                watch(w, more);
        if (w->broken || (!wslay_event_want_read(w->frames) && !wslay_event_want_write(w->frames)))
                end(w);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        WebSocket *w = userdata;

        (void) source;
        (void) fd;
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                w->busy = true;
                receive(w);
                w->busy = false;
        }
        settle(w);
        return 0;
}

static bool is_gone(WebSocket *w) {
        if (w->close_code > 0)
                return true; /* it had its time */
        if (!is_blocked(w) && ++w->silent > SILENT_BEATS)
                return true;
        return wslay_event_want_write(w->frames) && ++w->stuck > SILENT_BEATS;
}

static int on_beat(sd_event_source *source, uint64_t usec, void *userdata) {
        static const struct wslay_event_msg ping = { .opcode = WSLAY_PING };
        WebSocket *w = userdata;

        (void) usec;
        if (is_gone(w)) {
                log_debug("A WebSocket's peer is silent, ending its connection.");
                end(w);
                return 0;
        }
        (void) sd_event_source_set_time_relative(source, w->server->times.heartbeat_usec);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (wslay_event_get_queued_msg_count(w->frames) == 0)
                (void) wslay_event_queue_msg(w->frames, &ping);
        settle(w);
        return 0;
}

static void on_opened(Upgrade *u, int fd, const char *bytes, size_t n, void *userdata) {
        WebSocket *w = userdata;
        int r = 0;

        w->upgrade = u;
        w->fd = fd;
        if (n > 0) {
                w->early = malloc(n);
                if (w->early)
                        memcpy(w->early, bytes, w->n_early = n);
                else
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_event_add_io(w->server->event, &w->io, fd, EPOLLIN, on_io, w);
        if (r >= 0)
                r = sd_event_add_time_relative(w->server->event, &w->timer, CLOCK_MONOTONIC,
                                               w->server->times.heartbeat_usec, 0, on_beat, w);
        if (r < 0)
                end(w);
        settle(w);
}

static void websocket_free(WebSocket *w) {
        sd_event_source_disable_unref(w->io);
        sd_event_source_disable_unref(w->timer);
        if (w->frames)
                wslay_event_context_free(w->frames);
        free(w->early);
        free(w);
}

/* A peer that hears of it knows that it may come back. */
static void on_free(void *userdata) {
        WebSocket *w = userdata;
        bool by_server = !w->over;

        if (by_server && w->upgrade && wslay_event_queue_close(w->frames, WEBSOCKET_GOING_AWAY, NULL, 0) == 0)
                (void) wslay_event_send(w->frames);
        w->over = true;
        w->handler.on_end(by_server, w->handler.userdata);
        websocket_free(w);
}

int websocket_accept(Request *r, size_t message_max, const WebSocketHandler *handler, WebSocket **ret) {
        static const struct wslay_event_callbacks callbacks = {
                .recv_callback = on_receive,
                .send_callback = on_send,
                .on_msg_recv_callback = on_message,
        };
        WebSocket *w;
        int result;

        w = new0(WebSocket, 1);
        if (!w)
                return -ENOMEM;
        *w = (WebSocket) { .handler = *handler, .server = r->server, .fd = -EBADF };
        result = wslay_event_context_server_init(&w->frames, &callbacks, w) < 0 ? -ENOMEM : 0;
        if (result >= 0) {
                wslay_event_config_set_max_recv_msg_length(w->frames, message_max);
                result = add_accept(r);
        }
        if (result >= 0)
                result = request_upgrade(r, "websocket", &(UpgradeHandler) { .opened = on_opened, .free = on_free,
                                                                             .userdata = w });
        if (result < 0) {
                websocket_free(w);
                return result;
        }
        *ret = w;
        return 0;
}

size_t websocket_room(const WebSocket *w) {
        return has_room(w) ? WEBSOCKET_QUEUE_MAX - wslay_event_get_queued_msg_length(w->frames) : 0;
}

int websocket_send(WebSocket *w, bool text, const void *data, size_t n) {
        const struct wslay_event_msg message = { .opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, .msg = data,
                                                 .msg_length = n };

        if (w->over || w->close_code > 0)
                return -ENOTCONN;
        switch (wslay_event_queue_msg(w->frames, &message)) {
        case 0:
                break;
        case WSLAY_ERR_NOMEM:
                return -ENOMEM;
        default:
                return -ENOTCONN;
        }
        settle(w);
        return 0;
}

void websocket_wake(WebSocket *w) {
        settle(w);
}

void websocket_pause(WebSocket *w, bool pause) {
        if (w->paused == pause)
                return;
        w->paused = pause;
        w->silent = 0;
        settle(w);
}

void websocket_close(WebSocket *w, unsigned code, const char *reason) {
        if (w->close_code > 0 || w->over)
                return;
        w->close_code = code;
        (void) snprintf(w->close_reason, sizeof w->close_reason, "%s", reason);
        w->paused = false; /* its close is waited for */
        if (w->timer) {
                (void) sd_event_source_set_time_relative(w->timer, CLOSE_USEC);
                (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
        }
        settle(w);
}
