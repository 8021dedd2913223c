/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sqlite3.h>

#include "sandboxd/store.h"

/* What the store-*.c files share. */

#define STORE_QUERIES_MAX 512U

typedef enum Statement {
        STATEMENT_BEGIN,
        STATEMENT_COMMIT,
        STATEMENT_PUT_SANDBOX,
        STATEMENT_REMOVE_SANDBOX,
        STATEMENT_REMOVE_COMMANDS,
        STATEMENT_PUT_COMMAND,
        STATEMENT_REMOVE_COMMAND,
        STATEMENT_ALL_SANDBOXES,
        STATEMENT_ALL_COMMANDS,
        STATEMENT_SET_ASIDE,
        STATEMENT_GET_NUMBER,
        STATEMENT_SET_NUMBER,
        STATEMENT_ADD_NUMBER,
        STATEMENT_PUT_OBJECT,
        STATEMENT_REMOVE_OBJECT,
        STATEMENT_REMOVE_OBJECTS_OF,
        STATEMENT_TRIM_OBJECTS,
        STATEMENT_EXPIRE_OBJECTS,
        STATEMENT_TALLY,
        _STATEMENT_MAX,
} Statement;

struct Store {
        sqlite3 *db;
        int directory_fd;
        bool has_reserve;
        sqlite3_stmt *statements[_STATEMENT_MAX];
        sqlite3_stmt *queries[STORE_QUERIES_MAX]; /* of objects, by the conditions that they have; made when needed */
        unsigned n_open;                          /* store_begin() without store_end() */
        int log_pages;
        sd_event_source *rest;                    /* NULL: nobody gave us a loop */
};

int store_error(int code);
/* Reset and without values. */
sqlite3_stmt *store_statement(Store *s, Statement which);
void store_bind_text(sqlite3_stmt *statement, int i, const char *text);
/* "" for NULL. */
const char *store_column_text(sqlite3_stmt *statement, int i);
/* One writing statement. The texts are borrowed until it is reset here. */
int store_run(Store *s, sqlite3_stmt *statement);
/* The same for what makes room: it gets the reserve if it takes that. */
int store_run_to_delete(Store *s, sqlite3_stmt *statement);

extern const char store_objects_schema[];
