/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandbox-fsd/catalog.h"
#include "sandbox-fsd/file-path.h"
#include "sandbox-fsd/files-server.h"
#include "sandbox-fsd/glob.h"
#include "sandbox-fsd/mode-change.h"
#include "sandbox-fsd/tar-name.h"
#include "tests/fuzz/fuzz.h"

static void check_split(const char *path) {
        _cleanup_free_ char *parent = NULL, *name = NULL;

        if (file_path_split(path, &parent, &name) < 0)
                return;
        if (strchr(name, '/') || isempty(name) || streq(name, ".") || streq(name, "..") || parent[0] != '/')
                abort();
}

static void check_tar_name(const char *text) {
        _cleanup_free_ char *name = NULL, *again = NULL;
        const char *target, *slash;
        Whiteout whiteout;

        if (tar_name_normalize(text, &name) < 0)
                return;
        if (name[0] == '/' || endswith(name, "/") || streq(name, "..") || startswith(name, "../"))
                abort();
        if (strstr(name, "/../") || endswith(name, "/..") || strstr(name, "//"))
                abort();
        if (!*name)
                return;
        /* What is normal stays as it is. */
        if (tar_name_normalize(name, &again) < 0 || !streq(name, again))
                abort();
        slash = strrchr(name, '/');
        if (tar_name_whiteout(slash ? slash + 1 : name, &whiteout, &target) >= 0 && whiteout == WHITEOUT_ENTRY &&
            (isempty(target) || streq(target, ".") || streq(target, "..")))
                abort();
}

/* Everything that judges a text which names something: the whole input, and its two lines as pattern and name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL;
        char *second;
        mode_t mode;
        uid_t uid;
        gid_t gid;

        text = fuzz_text(data, size);
        check_split(text);
        check_tar_name(text);
        if (image_name_is_valid(text) && (strstr(text, "..") || text[0] == '/'))
                abort();
        if (files_path_to_user(text, &uid, &gid) >= 0 && (uid > 65535 || gid > 65535))
                abort();
        if (mode_change(text, S_IFREG | 0644, &mode) >= 0 && mode > 07777)
                abort();

        second = strchr(text, '\n');
        if (second) {
                *second++ = 0;
                if (glob_is_valid(text))
                        (void) glob_match(text, second);
        }
        return 0;
}
