/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox-init/request.h"
#include "tests/test.h"

TEST(sizes_and_phases) {
        static const struct {
                uint32_t operation;
                size_t size, n_fds;
                InitPhase phase;
                int result;
        } cases[] = {
                { INIT_GO,               8,  0, INIT_PHASE_FRESH,  0           },
                { INIT_GO,               8,  0, INIT_PHASE_PARKED, -EPROTO     },
                { INIT_GO,               9,  0, INIT_PHASE_FRESH,  -EBADMSG    },
                { INIT_GO,               7,  0, INIT_PHASE_FRESH,  -EBADMSG    },
                { INIT_GO,               0,  0, INIT_PHASE_FRESH,  -EBADMSG    },
                { INIT_GO,               8,  1, INIT_PHASE_FRESH,  -EBADMSG    },
                { INIT_ENTER_CGROUP,     8,  1, INIT_PHASE_FRESH,  -EPROTO     },
                { INIT_ENTER_CGROUP,     8,  1, INIT_PHASE_PARKED, 0           },
                { INIT_ENTER_CGROUP,     8,  0, INIT_PHASE_PARKED, -EBADMSG    },
                { INIT_ENTER_CGROUP,     9,  1, INIT_PHASE_PARKED, -EBADMSG    },
                { INIT_ROOT,             8,  0, INIT_PHASE_PARKED, -EBADMSG    },
                { INIT_EXEC,             8,  0, INIT_PHASE_LIVE,   -EBADMSG    },
                { INIT_PING,             8,  0, INIT_PHASE_FRESH,  0           },
                { INIT_PING,             8,  0, INIT_PHASE_LIVE,   0           },
                { INIT_TAKE,             47, 0, INIT_PHASE_LIVE,   -EBADMSG    },
                { INIT_TAKE,             48, 0, INIT_PHASE_PARKED, -EPROTO     },
                { INIT_REPLY,            24, 0, INIT_PHASE_LIVE,   -EOPNOTSUPP },
                { 0,                     8,  0, INIT_PHASE_LIVE,   -EOPNOTSUPP },
                { UINT32_MAX,            8,  0, INIT_PHASE_LIVE,   -EOPNOTSUPP },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *message = calloc(1, cases[i].size + 1);

                if (cases[i].size >= sizeof(InitHeader))
                        memcpy(message, &cases[i].operation, sizeof(cases[i].operation));
                ASSERT_EQ(request_check(message, cases[i].size, cases[i].n_fds, cases[i].phase), cases[i].result);
                free(message);
        }
}

typedef struct RootPacket {
        InitRoot root;
        char filters[2 * 8];
} RootPacket;

static RootPacket good_root(void) {
        return (RootPacket) { .root = {
                .header.operation = INIT_ROOT,
                .n_layers = 2,
                .upper_bytes = 1, .upper_inodes = 1, .tmp_bytes = 1, .tmp_inodes = 1, .shm_bytes = 1,
                .nproc_max = 1, .fsize_max = 1,
                .hostname = "a-1.B", .workdir = "/w",
                .n_allow = 1, .n_args = 1,
        } };
}

static int check_root(const RootPacket *p, size_t n_fds) {
        return request_check(p, sizeof(*p), n_fds, INIT_PHASE_PARKED);
}

TEST(root) {
        RootPacket p = good_root();

        ASSERT_OK(check_root(&p, 3));
        ASSERT_EQ(check_root(&p, 4), -EBADMSG);
        ASSERT_EQ(request_check(&p, sizeof(p) - 1, 3, INIT_PHASE_PARKED), -EBADMSG);
        p.root.flags = INIT_ROOT_UPPER | INIT_ROOT_USR;
        ASSERT_OK(check_root(&p, 5));
        p.root.flags = 4;
        ASSERT_EQ(check_root(&p, 3), -EBADMSG);
}

#define REFUSES(expected, ...)                                                                     \
        do {                                                                                       \
                RootPacket p = good_root();                                                        \
                __VA_ARGS__;                                                                       \
                ASSERT_EQ(check_root(&p, 1U + p.root.n_layers), expected);                         \
        } while (0)

TEST(root_refuses) {
        REFUSES(-EBADMSG, p.root.n_layers = 0);
        REFUSES(-EBADMSG, p.root.n_layers = INIT_LAYERS_MAX + 1);
        REFUSES(-EBADMSG, p.root.n_layers = UINT32_MAX);
        REFUSES(-EBADMSG, p.root.n_allow = 0, p.root.n_args = 2);
        REFUSES(-EBADMSG, p.root.n_allow = 2, p.root.n_args = 0);
        REFUSES(-EBADMSG, p.root.n_allow = UINT32_MAX, p.root.n_args = 3);
        REFUSES(-EBADMSG, p.root.hostname[0] = 0);
        REFUSES(-EBADMSG, p.root.hostname[0] = '\n');
        REFUSES(-EBADMSG, memset(p.root.hostname, 'a', sizeof(p.root.hostname)));
        REFUSES(-EBADMSG, p.root.workdir[0] = 'w');
        REFUSES(-EBADMSG, memset(p.root.workdir, '/', sizeof(p.root.workdir)));
        REFUSES(-EINVAL, p.root.upper_bytes = 0);
        REFUSES(-EINVAL, p.root.upper_inodes = 0);
        REFUSES(-EINVAL, p.root.tmp_bytes = 0);
        REFUSES(-EINVAL, p.root.tmp_inodes = 0);
        REFUSES(-EINVAL, p.root.shm_bytes = 0);
        REFUSES(-EINVAL, p.root.nproc_max = 0);
        REFUSES(-EINVAL, p.root.fsize_max = 0);
}

#undef REFUSES

static InitExec good_exec(void) {
        return (InitExec) {
                .header.operation = INIT_EXEC, .command = "c", .cgroup = "exec-1", .argc = 1,
                .flags = INIT_EXEC_STRINGS_IN_FD, .length = 4,
        };
}

#define EXEC(expected, n_fds, ...)                                                                 \
        do {                                                                                       \
                InitExec m = good_exec();                                                          \
                __VA_ARGS__;                                                                       \
                ASSERT_EQ(request_check(&m, sizeof(m), n_fds, INIT_PHASE_LIVE), expected);         \
        } while (0)

TEST(exec) {
        EXEC(0, 5, (void) m);
        EXEC(-EBADMSG, 4, (void) m);
        EXEC(-EBADMSG, 6, (void) m);
        EXEC(0, 8, m.n_keep = 3);
        EXEC(-EBADMSG, 9, m.n_keep = 4);
        EXEC(-EBADMSG, 4, m.flags = 0); /* inline, but nothing follows */
        EXEC(-EBADMSG, 5, m.flags = 8);
        EXEC(-EBADMSG, 5, m.argc = 0);
        EXEC(0, 5, m.argc = INIT_STRINGS_MAX);
        EXEC(-EBADMSG, 5, m.argc = INIT_STRINGS_MAX, m.envc = 1);
        EXEC(-EBADMSG, 5, m.argc = 2, m.envc = UINT32_MAX);
        EXEC(-EBADMSG, 5, m.length = EXEC_STRINGS_SIZE_MAX + 1);
        EXEC(-EBADMSG, 5, memset(m.command, 'c', sizeof(m.command)));
        EXEC(-EBADMSG, 5, m.command[0] = 0);
        EXEC(-EBADMSG, 5, memset(m.cgroup, 'c', sizeof(m.cgroup)));
        EXEC(0, 5, m.uid = ID_MAX, m.gid = ID_MAX);
        EXEC(-EINVAL, 5, m.uid = UINT32_MAX); /* would be "do not change" */
        EXEC(-EINVAL, 5, m.gid = ID_MAX + 1);
        EXEC(0, 5, m.flags |= INIT_EXEC_PTY, m.rows = 24, m.columns = 80);
        EXEC(-EINVAL, 5, m.flags |= INIT_EXEC_PTY, m.rows = 65536);
        EXEC(-EINVAL, 6, m.flags |= INIT_EXEC_PTY, m.n_keep = 1);
}

static int check_signal(InitSignalTarget target, int pid, int signal, const char *command) {
        InitSignal m = { .header.operation = INIT_SIGNAL, .target = target, .pid = pid, .signal = signal };

        strcpy(m.command, command);
        return request_check(&m, sizeof(m), 0, INIT_PHASE_LIVE);
}

TEST(signal) {
        ASSERT_OK(check_signal(INIT_SIGNAL_MAIN, 0, 15, "c"));
        ASSERT_EQ(check_signal(INIT_SIGNAL_MAIN, 0, 15, ""), -EBADMSG);
        ASSERT_EQ(check_signal(INIT_SIGNAL_PROCESS + 1, 2, 15, "c"), -EBADMSG);
        ASSERT_OK(check_signal(INIT_SIGNAL_PROCESS, 2, 0, ""));
        ASSERT_EQ(check_signal(INIT_SIGNAL_PROCESS, 1, 15, ""), -EINVAL);
        ASSERT_EQ(check_signal(INIT_SIGNAL_PROCESS, 0, 15, ""), -EINVAL);
        ASSERT_EQ(check_signal(INIT_SIGNAL_PROCESS, -1, 15, ""), -EINVAL);
        ASSERT_EQ(check_signal(INIT_SIGNAL_GROUP, 0, -1, "c"), -EINVAL);
        ASSERT_EQ(check_signal(INIT_SIGNAL_GROUP, 0, 65, "c"), -EINVAL);
}

/* A literal with its NULs, but for the one the compiler adds. */
#define PARSE(text, argc, envc, s) exec_strings_parse(text, sizeof(text) - 1, argc, envc, s)

TEST(strings) {
        static ExecStrings s;

        ASSERT_OK(PARSE("/w\0a\0\0A=1\0PATH=/x\0PATH=/y\0", 2, 3, &s));
        ASSERT_STREQ(s.cwd, "/w");
        ASSERT_STREQ(s.argv[0], "a");
        ASSERT_STREQ(s.argv[1], "");
        ASSERT_NULL(s.argv[2]);
        ASSERT_STREQ(s.envp[0], "A=1");
        ASSERT_NULL(s.envp[3]);
        ASSERT_STREQ(s.path, "/x"); /* the first one, as getenv() */

        ASSERT_OK(PARSE("\0a\0", 1, 0, &s));
        ASSERT_STREQ(s.cwd, "");
        ASSERT_NULL(s.argv[1]);
        ASSERT_NULL(s.envp[0]);
        ASSERT_STREQ(s.path, EXEC_PATH_DEFAULT);

        ASSERT_OK(PARSE("\0a\0PATHS=/x\0", 1, 1, &s));
        ASSERT_STREQ(s.path, EXEC_PATH_DEFAULT);
}

TEST(strings_refused) {
        static ExecStrings s;

        ASSERT_EQ(PARSE("", 1, 0, &s), -EBADMSG);
        ASSERT_EQ(PARSE("/w", 1, 0, &s), -EBADMSG);
        ASSERT_EQ(PARSE("\0a", 1, 0, &s), -EBADMSG);
        ASSERT_EQ(PARSE("\0a\0", 2, 0, &s), -EBADMSG);
        ASSERT_EQ(PARSE("\0a\0", 1, 1, &s), -EBADMSG);
        ASSERT_EQ(PARSE("\0a\0b\0", 1, 0, &s), -EBADMSG);
        ASSERT_EQ(PARSE("\0\0", 1, 0, &s), -EBADMSG);
        ASSERT_EQ(PARSE("\0a\0", 0, 1, &s), -EBADMSG);
        ASSERT_EQ(PARSE("\0a\0", UINT32_MAX, 1, &s), -EBADMSG);
        ASSERT_EQ(PARSE("w\0a\0", 1, 0, &s), -EINVAL);
}

TEST(most_strings) {
        static char text[1 + 2 * INIT_STRINGS_MAX];
        static ExecStrings s;

        for (size_t i = 1; i < sizeof(text); i += 2)
                text[i] = 'x';
        ASSERT_OK(exec_strings_parse(text, sizeof(text), 1, INIT_STRINGS_MAX - 1, &s));
        ASSERT_STREQ(s.envp[INIT_STRINGS_MAX - 2], "x");
        ASSERT_NULL(s.envp[INIT_STRINGS_MAX - 1]);
        ASSERT_OK(exec_strings_parse(text, sizeof(text), INIT_STRINGS_MAX, 0, &s));
        ASSERT_NULL(s.argv[INIT_STRINGS_MAX]);
        ASSERT_NULL(s.envp[0]);
        ASSERT_EQ(exec_strings_parse(text, sizeof(text), INIT_STRINGS_MAX, 1, &s), -EBADMSG);
}

TEST(path_lookup) {
        static const struct { const char *path, *candidates[4]; } cases[] = {
                { "/bin",       { "/bin/x" }                  },
                { "/a:/b:/c",   { "/a/x", "/b/x", "/c/x" }    },
                { "",           { "x" }                       },
                { ":/a:",       { "x", "/a/x", "x" }          },
                { "relative",   { "relative/x" }              },
        };
        char buffer[EXEC_PATH_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *path = cases[i].path;

                for (const char *const *c = cases[i].candidates; *c; c++) {
                        ASSERT_EQ(exec_path_next(&path, "x", buffer), 1);
                        ASSERT_STREQ(buffer, *c);
                }
                ASSERT_EQ(exec_path_next(&path, "x", buffer), 0);
                ASSERT_EQ(exec_path_next(&path, "x", buffer), 0);
        }
}

TEST(path_too_long) {
        static char path[2 * EXEC_PATH_MAX], name[EXEC_PATH_MAX + 1];
        const char *position = path;
        char buffer[EXEC_PATH_MAX];

        /* The longest that fits, then one more: /ppp.../x and NUL. */
        memset(path, 'p', EXEC_PATH_MAX - 3);
        strcpy(path + EXEC_PATH_MAX - 3, ":/a");
        ASSERT_EQ(exec_path_next(&position, "x", buffer), 1);
        ASSERT_EQ(strlen(buffer), EXEC_PATH_MAX - 1);
        position = path;
        ASSERT_EQ(exec_path_next(&position, "xy", buffer), 1);
        ASSERT_STREQ(buffer, "/a/xy");

        memset(name, 'n', EXEC_PATH_MAX);
        position = "/a:/b:";
        ASSERT_EQ(exec_path_next(&position, name, buffer), 0);
}
