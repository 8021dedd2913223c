/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "sandboxctl/ctl.h"
#include "sandboxctl/doctor.h"
#include "sandboxctl/table.h"
#include "sandboxctl/verbs-table.h"

/* All checks are made and shown, also behind one that failed: who installs us wants the whole list, not one item a run.
 * Only what is missing makes the status a failure; advice is shown only where there is something to do. */

typedef struct Report {
        bool json, failed;
        Table *table;
        json_t *list;
} Report;

static int report_add(Report *report, const char *name, const DoctorResult *result, const char *advice) {
        int r;

        if (result->level == DOCTOR_OK)
                advice = "";
        if (result->level == DOCTOR_MISSING)
                report->failed = true;
        if (report->json)
                return json_array_append_new(report->list, json_pack("{s:s, s:s, s:s, s:s}", "check", name, "level",
                                                                     doctor_level_to_string(result->level), "found",
                                                                     result->found, "advice", advice));
        r = table_add(report->table, doctor_level_to_string(result->level));
        if (r >= 0)
                r = table_add(report->table, name);
        if (r >= 0)
                r = table_add(report->table, result->found);
        if (r >= 0)
                r = table_add(report->table, advice);
        return r;
}

static int add_sysctl(Report *report, const DoctorSysctl *s) {
        _cleanup_free_ char *advice = NULL;
        DoctorResult result = {};

        doctor_sysctl_run(s, "/proc", &result);
        if (asprintf(&advice, "set it to %s: %s", s->wanted, s->why) < 0) {
                advice = NULL;
                return -1;
        }
        return report_add(report, s->name, &result, advice);
}

int verb_doctor(Ctl *c, _unused_ char **words) {
        static const Column columns[] = { { "STATE" }, { "CHECK" }, { "FOUND" }, { "TO DO" }, {} };
        _cleanup_(table_freep) Table *t = table_new(columns);
        _cleanup_json_ json_t *list = json_array();
        Report report = { .json = c->json, .table = t, .list = list };
        int r = t && list ? 0 : -1;

        for (size_t i = 0; r >= 0 && i < n_doctor_checks; i++) {
                DoctorResult result = {};

                doctor_checks[i].run(&result);
                r = report_add(&report, doctor_checks[i].name, &result, doctor_checks[i].advice);
        }
        for (size_t i = 0; r >= 0 && i < n_doctor_sysctls; i++)
                r = add_sysctl(&report, doctor_sysctls + i);
        if (r < 0)
                return ctl_oom(c);
        if (c->json)
                (void) ctl_print_json(c, list);
        else
                table_show(t, c->out);
        return report.failed ? EXIT_STATUS_FAILURE : EXIT_STATUS_OK;
}
