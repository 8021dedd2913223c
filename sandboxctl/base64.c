/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/base64.h"

#include <errno.h>
#include <string.h>

/* Output that is no text comes as base64. A server may send anything, so what is not of the strict form is refused as a
 * whole: half a file that looks whole would be worse than none. */

static int digit(char c) {
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *p = c ? strchr(alphabet, c) : NULL;

        return p ? (int) (p - alphabet) : -EINVAL;
}

int base64_decode(const char *text, size_t n, char **ret, size_t *ret_size) {
        _cleanup_free_ char *bytes = malloc(n / 4 * 3 + 1);
        size_t size = 0;

        if (!bytes)
                return -ENOMEM;
        if (n % 4 != 0)
                return -EINVAL;

        for (size_t i = 0; i < n; i += 4) {
                bool last = i + 4 == n;
                size_t padding = last && text[i + 3] == '=' ? text[i + 2] == '=' ? 2 : 1 : 0;
                uint32_t group = 0;

                for (size_t k = 0; k < 4; k++) {
                        int value = k >= 4 - padding ? 0 : digit(text[i + k]);

                        if (value < 0)
                                return value;
                        group = group << 6 | (uint32_t) value;
                }
                for (size_t k = 0; k < 3 - padding; k++)
                        bytes[size++] = (char) (group >> (16 - 8 * k));
        }
        *ret = TAKE_PTR(bytes);
        *ret_size = size;
        return 0;
}
