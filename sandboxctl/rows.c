/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/rows.h"

/* Verbs that differ in their columns only: what --json and --quiet mean is decided here, once for all of them. */

int rows_show(Ctl *c, const RowsView *view) {
        _cleanup_(table_freep) Table *t = table_new(view->columns);
        json_t *row;
        size_t i;

        if (c->json)
                return ctl_print_json(c, view->reply);
        if (!t)
                return ctl_oom(c);
        json_array_foreach(json_object_get(view->reply, view->key), i, row)
                if (view->print)
                        view->print(c->out, row);
                else if (view->add(t, row) < 0)
                        return ctl_oom(c);
        if (!view->print)
                table_show(t, c->out);
        return EXIT_STATUS_OK;
}

int rows_get(Ctl *c, const char *what, const char *path, const RowsView *view) {
        _cleanup_json_ json_t *reply = NULL;
        RowsView filled = *view;
        int r;

        r = ctl_request(c, what, "GET", path, NULL, &reply);
        filled.reply = reply;
        return r == EXIT_STATUS_OK ? rows_show(c, &filled) : r;
}
