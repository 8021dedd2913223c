/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Line-based configuration: "[Section]", "Key=Value", "#" and ";" comments, values optionally in double quotes. */

typedef struct ConfLine {
        const char *file;
        unsigned line;
        const char *section; /* NULL before the first one */
        unsigned section_number; /* counts the section headers of a file: [Image] may stand more than once */
        const char *key, *value;
} ConfLine;

/* Called for each assignment. A negative return is logged with file, line and key and parsing goes on. */
typedef int (*ConfHandler)(const ConfLine *line, void *userdata);

/* Each returns how many lines (or whole files) were logged and passed over: a daemon that starts goes on without them,
 * one that is asked to reload keeps what it has. */
int conf_parse_text(const char *file, char *text, ConfHandler handler, void *userdata);
int conf_parse_file(const char *path, ConfHandler handler, void *userdata);
/* All *.conf of the directories; a name in a later directory hides the same name of an earlier one; read in order of
 * the names. Missing directories are fine. */
int conf_parse_directories(const char *const *directories, ConfHandler handler, void *userdata);
/* Another number as soon as a file of the directories is another one. */
uint64_t conf_directories_stamp(const char *const *directories);
