/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/egress-entry.h"
#include "tests/fuzz/fuzz.h"

/* A line of a list: written, it is read as the same, and has nothing in it that nft or a file could take for more. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_text(data, size), once[EGRESS_ENTRY_MAX], twice[EGRESS_ENTRY_MAX];
        EgressEntry e, again;

        if (egress_entry_parse(text, &e) >= 0) {
                (void) egress_entry_format(&e, once);
                if (egress_entry_parse(once, &again) < 0 || strcmp(once, egress_entry_format(&again, twice)) != 0)
                        abort();
                if (strspn(once, "abcdefghijklmnopqrstuvwxyz0123456789.-_*:/") != strlen(once))
                        abort();
                if (e.is_name != again.is_name || e.port != again.port || egress_entry_mark(&e) != egress_entry_mark(&again))
                        abort();
        }
        free(text);
        return 0;
}
