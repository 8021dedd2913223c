/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "libsandbox/macro.h"
#include "sandboxctl/escape.h"
#include "tests/fuzz/fuzz.h"

/* The same keys in one piece and in pieces say the same, never more than they are; without the key nothing changes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *whole = malloc(size + 1), *pieces = malloc(size + 2);
        bool detach = false, detach_pieces = false;
        size_t n, k = 0;
        Escape e = {};

        if (!whole || !pieces)
                abort();
        if (size == 0)
                return 0;
        n = escape_feed(&e, (const char *) data, size, whole, &detach);
        if (n > size || (!memchr(data, ESCAPE_KEY, size) && (n != size || memcmp(whole, data, n) != 0 || detach)))
                abort();

        e = (Escape) {};
        for (size_t i = 0; i < size && !detach_pieces; i++)
                k += escape_feed(&e, (const char *) data + i, 1, pieces + k, &detach_pieces);
        if (k != n || detach != detach_pieces || memcmp(whole, pieces, n) != 0)
                abort();
        return 0;
}
