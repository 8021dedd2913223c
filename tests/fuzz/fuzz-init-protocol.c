/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox-init/request.h"

/* Input: one byte for the phase, one for the number of descriptors, then the packet. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
        do {                                                                                       \
                if (!(x))                                                                          \
                        abort();                                                                   \
        } while (0)

/* A list of n strings that all stand in the block, and a NULL. */
static void check_list(const char *const *list, size_t n, const char *strings, size_t size) {
        for (size_t i = 0; i < n; i++) {
                CHECK(list[i] >= strings && list[i] < strings + size);
                CHECK(list[i] + strlen(list[i]) < strings + size);
        }
        CHECK(!list[n]);
}

static void check_exec(const InitExec *m, const char *strings, size_t size) {
        static char candidate[EXEC_PATH_MAX];
        static ExecStrings s;
        const char *path;
        int r;

        r = exec_strings_parse(strings, size, m->argc, m->envc, &s);
        CHECK(r <= 0);
        if (r < 0)
                return;

        check_list(s.argv, m->argc, strings, size);
        check_list(s.envp, m->envc, strings, size);
        path = s.path;
        while (exec_path_next(&path, s.argv[0], candidate) > 0)
                CHECK(memchr(candidate, 0, sizeof(candidate)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *packet;
        size_t n;
        int r;

        if (size < 2 || size - 2 > INIT_MESSAGE_MAX)
                return 0;

        /* Aligned, as init's buffer is, and of exactly this size. */
        n = size - 2;
        packet = malloc(n ? n : 1);
        CHECK(packet);
        memcpy(packet, data + 2, n);

        r = request_check(packet, n, data[1], (InitPhase) (data[0] % 3));
        CHECK(r <= 0);

        /* Also what the check refuses: strings in a memfd are as foreign. */
        if (n >= sizeof(InitExec) && ((const InitHeader *) packet)->operation == INIT_EXEC)
                check_exec((const InitExec *) packet, packet + sizeof(InitExec), n - sizeof(InitExec));
        if (r == 0 && ((const InitHeader *) packet)->operation == INIT_EXEC)
                CHECK(((const InitExec *) packet)->uid <= ID_MAX && ((const InitExec *) packet)->gid <= ID_MAX);

        free(packet);
        return 0;
}
