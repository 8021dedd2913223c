/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test.h"
#include "tests/unit/sandbox-init/box.h"

/* The real sandbox-init, spoken to as execd does. */

#define LATE_USEC 2000000U /* what an emulated machine may take for what is due at once */
#define SHELL(script) ((const char *const[]) { "/bin/sh", "-c", script, NULL })

TEST(parked_has_nothing_of_the_host) {
        char path[64], line[512];
        size_t n = 0;
        FILE *f;
        Box b;

        box_parked(&b);
        snprintf(path, sizeof(path), "/proc/%d/mountinfo", b.pid);
        f = fopen(path, "re");
        ASSERT_NOT_NULL(f);
        while (fgets(line, sizeof(line), f)) {
                n++;
                ASSERT_TRUE(strstr(line, " - tmpfs ") || strstr(line, " - proc "));
                ASSERT_NULL(strstr(line, "shared:"));
                ASSERT_NULL(strstr(line, "master:"));
        }
        fclose(f);
        ASSERT_TRUE(n > 2);
        box_done(&b);
}

/* Whoever made it is gone, and nobody else would want it. */
TEST(blank_ends_with_its_connection) {
        struct pollfd p;
        Box b;

        for (int i = 0; i < 2; i++) {
                (i == 0 ? box_fresh : box_parked)(&b);
                box_disconnect(&b);
                p = (struct pollfd) { .fd = b.pidfd, .events = POLLIN };
                ASSERT_EQ(poll(&p, 1, 60000), 1);
                box_done(&b);
        }
}

TEST(exit_status) {
        static const struct { const char *script; int code, status; } cases[] = {
                { "exit 0", CLD_EXITED, 0 },
                { "exit 7", CLD_EXITED, 7 },
                { "kill -KILL $$", CLD_KILLED, SIGKILL },
                { "kill -SEGV $$", CLD_KILLED, SIGSEGV },
                { "kill -TERM 1; kill -KILL 1; kill -STOP 1; exit 5", CLD_EXITED, 5 },
        };
        Box b;

        box_live(&b);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                InitCommand c;
                InitReply r = box_exec(&b, &(BoxExec) { .command = "x", .argv = SHELL(cases[i].script) });

                ASSERT_EQ(r.error, 0);
                ASSERT_TRUE(r.pid > 1);
                c = box_await(&b, "x");
                ASSERT_EQ(c.pid, r.pid);
                ASSERT_EQ(c.code, cases[i].code);
                ASSERT_EQ(c.status, cases[i].status);
                ASSERT_EQ(c.timed_out, 0);
                ASSERT_TRUE(c.ended_usec >= c.started_usec && c.started_usec > 0);
        }
        box_done(&b);
}

/* What a command can see of its surroundings: a line of shell and what it prints. */
TEST(inside) {
        static const struct { const char *script, *output; } cases[] = {
                { "hostname; cat /etc/hostname; wc -c < /etc/resolv.conf", "0123456789ab\n0123456789ab\n0\n" },
                { "grep -c 0123456789ab /etc/hosts", "1\n" },
                { "id -u; id -g; id -G; umask", "0\n0\n0\n0022\n" },
                { "pwd; ls -d /work/space; stat -c %a /tmp /run /work", "/\n/work/space\n1777\n755\n755\n" },
                { "cat /proc/self/cgroup | tail -n 1 | sed 's/exec-.*/exec/'", "0::/run/exec\n" },
                { "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp_filters)' /proc/self/status | tr -d '\\t'",
                  "CapInh:0000000000000000\nCapPrm:00000000800005fb\nCapEff:00000000800005fb\n"
                  "CapBnd:00000000800005fb\nCapAmb:0000000000000000\nNoNewPrivs:1\nSeccomp_filters:2\n" },
                { "grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t'",
                  "SigBlk:0000000000000000\nSigIgn:0000000000000000\n" },
                { "cat /proc/self/oom_score_adj; cat /proc/sys/user/max_user_namespaces", "500\n0\n" },
                { "ulimit -Sn; ulimit -Hc; ulimit -Ss; ulimit -Hs; ulimit -u 2>/dev/null || ulimit -p",
                  "1024\n0\n8192\n65536\n100\n" },
                { "ls -A /sys | wc -l; touch /sys/x 2>/dev/null || echo refused", "0\nrefused\n" },
                { "for f in kcore keys interrupts timer_list; do test -e /proc/$f && wc -c < /proc/$f; done | sort -u",
                  "0\n" },
                { "for f in sys bus irq fs sysrq-trigger; do test -e /proc/$f && "
                  "grep -c \" /proc/$f ro,nosuid,nodev,noexec\" /proc/self/mountinfo; done | sort -u", "1\n" },
                { "for f in cwd root exe fd/0 fd/3 ns/user; do readlink /proc/1/$f || echo refused; done | sort -u; "
                  "cat /proc/1/environ /proc/1/mem /proc/1/maps 2>/dev/null || echo refused", "refused\nrefused\n" },
                { "ls /proc/self/fd | wc -l; ls /dev/shm /run | wc -l", "4\n3\n" },
                { "echo x > /tmp/f && echo y > /dev/shm/f && echo z > /usr/f && cat /tmp/f /dev/shm/f /usr/f",
                  "x\ny\nz\n" },
                { "df -k --output=size / /tmp /run /dev/shm | tail -n +2 | tr -d ' '", "16384\n8192\n8192\n4096\n" },
                { "cd /; cd ..; pwd; ls / | tr '\\n' ' '",
                  "/\nbin dev etc lib lib64 proc run sbin sys tmp usr work " },
                { "grep -c . /proc/net/if_inet6; head -n 1 /proc/net/if_inet6 | grep -o 'lo$'", "1\nlo\n" },
                { "unshare -U true 2>/dev/null || echo refused", "refused\n" },
        };
        char output[8192];
        Box b;

        box_live(&b);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                (void) box_shell(&b, cases[i].script, output, sizeof(output));
                ASSERT_STREQ(output, cases[i].output);
        }
        box_done(&b);
}

TEST(mountinfo_shows_no_host_path) {
        char output[16384];
        Box b;

        box_live(&b);
        ASSERT_EQ(box_shell(&b, "cat /proc/self/mountinfo", output, sizeof(output)), 0);
        ASSERT_NULL(strstr(output, "/tmp/"));
        ASSERT_NULL(strstr(output, b.directory + 1));
        ASSERT_NULL(strstr(output, "shared:"));
        ASSERT_NULL(strstr(output, "master:"));
        ASSERT_NOT_NULL(strstr(output, "lowerdir=l/0"));
        ASSERT_NOT_NULL(strstr(output, " / rw,nosuid,nodev,noatime - overlay "));
        box_done(&b);
}

TEST(link_at_a_mount_target) {
        static const char *const names[] = { "proc", "dev", "tmp", "run", "sys", "etc", "usr" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char path[128];
                Box b;

                box_parked(&b);
                snprintf(path, sizeof(path), "%s/skeleton/%s", b.directory, names[i]);
                (void) rmdir(path);
                ASSERT_EQ(symlink("bin", path), 0);
                ASSERT_EQ(box_root(&b), -ELOOP);
                /* Half-made: it must not be given a second chance. */
                ASSERT_EQ(box_root(&b), -EPROTO);
                ASSERT_EQ(box_simple(&b, INIT_PING).error, 0);
                box_done(&b);
        }
}

TEST(exec_errors) {
        static const char *const path_of_tmp[] = { "PATH=/nowhere:/tmp", NULL };
        static const struct {
                const char *argv0, *cwd;
                const char *const *env;
                int error, step;
        } cases[] = {
                { "no-such-command", "",         NULL,        ENOENT,  INIT_STEP_COMMAND },
                { "/no/such",        "",         NULL,        ENOENT,  INIT_STEP_COMMAND },
                { "/etc/hostname",   "",         NULL,        EACCES,  INIT_STEP_COMMAND },
                { "/tmp",            "",         NULL,        EACCES,  INIT_STEP_COMMAND },
                { "text",            "",         path_of_tmp, ENOEXEC, INIT_STEP_COMMAND },
                { "plain",           "",         path_of_tmp, EACCES,  INIT_STEP_COMMAND },
                { "true",            "/no/such", NULL,        ENOENT,  INIT_STEP_CWD     },
                { "true",            "/bin/sh",  NULL,        ENOTDIR, INIT_STEP_CWD     },
        };
        char output[64];
        size_t before;
        Box b;

        box_live(&b);
        ASSERT_EQ(box_shell(&b, "cd /tmp; echo text > text; chmod +x text; echo > plain", output, sizeof(output)), 0);
        (void) box_simple(&b, INIT_PING); /* it has seen the ACKNOWLEDGE */
        before = box_count_fds(&b);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *const argv[] = { cases[i].argv0, NULL };
                InitReply r;

                r = box_exec(&b, &(BoxExec) {
                        .command = "x", .argv = argv, .env = cases[i].env, .cwd = cases[i].cwd,
                });
                ASSERT_EQ(r.error, cases[i].error);
                ASSERT_EQ(r.step, cases[i].step);
        }
        box_connect(&b);
        ASSERT_EQ(b.hello.n_commands, 0);
        ASSERT_EQ(box_count_fds(&b), before);
        box_done(&b);
}

TEST(path_and_cwd) {
        static const char *const env[] = { "PATH=/nowhere:/usr/bin", "A=1", NULL };
        const char *const argv[] = { "sh", "-c", "test \"$PWD\" = /work/space && test \"$A\" = 1", NULL };
        Box b;

        box_live(&b);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .argv = argv, .env = env, .cwd = "/work/space",
        }).error, 0);
        ASSERT_EQ(box_await(&b, "x").status, 0);
        box_done(&b);
}

TEST(ids) {
        Box b;

        box_live(&b);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .uid = 1000, .gid = 100,
                .argv = SHELL("test $(id -u).$(id -g).$(id -G) = 1000.100.100 && "
                              "grep -q 'CapEff:.0*$' /proc/self/status"),
        }).error, 0);
        ASSERT_EQ(box_await(&b, "x").status, 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) { .command = "x", .uid = 65536, .argv = SHELL("true") }).error, EINVAL);
        ASSERT_EQ(box_exec(&b, &(BoxExec) { .command = "x", .uid = UINT32_MAX, .argv = SHELL("true") }).error, EINVAL);
        box_done(&b);
}

TEST(ends_although_children_hold_the_pipe) {
        int ends[2];
        char byte;
        Box b;

        box_live(&b);
        ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .stdio = { 0, ends[1], ends[1] },
                .argv = SHELL("sleep 1000 & setsid sleep 1000 & exit 3"),
        }).error, 0);
        close(ends[1]);
        ASSERT_EQ(box_await(&b, "x").status, 3);
        ASSERT_EQ(read(ends[0], &byte, 1), -1);
        ASSERT_EQ(errno, EAGAIN);
        close(ends[0]);
        box_done(&b);
}

TEST(deadline) {
        uint64_t deadline;
        int ends[2];
        InitCommand c;
        char byte;
        Box b;

        box_live(&b);
        deadline = box_now_usec() + 300000;
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .deadline_usec = deadline, .stdio = { 0, ends[1], 0 },
                .argv = SHELL("trap '' TERM INT HUP; setsid sh -c 'sleep 1000' & sleep 1000"),
        }).error, 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) { .command = "bystander", .argv = SHELL("sleep 1000") }).error, 0);
        close(ends[1]);
        c = box_await(&b, "x");
        ASSERT_EQ(c.code, CLD_KILLED);
        ASSERT_EQ(c.status, SIGKILL);
        ASSERT_EQ(c.timed_out, 1);
        ASSERT_TRUE(c.ended_usec >= deadline && c.ended_usec < deadline + LATE_USEC);
        ASSERT_EQ(read(ends[0], &byte, 1), 0); /* nobody is left who could write */
        close(ends[0]);

        box_connect(&b);
        ASSERT_EQ(b.hello.n_commands, 1);
        box_done(&b);
}

/* No daemon lives: the deadline is enforced all the same, and the next one is told all. */
TEST(reconnect) {
        int ends[2], output[2], taken[INIT_KEEP_MAX] = { -1, -1, -1 };
        InitCommand c;
        InitReply r;
        char text[8] = "";
        Box b;

        box_live(&b);
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        ASSERT_EQ(pipe2(output, O_CLOEXEC), 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "ends", .argv = SHELL("read line; echo hello; exit 42"),
                .stdio = { ends[0], output[1], 0 }, .keep = output[0],
        }).error, 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "late", .argv = SHELL("sleep 1000"), .deadline_usec = box_now_usec() + 200000,
        }).error, 0);
        close(ends[0]);
        close(output[0]);
        close(output[1]);
        box_disconnect(&b);
        ASSERT_EQ(write(ends[1], "\n", 1), 1);
        close(ends[1]);

        box_connect(&b);
        ASSERT_EQ(b.hello.phase, INIT_PHASE_LIVE);
        ASSERT_EQ(b.hello.n_commands, 2);
        c = box_await_unacknowledged(&b, "ends");
        ASSERT_EQ(c.status, 42);
        ASSERT_STREQ(c.cgroup, "exec-1");
        ASSERT_EQ(c.n_keep, 1);
        r = box_name(&b, INIT_TAKE, "ends", taken);
        ASSERT_EQ(r.error, 0);
        ASSERT_EQ(r.n_fds, 1);
        ASSERT_EQ(read(taken[0], text, sizeof(text)), 6);
        ASSERT_STREQ(text, "hello\n");
        close(taken[0]);

        /* Told again until acknowledged. */
        box_connect(&b);
        ASSERT_EQ(box_await(&b, "ends").status, 42);
        box_connect(&b);
        c = box_await(&b, "late");
        ASSERT_EQ(c.timed_out, 1);
        ASSERT_EQ(c.status, SIGKILL);
        ASSERT_EQ(box_name(&b, INIT_TAKE, "ends", NULL).error, ENOENT);
        box_connect(&b);
        ASSERT_EQ(b.hello.n_commands, 0);
        box_done(&b);
}

TEST(newest_connection_wins) {
        char buffer[256];
        int old;
        Box b;

        box_live(&b);
        old = b.socket;
        b.socket = -EBADF;
        box_connect(&b);
        ASSERT_EQ(recv(old, buffer, sizeof(buffer), 0), 0);
        close(old);
        ASSERT_EQ(box_simple(&b, INIT_PING).error, 0);
        box_done(&b);
}

static int signal_command(Box *b, const char *command, InitSignalTarget target, int pid, int signal) {
        InitSignal m = { .header.operation = INIT_SIGNAL, .signal = signal, .target = target, .pid = pid };

        snprintf(m.command, sizeof(m.command), "%s", command);
        return box_call(b, &m, sizeof(m), NULL, 0).error;
}

TEST(signals) {
        static const InitSignalTarget targets[] = { INIT_SIGNAL_MAIN, INIT_SIGNAL_GROUP, INIT_SIGNAL_PROCESS };
        InitReply r;
        Box b;

        box_live(&b);
        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                r = box_exec(&b, &(BoxExec) { .command = "x", .argv = SHELL("exec sleep 1000") });
                ASSERT_EQ(r.error, 0);
                ASSERT_EQ(signal_command(&b, "x", targets[i], r.pid, SIGTERM), 0);
                ASSERT_EQ(box_await_unacknowledged(&b, "x").status, SIGTERM);
                ASSERT_EQ(signal_command(&b, "x", INIT_SIGNAL_MAIN, 0, SIGTERM), ESRCH);
                (void) box_name(&b, INIT_ACKNOWLEDGE, "x", NULL);
        }
        ASSERT_EQ(signal_command(&b, "x", INIT_SIGNAL_MAIN, 0, SIGTERM), ENOENT);
        ASSERT_EQ(signal_command(&b, "", INIT_SIGNAL_PROCESS, 4000, SIGTERM), ESRCH);
        ASSERT_EQ(signal_command(&b, "", INIT_SIGNAL_PROCESS, 1, SIGKILL), EINVAL);
        ASSERT_EQ(signal_command(&b, "", INIT_SIGNAL_PROCESS, -1, SIGKILL), EINVAL);
        ASSERT_EQ(signal_command(&b, "", INIT_SIGNAL_PROCESS, 2, 65), EINVAL);
        box_done(&b);
}

TEST(strings_in_a_memfd) {
        static char large[100000];
        const char *env[] = { large, "PATH=/usr/bin", NULL };
        int fd;
        Box b;

        memset(large, 'x', sizeof(large) - 1);
        large[0] = 'A';
        large[1] = '=';
        box_live(&b);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .flags = INIT_EXEC_STRINGS_IN_FD, .env = env, .argv = SHELL("test ${#A} = 99997"),
        }).error, 0);
        ASSERT_EQ(box_await(&b, "x").status, 0);

        fd = memfd_create("not sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ASSERT_EQ(ftruncate(fd, 1 << 20), 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .flags = INIT_EXEC_STRINGS_IN_FD, .strings_fd = fd, .argv = SHELL("true"),
        }).error, EPERM);
        /* Sealed, but shorter than it is said to be. */
        ASSERT_EQ(ftruncate(fd, 1), 0);
        ASSERT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .flags = INIT_EXEC_STRINGS_IN_FD, .strings_fd = fd, .argv = SHELL("true"),
        }).error, EBADMSG);
        close(fd);
        box_done(&b);
}

/* Reads on until the text has come, or all has. */
static void read_until(int fd, const char *text, char *buffer, size_t size) {
        size_t n = strlen(buffer);
        ssize_t r;

        while (!strstr(buffer, text) && n < size - 1 && (r = read(fd, buffer + n, size - 1 - n)) > 0) {
                n += (size_t) r;
                buffer[n] = 0;
        }
        ASSERT_NOT_NULL(strstr(buffer, text));
}

TEST(pty) {
        int taken[INIT_KEEP_MAX];
        char output[256] = "";
        Box b;

        box_live(&b);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .flags = INIT_EXEC_PTY, .rows = 40, .columns = 132, .uid = 1000, .gid = 1000,
                .argv = SHELL("tty; stty size; stat -c %u:%g:%a $(tty); read line < /dev/tty; echo got $line"),
        }).error, 0);
        ASSERT_EQ(box_name(&b, INIT_TAKE, "x", taken).n_fds, 1);
        read_until(taken[0], "/dev/pts/0\r\n40 132\r\n1000:5:620\r\n", output, sizeof(output));
        ASSERT_EQ(write(taken[0], "word\n", 5), 5);
        read_until(taken[0], "got word\r\n", output, sizeof(output));
        close(taken[0]);
        ASSERT_EQ(box_await(&b, "x").status, 0);
        box_done(&b);
}

/* Whatever comes, it is answered, and no descriptor stays. */
TEST(malformed) {
        struct { InitHeader header; char rest[70000]; } m = {};
        static const uint32_t operations[] = { 0, INIT_GO, INIT_ENTER_CGROUP, INIT_ROOT, INIT_EXEC, INIT_SIGNAL,
                                               INIT_TAKE, INIT_PING, INIT_REPLY, UINT32_MAX };
        static const size_t sizes[] = { 8, 9, 24, 48, 100, 112, 120, 500, 4096, 65536, 70000 };
        static const size_t n_fds[] = { 1, 4, 7, 19, 40 };
        int fds[40];
        size_t before;
        Box b;

        box_live(&b);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = b.cgroup_fd;
        (void) box_simple(&b, INIT_PING);
        before = box_count_fds(&b);
        for (size_t o = 0; o < ELEMENTSOF(operations); o++)
                for (size_t s = 0; s < ELEMENTSOF(sizes); s++) {
                        InitReply r;

                        m.header = (InitHeader) { operations[o], 7 };
                        memset(m.rest, (int) (o + s), sizeof(m.rest));
                        box_send(&b, &m, sizes[s], fds, n_fds[(o + s) % ELEMENTSOF(n_fds)]);
                        ASSERT_EQ(box_receive(&b, &r, sizeof(r), NULL), sizeof(r));
                        ASSERT_EQ(r.header.operation, INIT_REPLY);
                        ASSERT_TRUE(r.error == EBADMSG || r.error == EPROTO || r.error == EOPNOTSUPP);
                }
        for (size_t s = 1; s < 8; s++) {
                InitReply r;

                box_send(&b, &m, s, fds, 1);
                ASSERT_EQ(box_receive(&b, &r, sizeof(r), NULL), sizeof(r));
                ASSERT_EQ(r.error, EBADMSG);
        }
        ASSERT_EQ(box_count_fds(&b), before);
        box_done(&b);
}

/* Directories, block devices and plain files of the host are no streams of a command. */
TEST(refuses_descriptors) {
        static const struct { const char *path; int flags; } refused[] = {
                { "/usr/bin/env", O_RDONLY }, { "/usr", O_RDONLY }, { "/dev/null", O_PATH }, { "/", O_PATH },
        };
        size_t before;
        Box b;

        box_live(&b);
        before = box_count_fds(&b);
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                BoxExec as_stream = { .command = "x", .argv = SHELL("true") };
                BoxExec as_kept = as_stream;
                int fd = open(refused[i].path, refused[i].flags | O_CLOEXEC);

                ASSERT_TRUE(fd > 0);
                as_stream.stdio[i % 3] = fd;
                as_kept.keep = fd;
                ASSERT_EQ(box_exec(&b, &as_stream).error, EBADF);
                ASSERT_EQ(box_exec(&b, &as_kept).error, EBADF);
                close(fd);
        }
        ASSERT_EQ(box_count_fds(&b), before);
        box_done(&b);
}

TEST(same_name_twice) {
        Box b;

        box_live(&b);
        ASSERT_EQ(box_exec(&b, &(BoxExec) { .command = "x", .argv = SHELL("sleep 1000") }).error, 0);
        ASSERT_EQ(box_exec(&b, &(BoxExec) { .command = "x", .argv = SHELL("true") }).error, EEXIST);
        box_done(&b);
}

/* Somebody who writes but never reads: init goes on with its duties, and all answers come when he reads at last. */
TEST(reader_that_hangs) {
        uint32_t n_sent = 0, n_replies = 0;
        bool timed_out = false;
        InitHeader m = { .operation = INIT_PING };
        ssize_t r;
        Box b;

        box_live(&b);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "x", .argv = SHELL("sleep 1000"), .deadline_usec = box_now_usec() + 200000,
        }).error, 0);
        /* Full for good only when init has stopped reading. */
        do {
                r = send(b.socket, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
                n_sent += r > 0;
        } while (r > 0 || poll(&(struct pollfd) { .fd = b.socket, .events = POLLOUT }, 1, 500) > 0);
        ASSERT_TRUE(n_sent > 100);

        while (n_replies < n_sent || !timed_out) {
                union { InitHeader header; InitCommand command; } answer;

                (void) box_receive(&b, &answer, sizeof(answer), NULL);
                n_replies += answer.header.operation == INIT_REPLY;
                if (answer.header.operation == INIT_COMMAND) {
                        ASSERT_EQ(answer.command.timed_out, 1);
                        ASSERT_TRUE(answer.command.ended_usec < answer.command.deadline_usec + LATE_USEC);
                        timed_out = true;
                }
        }
        ASSERT_EQ(n_replies, n_sent);
        box_done(&b);
}

/* A command that stops everything it can reach, also what init is about to exec, stops neither init nor deadlines. */
TEST(stops_its_neighbours) {
        Box b;

        box_live(&b);
        ASSERT_EQ(box_exec(&b, &(BoxExec) {
                .command = "stopper", .argv = SHELL("while :; do kill -STOP -1; done"),
                .deadline_usec = box_now_usec() + 60000000,
        }).error, 0);
        for (unsigned n = 0; n < 20; n++) {
                BoxExec x = { .command = "x", .argv = SHELL("exit 1"), .deadline_usec = box_now_usec() + 50000 };
                InitCommand c;

                if (box_exec(&b, &x).error != 0)
                        continue;
                c = box_await(&b, "x");
                ASSERT_TRUE(c.timed_out || c.status == 1);
        }
        ASSERT_EQ(box_simple(&b, INIT_PING).error, 0);
        ASSERT_EQ(signal_command(&b, "stopper", INIT_SIGNAL_MAIN, 0, SIGKILL), 0);
        box_done(&b);
}
