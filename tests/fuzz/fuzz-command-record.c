/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandboxd/manager.h"
#include "tests/fuzz/fuzz.h"

/* What the database says of a background command. The first line of the input is its name, the rest the record. */

#define ID "0123456789abcdef0123456789abcdef"

static Manager manager;
static Sandbox *sandbox;

static void start(void) {
        log_set_max_level(-1);
        manager.sandboxes = hashmap_new();
        manager.spool_fd = open("/tmp", O_DIRECTORY | O_CLOEXEC);
        if (!manager.sandboxes || manager.spool_fd < 0 ||
            sandbox_new(&(SandboxInit) { .id = ID, .image = "x", .timeout_sec = 60 }, &sandbox) < 0 ||
            hashmap_put(manager.sandboxes, sandbox->public_id, sandbox) < 0)
                abort();
}

static void stop(void) {
        hashmap_free(manager.sandboxes);
        sandbox_unref(sandbox);
        safe_close(manager.spool_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = fuzz_text(data, size);
        char *record = strchr(text, '\n');
        Command *c = NULL;

        if (!sandbox) {
                start();
                atexit(stop);
        }
        if (!record)
                return 0;
        *record++ = 0;
        if (command_from_record(&manager, &(StoredCommand) { .id = text, .sandbox = ID, .started_msec = 1,
                                                             .record = record }, &c) < 0)
                return 0;
        if (!object_id_is_valid(c->id, "bg") || c->state > COMMAND_LOST || !c->text)
                abort();
        (void) unlinkat(manager.spool_fd, c->id, 0);
        command_unref(c);
        return 0;
}
