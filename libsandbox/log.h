/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <syslog.h>

#include "libsandbox/macro.h"

/* To the journal with fields when stderr is connected to it, else as text to stderr. Program code logs once, where
 * an error stops travelling; library code logs at debug only. Values never include secrets or file contents. */

void log_set_program(const char *name);
void log_set_max_level(int level);

/* Returns -abs(error), so "return log_error_errno(r, ...)" works. sandbox may be NULL. %m is the error's text. */
int log_full(int level, int error, const char *sandbox, const char *file, int line, const char *format, ...)
        _printf_(6, 7);

typedef struct LogField {
        const char *name, *value;
} LogField;

/* One entry with fields of its own, LOG_FIELDS_MAX at most. Their values are cut and escaped, without one (NULL) a
 * field is left out. sandbox may be NULL. */
#define LOG_FIELDS_MAX 8U
void log_fields(int level, const char *sandbox, const LogField *fields, size_t n, const char *format, ...)
        _printf_(5, 6);

#define log_full_errno(level, error, sandbox, ...) log_full(level, error, sandbox, __FILE__, __LINE__, __VA_ARGS__)

#define log_debug(...) log_full_errno(LOG_DEBUG, 0, NULL, __VA_ARGS__)
#define log_info(...) log_full_errno(LOG_INFO, 0, NULL, __VA_ARGS__)
#define log_notice(...) log_full_errno(LOG_NOTICE, 0, NULL, __VA_ARGS__)
#define log_warning(...) log_full_errno(LOG_WARNING, 0, NULL, __VA_ARGS__)
#define log_error(...) log_full_errno(LOG_ERR, 0, NULL, __VA_ARGS__)

#define log_debug_errno(e, ...) log_full_errno(LOG_DEBUG, e, NULL, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full_errno(LOG_WARNING, e, NULL, __VA_ARGS__)
#define log_error_errno(e, ...) log_full_errno(LOG_ERR, e, NULL, __VA_ARGS__)

#define log_sandbox(level, sandbox, ...) log_full_errno(level, 0, sandbox, __VA_ARGS__)
#define log_sandbox_errno(level, e, sandbox, ...) log_full_errno(level, e, sandbox, __VA_ARGS__)

#define log_oom() log_error_errno(-ENOMEM, "Out of memory.")
