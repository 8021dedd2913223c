/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands are children of the test, in process groups of their own. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/bus/sandboxd/fake-execd-method.h"
#include "tests/test.h"

static int append_exit(sd_bus_message *m, void *userdata) {
        const FakeCommand *c = userdata;

        return sd_bus_message_append(m, "ssiibbt", c->sandbox, c->id, c->code, c->status, (int) c->timed_out, 0,
                                     c->ended_usec);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata) {
        FakeCommand *c = userdata;

        (void) source;
        c->running = false;
        c->code = info->si_code;
        c->status = info->si_status;
        c->ended_usec = now_usec(CLOCK_BOOTTIME);
        c->child = sd_event_source_disable_unref(c->child);
        c->timer = sd_event_source_disable_unref(c->timer);
        if (c->execd->server)
                (void) bus_server_emit(c->execd->server, EXEC_OBJECT, EXEC_INTERFACE, "CommandExited", append_exit, c);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        FakeCommand *c = userdata;

        (void) source;
        (void) usec;
        c->timed_out = true;
        (void) kill(-c->pid, SIGKILL);
        return 0;
}

static FakeCommand *find_command(FakeExecd *f, const char *id) {
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (f->commands[i].used && streq(f->commands[i].id, id))
                        return f->commands + i;
        return NULL;
}

static void forget_command(FakeCommand *c) {
        close_many(c->kept, c->n_kept);
        sd_event_source_disable_unref(c->child);
        sd_event_source_disable_unref(c->timer);
        *c = (FakeCommand) {};
}

static void run_child(const CommandSpec *spec, const int stdio[3]) {
        sigset_t none;

        if (spec->terminal_rows > 0 && (setsid() < 0 || ioctl(stdio[0], TIOCSCTTY, 0) < 0))
                _exit(126);
        for (int i = 0; i < 3; i++)
                (void) dup2(stdio[i], i);
        (void) close_range(3, ~0U, 0);
        (void) setpgid(0, 0);
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) signal(SIGPIPE, SIG_DFL);
        if (chdir(spec->cwd) < 0)
                (void) !chdir("/");
        execvpe(spec->argv[0], spec->argv, spec->env);
        _exit(127);
}

static void start_command(FakeCommand *c, const CommandSpec *spec, const int stdio[3]) {
        sd_event *event = service_event(c->execd->service);

        c->started_usec = now_usec(CLOCK_BOOTTIME);
        c->running = true;
        c->pid = fork();
        assert_true(c->pid >= 0);
        if (c->pid == 0)
                run_child(spec, stdio);
        if (spec->terminal_rows == 0) /* whose session makes a group */
                (void) setpgid(c->pid, c->pid); /* both: whoever comes first */
        ASSERT_OK(sd_event_add_child(event, &c->child, c->pid, WEXITED, on_child, c));
        if (spec->timeout_usec != USEC_INFINITY)
                ASSERT_OK(sd_event_add_time_relative(event, &c->timer, CLOCK_BOOTTIME, spec->timeout_usec, 0,
                                                     on_deadline, c));
}

static void read_descriptors(sd_bus_message *m, int *fds, size_t *n, size_t max) {
        int fd;

        *n = 0;
        ASSERT_OK(sd_bus_message_enter_container(m, 'a', "h"));
        while (sd_bus_message_read_basic(m, 'h', &fd) > 0) {
                assert_true(*n < max);
                fds[(*n)++] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        }
        ASSERT_OK(sd_bus_message_exit_container(m));
}

/* As init does it: the master is what is kept. */
static void open_terminal(FakeCommand *c, const CommandSpec *spec, int stdio[3]) {
        struct winsize size = { .ws_row = (unsigned short) spec->terminal_rows,
                                .ws_col = (unsigned short) spec->terminal_columns };
        int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

        ASSERT_OK(master);
        ASSERT_OK(grantpt(master));
        ASSERT_OK(unlockpt(master));
        slave = ASSERT_OK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
        ASSERT_OK(ioctl(slave, TIOCSWINSZ, &size));
        for (int i = 0; i < 3; i++)
                ASSERT_OK(dup3(slave, stdio[i], O_CLOEXEC));
        close(slave);
        ASSERT_EQ(c->n_kept, 0);
        c->kept[c->n_kept++] = master;
}

static int method_exec(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(command_spec_done) CommandSpec spec = COMMAND_SPEC_DEFAULT;
        FakeExecd *f = userdata;
        FakeCommand *c = f->commands;
        const char *id;
        FakeSandbox *s;
        int stdio[3];
        size_t n;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        if (f->may_repeat && find_command(f, id) && ++f->n_repeats > 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "There is a command '%s' already.", id);
        ASSERT_NULL(find_command(f, id));
        while (c->used)
                c++;
        assert_true(c < f->commands + FAKE_MAX);
        *c = (FakeCommand) { .execd = f, .used = true };
        snprintf(c->id, sizeof c->id, "%s", id);
        snprintf(c->sandbox, sizeof c->sandbox, "%s", s->id);
        ASSERT_OK(bus_fields_read(m, command_spec_fields, n_command_spec_fields, &spec, error));
        read_descriptors(m, stdio, &n, 3);
        ASSERT_EQ(n, 3);
        read_descriptors(m, c->kept, &c->n_kept, 3);
        if (spec.terminal_rows > 0)
                open_terminal(c, &spec, stdio);
        start_command(c, &spec, stdio);
        close_many(stdio, 3);
        f->n_execs++;
        ASSERT_OK(sd_bus_message_append_basic(reply, 'u', &c->pid));
        return fake_execd_answer(f, m, reply);
}

static int method_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *sandbox, *id;
        int signo, all;
        FakeCommand *c;

        FAKE_BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ssib", &sandbox, &id, &signo, &all));
        c = find_command(f, id);
        if (!c)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "There is no command %s.", id);
        (void) kill(-c->pid, signo);
        return fake_execd_answer(f, m, reply);
}

static int method_acknowledge(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *sandbox, *id;
        FakeCommand *c;

        (void) error;
        ASSERT_OK(sd_bus_message_read(m, "ss", &sandbox, &id));
        f->n_acknowledged++;
        c = find_command(f, id);
        if (c && !c->running)
                forget_command(c);
        return 1;
}

static int method_commands(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        bool hide = TAKE_GENERIC(f->hide_commands, bool, false);
        const char *id;

        FAKE_BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "(ssubiibtt)"));
        for (const FakeCommand *c = f->commands; c < f->commands + FAKE_MAX; c++)
                if (c->used && !hide && (!*id || streq(c->sandbox, id)))
                        ASSERT_OK(sd_bus_message_append(reply, "(ssubiibtt)", c->sandbox, c->id, (uint32_t) c->pid,
                                                        (int) c->running, c->code, c->status, (int) c->timed_out,
                                                        c->started_usec, c->ended_usec));
        ASSERT_OK(sd_bus_message_close_container(reply));
        return fake_execd_answer(f, m, reply);
}

static int method_attach(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *sandbox, *id;
        FakeCommand *c;

        FAKE_BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ss", &sandbox, &id));
        c = find_command(f, id);
        if (!c)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "There is no command %s.", id);
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "h"));
        for (size_t i = 0; i < c->n_kept; i++)
                ASSERT_OK(sd_bus_message_append_basic(reply, 'h', c->kept + i));
        ASSERT_OK(sd_bus_message_close_container(reply));
        return fake_execd_answer(f, m, reply);
}

void fake_execd_kill_commands(FakeExecd *f, const char *id) {
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (f->commands[i].used && f->commands[i].running && streq(f->commands[i].sandbox, id))
                        (void) kill(-f->commands[i].pid, SIGKILL);
}

void fake_execd_end_commands(FakeExecd *f) {
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (f->commands[i].used) {
                        if (f->commands[i].running) {
                                (void) kill(-f->commands[i].pid, SIGKILL);
                                (void) waitpid(f->commands[i].pid, NULL, 0);
                        }
                        forget_command(f->commands + i);
                }
}

const sd_bus_vtable fake_execd_command_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Exec", "ssa{sv}ahah", "u", method_exec, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Signal", "ssib", "", method_signal, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Acknowledge", "ss", "", method_acknowledge, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Commands", "s", "a(ssubiibtt)", method_commands, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Attach", "ss", "ah", method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
