/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/alert.h"
#include "sandboxd/api.h"

/* Routes of alerts. A sandbox that is not there has none: the contract's lists are empty then. */

typedef struct AlertInput {
        char *metric, *action;
        double threshold;
} AlertInput;

static const JsonField alert_fields[] = {
        { "action",    JSON_FIELD_STRING, offsetof(AlertInput, action),    0, 0, 16, "notify, pause or kill" },
        { "metric",    JSON_FIELD_STRING, offsetof(AlertInput, metric),    JSON_FIELD_MANDATORY, 0, 16,
          "cpu, memory, pids, psi-cpu, psi-io or psi-memory" },
        { "threshold", JSON_FIELD_NUMBER, offsetof(AlertInput, threshold), JSON_FIELD_MANDATORY, 0, 0,
          "percent; of pids, their number" },
};
const JsonTable alert_table = JSON_TABLE(alert_fields);

static int check_input(const AlertInput *input, AlertInit *ret, sd_bus_error *error) {
        AlertInit init = { .metric = alert_metric_from_string(input->metric),
                           .action = alert_action_from_string(input->action ?: "notify"),
                           .threshold = input->threshold };
        double min, max;

        if (init.metric < 0)
                return bus_error_set(error, BUS_ERROR_INVALID,
                                     "Invalid metric: %s. Allowed: cpu, memory, pids, psi-cpu, psi-io, psi-memory",
                                     input->metric);
        /* An alert that can never fire is worse than none. */
        if (!alert_metric_is_there(init.metric))
                return bus_error_set(error, BUS_ERROR_INVALID, "This kernel has no figures of pressure: %s",
                                     input->metric);
        alert_metric_range(init.metric, &min, &max);
        if (init.threshold < min || init.threshold > max)
                return bus_error_set(error, BUS_ERROR_INVALID, "%s threshold must be between %g and %g",
                                     input->metric, min, max);
        if (init.action < 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid action: %s. Allowed: notify, pause, kill",
                                     input->action);
        *ret = init;
        return 0;
}

static int create_alert(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        AlertInit init;
        Sandbox *s;
        Alert *a;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r >= 0)
                r = check_input(userdata, &init, error);
        if (r < 0)
                return r;
        r = alert_add(m->alerts, s, &init, &a);
        if (r == -E2BIG)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum alert limit reached: %u", ALERTS_MAX);
        if (r < 0)
                return r;
        event_publish(m, "alert.created", s->public_id, alert_to_json(a));
        return request_reply_json(request, 200, alert_to_json(a));
}

int api_alert_create(Request *request, sd_bus_error *error) {
        static const ApiInput route = { alert_fields, ELEMENTSOF(alert_fields), create_alert };

        return api_with_input(request, &route, &(AlertInput) {}, error);
}

int api_alert_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const Sandbox *s = manager_find_sandbox(m, request_path_value(request, "id"));
        json_t *list = json_array();

        (void) error;
        for (const Alert *a = s ? s->alerts : NULL; a; a = a->next)
                (void) json_array_append_new(list, alert_to_json(a));
        return request_reply_json(request, 200, json_pack("{s:o}", "alerts", list));
}

int api_alert_delete(Request *request, sd_bus_error *error) {
        const char *id = request_path_value(request, "alert");
        Manager *m = request_userdata(request);
        Alert *a = alert_find(m->alerts, id);
        int r;

        if (!a)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Alert not found: %s", id);
        request_set_sandbox(request, a->sandbox->id);
        event_publish(m, "alert.deleted", a->sandbox->public_id, json_pack("{s:s}", "id", id));
        r = alert_remove(m->alerts, a);
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:s}", "deleted", id));
}

typedef struct HistoryInput {
        int64_t limit, offset;
} HistoryInput;

static const JsonField history_fields[] = {
        { "limit",  JSON_FIELD_INT, offsetof(HistoryInput, limit),  JSON_FIELD_CLAMP, 1, 1000,    "events at most" },
        { "offset", JSON_FIELD_INT, offsetof(HistoryInput, offset), JSON_FIELD_CLAMP, 0, 1000000, "events to skip" },
};
const JsonTable alert_history_table = JSON_TABLE(history_fields);

static int add_event(const StoredObject *row, void *userdata) {
        json_t *event = json_loads(row->record, 0, NULL);

        return event && json_array_append_new(userdata, event) == 0 ? 0 : -EBADMSG;
}

static int reply_history(Request *request, void *userdata, sd_bus_error *error) {
        const char *id = request_path_value(request, "id");
        _cleanup_(json_decrefp) json_t *events = json_array();
        Manager *m = request_userdata(request);
        const HistoryInput *input = userdata;
        uint64_t total;
        int r;

        (void) error;
        r = store_foreach_object(m->store, &(ObjectQuery) { .kind = ALERT_EVENT_KIND, .sandbox = id,
                                                            .newest_first = true, .limit = (uint64_t) input->limit,
                                                            .offset = (uint64_t) input->offset }, add_event, events);
        if (r >= 0)
                r = store_count_objects(m->store, ALERT_EVENT_KIND, id, NULL, &total);
        if (r < 0)
                return r;
        return request_reply_json(request, 200, json_pack("{s:O, s:I}", "events", events, "total",
                                                          (json_int_t) total));
}

int api_alert_history(Request *request, sd_bus_error *error) {
        static const ApiInput route = { history_fields, ELEMENTSOF(history_fields), reply_history };

        return api_with_input(request, &route, &(HistoryInput) { .limit = 50 }, error);
}
