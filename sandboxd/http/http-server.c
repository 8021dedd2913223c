/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/http-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/http-private.h"

/* libmicrohttpd gives its epoll descriptor to our loop and runs when that is readable, when it asks for a time, or
 * when we resumed one of its connections. It has no listening socket, no thread, and no time limits of its own. */

/* Per connection; a head of HTTP_HEAD_MAX and its table of headers must fit, or libmicrohttpd answers for us. */
#define POOL_BYTES (32 * KiB)
#define ACCEPTS_AT_ONCE 64U
#define STEPS_MAX 4U
/* The kernel gives the lowest free number to a new descriptor, so its number says how many of all there are in use, by
 * connections, commands or anything else. The last ones are never a connection's: they are for what those who are in
 * still ask for. The ones before are for telling more clients to come back later. */
#define DESCRIPTORS_RESERVED 16U
#define DESCRIPTORS_REFUSING 16U
#define DESCRIPTORS_MOST (1U << 20)

static enum MHD_Result on_access(void *userdata, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data, size_t *n,
                                 void **context) {
        (void) userdata;
        (void) connection;
        return *context ? http_request_access(*context, method, url, version, data, n) : MHD_NO;
}

/* Called when the request line is there: the only place where the target is seen as it was sent. */
static void *on_request_line(void *userdata, const char *target, struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info;

        (void) userdata;
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        return info && info->socket_context ? http_request_new(info->socket_context, target) : NULL;
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
        (void) userdata;
        (void) connection;
        (void) code;
        if (*context)
                http_request_completed(*context);
        *context = NULL;
}

/* The target is decoded by us, after it was split. */
static size_t keep_escapes(void *userdata, struct MHD_Connection *connection, char *text) {
        (void) userdata;
        (void) connection;
        return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *userdata, const char *format, va_list ap) {
        char text[256];

        (void) userdata;
        (void) vsnprintf(text, sizeof text, format, ap);
        text[strcspn(text, "\r\n")] = 0;
        log_debug("libmicrohttpd: %s", text);
}

int http_server_run(HttpServer *h) {
        MHD_UNSIGNED_LONG_LONG msec;
        enum MHD_Result pending;
        unsigned n = 0;

        /* A reply takes it several steps, "at once" each. A turn of our loop between them would be of no use. */
        do {
                /* Before it reads them we must have seen the first bytes of a further request: its time runs from
                 * there. */
                http_connections_dispatch(h);
                (void) MHD_run(h->mhd);
                pending = MHD_get_timeout(h->mhd, &msec);
        } while (pending == MHD_YES && msec == 0 && ++n < STEPS_MAX);
        if (pending != MHD_YES) /* nothing pending: do not wake us */
                return sd_event_source_set_enabled(h->mhd_timer, SD_EVENT_OFF);
        if (msec == 0) { /* at once is no matter of time: arming and reading a timer would cost two system calls */
                (void) sd_event_source_set_enabled(h->mhd_timer, SD_EVENT_OFF);
                return sd_event_source_set_enabled(h->mhd_defer, SD_EVENT_ONESHOT);
        }

        (void) sd_event_source_set_time_relative(h->mhd_timer, msec * USEC_PER_MSEC);
        return sd_event_source_set_enabled(h->mhd_timer, SD_EVENT_ONESHOT);
}

static int on_mhd_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) source;
        (void) fd;
        (void) events;
        return http_server_run(userdata);
}

static int on_mhd_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        return http_server_run(userdata);
}

static int on_mhd_defer(sd_event_source *source, void *userdata) {
        (void) source;
        return http_server_run(userdata);
}

/* How many descriptors we may have at all. */
static size_t descriptors_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > DESCRIPTORS_MOST)
                return DESCRIPTORS_MOST;
        return limit.rlim_cur;
}

static int start_mhd(HttpServer *h) {
        const union MHD_DaemonInfo *info;
        int r;

        h->mhd = MHD_start_daemon(
                MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ITC |
                        MHD_USE_ERROR_LOG,
                0, NULL, NULL, on_access, h,
                MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                MHD_OPTION_STRICT_FOR_CLIENT, http_must_compare_bytes() ? 0 : 1,
                MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                /* Ours comes first, and may change. */
                MHD_OPTION_CONNECTION_LIMIT, DESCRIPTORS_MOST,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) POOL_BYTES,
                MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                MHD_OPTION_NOTIFY_CONNECTION, http_connection_notify, h,
                MHD_OPTION_URI_LOG_CALLBACK, on_request_line, h,
                MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
                MHD_OPTION_END);
        if (!h->mhd)
                return log_error_errno(-EIO, "Failed to start libmicrohttpd.");
        info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info)
                return log_error_errno(-EIO, "libmicrohttpd has no epoll descriptor.");

        r = sd_event_add_io(h->event, &h->mhd_source, info->epoll_fd, EPOLLIN, on_mhd_readable, h);
        if (r >= 0)
                r = sd_event_add_time_relative(h->event, &h->mhd_timer, CLOCK_MONOTONIC, 0, 1, on_mhd_timer, h);
        if (r >= 0)
                r = sd_event_add_defer(h->event, &h->mhd_defer, on_mhd_defer, h);
        if (r >= 0)
                r = sd_event_source_set_enabled(h->mhd_defer, SD_EVENT_OFF);
        return r;
}

static int on_watch(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) source;
        (void) fd;
        (void) events;
        http_connections_dispatch(userdata);
        return 0;
}

static int start_watching(HttpServer *h) {
        h->watch_fd = epoll_create1(EPOLL_CLOEXEC);
        if (h->watch_fd < 0)
                return -errno;
        return sd_event_add_io(h->event, &h->watch_source, h->watch_fd, EPOLLIN, on_watch, h);
}

static bool is_loopback(const struct sockaddr_storage *address) {
        const struct sockaddr_in *in = (const struct sockaddr_in *) address;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address;

        if (address->ss_family == AF_INET)
                return ntohl(in->sin_addr.s_addr) >> 24 == 127;
        return address->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static void format_peer(int fd, const struct sockaddr_storage *address, ListenerKind kind, char ret[static 64]) {
        struct ucred cred = { .uid = (uid_t) -1 };
        socklen_t size = sizeof cred;
        const void *bytes = &((const struct sockaddr_in *) address)->sin_addr;

        if (kind == LISTENER_UNIX) {
                (void) getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size);
                snprintf(ret, 64, "unix:%u", (unsigned) cred.uid);
                return;
        }
        if (address->ss_family == AF_INET6)
                bytes = &((const struct sockaddr_in6 *) address)->sin6_addr;
        if (!inet_ntop(address->ss_family, bytes, ret, 64))
                strcpy(ret, "?");
}

static void refuse_connection(HttpServer *h, int fd) {
        if (!h->refusal_logged)
                log_warning("There are %zu connections, refusing more.", h->n_connections);
        h->refusal_logged = h->refused = true;
        http_send_raw(fd, 503, "application/json", "{\"error\":\"Too many connections\"}");
        if ((size_t) fd + DESCRIPTORS_RESERVED < h->descriptors_max)
                http_linger(h, fd);
        else
                safe_close(fd);
}

static bool is_full(const HttpServer *h, int fd) {
        return h->n_connections >= h->connections_max ||
               (size_t) fd + DESCRIPTORS_RESERVED + DESCRIPTORS_REFUSING >= h->descriptors_max;
}

static int accept_one(HttpListener *l) {
        struct sockaddr_storage address = {};
        socklen_t size = sizeof address;
        HttpServer *h = l->server;
        char peer[64];
        int fd;

        fd = accept4(l->fd, (struct sockaddr *) &address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return -errno;
        /* Taken from the queue all the same: a connection that stays there would wake us for ever. */
        if (is_full(h, fd)) {
                refuse_connection(h, fd);
                return 0;
        }
        format_peer(fd, &address, l->kind, peer);
        return http_connection_new(h, fd, l->kind, peer);
}

static void pause_accept(HttpServer *h, bool pause) {
        for (size_t i = 0; i < h->n_listeners; i++)
                (void) sd_event_source_set_enabled(h->listeners[i].source, pause ? SD_EVENT_OFF : SD_EVENT_ON);
        h->accept_paused = pause;
}

static int on_listener(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        HttpListener *l = userdata;
        int r = 0;

        (void) source;
        (void) fd;
        (void) events;
        for (size_t i = 0; r >= 0 && i < ACCEPTS_AT_ONCE; i++)
                r = accept_one(l);
        if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS) {
                /* The connection stays in the queue and the socket readable: come back with the next sweep. */
                log_warning_errno(r, "Failed to accept a connection, waiting a moment: %m");
                pause_accept(l->server, true);
                (void) sd_event_source_set_enabled(l->server->sweep_timer, SD_EVENT_ONESHOT);
        }
        return 0;
}

static int add_listener(HttpServer *h, int fd, bool expect_unix) {
        HttpListener *l = h->listeners + h->n_listeners;
        struct sockaddr_storage address = {};
        socklen_t size = sizeof address;
        int r;

        if (h->n_listeners == HTTP_LISTENERS_MAX)
                return -E2BIG;
        if (getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return -errno;
        if ((address.ss_family == AF_UNIX) != expect_unix)
                return -EAFNOSUPPORT;

        *l = (HttpListener) { .server = h, .fd = fd };
        l->kind = expect_unix ? LISTENER_UNIX : is_loopback(&address) ? LISTENER_LOOPBACK : LISTENER_OTHER;
        if (l->kind == LISTENER_OTHER && !auth_is_enabled(h->options.auth))
                return log_error_errno(-EPERM, "A socket listens beyond loopback, but no token is configured: set "
                                               "III_AUTH_TOKEN, API_KEY or the credential 'tokens'.");

        r = fd_set_nonblock(fd, true);
        if (r < 0)
                return r;
        r = sd_event_add_io(h->event, &l->source, fd, EPOLLIN, on_listener, l);
        if (r < 0)
                return r;
        h->n_listeners++;
        return 0;
}

static int add_listeners(HttpServer *h) {
        const HttpServerOptions *o = &h->options;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < o->n_tcp; i++)
                r = add_listener(h, o->tcp_fds[i], /* expect_unix= */ false);
        for (size_t i = 0; r >= 0 && i < o->n_unix; i++)
                r = add_listener(h, o->unix_fds[i], /* expect_unix= */ true);
        if (r >= 0 && o->n_tcp > 0 && !auth_is_enabled(o->auth))
                log_warning("No token is configured: every local user may use the API.");
        return r;
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpServer *h = userdata;

        (void) usec;
        if (h->accept_paused)
                pause_accept(h, false);
        http_connections_sweep(h);
        if (!h->refused) /* for a whole turn: the next time is worth a line again */
                h->refusal_logged = false;
        h->refused = false;
        if (h->n_connections == 0)
                return 0;
        (void) sd_event_source_set_time_relative(source, h->times.sweep_usec);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* What depends on settings that a reload may change. */
static int apply_settings(HttpServer *h) {
        h->connections_max = h->options.settings->connections_max;
        return http_rates_apply(h);
}

bool http_server_can_use(const HttpServer *h, const Auth *auth) {
        for (size_t i = 0; i < h->n_listeners; i++)
                if (h->listeners[i].kind == LISTENER_OTHER && !auth_is_enabled(auth))
                        return false;
        return true;
}

int http_server_reload(HttpServer *h, Auth *auth) {
        assert(http_server_can_use(h, auth));

        h->options.auth = auth;
        return apply_settings(h);
}

int http_server_new(const HttpServerOptions *options, HttpServer **ret) {
        _cleanup_(http_server_freep) HttpServer *h = NULL;
        int r;

        assert(options);
        assert(options->settings);
        assert(options->auth);
        assert(ret);

        h = new0(HttpServer, 1);
        if (!h)
                return log_oom();
        h->options = *options;
        h->times = options->times ? *options->times : http_times_default;
        h->event = sd_event_ref(options->event ? options->event : service_event(options->service));
        h->descriptors_max = descriptors_limit();
        h->watch_fd = -EBADF;

        r = start_watching(h);
        if (r >= 0)
                r = start_mhd(h);
        if (r >= 0)
                r = apply_settings(h);
        if (r >= 0)
                r = sd_event_add_time_relative(h->event, &h->sweep_timer, CLOCK_MONOTONIC, h->times.sweep_usec,
                                               h->times.sweep_usec / 10, on_sweep, h);
        if (r >= 0)
                r = sd_event_source_set_enabled(h->sweep_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = add_listeners(h);
        if (r < 0)
                return log_error_errno(r, "Failed to start the HTTP server: %m");

        *ret = TAKE_PTR(h);
        return 0;
}

static void end_connections(HttpServer *h) {
        HttpConnection *c = h->connections;

        for (size_t n = h->n_connections; n > 0; n--) {
                HttpConnection *next = c->next;

                /* libmicrohttpd must not be stopped with suspended connections. */
                if (!c->mhd)
                        http_connection_free(c);
                else if (c->request)
                        http_request_abort(c->request);
                c = next;
        }
}

HttpServer *http_server_free(HttpServer *h) {
        if (!h)
                return NULL;
        for (size_t i = 0; i < h->n_listeners; i++)
                sd_event_source_disable_unref(h->listeners[i].source);
        end_connections(h);
        if (h->mhd) {
                /* takes notice of what was resumed just now */
                (void) MHD_run(h->mhd);
                MHD_stop_daemon(h->mhd);
        }
        http_linger_end_all(h);
        sd_event_source_disable_unref(h->watch_source);
        safe_close(h->watch_fd);
        sd_event_source_disable_unref(h->mhd_source);
        sd_event_source_disable_unref(h->mhd_timer);
        sd_event_source_disable_unref(h->mhd_defer);
        sd_event_source_disable_unref(h->sweep_timer);
        http_rates_done(h);
        sd_event_unref(h->event);
        free(h);
        return NULL;
}

int http_server_add_socket(HttpServer *h, int fd) {
        char peer[64] = "test";

        return http_connection_new(h, fd, LISTENER_LOOPBACK, peer);
}

size_t http_server_n_connections(const HttpServer *h) {
        return h->n_connections;
}
