/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/context.h"
#include "tests/fuzz/fuzz.h"

/* What comes over a context's socket: the peer is the code itself. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = fuzz_text(data, size);
        ContextFrame f;
        size_t at = 0;
        int r = 1;

        while (r > 0 && at < size) {
                r = context_frame_parse(text + at, size - at, &f);
                if (r > 0 && (f.size == 0 || f.size > size - at || f.text + f.n_text != text + at + f.size ||
                              f.n_text > CONTEXT_FRAME_MAX || strlen(f.kind) == 0 || strlen(f.token) == 0))
                        abort();
                at += r > 0 ? f.size : 0;
        }
        return 0;
}
