/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/state-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* A record is written before what it tells of is made, and removed after that is gone, so that whatever a crash leaves
 * has an owner who can be looked up. It is replaced by a rename: a reader sees the old one or the new one, and the last
 * line shows that it is whole.
 *
 * Older releases must read what newer ones wrote as long as the version is the same (a downgrade, or an upgrade that is
 * taken back): an unknown key is passed over, an absent one keeps its default. */

typedef enum RecordType {
        RECORD_U32,
        RECORD_U64,
        RECORD_BOOL,
        RECORD_TEXT,
} RecordType;

/* What is in a record, sorted by key. A new field is a row; it needs a new version only if an old reader would do harm
 * by not knowing it. */
static const struct {
        const char *key;
        RecordType type;
        size_t offset;
} fields[] = {
        { "base",          RECORD_U32,  offsetof(SandboxRecord, base)             },
        { "copying",       RECORD_BOOL, offsetof(SandboxRecord, copying)          },
        { "created_usec",  RECORD_U64,  offsetof(SandboxRecord, created_usec)     },
        { "deadline_usec", RECORD_U64,  offsetof(SandboxRecord, deadline_usec)    },
        { "idmapped",      RECORD_BOOL, offsetof(SandboxRecord, idmapped)         },
        { "label",         RECORD_TEXT, offsetof(SandboxRecord, label)            },
        { "live",          RECORD_BOOL, offsetof(SandboxRecord, live)             },
        { "memory_max",    RECORD_U64,  offsetof(SandboxRecord, memory_max_bytes) },
        { "pids_max",      RECORD_U64,  offsetof(SandboxRecord, pids_max)         },
        { "project",       RECORD_U32,  offsetof(SandboxRecord, project)          },
        { "slice",         RECORD_U32,  offsetof(SandboxRecord, slice)            },
        { "writable_disk", RECORD_BOOL, offsetof(SandboxRecord, writable_disk)    },
};

void sandbox_record_done(SandboxRecord *r) {
        r->label = mfree(r->label);
}

/* A label is any text of a client's: what could end the line or start an escape is written as %XX. */
static void write_escaped(FILE *f, const char *s) {
        for (; *s; s++)
                if ((unsigned char) *s < 0x20 || *s == '%' || *s == 0x7f)
                        fprintf(f, "%%%02x", (unsigned) (unsigned char) *s);
                else
                        fputc(*s, f);
}

static int hex_value(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place, since it can only become shorter. A NUL that is written as %00 would cut the label for everybody who reads
 * on. */
static int unescape(char *s) {
        char *out = s;

        for (; *s; s++) {
                int high, low;

                if (*s != '%') {
                        *out++ = *s;
                        continue;
                }
                high = hex_value(s[1]);
                low = high < 0 ? -1 : hex_value(s[2]);
                if (low < 0 || (high == 0 && low == 0))
                        return -EBADMSG;
                *out++ = (char) (high << 4 | low);
                s += 2;
        }
        *out = 0;
        return 0;
}

static void write_field(FILE *f, size_t i, const SandboxRecord *r) {
        const void *value = (const char *) r + fields[i].offset;

        if (fields[i].type == RECORD_TEXT && !*(char *const *) value)
                return;
        fprintf(f, "%s=", fields[i].key);
        switch (fields[i].type) {
        case RECORD_U32:
                fprintf(f, "%" PRIu32, *(const uint32_t *) value);
                break;
        case RECORD_U64:
                fprintf(f, "%" PRIu64, *(const uint64_t *) value);
                break;
        case RECORD_BOOL:
                fputc(*(const bool *) value ? '1' : '0', f);
                break;
        case RECORD_TEXT:
                write_escaped(f, *(char *const *) value);
                break;
        }
        fputc('\n', f);
}

int sandbox_record_format(const SandboxRecord *r, char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;
        fprintf(f, "version=%u\nid=%s\n", STATE_FILE_VERSION, r->id.digits);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                write_field(f, i, r);
        fprintf(f, "end=%s\n", r->id.digits);
        if (fclose(f) != 0)
                return -ENOMEM;
        *ret = TAKE_PTR(text);
        return 0;
}

static int parse_field(SandboxRecord *r, const char *key, char *value) {
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                void *target = (char *) r + fields[i].offset;
                int k;

                if (!streq(fields[i].key, key))
                        continue;
                switch (fields[i].type) {
                case RECORD_U32:
                        return parse_u32(value, target);
                case RECORD_U64:
                        return parse_u64(value, target);
                case RECORD_BOOL:
                        return parse_boolean(value, target);
                case RECORD_TEXT:
                        k = unescape(value);
                        return k < 0 ? k : free_and_strdup(target, value);
                }
        }
        return 0; /* a key that a later release added without a new version */
}

/* The version comes first, since it decides how the rest is to be read. The id is there twice: a file that was copied
 * or renamed by hand is not believed. */
static int parse_line(SandboxRecord *r, char *line, unsigned number, bool *ended) {
        char *value = strchr(line, '=');
        uint32_t version;
        int k;

        if (!value || *ended)
                return -EBADMSG;
        *value++ = 0;

        if (number == 0) {
                if (!streq(line, "version") || parse_u32(value, &version) < 0 || version == 0)
                        return -EBADMSG;
                return version > STATE_FILE_VERSION ? -EPROTONOSUPPORT : 0;
        }
        if (streq(line, "id") || streq(line, "end")) {
                *ended = line[0] == 'e';
                return streq(value, r->id.digits) ? 0 : -ESTALE;
        }
        k = parse_field(r, line, value);
        return k == -ENOMEM ? k : k < 0 ? -EBADMSG : 0;
}

int sandbox_record_parse(char *text, const char *id, SandboxRecord *ret) {
        SandboxRecord record = { .deadline_usec = USEC_INFINITY };
        bool ended = false;
        unsigned number = 0;
        char *state = NULL;
        int r = 0;

        if (!sandbox_id_is_valid(id))
                return -EINVAL;
        memcpy(record.id.digits, id, sizeof record.id.digits);

        for (char *line = strtok_r(text, "\n", &state); r >= 0 && line; line = strtok_r(NULL, "\n", &state))
                r = parse_line(&record, line, number++, &ended);
        if (r >= 0 && !ended)
                r = -EBADMSG;
        if (r < 0) {
                sandbox_record_done(&record);
                return r;
        }
        *ret = record;
        return 0;
}

int state_file_write(int dir_fd, const SandboxRecord *r) {
        _cleanup_free_ char *text = NULL;
        int k;

        k = sandbox_record_format(r, &text);
        return k < 0 ? k : write_file_atomic_at(dir_fd, r->id.digits, text, 0600);
}

int state_file_remove(int dir_fd, const char *id) {
        return unlinkat(dir_fd, id, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Not deleted: it may be the only trace of a sandbox whose processes are still there, and whoever looks for the reason
 * needs it. It is not read again, since ".bad" is no id. */
static void set_aside(int dir_fd, const char *name, int error) {
        char bad[NAME_MAX + 1];

        if ((size_t) snprintf(bad, sizeof bad, "%s.bad", name) >= sizeof bad ||
            renameat(dir_fd, name, dir_fd, bad) < 0)
                (void) unlinkat(dir_fd, name, 0);
        log_warning_errno(error, "Record '%s' is unusable, set aside: %m", name);
}

/* One that is unusable costs its sandbox, not the daemon: the others go on. Only for want of memory the start fails, as
 * it would go better the next time. */
static int load_one(int dir_fd, const char *name, int (*handler)(SandboxRecord *r, void *userdata), void *userdata) {
        _cleanup_free_ char *text = NULL;
        SandboxRecord record;
        int r;

        r = read_text_at(dir_fd, name, STATE_FILE_MAX, &text);
        if (r >= 0)
                r = sandbox_record_parse(text, name, &record);
        if (r == -ENOMEM || r == -ENOENT)
                return r == -ENOENT ? 0 : r;
        if (r < 0) {
                set_aside(dir_fd, name, r);
                return 0;
        }
        r = handler(&record, userdata);
        if (r == -EEXIST || r == -EINVAL) { /* its id range is not what it should be */
                set_aside(dir_fd, name, r);
                return 0;
        }
        return r;
}

int state_files_load(int dir_fd, int (*handler)(SandboxRecord *r, void *userdata), void *userdata) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *file;
        int r;

        r = directory_open_at(dir_fd, ".", &d);
        if (r < 0)
                return r;
        while (r >= 0 && (file = readdir(d)))
                if (sandbox_id_is_valid(file->d_name))
                        r = load_one(dir_fd, file->d_name, handler, userdata);
        return r < 0 ? r : 0;
}
