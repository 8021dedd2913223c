/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/env.h"
#include "tests/fuzz/fuzz.h"

/* /etc/environment as a sandbox left it (before the first NUL), and a value (behind it): writing twice is writing once,
 * and the value stands on one line of its own. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = fuzz_text(data, size), *once = NULL, *twice = NULL;
        size_t n = strlen(text);
        json_t *overlay = json_object(), *value = n < size ? json_string(text + n + 1) : NULL;

        if (value)
                (void) json_object_set_new(overlay, "FUZZ", value);
        if (env_file_update(text, n, overlay, &once) < 0 || env_file_update(once, strlen(once), overlay, &twice) < 0)
                abort();
        if (value && !strstr(once, "\nFUZZ="))
                abort();
        if (strcmp(once, twice) != 0)
                abort();
        json_decref(overlay);
        return 0;
}
