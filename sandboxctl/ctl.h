/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "sandboxctl/client.h"
#include "sandboxctl/exit-status.h"
#include "sandboxctl/verbs.h"

/* What all verbs share: the connection, how to print, and how to fail: one line on stderr, one status. */
struct Ctl {
        const Verb *verb;
        ClientOptions connection;
        Client *client;          /* made by the first request */
        bool json;
        FILE *out;               /* what verbs print to: stdout, or memory while a view is drawn */
        char *known, *known_id;  /* the name that was looked up last */
};

#define _cleanup_json_ _cleanup_(json_decrefp)

/* "sandboxctl: <verb>: <text>" on stderr, escaped. Returns status, or EXIT_STATUS_OWN in a verb that runs a command. */
int ctl_fail(const Ctl *c, ExitStatus status, const char *format, ...) _printf_(3, 4);
void ctl_warn(const Ctl *c, const char *format, ...) _printf_(2, 3);
int ctl_oom(const Ctl *c);

/* The connection; an ExitStatus. */
int ctl_connect(Ctl *c);
/* Says what failed, with the server's text if it answered. what is a subject like "sandbox sbx_..." */
int ctl_fail_transfer(const Ctl *c, const char *what, int r, const TransferResult *result);

/* One JSON request; an ExitStatus. path is below the API's prefix: "/sandboxes". Takes body over; NULL: none.
 * *ret_reply (may be NULL) is a new reference and never NULL on success. */
int ctl_request(Ctl *c, const char *what, const char *method, const char *path, json_t *body, json_t **ret_reply);
/* The same with an answer of another kind, which goes to the spec's sink; a path that is NULL is told as such here, too. */
int ctl_receive(Ctl *c, const char *what, const TransferSpec *spec);
/* A GET that stays: handler gets each event, with c as userdata, until the server ends it or handler returns < 0. */
int ctl_stream(Ctl *c, const char *what, const char *path, int (*handler)(const json_t *event, void *userdata));
/* A POST that makes something, whose id is printed (--json: all of it). Takes body over. */
int ctl_create(Ctl *c, const char *what, const char *path, json_t *body);
/* A DELETE: says nothing but what --json asks for. */
int ctl_delete(Ctl *c, const char *what, const char *path);
/* Formats a path; NULL when out of memory. */
char *ctl_path(const char *format, ...) _printf_(1, 2);

/* A sandbox by "sbx_" id, a prefix of it that only one has, or its name. An ExitStatus; *ret_id is always of the form
 * of an id, so it can stand in a path. */
int ctl_resolve(Ctl *c, const char *word, char **ret_id);
/* All pages of GET /sandboxes: {"items": [...], "total": n}. filter is NULL or more parameters of the query, as
 * "&metrics=1". */
int ctl_list(Ctl *c, const char *filter, json_t **ret);

/* Prints a reply as it is, as JSON. */
int ctl_print_json(const Ctl *c, const json_t *j);
/* As one line that is out at once: an event of a stream. A negative errno, for the handlers of streams. */
int ctl_print_json_line(const json_t *j);

/* Members of a JSON object with a fallback for a missing or strange one. */
const char *json_text(const json_t *object, const char *key);
int64_t json_int(const json_t *object, const char *key);

/* Whether text may hold more than ASCII. */
bool ctl_locale_is_utf8(void);
int64_t now_msec(void);
