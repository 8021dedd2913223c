/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <asm/ioctls.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/wait.h>

#include "sandbox-init/init.h"
#include "sandbox-init/syscall.h"
#include "sandbox-init/util.h"

#define INIT_FILE 5

/* A command starts as a copy of init, not as a vfork: what others inside do to the child before its exec (SIGSTOP, a
 * lease on the program, an OOM kill of its group) must neither stop nor end PID 1, and init is so small that a copy
 * costs little. A pipe that closes on exec tells how it went; meanwhile init serves everybody else.
 *
 * Nor does it share init's memory with a stack of its own (CLONE_VM without CLONE_VFORK), which would not block and
 * saves some 50 of 440 microseconds: who shares the memory of a victim of the OOM killer is killed with it, init too
 * (SIGKILL from the kernel ends also the PID 1 of a pid namespace). A sandbox at its memory limit runs out of memory just
 * there, where the child's exec allocates: it would die of a command that does not fit. */

#define ERROR_FD 3
#define EXIT_NOT_STARTED 127
#define REAP_MAX 256U
#define STRINGS_FEW 256U /* what fits in a page or so, which is kept for the next one */

/* What the child writes if it does not come to its exec. */
typedef struct ExecFailure {
        int32_t error;
        int32_t step;
} ExecFailure;

typedef struct Start {
        const InitExec *request;
        int stdio[3];
        int cgroup;
        int error_fd;       /* the child's end */
        const char *mapped; /* the memfd with the strings */
        int slave;          /* of the PTY */
        ExecStrings strings;
} Start;

static int child_descriptors(Start *s) {
        for (int n = 0; n < 3; n++)
                TRY(SYS(dup3, s->stdio[n], n, 0));
        TRY(SYS(dup3, s->error_fd, ERROR_FD, O_CLOEXEC));
        TRY(SYS(close_range, ERROR_FD + 1, ~0U, 0));
        TRY(SYS(setsid));
        if (s->request->flags & INIT_EXEC_PTY)
                TRY(SYS(ioctl, 0, TIOCSCTTY, 0));
        return 0;
}

static int child_ids(const InitExec *m) {
        if (m->uid == 0 && m->gid == 0)
                return 0;

        TRY(SYS(setgroups, 0, NULL));
        TRY(SYS(setresgid, m->gid, m->gid, m->gid));
        TRY(SYS(setresuid, m->uid, m->uid, m->uid));
        return 0;
}

static int child_prepare(Start *s) {
        struct rlimit64 nofile, limit;

        TRY(child_descriptors(s));
        TRY(SYS(prlimit64, 0, RLIMIT_NOFILE, NULL, &nofile));
        limit = (struct rlimit64) { nofile.rlim_max < 1024 ? nofile.rlim_max : 1024, nofile.rlim_max };
        TRY(SYS(prlimit64, 0, RLIMIT_NOFILE, &limit, NULL));
        TRY(child_ids(s->request));
        return 0;
}

/* As execvp(), but that a text without "#!" is not given to a shell. */
static int child_exec(const ExecStrings *s) {
        static char candidate[EXEC_PATH_MAX];
        const char *path = s->path, *name = s->argv[0];
        bool denied = false;
        long r;

        for (const char *c = name; *c; c++)
                if (*c == '/')
                        return (int) SYS(execve, name, s->argv, s->envp);

        while (exec_path_next(&path, name, candidate)) {
                r = SYS(execve, candidate, s->argv, s->envp);
                if (r == -EACCES)
                        denied = true;
                else if (r != -ENOENT && r != -ENOTDIR)
                        return (int) r;
        }

        return denied ? -EACCES : -ENOENT;
}

static void __attribute__((noreturn)) child_main(Start *s) {
        uint64_t none = 0;
        ExecFailure failure = {};
        int r;

        (void) step_take();
        r = child_prepare(s);
        if (r >= 0) {
                r = (int) SYS(chdir, s->strings.cwd[0] ? s->strings.cwd : "/");
                if (r < 0)
                        (void) step_failed(r, INIT_STEP_CWD);
        }
        if (r >= 0) {
                (void) SYS(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
                r = child_exec(&s->strings);
                (void) step_failed(r, INIT_STEP_COMMAND);
        }

        failure.error = -r;
        failure.step = step_take();
        if (SYS(write, s->error_fd, &failure, sizeof(failure)) < 0) /* moved already */
                (void) SYS(write, ERROR_FD, &failure, sizeof(failure));
        for (;;)
                SYS(exit_group, EXIT_NOT_STARTED);
}

static int open_mode(int fd) {
        struct statx info;

        TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &info));
        return info.stx_mode & S_IFMT;
}

/* What a command or a later execd gets: nothing that leads to a file of the host by name. */
static int check_stream(int fd) {
        int mode;

        if (TRY(SYS(fcntl, fd, F_GETFL)) & O_PATH)
                return TRY(-EBADF);

        mode = TRY(open_mode(fd));
        if (mode == S_IFIFO || mode == S_IFSOCK || mode == S_IFCHR)
                return 0;

        /* A memfd, not a file: only the memory file systems know of seals. */
        if (mode == S_IFREG && SYS(fcntl, fd, F_GET_SEALS) >= 0)
                return 0;

        return TRY(-EBADF);
}

/* O_PATH, so that nothing below can be read; clone3() sees to it that it is a cgroup. */
static int check_cgroup(int fd) {
        if (!(TRY(SYS(fcntl, fd, F_GETFL)) & O_PATH))
                return TRY(-EBADF);
        return 0;
}

/* Sealed, so that it can neither shrink under us nor change between check and use. */
static int map_strings(int fd, size_t size, const char **ret) {
        const long needed = F_SEAL_SHRINK | F_SEAL_WRITE;
        struct statx info;
        long r;

        if ((TRY(SYS(fcntl, fd, F_GET_SEALS)) & needed) != needed)
                return TRY(-EPERM);
        TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &info));
        if (size == 0 || info.stx_size < size)
                return TRY(-EBADMSG);

        r = SYS(mmap, NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (r < 0 && r >= -4095)
                return TRY(r);
        *ret = (const char *) r;
        return 0;
}

/* Which descriptor is what, and whether it is. */
static int start_prepare(Start *s, const Request *request) {
        const InitExec *m = &request->exec;
        const int *fds = request->fds;
        const char *strings = (const char *) (m + 1);

        s->request = m;
        if (m->flags & INIT_EXEC_STRINGS_IN_FD) {
                TRY(map_strings(*fds++, m->length, &s->mapped));
                strings = s->mapped;
        }
        TRY(exec_strings_parse(strings, m->length, m->argc, m->envc, &s->strings));

        for (size_t n = 0; n < ELEMENTSOF(s->stdio); n++) {
                s->stdio[n] = fds[n];
                TRY(check_stream(fds[n]));
        }
        s->cgroup = fds[3];
        TRY(check_cgroup(s->cgroup));
        for (size_t n = 0; n < m->n_keep; n++)
                TRY(check_stream(fds[EXEC_FDS + n]));

        return 0;
}

/* The slave is opened through the master, so no name inside is trusted. init keeps the master as the one kept
 * descriptor. */
static int open_pty(Start *s, Command *c) {
        struct winsize { unsigned short rows, columns, x, y; } size = {
                (unsigned short) s->request->rows, (unsigned short) s->request->columns, 0, 0,
        };
        int locked = 0;

        if (!(s->request->flags & INIT_EXEC_PTY))
                return 0;

        c->keep[0] = (int) TRY(SYS(openat, AT_FDCWD, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW));
        c->n_keep = 1;
        TRY(SYS(ioctl, c->keep[0], TIOCSPTLCK, &locked));
        s->slave = (int) TRY(SYS(ioctl, c->keep[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
        TRY(SYS(ioctl, s->slave, TIOCSWINSZ, &size));
        TRY(SYS(fchown, s->slave, s->request->uid, -1));
        for (size_t n = 0; n < ELEMENTSOF(s->stdio); n++)
                s->stdio[n] = s->slave;
        return 0;
}

static int start_clone(Start *s, Command *c) {
        struct clone_args args = {
                .flags = CLONE_INTO_CGROUP,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t) s->cgroup,
        };
        int ends[2];
        long pid;

        TRY(open_pty(s, c));
        TRY(SYS(pipe2, ends, O_CLOEXEC | O_NONBLOCK));
        s->error_fd = ends[1];
        c->start_fd = ends[0];

        pid = init_clone3(&args);
        if (pid == 0)
                child_main(s);
        (void) SYS(close, ends[1]);
        TRY(pid);
        c->pid = (int) pid;
        return 0;
}

static void close_all(Command *c) {
        close_fd(&c->start_fd);
        close_fd(&c->cgroup_fd);
        for (size_t n = 0; n < ELEMENTSOF(c->keep); n++)
                close_fd(&c->keep[n]);
}

void init_forget_command(Init *i, Command *c) {
        close_all(c);
        command_free(&i->commands, c);
}

static int start_command(Init *i, Start *s) {
        Request *request = &i->request;
        size_t first = request->n_fds - request->exec.n_keep;
        Command *c;
        int r;

        TRY(start_prepare(s, request));
        TRY(command_table_add(&i->commands, &request->exec, now_boottime_usec(), &c));

        r = start_clone(s, c);
        if (r < 0) {
                init_forget_command(i, c);
                return r;
        }

        c->cgroup_fd = take_fd(&request->fds[first - 1]);
        for (; c->n_keep < request->exec.n_keep; c->n_keep++)
                c->keep[c->n_keep] = take_fd(&request->fds[first + c->n_keep]);
        return 0;
}

int init_start_command(Init *i) {
        static Start s; /* the room for the strings is large */
        int r;

        s.mapped = NULL;
        s.slave = -EBADF;
        r = start_command(i, &s);

        close_fd(&s.slave);
        if (s.mapped)
                (void) SYS(munmap, s.mapped, i->request.exec.length);
        if (i->request.exec.argc + i->request.exec.envc > STRINGS_FEW)
                release_pages(s.strings.pointers, sizeof(s.strings.pointers));
        return r;
}

/* The pipe was closed by the exec, or says why there was none. In the latter case the reply waits until the child is
 * reaped, so that its cgroup is empty when the caller removes it. */
void init_settle_command(Init *i, Command *c) {
        ExecFailure failure;
        long r;

        (void) i;
        if (c->state != COMMAND_STARTING || c->start_fd < 0)
                return;

        r = SYS(read, c->start_fd, &failure, sizeof(failure));
        if (r == -EAGAIN || r == -EINTR)
                return;

        close_fd(&c->start_fd);
        if (r == sizeof(failure)) {
                c->error = failure.error;
                c->step = failure.step;
        } else
                command_started(c);
}

static bool reap_one(Init *i, int id_type, int id) {
        siginfo_t info = {};
        Command *c;

        if (SYS(waitid, id_type, id, &info, WEXITED | WNOHANG | __WALL, NULL) < 0 || info.si_pid == 0)
                return false;

        c = command_table_find_pid(&i->commands, info.si_pid);
        if (!c)
                return true; /* an orphan */

        init_settle_command(i, c);
        command_ended(c, info.si_code, info.si_status, now_boottime_usec());
        if (c->state == COMMAND_FAILED)
                close_all(c);
        return true;
}

/* Somebody inside may make orphans faster than they can be reaped: everything else gets its turn. */
void init_reap(Init *i) {
        unsigned n = 0;

        while (n < REAP_MAX && reap_one(i, P_ALL, 0))
                n++;
        i->reap_due = n == REAP_MAX;
}

static void kill_command(const Command *c) {
        if (write_file_at(c->cgroup_fd, "cgroup.kill", "1") >= 0)
                return;

        /* Better than nothing, should execd not have given us the file. */
        if (command_is_live(c)) {
                (void) SYS(kill, -c->pid, SIGKILL);
                (void) SYS(kill, c->pid, SIGKILL);
        }
}

void init_enforce_deadlines(Init *i) {
        uint64_t now = now_boottime_usec();

        COMMAND_FOREACH(c, &i->commands) {
                if (!command_is_due(c, now))
                        continue;

                /* Who ended in time did not time out. */
                if (command_is_live(c))
                        (void) reap_one(i, P_PID, c->pid);
                c->timed_out = command_is_live(c);
                c->deadline_done = true;
                kill_command(c);
        }
}
