/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/copy.h"
#include "sandboxctl/location.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* cp's rules for targets: into a directory goes a file under its own name, several files need one. The target is asked
 * what it is before anything is sent to it. */

static bool arg_recursive, arg_quiet;

const Option cp_options[] = {
        { 'r', "recursive", NULL, OPTION_FLAG, &arg_recursive, "Copy directories with all that is in them" },
        { 'q', "quiet", NULL, OPTION_FLAG, &arg_quiet, "Draw no progress bar" },
        {},
};

const Option watch_options[] = {
        { 'r', "recursive", NULL, OPTION_FLAG, &arg_recursive, "With all that is below the directory" },
        {},
};

/* Into a directory a file goes under its own name, as with cp(1). */
static char *target_path(const char *target, bool is_directory, const char *source) {
        _cleanup_free_ char *name = NULL;

        if (!is_directory)
                return strdup(target);
        name = path_name(source);
        return name ? path_join(target, name) : NULL;
}

static bool local_is_directory(const char *path) {
        struct stat st;

        return endswith(path, "/") || (stat(path, &st) >= 0 && S_ISDIR(st.st_mode));
}

static int upload(Copy *c, const Location *source, const Location *target) {
        _cleanup_free_ char *remote = NULL;
        bool is_directory = endswith(target->path, "/");
        RemoteFile file;
        int r;

        if (source->standard)
                return copy_upload_fd(c, STDIN_FILENO, target->path);
        if (!is_directory) {
                r = copy_stat(c, target->path, &file);
                if (r != EXIT_STATUS_OK)
                        return r;
                is_directory = file.is_directory;
        }
        remote = target_path(target->path, is_directory, source->path);
        if (!remote)
                return ctl_fail(c->ctl, EXIT_STATUS_USAGE, "%s: say under which name to copy it", source->path);
        return copy_upload(c, source->path, remote);
}

static int download(Copy *c, const Location *source, const Location *target) {
        _cleanup_free_ char *local = NULL;

        if (target->standard)
                return copy_download_fd(c, source->path, STDOUT_FILENO);
        local = target_path(target->path, local_is_directory(target->path), source->path);
        if (!local)
                return ctl_fail(c->ctl, EXIT_STATUS_USAGE, "%s: say under which name to copy it", source->path);
        return copy_download(c, source->path, local);
}

static int copy_one(Ctl *c, const Location *source, const Location *target) {
        const Location *remote = source->sandbox ? source : target;
        _cleanup_free_ char *id = NULL;
        Copy copy;
        int r;

        if (!source->sandbox == !target->sandbox)
                return ctl_fail(c, EXIT_STATUS_USAGE, "one side must be in a sandbox (ID:PATH), the other one not");
        r = ctl_resolve(c, remote->sandbox, &id);
        if (r != EXIT_STATUS_OK)
                return r;
        copy = (Copy) {
                .ctl = c,
                .sandbox = id,
                .recursive = arg_recursive,
                .progress.enabled = !arg_quiet && !c->json && isatty(STDERR_FILENO),
        };
        return source->sandbox ? download(&copy, source, target) : upload(&copy, source, target);
}

int verb_cp(Ctl *c, char **words) {
        size_t n = strv_length(words);
        _cleanup_(location_done) Location target = {};
        int r = EXIT_STATUS_OK;

        if (location_parse(words[n - 1], &target) < 0)
                return ctl_fail(c, EXIT_STATUS_USAGE, "the name of a file is empty");
        if (n > 2 && target.sandbox == NULL && !local_is_directory(target.path))
                return ctl_fail(c, EXIT_STATUS_USAGE, "%s: several files need a directory", target.path);
        if (n > 2 && target.sandbox && !endswith(target.path, "/"))
                return ctl_fail(c, EXIT_STATUS_USAGE, "%s: several files need a directory, end it with /",
                                target.path);
        for (size_t i = 0; i + 1 < n && r == EXIT_STATUS_OK; i++) {
                _cleanup_(location_done) Location source = {};

                if (location_parse(words[i], &source) < 0)
                        return ctl_fail(c, EXIT_STATUS_USAGE, "the name of a file is empty");
                r = copy_one(c, &source, &target);
        }
        return r;
}

static int on_change(const json_t *event, void *userdata) {
        const char *from = json_string_value(json_object_get(event, "from"));
        _cleanup_free_ char *line = NULL, *safe = NULL;
        const Ctl *c = userdata;

        if (c->json)
                return ctl_print_json_line(event);
        if (streq(json_text(event, "type"), "ready") || streq(json_text(event, "type"), "end"))
                return 0;
        if (asprintf(&line, "%-10s  %s%s%s", json_text(event, "type"), from ? from : "", from ? " -> " : "",
                     json_text(event, "path")) < 0)
                return -ENOMEM;
        safe = text_escape(line, strlen(line));
        return safe && puts(safe) != EOF && fflush(stdout) != EOF ? 0 : -EIO;
}

int verb_watch(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL, *encoded = NULL, *path = NULL;
        int r;

        r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        encoded = client_encode(words[1] ? words[1] : ".");
        if (!encoded)
                return ctl_oom(c);
        path = ctl_path("/sandboxes/%s/files/watch?path=%s&recursive=%s", id, encoded,
                        arg_recursive ? "true" : "false");
        return ctl_stream(c, id, path, on_change);
}
