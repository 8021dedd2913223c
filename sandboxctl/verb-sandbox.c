/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/sandbox-arguments.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"
#include "sandboxctl/watch.h"

/* The life of a sandbox as a user steers it. Each verb is one or two requests; defaults and checks are the server's, so
 * that an older sandboxctl is right about a newer server. */

static SandboxArguments arg_sandbox = SANDBOX_ARGUMENTS_DEFAULT;
static const char *arg_status;
static bool arg_quiet;
static uint64_t arg_memory = UINT64_MAX, arg_pids = UINT64_MAX;
static double arg_cpu = -1;

const Option create_options[] = {
        SANDBOX_OPTIONS(arg_sandbox),
        { 't', "timeout", "SECONDS", OPTION_SECONDS, &arg_sandbox.timeout_sec, "How long it lives; also 5min, 2h" },
        { 0, "template", "TEMPLATE", OPTION_STRING, &arg_sandbox.template, "What is not said here is as in this template" },
        {},
};

const Option list_options[] = {
        { 's', "status", "STATUS", OPTION_STRING, &arg_status, "Only those that are running, paused..." },
        { 'q', "quiet", NULL, OPTION_FLAG, &arg_quiet, "Print ids only" },
        WATCH_OPTION,
        {},
};

const Option status_options[] = { WATCH_OPTION, {} };

const Option limits_options[] = {
        { 'm', "memory", "SIZE", OPTION_MEBIBYTES, &arg_memory, "Memory, in MiB or with K, M, G" },
        { 'c', "cpu", "NUMBER", OPTION_NUMBER, &arg_cpu, "Processors" },
        { 'p', "pids", "NUMBER", OPTION_UINT, &arg_pids, "Processes at a time" },
        {},
};

json_t *json_from_assignments(const Ctl *c, char *const *assignments, bool environment) {
        json_t *object = json_object();

        STRV_FOREACH(s, assignments) {
                const char *equals = strchr(*s, '='), *value = equals ? equals + 1 : NULL;
                _cleanup_free_ char *key = strndup(*s, equals ? (size_t) (equals - *s) : strlen(*s));

                if (key && environment && !value && env_name_is_valid(key)) {
                        value = getenv(key);
                        if (!value)
                                continue;
                }
                if (!key || !value || (environment && !env_name_is_valid(key))) {
                        (void) ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is not of the form KEY=VALUE", *s);
                        json_decref(object);
                        return NULL;
                }
                if (json_object_set_new(object, key, json_string(value)) < 0) {
                        (void) ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is not valid UTF-8", *s);
                        json_decref(object);
                        return NULL;
                }
        }
        return object;
}

int json_set_text(json_t *object, const char *key, const char *value) {
        return value ? json_object_set_new(object, key, json_string(value)) : 0;
}

int json_set_uint(json_t *object, const char *key, uint64_t value) {
        return value != UINT64_MAX ? json_object_set_new(object, key, json_integer((json_int_t) value)) : 0;
}

/* Numbers with a fraction: processors. */
static int json_set_number(json_t *object, const char *key, double value) {
        return value >= 0 ? json_object_set_new(object, key, json_real(value)) : 0;
}

/* Nothing that was not asked for is sent: the defaults are the server's, and a later server may have others; and what is
 * said counts more than a template. */
int sandbox_arguments_to_json(Ctl *c, const char *image, const SandboxArguments *a, json_t **ret) {
        const struct {
                const char *key;
                char *const *assignments;
                bool environment;
        } maps[] = {
                { "env",      a->env,      true  },
                { "metadata", a->metadata, false },
                { "secrets",  a->secrets,  true  },
        };
        _cleanup_json_ json_t *body = json_object();

        for (size_t i = 0; i < ELEMENTSOF(maps); i++) {
                json_t *map = maps[i].assignments ? json_from_assignments(c, maps[i].assignments, maps[i].environment)
                                                  : json_null();

                if (!map)
                        return ctl_fail(c, EXIT_STATUS_USAGE, "nothing was created");
                if (!json_is_null(map) && json_object_set_new(body, maps[i].key, map) < 0)
                        return ctl_oom(c);
        }
        if (a->network || a->allow)
                (void) json_object_set_new(body, "network", json_true());
        if (a->allow) {
                json_t *list = json_array();

                STRV_FOREACH(entry, a->allow)
                        (void) json_array_append_new(list, json_string(*entry));
                (void) json_object_set_new(body, "egress", json_pack("{s:o}", "allow", list));
        }
        if (json_set_text(body, "image", image) < 0 || json_set_text(body, "template", a->template) < 0 ||
            json_set_text(body, "name", a->name) < 0 || json_set_text(body, "workdir", a->workdir) < 0 ||
            json_set_uint(body, "memory", a->memory_mib) < 0 || json_set_uint(body, "timeout", a->timeout_sec) < 0 ||
            json_set_number(body, "cpu", a->cpu) < 0)
                return ctl_fail(c, EXIT_STATUS_USAGE, "image, name or directory is not valid UTF-8");
        *ret = TAKE_PTR(body);
        return EXIT_STATUS_OK;
}

/* The server takes what is next to what was asked for, which is not what was said. */
static void warn_of_limits(const Ctl *c, const SandboxArguments *a, const json_t *sandbox) {
        const json_t *config = json_object_get(sandbox, "config");
        const struct {
                const char *key, *unit;
                double asked;
        } limits[] = {
                { "memory",  "MiB",        a->memory_mib != UINT64_MAX ? (double) a->memory_mib : -1   },
                { "timeout", "seconds",    a->timeout_sec != UINT64_MAX ? (double) a->timeout_sec : -1 },
                { "cpu",     "processors", a->cpu                                                      },
        };

        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                const json_t *given = json_object_get(config, limits[i].key);

                if (limits[i].asked < 0 || !json_is_number(given) || json_number_value(given) == limits[i].asked)
                        continue;
                ctl_warn(c, "%s: %.10g %s instead of %.10g", limits[i].key, json_number_value(given), limits[i].unit,
                         limits[i].asked);
        }
}

int sandbox_create(Ctl *c, const char *image, const SandboxArguments *a, json_t **ret) {
        const char *what = image ? image : a->template;
        _cleanup_json_ json_t *reply = NULL;
        json_t *body;
        int r;

        r = sandbox_arguments_to_json(c, image, a, &body);
        if (r != EXIT_STATUS_OK)
                return r;
        r = ctl_request(c, what, "POST", "/sandboxes", body, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (!object_id_is_valid(json_text(reply, "id"), "sbx"))
                return ctl_fail(c, EXIT_STATUS_SERVER, "%s: the answer has no id", what);
        warn_of_limits(c, a, reply);
        *ret = TAKE_PTR(reply);
        return EXIT_STATUS_OK;
}

int sandbox_delete(Ctl *c, const char *id, json_t **ret) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s", id);

        return ctl_request(c, id, "DELETE", path, NULL, ret);
}

/* The id alone, so that $(sandboxctl create ...) is one. */
int verb_create(Ctl *c, char **words) {
        _cleanup_json_ json_t *sandbox = NULL;
        int r;

        if (!words[0] && !arg_sandbox.template)
                return ctl_fail(c, EXIT_STATUS_USAGE, "say which image, or --template");
        r = sandbox_create(c, words[0], &arg_sandbox, &sandbox);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, sandbox);
        (void) puts(json_text(sandbox, "id"));
        return EXIT_STATUS_OK;
}

/* Times as people say them: when was it made, how long does it last. --json has the moments. */
static int add_sandbox(Table *t, const json_t *item) {
        int64_t now = now_msec();
        char created[TEXT_SHORT_MAX], expires[TEXT_SHORT_MAX];
        int64_t deadline = json_int(item, "expiresAt");
        int r;

        text_relative(json_int(item, "createdAt"), now, created);
        r = table_add(t, json_text(item, "id"));
        if (r >= 0)
                r = table_add(t, json_text(item, "name"));
        if (r >= 0)
                r = table_add(t, json_text(item, "image"));
        if (r >= 0)
                r = table_add(t, json_text(item, "status"));
        if (r >= 0)
                r = table_add(t, created);
        if (r >= 0)
                r = table_add(t, deadline > 0 ? text_relative(deadline, now, expires) : "");
        return r;
}

/* These go into other commands, so nothing but an id may come out. */
static void print_id(FILE *f, const json_t *item) {
        if (object_id_is_valid(json_text(item, "id"), "sbx"))
                (void) fprintf(f, "%s\n", json_text(item, "id"));
}

static int show_list(Ctl *c, _unused_ char **words) {
        static const Column columns[] = { { "ID" },      { "NAME" },    { "IMAGE" }, { "STATUS" },
                                          { "CREATED" }, { "EXPIRES" }, {} };
        _cleanup_free_ char *status = client_encode(arg_status ? arg_status : ""), *filter = NULL;
        _cleanup_json_ json_t *list = NULL;
        int r;

        filter = status ? ctl_path("&status=%s", status) : NULL;
        if (!filter)
                return ctl_oom(c);
        r = ctl_list(c, arg_status ? filter : NULL, &list);
        if (r != EXIT_STATUS_OK)
                return r;
        return rows_show(c, &(RowsView) { .reply = list, .key = "items", .columns = columns, .add = add_sandbox,
                                          .print = arg_quiet ? print_id : NULL });
}

int verb_list(Ctl *c, char **words) {
        return watch_run(c, words, show_list);
}

static void print_field(FILE *f, const char *label, const char *value) {
        _cleanup_free_ char *safe = text_escape(value, strlen(value));

        if (safe && *safe)
                (void) fprintf(f, "%10s: %s\n", label, safe);
}

static void print_moment(FILE *f, const char *label, int64_t msec) {
        char absolute[TEXT_SHORT_MAX], relative[TEXT_SHORT_MAX];

        if (msec > 0)
                (void) fprintf(f, "%10s: %s (%s)\n", label, text_time(msec, absolute),
                               text_relative(msec, now_msec(), relative));
}

/* In bytes, where the server tells them. */
static char *format_memory(const json_t *m, const char *bytes, const char *mebibytes, char text[TEXT_SHORT_MAX]) {
        int64_t n = json_object_get(m, bytes) ? json_int(m, bytes) : json_int(m, mebibytes) * (int64_t) MiB;

        return text_size((uint64_t) MAX(n, 0), text);
}

static void print_amounts(FILE *f, const char *label, const json_t *m, const char *in, const char *in_name,
                          const char *out, const char *out_name) {
        char came[TEXT_SHORT_MAX], went[TEXT_SHORT_MAX];

        (void) fprintf(f, "%10s: %s %s, %s %s\n", label, text_size((uint64_t) MAX(json_int(m, in), 0), came), in_name,
                       text_size((uint64_t) MAX(json_int(m, out), 0), went), out_name);
}

static void print_metrics(FILE *f, const json_t *m) {
        char used[TEXT_SHORT_MAX], limit[TEXT_SHORT_MAX];

        (void) fprintf(f, "%10s: %.1f%%\n", "CPU", json_number_value(json_object_get(m, "cpuPercent")));
        (void) fprintf(f, "%10s: %s of %s\n", "Memory", format_memory(m, "memoryUsageBytes", "memoryUsageMb", used),
                       format_memory(m, "memoryLimitBytes", "memoryLimitMb", limit));
        (void) fprintf(f, "%10s: %" PRIi64 "\n", "Processes", json_int(m, "pids"));
        print_amounts(f, "Network", m, "networkRxBytes", "received", "networkTxBytes", "sent");
        print_amounts(f, "Disk", m, "ioReadBytes", "read", "ioWriteBytes", "written");
        if (streq(json_text(m, "source"), "proc"))
                print_field(f, "Figures", "sums over the processes, not exact: this host has no controllers");
}

static void print_sandbox(FILE *f, const json_t *sandbox, const json_t *metrics) {
        const json_t *config = json_object_get(sandbox, "config");
        json_t *metadata = json_object_get(sandbox, "metadata"), *value;
        const char *key;

        print_field(f, "ID", json_text(sandbox, "id"));
        print_field(f, "Name", json_text(sandbox, "name"));
        print_field(f, "Image", json_text(sandbox, "image"));
        print_field(f, "Status", json_text(sandbox, "status"));
        print_moment(f, "Created", json_int(sandbox, "createdAt"));
        print_moment(f, "Expires", json_int(sandbox, "expiresAt"));
        print_field(f, "Directory", json_text(config, "workdir"));
        if (metrics)
                print_metrics(f, metrics);
        json_object_foreach(metadata, key, value) {
                _cleanup_free_ char *line = NULL;

                if (json_is_string(value) && asprintf(&line, "%s=%s", key, json_string_value(value)) >= 0)
                        print_field(f, "Metadata", line);
        }
}

static int show_status(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL, *path = NULL, *metrics_path = NULL;
        _cleanup_json_ json_t *sandbox = NULL, *metrics = NULL;
        int r;

        r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s", id);
        r = ctl_request(c, id, "GET", path, NULL, &sandbox);
        if (r != EXIT_STATUS_OK)
                return r;

        /* One that has stopped has nothing to measure. */
        if (streq(json_text(sandbox, "status"), "running") || streq(json_text(sandbox, "status"), "paused")) {
                metrics_path = ctl_path("/sandboxes/%s/metrics", id);
                r = ctl_request(c, id, "GET", metrics_path, NULL, &metrics);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        if (c->json) {
                if (metrics)
                        json_object_set(sandbox, "metrics", metrics);
                return ctl_print_json(c, sandbox);
        }
        print_sandbox(c->out, sandbox, metrics);
        return EXIT_STATUS_OK;
}

int verb_status(Ctl *c, char **words) {
        return watch_run(c, words, show_status);
}

/* Resolves, sends one request to "/sandboxes/ID<suffix>" and prints the reply where it is wanted. */
static int act(Ctl *c, const char *word, const char *method, const char *suffix, json_t *body, json_t **ret) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        _cleanup_json_ json_t *owned = body, *reply = NULL;
        int r;

        r = ctl_resolve(c, word, &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s%s", id, suffix);
        r = ctl_request(c, id, method, path, json_incref(owned), &reply);
        if (r == EXIT_STATUS_OK && c->json)
                r = ctl_print_json(c, reply);
        if (r == EXIT_STATUS_OK && ret)
                *ret = TAKE_PTR(reply);
        return r;
}

/* The same for each word: goes on behind a failure, ends with the first one. */
static int act_all(Ctl *c, char **words, const char *method, const char *suffix) {
        int result = EXIT_STATUS_OK;

        STRV_FOREACH(word, words) {
                int r = act(c, *word, method, suffix, NULL, NULL);

                if (result == EXIT_STATUS_OK)
                        result = r;
        }
        return result;
}

int verb_kill(Ctl *c, char **words) {
        return act_all(c, words, "DELETE", "");
}

int verb_pause(Ctl *c, char **words) {
        return act_all(c, words, "POST", "/pause");
}

int verb_resume(Ctl *c, char **words) {
        return act_all(c, words, "POST", "/resume");
}

/* The API wants a moment, people think in spans. The two clocks are one on the local socket; over a network their
 * difference is the caller's. */
int verb_renew(Ctl *c, char **words) {
        _cleanup_json_ json_t *sandbox = NULL;
        uint64_t seconds;
        json_t *body;
        int r;

        if (parse_seconds(words[1], &seconds) < 0 || seconds > UINT32_MAX)
                return ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is no time; say seconds, 5min or 2h", words[1]);
        body = json_pack("{s:I}", "expiresAt", (json_int_t) (now_msec() + (int64_t) seconds * 1000));
        if (!body)
                return ctl_oom(c);
        r = act(c, words[0], "POST", "/renew", body, &sandbox);
        if (r == EXIT_STATUS_OK && !c->json)
                print_moment(c->out, "Expires", json_int(sandbox, "expiresAt"));
        return r;
}

int verb_limits(Ctl *c, char **words) {
        json_t *body = json_object();

        if (json_set_uint(body, "memory", arg_memory) < 0 || json_set_uint(body, "pids", arg_pids) < 0 ||
            json_set_number(body, "cpu", arg_cpu) < 0) {
                json_decref(body);
                return ctl_oom(c);
        }
        if (json_object_size(body) == 0) {
                json_decref(body);
                return ctl_fail(c, EXIT_STATUS_USAGE, "say what to change: --memory, --cpu or --pids");
        }
        return act(c, words[0], "POST", "/limits", body, NULL);
}
