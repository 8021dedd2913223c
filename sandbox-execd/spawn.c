/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/init-protocol.h"
#include "libsandbox/log.h"
#include "sandbox-execd/spawn-clone.h"

/* Above the listening sockets that systemd passes, below everything that is opened later. */
enum {
        SLOT_NULL = 20,
        SLOT_INIT,
        SLOT_FILES,
        SLOT_ARGUMENT, /* three of them */
        SLOT_END = SLOT_ARGUMENT + 3,
};

#define STACK_SIZE (256 * KiB)
#define CAPABILITY_MAX 63

/* All children share our memory until they exec: they only make system calls, and what they leave in Child and errno is
 * read by a parent that was stopped meanwhile. */
typedef struct Child {
        int error; /* positive errno, with the line that met it */
        int line;
} Child;

static char *stack;

/* In a child: leave the function with the error in the parent's sight. */
#define CHILD_CHECK(c, x)                                                                          \
        ({                                                                                         \
                long _r = (long) (x);                                                              \
                if (_r < 0) {                                                                      \
                        (c)->error = errno;                                                        \
                        (c)->line = __LINE__;                                                      \
                        return 1;                                                                  \
                }                                                                                  \
                _r;                                                                                \
        })

static int put_into_slot(int fd, int slot) {
        return dup3(fd, slot, O_CLOEXEC) < 0 ? -errno : 0;
}

int spawn_setup(const char *init_path, const char *files_path) {
        const char *const programs[] = { "/dev/null", init_path, files_path };
        static const int flags[] = { O_RDWR, O_PATH, O_PATH };

        for (int slot = SLOT_NULL; slot < SLOT_END; slot++) {
                _cleanup_close_ int fd = -EBADF;
                int r, i = MIN(slot - SLOT_NULL, (int) ELEMENTSOF(programs));
                bool program = i < (int) ELEMENTSOF(programs);

                fd = open(program ? programs[i] : "/dev/null", (program ? flags[i] : O_RDONLY) | O_CLOEXEC);
                if (fd < 0 && slot == SLOT_FILES) { /* file calls then fail, commands do not need them */
                        log_warning_errno(errno, "Failed to open %s, ignoring: %m", files_path);
                        fd = open("/dev/null", O_PATH | O_CLOEXEC);
                }
                if (fd < 0)
                        return log_error_errno(errno, "Failed to open %s: %m", programs[i]);
                r = put_into_slot(fd, slot);
                if (r < 0)
                        return log_error_errno(r, "Failed to reserve descriptor %i: %m", slot);
        }

        stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED)
                return log_error_errno(errno, "Failed to allocate a stack: %m");
        return 0;
}

static int clone_child(struct clone_args *args, int (*function)(void *), Child *child, SpawnResult *ret) {
        int pidfd = -EBADF;
        long pid;

        *child = (Child) {};
        args->flags |= CLONE_VM | CLONE_FILES | CLONE_PIDFD;
        args->pidfd = (uintptr_t) &pidfd;
        args->exit_signal = SIGCHLD;
        if (args->stack == 0) {
                args->stack = (uintptr_t) stack;
                args->stack_size = STACK_SIZE;
        }

        pid = spawn_clone3(args, sizeof *args, function, child);
        if (pid < 0)
                return (int) pid;
        *ret = (SpawnResult) { .pid = (pid_t) pid, .pidfd = pidfd };
        return 0;
}

static void reap(SpawnResult *child) {
        siginfo_t info;

        (void) waitid(P_PIDFD, (id_t) child->pidfd, &info, WEXITED);
        child->pidfd = safe_close(child->pidfd);
}

static int clone_and_exec(struct clone_args *args, int (*function)(void *), Child *child, const char *what,
                          SpawnResult *ret) {
        SpawnResult result;
        int r;

        args->flags |= CLONE_VFORK;
        r = clone_child(args, function, child, &result);
        if (r < 0)
                return log_error_errno(r, "Failed to clone the process of %s: %m", what);
        if (child->error > 0) {
                reap(&result);
                return log_error_errno(child->error, "Failed to start %s (%s:%i): %m", what, __FILE__, child->line);
        }
        *ret = result;
        return 0;
}

static int child_mount_proc(void) {
        int fs, mount;

        fs = (int) syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
        if (fs < 0)
                return -1;
        if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -1;
        mount = (int) syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        (void) close(fs);
        return mount;
}

/* No id is mapped yet, so to the kernel the exec of init is one by nobody: only ambient capabilities survive it. */
static int child_keep_capabilities(void) {
        struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct data[2];

        if (syscall(SYS_capget, &header, data) < 0)
                return -1;
        data[0].inheritable = data[0].permitted;
        data[1].inheritable = data[1].permitted;
        if (syscall(SYS_capset, &header, data) < 0)
                return -1;
        for (int i = 0; i <= CAPABILITY_MAX; i++)
                if (data[i / 32].permitted >> i % 32 & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
                        return -1;
        return 0;
}

/* Signals as a program expects them; the daemon blocks and ignores a few. */
static void child_reset_signals(void) {
        sigset_t none;

        (void) signal(SIGPIPE, SIG_DFL);
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_standard_descriptors(void) {
        for (int i = 0; i < 3; i++)
                if (dup2(SLOT_NULL, i) < 0)
                        return -1;
        return 0;
}

static int init_child(void *userdata) {
        static const char *const argv[] = { "sandbox-init", NULL }, *const env[] = { NULL };
        Child *c = userdata;
        int proc;

        CHILD_CHECK(c, close_range(SLOT_END, UINT_MAX, CLOSE_RANGE_UNSHARE));

        /* The pid namespace is new, the rights are still the host's: a procfs made inside the user namespace is refused
         * where the host's own /proc is covered in places (ProtectKernelTunables= of this daemon's unit). */
        proc = (int) CHILD_CHECK(c, child_mount_proc());
        /* The other namespaces are made by init: they are half of what a blank costs, and we stand still here. */
        CHILD_CHECK(c, unshare(CLONE_NEWUSER));
        CHILD_CHECK(c, child_keep_capabilities());

        CHILD_CHECK(c, child_standard_descriptors());
        proc = (int) CHILD_CHECK(c, fcntl(proc, F_DUPFD_CLOEXEC, SLOT_END));
        CHILD_CHECK(c, dup2(SLOT_ARGUMENT, INIT_FD_LISTEN));
        CHILD_CHECK(c, dup2(proc, INIT_FD_PROC));
        CHILD_CHECK(c, close_range(INIT_FD_PROC + 1, SLOT_INIT - 1, 0));
        CHILD_CHECK(c, close_range(SLOT_INIT + 1, UINT_MAX, 0));
        child_reset_signals();
        (void) setsid();
        CHILD_CHECK(c, execveat(SLOT_INIT, "", (char *const *) argv, (char *const *) env, AT_EMPTY_PATH));
        return 1;
}

int spawn_init(int listen_fd, SpawnResult *ret) {
        struct clone_args args = { .flags = CLONE_NEWPID };
        Child child;
        int r;

        r = put_into_slot(listen_fd, SLOT_ARGUMENT);
        if (r >= 0)
                r = clone_and_exec(&args, init_child, &child, "sandbox-init", ret);
        (void) put_into_slot(SLOT_NULL, SLOT_ARGUMENT);
        return r;
}

static int files_child(void *userdata) {
        static const char *const argv[] = { "sandbox-files", NULL }, *const env[] = { NULL };
        Child *c = userdata;

        CHILD_CHECK(c, close_range(SLOT_END, UINT_MAX, CLOSE_RANGE_UNSHARE));
        CHILD_CHECK(c, child_standard_descriptors());
        for (int i = 0; i < 3; i++)
                CHILD_CHECK(c, dup2(SLOT_ARGUMENT + i, 3 + i));
        CHILD_CHECK(c, close_range(6, SLOT_FILES - 1, 0));
        CHILD_CHECK(c, close_range(SLOT_FILES + 1, UINT_MAX, 0));
        child_reset_signals();
        (void) setsid();
        CHILD_CHECK(c, execveat(SLOT_FILES, "", (char *const *) argv, (char *const *) env, AT_EMPTY_PATH));
        return 1;
}

int spawn_file_worker(int cgroup_fd, int bus_fd, int user_fd, int mount_fd, SpawnResult *ret) {
        struct clone_args args = { .flags = CLONE_INTO_CGROUP, .cgroup = (uint64_t) cgroup_fd };
        const int fds[] = { bus_fd, user_fd, mount_fd };
        Child child;
        int r = 0;

        for (int i = 0; r >= 0 && i < 3; i++)
                r = put_into_slot(fds[i], SLOT_ARGUMENT + i);
        if (r >= 0)
                r = clone_and_exec(&args, files_child, &child, "sandbox-files", ret);
        for (int i = 0; i < 3; i++)
                (void) put_into_slot(SLOT_NULL, SLOT_ARGUMENT + i);
        return r;
}

int spawn_run(int cgroup_fd, int (*function)(void *), void *argument) {
        int pidfd = -EBADF;
        struct clone_args args = {
                .flags = CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_VFORK | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
                .pidfd = (uintptr_t) &pidfd,
                .exit_signal = SIGCHLD,
                .stack = (uintptr_t) stack,
                .stack_size = STACK_SIZE,
                .cgroup = cgroup_fd >= 0 ? (uint64_t) cgroup_fd : 0,
        };
        SpawnResult child;
        long pid;

        pid = spawn_clone3(&args, sizeof args, function, argument);
        if (pid < 0)
                return (int) pid;
        child = (SpawnResult) { .pid = (pid_t) pid, .pidfd = pidfd };
        reap(&child);
        /* A change of its ids took it from our memory, and with it the way to our children's namespaces. */
        (void) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        return 0;
}

/* The sources need more descriptors than there are slots, so this child has a table of its own from the start. */
#define COPY_FD_FIRST 3

typedef struct CopyChild {
        Child child; /* first: what clone_child() clears */
        const SpawnCopy *copy;
        const char *argv[5];
} CopyChild;

static int copy_child(void *userdata) {
        static const char *const env[] = { NULL };
        CopyChild *cc = userdata;
        const SpawnCopy *copy = cc->copy;
        const int fixed[] = { copy->result_fd, copy->user_fd, copy->mount_fd, copy->target_fd,
                              copy->below_fds[0] >= 0 ? copy->below_fds[0] : SLOT_NULL,
                              copy->below_fds[1] >= 0 ? copy->below_fds[1] : SLOT_NULL };
        Child *c = &cc->child;
        int moved[ELEMENTSOF(fixed) + INIT_FROZEN_MAX + 1], program;
        size_t n = ELEMENTSOF(fixed) + copy->n_sources;

        CHILD_CHECK(c, unshare(CLONE_FILES));
        /* All of them out of the way first, then each to its number. */
        for (size_t i = 0; i < n; i++)
                moved[i] = (int) CHILD_CHECK(c, fcntl(i < ELEMENTSOF(fixed) ? fixed[i] : copy->sources[i - ELEMENTSOF(fixed)],
                                                      F_DUPFD_CLOEXEC, SLOT_END + COPY_FD_FIRST + (int) n));
        program = (int) CHILD_CHECK(c, fcntl(SLOT_FILES, F_DUPFD_CLOEXEC, SLOT_END + COPY_FD_FIRST + (int) n));
        CHILD_CHECK(c, child_standard_descriptors());
        for (size_t i = 0; i < n; i++)
                CHILD_CHECK(c, dup2(moved[i], COPY_FD_FIRST + (int) i));
        CHILD_CHECK(c, close_range(COPY_FD_FIRST + (unsigned) n, UINT_MAX, CLOSE_RANGE_CLOEXEC));
        child_reset_signals();
        (void) setsid();
        CHILD_CHECK(c, execveat(program, "", (char *const *) cc->argv, (char *const *) env, AT_EMPTY_PATH));
        return 1;
}

int spawn_copy(const SpawnCopy *copy, SpawnResult *ret) {
        struct clone_args args = { .flags = CLONE_INTO_CGROUP, .cgroup = (uint64_t) copy->cgroup_fd };
        char sources[16], bytes[32];
        CopyChild child = { .copy = copy, .argv = { "sandbox-files", "--copy", sources, bytes, NULL } };

        assert(copy->n_sources <= INIT_FROZEN_MAX + 1);
        snprintf(sources, sizeof sources, "%zu", copy->n_sources);
        snprintf(bytes, sizeof bytes, "%" PRIu64, copy->bytes_max);
        return clone_and_exec(&args, copy_child, &child.child, "sandbox-files", ret);
}

/* The ids are changed without the C library, which would have all threads of a process follow. */
static int become_root_inside(int user_fd, int mount_fd) {
        if (setns(user_fd, CLONE_NEWUSER) < 0 || setns(mount_fd, CLONE_NEWNS) < 0 ||
            syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
            syscall(SYS_setresuid, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

/* Nothing here is shared with the daemon. Of its descriptors those that are needed are put where the slots are, which are
 * this process's own. */
static int inside_child(void *userdata) {
        const SpawnInside *inside = userdata;
        const int fds[] = { inside->user_fd, inside->mount_fd, inside->fd >= 0 ? inside->fd : SLOT_NULL };
        int r = 0;

        child_reset_signals();
        for (int i = 0; r >= 0 && i < 3; i++)
                r = put_into_slot(fds[i], SLOT_ARGUMENT + i);
        if (r >= 0 && (close_range(0, SLOT_ARGUMENT - 1, 0) < 0 || close_range(SLOT_END, UINT_MAX, 0) < 0))
                r = -errno;
        if (r >= 0)
                r = become_root_inside(SLOT_ARGUMENT, SLOT_ARGUMENT + 1);
        if (r >= 0)
                r = inside->function(inside->fd >= 0 ? SLOT_ARGUMENT + 2 : -EBADF, inside->argument);
        return r < 0 ? -r : 0;
}

int spawn_inside(const SpawnInside *inside, SpawnResult *ret) {
        int pidfd = -EBADF;
        struct clone_args args = {
                .flags = CLONE_PIDFD,
                .pidfd = (uintptr_t) &pidfd,
                .exit_signal = SIGCHLD,
                .stack = (uintptr_t) stack,
                .stack_size = STACK_SIZE,
        };
        long pid;

        pid = spawn_clone3(&args, sizeof args, inside_child, (void *) inside);
        if (pid < 0)
                return log_error_errno((int) pid, "Failed to clone a process for a sandbox: %m");
        *ret = (SpawnResult) { .pid = (pid_t) pid, .pidfd = pidfd };
        return 0;
}

/* Owns a user namespace until it is killed; it shares our memory, so it may do nothing but wait. On a stack of its own:
 * it may take a moment to die, while the next child is on the other one. */
#define IDLE_STACK_SIZE (16 * KiB)

static int idle_child(void *userdata) {
        (void) userdata;
        for (;;)
                (void) syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
        return 0;
}

static int write_map(pid_t pid, const char *file, const char *text) {
        char path[64];

        snprintf(path, sizeof path, "/proc/%i/%s", pid, file);
        return write_text_at(AT_FDCWD, path, text);
}

int spawn_write_maps(pid_t pid, uint32_t inside, uint32_t outside, uint32_t size) {
        char map[64];
        int r;

        snprintf(map, sizeof map, "%u %u %u\n", inside, outside, size);
        r = write_map(pid, "uid_map", map);
        return r < 0 ? r : write_map(pid, "gid_map", map);
}

int spawn_user_namespace(uint32_t inside, uint32_t outside, uint32_t size) {
        static _Alignas(64) char idle_stack[IDLE_STACK_SIZE];
        static SpawnResult owner = { .pidfd = -EBADF };
        struct clone_args args = { .flags = CLONE_NEWUSER, .stack = (uintptr_t) idle_stack,
                                   .stack_size = sizeof idle_stack };
        _cleanup_close_ int fd = -EBADF;
        char path[64];
        Child child;
        int r;

        /* The last one has had the time to die: to wait for it at once would cost two changes of context. */
        if (owner.pidfd >= 0)
                reap(&owner);
        r = clone_child(&args, idle_child, &child, &owner);
        if (r < 0)
                return r;
        r = spawn_write_maps(owner.pid, inside, outside, size);
        if (r >= 0) {
                snprintf(path, sizeof path, "/proc/%i/ns/user", owner.pid);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        r = -errno;
        }
        (void) syscall(SYS_pidfd_send_signal, owner.pidfd, SIGKILL, NULL, 0);
        return r < 0 ? r : TAKE_FD(fd);
}
