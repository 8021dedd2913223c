/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/runtime-files.h"

#include <errno.h>
#include <fcntl.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"

int runtime_directory_open(void) {
        const char *path = getenv("RUNTIME_DIRECTORY");
        int fd;

        if (!path)
                return log_error_errno(-ENOENT, "There is no $RUNTIME_DIRECTORY.");
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? log_error_errno(errno, "Failed to open %s: %m", path) : fd;
}

int runtime_files_foreach(int directory_fd, size_t max, int (*handler)(const char *id, const char *text, void *userdata),
                          void *userdata) {
        _cleanup_closedir_ DIR *d = NULL;
        int r;

        r = directory_open_at(directory_fd, ".", &d);
        if (r < 0)
                return r;
        for (struct dirent *e; (e = readdir(d));) {
                _cleanup_free_ char *text = NULL;

                if (!sandbox_id_is_valid(e->d_name))
                        continue;
                r = read_text_at(directory_fd, e->d_name, max, &text);
                if (r >= 0)
                        r = handler(e->d_name, text, userdata);
                if (r < 0)
                        log_sandbox_errno(LOG_WARNING, r, e->d_name, "Failed to read what is known of the sandbox: %m");
        }
        return 0;
}
