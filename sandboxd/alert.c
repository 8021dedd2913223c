/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/alert.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/removal.h"
#include "sandboxd/waker.h"

/* All sandboxes that have alerts are asked about in one call. A processor's figure is a rate and needs two looks: the
 * second one comes sooner. From the moment that a threshold is crossed until something is done it takes two looks at
 * most; after a crash of ours there is also the time until we are started (WAKER_GRACE_USEC).
 *
 * What pauses or kills is written down as fired when that is done: a crash in between fires it again. */

#define INTERVAL_USEC (2 * USEC_PER_SEC)
#define SECOND_LOOK_USEC USEC_PER_SEC
/* Of the threshold: how far below it the figure must go before the alert can fire again. */
#define HYSTERESIS 0.05
#define HISTORY_MAX 10000U
#define TRIM_INTERVAL 64U

/* One timer for all: who watches a thousand sandboxes asks four times, not a thousand times. */
struct Alerts {
        Manager *manager;
        Hashmap *by_id;
        sd_event_source *timer;
        unsigned n_asked;       /* calls under way */
        unsigned n_since_trim;
        uint64_t n_history;     /* rows of all sandboxes */
        bool active, incomplete; /* incomplete: a rate wants its second look */
};

static const struct {
        const char *name;
        double min, max;
} metrics[_ALERT_METRIC_MAX] = {
        [ALERT_CPU]        = { "cpu",        0, 100 },
        [ALERT_MEMORY]     = { "memory",     0, 100 },
        [ALERT_PIDS]       = { "pids",       1, 256 },
        [ALERT_PSI_CPU]    = { "psi-cpu",    0, 100 },
        [ALERT_PSI_IO]     = { "psi-io",     0, 100 },
        [ALERT_PSI_MEMORY] = { "psi-memory", 0, 100 },
};

static const char *const action_names[_ALERT_ACTION_MAX] = {
        [ALERT_NOTIFY] = "notify",
        [ALERT_PAUSE] = "pause",
        [ALERT_KILL] = "kill",
};

const char *alert_metric_to_string(AlertMetric metric) {
        return metric >= 0 && metric < _ALERT_METRIC_MAX ? metrics[metric].name : NULL;
}

AlertMetric alert_metric_from_string(const char *s) {
        for (AlertMetric i = 0; s && i < _ALERT_METRIC_MAX; i++)
                if (streq(metrics[i].name, s))
                        return i;
        return _ALERT_METRIC_INVALID;
}

const char *alert_action_to_string(AlertAction action) {
        return action >= 0 && action < _ALERT_ACTION_MAX ? action_names[action] : NULL;
}

AlertAction alert_action_from_string(const char *s) {
        for (AlertAction i = 0; s && i < _ALERT_ACTION_MAX; i++)
                if (streq(action_names[i], s))
                        return i;
        return _ALERT_ACTION_INVALID;
}

void alert_metric_range(AlertMetric metric, double *ret_min, double *ret_max) {
        *ret_min = metrics[metric].min;
        *ret_max = metrics[metric].max;
}

/* Of the whole machine; the files of control groups come and go with this one. */
bool alert_metric_is_there(AlertMetric metric) {
        return metric < ALERT_PSI_CPU || access("/proc/pressure/cpu", F_OK) == 0;
}

bool alert_step(Alert *a, double value) {
        if (value >= a->threshold) {
                if (a->triggered)
                        return false;
                a->triggered = true;
                return true;
        }
        if (value < a->threshold * (1 - HYSTERESIS))
                a->triggered = false;
        return false;
}

/* In percent of what the sandbox may use. -1: there is no second sample yet to make a rate of. */
static double cpu_value(Alert *a, uint64_t cpu_usec, double limit, uint64_t now) {
        uint64_t used = cpu_usec > a->sample_cpu_usec ? cpu_usec - a->sample_cpu_usec : 0;
        uint64_t elapsed = a->sample_usec > 0 && now > a->sample_usec ? now - a->sample_usec : 0;

        a->sample_usec = now;
        a->sample_cpu_usec = cpu_usec;
        if (elapsed == 0 || limit <= 0)
                return -1;
        return (double) used * 100 / ((double) elapsed * limit);
}

static double pressure_value(uint64_t hundredths) {
        return hundredths == UINT64_MAX ? -1 : (double) hundredths / 100;
}

double alert_value(Alert *a, const SandboxStats *stats, double cpu_limit, uint64_t now_usec) {
        switch (a->metric) {
        case ALERT_CPU:
                return cpu_value(a, stats->cpu_usec, cpu_limit, now_usec);
        case ALERT_MEMORY:
                if (stats->memory_max == 0 || stats->memory_max == UINT64_MAX)
                        return -1;
                return (double) stats->memory_current * 100 / (double) stats->memory_max;
        case ALERT_PIDS:
                return (double) stats->pids_current;
        case ALERT_PSI_CPU:
                return pressure_value(stats->cpu_pressure);
        case ALERT_PSI_IO:
                return pressure_value(stats->io_pressure);
        case ALERT_PSI_MEMORY:
                return pressure_value(stats->memory_pressure);
        default:
                return -1;
        }
}

static uint64_t now_msec(void) {
        return now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
}

/* Whole numbers look like what they are; the others have two digits. */
static json_t *number_to_json(double x) {
        double rounded = round(x * 100) / 100;

        return rounded == floor(rounded) ? json_integer((json_int_t) rounded) : json_real(rounded);
}

static void set_time(json_t *object, const char *key, uint64_t msec) {
        if (msec > 0)
                (void) json_object_set_new(object, key, json_integer((json_int_t) msec));
}

json_t *alert_to_json(const Alert *a) {
        json_t *object = json_pack("{s:s, s:s, s:s, s:o, s:s, s:b, s:I}", "id", a->id, "sandboxId",
                                   a->sandbox->public_id, "metric", alert_metric_to_string(a->metric), "threshold",
                                   number_to_json(a->threshold), "action", alert_action_to_string(a->action),
                                   "triggered", (int) a->triggered, "createdAt", (json_int_t) a->created_msec);

        set_time(object, "lastChecked", a->checked_msec);
        set_time(object, "lastTriggered", a->triggered_msec);
        return object;
}

/* The record is what clients see. */
static int save(Alerts *alerts, const Alert *a) {
        _cleanup_(json_decrefp) json_t *object = alert_to_json(a);
        _cleanup_free_ char *record = object ? json_dumps(object, JSON_COMPACT) : NULL;

        if (!record)
                return -ENOMEM;
        return store_put_object(alerts->manager->store,
                                &(StoredObject) { .kind = ALERT_KIND, .id = a->id, .sandbox = a->sandbox->public_id,
                                                  .tag = alert_metric_to_string(a->metric),
                                                  .time_msec = a->created_msec, .record = record });
}

/* At the end of the sandbox's list: there are few, and they are shown in this order. */
static int link_alert(Alerts *alerts, Alert *a) {
        Alert **end = &a->sandbox->alerts;
        int r;

        r = hashmap_put(alerts->by_id, a->id, a);
        if (r < 0)
                return r;
        while (*end)
                end = &(*end)->next;
        *end = a;
        return 0;
}

static void unlink_alert(Alerts *alerts, Alert *a) {
        Alert **p = &a->sandbox->alerts;

        while (*p != a)
                p = &(*p)->next;
        *p = a->next;
        (void) hashmap_remove(alerts->by_id, a->id);
        free(a);
}

/* History: newest in the store's order, as it is asked for. */
static void remember(Alerts *alerts, const Alert *a, const json_t *event) {
        _cleanup_free_ char *record = json_dumps(event, JSON_COMPACT);
        Store *store = alerts->manager->store;
        char id[40];
        int r;

        r = record ? object_id_random("aevt", id) : -ENOMEM;
        if (r >= 0)
                r = store_put_object(store, &(StoredObject) { .kind = ALERT_EVENT_KIND, .id = id,
                                                              .sandbox = a->sandbox->public_id, .tag = a->id,
                                                              .time_msec = a->triggered_msec, .record = record });
        if (r < 0) {
                log_warning_errno(r, "Failed to keep that alert %s fired, ignoring: %m", a->id);
                return;
        }
        alerts->n_history++;
        if (++alerts->n_since_trim >= TRIM_INTERVAL && store_trim_objects(store, ALERT_EVENT_KIND, HISTORY_MAX) == 0)
                alerts->n_since_trim = 0;
}

/* Pausing or killing. Both may be gone when the answer comes, the alert and the sandbox. */
typedef struct Act {
        Alerts *alerts;
        char id[40];
        Sandbox *sandbox;
} Act;

static Act *act_new(Alerts *alerts, const Alert *a) {
        Act *act = new0(Act, 1);

        if (act) {
                *act = (Act) { .alerts = alerts, .sandbox = sandbox_ref(a->sandbox) };
                memcpy(act->id, a->id, sizeof act->id);
        }
        return act;
}

static void act_free(Act *act) {
        sandbox_unref(act->sandbox);
        free(act);
}

/* One that failed is tried again at the next look. */
static void settle(Alerts *alerts, Alert *a, bool done) {
        a->acting = false;
        a->triggered &= done;
        if (done)
                (void) save(alerts, a);
}

static void end_act(Act *act, const sd_bus_error *error) {
        Alert *a = act->alerts->manager->stopping ? NULL : alert_find(act->alerts, act->id);

        if (error)
                log_sandbox(LOG_WARNING, act->sandbox->id, "Alert %s could not do its work: %s", act->id,
                            error->message);
        if (a)
                settle(act->alerts, a, !error);
        act_free(act);
}

static void on_paused(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Act *act = userdata;
        Manager *m = act->alerts->manager;
        bool is_paused = reply || sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE);

        if (is_paused && !act->sandbox->leaving && !m->stopping && act->sandbox->state == SANDBOX_RUNNING) {
                (void) manager_set_state(m, act->sandbox, SANDBOX_PAUSED);
                event_publish(m, "sandbox.paused", act->sandbox->public_id, json_pack("{s:s}", "alertId", act->id));
        }
        end_act(act, is_paused ? NULL : error);
}

static void on_killed(const sd_bus_error *error, void *userdata) {
        end_act(userdata, error);
}

/* An alert that is acting does not fire again; what it thinks of the figure meanwhile is only noted. */
static void act_on(Alerts *alerts, Alert *a) {
        Manager *m = alerts->manager;
        Act *act;
        int r;

        if (a->action == ALERT_NOTIFY) {
                settle(alerts, a, /* done= */ true);
                return;
        }
        act = act_new(alerts, a);
        if (!act)
                r = -ENOMEM;
        else if (a->action == ALERT_PAUSE)
                r = execd_call(m->execd, "Pause", a->sandbox->id, on_paused, act);
        else
                r = removal_start(m, a->sandbox, COUNTER_KILLED, on_killed, act);
        if (r >= 0) {
                a->acting = true;
                return;
        }
        if (act)
                act_free(act);
        settle(alerts, a, /* done= */ false);
}

static void fire(Alerts *alerts, Alert *a, double value) {
        _cleanup_(json_decrefp) json_t *event = NULL;

        a->triggered_msec = now_msec();
        event = json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:I}", "alertId", a->id, "sandboxId", a->sandbox->public_id,
                          "metric", alert_metric_to_string(a->metric), "value", number_to_json(value), "threshold",
                          number_to_json(a->threshold), "action", alert_action_to_string(a->action), "timestamp",
                          (json_int_t) a->triggered_msec);
        if (event) {
                remember(alerts, a, event);
                event_publish(alerts->manager, "alert.triggered", a->sandbox->public_id, json_incref(event));
        }
        log_sandbox(LOG_INFO, a->sandbox->id, "Alert %s fired: %s is %g, %s.", a->id, alert_metric_to_string(a->metric),
                    value, alert_action_to_string(a->action));
        act_on(alerts, a);
}

static void look(Alerts *alerts, Alert *a, const SandboxStats *stats) {
        bool was = a->triggered;
        double limit, value;
        uint64_t memory;

        sandbox_get_limits(a->sandbox, &memory, &limit);
        value = alert_value(a, stats, limit, now_usec(CLOCK_BOOTTIME));
        if (value < 0) {
                alerts->incomplete |= a->metric == ALERT_CPU;
                return;
        }
        a->checked_msec = now_msec();
        if (a->acting)
                return;
        if (alert_step(a, value))
                fire(alerts, a, value);
        else if (was != a->triggered)
                (void) save(alerts, a);
}

/* An alert may end its sandbox, and itself with it: but not before execd has answered. */
static void on_stats(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Alerts *alerts = userdata;
        Manager *m = alerts->manager;
        int r;

        alerts->n_asked--;
        if (!reply) {
                log_debug("No figures for the alerts, asking again: %s", error->message);
                return;
        }
        r = sd_bus_message_enter_container(reply, 'a', "(sa{sv})");
        while (r >= 0) {
                _cleanup_(sandbox_stats_done) SandboxStats stats = {};
                const char *id;
                Sandbox *s;

                r = execd_read_stats_row(reply, &id, &stats, NULL);
                if (r <= 0)
                        break;
                s = manager_get_sandbox(m, id);
                for (Alert *a = s && s->state == SANDBOX_RUNNING && !s->leaving ? s->alerts : NULL; a; a = a->next)
                        look(alerts, a, &stats);
        }
        if (alerts->incomplete && alerts->active)
                (void) sd_event_source_set_time_relative(alerts->timer, SECOND_LOOK_USEC);
        alerts->incomplete = false;
}

static bool is_watched(const Sandbox *s) {
        return s->alerts && s->state == SANDBOX_RUNNING && !s->leaving && !s->elsewhere;
}

static void ask(Alerts *alerts) {
        _cleanup_strv_free_ char **ids = NULL;
        Sandbox *s;
        size_t n = 0;

        HASHMAP_FOREACH(s, alerts->manager->sandboxes) {
                if (!is_watched(s))
                        continue;
                if (n == STATS_MANY_MAX) {
                        alerts->n_asked += execd_stats_many(alerts->manager->execd, ids, on_stats, alerts) >= 0;
                        ids = strv_free(ids);
                        n = 0;
                }
                if (strv_extend(&ids, s->id) < 0)
                        return;
                n++;
        }
        if (n > 0)
                alerts->n_asked += execd_stats_many(alerts->manager->execd, ids, on_stats, alerts) >= 0;
}

/* Not while answers are due: a slow execd must not get more to do. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Alerts *alerts = userdata;

        (void) usec;
        if (alerts->n_asked == 0)
                ask(alerts);
        (void) sd_event_source_set_time_relative(source, INTERVAL_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void alerts_update(Alerts *alerts) {
        Manager *m = alerts ? alerts->manager : NULL;
        bool active = false;
        Sandbox *s;

        if (!alerts || m->stopping)
                return;
        if (hashmap_size(alerts->by_id) > 0)
                HASHMAP_FOREACH(s, m->sandboxes)
                        active |= is_watched(s);
        if (active == alerts->active)
                return;
        alerts->active = active;
        if (active) {
                service_hold(m->service);
                waker_keep(m->waker, WAKE_ALERTS);
                (void) sd_event_source_set_time_relative(alerts->timer, 0);
                (void) sd_event_source_set_enabled(alerts->timer, SD_EVENT_ONESHOT);
        } else {
                service_release(m->service);
                waker_set(m->waker, WAKE_ALERTS, USEC_INFINITY);
                (void) sd_event_source_set_enabled(alerts->timer, SD_EVENT_OFF);
        }
}

int alert_add(Alerts *alerts, Sandbox *s, const AlertInit *init, Alert **ret) {
        _cleanup_free_ Alert *a = NULL;
        unsigned n = 0;
        int r;

        for (const Alert *other = s->alerts; other; other = other->next)
                n++;
        if (n >= ALERTS_MAX)
                return -E2BIG;
        a = new0(Alert, 1);
        if (!a)
                return -ENOMEM;
        *a = (Alert) { .sandbox = s, .metric = init->metric, .action = init->action, .threshold = init->threshold,
                       .created_msec = now_msec() };
        r = object_id_random("alrt", a->id);
        if (r >= 0)
                r = save(alerts, a);
        if (r >= 0)
                r = link_alert(alerts, a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        alerts_update(alerts);
        return 0;
}

Alert *alert_find(Alerts *alerts, const char *id) {
        return hashmap_get(alerts->by_id, id);
}

int alert_remove(Alerts *alerts, Alert *a) {
        int r;

        r = store_remove_object(alerts->manager->store, ALERT_KIND, a->id);
        if (r < 0)
                return r;
        unlink_alert(alerts, a);
        alerts_update(alerts);
        return 0;
}

void alerts_forget_sandbox(Alerts *alerts, Sandbox *s) {
        Store *store;

        if (!alerts)
                return;
        store = alerts->manager->store;
        if (s->alerts)
                (void) store_remove_objects_of(store, ALERT_KIND, s->public_id);
        while (s->alerts)
                unlink_alert(alerts, s->alerts);
        if (alerts->n_history > 0)
                (void) store_remove_objects_of(store, ALERT_EVENT_KIND, s->public_id);
        alerts_update(alerts);
}

static int load_alert(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *object = json_loads(row->record, 0, NULL);
        Alerts *alerts = userdata;
        Sandbox *s = hashmap_get(alerts->manager->sandboxes, row->sandbox);
        _cleanup_free_ Alert *a = new0(Alert, 1);
        json_int_t created, checked = 0, triggered = 0;
        const char *metric, *action;
        int is_triggered, r;

        if (!s)
                return 0; /* of a record that was lost; nobody is ever shown it */
        if (!a)
                return -ENOMEM;
        if (strlen(row->id) >= sizeof a->id ||
            json_unpack(object, "{s:s, s:F, s:s, s:b, s:I, s?I, s?I}", "metric", &metric, "threshold", &a->threshold,
                        "action", &action, "triggered", &is_triggered, "createdAt", &created, "lastChecked", &checked,
                        "lastTriggered", &triggered) < 0)
                return -EBADMSG;
        a->sandbox = s;
        memcpy(a->id, row->id, strlen(row->id) + 1);
        a->metric = alert_metric_from_string(metric);
        a->action = alert_action_from_string(action);
        if (a->metric < 0 || a->action < 0)
                return -EBADMSG;
        a->triggered = is_triggered;
        a->created_msec = (uint64_t) created;
        a->checked_msec = (uint64_t) checked;
        a->triggered_msec = (uint64_t) triggered;
        r = link_alert(alerts, a);
        if (r >= 0)
                TAKE_PTR(a);
        return r;
}

int alerts_new(Manager *m, Alerts **ret) {
        Alerts *alerts = new0(Alerts, 1);
        int r;

        if (!alerts)
                return -ENOMEM;
        alerts->manager = m;
        alerts->by_id = hashmap_new();
        r = alerts->by_id ? 0 : -ENOMEM;
        if (r >= 0)
                r = sd_event_add_time_relative(m->event, &alerts->timer, CLOCK_BOOTTIME, 0, USEC_PER_SEC / 10,
                                               on_timer, alerts);
        if (r >= 0)
                r = sd_event_source_set_enabled(alerts->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = store_foreach_object(m->store, &(ObjectQuery) { .kind = ALERT_KIND }, load_alert, alerts);
        if (r >= 0)
                r = store_count_objects(m->store, ALERT_EVENT_KIND, NULL, NULL, &alerts->n_history);
        if (r < 0) {
                alerts_free(alerts);
                return r;
        }
        alerts_update(alerts);
        *ret = alerts;
        return 0;
}

Alerts *alerts_free(Alerts *alerts) {
        Alert *a;

        if (!alerts)
                return NULL;
        if (alerts->by_id)
                HASHMAP_FOREACH(a, alerts->by_id)
                        unlink_alert(alerts, a);
        hashmap_free(alerts->by_id);
        sd_event_source_disable_unref(alerts->timer);
        if (alerts->active)
                service_release(alerts->manager->service);
        free(alerts);
        return NULL;
}
