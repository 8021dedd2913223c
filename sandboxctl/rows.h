/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/ctl.h"
#include "sandboxctl/table.h"

/* How the verbs that show a list print it: --json the reply as it is, --quiet a word a line for the next command, else a
 * table. */
typedef struct RowsView {
        const json_t *reply;
        const char *key;         /* of the array in it */
        const Column *columns;
        int (*add)(Table *t, const json_t *row);
        /* --quiet: prints what a script wants of a row. NULL: a table. */
        void (*print)(FILE *f, const json_t *row);
} RowsView;

/* An ExitStatus. */
int rows_show(Ctl *c, const RowsView *view);
/* What a GET answers; view is without a reply. */
int rows_get(Ctl *c, const char *what, const char *path, const RowsView *view);
