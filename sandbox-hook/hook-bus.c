/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-hook/hook-bus.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"

/* io.sandboxd.Hook1: one method. What is sent was made, and signed, by sandboxd; here it is only looked at for what
 * would make it another request. */

#define HEADERS_MAX 32U
#define URL_MAX 4096U
#define TIMEOUT_MAX_USEC (300 * USEC_PER_SEC)

typedef struct Post {
        sd_bus_message *call;
        Service *service;
} Post;

static void post_free(Post *p) {
        sd_bus_message_unref(p->call);
        service_release(p->service);
        free(p);
}

/* Whoever asked may be gone: then the reply goes nowhere, and he asks again. */
static void on_transferred(unsigned status, const char *error, void *userdata) {
        _cleanup_free_ char *clean = utf8_sanitize(error, strlen(error));
        Post *p = userdata;

        (void) sd_bus_reply_method_return(p->call, "us", status, clean ?: "");
        post_free(p);
}

static bool is_visible(const char *s) {
        for (; *s; s++)
                if ((unsigned char) *s < 0x20 || *s == 0x7f)
                        return false;
        return true;
}

static int read_headers(sd_bus_message *m, char ***ret, sd_bus_error *error) {
        _cleanup_strv_free_ char **headers = NULL;
        const char *name, *value;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(ss)");
        while (r >= 0 && (r = sd_bus_message_read(m, "(ss)", &name, &value)) > 0) {
                char *line;

                if (!is_visible(name) || !is_visible(value) || isempty(name) || strpbrk(name, ": ;") ||
                    strv_length(headers) >= HEADERS_MAX)
                        return bus_error_set(error, BUS_ERROR_INVALID, "These headers cannot be sent.");
                if (asprintf(&line, "%s: %s", name, value) < 0)
                        return -ENOMEM;
                r = strv_consume(&headers, line);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(headers);
        return 0;
}

static int start(HookBus *h, sd_bus_message *m, TransferOptions *options, sd_bus_error *error) {
        Post *p = new0(Post, 1);
        int r;

        if (!p)
                return -ENOMEM;
        *p = (Post) { .call = sd_bus_message_ref(m), .service = h->service };
        service_hold(p->service);
        options->callback = on_transferred;
        options->userdata = p;
        r = transfer_start(h->pool, options);
        if (r >= 0)
                return 1;
        post_free(p);
        if (r == -EBUSY)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Too many requests are under way.");
        if (r == -EINVAL)
                return bus_error_set(error, BUS_ERROR_INVALID, "The URL cannot be meant.");
        return r;
}

static int method_post(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **headers = NULL;
        TransferOptions options = {};
        int r;

        r = sd_bus_message_read_basic(m, 's', &options.url);
        if (r >= 0)
                r = read_headers(m, &headers, error);
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &options.body, &options.n_body);
        if (r >= 0)
                r = sd_bus_message_read_basic(m, 't', &options.timeout_usec);
        if (r < 0)
                return r;
        if (options.n_body > TRANSFER_BODY_MAX || strlen(options.url) > URL_MAX ||
            options.timeout_usec < USEC_PER_MSEC || options.timeout_usec > TIMEOUT_MAX_USEC)
                return bus_error_set(error, BUS_ERROR_INVALID, "The URL, the body or the time is too large.");
        options.headers = headers;
        return start(userdata, m, &options, error);
}

/* The server admits root and sandboxd only, hence UNPRIVILEGED. */
const sd_bus_vtable hook_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Post", SD_BUS_ARGS("s", url, "a(ss)", headers, "ay", body, "t", timeout_usec),
                                SD_BUS_RESULT("u", status, "s", error), method_post, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};
