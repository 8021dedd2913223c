/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/response.h"
#include "tests/fuzz/fuzz.h"

/* What a server in a sandbox sends: a head, and behind it a body in chunks. The pieces that it comes in must not matter. */

static size_t decode(const char *text, size_t n, size_t piece, size_t *ret_used) {
        ChunkDecoder d = {};
        size_t total = 0, at = 0;

        while (at < n && !d.done) {
                const char *data;
                size_t n_data, room = piece < n - at ? piece : n - at;
                ssize_t used = chunk_decode(&d, text + at, room, &data, &n_data);

                if (used < 0)
                        break;
                if (used == 0 || (size_t) used > room || data < text + at || data + n_data > text + at + used)
                        abort();
                total += n_data;
                at += (size_t) used;
        }
        *ret_used = at;
        return total;
}

static void check_head(const ResponseHead *h, const char *text, size_t n) {
        if (h->status < 100 || h->status > 599 || h->n_fields > RESPONSE_FIELDS_MAX)
                abort();
        for (size_t i = 0; i < h->n_fields; i++) {
                const char *end = h->fields[i].value + strlen(h->fields[i].value);

                if (h->fields[i].name < text || end > text + n || !*h->fields[i].name ||
                    strpbrk(h->fields[i].name, " \t\r\n:") || strpbrk(h->fields[i].value, "\r\n"))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_text(data, size);
        ResponseHead h;
        ssize_t n = response_parse(text, size, size & 1, &h);

        if (n > 0) {
                size_t used_all, used_each, rest = size - (size_t) n;

                check_head(&h, text, (size_t) n);
                if (h.framing == BODY_CHUNKED && rest < 4096 &&
                    (decode(text + n, rest, rest, &used_all) != decode(text + n, rest, 1, &used_each)))
                        abort();
        }
        free(text);
        return 0;
}
