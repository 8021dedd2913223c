/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bus/sandboxd/fake-execd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/test.h"

static void open_server(FakeExecd *f);

static bool happens(const char **what, sd_bus_message *m) {
        bool now = streq_ptr(*what, sd_bus_message_get_member(m));

        *what = now ? NULL : *what;
        return now;
}

/* > 0: the call is done with. */
static int interfere(FakeExecd *f, sd_bus_message *m, sd_bus_error *error) {
        f->n_calls++;
        if (f->on_call)
                f->on_call(f, sd_bus_message_get_member(m));
        if (happens(&f->fail_method, m))
                return bus_error_set(error, f->fail_name, "as the test wants it");
        return happens(&f->cut_before, m) ? (fake_execd_crash(f), 1) : 0;
}

static int answer(FakeExecd *f, sd_bus_message *m, sd_bus_message *reply) {
        if (happens(&f->fail_after, m))
                return sd_bus_reply_method_errorf(m, f->fail_name, "as the test wants it");
        if (!happens(&f->cut_after, m))
                return sd_bus_message_send(reply);
        fake_execd_crash(f);
        return 1;
}

#define BEGIN(f, m, error)                                                                         \
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;                             \
        int r = interfere(f, m, error);                                                            \
        if (r != 0)                                                                                \
                return r;                                                                          \
        ASSERT_OK(sd_bus_message_new_method_return(m, &reply))

static FakeSandbox *find_sandbox(FakeExecd *f, const char *id) {
        for (size_t i = 0; i < f->n_sandboxes; i++)
                if (streq(f->sandboxes[i].id, id))
                        return f->sandboxes + i;
        return NULL;
}

static FakeSandbox *read_sandbox(FakeExecd *f, sd_bus_message *m, sd_bus_error *error) {
        const char *id;
        FakeSandbox *s;

        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        s = find_sandbox(f, id);
        if (!s)
                (void) bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "There is no sandbox %s.", id);
        return s;
}

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

        BEGIN(f, m, error);
        f->n_reserved++;
        ASSERT_OK(sandbox_id_random(&id));
        ASSERT_OK(sd_bus_message_append(reply, "sb", id.digits, true));
        return answer(f, m, reply);
}

static int method_create(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sandbox_spec_done) SandboxSpec spec = SANDBOX_SPEC_DEFAULT;
        FakeExecd *f = userdata;
        const char *id, *target;
        uint32_t origin;
        int fd;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        ASSERT_OK(sd_bus_message_enter_container(m, 'a', "(hsu)"));
        ASSERT_TRUE(sd_bus_message_read(m, "(hsu)", &fd, &target, &origin) > 0);
        ASSERT_TRUE(fcntl(fd, F_GETFD) >= 0);
        ASSERT_STREQ(target, "layer");
        ASSERT_EQ(sd_bus_message_read(m, "(hsu)", &fd, &target, &origin), 0);
        ASSERT_OK(sd_bus_message_exit_container(m));
        ASSERT_OK(bus_fields_read(m, sandbox_spec_fields, n_sandbox_spec_fields, &spec, error));
        fake_execd_add(f, id, "live", spec.label ?: "")->deadline_usec = spec.deadline_usec;
        ASSERT_OK(sd_bus_message_append(reply, "ua{sv}", 4711U, 0));
        return answer(f, m, reply);
}

typedef struct Gone {
        const char *id, *reason;
} Gone;

static int append_gone(sd_bus_message *m, void *userdata) {
        return sd_bus_message_append(m, "ss", ((const Gone *) userdata)->id, ((const Gone *) userdata)->reason);
}

static void kill_commands(FakeExecd *f, const char *id) {
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (f->commands[i].used && f->commands[i].running && streq(f->commands[i].sandbox, id))
                        (void) kill(-f->commands[i].pid, SIGKILL);
}

static void remove_sandbox(FakeExecd *f, FakeSandbox *s) {
        free(s->label);
        *s = f->sandboxes[--f->n_sandboxes];
}

static int method_kill(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        FakeSandbox *s;

        BEGIN(f, m, error);
        s = read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        f->n_kills++;
        kill_commands(f, s->id);
        ASSERT_OK(bus_server_emit(f->server, EXEC_OBJECT, EXEC_INTERFACE, "SandboxGone", append_gone,
                                  &(Gone) { s->id, "killed" }));
        remove_sandbox(f, s);
        return answer(f, m, reply);
}

static int set_state(sd_bus_message *m, void *userdata, const char *from, const char *to, sd_bus_error *error) {
        FakeExecd *f = userdata;
        FakeSandbox *s;

        BEGIN(f, m, error);
        s = read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        if (!streq(s->state, from))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "It is %s.", s->state);
        snprintf(s->state, sizeof s->state, "%s", to);
        return answer(f, m, reply);
}

static int method_pause(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return set_state(m, userdata, "live", "paused", error);
}

static int method_resume(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return set_state(m, userdata, "paused", "live", error);
}

static int method_set_wake(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_basic(m, 't', &f->wake_usec));
        return answer(f, m, reply);
}

static int method_set_deadline(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        FakeSandbox *s;

        BEGIN(f, m, error);
        s = read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read_basic(m, 't', &s->deadline_usec));
        return answer(f, m, reply);
}

static int method_claim(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *label;
        FakeSandbox *s;

        BEGIN(f, m, error);
        s = read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read(m, "ts", &s->deadline_usec, &label));
        ASSERT_OK(free_and_strdup(&s->label, label));
        return answer(f, m, reply);
}

static int method_pool(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_append(reply, "a{sv}", 2, "Size", "u", 8U, "Ready", "u", 7U));
        return answer(f, m, reply);
}

static int method_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "(sstst)"));
        for (size_t i = 0; i < f->n_sandboxes; i++) {
                const FakeSandbox *s = f->sandboxes + i;

                ASSERT_OK(sd_bus_message_append(reply, "(sstst)", s->id, s->state, s->deadline_usec, s->label,
                                                s->created_usec));
        }
        ASSERT_OK(sd_bus_message_close_container(reply));
        return answer(f, m, reply);
}

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

        BEGIN(f, m, error);
        s = read_sandbox(f, m, error);
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
        return answer(f, m, reply);
}

static int method_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *sandbox, *id;
        int signo, all;
        FakeCommand *c;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ssib", &sandbox, &id, &signo, &all));
        c = find_command(f, id);
        if (!c)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "There is no command %s.", id);
        (void) kill(-c->pid, signo);
        return answer(f, m, reply);
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

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "(ssubiibtt)"));
        for (const FakeCommand *c = f->commands; c < f->commands + FAKE_MAX; c++)
                if (c->used && !hide && (!*id || streq(c->sandbox, id)))
                        ASSERT_OK(sd_bus_message_append(reply, "(ssubiibtt)", c->sandbox, c->id, (uint32_t) c->pid,
                                                        (int) c->running, c->code, c->status, (int) c->timed_out,
                                                        c->started_usec, c->ended_usec));
        ASSERT_OK(sd_bus_message_close_container(reply));
        return answer(f, m, reply);
}

static int method_attach(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *sandbox, *id;
        FakeCommand *c;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ss", &sandbox, &id));
        c = find_command(f, id);
        if (!c)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "There is no command %s.", id);
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "h"));
        for (size_t i = 0; i < c->n_kept; i++)
                ASSERT_OK(sd_bus_message_append_basic(reply, 'h', c->kept + i));
        ASSERT_OK(sd_bus_message_close_container(reply));
        return answer(f, m, reply);
}

static int method_stats(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        BEGIN(f, m, error);
        if (!read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(bus_fields_append(reply, sandbox_stats_fields, n_sandbox_stats_fields, &f->stats));
        return answer(f, m, reply);
}

static int method_stats_many(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **ids = NULL;
        FakeExecd *f = userdata;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_strv(m, &ids));
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "(sa{sv})"));
        f->n_stats++;
        STRV_FOREACH(id, ids)
                if (find_sandbox(f, *id)) {
                        ASSERT_OK(sd_bus_message_open_container(reply, 'r', "sa{sv}"));
                        ASSERT_OK(sd_bus_message_append_basic(reply, 's', *id));
                        ASSERT_OK(bus_fields_append(reply, sandbox_stats_fields, n_sandbox_stats_fields, &f->stats));
                        ASSERT_OK(sd_bus_message_close_container(reply));
                }
        ASSERT_OK(sd_bus_message_close_container(reply));
        return answer(f, m, reply);
}

static int method_processes(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;

        BEGIN(f, m, error);
        if (!read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(sd_bus_message_append(reply, "a(uusttts)", 1, 7U, 0U, "S", UINT64_C(1000), 1 * MiB, 4 * MiB,
                                        "sleep 7"));
        return answer(f, m, reply);
}

static int method_kill_process(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        uint32_t pid;

        BEGIN(f, m, error);
        if (!read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read_basic(m, 'u', &pid));
        if (pid != 7)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_PROCESS, "There is no process %u.", pid);
        return answer(f, m, reply);
}

static int method_set_limits(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SandboxLimits limits = {};
        FakeExecd *f = userdata;

        BEGIN(f, m, error);
        if (!read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(bus_fields_read(m, sandbox_limits_fields, n_sandbox_limits_fields, &limits, error));
        return answer(f, m, reply);
}

static const sd_bus_vtable vtable[] = {
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
        SD_BUS_METHOD("Exec", "ssa{sv}ahah", "u", method_exec, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Signal", "ssib", "", method_signal, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Acknowledge", "ss", "", method_acknowledge, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Commands", "s", "a(ssubiibtt)", method_commands, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Attach", "ss", "ah", method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, EXEC_OBJECT, EXEC_INTERFACE, vtable, userdata);
}

static void open_server(FakeExecd *f) {
        uid_t uid = getuid();
        BusServerOptions options = { .service = f->service, .listen_fd = f->listen_fd, .on_connect = on_connect,
                                     .userdata = f, .uids = &uid, .n_uids = 0 };

        ASSERT_OK(bus_server_new(&options, &f->server));
}

void fake_execd_start(FakeExecd *f, Service *service, const char *directory) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *f = (FakeExecd) { .service = service, .stats = FAKE_STATS };
        assert_true(snprintf(f->path, sizeof f->path, "%s/execd.sock", directory) < (int) sizeof f->path);
        memcpy(address.sun_path, f->path, sizeof f->path);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 16), 0);
        open_server(f);
}

static int on_crash(sd_event_source *source, void *userdata) {
        FakeExecd *f = userdata;

        (void) source;
        f->server = bus_server_free(f->server);
        open_server(f);
        return 0;
}

/* A connection cannot be freed by the method that it called: the loop does it, before anything is sent. */
void fake_execd_crash(FakeExecd *f) {
        sd_event_source *source;

        ASSERT_OK(sd_event_add_defer(service_event(f->service), &source, on_crash, f));
        ASSERT_OK(sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT));
        ASSERT_OK(sd_event_source_set_floating(source, true));
        sd_event_source_unref(source);
}

void fake_execd_gone(FakeExecd *f, const char *id, const char *reason) {
        FakeSandbox *s = find_sandbox(f, id);

        (void) bus_server_emit(f->server, EXEC_OBJECT, EXEC_INTERFACE, "SandboxGone", append_gone,
                               &(Gone) { s->id, reason });
        remove_sandbox(f, s);
}

void fake_execd_stop(FakeExecd *f) {
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (f->commands[i].used) {
                        if (f->commands[i].running) {
                                (void) kill(-f->commands[i].pid, SIGKILL);
                                (void) waitpid(f->commands[i].pid, NULL, 0);
                        }
                        forget_command(f->commands + i);
                }
        while (f->n_sandboxes > 0)
                remove_sandbox(f, f->sandboxes);
        f->server = bus_server_free(f->server);
        safe_close(f->listen_fd);
}
