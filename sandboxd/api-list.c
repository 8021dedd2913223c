/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/string-util.h"
#include "sandboxd/api.h"

/* Pages of the sandboxes that there are. They come from our own records, without a question to anybody, unless figures are
 * wanted with them: these are execd's. */

#define PAGE_SIZE_MAX 200
static_assert(PAGE_SIZE_MAX <= STATS_MANY_MAX, "execd must answer for a whole page");

typedef struct ListInput {
        char *status;
        int64_t page, page_size;
        json_t *metadata;
        bool metrics;
} ListInput;

static const JsonField list_fields[] = {
        { "metadata", JSON_FIELD_OBJECT, offsetof(ListInput, metadata),  JSON_FIELD_LENIENT, 0, 0,
          "only sandboxes with these values" },
        { "metrics",  JSON_FIELD_BOOL,   offsetof(ListInput, metrics),   JSON_FIELD_LENIENT, 0, 0,
          "with what each of them uses" },
        { "page",     JSON_FIELD_INT,    offsetof(ListInput, page),      JSON_FIELD_CLAMP, 1, 1000000,
          "from 1" },
        { "pageSize", JSON_FIELD_INT,    offsetof(ListInput, page_size), JSON_FIELD_CLAMP, 1, PAGE_SIZE_MAX,
          "sandboxes a page" },
        { "status",   JSON_FIELD_STRING, offsetof(ListInput, status),    JSON_FIELD_LENIENT, 0, 0,
          "only sandboxes in this state" },
};
const JsonTable sandbox_list_table = JSON_TABLE(list_fields);

static bool list_matches(const ListInput *input, const Sandbox *s) {
        const char *key;
        json_t *value;

        if (s->leaving || (s->state != SANDBOX_CREATING && sandbox_is_expired(s)))
                return false;
        if (input->status && !streq(input->status, sandbox_state_to_string(s->state)))
                return false;
        json_object_foreach(input->metadata, key, value)
                if (!json_equal(value, json_object_get(s->metadata, key)))
                        return false;
        return true;
}

/* The page that was asked for. ids are those of the live sandboxes in it, as execd knows them; NULL: not wanted. */
static json_t *list_to_json(Manager *m, const ListInput *input, char ***ids) {
        int64_t first = (input->page - 1) * input->page_size, total = 0;
        json_t *items = json_array();
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes) {
                if (!list_matches(input, s))
                        continue;
                if (total >= first && total < first + input->page_size) {
                        (void) json_array_append_new(items, sandbox_to_json(m, s));
                        if (ids && sandbox_is_live(s) && strv_extend(ids, s->id) < 0)
                                break;
                }
                total++;
        }
        return json_pack("{s:o, s:I, s:I, s:I}", "items", items, "total", (json_int_t) total, "page",
                         (json_int_t) input->page, "pageSize", (json_int_t) input->page_size);
}

static int answer_list(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *by_id = json_object();
        json_t *list = call->data, *item;
        size_t i;
        int r;

        json_array_foreach(json_object_get(list, "items"), i, item)
                (void) json_object_set(by_id, json_string_value(json_object_get(item, "id")), item);
        r = metrics_add(call->manager, by_id, reply, error);
        return r < 0 ? r : request_reply_json(call->request, 200, json_incref(list));
}

static void free_json(void *data) {
        json_decref(data);
}

/* One call for the whole page, however long it is. */
static int list_with_metrics(Request *request, const ListInput *input, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, NULL);
        _cleanup_strv_free_ char **ids = NULL;
        int r;

        if (!call)
                return -ENOMEM;
        call->data = list_to_json(call->manager, input, &ids);
        call->free_data = free_json;
        call->answer = answer_list;
        if (!call->data)
                return -ENOMEM;
        if (!ids) {
                request_on_gone(TAKE_PTR(call->request), NULL, NULL);
                return request_reply_json(request, 200, json_incref(call->data));
        }
        r = execd_stats_many(call->manager->execd, ids, api_call_done, call);
        return api_call_sent(&call, r, error);
}

static int reply_list(Request *request, void *userdata, sd_bus_error *error) {
        const ListInput *input = userdata;

        if (input->metrics)
                return list_with_metrics(request, input, error);
        return request_reply_json(request, 200, list_to_json(request_userdata(request), input, NULL));
}

int api_sandbox_list(Request *request, sd_bus_error *error) {
        static const ApiInput route = { list_fields, ELEMENTSOF(list_fields), reply_list };

        return api_with_input(request, &route, &(ListInput) { .page = 1, .page_size = 20 }, error);
}
