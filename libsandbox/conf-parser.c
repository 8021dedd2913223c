/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/conf-parser.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

/* Files of settings as systemd has them: sections, KEY=VALUE, drop-ins in several directories where a file hides one of
 * the same name. A bad line costs itself and is told with its place; a service that does not start for a typo would be
 * worse. */

#define CONF_FILE_MAX (1 * MiB)
#define CONF_FILES_MAX 256U

static int bad_line(const ConfLine *line, const char *what) {
        log_warning("%s:%u: %s%s%s%s", line->file, line->line, what, line->key ? " (key '" : "",
                    line->key ? line->key : "", line->key ? "')" : "");
        return 1;
}

static int parse_assignment(ConfLine *line, char *text, ConfHandler handler, void *userdata) {
        char *equals = strchr(text, '='), *value;
        size_t n;
        int r;

        if (!equals || equals == text)
                return bad_line(line, "Neither a section nor KEY=VALUE, ignoring");

        *equals = 0;
        line->key = strstrip(text);
        value = strstrip(equals + 1);
        n = strlen(value);
        if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
                value[n - 1] = 0;
                value++;
        }
        line->value = value;

        r = handler(line, userdata);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return bad_line(line, r == -ENOENT   ? "Unknown key, ignoring"
                                      : r == -ERANGE ? "Value out of range, ignoring"
                                                     : "Value not understood, ignoring");
        return 0;
}

int conf_parse_text(const char *file, char *text, ConfHandler handler, void *userdata) {
        ConfLine line = { .file = file };
        int r, n_bad = 0;

        for (char *p = text, *next; p; p = next) {
                char *s;
                size_t n;

                next = strchr(p, '\n');
                if (next)
                        *next++ = 0;
                line.line++;
                line.key = line.value = NULL;

                s = strstrip(p);
                n = strlen(s);
                if (n == 0 || s[0] == '#' || s[0] == ';')
                        continue;
                if (s[0] == '[' && s[n - 1] == ']') {
                        s[n - 1] = 0;
                        line.section = s + 1;
                        line.section_number++;
                        continue;
                }
                r = parse_assignment(&line, s, handler, userdata);
                if (r < 0)
                        return r;
                n_bad += r;
        }
        return n_bad;
}

int conf_parse_file(const char *path, ConfHandler handler, void *userdata) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_text_at(AT_FDCWD, path, CONF_FILE_MAX, &text);
        if (r < 0)
                return r;
        return conf_parse_text(path, text, handler, userdata);
}

typedef struct ConfFile {
        char *name, *path;
} ConfFile;

/* Found by name, not by path: the same name in a later directory takes the place of the earlier file. */
static int collect(const char *directory, ConfFile *files, size_t *n) {
        struct dirent *entry;
        DIR *d = opendir(directory);

        if (!d)
                return errno == ENOENT ? 0 : -errno;

        while ((entry = readdir(d))) {
                size_t i;

                if (entry->d_name[0] == '.' || !endswith(entry->d_name, ".conf"))
                        continue;
                for (i = 0; i < *n && !streq(files[i].name, entry->d_name); i++)
                        ;
                if (i == CONF_FILES_MAX)
                        break;
                free(files[i].name);
                free(files[i].path);
                files[i].name = strdup(entry->d_name);
                if (!files[i].name || asprintf(&files[i].path, "%s/%s", directory, entry->d_name) < 0)
                        files[i].path = NULL;
                if (i == *n)
                        (*n)++;
        }
        closedir(d);
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(((const ConfFile *) a)->name, ((const ConfFile *) b)->name);
}

int conf_parse_directories(const char *const *directories, ConfHandler handler, void *userdata) {
        ConfFile *files = new0(ConfFile, CONF_FILES_MAX);
        int r = 0, n_bad = 0;
        size_t n = 0;

        if (!files)
                return -ENOMEM;

        for (; *directories && r >= 0; directories++)
                r = collect(*directories, files, &n);
        qsort(files, n, sizeof *files, compare_names);
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = files[i].path ? conf_parse_file(files[i].path, handler, userdata) : -ENOMEM;
                if (r < 0 && r != -ENOMEM) {
                        log_warning_errno(r, "Failed to read %s, ignoring: %m", files[i].path);
                        r = 1;
                }
                n_bad += MAX(r, 0);
        }

        for (size_t i = 0; i < n; i++) {
                free(files[i].name);
                free(files[i].path);
        }
        free(files);
        return r < 0 ? r : n_bad;
}

/* FNV-1a: nobody gains from a collision here, he who can write these files can write what he likes into them. */
static void mix(uint64_t *hash, const void *data, size_t n) {
        for (size_t i = 0; i < n; i++)
                *hash = (*hash ^ ((const unsigned char *) data)[i]) * UINT64_C(1099511628211);
}

static void mix_stat(uint64_t *hash, int directory_fd, const char *name) {
        struct stat st;

        mix(hash, name, strlen(name));
        if (fstatat(directory_fd, name, &st, 0) < 0)
                return;
        mix(hash, &st.st_ino, sizeof st.st_ino);
        mix(hash, &st.st_size, sizeof st.st_size);
        mix(hash, &st.st_mtim, sizeof st.st_mtim);
}

/* Order of the entries may differ between two looks without a change, so each counts by itself. */
uint64_t conf_directories_stamp(const char *const *directories) {
        uint64_t stamp = 1;

        for (; *directories; directories++) {
                const struct dirent *entry;
                DIR *dir = opendir(*directories);

                mix_stat(&stamp, AT_FDCWD, *directories);
                if (!dir)
                        continue;
                while ((entry = readdir(dir))) {
                        uint64_t hash = UINT64_C(14695981039346656037);

                        if (entry->d_name[0] == '.')
                                continue;
                        mix_stat(&hash, dirfd(dir), entry->d_name);
                        stamp += hash;
                }
                closedir(dir);
        }
        return stamp;
}
