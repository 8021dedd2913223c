/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/socket.h>

#include "libsandbox/bus-util.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"

/* Peer to peer over a socket of systemd's instead of a bus daemon: no third process in the path of a request, and the
 * kernel says who the peer is. Who may connect at all is decided here by uid; who may call what is decided by the
 * methods. */

/* Far more than our own programs open; a peer that leaks connections must not take all descriptors. */
#define CONNECTIONS_MAX 256U

typedef struct Connection Connection;

/* Each holds the service: a daemon with a peer connected does not leave. */
struct Connection {
        BusServer *server;
        Connection *next, *previous;
        sd_bus *bus;
        sd_event_source *first;
        uid_t uid;
};

struct BusServer {
        BusServerOptions options;
        sd_event_source *accept_source;
        Connection *connections;
        unsigned n_connections;
};

static Connection *connection_free(Connection *c) {
        BusServer *s;

        if (!c)
                return NULL;

        s = c->server;
        if (c->previous)
                c->previous->next = c->next;
        else if (s->connections == c)
                s->connections = c->next;
        if (c->next)
                c->next->previous = c->previous;
        s->n_connections--;
        sd_event_source_disable_unref(c->first);
        sd_bus_close_unref(c->bus);
        service_release(s->options.service);
        free(c);
        return NULL;
}

/* The owner is told while the bus still is a name for what hangs on it. */
static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *c = userdata;

        (void) m;
        (void) error;
        if (c->server->options.on_disconnect)
                c->server->options.on_disconnect(c->server, c->bus, c->server->options.userdata);
        connection_free(c);
        return 1;
}

/* A client may send its first call together with the last line of its authentication, as libdbus does. sd-bus has read
 * both then, and would look at the call when more bytes arrive. */
static int on_first(sd_event_source *source, void *userdata) {
        Connection *c = userdata;
        _cleanup_(sd_bus_unrefp) sd_bus *bus = sd_bus_ref(c->bus);

        /* A connection that ended is closed, and its object gone. */
        if (sd_bus_process(bus, NULL) > 0 && sd_bus_is_open(bus) > 0)
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *c = userdata;

        (void) m;
        (void) error;
        return sd_event_source_set_enabled(c->first, SD_EVENT_ONESHOT);
}

static bool uid_is_allowed(const BusServerOptions *o, uid_t uid) {
        if (uid == 0)
                return true;
        for (size_t i = 0; i < o->n_uids; i++)
                if (o->uids[i] == uid)
                        return true;
        return false;
}

static int connection_start(Connection *c, int fd) {
        sd_id128_t id;
        int r;

        r = sd_bus_new(&c->bus);
        if (r < 0) {
                safe_close(fd);
                return r;
        }

        r = sd_bus_set_fd(c->bus, fd, fd);
        if (r < 0) {
                safe_close(fd);
                return r;
        }

        r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_server(c->bus, true, id);
        if (r >= 0)
                r = sd_bus_negotiate_fds(c->bus, true);
        if (r >= 0)
                r = sd_bus_set_connected_signal(c->bus, true);
        if (r >= 0)
                r = sd_bus_start(c->bus);
        if (r >= 0)
                r = sd_bus_attach_event(c->bus, service_event(c->server->options.service), SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(c->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, c);
        if (r >= 0)
                r = sd_bus_match_signal_async(c->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                              "org.freedesktop.DBus.Local", "Connected", on_connected, NULL, c);
        if (r >= 0)
                r = sd_event_add_defer(service_event(c->server->options.service), &c->first, on_first, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->first, SD_EVENT_OFF);
        if (r >= 0)
                r = c->server->options.on_connect(c->server, c->bus, c->uid, c->server->options.userdata);
        return r;
}

static int connection_new(BusServer *s, int fd, uid_t uid) {
        Connection *c = new0(Connection, 1);
        int r;

        if (!c) {
                safe_close(fd);
                return -ENOMEM;
        }

        *c = (Connection) { .server = s, .uid = uid, .next = s->connections };
        if (s->connections)
                s->connections->previous = c;
        s->connections = c;
        s->n_connections++;
        service_hold(s->options.service);

        r = connection_start(c, fd);
        if (r < 0)
                connection_free(c);
        return r;
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata) {
        _cleanup_close_ int fd = -EBADF;
        BusServer *s = userdata;
        struct ucred cred;
        socklen_t size = sizeof cred;
        int r;

        (void) source;
        (void) revents;

        fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return 0; /* gone already, or out of descriptors: the next event tries again */

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
                return 0;
        if (!uid_is_allowed(&s->options, cred.uid)) {
                log_warning("Refused a connection of uid %u: not one of our services.", cred.uid);
                return 0;
        }
        if (s->n_connections >= CONNECTIONS_MAX) {
                log_warning("Refused a connection: %u are open.", s->n_connections);
                return 0;
        }

        r = connection_new(s, TAKE_FD(fd), cred.uid);
        if (r < 0) /* who only knocks to have us started is gone by now */
                log_full_errno(r == -ECONNRESET ? LOG_DEBUG : LOG_WARNING, r, NULL,
                               "Failed to set up a connection, ignoring: %m");
        return 0;
}

int bus_server_new(const BusServerOptions *options, BusServer **ret) {
        _cleanup_(bus_server_freep) BusServer *s = NULL;
        int r;

        assert(options);
        assert(ret);

        s = new0(BusServer, 1);
        if (!s)
                return -ENOMEM;
        s->options = *options;

        r = fd_set_nonblock(options->listen_fd, true);
        if (r < 0)
                return r;
        r = sd_event_add_io(service_event(options->service), &s->accept_source, options->listen_fd, EPOLLIN,
                            on_accept, s);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

BusServer *bus_server_free(BusServer *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->accept_source);
        while (s->connections)
                connection_free(s->connections);
        free(s);
        return NULL;
}

/* A message for each peer, as there is no bus daemon to spread it; that one of them fails keeps it from nobody else. */
int bus_server_emit(BusServer *s, const char *path, const char *interface, const char *member,
                    int (*append)(sd_bus_message *m, void *userdata), void *userdata) {
        int r, result = 0;

        for (Connection *c = s->connections; c; c = c->next) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

                r = sd_bus_message_new_signal(c->bus, &m, path, interface, member);
                if (r >= 0)
                        r = append(m, userdata);
                if (r >= 0)
                        r = sd_bus_send(c->bus, m, NULL);
                if (r < 0)
                        result = r;
        }
        return result;
}

uid_t bus_server_peer_uid(BusServer *s, sd_bus *bus) {
        for (Connection *c = s->connections; c; c = c->next)
                if (c->bus == bus)
                        return c->uid;
        return UID_INVALID;
}
