/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/stat.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/file-input.h"

/* The file routes that carry no contents. Each is a row that names the method of Files1, the fields that it wants and
 * how its arguments and its answer look; the path rule has been applied when append() sees a path. */

typedef int (*FileAppend)(sd_bus_message *m, const FileInput *in, sd_bus_error *error);
typedef int (*FileAnswer)(ApiCall *call, sd_bus_message *reply, sd_bus_error *error);

/* The way of nearly all of them: read the input, call one method, answer. */
typedef struct FileRoute {
        const char *member;
        unsigned wanted;
        PeerFlags flags;
        FileAppend append;
        FileAnswer answer;
} FileRoute;

static int run(Request *request, const FileRoute *route, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(file_input_done) FileInput in = {};
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        int r;

        r = file_call_new(request, route->member, &call, &m, error);
        if (r >= 0)
                r = file_input_read(request, route->wanted, &in, error);
        if (r >= 0)
                r = route->append(m, &in, error);
        if (r < 0)
                return r;
        call->answer = route->answer;
        /* (info) one object for "path", an array for "paths" */
        call->number = in.path && strv_length(in.paths) == 1;
        return file_call_send(&call, m, r, route->flags, error);
}

static int append_path(sd_bus_message *m, const FileInput *in, sd_bus_error *error) {
        (void) error;
        return sd_bus_message_append_basic(m, 's', in->path);
}

static int append_paths(sd_bus_message *m, const FileInput *in, sd_bus_error *error) {
        (void) error;
        return sd_bus_message_append_strv(m, in->paths);
}

int api_file_delete(Request *request, sd_bus_error *error) {
        static const FileRoute route = { "Delete", FILE_PATH, PEER_REPEATABLE, append_path, api_answer_success };

        return run(request, &route, error);
}

int api_file_mkdir(Request *request, sd_bus_error *error) {
        static const FileRoute route = { "MakeDirectories", FILE_PATHS, PEER_REPEATABLE, append_paths,
                                         api_answer_success };

        return run(request, &route, error);
}

int api_file_rmdir(Request *request, sd_bus_error *error) {
        static const FileRoute route = { "RemoveTrees", FILE_PATHS, PEER_REPEATABLE | PEER_SLOW, append_paths,
                                         api_answer_success };

        return run(request, &route, error);
}

static int append_mode(sd_bus_message *m, const FileInput *in, sd_bus_error *error) {
        (void) error;
        return sd_bus_message_append(m, "ss", in->path, in->mode);
}

int api_file_chmod(Request *request, sd_bus_error *error) {
        static const FileRoute route = { "ChangeMode", FILE_PATH | FILE_MODE, 0, append_mode, api_answer_success };

        return run(request, &route, error);
}

static int append_move(sd_bus_message *m, json_t *move, const FileInput *in, sd_bus_error *error) {
        const char *from = json_string_value(json_object_get(move, "from"));
        const char *to = json_string_value(json_object_get(move, "to"));
        _cleanup_free_ char *source = NULL, *target = NULL;
        int r;

        if (!from || !to)
                return bus_error_set(error, BUS_ERROR_INVALID, "moves must be an array of {from, to}");
        r = file_input_resolve(in, from, &source, error);
        if (r >= 0)
                r = file_input_resolve(in, to, &target, error);
        return r < 0 ? r : sd_bus_message_append(m, "(ss)", source, target);
}

static int append_moves(sd_bus_message *m, const FileInput *in, sd_bus_error *error) {
        json_t *move;
        size_t i;
        int r;

        r = sd_bus_message_open_container(m, 'a', "(ss)");
        json_array_foreach(in->moves, i, move)
                if (r >= 0)
                        r = append_move(m, move, in, error);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int api_file_move(Request *request, sd_bus_error *error) {
        static const FileRoute route = { "Move", 0, 0, append_moves, api_answer_success };

        return run(request, &route, error);
}

static int append_list(sd_bus_message *m, const FileInput *in, sd_bus_error *error) {
        (void) error;
        return sd_bus_message_append(m, "stu", in->path, (uint64_t) in->cursor, (uint32_t) in->limit);
}

/* Arrays have no place for "there is more". */
static int add_more_header(ApiCall *call, sd_bus_message *reply) {
        int more, r;

        r = sd_bus_message_read_basic(reply, 'b', &more);
        if (r < 0)
                return r;
        return more ? request_add_header(call->request, "X-More", "true") : 0;
}

static int answer_list(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *entries = json_array();
        const char *name, *path;
        uint64_t size, mtime;
        int is_directory, r;
        uint32_t mode;

        (void) error;
        r = sd_bus_message_enter_container(reply, 'a', "(ssttub)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(ssttub)", &name, &path, &size, &mtime, &mode,
                                                  &is_directory)) > 0)
                if (json_array_append_new(entries, json_pack("{s:s, s:s, s:I, s:b, s:I}", "name", name, "path", path,
                                                             "size", (json_int_t) size, "isDirectory", is_directory,
                                                             "modifiedAt", (json_int_t) mtime)) < 0)
                        return -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = add_more_header(call, reply);
        return r < 0 ? r : request_reply_json(call->request, 200, json_incref(entries));
}

int api_file_list(Request *request, sd_bus_error *error) {
        static const FileRoute route = { "ListDirectory", FILE_DIRECTORY, PEER_REPEATABLE, append_list, answer_list };

        return run(request, &route, error);
}

#define SEARCH_MAX 10000U

static int append_search(sd_bus_message *m, const FileInput *in, sd_bus_error *error) {
        (void) error;
        return sd_bus_message_append(m, "ssu", in->directory, in->pattern, SEARCH_MAX);
}

static int answer_search(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *paths = json_array();
        const char *path;
        int r;

        (void) error;
        r = sd_bus_message_enter_container(reply, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read_basic(reply, 's', &path)) > 0)
                if (json_array_append_new(paths, json_string(path)) < 0)
                        return -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = add_more_header(call, reply);
        return r < 0 ? r : request_reply_json(call->request, 200, json_incref(paths));
}

int api_file_search(Request *request, sd_bus_error *error) {
        static const FileRoute route = { "Search", FILE_PATTERN, PEER_REPEATABLE, append_search, answer_search };

        return run(request, &route, error);
}

static void format_mode(uint32_t mode, char ret[11]) {
        static const struct {
                uint32_t type;
                char letter;
        } types[] = { { S_IFDIR, 'd' }, { S_IFLNK, 'l' }, { S_IFIFO, 'p' },
                      { S_IFSOCK, 's' }, { S_IFCHR, 'c' }, { S_IFBLK, 'b' } };

        memcpy(ret, "-rwxrwxrwx", 11);
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if ((mode & S_IFMT) == types[i].type)
                        ret[0] = types[i].letter;
        for (unsigned i = 0; i < 9; i++)
                if (!(mode & 1U << (8 - i)))
                        ret[1 + i] = '-';
        if (mode & S_ISUID)
                ret[3] = mode & S_IXUSR ? 's' : 'S';
        if (mode & S_ISGID)
                ret[6] = mode & S_IXGRP ? 's' : 'S';
        if (mode & S_ISVTX)
                ret[9] = mode & S_IXOTH ? 't' : 'T';
}

static json_t *read_info(sd_bus_message *reply) {
        const char *path, *target, *owner, *group;
        uint64_t size, mtime;
        char permissions[11];
        uint32_t mode;

        if (sd_bus_message_read(reply, "(sstusst)", &path, &target, &size, &mode, &owner, &group, &mtime) <= 0)
                return NULL;
        format_mode(mode, permissions);
        return json_pack("{s:s, s:I, s:s, s:s, s:s, s:b, s:b, s:I, s:s*}", "path", path, "size", (json_int_t) size,
                         "permissions", permissions, "owner", owner, "group", group, "isDirectory",
                         (int) S_ISDIR(mode), "isSymlink", (int) S_ISLNK(mode), "modifiedAt", (json_int_t) mtime,
                         "target", S_ISLNK(mode) ? target : NULL);
}

static int answer_info(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *infos = json_array();
        json_t *info;
        int r;

        (void) error;
        r = sd_bus_message_enter_container(reply, 'a', "(sstusst)");
        if (r < 0)
                return r;
        while ((info = read_info(reply)))
                if (json_array_append_new(infos, info) < 0)
                        return -ENOMEM;
        if (call->number && json_array_size(infos) == 1)
                return request_reply_json(call->request, 200, json_incref(json_array_get(infos, 0)));
        return request_reply_json(call->request, 200, json_incref(infos));
}

int api_file_info(Request *request, sd_bus_error *error) {
        static const FileRoute route = { "Stat", FILE_PATHS, PEER_REPEATABLE, append_paths, answer_info };

        return run(request, &route, error);
}
