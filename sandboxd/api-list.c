/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/usage.h"

/* Pages of the sandboxes that there are. They come from our own records, without a question to anybody, unless figures are
 * wanted with them: these are execd's. */

#define PAGE_SIZE_MAX 200
static_assert(PAGE_SIZE_MAX <= STATS_MANY_MAX, "execd must answer for a whole page");

typedef struct ListInput {
        char *status, *cursor, *labels;
        int64_t page, page_size;
        json_t *metadata;
        bool metrics;
} ListInput;

static const JsonField list_fields[] = {
        { "cursor",   JSON_FIELD_STRING, offsetof(ListInput, cursor),    0, 0, 80,
          "instead of page: nextCursor of the page before" },
        { "labels",   JSON_FIELD_STRING, offsetof(ListInput, labels),    0, 0, 4096,
          "only sandboxes whose metadata has these: name,name=value,..." },
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

/* One of "name" and "name=value". */
static bool label_matches(const json_t *metadata, const char *label, size_t n) {
        size_t n_name = strcspn(label, "="), n_value;
        const json_t *value;

        if (n_name > n)
                n_name = n;
        value = json_object_getn(metadata, label, n_name);
        if (!value || n_name == n)
                return value;
        n_value = n - n_name - 1;
        return json_string_length(value) == n_value &&
               memcmp(json_string_value(value), label + n_name + 1, n_value) == 0;
}

static bool labels_match(const json_t *metadata, const char *labels) {
        while (labels && *labels) {
                size_t n = strcspn(labels, ",");

                if (n > 0 && !label_matches(metadata, labels, n))
                        return false;
                labels += n + (labels[n] == ',');
        }
        return true;
}

static bool list_matches(const ListInput *input, const Sandbox *s, uint64_t now) {
        const char *key;
        json_t *value;

        if (s->leaving || (s->state != SANDBOX_CREATING && s->deadline_usec <= now))
                return false;
        if (input->status && !streq(input->status, sandbox_state_to_string(s->state)))
                return false;
        json_object_foreach(input->metadata, key, value)
                if (!json_equal(value, json_object_get(s->metadata, key)))
                        return false;
        return labels_match(s->metadata, input->labels);
}

/* Where a page ended: "<milliseconds>.<id>". The sandbox may be gone when the next page is asked for; then the time of
 * its creation says where to go on, and of those of the same millisecond one may come twice, but none is left out. */
typedef struct Cursor {
        Sandbox *last;          /* NULL: gone */
        uint64_t created_msec;
        bool passed;
} Cursor;

static int cursor_read(Manager *m, const char *text, Cursor *ret, sd_bus_error *error) {
        const char *dot = strchr(text, '.');
        _cleanup_free_ char *number = strndup(text, dot ? (size_t) (dot - text) : 0);
        Cursor c = {};

        if (!number)
                return -ENOMEM;
        if (!dot || parse_u64(number, &c.created_msec) < 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "cursor must be a nextCursor of a page before");
        c.last = hashmap_get(m->sandboxes, dot + 1);
        *ret = c;
        return 0;
}

/* Whether the page begins behind this one. */
static bool cursor_skips(Cursor *c, const Sandbox *s) {
        if (!c || c->passed)
                return false;
        if (!c->last && s->created_msec >= c->created_msec) {
                c->passed = true;
                return false;
        }
        c->passed = s == c->last;
        return true;
}

static json_t *cursor_to_json(const Sandbox *last) {
        return json_sprintf("%" PRIu64 ".%s", last->created_msec, last->public_id);
}

/* The page that was asked for. ids are those of the live sandboxes in it, as execd knows them; NULL: not wanted. Only
 * what is in the page is looked at closer, so that the number of the others counts for little. */
static json_t *list_to_json(Manager *m, const ListInput *input, Cursor *cursor, char ***ids) {
        int64_t first = cursor ? 0 : (input->page - 1) * input->page_size, total = 0, behind = 0;
        uint64_t now = now_usec(CLOCK_BOOTTIME);
        json_t *items = json_array(), *list;
        Sandbox *s, *last = NULL;

        HASHMAP_FOREACH(s, m->sandboxes) {
                bool skipped = cursor_skips(cursor, s);

                if (!list_matches(input, s, now))
                        continue;
                total++;
                if (skipped)
                        continue;
                if (behind >= first && behind < first + input->page_size) {
                        (void) json_array_append_new(items, sandbox_to_json(m, s));
                        if (ids && sandbox_is_live(s) && strv_extend(ids, s->id) < 0)
                                break;
                        last = s;
                }
                behind++;
        }
        list = json_pack("{s:o, s:I, s:I, s:I}", "items", items, "total", (json_int_t) total, "page",
                         (json_int_t) input->page, "pageSize", (json_int_t) input->page_size);
        if (last && behind > first + input->page_size)
                (void) json_object_set_new(list, "nextCursor", cursor_to_json(last));
        return list;
}

typedef struct ListCall {
        json_t *list;
        char **ids;             /* of those whose figures are wanted */
} ListCall;

static int answer_list(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *by_id = json_object();
        json_t *list = ((ListCall *) call->data)->list, *item;
        size_t i;
        int r;

        json_array_foreach(json_object_get(list, "items"), i, item)
                (void) json_object_set(by_id, json_string_value(json_object_get(item, "id")), item);
        r = metrics_add(call->manager, by_id, reply, error);
        return r < 0 ? r : request_reply_json(call->request, 200, json_incref(list));
}

static void free_list_call(void *data) {
        ListCall *c = data;

        json_decref(c->list);
        strv_free(c->ids);
        free(c);
}

static void on_usage(void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ApiCall *call = userdata;
        int r;

        r = execd_stats_many(call->manager->execd, ((ListCall *) call->data)->ids, api_call_done, call);
        if (r < 0) {
                (void) api_unavailable(r, &error);
                api_call_fail(call, &error);
        }
}

/* One call for the whole page, however long it is. */
static int list_with_metrics(Request *request, const ListInput *input, Cursor *cursor, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, NULL);
        ListCall *c = new0(ListCall, 1);

        (void) error;
        if (!call || !c) {
                free(c);
                return -ENOMEM;
        }
        c->list = list_to_json(call->manager, input, cursor, &c->ids);
        call->data = c;
        call->free_data = free_list_call;
        call->answer = answer_list;
        if (!c->list)
                return -ENOMEM;
        if (!c->ids) {
                request_on_gone(TAKE_PTR(call->request), NULL, NULL);
                return request_reply_json(request, 200, json_incref(c->list));
        }
        usage_ask(request_userdata(request), NULL, on_usage, TAKE_PTR(call));
        return 1;
}

static int reply_list(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const ListInput *input = userdata;
        Cursor place, *cursor = NULL;
        int r;

        if (!isempty(input->cursor)) {
                r = cursor_read(m, input->cursor, &place, error);
                if (r < 0)
                        return r;
                cursor = &place;
        }
        if (input->metrics)
                return list_with_metrics(request, input, cursor, error);
        return request_reply_json(request, 200, list_to_json(m, input, cursor, NULL));
}

int api_sandbox_list(Request *request, sd_bus_error *error) {
        static const ApiInput route = { list_fields, ELEMENTSOF(list_fields), reply_list };

        return api_with_input(request, &route, &(ListInput) { .page = 1, .page_size = 20 }, error);
}
