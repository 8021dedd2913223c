/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Alerts of sandboxes: a figure is compared with a threshold every two seconds, and when it comes up to it, something
 * is done: once, until it has gone down again. Only while there is an alert on a sandbox that runs, anything is asked at
 * all; then sandboxd stays, and is started again should it end. No HTTP. */

#define ALERT_KIND "alert"
#define ALERT_EVENT_KIND "alertevent"
#define ALERTS_MAX 32U                  /* a sandbox */

typedef enum AlertMetric {
        ALERT_CPU,              /* percent of what the sandbox may use */
        ALERT_MEMORY,           /* percent of its limit */
        ALERT_PIDS,             /* processes */
        ALERT_PSI_CPU,          /* percent of ten seconds in which something waited for it */
        ALERT_PSI_IO,
        ALERT_PSI_MEMORY,
        _ALERT_METRIC_MAX,
        _ALERT_METRIC_INVALID = -22,
} AlertMetric;

typedef enum AlertAction {
        ALERT_NOTIFY,
        ALERT_PAUSE,
        ALERT_KILL,
        _ALERT_ACTION_MAX,
        _ALERT_ACTION_INVALID = -22,
} AlertAction;

const char *alert_metric_to_string(AlertMetric metric);
AlertMetric alert_metric_from_string(const char *s);
const char *alert_action_to_string(AlertAction action);
AlertAction alert_action_from_string(const char *s);
/* Both inclusive. */
void alert_metric_range(AlertMetric metric, double *ret_min, double *ret_max);
/* Whether this kernel has such figures at all. */
bool alert_metric_is_there(AlertMetric metric);

typedef struct Alert Alert;

struct Alert {
        char id[40];
        Sandbox *sandbox;       /* whose list it is in */
        Alert *next;
        AlertMetric metric;
        AlertAction action;
        double threshold;
        bool triggered;         /* it has fired, and the figure did not go down since */
        bool acting;            /* what it does is under way */
        uint64_t created_msec, checked_msec, triggered_msec; /* 0: never */
        uint64_t sample_usec, sample_cpu_usec;
};

/* One look: whether it fires now. A figure that trembles about the threshold fires once: it must go a twentieth below. */
bool alert_step(Alert *a, double value);
/* < 0: there is no figure (yet). limit: of processors. */
double alert_value(Alert *a, const SandboxStats *stats, double cpu_limit, uint64_t now_usec);

typedef struct Alerts Alerts;

/* Reads those of the sandboxes that are known. */
int alerts_new(Manager *m, Alerts **ret);
Alerts *alerts_free(Alerts *alerts);

typedef struct AlertInit {
        AlertMetric metric;
        AlertAction action;
        double threshold;
} AlertInit;

/* -E2BIG: the sandbox has as many as it may. */
int alert_add(Alerts *alerts, Sandbox *s, const AlertInit *init, Alert **ret);
Alert *alert_find(Alerts *alerts, const char *id);
int alert_remove(Alerts *alerts, Alert *a);
/* With their history. */
void alerts_forget_sandbox(Alerts *alerts, Sandbox *s);
/* After a change of a state. */
void alerts_update(Alerts *alerts);

json_t *alert_to_json(const Alert *a);
