/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/webhook.h"

/* Routes of webhooks. The secret is in one answer, that to the request which has made the webhook. */

static int get_webhook(Request *request, Webhook **ret, sd_bus_error *error) {
        const char *id = request_path_value(request, "webhook");
        Manager *m = request_userdata(request);
        Webhook *h = webhook_find(m->webhooks, id);

        if (!h)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Webhook not found: %s", id);
        *ret = h;
        return 0;
}

typedef struct WebhookInput {
        char *url, *secret, *sandbox;
        char **topics;
        bool enabled;
} WebhookInput;

#define TOPICS_HELP "exact, or the begin of them with a '*'; default: all"

static const JsonField webhook_fields[] = {
        { "enabled",   JSON_FIELD_BOOL,   offsetof(WebhookInput, enabled), 0, 0, 0, "false: send nothing yet" },
        { "sandboxId", JSON_FIELD_STRING, offsetof(WebhookInput, sandbox), 0, 0, 0,
          "only of this sandbox; the webhook goes with it" },
        { "secret",    JSON_FIELD_STRING, offsetof(WebhookInput, secret),  JSON_FIELD_NONEMPTY, 0, WEBHOOK_SECRET_MAX,
          "key of the signatures; default: one is made" },
        { "topics",    JSON_FIELD_STRV,   offsetof(WebhookInput, topics),  JSON_FIELD_NONEMPTY, 0, 0, TOPICS_HELP },
        { "url",       JSON_FIELD_STRING, offsetof(WebhookInput, url),
          JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0, WEBHOOK_URL_MAX, "http or https, without user and password" },
};
const JsonTable webhook_table = JSON_TABLE(webhook_fields);

static const JsonField change_fields[] = {
        { "enabled",   JSON_FIELD_BOOL,   offsetof(WebhookInput, enabled), 0, 0, 0,
          "false: send nothing for now; true: go on with what has come since" },
        { "topics",    JSON_FIELD_STRV,   offsetof(WebhookInput, topics),  JSON_FIELD_NONEMPTY, 0, 0, TOPICS_HELP },
        { "url",       JSON_FIELD_STRING, offsetof(WebhookInput, url),     JSON_FIELD_NONEMPTY, 0, WEBHOOK_URL_MAX,
          "http or https, without user and password" },
};
const JsonTable webhook_change_table = JSON_TABLE(change_fields);

static int check_input(const WebhookInput *input, sd_bus_error *error) {
        if (input->url && !webhook_url_is_valid(input->url))
                return bus_error_set(error, BUS_ERROR_INVALID,
                                     "url must be of http or https, name a host and no user or password");
        if (strv_length(input->topics) > WEBHOOK_TOPICS_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "topics must be at most %u", WEBHOOK_TOPICS_MAX);
        STRV_FOREACH(t, input->topics)
                if (!webhook_topic_is_valid(*t))
                        return bus_error_set(error, BUS_ERROR_INVALID,
                                             "topics must be 1 to 128 visible characters, a '*' only at the end");
        return 0;
}

static void publish(Manager *m, const char *topic, const Webhook *h) {
        event_publish(m, topic, webhook_sandbox(h), json_pack("{s:s}", "id", webhook_id(h)));
}

static int reply_made(Request *request, const Webhook *h) {
        json_t *object = webhook_to_json(h);

        if (object)
                (void) json_object_set_new(object, "secret", json_string(webhook_secret(h)));
        return request_reply_json(request, 200, object);
}

static int create_webhook(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const WebhookInput *input = userdata;
        Webhook *h;
        int r;

        r = check_input(input, error);
        if (r < 0)
                return r;
        if (input->sandbox && !manager_find_sandbox(m, input->sandbox))
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox not found: %s", input->sandbox);
        r = webhook_add(m->webhooks, &(WebhookInit) { .url = input->url, .secret = input->secret,
                                                      .topics = input->topics, .sandbox = input->sandbox,
                                                      .enabled = input->enabled }, &h);
        if (r == -E2BIG)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum webhook limit reached: %u",
                                     m->settings.webhooks_max);
        if (r < 0)
                return r;
        publish(m, "webhook.created", h);
        return reply_made(request, h);
}

int api_webhook_create(Request *request, sd_bus_error *error) {
        static const ApiInput route = { webhook_fields, ELEMENTSOF(webhook_fields), create_webhook };

        return api_with_input(request, &route, &(WebhookInput) { .enabled = true }, error);
}

int api_webhook_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);

        (void) error;
        return request_reply_json(request, 200, json_pack("{s:o}", "webhooks", webhooks_to_json(m->webhooks)));
}

int api_webhook_get(Request *request, sd_bus_error *error) {
        Webhook *h;
        int r;

        r = get_webhook(request, &h, error);
        return r < 0 ? r : request_reply_json(request, 200, webhook_to_json(h));
}

static int change_webhook(Request *request, void *userdata, sd_bus_error *error) {
        const WebhookInput *input = userdata;
        Webhook *h;
        int r;

        r = get_webhook(request, &h, error);
        if (r >= 0)
                r = check_input(input, error);
        if (r >= 0)
                r = webhook_change(h, input->url, input->topics, input->enabled);
        if (r < 0)
                return r;
        publish(request_userdata(request), "webhook.changed", h);
        return request_reply_json(request, 200, webhook_to_json(h));
}

int api_webhook_change(Request *request, sd_bus_error *error) {
        static const ApiInput route = { change_fields, ELEMENTSOF(change_fields), change_webhook };
        Webhook *h;
        int r;

        r = get_webhook(request, &h, error);
        if (r < 0)
                return r;
        return api_with_input(request, &route, &(WebhookInput) { .enabled = webhook_is_enabled(h) }, error);
}

int api_webhook_delete(Request *request, sd_bus_error *error) {
        Webhook *h;
        int r;

        r = get_webhook(request, &h, error);
        if (r < 0)
                return r;
        publish(request_userdata(request), "webhook.deleted", h);
        r = webhook_remove(h);
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:s}", "deleted",
                                                                      request_path_value(request, "webhook")));
}

static void on_tested(unsigned status, const char *text, const sd_bus_error *bus_error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request = api_call_take_request(call, bus_error);
        json_t *object;

        if (!request)
                return;
        object = json_pack("{s:b}", "delivered", (int) (status >= 200 && status < 300));
        if (status > 0)
                (void) json_object_set_new(object, "httpStatus", json_integer(status));
        else
                (void) json_object_set_new(object, "error", json_string(text));
        (void) request_reply_json(request, 200, object);
}

int api_webhook_test(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Webhook *h;
        int r;

        r = get_webhook(request, &h, error);
        if (r < 0)
                return r;
        call = api_call_new(request, NULL);
        if (!call)
                return -ENOMEM;
        r = webhook_test(h, on_tested, call);
        return api_call_sent(&call, r, error);
}

typedef struct DeliveriesInput {
        char *status;
        int64_t limit, offset;
} DeliveriesInput;

static const JsonField deliveries_fields[] = {
        { "limit",  JSON_FIELD_INT,    offsetof(DeliveriesInput, limit),  JSON_FIELD_CLAMP, 1, 1000, "at most" },
        { "offset", JSON_FIELD_INT,    offsetof(DeliveriesInput, offset), JSON_FIELD_CLAMP, 0, 1000000, "to skip" },
        { "status", JSON_FIELD_STRING, offsetof(DeliveriesInput, status), JSON_FIELD_LENIENT, 0, 0,
          "only those that are pending, delivered or dead" },
};
const JsonTable webhook_deliveries_table = JSON_TABLE(deliveries_fields);

static int add_delivery(const StoredObject *row, void *userdata) {
        json_t *delivery = json_loads(row->record, 0, NULL);

        return delivery && json_array_append_new(userdata, delivery) == 0 ? 0 : -EBADMSG;
}

static int reply_deliveries(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        Manager *m = request_userdata(request);
        const DeliveriesInput *input = userdata;
        ObjectQuery query = { .kind = DELIVERY_KIND, .tag = input->status, .newest_first = true,
                              .limit = (uint64_t) input->limit, .offset = (uint64_t) input->offset };
        uint64_t total = 0;
        Webhook *h;
        int r;

        r = get_webhook(request, &h, error);
        if (r < 0)
                return r;
        query.sandbox = webhook_id(h);
        r = store_foreach_object(m->store, &query, add_delivery, list);
        if (r >= 0)
                r = store_count_objects(m->store, DELIVERY_KIND, query.sandbox, query.tag, &total);
        if (r < 0)
                return r;
        return request_reply_json(request, 200, json_pack("{s:O, s:I}", "deliveries", list, "total",
                                                          (json_int_t) total));
}

int api_webhook_deliveries(Request *request, sd_bus_error *error) {
        static const ApiInput route = { deliveries_fields, ELEMENTSOF(deliveries_fields), reply_deliveries };

        return api_with_input(request, &route, &(DeliveriesInput) { .limit = 50 }, error);
}
