/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/process.h"
#include "tests/fuzz/fuzz.h"

/* Texts of /proc and cgroupfs whose parts a sandbox chooses: names and command lines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL, *line = NULL;
        uint64_t a, b;
        Process p = {};

        text = fuzz_text(data, size);
        (void) process_parse_status(text, 524288, &p);
        (void) process_parse_stat(text, 100, &p);
        (void) cgroup_parse_key(text, "populated", &a);
        (void) cgroup_parse_io_stat(text, &a, &b);
        line = process_format_command_line((const char *) data, size, text);
        if (line && !utf8_is_valid(line, strlen(line)))
                abort();
        return 0;
}
