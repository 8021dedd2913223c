/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/command-internal.h"
#include "sandboxd/command-pipe.h"
#include "sandboxd/log-watch.h"
#include "sandboxd/manager.h"
#include "sandboxd/sandbox-event.h"
#include "sandboxd/terminal.h"

/* The order of events is not in our hands: the end of a command may be heard of before the answer to its start, the
 * connection may break between any two of them, and its sandbox may go away first. So every event ends in one of three
 * functions, mark_running(), finish() and fail(), and each of them looks at the state before it does anything.
 *
 * Reading at the end is bounded by what stands in the pipe at that moment. The main process has written all it ever
 * will, and what background children add later is nobody's answer. */

#define READ_SIZE (64U * 1024)

/* More than the kernel holds for a terminal: its buffers, and what its line discipline makes of them. */
#define TERMINAL_REST_MAX (256U * 1024)

/* Until the pipes are there, the end is only noted: what was written last would be lost. */
struct Adoption {
        Command *command;
        CommandStatus status;
};

static const char *const id_prefixes[_COMMAND_KIND_MAX] = {
        [COMMAND_EXEC] = "bg",     [COMMAND_STREAM] = "bg", [COMMAND_BACKGROUND] = "bg", [COMMAND_TERMINAL] = "term",
        [COMMAND_KERNEL] = "kern", [COMMAND_JOB] = "run",   [COMMAND_STRANGER] = "bg",
};

int command_new(Manager *m, Sandbox *s, CommandKind kind, const char *text, Command **ret) {
        _cleanup_(command_unrefp) Command *c = NULL;
        int r;

        c = new0(Command, 1);
        if (!c)
                return -ENOMEM;
        *c = (Command) {
                .n_ref = 1,
                .manager = m,
                .sandbox = sandbox_ref(s),
                .kind = kind,
                .started_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC,
                .started_usec = now_usec(CLOCK_BOOTTIME),
                .outputs = { { .command = c, .fd = -EBADF }, { .command = c, .fd = -EBADF, .is_stderr = true } },
                .stdin_fd = -EBADF,
                .spec = COMMAND_SPEC_DEFAULT,
                .child_fds = { -EBADF, -EBADF, -EBADF },
        };

        c->text = strdup(text);
        if (!c->text)
                return -ENOMEM;
        r = object_id_random(id_prefixes[kind], c->id);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

Command *command_ref(Command *c) {
        if (c)
                c->n_ref++;
        return c;
}

static void close_output(CommandOutput *o) {
        o->source = sd_event_source_disable_unref(o->source);
        o->fd = safe_close(o->fd);
}

static void forget_start(Command *c) {
        close_many(c->child_fds, ELEMENTSOF(c->child_fds));
        for (size_t i = 0; i < ELEMENTSOF(c->child_fds); i++)
                c->child_fds[i] = -EBADF;
        command_spec_done(&c->spec);
}

Command *command_unref(Command *c) {
        if (c && --c->n_ref == 0) {
                for (size_t i = 0; i < ELEMENTSOF(c->outputs); i++) {
                        close_output(c->outputs + i);
                        spool_unref(c->outputs[i].spool);
                }
                command_close_input(c);
                forget_start(c);
                output_times_done(&c->times);
                terminal_free(c->terminal);
                sandbox_unref(c->sandbox);
                free(c->text);
                free(c);
        }
        return NULL;
}

void command_set_handlers(Command *c, const CommandHandlers *handlers, void *userdata) {
        c->handlers = handlers;
        c->userdata = userdata;
}

bool command_is_live(const Command *c) {
        return c->state == COMMAND_STARTING || c->state == COMMAND_RUNNING;
}

bool command_is_kept(const Command *c) {
        return c->kind == COMMAND_BACKGROUND || c->kind == COMMAND_TERMINAL || c->kind == COMMAND_KERNEL;
}

int command_exit_code(const Command *c) {
        if (c->state != COMMAND_EXITED)
                return -1;
        return c->code == CLD_EXITED ? c->status : 128 + c->status;
}

uint64_t command_duration_msec(const Command *c) {
        uint64_t end = c->ended_usec > 0 ? c->ended_usec : now_usec(CLOCK_BOOTTIME);

        return end > c->started_usec ? MAX((end - c->started_usec) / USEC_PER_MSEC, UINT64_C(1)) : 1;
}

static void take_output(CommandOutput *o, const char *data, size_t n) {
        Command *c = o->command;
        int r;

        log_watch_note(c);

        if (o->spool) {
                r = spool_append(o->spool, data, n);
                if (r < 0 && spool_dropped(o->spool) == n)
                        log_sandbox_errno(LOG_WARNING, r, c->sandbox->id,
                                          "Failed to keep the output of command %s: %m", c->id);
        }
        if (c->handlers && c->handlers->on_output)
                c->handlers->on_output(c, o->is_stderr, data, n, c->userdata);
}

/* What outlives us must lose nothing when we are killed between a read and a write. */
static bool has_live_spool(const CommandOutput *o) {
        const Command *c = o->command;

        return c->kind == COMMAND_TERMINAL || c->kind == COMMAND_BACKGROUND || (c->kind == COMMAND_JOB && o->spool);
}

static ssize_t fill_spool(CommandOutput *o) {
        Command *c = o->command;
        ssize_t n;

        log_watch_note(c);
        n = spool_fill(o->spool, o->fd);
        if (n > 0 && c->handlers && c->handlers->on_output)
                c->handlers->on_output(c, o->is_stderr, NULL, (size_t) n, c->userdata);
        return n == 0 ? -EPIPE : n == -EAGAIN || n == -EINTR ? 0 : n;
}

/* At most limit bytes, so that a child that writes for ever does not keep us. */
static ssize_t read_output(CommandOutput *o, size_t limit) {
        static char buffer[READ_SIZE];
        ssize_t n;

        if (has_live_spool(o)) {
                n = fill_spool(o);
                if (n != -EFAULT)
                        return n;
                /* The disk is full: it is lost, but nobody has to wait for us. */
        }
        n = read(o->fd, buffer, MIN(limit, sizeof buffer));
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -EPIPE;
        take_output(o, buffer, (size_t) n);
        return n;
}

static int on_output_ready(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        CommandOutput *o = userdata;
        _cleanup_(command_unrefp) Command *c = command_ref(o->command);

        (void) source;
        (void) fd;
        (void) events;
        if (read_output(o, READ_SIZE) >= 0)
                return 0;
        /* A terminal that nobody has open may be opened again, by its name or as /dev/tty. */
        if (c->kind == COMMAND_TERMINAL)
                return sd_event_source_set_enabled(o->source, SD_EVENT_OFF);
        close_output(o);
        return 0;
}

/* What stands in the pipe when the main process has ended is all of what it wrote, and perhaps something of children
 * that live on: those are not waited for. */
static void drain_output(CommandOutput *o) {
        int left = TERMINAL_REST_MAX;

        /* A terminal does not tell: its output is on its way through a queue of the kernel, which only reading empties. */
        if (o->fd < 0 || (o->command->kind != COMMAND_TERMINAL && ioctl(o->fd, FIONREAD, &left) < 0))
                return;
        while (left > 0) {
                ssize_t n = read_output(o, (size_t) left);

                if (n <= 0)
                        break;
                left -= (int) n;
        }
}

static void end(Command *c) {
        c->finished_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
        if (c->ended_usec == 0)
                c->ended_usec = now_usec(CLOCK_BOOTTIME);
        for (size_t i = 0; i < ELEMENTSOF(c->outputs); i++)
                close_output(c->outputs + i);
        command_close_input(c);
        forget_start(c);
        c->attended = false;
        c->sandbox->n_live--;
        manager_unattend(c->manager);
}

static void send_kill(Command *c) {
        if (!c->manager->stopping)
                (void) execd_signal(c->manager->execd, c->sandbox->id, c->id, SIGKILL, /* all= */ true, peer_ignore,
                                    NULL);
}

static void finish(Command *c, CommandState state) {
        const CommandHandlers *handlers;

        command_drain(c);
        c->state = state;
        end(c);

        log_watch_wake(c->manager, c->sandbox); /* a last line may have no end */
        handlers = TAKE_PTR(c->handlers);
        if (handlers && handlers->on_finished)
                handlers->on_finished(c, c->userdata);
        if (command_is_kept(c) && !c->forgotten)
                (void) command_save(c);
        if (state == COMMAND_EXITED)
                sandbox_event_exec(c);
        if (state == COMMAND_EXITED && c->forgotten)
                send_kill(c); /* what the shell left behind */
        for (size_t i = 0; i < ELEMENTSOF(c->outputs); i++)
                spool_rest(c->outputs[i].spool);
        if (state == COMMAND_EXITED && !c->unrecorded)
                (void) execd_acknowledge(c->manager->execd, c->sandbox->id, c->id);
        if (!command_is_kept(c) || c->forgotten)
                manager_drop_command(c->manager, c);
}

void command_fail(Command *c, const sd_bus_error *error) {
        const CommandHandlers *handlers = TAKE_PTR(c->handlers);

        c->state = COMMAND_LOST;
        end(c);
        if (handlers && handlers->on_failed)
                handlers->on_failed(c, error, c->userdata);
        manager_drop_command(c->manager, c);
}

static void mark_running(Command *c, uint32_t pid) {
        if (c->state != COMMAND_STARTING)
                return;
        c->state = COMMAND_RUNNING;
        c->pid = pid;
        forget_start(c);
        if (c->killed)
                send_kill(c); /* the first one found an empty cgroup */
        if (command_is_kept(c))
                (void) command_save(c);
        if (c->handlers && c->handlers->on_started)
                c->handlers->on_started(c, c->userdata);
}

static int attach(Command *c, const CommandStatus *status);

void command_on_status(Command *c, const CommandStatus *status) {
        _cleanup_(command_unrefp) Command *held = command_ref(c);

        if (!command_is_live(c))
                return;
        if (c->adoption) {
                c->adoption->status = *status;
                return;
        }
        /* Only init has its master, which is to be here before anybody hears that it runs, or that it has ended. */
        if ((c->kind == COMMAND_TERMINAL || c->foreign) && !c->taken && attach(c, status) >= 0)
                return;
        if (status->pid > 0)
                c->pid = status->pid;
        mark_running(c, c->pid);
        if (status->running && c->killed)
                send_kill(c); /* execd was away */
        if (status->running || !command_is_live(c))
                return;
        c->code = status->code;
        c->status = status->status;
        c->timed_out = status->timed_out;
        c->oom = status->oom;
        c->ended_usec = status->ended_usec;
        finish(c, COMMAND_EXITED);
}

static int ask(Command *c);

void command_on_sandbox_gone(Command *c) {
        c->repeated = c->interrupted = true;
        c->adoption = NULL;
        if (c->attended)
                command_on_unknown(c);
}

/* A command whose start was interrupted is asked for once more: its id is ours, so it cannot run twice. */
void command_on_unknown(Command *c) {
        _cleanup_(command_unrefp) Command *held = command_ref(c);
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (!command_is_live(c))
                return;
        if (c->state == COMMAND_RUNNING) {
                finish(c, COMMAND_LOST);
                return;
        }
        if (!c->interrupted)
                return; /* asked over the connection of today: the answer will come */
        c->interrupted = false;
        /* A job is asked for as often as it takes: to give up would leave it open whether it runs. */
        if ((!c->repeated || (c->kind == COMMAND_JOB && sandbox_is_live(c->sandbox))) && !c->killed) {
                c->repeated = true;
                if (ask(c) >= 0)
                        return;
        }
        (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "The command was not started; please try again.");
        command_fail(c, &error);
}

static void on_running(Command *c, uint32_t pid) {
        if (c->kind == COMMAND_TERMINAL)
                command_on_status(c, &(CommandStatus) { .pid = pid, .running = true });
        else
                mark_running(c, pid);
}

static void on_exec_reply(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(command_unrefp) Command *c = userdata;
        uint32_t pid = 0;

        if (c->state != COMMAND_STARTING)
                return;
        if (reply && sd_bus_message_read(reply, "u", &pid) >= 0)
                on_running(c, pid);
        else if (c->kind == COMMAND_JOB && c->manager->stopping)
                return; /* the next process asks again */
        else if (error && (!c->repeated || c->kind == COMMAND_JOB) && execd_client_is_lost(c->manager->execd)) {
                log_sandbox(LOG_INFO, c->sandbox->id, "The start of command %s was interrupted.", c->id);
                c->interrupted = true; /* whether it runs is told when execd is back */
        } else if (error && (c->kind != COMMAND_JOB || command_look_up(c, error) < 0))
                command_fail(c, error);
}

static int ask(Command *c) {
        int keep[3], r;
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(c->outputs); i++)
                if (c->outputs[i].fd >= 0)
                        keep[n++] = c->outputs[i].fd;
        if (c->kind == COMMAND_KERNEL)
                keep[n++] = c->stdin_fd;

        r = execd_exec(c->manager->execd, &(ExecCall) { .sandbox = c->sandbox->id, .command = c->id, .spec = &c->spec,
                                                        .stdio = c->child_fds, .keep = keep, .n_keep = n },
                       on_exec_reply, c);
        if (r >= 0)
                command_ref(c);
        return r;
}

static int watch_output(CommandOutput *o) {
        return sd_event_add_io(o->command->manager->event, &o->source, o->fd, EPOLLIN, on_output_ready, o);
}

/* Init makes the terminal. */
static int open_terminal(Command *c) {
        for (size_t i = 1; i < ELEMENTSOF(c->child_fds); i++) {
                c->child_fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (c->child_fds[i] < 0)
                        return -errno;
        }
        return spool_new_live(c->manager->spool_fd, c->id, &c->outputs[0].spool);
}

static int open_outputs(Command *c) {
        bool merged = c->kind == COMMAND_BACKGROUND;
        int r;

        if (c->kind == COMMAND_TERMINAL)
                return open_terminal(c);
        r = c->kind == COMMAND_JOB ? command_open_spools(c) : 0;
        if (r < 0)
                return r;
        for (size_t i = 0; i < (merged ? 1 : 2); i++) {
                r = make_pipe(&c->outputs[i].fd, &c->child_fds[1 + i], /* input= */ false);
                if (r < 0)
                        return r;
                if (c->kind != COMMAND_STREAM && c->kind != COMMAND_KERNEL && c->kind != COMMAND_JOB) {
                        r = merged ? spool_new_live(c->manager->spool_fd, c->id, &c->outputs[i].spool)
                                   : spool_new(c->manager->spool_fd, NULL, &c->outputs[i].spool);
                        if (r < 0)
                                return r;
                }
                r = watch_output(c->outputs + i);
                if (r < 0)
                        return r;
        }
        if (merged) {
                c->child_fds[2] = fcntl(c->child_fds[1], F_DUPFD_CLOEXEC, 3);
                if (c->child_fds[2] < 0)
                        return -errno;
        }
        return 0;
}

static void begin_life(Command *c) {
        c->attended = true;
        c->sandbox->n_live++;
        manager_attend(c->manager);
}

int command_start(Command *c, CommandSpec *spec, const CommandInput *input, const CommandHandlers *handlers,
                  void *userdata) {
        int r;

        c->spec = *spec;
        *spec = COMMAND_SPEC_DEFAULT;
        c->timeout_usec = c->spec.timeout_usec;

        /* Here and nowhere before, so that nobody who shows or keeps an environment has them in his hands. */
        r = sandbox_add_secrets(c->sandbox, &c->spec.env);
        if (r >= 0)
                r = open_outputs(c);
        if (r >= 0)
                r = command_open_input(c, input);
        if (r >= 0)
                r = manager_add_command(c->manager, c);
        if (r < 0)
                return r;

        begin_life(c);
        r = ask(c);
        if (r < 0) {
                c->state = COMMAND_LOST;
                end(c);
                manager_drop_command(c->manager, c);
                return r;
        }
        command_set_handlers(c, handlers, userdata);
        return 0;
}

static void take_pipes(Command *c, sd_bus_message *reply) {
        int r = 0, fd;

        if (!command_is_live(c) || sd_bus_message_enter_container(reply, 'a', "h") < 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(c->outputs) && sd_bus_message_read_basic(reply, 'h', &fd) > 0; i++) {
                close_output(c->outputs + i);
                c->outputs[i].fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (c->outputs[i].fd >= 0 && c->terminal)
                        r = terminal_take(c->terminal, c->outputs[i].fd);
                if (c->outputs[i].fd >= 0 && r >= 0)
                        r = watch_output(c->outputs + i);
                if (r < 0)
                        log_sandbox_errno(LOG_WARNING, r, c->sandbox->id, "Failed to watch command %s: %m", c->id);
        }
        if (c->kind == COMMAND_KERNEL && sd_bus_message_read_basic(reply, 'h', &fd) > 0)
                c->stdin_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void on_attached(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_free_ Adoption *a = userdata;
        _cleanup_(command_unrefp) Command *c = a->command;

        c->adoption = NULL;
        /* Its status would end it here, and what it has written would be lost. It is told again, with the pipes. */
        if (error && !c->terminal && execd_client_is_lost(c->manager->execd)) {
                c->foreign = true;
                return;
        }
        c->taken = true;
        if (error)
                log_sandbox(LOG_WARNING, c->sandbox->id, "Failed to read on at command %s: %s", c->id,
                            error->message);
        if (reply)
                take_pipes(c, reply);
        if (c->terminal)
                terminal_settled(c->terminal);
        if (c->handlers && c->handlers->on_attached)
                c->handlers->on_attached(c, c->userdata);
        command_on_status(c, &a->status);
}

static int attach(Command *c, const CommandStatus *status) {
        Adoption *a;
        int r;

        a = new0(Adoption, 1);
        if (!a)
                return -ENOMEM;
        *a = (Adoption) { .command = c, .status = *status };

        r = execd_attach(c->manager->execd, c->sandbox->id, c->id, on_attached, a);
        if (r < 0) {
                free(a);
                return r;
        }
        command_ref(c);
        c->adoption = a;
        return 0;
}

int command_adopt(Command *c, const CommandStatus *status) {
        int r;

        r = attach(c, status);
        if (r < 0)
                return r;
        c->state = COMMAND_RUNNING;
        c->pid = status->pid;
        c->started_usec = status->started_usec;
        begin_life(c);
        return 0;
}

void command_kill(Command *c) {
        if (!command_is_live(c))
                return;
        c->killed = true;
        send_kill(c);
}

void command_drain(Command *c) {
        for (size_t i = 0; i < ELEMENTSOF(c->outputs); i++)
                drain_output(c->outputs + i);
}

void command_set_reading(Command *c, bool reading) {
        for (size_t i = 0; i < ELEMENTSOF(c->outputs); i++)
                if (c->outputs[i].source)
                        (void) sd_event_source_set_enabled(c->outputs[i].source, reading ? SD_EVENT_ON : SD_EVENT_OFF);
}
