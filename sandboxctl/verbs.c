/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/verbs.h"

#include "libsandbox/string-util.h"
#include "sandboxctl/text.h"

/* The verbs are a table in main.c; this is what can be done with any such table: find a row, guess which one was meant,
 * print them all or one. */

#define VERB_HELP_COLUMN 26U

const Verb *verb_find(const Verb *verbs, const char *name) {
        for (const Verb *v = verbs; v->name; v++)
                if (streq(v->name, name))
                        return v;
        return NULL;
}

static const char *next_verb(void *userdata) {
        const Verb **v = userdata;

        return (*v)->name ? (*v)++->name : NULL;
}

const char *verb_suggest(const Verb *verbs, const char *name) {
        return text_suggest(name, next_verb, &verbs);
}

void verbs_help(FILE *f, const Verb *verbs) {
        const char *group = "";

        for (const Verb *v = verbs; v->name; v++) {
                char left[HELP_COLUMNS];

                if (!streq(group, v->group))
                        (void) fprintf(f, "\n%s:\n", v->group);
                group = v->group;
                (void) snprintf(left, sizeof left, "  %s%s%s", v->name, isempty(v->arguments) ? "" : " ",
                                v->arguments);
                help_row(f, VERB_HELP_COLUMN, left, v->help);
        }
}

void verb_help(FILE *f, const char *program, const Verb *v) {
        (void) fprintf(f, "%s %s%s%s%s\n\n", program, v->name, v->options ? " [OPTIONS...]" : "",
                       isempty(v->arguments) ? "" : " ", v->arguments);
        (void) fprintf(f, "%s.\n", v->help);
        if (v->options) {
                (void) fputs("\nOptions:\n", f);
                options_help(f, v->options);
        }
        if (v->example)
                (void) fprintf(f, "\nExample:\n  $ %s\n", v->example);
}
