/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/helper.h"
#include "sandbox-fsd/host-layer.h"
#include "sandbox-fsd/store.h"
#include "sandbox-fsd/tree-remove.h"
#include "sandbox-fsd/unpack.h"
#include "sandbox-fsd/volume-image.h"

/* What happens in the helper's process: it becomes root of the foreign range of ids and of nothing else, gives up what
 * it does not need, and only then touches bytes from outside. The daemon itself never unpacks and never walks a tree
 * that a sandbox wrote. */

typedef struct Work {
        const char *name;
        /* 0 or a negative errno; text says more. */
        int (*function)(char text[HELPER_TEXT_MAX]);
        uint64_t memory_max, file_max;
        unsigned cpu_sec;
        bool as_service; /* with the service's user and none of its rights, to run a program of the host */
} Work;

static int work_host_layer(char text[HELPER_TEXT_MAX]) {
        (void) text;
        return host_layer_build(HELPER_FD_FIRST + 1, HELPER_FD_FIRST);
}

static int work_image(char text[HELPER_TEXT_MAX]) {
        return volume_image_format(HELPER_FD_FIRST, text, HELPER_TEXT_MAX);
}

static int work_remove(char text[HELPER_TEXT_MAX]) {
        int fd;

        (void) text;
        fd = openat(HELPER_FD_FIRST, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return tree_remove_contents(fd, USEC_INFINITY);
}

static int work_unpack(char text[HELPER_TEXT_MAX]) {
        return unpack_tar(HELPER_FD_FIRST + 1, HELPER_FD_FIRST, &unpack_limits, text, HELPER_TEXT_MAX);
}

static const Work works[] = {
        { "host-layer", work_host_layer, 256 * MiB, 64 * MiB, 60   },
        { "image",      work_image,      256 * MiB, RLIM_INFINITY, 60, .as_service = true },
        { "remove",     work_remove,     256 * MiB, 0,        3600 },
        { "unpack",     work_unpack,     512 * MiB, 8 * GiB,  1800 },
};

/* The whole range and nothing else: an id of the host cannot even be named in there. */
static int write_map(pid_t pid, const char *file) {
        char path[64], line[64];

        (void) snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, file);
        (void) snprintf(line, sizeof line, "0 %u %u\n", FOREIGN_BASE, FOREIGN_COUNT);
        return write_text_at(AT_FDCWD, path, line);
}

/* The maps can only be written from outside of the new namespace, with the rights that we had before: by a child that
 * waits until its parent is in it. */
static pid_t fork_map_writer(int go_fd) {
        pid_t pid = fork(), parent;
        char byte;
        int r;

        if (pid != 0)
                return pid < 0 ? -errno : pid;

        parent = getppid();
        if (loop_read(go_fd, &byte, 1) != 1)
                _exit(EINTR);
        r = write_map(parent, "uid_map");
        if (r >= 0)
                r = write_map(parent, "gid_map");
        _exit(-r);
}

static int wait_for(pid_t pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (!WIFEXITED(status))
                return -EPROTO;
        return -WEXITSTATUS(status);
}

static int enter_user_namespace(void) {
        int fds[2], r = 0, k;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        pid = fork_map_writer(fds[0]);
        if (pid < 0)
                r = pid;
        if (r >= 0 && unshare(CLONE_NEWUSER) < 0)
                r = -errno;
        if (r >= 0)
                r = loop_write(fds[1], "g", 1);
        close_many(fds, 2);
        if (pid < 0)
                return r;
        k = wait_for(pid);
        return r < 0 ? r : k;
}

/* All rights over files of the range, none over anything else: its ids are nobody's outside. */
static int become_range_root(void) {
        int r;

        r = enter_user_namespace();
        if (r < 0)
                return r;
        if (setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresuid(0, 0, 0) < 0)
                return -errno;
        if (getuid() != 0 || getgid() != 0)
                return -EPERM;
        /* Cleared by the change of ids. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

/* What a hostile archive can make us use ends with the helper, not with the daemon. */
static int set_limits(const Work *w) {
        const struct {
                int resource;
                uint64_t value;
        } limits[] = {
                { RLIMIT_CORE,  0             },
                { RLIMIT_CPU,   w->cpu_sec    },
                { RLIMIT_FSIZE, w->file_max   },
                { RLIMIT_DATA,  w->memory_max },
        };

        (void) signal(SIGXFSZ, SIG_IGN);
        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                struct rlimit limit = { limits[i].value, limits[i].value };

                if (limits[i].resource == RLIMIT_DATA && SANITIZED)
                        continue;
                if (setrlimit(limits[i].resource, &limit) < 0)
                        return -errno;
        }
        return 0;
}

/* Files are read and written, nothing else. What an archive might talk its reader into is not there to be called. */
static int refuse_system_calls(void) {
        static const int refused[] = {
                SCMP_SYS(add_key),          SCMP_SYS(bpf),               SCMP_SYS(clone3),
                SCMP_SYS(connect),          SCMP_SYS(execve),            SCMP_SYS(execveat),
                SCMP_SYS(fsopen),           SCMP_SYS(io_uring_setup),    SCMP_SYS(keyctl),
                SCMP_SYS(mount),            SCMP_SYS(move_mount),        SCMP_SYS(open_by_handle_at),
                SCMP_SYS(open_tree),        SCMP_SYS(perf_event_open),   SCMP_SYS(pidfd_getfd),
                SCMP_SYS(pivot_root),       SCMP_SYS(process_vm_readv),  SCMP_SYS(process_vm_writev),
                SCMP_SYS(ptrace),           SCMP_SYS(request_key),       SCMP_SYS(setns),
                SCMP_SYS(socket),           SCMP_SYS(socketpair),        SCMP_SYS(umount2),
                SCMP_SYS(unshare),          SCMP_SYS(userfaultfd),
        };
        scmp_filter_ctx filter;
        int r = 0;

        if (SANITIZED) /* looks for leaks with ptrace() */
                return 0;
        filter = seccomp_init(SCMP_ACT_ALLOW);
        if (!filter)
                return -ENOMEM;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(refused); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
        if (r >= 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r;
}

/* What the service may do to give files away is not for a program that we did not write. */
static int work_as_service(const Work *w, char text[HELPER_TEXT_MAX]) {
        int r;

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        r = set_limits(w);
        return r < 0 ? r : w->function(text);
}

static int do_work(const Work *w, char text[HELPER_TEXT_MAX]) {
        int r;

        if (w->as_service)
                return work_as_service(w, text);
        (void) umask(0);
        r = become_range_root();
        if (r < 0) {
                (void) snprintf(text, HELPER_TEXT_MAX, "Failed to become root of the foreign range of ids");
                return r;
        }
        r = set_limits(w);
        if (r >= 0)
                r = refuse_system_calls();
        return r < 0 ? r : w->function(text);
}

int helper_main(const char *work) {
        char text[HELPER_TEXT_MAX] = "", result[HELPER_TEXT_MAX + 16];
        int r = -EINVAL;

        (void) fcntl(HELPER_FD_RESULT, F_SETFD, FD_CLOEXEC);
        for (size_t i = 0; i < ELEMENTSOF(works); i++)
                if (streq(works[i].name, work))
                        r = do_work(&works[i], text);
        (void) snprintf(result, sizeof result, "%d %s", -r, text);
        return loop_write(HELPER_FD_RESULT, result, strlen(result)) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
