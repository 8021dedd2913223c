/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "sandboxd/store-internal.h"

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

/* Objects of all kinds share one table, so that a new kind needs no new schema. A list shows its total beside its first
 * page, and to count a hundred thousand rows takes longer than to show twenty: so triggers keep the totals, for each
 * kind as a whole and by sandbox and tag. There "" stands for any, and a value has '=' before it. */

#define TALLY(op, row) \
        "INSERT INTO tallies VALUES(" row ".kind, '', '', 1), (" row ".kind, '=' || " row ".sandbox, '', 1)," \
        "  (" row ".kind, '', '=' || " row ".tag, 1)," \
        "  (" row ".kind, '=' || " row ".sandbox, '=' || " row ".tag, 1)" \
        "  ON CONFLICT DO UPDATE SET n = n " op " 1;"
#define DROP_EMPTY "  DELETE FROM tallies WHERE kind = old.kind AND sandbox = '=' || old.sandbox AND n <= 0; END;"

const char store_objects_schema[] =
        "CREATE TABLE objects(number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL UNIQUE, "
        "  sandbox TEXT NOT NULL, tag TEXT NOT NULL, time INTEGER NOT NULL, record TEXT NOT NULL);"
        "CREATE INDEX objects_kind ON objects(kind, number);"
        "CREATE INDEX objects_sandbox ON objects(kind, sandbox, number);"
        "CREATE INDEX objects_tag ON objects(kind, tag, number);"
        "CREATE INDEX objects_both ON objects(kind, sandbox, tag, number);"
        "CREATE TABLE tallies(kind TEXT, sandbox TEXT, tag TEXT, n INTEGER NOT NULL, "
        "  PRIMARY KEY(kind, sandbox, tag)) WITHOUT ROWID;"
        "CREATE TRIGGER objects_added AFTER INSERT ON objects BEGIN " TALLY("+", "new") " END;"
        "CREATE TRIGGER objects_removed AFTER DELETE ON objects BEGIN " TALLY("-", "old")
        DROP_EMPTY
        "CREATE TRIGGER objects_changed AFTER UPDATE OF sandbox, tag ON objects "
        "  WHEN old.sandbox <> new.sandbox OR old.tag <> new.tag BEGIN " TALLY("-", "old") TALLY("+", "new")
        DROP_EMPTY;

int store_put_object(Store *s, const StoredObject *row) {
        sqlite3_stmt *statement = store_statement(s, STATEMENT_PUT_OBJECT);

        store_bind_text(statement, 1, row->kind);
        store_bind_text(statement, 2, row->id);
        store_bind_text(statement, 3, row->sandbox ?: "");
        store_bind_text(statement, 4, row->tag ?: "");
        (void) sqlite3_bind_int64(statement, 5, (sqlite3_int64) row->time_msec);
        store_bind_text(statement, 6, row->record);
        return store_run(s, statement);
}

uint64_t store_last_number(const Store *s) {
        return (uint64_t) sqlite3_last_insert_rowid(s->db);
}

static int remove_by(Store *s, Statement which, const char *kind, const char *value) {
        sqlite3_stmt *statement = store_statement(s, which);

        store_bind_text(statement, 1, kind);
        store_bind_text(statement, 2, value);
        return store_run_to_delete(s, statement);
}

int store_remove_object(Store *s, const char *kind, const char *id) {
        return remove_by(s, STATEMENT_REMOVE_OBJECT, kind, id);
}

int store_remove_objects_of(Store *s, const char *kind, const char *sandbox) {
        return remove_by(s, STATEMENT_REMOVE_OBJECTS_OF, kind, sandbox);
}

static int remove_oldest(Store *s, Statement which, const char *kind, uint64_t n, uint64_t before_msec) {
        sqlite3_stmt *statement = store_statement(s, which);
        int r;

        store_bind_text(statement, 1, kind);
        (void) sqlite3_bind_int64(statement, 2, (sqlite3_int64) n);
        if (which == STATEMENT_EXPIRE_OBJECTS)
                (void) sqlite3_bind_int64(statement, 3, (sqlite3_int64) before_msec);
        r = store_run_to_delete(s, statement);
        return r < 0 ? r : sqlite3_changes(s->db);
}

/* How many there are is known, so that those who stay need not be walked over. */
int store_trim_objects_max(Store *s, const char *kind, uint64_t keep, uint64_t max) {
        uint64_t n;
        int r;

        r = store_count_objects(s, kind, NULL, NULL, &n);
        if (r < 0 || n <= keep)
                return r;
        return remove_oldest(s, STATEMENT_TRIM_OBJECTS, kind, MIN(n - keep, max), 0);
}

int store_trim_objects(Store *s, const char *kind, uint64_t keep) {
        return store_trim_objects_max(s, kind, keep, 1000);
}

int store_expire_objects(Store *s, const char *kind, uint64_t before_msec, uint64_t max) {
        return remove_oldest(s, STATEMENT_EXPIRE_OBJECTS, kind, max, before_msec);
}

/* The conditions of a query are the bits of its place in the cache. Rows with text first. */
static const struct {
        const char *sql;
        size_t text, number; /* offset in ObjectQuery of what is compared; only one counts */
        bool is_text;
} conditions[] = {
        { " AND id = ?2",       offsetof(ObjectQuery, id),      0, true },
        { " AND sandbox = ?3",  offsetof(ObjectQuery, sandbox), 0, true },
        { " AND tag = ?4",      offsetof(ObjectQuery, tag),     0, true },
        { " AND number > ?5",   0, offsetof(ObjectQuery, after),      false },
        { " AND number < ?6",   0, offsetof(ObjectQuery, before),     false },
        { " AND time >= ?7",    0, offsetof(ObjectQuery, since_msec), false },
        { " AND time < ?8",     0, offsetof(ObjectQuery, until_msec), false },
};
#define NEWEST_FIRST (1U << ELEMENTSOF(conditions))

static const char *text_of(const ObjectQuery *q, size_t i) {
        return *(const char *const *) ((const char *) q + conditions[i].text);
}

static uint64_t number_of(const ObjectQuery *q, size_t i) {
        return *(const uint64_t *) ((const char *) q + conditions[i].number);
}

static unsigned query_bits(const ObjectQuery *q) {
        unsigned bits = q->newest_first ? NEWEST_FIRST : 0;

        for (size_t i = 0; i < ELEMENTSOF(conditions); i++)
                if (conditions[i].is_text ? !!text_of(q, i) : number_of(q, i) > 0)
                        bits |= 1U << i;
        return bits;
}

static int prepare_query(Store *s, unsigned bits, sqlite3_stmt **ret) {
        char sql[512] = "SELECT number, kind, id, sandbox, tag, time, record FROM objects WHERE kind = ?1";
        size_t n = strlen(sql);

        for (size_t i = 0; i < ELEMENTSOF(conditions); i++)
                if (bits & 1U << i)
                        n += (size_t) snprintf(sql + n, sizeof sql - n, "%s", conditions[i].sql);
        (void) snprintf(sql + n, sizeof sql - n, " ORDER BY number %s LIMIT ?9 OFFSET ?10",
                        bits & NEWEST_FIRST ? "DESC" : "ASC");
        return store_error(sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL));
}

static int begin_query(Store *s, const ObjectQuery *q, sqlite3_stmt **ret) {
        unsigned bits = query_bits(q);
        sqlite3_stmt *statement;
        int r;

        _Static_assert(NEWEST_FIRST * 2 <= STORE_QUERIES_MAX, "every set of conditions has its place");
        if (!s->queries[bits]) {
                r = prepare_query(s, bits, s->queries + bits);
                if (r < 0)
                        return r;
        }
        statement = s->queries[bits];
        store_bind_text(statement, 1, q->kind);
        for (size_t i = 0; i < ELEMENTSOF(conditions); i++)
                if (conditions[i].is_text && text_of(q, i))
                        store_bind_text(statement, (int) i + 2, text_of(q, i));
                else if (!conditions[i].is_text && number_of(q, i) > 0)
                        (void) sqlite3_bind_int64(statement, (int) i + 2, (sqlite3_int64) number_of(q, i));
        (void) sqlite3_bind_int64(statement, 9, q->limit > 0 ? (sqlite3_int64) q->limit : -1);
        (void) sqlite3_bind_int64(statement, 10, (sqlite3_int64) q->offset);
        *ret = statement;
        return 0;
}

static StoredObject object_from_row(sqlite3_stmt *statement) {
        return (StoredObject) {
                .number = (uint64_t) sqlite3_column_int64(statement, 0),
                .kind = store_column_text(statement, 1),
                .id = store_column_text(statement, 2),
                .sandbox = store_column_text(statement, 3),
                .tag = store_column_text(statement, 4),
                .time_msec = (uint64_t) sqlite3_column_int64(statement, 5),
                .record = store_column_text(statement, 6),
        };
}

int store_foreach_object(Store *s, const ObjectQuery *query, int (*handler)(const StoredObject *row, void *userdata),
                         void *userdata) {
        sqlite3_stmt *statement;
        int r, code = SQLITE_DONE;

        assert(query->kind);

        r = begin_query(s, query, &statement);
        if (r < 0)
                return r;
        while (r >= 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
                StoredObject row = object_from_row(statement);

                r = handler(&row, userdata);
                if (r == -EBADMSG) {
                        log_warning("Record '%s' of kind %s is not understood; it is skipped.", row.id, row.kind);
                        r = 0;
                }
        }
        if (r >= 0)
                r = store_error(code);
        (void) sqlite3_reset(statement);
        (void) sqlite3_clear_bindings(statement);
        return r < 0 ? r : 0;
}

/* "" stands for "any" in a tally's row, and "=" plus a value for that one, so that an empty value has a row of its own. */
static void bind_tallied(sqlite3_stmt *statement, int i, const char *value) {
        _cleanup_free_ char *text = NULL;

        if (value && asprintf(&text, "=%s", value) < 0)
                text = NULL;
        (void) sqlite3_bind_text(statement, i, text ?: "", -1, SQLITE_TRANSIENT);
}

int store_count_objects(Store *s, const char *kind, const char *sandbox, const char *tag, uint64_t *ret) {
        sqlite3_stmt *statement = store_statement(s, STATEMENT_TALLY);
        int code;

        store_bind_text(statement, 1, kind);
        bind_tallied(statement, 2, sandbox);
        bind_tallied(statement, 3, tag);
        code = sqlite3_step(statement);
        *ret = code == SQLITE_ROW ? (uint64_t) sqlite3_column_int64(statement, 0) : 0;
        (void) sqlite3_reset(statement);
        return store_error(code);
}
