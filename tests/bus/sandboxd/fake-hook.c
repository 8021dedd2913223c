/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bus/sandboxd/fake-hook.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

static void open_server(FakeHook *f);

static int on_crash(sd_event_source *source, void *userdata) {
        FakeHook *f = userdata;

        (void) source;
        f->server = bus_server_free(f->server);
        open_server(f);
        return 0;
}

static void crash(FakeHook *f) {
        sd_event_source *source;

        f->cut = false;
        ASSERT_OK(sd_event_add_defer(service_event(f->service), &source, on_crash, f));
        ASSERT_OK(sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT));
        ASSERT_OK(sd_event_source_set_floating(source, true));
        sd_event_source_unref(source);
}

static char *read_headers(sd_bus_message *m) {
        const char *name, *value;
        char *text = strdup("");

        ASSERT_OK(sd_bus_message_enter_container(m, 'a', "(ss)"));
        while (ASSERT_OK(sd_bus_message_read(m, "(ss)", &name, &value)) > 0) {
                char *longer;

                ASSERT_TRUE(asprintf(&longer, "%s%s: %s\n", text, name, value) > 0);
                free(text);
                text = longer;
        }
        ASSERT_OK(sd_bus_message_exit_container(m));
        return text;
}

static int method_post(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeHook *f = userdata;
        FakePost *p = f->posts + f->n_posts++;
        const char *url;
        const void *body;
        uint64_t timeout;
        size_t n;

        (void) error;
        ASSERT_TRUE(f->n_posts <= FAKE_HOOK_POSTS_MAX);
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &url));
        p->url = strdup(url);
        p->headers = read_headers(m);
        ASSERT_OK(sd_bus_message_read_array(m, 'y', &body, &n));
        p->body = strndup(body, n);
        ASSERT_OK(sd_bus_message_read_basic(m, 't', &timeout));
        ASSERT_TRUE(timeout > 0);
        if (f->cut) {
                crash(f);
                return 1;
        }
        if (f->deaf_url && streq(f->deaf_url, url)) {
                p->call = sd_bus_message_ref(m);
                return 1;
        }
        if (f->n_failures > 0) {
                f->n_failures--;
                return sd_bus_reply_method_return(m, "us", 500U, "");
        }
        return sd_bus_reply_method_return(m, "us", f->status, f->status > 0 ? "" : f->error);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Post", "sa(ss)ayt", "us", method_post, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, HOOK_OBJECT, HOOK_INTERFACE, vtable, userdata);
}

static void open_server(FakeHook *f) {
        BusServerOptions options = { .service = f->service, .listen_fd = f->listen_fd, .on_connect = on_connect,
                                     .userdata = f };

        ASSERT_OK(bus_server_new(&options, &f->server));
}

void fake_hook_start(FakeHook *f, Service *service, const char *directory) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *f = (FakeHook) { .service = service, .status = 200, .error = "" };
        assert_true(snprintf(f->path, sizeof f->path, "%s/hook.sock", directory) < (int) sizeof f->path);
        memcpy(address.sun_path, f->path, sizeof f->path);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 16), 0);
        open_server(f);
}

void fake_hook_stop(FakeHook *f) {
        for (size_t i = 0; i < f->n_posts; i++) {
                free(f->posts[i].url);
                free(f->posts[i].body);
                free(f->posts[i].headers);
                sd_bus_message_unref(f->posts[i].call);
        }
        f->server = bus_server_free(f->server);
        safe_close(f->listen_fd);
}

const char *fake_post_header(const FakePost *p, const char *name, char ret[256]) {
        size_t n = strlen(name);

        ret[0] = 0;
        for (const char *line = p->headers; line && *line; line = strchr(line, '\n') + 1)
                if (strncmp(line, name, n) == 0 && line[n] == ':')
                        (void) snprintf(ret, 256, "%.*s", (int) strcspn(line + n + 2, "\n"), line + n + 2);
        return ret;
}
