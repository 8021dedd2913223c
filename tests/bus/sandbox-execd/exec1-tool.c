/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/sandbox-spec.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* Speaks io.sandboxd.Exec1 by hand: makes pipes and passes descriptors, which busctl cannot. For the integration tests.
 * EXEC1_SOCKET overrides the path of the socket. */

#define FOREIGN_ORIGIN 2147352576U
#define CALL_TIMEOUT_USEC (120 * USEC_PER_SEC)

static sd_bus *bus;

static int fail(const char *what, int r, const sd_bus_error *error) {
        if (error && sd_bus_error_is_set(error))
                fprintf(stderr, "%s: %s: %s\n", what, error->name, error->message);
        else
                fprintf(stderr, "%s: %s\n", what, strerror(-r));
        return 125;
}

static int connect_execd(void) {
        const char *path = getenv("EXEC1_SOCKET") ?: EXECD_SOCKET_PATH;
        char address[256];
        int r;

        snprintf(address, sizeof address, "unix:path=%s", path);
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        return r;
}

static int new_call(const char *member, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(bus, ret, NULL, EXEC_OBJECT, EXEC_INTERFACE, member);
}

/* Calls and prints the error; > 0 is the exit code. */
static int call(sd_bus_message *m, sd_bus_message **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *member = sd_bus_message_get_member(m);
        int r;

        r = sd_bus_call(bus, m, CALL_TIMEOUT_USEC, &error, ret);
        return r < 0 ? fail(member, r, &error) : 0;
}

static int call_simple(const char *member, sd_bus_message **ret, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        va_list ap;
        int r;

        r = new_call(member, &m);
        va_start(ap, types);
        if (r >= 0)
                r = sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        return r < 0 ? fail(member, r, NULL) : call(m, ret);
}

static int append_mount(sd_bus_message *m, const char *kind, char *spec) {
        _cleanup_close_ int fd = -EBADF;
        char *origin = strrchr(spec, ':');
        uint32_t first = 0;

        if (origin) {
                *origin++ = 0;
                first = streq(origin, "foreign") ? FOREIGN_ORIGIN : 0;
        }
        fd = open(spec, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return sd_bus_message_append(m, "(hsu)", fd, kind, first);
}

/* create [layer=DIR[:foreign]]... [usr=DIR] [upper=DIR:foreign] [Key=value of the spec]... [ttl=USEC] */
static int parse_spec(char **argv, SandboxSpec *spec) {
        for (; *argv; argv++) {
                char *value = strchr(*argv, '=');
                int r = 0;

                if (!value)
                        return -EINVAL;
                if (startswith(*argv, "memory="))
                        r = parse_u64(value + 1, &spec->memory_max_bytes);
                else if (startswith(*argv, "cpu="))
                        r = parse_u64(value + 1, &spec->cpu_quota_usec);
                else if (startswith(*argv, "pids="))
                        r = parse_u32(value + 1, &spec->pids_max);
                else if (startswith(*argv, "writable="))
                        r = parse_u64(value + 1, &spec->writable_bytes);
                else if (startswith(*argv, "label="))
                        r = free_and_strdup(&spec->label, value + 1);
                else if (startswith(*argv, "workdir="))
                        r = free_and_strdup(&spec->workdir, value + 1);
                else if (startswith(*argv, "hostname="))
                        r = free_and_strdup(&spec->hostname, value + 1);
                else if (startswith(*argv, "ttl=")) {
                        r = parse_u64(value + 1, &spec->deadline_usec);
                        spec->deadline_usec = usec_add(spec->deadline_usec, now_usec(CLOCK_BOOTTIME));
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int append_create(sd_bus_message *m, const char *id, char **argv) {
        static const char *const kinds[] = { "layer", "usr", "upper" };
        _cleanup_(sandbox_spec_done) SandboxSpec spec = SANDBOX_SPEC_DEFAULT;
        int r;

        r = parse_spec(argv, &spec);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", id);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(hsu)");
        for (; r >= 0 && *argv; argv++)
                for (size_t i = 0; r >= 0 && i < ELEMENTSOF(kinds); i++) {
                        char *value = (char *) startswith(*argv, kinds[i]);

                        if (value && *value == '=')
                                r = append_mount(m, kinds[i], value + 1);
                }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = bus_fields_append(m, sandbox_spec_fields, n_sandbox_spec_fields, &spec);
        return r;
}

static int verb_create(char **argv) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reserved = NULL, *m = NULL, *reply = NULL;
        const char *id;
        uint32_t pid;
        int r;

        r = call_simple("Reserve", &reserved, "");
        if (r > 0)
                return r;
        r = sd_bus_message_read(reserved, "s", &id);
        if (r >= 0)
                r = new_call("Create", &m);
        if (r >= 0)
                r = append_create(m, id, argv);
        if (r < 0)
                return fail("Create", r, NULL);
        r = call(m, &reply);
        if (r > 0)
                return r;
        r = sd_bus_message_read(reply, "u", &pid);
        if (r < 0)
                return fail("Create", r, NULL);
        printf("%s\n", id);
        fprintf(stderr, "pid %u\n", pid);
        return sd_bus_message_dump(reply, getenv("EXEC1_VERBOSE") ? stderr : fopen("/dev/null", "we"),
                                   SD_BUS_MESSAGE_DUMP_SUBTREE_ONLY) < 0;
}

typedef struct Run {
        const char *id, *command;
        bool ended, gone;
        int code, status, timed_out, oom;
} Run;

static int on_exited(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *command;
        Run *run = userdata;
        uint64_t ended;
        int code, status, timed_out, oom;

        (void) error;
        if (sd_bus_message_read(m, "ssiibbt", &id, &command, &code, &status, &timed_out, &oom, &ended) < 0 ||
            !streq(id, run->id) || !streq(command, run->command))
                return 0;
        run->ended = true;
        run->code = code;
        run->status = status;
        run->timed_out = timed_out;
        run->oom = oom;
        return 0;
}

static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *reason;
        Run *run = userdata;

        (void) error;
        if (sd_bus_message_read(m, "ss", &id, &reason) >= 0 && streq(id, run->id)) {
                fprintf(stderr, "gone: %s\n", reason);
                run->gone = true;
        }
        return 0;
}

static int add_matches(Run *run) {
        int r;

        r = sd_bus_match_signal_async(bus, NULL, NULL, EXEC_OBJECT, EXEC_INTERFACE, "CommandExited", on_exited, NULL,
                                      run);
        return r < 0 ? r : sd_bus_match_signal_async(bus, NULL, NULL, EXEC_OBJECT, EXEC_INTERFACE, "SandboxGone",
                                                     on_gone, NULL, run);
}

static int wait_bus(int extra_fd) {
        struct pollfd polls[] = {
                { .fd = sd_bus_get_fd(bus), .events = (short) sd_bus_get_events(bus) },
                { .fd = extra_fd, .events = POLLIN },
        };

        return poll(polls, 2, -1) < 0 ? -errno : polls[1].revents != 0;
}

/* Copies the command's output until its end, while signals are looked at. */
static int drive(Run *run, int fd) {
        char buffer[65536];
        int r = 0;

        while (fd >= 0 || (!run->ended && !run->gone)) {
                do
                        r = sd_bus_process(bus, NULL);
                while (r > 0);
                if (r < 0)
                        return r;
                if (fd < 0 && (run->ended || run->gone))
                        break;
                r = wait_bus(fd);
                if (r > 0) {
                        ssize_t n = read(fd, buffer, sizeof buffer);

                        if (n > 0 && loop_write(STDOUT_FILENO, buffer, (size_t) n) < 0)
                                return -EIO;
                        if (n <= 0)
                                fd = -1;
                }
        }
        return 0;
}

static int exit_code(const Run *run) {
        if (run->gone)
                return 124;
        fprintf(stderr, "code %i status %i timed_out %i oom %i\n", run->code, run->status, run->timed_out, run->oom);
        return run->code == CLD_EXITED ? run->status : 128 + run->status;
}

static char **parse_command(char **argv, CommandSpec *spec) {
        for (; *argv && !streq(*argv, "--"); argv++) {
                char *value = strchr(*argv, '=');
                uint32_t number = 0;

                if (!value)
                        return NULL;
                if (startswith(*argv, "timeout=")) {
                        if (parse_u64(value + 1, &spec->timeout_usec) < 0)
                                return NULL;
                } else if (startswith(*argv, "cwd="))
                        (void) free_and_strdup(&spec->cwd, value + 1);
                else if (startswith(*argv, "uid=") && parse_u32(value + 1, &number) >= 0)
                        spec->uid = spec->gid = number;
                else if (startswith(*argv, "env="))
                        (void) strv_extend(&spec->env, value + 1);
                else
                        return NULL;
        }
        return *argv ? argv + 1 : NULL;
}

static int start(const char *id, const char *command, const CommandSpec *spec, int out, int keep) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = new_call("Exec", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", id, command);
        if (r >= 0)
                r = bus_fields_append(m, command_spec_fields, n_command_spec_fields, spec);
        if (r >= 0)
                r = sd_bus_message_append(m, "ah", 3, STDIN_FILENO, out, out);
        if (r >= 0)
                r = keep >= 0 ? sd_bus_message_append(m, "ah", 1, keep) : sd_bus_message_append(m, "ah", 0);
        return r < 0 ? fail("Exec", r, NULL) : call(m, &reply);
}

/* exec ID [timeout=USEC] [cwd=DIR] [uid=N] [env=K=V]... -- ARGV...; "start": leaves it to run, prints its name. */
static int run_command(char **argv, bool background) {
        _cleanup_(command_spec_done) CommandSpec spec = COMMAND_SPEC_DEFAULT;
        char command[40], **rest;
        int pipe_fds[2], r;
        Run run = {};

        run.id = argv[0];
        rest = argv[0] ? parse_command(argv + 1, &spec) : NULL;
        if (!rest || object_id_random("bg", command) < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
                return fail("exec", -EINVAL, NULL);
        run.command = command;
        spec.argv = strv_copy(rest);
        if (!strv_env_get(spec.env, "PATH"))
                (void) strv_extend(&spec.env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

        r = add_matches(&run);
        if (r < 0)
                return fail("match", r, NULL);
        r = start(run.id, command, &spec, pipe_fds[1], background ? pipe_fds[0] : -1);
        close(pipe_fds[1]);
        if (r > 0)
                return r;
        if (background) {
                puts(command);
                return 0;
        }
        r = drive(&run, pipe_fds[0]);
        if (r < 0)
                return fail("exec", r, NULL);
        if (run.ended)
                (void) call_simple("Acknowledge", NULL, "ss", run.id, command);
        return exit_code(&run);
}

static int verb_exec(char **argv) {
        return run_command(argv, false);
}

static int verb_start(char **argv) {
        return run_command(argv, true);
}

/* attach ID COMMAND: what a command started by "start" wrote, until its end. */
static int verb_attach(char **argv) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        char buffer[65536];
        ssize_t n;
        int r, fd;

        r = call_simple("Attach", &reply, "ss", argv[0], argv[1]);
        if (r > 0)
                return r;
        r = sd_bus_message_enter_container(reply, 'a', "h");
        if (r >= 0)
                r = sd_bus_message_read_basic(reply, 'h', &fd);
        if (r <= 0)
                return fail("Attach", -ENODATA, NULL);
        while ((n = read(fd, buffer, sizeof buffer)) > 0)
                if (loop_write(STDOUT_FILENO, buffer, (size_t) n) < 0)
                        return 1;
        return 0;
}

/* One string argument, the answer is dumped. */
static int dump(const char *member, const char *types, const char *a, const char *b) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = call_simple(member, &reply, types, a, b);
        return r > 0 ? r : sd_bus_message_dump(reply, stdout, SD_BUS_MESSAGE_DUMP_SUBTREE_ONLY) < 0;
}

static int verb_kill(char **argv) {
        return call_simple("Kill", NULL, "s", argv[0]);
}

static int verb_pause(char **argv) {
        return call_simple("Pause", NULL, "s", argv[0]);
}

static int verb_resume(char **argv) {
        return call_simple("Resume", NULL, "s", argv[0]);
}

static int verb_stats(char **argv) {
        return dump("Stats", "s", argv[0], NULL);
}

static int verb_ps(char **argv) {
        return dump("Processes", "s", argv[0], NULL);
}

static int verb_commands(char **argv) {
        return dump("Commands", "s", argv[0] ?: "", NULL);
}

/* worker ID PATH: asks a fresh file worker for the status of the path. */
static int verb_worker(char **argv) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *started = NULL, *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_close_unrefp) sd_bus *files = NULL;
        int r, fd;

        r = call_simple("StartFileWorker", &started, "s", argv[0]);
        if (r > 0)
                return r;
        r = sd_bus_message_read(started, "h", &fd);
        if (r >= 0)
                r = sd_bus_new(&files);
        if (r >= 0)
                r = fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (r >= 0)
                r = sd_bus_set_fd(files, fd, fd);
        if (r >= 0)
                r = sd_bus_start(files);
        if (r >= 0)
                r = sd_bus_call_method(files, NULL, FSD_OBJECT, FILES_INTERFACE, "Stat", &error, &reply, "sas",
                                       argv[0], 1, argv[1]);
        if (r < 0)
                return fail("Stat", r, &error);
        return sd_bus_message_dump(reply, stdout, SD_BUS_MESSAGE_DUMP_SUBTREE_ONLY) < 0;
}

static int verb_acknowledge(char **argv) {
        return call_simple("Acknowledge", NULL, "ss", argv[0], argv[1]);
}

static int verb_list(char **argv) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *id, *state, *label;
        uint64_t deadline, created;
        int r;

        (void) argv;
        r = call_simple("List", &reply, "");
        if (r > 0)
                return r;
        r = sd_bus_message_enter_container(reply, 'a', "(sstst)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sstst)", &id, &state, &deadline, &label, &created)) > 0)
                printf("%s %s %s\n", id, state, label);
        return r < 0 ? fail("List", r, NULL) : 0;
}

/* signal ID COMMAND NUMBER [all] */
static int verb_signal(char **argv) {
        return call_simple("Signal", NULL, "ssib", argv[0], argv[1], atoi(argv[2]), argv[3] != NULL);
}

static int verb_kill_process(char **argv) {
        return call_simple("KillProcess", NULL, "sui", argv[0], (unsigned) atoi(argv[1]), atoi(argv[2]));
}

/* deadline ID USEC-FROM-NOW */
static int verb_deadline(char **argv) {
        uint64_t usec;

        if (parse_u64(argv[1], &usec) < 0)
                return 2;
        return call_simple("SetDeadline", NULL, "st", argv[0], usec_add(now_usec(CLOCK_BOOTTIME), usec));
}

/* wake USEC-FROM-NOW, or "never" */
static int verb_wake(char **argv) {
        uint64_t usec = USEC_INFINITY;

        if (parse_u64(argv[0], &usec) < 0 && !streq(argv[0], "never"))
                return 2;
        return call_simple("SetWake", NULL, "t", usec_add(now_usec(CLOCK_BOOTTIME), usec));
}

/* limits ID MEMORY PIDS */
static int verb_limits(char **argv) {
        return call_simple("SetLimits", NULL, "sa{sv}", argv[0], 2, "MemoryMax", "t",
                           (uint64_t) strtoull(argv[1], NULL, 10), "PidsMax", "u", (uint32_t) atoi(argv[2]));
}

/* A command that ended before anybody listened is in the list. */
static int look_up(Run *run) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r, running = false;

        r = call_simple("Commands", &reply, "s", run->id);
        if (r > 0)
                return -ENOENT;
        r = sd_bus_message_enter_container(reply, 'a', "(ssubiibtt)");
        while (r >= 0) {
                const char *id, *command;
                uint64_t started, ended;
                uint32_t pid;

                r = sd_bus_message_read(reply, "(ssubiibtt)", &id, &command, &pid, &running, &run->code, &run->status,
                                        &run->timed_out, &started, &ended);
                if (r <= 0)
                        break;
                run->ended |= streq(command, run->command) && !running;
                if (run->ended)
                        break;
        }
        return r;
}

/* wait ID [COMMAND]: until the command, or the sandbox, is gone. */
static int verb_wait(char **argv) {
        Run run = { .id = argv[0], .command = argv[1] ?: "" };
        int r;

        r = add_matches(&run);
        if (r >= 0)
                r = look_up(&run);
        if (r >= 0)
                r = drive(&run, -1);
        return r < 0 ? fail("wait", r, NULL) : exit_code(&run);
}

static const struct {
        const char *name;
        int arguments;
        int (*run)(char **argv);
} verbs[] = {
        { "acknowledge",  2, verb_acknowledge  },
        { "attach",       2, verb_attach       },
        { "commands",     0, verb_commands     },
        { "create",       0, verb_create       },
        { "deadline",     2, verb_deadline     },
        { "exec",         1, verb_exec         },
        { "kill",         1, verb_kill         },
        { "kill-process", 3, verb_kill_process },
        { "limits",       3, verb_limits       },
        { "list",         0, verb_list         },
        { "pause",        1, verb_pause        },
        { "ps",           1, verb_ps           },
        { "resume",       1, verb_resume       },
        { "signal",       3, verb_signal       },
        { "start",        1, verb_start        },
        { "stats",        1, verb_stats        },
        { "wait",         1, verb_wait         },
        { "wake",         1, verb_wake         },
        { "worker",       2, verb_worker       },
};

int main(int argc, char **argv) {
        int r;

        for (size_t i = 0; argc > 1 && i < ELEMENTSOF(verbs); i++) {
                if (!streq(verbs[i].name, argv[1]))
                        continue;
                if (argc - 2 < verbs[i].arguments)
                        break;
                r = connect_execd();
                if (r < 0)
                        return fail("connect", r, NULL);
                r = verbs[i].run(argv + 2);
                fflush(stdout);
                sd_bus_flush_close_unref(bus);
                return r;
        }
        fputs("exec1-tool VERB [ARGUMENT...], verbs:", stderr);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                fprintf(stderr, " %s", verbs[i].name);
        fputc('\n', stderr);
        return 2;
}
