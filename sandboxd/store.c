/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/store-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

/* Exclusive locking needs no shared memory file and makes a second sandboxd fail at once. The log is folded into the
 * file when sandboxd is about to leave (store_rest()), so that no request waits for fsync; after a power cut the last
 * records may be missing, and the reconciliation adopts what they described. */

#define DATABASE_NAME "sandboxd.db"
/* Pages in the log before a busy sandboxd folds it in without waiting to be idle. */
#define LOG_PAGES_MAX 4096

static const char *const statement_texts[_STATEMENT_MAX] = {
        [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_PUT_SANDBOX] = "INSERT INTO sandboxes(id, state, created, record) VALUES(?1, ?2, ?3, ?4) "
                                  "ON CONFLICT(id) DO UPDATE SET state = ?2, created = ?3, record = ?4",
        [STATEMENT_REMOVE_SANDBOX] = "DELETE FROM sandboxes WHERE id = ?1",
        [STATEMENT_REMOVE_COMMANDS] = "DELETE FROM commands WHERE sandbox = ?1",
        [STATEMENT_PUT_COMMAND] = "INSERT INTO commands(id, sandbox, started, record) VALUES(?1, ?2, ?3, ?4) "
                                  "ON CONFLICT(id) DO UPDATE SET record = ?4",
        [STATEMENT_REMOVE_COMMAND] = "DELETE FROM commands WHERE id = ?1",
        [STATEMENT_ALL_SANDBOXES] = "SELECT id, state, created, record FROM sandboxes ORDER BY number",
        [STATEMENT_ALL_COMMANDS] = "SELECT id, sandbox, started, record FROM commands ORDER BY number",
        [STATEMENT_SET_ASIDE] = "INSERT INTO rejected(origin, id, record) VALUES(?1, ?2, ?3)",
        [STATEMENT_GET_NUMBER] = "SELECT value FROM numbers WHERE name = ?1",
        [STATEMENT_SET_NUMBER] = "INSERT INTO numbers(name, value) VALUES(?1, ?2) "
                                 "ON CONFLICT(name) DO UPDATE SET value = ?2",
        [STATEMENT_ADD_NUMBER] = "INSERT INTO numbers(name, value) VALUES(?1, ?2) "
                                 "ON CONFLICT(name) DO UPDATE SET value = value + ?2",
        [STATEMENT_PUT_OBJECT] = "INSERT INTO objects(kind, id, sandbox, tag, time, record) "
                                 "VALUES(?1, ?2, ?3, ?4, ?5, ?6) "
                                 "ON CONFLICT(id) DO UPDATE SET sandbox = ?3, tag = ?4, time = ?5, record = ?6",
        [STATEMENT_REMOVE_OBJECT] = "DELETE FROM objects WHERE kind = ?1 AND id = ?2",
        [STATEMENT_REMOVE_OBJECTS_OF] = "DELETE FROM objects WHERE kind = ?1 AND sandbox = ?2",
        [STATEMENT_TRIM_OBJECTS] = "DELETE FROM objects WHERE number IN (SELECT number FROM objects "
                                   "WHERE kind = ?1 ORDER BY number LIMIT ?2)",
        [STATEMENT_EXPIRE_OBJECTS] = "DELETE FROM objects WHERE number IN (SELECT number FROM objects "
                                     "WHERE kind = ?1 ORDER BY number LIMIT ?2) AND time < ?3",
        [STATEMENT_TALLY] = "SELECT n FROM tallies WHERE kind = ?1 AND sandbox = ?2 AND tag = ?3",
};

static const char schema[] =
        "CREATE TABLE sandboxes(number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
        "  state TEXT NOT NULL, created INTEGER NOT NULL, record TEXT NOT NULL);"
        "CREATE TABLE commands(number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
        "  sandbox TEXT NOT NULL, started INTEGER NOT NULL, record TEXT NOT NULL);"
        "CREATE INDEX commands_sandbox ON commands(sandbox);"
        "CREATE TABLE numbers(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE rejected(origin TEXT NOT NULL, id TEXT, record TEXT);";
static const char set_version[] = "PRAGMA user_version = " STRINGIFY(STORE_SCHEMA_VERSION) ";";

/* Deleting writes, too. Where the disk is full this file is given up for it, and made anew when there is room. */
#define RESERVE_NAME "reserve"
#define RESERVE_BYTES (4 * MiB)

static void make_reserve(Store *s) {
        _cleanup_close_ int fd = -EBADF;

        if (s->has_reserve || s->directory_fd < 0)
                return;
        fd = openat(s->directory_fd, RESERVE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        s->has_reserve = fd >= 0 && posix_fallocate(fd, 0, RESERVE_BYTES) == 0;
        if (fd >= 0 && !s->has_reserve) /* not half of it: others need that */
                (void) unlinkat(s->directory_fd, RESERVE_NAME, 0);
}

static bool release_reserve(Store *s) {
        if (!s->has_reserve || unlinkat(s->directory_fd, RESERVE_NAME, 0) < 0)
                return false;
        s->has_reserve = false;
        log_warning("No space is left for the records; the reserve is used to delete.");
        return true;
}

int store_error(int code) {
        switch (code & 0xff) {
        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_CANTOPEN:
                return -EACCES;
        default:
                return -EIO;
        }
}

/* For what runs once; all that a request needs is prepared when the file is opened. */
static int execute(Store *s, const char *sql) {
        return store_error(sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

static int read_pragma(Store *s, const char *sql, char **ret_text) {
        sqlite3_stmt *statement = NULL;
        int r, code;

        code = sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_step(statement);
        r = code == SQLITE_ROW ? 0 : store_error(code);
        if (code == SQLITE_ROW) {
                const char *text = (const char *) sqlite3_column_text(statement, 0);

                *ret_text = text ? strdup(text) : NULL;
                if (!*ret_text)
                        r = -ENOMEM;
        } else if (r == 0)
                r = -EUCLEAN;
        sqlite3_finalize(statement);
        return r;
}

/* What each version added, in one transaction from whatever version the file has: 0 is an empty file. */
static int upgrade_schema(Store *s, int version) {
        const char *const steps[STORE_SCHEMA_VERSION] = { schema, store_objects_schema };
        int r;

        r = execute(s, "BEGIN IMMEDIATE");
        for (int i = version; r >= 0 && i < STORE_SCHEMA_VERSION; i++)
                r = execute(s, steps[i]);
        if (r >= 0)
                r = execute(s, set_version);
        return r < 0 ? r : execute(s, "COMMIT");
}

/* A file of a newer version is not touched: a downgrade must be able to be taken back. One that is damaged is told from
 * that, since it is replaced. */
static int check_schema(Store *s, bool *ret_fresh) {
        _cleanup_free_ char *version = NULL, *sound = NULL;
        int r, n;

        r = read_pragma(s, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        n = atoi(version);
        if (n > STORE_SCHEMA_VERSION)
                return -EPROTONOSUPPORT;
        *ret_fresh = n == 0;
        if (n > 0) {
                r = read_pragma(s, "PRAGMA quick_check(1)", &sound);
                if (r < 0)
                        return r;
                if (!streq(sound, "ok"))
                        return -EUCLEAN;
        }
        return n < STORE_SCHEMA_VERSION ? upgrade_schema(s, n) : 0;
}

/* Told after each commit: how long the log is by now. SQLite would fold it in by itself, in the middle of somebody's
 * request. */
static int on_log_written(void *userdata, sqlite3 *db, const char *name, int pages) {
        Store *s = userdata;

        (void) db;
        (void) name;
        s->log_pages = pages;
        return SQLITE_OK;
}

static int prepare_all(Store *s) {
        for (Statement i = 0; i < _STATEMENT_MAX; i++) {
                int code = sqlite3_prepare_v3(s->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                              s->statements + i, NULL);

                if (code != SQLITE_OK)
                        return store_error(code);
        }
        return 0;
}

static int open_database(const char *path, bool *ret_fresh, Store **ret) {
        _cleanup_(store_closep) Store *s = NULL;
        int r;

        s = new0(Store, 1);
        if (!s)
                return -ENOMEM;

        s->directory_fd = -EBADF;
        r = store_error(sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                              SQLITE_OPEN_NOMUTEX, NULL));
        if (r < 0)
                return r;
        /* Exclusive: nobody else opens it, so no shared memory file is needed. */
        r = execute(s, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                       "PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF;");
        if (r >= 0)
                r = check_schema(s, ret_fresh);
        if (r >= 0)
                r = prepare_all(s);
        if (r < 0)
                return r;
        (void) sqlite3_wal_hook(s->db, on_log_written, s);
        *ret = TAKE_PTR(s);
        return 0;
}

/* The name of the broken file says when; its log goes along, for whoever wants to look. */
static int set_database_aside(const char *path) {
        static const char *const suffixes[] = { "", "-wal", "-shm" };
        time_t now = time(NULL);

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                _cleanup_free_ char *from = NULL, *to = NULL;

                if (asprintf(&from, "%s%s", path, suffixes[i]) < 0 ||
                    asprintf(&to, "%s.broken-%" PRIi64 "%s", path, (int64_t) now, suffixes[i]) < 0)
                        return -ENOMEM;
                if (rename(from, to) < 0 && errno != ENOENT)
                        return -errno;
        }
        return 0;
}

/* A damaged database costs history, not sandboxes: those live at execd, and their labels bring them back. */
int store_open(const char *directory, bool *ret_fresh, Store **ret) {
        _cleanup_free_ char *path = NULL;
        mode_t mask;
        int r;

        assert(directory);
        assert(ret_fresh);
        assert(ret);

        if (asprintf(&path, "%s/" DATABASE_NAME, directory) < 0)
                return log_oom();

        mask = umask(0077);
        r = open_database(path, ret_fresh, ret);
        if (r == -EUCLEAN) {
                log_error("%s is damaged; it is set aside and a fresh one is made. Sandboxes that live are adopted.",
                          path);
                r = set_database_aside(path);
                if (r >= 0)
                        r = open_database(path, ret_fresh, ret);
        }
        umask(mask);

        if (r == -EPROTONOSUPPORT)
                return log_error_errno(r, "%s was written by a newer version; refusing to touch it.", path);
        if (r < 0)
                return log_error_errno(r, "Failed to open %s: %m", path);
        (*ret)->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        make_reserve(*ret);
        return 0;
}

Store *store_close(Store *s) {
        if (s) {
                for (Statement i = 0; i < _STATEMENT_MAX; i++)
                        sqlite3_finalize(s->statements[i]);
                for (size_t i = 0; i < ELEMENTSOF(s->queries); i++)
                        sqlite3_finalize(s->queries[i]);
                sqlite3_close(s->db);
                sd_event_source_disable_unref(s->rest);
                safe_close(s->directory_fd);
                free(s);
        }
        return NULL;
}

/* Bindings are by reference (SQLITE_STATIC): what is bound must stay until the statement has run, which is at once. */
sqlite3_stmt *store_statement(Store *s, Statement which) {
        sqlite3_stmt *statement = s->statements[which];

        (void) sqlite3_reset(statement);
        (void) sqlite3_clear_bindings(statement);
        return statement;
}

void store_bind_text(sqlite3_stmt *statement, int i, const char *text) {
        (void) sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC);
}

/* A checkpoint waits for fsync: it is put off until the loop has nothing else to do, so that no reply waits for it, but
 * not for ever. */
static void fold_log(Store *s) {
        if (!s->rest || s->log_pages > 8 * LOG_PAGES_MAX || sd_event_source_set_enabled(s->rest, SD_EVENT_ONESHOT) < 0)
                store_rest(s);
}

static int on_rest(sd_event_source *source, void *userdata) {
        (void) source;
        store_rest(userdata);
        return 0;
}

int store_attach(Store *s, sd_event *event) {
        int r;

        r = sd_event_add_defer(event, &s->rest, on_rest, s);
        if (r >= 0)
                r = sd_event_source_set_priority(s->rest, SD_EVENT_PRIORITY_IDLE);
        return r < 0 ? r : sd_event_source_set_enabled(s->rest, SD_EVENT_OFF);
}

/* to_delete: a full disk must not keep anybody from making room. */
static int run(Store *s, sqlite3_stmt *statement, bool to_delete) {
        int r = store_error(sqlite3_step(statement));

        (void) sqlite3_reset(statement);
        if (r == -ENOSPC && to_delete && release_reserve(s)) {
                r = store_error(sqlite3_step(statement));
                (void) sqlite3_reset(statement);
        }
        if (r < 0)
                return log_error_errno(r, "Failed to write a record: %s", sqlite3_errmsg(s->db));
        if (s->log_pages > LOG_PAGES_MAX && s->n_open == 0)
                fold_log(s);
        return 0;
}

int store_run(Store *s, sqlite3_stmt *statement) {
        return run(s, statement, /* to_delete= */ false);
}

int store_run_to_delete(Store *s, sqlite3_stmt *statement) {
        return run(s, statement, /* to_delete= */ true);
}

int store_put_sandbox(Store *s, const StoredSandbox *row) {
        sqlite3_stmt *statement = store_statement(s, STATEMENT_PUT_SANDBOX);

        store_bind_text(statement, 1, row->id);
        store_bind_text(statement, 2, row->state);
        (void) sqlite3_bind_int64(statement, 3, (sqlite3_int64) row->created_msec);
        store_bind_text(statement, 4, row->record);
        return run(s, statement, row->ends);
}

static int run_on_id(Store *s, Statement which, const char *id) {
        sqlite3_stmt *statement = store_statement(s, which);

        store_bind_text(statement, 1, id);
        return store_run_to_delete(s, statement);
}

int store_remove_sandbox(Store *s, const char *id) {
        int r = run_on_id(s, STATEMENT_REMOVE_COMMANDS, id);

        return r < 0 ? r : run_on_id(s, STATEMENT_REMOVE_SANDBOX, id);
}

int store_put_command(Store *s, const StoredCommand *row) {
        sqlite3_stmt *statement = store_statement(s, STATEMENT_PUT_COMMAND);

        store_bind_text(statement, 1, row->id);
        store_bind_text(statement, 2, row->sandbox);
        (void) sqlite3_bind_int64(statement, 3, (sqlite3_int64) row->started_msec);
        store_bind_text(statement, 4, row->record);
        return store_run(s, statement);
}

int store_remove_command(Store *s, const char *id) {
        return run_on_id(s, STATEMENT_REMOVE_COMMAND, id);
}

/* Rows are set aside after the walk: a statement must not change what another one reads. */
typedef struct Reject {
        char *id, *record;
} Reject;

static int set_rows_aside(Store *s, const char *origin, Statement remove, Reject *rejects, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n; i++) {
                sqlite3_stmt *statement = store_statement(s, STATEMENT_SET_ASIDE);

                log_error("Record '%s' of %s is not understood; it is set aside.", rejects[i].id, origin);
                store_bind_text(statement, 1, origin);
                store_bind_text(statement, 2, rejects[i].id);
                store_bind_text(statement, 3, rejects[i].record);
                if (r >= 0)
                        r = store_run_to_delete(s, statement);
                if (r >= 0)
                        r = run_on_id(s, remove, rejects[i].id);
                free(rejects[i].id);
                free(rejects[i].record);
        }
        free(rejects);
        return r;
}

static int remember_reject(sqlite3_stmt *statement, Reject **rejects, size_t *n) {
        Reject *larger = reallocarray(*rejects, *n + 1, sizeof(Reject));

        if (!larger)
                return -ENOMEM;
        *rejects = larger;
        larger[*n] = (Reject) {
                .id = strdup((const char *) sqlite3_column_text(statement, 0) ?: ""),
                .record = strdup((const char *) sqlite3_column_text(statement, 3) ?: ""),
        };
        (*n)++;
        return 0;
}

typedef int (*RowHandler)(sqlite3_stmt *statement, void *handler, void *userdata);

static int walk(Store *s, Statement which, RowHandler row, void *handler, void *userdata, Reject **rejects,
                size_t *n_rejects) {
        sqlite3_stmt *statement = store_statement(s, which);
        int r = 0, code;

        while (r >= 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
                r = row(statement, handler, userdata);
                if (r == -EBADMSG)
                        r = remember_reject(statement, rejects, n_rejects);
        }
        if (r >= 0)
                r = store_error(code);
        (void) sqlite3_reset(statement);
        return r;
}

const char *store_column_text(sqlite3_stmt *statement, int i) {
        return (const char *) sqlite3_column_text(statement, i) ?: "";
}

static int hand_out_sandbox(sqlite3_stmt *statement, void *handler, void *userdata) {
        int (**h)(const StoredSandbox *, void *) = handler;

        return (*h)(&(StoredSandbox) { .id = store_column_text(statement, 0), .state = store_column_text(statement, 1),
                                       .created_msec = (uint64_t) sqlite3_column_int64(statement, 2),
                                       .record = store_column_text(statement, 3) }, userdata);
}

int store_foreach_sandbox(Store *s, int (*handler)(const StoredSandbox *row, void *userdata), void *userdata) {
        Reject *rejects = NULL;
        size_t n = 0;
        int r, q;

        r = walk(s, STATEMENT_ALL_SANDBOXES, hand_out_sandbox, &handler, userdata, &rejects, &n);
        q = set_rows_aside(s, "sandboxes", STATEMENT_REMOVE_SANDBOX, rejects, n);
        return r < 0 ? r : q;
}

static int hand_out_command(sqlite3_stmt *statement, void *handler, void *userdata) {
        int (**h)(const StoredCommand *, void *) = handler;

        return (*h)(&(StoredCommand) { .id = store_column_text(statement, 0), .sandbox = store_column_text(statement, 1),
                                       .started_msec = (uint64_t) sqlite3_column_int64(statement, 2),
                                       .record = store_column_text(statement, 3) }, userdata);
}

int store_foreach_command(Store *s, int (*handler)(const StoredCommand *row, void *userdata), void *userdata) {
        Reject *rejects = NULL;
        size_t n = 0;
        int r, q;

        r = walk(s, STATEMENT_ALL_COMMANDS, hand_out_command, &handler, userdata, &rejects, &n);
        q = set_rows_aside(s, "commands", STATEMENT_REMOVE_COMMAND, rejects, n);
        return r < 0 ? r : q;
}

int store_get_number(Store *s, const char *name, uint64_t *ret) {
        sqlite3_stmt *statement = store_statement(s, STATEMENT_GET_NUMBER);
        int code;

        store_bind_text(statement, 1, name);
        code = sqlite3_step(statement);
        *ret = code == SQLITE_ROW ? (uint64_t) sqlite3_column_int64(statement, 0) : 0;
        (void) sqlite3_reset(statement);
        return store_error(code);
}

static int write_number(Store *s, Statement which, const char *name, uint64_t value) {
        sqlite3_stmt *statement = store_statement(s, which);

        store_bind_text(statement, 1, name);
        (void) sqlite3_bind_int64(statement, 2, (sqlite3_int64) value);
        /* What is set says how a removal went; what is added are statistics. */
        return run(s, statement, which == STATEMENT_SET_NUMBER);
}

int store_set_number(Store *s, const char *name, uint64_t value) {
        return write_number(s, STATEMENT_SET_NUMBER, name, value);
}

int store_add_number(Store *s, const char *name, uint64_t value) {
        return write_number(s, STATEMENT_ADD_NUMBER, name, value);
}

int store_begin(Store *s) {
        int r = s->n_open > 0 ? 0 : store_run(s, store_statement(s, STATEMENT_BEGIN));

        if (r >= 0)
                s->n_open++;
        return r;
}

int store_end(Store *s) {
        int r;

        assert(s->n_open > 0);
        if (--s->n_open > 0)
                return 0;
        r = store_run(s, store_statement(s, STATEMENT_COMMIT));
        if (r < 0 && !sqlite3_get_autocommit(s->db))
                (void) execute(s, "ROLLBACK"); /* or no transaction would ever begin again */
        return r;
}

void store_rest(Store *s) {
        if (s) {
                (void) sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
                s->log_pages = 0;
                make_reserve(s);
        }
}
