/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/sandbox-init/box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/test.h"

#define FIRST_ID (10000U * 65536U)
#define RECEIVE_SECONDS 10

/* A call that must work: fails the test with errno's text. */
#define MUST(x) ({ long _r = (long) (x); ASSERT_OK(_r < 0 ? -errno : 0); _r; })

uint64_t box_now_usec(void) {
        struct timespec t;

        MUST(clock_gettime(CLOCK_BOOTTIME, &t));
        return (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
}

void box_require(void) {
        static bool done;
        struct stat st;

        if (done)
                return;
        if (geteuid() != 0)
                test_skip("needs root");
        /* Without systemd this is a build machine whose cgroups are none of ours. */
        if (stat("/run/systemd/system", &st) < 0)
                test_skip("needs a booted systemd (tests/testbed)");
        if (stat("/sys/fs/cgroup/cgroup.procs", &st) < 0)
                test_skip("needs cgroup2 at /sys/fs/cgroup");
        if (unshare(CLONE_NEWNS) < 0)
                test_skip("may not unshare");
        MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        done = true;
}

static void write_text(const char *path, const char *text) {
        int fd = (int) MUST(open(path, O_WRONLY | O_CLOEXEC));

        MUST(write(fd, text, strlen(text)));
        close(fd);
}

/* ---- the process */

static void clone_failed(int fd, int line) {
        int report[2] = { line, errno };

        (void) !write(fd, report, sizeof(report));
        _exit(1);
}

#define CHILD(x) ({ long _r = (long) (x); if (_r < 0) clone_failed(report, __LINE__); _r; })

static void keep_capabilities(int report) {
        struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct data[2];

        CHILD(syscall(SYS_capget, &header, data));
        data[0].inheritable = data[0].permitted;
        data[1].inheritable = data[1].permitted;
        CHILD(syscall(SYS_capset, &header, data));
        for (int c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++)
                (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
}

static void __attribute__((noreturn)) child(int listener, int report) {
        int context, proc, init, null;

        context = (int) CHILD(syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC));
        CHILD(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
        proc = (int) CHILD(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0));
        init = (int) CHILD(open(getenv("SANDBOX_INIT") ?: SANDBOX_INIT, O_PATH | O_CLOEXEC));
        null = (int) CHILD(open("/dev/null", O_RDWR | O_CLOEXEC));
        CHILD(unshare(CLONE_NEWUSER));
        keep_capabilities(report);

        /* Out of the way of the low numbers first. */
        listener = (int) CHILD(fcntl(listener, F_DUPFD_CLOEXEC, 20));
        proc = (int) CHILD(fcntl(proc, F_DUPFD_CLOEXEC, 20));
        init = (int) CHILD(fcntl(init, F_DUPFD_CLOEXEC, 20));
        null = (int) CHILD(fcntl(null, F_DUPFD_CLOEXEC, 20));
        report = (int) CHILD(fcntl(report, F_DUPFD_CLOEXEC, 20));
        for (int fd = 0; fd < 3; fd++)
                CHILD(dup2(null, fd));
        CHILD(dup2(listener, INIT_FD_LISTEN));
        CHILD(dup2(proc, INIT_FD_PROC));
        CHILD(close_range(INIT_FD_PROC + 1, ~0U, CLOSE_RANGE_CLOEXEC));
        CHILD(setsid());
        CHILD(syscall(SYS_execveat, init, "", (char *[]) { (char *) "sandbox-init", NULL }, (char *[]) { NULL },
                      AT_EMPTY_PATH));
        _exit(1);
}

/* What a failed test leaves. */
static pid_t started[256];
static size_t n_started;

static void kill_started(void) {
        for (size_t i = 0; i < n_started; i++)
                if (started[i] > 0)
                        (void) kill(started[i], SIGKILL);
}

static void remember_process(pid_t pid) {
        if (n_started == 0)
                (void) atexit(kill_started);
        ASSERT_TRUE(n_started < ELEMENTSOF(started));
        started[n_started++] = pid;
}

static void start_process(Box *b, int listener) {
        struct { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; } args = {
                .flags = CLONE_NEWPID | CLONE_PIDFD,
                .pidfd = (uintptr_t) &b->pidfd,
                .exit_signal = SIGCHLD,
        };
        int ends[2], report[2] = { 0, 0 };
        char path[64], map[64];

        MUST(pipe2(ends, O_CLOEXEC));
        b->pid = (pid_t) MUST(syscall(SYS_clone3, &args, sizeof(args)));
        if (b->pid == 0)
                child(listener, ends[1]);
        remember_process(b->pid);
        close(ends[1]);
        if (read(ends[0], report, sizeof(report)) != 0)
                fprintf(stderr, "box.c:%d: %s\n", report[0], strerror(report[1]));
        ASSERT_EQ(report[0], 0);
        close(ends[0]);

        snprintf(map, sizeof(map), "0 %u 65536\n", FIRST_ID);
        snprintf(path, sizeof(path), "/proc/%d/uid_map", b->pid);
        write_text(path, map);
        snprintf(path, sizeof(path), "/proc/%d/gid_map", b->pid);
        write_text(path, map);
}

static void socket_address(const Box *b, struct sockaddr_un *ret) {
        *ret = (struct sockaddr_un) { .sun_family = AF_UNIX };
        snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/socket", b->directory);
}

void box_disconnect(Box *b) {
        if (b->socket >= 0)
                close(b->socket);
        b->socket = -EBADF;
}

void box_connect(Box *b) {
        struct timeval patience = { .tv_sec = RECEIVE_SECONDS };
        struct sockaddr_un address;

        box_disconnect(b);
        b->n_news = 0; /* init tells all again */
        socket_address(b, &address);
        b->socket = (int) MUST(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        MUST(setsockopt(b->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
        MUST(connect(b->socket, (struct sockaddr *) &address, sizeof(address)));
        ASSERT_EQ(box_receive(b, &b->hello, sizeof(b->hello), NULL), sizeof(b->hello));
        ASSERT_EQ(b->hello.header.operation, INIT_HELLO);
        ASSERT_EQ(b->hello.version, INIT_PROTOCOL_VERSION);
}

/* ---- files */

static void make_skeleton(const Box *b) {
        static const char *const links[][2] = {
                { "usr/bin", "bin" }, { "usr/sbin", "sbin" }, { "usr/lib", "lib" }, { "usr/lib64", "lib64" },
        };
        char path[128];

        snprintf(path, sizeof(path), "%s/skeleton", b->directory);
        MUST(mkdir(path, 0755));
        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                snprintf(path, sizeof(path), "%s/skeleton/%s", b->directory, links[i][1]);
                MUST(symlink(links[i][0], path));
        }
        snprintf(path, sizeof(path), "%s/skeleton/sys", b->directory);
        MUST(mkdir(path, 0755));
}

static void make_dev(const Box *b) {
        static const struct { const char *name; unsigned major, minor; } nodes[] = {
                { "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 },
                { "tty", 5, 0 },
        };
        char path[96];
        int fd;

        snprintf(path, sizeof(path), "%s/dev", b->directory);
        MUST(mkdir(path, 0755));
        MUST(mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755"));
        fd = (int) MUST(open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC));
        for (size_t i = 0; i < ELEMENTSOF(nodes); i++) {
                MUST(mknodat(fd, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
                MUST(fchmodat(fd, nodes[i].name, 0666, 0));
        }
        MUST(mkdirat(fd, "pts", 0755));
        MUST(mkdirat(fd, "shm", 0755));
        MUST(symlinkat("pts/ptmx", fd, "ptmx"));
        MUST(symlinkat("/proc/self/fd", fd, "fd"));
        close(fd);
}

static int clone_tree(const char *path) {
        return (int) MUST(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
}

/* ---- cgroups */

static void own_cgroup(char *buffer, size_t size) {
        char line[400];
        FILE *f = fopen("/proc/self/cgroup", "re");

        ASSERT_NOT_NULL(f);
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, "0::", 3) == 0) {
                        line[strcspn(line, "\n")] = 0;
                        snprintf(buffer, size, "/sys/fs/cgroup%s", line + 3);
                }
        fclose(f);
}

static void make_cgroup(Box *b) {
        char own[450], path[600], pid[16];

        own_cgroup(own, sizeof(own));
        snprintf(b->cgroup, sizeof(b->cgroup), "%s/init-test-%d", own, b->pid);
        MUST(mkdir(b->cgroup, 0755));
        b->cgroup_fd = (int) MUST(open(b->cgroup, O_DIRECTORY | O_RDONLY | O_CLOEXEC));
        snprintf(path, sizeof(path), "%s/cgroup.procs", b->cgroup);
        snprintf(pid, sizeof(pid), "%d", b->pid);
        write_text(path, pid);
}

static void enter_cgroup(Box *b) {
        InitHeader m = { .operation = INIT_ENTER_CGROUP };
        int fd;

        MUST(mkdirat(b->cgroup_fd, "init", 0755));
        MUST(mkdirat(b->cgroup_fd, "run", 0755));
        fd = (int) MUST(openat(b->cgroup_fd, "init/cgroup.procs", O_WRONLY | O_CLOEXEC));
        ASSERT_EQ(box_call(b, &m, sizeof(m), &fd, 1).error, 0);
        close(fd);
        MUST(fchownat(b->cgroup_fd, "cgroup.procs", FIRST_ID, FIRST_ID, 0));
}

static int make_exec_cgroup(Box *b, char name[static 16]) {
        char path[64];
        int fd;

        snprintf(name, 16, "exec-%u", ++b->n_exec);
        snprintf(path, sizeof(path), "run/%s", name);
        MUST(mkdirat(b->cgroup_fd, path, 0755));
        fd = (int) MUST(openat(b->cgroup_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC));
        MUST(fchownat(fd, "cgroup.procs", FIRST_ID, FIRST_ID, 0));
        MUST(fchownat(fd, "cgroup.kill", FIRST_ID, FIRST_ID, 0));
        return fd;
}

static void remove_cgroup(Box *b) {
        char path[64];

        for (unsigned n = 1; n <= b->n_exec; n++) {
                snprintf(path, sizeof(path), "run/exec-%u", n);
                MUST(unlinkat(b->cgroup_fd, path, AT_REMOVEDIR));
        }
        (void) unlinkat(b->cgroup_fd, "run", AT_REMOVEDIR);
        (void) unlinkat(b->cgroup_fd, "init", AT_REMOVEDIR);
        MUST(rmdir(b->cgroup));
        close(b->cgroup_fd);
}

/* ---- phases */

void box_fresh(Box *b) {
        struct sockaddr_un address;
        int listener;

        box_require();
        *b = (Box) { .directory = "/tmp/init-test.XXXXXX", .socket = -EBADF, .pidfd = -EBADF };
        ASSERT_NOT_NULL(mkdtemp(b->directory));
        make_skeleton(b);
        make_dev(b);
        socket_address(b, &address);
        listener = (int) MUST(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        MUST(bind(listener, (struct sockaddr *) &address, sizeof(address)));
        MUST(listen(listener, 4));
        start_process(b, listener);
        close(listener);
        make_cgroup(b);
        box_connect(b);
}

void box_parked(Box *b) {
        box_fresh(b);
        ASSERT_EQ(box_simple(b, INIT_GO).error, 0);
        enter_cgroup(b);
}

int box_root(Box *b) {
        static const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        struct { InitRoot root; struct sock_filter filters[2]; } m = {
                .root = {
                        .header.operation = INIT_ROOT,
                        .flags = INIT_ROOT_USR,
                        .n_layers = 1,
                        .upper_bytes = 16U << 20, .upper_inodes = 4096,
                        .tmp_bytes = 8U << 20, .tmp_inodes = 1024,
                        .shm_bytes = 4U << 20,
                        .nproc_max = 100, .fsize_max = 1U << 30,
                        .hostname = "0123456789ab",
                        .workdir = "/work/space",
                        .n_allow = 1, .n_args = 1,
                },
                .filters = { allow, allow },
        };
        char dev[96], skeleton[96];
        int fds[3], error;

        snprintf(dev, sizeof(dev), "%s/dev", b->directory);
        snprintf(skeleton, sizeof(skeleton), "%s/skeleton", b->directory);
        fds[0] = clone_tree(dev);
        fds[1] = clone_tree(skeleton);
        fds[2] = clone_tree("/usr");
        error = box_call(b, &m, sizeof(m), fds, ELEMENTSOF(fds)).error;
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
        return -error;
}

void box_live(Box *b) {
        box_parked(b);
        ASSERT_OK(box_root(b));
}

void box_done(Box *b) {
        char path[128];
        siginfo_t info;

        MUST(syscall(SYS_pidfd_send_signal, b->pidfd, SIGKILL, NULL, 0));
        for (size_t i = 0; i < n_started; i++)
                if (started[i] == b->pid)
                        started[i] = 0;
        MUST(waitid(P_PID, (id_t) b->pid, &info, WEXITED)); /* after all others of its pid namespace */
        box_disconnect(b);
        close(b->pidfd);
        remove_cgroup(b);

        snprintf(path, sizeof(path), "%s/dev", b->directory);
        MUST(umount2(path, MNT_DETACH));
        snprintf(path, sizeof(path), "rm -r %s", b->directory);
        ASSERT_EQ(system(path), 0);
}

/* ---- messages */

typedef union Control {
        char bytes[CMSG_SPACE(64 * sizeof(int))];
        struct cmsghdr header;
} Control;

void box_send(Box *b, void *message, size_t size, const int *fds, size_t n_fds) {
        Control control = {};
        struct iovec iov = { message, size };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > 0) {
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                control.header = (struct cmsghdr) {
                        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
                };
                memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
        }
        ASSERT_EQ(MUST(sendmsg(b->socket, &m, MSG_NOSIGNAL)), size);
}

size_t box_receive(Box *b, void *buffer, size_t size, int *fds) {
        Control control = {};
        struct iovec iov = { buffer, size };
        struct msghdr m = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
        };
        size_t n = (size_t) MUST(recvmsg(b->socket, &m, MSG_CMSG_CLOEXEC));

        if (fds && m.msg_controllen > 0)
                memcpy(fds, CMSG_DATA(&control.header), control.header.cmsg_len - CMSG_LEN(0));
        return n;
}

static void remember_news(Box *b, const InitCommand *news) {
        if (news->header.operation != INIT_COMMAND || news->state != INIT_COMMAND_EXITED)
                return;
        ASSERT_TRUE(b->n_news < ELEMENTSOF(b->news));
        b->news[b->n_news++] = *news;
}

static InitReply await_reply(Box *b, uint32_t sequence, int *fds) {
        union { InitHeader header; InitReply reply; InitCommand command; } m;

        for (;;) {
                (void) box_receive(b, &m, sizeof(m), fds);
                if (m.header.operation == INIT_REPLY && m.header.sequence == sequence)
                        return m.reply;
                remember_news(b, &m.command);
        }
}

InitReply box_call(Box *b, void *message, size_t size, const int *fds, size_t n_fds) {
        ((InitHeader *) message)->sequence = ++b->sequence;
        box_send(b, message, size, fds, n_fds);
        return await_reply(b, b->sequence, NULL);
}

InitReply box_simple(Box *b, InitOperation operation) {
        InitReply reply;
        InitHeader m = { .operation = operation };

        reply = box_call(b, &m, sizeof(m), NULL, 0);
        if (reply.error != 0)
                fprintf(stderr, "operation %d: step %d: %s\n", (int) operation, reply.step, strerror(reply.error));
        return reply;
}

InitReply box_name(Box *b, InitOperation operation, const char *command, int *fds) {
        InitCommandName m = { .header = { operation, ++b->sequence } };

        snprintf(m.command, sizeof(m.command), "%s", command);
        box_send(b, &m, sizeof(m), NULL, 0);
        if (operation == INIT_ACKNOWLEDGE)
                return (InitReply) {};
        return await_reply(b, b->sequence, fds);
}

static size_t put_string(char *buffer, size_t at, const char *s) {
        memcpy(buffer + at, s, strlen(s) + 1);
        return at + strlen(s) + 1;
}

static int seal_strings(const char *strings, size_t size) {
        int fd = (int) MUST(memfd_create("strings", MFD_CLOEXEC | MFD_ALLOW_SEALING));

        ASSERT_EQ(MUST(write(fd, strings, size)), size);
        MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
        return fd;
}

InitReply box_exec(Box *b, const BoxExec *x) {
        static const char *const standard_env[] = { "PATH=/usr/bin:/bin", NULL };
        static struct { InitExec exec; char strings[512 * 1024]; } m;
        const char *const *env = x->env ?: standard_env;
        size_t length = 0, n_fds = 0;
        int fds[8], made[2], n_made = 0;
        InitReply reply;

        m.exec = (InitExec) {
                .header.operation = INIT_EXEC,
                .flags = x->flags, .uid = x->uid, .gid = x->gid, .n_keep = x->keep > 0,
                .rows = x->rows, .columns = x->columns,
                .deadline_usec = x->deadline_usec ?: UINT64_MAX,
        };
        snprintf(m.exec.command, sizeof(m.exec.command), "%s", x->command);

        length = put_string(m.strings, length, x->cwd ?: "");
        for (const char *const *s = x->argv; *s; s++, m.exec.argc++)
                length = put_string(m.strings, length, *s);
        for (const char *const *s = env; *s; s++, m.exec.envc++)
                length = put_string(m.strings, length, *s);
        m.exec.length = (uint32_t) length;

        if (x->flags & INIT_EXEC_STRINGS_IN_FD)
                fds[n_fds++] = x->strings_fd ?: (made[n_made++] = seal_strings(m.strings, length));
        made[n_made++] = (int) MUST(open("/dev/null", O_RDWR | O_CLOEXEC));
        for (size_t i = 0; i < 3; i++)
                fds[n_fds++] = x->stdio[i] ?: made[n_made - 1];
        fds[n_fds++] = make_exec_cgroup(b, m.exec.cgroup);
        if (x->keep > 0)
                fds[n_fds++] = x->keep;

        if (x->flags & INIT_EXEC_STRINGS_IN_FD)
                length = 0;
        reply = box_call(b, &m, sizeof(InitExec) + length, fds, n_fds);
        close(fds[n_fds - 1 - (x->keep > 0)]);
        while (n_made > 0)
                close(made[--n_made]);
        return reply;
}

InitCommand box_await_unacknowledged(Box *b, const char *command) {
        union { InitHeader header; InitReply reply; InitCommand command; } m;

        for (;;) {
                for (size_t i = 0; i < b->n_news; i++)
                        if (strcmp(b->news[i].command, command) == 0) {
                                InitCommand news = b->news[i];

                                b->news[i] = b->news[--b->n_news];
                                return news;
                        }
                (void) box_receive(b, &m, sizeof(m), NULL);
                remember_news(b, &m.command);
        }
}

InitCommand box_await(Box *b, const char *command) {
        InitCommand c = box_await_unacknowledged(b, command);

        (void) box_name(b, INIT_ACKNOWLEDGE, command, NULL);
        return c;
}

int box_shell(Box *b, const char *script, char *buffer, size_t size) {
        const char *const argv[] = { "sh", "-c", script, NULL };
        size_t n = 0;
        ssize_t r;
        int ends[2];
        InitCommand c;

        MUST(pipe2(ends, O_CLOEXEC));
        ASSERT_EQ(box_exec(b, &(BoxExec) {
                .command = "shell", .argv = argv, .stdio = { 0, ends[1], ends[1] },
        }).error, 0);
        close(ends[1]);
        while ((r = MUST(read(ends[0], buffer + n, size - 1 - n))) > 0)
                n += (size_t) r;
        buffer[n] = 0;
        close(ends[0]);

        c = box_await(b, "shell");
        return c.code == CLD_EXITED ? c.status : -c.status;
}

size_t box_count_fds(const Box *b) {
        char path[64];
        size_t n = 0;
        DIR *d;

        snprintf(path, sizeof(path), "/proc/%d/fd", b->pid);
        d = opendir(path);
        ASSERT_NOT_NULL(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}
