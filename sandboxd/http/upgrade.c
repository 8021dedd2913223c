/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/upgrade.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/http-private.h"

/* libmicrohttpd keeps the connection as a suspended one, off its epoll, and lends us the socket. It closes it, and
 * tells of its end by the same callbacks as of any other, in the MHD_run() after we gave it back. It must have all of
 * them back before it is stopped. */

struct Upgrade {
        UpgradeHandler handler;
        Request *request;
        struct MHD_UpgradeResponseHandle *handle; /* NULL: not handed over yet, or given back */
        bool closing;
};

static bool list_has(const char *list, const char *word) {
        size_t n = strlen(word);

        while (list && *list) {
                size_t length;

                list += strspn(list, ", \t");
                length = strcspn(list, ", \t");
                if (length == n && strncasecmp(list, word, n) == 0)
                        return true;
                list += length;
        }
        return false;
}

typedef struct Wanted {
        const char *header, *word;
        bool found;
} Wanted;

static enum MHD_Result look_at(void *userdata, enum MHD_ValueKind kind, const char *key, const char *value) {
        Wanted *w = userdata;

        (void) kind;
        w->found |= strcasecmp(key, w->header) == 0 && list_has(value, w->word);
        return MHD_YES;
}

/* A header that is a list may stand there more than once: that is one list. */
static bool header_has(const Request *r, const char *header, const char *word) {
        Wanted w = { .header = header, .word = word };

        (void) MHD_get_connection_values(r->connection->mhd, MHD_HEADER_KIND, look_at, &w);
        return w.found;
}

bool request_wants_upgrade(const Request *r, const char *protocol) {
        return r->http_1_1 && !r->head.has_body && header_has(r, MHD_HTTP_HEADER_CONNECTION, "upgrade") &&
               header_has(r, MHD_HTTP_HEADER_UPGRADE, protocol);
}

static void give_back(Upgrade *u) {
        if (MHD_upgrade_action(TAKE_PTR(u->handle), MHD_UPGRADE_ACTION_CLOSE) != MHD_YES)
                http_connection_shut(u->request->connection);
        /* Nothing becomes readable by that. */
        (void) sd_event_source_set_enabled(u->request->server->mhd_defer, SD_EVENT_ONESHOT);
}

void upgrade_close(Upgrade *u) {
        u->closing = true;
        if (u->handle)
                give_back(u);
}

static void on_upgrade(void *userdata, struct MHD_Connection *connection, void *context, const char *bytes, size_t n,
                       MHD_socket fd, struct MHD_UpgradeResponseHandle *handle) {
        Upgrade *u = userdata;
        Request *r = u->request;
        int one = 1;

        (void) connection;
        (void) context;
        r->phase = REQUEST_UPGRADED;
        http_connection_forget_watch(r->connection);
        http_audit(r, r->status); /* the end may be far away */
        http_request_tell_outcome(r, r->status);
        (void) fd_set_nonblock(fd, true);
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a key is a packet */
        u->handle = handle;
        if (!u->closing)
                u->handler.opened(u, fd, bytes, n, u->handler.userdata);
        else
                give_back(u);
}

int request_upgrade(Request *r, const char *protocol, const UpgradeHandler *handler) {
        struct MHD_Response *response;
        Upgrade *u;
        int result;

        if (r->head.has_body || !r->http_1_1)
                return -EINVAL;
        if (r->response || r->upgrade)
                return -EALREADY;
        u = new0(Upgrade, 1);
        if (!u)
                return -ENOMEM;
        *u = (Upgrade) { .request = r, .handler = *handler };
        response = MHD_create_response_for_upgrade(on_upgrade, u);
        if (response)
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, protocol);
        result = http_take_response(r, MHD_HTTP_SWITCHING_PROTOCOLS, /* content_type= */ NULL, response);
        if (result < 0) {
                free(u);
                return result;
        }
        r->upgrade = u;
        return 0;
}

bool http_upgrade_abort(Request *r) {
        if (r->phase != REQUEST_UPGRADED)
                return false;
        upgrade_close(r->upgrade);
        return true;
}

void http_upgrade_done(Request *r) {
        Upgrade *u = TAKE_PTR(r->upgrade);

        if (!u)
                return;
        u->handler.free(u->handler.userdata);
        /* What was sent last must not be lost to the reset that unread bytes would make of our close. */
        if (r->phase == REQUEST_UPGRADED) {
                (void) shutdown(r->connection->fd, SHUT_WR);
                r->connection->linger = true;
        }
        free(u);
}
