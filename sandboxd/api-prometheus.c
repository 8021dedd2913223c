/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/usage.h"

/* The figures of the daemons and of every sandbox, in the text format that Prometheus reads. All samples of a metric
 * stand together there, so the answers of execd are gathered first. It is only asked when there are sandboxes: a scraper
 * that comes every few seconds must not keep a service running that has nothing to do. */

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

typedef struct ScrapeRow {
        Sandbox *sandbox;
        SandboxStats stats;
} ScrapeRow;

typedef struct Scrape {
        Request *request;       /* NULL: the client is gone */
        Manager *manager;
        HttpFigures http;
        PoolFigures pool;
        bool has_pool;
        char **ids;             /* of the live sandboxes */
        size_t n_ids, n_asked;
        ScrapeRow *rows;
        size_t n_rows;
} Scrape;

static Scrape *scrape_free(Scrape *s) {
        if (s) {
                for (size_t i = 0; i < s->n_rows; i++) {
                        sandbox_unref(s->rows[i].sandbox);
                        sandbox_stats_done(&s->rows[i].stats);
                }
                free(s->rows);
                strv_free(s->ids);
                free(s);
        }
        return NULL;
}
DEFINE_CLEANUP(Scrape *, scrape_free)

static void head(FILE *f, const char *name, const char *type, const char *help) {
        (void) fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(FILE *f, const char *name, const char *type, const char *help, double value) {
        head(f, name, type, help);
        (void) fprintf(f, "%s %.15g\n", name, value);
}

/* With the escapes that the format has. */
static void put_label(FILE *f, const char *value) {
        for (; *value; value++)
                switch (*value) {
                case '\\':
                        (void) fputs("\\\\", f);
                        break;
                case '"':
                        (void) fputs("\\\"", f);
                        break;
                case '\n':
                        (void) fputs("\\n", f);
                        break;
                default:
                        (void) fputc(*value, f);
                }
}

/* Of ourselves; the others are of other users and under other walls. */
static void put_process(FILE *f) {
        _cleanup_fclose_ FILE *statm = fopen("/proc/self/statm", "re");
        unsigned long long size, resident;
        struct timespec cpu = {};

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
        single(f, "process_cpu_seconds_total", "counter", "Processor time of this sandboxd.",
               (double) cpu.tv_sec + (double) cpu.tv_nsec / 1e9);
        if (statm && fscanf(statm, "%llu %llu", &size, &resident) == 2)
                single(f, "process_resident_memory_bytes", "gauge", "Memory of this sandboxd.",
                       (double) resident * (double) sysconf(_SC_PAGESIZE));
}

static void put_http(FILE *f, const HttpFigures *http) {
        single(f, "sandboxd_http_connections", "gauge", "Connections that are open.", (double) http->connections);
        single(f, "sandboxd_http_connections_limit", "gauge", "Connections that may be.", (double) http->connections_max);
        head(f, "sandboxd_http_requests_total", "counter", "Replies since this process began, by status.");
        for (size_t i = 0; i < http->n_statuses; i++)
                if (http->statuses[i] > 0)
                        (void) fprintf(f, "sandboxd_http_requests_total{status=\"%zu\"} %" PRIu64 "\n", i,
                                       http->statuses[i]);
}

static void put_counters(FILE *f, const Counters *c) {
        static const struct {
                const char *metric, *label, *value, *help;
                Counter counter;
        } rows[] = {
                { "sandboxd_sandboxes_created_total", "origin", "blank",   "Sandboxes made.",  COUNTER_BLANK   },
                { "sandboxd_sandboxes_created_total", "origin", "cold",    NULL,               COUNTER_COLD    },
                { "sandboxd_sandboxes_created_total", "origin", "warm",    NULL,               COUNTER_WARM    },
                { "sandboxd_sandboxes_ended_total",   "reason", "expired", "Sandboxes ended.", COUNTER_EXPIRED },
                { "sandboxd_sandboxes_ended_total",   "reason", "killed",  NULL,               COUNTER_KILLED  },
                { "sandboxd_sandboxes_ended_total",   "reason", "lost",    NULL,               COUNTER_LOST    },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (rows[i].help)
                        head(f, rows[i].metric, "counter", rows[i].help);
                (void) fprintf(f, "%s{%s=\"%s\"} %" PRIu64 "\n", rows[i].metric, rows[i].label, rows[i].value,
                               c->values[rows[i].counter]);
        }
}

static void put_states(FILE *f, Manager *m) {
        unsigned counts[_SANDBOX_STATE_MAX] = {};
        unsigned live = 0;
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes) {
                counts[s->state] += !s->leaving;
                live += s->n_live;
        }
        head(f, "sandboxd_sandboxes", "gauge", "Sandboxes by state.");
        for (SandboxState i = 0; i < _SANDBOX_STATE_MAX; i++)
                (void) fprintf(f, "sandboxd_sandboxes{state=\"%s\"} %u\n", sandbox_state_to_string(i), counts[i]);
        single(f, "sandboxd_sandboxes_limit", "gauge", "Sandboxes that may be.", m->settings.max_sandboxes);
        single(f, "sandboxd_commands", "gauge", "Commands that run.", live);
}

/* What waits and what is remembered: totals that the database keeps. */
static void put_records(FILE *f, Manager *m) {
        static const char *const states[] = { "pending", "running", "completed", "failed", "cancelled" };
        uint64_t n = 0;

        (void) store_count_objects(m->store, EVENT_KIND, NULL, NULL, &n);
        single(f, "sandboxd_events", "gauge", "Events that are remembered.", (double) n);
        head(f, "sandboxd_queue_jobs", "gauge", "Jobs of the queue by state.");
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                n = 0;
                (void) store_count_objects(m->store, "job", NULL, states[i], &n);
                (void) fprintf(f, "sandboxd_queue_jobs{state=\"%s\"} %" PRIu64 "\n", states[i], n);
        }
}

static void put_pool(FILE *f, const Scrape *s) {
        if (!s->has_pool)
                return;
        head(f, "sandboxd_pool_spares", "gauge", "Spare sandboxes of the blank pool.");
        (void) fprintf(f, "sandboxd_pool_spares{state=\"making\"} %u\nsandboxd_pool_spares{state=\"ready\"} %u\n",
                       s->pool.making, s->pool.ready);
        single(f, "sandboxd_pool_size", "gauge", "Spare sandboxes that are wanted.", s->pool.size);
        single(f, "sandboxd_pool_waiting", "gauge", "Creations that wait for one.", s->pool.waiting);
        single(f, "sandboxd_pool_hits_total", "counter", "Creations that found one.", (double) s->pool.hits);
        single(f, "sandboxd_pool_misses_total", "counter", "Creations that had to wait.", (double) s->pool.misses);
}

static const struct {
        const char *name, *type, *help;
        size_t offset;
        double scale;
} series[] = {
        { "sandbox_cpu_seconds_total", "counter", "Processor time.", offsetof(SandboxStats, cpu_usec), 1e-6 },
        { "sandbox_io_read_bytes_total", "counter", "Bytes read from disk.",
          offsetof(SandboxStats, io_read_bytes), 1 },
        { "sandbox_io_written_bytes_total", "counter", "Bytes written to disk.",
          offsetof(SandboxStats, io_write_bytes), 1 },
        { "sandbox_memory_bytes", "gauge", "Memory in use.", offsetof(SandboxStats, memory_current), 1 },
        { "sandbox_memory_limit_bytes", "gauge", "Memory that may be used.", offsetof(SandboxStats, memory_max), 1 },
        { "sandbox_memory_peak_bytes", "gauge", "Most memory ever in use.", offsetof(SandboxStats, memory_peak), 1 },
        { "sandbox_oom_kills_total", "counter", "Processes killed for want of memory.",
          offsetof(SandboxStats, oom_kills), 1 },
        { "sandbox_processes", "gauge", "Processes and threads.", offsetof(SandboxStats, pids_current), 1 },
        { "sandbox_processes_limit", "gauge", "Processes and threads that may be.",
          offsetof(SandboxStats, pids_max), 1 },
};

static void put_series(FILE *f, const Scrape *s) {
        for (size_t i = 0; i < ELEMENTSOF(series); i++) {
                head(f, series[i].name, series[i].type, series[i].help);
                for (size_t k = 0; k < s->n_rows; k++) {
                        const uint64_t *value = (const void *) ((const char *) &s->rows[k].stats + series[i].offset);

                        (void) fprintf(f, "%s{sandbox=\"%s\"} ", series[i].name, s->rows[k].sandbox->public_id);
                        (void) (*value == UINT64_MAX ? fputs("+Inf\n", f)
                                                     : fprintf(f, "%.15g\n", (double) *value * series[i].scale));
                }
        }
}

/* Of those that have a way out. */
static void put_usage(FILE *f, const Scrape *s) {
        static const struct { const char *name, *help; size_t offset; } rows[] = {
                { "sandbox_network_received_bytes_total", "Bytes that came in.",  offsetof(Sandbox, rx_bytes) },
                { "sandbox_network_sent_bytes_total",     "Bytes that went out.", offsetof(Sandbox, tx_bytes) },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                head(f, rows[i].name, "counter", rows[i].help);
                for (size_t k = 0; k < s->n_rows; k++) {
                        const Sandbox *sandbox = s->rows[k].sandbox;
                        const uint64_t *value = (const void *) ((const char *) sandbox + rows[i].offset);

                        if (json_is_true(json_object_get(sandbox->config, "network")))
                                (void) fprintf(f, "%s{sandbox=\"%s\"} %" PRIu64 "\n", rows[i].name, sandbox->public_id,
                                               *value);
                }
        }
}

/* Names stand in one series only, so that a new name begins no new series of everything else. */
static void put_infos(FILE *f, Manager *m) {
        Sandbox *s;

        head(f, "sandbox_info", "gauge", "What a sandbox is; always 1.");
        HASHMAP_FOREACH(s, m->sandboxes) {
                if (s->leaving)
                        continue;
                (void) fprintf(f, "sandbox_info{sandbox=\"%s\",state=\"%s\",image=\"", s->public_id,
                               sandbox_state_to_string(s->state));
                put_label(f, s->image);
                (void) fputs("\",name=\"", f);
                put_label(f, s->name);
                (void) fputs("\"} 1\n", f);
        }
}

static void put_all(FILE *f, const Scrape *s) {
        Manager *m = s->manager;

        head(f, "sandboxd_build_info", "gauge", "Version; always 1.");
        (void) fputs("sandboxd_build_info{version=\"" PACKAGE_VERSION "\"} 1\n", f);
        single(f, "sandboxd_uptime_seconds", "gauge", "Since the first start after the machine's.",
               (double) (now_usec(CLOCK_BOOTTIME) - m->counters.started_usec) / USEC_PER_SEC);
        put_process(f);
        put_http(f, &s->http);
        put_states(f, m);
        put_counters(f, &m->counters);
        put_records(f, m);
        put_pool(f, s);
        put_infos(f, m);
        put_series(f, s);
        put_usage(f, s);
}

static void reply(Scrape *scrape) {
        _cleanup_(scrape_freep) Scrape *s = scrape;
        char *text = NULL;
        size_t n;
        FILE *f;

        if (!s->request)
                return;
        request_on_gone(s->request, NULL, NULL);
        f = open_memstream(&text, &n);
        if (f)
                put_all(f, s);
        if (!f || fclose(f) != 0) {
                free(text);
                (void) request_reply_errno(s->request, -ENOMEM);
                return;
        }
        (void) request_reply_bytes(s->request, 200, CONTENT_TYPE, text, n);
}

static void ask_next(Scrape *s);

static void take_rows(Scrape *s, sd_bus_message *message) {
        int r;

        r = sd_bus_message_enter_container(message, 'a', "(sa{sv})");
        while (r >= 0 && s->n_rows < s->n_ids) {
                SandboxStats stats = {};
                Sandbox *sandbox;
                const char *id;

                r = execd_read_stats_row(message, &id, &stats, NULL);
                sandbox = r > 0 ? manager_get_sandbox(s->manager, id) : NULL;
                if (sandbox)
                        s->rows[s->n_rows++] = (ScrapeRow) { sandbox_ref(sandbox), stats };
                else
                        sandbox_stats_done(&stats);
                if (r <= 0)
                        return;
        }
}

static void on_stats(sd_bus_message *message, const sd_bus_error *error, void *userdata) {
        (void) error;
        if (message)
                take_rows(userdata, message);
        ask_next(userdata);
}

/* One question for all, as far as execd answers for so many at a time. */
static void ask_next(Scrape *s) {
        char *page[STATS_MANY_MAX + 1] = {};
        size_t n = MIN(s->n_ids - s->n_asked, (size_t) STATS_MANY_MAX);

        if (n > 0)
                memcpy(page, s->ids + s->n_asked, n * sizeof(char *));
        s->n_asked += n;
        if (n == 0 || !s->request || execd_stats_many(s->manager->execd, page, on_stats, s) < 0)
                reply(s);
}

static void on_usage(void *userdata) {
        ask_next(userdata);
}

static void on_pool(sd_bus_message *message, const sd_bus_error *error, void *userdata) {
        Scrape *s = userdata;

        (void) error;
        s->has_pool = message && execd_read_pool(message, &s->pool, NULL) >= 0;
        usage_ask(s->manager, NULL, on_usage, s);
}

static void on_client_gone(Request *request, void *userdata) {
        (void) request;
        ((Scrape *) userdata)->request = NULL;
}

static int collect_ids(Scrape *s) {
        Sandbox *sandbox;

        HASHMAP_FOREACH(sandbox, s->manager->sandboxes)
                s->n_ids += !sandbox->leaving && sandbox_is_live(sandbox);
        s->ids = new0(char *, s->n_ids + 1);
        s->rows = new0(ScrapeRow, s->n_ids + 1);
        if (!s->ids || !s->rows)
                return -ENOMEM;
        s->n_ids = 0;
        HASHMAP_FOREACH(sandbox, s->manager->sandboxes) {
                if (sandbox->leaving || !sandbox_is_live(sandbox))
                        continue;
                s->ids[s->n_ids] = strdup(sandbox->id);
                if (!s->ids[s->n_ids++])
                        return -ENOMEM;
        }
        return 0;
}

int api_prometheus(Request *request, sd_bus_error *error) {
        _cleanup_(scrape_freep) Scrape *s = new0(Scrape, 1);
        int r;

        (void) error;
        if (!s)
                return -ENOMEM;
        s->request = request;
        s->manager = request_userdata(request);
        request_get_figures(request, &s->http);
        r = collect_ids(s);
        if (r < 0)
                return r;
        request_on_gone(request, on_client_gone, s);
        if (s->n_ids > 0 && execd_pool(s->manager->execd, on_pool, s) >= 0)
                TAKE_PTR(s);
        else
                reply(TAKE_PTR(s));
        return 1;
}
