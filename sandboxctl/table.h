/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "libsandbox/macro.h"

/* Text in columns, each as wide as its widest cell. Cells are escaped when they are added. */
typedef struct Table Table;

typedef struct Column {
        const char *title;
        bool right;
} Column;

/* columns ends with an empty row and must stay. */
Table *table_new(const Column *columns);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table *, table_free)

/* The next cell, row by row; an empty one is shown as "-". */
int table_add(Table *t, const char *cell);
int table_addf(Table *t, const char *format, ...) _printf_(2, 3);
/* max_width: the terminal's; the last column is cut there. 0: as wide as it gets. */
void table_print(const Table *t, FILE *f, unsigned max_width);
/* As wide as the terminal that stdout may be. */
void table_show(const Table *t, FILE *f);
