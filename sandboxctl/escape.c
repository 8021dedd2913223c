/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/escape.h"

size_t escape_feed(Escape *e, const char *data, size_t n, char *out, bool *ret_detach) {
        size_t k = 0;

        *ret_detach = false;
        for (size_t i = 0; i < n; i++) {
                bool begun = e->begun;

                e->begun = !begun && data[i] == ESCAPE_KEY;
                if (e->begun)
                        continue;
                if (begun && data[i] == ESCAPE_DETACH) {
                        *ret_detach = true;
                        return k;
                }
                if (begun && data[i] != ESCAPE_KEY)
                        out[k++] = ESCAPE_KEY;
                out[k++] = data[i];
        }
        return k;
}
