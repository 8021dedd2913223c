/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/command-bus.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/stats.h"

/* A command lives in init's table as long as its end is not acknowledged; what is here is a picture of it that a restart
 * paints again. Its cgroup is ours: made before the command starts, so that clone3() puts it there at once and nothing
 * ever moves, and removed when the last process in it is gone. */

/* For an acknowledgement to get to init, which until then ends also what a command has left behind. */
#define DEADLINE_MARGIN_USEC (10 * USEC_PER_SEC)

static void command_release(Command *c) {
        if (c->held)
                service_release(c->sandbox->manager->service);
        c->held = false;
}

static void command_hold(Command *c) {
        if (!c->held)
                service_hold(c->sandbox->manager->service);
        c->held = true;
}

static void command_free(Command *c) {
        if (!c)
                return;
        command_release(c);
        (void) hashmap_remove(c->sandbox->commands, c->id);
        sd_event_source_disable_unref(c->watch);
        sd_bus_message_unref(c->call);
        free(c);
}

static int command_new(Sandbox *s, const char *id, Command **ret) {
        Command *c = new0(Command, 1);
        int r;

        if (!c)
                return -ENOMEM;
        c->sandbox = s;
        snprintf(c->id, sizeof c->id, "%s", id);
        r = hashmap_put(s->commands, c->id, c);
        if (r < 0) {
                free(c);
                return r;
        }
        *ret = c;
        return 0;
}

/* It becomes no path, but stands in logs and in packets of a fixed size. */
bool command_id_is_valid(const char *id) {
        size_t n = strlen(id);

        return n > 0 && n < INIT_COMMAND_ID_MAX &&
               strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

Command *command_get(Sandbox *s, const char *id) {
        Command *c = hashmap_get(s->commands, id);

        return c && !c->acknowledged ? c : NULL;
}

unsigned commands_running(Sandbox *s) {
        unsigned n = 0;
        Command *c;

        HASHMAP_FOREACH(c, s->commands)
                n += c->running;
        return n;
}

static void cgroup_path_of(const Command *c, char ret[32]) {
        snprintf(ret, 32, CGROUP_NAME_RUN "/%s", c->cgroup);
}

/* Kernels before 6.5 forget what a cgroup read and wrote on disk and had not told its parent when it is removed. To be
 * asked makes it tell. */
static void flush_io(int cgroup_fd, const char *path) {
        _cleanup_free_ char *text = NULL;
        char file[48];

        snprintf(file, sizeof file, "%s/io.stat", path);
        (void) read_text_at(cgroup_fd, file, 64 * KiB, &text);
}

static bool remove_cgroup(Command *c) {
        char path[32];

        if (c->sandbox->cgroup_fd < 0 || isempty(c->cgroup))
                return true;
        cgroup_path_of(c, path);
        flush_io(c->sandbox->cgroup_fd, path);
        return cgroup_remove_tree(c->sandbox->cgroup_fd, path) >= 0;
}

/* By us, or by init at the deadline. Kernels compare how often a cgroup was killed with that count of the cgroup that the
 * clone comes from, and so end at once what is cloned into one that ever was. */
static bool may_have_been_killed(const Command *c) {
        return c->killed || c->timed_out || c->deadline_usec < usec_add(now_usec(CLOCK_BOOTTIME), DEADLINE_MARGIN_USEC);
}

/* An empty cgroup is kept for the sandbox's next command: to make one and remove it again costs more than all else that
 * is done here for a command, takes the kernel's one lock of all cgroups, and leaves a dying memory controller behind.
 * But not one in which the kernel ran out of memory: its counter of that is what tells the next command's end. */
static bool recycle_cgroup(Command *c) {
        Sandbox *s = c->sandbox;
        uint64_t populated;
        char path[64];

        if (s->state != SANDBOX_LIVE || !isempty(s->spare_cgroup) || isempty(c->cgroup) || c->oom ||
            may_have_been_killed(c))
                return false;
        snprintf(path, sizeof path, CGROUP_NAME_RUN "/%s/cgroup.events", c->cgroup);
        if (cgroup_read_key(s->cgroup_fd, path, "populated", &populated) < 0 || populated != 0)
                return false;
        strcpy(s->spare_cgroup, c->cgroup);
        return true;
}

static bool retire_cgroup(Command *c) {
        return recycle_cgroup(c) || remove_cgroup(c);
}

static int on_cgroup_event(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* The cgroup of an ended command is of no use to it any more; while a background child keeps it busy, waits for its
 * end. */
static void command_settle(Command *c) {
        _cleanup_close_ int dir = -EBADF;
        char path[32];

        if (!retire_cgroup(c)) {
                cgroup_path_of(c, path);
                dir = cgroup_open(c->sandbox->cgroup_fd, path);
                if (dir >= 0 && !c->watch)
                        (void) cgroup_watch(service_event(c->sandbox->manager->service), dir, on_cgroup_event, c,
                                            &c->watch);
                /* It may have become empty before the watch was there. */
                if (c->watch && (cgroup_watch_populated(c->watch) != 0 || !retire_cgroup(c)))
                        return;
        }
        c->watch = sd_event_source_disable_unref(c->watch);
        c->cgroup[0] = 0;
        if (c->acknowledged)
                command_free(c);
}

static int on_cgroup_event(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void) source;
        (void) fd;
        (void) revents;
        command_settle(userdata);
        return 0;
}

void command_adopt_cgroup(Sandbox *s, const char *cgroup) {
        char id[INIT_COMMAND_ID_MAX];
        Command *c;

        /* No client can choose this name. */
        if ((size_t) snprintf(id, sizeof id, ".%s", cgroup) >= sizeof id || strlen(cgroup) >= sizeof c->cgroup ||
            command_new(s, id, &c) < 0)
                return;
        strcpy(c->cgroup, cgroup);
        c->acknowledged = c->killed = true;
        command_settle(c);
}

static int reuse_cgroup(Command *c) {
        char path[32];

        if (isempty(c->sandbox->spare_cgroup))
                return -ENOENT;
        strcpy(c->cgroup, c->sandbox->spare_cgroup);
        c->sandbox->spare_cgroup[0] = 0;
        cgroup_path_of(c, path);
        return cgroup_open(c->sandbox->cgroup_fd, path);
}

static int make_cgroup(Command *c, int *ret) {
        Sandbox *s = c->sandbox;
        _cleanup_close_ int dir = -EBADF;
        char path[32];
        int r;

        dir = reuse_cgroup(c);
        if (dir >= 0) {
                *ret = TAKE_FD(dir);
                return 0;
        }
        snprintf(c->cgroup, sizeof c->cgroup, "exec-%u", ++s->next_exec);
        cgroup_path_of(c, path);
        r = cgroup_make(s->cgroup_fd, path);
        if (r < 0)
                return r;
        dir = cgroup_open(s->cgroup_fd, path);
        if (dir < 0)
                return dir;
        /* Init clones into it and ends it at the command's deadline, as root of the sandbox; Signal() ends it, too. */
        r = cgroup_give(dir, "cgroup.procs", s->record.base);
        if (r >= 0)
                r = cgroup_share(dir, "cgroup.kill", s->record.base);
        if (r < 0)
                return r;
        *ret = TAKE_FD(dir);
        return 0;
}

static void on_started(int error, const InitReply *reply, int *fds, size_t n_fds, void *userdata) {
        Command *c = userdata;

        (void) fds;
        (void) n_fds;
        if (error >= 0) {
                c->pid = reply->pid;
                command_reply_started(c);
                return;
        }
        command_reply_failed(c, error, reply);
        command_release(c);
        /* Nothing was started, so nothing of it shall be listed. */
        if (c->sandbox->state == SANDBOX_ENDING)
                return; /* the table is being freed with the sandbox */
        c->running = false;
        c->acknowledged = true;
        command_settle(c);
}

int command_start(Sandbox *s, const char *id, const CommandSpec *spec, const int *fds, size_t n_fds,
                  sd_bus_message *call, sd_bus_error *error) {
        _cleanup_close_ int cgroup_fd = -EBADF;
        Command *c;
        int r;

        r = command_new(s, id, &c);
        if (r == -EEXIST)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "There is a command '%s' already.", id);
        if (r < 0)
                return r;
        c->running = true;
        c->n_keep = (uint32_t) n_fds - 3;

        r = make_cgroup(c, &cgroup_fd);
        if (r >= 0)
                r = command_send(c, spec, fds, n_fds, cgroup_fd, on_started);
        if (r < 0) {
                (void) remove_cgroup(c);
                command_free(c);
                return r;
        }
        c->call = sd_bus_message_ref(call);
        command_hold(c);
        return 1;
}

static bool was_oom(Command *c) {
        char path[64];
        uint64_t kills;

        /* The kernel ends all commands together (memory.oom.group), so whoever ended otherwise need not wait for us to
         * read. What was killed may be a child, whose end a shell passes on as its own. */
        if (c->status != (c->code == CLD_EXITED ? 128 + SIGKILL : SIGKILL))
                return false;
        snprintf(path, sizeof path, CGROUP_NAME_RUN "/%s/memory.events", c->cgroup);
        if (cgroup_read_key(c->sandbox->cgroup_fd, path, "oom_kill", &kills) >= 0)
                return kills > 0;
        /* Without the controller here, a count of the whole sandbox must do. */
        kills = stats_oom_kills(c->sandbox);
        if (kills == c->sandbox->oom_kills_seen)
                return false;
        c->sandbox->oom_kills_seen = kills;
        return true;
}

void command_on_message(Sandbox *s, const InitCommand *message) {
        Command *c = hashmap_get(s->commands, message->command);

        if (!c) {
                if (command_new(s, message->command, &c) < 0)
                        return;
                c->killed = true; /* for all that is known of an earlier daemon's */
        }
        c->pid = message->pid;
        c->n_keep = message->n_keep;
        c->started_usec = message->started_usec;
        snprintf(c->cgroup, sizeof c->cgroup, "%.*s", (int) sizeof message->cgroup - 1, message->cgroup);
        if (message->state == INIT_COMMAND_RUNNING) {
                c->running = true;
                command_hold(c);
                return;
        }
        if (c->exited)
                return;
        c->running = false;
        c->exited = true;
        c->code = message->code;
        c->status = message->status;
        c->timed_out = message->timed_out;
        c->ended_usec = message->ended_usec;
        c->deadline_usec = message->deadline_usec;
        c->oom = was_oom(c);
        command_release(c);
        command_emit_exited(c);
        /* Its cgroup stays its own until the acknowledgement: init would tell a restarted daemon of two in one. */
}

/* SIGKILL is the kernel's to spread, which no fork can outrun; any other signal goes to those that are found. */
int command_signal_all(Command *c, int signal) {
        _cleanup_free_ pid_t *pids = NULL;
        char path[64];
        size_t n;
        int r;

        if (isempty(c->cgroup))
                return -ESRCH;
        if (signal == SIGKILL) {
                c->killed = true;
                snprintf(path, sizeof path, CGROUP_NAME_RUN "/%s/cgroup.kill", c->cgroup);
                r = write_text_at(c->sandbox->cgroup_fd, path, "1");
                return r == -ENOENT || r == -ENODEV ? -ESRCH : r;
        }

        snprintf(path, sizeof path, CGROUP_NAME_RUN "/%s/cgroup.procs", c->cgroup);
        r = cgroup_read_pids(c->sandbox->cgroup_fd, path, &pids, &n);
        if (r < 0)
                return r == -ENOENT || r == -ENODEV ? -ESRCH : r;
        for (size_t i = 0; i < n; i++) {
                _cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, pids[i], 0);
                _cleanup_free_ pid_t *again = NULL;
                size_t n_again;

                /* The number may have been given to another process between the two looks. */
                if (pidfd < 0 || cgroup_read_pids(c->sandbox->cgroup_fd, path, &again, &n_again) < 0)
                        continue;
                for (size_t k = 0; k < n_again; k++)
                        if (again[k] == pids[i])
                                (void) syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
        }
        return 0;
}

/* Nothing is waited for: should it be lost with the connection, init tells of the command again and it is acknowledged
 * again. */
int command_acknowledge(Command *c) {
        InitCommandName message = { .header.operation = INIT_ACKNOWLEDGE };
        int r;

        if (c->running)
                return -EBUSY;
        snprintf(message.command, sizeof message.command, "%s", c->id);
        r = init_client_call(c->sandbox->init, &message, sizeof message, NULL, 0, NULL, NULL);
        if (r < 0)
                return r;
        c->acknowledged = true;
        command_settle(c);
        return 0;
}

void commands_free(Sandbox *s) {
        Command *c;

        if (!s->commands)
                return;
        HASHMAP_FOREACH(c, s->commands)
                command_free(c);
        s->commands = hashmap_free(s->commands);
}
