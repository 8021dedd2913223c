/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/conf-parser.h"
#include "libsandbox/log.h"
#include "libsandbox/settings.h"
#include "libsandbox/string-util.h"
#include "tests/fuzz/fuzz.h"

/* A configuration file, line by line into settings: what was accepted can be written out, read again, and is the same. */

static int on_line(const ConfLine *line, void *userdata) {
        if (!line->file || !line->key || !line->value)
                abort();
        return settings_assign(userdata, line->key, line->value);
}

static void check_again(const Settings *s) {
        Settings again;

        if (settings_init_defaults(&again) < 0)
                abort();
        for (size_t i = 0; i < n_setting_rows; i++) {
                _cleanup_free_ char *text = NULL, *second = NULL;

                if (settings_format(s, setting_rows + i, &text) < 0)
                        abort();
                if (!text)
                        continue;
                if (settings_assign(&again, setting_rows[i].name, text) < 0 ||
                    settings_format(&again, setting_rows + i, &second) < 0 || !streq_ptr(text, second))
                        abort();
        }
        settings_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = fuzz_text(data, size);
        Settings s;

        log_set_max_level(-1);
        if (settings_init_defaults(&s) < 0)
                abort();
        (void) conf_parse_text("fuzz", text, on_line, &s);
        check_again(&s);
        settings_done(&s);
        return 0;
}
