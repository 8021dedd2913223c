/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/spark.h"
#include "sandboxctl/text.h"
#include "sandboxctl/top.h"

/* The table of top by columns: each has a width of its own, so that nothing moves while figures change, but the name,
 * which takes what is left. On a narrow terminal columns give way, those first that are missed least. */

#define NAME_MIN 12U
#define HISTORY_COLUMNS 8U
#define CELL_MAX (TOP_HISTORY * SPARK_BYTES_MAX + 1)

typedef struct Column {
        const char *title;
        unsigned width;
        bool left;
        unsigned gives_way;      /* the highest first; 0: never */
        char key;                /* 0: no order by it */
        const char *name;        /* of the order */
        void (*format)(const TopRow *r, const TopView *view, char cell[CELL_MAX]);
        int (*compare)(const TopRow *a, const TopRow *b);
} Column;

static void format_state(const TopRow *r, _unused_ const TopView *view, char cell[CELL_MAX]) {
        _cleanup_free_ char *safe = text_escape(r->status, strlen(r->status));

        (void) snprintf(cell, CELL_MAX, "%.8s", safe ? safe : "");
}

static void format_cpu(const TopRow *r, _unused_ const TopView *view, char cell[CELL_MAX]) {
        if (r->measured)
                (void) snprintf(cell, CELL_MAX, "%.1f", r->cpu_percent);
}

/* The scale is what it may use: a full bar is a sandbox at its limit. */
static void format_cpu_history(const TopRow *r, const TopView *view, char cell[CELL_MAX]) {
        spark_line(r->cpu_history, r->n_history, HISTORY_COLUMNS, (r->processors > 0 ? r->processors : 1) * 100,
                   view->utf8, cell);
}

static void format_memory_history(const TopRow *r, const TopView *view, char cell[CELL_MAX]) {
        spark_line(r->memory_history, r->n_history, HISTORY_COLUMNS, (double) r->memory_max, view->utf8, cell);
}

static void format_bytes(const TopRow *r, uint64_t bytes, char cell[CELL_MAX]) {
        if (r->measured)
                text_size(bytes, cell);
}

static void format_memory(const TopRow *r, _unused_ const TopView *view, char cell[CELL_MAX]) {
        format_bytes(r, r->memory, cell);
}

static void format_limit(const TopRow *r, _unused_ const TopView *view, char cell[CELL_MAX]) {
        format_bytes(r, r->memory_max, cell);
}

static void format_pids(const TopRow *r, _unused_ const TopView *view, char cell[CELL_MAX]) {
        if (r->measured)
                (void) snprintf(cell, CELL_MAX, "%" PRIu64, r->pids);
}

static void format_read(const TopRow *r, _unused_ const TopView *view, char cell[CELL_MAX]) {
        format_bytes(r, r->io_read, cell);
}

static void format_written(const TopRow *r, _unused_ const TopView *view, char cell[CELL_MAX]) {
        format_bytes(r, r->io_written, cell);
}

static void format_age(const TopRow *r, const TopView *view, char cell[CELL_MAX]) {
        text_span((uint64_t) MAX(view->now_msec - r->created_msec, 0), cell);
}

static void format_left(const TopRow *r, const TopView *view, char cell[CELL_MAX]) {
        if (r->expires_msec > 0)
                text_span((uint64_t) MAX(r->expires_msec - view->now_msec, 0), cell);
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_name(const TopRow *a, const TopRow *b) {
        return strcmp(a->name, b->name);
}

static int compare_state(const TopRow *a, const TopRow *b) {
        return strcmp(a->status, b->status);
}

static int compare_cpu(const TopRow *a, const TopRow *b) {
        return ORDER(b->cpu_percent, a->cpu_percent);
}

static int compare_memory(const TopRow *a, const TopRow *b) {
        return ORDER(b->memory, a->memory);
}

static int compare_pids(const TopRow *a, const TopRow *b) {
        return ORDER(b->pids, a->pids);
}

static int compare_io(const TopRow *a, const TopRow *b) {
        return ORDER(b->io_read + b->io_written, a->io_read + a->io_written);
}

static int compare_age(const TopRow *a, const TopRow *b) {
        return ORDER(a->created_msec, b->created_msec);
}

static int compare_left(const TopRow *a, const TopRow *b) {
        return ORDER(a->expires_msec, b->expires_msec);
}

/* The first one is the order that top begins with. */
static const Column columns[] = {
        { "CPU%",   6, false, 0, 'c', "cpu",    format_cpu,            compare_cpu    },
        { "",       8, false, 5, 0,   NULL,     format_cpu_history,    NULL           },
        { "MEM",    5, false, 0, 'm', "memory", format_memory,         compare_memory },
        { "LIMIT",  5, false, 2, 0,   NULL,     format_limit,          NULL           },
        { "",       8, false, 6, 0,   NULL,     format_memory_history, NULL           },
        { "PIDS",   4, false, 1, 'p', "pids",   format_pids,           compare_pids   },
        { "READ",   5, false, 4, 'i', "io",     format_read,           compare_io     },
        { "WRITE",  5, false, 4, 0,   NULL,     format_written,        NULL           },
        { "AGE",    4, false, 3, 'a', "age",    format_age,            compare_age    },
        { "LEFT",   4, false, 0, 'l', "left",   format_left,           compare_left   },
        { "STATE",  8, true,  1, 's', "state",  format_state,          compare_state  },
        { "NAME",   0, true,  0, 'n', "name",   NULL,                  compare_name   },
};

const char top_keys[] = "c cpu  m memory  p pids  i io  a age  l left  s state  n name  r reverse  q quit";

const char *top_sort_names(void) {
        return "cpu, memory, pids, io, age, left, state or name";
}

const char *top_column_name(unsigned column) {
        return columns[column].name;
}

int top_sort_by_name(Top *t, const char *name) {
        for (unsigned i = 0; i < ELEMENTSOF(columns); i++)
                if (columns[i].name && streq(columns[i].name, name)) {
                        t->sort = i;
                        return 0;
                }
        return -EINVAL;
}

int top_sort_by_key(Top *t, char key) {
        for (unsigned i = 0; i < ELEMENTSOF(columns); i++)
                if (columns[i].key && columns[i].key == key) {
                        t->sort = i;
                        return 0;
                }
        return -EINVAL;
}

int top_compare(unsigned column, const TopRow *a, const TopRow *b) {
        return columns[column].compare(a, b);
}

/* Columns that give way earlier than the returned number are not shown. A file has room for everything, but one moment
 * is no history. */
static unsigned fit(const TopView *view) {
        unsigned limit = view->columns > 0 ? 7 : 5;

        for (; view->columns > 0 && limit > 1; limit--) {
                unsigned used = NAME_MIN;

                for (unsigned i = 0; i < ELEMENTSOF(columns); i++)
                        used += columns[i].gives_way < limit && columns[i].width > 0 ? columns[i].width + 1 : 0;
                if (used <= view->columns)
                        break;
        }
        return limit;
}

/* Longer than its column is a rare cell's right; the line is cut at the terminal's edge anyway. */
static void print_cell(FILE *f, const Column *c, const char *cell) {
        unsigned used = text_width(cell);
        int pad = (int) (c->width > used ? c->width - used : 0);

        (void) fprintf(f, "%*s%s%*s ", c->left ? 0 : pad, "", cell, c->left ? pad : 0, "");
}

char *top_line(const Top *t, const TopRow *row, const TopView *view) {
        _cleanup_free_ char *name = row ? text_escape(row->name, strlen(row->name)) : strdup("NAME");
        unsigned limit = fit(view);
        char *line = NULL;
        size_t size;
        FILE *f;

        (void) t;
        f = name ? open_memstream(&line, &size) : NULL;
        if (!f)
                return NULL;
        for (unsigned i = 0; i < ELEMENTSOF(columns); i++) {
                char cell[CELL_MAX] = "";

                if (!columns[i].format || columns[i].gives_way >= limit)
                        continue;
                if (row)
                        columns[i].format(row, view, cell);
                print_cell(f, columns + i, !row ? columns[i].title : *cell ? cell : "-");
        }
        (void) fputs(name, f);
        if (fclose(f) == EOF)
                line = mfree(line);
        return line;
}

char *top_counts(const Top *t, const TopView *view) {
        char moment[TEXT_SHORT_MAX];
        size_t running = 0, paused = 0;
        char *line;

        for (size_t i = 0; i < t->n; i++) {
                running += streq(t->sorted[i]->status, "running");
                paused += streq(t->sorted[i]->status, "paused");
        }
        text_time(view->now_msec, moment);
        return asprintf(&line, "%s  %zu sandbox%s: %zu running, %zu paused; by %s%s", moment, t->n,
                        t->n == 1 ? "" : "es", running, paused, columns[t->sort].name,
                        t->reverse ? ", reversed" : "") < 0 ? NULL : line;
}

/* Not the last value alone: a scale that jumps makes a flat line of a rise. */
static double largest(const double *values, size_t n) {
        double max = 0;

        for (size_t i = 0; i < n; i++)
                max = MAX(max, values[i]);
        return max;
}

/* There is no limit of all sandboxes here to be the scale, so it is the most that was seen. */
char *top_summary(const Top *t, const TopView *view) {
        char cpu[CELL_MAX], memory[CELL_MAX], size[TEXT_SHORT_MAX];
        size_t last = t->n_history;
        uint64_t pids = 0;
        char *line;

        if (last == 0)
                return strdup("");
        for (size_t i = 0; i < t->n; i++)
                pids += t->sorted[i]->pids;
        spark_line(t->cpu_history, last, HISTORY_COLUMNS * 2, largest(t->cpu_history, last), view->utf8, cpu);
        spark_line(t->memory_history, last, HISTORY_COLUMNS * 2, largest(t->memory_history, last), view->utf8, memory);
        return asprintf(&line, "CPU %6.1f%% %s  MEM %6s %s  PIDS %" PRIu64, t->cpu_history[last - 1], cpu,
                        text_size((uint64_t) t->memory_history[last - 1], size), memory, pids) < 0 ? NULL : line;
}
