/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/file-input.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/path-rule.h"

/* One structure and one table for all file routes; a route says which of the fields it wants. Paths are resolved before
 * anything is sent, and again, against the real tree, by the worker inside the sandbox. */

#define PATHS_MAX 1000U
#define LIST_MAX 10000

static const JsonField file_fields[] = {
        { "anywhere", JSON_FIELD_BOOL,  offsetof(FileInput, anywhere),  JSON_FIELD_LENIENT, 0, 0,
          "paths outside the workspace, too" },
        { "cursor",  JSON_FIELD_INT,    offsetof(FileInput, cursor),    JSON_FIELD_CLAMP | JSON_FIELD_LENIENT,
          0, 1e9, "(list) entries to skip" },
        { "dir",     JSON_FIELD_STRING, offsetof(FileInput, directory), 0, 0, 0, "(search) where; the workspace" },
        { "limit",   JSON_FIELD_INT,    offsetof(FileInput, limit),     JSON_FIELD_CLAMP | JSON_FIELD_LENIENT,
          1, LIST_MAX, "entries at most" },
        { "mode",    JSON_FIELD_STRING, offsetof(FileInput, mode),      0, 0, 64, "(chmod) 755, u+x" },
        { "moves",   JSON_FIELD_ARRAY,  offsetof(FileInput, moves),     0, 0, 0, "[{from, to}]" },
        { "path",    JSON_FIELD_STRING, offsetof(FileInput, path),      0, 0, 0, "in the workspace" },
        { "paths",   JSON_FIELD_STRV,   offsetof(FileInput, paths),     0, 0, 0, "in the workspace" },
        { "pattern", JSON_FIELD_STRING, offsetof(FileInput, pattern),   0, 0, 0, "(search) of names: * ? [..]" },
};

static int require(bool present, const char *name, sd_bus_error *error) {
        return present ? 0 : bus_error_set(error, BUS_ERROR_INVALID, "%s is required", name);
}

static int check_pattern(const char *pattern, sd_bus_error *error) {
        if (isempty(pattern))
                return bus_error_set(error, BUS_ERROR_INVALID, "pattern is required");
        if (strlen(pattern) > 200 || strpbrk(pattern, ";|$`\\"))
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid search pattern");
        return 0;
}

int file_input_resolve(const FileInput *in, const char *path, char **ret, sd_bus_error *error) {
        return in->anywhere ? path_anywhere(in->workspace, path, ret, error)
                            : path_in_workspace(in->workspace, path, ret, error);
}

static int resolve_in_place(const FileInput *in, char **path, sd_bus_error *error) {
        char *resolved;
        int r;

        r = file_input_resolve(in, *path, &resolved, error);
        if (r < 0)
                return r;
        free(*path);
        *path = resolved;
        return 0;
}

static int check_paths(FileInput *in, unsigned wanted, sd_bus_error *error) {
        int r = 0;

        if (wanted & (FILE_PATH | FILE_DIRECTORY) && (in->path || wanted & FILE_PATH)) {
                r = require(!isempty(in->path), "path", error);
                if (r >= 0)
                        r = resolve_in_place(in, &in->path, error);
        } else if (wanted & FILE_DIRECTORY)
                r = free_and_strdup(&in->path, in->workspace);
        else if (wanted & FILE_PATHS) {
                if (!in->paths && in->path)
                        r = strv_extend(&in->paths, in->path);
                if (r >= 0)
                        r = require(strv_length(in->paths) > 0, "paths", error);
                if (r >= 0 && strv_length(in->paths) > PATHS_MAX)
                        r = bus_error_set(error, BUS_ERROR_TOO_LARGE, "paths has too many entries");
                for (char **p = in->paths; r >= 0 && p && *p; p++)
                        r = resolve_in_place(in, p, error);
        }
        return r;
}

static int check_others(FileInput *in, unsigned wanted, sd_bus_error *error) {
        int r = 0;

        if (wanted & FILE_PATTERN) {
                r = check_pattern(in->pattern, error);
                if (r >= 0 && in->directory)
                        r = resolve_in_place(in, &in->directory, error);
                else if (r >= 0)
                        r = free_and_strdup(&in->directory, in->workspace);
        }
        if (r >= 0 && wanted & FILE_MODE)
                r = require(!isempty(in->mode), "mode", error);
        if (r >= 0 && wanted & FILE_MOVES)
                r = require(json_array_size(in->moves) > 0, "moves", error);
        if (r >= 0 && wanted & FILE_CONTENT)
                r = require(json_is_string(in->content), "content", error);
        return r;
}

int file_input_read(Request *request, unsigned wanted, FileInput *ret, sd_bus_error *error) {
        _cleanup_(file_input_done) FileInput in = { .limit = LIST_MAX };
        const Manager *m = request_userdata(request);
        int r;

        r = json_fields_read(request_input(request), file_fields, ELEMENTSOF(file_fields), &in, error);
        if (r < 0)
                return r;
        in.workspace = m->settings.workspace_dir;
        in.content = json_object_get(request_input(request), "content");
        r = check_paths(&in, wanted, error);
        if (r >= 0)
                r = check_others(&in, wanted, error);
        if (r < 0)
                return r;
        *ret = in;
        in = (FileInput) {};
        return 0;
}

void file_input_done(FileInput *in) {
        json_fields_done(file_fields, ELEMENTSOF(file_fields), in);
        in->content = NULL;
}

int file_call_new(Request *request, const char *member, ApiCall **ret, sd_bus_message **ret_message,
                  sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Manager *manager = request_userdata(request);
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r < 0)
                return r;
        r = fsd_files_message(manager->fsd, s->id, member, &m);
        if (r < 0)
                return api_unavailable(r, error);
        *ret = api_call_new(request, s);
        if (!*ret)
                return -ENOMEM;
        *ret_message = TAKE_PTR(m);
        return 0;
}

int file_call_send(ApiCall **call, sd_bus_message *m, int r, PeerFlags flags, sd_bus_error *error) {
        if (r >= 0)
                r = fsd_send((*call)->manager->fsd, m, flags, api_call_done, *call);
        return api_call_sent(call, r, error);
}
