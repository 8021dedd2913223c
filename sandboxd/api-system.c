/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/openapi.h"
#include "sandboxd/removal.h"

/* Routes that concern no single sandbox. /health tells nothing but that we serve: it is open to everybody. */

int api_health(Request *request, sd_bus_error *error) {
        (void) error;
        return request_reply_json(request, 200, json_pack("{s:s}", "status", "healthy"));
}

static int answer_service(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return request_reply_json(call->request, 200,
                                  json_pack("{s:s, s:s}", "status", "healthy", "service",
                                            request_path_value(call->request, "service")));
}

/* One empty call over the bus and back: whether a service can be reached, and how long the way to it is. */
int api_health_service(Request *request, sd_bus_error *error) {
        const char *service = request_path_value(request, "service");
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        int r;

        if (!streq(service, "exec") && !streq(service, "files"))
                return bus_error_set(error, BUS_ERROR_NO_SUCH_FILE, "Service not found: %s", service);
        call = api_call_new(request, NULL);
        if (!call)
                return -ENOMEM;
        call->answer = answer_service;
        if (streq(service, "exec"))
                r = execd_ping(call->manager->execd, api_call_done, call);
        else
                r = fsd_ping(call->manager->fsd, api_call_done, call);
        return api_call_sent(&call, r, error);
}

int api_sweep(Request *request, sd_bus_error *error) {
        (void) error;
        return request_reply_json(request, 200, json_pack("{s:I}", "swept",
                                                          (json_int_t) removal_sweep(request_userdata(request))));
}

static int answer_images(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *images = json_array();
        const char *name, *kind, *source;
        int usable, r;

        (void) error;
        r = sd_bus_message_enter_container(reply, 'a', "(sssb)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sssb)", &name, &kind, &source, &usable)) > 0)
                if (json_array_append_new(images, json_pack("{s:s, s:s, s:s, s:b}", "name", name, "kind", kind,
                                                            "source", source, "usable", usable)) < 0)
                        return -ENOMEM;
        if (r < 0)
                return r;
        return request_reply_json(call->request, 200, json_pack("{s:O}", "images", images));
}

int api_images(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, NULL);
        int r;

        if (!call)
                return -ENOMEM;
        call->answer = answer_images;
        r = fsd_list_images(call->manager->fsd, api_call_done, call);
        return api_call_sent(&call, r, error);
}

/* The same for everybody and for as long as we run: the prefix is fixed, the tables are the program's. */
static int make_openapi(Manager *m) {
        _cleanup_(json_decrefp) json_t *document = NULL;
        _cleanup_free_ char *prefix = NULL;

        if (m->openapi)
                return 0;
        prefix = path_prefix(m->settings.api_prefix);
        if (!prefix)
                return -ENOMEM;
        document = openapi_make(prefix);
        m->openapi = document ? json_dumps(document, JSON_COMPACT) : NULL;
        return m->openapi ? 0 : -ENOMEM;
}

int api_openapi(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        char *copy;
        int r;

        (void) error;
        r = make_openapi(m);
        if (r < 0)
                return r;
        copy = strdup(m->openapi);
        return copy ? request_reply_bytes(request, 200, "application/json", copy, strlen(copy)) : -ENOMEM;
}
