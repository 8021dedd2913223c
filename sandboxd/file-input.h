/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/api.h"

/* What the file routes share: their fields, their paths by the workspace rule, their calls of Files1. */
typedef struct FileInput {
        char *path, **paths;
        char *directory, *pattern, *mode;
        json_t *content, *moves;
        int64_t cursor, limit;
        bool anywhere;                  /* operators' tools: any absolute path, not the workspace only */
        const char *workspace;
} FileInput;

typedef enum FileField {
        FILE_PATH = 1 << 0,
        FILE_PATHS = 1 << 1,            /* "paths", or "path" for one */
        FILE_DIRECTORY = 1 << 2,        /* "path", default: the workspace */
        FILE_PATTERN = 1 << 3,
        FILE_MODE = 1 << 4,
} FileField;

extern const JsonTable file_path_table, file_paths_table, file_write_table, file_upload_table, file_chmod_table;
extern const JsonTable file_move_table, file_list_table, file_search_table;

/* Reads what the route's row names; wanted is what must be made of it. Paths come out absolute and checked. */
int file_input_read(Request *request, unsigned wanted, FileInput *ret, sd_bus_error *error);
void file_input_done(FileInput *input);

/* By the rule that the request wants. */
int file_input_resolve(const FileInput *in, const char *path, char **ret, sd_bus_error *error);

/* Octal digits. */
int file_parse_mode(const char *text, uint32_t *ret, sd_bus_error *error);

/* The sandbox must run. */
int file_call_new(Request *request, const char *member, ApiCall **ret, sd_bus_message **ret_message,
                  sd_bus_error *error);
int file_call_send(ApiCall **call, sd_bus_message *m, int r, PeerFlags flags, sd_bus_error *error);
