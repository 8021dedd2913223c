/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bus/sandboxd/core-fixture.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/reconcile.h"
#include "sandboxd/webhook.h"
#include "tests/test.h"

#define PATIENCE_USEC (60 * USEC_PER_SEC)

static void run_once(Core *c) {
        ASSERT_OK(sd_event_run(service_event(c->service), 100 * USEC_PER_MSEC));
}

void core_wait(Core *c, bool (*condition)(Core *c, void *userdata), void *userdata) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + PATIENCE_USEC;

        while (!condition(c, userdata)) {
                assert_true(now_usec(CLOCK_MONOTONIC) < end);
                run_once(c);
        }
}

static void on_reconciled(void *userdata) {
        Core *c = userdata;
        HttpServerOptions options = { .service = c->service, .event = service_event(c->service),
                                      .settings = &c->manager->settings, .tables = route_tables,
                                       .n_tables = n_route_tables, .auth = c->auth, .on_outcome = api_trace,
                                       .guard = &idempotency_guard, .gate = &proxy_gate, .userdata = c->manager };

        ASSERT_OK(http_server_new(&options, &c->http));
        webhooks_start(c->manager->webhooks);
        c->reconciled = true;
}

static bool is_reconciled(Core *c, void *userdata) {
        (void) userdata;
        return c->reconciled;
}

void core_start_sandboxd(Core *c) {
        ManagerOptions options = { .service = c->service, .state_directory = c->state, .execd_path = c->execd.path,
                                   .fsd_path = c->fsd.path, .hook_path = c->hook.path,
                                   .netd_path = c->no_netd ? NULL : c->netd.path, .dns_path = c->dns.path };
        Settings settings;

        ASSERT_OK(settings_init_defaults(&settings));
        settings.worker_name = strdup("worker");
        if (c->max_sandboxes > 0)
                settings.max_sandboxes = c->max_sandboxes;
        settings.pool_size = c->pool_size;
        if (c->pool_profiles)
                ASSERT_OK(free_and_strdup(&settings.pool_profiles, c->pool_profiles));
        ASSERT_OK(auth_new(&settings, NULL, &c->auth));
        ASSERT_OK(manager_new(&options, &settings, &c->manager));
        c->reconciled = false;
        reconcile_start(c->manager, on_reconciled, c);
        core_wait(c, is_reconciled, NULL);
}

void core_stop_sandboxd(Core *c) {
        manager_stop(c->manager);
        c->http = http_server_free(c->http);
        c->manager = manager_free(c->manager);
        c->auth = auth_free(c->auth);
}

void core_start(Core *c) {
        *c = (Core) { .max_sandboxes = c->max_sandboxes, .pool_size = c->pool_size, .pool_profiles = c->pool_profiles,
                       .no_netd = c->no_netd };
        log_set_max_level(getenv("TEST_VERBOSE") ? LOG_DEBUG : LOG_EMERG);
        strcpy(c->directory, "/tmp/core-XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(c->directory));
        snprintf(c->state, sizeof c->state, "%s/state", c->directory);
        ASSERT_EQ(mkdir(c->state, 0700), 0);
        ASSERT_OK(service_new(&(ServiceOptions) { .program = "test", .idle_usec = USEC_INFINITY }, &c->service));
        fake_execd_start(&c->execd, c->service, c->directory);
        fake_fsd_start(&c->fsd, c->service, c->directory);
        fake_hook_start(&c->hook, c->service, c->directory);
        fake_netd_start(&c->netd, c->service, c->directory);
        fake_dns_start(&c->dns, c->service, c->directory);
        core_start_sandboxd(c);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        return remove(path);
}

void core_stop(Core *c) {
        if (c->manager)
                core_stop_sandboxd(c);
        fake_execd_stop(&c->execd);
        fake_fsd_stop(&c->fsd);
        fake_hook_stop(&c->hook);
        fake_netd_stop(&c->netd);
        fake_dns_stop(&c->dns);
        c->service = service_free(c->service);
        ASSERT_EQ(nftw(c->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Client *client = userdata;
        char buffer[65536];
        ssize_t k;

        (void) events;
        k = read(fd, buffer, sizeof buffer);
        if (k < 0 && errno == EAGAIN)
                return 0;
        if (k <= 0) {
                client->ended = true;
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        }
        if (client->n + (size_t) k + 1 > client->allocated) {
                client->allocated = 2 * (client->n + (size_t) k + 1);
                client->data = realloc(client->data, client->allocated);
        }
        memcpy(client->data + client->n, buffer, (size_t) k);
        client->n += (size_t) k;
        client->data[client->n] = 0;
        return 0;
}

static void send_all(Client *client, const char *data, size_t n) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + PATIENCE_USEC;

        while (n > 0) {
                ssize_t k = send(client->fd, data, n, MSG_NOSIGNAL);

                if (k < 0 && errno != EAGAIN)
                        return; /* answered and closed early */
                data += MAX(k, 0);
                n -= (size_t) MAX(k, 0);
                if (n > 0)
                        run_once(client->core);
                assert_true(now_usec(CLOCK_MONOTONIC) < end);
        }
}

void client_open_raw(Core *c, Client *client, const char *method, const char *path, const char *headers,
                     const char *body, size_t n) {
        client_open_partly(c, client, method, path, headers, body, n, n);
}

void client_open_partly(Core *c, Client *client, const char *method, const char *path, const char *headers,
                        const char *body, size_t n, size_t n_announced) {
        _cleanup_free_ char *head = NULL;
        int pair[2], length;

        *client = (Client) { .core = c };
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        client->fd = pair[0];
        ASSERT_OK(http_server_add_socket(c->http, pair[1]));
        ASSERT_OK(sd_event_add_io(service_event(c->service), &client->source, client->fd, EPOLLIN, on_readable,
                                  client));
        length = asprintf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s"
                                 "Content-Length: %zu\r\n\r\n", method, path, headers, n_announced);
        assert_true(length > 0);
        send_all(client, head, (size_t) length);
        send_all(client, body, n);
}

void client_open(Core *c, Client *client, const char *method, const char *path, const char *body) {
        client_open_raw(c, client, method, path, body ? "Content-Type: application/json\r\n" : "", body ?: "",
                        body ? strlen(body) : 0);
}

void client_close(Client *client) {
        client->source = sd_event_source_disable_unref(client->source);
        client->fd = safe_close(client->fd);
        client->data = mfree(client->data);
}

static bool has_ended(Core *c, void *userdata) {
        (void) c;
        return ((Client *) userdata)->ended;
}

/* Chunked bodies are put together in place. */
static size_t join_chunks(char *body) {
        char *in = body, *out = body, *end;

        for (;;) {
                size_t n = strtoul(in, &end, 16);

                if (end == in || n == 0)
                        break;
                memmove(out, end + 2, n);
                out += n;
                in = end + 2 + n + 2;
        }
        *out = 0;
        return (size_t) (out - body);
}

void client_wait(Client *client, Reply *ret) {
        char *split;

        core_wait(client->core, has_ended, client);
        *ret = (Reply) {};
        if (!client->data) {
                client_close(client);
                return;
        }
        split = strstr(client->data, "\r\n\r\n");
        ASSERT_NOT_NULL(split);
        *split = 0;
        ret->head = strdup(client->data);
        ret->n_body = client->n - (size_t) (split + 4 - client->data);
        ret->body = malloc(ret->n_body + 1);
        memcpy(ret->body, split + 4, ret->n_body + 1);
        ASSERT_EQ(sscanf(ret->head, "HTTP/1.1 %u", &ret->status), 1);
        if (strcasestr(ret->head, "Transfer-Encoding: chunked"))
                ret->n_body = join_chunks(ret->body);
        ret->json = json_loadb(ret->body, ret->n_body, JSON_DECODE_ANY, NULL);
        client_close(client);
}

static bool text_is_there(Core *c, void *userdata) {
        void **both = userdata;
        const Client *client = both[0];

        (void) c;
        return client->ended || (client->data && strstr(client->data, both[1]));
}

void client_wait_text(Client *client, const char *text) {
        void *both[] = { client, (void *) text };

        core_wait(client->core, text_is_there, both);
        ASSERT_NOT_NULL(client->data);
        ASSERT_NOT_NULL(strstr(client->data, text));
}

void reply_done(Reply *r) {
        free(r->head);
        free(r->body);
        json_decref(r->json);
        *r = (Reply) {};
}

void core_request(Core *c, const char *method, const char *path, const char *body, Reply *ret) {
        Client client;

        client_open(c, &client, method, path, body);
        client_wait(&client, ret);
}

const char *reply_string(const Reply *r, const char *key) {
        const char *s = json_string_value(json_object_get(r->json, key));

        if (!s)
                print_error("no text '%s' in: %.400s\n", key, r->body ?: "(nothing)");
        ASSERT_NOT_NULL(s);
        return s;
}

json_int_t reply_integer(const Reply *r, const char *key) {
        json_t *value = json_object_get(r->json, key);

        if (!json_is_integer(value))
                print_error("no integer '%s' in: %.400s\n", key, r->body ?: "(nothing)");
        ASSERT_TRUE(json_is_integer(value));
        return json_integer_value(value);
}

void core_create(Core *c, char ret[40]) {
        REQUEST(c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\"}", reply);

        if (reply.status != 200)
                print_error("%s\n", reply.body);
        ASSERT_EQ(reply.status, 200);
        snprintf(ret, 40, "%s", reply_string(&reply, "id"));
}
