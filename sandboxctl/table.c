/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/table.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/text.h"

/* Widths are known when all rows are there, so cells are kept until then. A terminal that is too narrow loses the end
 * of the last column, which is the longest and the least needed: names and commands. */

#define GAP 2U

struct Table {
        const Column *columns;
        size_t n_columns;
        char **cells;
        size_t n_cells, allocated;
};

Table *table_new(const Column *columns) {
        Table *t = new0(Table, 1);

        if (!t)
                return NULL;
        t->columns = columns;
        while (columns[t->n_columns].title)
                t->n_columns++;
        return t;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        free(t->cells);
        free(t);
        return NULL;
}

int table_add(Table *t, const char *cell) {
        _cleanup_free_ char *safe = isempty(cell) ? strdup("-") : text_escape(cell, strlen(cell));

        if (!safe)
                return -ENOMEM;
        if (t->n_cells == t->allocated) {
                size_t n = t->allocated ? t->allocated * 2 : 64;
                char **larger = reallocarray(t->cells, n, sizeof(char *));

                if (!larger)
                        return -ENOMEM;
                t->cells = larger;
                t->allocated = n;
        }
        t->cells[t->n_cells++] = TAKE_PTR(safe);
        return 0;
}

int table_addf(Table *t, const char *format, ...) {
        _cleanup_free_ char *cell = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&cell, format, ap);
        va_end(ap);
        if (r < 0) {
                cell = NULL;
                return -ENOMEM;
        }
        return table_add(t, cell);
}

static unsigned column_width(const Table *t, size_t column) {
        unsigned width = text_width(t->columns[column].title);

        for (size_t i = column; i < t->n_cells; i += t->n_columns)
                width = MAX(width, text_width(t->cells[i]));
        return width;
}

static void print_cell(FILE *f, const char *cell, unsigned width, bool right, bool last) {
        unsigned used = text_width(cell);
        int pad = (int) (width > used ? width - used : 0);

        if (right)
                (void) fprintf(f, "%*s", pad, "");
        (void) fputs(cell, f);
        if (!right && !last)
                (void) fprintf(f, "%*s", pad, "");
        if (!last)
                (void) fprintf(f, "%*s", (int) GAP, "");
}

/* The last column is not filled up with blanks, and is the one that gives way on a narrow terminal. */
static void print_row(const Table *t, FILE *f, char *const *cells, const unsigned *widths, unsigned room) {
        for (size_t i = 0; i < t->n_columns; i++) {
                const char *cell = cells ? cells[i] : t->columns[i].title;
                bool last = i + 1 == t->n_columns;

                if (last && room > 0)
                        (void) fprintf(f, "%.*s", (int) text_prefix(cell, room), cell);
                else
                        print_cell(f, cell, widths[i], t->columns[i].right, last);
        }
        (void) fputc('\n', f);
}

void table_print(const Table *t, FILE *f, unsigned max_width) {
        _cleanup_free_ unsigned *widths = new0(unsigned, t->n_columns);
        unsigned used = 0, room = 0;

        if (!widths)
                return;
        for (size_t i = 0; i < t->n_columns; i++) {
                widths[i] = column_width(t, i);
                if (i + 1 < t->n_columns)
                        used += widths[i] + GAP;
        }
        if (max_width > used && used + widths[t->n_columns - 1] > max_width)
                room = max_width - used;

        print_row(t, f, NULL, widths, room);
        for (size_t i = 0; i + t->n_columns <= t->n_cells; i += t->n_columns)
                print_row(t, f, t->cells + i, widths, room);
}

void table_show(const Table *t, FILE *f) {
        struct winsize size = {};

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
                size.ws_col = 0;
        table_print(t, f, size.ws_col);
}
