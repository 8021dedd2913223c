/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "libsandbox/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048U

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
