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

/* The columns of each field, once; the routes' tables are made of them. */
#define ANYWHERE { "anywhere", JSON_FIELD_BOOL, offsetof(FileInput, anywhere), JSON_FIELD_LENIENT, 0, 0, \
                   "paths outside the workspace, too" }
#define CONTENT(text) { "content", JSON_FIELD_TEXT, offsetof(FileInput, content), JSON_FIELD_MANDATORY, 0, 0, text }
#define PATH(flags, text) { "path", JSON_FIELD_STRING, offsetof(FileInput, path), flags, 0, 0, text }
#define IN_WORKSPACE PATH(JSON_FIELD_MANDATORY, "in the workspace")
#define PATHS { "paths", JSON_FIELD_STRV, offsetof(FileInput, paths), 0, 0, 0, "in the workspace, at most 1000" }
#define MOVES_SCHEMA "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"from\",\"to\"],\"properties\":" \
                     "{\"from\":{\"type\":\"string\"},\"to\":{\"type\":\"string\"}}}}"

static const JsonField path_fields[] = { ANYWHERE, IN_WORKSPACE };
const JsonTable file_path_table = JSON_TABLE(path_fields);

static const JsonField paths_fields[] = { ANYWHERE, PATH(0, "one, instead of paths"), PATHS };
const JsonTable file_paths_table = JSON_TABLE(paths_fields);

static const JsonField write_fields[] = { ANYWHERE, CONTENT("text"), IN_WORKSPACE };
const JsonTable file_write_table = JSON_TABLE(write_fields);

static const JsonField upload_fields[] = { ANYWHERE, CONTENT("base64"), IN_WORKSPACE };
const JsonTable file_upload_table = JSON_TABLE(upload_fields);

static const JsonField chmod_fields[] = {
        ANYWHERE,
        { "mode",    JSON_FIELD_STRING, offsetof(FileInput, mode),      JSON_FIELD_MANDATORY, 0, 64, "755, u+x" },
        IN_WORKSPACE,
};
const JsonTable file_chmod_table = JSON_TABLE(chmod_fields);

static const JsonField move_fields[] = {
        ANYWHERE,
        { "moves",   JSON_FIELD_ARRAY,  offsetof(FileInput, moves),     JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY,
          0, 0, "one by one; the first failure ends it", .schema = MOVES_SCHEMA },
};
const JsonTable file_move_table = JSON_TABLE(move_fields);

static const JsonField list_fields[] = {
        ANYWHERE,
        { "cursor",  JSON_FIELD_INT,    offsetof(FileInput, cursor),    JSON_FIELD_CLAMP | JSON_FIELD_LENIENT,
          0, 1e9, "entries to skip" },
        { "limit",   JSON_FIELD_INT,    offsetof(FileInput, limit),     JSON_FIELD_CLAMP | JSON_FIELD_LENIENT,
          1, LIST_MAX, "entries at most" },
        PATH(0, "default: the workspace"),
};
const JsonTable file_list_table = JSON_TABLE(list_fields);

static const JsonField search_fields[] = {
        ANYWHERE,
        { "dir",     JSON_FIELD_STRING, offsetof(FileInput, directory), 0, 0, 0, "default: the workspace" },
        { "pattern", JSON_FIELD_STRING, offsetof(FileInput, pattern),   JSON_FIELD_MANDATORY, 0, 0,
          "of names: * ? [..]; at most 200 bytes" },
};
const JsonTable file_search_table = JSON_TABLE(search_fields);

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
        return r;
}

int file_input_read(Request *request, unsigned wanted, FileInput *ret, sd_bus_error *error) {
        _cleanup_(file_input_done) FileInput in = { .limit = LIST_MAX };
        const Manager *m = request_userdata(request);
        int r;

        /* what the route's row says is what is read: it cannot say anything else */
        r = json_table_read(request_input(request), request_route(request)->input, &in, error);
        if (r < 0)
                return r;
        in.workspace = m->settings.workspace_dir;
        r = check_paths(&in, wanted, error);
        if (r >= 0)
                r = check_others(&in, wanted, error);
        if (r < 0)
                return r;
        *ret = in;
        in = (FileInput) {};
        return 0;
}

int file_parse_mode(const char *text, uint32_t *ret, sd_bus_error *error) {
        unsigned long mode;
        char *end;

        mode = strtoul(text, &end, 8);
        if (isempty(text) || *end || strspn(text, "01234567") != strlen(text) || mode > 07777)
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid mode: octal digits are wanted");
        *ret = (uint32_t) mode;
        return 0;
}

void file_input_done(FileInput *in) {
        free(in->path);
        strv_free(in->paths);
        free(in->directory);
        free(in->pattern);
        free(in->mode);
        json_decref(in->content);
        json_decref(in->moves);
        *in = (FileInput) {};
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
