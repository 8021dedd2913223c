/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/request.h"

/* A connection that is given out of HTTP: after a reply 101 its socket belongs to whoever asked for it, until he gives
 * it back to be closed. What comes before any handler (token, Host and Origin, limits, the log) has been as for any
 * request; its outcome, status 101, is told when the socket is handed over.
 *
 * The request stays meanwhile: the connection is counted, the daemon is not idle. No time limit of the server's holds
 * any more; who has the socket keeps his own, or a silent peer stays for ever. */

typedef struct Upgrade Upgrade;

typedef struct UpgradeHandler {
        /* The reply is sent. fd is a socket that does not block, not watched by anybody else. It is lent: to be
         * watched, read, written, shut down, but closed by upgrade_close() only. bytes are what the peer has sent
         * behind its request already, lent for this call. Perhaps never called: the peer may go away before. */
        void (*opened)(Upgrade *u, int fd, const char *bytes, size_t n, void *userdata);
        /* Exactly once, after everything else: after upgrade_close() (not from within it, but from the loop), when the
         * peer went away before opened(), when the server ends. The socket is still open in it, so that event sources
         * can be taken off and a last word be sent; it is closed right after. */
        void (*free)(void *userdata);
        void *userdata;
} UpgradeHandler;

/* Whether the client asks for this protocol: HTTP/1.1, no body, and both headers. A handler that does not ask ignores
 * them, as HTTP wants it. */
bool request_wants_upgrade(const Request *r, const char *protocol);

/* Replies 101, instead of any other reply and as late as one may be; headers of the reply are those of
 * request_add_header(), protocol is the one named in "Upgrade:". Takes userdata over only on success; a request for
 * which request_wants_upgrade() is false is -EINVAL. A request_on_gone() is to be taken back before. */
int request_upgrade(Request *r, const char *protocol, const UpgradeHandler *handler);

/* The end of the connection; once is enough, more is no harm until free() was called. */
void upgrade_close(Upgrade *u);
