/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/git.h"
#include "tests/fuzz/fuzz.h"

/* What a repository of a sandbox makes git say, and URLs of clients: text is made of it, and nothing else. */

static void check(json_t *value) {
        char *text;

        if (!value)
                abort();
        text = json_dumps(value, JSON_ENCODE_ANY);
        if (!text)
                abort();
        free(text);
        json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = fuzz_text(data, size);
        _cleanup_(git_access_done) GitAccess access = {};

        check(git_status_to_json(text, size));
        check(git_log_to_json(text, size));
        check(git_branches_to_json(text, size));
        if (git_check_url(text, NULL) < 0)
                return 0;
        if (text[0] == '-' || strstr(text, "::") == text + strcspn(text, ":/@.") || strncmp(text, "file:", 5) == 0)
                abort();
        if (git_access_init(text, NULL, NULL, &access, NULL) >= 0 && strncmp(text, "https://", 8) == 0 &&
            memchr(access.url + 8, '@', strcspn(access.url + 8, "/")))
                abort();
        return 0;
}
