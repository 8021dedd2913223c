/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "sandbox-execd/manager.h"
#include "tests/test.h"

#define ID "0123456789abcdef0123456789abcdef"
#define LONG_CHARACTERS "\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac"
#define SD_BUS_ERROR_SIGNATURE SD_BUS_ERROR_INVALID_ARGS

/* The whole interface over a socketpair, with a manager that has one live sandbox and one blank, both without processes:
 * what is checked before anything is done. */
typedef struct Fixture {
        Manager manager;
        char directory[32];
        sd_bus *server, *client;
        sd_bus_message *reply;
        Sandbox *live, *blank;
} Fixture;

static const char *error_of(Fixture *f) {
        const sd_bus_error *error = sd_bus_message_get_error(f->reply);

        return error ? error->name : "none";
}

#define CALL(f, member, ...)                                                                       \
        ({                                                                                         \
                (f)->reply = sd_bus_message_unref((f)->reply);                                     \
                bus_call_and_wait((f)->server, (f)->client, EXEC_OBJECT, EXEC_INTERFACE, member, &(f)->reply, \
                                  __VA_ARGS__);                                                    \
                error_of(f);                                                                       \
        })

static Sandbox *add_sandbox(Fixture *f, const char *id, SandboxState state) {
        Sandbox *s;

        ASSERT_OK(sandbox_new(&f->manager, id, &s));
        ASSERT_OK(hashmap_put(f->manager.sandboxes, s->record.id.digits, s));
        s->state = state;
        s->created = state == SANDBOX_LIVE;
        return s;
}

static void set_up(Fixture *f) {
        static const ServiceOptions options = { .program = "test", .idle_usec = USEC_INFINITY };

        *f = (Fixture) { .directory = "/tmp/test-exec1.XXXXXX",
                         .manager = { .due_fd = -EBADF, .dev_fd = -EBADF, .cgroups = CGROUP_MOUNTS_NULL } };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        f->manager.state_path = f->directory;
        f->manager.state_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->manager.sandboxes = hashmap_new();
        ASSERT_OK(settings_init_defaults(&f->manager.settings));
        ASSERT_OK(service_new(&options, &f->manager.service));
        f->live = add_sandbox(f, ID, SANDBOX_LIVE);
        f->blank = add_sandbox(f, "ffffffffffffffffffffffffffffffff", SANDBOX_PARKED);
        bus_pair(&f->server, &f->client);
        ASSERT_OK(sd_bus_add_object_vtable(f->server, NULL, EXEC_OBJECT, EXEC_INTERFACE, manager_vtable, &f->manager));
        /* Before the first answer it is not known whether descriptors may be passed, and sd-bus would wait for it. */
        ASSERT_STREQ(CALL(f, "List", ""), "none");
}

static void tear_down(Fixture *f) {
        sd_bus_message_unref(f->reply);
        sd_bus_close_unref(f->client);
        sd_bus_close_unref(f->server);
        sandbox_free(f->live);
        sandbox_free(f->blank);
        hashmap_free(f->manager.sandboxes);
        settings_done(&f->manager.settings);
        service_free(f->manager.service);
        safe_close(f->manager.state_fd);
        ASSERT_EQ(rmdir(f->directory), 0);
}

TEST(ids_are_checked) {
        static const char *const members[] = { "Kill", "Pause", "Resume", "Stats", "Processes", "StartFileWorker" };
        Fixture f;

        set_up(&f);
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                ASSERT_STREQ(CALL(&f, members[i], "s", "../../etc/passwd"), BUS_ERROR_INVALID);
                ASSERT_STREQ(CALL(&f, members[i], "s", ""), BUS_ERROR_INVALID);
                /* quoted in the answer, and cut there: a half character would keep the answer from being sent */
                ASSERT_STREQ(CALL(&f, members[i], "s", "." LONG_CHARACTERS LONG_CHARACTERS), BUS_ERROR_INVALID);
                ASSERT_STREQ(CALL(&f, members[i], "s", "0123456789ABCDEF0123456789ABCDEF"), BUS_ERROR_INVALID);
                ASSERT_STREQ(CALL(&f, members[i], "s", "00000000000000000000000000000000"), BUS_ERROR_NO_SUCH_SANDBOX);
                ASSERT_STREQ(CALL(&f, members[i], "u", 7), SD_BUS_ERROR_SIGNATURE);
        }
        tear_down(&f);
}

TEST(ports_are_checked) {
        Fixture f;

        set_up(&f);
        ASSERT_STREQ(CALL(&f, "Connect", "su", "0123", 80), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Connect", "su", "00000000000000000000000000000000", 80), BUS_ERROR_NO_SUCH_SANDBOX);
        ASSERT_STREQ(CALL(&f, "Connect", "su", ID, 0), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Connect", "su", ID, 65536), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Connect", "s", ID), SD_BUS_ERROR_SIGNATURE);
        f.live->paused = true;
        ASSERT_STREQ(CALL(&f, "Connect", "su", ID, 80), BUS_ERROR_WRONG_STATE);
        tear_down(&f);
}

TEST(a_blank_is_nobodys) {
        Fixture f;

        set_up(&f);
        ASSERT_STREQ(CALL(&f, "Pause", "s", "ffffffffffffffffffffffffffffffff"), BUS_ERROR_NO_SUCH_SANDBOX);
        f.blank->pooled = true;
        ASSERT_STREQ(CALL(&f, "Kill", "s", "ffffffffffffffffffffffffffffffff"), BUS_ERROR_NO_SUCH_SANDBOX);
        ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", "ffffffffffffffffffffffffffffffff", 0, 0), BUS_ERROR_WRONG_STATE);
        tear_down(&f);
}

TEST(list) {
        const char *id, *state, *label;
        uint64_t deadline, created;
        Fixture f;

        set_up(&f);
        f.live->record.label = strdup("a label");
        f.live->paused = true;
        ASSERT_STREQ(CALL(&f, "List", ""), "none");
        ASSERT_OK(sd_bus_message_enter_container(f.reply, 'a', "(sstst)"));
        ASSERT_EQ(sd_bus_message_read(f.reply, "(sstst)", &id, &state, &deadline, &label, &created), 1);
        ASSERT_STREQ(id, ID);
        ASSERT_STREQ(state, "paused");
        ASSERT_STREQ(label, "a label");
        ASSERT_TRUE(deadline == USEC_INFINITY);
        ASSERT_EQ(sd_bus_message_at_end(f.reply, false), 1); /* the blank is not told of */
        tear_down(&f);
}

TEST(stats_many) {
        char *ids[STATS_MANY_MAX + 2] = { (char *) ID, (char *) "ffffffffffffffffffffffffffffffff", NULL };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Fixture f;

        set_up(&f);
        ASSERT_STREQ(CALL(&f, "StatsMany", "as", 0), "none");
        ASSERT_OK(sd_bus_message_enter_container(f.reply, 'a', "(sa{sv})"));
        ASSERT_EQ(sd_bus_message_at_end(f.reply, false), 1);
        /* The live one has no cgroup in this test, the blank is nobody's, the third never was: no rows, no error. */
        ASSERT_STREQ(CALL(&f, "StatsMany", "as", 3, ids[0], ids[1], "00000000000000000000000000000000"), "none");
        ASSERT_OK(sd_bus_message_enter_container(f.reply, 'a', "(sa{sv})"));
        ASSERT_EQ(sd_bus_message_at_end(f.reply, false), 1);
        ASSERT_STREQ(CALL(&f, "StatsMany", "as", 2, ID, "../../etc/passwd"), BUS_ERROR_INVALID);

        for (size_t i = 0; i <= STATS_MANY_MAX; i++)
                ids[i] = (char *) ID;
        f.reply = sd_bus_message_unref(f.reply);
        ASSERT_OK(sd_bus_message_new_method_call(f.client, &m, NULL, EXEC_OBJECT, EXEC_INTERFACE, "StatsMany"));
        ASSERT_OK(sd_bus_message_append_strv(m, ids));
        bus_send_and_wait(f.server, f.client, m, &f.reply);
        ASSERT_STREQ(error_of(&f), BUS_ERROR_TOO_LARGE);
        tear_down(&f);
}

TEST(create_arguments) {
        static const struct {
                const char *target;
                uint32_t origin;
        } layers[] = {
                { "nonsense", 0          },
                { "layer",    1          },
                { "layer",    2147352577 },
                { "usr",      0          }, /* no layer at all */
                { "upper",    0          },
        };
        const char *blank = "ffffffffffffffffffffffffffffffff";
        _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        Fixture f;

        set_up(&f);
        ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", ID, 0, 0), BUS_ERROR_WRONG_STATE);
        ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", blank, 0, 0), BUS_ERROR_INVALID);
        for (size_t i = 0; i < ELEMENTSOF(layers); i++)
                ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", blank, 1, root, layers[i].target, layers[i].origin, 0),
                             BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", blank, 1, root, "layer", 0, 1, "Nonsense", "u", 1),
                     BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", blank, 1, root, "layer", 0, 1, "MemoryMax", "s", "much"),
                     BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", blank, 1, root, "layer", 0, 1, "Hostname", "s", "a b"),
                     BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", blank, 1, root, "layer", 0, 1, "Workdir", "s", "a/b"),
                     BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Create", "sa(hsu)a{sv}", blank, 1, root, "layer", 0, 1, "Workdir", "s", "/a/../b"),
                     BUS_ERROR_INVALID);
        ASSERT_FALSE(f.blank->created);
        tear_down(&f);
}

TEST(exec_arguments) {
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        Fixture f;

        set_up(&f);
#define EXEC "ssa{sv}ahah"
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "a/b", 1, "Argv", "as", 1, "true", 3, null, null, null, 0),
                     BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 0, 3, null, null, null, 0), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 1, "Argv", "as", 1, "", 3, null, null, null, 0),
                     BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 1, "Argv", "as", 1, "true", 2, null, null, 0), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 1, "Argv", "as", 1, "true", 4, null, null, null, null, 0),
                     BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 1, "Argv", "as", 1, "true", 3, null, null, null, 4, null, null,
                          null, null), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 2, "Argv", "as", 1, "true", "Cwd", "s", "x", 3, null, null, null, 0),
                     BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 2, "Argv", "as", 1, "true", "Uid", "u", 65536, 3, null, null, null,
                          0), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 2, "Argv", "as", 1, "true", "Env", "as", 1, "1A=b", 3, null, null,
                          null, 0), BUS_ERROR_INVALID);
#define TERMINAL(rows, columns, n_keep, ...)                                                       \
        CALL(&f, "Exec", EXEC, ID, "c", 3, "Argv", "as", 1, "true", "TerminalRows", "u", rows, "TerminalColumns", "u", \
             columns, 3, null, null, null, n_keep, ##__VA_ARGS__)
        ASSERT_STREQ(TERMINAL(0, 80, 0), BUS_ERROR_INVALID);
        ASSERT_STREQ(TERMINAL(24, 0, 0), BUS_ERROR_INVALID);
        ASSERT_STREQ(TERMINAL(65536, 80, 0), BUS_ERROR_INVALID);
        ASSERT_STREQ(TERMINAL(24, UINT32_MAX, 0), BUS_ERROR_INVALID);
        ASSERT_STREQ(TERMINAL(24, 80, 1, null), BUS_ERROR_INVALID);
        f.live->paused = true;
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 1, "Argv", "as", 1, "true", 3, null, null, null, 0),
                     BUS_ERROR_WRONG_STATE);
        f.live->paused = false;
        f.manager.settings.commands_max = 0;
        ASSERT_STREQ(CALL(&f, "Exec", EXEC, ID, "c", 1, "Argv", "as", 1, "true", 3, null, null, null, 0),
                     BUS_ERROR_LIMIT_REACHED);
        ASSERT_EQ(hashmap_size(f.live->commands), 0);
        tear_down(&f);
}

TEST(signals_and_commands) {
        Fixture f;

        set_up(&f);
        ASSERT_STREQ(CALL(&f, "Signal", "ssib", ID, "nosuch", 9, 1), BUS_ERROR_NO_SUCH_COMMAND);
        ASSERT_STREQ(CALL(&f, "Signal", "ssib", ID, "nosuch", 0, 1), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "Signal", "ssib", ID, "nosuch", 65, 1), BUS_ERROR_INVALID);
        ASSERT_STREQ(CALL(&f, "KillProcess", "sui", ID, 1, 9), BUS_ERROR_NO_SUCH_PROCESS);
        ASSERT_STREQ(CALL(&f, "KillProcess", "sui", ID, UINT32_MAX, 9), BUS_ERROR_NO_SUCH_PROCESS);
        ASSERT_STREQ(CALL(&f, "Attach", "ss", ID, "nosuch"), BUS_ERROR_NO_SUCH_COMMAND);
        ASSERT_STREQ(CALL(&f, "Commands", "s", "nosuch"), BUS_ERROR_NO_SUCH_SANDBOX);
        ASSERT_STREQ(CALL(&f, "Commands", "s", ""), "none");
        ASSERT_STREQ(CALL(&f, "Resume", "s", ID), BUS_ERROR_WRONG_STATE);
        tear_down(&f);
}

static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *reason;

        (void) error;
        ASSERT_EQ(sd_bus_message_read(m, "ss", &id, &reason), 1);
        ASSERT_STREQ(id, ID);
        ASSERT_STREQ(reason, "expired");
        *(bool *) userdata = true;
        return 0;
}

/* The same over the real server and its socket: who may call what, and the signal that everybody gets. */
static int connect_as(uid_t uid, const char *path, const char *member) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        char address[128];
        sd_bus *bus;
        int r;

        if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
                return 1;
        snprintf(address, sizeof address, "unix:path=%s", path);
        if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_start(bus) < 0)
                return 12;
        r = sd_bus_call_method(bus, NULL, EXEC_OBJECT, EXEC_INTERFACE, member, &error, NULL, member[0] == 'K' ? "s" : "",
                               ID);
        return r >= 0 ? 10 : sd_bus_error_has_name(&error, BUS_ERROR_DENIED) ? 11 : 12;
}

static int ask_as(Fixture *f, uid_t uid, const char *path, const char *member) {
        int status;
        pid_t pid;

        pid = fork();
        if (pid == 0)
                _exit(connect_as(uid, path, member));
        while (waitpid(pid, &status, WNOHANG) == 0)
                ASSERT_OK(sd_event_run(service_event(f->manager.service), 10 * USEC_PER_MSEC));
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(peers) {
        static const uid_t sandboxd = 61001, fsd = 61002, other = 61003;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;
        Fixture f;

        if (geteuid() != 0)
                return; /* only root can become the others */
        set_up(&f);
        f.manager.sandboxd_uid = sandboxd;
        f.manager.fsd_uid = fsd;
        snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", f.directory);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(chmod(f.directory, 0755), 0);
        ASSERT_EQ(chmod(address.sun_path, 0666), 0);
        ASSERT_EQ(listen(fd, 8), 0);
        ASSERT_OK(manager_serve(&f.manager, fd));

        ASSERT_EQ(ask_as(&f, sandboxd, address.sun_path, "List"), 10);
        ASSERT_EQ(ask_as(&f, fsd, address.sun_path, "List"), 10);
        ASSERT_EQ(ask_as(&f, fsd, address.sun_path, "Kill"), 11);
        ASSERT_EQ(ask_as(&f, fsd, address.sun_path, "Reserve"), 11);
        ASSERT_EQ(ask_as(&f, other, address.sun_path, "List"), 12); /* not even let in */

        f.manager.server = bus_server_free(f.manager.server);
        safe_close(fd);
        ASSERT_EQ(unlink(address.sun_path), 0);
        tear_down(&f);
}

TEST(gone_signal) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char text[128];
        bool told = false;
        sd_bus *bus;
        Fixture f;
        int fd;

        set_up(&f);
        snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", f.directory);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(fd, 8), 0);
        f.manager.uids[0] = f.manager.sandboxd_uid = geteuid();
        ASSERT_OK(manager_serve(&f.manager, fd));
        snprintf(text, sizeof text, "unix:path=%s", address.sun_path);
        ASSERT_OK(sd_bus_new(&bus));
        ASSERT_OK(sd_bus_set_address(bus, text));
        ASSERT_OK(sd_bus_start(bus));
        ASSERT_OK(sd_bus_match_signal_async(bus, NULL, NULL, EXEC_OBJECT, EXEC_INTERFACE, "SandboxGone", on_gone, NULL,
                                            &told));
        while (sd_bus_is_ready(bus) == 0) {
                ASSERT_OK(sd_event_run(service_event(f.manager.service), USEC_PER_MSEC));
                ASSERT_OK(sd_bus_process(bus, NULL));
        }
        f.live->end_reason = END_EXPIRED;
        manager_emit_gone(&f.manager, f.live);
        while (!told) {
                ASSERT_OK(sd_event_run(service_event(f.manager.service), USEC_PER_MSEC));
                ASSERT_OK(sd_bus_process(bus, NULL));
        }
        sd_bus_close_unref(bus);
        f.manager.server = bus_server_free(f.manager.server);
        safe_close(fd);
        ASSERT_EQ(unlink(address.sun_path), 0);
        tear_down(&f);
}
