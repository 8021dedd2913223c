/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "tests/bench/bench.h"

/* The bars. Each holds ours against something measured in the same run, because only ratios mean anything on another
 * machine. */

/* Of what is quick the slow ones must not be much slower. */
#define SPREAD_BAR 2.5

static const struct {
        const char *name, *help;
        Measure ours, reference;
        Direction direction;
        double bar;
        bool spread;
} rows[] = {
        { "create-warm",       "bwrap + seccomp",         MEASURE_CREATE_WARM,      MEASURE_BWRAP,       AT_MOST,  0.06, true  },
        { "create-blank",      "bwrap + seccomp",         MEASURE_CREATE_BLANK,     MEASURE_BWRAP,       AT_MOST,  0.20, true  },
        { "create-cold",       "bwrap, back to back",     MEASURE_CREATE_COLD,      MEASURE_BWRAP_DENSE, AT_MOST,  2.0,  true  },
        { "create-cold-calm",  "bwrap + seccomp",         MEASURE_CREATE_COLD_CALM, MEASURE_BWRAP,       NO_BAR,   0,    false },
        { "create-exec",       "bwrap + seccomp",         MEASURE_CREATE_EXEC,      MEASURE_BWRAP,       AT_MOST,  0.50, true  },
        { "create-exec-crun",  "crun run",                MEASURE_CREATE_EXEC,      MEASURE_CRUN_RUN,    AT_MOST,  0.15, false },
        { "create-exec-runc",  "runc run",                MEASURE_CREATE_EXEC,      MEASURE_RUNC_RUN,    NO_BAR,   0,    false },
        { "create-exec-nspawn", "systemd-nspawn",         MEASURE_CREATE_EXEC,      MEASURE_NSPAWN,      NO_BAR,   0,    false },
        { "exec",              "host vfork + exec",       MEASURE_EXEC,             MEASURE_SPAWN,       AT_MOST,  1.5,  true  },
        { "exec-crun",         "crun exec",               MEASURE_EXEC,             MEASURE_CRUN_EXEC,   AT_MOST,  0.20, false },
        { "exec-runc",         "runc exec",               MEASURE_EXEC,             MEASURE_RUNC_EXEC,   NO_BAR,   0,    false },
        { "delete",            "bwrap + seccomp",         MEASURE_DELETE,           MEASURE_BWRAP,       AT_MOST,  0.20, true  },
        { "pause",             "bwrap + seccomp",         MEASURE_PAUSE,            MEASURE_BWRAP,       AT_MOST,  0.06, true  },
        { "resume",            "bwrap + seccomp",         MEASURE_RESUME,           MEASURE_BWRAP,       AT_MOST,  0.06, true  },
        { "file-write",        "REST + empty bus call",   MEASURE_WRITE,            MEASURE_NOOP,        AT_MOST,  2.0,  true  },
        { "file-read",         "REST + empty bus call",   MEASURE_READ,             MEASURE_NOOP,        AT_MOST,  2.0,  true  },
        { "sustained",         "bare scopes, as many under way", MEASURE_CYCLES,    MEASURE_SCOPES,      AT_LEAST, 0.4,  false },
        { "burst",             "100 one by one",          MEASURE_BURST,            MEASURE_SEQUENCE,    AT_MOST,  1.3,  false },
        { "crowd-create",      "the same at 10 live",     MEASURE_MANY_CREATE,      MEASURE_FEW_CREATE,  AT_MOST,  1.5,  false },
        { "crowd-exec",        "the same at 10 live",     MEASURE_MANY_EXEC,        MEASURE_FEW_EXEC,    AT_MOST,  1.5,  false },
        { "clone-idle",        "cp -a of 100 MB inside",  MEASURE_CLONE_IDLE,       MEASURE_COPY_IDLE,   AT_MOST,  0.05, false },
        { "clone-busy",        "cp -a of 100 MB inside",  MEASURE_CLONE_BUSY,       MEASURE_COPY_BUSY,   AT_MOST,  1.2,  false },
        { "fork-100",          "one create",              MEASURE_FORK,             MEASURE_FORK_CREATE, AT_MOST,  40,   false },
        { "fork-100-first",    "one create",              MEASURE_FORK_FIRST,       MEASURE_FORK_CREATE, NO_BAR,   0,    false },
        { "proxied-get",       "the same GET inside",     MEASURE_GET_PROXIED,      MEASURE_GET_INSIDE,  AT_MOST,  2.5,  false },
        { "network-connect",   "ip link add, ip addr add", MEASURE_CONNECT,         MEASURE_IP_LINK,     AT_MOST,  5.0,  false },
        { "memory",            "1 MiB (VM)",              MEASURE_MEMORY,           MEASURE_ONE,         AT_MOST,  0.6,  false },
        { "resident",          "processes when idle",     MEASURE_RESIDENT,         MEASURE_ONE,         AT_MOST,  0,    false },
        { "stream",            "pipe to socket",          MEASURE_STREAM,           MEASURE_RELAY,       AT_LEAST, 0.5,  false },
        { "stream-latency",    "empty request",           MEASURE_OUTPUT_LATENCY,   MEASURE_HEALTH,      AT_MOST,  3.0,  false },
        { "stream-latency-logs", "empty request",         MEASURE_LOG_LATENCY,      MEASURE_HEALTH,      AT_MOST,  3.0,  false },
        { "stream-latency-events", "empty request",       MEASURE_EVENT_LATENCY,    MEASURE_HEALTH,      AT_MOST,  3.0,  false },
        { "port",              "plain relay",             MEASURE_PORT,             MEASURE_PLAIN_RELAY, AT_LEAST, 0.5,  false },
};

static void want(Bench *b, size_t row) {
        b->wanted[rows[row].ours] = true;
        if (rows[row].reference != MEASURE_ONE)
                b->wanted[rows[row].reference] = true;
}

/* No names: everything. A name may be a pattern, and means what begins with it. */
void rows_select(Bench *b, char *const *names) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (!*names)
                        want(b, i);
                for (char *const *n = names; *n; n++)
                        if (startswith(rows[i].name, *n) || fnmatch(*n, rows[i].name, 0) == 0)
                                want(b, i);
        }
}

static json_t *number(double value) {
        return isfinite(value) ? json_real(round(value * 1000) / 1000) : json_null();
}

/* What the other one keeps apart, and what not: a figure means little without. */
static const char *isolation_of(const Bench *b, Measure m) {
        static const char *const names[_MEASURE_MAX] = {
                [MEASURE_CRUN_RUN] = "crun-run", [MEASURE_CRUN_EXEC] = "crun-exec", [MEASURE_RUNC_RUN] = "runc-run",
                [MEASURE_RUNC_EXEC] = "runc-exec", [MEASURE_NSPAWN] = "nspawn",
        };

        if (m == MEASURE_SPAWN)
                return "none";
        if (m == MEASURE_BWRAP || m == MEASURE_BWRAP_DENSE)
                return "all namespaces but user (run by root), seccomp; no cgroup, no limits, capabilities kept";
        if (m == MEASURE_ONE || !names[m])
                return NULL;
        return json_string_value(json_object_get(json_object_get(b->peers, names[m]), "isolation"));
}

static json_t *make_row(const char *name, const char *help, const double values[3], Direction direction, double bar,
                        const char *error) {
        double ratio = values[0] / values[2];
        const char *sense = direction == AT_MOST ? "at most" : direction == AT_LEAST ? "at least" : "none";

        return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:b, s:s*}", "name", name, "against", help,
                         "ours_p50", number(values[0]), "ours_p95", number(values[1]), "reference",
                         number(values[2]), "ratio", number(ratio), "sense", sense, "bar",
                         direction == NO_BAR ? json_null() : number(bar), "ok",
                         verdict(ratio, direction, bar), "error", error);
}

static const char *what_is_missing(Measure ours) {
        return ours == MEASURE_CREATE_WARM  ? "nothing was served warm" :
               ours == MEASURE_FORK_FIRST   ? "the pool knew of bursts already: ask for this row and fork-100 alone" :
                                              "nothing was measured";
}

static void add_row(const Bench *b, size_t i, json_t *out) {
        const Samples *ours = b->samples + rows[i].ours;
        double reference = rows[i].reference == MEASURE_ONE ? 1 : samples_percentile(b->samples + rows[i].reference, 50);
        double values[3] = { samples_percentile(ours, 50), samples_percentile(ours, 95), reference };
        const char *error = b->failures[rows[i].ours], *isolation;
        char name[64];
        json_t *row;

        if (!error && rows[i].reference != MEASURE_ONE)
                error = b->failures[rows[i].reference];
        if (!error && ours->n == 0)
                error = what_is_missing(rows[i].ours);
        row = make_row(rows[i].name, rows[i].help, values, rows[i].direction, rows[i].bar, error);
        isolation = isolation_of(b, rows[i].reference);
        if (isolation)
                (void) json_object_set_new(row, "isolation", json_string(isolation));
        (void) json_array_append_new(out, row);
        if (!rows[i].spread || ours->n == 0)
                return;
        snprintf(name, sizeof name, "%s-p95", rows[i].name);
        values[2] = values[0];
        values[0] = values[1];
        (void) json_array_append_new(out, make_row(name, "its p50", values, AT_MOST, SPREAD_BAR, NULL));
}

json_t *rows_make(const Bench *b) {
        json_t *out = json_array();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (b->wanted[rows[i].ours] && (rows[i].reference == MEASURE_ONE || b->wanted[rows[i].reference]))
                        add_row(b, i, out);
        return out;
}

static void print_number(const json_t *row, const char *key, int width, RowFormat format) {
        const json_t *n = json_object_get(row, key);
        double value = json_number_value(n);

        if (format == FORMAT_MARKDOWN)
                printf(" |");
        if (!json_is_number(n))
                printf(" %*s", width, "-");
        else
                printf(" %*.*f", width, value < 10 ? 2 : value < 100 ? 1 : 0, value);
}

static void print_row(const json_t *row, RowFormat format) {
        const char *error = json_string_value(json_object_get(row, "error"));
        const char *sense = json_string_value(json_object_get(row, "sense"));
        bool judged = json_is_number(json_object_get(row, "bar"));
        const char *verdict_text = !judged ? "" : json_is_true(json_object_get(row, "ok")) ? "ok" : "MISSED";

        if (format == FORMAT_MARKDOWN)
                printf("| %s | %s", json_string_value(json_object_get(row, "name")),
                       json_string_value(json_object_get(row, "against")));
        else
                printf("%-18s %-24.24s", json_string_value(json_object_get(row, "name")),
                       json_string_value(json_object_get(row, "against")));
        print_number(row, "ours_p50", 8, format);
        print_number(row, "ours_p95", 8, format);
        print_number(row, "reference", 8, format);
        print_number(row, "ratio", 7, format);
        if (format == FORMAT_MARKDOWN)
                printf(" | %s", judged ? sense : "");
        else
                printf(" %s", judged ? streq(sense, "at most") ? "<=" : ">=" : "  ");
        if (judged)
                printf(" %.2f", json_number_value(json_object_get(row, "bar")));
        else
                printf("     ");
        printf(format == FORMAT_MARKDOWN ? " | %s%s%s |\n" : " %s%s%s\n", verdict_text, error ? ": " : "",
               error ?: "");
}

static void print_isolation(json_t *out, RowFormat format) {
        const char *item = format == FORMAT_MARKDOWN ? "- " : "";
        const json_t *row;
        size_t i;

        printf("\n%sours: pid, user, mount, net, ipc, uts, cgroup namespaces, seccomp, capabilities, a scope with "
               "limits, a range of ids of its own, its own root\n", item);
        json_array_foreach(out, i, row) {
                const char *isolation = json_string_value(json_object_get(row, "isolation"));
                bool told = !isolation;

                for (size_t k = 0; k < i && !told; k++)
                        told = json_equal(json_object_get(json_array_get(out, k), "against"),
                                          json_object_get(row, "against"));
                if (!told)
                        printf("%s%s: %s\n", item, json_string_value(json_object_get(row, "against")), isolation);
        }
}

int rows_print(json_t *out, RowFormat format) {
        const json_t *row;
        int missed = 0;
        size_t i;

        if (format == FORMAT_JSON) {
                json_dumpf(out, stdout, JSON_INDENT(2));
                putchar('\n');
        } else if (format == FORMAT_MARKDOWN)
                printf("| measure | against | p50 | p95 | reference | ratio | bar | |\n"
                       "|---|---|---|---|---|---|---|---|\n");
        else
                printf("%-18s %-24s %8s %8s %8s %7s %s\n", "", "against", "p50", "p95", "it", "ratio", "bar");
        json_array_foreach(out, i, row) {
                missed |= !json_is_true(json_object_get(row, "ok"));
                if (format != FORMAT_JSON)
                        print_row(row, format);
        }
        if (format != FORMAT_JSON)
                print_isolation(out, format);
        return missed;
}
