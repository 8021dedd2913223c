/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The input as a text. Not strndup(), which strict_string_checks of the address sanitizer wants terminated. */
static inline char *fuzz_text(const uint8_t *data, size_t n) {
        char *text = malloc(n + 1);

        if (!text)
                abort();
        if (n > 0)
                memcpy(text, data, n);
        text[n] = 0;
        return text;
}
