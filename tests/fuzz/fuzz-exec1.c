/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandbox-execd/manager.h"
#include "tests/fuzz/bus-pair.h"
#include "tests/fuzz/fuzz.h"

/* Well-typed calls of Exec1 with hostile values, at a manager that has one live sandbox and one reserved, both without
 * processes. Each line of the input is a call: the method's number, then its arguments between tabs; a sandbox's id may
 * be written as "L" or "R". What would go on to do something is stopped behind its checks: no command may run, and a
 * field that does not exist stands at the end of what Create and SetLimits are told. */

#define LIVE "0123456789abcdef0123456789abcdef"
#define RESERVED "ffffffffffffffffffffffffffffffff"

static const struct {
        const char *member, *types;
} methods[] = {
        { "Create",      "sLV" }, /* L: mounts, V: fields */
        { "Pause",       "s"   },
        { "Resume",      "s"   },
        { "SetDeadline", "st"  },
        { "SetLimits",   "sV"  },
        { "List",        ""    },
        { "Stats",       "s"   },
        { "Processes",   "s"   },
        { "KillProcess", "sui" },
        { "Exec",        "scvHH" }, /* c: another text, v: fields, H: descriptors */
        { "Signal",      "scib" },
        { "Acknowledge", "sc"  },
        { "Commands",    "s"   },
        { "Attach",      "sc"  },
};

static struct {
        Manager manager;
        sd_bus *server, *client;
        char directory[32];
        int null_fd;
        Sandbox *live, *reserved;
} f;

static void must(int r) {
        if (r < 0)
                abort();
}

static void append_id(sd_bus_message *m, char **rest) {
        _cleanup_free_ char *text = fuzz_next_text(rest);

        must(sd_bus_message_append(m, "s", streq(text, "L") ? LIVE : streq(text, "R") ? RESERVED : text));
}

static void append_list(sd_bus_message *m, const char *type, char *items) {
        must(sd_bus_message_open_container(m, 'a', type));
        for (char *item; (item = strsep(&items, ",")) && *item;)
                if (*type == 's')
                        must(sd_bus_message_append(m, "s", item));
                else
                        must(sd_bus_message_append(m, "h", f.null_fd));
        must(sd_bus_message_close_container(m));
}

/* "Key" "type" "value": the type need not be the one that the key has. */
static void append_field(sd_bus_message *m, char **rest) {
        _cleanup_free_ char *key = fuzz_next_text(rest), *type = fuzz_next_text(rest), *value = fuzz_next_text(rest);
        uint64_t number = strtoull(value, NULL, 0);

        must(sd_bus_message_open_container(m, 'e', "sv"));
        must(sd_bus_message_append(m, "s", key));
        switch (*type) {
        case 'a':
                must(sd_bus_message_open_container(m, 'v', "as"));
                append_list(m, "s", value);
                must(sd_bus_message_close_container(m));
                break;
        case 't':
                must(sd_bus_message_append(m, "v", "t", number));
                break;
        case 'u':
                must(sd_bus_message_append(m, "v", "u", (uint32_t) number));
                break;
        case 'b':
                must(sd_bus_message_append(m, "v", "b", (int) (number & 1)));
                break;
        default:
                must(sd_bus_message_append(m, "v", "s", value));
        }
        must(sd_bus_message_close_container(m));
}

static void append_fields(sd_bus_message *m, char **rest, bool stop) {
        must(sd_bus_message_open_container(m, 'a', "{sv}"));
        while (*rest && **rest && **rest != '.')
                append_field(m, rest);
        (void) strsep(rest, "\t");
        if (stop)
                must(sd_bus_message_append(m, "{sv}", "NoSuchField", "b", 1));
        must(sd_bus_message_close_container(m));
}

static void append_mounts(sd_bus_message *m, char **rest) {
        must(sd_bus_message_open_container(m, 'a', "(hsu)"));
        while (*rest && **rest && **rest != '.') {
                _cleanup_free_ char *target = fuzz_next_text(rest);

                must(sd_bus_message_append(m, "(hsu)", f.null_fd, target, (uint32_t) fuzz_next_number(rest)));
        }
        (void) strsep(rest, "\t");
        must(sd_bus_message_close_container(m));
}

static void append_argument(sd_bus_message *m, char type, char **rest) {
        _cleanup_free_ char *text = NULL;

        switch (type) {
        case 's':
                append_id(m, rest);
                break;
        case 'c':
                text = fuzz_next_text(rest);
                must(sd_bus_message_append(m, "s", text));
                break;
        case 't':
                must(sd_bus_message_append(m, "t", fuzz_next_number(rest)));
                break;
        case 'u':
                must(sd_bus_message_append(m, "u", (uint32_t) fuzz_next_number(rest)));
                break;
        case 'i':
                must(sd_bus_message_append(m, "i", (int32_t) fuzz_next_number(rest)));
                break;
        case 'b':
                must(sd_bus_message_append(m, "b", (int) (fuzz_next_number(rest) & 1)));
                break;
        case 'H':
                text = fuzz_next_text(rest);
                append_list(m, "h", text);
                break;
        case 'L':
                append_mounts(m, rest);
                break;
        default:
                append_fields(m, rest, /* stop= */ type == 'V');
        }
}

static void call(char *line) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        size_t method = (size_t) (fuzz_next_number(&line) % ELEMENTSOF(methods));

        must(sd_bus_message_new_method_call(f.client, &m, NULL, EXEC_OBJECT, EXEC_INTERFACE, methods[method].member));
        for (const char *type = methods[method].types; *type; type++)
                append_argument(m, *type, &line);
        fuzz_bus_call(f.server, f.client, m);
}

static Sandbox *add_sandbox(const char *id, SandboxState state) {
        Sandbox *s;

        must(sandbox_new(&f.manager, id, &s));
        must(hashmap_put(f.manager.sandboxes, s->record.id.digits, s));
        s->state = state;
        s->created = state == SANDBOX_LIVE;
        return s;
}

static void start(void) {
        static const ServiceOptions options = { .program = "fuzz", .idle_usec = USEC_INFINITY };

        log_set_max_level(-1);
        f.manager = (Manager) { .due_fd = -EBADF, .dev_fd = -EBADF, .cgroups = CGROUP_MOUNTS_NULL };
        strcpy(f.directory, "/tmp/fuzz-exec1-XXXXXX");
        if (!mkdtemp(f.directory))
                abort();
        f.manager.state_path = f.directory;
        f.manager.state_fd = open(f.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f.manager.sandboxes = hashmap_new();
        must(settings_init_defaults(&f.manager.settings));
        f.manager.settings.commands_max = 0;
        must(service_new(&options, &f.manager.service));
        f.live = add_sandbox(LIVE, SANDBOX_LIVE);
        f.reserved = add_sandbox(RESERVED, SANDBOX_PARKED);
        f.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void stop(void) {
        sandbox_free(f.live);
        sandbox_free(f.reserved);
        hashmap_free(f.manager.sandboxes);
        settings_done(&f.manager.settings);
        service_free(f.manager.service);
        safe_close(f.manager.state_fd);
        safe_close(f.null_fd);
        (void) rmdir(f.directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = fuzz_text(data, size);
        char *rest = text, *line;

        if (!f.manager.service) {
                start();
                atexit(stop);
        }
        fuzz_bus_pair(&f.server, &f.client);
        must(sd_bus_add_object_vtable(f.server, NULL, EXEC_OBJECT, EXEC_INTERFACE, manager_vtable, &f.manager));
        call((char[]) { "5" }); /* whether descriptors may be passed is known after the first answer */
        while ((line = strsep(&rest, "\n")))
                call(line);
        if (hashmap_size(f.live->commands) > 0 || f.live->state != SANDBOX_LIVE || f.reserved->created)
                abort();
        f.server = sd_bus_flush_close_unref(f.server);
        f.client = sd_bus_flush_close_unref(f.client);
        return 0;
}
