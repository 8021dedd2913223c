/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "sandbox-execd/state-file.h"
#include "tests/fuzz/fuzz.h"

#define ID "0123456789abcdef0123456789abcdef"

/* A record that is accepted must be written and read back as the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(sandbox_record_done) SandboxRecord record = {}, again = {};
        _cleanup_free_ char *text = NULL, *written = NULL;

        text = fuzz_text(data, size);
        if (sandbox_record_parse(text, ID, &record) < 0)
                return 0;
        if (sandbox_record_format(&record, &written) < 0 || sandbox_record_parse(written, ID, &again) < 0)
                abort();
        if (record.base != again.base || record.live != again.live ||
            strcmp(record.label ?: "", again.label ?: "") != 0)
                abort();
        return 0;
}
