/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "libsandbox/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

/* To the journal with its fields if stderr is the journal, else one line on stderr: found out once, by the device and
 * inode that systemd says. Names from outside may hold anything, so control characters are replaced before either sees
 * them; an entry is one line, always. */

#define LINE_MAX_BYTES 2048U
#define FIELD_MAX_BYTES 320U
#define FIELD_VALUE_MAX 256

static const char *program;
static int max_level = LOG_INFO;

void log_set_program(const char *name) {
        const char *level = getenv("SANDBOXD_LOG_LEVEL");

        program = name;
        if (level && strcmp(level, "debug") == 0)
                max_level = LOG_DEBUG;
}

void log_set_max_level(int level) {
        max_level = level;
}

static bool stderr_is_journal(void) {
        static int cached = -1;

        if (cached < 0) {
                const char *stream = getenv("JOURNAL_STREAM");
                unsigned long device, inode;
                struct stat st;

                cached = stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) >= 0 &&
                         st.st_dev == device && st.st_ino == inode;
        }
        return cached;
}

/* A log entry is one line, whatever a name from outside contains. */
static void escape_controls(char *s) {
        for (; *s; s++)
                if ((unsigned char) *s < 0x20 || *s == 0x7f)
                        *s = '?';
}

static void send_to_journal(int level, const char *sandbox, const char *file, int line, const char *text) {
        char id[64];

        if (sandbox)
                snprintf(id, sizeof id, "SANDBOX_ID=%s", sandbox);
        (void) sd_journal_send("MESSAGE=%s", text, "PRIORITY=%i", level, "CODE_FILE=%s", file, "CODE_LINE=%i", line,
                               sandbox ? id : NULL, NULL);
}

static int print_field(const LogField *field, char ret[static FIELD_MAX_BYTES]) {
        int n;

        n = snprintf(ret, FIELD_MAX_BYTES, "%s=%.*s", field->name, FIELD_VALUE_MAX, field->value);
        escape_controls(ret);
        return MIN(n, (int) FIELD_MAX_BYTES - 1);
}

static void send_fields_to_journal(const LogField *fields, size_t n) {
        char text[LOG_FIELDS_MAX + 3][FIELD_MAX_BYTES];
        struct iovec iov[LOG_FIELDS_MAX + 3];
        int used = 0;

        assert(n <= ELEMENTSOF(iov));
        for (size_t i = 0; i < n; i++)
                if (fields[i].value) {
                        iov[used] = (struct iovec) { text[used], (size_t) print_field(fields + i, text[used]) };
                        used++;
                }
        (void) sd_journal_sendv(iov, used);
}

static void print_fields(const LogField *fields, size_t n) {
        char line[LINE_MAX_BYTES] = "", text[FIELD_MAX_BYTES];
        size_t length = 0;

        for (size_t i = 0; i < n; i++)
                if (fields[i].value && length < sizeof line) {
                        (void) print_field(fields + i, text);
                        length += (size_t) snprintf(line + length, sizeof line - length, " %s", text);
                }
        fprintf(stderr, "%s%s%s\n", program ? program : "", program ? ":" : "", line);
}

void log_fields(int level, const char *sandbox, const LogField *fields, size_t n, const char *format, ...) {
        char text[LINE_MAX_BYTES], priority[2] = { (char) ('0' + LOG_PRI(level)), 0 };
        LogField all[LOG_FIELDS_MAX + 3] = { { "MESSAGE", text }, { "PRIORITY", priority }, { "SANDBOX_ID", sandbox } };
        int saved = errno;
        va_list ap;

        assert(n <= LOG_FIELDS_MAX);
        if (level > max_level)
                return;
        va_start(ap, format);
        (void) vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        memcpy(all + 3, fields, n * sizeof *fields);
        (stderr_is_journal() ? send_fields_to_journal : print_fields)(all, n + 3);
        errno = saved;
}

int log_full(int level, int error, const char *sandbox, const char *file, int line, const char *format, ...) {
        char text[LINE_MAX_BYTES];
        int saved = errno;
        va_list ap;

        if (error < 0)
                error = -error;
        if (level <= max_level) {
                errno = error;
                va_start(ap, format);
                (void) vsnprintf(text, sizeof text, format, ap);
                va_end(ap);
                escape_controls(text);
                if (stderr_is_journal())
                        send_to_journal(level, sandbox, file, line, text);
                else
                        fprintf(stderr, "%s%s%s%s%s\n", program ? program : "", program ? ": " : "",
                                sandbox ? sandbox : "", sandbox ? ": " : "", text);
        }
        errno = saved;
        return -error;
}
