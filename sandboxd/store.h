/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "libsandbox/macro.h"

/* What outlives sandboxd: one SQLite file that only sandboxd opens. Rows carry what is looked up as columns and the
 * rest as one JSON text, so that a new field needs no new schema. Every call is one short statement on the local disk;
 * nothing waits for fsync but the checkpoint of store_rest(). */

#define STORE_SCHEMA_VERSION 2

typedef struct Store Store;

typedef struct StoredSandbox {
        const char *id;         /* 32 digits */
        const char *state;
        uint64_t created_msec;
        const char *record;     /* JSON */
        bool ends;              /* is on its way out: gets space from the reserve */
} StoredSandbox;

typedef struct StoredCommand {
        const char *id, *sandbox;
        uint64_t started_msec;
        const char *record;
} StoredCommand;

/* directory is opened by the caller. A file that SQLite does not read is set aside and a fresh one made (*ret_fresh);
 * one of a newer schema is -EPROTONOSUPPORT. */
int store_open(const char *directory, bool *ret_fresh, Store **ret);
Store *store_close(Store *s);
DEFINE_CLEANUP(Store *, store_close)

int store_put_sandbox(Store *s, const StoredSandbox *row);
/* With its commands. */
int store_remove_sandbox(Store *s, const char *id);
int store_put_command(Store *s, const StoredCommand *row);
int store_remove_command(Store *s, const char *id);

/* In order of creation. A row that the handler answers with -EBADMSG is set aside; other failures end the walk. */
int store_foreach_sandbox(Store *s, int (*handler)(const StoredSandbox *row, void *userdata), void *userdata);
int store_foreach_command(Store *s, int (*handler)(const StoredCommand *row, void *userdata), void *userdata);

/* Numbers by name: counters and flags. A missing one is 0. */
int store_get_number(Store *s, const char *name, uint64_t *ret);
int store_set_number(Store *s, const char *name, uint64_t value);
int store_add_number(Store *s, const char *name, uint64_t value);

/* Everything else that is remembered: events, jobs, templates, alerts... Kinds know nothing of each other. A row has an
 * id of its own, perhaps a sandbox (public id) and a tag (topic, state), by which it is found; what else it is stands in
 * the record. number counts upwards over all rows. */
typedef struct StoredObject {
        uint64_t number;        /* given by the database */
        const char *kind, *id;
        const char *sandbox;    /* "": none */
        const char *tag;        /* "": none */
        uint64_t time_msec;
        const char *record;     /* JSON */
} StoredObject;

/* The conditions: NULL and 0 are none. Oldest first, unless newest_first. */
typedef struct ObjectQuery {
        const char *kind;
        const char *id, *sandbox, *tag;
        uint64_t after, before; /* numbers, both exclusive */
        uint64_t since_msec, until_msec; /* inclusive, exclusive */
        bool newest_first;
        uint64_t offset, limit; /* limit 0: all */
} ObjectQuery;

/* A row with this id is changed and keeps its number. */
int store_put_object(Store *s, const StoredObject *row);
/* Of the row that was added last. */
uint64_t store_last_number(const Store *s);
int store_remove_object(Store *s, const char *kind, const char *id);
int store_remove_objects_of(Store *s, const char *kind, const char *sandbox);
/* Removes the oldest but the newest `keep`, at most 1000 a call (or max); their number is returned. */
int store_trim_objects(Store *s, const char *kind, uint64_t keep);
int store_trim_objects_max(Store *s, const char *kind, uint64_t keep, uint64_t max);
/* Removes what is older than before_msec among the `max` oldest; their number is returned. */
int store_expire_objects(Store *s, const char *kind, uint64_t before_msec, uint64_t max);
/* The handler must not write objects. A row that it answers with -EBADMSG is skipped, other failures end the walk. */
int store_foreach_object(Store *s, const ObjectQuery *query, int (*handler)(const StoredObject *row, void *userdata),
                         void *userdata);
/* By kind and, unless NULL, sandbox and tag; in constant time. */
int store_count_objects(Store *s, const char *kind, const char *sandbox, const char *tag, uint64_t *ret);

/* Grows with each row that is written: while it stands still, what was read before is what would be read again. */
uint64_t store_changes(const Store *s);

/* Several writes as one. They nest. */
int store_begin(Store *s);
int store_end(Store *s);

/* When nothing is asked for: fold the log into the file, and have the reserve ready again. */
void store_rest(Store *s);
/* From now on a long log is folded in when the loop has nothing else to do, not while somebody waits for a reply. */
int store_attach(Store *s, sd_event *event);
