/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sandboxes are rows of a list: what is asked about one is read back from its row, or is the same for each. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/bus/sandboxd/fake-execd-method.h"
#include "tests/test.h"

FakeSandbox *fake_execd_add(FakeExecd *f, const char *id, const char *state, const char *label) {
        FakeSandbox *s = f->sandboxes + f->n_sandboxes++;

        assert_true(f->n_sandboxes <= FAKE_SANDBOXES_MAX);
        *s = (FakeSandbox) { .label = strdup(label), .deadline_usec = USEC_INFINITY,
                             .created_usec = now_usec(CLOCK_REALTIME) };
        snprintf(s->id, sizeof s->id, "%s", id);
        snprintf(s->state, sizeof s->state, "%s", state);
        return s;
}

static int method_reserve(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        SandboxId id;

        FAKE_BEGIN(f, m, error);
        f->n_reserved++;
        ASSERT_OK(sandbox_id_random(&id));
        ASSERT_OK(sd_bus_message_append(reply, "sb", id.digits, true));
        return fake_execd_answer(f, m, reply);
}

static int method_create(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sandbox_spec_done) SandboxSpec spec = SANDBOX_SPEC_DEFAULT;
        FakeExecd *f = userdata;
        const char *id, *target;
        SandboxId next;
        uint32_t origin;
        int fd;

        FAKE_BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        ASSERT_OK(sd_bus_message_enter_container(m, 'a', "(hsu)"));
        ASSERT_TRUE(sd_bus_message_read(m, "(hsu)", &fd, &target, &origin) > 0);
        ASSERT_TRUE(fcntl(fd, F_GETFD) >= 0);
        ASSERT_STREQ(target, "layer");
        ASSERT_EQ(sd_bus_message_read(m, "(hsu)", &fd, &target, &origin), 0);
        ASSERT_OK(sd_bus_message_exit_container(m));
        ASSERT_OK(bus_fields_read(m, sandbox_spec_fields, n_sandbox_spec_fields, &spec, error));
        fake_execd_add(f, id, "live", spec.label ?: "")->deadline_usec = spec.deadline_usec;
        ASSERT_OK(sandbox_id_random(&next));
        ASSERT_OK(sd_bus_message_append(reply, "ua{sv}", 4711U, 3, "Idmapped", "b", 1, "Next", "s",
                                        f->lend ? next.digits : "", "Writable", "s", "disk"));
        return fake_execd_answer(f, m, reply);
}

typedef struct Gone {
        const char *id, *reason;
} Gone;

static int append_gone(sd_bus_message *m, void *userdata) {
        return sd_bus_message_append(m, "ss", ((const Gone *) userdata)->id, ((const Gone *) userdata)->reason);
}

void fake_execd_remove(FakeExecd *f, FakeSandbox *s) {
        free(s->label);
        *s = f->sandboxes[--f->n_sandboxes];
}

static int method_kill(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        FakeSandbox *s;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        f->n_kills++;
        fake_execd_kill_commands(f, s->id);
        ASSERT_OK(bus_server_emit(f->server, EXEC_OBJECT, EXEC_INTERFACE, "SandboxGone", append_gone,
                                  &(Gone) { s->id, "killed" }));
        fake_execd_remove(f, s);
        return fake_execd_answer(f, m, reply);
}

static int set_state(sd_bus_message *m, void *userdata, const char *from, const char *to, sd_bus_error *error) {
        FakeExecd *f = userdata;
        FakeSandbox *s;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        if (!streq(s->state, from))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "It is %s.", s->state);
        snprintf(s->state, sizeof s->state, "%s", to);
        return fake_execd_answer(f, m, reply);
}

static int method_pause(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return set_state(m, userdata, "live", "paused", error);
}

static int method_resume(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return set_state(m, userdata, "paused", "live", error);
}

static int method_set_wake(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        FAKE_BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_basic(m, 't', &f->wake_usec));
        return fake_execd_answer(f, m, reply);
}

static int method_set_deadline(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        FakeSandbox *s;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read_basic(m, 't', &s->deadline_usec));
        return fake_execd_answer(f, m, reply);
}

static int method_claim(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *label;
        FakeSandbox *s;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read(m, "ts", &s->deadline_usec, &label));
        ASSERT_OK(free_and_strdup(&s->label, label));
        return fake_execd_answer(f, m, reply);
}

static int method_pool(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        FAKE_BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_append(reply, "a{sv}", 2, "Size", "u", 8U, "Ready", "u", 7U));
        return fake_execd_answer(f, m, reply);
}

static int method_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        FAKE_BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "(sstst)"));
        for (size_t i = 0; i < f->n_sandboxes; i++) {
                const FakeSandbox *s = f->sandboxes + i;

                ASSERT_OK(sd_bus_message_append(reply, "(sstst)", s->id, s->state, s->deadline_usec, s->label,
                                                s->created_usec));
        }
        ASSERT_OK(sd_bus_message_close_container(reply));
        return fake_execd_answer(f, m, reply);
}

static int method_stats(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        FAKE_BEGIN(f, m, error);
        if (!fake_execd_read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(bus_fields_append(reply, sandbox_stats_fields, n_sandbox_stats_fields, &f->stats));
        return fake_execd_answer(f, m, reply);
}

static int method_stats_many(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **ids = NULL;
        FakeExecd *f = userdata;

        FAKE_BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_strv(m, &ids));
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "(sa{sv})"));
        f->n_stats++;
        STRV_FOREACH(id, ids)
                if (fake_execd_find(f, *id)) {
                        ASSERT_OK(sd_bus_message_open_container(reply, 'r', "sa{sv}"));
                        ASSERT_OK(sd_bus_message_append_basic(reply, 's', *id));
                        ASSERT_OK(bus_fields_append(reply, sandbox_stats_fields, n_sandbox_stats_fields, &f->stats));
                        ASSERT_OK(sd_bus_message_close_container(reply));
                }
        ASSERT_OK(sd_bus_message_close_container(reply));
        return fake_execd_answer(f, m, reply);
}

static int method_processes(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        FAKE_BEGIN(f, m, error);
        if (!fake_execd_read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(sd_bus_message_append(reply, "a(uusttts)", 1, 7U, 0U, "S", UINT64_C(1000), 1 * MiB, 4 * MiB,
                                        "sleep 7"));
        return fake_execd_answer(f, m, reply);
}

static int method_kill_process(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        uint32_t pid;

        FAKE_BEGIN(f, m, error);
        if (!fake_execd_read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read_basic(m, 'u', &pid));
        if (pid != 7)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_PROCESS, "There is no process %u.", pid);
        return fake_execd_answer(f, m, reply);
}

static int method_set_limits(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SandboxLimits limits = {};
        FakeExecd *f = userdata;

        FAKE_BEGIN(f, m, error);
        if (!fake_execd_read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(bus_fields_read(m, sandbox_limits_fields, n_sandbox_limits_fields, &limits, error));
        return fake_execd_answer(f, m, reply);
}

const sd_bus_vtable fake_execd_sandbox_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Reserve", "", "sb", method_reserve, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Create", "sa(hsu)a{sv}", "ua{sv}", method_create, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Kill", "s", "", method_kill, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Pause", "s", "", method_pause, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Resume", "s", "", method_resume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Claim", "sts", "", method_claim, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Pool", "", "a{sv}", method_pool, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetDeadline", "st", "", method_set_deadline, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetWake", "t", "", method_set_wake, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetLimits", "sa{sv}", "", method_set_limits, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("List", "", "a(sstst)", method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Stats", "s", "a{sv}", method_stats, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("StatsMany", "as", "a(sa{sv})", method_stats_many, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Processes", "s", "a(uusttts)", method_processes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("KillProcess", "sui", "", method_kill_process, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

void fake_execd_gone(FakeExecd *f, const char *id, const char *reason) {
        FakeSandbox *s = fake_execd_find(f, id);

        (void) bus_server_emit(f->server, EXEC_OBJECT, EXEC_INTERFACE, "SandboxGone", append_gone,
                               &(Gone) { s->id, reason });
        fake_execd_remove(f, s);
}
