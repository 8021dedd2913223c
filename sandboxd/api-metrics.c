/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/usage.h"

/* Figures for display. Those of a sandbox come from its cgroup by way of execd; CPU is a rate, so that the last sample
 * is kept in the (not stored) part of the record. Those of the network come from its wire by way of netd, see usage.h. */

/* Since the last question; the first one gets the average since the creation. */
static double cpu_percent(const Sandbox *s, CpuSample *last, uint64_t cpu_usec) {
        uint64_t now = now_usec(CLOCK_BOOTTIME), wall = now_usec(CLOCK_REALTIME), elapsed, used = cpu_usec;

        if (last->usec > 0) {
                elapsed = now - last->usec;
                used = cpu_usec > last->cpu_usec ? cpu_usec - last->cpu_usec : 0;
        } else
                elapsed = wall > s->created_msec * USEC_PER_MSEC ? wall - s->created_msec * USEC_PER_MSEC : 0;
        *last = (CpuSample) { now, cpu_usec };
        return (double) used * 100.0 / (double) MAX(elapsed, UINT64_C(1));
}

/* cpuUsec is for whoever asks often, or along with others: the rate is then his own to make. Most sandboxes use less
 * than the MiB that the contract counts in, hence the bytes. */
json_t *metrics_to_json(const Sandbox *s, const SandboxStats *stats, CpuSample *last) {
        uint64_t limit;
        double cpu;

        sandbox_get_limits(s, &limit, &cpu);
        if (stats->memory_max > 0 && stats->memory_max != UINT64_MAX)
                limit = stats->memory_max;
        return json_pack("{s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s*}",
                         "sandboxId", s->public_id, "cpuPercent", cpu_percent(s, last, stats->cpu_usec),
                         "memoryUsageMb", (json_int_t) (stats->memory_current / MiB),
                         "memoryLimitMb", (json_int_t) (limit / MiB),
                         "memoryUsageBytes", (json_int_t) stats->memory_current,
                         "memoryLimitBytes", (json_int_t) limit,
                         "networkRxBytes", (json_int_t) s->rx_bytes, "networkTxBytes", (json_int_t) s->tx_bytes,
                         "pids", (json_int_t) stats->pids_current, "pidsLimit", (json_int_t) stats->pids_max,
                         "memoryPeakMb", (json_int_t) (stats->memory_peak / MiB),
                         "ioReadBytes", (json_int_t) stats->io_read_bytes,
                         "ioWriteBytes", (json_int_t) stats->io_write_bytes,
                         "oomKills", (json_int_t) stats->oom_kills, "cpuUsec", (json_int_t) stats->cpu_usec,
                         "source", stats->source);
}

static int answer_metrics(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        _cleanup_(sandbox_stats_done) SandboxStats stats = {};
        int r;

        r = execd_read_stats(reply, &stats, error);
        return r < 0 ? r : request_reply_json(call->request, 200, metrics_to_json(call->sandbox, &stats, &call->sandbox->cpu));
}

int metrics_add(Manager *m, json_t *by_id, sd_bus_message *reply, sd_bus_error *error) {
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(sa{sv})");
        while (r >= 0) {
                _cleanup_(sandbox_stats_done) SandboxStats stats = {};
                const char *id;
                Sandbox *s;

                r = execd_read_stats_row(reply, &id, &stats, error);
                if (r <= 0)
                        break;
                s = manager_get_sandbox(m, id);
                if (s)
                        (void) json_object_set_new(json_object_get(by_id, s->public_id), "metrics",
                                                   metrics_to_json(s, &stats, &s->cpu));
        }
        return r;
}

static void on_usage(void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ApiCall *call = userdata;
        int r;

        r = execd_call(call->manager->execd, "Stats", call->sandbox->id, api_call_done, call);
        if (r < 0) {
                (void) api_unavailable(r, &error);
                api_call_fail(call, &error);
        }
}

int api_sandbox_metrics(Request *request, sd_bus_error *error) {
        ApiCall *call;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->answer = answer_metrics;
        usage_ask(call->manager, s, on_usage, call);
        return 1;
}

typedef struct GlobalInput {
        char *format;
} GlobalInput;

static const JsonField global_fields[] = {
        { "format", JSON_FIELD_STRING, offsetof(GlobalInput, format), JSON_FIELD_LENIENT, 0, 0,
          "prometheus: as text for its scraper" },
};
const JsonTable global_metrics_table = JSON_TABLE(global_fields);

/* A scraper names the formats that it reads, and JSON is not among them, as it is with other clients. */
static bool wants_text(const char *accept) {
        return accept && !strstr(accept, "json") && (strstr(accept, "openmetrics") || strstr(accept, "text/plain"));
}

static int reply_global(Request *request, void *userdata, sd_bus_error *error) {
        const char *accept = request_header(request, "Accept");
        Manager *m = request_userdata(request);
        const Counters *c = &m->counters;
        uint64_t now = now_usec(CLOCK_BOOTTIME);
        const GlobalInput *input = userdata;
        json_int_t active = api_count_active(m);

        if (streq_ptr(input->format, "prometheus") || wants_text(accept))
                return api_prometheus(request, error);
        return request_reply_json(request, 200,
                                  json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                                            "activeSandboxes", active,
                                            "totalCreated", (json_int_t) c->values[COUNTER_CREATED],
                                            "createdWarm", (json_int_t) c->values[COUNTER_WARM],
                                            "createdBlank", (json_int_t) c->values[COUNTER_BLANK],
                                            "createdCold", (json_int_t) c->values[COUNTER_COLD],
                                            "totalKilled", (json_int_t) c->values[COUNTER_KILLED],
                                            "totalExpired", (json_int_t) c->values[COUNTER_EXPIRED],
                                            "totalLost", (json_int_t) c->values[COUNTER_LOST],
                                            "uptimeSeconds", (json_int_t) ((now - c->started_usec) / USEC_PER_SEC)));
}

int api_global_metrics(Request *request, sd_bus_error *error) {
        static const ApiInput route = { global_fields, ELEMENTSOF(global_fields), reply_global };

        return api_with_input(request, &route, &(GlobalInput) {}, error);
}

/* One row a profile, by the key that the contract gives it. */
static json_t *warm_to_json(const Warm *w, json_int_t *total, json_int_t *ready) {
        json_t *by_profile = json_object();
        WarmFigures f;

        for (size_t i = 0; warm_get_figures(w, i, &f); i++) {
                _cleanup_free_ char *key = NULL;

                if (asprintf(&key, "%s:%" PRIu64 ":%g:%s", f.image, f.memory_mib, f.cpu,
                             f.network ? "true" : "false") < 0)
                        break;
                *total += f.ready + f.making;
                *ready += f.ready;
                (void) json_object_set_new(by_profile, key,
                                           json_pack("{s:i, s:i, s:i}", "size", (int) f.size, "ready", (int) f.ready,
                                                     "making", (int) f.making));
        }
        return by_profile;
}

static int answer_pool(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        PoolFigures blank = {};
        json_int_t total = 0, ready = 0;
        json_t *by_profile;
        int r;

        r = execd_read_pool(reply, &blank, error);
        if (r < 0)
                return r;
        by_profile = warm_to_json(call->manager->warm, &total, &ready);
        return request_reply_json(call->request, 200,
                                  json_pack("{s:I, s:I, s:o, s:{s:i, s:i, s:i, s:i, s:I, s:I}}", "total", total,
                                            "ready", ready, "by_profile", by_profile, "blank",
                                            "size", (int) blank.size, "ready", (int) blank.ready,
                                            "making", (int) blank.making, "waiting", (int) blank.waiting,
                                            "hits", (json_int_t) blank.hits, "misses", (json_int_t) blank.misses));
}

int api_pool_status(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, NULL);
        int r;

        if (!call)
                return -ENOMEM;
        call->answer = answer_pool;
        r = execd_pool(call->manager->execd, api_call_done, call);
        return api_call_sent(&call, r, error);
}
