/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

/* What git may be asked, and what it answered. Knows no HTTP and starts nothing. */

#define GIT_TEXT_MAX (4 * KiB)

/* https, http, ssh, git; host:path; an absolute path inside. Not the transports that run a command of the URL's choice
 * ("ext::") and not what begins like an option. */
int git_check_url(const char *url, sd_bus_error *error);
/* Anything that git would look at as an operand: not empty, no option, no control character. */
int git_check_operand(const char *name, const char *value, sd_bus_error *error);

typedef struct GitAccess {
        char *url;              /* without what was secret in it; NULL: of a remote that the repository knows */
        char *username, *password;
} GitAccess;

/* A remote or URL of the client. Secrets of "https://user:password@host/" go to where they are not seen. */
int git_access_init(const char *url, const char *username, const char *password, GitAccess *ret, sd_bus_error *error);
void git_access_done(GitAccess *a);

/* The environment of every git that we start: never a prompt, never a transport that runs commands; access may be
 * NULL. */
int git_make_env(const GitAccess *access, char ***ret);

/* Output of "status --porcelain --branch": {branch, clean, files}. */
json_t *git_status_to_json(const char *text, size_t n);
/* Output of "log -z" with GIT_LOG_FORMAT: [{hash, message, author, date}]. */
#define GIT_LOG_FORMAT "%H%x00%an%x00%aI%x00%s"
json_t *git_log_to_json(const char *text, size_t n);
/* Output of "branch -a": {branches, current}. */
json_t *git_branches_to_json(const char *text, size_t n);
